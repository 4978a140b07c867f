"""The choice of a processor level, and its losses, optimizers and activations by name."""

import os

import numpy as np

from sklearn_lossopt._engine._arrays cimport first_number
from sklearn_lossopt._engine._plan cimport Activation, CatchUp, Level, Loss, Optimizer

cdef extern from "_cpu.hpp" namespace "lossopt":
    const Level* choose_level(int highest)

cdef extern from "_fingerprint.h":
    const char* LOSSOPT_FINGERPRINT

level = choose_level(int(os.environ.get("SKLEARN_LOSSOPT_CPU_LEVEL", 3)))
CPU_LEVEL = level.name.decode()
FINGERPRINT = LOSSOPT_FINGERPRINT.decode()


cdef class LossKernel:
    """A compiled loss."""

    def __call__(self, y, raw, const double[::1] param):
        """Values (n,) and gradients of raw's shape, (n,) or (n, k), float32 or float64."""
        cdef Py_ssize_t n = raw.shape[0], k = 1 if raw.ndim == 1 else raw.shape[1]
        cdef const double* numbers = &param[0] if param.shape[0] else NULL
        raw_columns = np.ascontiguousarray(raw.reshape(n, k).T)
        y_columns = np.ascontiguousarray(y.reshape(n, -1).T, dtype=raw.dtype)
        if y_columns.shape[0] != (1 if self.joint else k):
            raise ValueError(f"y has shape {y.shape}, which does not fit raw's {raw.shape}")
        if self.joint and n and not (y_columns.min() >= 0 and y_columns.max() < k):
            raise ValueError(f"y must hold class indices from 0 to {k - 1}")
        value = np.empty((1 if self.joint else k, n), raw.dtype)
        gradient = np.empty_like(raw_columns)
        level.call_loss(
            self.loss, raw.dtype == np.float32, n, k, first_number(y_columns), first_number(raw_columns),
            numbers, first_number(value), first_number(gradient))
        return value.sum(axis=0), gradient.T.reshape(raw.shape)


cdef class StepKernel:
    """A compiled optimizer's update, and how it catches up with skipped steps, if it can."""


cdef class ActivationKernel:
    """A compiled activation; ``keeps_input``: its derivative is one of the input."""

    def __call__(self, z):
        """Replace a C-contiguous array, float32 or float64, by its activations."""
        if not (z.flags.c_contiguous and z.flags.writeable and z.dtype.kind == "f"):
            raise TypeError("expected a writeable C-contiguous array of floats")
        level.activate(self.activation, z.dtype == np.float32, z.size, first_number(z))


cdef loss_kernels(const Loss* loss):
    cdef LossKernel kernel
    found = {}
    while loss.name != NULL:
        kernel = LossKernel()
        kernel.loss, kernel.joint = loss, loss.joint
        found[loss.name.decode()] = kernel
        loss += 1
    return found


cdef step_kernels(const Optimizer* optimizer, const CatchUp* catch_up):
    cdef StepKernel kernel
    found = {}
    while optimizer.name != NULL:
        kernel = StepKernel()
        kernel.optimizer = optimizer
        found[optimizer.name.decode()] = kernel
        optimizer += 1
    while catch_up.name != NULL:
        kernel = found[catch_up.name.decode()]
        kernel.catch_up = catch_up
        catch_up += 1
    return found


cdef activation_kernels(const Activation* activation):
    cdef ActivationKernel kernel
    found = {}
    while activation.name != NULL:
        kernel = ActivationKernel()
        kernel.activation, kernel.keeps_input = activation, activation.keeps_input
        found[activation.name.decode()] = kernel
        activation += 1
    return found


LOSS_KERNELS = loss_kernels(level.losses)
STEP_KERNELS = step_kernels(level.optimizers, level.catch_ups)
ACTIVATION_KERNELS = activation_kernels(level.activations)
