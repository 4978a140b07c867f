"""The private names of scikit-learn that a fit needs; searches and displays have their own list."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "Interval",
    "Options",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "has_callbacks",
    "validate_parameter_constraints",
]


def has_callbacks(estimator):
    """Whether callbacks are set on an estimator, or propagated to it."""
    return bool(getattr(estimator, "_skl_callbacks", ()))
