from sklearn_lossopt._engine._plan cimport Host

# What the loops call in Python.
cdef Host host


cdef class Custom:
    cdef object loss, step
    # Called after each update, or None.
    cdef object after_update
    cdef Py_ssize_t k
    cdef bint class_targets
    # Sample-wise numbers of a chunk; see Buffers.
    cdef object buffers
    # The optimizer's state by layer, and which part of the flat arrays that it is called with is whose.
    cdef list states, layers
    cdef object parameters, gradient, thresholds

    cdef call_loss(
        self, Custom reader, Py_ssize_t n, Py_ssize_t raw, Py_ssize_t value, Py_ssize_t gradient)
    cdef call_step(self, Py_ssize_t layer, t, double rate)
