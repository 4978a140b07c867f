"""The same problem on other rows: no columns far from 0, no more columns than rows.

Losses, weights and penalties stay what they are, so that every method gains from it. Models are
taken to the other rows and back without a change of their predictions.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from scipy import linalg, sparse

from sklearn_lossopt._engine import column_moments
from sklearn_lossopt._linalg import MATRIX_SIZE, row_blocks
from sklearn_lossopt._solvers.scaled_rows import LENGTHS

# A sparse column is centred where its mean is more than so many times its spread: it then has a
# share of zeros below the inverse square of that.
FAR = 10.0
# The most rows whose products with one another are decomposed: some 30 s on one core.
MOST_ROWS = 3000
# The same for sparse rows, which become dense.
MOST_SPARSE_ROWS = 1000
# Numbers in one block of columns; rows with no more are held.
BLOCK_SIZE = 2_000_000
# Squared singular values that are taken from one Gram matrix A A', relative to the largest: the
# others are left with rounding over this of those that are taken. A Cholesky factor of the matrix
# takes them all. Its error, relative to the largest, is below (n + d) eps; what the basis is short
# of orthogonal is that over this: 1e-11 for thousands of columns, 1e-5 at the very worst.
GRAM_ACCURACY = 1e-5
# Singular values below this part of the largest are rounding.
ROUNDING = 1e-13
# What may be left of a row outside of the span, in units of the rounding of its own numbers.
OWN_ROUNDING = 1e3
# Columns whose sizes differ by more lose digits in one another's rounding.
SIZES = 1e9
# The error of predictions that is taken, in units of what each direction contributes. On the way
# back it shrinks by about as much in each refinement.
ACCURACY, REFINEMENTS = 1e-2, 40
# Refinements in a row that do not help.
PATIENCE = 4


def equivalent(objective, path_matters=False):
    """The objective on rows that it is easier on, and what took it there, in order.

    Parameters
    ----------
    objective : Objective
    path_matters : bool
        Whether a model on the way to the optimum may be returned, which depends on coordinates.

    Returns
    -------
    objective : Objective
    changes : list of CentredColumns or RowSpace
    """
    changes = []
    makers = [("centred columns", (), _centred_columns)]
    if objective.l1 == 0 and objective.loss.learns_at_optimum and not path_matters:
        makers.append(("row space", (objective.loss.smooth,), _row_space))
    for name, parts, make in makers:
        change = objective.cached(name, parts, partial(make, objective, *parts))
        if change is not None:
            changes.append(change)
            objective = change.apply(objective)
    return objective, changes


def _centred_columns(objective):
    if not objective.sparse or not objective.fit_intercept:
        return None
    sums, mass = column_moments(
        objective.X, objective.weight, objective.sample_indices, np.zeros(objective.d)
    )
    mean = sums[0] / mass
    far = mean**2 * (1 + FAR**-2) > sums[1] / mass
    return CentredColumns(objective, np.where(far, mean, 0.0)) if far.any() else None


def _row_space(objective, smooth):
    most = MOST_SPARSE_ROWS if objective.sparse else MOST_ROWS
    if not objective.n < objective.d or objective.n > most:
        return None
    change = RowSpace(objective, orthogonal=not smooth or objective.n > MATRIX_SIZE)
    offset = np.broadcast_to(objective.offset, objective.d)
    return change if change.is_accurate(offset) else None


def _reflected(v, rows):
    """A row of zeros and rows (n - 1, r), less v v' times them: C-contiguous."""
    out = np.zeros((len(v), rows.shape[1]))
    out[1:] = rows
    return linalg.blas.dger(-1, v[1:] @ rows, v, a=out.T, overwrite_a=1).T


