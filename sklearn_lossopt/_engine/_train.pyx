"""The training loop: a model, or a bank of them, on one stream of shuffled batches."""

# This source is compiled once for each processor level (see meson.build).  Kernels are included
# rather than cimported, so that each of those modules holds its own, built for its level.

import numpy as np

from cython cimport floating
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport PyObject
from libc.math cimport fabs, isfinite, log, pow, sqrt, sqrtf
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from scipy.linalg.cython_blas cimport dgemm, sgemm

from sklearn_lossopt._engine._simd cimport (
    axpy, axpy_rows, axpy_rows_4, axpy_upper, decay_axpy, dot, dot4, dot4_pair, dot_pair, exp, expm1,
    greatest, least, log_ratio, lossopt_lanes_double, lossopt_lanes_float, prefetch, weighted_sum)

include "_blas_int.pxi"
include "_losses.pxi"
include "_optimizers.pxi"
include "_activations.pxi"
include "_batches.pxi"
include "_lazy.pxi"

cdef enum:
    # Rows whose gradients are formed before the next rows are read: they stay in the cache
    # between the two passes over them.
    CHUNK_ROWS = 256
    CHUNK_BYTES = 262144
    # Multiply-adds between two looks at pending signals: some hundredths of a second.
    SIGNAL_WORK = 10000000
    # Rows of a batch, at most, whose sparse steps spare the features that they do not have.
    SPARSE_ROWS = 4096
    MOST_LAYERS = 1024

# How the metric T maps the optimizer's coordinates u to the extended weights (w, intercept).
cdef enum:
    METRIC_NONE = 0
    METRIC_DIAGONAL = 1
    METRIC_FULL = 2

# How an epoch over sparse rows goes; see _sparse.pxi.
cdef enum:
    PATH_DENSE = 0
    PATH_DIRECT = 1
    PATH_LAZY = 2
PATHS = {"dense": PATH_DENSE, "direct": PATH_DIRECT, "lazy": PATH_LAZY}

# How a batch's targets are made from the stored ones.
cdef enum:
    TARGET_VALUES = 0
    TARGET_ONE_VS_REST = 1
    TARGET_CLASS = 2
TARGETS = {"values": TARGET_VALUES, "one_vs_rest": TARGET_ONE_VS_REST, "class": TARGET_CLASS}

cdef struct Model:
    void* loss
    void* loss_at
    const double* loss_param
    Py_ssize_t loss_param_step
    bint joint
    void* step
    # of _lazy.pxi: NULL if there is none
    void* missed
    int forgets
    double cost
    const double* step_param
    void* state
    double l2
    double l1
    double scale


