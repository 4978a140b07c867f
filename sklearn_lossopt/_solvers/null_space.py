"""Directions in which no row of a problem changes its prediction, and models without them."""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, lsmr

from sklearn_lossopt._linalg import extended, row_blocks, triangular_solution

# The most columns whose products with one another are decomposed.
MOST_COLUMNS = 2000
# Squared lengths that one Gram matrix of columns of length 1 tells from 0.
GRAM_ACCURACY = 1e-8
# Columns of length 1 whose combinations are shorter depend on each other, beside their rounding.
ROUNDING = 1e-13
# Numbers in products with a block of rows.
BLOCK_SIZE = 1_000_000
# Steps towards the smallest model, at most, where there is no null space to take out.
STEPS = 300


def null_space(rows, fit_intercept, offset, eps, scale=None):
    """The directions in which no row's prediction changes, or None.

    Columns of length 1 are split into those that are independent and combinations of the others
    with them, by a Cholesky factor with pivots. What a Gram matrix cannot tell from 0 is looked at
    again: combinations are made from the rows themselves orthogonal to the independent columns, and
    treated as columns in turn. Columns are found dependent only where nothing but rounding is left
    of them, so that nearly dependent ones, such as powers of a number, keep their part.

    Parameters
    ----------
    rows : ScaledRows
        With columns of mean square 1.
    fit_intercept : bool
    offset : ndarray of shape (d,)
        What has been subtracted of the columns: their numbers are rounded in its size.
    eps : float
        Relative rounding of the numbers in X.
    scale : ndarray of shape (d + 1,) or None
        What the columns are divided by where the directions are used; None for ``rows.scale``.

    Returns
    -------
    space : NullSpace or None
    """
    size = len(rows.scale)
    own = np.append(np.hypot(1.0, offset / rows.scale[:-1]), 1.0)
    C, K = np.eye(size)[:, : size - (not fit_intercept)], np.empty((size, 0))
    G = rows.gram(np.arange(len(rows.share)), rows.share)[: C.shape[1], : C.shape[1]]
    found = []
    while C.shape[1]:
        length = np.sqrt(np.maximum(np.diagonal(G), 0))
        # A column by itself is dependent if it does not vary, however coarse its numbers.
        rounding = eps if K.shape[1] else np.finfo(float).eps
        noise = 2 * rounding * np.linalg.norm(own[:, None] * C, axis=0)
        noise += max(ROUNDING, 10 * size * np.finfo(float).eps) * np.linalg.norm(C, axis=0)
        null = length <= noise
        found.append(C[:, null])
        C, length = C[:, ~null] / length[~null], length[~null]
        if not len(length):
            break
        G = G[np.ix_(~null, ~null)] / length / length[:, None]
        factor, order, rank, _ = linalg.lapack.dpstrf(G, GRAM_ACCURACY)
        first, rest = np.split(order - 1, [rank])
        if not len(rest):
            break
        R = factor[:rank, :rank]
        across = triangular_solution(R, factor[:rank, rank:])
        inverse = triangular_solution(R, np.eye(rank))
        first, C = C[:, first], C[:, rest]
        K, C = np.hstack([K, first @ inverse]), C - first @ across
        C = C - K @ (K.T @ _products(rows, C)[0])
        G = _products(rows, C)[1]
    C = np.hstack(found) if found else C
    scale = rows.scale if scale is None else scale
    return NullSpace(C * (scale / rows.scale)[:, None], scale) if C.shape[1] else None


def _products(rows, C):
    """A' A C and (A C)' A C, for rows A with their shares."""
    M = G = 0.0
    for part, x in rows.blocks():
        for index, block in row_blocks(x, max(1, BLOCK_SIZE // C.shape[1])):
            p = block @ C
            weighted = p * rows.share[part][index][:, None]
            M = M + block.T @ weighted
            G = G + p.T @ weighted
    return M, G


def _orthonormal(C):
    """An orthonormal basis Q of the span of columns, a matrix R and an order of the columns such
    that in this order they are Q R.

    Rows may differ in size by any number of orders of magnitude: sorted, and with pivots, each is
    exact beside its own size (Cox and Higham 1998).
    """
    order, Q = np.argsort(-np.abs(C).max(axis=1), kind="stable"), np.empty(C.shape, order="F")
    Q[order], R, columns = linalg.qr(C[order], mode="economic", pivoting=True, check_finite=False)
    return Q, R, columns


def _of_size_1(C, part):
    """Columns over powers of 2 such that the largest number in ``part`` of them is about 1."""
    return np.ldexp(C, -np.frexp(np.abs(part).max(axis=0))[1])


class NullSpace:
    """Directions in which no row of a problem changes its prediction.

    Parameters
    ----------
    directions : ndarray of shape (d + 1, q)
        In coordinates in which columns have mean squares of 1.
    scale : ndarray of shape (d + 1,)
        What those columns are divided by.

    Attributes
    ----------
    across : ndarray of shape (q, d + 1)
        Extended weights are multiplied by these to see how far they are along the directions.

    References
    ----------
    Cox, A. J. and Higham, N. J. (1998). Stability of Householder QR factorization for weighted
    least squares problems. Numerical Analysis 1997, 57-73. Longman.
    """

    def __init__(self, directions, scale):
        self.scale = scale
        # In a unit in which they are about 1: the squares of tiny columns' inverses overflow.
        self.across = _orthonormal(_of_size_1(directions, directions))[0].T * scale
        N = directions / scale[:, None]
        N = _of_size_1(N, N[:-1])
        self.coef, R, columns = _orthonormal(N[:-1])
        self.directions = np.vstack([self.coef, triangular_solution(R.T, N[-1, columns], True)])

    def rows(self, diagonal):
        """Rows (q, d + 1) whose products with one another give the directions a typical curvature
        of the columns, of which the Hessian has this diagonal."""
        return np.sqrt(np.mean(diagonal / self.scale**2) or 1.0) * self.across

    def remove(self, W):
        """Extended weights (k, d + 1) with the same predictions and the smallest coefficients."""
        # Twice, since what is removed may be many times what remains.
        for _ in range(2):
            W = W - (W[:, :-1] @ self.coef) @ self.directions.T
        return W


def smallest(objective, shift, W):
    """Extended weights (k, d + 1) with nearly the same predictions of all rows and the smallest
    coefficients, by least squares, for any number of columns.

    References
    ----------
    Fong, D. C.-L. and Saunders, M. (2011). LSMR: an iterative algorithm for sparse least-squares
    problems. SIAM Journal on Scientific Computing 33(5), 2950-2971.
    """
    X, used = objective.X, objective.subsample(objective.n)
    if objective.sample_indices is not None:
        X = X[used]
    one = float(objective.fit_intercept)

    def blocks():
        return ((part, extended(rows, 0.0, shift)[:, :-1]) for part, rows in row_blocks(X, 2000))

    def product(w):
        z = np.concatenate([x @ w.ravel() for _, x in blocks()])
        return z - one * z.mean()

    def transposed(z):
        z = z.ravel() - one * z.mean()
        return sum(x.T @ z[part] for part, x in blocks())

    A = LinearOperator(X.shape, matvec=product, rmatvec=transposed, dtype=np.float64)
    out = W.copy()
    for row in out:
        z = np.concatenate([x @ row[:-1] for _, x in blocks()])
        row[:-1] = lsmr(A, z - one * z.mean(), atol=1e-15, btol=1e-15, conlim=0, maxiter=STEPS)[0]
        moved = np.concatenate([x @ row[:-1] for _, x in blocks()])
        row[-1] += one * (z - moved).mean()
    return out
