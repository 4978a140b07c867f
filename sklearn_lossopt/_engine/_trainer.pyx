"""One model, or a bank of models, trained on a stream of shuffled batches: what Python sees."""

import numpy as np

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from sklearn_lossopt._engine._custom cimport Custom, host
from sklearn_lossopt._engine._kernels cimport ActivationKernel, LossKernel, StepKernel, level
from sklearn_lossopt._engine._plan cimport (
    CHUNK_BYTES, CHUNK_ROWS, METRIC_DIAGONAL, METRIC_FULL, METRIC_NONE, MOST_LAYERS, N_TABLES,
    PATH_DENSE, PATH_DIRECT, PATH_LAZY, SPARSE_ROWS, TARGET_CLASS, TARGET_ONE_VS_REST,
    TARGET_VALUES, Layer, Lazy, Member, Plan)

from sklearn_lossopt._engine._kernels import ACTIVATION_KERNELS, LOSS_KERNELS, STEP_KERNELS

PATHS = {"dense": PATH_DENSE, "direct": PATH_DIRECT, "lazy": PATH_LAZY}
TARGETS = {"values": TARGET_VALUES, "one_vs_rest": TARGET_ONE_VS_REST, "class": TARGET_CLASS}


cdef class Trainer:
    """One model of k outputs, trained on a stream of batches.

    It is linear or a network; a linear model is a network without hidden layers.

    Holds no model of its own: parameters, optimizer state and step counts are arrays of the
    caller's, updated in place, so that training can be suspended, pickled and resumed.

    Parameters
    ----------
    X : C-ordered ndarray of shape (n_rows, d), float32 or float64
        Never written to.  Or a CSR array or matrix without duplicates.
    target : ndarray, X's dtype
        (n_rows, k) values for ``target_kind="values"``, else (n_rows,) class indices, which
        "one_vs_rest" turns into k columns of +-1 and "class" passes on.
    weight : ndarray of shape (n_rows,), X's dtype, or None
        Mean 1 over the rows used.
    sample_indices : ndarray of uint32 or None
        The rows to use; None for all.
    shift : ndarray of shape (d,), X's dtype, or None
        Subtracted from every row as it is read; None for sparse rows.
    weights : C-ordered ndarray of shape (k, d + 1), X's dtype
        Per output the weights and, last, the intercept, for shifted rows. For networks (size,):
        each layer's (n_out, n_in + 1), one after the other.
    model : tuple (loss, loss_params, optimizer, optimizer_params, l2, l1, scale)
        The penalty is ``l2 / 2 |w|_2^2 + l1 |w|_1``; the optimizer sees the objective times
        ``scale``.  A loss is a kernel's name or a callable
        ``f(y, raw) -> (value, gradient)`` on NumPy arrays; so is an optimizer, as
        ``f(parameters, gradient, state, t, rate)``. ``loss_params`` has one row, or one for
        each output.
    state : ndarray of shape (n_slots, k * (d + 1)), X's dtype
        For networks (n_slots, size), in which each layer has its own (n_slots, layer's size), one
        after the other.
    steps : ndarray of shape (1,), int64
        Updates that the optimizer has made since its state was zero.
    metric : ndarray or None
        None for the identity, (q, d + 1) diagonals or (q, d + 1, d + 1) upper triangular
        matrices, X's dtype, q being 1 or k; then ``coordinates`` holds the optimizer's u, in
        weights' shape.  Matrices and ``l1 > 0`` exclude each other.
    intercept : bool
        Whether the last column of ``weights`` is trained.
    path : {"dense", "direct", "lazy"} or None
        The path of epochs over sparse rows; None for the cheapest.
    network : tuple (widths, activation, dropout, scale, output) or None
        Widths of all layers, rows' and outputs' included; the hidden layers' activation and share
        of numbers dropped in training; ``scale`` (d,) of X's dtype that (shifted) rows are
        multiplied with, or None; ``output`` (k, 2) float64: what a raw prediction is shifted by and
        what it is multiplied with before, or None. Then there is no ``metric``.
    """

    cdef Plan plan
    cdef object dtype
    # Arrays that the plan points to, and whether it writes to them.
    cdef list keep, keep_metric, keep_lazy
    cdef Custom custom
    cdef object wanted_path, step_name, sample_indices, weights, gradient, thresholds
    # Rows of sparse X, the longest of them, and features that a batch has, 0 if not counted yet.
    cdef Py_ssize_t n_rows, max_row, mean_active
    # What the lazy path's arrays are for.
    cdef Py_ssize_t lazy_batch, lazy_steps
    cdef double max_metric

    def __init__(
        self, X, target, str target_kind, weight, sample_indices, shift, weights, tuple model,
        state, steps, *, metric=None, coordinates=None, bint intercept=True,
        Py_ssize_t batch_size, bint shuffle, uint64_t seed, path=None, network=None,
    ):
        cdef Plan* p = &self.plan
        cdef bint sparse = hasattr(X, "indptr")
        dtype = self.dtype = X.dtype
        if X.shape[0] >= 4294967296:
            raise ValueError(f"X has {X.shape[0]} rows; at most 2**32 - 1 can be indexed.")
        self.keep, self.custom = [], Custom()
        p.host, p.custom, p.buffers.custom = &host, <void*> self.custom, <void*> self.custom
        p.single = dtype == np.float32
        p.d = X.shape[1]
        p.n = X.shape[0] if sample_indices is None else sample_indices.shape[0]
        widths = [p.d, weights.shape[0]] if network is None else network[0]
        p.k = widths[len(widths) - 1]
        p.intercept, p.shuffle, p.seed = intercept, shuffle, seed
        p.streams = not sparse and X.nbytes > 1000000
        p.target_kind = TARGETS[target_kind]
        p.batch_size = min(batch_size, p.n)
        if sparse:
            p.chunk = min(max(CHUNK_ROWS, p.batch_size), SPARSE_ROWS)
        elif network is None:
            p.chunk = max(16, min(CHUNK_ROWS, CHUNK_BYTES // (max(1, p.d) * dtype.itemsize)))
        else:
            # Products of matrices want many rows; these read them from a buffer of their own.
            p.chunk = max(16, min(CHUNK_ROWS, 32 * CHUNK_BYTES // (max(widths) * dtype.itemsize)))
        p.chunk = min(p.chunk, p.n)

        self.wanted_path, self.sample_indices = path, sample_indices
        if sparse:
            p.csr.data = self.address(X.data, dtype)
            p.csr.indices = <const int32_t*> self.address(
                X.indices.astype(np.int32, copy=False), np.int32)
            p.csr.indptr = <const int64_t*> self.address(
                X.indptr.astype(np.int64, copy=False), np.int64)
            self.max_row, self.n_rows = np.diff(X.indptr).max(initial=0), X.shape[0]
        else:
            p.X = self.address(X, dtype)
        p.target = self.address(target, dtype)
        p.weight = self.address(weight, dtype)
        p.shift = self.address(shift, dtype)
        p.sample_indices = <const uint32_t*> self.address(sample_indices, np.uint32)
        p.W = self.address(weights, dtype, True)
        p.steps = <int64_t*> self.address(steps, np.int64, True)
        if not sparse and (p.k > 1 or network is not None):
            self.own_block()
        self.set_layers(widths, network)
        self.own_buffers(1)
        self.weights, self.gradient = weights.reshape(-1), np.empty(p.size, dtype)
        p.G = self.address(self.gradient, dtype, True)
        p.sums = <double*> self.address(np.empty(p.size), np.float64, True)
        self.thresholds = np.zeros(p.size, dtype)
        p.thresholds = self.address(self.thresholds, dtype, True)
        self.set_metric(metric, coordinates)
        self.set_model(model, state)

    cdef void* address(self, array, dtype, bint writable=False) except? NULL:
        """The data pointer of a C-contiguous array, which is kept alive; NULL for None."""
        if array is None:
            return NULL
        if array.dtype != dtype or not array.flags.c_contiguous:
            raise TypeError(f"expected a C-contiguous array of {dtype}")
        if writable and not array.flags.writeable:
            raise TypeError("expected a writeable array")
        self.keep.append((array, writable))
        return <void*> <size_t> array.ctypes.data

    cdef void* zeros(self, shape) except NULL:
        """An array of X's dtype."""
        return self.address(np.zeros(shape, self.dtype), self.dtype, True)

    cdef int32_t* integers(self, Py_ssize_t size) except NULL:
        return <int32_t*> self.address(np.empty(size, np.int32), np.int32, True)

    cdef int set_layers(self, widths, network) except -1:
        """Say what the layers are; hidden ones have room for a chunk's activations."""
        cdef Plan* p = &self.plan
        cdef ActivationKernel kernel
        cdef Layer* layer
        cdef Py_ssize_t l
        p.n_layers = len(widths) - 1
        if p.n_layers > MOST_LAYERS:
            raise ValueError(f"{p.n_layers - 1} hidden layers; at most {MOST_LAYERS - 1} can be.")
        p.layers = <Layer*> self.address(
            np.zeros(p.n_layers * sizeof(Layer), np.uint8), np.uint8, True)
        for l in range(p.n_layers):
            layer = &p.layers[l]
            layer.n_in, layer.n_out = widths[l], widths[l + 1]
            layer.row, layer.offset = layer.n_in + 1, p.size
            p.size += layer.n_out * layer.row
        if network is None:
            return 0
        _, activation, p.dropout, scale, output = network
        kernel = ACTIVATION_KERNELS[activation]
        p.activation = kernel.activation
        p.column_scale = self.address(scale, self.dtype)
        p.output = <const double*> self.address(output, np.float64)
        for l in range(p.n_layers - 1):
            layer = &p.layers[l]
            layer.product = layer.active = self.zeros((p.chunk, layer.n_out + 1))
            if kernel.keeps_input or p.dropout > 0:
                layer.product = self.zeros((p.chunk, layer.n_out + 1))
        for l in range(2):
            p.gradients[l] = self.zeros((p.chunk, max(widths[1:]) + 1))
        if p.csr.indptr != NULL:
            p.first_layer = self.zeros((p.d + 1, widths[1]))
        return 0

    cdef int set_model(self, tuple model, state) except -1:
        """Say what the model minimises and how; ``state`` is its optimizer's."""
        cdef Plan* p = &self.plan
        cdef LossKernel loss_kernel
        cdef StepKernel step_kernel
        loss, loss_params, self.step_name, step_params, p.l2, p.l1, p.scale = model
        if isinstance(loss, str):
            loss_kernel = LOSS_KERNELS[loss]
            p.loss, p.joint = loss_kernel.loss, loss_kernel.joint
        else:
            p.joint = p.target_kind == TARGET_CLASS
            self.custom.loss = loss
            self.custom.k, self.custom.class_targets = p.k, p.joint
        loss_params = np.array(loss_params, np.float64)
        p.loss_param = <const double*> self.address(loss_params, np.float64)
        p.loss_param_step = loss_params.shape[1] if loss_params.ndim == 2 else 0
        p.step_param = <const double*> self.address(np.array(step_params, np.float64), np.float64)
        p.state = self.address(state, self.dtype, True)
        p.n_slots = state.shape[0]
        p.plain_sgd = self.step_name == "sgd"
        if isinstance(self.step_name, str):
            step_kernel = STEP_KERNELS[self.step_name]
            p.optimizer, p.catch_up = step_kernel.optimizer, step_kernel.catch_up
        else:
            self.set_custom_step(state.reshape(-1))
        return self.set_thresholds()

    cdef int set_custom_step(self, state) except -1:
        """Cut the optimizer's arrays into those of layers."""
        cdef Layer* layer
        cdef Py_ssize_t l, end
        self.custom.step, self.custom.states, self.custom.layers = self.step_name, [], []
        for l in range(self.plan.n_layers):
            layer = &self.plan.layers[l]
            end = layer.offset + layer.n_out * layer.row
            self.custom.layers.append(slice(layer.offset, end))
            self.custom.states.append(
                state[self.plan.n_slots * layer.offset : self.plan.n_slots * end].reshape(
                    self.plan.n_slots, -1))
        return 0

    def set_metric(self, metric, coordinates=None):
        """Change the optimizer's coordinates; ``coordinates`` must agree with the weights."""
        cdef Plan* p = &self.plan
        p.metric, p.metric_kind = NULL, METRIC_NONE
        self.max_metric, self.lazy_batch = 1.0, 0
        p.U, p.H = p.W, p.G
        self.custom.parameters, self.custom.gradient = self.weights, self.gradient
        if metric is None:
            return
        # Apart from what lives as long as the trainer: an earlier metric is let go.
        kept, self.keep = self.keep, []
        p.metric_kind = METRIC_DIAGONAL if metric.ndim == 2 else METRIC_FULL
        p.metric = self.address(metric, self.dtype)
        self.max_metric = metric.max()
        p.metric_stride = 0 if metric.shape[0] == 1 else metric.strides[0] // metric.itemsize
        p.U = self.address(coordinates, self.dtype, True)
        gradient = np.empty(p.size, self.dtype)
        p.H = self.address(gradient, self.dtype, True)
        self.custom.parameters, self.custom.gradient = coordinates.reshape(-1), gradient
        self.keep_metric, self.keep = self.keep, kept
        self.set_thresholds()

    cdef int set_thresholds(self) except -1:
        """What the penalty's l1 is for each of the optimizer's coordinates."""
        cdef Plan* p = &self.plan
        if p.l1 == 0:
            return 0
        if p.metric_kind == METRIC_FULL:
            raise ValueError("an l1 penalty has no proximal step in a metric that is not diagonal")
        level.fill_thresholds(p)
        self.custom.thresholds = self.thresholds
        return 0

    @property
    def batch_size(self):
        return self.plan.batch_size

    @batch_size.setter
    def batch_size(self, Py_ssize_t size):
        self.plan.batch_size = size

    @property
    def chunk(self):
        """Rows whose gradients are formed before the next rows are read."""
        return self.plan.chunk

    @property
    def nbytes(self):
        """Of the arrays that it writes to, those that training makes besides included; one that
        shares batches reads rows through the buffers of another."""
        arrays = [*self.keep, *(self.keep_metric or ()), *(self.keep_lazy or ())]
        size = sum([array.nbytes for array, writable in arrays if writable])
        if self.plan.order == NULL and not self.shares_batches():
            size += 4 * self.plan.n
        if self.plan.csr.indptr != NULL:
            # The pointers' copy.
            size += 8 * self.n_rows
            if self.keep_lazy is None:
                size += self.lazy_size()
        return size

    def shares_batches(self):
        """Whether ``run_bank`` can train this among others."""
        return self.plan.X != NULL and not level.one_by_one(&self.plan)

    cdef int own_block(self) except -1:
        """Room for a chunk's rows."""
        if self.plan.buffers.rows == NULL:
            self.plan.buffers.rows = self.zeros((self.plan.chunk, self.plan.d + 1))
        return 0

    cdef int own_buffers(self, Py_ssize_t n_models) except -1:
        """Sample-wise numbers of a chunk: targets, values, weights, and for so many models raw
        predictions and derivatives."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t item = self.dtype.itemsize, size = p.k * p.chunk
        cdef char* at
        if self.custom.buffers is not None and (
            len(self.custom.buffers) >= (2 + 2 * n_models) * size + p.chunk
        ):
            return 0
        self.custom.buffers = np.empty((2 + 2 * n_models) * size + p.chunk, self.dtype)
        at = <char*> self.address(self.custom.buffers, self.dtype, True)
        p.buffers.target, p.buffers.value = at, at + size * item
        at += 2 * size * item
        p.buffers.weight, p.buffers.raw = at, at + p.chunk * item
        p.buffers.gradient = at + (p.chunk + n_models * size) * item
        return 0

    cdef int own_order(self) except -1:
        """Room for the order of the rows; none is needed where they come as they are."""
        if self.plan.order == NULL and (self.plan.shuffle or self.plan.sample_indices != NULL):
            order = self.sample_indices
            order = np.arange(self.plan.n, dtype=np.uint32) if order is None else order.copy()
            self.plan.order = <uint32_t*> self.address(order, np.uint32, True)
        return 0

    def run(self, Py_ssize_t first_epoch, Py_ssize_t n_epochs, const double[::1] rates,
            double[::1] history):
        """Train for up to ``n_epochs`` epochs.

        Parameters
        ----------
        first_epoch : int
            The number of epochs made before; seeds the order of the rows.
        n_epochs : int
        rates : ndarray of shape (1,) or (n_epochs * batches per epoch,)
            Learning rates, one for all updates or one for each.
        history : ndarray of shape (n_epochs,)
            Filled with each epoch's running mean of the objective.

        Returns
        -------
        n_done : int
            Less than ``n_epochs`` where a value was not finite: training stops after the epoch
            in which that happened, which is counted; its history is not finite.
        """
        cdef Plan* p = &self.plan
        cdef Py_ssize_t rate_step = 0 if rates.shape[0] == 1 else 1
        cdef int path = PATH_DENSE
        if p.csr.indptr != NULL and p.n_layers == 1:
            path = self.choose_path(rates)
        if path == PATH_LAZY:
            self.prepare_lazy((p.n + p.batch_size - 1) // p.batch_size)
        self.own_order()
        with nogil:
            n_epochs = level.run(
                p, path, first_epoch, n_epochs, &rates[0], rate_step, &history[0])
        return n_epochs

    def evaluate(self, gradient=None):
        """The full objective; ``gradient``, where given, of the shape of the weights, float64, is
        filled with the gradient of all but its l1 term with respect to them."""
        cdef double* out = NULL
        cdef double objective
        if gradient is not None:
            out = <double*> <size_t> gradient.ctypes.data
        with nogil:
            level.evaluate(&self.plan, out, &objective)
        return objective

    cdef int choose_path(self, const double[::1] rates) except -1:
        """The cheapest path of those that the model allows."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t stored
        cdef double rate, decay, cost
        if self.wanted_path is not None:
            return PATHS[self.wanted_path]
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
        if self.mean_active == 0 or self.lazy_batch != p.batch_size:
            self.prepare_lazy(1)
            self.mean_active = level.mean_active(p)
        # In nanoseconds, roughly.
        stored = p.csr.indptr[self.n_rows] * p.batch_size // max(1, self.n_rows)
        cost = p.catch_up.cost * self.mean_active * p.k
        if 3 * stored + cost < (0.6 + 0.9 * p.n_slots) * p.d * p.k:
            return PATH_LAZY
        return PATH_DENSE

    cdef bint may_be_lazy(self, double rate, double decay, bint constant):
        """Whether the closed forms of _catch_up.cpp hold: see there."""
        cdef Plan* p = &self.plan
        cdef const double* param = p.step_param
        cdef str name = self.step_name
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

    cdef Py_ssize_t lazy_capacity(self):
        """Room for a batch's active features; blocks of all, at an epoch's end, use it too."""
        return max(1, min(self.plan.d, max(self.plan.batch_size * self.max_row, 1024)))

    cdef Py_ssize_t lazy_size(self) except -1:
        """About the bytes that `prepare_lazy` allocates, 0 for a trainer that does without."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t item = self.dtype.itemsize, metrics = p.metric_kind != METRIC_NONE
        if p.n_layers > 1 or p.l1 > 0 or p.batch_size > p.chunk or p.catch_up == NULL:
            return 0
        if p.metric_kind == METRIC_NONE and (p.plain_sgd or p.l2 > 0):
            return 0
        return (
            item * p.d * (1 + metrics + p.k * (1 + p.n_slots))
            + item * self.lazy_capacity() * p.k * (7 + p.n_slots)
            + 4 * (p.d + 2 * self.lazy_capacity() + p.batch_size * self.max_row)
            + 104 * (p.n // p.batch_size + 1))

    cdef int prepare_lazy(self, Py_ssize_t n_steps) except -1:
        """Allocate what lazy epochs of `n_steps` batches need, if that is not there yet."""
        cdef Plan* p = &self.plan
        cdef Lazy* z = &p.lazy
        cdef Py_ssize_t row
        if self.lazy_batch == p.batch_size and n_steps <= self.lazy_steps:
            return 0
        kept, self.keep = self.keep, []
        self.lazy_batch, self.lazy_steps = p.batch_size, n_steps
        z.capacity = self.lazy_capacity()
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
        z.metric = self.address(np.ones((p.k, row), self.dtype), self.dtype, True)
        z.W, z.U = self.zeros((p.k, row)), self.zeros((p.k, row))
        z.G, z.H = self.zeros((p.k, row)), self.zeros((p.k, row))
        z.l2_slope = self.zeros((p.k, row))
        z.state = self.zeros((z.n_slots + 1, p.k * row))
        level.fill_powers(p, n_steps, <double*> self.address(
            np.empty((N_TABLES, n_steps + 1)), np.float64, True))
        self.keep_lazy, self.keep = self.keep, kept
        return 0


def run_bank(
    list trainers, Py_ssize_t first_epoch, Py_ssize_t n_epochs, list rates, list histories
):
    """Train up to ``n_epochs`` epochs of several trainers.

    Parameters
    ----------
    trainers : list of Trainer
        They agree in all but the model: in rows, targets, weights, shift, number of outputs,
        batches and seed; networks also in their columns' scale and their
        ``chunk``. All must say that they ``shares_batches``.
    first_epoch, n_epochs : int
        As for ``Trainer.run``.
    rates, histories : list of ndarray
        One each, as for ``Trainer.run``.

    Returns
    -------
    n_done : list of int
        As ``Trainer.run`` returns; one that stops early leaves the others alone.
    """
    cdef Py_ssize_t n_members = len(trainers), i
    cdef const double[::1] rate
    cdef double[::1] history
    cdef Trainer trainer = trainers[0]
    room = np.zeros(n_members * sizeof(Member), np.uint8)
    cdef Member* members = <Member*> <size_t> room.ctypes.data
    trainer.own_order()
    trainer.own_block()
    trainer.own_buffers(4)
    for i in range(n_members):
        trainer, rate, history = trainers[i], rates[i], histories[i]
        members[i].plan, members[i].active = &trainer.plan, True
        members[i].rates, members[i].rate_step = &rate[0], 0 if rate.shape[0] == 1 else 1
        members[i].history = &history[0]
    with nogil:
        level.run_bank(members, n_members, first_epoch, n_epochs)
    return [members[i].n_done for i in range(n_members)]
