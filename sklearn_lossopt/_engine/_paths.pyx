"""The paths of an epoch over sparse rows: which is cheapest, and the arrays of the lazy one."""

import numpy as np

from libc.math cimport sqrt
from libc.stdint cimport int32_t

from sklearn_lossopt._engine._arrays cimport first_number
from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._plan cimport (
    METRIC_NONE, N_TABLES, PATH_DENSE, PATH_DIRECT, PATH_LAZY, Lazy, Plan)

PATHS = {"dense": PATH_DENSE, "direct": PATH_DIRECT, "lazy": PATH_LAZY}


cdef class SparsePaths:
    """The choice among the paths of ``_sparse.hpp`` for one trainer, whose ``plan`` it reads.

    Parameters
    ----------
    X : CSR array or matrix
    wanted : {"dense", "direct", "lazy"} or None
        None for the cheapest.
    """

    def __init__(self, X, wanted):
        self.n_rows, self.max_row = X.shape[0], np.diff(X.indptr).max(initial=0)
        self.dtype, self.wanted, self.max_metric = X.dtype, wanted, 1.0

    cdef int set_metric(self, metric) except -1:
        """A new metric of the plan, or None."""
        self.max_metric = 1.0 if metric is None else metric.max()
        self.batch = 0
        return 0

    cdef Py_ssize_t nbytes(self) except -1:
        """Of the arrays here, or of those that training is likely to make, and of the copy of the
        rows' pointers."""
        if self.keep is None:
            return 8 * self.n_rows + self.expected()
        return 8 * self.n_rows + sum([array.nbytes for array in self.keep])

    cdef void* new(self, array) except NULL:
        self.keep.append(array)
        return first_number(array)

    cdef void* zeros(self, Py_ssize_t size) except NULL:
        return self.new(np.zeros(size, self.dtype))

    cdef int32_t* integers(self, Py_ssize_t size) except NULL:
        return <int32_t*> self.new(np.empty(size, np.int32))

    cdef int choose(self, const double[::1] rates) except -1:
        """The cheapest path of those that the model allows, ready to be taken."""
        cdef Plan* p = self.plan
        cdef int path = PATH_DENSE
        if p.n_layers == 1:
            path = self.cheapest(rates) if self.wanted is None else PATHS[self.wanted]
        if path == PATH_LAZY:
            self.prepare((p.n + p.batch_size - 1) // p.batch_size)
        return path

    cdef int cheapest(self, const double[::1] rates) except -1:
        cdef Plan* p = self.plan
        cdef Py_ssize_t stored
        cdef double rate, decay, cost
        if p.l1 > 0 or p.batch_size > p.chunk:
            return PATH_DENSE
        if p.plain_sgd and p.metric_kind == METRIC_NONE:
            return PATH_DIRECT
        if p.catch_up == NULL:
            return PATH_DENSE
        rate = np.max(rates)
        decay = rate * (p.l2 * p.scale * self.max_metric**2)
        if not self.may_be_lazy(rate, decay, rates.shape[0] == 1):
            return PATH_DENSE
        if self.mean_active == 0 or self.batch != p.batch_size:
            self.prepare(1)
            self.mean_active = level.mean_active(p)
        # In nanoseconds, roughly.
        stored = p.csr.indptr[self.n_rows] * p.batch_size // max(1, self.n_rows)
        cost = p.catch_up.cost * self.mean_active * p.k
        if 3 * stored + cost < (0.6 + 0.9 * p.n_slots) * p.d * p.k:
            return PATH_LAZY
        return PATH_DENSE

    cdef bint may_be_lazy(self, double rate, double decay, bint constant):
        """Whether the closed forms of _catch_up.cpp hold: see there."""
        cdef Plan* p = self.plan
        cdef const double* param = p.step_param
        cdef str name = p.optimizer.name.decode()
        if name == "sgd":
            return decay <= 0.5
        if name == "momentum":
            return constant and decay <= 0.9 * (1 - sqrt(param[0])) ** 2 and decay <= 0.2
        if p.metric_kind == METRIC_NONE and p.l2 > 0:
            # Textbook steps are to be exact.
            return False
        if name == "rmsprop":
            return param[2] == 0 and param[3] == 0
        if name in ("adam", "adamw"):
            ratio = param[0] / (1 if param[3] != 0 else sqrt(param[1]))
            return param[1] > 0 and ratio < 0.999 * sqrt(param[1]) and (
                name == "adam" or rate * param[4] * (p.n / p.batch_size + 1) < 20)
        return True

    cdef Py_ssize_t capacity(self):
        """Room for a batch's active features; blocks of all, at an epoch's end, use it too."""
        return max(1, min(self.plan.d, max(self.plan.batch_size * self.max_row, 1024)))

    cdef Py_ssize_t expected(self) except -1:
        """About the bytes that `prepare` allocates, 0 for a trainer that does without."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t item = (4 if p.single else 8), metrics = p.metric_kind != METRIC_NONE
        if p.n_layers > 1 or p.l1 > 0 or p.batch_size > p.chunk or p.catch_up == NULL:
            return 0
        if p.metric_kind == METRIC_NONE and (p.plain_sgd or p.l2 > 0):
            return 0
        return (
            item * p.d * (1 + metrics + p.k * (1 + p.n_slots))
            + item * self.capacity() * p.k * (7 + p.n_slots)
            + 4 * (p.d + 2 * self.capacity() + p.batch_size * self.max_row)
            + 104 * (p.n // p.batch_size + 1))

    cdef int prepare(self, Py_ssize_t n_steps) except -1:
        """Allocate what lazy epochs of `n_steps` batches need, if that is not there yet."""
        cdef Plan* p = self.plan
        cdef Lazy* z = &p.lazy
        cdef Py_ssize_t row
        if self.batch == p.batch_size and n_steps <= self.steps:
            return 0
        self.keep = []
        self.batch, self.steps = p.batch_size, n_steps
        z.capacity = self.capacity()
        row = z.capacity + 1
        z.n_slots = 0 if p.plain_sgd else p.n_slots
        z.n_metrics = 0
        if p.metric_kind != METRIC_NONE:
            z.n_metrics = 1 if p.metric_stride == 0 else p.k
        z.stride = 1 + z.n_metrics + p.k * (1 + z.n_slots)
        z.blocks = self.zeros(p.d * z.stride + 1)
        z.tag = self.integers(p.d + 1)
        # One more than are active: a feature found before is written there and overwritten.
        z.active = self.integers(2 * (row + 1))
        z.lag = z.active + row + 1
        z.places = self.integers(p.batch_size * self.max_row + 1)
        z.metric = self.new(np.ones(p.k * row, self.dtype))
        z.W, z.U = self.zeros(p.k * row), self.zeros(p.k * row)
        z.G, z.H = self.zeros(p.k * row), self.zeros(p.k * row)
        z.l2_slope = self.zeros(p.k * row)
        z.state = self.zeros((z.n_slots + 1) * p.k * row)
        level.fill_powers(p, n_steps, <double*> self.new(np.empty(N_TABLES * (n_steps + 1))))
        return 0
