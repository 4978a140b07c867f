"""The tasks of a search: fit and score candidates on one fold."""

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
    candidate_params: list  # the parameters of each candidate, by its number
    n_splits: int
    search: BaseEstimator | None  # for callbacks; None without them


@dataclass
class Split:
    """The rows of one fold, as indices."""

    number: int
    train: np.ndarray
    test: np.ndarray


def failed(spec, text):
    """The result of a fit that raised an error with this text."""
    scores = spec.error_score
    if isinstance(spec.scorer, MultimetricScorer):
        scores = dict.fromkeys(spec.scorer._scorers, scores)
    found = {"fit_error": text, "test_scores": scores, "score_time": 0.0}
    if spec.train_scores:
        found["train_scores"] = copy(scores)
    return found


def curve(estimator):
    """The loss curve of a fitted estimator or of its last step; None without one."""
    steps = getattr(estimator, "steps", None)
    return getattr(steps[-1][1] if steps else estimator, "loss_curve_", None)


class Fold:
    """The rows of a split, and what is done with them once for all candidates of a group.

    Parameters
    ----------
    group : Group
    X, y : array-like
    split : Split
    spec : SearchSpec
    """

    def __init__(self, group, X, y, split, spec):
        self.group, self.split, self.spec = group, split, spec
        self.train = safe_split(group.estimator, X, y, split.train)
        self.test = safe_split(group.estimator, X, y, split.test, split.train)
        self.fit_params = check_method_params(X, params=spec.fit_params, indices=split.train)
        self.score_params = {
            name: check_method_params(X, params=spec.score_params, indices=rows)
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
        """The fitted pipeline with this last step; the model itself without a pipeline."""
        if self.pipeline is None:
            return model
        found = copy(self.pipeline)
        found.steps = [*found.steps[:-1], (found.steps[-1][0], model)]
        return found

    def scorers(self):
        """Make a CandidateScorer for the test rows and, if the search wants it, the training rows.

        Returns
        -------
        model_alone : bool
            Whether they score the last step of a pipeline, on rows that are transformed already.
        scorers : dict
            By "test" and "train".
        """
        spec = self.spec
        rows = {"test": self.test, "train": self.train} if spec.train_scores else {
            "test": self.test
        }  # fmt: skip
        model_alone = asks_model_alone(spec.scorer)
        if model_alone and self.pipeline is not None:
            try:
                rows = {name: (self._transformed(X), y) for name, (X, y) in rows.items()}
            except Exception:
                model_alone = False  # each score raises this anew, as it does without a search
        return model_alone, {
            name: CandidateScorer(spec.scorer, spec.error_score, X, y, self.score_params[name])
            for name, (X, y) in rows.items()
        }

    def _transformed(self, X):
        for _, step in self.pipeline.steps[:-1]:
            if step is not None and step != "passthrough":
                X = step.transform(X)
        return X

    def begin(self, contexts):
        """Tell callbacks that fits on these rows begin."""
        for context in contexts:
            context.call_on_fit_task_begin(**self._task())

    def end(self, contexts):
        """Tell callbacks that they have ended."""
        for context in contexts:
            context.call_on_fit_task_end(**self._task())

    def _task(self):
        return callback_kwargs(self.spec.search, *self.train, self.fit_params.get("sample_weight"))


class Training:
    """The candidates of a group, in training on one split.

    Parameters
    ----------
    group : Group
    X, y : array-like
        All rows.
    split : Split
    spec : SearchSpec
    pauses : tuple of int, default=()
        The epochs that ``advance`` will be called with.

    Attributes
    ----------
    left : list of int
        Numbers of the candidates that have not been dropped.
    results : dict
        The last result of each candidate, by its number. A result is what ``_fit_and_score`` of
        scikit-learn returns, with the ``loss_curve`` and the texts of a ``warning`` of convergence
        and of a ``divergence`` besides. Times count from the result before.
    """

    def __init__(self, group, X, y, split, spec, pauses=()):
        self.given, self.pauses = (group, X, y, split, spec), pauses
        self.numbers = [candidate.number for candidate in group.candidates]
        self.left, self.split = self.numbers, split
        self.results = {}
        # Made by the first call of advance.
        self.fold = self.fits = self.model_alone = self.scorers = self.spent = None
        self.scoring_seconds = 0.0

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
                self._score(place, fit, first)
        finally:
            self.fold.end(contexts)
        spec = self.fold.spec
        if spec.verbose > 1:
            for number, result in self.results.items():
                print(line(number, self.split, spec, result))
        return self.results

    def keep(self, numbers):
        """Train only these candidates any further."""
        self.left = [number for number in self.left if number in numbers]
        for place in list(self.fits.estimators):
            if self.numbers[place] not in numbers:
                self.fits.drop(place)
        self.results = {number: self.results[number] for number in self.left}

    def _begin(self, start):
        fold, spec, candidates = self.fold, self.fold.spec, self.fold.group.candidates
        try:
            X, y, params = fold.transform()
        except Exception as error:
            if spec.error_score == "raise":
                raise
            shared = (perf_counter() - start) / len(candidates)
            none = {"fit_time": shared, "loss_curve": None, "warning": None, "divergence": None}
            self.fits = JointFit((), None, None, {})
            self.results = {i: failed(spec, text_of(error)) | none for i in self.numbers}
            return
        # A generator: models that have been scored are dropped while others train.
        models = (candidate.fresh() for candidate in candidates)
        self.fits = JointFit(models, X, y, params, self.pauses)
        # What is done once for all candidates counts in equal parts for each of them.
        self.spent = [(start - perf_counter()) / len(candidates)] * len(candidates)
        start = perf_counter()
        self.model_alone, self.scorers = fold.scorers()
        self.scoring_seconds = (perf_counter() - start) / len(candidates)

    def _score(self, place, fit, first):
        result = result_of(fit, self.fold, self.model_alone, self.scorers)
        result["fit_time"] = fit.seconds - self.spent[place]
        self.spent[place] = fit.seconds
        if first and fit.error is None:
            result["score_time"] += self.scoring_seconds
        self.results[self.numbers[place]] = result


def evaluate_group(group, X, y, split, spec, contexts):
    """Fit and score the candidates of a group on one split.

    Parameters
    ----------
    group, X, y, split, spec
        As for Training.
    contexts : list of CallbackContext
        Those of the fits; empty without callbacks.

    Returns
    -------
    results : list of dict
        One for each candidate.
    """
    results = Training(group, X, y, split, spec).advance(contexts)
    return [results[candidate.number] for candidate in group.candidates]


def result_of(fit, fold, model_alone, scorers):
    """What is kept of one CandidateFit."""
    diverged = isinstance(fit.error, DivergenceError)
    result = {"warning": fit.warning, "divergence": str(fit.error) if diverged else None}
    if fit.error is not None:
        if fold.spec.error_score == "raise":
            raise fit.error
        return result | failed(fold.spec, text_of(fit.error)) | {"loss_curve": None}
    result |= {"fit_error": None, "loss_curve": curve(fit.estimator)}
    whole = fit.estimator if model_alone else fold.whole(fit.estimator)
    for name, scorer in scorers.items():
        start = perf_counter()
        result[f"{name}_scores"] = scorer(fit.estimator, whole)
        if name == "test":
            result["score_time"] = perf_counter() - start
    return result


def text_of(error):
    return "".join(traceback.format_exception(error))


def line(number, split, spec, result):
    """The line that is printed of a fit."""
    place = f" {split.number + 1}/{spec.n_splits}" if spec.verbose > 2 else ""
    if spec.verbose > 9:
        place += f"; {number + 1}/{len(spec.candidate_params)}"
    params = ", ".join(
        f"{name}={value}" for name, value in sorted(spec.candidate_params[number].items())
    )
    shown = [f"{params};" if params else ""]
    if spec.verbose > 2:
        scores = result["test_scores"]
        named = scores if isinstance(scores, dict) else {"score": scores}
        shown += [f"{name}={score:.3f}" for name, score in named.items()]
    seconds = result["fit_time"] + result["score_time"]
    return " ".join([f"[CV{place}] END", *filter(None, shown), f"total time={seconds:6.3f}s"])


def evaluate_alone(base, number, X, y, split, spec, context):
    """Fit and score one candidate on one split, by its own ``fit``.

    Parameters
    ----------
    base : estimator
        Not fitted.
    number : int
        Of the candidate.
    X, y, split, spec
        As for ``evaluate_group``.
    context : CallbackContext

    Returns
    -------
    results : list of dict
        With one element, as ``evaluate_group`` has one for each candidate.
    """
    result = fit_and_score(
        clone(base), X, y, scorer=spec.scorer, train=split.train, test=split.test,
        verbose=spec.verbose, parameters=spec.candidate_params[number], fit_params=spec.fit_params,
        score_params=spec.score_params, return_train_score=spec.train_scores,
        return_times=True, return_estimator=True,
        split_progress=(split.number, spec.n_splits),
        candidate_progress=(number, len(spec.candidate_params)), error_score=spec.error_score,
        caller=spec.search, callback_ctx=context,
    )  # fmt: skip
    model = result.pop("estimator", None)
    found = curve(model) if result["fit_error"] is None else None
    return [result | {"loss_curve": found, "warning": None, "divergence": None}]
