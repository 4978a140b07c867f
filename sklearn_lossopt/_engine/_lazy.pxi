# Steps made up for: what an optimizer does to a parameter while its gradient is the penalty's alone.
#
#     missed(n, w, state, size, pull, lag, now, tables, param)
#
# applies to each of n parameters the lag[j] steps before step `now` of the epoch.  Slots of state
# are `size` numbers apart; the penalty's gradient is pull[j] w[j].
#
# Exact to rounding: sgd (a product of decays); momentum at a constant rate (the closed form of its
# 2 x 2 recurrence); rmsprop and adagrad without a penalty.  Without one, adam, amsgrad and adamw are
# exact to second order in epsilon / sqrt(v).  With one, all of these see its gradient at the weight
# and with the scaling of the gap's middle: a few hundredths of the penalty's effect are missed (the
# user guide has figures), and textbook mode, which is to be exact, does not come here.  LazyAdam and
# SparseAdam, by contrast, let neither momentum nor running squares go on in a gap, and have no
# penalty there.
#
# Optimizers without such a kernel go the dense way.

ctypedef void (*missed_double)(
    Py_ssize_t, double*, double*, Py_ssize_t, const double*, const int32_t*, Py_ssize_t,
    const Tables*, const double*
) noexcept nogil
ctypedef void (*missed_float)(
    Py_ssize_t, float*, float*, Py_ssize_t, const float*, const int32_t*, Py_ssize_t,
    const Tables*, const double*
) noexcept nogil


# Sums over the steps of one epoch; index i stands for what comes before step i.
cdef struct Tables:
    bint constant
    double rate
    # sums of the rates and of their squares
    double* sum
    double* square_sum
    # for momentum in an adaptive method: sums, from step i on, of what a unit of it still moves
    double* tail
    double ratio
    # the same, of what epsilon takes off it
    double* trim
    double trim_ratio
    # powers, by the number of steps: of the two rates of forgetting (the second's square root, for
    # squares), of ratio and of trim_ratio
    double* forget
    double* forget_half
    double* shrink
    double* shrink_trim
    # the share of so many steps' gradients that has become a move, their momentum starting from none
    double* grown
    # the share of a momentum's moves in so many steps that has been made on their average
    double* late
    # products of the decays by a decoupled weight decay
    double* kept
    double* kept_inverse
    # square roots of one minus beta_2^t
    double* unbias


# What a lazy epoch needs besides: a block of numbers for each feature (the steps that it has had, its
# metric, and for each row of weights its coordinate and optimizer state), so that meeting one is one
# wait for memory; its place in the batch that met it last, plus that batch's `base`; the batch's
# features, how far each is behind, and the place of every number stored; and contiguous vectors for
# these features.
cdef struct Lazy:
    char* blocks
    Py_ssize_t stride
    Py_ssize_t n_metrics
    int32_t* tag
    int32_t base
    int32_t* met
    int32_t* lag
    int32_t* places
    char* T
    char* W
    char* U
    char* G
    char* H
    char* pull
    char* state
    Py_ssize_t n_slots
    Tables tables


cdef enum:
    # Parameters whose steps are made up for together.
    BLOCK = 64


cdef class MissedKernel:
    """The two typed pointers of a kernel, how its tables are made, and its cost: nanoseconds for a
    parameter that a batch has, its copies included."""

    cdef void* for_double
    cdef void* for_float
    # 1: param[0] is a rate of forgetting; 2: and so is param[1], as in Adam; 3: and param[4] is a
    # decoupled weight decay
    cdef int forgets
    cdef double cost

    @staticmethod
    cdef MissedKernel of(
        missed_double for_double, missed_float for_float, int forgets, double cost
    ):
        cdef MissedKernel kernel = MissedKernel()
        kernel.for_double = <void*> for_double
        kernel.for_float = <void*> for_float
        kernel.forgets, kernel.cost = forgets, cost
        return kernel


cdef inline floating log_one_minus(floating x) noexcept nogil:
    """log(1 - x) for 0 <= x <= 1/2."""
    return -log_ratio(x / (2 - x))


