"""Rows that second-order steps multiply where they lie."""

import numpy as np
from scipy import sparse

from sklearn_lossopt._engine import RowProducts
from sklearn_lossopt._linalg import CACHED_BLOCK, LEAST_BLOCK_ROWS, extended
from sklearn_lossopt._quantiles import weighted_median

# Of the spread of most numbers in a column, what rounding beside its mean may be.
MOST_ROUNDING = 1e-5


class ExtendedRows(RowProducts):
    """Some rows of X less a shift, with a last column of one number, which no copy is made of.

    The interface is that of ``_engine.RowProducts``; what is said here comes on top.

    Parameters
    ----------
    X : ndarray of shape (n_rows, d) or csr_array
    index : slice, ndarray of int or None
        Which rows; None for all.
    shift : ndarray of shape (d,) or None
        None for sparse rows.
    last : float
    """

    def __init__(self, X, index, shift, last):
        if isinstance(index, slice):
            if index == slice(None) or index == slice(None, None, 1):
                index = None
            else:
                index = np.arange(*index.indices(X.shape[0]), dtype=np.uint32)
        elif index is not None:
            index = np.ascontiguousarray(index, np.uint32)
        self.X, self.index, self.shift, self.last = X, index, shift, last
        super().__init__(X, index, shift, last)

    def part(self, start, stop):
        """The rows at these positions."""
        found = super().part(start, stop)
        found.X, found.shift, found.last = self.X, self.shift, self.last
        found.index = np.arange(start, stop) if self.index is None else self.index[start:stop]
        return found

    def blocks(self, size=None):
        """A list of (slice, rows), the rows in order, ``size`` in each; by default as many as stay
        in the processor's cache."""
        n, d = self.shape
        if size is None:
            # A block's share of sums has the size of the columns, whatever few numbers it holds.
            size = max(LEAST_BLOCK_ROWS, int(max(CACHED_BLOCK, d) * n / self.size))
        ends = [(start, min(n, start + size)) for start in range(0, n, size)]
        return [(slice(*part), self.part(*part)) for part in ends]

    def array(self):
        """A copy as float64 ndarray, or as csr_array if X is sparse."""
        rows = self.X if self.index is None else self.X[self.index]
        return extended(rows, self.last, self.shift)


def middle_of_most(rows, mean, squared):
    """What columns are to be shifted by (d,), in the type of some of their rows, and where it is
    not the mean, which a few numbers may take so far away that its rounding hides the others;
    or, where ``squared`` ones are all that is looked at, the rounding of its square."""
    dtype, rows = rows.dtype, rows.astype(np.float64)
    middle = weighted_median(rows, None)
    spread = weighted_median(np.abs(rows - middle), None)
    most = MOST_ROUNDING / np.finfo(dtype).eps
    moved = np.abs(mean - middle) > (np.sqrt(most) if squared else most) * spread
    # Where most numbers are equal, they are rounded alike.
    moved &= spread > 0
    return np.where(moved, middle, mean).astype(dtype), moved


def column_ranges(X, rows, columns, size):
    """The difference between the largest and the smallest value of some rows in each of some
    columns; dense rows are looked at ``size`` at a time."""
    if sparse.issparse(X):
        # Of few entries, though there may be many such columns.
        part = X[rows][:, columns]
        return part.max(axis=0).toarray().ravel() - part.min(axis=0).toarray().ravel()
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    for start in range(0, len(rows), size):
        block = X[rows[start : start + size]][:, columns]
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    return high - low
