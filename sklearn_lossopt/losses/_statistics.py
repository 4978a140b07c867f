"""The best constant predictions of losses."""

import numpy as np
from scipy.optimize import bisect, brentq

from sklearn_lossopt._quantiles import column_quantile


def piecewise_linear_constant(breakpoints, weight):
    """The constant (k,) with the least mean loss, given the breakpoints of a loss.

    The slope of the sum of max(low (z - c), high (z - c)) rises by high - low at each c, from the
    sum of all low. It changes sign at a quantile of the breakpoints, weighted by these rises. One
    breakpoint a row makes it an observed value. Of the constants between two that are as good, the
    middle is taken otherwise.
    """
    points, low, high = (np.concatenate(parts) for parts in zip(*breakpoints, strict=True))
    if weight is not None:
        weight = np.tile(weight, len(breakpoints))[:, None]
        low, high = weight * low, weight * high
    rise = high - low
    level = -low.sum(axis=0) / rise.sum(axis=0)
    levels = [level] if len(breakpoints) == 1 else [level, level + 1e-6]
    columns = zip(points.T, rise.T, np.transpose(levels), strict=True)
    return np.array([column_quantile(*column).mean() for column in columns])


def root_constant(loss, y, weight):
    """The constant (k,) at which the mean gradient of each column of y (n, k) changes sign."""
    share = np.full(len(y), 1 / len(y)) if weight is None else weight / weight.sum()
    # Column by column: a custom loss of one output expects one-dimensional arrays.
    return np.array([_root(loss, np.array(column, np.float64), share) for column in y.T])


def _root(loss, y, share):
    def slope(z):
        mean = np.sum(share * np.ravel(loss.loss_gradient(y, np.full(len(y), z))[1]))
        # The gradient overflows only far from 0, where it has the sign of z.
        return z if np.isnan(mean) else mean

    # The search starts between the targets. It widens, as raw predictions can have other units.
    low, high = start = y.min(), y.max()
    width = max(high - low, 1.0)
    with np.errstate(all="ignore"):
        for _ in range(60):
            if slope(low) > 0:
                low, high = low - width, low
            elif slope(high) < 0:
                low, high = high, high + width
            else:
                # Interpolation does not help at the jumps of a loss that is not smooth.
                root = brentq if loss.smooth else bisect
                return root(slope, low, high, xtol=1e-300, maxiter=100, disp=False)
            width *= 2
        # The loss only falls, or only rises.
        return start[1] if slope(start[1]) < 0 else start[0]
