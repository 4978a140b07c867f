# Batches of sparse rows (CSR): products, and epochs whose cost is that of the numbers stored.
#
# An epoch goes one of three ways, by cost (see `choose_path`):
#
# - dense: the gradient and the update run over all features.  Any optimizer, any penalty.
# - direct: plain gradient steps without a metric.  The weights are s v; a step's decay is one
#   multiplication of s and its gradient is added to v where it is not zero.
# - lazy: a feature that no row of a batch has sees a gradient of zero but for the penalty's. Such
#   steps are made up for when the feature is next met, by the optimizer's kernel in _lazy.pxi; the
#   batch's own features are copied into contiguous vectors, on which the ordinary kernels work.

cdef inline floating sparse_dot(
    Py_ssize_t n, const floating* x, const int32_t* at, const floating* w
) noexcept nogil:
    """Four sums, since each addition waits for the one before it."""
    cdef floating s0 = 0, s1 = 0, s2 = 0, s3 = 0
    cdef Py_ssize_t p = 0
    while p + 4 <= n:
        s0 += x[p] * w[at[p]]
        s1 += x[p + 1] * w[at[p + 1]]
        s2 += x[p + 2] * w[at[p + 2]]
        s3 += x[p + 3] * w[at[p + 3]]
        p += 4
    while p < n:
        s0 += x[p] * w[at[p]]
        p += 1
    return (s0 + s1) + (s2 + s3)


cdef inline void sparse_axpy(
    Py_ssize_t n, floating a, const floating* x, const int32_t* at, floating* out
) noexcept nogil:
    cdef Py_ssize_t p
    for p in range(n):
        out[at[p]] += a * x[p]


cdef inline Py_ssize_t row_index(const uint32_t* order, Py_ssize_t i) noexcept nogil:
    return <Py_ssize_t> order[i] if order != NULL else i


cdef void prefetch_sparse_row(
    const Csr* X, const uint32_t* order, Py_ssize_t i, Py_ssize_t n, Py_ssize_t item
) noexcept nogil:
    cdef Py_ssize_t row, begin, size
    if order == NULL or i >= n:
        return
    row = <Py_ssize_t> order[i]
    begin = X.indptr[row]
    size = X.indptr[row + 1] - begin
    prefetch_row(X.data + begin * item, size * item)
    prefetch_row(X.indices + begin, size * sizeof(int32_t))


cdef void sparse_dot_rows(
    Py_ssize_t n, const Csr* X, const uint32_t* order, Py_ssize_t start, Py_ssize_t n_rows,
    Py_ssize_t k, Py_ssize_t ld, const floating* W, floating scale, floating* raw,
) noexcept nogil:
    """raw (k, n) = scale times rows . W' plus the intercepts."""
    cdef const floating* data = <const floating*> X.data
    cdef Py_ssize_t i, r, row, begin, size
    for i in range(n):
        prefetch_sparse_row(X, order, start + i + 2, n_rows, sizeof(floating))
        row = row_index(order, start + i)
        begin = X.indptr[row]
        size = X.indptr[row + 1] - begin
        for r in range(k):
            raw[r * n + i] = scale * sparse_dot(
                size, data + begin, X.indices + begin, W + r * ld) + W[r * ld + ld - 1]


cdef void sparse_axpy_rows(
    Py_ssize_t n, const Csr* X, const uint32_t* order, Py_ssize_t start, Py_ssize_t k,
    Py_ssize_t ld, const floating* a, floating scale, floating* out,
) noexcept nogil:
    """out (k, ld) += scale times the sum of a[r, i] times row i."""
    cdef const floating* data = <const floating*> X.data
    cdef Py_ssize_t i, r, row, begin
    for i in range(n):
        row = row_index(order, start + i)
        begin = X.indptr[row]
        for r in range(k):
            if a[r * n + i] != 0:
                sparse_axpy(
                    X.indptr[row + 1] - begin, scale * a[r * n + i], data + begin,
                    X.indices + begin, out + r * ld)


