"""What the loops call in Python: losses and optimizers written in NumPy, signal handlers, BLAS."""

import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from libc.stdint cimport int64_t

from scipy.linalg.cython_blas cimport dgemm, sgemm

from sklearn_lossopt._engine._stop import look_for_stop

cdef extern from "_blas.hpp" namespace "lossopt" nogil:
    void row_major(...) noexcept


cdef class Custom:
    """A loss and an optimizer written in NumPy, and the arrays that they are called with; and who
    wants to see each update."""

    cdef call_loss(
        self, Custom reader, Py_ssize_t n, Py_ssize_t raw, Py_ssize_t value, Py_ssize_t gradient
    ):
        """Call the loss on copies of what is in the reader's buffers, in the shapes that its
        author expects."""
        cdef Py_ssize_t k = self.k
        buffers, f = reader.buffers, self.loss
        y_rows = buffers[: n if self.class_targets else k * n].copy()
        raw_rows = buffers[raw : raw + k * n].copy()
        if self.class_targets:
            y_rows = y_rows.astype(np.intp)
        elif k > 1:
            y_rows = y_rows.reshape(k, n).T
        if k > 1:
            raw_rows = raw_rows.reshape(k, n).T
        values, gradients = f(y_rows, raw_rows)
        if np.shape(values) != (n,):
            raise ValueError(
                f"{name_of(f)} returned values of shape {np.shape(values)}; one value a row, "
                f"shape {(n,)}, is needed (summed over the columns of raw).")
        if np.shape(gradients) != raw_rows.shape:
            raise ValueError(
                f"{name_of(f)} returned a gradient of shape {np.shape(gradients)}; raw's shape, "
                f"{raw_rows.shape}, is needed.")
        if k > 1:
            gradients = np.transpose(gradients).ravel()
        buffers[value : value + n] = values
        buffers[gradient : gradient + k * n] = gradients

    cdef call_step(self, Py_ssize_t layer, t, double rate):
        """Call the optimizer for one layer.

        Its scaling is not known, so that an l1 penalty takes no proximal step: the optimizer sees
        the smallest subgradient of the whole, and weights do not leave the orthant of its negative
        (Andrew, Gao 2007, OWL-QN)."""
        step, state, part = self.step, self.states[layer], self.layers[layer]
        parameters, gradient = self.parameters[part], self.gradient[part]
        if self.thresholds is None:
            step(parameters, gradient, state, t, rate)
            return
        threshold = self.thresholds[part]
        at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - threshold, 0)
        gradient[...] = np.where(
            parameters == 0, at_zero, gradient + threshold * np.sign(parameters))
        orthant = np.where(parameters == 0, -np.sign(gradient), np.sign(parameters))
        step(parameters, gradient, state, t, rate)
        parameters[(threshold > 0) & (np.sign(parameters) != orthant)] = 0


def name_of(f):
    return getattr(f, "__qualname__", None) or repr(f)


cdef int check_signals() except -1 with gil:
    look_for_stop()
    return PyErr_CheckSignals()


cdef int custom_loss(
    void* custom, void* reader, Py_ssize_t n, Py_ssize_t raw, Py_ssize_t value, Py_ssize_t gradient
) except -1 with gil:
    (<Custom> custom).call_loss(<Custom> reader, n, raw, value, gradient)
    return 0


cdef int blame_loss(void* custom) except -1 with gil:
    raise ValueError(
        f"{name_of((<Custom> custom).loss)} returned NaN for finite raw predictions.")


cdef int custom_step(void* custom, Py_ssize_t layer, int64_t t, double rate) except -1 with gil:
    (<Custom> custom).call_step(layer, t, rate)
    return 0


cdef int after_update(void* custom) except -1 with gil:
    (<Custom> custom).after_update()
    return 0


cdef void gemm(
    const char* op_a, const char* op_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t p, floating scale,
    const floating* A, Py_ssize_t lda, const floating* B, Py_ssize_t ldb, floating keep,
    floating* C, Py_ssize_t ldc,
) noexcept nogil:
    if floating is double:
        row_major(dgemm, op_a, op_b, m, n, p, scale, A, lda, B, ldb, keep, C, ldc)
    else:
        row_major(sgemm, op_a, op_b, m, n, p, scale, A, lda, B, ldb, keep, C, ldc)


host.check_signals = check_signals
host.custom_loss = custom_loss
host.blame_loss = blame_loss
host.custom_step = custom_step
host.after_update = after_update
host.gemm.for_double = gemm[double]
host.gemm.for_float = gemm[float]
