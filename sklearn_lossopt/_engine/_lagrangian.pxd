from sklearn_lossopt._engine._plan cimport Lapack

# Linear algebra that the loops call.
cdef Lapack lapack
