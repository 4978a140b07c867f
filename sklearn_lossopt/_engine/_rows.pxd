from sklearn_lossopt._engine._plan cimport UsedRows


cdef class Rows:
    cdef UsedRows used
    cdef readonly double size
    cdef list keep


cdef void* address(array, dtype, list keep) except? NULL