cdef int direct_epoch(
    Trainer t, floating* W, const double* rates, Py_ssize_t rate_step, double* total
) except -1 nogil:
    """An epoch of plain gradient steps, the weights being s v in between."""
    cdef Py_ssize_t d = t.d, k = t.k, ld = d + 1, start = 0, step = 0, b, r, j
    cdef double s = 1, decay, rate, a
    cdef floating* grad = <floating*> t.grad
    while start < t.n:
        b = min(t.batch_size, t.n - start)
        rate = rates[step * rate_step]
        decay = 1 - rate * t.model.l2 * t.model.scale
        gather_targets[floating](
            b, k, <const floating*> t.target, <const floating*> t.weight, t.order, start,
            t.target_kind, <floating*> t.yb, <floating*> t.sb)
        sparse_dot_rows[floating](
            b, &t.csr, t.order, start, t.n, k, ld, W, <floating> s, <floating*> t.raw)
        model_losses[floating](t, t, <floating*> t.raw, grad, b, total, True)
        s *= decay
        if fabs(s) < 1e-4:
            for r in range(k):
                for j in range(d):
                    W[r * ld + j] *= <floating> s
            s = 1
        a = -rate * t.model.scale / b
        sparse_axpy_rows[floating](
            b, &t.csr, t.order, start, k, ld, grad, <floating> (a / s), W)
        if t.intercept:
            for r in range(k):
                W[r * ld + d] += <floating> (
                    a * weighted_sum(b, <const floating*> grad + r * b, NULL))
        start += b
        step += 1
        look_for_signals(t, 16 + 20 * b * k)
    for r in range(k):
        for j in range(d):
            W[r * ld + j] *= <floating> s
    t.steps[0] += step
    return 0


cdef Py_ssize_t meet(
    const Csr* X, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, Lazy* z
) noexcept nogil:
    """List the features of n rows, and say where in the list each number stored belongs."""
    cdef Py_ssize_t i, p, row
    cdef int32_t j, tag, place, n_met = 0, base = z.base
    cdef int32_t* places = z.places
    cdef bint fresh
    for i in range(n):
        row = row_index(order, start + i)
        for p in range(X.indptr[row], X.indptr[row + 1]):
            j = X.indices[p]
            # Without a branch: about every second feature is new, in no order.
            tag = z.tag[j]
            fresh = tag < base
            place = n_met if fresh else tag - base
            z.met[n_met] = j
            z.tag[j] = base + place
            places[0] = place
            places += 1
            n_met += fresh
    z.base = base + n_met
    return n_met


cdef void reset_tags(Lazy* z, Py_ssize_t d) noexcept nogil:
    cdef Py_ssize_t j
    z.base = 0
    for j in range(d):
        z.tag[j] = -1


cdef void fill_blocks(Trainer t, Lazy* z, const floating* U, const floating* state) noexcept nogil:
    cdef Py_ssize_t j, r, slot, ld = t.d + 1
    cdef floating* block = <floating*> z.blocks
    for j in range(t.d):
        block[0] = 0
        for r in range(z.n_metrics):
            block[1 + r] = (<const floating*> t.metric)[r * t.metric_stride + j]
        block += 1 + z.n_metrics
        for r in range(t.k):
            block[0] = U[r * ld + j]
            for slot in range(z.n_slots):
                block[1 + slot] = state[(slot * t.k + r) * ld + j]
            block += 1 + z.n_slots


cdef void empty_blocks(
    Trainer t, Lazy* z, floating* U, floating* W, floating* state
) noexcept nogil:
    cdef Py_ssize_t j, r, slot, ld = t.d + 1
    cdef const floating* block = <const floating*> z.blocks
    cdef const floating* T
    for j in range(t.d):
        T = block + 1
        block += 1 + z.n_metrics
        for r in range(t.k):
            U[r * ld + j] = block[0]
            if z.n_metrics > 0:
                W[r * ld + j] = block[0] * T[r if z.n_metrics > 1 else 0]
            for slot in range(z.n_slots):
                state[(slot * t.k + r) * ld + j] = block[1 + slot]
            block += 1 + z.n_slots


