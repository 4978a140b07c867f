"""JointFit and scores of one fold, the tasks of a search. Floor 4."""

import traceback
from copy import copy
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from sklearn.base import BaseEstimator, clone

from sklearn_lossopt._estimators.callbacks import callback_kwargs
from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt.search._candidates import Recorder
from sklearn_lossopt.search._compat import (
    MultimetricScorer,
    check_method_params,
    fit_and_score,
    safe_split,
)
from sklearn_lossopt.search._joint_fit import JointFit
from sklearn_lossopt.search._scores import CandidateScorer, asks_model_alone


@dataclass
class SearchSpec:
    """What the tasks of a search have in common."""

    scorer: object
    fit_params: dict
    score_params: dict
    train_scores: bool
    error_score: object  # a number or "raise"
    verbose: int
    settings: list  # parameters of the candidates, by their number
    n_splits: int
    search: BaseEstimator | None  # for callbacks; None without them


@dataclass
class Split:
    """One fold."""

    number: int
    train: np.ndarray
    test: np.ndarray


def failed(rules, text):
    """Scores of a fit that raised."""
    scores = rules.error_score
    if isinstance(rules.scorer, MultimetricScorer):
        scores = dict.fromkeys(rules.scorer._scorers, scores)
    found = {"fit_error": text, "test_scores": scores, "score_time": 0.0}
    if rules.train_scores:
        found["train_scores"] = copy(scores)
    return found


def curve(estimator):
    """The loss curve of a fitted estimator or of its last step; None without one."""
    steps = getattr(estimator, "steps", None)
    return getattr(steps[-1][1] if steps else estimator, "loss_curve_", None)


class Fold:
    """The rows of a split, as the last step of an estimator gets them.

    Parameters
    ----------
    group : Group
    X, y : array-like
    split : Split
    rules : SearchSpec
    """

    def __init__(self, group, X, y, split, rules):
        self.group, self.split, self.rules = group, split, rules
        self.train = safe_split(group.estimator, X, y, split.train)
        self.test = safe_split(group.estimator, X, y, split.test, split.train)
        self.fit_params = check_method_params(X, params=rules.fit_params, indices=split.train)
        self.score_params = {
            name: check_method_params(X, params=rules.score_params, indices=rows)
            for name, rows in (("train", split.train), ("test", split.test))
        }
        self.pipeline = None

    def transform(self):
        """Fit the transformers of a pipeline.

        Returns
        -------
        X, y, params : array-like, array-like, dict
            What the ``fit`` of the last step gets.
        """
        X, y = self.train
        if not self.group.in_pipeline:
            return X, y, self.fit_params
        self.pipeline = clone(self.group.estimator)
        name, model = self.pipeline.steps[-1]
        recorder = Recorder(model)
        self.pipeline.steps = [*self.pipeline.steps[:-1], (name, recorder)]
        self.pipeline.fit(X, y, **self.fit_params)
        return recorder.fitted_with_

    def whole(self, model):
        """The pipeline with a fitted last step, or that alone."""
        if self.pipeline is None:
            return model
        found = copy(self.pipeline)
        found.steps = [*found.steps[:-1], (found.steps[-1][0], model)]
        return found

    def judges(self):
        """A CandidateScorer for the test rows and maybe one for the training rows, by name;
        and whether they judge the last step on transformed rows."""
        rules = self.rules
        rows = {"test": self.test, "train": self.train} if rules.train_scores else {
            "test": self.test
        }  # fmt: skip
        alone = asks_model_alone(rules.scorer)
        if alone and self.pipeline is not None:
            try:
                rows = {name: (self._transformed(X), y) for name, (X, y) in rows.items()}
            except Exception:
                alone = False  # each score raises this anew, as it does without a search
        return alone, {
            name: CandidateScorer(rules.scorer, rules.error_score, X, y, self.score_params[name])
            for name, (X, y) in rows.items()
        }

    def _transformed(self, X):
        for _, step in self.pipeline.steps[:-1]:
            if step is not None and step != "passthrough":
                X = step.transform(X)
        return X

    def begin(self, contexts):
        for context in contexts:
            context.call_on_fit_task_begin(**self._task())

    def end(self, contexts):
        for context in contexts:
            context.call_on_fit_task_end(**self._task())

    def _task(self):
        return callback_kwargs(self.rules.search, *self.train, self.fit_params.get("sample_weight"))


