"""Weighted quantiles, which count a weight as so many rows."""

import numpy as np

# Factor of a level. If a cumulative share equals the level, its rounding must not decide: rounded
# weights then give the same quantile as repeated rows.
SHARE = 1 - 1e-6


def weighted_quantile(y, weight, level):
    """The quantile of each column of y (n, k), an observed value; shape (k,)."""
    if weight is None:
        return np.quantile(y, level * SHARE, axis=0, method="inverted_cdf")
    # The weights of np.quantile take 17 times as long for 150 rows, and are part of every fit.
    return np.array([column_quantile(column, weight, level) for column in y.T])


def column_quantile(y, weight, level):
    """The quantiles of y (n,) at a level, or at several."""
    order = np.argsort(y)
    share = np.cumsum(weight[order], dtype=np.float64)
    place = np.searchsorted(share, np.multiply(level, SHARE) * share[-1])
    return y[order[np.minimum(place, len(y) - 1)]]


def weighted_median(y, weight):
    """The median of each column of y (n, k), halfway between two middle values; shape (k,)."""
    if weight is None:
        return np.median(y, axis=0)
    return 0.5 * sum(weighted_quantile(y, weight, level) for level in (0.5, 0.5 + 1e-6))