class CentredColumns:
    """Sparse rows less the mean of those columns that lie far from 0.

    Such columns have next to no zeros, so that the rows stay as sparse as they are.

    Parameters
    ----------
    objective : Objective
    offset : ndarray of shape (d,)
        What is subtracted; 0 for most columns.
    """

    def __init__(self, objective, offset):
        self.offset = offset
        # A mean of equal numbers is rounded: less it, they would be no 0.
        far = np.flatnonzero(offset)
        columns = objective.X[:, far].tocsc()
        low, high = (
            f.reduceat(columns.data, columns.indptr[:-1]) for f in (np.minimum, np.maximum)
        )
        offset[far] = np.where(low == high, low, offset[far])
        self.X = self._less(objective.X)

    def _less(self, X):
        data = (X.data - self.offset[X.indices]).astype(X.dtype)
        less = sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
        far = np.flatnonzero(self.offset)
        columns = X[:, far].tocsc()
        missing = np.flatnonzero(np.diff(columns.indptr) < X.shape[0])
        if len(missing) == 0:
            return less
        zeros = [
            np.delete(np.arange(X.shape[0]), columns.indices[slice(*columns.indptr[j : j + 2])])
            for j in missing
        ]
        column = np.repeat(far[missing], [len(rows) for rows in zeros])
        filled = -self.offset[column].astype(X.dtype)
        return less + sparse.csr_array((filled, (np.concatenate(zeros), column)), shape=X.shape)

    def apply(self, objective):
        """The objective on such rows."""
        return replace(objective, X=self.X, offset=self.offset)

    def rows(self, objective):
        """An objective on other rows, likewise."""
        return replace(objective, X=self._less(objective.X))

    def from_user(self, coef, intercept):
        """The same model for rows as ``apply`` makes them."""
        return coef, intercept + np.asarray(coef, np.float64) @ self.offset

    def to_user(self, coef, intercept):
        """The same model for rows as they were; arrays are float64."""
        return coef, intercept - coef @ self.offset


