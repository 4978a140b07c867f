"""Weighted quantiles, which count a weight as so many rows."""

import math

import numpy as np

# Factor of a level. If a cumulative share equals the level, its rounding must not decide: rounded
# weights then give the same quantile as repeated rows.
SHARE = 1 - 1e-6


def weighted_quantile(y, weight, level):
    """The quantile of each column of y (n, k), an observed value; shape (k,)."""
    if weight is None:
        return _at_ranks(y, [_rank(len(y), level)])[0]
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
        return _middle(_at_ranks(y, _middle_ranks(len(y))))
    return 0.5 * sum(weighted_quantile(y, weight, level) for level in (0.5, 0.5 + 1e-6))


def median_and_quantile(y, weight, level):
    """Both of one column y (n,)."""
    column = y[:, None]
    if weight is None:
        *middle, found = _at_ranks(column, [*_middle_ranks(len(y)), _rank(len(y), level)])
        return _middle(middle)[0], found[0]
    return weighted_median(column, weight)[0], weighted_quantile(column, weight, level)[0]


# NumPy's own quantiles take ten times as long for the targets of a small fit.


def _at_ranks(y, ranks):
    """The numbers of these ranks of each column of y (n, k), counted from 0."""
    return np.partition(y, ranks, axis=0)[ranks]


def _rank(n, level):
    """The rank of the first number at which the cumulative share reaches the level."""
    return min(max(math.ceil(n * (level * SHARE) - 1), 0), n - 1)


def _middle_ranks(n):
    return [(n - 1) // 2, n // 2]


def _middle(pair):
    """The number halfway; the sum of halves does not overflow."""
    low, high = pair
    return 0.5 * low + 0.5 * high