cdef void sgd_missed(
    Py_ssize_t n, floating* w, floating* state, Py_ssize_t size, const floating* pull,
    const int32_t* lag, Py_ssize_t now, const Tables* tables, const double* param,
) noexcept nogil:
    cdef floating rate = <floating> tables.rate, mean, spread
    cdef double gone
    cdef Py_ssize_t j
    if tables.constant:
        for j in range(n):
            w[j] *= exp(<floating> lag[j] * log_one_minus(rate * pull[j]))
        return
    for j in range(n):
        if lag[j] > 0:
            gone = tables.sum[now] - tables.sum[now - lag[j]]
            mean = <floating> (gone / lag[j])
            spread = <floating> (
                tables.square_sum[now] - tables.square_sum[now - lag[j]] - gone * gone / lag[j])
            w[j] *= exp(<floating> lag[j] * log_one_minus(mean * pull[j])
                        - <floating> 0.5 * pull[j] * pull[j] * spread)


cdef void momentum_missed(
    Py_ssize_t n, floating* w, floating* state, Py_ssize_t size, const floating* pull,
    const int32_t* lag, Py_ssize_t now, const Tables* tables, const double* param,
) noexcept nogil:
    # (w, v) <- M (w, v) with M = [[1 - x (1 + nu), -rate mu (mu)], [c, mu]], x = rate c, where nu is
    # mu with Nesterov's correction and 0 without.  Its eigenvalues are 1 - e and det / (1 - e).
    cdef floating rate = <floating> tables.rate, mu = <floating> param[0]
    cdef floating nu = mu if param[1] != 0 else 0
    cdef floating reach = rate * mu * (mu if param[1] != 0 else 1)
    cdef floating x, q, e, slow, fast, first, second, a, w_j, v_j
    cdef Py_ssize_t j
    for j in range(n):
        x = rate * pull[j]
        q = 1 - mu + x * (1 + nu)
        e = 2 * x / (q + square_root(q * q - 4 * x))
        first = exp(<floating> lag[j] * log_one_minus(e))
        second = <floating> tables.forget[lag[j]] / first
        if nu > 0:
            second *= exp(<floating> lag[j] * log_one_minus(x))
        slow = 1 - e
        fast = mu * (1 - x if nu > 0 else 1) / slow
        a = 1 - x * (1 + nu)
        w_j = w[j]
        v_j = state[j]
        w[j] = (
            first * ((a - fast) * w_j - reach * v_j) - second * ((a - slow) * w_j - reach * v_j)
        ) / (slow - fast)
        state[j] = (
            first * (pull[j] * w_j + (mu - fast) * v_j)
            - second * (pull[j] * w_j + (mu - slow) * v_j)
        ) / (slow - fast)


cdef inline floating fade(floating x) noexcept nogil:
    """exp(-x) to third order in x, for x >= 0; what it is used for is right to first order."""
    return 1 / (1 + x * (1 + x * (<floating> 0.5 + x * <floating> (1 / 6.0))))


cdef void rmsprop_missed(
    Py_ssize_t n, floating* w, floating* state, Py_ssize_t size, const floating* pull,
    const int32_t* lag, Py_ssize_t now, const Tables* tables, const double* param,
) noexcept nogil:
    cdef floating epsilon = <floating> param[1] + <floating> 1e-30, half, g, gone, inverse
    cdef Py_ssize_t j
    for j in range(n):
        gone = <floating> (tables.sum[now] - tables.sum[now - lag[j]])
        half = <floating> tables.forget_half[lag[j]]
        g = pull[j] * w[j]
        g *= g
        # Simpson's rule for the mean of 1 / (root + epsilon) over the gap.
        inverse = 1 / (square_root(state[j]) + epsilon)
        inverse += 4 / (square_root(half * state[j] + (1 - half) * g) + epsilon)
        state[j] = half * half * state[j] + (1 - half * half) * g
        inverse += 1 / (square_root(state[j]) + epsilon)
        w[j] *= fade(gone * pull[j] * inverse / 6)


cdef void adagrad_missed(
    Py_ssize_t n, floating* w, floating* state, Py_ssize_t size, const floating* pull,
    const int32_t* lag, Py_ssize_t now, const Tables* tables, const double* param,
) noexcept nogil:
    cdef floating epsilon = <floating> param[0] + <floating> 1e-30
    cdef floating initial = <floating> param[1], g, gone
    cdef Py_ssize_t j
    for j in range(n):
        gone = <floating> (tables.sum[now] - tables.sum[now - lag[j]])
        g = pull[j] * w[j]
        g *= g * lag[j]
        w[j] *= fade(
            gone * pull[j] / (square_root(initial + state[j] + <floating> 0.5 * g) + epsilon))
        state[j] += g


