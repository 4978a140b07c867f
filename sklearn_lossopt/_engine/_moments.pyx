"""Moments of columns."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint32_t

from sklearn_lossopt._engine._arrays cimport first_number
from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._plan cimport Csr


def column_moments(X, weight, sample_indices, origin):
    """Weighted sums of x - origin and of its square over the rows used.

    Parameters
    ----------
    X : C-ordered ndarray of shape (n_rows, d), float32 or float64, or CSR
        See ``Trainer``.
    weight : ndarray of shape (n_rows,), X's dtype, or None
    sample_indices : ndarray of uint32 or None
        The rows used; None for all.
    origin : ndarray of shape (d,), float64
        Zero for CSR.

    Returns
    -------
    sums : ndarray of shape (2, d), float64
    mass : float
        Sum of the weights.
    """
    cdef Py_ssize_t n = X.shape[0] if sample_indices is None else sample_indices.shape[0]
    cdef Py_ssize_t d = X.shape[1]
    cdef double[:, ::1] sums = np.zeros((2, d))
    cdef const double[::1] around = np.ascontiguousarray(origin, dtype=np.float64)
    cdef const void* dense = NULL
    cdef Csr csr
    cdef double mass
    if d == 0:
        return np.asarray(sums), float(n)
    if hasattr(X, "indptr"):
        indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64)
        csr.data = address(X.data)
        csr.indices = <const int32_t*> address(indices)
        csr.indptr = <const int64_t*> address(indptr)
    else:
        dense = address(X)
    mass = level.moments(
        &csr, dense, X.dtype == np.float32, n, d, address(weight),
        <const uint32_t*> address(sample_indices), &around[0], &sums[0, 0], &sums[1, 0])
    return np.asarray(sums), mass


cdef void* address(array) except? NULL:
    return NULL if array is None else first_number(array)
