"""Linear algebra of the second-order steps. Floor 0."""

import numpy as np
from scipy import linalg, sparse


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


def extended(rows, last, shift=None):
    """Rows less ``shift`` and a last column of ``last``, float64; sparse if the rows are."""
    if sparse.issparse(rows):
        column = sparse.csr_array(np.full((rows.shape[0], 1), last))
        return sparse.hstack([rows.astype(np.float64), column], format="csr")
    x = np.empty((len(rows), rows.shape[1] + 1))
    x[:, :-1] = rows
    x[:, -1] = last
    if shift is not None:
        x[:, :-1] -= shift
    return x


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


def whitener(matrix):
    """Upper triangular T with T' matrix T = I, and its inverse; matrix positive semi-definite.

    The matrix is scaled to a unit diagonal first; directions in which it is singular to rounding
    get the curvature of 1e-10 times that diagonal.
    """
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 0))
    scale[scale == 0] = 1.0
    scaled = matrix / scale / scale[:, None]
    jitter = 1e-10
    while True:
        np.fill_diagonal(scaled, 1.0 + jitter)
        try:
            factor = linalg.cholesky(scaled, lower=True, check_finite=False)
            break
        except linalg.LinAlgError:
            jitter *= 100
    inverse = linalg.solve_triangular(
        factor, np.eye(len(scale)), lower=True, check_finite=False
    )
    return np.ascontiguousarray(inverse.T / scale[:, None]), factor.T * scale
