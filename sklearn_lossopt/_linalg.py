"""Linear algebra of the second-order steps."""

from functools import partial

import numpy as np
from scipy import linalg, sparse

# The largest matrix of a Newton step that is formed; beyond it, conjugate gradients.
MATRIX_SIZE = 800
# Numbers in rows, and at least rows, whose products with some ten columns stay in the processor's
# cache.
CACHED_BLOCK, LEAST_BLOCK_ROWS = 50_000, 256
# From so many weighted sums on, and up to so many columns, they are one matrix product.
MANY_SUMS, FEW_COLUMNS = 8, 100


def squares(x):
    """The square of every number of a dense or sparse matrix."""
    return x.power(2) if sparse.issparse(x) else x**2


def scale_rows(x, factors):
    """Rows times factors (m,)."""
    return sparse.diags_array(factors) @ x if sparse.issparse(x) else x * factors[:, None]


def scale_columns(x, factors):
    """Columns times factors (d,)."""
    return x @ sparse.diags_array(factors) if sparse.issparse(x) else x * factors


def gram(x, y):
    """x' y as an ndarray."""
    product = x.T @ y
    return product.toarray() if sparse.issparse(product) else product


def row_blocks(x, size=None):
    """A list of (slice, rows), the rows of x in order."""
    size = size or max(LEAST_BLOCK_ROWS, CACHED_BLOCK // x.shape[1])
    if sparse.issparse(x):
        # A block's share of x' y has the size of x's columns, whatever few numbers its rows hold.
        size = max(size, x.shape[0] * x.shape[1] // max(1, x.nnz))
    return [(slice(i, i + size), x[i : i + size]) for i in range(0, x.shape[0], size)]


def weighted_grams(x, h):
    """x' diag(h_r) x for each column h_r of h (m, k) >= 0, one after the other."""
    d, k = x.shape[1], h.shape[1]
    if k < MANY_SUMS or d > FEW_COLUMNS:
        for column in h.T:
            scaled = scale_rows(x, np.sqrt(column))
            yield gram(scaled, scaled)
        return
    # The pairs of columns are multiplied once for all.
    i, j = np.triu_indices(d)
    sums = np.zeros((k, len(i)))
    for part, rows in row_blocks(x, max(64, 100_000 // len(i))):
        columns = (rows.toarray() if sparse.issparse(rows) else rows).T
        sums += (np.take(columns, i, axis=0) * np.take(columns, j, axis=0) @ h[part]).T
    for row in sums:
        H = np.empty((d, d))
        H[i, j] = H[j, i] = row
        yield H


def times(T, rows):
    """T v for each row v of (k, d); T is diagonals (q, d) or matrices (q, d, d), q being 1 or k."""
    return rows * T if T.ndim == 2 else (T @ rows[:, :, None])[:, :, 0]


def transposed(T):
    """The transposes of ``times``'s T."""
    return T if T.ndim == 2 else T.swapaxes(1, 2)


def block_solver(whiteners):
    """The function that multiplies each row of (k, d) by its T T', given (T, inverse) pairs, one
    for each row or one for all."""
    matrices = [T for T, _ in whiteners]
    if len(matrices) == 1:
        return lambda g: (matrices[0] @ (matrices[0].T @ g.T)).T
    return lambda g: np.stack([T @ (T.T @ row) for T, row in zip(matrices, g, strict=True)])


def times_blocks(matrices, v):
    """Each row of v (k, m) times the matrix of its own."""
    return np.stack([row @ H for row, H in zip(v, matrices, strict=True)])


def extended(rows, last, shift=None):
    """Rows less ``shift`` and a last column of ``last``, float64; sparse if the rows are."""
    if sparse.issparse(rows):
        column = sparse.csr_array(np.full((rows.shape[0], 1), last))
        return sparse.hstack([rows.astype(np.float64), column], format="csr")
    x = np.empty((len(rows), rows.shape[1] + 1))
    x[:, :-1], x[:, -1] = rows, last
    if shift is not None:
        subtract_from_rows(x, np.append(shift, 0.0))
    return x


def row_sums(values):
    """The sum of each of many short rows (n, k)."""
    # NumPy's sums along few columns are slow.
    return values[:, 0] if values.shape[1] == 1 else values @ np.ones(values.shape[1])


def subtract_from_rows(x, v):
    """Subtract v (d,) from each row of x (n, d), float64 and in C order, in place."""
    if x.size:
        # NumPy takes three times as long where rows are short.
        linalg.blas.dger(-1.0, v, np.ones(len(x)), a=x.T, overwrite_a=1)


def row_basis(rows):
    """Orthonormal basis of the span of rows (m, d), m < d, extended by the intercept's axis."""
    d = rows.shape[1]
    # Rows of equal length: a basis of the span has no use for their sizes.
    norms = np.linalg.norm(rows, axis=1)
    _, sizes, axes = linalg.svd(
        rows / np.where(norms > 0, norms, 1)[:, None], full_matrices=False, check_finite=False
    )
    axes = axes[sizes > 1e-12 * sizes[0]]
    basis = np.zeros((d + 1, len(axes) + 1))
    basis[:d, :-1] = axes.T
    basis[d, -1] = 1.0
    return basis


def conjugate_gradients(product, precondition, b, tol=0.05, max_iter=60):
    """Approximate solution of A x = b, A positive definite, to ``tol`` in the residual's norm
    under the preconditioner, and the number of iterations."""
    x, r = np.zeros_like(b), b.copy()
    z = precondition(r)
    p, rho = z, np.vdot(r, z)
    start = rho
    count = 0
    while count < max_iter and rho > tol**2 * start:
        count += 1
        q = product(p)
        curvature = np.vdot(p, q)
        if not curvature > 0:
            break
        x += (rho / curvature) * p
        r -= (rho / curvature) * q
        z = precondition(r)
        rho, before = np.vdot(r, z), rho
        p = z + (rho / before) * p
    return x, count


def unit_cholesky(matrix, jitter):
    """Lower Cholesky factor of a positive semi-definite matrix, whose diagonal is set to 1 plus
    ``jitter``, or as much more as it takes."""
    diagonal = np.einsum("ii->i", matrix)
    while True:
        diagonal[:] = 1.0 + jitter
        # SciPy's own functions take ten times as long as small matrices need.
        factor, failed = linalg.lapack.dpotrf(matrix, lower=1)
        if not failed:
            return factor
        jitter *= 100


def triangular_solution(matrix, right, lower=False):
    """x with matrix x = right; SciPy's own refuses to solve no equations before 1.14."""
    if not len(matrix):
        return np.zeros(right.shape)
    return linalg.solve_triangular(matrix, right, lower=lower, check_finite=False)


def scaled_cholesky(matrix, jitter=1e-10):
    """Lower Cholesky factor of a positive semi-definite matrix that is scaled to a unit diagonal,
    and the scale; directions in which it is singular to rounding get the curvature of ``jitter``
    times that diagonal."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 0))
    scale[scale == 0] = 1.0
    return unit_cholesky(matrix / scale / scale[:, None], jitter), scale


def semidefinite_solver(matrix, jitter=1e-10):
    """A function that multiplies by the inverse of a matrix, by ``scaled_cholesky``."""
    return partial(scaled_solution, *scaled_cholesky(matrix, jitter))


def scaled_solution(factor, scale, right):
    """x with matrix x = right, given what ``scaled_cholesky`` makes of the matrix."""
    return linalg.lapack.dpotrs(factor, right / scale, lower=1)[0] / scale


def row_whitener(rows):
    """The engine's ``whitener`` of rows' rows, from the rows themselves: exact in directions that
    are lost in the rounding of the product."""
    missing = rows.shape[1] - len(rows)
    if missing > 0:
        rows = np.vstack([rows, np.zeros((missing, rows.shape[1]))])
    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0] = 1.0
    R = linalg.qr(rows / scale, mode="r", overwrite_a=True, check_finite=False)[0][: len(scale)]
    diagonal = np.diagonal(R)
    R[np.diag_indices_from(R)] = np.copysign(np.maximum(np.abs(diagonal), 1e-12), diagonal)
    inverse = triangular_solution(R, np.eye(len(scale)))
    return np.ascontiguousarray(inverse / scale[:, None]), R * scale