cdef void copy_in(
    Trainer t, Lazy* z, Py_ssize_t n_met, Py_ssize_t now, const floating* U, const floating* state
) noexcept nogil:
    """Gather the met features' parameters and state; intercepts last."""
    cdef Py_ssize_t row = n_met + 1, d = t.d, ld = d + 1, r, i, slot
    cdef floating* uc = <floating*> z.U
    cdef floating* sc = <floating*> z.state
    cdef floating* pull = <floating*> z.pull
    cdef floating* Tc = <floating*> z.T
    cdef floating* block
    cdef floating l2 = <floating> (t.model.l2 * t.model.scale), metric
    for i in range(n_met):
        if i + AHEAD < n_met:
            prefetch(z.blocks + z.met[i + AHEAD] * z.stride * <Py_ssize_t> sizeof(floating))
        block = <floating*> z.blocks + z.met[i] * z.stride
        z.lag[i] = <int32_t> now - <int32_t> block[0]
        block[0] = <floating> (now + 1)
        for r in range(z.n_metrics):
            Tc[r * row + i] = block[1 + r]
        block += 1 + z.n_metrics
        for r in range(t.k):
            uc[r * row + i] = block[0]
            for slot in range(z.n_slots):
                sc[(slot * t.k + r) * row + i] = block[1 + slot]
            block += 1 + z.n_slots
    for r in range(t.k):
        uc[r * row + n_met] = U[r * ld + d]
        for slot in range(z.n_slots):
            sc[(slot * t.k + r) * row + n_met] = state[(slot * t.k + r) * ld + d]
        for i in range(n_met):
            metric = 1 if z.n_metrics == 0 else Tc[(r * row if z.n_metrics > 1 else 0) + i]
            pull[r * row + i] = l2 * metric * metric
        pull[r * row + n_met] = 0
    for r in range(z.n_metrics):
        Tc[r * row + n_met] = (<const floating*> t.metric)[r * t.metric_stride + d]


cdef void copy_out(
    Trainer t, Lazy* z, Py_ssize_t n_met, floating* U, floating* W, floating* state
) noexcept nogil:
    cdef Py_ssize_t row = n_met + 1, d = t.d, ld = d + 1, r, i, slot
    cdef const floating* uc = <const floating*> z.U
    cdef const floating* wc = <const floating*> z.W
    cdef const floating* sc = <const floating*> z.state
    cdef floating* block
    for i in range(n_met):
        block = <floating*> z.blocks + z.met[i] * z.stride + 1 + z.n_metrics
        for r in range(t.k):
            block[0] = uc[r * row + i]
            for slot in range(z.n_slots):
                block[1 + slot] = sc[(slot * t.k + r) * row + i]
            block += 1 + z.n_slots
    for r in range(t.k):
        U[r * ld + d] = uc[r * row + n_met]
        W[r * ld + d] = wc[r * row + n_met]
        for slot in range(z.n_slots):
            state[(slot * t.k + r) * ld + d] = sc[(slot * t.k + r) * row + n_met]


cdef void times_metric(
    Lazy* z, Py_ssize_t k, Py_ssize_t row, const floating* v, floating* out
) noexcept nogil:
    """out = the gathered metric times v, k rows; without a metric they are the same array."""
    cdef const floating* T = <const floating*> z.T
    cdef Py_ssize_t r, j
    for r in range(k if z.n_metrics > 0 else 0):
        for j in range(row):
            out[r * row + j] = v[r * row + j] * T[(r * row if z.n_metrics > 1 else 0) + j]


cdef void make_up(
    Trainer t, Lazy* z, floating* uc, Py_ssize_t n_met, Py_ssize_t now
) noexcept nogil:
    """The steps that the gathered features have missed; then their weights."""
    cdef Py_ssize_t row = n_met + 1, size = t.k * (n_met + 1), r, at
    cdef floating* sc = <floating*> z.state
    cdef const floating* pull = <const floating*> z.pull
    for r in range(t.k):
        at = r * row
        if floating is double:
            (<missed_double> t.model.missed)(
                n_met, uc + at, sc + at, size, pull + at, z.lag, now, &z.tables,
                t.model.step_param)
        else:
            (<missed_float> t.model.missed)(
                n_met, uc + at, sc + at, size, pull + at, z.lag, now, &z.tables,
                t.model.step_param)
    times_metric(z, t.k, row, uc, <floating*> z.W)


