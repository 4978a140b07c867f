from libc.stdint cimport int32_t

from sklearn_lossopt._engine._plan cimport Plan


cdef class SparsePaths:
    cdef Plan* plan
    cdef object dtype, wanted
    cdef Py_ssize_t n_rows, max_row
    cdef double max_metric
    # Features that a batch has, 0 if not counted yet.
    cdef Py_ssize_t mean_active
    # The lazy path's arrays, and the batch size and steps per epoch that they are for.
    cdef list keep
    cdef Py_ssize_t batch, steps

    cdef int set_metric(self, metric) except -1
    cdef Py_ssize_t nbytes(self) except -1
    cdef int choose(self, const double[::1] rates) except -1
    cdef int cheapest(self, const double[::1] rates) except -1
    cdef bint may_be_lazy(self, double rate, double decay, bint constant)
    cdef Py_ssize_t capacity(self)
    cdef Py_ssize_t expected(self) except -1
    cdef int prepare(self, Py_ssize_t n_steps) except -1
    cdef void* new(self, array) except NULL
    cdef void* zeros(self, Py_ssize_t size) except NULL
    cdef int32_t* integers(self, Py_ssize_t size) except NULL
