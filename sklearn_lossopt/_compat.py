"""The private names of scikit-learn that a fit needs; searches and displays have their own list."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import _fit_context
from sklearn.utils import metaestimators
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

from sklearn_lossopt._typing import Method

if TYPE_CHECKING:

    class CallbackSupportMixin:
        """scikit-learn's, with the types that it does not state."""

        def set_callbacks(self, *callbacks: Any) -> Self: ...

else:
    from sklearn.callback import CallbackSupportMixin

__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "Options",
    "StrOptions",
    "available_if",
    "check_sample_weight",
    "fit_context",
    "has_callbacks",
    "validate_parameter_constraints",
]

# With the types that scikit-learn does not state: the method stays what it is.
available_if: Callable[[Callable[[Any], bool]], Callable[[Method], Method]] = (
    metaestimators.available_if
)
fit_context: Callable[..., Callable[[Method], Method]] = _fit_context


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks are set on an estimator, or propagated to it."""
    return bool(getattr(estimator, "_skl_callbacks", ()))