cdef int lazy_step(
    Trainer t, Lazy* z, floating* uc, Py_ssize_t start, Py_ssize_t b, Py_ssize_t n_met,
    double rate, double* total,
) except -1 nogil:
    """Gradient and update of the features that a batch has."""
    cdef Py_ssize_t row = n_met + 1, k = t.k, r, i, j, q, begin, end, at
    cdef const floating* data = <const floating*> t.csr.data
    cdef floating* wc = <floating*> z.W
    cdef floating* G = <floating*> z.G
    cdef floating* H = <floating*> z.H
    cdef floating* raw = <floating*> t.raw
    cdef floating* grad = <floating*> t.grad
    cdef floating scale = <floating> (t.model.scale / b)
    cdef floating l2 = <floating> (t.model.l2 * t.model.scale)
    gather_targets[floating](
        b, k, <const floating*> t.target, <const floating*> t.weight, t.order, start,
        t.target_kind, <floating*> t.yb, <floating*> t.sb)
    q = 0
    for i in range(b):
        prefetch_sparse_row(&t.csr, t.order, start + b + i, t.n, sizeof(floating))
        at = row_index(t.order, start + i)
        begin = t.csr.indptr[at]
        end = t.csr.indptr[at + 1]
        for r in range(k):
            raw[r * b + i] = sparse_dot(
                end - begin, data + begin, z.places + q, wc + r * row) + wc[r * row + n_met]
        q += end - begin
    model_losses[floating](t, t, raw, grad, b, total, True)
    memset(G, 0, k * row * sizeof(floating))
    q = 0
    for i in range(b):
        at = row_index(t.order, start + i)
        begin = t.csr.indptr[at]
        end = t.csr.indptr[at + 1]
        for r in range(k):
            if grad[r * b + i] != 0:
                sparse_axpy(
                    end - begin, grad[r * b + i], data + begin, z.places + q, G + r * row)
        q += end - begin
    for r in range(k):
        if t.intercept:
            G[r * row + n_met] = scale * <floating> weighted_sum(
                b, <const floating*> grad + r * b, NULL)
        for j in range(r * row, r * row + n_met):
            G[j] = G[j] * scale + l2 * wc[j]
    times_metric(z, k, row, G, H)
    t.steps[0] += 1
    compiled_step(
        &t.model, k * row, row, uc, H, NULL, <floating*> z.state, t.steps[0], rate)
    times_metric(z, k, row, uc, wc)
    return 0


cdef int lazy_epoch(
    Trainer t, floating* W, const double* rates, Py_ssize_t rate_step, double* total
) except -1 nogil:
    """An epoch in which features are updated when they are met, and all of them at its end."""
    cdef Lazy* z = &t.lazy
    cdef Py_ssize_t start = 0, step = 0, b, n_met, j, d = t.d, capacity = t.lazy_capacity
    cdef floating* U = <floating*> t.U
    cdef floating* state = <floating*> t.model.state
    if t.metric_kind == METRIC_NONE:
        z.W, z.H = z.U, z.G
    reset_tags(z, d)
    fill_blocks[floating](t, z, U, state)
    while start < t.n:
        b = min(t.batch_size, t.n - start)
        if z.base > 1000000000:
            reset_tags(z, d)
        n_met = meet(&t.csr, t.order, start, b, z)
        copy_in[floating](t, z, n_met, step, U, state)
        make_up[floating](t, z, <floating*> z.U, n_met, step)
        lazy_step[floating](
            t, z, <floating*> z.U, start, b, n_met, rates[step * rate_step], total)
        copy_out[floating](t, z, n_met, U, W, state)
        start += b
        step += 1
        look_for_signals(t, 16 + 40 * n_met * t.k)
    start = 0
    while start < d:
        n_met = min(capacity, d - start)
        for j in range(n_met):
            z.met[j] = <int32_t> (start + j)
        copy_in[floating](t, z, n_met, step, U, state)
        make_up[floating](t, z, <floating*> z.U, n_met, step)
        copy_out[floating](t, z, n_met, U, W, state)
        start += n_met
    empty_blocks[floating](t, z, U, W, state)
    return 0


cdef double sparse_moments(
    Py_ssize_t n, const Csr* X, const floating* weight, const uint32_t* order, double* first,
    double* second,
) noexcept nogil:
    cdef const floating* data = <const floating*> X.data
    cdef Py_ssize_t i, p, row
    cdef double w = 1, mass = 0, x
    for i in range(n):
        row = row_index(order, i)
        if weight != NULL:
            w = weight[row]
        mass += w
        for p in range(X.indptr[row], X.indptr[row + 1]):
            x = data[p]
            first[X.indices[p]] += w * x
            second[X.indices[p]] += w * x * x
    return mass


