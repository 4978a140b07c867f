# Many trainers on one stream of batches.
#
# The first of them, the leader, reads rows, targets and weights into its buffers once; every
# trainer then does with them what it would do alone, in the same order of additions, so that its
# model is the same to the last bit.  What is shared is the reading, and that the rows of a chunk
# stay in the cache while all models use them.


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
    cdef Trainer leader = trainers[0]
    if leader.single:
        return run_together[float](
            leader, <float*> leader.W, trainers, first_epoch, n_epochs, rates, histories)
    return run_together[double](
        leader, <double*> leader.W, trainers, first_epoch, n_epochs, rates, histories)


cdef struct Member:
    PyObject* trainer
    const double* rate
    Py_ssize_t rate_step
    double* history
    double penalty
    Py_ssize_t n_done
    bint active


cdef run_together(
    Trainer leader, floating* W, list trainers, Py_ssize_t first_epoch, Py_ssize_t n_epochs,
    list rates, list histories,
):
    cdef Py_ssize_t n_members = len(trainers), i, epoch, start, b, step
    cdef Py_ssize_t batch = leader.batch_size, n = leader.n
    cdef Py_ssize_t per_epoch = (n + batch - 1) // batch
    cdef const double[::1] rate
    cdef double[::1] history
    cdef Trainer t
    cdef Member* p
    room = np.zeros(n_members * sizeof(Member), np.uint8)
    cdef Member* members = <Member*> <size_t> room.ctypes.data
    for i in range(n_members):
        t, rate, history = trainers[i], rates[i], histories[i]
        p = &members[i]
        p.trainer, p.active = <PyObject*> t, True
        p.rate, p.rate_step = &rate[0], 0 if rate.shape[0] == 1 else 1
        p.history = &history[0]
    leader.own_order()
    leader.own_block()
    leader.own_buffers(4)
    with nogil:
        for epoch in range(n_epochs):
            order_epoch(leader, first_epoch + epoch)
            for i in range(n_members):
                p = &members[i]
                if p.active:
                    begin_epoch(
                        <Trainer> p.trainer, <floating*> (<Trainer> p.trainer).W,
                        p.history + epoch, &p.penalty, first_epoch + epoch)
            start = 0
            while start < n:
                b = min(batch, n - start)
                bank_gradients(leader, W, members, n_members, epoch, start, b)
                step = epoch * per_epoch + start // batch
                for i in range(n_members):
                    p = &members[i]
                    if p.active:
                        update(<Trainer> p.trainer, <floating*> (<Trainer> p.trainer).G, b,
                               p.rate[step * p.rate_step])
                start += b
            for i in range(n_members):
                p = &members[i]
                if p.active:
                    p.n_done = epoch + 1
                    p.active = end_epoch(
                        <Trainer> p.trainer, <floating*> (<Trainer> p.trainer).W,
                        p.history + epoch, &p.penalty)
    return [members[i].n_done for i in range(n_members)]


cdef int bank_gradients(
    Trainer leader, floating* W, Member* members, Py_ssize_t n_members, Py_ssize_t epoch,
    Py_ssize_t start, Py_ssize_t n,
) except -1 nogil:
    """Every active member's sum over n rows."""
    cdef Py_ssize_t done = 0, i, m, waiting
    cdef Py_ssize_t few = lossopt_lanes_double if floating is double else lossopt_lanes_float
    cdef bint one = leader.n_layers == 1 and leader.k == 1
    # Products of the shortest rows are plain loops: a copy of the rows, with no shift to subtract,
    # could make the compiler fuse them otherwise.
    cdef bint copied = not one or leader.d >= few, by_fours = one and copied
    cdef (Member*)[4] four
    cdef Member* p
    for i in range(n_members):
        p = &members[i]
        if p.active:
            begin_sum(<Trainer> p.trainer, <floating*> (<Trainer> p.trainer).G, n)
    while done < n:
        m = min(leader.chunk, n - done)
        gather_block(
            leader, <const floating*> leader.X, leader.order, start + done, m, copied)
        waiting = 0
        for i in range(n_members):
            p = &members[i]
            if not p.active:
                continue
            if not by_fours:
                block_gradient(
                    <Trainer> p.trainer, leader, <floating*> (<Trainer> p.trainer).G,
                    start + done, m, p.history + epoch, copied)
                continue
            four[waiting] = p
            waiting += 1
            if waiting == 4:
                four_gradients(four, leader, W, m, epoch)
                waiting = 0
        for i in range(waiting):
            block_gradient(
                <Trainer> four[i].trainer, leader, <floating*> (<Trainer> four[i].trainer).G,
                start + done, m, four[i].history + epoch, copied)
        done += m
        for i in range(n_members):
            p = &members[i]
            if p.active:
                add_chunk(<Trainer> p.trainer, <floating*> (<Trainer> p.trainer).G, n)
        look_for_signals(leader, m * n_members * leader.size)
    for i in range(n_members):
        p = &members[i]
        if p.active:
            end_sum(<Trainer> p.trainer, <floating*> (<Trainer> p.trainer).G, n)
    return 0


cdef int block_gradient(
    Trainer t, Trainer leader, floating* G, Py_ssize_t start, Py_ssize_t m, double* total,
    bint copied,
) except -1 nogil:
    """Add one member's gradients of the m rows that the leader has read."""
    if t.n_layers > 1:
        return network_gradient[floating](t, leader, NULL, start, m, G, total, True)
    if not copied:
        return linear_gradient[floating](
            t, leader, <const floating*> leader.X, leader.order, start,
            <const floating*> leader.shift, m, G, total)
    return linear_gradient[floating](
        t, leader, <const floating*> leader.xb, NULL, 0, NULL, m, G, total)


cdef int four_gradients(
    (Member*)[4] four, Trainer leader, floating* W, Py_ssize_t n, Py_ssize_t epoch
) except -1 nogil:
    """The same for four linear models of one output: a number read is multiplied four times."""
    cdef Py_ssize_t d = leader.d, i
    cdef const floating* X = <const floating*> leader.xb
    cdef floating* raw = <floating*> leader.raw
    cdef floating* grad = <floating*> leader.grad
    cdef (const floating*)[4] w
    cdef (floating*)[4] G
    for i in range(4):
        w[i] = <const floating*> (<Trainer> four[i].trainer).W
        G[i] = <floating*> (<Trainer> four[i].trainer).G
    dot_rows_pair(n, d, X, w[0], w[1], raw, raw + n)
    dot_rows_pair(n, d, X, w[2], w[3], raw + 2 * n, raw + 3 * n)
    for i in range(4):
        model_losses(
            <Trainer> four[i].trainer, leader, raw + i * n, grad + i * n, n,
            four[i].history + epoch, True)
    axpy_rows_4(n, d, X, grad, G)
    for i in range(4):
        if leader.intercept:
            G[i][d] += <floating> weighted_sum(n, <const floating*> grad + i * n, NULL)
    return 0