cdef void adam_missed(
    Py_ssize_t n, floating* w, floating* state, Py_ssize_t size, const floating* pull,
    const int32_t* lag, Py_ssize_t now, const Tables* tables, const double* param,
) noexcept nogil:
    # What a parameter's lag alone decides is looked up first, so that the rest is one plain loop.
    cdef floating one[BLOCK]
    cdef floating half[BLOCK]
    cdef floating tail[BLOCK]
    cdef floating trim[BLOCK]
    cdef floating gone[BLOCK]
    cdef floating kept[BLOCK]
    cdef floating late[BLOCK]
    cdef floating unbias[BLOCK]
    cdef double tail_now = tables.tail[now], trim_now = tables.trim[now]
    cdef double sum_now = tables.sum[now], kept_now = tables.kept[now]
    cdef Py_ssize_t j, k, since, start = 0, b
    while start < n:
        b = min(BLOCK, n - start)
        for j in range(b):
            k = lag[start + j]
            since = now - k
            one[j] = <floating> tables.forget[k]
            half[j] = <floating> tables.forget_half[k]
            tail[j] = <floating> (tables.tail[since] - tables.shrink[k] * tail_now)
            trim[j] = <floating> (tables.trim[since] - tables.shrink_trim[k] * trim_now)
            gone[j] = <floating> ((sum_now - tables.sum[since]) * tables.grown[k])
            kept[j] = <floating> (kept_now * tables.kept_inverse[since])
            late[j] = <floating> (tables.late[k] / (kept_now * tables.kept_inverse[since]))
            unbias[j] = <floating> tables.unbias[(since + now + 1) // 2]
        adam_missed_block(
            b, w + start, state + start, state + size + start,
            state + 2 * size + start if param[3] != 0 else NULL, pull + start, one, half, tail,
            trim, gone, kept, late, unbias, kept_now, param[2])
        start += b


cdef void adam_missed_block(
    Py_ssize_t n, floating* w, floating* m, floating* v, const floating* top,
    const floating* pull, const floating* one, const floating* half, const floating* tail,
    const floating* trim, const floating* gone, const floating* kept,
    const floating* late, const floating* unbias, double kept_now, double epsilon_,
) noexcept nogil:
    cdef floating epsilon = <floating> epsilon_
    cdef floating tiny = <floating> 1e-30, now = <floating> kept_now
    cdef floating moved, mean, g, g2
    cdef floating root[BLOCK]
    cdef Py_ssize_t j
    # Squares under the root: at the gap's beginning, for the momentum's remaining moves.
    for j in range(n):
        root[j] = square_root(v[j] if top == NULL else top[j])
    for j in range(n):
        moved = m[j] * tail[j] * tail[j] * now / (root[j] * tail[j] + epsilon * trim[j] + tiny)
        # The penalty's gradient, whose momentum builds up from none, at the gap's mean weight (the
        # momentum's moves come first), with the scaling of the gap's middle.
        mean = w[j] - moved * late[j]
        g = pull[j] * mean
        g2 = g * g
        if top == NULL:
            root[j] = square_root(half[j] * v[j] + (1 - half[j]) * g2)
        w[j] -= mean * (1 - fade(
            gone[j] * pull[j] * unbias[j] / (root[j] + epsilon * unbias[j] + tiny)))
        w[j] = w[j] * kept[j] - moved
        m[j] = one[j] * m[j] + (1 - one[j]) * pull[j] * w[j]
        v[j] = half[j] * half[j] * v[j] + (1 - half[j] * half[j]) * g2


MISSED_KERNELS = {
    "sgd": MissedKernel.of(sgd_missed[double], sgd_missed[float], 0, 30),
    "momentum": MissedKernel.of(momentum_missed[double], momentum_missed[float], 1, 75),
    "rmsprop": MissedKernel.of(rmsprop_missed[double], rmsprop_missed[float], 1, 45),
    "adagrad": MissedKernel.of(adagrad_missed[double], adagrad_missed[float], 0, 40),
    "adam": MissedKernel.of(adam_missed[double], adam_missed[float], 2, 50),
    "adamw": MissedKernel.of(adam_missed[double], adam_missed[float], 3, 55),
}