# A layer's weights (n_out, row) begin at `offset` of the parameters; row = n_in + 1, the
# last column being the intercepts.
cdef struct Layer:
    Py_ssize_t n_in
    Py_ssize_t n_out
    Py_ssize_t row
    Py_ssize_t offset
    # Hidden layers: what the product leaves, and the activations that the next layer reads.
    char* product
    char* active


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
    rows : ndarray of uint32 or None
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
        How epochs over sparse rows go; None for the cheapest way that there is.
    network : tuple (widths, activation, dropout, scale, output) or None
        Widths of all layers, rows' and outputs' included; the hidden layers' activation and share
        of numbers dropped in training; ``scale`` (d,) of X's dtype that (shifted) rows are
        multiplied with, or None; ``output`` (k, 2) float64: what a raw prediction is shifted by and
        what it is multiplied with before, or None. Then there is no ``metric``.
    """

    cdef list keep
    cdef list keep_metric
    # A loss and an optimizer written in NumPy; the latter's state, layer by layer.
    cdef object own_loss
    cdef object own_step
    cdef list own_state
    cdef readonly Py_ssize_t n, d, k, n_layers, size
    cdef public Py_ssize_t batch_size
    cdef readonly Py_ssize_t chunk
    cdef bint single, intercept, shuffle, streams, plain_sgd
    cdef const char* X
    cdef Csr csr
    cdef Lazy lazy
    cdef object wanted_path
    cdef list keep_lazy
    cdef object buffers
    cdef object step_name
    cdef Py_ssize_t csr_rows, max_row, lazy_capacity, lazy_batch, lazy_steps, n_met, n_slots
    cdef double max_metric
    cdef const char* target
    cdef const char* weight
    cdef const char* shift
    cdef const uint32_t* rows
    cdef uint32_t* order
    cdef int target_kind, metric_kind
    cdef Py_ssize_t metric_stride
    cdef const char* metric
    cdef char* W
    cdef char* U
    cdef char* xb
    cdef char* yb
    cdef char* sb
    cdef char* raw
    cdef char* grad
    cdef char* value
    cdef char* G
    cdef char* H
    cdef char* L
    cdef double* acc
    cdef int64_t* steps
    cdef Model model
    cdef Layer* layers
    cdef void* forward
    cdef void* backward
    cdef bint keeps_input
    cdef double dropout
    cdef uint64_t mask_seed
    cdef const char* column_scale
    cdef const double* output
    cdef char* first
    cdef (char*)[2] gradients
    cdef uint64_t seed
    cdef Py_ssize_t work

    def __init__(
        self, X, target, str target_kind, weight, rows, shift, weights, tuple model, state, steps,
        *, metric=None, coordinates=None, bint intercept=True, Py_ssize_t batch_size,
        bint shuffle, uint64_t seed, path=None, network=None,
    ):
        cdef Py_ssize_t item = X.dtype.itemsize
        cdef bint sparse = hasattr(X, "indptr")
        dtype = X.dtype
        self.keep = []
        self.single = dtype == np.float32
        self.d = X.shape[1]
        self.n = X.shape[0] if rows is None else rows.shape[0]
        if X.shape[0] >= 4294967296:
            raise ValueError(f"X has {X.shape[0]} rows; at most 2**32 - 1 can be indexed.")
        widths = [self.d, weights.shape[0]] if network is None else network[0]
        self.k = widths[len(widths) - 1]
        self.intercept = intercept
        self.shuffle = shuffle
        self.seed = seed
        self.streams = not sparse and X.nbytes > 1000000
        self.target_kind = TARGETS[target_kind]
        self.batch_size = min(batch_size, self.n)
        self.chunk = max(16, min(CHUNK_ROWS, CHUNK_BYTES // (max(1, self.d) * item)))
        if network is not None:
            # Products of matrices want many rows; these read them from a buffer of their own.
            self.chunk = max(16, min(CHUNK_ROWS, 32 * CHUNK_BYTES // (max(widths) * item)))
        if sparse:
            self.chunk = min(max(CHUNK_ROWS, self.batch_size), SPARSE_ROWS)
        self.chunk = min(self.chunk, self.n)

        self.wanted_path = path
        self.lazy_batch = self.n_met = 0
        if sparse:
            self.csr.data = self.address(X.data, dtype, False)
            self.csr.indices = <const int32_t*> self.address(
                X.indices.astype(np.int32, copy=False), np.int32, False)
            self.csr.indptr = <const int64_t*> self.address(
                X.indptr.astype(np.int64, copy=False), np.int64, False)
            self.max_row, self.csr_rows = np.diff(X.indptr).max(initial=0), X.shape[0]
        else:
            self.X = self.address(X, dtype, False)
        self.target = self.address(target, dtype, False)
        self.weight = self.address(weight, dtype, False)
        self.shift = self.address(shift, dtype, False)
        self.rows = <const uint32_t*> self.address(rows, np.uint32, False)
        self.W = self.address(weights, dtype, True)
        self.steps = <int64_t*> self.address(steps, np.int64, True)
        self.order = NULL
        if not sparse and (self.k > 1 or network is not None):
            self.own_block()
        self.set_layers(widths, network, dtype)
        self.own_buffers(1)
        self.G = self.address(np.empty(self.size, dtype), dtype, True)
        self.acc = <double*> self.address(np.empty(self.size), np.float64, True)
        self.L = self.address(np.zeros(self.size, dtype), dtype, True)
        self.set_metric(metric, coordinates)
        self.set_model(model, state)

    cdef char* address(self, array, dtype, bint writable) except? NULL:
        """The data pointer of a C-contiguous array, which is kept alive; NULL for None."""
        if array is None:
            return NULL
        if array.dtype != dtype or not array.flags.c_contiguous:
            raise TypeError(f"expected a C-contiguous array of {dtype}")
        if writable and not array.flags.writeable:
            raise TypeError("expected a writeable array")
        self.keep.append((array, writable))
        return <char*> <size_t> array.ctypes.data

    cdef int set_layers(self, widths, network, dtype) except -1:
        cdef ActivationKernel kernel
        cdef Layer* layer
        cdef Py_ssize_t l
        self.n_layers = len(widths) - 1
        if self.n_layers > MOST_LAYERS:
            raise ValueError(f"{self.n_layers - 1} hidden layers; at most {MOST_LAYERS - 1} can be.")
        self.layers = <Layer*> self.address(
            np.zeros(self.n_layers * sizeof(Layer), np.uint8), np.uint8, True)
        self.size = 0
        for l in range(self.n_layers):
            layer = &self.layers[l]
            layer.n_in, layer.n_out = widths[l], widths[l + 1]
            layer.row, layer.offset = layer.n_in + 1, self.size
            self.size += layer.n_out * layer.row
        if network is None:
            return 0
        _, activation, self.dropout, scale, output = network
        kernel = ACTIVATION_KERNELS[activation]
        self.forward = kernel.forward_float if self.single else kernel.forward_double
        self.backward = kernel.backward_float if self.single else kernel.backward_double
        self.keeps_input = kernel.keeps_input
        self.column_scale = self.address(scale, dtype, False)
        self.output = <const double*> self.address(output, np.float64, False)
        for l in range(self.n_layers - 1):
            layer = &self.layers[l]
            layer.active = self.address(
                np.zeros((self.chunk, layer.n_out + 1), dtype), dtype, True)
            layer.product = layer.active
            if self.keeps_input or self.dropout > 0:
                layer.product = self.address(
                    np.zeros((self.chunk, layer.n_out + 1), dtype), dtype, True)
        for l in range(2):
            self.gradients[l] = self.address(
                np.zeros((self.chunk, max(widths[1:]) + 1), dtype), dtype, True)
        if self.csr.indptr != NULL:
            self.first = self.address(np.empty((self.d + 1, widths[1]), dtype), dtype, True)
        return 0

    cdef int set_model(self, tuple model, state) except -1:
        """Say what the model minimises and how; ``state`` is its optimizer's."""
        cdef LossKernel loss
        cdef StepKernel step
        cdef MissedKernel missed
        cdef Model* m = &self.model
        dtype = np.float32 if self.single else np.float64
        loss_name, loss_params, self.step_name, step_params, m.l2, m.l1, m.scale = model
        if isinstance(loss_name, str):
            loss = LOSS_KERNELS[loss_name]
            m.loss = loss.for_float if self.single else loss.for_double
            m.loss_at = loss.at_float if self.single else loss.at_double
            m.joint = loss.joint
        else:
            self.own_loss = loss_name
            m.joint = self.target_kind == TARGET_CLASS
        loss_params = np.array(loss_params, np.float64)
        m.loss_param = <const double*> self.address(loss_params, np.float64, False)
        m.loss_param_step = loss_params.shape[1] if loss_params.ndim == 2 else 0
        m.step_param = <const double*> self.address(
            np.array(step_params, np.float64), np.float64, False)
        m.state = self.address(state, dtype, True)
        self.n_slots = state.shape[0]
        self.plain_sgd = self.step_name == "sgd"
        if isinstance(self.step_name, str):
            step = STEP_KERNELS[self.step_name]
            m.step = step.for_float if self.single else step.for_double
            missed = MISSED_KERNELS.get(self.step_name)
            if missed is not None:
                m.missed = missed.for_float if self.single else missed.for_double
                m.forgets, m.cost = missed.forgets, missed.cost
        else:
            flat = state.reshape(-1)
            self.own_step = self.step_name
            self.own_state = [
                flat[self.n_slots * self.layers[l].offset :][
                    : self.n_slots * self.layers[l].n_out * self.layers[l].row
                ].reshape(self.n_slots, -1) for l in range(self.n_layers)]
        self.set_thresholds()

    def set_metric(self, metric, coordinates=None):
        """Change the optimizer's coordinates; ``coordinates`` must agree with the weights."""
        dtype = np.float32 if self.single else np.float64
        self.metric = NULL
        self.metric_kind = METRIC_NONE
        self.max_metric, self.lazy_batch = 1.0, 0
        self.U = self.W
        self.H = self.G
        if metric is None:
            return
        # Apart from what lives as long as the trainer: an earlier metric is let go.
        kept, self.keep = self.keep, []
        self.metric_kind = METRIC_DIAGONAL if metric.ndim == 2 else METRIC_FULL
        self.metric = self.address(metric, dtype, False)
        self.max_metric = metric.max()
        self.metric_stride = 0 if metric.shape[0] == 1 else metric.strides[0] // metric.itemsize
        self.U = self.address(coordinates, dtype, True)
        self.H = self.address(np.empty(self.size, dtype), dtype, True)
        self.keep_metric, self.keep = self.keep, kept
        self.set_thresholds()

    cdef int set_thresholds(self) except -1:
        """What the penalty's l1 is for each of the optimizer's coordinates."""
        if self.model.l1 == 0:
            return 0
        if self.metric_kind == METRIC_FULL:
            raise ValueError("an l1 penalty has no proximal step in a metric that is not diagonal")
        if self.single:
            fill_thresholds[float](self, <float*> self.L)
        else:
            fill_thresholds[double](self, <double*> self.L)
        return 0

    cdef bint one_by_one(self) noexcept:
        """Whether epochs go by ``stochastic_epoch``."""
        return (
            self.k == 1 and self.batch_size == 1 and self.n > 1 and self.plain_sgd
            and self.metric_kind == METRIC_NONE and self.n_layers == 1 and self.X != NULL
            and self.model.loss_at != NULL and self.model.l1 == 0
        )

    @property
    def nbytes(self):
        """Of the arrays that it writes to, those that training makes besides included; one that
        shares batches reads rows through the buffers of another."""
        arrays = [*self.keep, *(self.keep_metric or ()), *(self.keep_lazy or ())]
        size = sum([array.nbytes for array, writable in arrays if writable])
        if self.order == NULL and not self.shares_batches():
            size += 4 * self.n
        if self.csr.indptr != NULL:
            # The pointers' copy.
            size += 8 * self.csr_rows
            if self.keep_lazy is None:
                size += lazy_size(self)
        return size

    def shares_batches(self):
        """Whether ``run_bank`` can train this among others."""
        return self.X != NULL and not self.one_by_one()

    cdef int own_block(self) except -1:
        """Room for a chunk's rows."""
        dtype = np.float32 if self.single else np.float64
        if self.xb == NULL:
            self.xb = self.address(np.empty((self.chunk, self.d + 1), dtype), dtype, True)
        return 0

    cdef int own_buffers(self, Py_ssize_t n_models) except -1:
        """Sample-wise numbers of a chunk: targets, values, weights, and for so many models raw
        predictions and derivatives."""
        dtype = np.float32 if self.single else np.float64
        cdef Py_ssize_t item = dtype().itemsize, size = self.k * self.chunk
        if self.buffers is not None and len(self.buffers) >= (2 + 2 * n_models) * size + self.chunk:
            return 0
        self.buffers = np.empty((2 + 2 * n_models) * size + self.chunk, dtype)
        self.yb = self.address(self.buffers, dtype, True)
        self.value = self.yb + size * item
        self.sb = self.value + size * item
        self.raw = self.sb + self.chunk * item
        self.grad = self.raw + n_models * size * item
        return 0

    cdef int own_order(self) except -1:
        """Room for the order of the rows; none is needed where they come as they are."""
        if self.order == NULL and (self.shuffle or self.rows != NULL):
            self.order = <uint32_t*> self.address(np.empty(self.n, np.uint32), np.uint32, True)
            self.restore_order()
        return 0

    cdef void restore_order(self) noexcept nogil:
        cdef Py_ssize_t i
        if self.rows != NULL:
            memcpy(self.order, self.rows, self.n * sizeof(uint32_t))
        else:
            for i in range(self.n):
                self.order[i] = <uint32_t> i

    def run(self, Py_ssize_t first_epoch, Py_ssize_t n_epochs, const double[::1] rates,
            double[::1] history):
        """Train for up to ``n_epochs`` epochs.

        Parameters
        ----------
        first_epoch : int
            The number of epochs made before; seeds the order of the rows.
        n_epochs : int
        rates : ndarray of shape (1,) or (n_epochs * batches an epoch,)
            Learning rates, one for all updates or one for each.
        history : ndarray of shape (n_epochs,)
            Filled with each epoch's running mean of the objective.

        Returns
        -------
        n_done : int
            Less than ``n_epochs`` where a value was not finite: training stops after the epoch
            in which that happened, which is counted; its history is not finite.
        """
        if self.single:
            return run(self, <float*> self.W, first_epoch, n_epochs, rates, history)
        return run(self, <double*> self.W, first_epoch, n_epochs, rates, history)

    def evaluate(self, gradient=None):
        """The full objective; ``gradient``, where given, of the shape of the weights, float64, is
        filled with the gradient of all but its l1 term with respect to them."""
        cdef double* out = NULL
        if gradient is not None:
            out = <double*> <size_t> gradient.ctypes.data
        if self.single:
            return evaluate(self, <float*> self.W, out)
        return evaluate(self, <double*> self.W, out)


