"""Cholesky factors of symmetric matrices, and their inverses."""

import numpy as np

from libc.math cimport fabs, sqrt
from libcpp cimport bool as cbool

from scipy.linalg.cython_lapack cimport dpotrf, dtrtri

cdef extern from "_blas.hpp" namespace "lossopt" nogil:
    cbool cholesky_factor(...) noexcept
    void triangular_inverse(...) noexcept


def whitener(matrix, double jitter=1e-10):
    """Upper triangular T with T' matrix T = I, and its inverse.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Positive semi-definite. It is scaled to a unit diagonal.
    jitter : float
        Added to that diagonal: the curvature of directions in which the matrix is singular to
        rounding. It grows until there is a factor.

    Returns
    -------
    T, inverse : ndarray of shape (n, n), float64
    """
    cdef const double[:, ::1] H = np.ascontiguousarray(matrix, np.float64)
    cdef Py_ssize_t n = H.shape[0], i, j
    T, inverse = np.zeros((n, n)), np.zeros((n, n))
    cdef double[:, ::1] t = T, r = inverse
    cdef double[::1] scale = np.empty(n)
    if H.shape[1] != n:
        raise ValueError("the matrix is not square")
    if n == 0:
        return T, inverse
    with nogil:
        for i in range(n):
            # What is not a number stays so.
            scale[i] = 1.0 if H[i, i] <= 0 else sqrt(H[i, i])
        while True:
            # LAPACK's lower triangle by columns is the upper one by rows.
            for i in range(n):
                r[i, i] = 1.0 + jitter
                for j in range(i + 1, n):
                    r[i, j] = H[j, i] / scale[i] / scale[j]
            if cholesky_factor(dpotrf, n, &r[0, 0]):
                break
            jitter *= 100
        t[:, :] = r
        triangular_inverse(dtrtri, n, &t[0, 0])
        for i in range(n):
            for j in range(i, n):
                t[i, j] /= scale[i]
                r[i, j] *= scale[j]
    return T, inverse


def singular(const double[:, :] inverse):
    """Whether little is left of a column's curvature by those before it, given a ``whitener``'s
    inverse: directions are then as flat as rounding makes them."""
    cdef Py_ssize_t n = inverse.shape[0], i, j
    cdef double largest, total, last
    cdef bint found = False
    with nogil:
        for j in range(n):
            largest, total = 0.0, 0.0
            for i in range(j + 1):
                largest = max(largest, fabs(inverse[i, j]))
            # In units of the largest, squares neither overflow nor vanish.
            for i in range(j + 1):
                last = inverse[i, j] / largest
                total += last * last
            if last * last < 1e-8 * total:
                found = True
                break
    return found
