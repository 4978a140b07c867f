"""Functions that several displays use."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

# Arguments of matplotlib, for one curve; for all, or for each.
Style: TypeAlias = dict[str, Any]
Styles: TypeAlias = Style | list[Style]
Estimators: TypeAlias = dict[str, Any] | Sequence[BaseEstimator]


def last_step(estimator):
    """A pipeline's last step, or the estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def one_each(name, values, n):
    """A list of n values, made of one value for all or of a list."""
    if not isinstance(values, list | tuple):
        return [values] * n
    if len(values) == 1 and values[0] is None:
        return [None] * n
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries for {n} curves.")
    return list(values)


def check_scale(name, scale):
    """Raise ValueError unless matplotlib has a scale of that name; None passes."""
    from matplotlib.scale import get_scale_names

    if scale is not None and scale not in get_scale_names():
        raise ValueError(f"{name} must be one of {get_scale_names()} or None. Got {scale!r}.")


def check_positive(curves):
    """Raise ValueError if a curve has values that a logarithmic axis cannot show."""
    if any(np.nanmin(curve) <= 0 for curve in curves):
        raise ValueError(
            "A logarithmic axis needs positive losses, and these reach "
            f"{min(float(np.nanmin(curve)) for curve in curves):.3g}. Pass yscale='linear', or "
            "a reference to subtract."
        )


def styled(given, style):
    """Our style of a line, overridden by the user's, under whatever alias it comes."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**given, **normalize_kwargs(style or {}, Line2D)}


def labels_of(estimators):
    """A label for each estimator: its class and the parameters that differ within the class."""
    fits = [last_step(estimator) for estimator in estimators]
    mixed = len({type(fit) for fit in fits}) > 1
    found = []
    for fit in fits:
        alike = [other.get_params(deep=False) for other in fits if type(other) is type(fit)]
        parts = [
            f"{key}={value!r}"
            for key, value in fit.get_params(deep=False).items()
            if any(repr(other[key]) != repr(value) for other in alike)
        ]
        if mixed or not parts:
            parts.insert(0, type(fit).__name__)
        found.append(", ".join(parts))
    return found


def named(argument, given):
    """Names and values of a dict, or of a list of estimators, none of which is empty."""
    if isinstance(given, dict):
        names, values = list(given), list(given.values())
    else:
        values = list(given)
        names = labels_of(values)
    if not values:
        raise ValueError(f"{argument} is empty: there is nothing to draw.")
    return names, values
