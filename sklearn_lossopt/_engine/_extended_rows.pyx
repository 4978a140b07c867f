"""Products of extended rows with vectors, and their Gram matrices."""

import numpy as np

from scipy.linalg.cython_blas cimport dsyrk

from sklearn_lossopt._engine._custom cimport host
from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._plan cimport COPIED_ROWS, ExtendedRows, UsedRows
from sklearn_lossopt._engine._rows cimport Rows

cdef extern from "_blas.hpp" namespace "lossopt" nogil:
    void add_gram(...) noexcept


cdef void syrk(Py_ssize_t n, Py_ssize_t k, double sign, const double* A, double* C) noexcept nogil:
    add_gram(dsyrk, n, k, sign, A, C)


cdef class RowProducts(Rows):
    """Rows less ``shift``, extended by a column of ``last``, which the engine reads as they lie.

    Parameters
    ----------
    X, sample_indices, shift
        See ``Rows``.
    last : float

    Attributes
    ----------
    shape : tuple of int
        (n, d + 1).
    """

    cdef ExtendedRows problem

    def __init__(self, X, sample_indices, shift, double last):
        Rows.__init__(self, X, sample_indices, shift)
        self.problem.rows, self.problem.last = self.used, last
        self.problem.host, self.problem.syrk = &host, syrk

    def part(self, Py_ssize_t start, Py_ssize_t stop):
        """The rows from ``start`` to ``stop``, by position among those used."""
        if not 0 <= start <= stop <= self.used.n:
            raise IndexError("rows out of range")
        cdef RowProducts found = type(self).__new__(type(self))
        cdef UsedRows* p = &found.used
        p[0] = self.used
        p.n = stop - start
        if p.used != NULL:
            p.used += start
        elif p.X != NULL:
            p.X = <const char*> p.X + start * p.d * (4 if p.single else 8)
        else:
            p.csr.indptr += start
        found.keep, found.size = self.keep, self.size * p.n / max(1, self.used.n)
        found.problem = self.problem
        found.problem.rows = found.used
        return found

    @property
    def shape(self):
        return self.used.n, self.used.d + 1

    cdef double[::1] space(self, Py_ssize_t blocks):
        """Room for so many copies of a block of rows."""
        cdef Py_ssize_t count = min(COPIED_ROWS, self.used.n) if self.used.X != NULL else 0
        return np.empty(1 + blocks * count * (self.used.d + 1))

    cdef checked(self, array, Py_ssize_t rows, Py_ssize_t columns):
        """An array as contiguous numbers, if it has the shape that it must have."""
        array = np.ascontiguousarray(array, np.float64)
        if rows < 0:
            rows = array.shape[0]
        if array.ndim != 2 or array.shape[0] != rows or (
            columns >= 0 and array.shape[1] != columns
        ):
            raise ValueError("shapes do not agree")
        return array

    def predict(self, weights):
        """The raw predictions (n, k) of weights (k, d + 1)."""
        W = self.checked(weights, -1, self.used.d + 1)
        cdef Py_ssize_t k = W.shape[0]
        out = np.empty((self.used.n, k))
        cdef const double[:, ::1] from_ = W
        cdef double[:, ::1] to = out
        cdef double[::1] room = self.space(1)
        if out.size:
            with nogil:
                level.row_predictions(&self.problem, k, &from_[0, 0], &to[0, 0], &room[0])
        return out

    def pull(self, factors):
        """The sums (k, d + 1) of the rows times factors (n, k)."""
        a = self.checked(factors, self.used.n, -1)
        cdef Py_ssize_t k = a.shape[1]
        out = np.zeros((k, self.used.d + 1))
        cdef const double[:, ::1] from_ = a
        cdef double[:, ::1] to = out
        cdef double[::1] room = self.space(1)
        if a.size:
            with nogil:
                level.row_sums(&self.problem, k, &from_[0, 0], &to[0, 0], &room[0])
        return out

    def grams(self, factors):
        """The sums (k, d + 1, d + 1) of the rows' outer products times factors (n, k)."""
        h = self.checked(factors, self.used.n, -1)
        cdef Py_ssize_t k = h.shape[1]
        out = np.zeros((k, self.used.d + 1, self.used.d + 1))
        cdef const double[:, ::1] from_ = h
        cdef double[:, :, ::1] to = out
        cdef double[::1] room = self.space(2)
        if h.size:
            with nogil:
                level.row_grams(&self.problem, k, &from_[0, 0], &to[0, 0, 0], &room[0])
        return out