cdef int choose_path(Trainer t, const double[::1] rates) except -1:
    """The cheapest way through an epoch of those that the model allows."""
    cdef Py_ssize_t i, stored, batches
    cdef double rate, pull, cost
    if t.wanted_path is not None:
        return PATHS[t.wanted_path]
    if t.model.l1 > 0 or t.batch_size > t.chunk:
        return PATH_DENSE
    if t.plain_sgd and t.metric_kind == METRIC_NONE:
        return PATH_DIRECT
    if t.model.missed == NULL:
        return PATH_DENSE
    rate = np.max(rates)
    pull = t.model.l2 * t.model.scale * t.max_metric**2
    if not may_be_lazy(t, rate, rate * pull, rates.shape[0] == 1):
        return PATH_DENSE
    if t.n_met == 0 or t.lazy_batch != t.batch_size:
        prepare_lazy(t, 1)
        # Batches of the data, not of a shuffle: every epoch and every call decides alike.
        reset_tags(&t.lazy, t.d)
        batches = min(8, max(1, t.n // t.batch_size))
        t.n_met = 0
        for i in range(batches):
            t.n_met += meet(
                &t.csr, t.rows, i * ((t.n - t.batch_size) // max(1, batches - 1)),
                t.batch_size, &t.lazy)
        t.n_met = max(1, t.n_met // batches)
    # In nanoseconds, roughly.
    stored = t.csr.indptr[t.csr_rows] * t.batch_size // max(1, t.csr_rows)
    cost = t.model.cost * t.n_met * t.k
    if 3 * stored + cost < (0.6 + 0.9 * t.n_slots) * t.d * t.k:
        return PATH_LAZY
    return PATH_DENSE


cdef bint may_be_lazy(Trainer t, double rate, double decay, bint constant):
    """Whether the closed forms of _lazy.pxi hold: see there."""
    cdef const double* param = t.model.step_param
    cdef str name = t.step_name
    if name == "sgd":
        return decay <= 0.5
    if name == "momentum":
        return constant and decay <= 0.9 * (1 - sqrt(param[0])) ** 2 and decay <= 0.2
    if t.metric_kind == METRIC_NONE and t.model.l2 > 0:
        # Textbook steps are to be exact.
        return False
    if name == "rmsprop":
        return param[2] == 0 and param[3] == 0
    if name in ("adam", "adamw"):
        return param[1] > 0 and adam_ratio(param) < 0.999 * sqrt(param[1]) and (
            name == "adam" or rate * param[4] * (t.n / t.batch_size + 1) < 20)
    return True


cdef double adam_ratio(const double* param) noexcept nogil:
    """By what a momentum's move shrinks from one step to the next without a gradient."""
    return param[0] / (1 if param[3] != 0 else sqrt(param[1]))


cdef size_t lazy_size(Trainer t) except? 0:
    """About the bytes that `prepare_lazy` allocates, 0 for a trainer that does without."""
    cdef Py_ssize_t capacity = max(1, min(t.d, max(t.batch_size * t.max_row, 1024)))
    cdef Py_ssize_t item = 4 if t.single else 8, metrics = 0 if t.metric_kind == METRIC_NONE else 1
    if t.n_layers > 1 or t.model.l1 > 0 or t.batch_size > t.chunk or t.model.missed == NULL:
        return 0
    if t.metric_kind == METRIC_NONE and (t.plain_sgd or t.model.l2 > 0):
        return 0
    return (
        item * t.d * (1 + metrics + t.k * (1 + t.n_slots))
        + item * capacity * t.k * (7 + t.n_slots)
        + 4 * (t.d + 2 * capacity + t.batch_size * t.max_row) + 104 * (t.n // t.batch_size + 1))


cdef int prepare_lazy(Trainer t, Py_ssize_t n_steps) except -1:
    """Allocate what lazy epochs of `n_steps` batches need, if that is not there yet."""
    cdef Lazy* z = &t.lazy
    cdef Py_ssize_t capacity = min(t.d, t.batch_size * t.max_row), row
    dtype = np.float32 if t.single else np.float64
    if t.lazy_batch == t.batch_size and n_steps <= t.lazy_steps:
        return 0
    kept, t.keep = t.keep, []
    # Blocks of all features at the epoch's end use the same buffers.
    capacity = max(1, min(t.d, max(capacity, 1024)))
    row = capacity + 1
    t.lazy_capacity, t.lazy_batch, t.lazy_steps = capacity, t.batch_size, n_steps
    z.n_slots = 0 if t.plain_sgd else t.n_slots
    z.n_metrics = 0
    if t.metric_kind != METRIC_NONE:
        z.n_metrics = 1 if t.metric_stride == 0 else t.k
    z.stride = 1 + z.n_metrics + t.k * (1 + z.n_slots)
    z.blocks = t.address(np.empty(t.d * z.stride + 1, dtype), dtype, True)
    z.tag = <int32_t*> t.address(np.empty(t.d + 1, np.int32), np.int32, True)
    # One more than are met: a feature met before is written there and overwritten.
    z.met = <int32_t*> t.address(np.empty((2, row + 1), np.int32), np.int32, True)
    z.lag = z.met + row + 1
    z.places = <int32_t*> t.address(
        np.empty(t.batch_size * t.max_row + 1, np.int32), np.int32, True)
    z.T = t.address(np.ones((t.k, row), dtype), dtype, True)
    z.W = t.address(np.empty((t.k, row), dtype), dtype, True)
    z.U = t.address(np.empty((t.k, row), dtype), dtype, True)
    z.G = t.address(np.empty((t.k, row), dtype), dtype, True)
    z.H = t.address(np.empty((t.k, row), dtype), dtype, True)
    z.pull = t.address(np.empty((t.k, row), dtype), dtype, True)
    z.state = t.address(np.empty((z.n_slots + 1, t.k * row), dtype), dtype, True)
    fill_pointers(
        &z.tables, <double*> t.address(np.empty((13, n_steps + 1)), np.float64, True), n_steps + 1)
    fill_powers(t, n_steps)
    t.keep_lazy, t.keep = t.keep, kept
    return 0


cdef void fill_pointers(Tables* z, double* block, Py_ssize_t size) noexcept nogil:
    z.sum, z.square_sum, z.tail = block, block + size, block + 2 * size
    z.trim, z.kept, z.unbias = block + 3 * size, block + 4 * size, block + 5 * size
    z.forget, z.forget_half = block + 6 * size, block + 7 * size
    z.shrink, z.shrink_trim, z.grown = block + 8 * size, block + 9 * size, block + 10 * size
    z.kept_inverse = block + 11 * size
    z.late = block + 12 * size


cdef void fill_powers(Trainer t, Py_ssize_t n) noexcept nogil:
    """What does not change from epoch to epoch."""
    cdef Tables* z = &t.lazy.tables
    cdef const double* param = t.model.step_param
    cdef double beta_1 = 0, beta_2 = 0
    cdef Py_ssize_t i
    if t.model.forgets >= 1:
        beta_1 = beta_2 = param[0]
    if t.model.forgets >= 2:
        beta_2 = param[1]
        z.ratio = adam_ratio(param)
        # Epsilon's part shrinks more slowly by as much as the denominator does.
        z.trim_ratio = z.ratio if param[3] != 0 else z.ratio / sqrt(beta_2)
    for i in range(n + 1):
        z.forget[i] = pow(beta_1, i)
        z.forget_half[i] = pow(beta_2, 0.5 * i)
        z.shrink[i] = pow(z.ratio, i)
        z.shrink_trim[i] = pow(z.trim_ratio, i)
        z.late[i] = (1 - (1 - z.shrink[i]) / (max(i, 1) * (1 - z.ratio))) / max(
            1 - z.shrink[i], 1e-30)
        z.grown[i] = 1 - beta_1 / (1 - beta_1) * (1 - z.forget[i]) / max(i, 1)


cdef void fill_tables(
    Trainer t, const double* rates, Py_ssize_t rate_step, Py_ssize_t n
) noexcept nogil:
    """The tables of an epoch of n steps."""
    cdef Py_ssize_t i
    cdef double rate, decay, power_1, power_2
    cdef const double* param = t.model.step_param
    cdef Tables* z = &t.lazy.tables
    z.constant = rate_step == 0
    z.rate = rates[0]
    z.sum[0] = z.square_sum[0] = 0
    for i in range(n):
        rate = rates[i * rate_step]
        z.sum[i + 1] = z.sum[i] + rate
        z.square_sum[i + 1] = z.square_sum[i] + rate * rate
    if t.model.forgets < 2:
        return
    decay = param[4] if t.model.forgets == 3 else 0
    power_1 = pow(param[0], t.steps[0])
    power_2 = pow(param[1], t.steps[0])
    z.kept[0] = z.kept_inverse[0] = 1
    z.unbias[0] = sqrt(1 - power_2)
    for i in range(n):
        rate = rates[i * rate_step]
        power_1 *= param[0]
        power_2 *= param[1]
        z.kept[i + 1] = z.kept[i] * (1 - rate * decay)
        z.kept_inverse[i + 1] = 1 / z.kept[i + 1]
        z.unbias[i + 1] = sqrt(1 - power_2)
        z.tail[i] = rate * z.unbias[i + 1] / (1 - power_1) * z.kept_inverse[i + 1]
        z.trim[i] = z.tail[i] * z.unbias[i + 1]
    z.tail[n] = z.trim[n] = 0
    for i in range(n - 1, -1, -1):
        z.tail[i] = z.ratio * (z.tail[i] + z.tail[i + 1])
        z.trim[i] = z.trim_ratio * (z.trim[i] + z.trim[i + 1])