cdef void fill_thresholds(Trainer t, floating* L) noexcept nogil:
    cdef Py_ssize_t r, j, l, ld = t.d + 1
    cdef double l1 = t.model.l1 * t.model.scale
    cdef const floating* T
    cdef floating* row
    if t.n_layers > 1:
        for l in range(t.n_layers):
            for r in range(t.layers[l].n_out):
                row = L + t.layers[l].offset + r * t.layers[l].row
                for j in range(t.layers[l].n_in):
                    row[j] = <floating> l1
        return
    for r in range(t.k):
        T = <const floating*> t.metric + r * t.metric_stride
        for j in range(t.d):
            L[r * ld + j] = <floating> (l1 if t.metric_kind == METRIC_NONE else l1 * T[j])


cdef inline int look_for_signals(Trainer t, Py_ssize_t work) except -1 nogil:
    """Let Ctrl-C through now and then; ``work`` counts what was done since the last call."""
    t.work += work
    if t.work > SIGNAL_WORK:
        t.work = 0
        with gil:
            PyErr_CheckSignals()
    return 0


cdef int call_loss(
    Trainer t, Trainer room, Py_ssize_t n, floating* y, floating* raw, floating* value,
    floating* gradient,
) except -1 nogil:
    cdef Model* model = &t.model
    if model.loss == NULL:
        with gil:
            return python_loss(t, room, n, y, raw, value, gradient)
    cdef Py_ssize_t k = t.k, r, calls = 1
    cdef const double* param
    if model.loss_param_step > 0:
        k, calls = 1, t.k
    for r in range(calls):
        param = model.loss_param + r * model.loss_param_step
        if floating is double:
            (<loss_double> model.loss)(
                n, k, y + r * n, raw + r * n, param, value + r * n, gradient + r * n)
        else:
            (<loss_float> model.loss)(
                n, k, y + r * n, raw + r * n, param, value + r * n, gradient + r * n)
    return 0


