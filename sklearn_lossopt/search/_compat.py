"""The private names of scikit-learn that searches need besides those of a fit."""

from sklearn.metrics._scorer import _MultimetricScorer as MultimetricScorer
from sklearn.metrics._scorer import _PassthroughScorer as PassthroughScorer
from sklearn.metrics._scorer import _Scorer as Scorer
from sklearn.model_selection import _search, _validation
from sklearn.model_selection._validation import _insert_error_scores as insert_error_scores
from sklearn.model_selection._validation import _score as score_or_error
from sklearn.model_selection._validation import (
    _warn_or_raise_about_fit_failures as warn_or_raise_about_fit_failures,
)
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.validation import _check_method_params as check_method_params

from sklearn_lossopt._compat import CALLBACKS, CallbackSupportMixin

if CALLBACKS:
    from sklearn.callback import AutoPropagatedCallback
    from sklearn.model_selection._search import BaseSearchCV
else:
    AutoPropagatedCallback = ()  # of which nothing is an instance

    class BaseSearchCV(CallbackSupportMixin, _search.BaseSearchCV):
        """A search before scikit-learn 1.9, without callbacks."""


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


def fit_and_score(*arguments, caller, callback_ctx, **options):
    """scikit-learn's own, which tells callbacks since 1.9."""
    if CALLBACKS:
        options |= {"caller": caller, "callback_ctx": callback_ctx}
    return _validation._fit_and_score(*arguments, **options)


def propagates_callbacks(search, context):
    """Whether a search passes any of its callbacks on to the estimators that it fits."""
    return any(
        isinstance(callback, AutoPropagatedCallback)
        and (
            callback.max_propagation_depth is None
            or context._propagation_depth < callback.max_propagation_depth
        )
        for callback in getattr(search, "_skl_callbacks", ())
    )
