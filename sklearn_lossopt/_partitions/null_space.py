"""Directions in which no row of any partition changes its prediction."""

import numpy as np

from sklearn_lossopt._solvers.null_space import ROUNDING, NullSpace

# Rows beyond the sample may be larger than those that rounding is judged by.
LARGER = 100.0
# Squared lengths are rounded: shorter directions than this part of the longest are looked at again.
KNOWN = 1e-7


def sum_along(loss, joint, x, y, share, directions):
    """Sums over rows for ``Objective.total``: the products of predictions along directions."""
    along = x.predict(directions.T)
    return ((share * along).T @ along,)


def shared_null_space(objective, null, shift):
    """The part of a sample's NullSpace that all rows share, by a pass or two; None without any.

    Parameters
    ----------
    objective : PartitionedObjective
    null : NullSpace
        Of the sample; that of all rows lies in it.
    shift : ndarray of shape (d,) or None
        What rows are less.
    """
    scale, size = null.scale, len(null.scale)
    offset = np.zeros(size - 1) if shift is None else shift.astype(np.float64)
    own = np.append(np.hypot(1.0, offset / scale[:-1]), 1.0)
    eps, least = np.finfo(objective.X.dtype).eps, max(ROUNDING, 10 * size * np.finfo(float).eps)
    C = (null.across / scale).T
    while C.shape[1]:
        (products,) = objective.total(sum_along, shift, C / scale[:, None])
        squares, turn = np.linalg.eigh(products)
        C, length = C @ turn, np.sqrt(np.maximum(squares, 0))
        noise = LARGER * (2 * eps * np.linalg.norm(own[:, None] * C, axis=0) + least)
        if (length <= noise).all():
            return NullSpace(C, scale)
        C = C[:, length <= np.maximum(noise, KNOWN * length.max())]
    return None
