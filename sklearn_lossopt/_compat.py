"""The private names of scikit-learn that a fit needs; searches and displays have their own list."""

from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import sklearn
from sklearn.base import _fit_context
from sklearn.utils import metaestimators, validation
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

from sklearn_lossopt._typing import Method

# Whether scikit-learn has callbacks, as it does from 1.9 on.
CALLBACKS = find_spec("sklearn.callback") is not None

if TYPE_CHECKING:

    class CallbackSupportMixin:
        """scikit-learn's, with the types that it does not state."""

        def set_callbacks(self, *callbacks: Any) -> Self: ...

elif CALLBACKS:
    from sklearn.callback import CallbackSupportMixin
else:

    class NoContext:
        """Stands for the context of a fit and of its tasks: nobody is told of them."""

        def subcontext(self, **given):
            return self

        def propagate_callback_context(self, estimator):
            return nullcontext()

        def call_on_fit_task_begin(self, **given):
            return self

        def call_on_fit_task_end(self, **given):
            return False

    class CallbackSupportMixin:
        """What an estimator has of callbacks before scikit-learn 1.9: an error that says so."""

        @property
        def set_callbacks(self):
            raise AttributeError(
                f"Callbacks need scikit-learn 1.9 or later; this is {sklearn.__version__}. Upgrade "
                "it, or watch the fit with verbose=1 or sklearn_lossopt.trace."
            )

        def _init_callback_context(self, **given):
            return NoContext()


__all__ = [
    "CALLBACKS",
    "CallbackSupportMixin",
    "Interval",
    "Options",
    "StrOptions",
    "available_if",
    "check_parameters",
    "check_sample_weight",
    "fit_context",
    "has_callbacks",
]

# With the types that scikit-learn does not state: the method stays what it is.
available_if: Callable[[Callable[[Any], bool]], Callable[[Method], Method]] = (
    metaestimators.available_if
)
fit_context: Callable[..., Callable[[Method], Method]] = _fit_context


def check_sample_weight(
    sample_weight: Any, X: Any, *, allow_all_zero_weights: bool = False, **options: Any
) -> Any:
    """scikit-learn's own, which has the option since 1.9."""
    if CALLBACKS:
        options["allow_all_zero_weights"] = allow_all_zero_weights
    weight = validation._check_sample_weight(sample_weight, X, **options)
    if not CALLBACKS and not allow_all_zero_weights and not np.any(weight):
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


# Values of parameters that have been found valid, and how many of them are kept.
_valid: set[tuple[Any, ...]] = set()
_MOST_VALID = 10_000
_PLAIN = {int, float, str, bool, type(None)}


def check_parameters(estimator: Any) -> None:
    """scikit-learn's validation of parameters, which takes a value that it has found valid as that:
    it makes the objects of all constraints anew, which is a tenth of a small fit."""
    kind, constraints = type(estimator), estimator._parameter_constraints
    params = estimator.get_params(deep=False)
    # All at once, as most fits have the parameters of an earlier one, or each by itself.
    whole = _mark(kind, "", tuple(params.values()))
    if whole in _valid:
        return
    marks = {name: _mark(kind, name, value) for name, value in params.items()}
    new = {name: value for name, value in params.items() if marks[name] not in _valid}
    validate_parameter_constraints(constraints, new, kind.__name__)
    if len(_valid) > _MOST_VALID:
        _valid.clear()
    _valid.update(mark for mark in (whole, *marks.values()) if mark is not None)


def _mark(kind, name, value):
    """What stands for a value of a parameter that cannot be changed; None for others."""
    plain = type(value) in _PLAIN
    if type(value) is tuple:
        types = tuple(map(type, value))
        # Numbers of different types can be equal.
        value, plain = (types, value), _PLAIN.issuperset(types)
    return (kind, name, type(value), value) if plain else None


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks are set on an estimator, or propagated to it."""
    return bool(getattr(estimator, "_skl_callbacks", ()))