class Training:
    """The candidates of a group in training on one split.

    Parameters
    ----------
    group : Group
    X, y : array-like
        All rows.
    split : Split
    rules : SearchSpec
    pauses : tuple of int, default=()
        The epochs that ``advance`` will be called with.

    Attributes
    ----------
    left : list of int
        Numbers of the candidates that have not been dropped.
    results : dict
        For each candidate's number its last result: what ``_fit_and_score`` of scikit-learn
        returns, and besides its ``loss_curve`` and the texts of a ``warning`` of convergence and
        of a ``divergence``. Times are those since the result before.
    """

    def __init__(self, group, X, y, split, rules, pauses=()):
        self.given, self.pauses = (group, X, y, split, rules), pauses
        self.numbers = [candidate.number for candidate in group.candidates]
        self.left, self.split = self.numbers, split
        self.fold, self.results = None, {}

    def advance(self, contexts, epochs=None):
        """Train all to their end, or until they have made so many epochs, and score them.

        Parameters
        ----------
        contexts : list of CallbackContext
            Those of the fits; empty without callbacks.
        epochs : int or None, default=None
            None trains them to their end.

        Returns
        -------
        results : dict
        """
        start, first = perf_counter(), self.fold is None
        if first:
            self.fold = Fold(*self.given)
        self.fold.begin(contexts)
        try:
            # Those that have ended stay as they are.
            self.results = {
                number: result | {"fit_time": 0.0, "score_time": 0.0}
                for number, result in self.results.items()
            }
            if first:
                self._begin(start)
            for place, fit in self.fits if epochs is None else self.fits.pause(epochs):
                self._judge(place, fit, first)
        finally:
            self.fold.end(contexts)
        rules = self.fold.rules
        if rules.verbose > 1:
            for number, result in self.results.items():
                print(line(number, self.split, rules, result))
        return self.results

    def keep(self, numbers):
        """Train only these candidates any further."""
        self.left = [number for number in self.left if number in numbers]
        for place in list(self.fits.estimators):
            if self.numbers[place] not in numbers:
                self.fits.drop(place)
        self.results = {number: self.results[number] for number in self.left}

    def _begin(self, start):
        fold, rules, candidates = self.fold, self.fold.rules, self.fold.group.candidates
        try:
            X, y, params = fold.transform()
        except Exception as error:
            if rules.error_score == "raise":
                raise
            shared = (perf_counter() - start) / len(candidates)
            none = {"fit_time": shared, "loss_curve": None, "warning": None, "divergence": None}
            self.fits = JointFit((), None, None, {})
            self.results = {i: failed(rules, text_of(error)) | none for i in self.numbers}
            return
        # They are scored and dropped while others train.
        models = (candidate.fresh() for candidate in candidates)
        self.fits = JointFit(models, X, y, params, self.pauses)
        # Of what is done once for all candidates, each one's times have an equal part.
        self.spent = [(start - perf_counter()) / len(candidates)] * len(candidates)
        start = perf_counter()
        self.alone, self.judges = fold.judges()
        self.judging = (perf_counter() - start) / len(candidates)

    def _judge(self, place, fit, first):
        result = result_of(fit, self.fold, self.alone, self.judges)
        result["fit_time"] = fit.seconds - self.spent[place]
        self.spent[place] = fit.seconds
        if first and fit.error is None:
            result["score_time"] += self.judging
        self.results[self.numbers[place]] = result


def evaluate_group(group, X, y, split, rules, contexts):
    """Fit and score the candidates of a group on one split.

    Parameters
    ----------
    group, X, y, split, rules
        As for Training.
    contexts : list of CallbackContext
        Those of the fits; empty without callbacks.

    Returns
    -------
    results : list of dict
        One for each candidate.
    """
    results = Training(group, X, y, split, rules).advance(contexts)
    return [results[candidate.number] for candidate in group.candidates]


def result_of(fit, fold, alone, judges):
    """What is kept of one Fit."""
    diverged = isinstance(fit.error, DivergenceError)
    result = {"warning": fit.warning, "divergence": str(fit.error) if diverged else None}
    if fit.error is not None:
        if fold.rules.error_score == "raise":
            raise fit.error
        return result | failed(fold.rules, text_of(fit.error)) | {"loss_curve": None}
    result |= {"fit_error": None, "loss_curve": curve(fit.estimator)}
    whole = fit.estimator if alone else fold.whole(fit.estimator)
    for name, judge in judges.items():
        start = perf_counter()
        result[f"{name}_scores"] = judge(fit.estimator, whole)
        if name == "test":
            result["score_time"] = perf_counter() - start
    return result


def text_of(error):
    return "".join(traceback.format_exception(error))


def line(number, split, rules, result):
    """What is printed of a fit."""
    place = f" {split.number + 1}/{rules.n_splits}" if rules.verbose > 2 else ""
    if rules.verbose > 9:
        place += f"; {number + 1}/{len(rules.settings)}"
    params = ", ".join(f"{name}={value}" for name, value in sorted(rules.settings[number].items()))
    shown = [f"{params};" if params else ""]
    if rules.verbose > 2:
        scores = result["test_scores"]
        named = scores if isinstance(scores, dict) else {"score": scores}
        shown += [f"{name}={score:.3f}" for name, score in named.items()]
    seconds = result["fit_time"] + result["score_time"]
    return " ".join([f"[CV{place}] END", *filter(None, shown), f"total time={seconds:6.3f}s"])


def evaluate_alone(base, number, X, y, split, rules, context):
    """The same for one candidate whose own ``fit`` is called.

    Parameters
    ----------
    base : estimator
        Not fitted.
    number : int
        Of the candidate.
    X, y, split, rules
        As for ``evaluate_group``.
    context : CallbackContext

    Returns
    -------
    results : list of dict
        One.
    """
    result = fit_and_score(
        clone(base), X, y, scorer=rules.scorer, train=split.train, test=split.test,
        verbose=rules.verbose, parameters=rules.settings[number], fit_params=rules.fit_params,
        score_params=rules.score_params, return_train_score=rules.train_scores,
        return_times=True, return_estimator=True,
        split_progress=(split.number, rules.n_splits),
        candidate_progress=(number, len(rules.settings)), error_score=rules.error_score,
        caller=rules.search, callback_ctx=context,
    )  # fmt: skip
    model = result.pop("estimator", None)
    found = curve(model) if result["fit_error"] is None else None
    return [result | {"loss_curve": found, "warning": None, "divergence": None}]
