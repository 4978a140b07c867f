"""All rows of an objective, scaled, for methods that need them at once."""

from dataclasses import replace

import numpy as np

from sklearn_lossopt._cache import Cache, lazy_property
from sklearn_lossopt._engine import Lagrangian, Rows
from sklearn_lossopt._linalg import MATRIX_SIZE, extended, gram, scale_columns, scale_rows, squares

# Numbers in one block of rows where all rows are needed but not held.
BLOCK_SIZE = 200_000
# The most columns of dense rows for which an augmented Lagrangian forms its curvature matrix. Few
# rows have curvature near the optimum: a matrix of them costs less than one of all rows, and
# conjugate gradients, which so few rows precondition badly, cost more.
DENSE_MATRIX_SIZE = 2000
# Lengths of rows that differ by more do so widely.
LENGTHS = 1e4


def most_in_matrix(objective):
    """The most columns for which an augmented Lagrangian forms a matrix. Conjugate gradients end
    soon where rows are in their own span: all directions are curved."""
    return MATRIX_SIZE if objective.sparse or objective.in_row_space else DENSE_MATRIX_SIZE


def row_shares(objective):
    """The weights (n,) of the rows used, float64, their sum 1."""
    share = np.ones(objective.n)
    if objective.weight is not None:
        share = objective.weight[objective.subsample(objective.n)].astype(np.float64)
    return share / share.sum()


class ScaledRows:
    """All rows used, extended by the intercept's column and scaled to mean squares of 1.

    The engine reads them as they lie. Other products hold small data as one float64 array, and read
    larger data in blocks.

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
        self.block = max(1, int(BLOCK_SIZE / objective.row_size))
        self.share = row_shares(objective)
        self.rows = Rows(objective.X, objective.sample_indices, shift)
        sums = np.append(self.rows.column_squares(self.share), float(objective.fit_intercept))
        sums[sums == 0] = 1.0
        self.scale = np.sqrt(sums)
        self.null = None
        if null is not None and not objective.sparse:
            self.null = null.across / self.scale

    def evened(self):
        """These rows with shares by which all are of about one length, if their own differ widely:
        for what holds of every row, however small beside others."""
        squared = [squares(rows[:, :-1]).sum(axis=1) for _, rows in self.blocks()]
        length = np.sqrt(np.concatenate(squared))
        varying = length[(length > 0) & (self.share > 0)]
        if len(varying) == 0 or varying.max() <= LENGTHS * varying.min():
            return self
        weight = np.zeros(self.objective.X.shape[0])
        used = self.objective.subsample(self.objective.n)
        weight[used] = self.share / np.where(length > 0, length, varying.min()) ** 2
        return ScaledRows(replace(self.objective, weight=weight / weight.max()), self.shift)

    @lazy_property
    def held(self):
        """All rows as one array, None where that would be too large."""
        return self._read(slice(0, self.objective.n)) if self.objective.holdable else None

    def lagrangian(self, *args):
        """The terms of one output on these rows; the arguments are the last of ``Lagrangian``'s."""
        last = float(self.objective.fit_intercept)
        most = 1 + most_in_matrix(self.objective)
        return Lagrangian(self.rows, last, 1 / self.scale, self.null, *args, most)

    def _read(self, index):
        """Rows by position among the rows used."""
        objective = self.objective
        index = index if objective.sample_indices is None else objective.sample_indices[index]
        x = extended(objective.X[index], float(objective.fit_intercept), self.shift)
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

    def __matmul__(self, v):
        out = np.empty(self.objective.n)
        for part, rows in self.blocks():
            out[part] = rows @ v
        return out

    def __rmatmul__(self, u):
        return sum(u[part] @ rows for part, rows in self.blocks())

    # Otherwise NumPy would broadcast `u @ rows` itself.
    __array_ufunc__ = None
