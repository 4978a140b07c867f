"""Where the numbers of an array lie."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef inline void* first_number(array) except? NULL:
    """The address of a C-contiguous array, in a tenth of the time of ``array.ctypes.data``."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)
    return view.buf
