"""Scores of many models on the same rows."""

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
    """Whether the scorer of a pipeline can be given its last step and transformed rows instead."""
    if isinstance(scorer, MultimetricScorer):
        return all(map(asks_model_alone, scorer._scorers.values()))
    if isinstance(scorer, PassthroughScorer):
        # With metadata routing the steps may ask for metadata.
        return not get_config()["enable_metadata_routing"]
    return type(scorer) is Scorer  # what a name or make_scorer gives


def numbers(values, kinds):
    """The values as an array; None unless they are of one of these kinds, finite, and if they are
    objects all strings."""
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
    """A function of predicted labels that returns what ``accuracy_score`` does; None where y needs
    the checks that ``accuracy_score`` makes."""
    y = numbers(y, "biufUO")
    if y is None or y.ndim != 1 or (y.dtype.kind == "f" and (y != np.floor(y)).any()):
        return None
    return lambda predicted: float(np.average(y == predicted, weights=weight))


def r2(y, weight):
    """A function of predicted targets that returns what ``r2_score`` does; None where y needs the
    checks that ``r2_score`` makes."""
    y = numbers(y, "biuf")
    if y is None or y.ndim > 2 or len(y) < 2:
        return None
    y = y.reshape(len(y), -1)
    spread = {}  # the target and its sum of squares, in each type that predictions ask for

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


# What the method score measures where a subclass overrides neither it nor predict.
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
        # The shortcut takes only what is sure to be valid. Of all else the estimator's own score
        # says what is wrong.
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
        """The rows, checked once for all models; as they are if something is wrong with them."""
        if self.checked is None:
            try:
                self.checked = model._check_rows(self.X)
            except Exception:
                self.quick = self.shortcut = False
                return self.X
        return self.checked

    def _own_score(self, model):
        """What ``model.score`` returns, without its checks; None where they might find a fault."""
        measure = MEASURES.get((type(model).predict, type(model).score))
        if measure is None:
            return None
        if measure not in self.measures:
            self.measures[measure] = measure(self.y, self.weight)
        if self.measures[measure] is None:
            return None
        rows = self._checked(model)
        return self.measures[measure](model.predict(rows)) if self.quick else None