cdef int python_loss(
    Trainer t, Trainer room, Py_ssize_t n, floating* y, floating* raw, floating* value,
    floating* gradient,
) except -1:
    """Call a loss written in NumPy, on copies in the shapes that its author expects."""
    cdef Py_ssize_t k = t.k, k_y = 1 if t.target_kind == TARGET_CLASS else t.k, i
    cdef floating* origin = <floating*> room.yb
    cdef bint blamed = False
    # Slices of one array cost less than an array made of each pointer.
    buffers, f = room.buffers, t.own_loss
    y_rows = buffers[y - origin : y - origin + k_y * n].copy()
    raw_rows = buffers[raw - origin : raw - origin + k * n].copy()
    if t.target_kind == TARGET_CLASS:
        y_rows = y_rows.astype(np.intp)
    elif k > 1:
        y_rows = y_rows.reshape(k, n).T
    if k > 1:
        raw_rows = raw_rows.reshape(k, n).T
    values, gradients = f(y_rows, raw_rows)
    if np.shape(values) != (n,):
        raise ValueError(
            f"{name_of(f)} returned values of shape {np.shape(values)}; one value a row, shape "
            f"{(n,)}, is needed (summed over the columns of raw).")
    if np.shape(gradients) != raw_rows.shape:
        raise ValueError(
            f"{name_of(f)} returned a gradient of shape {np.shape(gradients)}; raw's shape, "
            f"{raw_rows.shape}, is needed.")
    if k > 1:
        gradients = np.transpose(gradients).ravel()
    buffers[value - origin : value - origin + n] = values
    buffers[gradient - origin : gradient - origin + k * n] = gradients
    for i in range(n):
        blamed = blamed or value[i] != value[i]
    for i in range(k * n):
        blamed = blamed or gradient[i] != gradient[i]
    # Infinity is a step too far; a number that is none is a mistake where raw is one.
    for i in range(k * n):
        blamed = blamed and isfinite(raw[i])
    if blamed:
        raise ValueError(f"{name_of(f)} returned NaN for finite raw predictions.")
    return 0


