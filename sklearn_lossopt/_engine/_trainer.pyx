"""One model, or a bank of models, trained on a stream of shuffled batches: what Python sees."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from sklearn_lossopt._engine._arrays cimport first_number
from sklearn_lossopt._engine._custom cimport Custom, host
from sklearn_lossopt._engine._kernels cimport ActivationKernel, LossKernel, StepKernel, level
from sklearn_lossopt._engine._paths cimport SparsePaths
from sklearn_lossopt._engine._plan cimport (
    CHUNK_BYTES, CHUNK_ROWS, METRIC_DIAGONAL, METRIC_FULL, METRIC_NONE, MOST_LAYERS, PATH_DENSE,
    SPARSE_ROWS, TARGET_CLASS, TARGET_ONE_VS_REST, TARGET_VALUES, Layer, Member, Plan)

from sklearn_lossopt._engine._kernels import ACTIVATION_KERNELS, LOSS_KERNELS, STEP_KERNELS

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
    network : tuple (widths, activation, dropout, weight_decay, scale, output) or None
        Widths of all layers, rows' and outputs' included; the hidden layers' activation and share
        of numbers dropped in training; what a step shrinks weights by, over its rate; ``scale``
        (d,) of X's dtype that (shifted) rows are multiplied with, or None; ``output`` (k, 2)
        float64: what a raw prediction is shifted by and what it is multiplied with before, or None.
        Then there is no ``metric``.
    """

    cdef Plan plan
    cdef object dtype
    # Arrays that the plan points to, and whether it writes to them.
    cdef list keep, keep_metric
    cdef Custom custom
    # For sparse rows.
    cdef SparsePaths paths
    cdef object sample_indices, weights, gradient, thresholds

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

        self.sample_indices = sample_indices
        if sparse:
            p.csr.data = self.address(X.data, dtype)
            p.csr.indices = <const int32_t*> self.address(
                X.indices.astype(np.int32, copy=False), np.int32)
            p.csr.indptr = <const int64_t*> self.address(
                X.indptr.astype(np.int64, copy=False), np.int64)
            self.paths = SparsePaths(X, path)
            self.paths.plan = p
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
        return first_number(array)

    cdef void* zeros(self, shape) except NULL:
        """An array of X's dtype."""
        return self.address(np.zeros(shape, self.dtype), self.dtype, True)

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
        _, activation, p.dropout, p.weight_decay, scale, output = network
        kernel = ACTIVATION_KERNELS[activation]
        p.activation = kernel.activation
        p.column_scale = self.address(scale, self.dtype)
        p.output = <const double*> self.address(output, np.float64)
        for l in range(p.n_layers - 1):
            layer = &p.layers[l]
            layer.product = layer.active = self.zeros((p.chunk, layer.n_out + 1))
            if kernel.keeps_input or (p.dropout > 0 and not p.activation.is_0_or_line):
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
        loss, loss_params, step, step_params, p.l2, p.l1, p.scale = model
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
        p.plain_sgd = step == "sgd"
        if isinstance(step, str):
            step_kernel = STEP_KERNELS[step]
            p.optimizer, p.catch_up = step_kernel.optimizer, step_kernel.catch_up
        else:
            self.custom.step = step
            self.set_custom_state(state.reshape(-1))
        return self.set_thresholds()

    cdef int set_custom_state(self, state) except -1:
        """Say which part of an optimizer's arrays is which layer's."""
        cdef Layer* layer
        cdef Py_ssize_t l, end
        self.custom.states, self.custom.layers = [], []
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
        if self.paths is not None:
            self.paths.set_metric(metric)
        p.U, p.H = p.W, p.G
        self.custom.parameters, self.custom.gradient = self.weights, self.gradient
        if metric is None:
            return
        # Apart from what lives as long as the trainer: an earlier metric is let go.
        kept, self.keep = self.keep, []
        p.metric_kind = METRIC_DIAGONAL if metric.ndim == 2 else METRIC_FULL
        p.metric = self.address(metric, self.dtype)
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
        arrays = [*self.keep, *(self.keep_metric or ())]
        size = sum([array.nbytes for array, writable in arrays if writable])
        if self.plan.order == NULL and not self.shares_batches():
            size += 4 * self.plan.n
        return size if self.paths is None else size + self.paths.nbytes()

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
            double[::1] history, after_update=None):
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
        after_update : callable or None
            Called after each update, when weights and state are those that it has left. Epochs over
            sparse rows are then those of the dense path.

        Returns
        -------
        n_done : int
            Less than ``n_epochs`` where a value was not finite: training stops after the epoch
            in which that happened, which is counted; its history is not finite.
        """
        cdef Plan* p = &self.plan
        cdef Py_ssize_t rate_step = 0 if rates.shape[0] == 1 else 1
        cdef int path = PATH_DENSE
        p.watched, self.custom.after_update = after_update is not None, after_update
        if self.paths is not None and not p.watched:
            path = self.paths.choose(rates)
        self.own_order()
        with nogil:
            n_epochs = level.run(
                p, path, first_epoch, n_epochs, &rates[0], rate_step, &history[0])
        p.watched, self.custom.after_update = False, None
        return n_epochs

    def evaluate(self, gradient=None):
        """The full objective; ``gradient``, where given, of the shape of the weights, float64, is
        filled with the gradient of all but its l1 term with respect to them."""
        cdef double* out = NULL
        cdef double objective
        if gradient is not None:
            out = <double*> first_number(gradient)
        with nogil:
            level.evaluate(&self.plan, out, &objective)
        return objective


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
    cdef Member* members = <Member*> first_number(room)
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
