"""Rows that methods read as they lie, whatever their kind."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint32_t

from sklearn_lossopt._engine._arrays cimport first_number
from sklearn_lossopt._engine._kernels cimport level


cdef void* address(array, dtype, list keep) except? NULL:
    """The data pointer of a C-contiguous array, which ``keep`` keeps alive; NULL for None."""
    if array is None:
        return NULL
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"expected a C-contiguous array of {np.dtype(dtype)}")
    keep.append(array)
    return first_number(array)


cdef class Rows:
    """The rows used of dense or sparse X.

    Parameters
    ----------
    X : C-ordered ndarray of shape (n_rows, d), float32 or float64, or CSR
    sample_indices : ndarray of uint32 or None
        The n rows used; None for all.
    shift : ndarray of shape (d,) or None
        What dense columns are less; None for sparse rows.

    Attributes
    ----------
    size : float
        Numbers in all rows used, the intercept's included: the work of a pass over them.
    """

    def __init__(self, X, sample_indices, shift):
        cdef UsedRows* p = &self.used
        self.keep = []
        p.single = X.dtype == np.float32
        p.d = X.shape[1]
        p.n = X.shape[0] if sample_indices is None else len(sample_indices)
        p.used = <const uint32_t*> address(sample_indices, np.uint32, self.keep)
        if hasattr(X, "indptr"):
            p.csr.data = address(X.data, X.dtype, self.keep)
            p.csr.indices = <const int32_t*> address(
                X.indices.astype(np.int32, copy=False), np.int32, self.keep)
            indptr = X.indptr.astype(np.int64, copy=False)
            p.csr.indptr = <const int64_t*> address(indptr, np.int64, self.keep)
            lengths = np.diff(indptr)
            used = lengths if sample_indices is None else lengths[sample_indices]
            self.size = float(used.sum()) + p.n
        else:
            p.X = address(X, X.dtype, self.keep)
            self.size = float(p.n) * (p.d + 1)
            if shift is not None:
                p.shift = <const double*> address(
                    shift.astype(np.float64), np.float64, self.keep)

    def column_squares(self, const double[::1] factors):
        """The sum (d,) of squared rows times factors (n,)."""
        found = np.zeros(self.used.d + 1)
        cdef double[::1] out = found
        if factors.shape[0] != self.used.n:
            raise ValueError("shapes do not agree")
        with nogil:
            level.column_squares(&self.used, &factors[0], &out[0])
        return found[:-1]