def name_of(f):
    return getattr(f, "__qualname__", None) or repr(f)


cdef int call_step(Trainer t, floating* w, floating* g, double rate) except -1 nogil:
    """One step of the optimizer, layer by layer."""
    cdef Model* model = &t.model
    cdef Py_ssize_t l, at, size, row
    cdef floating* l1
    cdef floating* state
    t.steps[0] += 1
    for l in range(t.n_layers):
        row = t.layers[l].row
        at, size = t.layers[l].offset, t.layers[l].n_out * row
        l1 = <floating*> t.L + at if model.l1 > 0 else NULL
        state = <floating*> model.state + t.n_slots * at
        if model.step == NULL:
            with gil:
                python_step(t, l, size, w + at, g + at, l1, rate)
        else:
            compiled_step(model, size, row, w + at, g + at, l1, state, t.steps[0], rate)
    return 0


cdef inline void compiled_step(
    Model* model, Py_ssize_t size, Py_ssize_t row, floating* w, const floating* g,
    const floating* l1, floating* state, int64_t t, double rate,
) noexcept nogil:
    if floating is double:
        (<step_double> model.step)(size, row, w, g, l1, state, t, rate, model.step_param)
    else:
        (<step_float> model.step)(size, row, w, g, l1, state, t, rate, model.step_param)


cdef int python_step(
    Trainer t, Py_ssize_t l, Py_ssize_t size, floating* w, floating* g, floating* l1, double rate,
) except -1:
    """Call an optimizer written in NumPy, for one layer.

    Its scaling is not known, so that an l1 penalty takes no proximal step: the optimizer sees
    the smallest subgradient of the whole, and weights do not leave the orthant of its negative
    (Andrew, Gao 2007, OWL-QN)."""
    step, state = t.own_step, t.own_state[l]
    parameters, gradient = np.asarray(<floating[:size]> w), np.asarray(<floating[:size]> g)
    if l1 == NULL:
        step(parameters, gradient, state, t.steps[0], rate)
        return 0
    threshold = np.asarray(<floating[:size]> l1)
    at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - threshold, 0)
    gradient[...] = np.where(parameters == 0, at_zero, gradient + threshold * np.sign(parameters))
    orthant = np.where(parameters == 0, -np.sign(gradient), np.sign(parameters))
    step(parameters, gradient, state, t.steps[0], rate)
    parameters[(threshold > 0) & (np.sign(parameters) != orthant)] = 0
    return 0


cdef int model_losses(
    Trainer t, Trainer room, floating* raw, floating* grad, Py_ssize_t n, double* total,
    bint slopes,
) except -1 nogil:
    """Add the weighted losses of the n rows whose targets and weights are in the buffers of
    ``room`` to total; leave the weighted derivatives in ``grad`` (k, n) if ``slopes``."""
    cdef Py_ssize_t k = t.k, r, i
    cdef floating* s = <floating*> room.sb
    cdef floating* value = <floating*> room.value
    cdef bint weighted = t.weight != NULL
    call_loss[floating](t, room, n, <floating*> room.yb, raw, value, grad)
    for r in range(1 if t.model.joint or t.model.loss == NULL else k):
        total[0] += weighted_sum(n, value + r * n, s if weighted else NULL)
    if weighted and slopes:
        for r in range(k):
            for i in range(n):
                grad[r * n + i] *= s[i]
    return 0


cdef void gather_block(
    Trainer t, const floating* X, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, bint rows,
) noexcept nogil:
    """Targets and weights of n rows into the buffers, and the rows too where they are wanted."""
    gather_targets[floating](
        n, t.k, <const floating*> t.target, <const floating*> t.weight, order, start,
        t.target_kind, <floating*> t.yb, <floating*> t.sb)
    if not rows:
        return
    if t.n_layers > 1:
        gather_extended[floating](
            n, t.d, X, order, start, t.n, t.streams, <const floating*> t.shift,
            <const floating*> t.column_scale, <floating> t.intercept, <floating*> t.xb)
    else:
        gather_rows[floating](
            n, t.d, X, order, start, t.n, t.streams, <const floating*> t.shift, <floating*> t.xb)


