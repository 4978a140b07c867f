"""All rows of an objective, scaled, for methods that need them at once."""

from dataclasses import replace

import numpy as np

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._linalg import (
    extended,
    gram,
    scale_columns,
    scale_rows,
    squares,
)

# Numbers in one block of rows where all rows are needed but not held.
BLOCK_SIZE = 200_000


class ScaledRows:
    """All rows used, extended by the intercept's column and scaled to mean squares of 1.

    Small data are held as one float64 array, larger data are read in blocks at each product.

    Parameters
    ----------
    objective : Objective
    shift : ndarray of shape (d,) or None
    null : NullSpace or None
        Directions that dense rows have no part in beyond rounding, which is taken out.
    """

    def __init__(self, objective, shift, null=None):
        # The objective's cache keeps this object, which must not keep the cache in turn.
        self.objective, self.shift = replace(objective, cache=Cache()), shift
        d = objective.d
        self.block = max(1, int(BLOCK_SIZE / objective.row_size))
        whole = objective.holdable
        self.scale, self.null = np.ones(d + 1), None
        self.held = self._read(slice(0, objective.n)) if whole else None
        self.share = np.ones(objective.n)
        if objective.weight is not None:
            self.share = objective.weight[objective.subsample(objective.n)].astype(np.float64)
        self.share = self.share / self.share.sum()
        sums = sum(self.share[part] @ squares(rows) for part, rows in self.blocks())
        sums[sums == 0] = 1.0
        self.scale = np.sqrt(sums)
        if null is not None and not objective.sparse:
            self.null = null.across / self.scale
        if whole:
            self.held = self._scaled(self.held)

    def _read(self, index):
        """Rows by position among the rows used."""
        objective = self.objective
        index = index if objective.sample_indices is None else objective.sample_indices[index]
        x = extended(objective.X[index], float(objective.fit_intercept), self.shift)
        return self._scaled(x)

    def _scaled(self, x):
        x = scale_columns(x, 1 / self.scale)
        return x if self.null is None else x - (x @ self.null.T) @ self.null

    def blocks(self):
        """The slices of the rows and the rows in each, in order."""
        n = self.objective.n
        if self.held is not None:
            yield slice(0, n), self.held
            return
        for start in range(0, n, self.block):
            part = slice(start, min(n, start + self.block))
            yield part, self._read(part)

    def coordinates(self, w):
        """Extended weights (d + 1,) in the scaled coordinates."""
        return w * self.scale

    def weights(self, v):
        """The extended weights that scaled coordinates stand for."""
        return v / self.scale

    def take(self, index):
        """Some of the rows, by position."""
        return self._read(index) if self.held is None else self.held[index]

    def gram(self, index, weight):
        """The sum of weight x x' over some of the rows."""
        H = np.zeros((len(self.scale),) * 2)
        for start in range(0, len(index), self.block):
            part = slice(start, start + self.block)
            x = self.take(index[part])
            H += gram(scale_rows(x, weight[part]), x)
        return H

    def operator(self, index, weight):
        """The product with ``gram``'s matrix, which is not formed, and its diagonal."""
        x = self.take(index)
        return lambda v: (weight * (x @ v)) @ x, weight @ squares(x)

    def __matmul__(self, v):
        out = np.empty(self.objective.n)
        for part, rows in self.blocks():
            out[part] = rows @ v
        return out

    def __rmatmul__(self, u):
        return sum(u[part] @ rows for part, rows in self.blocks())

    # Otherwise NumPy would broadcast `u @ rows` itself.
    __array_ufunc__ = None
