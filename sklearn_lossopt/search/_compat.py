"""The private names of scikit-learn that searches need besides those of a fit."""

from sklearn.callback import AutoPropagatedCallback
from sklearn.metrics._scorer import _MultimetricScorer as MultimetricScorer
from sklearn.metrics._scorer import _PassthroughScorer as PassthroughScorer
from sklearn.metrics._scorer import _Scorer as Scorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _fit_and_score as fit_and_score
from sklearn.model_selection._validation import _insert_error_scores as insert_error_scores
from sklearn.model_selection._validation import _score as score_or_error
from sklearn.model_selection._validation import (
    _warn_or_raise_about_fit_failures as warn_or_raise_about_fit_failures,
)
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.validation import _check_method_params as check_method_params

__all__ = [
    "BaseSearchCV",
    "InvalidParameterError",
    "MultimetricScorer",
    "PassthroughScorer",
    "Scorer",
    "check_method_params",
    "fit_and_score",
    "insert_error_scores",
    "propagates_callbacks",
    "safe_split",
    "score_or_error",
    "warn_or_raise_about_fit_failures",
]


def propagates_callbacks(search, context):
    """Whether a search passes any of its callbacks on to the estimators that it fits."""
    depth = context._propagation_depth
    return any(
        isinstance(callback, AutoPropagatedCallback)
        and (callback.max_propagation_depth is None or depth < callback.max_propagation_depth)
        for callback in getattr(search, "_skl_callbacks", ())
    )