cdef int linear_gradient(
    Trainer t, Trainer room, const floating* X, const uint32_t* order, Py_ssize_t start,
    const floating* shift, Py_ssize_t n, floating* G, double* total,
) except -1 nogil:
    """As ``forward_backward``, with the rows that X, order and start say, less the shift, and
    targets, weights and buffers in ``room``."""
    cdef Py_ssize_t d = t.d, ld = d + 1, k = t.k, r, i
    cdef const floating* W = <const floating*> t.W
    cdef floating* raw = <floating*> room.raw
    cdef floating* grad = <floating*> room.grad
    cdef bint sparse = t.csr.indptr != NULL
    if sparse:
        sparse_dot_rows[floating](n, &t.csr, order, start, t.n, k, ld, W, 1, raw)
    elif k == 1:
        dot_rows[floating](n, d, X, order, start, t.n, t.streams, shift, W, W[d], raw)
    else:
        gemm[floating](b"n", b"t", k, n, d, 1, W, ld, X, d, 0, raw, n)
        for r in range(k):
            for i in range(n):
                raw[r * n + i] += W[r * ld + d]
    model_losses[floating](t, room, raw, grad, n, total, G != NULL)
    if G == NULL:
        return 0
    if sparse:
        sparse_axpy_rows[floating](n, &t.csr, order, start, k, ld, grad, 1, G)
    elif k == 1:
        axpy_rows(n, d, X, order, start, shift, grad, G)
    else:
        gemm[floating](b"n", b"n", k, d, n, 1, grad, n, X, d, 1, G, ld)
    if t.intercept:
        for r in range(k):
            G[r * ld + d] += <floating> weighted_sum(n, <const floating*> grad + r * n, NULL)
    return 0


cdef int forward_backward(
    Trainer t, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, floating* G, double* total,
    bint training,
) except -1 nogil:
    """Add the weighted losses of n rows to total and, unless G is NULL, their gradient with
    respect to the extended weights to G (size,).  Dropout is for ``training``."""
    cdef const floating* X = <const floating*> t.X
    cdef const floating* shift = <const floating*> t.shift
    cdef bint dense = t.csr.indptr == NULL, straight = t.n_layers == 1 and (
        not dense or t.k == 1 or (order == NULL and shift == NULL))
    gather_block[floating](t, X, order, start, n, dense and not straight)
    if t.n_layers > 1:
        return network_gradient[floating](t, t, order, start, n, G, total, training)
    if straight:
        # One output needs no copy of the rows, nor do rows as they are.
        if t.k > 1 and dense:
            X, start = X + start * t.d, 0
        return linear_gradient[floating](t, t, X, order, start, shift, n, G, total)
    return linear_gradient[floating](
        t, t, <const floating*> t.xb, NULL, 0, NULL, n, G, total)


cdef void begin_sum(Trainer t, floating* G, Py_ssize_t n) noexcept nogil:
    """Begin to sum gradients of n rows into G, chunk by chunk; float32 sums of chunks add up in
    float64."""
    memset(G, 0, t.size * sizeof(floating))
    if floating is float and n > t.chunk:
        memset(t.acc, 0, t.size * sizeof(double))


cdef void add_chunk(Trainer t, floating* G, Py_ssize_t n) noexcept nogil:
    """A chunk's sum is in G."""
    cdef Py_ssize_t j
    if floating is float and n > t.chunk:
        for j in range(t.size):
            t.acc[j] += <double> G[j]
        memset(G, 0, t.size * sizeof(floating))


