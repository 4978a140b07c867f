"""Scores of many models on the same rows. Floor 4."""

import numpy as np
from sklearn import get_config
from sklearn.base import ClassifierMixin, RegressorMixin

from sklearn_lossopt._estimators.classifier import GradientClassifier
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt.search._compat import (
    MultimetricScorer,
    PassthroughScorer,
    Scorer,
    score_or_error,
)


def asks_model_alone(scorer):
    """Whether of a pipeline the scorer needs only the last step and rows transformed for it."""
    if isinstance(scorer, MultimetricScorer):
        return all(map(asks_model_alone, scorer._scorers.values()))
    if isinstance(scorer, PassthroughScorer):
        # With metadata routing the steps may ask for metadata.
        return not get_config()["enable_metadata_routing"]
    return type(scorer) is Scorer  # what a name or make_scorer gives


def numbers(values, kinds):
    """An array of one of these kinds, finite, or if objects strings; None if it is not one."""
    try:
        values = np.asarray(values)
    except (TypeError, ValueError):
        return None
    kind = values.dtype.kind
    known = kind in kinds
    if known and kind == "f":
        known = np.isfinite(values).all()
    elif known and kind == "O":
        known = all(isinstance(value, str) for value in values.flat)
    return values if known else None


def accuracy(y, weight):
    """Of predicted labels; the same number as ``accuracy_score``. None if only that can tell."""
    y = numbers(y, "biufUO")
    if y is None or y.ndim != 1 or (y.dtype.kind == "f" and (y != np.floor(y)).any()):
        return None
    return lambda predicted: float(np.average(y == predicted, weights=weight))


def r2(y, weight):
    """Of predicted targets; the same number as ``r2_score``. None if only that can tell."""
    y = numbers(y, "biuf")
    if y is None or y.ndim > 2 or len(y) < 2:
        return None
    y = y.reshape(len(y), -1)
    spread = {}  # for each type of the predictions, which the arithmetic is done in

    def score(predicted):
        if not np.isfinite(predicted).all():
            return None
        given = [found.dtype for found in (y, predicted, weight) if found is not None]
        dtype = np.result_type(*(found for found in given if found.kind == "f"))
        factor = 1.0 if weight is None else weight.astype(dtype, copy=False)[:, None]
        if dtype not in spread:
            target = y.astype(dtype)
            weights = None if weight is None else weight.astype(dtype, copy=False)
            mean = np.average(target, axis=0, weights=weights)
            spread[dtype] = target, np.sum(factor * (target - mean) ** 2, axis=0)
        target, total = spread[dtype]
        predicted = predicted.reshape(len(y), -1).astype(dtype, copy=False)
        if predicted.shape != target.shape:
            return None
        error = np.sum(factor * (target - predicted) ** 2, axis=0)
        scores = np.ones(len(total), dtype)
        usual, constant = (error != 0) & (total != 0), (error != 0) & (total == 0)
        scores[usual] = 1 - error[usual] / total[usual]
        scores[constant] = 0.0
        return float(np.average(scores))

    return score


# What the method score measures, where neither it nor predict is overridden.
MEASURES = {
    (GradientClassifier.predict, ClassifierMixin.score): accuracy,
    (GradientRegressor.predict, RegressorMixin.score): r2,
}


class CandidateScorer:
    """Scores models on rows that are checked once for all of them.

    Parameters
    ----------
    scorer : callable
    error_score : "raise" or number
    X, y : array-like
    params : dict
        Other parameters of the scorer.
    """

    def __init__(self, scorer, error_score, X, y, params):
        self.scorer, self.error_score = scorer, error_score
        self.X, self.y, self.params = X, y, params
        self.checked = None
        self.shortcut = asks_model_alone(scorer)
        self.measures = {}
        weight = params.get("sample_weight")
        self.weight = None if weight is None else numbers(weight, "iuf")
        # A few things must be as they nearly always are; the estimator's own score tells what is
        # wrong with others.
        self.quick = isinstance(scorer, PassthroughScorer) and params.keys() <= {"sample_weight"}
        if weight is not None:
            self.quick &= self.weight is not None and self.weight.ndim == 1
            self.quick = self.quick and len(self.weight) == len(y) and (self.weight > 0).any()

    def __call__(self, model, whole):
        """The score of a fitted model.

        Parameters
        ----------
        model : estimator
            The last step.
        whole : estimator
            What the scorer gets.

        Returns
        -------
        score : float or dict
        """
        if self.quick and whole is model:
            score = self._own_score(model)
            if score is not None:
                return score
        X = self.X
        if self.shortcut and type(whole) in (GradientRegressor, GradientClassifier):
            X = self._checked(whole)
        return score_or_error(whole, X, self.y, self.scorer, self.params, self.error_score)

    def _checked(self, model):
        """Rows that the model need not check, or if something is wrong with them, as they are."""
        if self.checked is None:
            try:
                self.checked = model._check_rows(self.X)
            except Exception:
                self.quick = self.shortcut = False
                return self.X
        return self.checked

    def _own_score(self, model):
        """``model.score``, without the checks; None where they might find something."""
        measure = MEASURES.get((type(model).predict, type(model).score))
        if measure is None:
            return None
        if measure not in self.measures:
            self.measures[measure] = measure(self.y, self.weight)
        if self.measures[measure] is None:
            return None
        rows = self._checked(model)
        return self.measures[measure](model.predict(rows)) if self.quick else None
