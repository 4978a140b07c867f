"""The private names of scikit-learn that the package uses, in one place."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._plotting import _validate_score_name as score_label
from sklearn.utils.parallel import _get_threadpool_controller as threadpool_controller
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _check_y as check_y

__all__ = [
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "check_matplotlib_support",
    "check_sample_weight",
    "check_y",
    "fit_context",
    "has_callbacks",
    "release_blas",
    "score_label",
    "threadpool_controller",
    "validate_parameter_constraints",
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