cdef void end_sum(Trainer t, floating* G, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if floating is float and n > t.chunk:
        for j in range(t.size):
            G[j] = <floating> t.acc[j]


cdef int batch_gradient(
    Trainer t, floating* G, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, double* total,
) except -1 nogil:
    """Sum over n rows into G."""
    cdef Py_ssize_t done = 0, m
    begin_sum(t, G, n)
    while done < n:
        m = min(t.chunk, n - done)
        forward_backward[floating](t, order, start + done, m, G, total, True)
        add_chunk(t, G, n)
        done += m
        look_for_signals(t, m * t.size)
    end_sum(t, G, n)
    return 0


cdef int update(Trainer t, floating* G, Py_ssize_t n, double rate) except -1 nogil:
    """One optimizer step, G being the summed gradients of n rows."""
    cdef Py_ssize_t d, ld = t.d + 1, r, j, l, at
    cdef floating* H = <floating*> t.H
    cdef floating* W = <floating*> t.W
    cdef floating* U = <floating*> t.U
    cdef floating* g
    cdef const floating* T
    cdef floating scale = <floating> (t.model.scale / n)
    cdef floating l2 = <floating> (t.model.l2 * t.model.scale)
    for l in range(t.n_layers):
        d = t.layers[l].n_in
        for r in range(t.layers[l].n_out):
            at = t.layers[l].offset + r * (d + 1)
            g = G + at
            for j in range(d):
                g[j] = g[j] * scale + l2 * W[at + j]
            g[d] *= scale
    if t.metric_kind != METRIC_NONE:
        for r in range(t.k):
            T = <const floating*> t.metric + r * t.metric_stride
            if t.metric_kind == METRIC_DIAGONAL:
                for j in range(ld):
                    H[r * ld + j] = G[r * ld + j] * T[j]
            else:
                memset(H + r * ld, 0, ld * sizeof(floating))
                axpy_upper(ld, T, G + r * ld, H + r * ld)
    call_step[floating](t, U, H, rate)
    if t.metric_kind != METRIC_NONE:
        for r in range(t.k):
            T = <const floating*> t.metric + r * t.metric_stride
            if t.metric_kind == METRIC_DIAGONAL:
                for j in range(ld):
                    W[r * ld + j] = U[r * ld + j] * T[j]
            else:
                dot_upper(ld, T, U + r * ld, W + r * ld)
    return 0


cdef int stochastic_epoch(
    Trainer t, floating* W, const double* rates, Py_ssize_t rate_step, double* total,
) except -1 nogil:
    """An epoch of plain stochastic gradient descent, one row a step: gradient, penalty and step
    are one pass over the weights.

    A step waits for its raw prediction x_i . w, and that for the step before.  The wait is cut by
    taking x_i . w before that last step, w' = decay w + a z, and adding what the step changes:
    x_i . w' = decay (x_i . w) + a (x_i . z)."""
    cdef Py_ssize_t d = t.d, i, row, following
    cdef const floating* X = <const floating*> t.X
    cdef const floating* target = <const floating*> t.target
    cdef const floating* weight = <const floating*> t.weight
    cdef const floating* shift = <const floating*> t.shift
    cdef floating y, z, v, g, decay, a, with_w = 0, with_row = 0
    cdef floating one = 1 if t.intercept else 0
    cdef double rate, l2 = t.model.l2, sum_ = 0
    row = <Py_ssize_t> t.order[0] if t.order != NULL else 0
    z = dot(d, X + row * d, shift, W) + W[d]
    for i in range(t.n):
        following = row
        if i + 1 < t.n:
            following = <Py_ssize_t> t.order[i + 1] if t.order != NULL else i + 1
            dot_pair(d, X + following * d, X + row * d, shift, W, &with_w, &with_row)
        if t.streams and t.order != NULL and i + AHEAD < t.n:
            prefetch_row(X + <Py_ssize_t> t.order[i + AHEAD] * d, d * sizeof(floating))
            prefetch(target + t.order[i + AHEAD])
        y = target[row]
        if floating is double:
            g = (<at_double> t.model.loss_at)(y, z, t.model.loss_param, &v)
        else:
            g = (<at_float> t.model.loss_at)(y, z, t.model.loss_param, &v)
        if weight != NULL:
            v *= weight[row]
            g *= weight[row]
        sum_ += <double> v
        rate = rates[i * rate_step]
        decay = <floating> (1 - rate * l2)
        a = <floating> (-rate) * g
        z = (decay * with_w + W[d]) + a * (with_row + one)
        decay_axpy(d, decay, a, X + row * d, shift, W)
        W[d] += a * one
        row = following
        look_for_signals(t, d + 16)
    t.steps[0] += t.n
    total[0] += sum_
    return 0


cdef void add_penalty(Trainer t, const floating* W, double* out) noexcept nogil:
    cdef Py_ssize_t l, r, j, d
    cdef double sum_, sizes
    cdef const floating* w
    for l in range(t.n_layers):
        d = t.layers[l].n_in
        for r in range(t.layers[l].n_out):
            w = W + t.layers[l].offset + r * (d + 1)
            sum_ = sizes = 0
            for j in range(d):
                sum_ += <double> w[j] * <double> w[j]
            if t.model.l1 > 0:
                for j in range(d):
                    sizes += fabs(<double> w[j])
            out[0] += 0.5 * t.model.l2 * sum_ + t.model.l1 * sizes


cdef void begin_epoch(
    Trainer t, const floating* W, double* total, double* penalty, Py_ssize_t epoch
) noexcept nogil:
    total[0] = penalty[0] = 0
    # The penalty at the epoch's start, so that a full-batch epoch's value is F itself.
    add_penalty(t, W, penalty)
    t.mask_seed = mix(~t.seed + mix(epoch + 1))


cdef void order_epoch(Trainer t, Py_ssize_t epoch) noexcept nogil:
    if t.shuffle:
        t.restore_order()
        permute(t.order, t.n, t.seed, epoch)


cdef bint end_epoch(Trainer t, const floating* W, double* total, double* penalty) noexcept nogil:
    """Make a mean of the sum; returns whether all is finite."""
    total[0] = total[0] / t.n + penalty[0]
    penalty[0] = 0
    add_penalty(t, W, penalty)
    if not isfinite(penalty[0]):
        total[0] = penalty[0]
    return isfinite(total[0])


cdef run(
    Trainer t, floating* W, Py_ssize_t first_epoch, Py_ssize_t n_epochs,
    const double[::1] rates, double[::1] history,
):
    cdef Py_ssize_t epoch, start, b, step = 0, rate_step = 0 if rates.shape[0] == 1 else 1
    cdef const double* rate = &rates[0]
    cdef double* total
    cdef double penalty
    cdef bint plain = t.one_by_one()
    cdef Py_ssize_t per_epoch = (t.n + t.batch_size - 1) // t.batch_size
    cdef int path = PATH_DENSE
    if t.csr.indptr != NULL and t.n_layers == 1:
        path = choose_path(t, rates)
    if path == PATH_LAZY:
        prepare_lazy(t, per_epoch)
    t.own_order()
    with nogil:
        for epoch in range(n_epochs):
            total = &history[epoch]
            begin_epoch(t, W, total, &penalty, first_epoch + epoch)
            order_epoch(t, first_epoch + epoch)
            if plain:
                stochastic_epoch(t, W, rate + step * rate_step, rate_step, total)
            elif path == PATH_DIRECT:
                direct_epoch(t, W, rate + step * rate_step, rate_step, total)
            elif path == PATH_LAZY:
                fill_tables(t, rate + step * rate_step, rate_step, per_epoch)
                lazy_epoch(t, W, rate + step * rate_step, rate_step, total)
            else:
                start = 0
                while start < t.n:
                    b = min(t.batch_size, t.n - start)
                    batch_gradient(t, <floating*> t.G, t.order, start, b, total)
                    update(
                        t, <floating*> t.G, b, rate[(step + start // t.batch_size) * rate_step])
                    start += b
                    look_for_signals(t, (b + 4) * t.size)
            step += per_epoch
            if not end_epoch(t, W, total, &penalty):
                break
    return epoch + 1


include "_bank.pxi"
include "_sparse.pxi"
include "_network.pxi"


cdef double evaluate(Trainer t, floating* W, double* gradient) except? -1:
    cdef Py_ssize_t done = 0, l, r, j, b, d, at
    cdef floating* G = NULL if gradient == NULL else <floating*> t.G
    cdef double objective = 0
    with nogil:
        if gradient != NULL:
            memset(gradient, 0, t.size * sizeof(double))
        while done < t.n:
            b = min(t.chunk, t.n - done)
            if G != NULL:
                memset(G, 0, t.size * sizeof(floating))
            forward_backward[floating](t, t.rows, done, b, G, &objective, False)
            if G != NULL:
                for j in range(t.size):
                    gradient[j] += <double> G[j]
            done += b
            look_for_signals(t, b * t.size)
        objective /= t.n
        add_penalty(t, W, &objective)
        if gradient != NULL:
            for j in range(t.size):
                gradient[j] /= t.n
            for l in range(t.n_layers):
                d = t.layers[l].n_in
                for r in range(t.layers[l].n_out):
                    at = t.layers[l].offset + r * (d + 1)
                    for j in range(d):
                        gradient[at + j] += t.model.l2 * W[at + j]
    return objective


def column_moments(X, weight, rows, origin):
    """Weighted sums of x - origin and of its square over the rows used.

    Parameters
    ----------
    X : C-ordered ndarray of shape (n_rows, d), float32 or float64, or CSR
        See ``Trainer``.
    weight : ndarray of shape (n_rows,), X's dtype, or None
    rows : ndarray of uint32 or None
    origin : ndarray of shape (d,), float64
        Zero for CSR.

    Returns
    -------
    sums : ndarray of shape (2, d), float64
    mass : float
        Sum of the weights.
    """
    cdef Py_ssize_t n = X.shape[0] if rows is None else rows.shape[0], d = X.shape[1]
    cdef double[:, ::1] sums = np.zeros((2, d))
    cdef const double[::1] around = np.ascontiguousarray(origin, dtype=np.float64)
    cdef const uint32_t* order = NULL
    cdef size_t x_address = 0
    cdef Csr csr
    cdef size_t w_address = 0 if weight is None else weight.ctypes.data
    cdef double mass
    if rows is not None:
        order = <const uint32_t*> <size_t> rows.ctypes.data
    if d == 0:
        return np.asarray(sums), float(n)
    if hasattr(X, "indptr"):
        csr.data = <const char*> <size_t> X.data.ctypes.data
        indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64)
        csr.indices = <const int32_t*> <size_t> indices.ctypes.data
        csr.indptr = <const int64_t*> <size_t> indptr.ctypes.data
        if X.dtype == np.float32:
            mass = sparse_moments[float](
                n, &csr, <const float*> w_address, order, &sums[0, 0], &sums[1, 0])
        else:
            mass = sparse_moments[double](
                n, &csr, <const double*> w_address, order, &sums[0, 0], &sums[1, 0])
        return np.asarray(sums), mass
    x_address = X.ctypes.data
    if X.dtype == np.float32:
        mass = moments[float](
            n, d, <const float*> x_address, <const float*> w_address, order, &around[0],
            &sums[0, 0], &sums[1, 0])
    else:
        mass = moments[double](
            n, d, <const double*> x_address, <const double*> w_address, order, &around[0],
            &sums[0, 0], &sums[1, 0])
    return np.asarray(sums), mass


cdef double moments(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const floating* weight,
    const uint32_t* order, const double* origin, double* first, double* second,
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double w = 1, mass = 0, difference
    cdef const floating* x
    for i in range(n):
        x = row_at(X, order, i, d)
        if weight != NULL:
            w = weight[<Py_ssize_t> order[i] if order != NULL else i]
        mass += w
        for j in range(d):
            difference = <double> x[j] - origin[j]
            first[j] += w * difference
            second[j] += w * difference * difference
    return mass
