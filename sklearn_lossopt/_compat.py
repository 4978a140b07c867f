"""The private names of scikit-learn that the package uses, in one place."""

from sklearn.base import _fit_context as fit_context
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
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._plotting import _validate_score_name as score_label
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.parallel import _get_threadpool_controller as threadpool_controller
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _check_y as check_y

__all__ = [
    "BaseSearchCV",
    "Interval",
    "InvalidParameterError",
    "MultimetricScorer",
    "Options",
    "PassthroughScorer",
    "Scorer",
    "StrOptions",
    "check_matplotlib_support",
    "check_method_params",
    "check_sample_weight",
    "check_y",
    "fit_and_score",
    "fit_context",
    "has_callbacks",
    "insert_error_scores",
    "release_blas",
    "routing_enabled",
    "safe_split",
    "score_label",
    "score_or_error",
    "threadpool_controller",
    "validate_parameter_constraints",
    "warn_or_raise_about_fit_failures",
]


def has_callbacks(estimator):
    """Whether callbacks are set on an estimator, or propagated to it."""
    return bool(getattr(estimator, "_skl_callbacks", ()))


def release_blas():
    """Let any Python thread change the number of BLAS threads; threadpoolctl 3.8 lets only the
    one do it that did it first."""
    for library in threadpool_controller().lib_controllers:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


def hands_callbacks_on(search, context):
    """Whether a search hands any of its callbacks on to the estimators that it fits."""
    depth = context._propagation_depth
    return any(
        isinstance(callback, AutoPropagatedCallback)
        and (callback.max_propagation_depth is None or depth < callback.max_propagation_depth)
        for callback in getattr(search, "_skl_callbacks", ())
    )