class RowSpace:
    """Rows in an orthonormal basis Q (d, r) of the span of all rows less their mean, r <= n.

    With a penalty on |w|_2 the optimum lies in that span (the representer theorem; Kimeldorf and
    Wahba 1970); without one, it holds the smallest of many, to which vanishing penalties lead.
    Predictions and |w|_2 are the same for v in w = Q v. Q is not formed: with A for the rows used,
    it is A' T, and T (n, r) comes from A A' (n x n).

    Where A A' is of full rank and its condition is known to be good, T is the inverse of its
    Cholesky factor, which takes a tenth of an eigendecomposition's time. Otherwise it is U / s, of
    the eigenvectors U and the singular values s; small singular values are found again in what the
    large ones leave, so that they are not lost in the rounding of squares. Rows then become
    U diag(s), whose columns are orthogonal. That is of use where there are too many for a metric
    that is a full matrix, and where rows can be met exactly, which non-smooth losses have to show.

    Takes 3 n^2 numbers while it is made, n r of the type of X and n r float64 later. X is read in
    blocks of columns; if it is one block, that is held.

    Parameters
    ----------
    objective : Objective
    orthogonal : bool
        Whether columns are to be orthogonal.

    References
    ----------
    Kimeldorf, G. S. and Wahba, G. (1970). A correspondence between Bayesian estimation on
    stochastic processes and smoothing by splines. Annals of Mathematical Statistics 41(2), 495-502.
    """

    def __init__(self, objective, orthogonal):
        index = objective.sample_indices
        self.index, self.dtype = index, objective.X.dtype
        self.X = objective.X.tocsc() if objective.sparse else objective.X
        self.centred, self.mean = objective.fit_intercept, np.zeros(objective.d)
        if self.centred:
            self.mean = self._mean(objective)
        if self.centred and not objective.sparse:
            centre = objective.centre()[0]
            # A span less another point than the mean has one direction more.
            self.centred = np.array_equal(centre, self.mean.astype(self.dtype))
            self.mean = self.mean if self.centred else centre.astype(np.float64)
        used = objective.subsample(objective.n)
        self.target = objective.target if index is None else objective.target[used]
        self.weight = objective.weight
        if index is not None and self.weight is not None:
            self.weight = self.weight[used]
        self._held = None
        if self.X.size <= BLOCK_SIZE and not objective.sparse:
            self._held = list(self._blocks())
        K = self._products()
        length = self._lengths(K)
        alike = (length == 1).all() and not orthogonal
        found = self._cholesky_basis(K) if alike and objective.n > 1 else None
        # Of singular vectors, for ``is_accurate``.
        self._parts = None
        if found is None:
            U, s = self._decompose(objective, K, length)
            self._parts = U, s, length[:, 0]
            found = length * (U * s), U / s / length
        self.rows_in_span, self.T = np.ascontiguousarray(found[0], self.dtype), found[1]
        if self.T.shape[1] == 0:
            # All rows are equal.
            self.rows_in_span, self.T = (np.zeros((objective.n, 1), t) for t in (self.dtype, float))

    def _mean(self, objective):
        if not objective.sparse:
            return objective.moments()[0]
        sums, mass = column_moments(
            objective.X, objective.weight, objective.sample_indices, np.zeros(objective.d)
        )
        return sums[0] / mass

    def _blocks(self):
        """Slices of the columns, and the rows used less their mean there, float64."""
        if self._held is not None:
            yield from self._held
            return
        width = max(16, BLOCK_SIZE // len(self.target))
        for start in range(0, self.X.shape[1], width):
            part = slice(start, start + width)
            block = self.X[:, part]
            if sparse.issparse(block):
                block = block.toarray()
            if self.index is not None:
                block = block[self.index]
            yield part, block - self.mean[part]

    def _products(self):
        """A A'."""
        if not sparse.issparse(self.X):
            return sum(A @ A.T for _, A in self._blocks())
        X = self.X if self.index is None else self.X.tocsr()[self.index]
        X = X.astype(np.float64)
        along = X @ self.mean
        K = (X @ X.T).toarray() - along - along[:, None]
        return K + self.mean @ self.mean

    @staticmethod
    def _lengths(K):
        """What rows are divided by first (n, 1), given A A': all 1 unless lengths differ widely."""
        length = np.sqrt(np.maximum(np.diagonal(K), 0))[:, None]
        length[length == 0] = 1.0
        return length if length.max() > LENGTHS * length.min() else np.ones_like(length)

    def _cholesky_basis(self, K):
        """Rows in the basis of a Cholesky factor of A A' = K, and T; None where it is singular or
        near that.

        The weighted mean of centred rows is 0. A Householder reflection takes the weights to the
        first axis, so that the other n - 1 reflected rows span the same.
        """
        n, blas, lapack = len(K), linalg.blas, linalg.lapack
        size, v = lapack.dlange("1", K.T), np.zeros(n)
        if self.centred:
            v += 1.0 if self.weight is None else self.weight
            v /= np.linalg.norm(v)
            v[0] += 1.0
            v /= np.sqrt(v[0])
            along = K @ v
            along -= 0.5 * (v @ along) * v
            K = blas.dsyr2(-1, along[1:], v[1:], a=K.T[1:, 1:].copy("F"), lower=1, overwrite_a=1)
        L, failed = lapack.dpotrf(K, lower=1, clean=1, overwrite_a=self.centred)
        # A condition number in this norm is not below that of the eigenvalues.
        if failed or not lapack.dpocon(L, size, uplo="L")[0] >= GRAM_ACCURACY:
            return None
        T = lapack.dtrtri(L, lower=1)[0].T
        if not self.centred:
            return L, T
        return tuple(_reflected(v, M) for M in (L, T))

    def _decompose(self, objective, K, length):
        """Left singular vectors and singular values of the rows less their mean, divided by their
        lengths; K is A A', and overwritten."""
        n = objective.n
        K /= length
        K /= length.T
        e, U = linalg.eigh(K, check_finite=False, overwrite_a=True)
        keep = e > GRAM_ACCURACY * e[-1]
        vectors, values, rest = [U[:, keep]], [e[keep]], U[:, ~keep] / length
        least = ROUNDING**2 * e[-1]
        size = np.sqrt(objective.raw_moment()) + np.abs(objective.offset)
        # Of the errors of numbers of the type of X, as a matrix.
        eps = np.finfo(self.dtype).eps * (np.sqrt(n) + np.sqrt(objective.d))
        while rest.shape[1]:
            S = N = 0.0
            for part, A in self._blocks():
                B = A.T @ rest
                S = S + B.T @ B
                B *= size[part, None]
                N = N + B.T @ B
            e, V = linalg.eigh(S, check_finite=False)
            rest = rest @ V
            noise = eps**2 * np.einsum("ij,ij->j", V, N @ V) / np.maximum(e, 1e-300)
            keep = (e > GRAM_ACCURACY * e[-1]) & (e > np.maximum(noise, least))
            if not keep.any():
                break
            vectors.append(rest[:, keep] * length)
            values.append(e[keep])
            rest = rest[:, ~keep]
        return np.hstack(vectors), np.sqrt(np.concatenate(values))

    def is_accurate(self, offset):
        """Whether Q spans what it should: where columns or rows differ by many orders of magnitude,
        the directions of the small ones drown in the rounding of the large ones."""
        if self._parts is None or len(self._parts[1]) == 0:
            return True
        U, s, length = self._parts
        self._parts = None
        signs = np.resize([1.0, -1.0, -1.0], len(s))
        t, found, sizes = (U / s) @ signs / length, 0.0, []
        for _, A in self._blocks():
            found = found + A @ (A.T @ t)
            sizes.append(np.abs(A).max(axis=0))
        sizes = np.concatenate(sizes)
        dropped = len(s) < len(U) - self.centred
        if dropped and (
            sizes.max() > SIZES * sizes[sizes > 0].min() or not self._holds_rows(offset)
        ):
            return False
        miss = U.T @ (found / length - U @ (s * signs)) / s
        return bool((np.abs(miss) <= ACCURACY).all())

    def _holds_rows(self, offset):
        """Whether nothing but the rounding of its own numbers is left of any row outside of Q."""
        left = size = 0.0
        for part, A in self._blocks():
            outside = A - self.rows_in_span @ (self.T.T @ A)
            left = left + np.sum(outside**2, axis=1)
            numbers = np.abs(A + self.mean[part]) + np.abs(offset[part])
            size = size + np.sum(numbers**2, axis=1)
        return bool((left <= (OWN_ROUNDING * np.finfo(self.dtype).eps) ** 2 * size).all())

    def apply(self, objective):
        """The objective on such rows."""
        return replace(
            objective, X=self.rows_in_span, target=self.target, weight=self.weight,
            sample_indices=None, in_row_space=True, offset=0.0,
        )  # fmt: skip

    def rows(self, objective):
        """An objective on other rows, whose parts outside the span make no difference."""
        X = objective.X.tocsc() if objective.sparse else objective.X
        inside = np.zeros((X.shape[0], self.T.shape[1]))
        for part, A in self._blocks():
            Q = A.T @ self.T
            for index, rows in row_blocks(X[:, part].tocsr() if objective.sparse else X[:, part]):
                inside[index] += rows @ Q - self.mean[part] @ Q
        return replace(
            objective, X=inside.astype(self.dtype), sample_indices=objective.sample_indices
        )

    def from_user(self, coef, intercept):
        """The same predictions of all rows used, with nothing outside of their span."""
        coef = np.asarray(coef, np.float64)
        along = sum(coef[:, part] @ A.T for part, A in self._blocks())
        return along @ self.T, intercept + coef @ self.mean

    def to_user(self, V, intercept):
        """The model for rows as they were; arrays are float64."""
        # In a unit in which they are about 1, so that large rows do not make them underflow.
        exponent = int(np.frexp(np.abs(V).max(initial=0))[1])
        V = np.ldexp(V, -exponent)
        wanted = V @ self.rows_in_span.T.astype(np.float64)
        coef = np.zeros((len(V), len(self.mean)))
        # Again for what rounding has made of the predictions of the rows used.
        tiny = 1e-13 * np.abs(wanted).max(initial=0)
        # They do not all help where columns differ by many orders of magnitude.
        best, least, last = coef, np.inf, 0
        for number in range(REFINEMENTS):
            t, found = V @ self.T.T, 0.0
            for part, A in self._blocks():
                coef[:, part] += t @ A
                found = found + coef[:, part] @ A.T
            miss = np.abs(wanted - found).max(initial=0)
            if miss < 0.5 * least:
                best, least, last = coef.copy(), miss, number
            if least <= tiny or number >= last + PATIENCE:
                break
            V = (wanted - found) @ self.T
        coef = np.ldexp(best, exponent)
        return coef, intercept - coef @ self.mean
