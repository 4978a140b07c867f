# Optimizer kernels: one function an update rule, called once a batch and model.
#
#     kernel(n, row, w, g, l1, state, t, rate, param)
#
# updates the n contiguous parameters w, given the gradient g.  They are rows of `row` numbers, in
# each of which the last is an intercept.  `state` is (slots, n), zero before the first step; t
# counts steps from 1.  `param` holds the numbers that the Python class names in `_kernel_params`,
# in that order.
#
# Unless l1 is NULL, the step is a proximal one for the penalty sum_j l1[j] |w_j|:
#
#     w <- argmin_x  sum_j l1[j] |x_j| + (x_j - w'_j)^2 / (2 c_j),
#
# w' being where the smooth part's step ends, which is w'_j moved towards zero by c_j l1[j].  In the
# metric of the optimizer's own scaling, c_j is what the step makes of a gradient of 1 that has
# always been there: rate / (sqrt(v_j) + epsilon) for Adam, rate (1 - mu^t) / (1 - mu) for momentum.
# The minimiser of the whole objective is then a fixed point: there w'_j - w_j = c_j l1[j] sign(w_j).
# (Duchi, Hazan, Singer 2011, composite mirror descent; Yun, Lozano, Yang 2021, ProxGen.)

ctypedef void (*step_double)(
    Py_ssize_t, Py_ssize_t, double*, const double*, const double*, double*, long long, double, const double*
) noexcept nogil
ctypedef void (*step_float)(
    Py_ssize_t, Py_ssize_t, float*, const float*, const float*, float*, long long, double, const double*
) noexcept nogil


cdef class StepKernel:
    """The two typed pointers of an optimizer kernel."""

    cdef void* for_double
    cdef void* for_float

    @staticmethod
    cdef StepKernel of(step_double for_double, step_float for_float):
        cdef StepKernel kernel = StepKernel()
        kernel.for_double = <void*> for_double
        kernel.for_float = <void*> for_float
        return kernel


cdef inline floating square_root(floating x) noexcept nogil:
    if floating is double:
        return sqrt(x)
    else:
        return sqrtf(x)


cdef inline floating shrink(floating x, floating by) noexcept nogil:
    """x moved towards zero by `by`, not beyond it."""
    return x - by if x > by else (x + by if x < -by else 0)


cdef inline void shrink_scaled(
    Py_ssize_t n, floating* w, const floating* l1, const floating* v, double rate, double unbias,
    double epsilon,
) noexcept nogil:
    """The proximal step of the methods that divide by unbias sqrt(v) + epsilon."""
    cdef floating a = <floating> rate, u = <floating> unbias, e = <floating> epsilon
    cdef Py_ssize_t j
    if l1 != NULL:
        for j in range(n):
            w[j] = shrink(w[j], a * l1[j] / (u * square_root(v[j]) + e))


cdef void sgd(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate
    cdef Py_ssize_t j
    for j in range(n):
        w[j] -= a * g[j]
    if l1 != NULL:
        for j in range(n):
            w[j] = shrink(w[j], a * l1[j])


cdef void momentum(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate, mu = <floating> param[0]
    cdef bint nesterov = param[1] != 0
    cdef Py_ssize_t j
    if nesterov:
        for j in range(n):
            state[j] = mu * state[j] + g[j]
            w[j] -= a * (g[j] + mu * state[j])
    else:
        for j in range(n):
            state[j] = mu * state[j] + g[j]
            w[j] -= a * state[j]
    if l1 != NULL:
        a *= <floating> ((1 - pow(param[0], t + 1 if nesterov else t)) / (1 - param[0]))
        for j in range(n):
            w[j] = shrink(w[j], a * l1[j])


cdef inline void decay_weights(
    Py_ssize_t n, Py_ssize_t row, floating* w, double decay
) noexcept nogil:
    """Multiply the weights, not the intercepts."""
    cdef floating keep = <floating> decay
    cdef Py_ssize_t r, j
    if decay == 1:
        return
    for r in range(n // row):
        for j in range(r * row, r * row + row - 1):
            w[j] *= keep


cdef void rmsprop(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate, rho = <floating> param[0], epsilon = <floating> param[1]
    cdef floating mu = <floating> param[2], keep = <floating> (1 - param[0]), spread, step
    cdef floating amplified
    cdef bint moving = param[2] != 0, centered = param[3] != 0
    cdef floating* square = state
    # Only the slots that are needed exist.
    cdef floating* velocity = state + n
    cdef floating* mean = state + (2 * n if moving else n)
    cdef Py_ssize_t j
    if not centered and not moving:
        for j in range(n):
            square[j] = rho * square[j] + keep * g[j] * g[j]
            w[j] -= a * g[j] / (square_root(square[j]) + epsilon)
        shrink_scaled(n, w, l1, square, rate, 1, param[1])
        return
    amplified = <floating> (rate * (1 - pow(param[2], t)) / (1 - param[2]))
    for j in range(n):
        square[j] = rho * square[j] + keep * g[j] * g[j]
        spread = square[j]
        if centered:
            mean[j] = rho * mean[j] + keep * g[j]
            spread -= mean[j] * mean[j]
            # Rounding can push the variance below zero where the gradient hardly changes.
            spread = 0 if spread < 0 else spread
        spread = square_root(spread) + epsilon
        step = g[j] / spread
        if moving:
            velocity[j] = mu * velocity[j] + step
            step = velocity[j]
        w[j] -= a * step
        if l1 != NULL:
            w[j] = shrink(w[j], amplified * l1[j] / spread)


cdef void adagrad(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate, epsilon = <floating> param[0]
    cdef floating initial = <floating> param[1], scaled
    cdef Py_ssize_t j
    for j in range(n):
        state[j] += g[j] * g[j]
        scaled = a / (square_root(initial + state[j]) + epsilon)
        w[j] -= scaled * g[j]
        if l1 != NULL:
            w[j] = shrink(w[j], scaled * l1[j])


cdef void adadelta(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate, rho = <floating> param[0], epsilon = <floating> param[1]
    cdef floating keep = <floating> (1 - param[0]), step, scaled
    cdef floating* square = state
    cdef floating* moved = state + n
    cdef Py_ssize_t j
    for j in range(n):
        square[j] = rho * square[j] + keep * g[j] * g[j]
        scaled = square_root(moved[j] + epsilon) / square_root(square[j] + epsilon)
        step = scaled * g[j]
        moved[j] = rho * moved[j] + keep * step * step
        w[j] -= a * step
        if l1 != NULL:
            w[j] = shrink(w[j], a * scaled * l1[j])


cdef inline void update_moments(
    Py_ssize_t n, const floating* g, floating* m, floating* v, double beta_1, double beta_2
) noexcept nogil:
    """The running means of the gradient and of its square, which Adam and its kin share."""
    cdef floating b1 = <floating> beta_1, keep_1 = <floating> (1 - beta_1)
    cdef floating b2 = <floating> beta_2, keep_2 = <floating> (1 - beta_2)
    cdef Py_ssize_t j
    for j in range(n):
        m[j] = b1 * m[j] + keep_1 * g[j]
        v[j] = b2 * v[j] + keep_2 * g[j] * g[j]


cdef void adam(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating epsilon = <floating> param[2]
    cdef bint amsgrad = param[3] != 0
    cdef floating a = <floating> (rate / (1 - pow(param[0], t)))
    cdef floating unbias = <floating> (1 / sqrt(1 - pow(param[1], t)))
    cdef floating* m = state
    cdef floating* v = state + n
    cdef floating* top = state + 2 * n
    cdef Py_ssize_t j
    update_moments(n, g, m, v, param[0], param[1])
    if amsgrad:
        for j in range(n):
            top[j] = v[j] if v[j] > top[j] else top[j]
        v = top
    for j in range(n):
        w[j] -= a * m[j] / (square_root(v[j]) * unbias + epsilon)
    shrink_scaled(n, w, l1, v, rate, unbias, param[2])


cdef void adamw(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    decay_weights(n, row, w, 1 - rate * param[4])
    adam(n, row, w, g, l1, state, t, rate, param)


cdef void nadam(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    # With a weight on the momentum that differs from step to step, the correction for its start
    # is a product over the steps so far: the third slot's first number.
    cdef double beta_1 = param[0]
    cdef double mu = beta_1 * (1 - 0.5 * pow(0.96, t * param[3]))
    cdef double following = beta_1 * (1 - 0.5 * pow(0.96, (t + 1) * param[3]))
    cdef double product = mu if t == 1 else mu * state[2 * n]
    cdef floating of_g = <floating> (rate * (1 - mu) / (1 - product))
    cdef floating of_m = <floating> (rate * following / (1 - product * following))
    cdef floating unbias = <floating> (1 / sqrt(1 - pow(param[1], t)))
    cdef floating epsilon = <floating> param[2]
    cdef floating* m = state
    cdef floating* v = state + n
    cdef Py_ssize_t j
    state[2 * n] = <floating> product
    update_moments(n, g, m, v, beta_1, param[1])
    for j in range(n):
        w[j] -= (of_g * g[j] + of_m * m[j]) / (square_root(v[j]) * unbias + epsilon)
    shrink_scaled(
        n, w, l1, v, of_g + of_m * (1 - pow(beta_1, t)), unbias, param[2])


cdef void radam(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef double beta_2 = param[1], power = pow(beta_2, t)
    cdef double most = 2 / (1 - beta_2) - 1, length = most - 2 * t * power / (1 - power)
    cdef double a = rate / (1 - pow(param[0], t))
    cdef floating plain, scaled, epsilon = <floating> param[2]
    cdef floating* m = state
    cdef floating* v = state + n
    cdef Py_ssize_t j
    update_moments(n, g, m, v, param[0], beta_2)
    if length <= 5:
        plain = <floating> a
        for j in range(n):
            w[j] -= plain * m[j]
        if l1 != NULL:
            for j in range(n):
                w[j] = shrink(w[j], <floating> rate * l1[j])
        return
    scaled = <floating> (a * sqrt(
        (1 - power) * (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)))
    for j in range(n):
        w[j] -= scaled * m[j] / (square_root(v[j]) + epsilon)
    shrink_scaled(n, w, l1, v, scaled * (1 - pow(param[0], t)), 1, param[2])


cdef void adamax(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating b1 = <floating> param[0], keep_1 = <floating> (1 - param[0])
    cdef floating b2 = <floating> param[1], epsilon = <floating> param[2], size
    cdef floating a = <floating> (rate / (1 - pow(param[0], t)))
    cdef floating* m = state
    cdef floating* top = state + n
    cdef Py_ssize_t j
    for j in range(n):
        m[j] = b1 * m[j] + keep_1 * g[j]
        size = (g[j] if g[j] >= 0 else -g[j]) + epsilon
        top[j] = b2 * top[j] if b2 * top[j] > size else size
        w[j] -= a * m[j] / top[j]
        if l1 != NULL:
            w[j] = shrink(w[j], <floating> rate * l1[j] / top[j])


cdef void lion(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating b1 = <floating> param[0], keep_1 = <floating> (1 - param[0])
    cdef floating b2 = <floating> param[1], keep_2 = <floating> (1 - param[1])
    cdef floating a = <floating> rate, c, moved
    cdef Py_ssize_t j
    decay_weights(n, row, w, 1 - rate * param[2])
    for j in range(n):
        c = b1 * state[j] + keep_1 * g[j]
        state[j] = b2 * state[j] + keep_2 * g[j]
        if l1 != NULL:
            # A step of one size has no scaling for a proximal step: it goes against the smallest
            # subgradient of the whole, and ends where that changes, at zero.
            if w[j] == 0:
                c = shrink(c, l1[j])
            else:
                c += l1[j] if w[j] > 0 else -l1[j]
        moved = w[j] - (a if c > 0 else (-a if c < 0 else 0))
        if l1 != NULL and l1[j] > 0 and moved * w[j] < 0:
            moved = 0
        w[j] = moved


cdef inline void move_mean(
    Py_ssize_t n, floating* mean, floating* lost, const floating* value, double share,
) noexcept nogil:
    """Move a running mean towards a value by that share of the way.

    What rounding takes from one move is made up for in the next (Kahan): late in a long float32
    run every move alone would be rounded away."""
    cdef floating c = <floating> share, before, step
    cdef Py_ssize_t j
    for j in range(n):
        before = mean[j]
        step = c * (value[j] - before) - lost[j]
        mean[j] = before + step
        lost[j] = (mean[j] - before) - step


# The other kernels by their number in STEP_KERNELS, for the one that calls another.
cdef enum:
    MOST_KERNELS = 64
cdef void* steps_double[MOST_KERNELS]
cdef void* steps_float[MOST_KERNELS]


cdef void averaged(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    # Slots: the mean, what rounding took from it, and in the first number of the third the count
    # of steps after which the mean began anew.
    cdef int inner = <int> param[0]
    cdef double power = param[2], before = state[2 * n]
    if floating is double:
        (<step_double> steps_double[inner])(
            n, row, w, g, l1, state + 3 * n, t, rate, param + 3)
    else:
        (<step_float> steps_float[inner])(
            n, row, w, g, l1, state + 3 * n, t, rate, param + 3)
    before = t - (before if before > param[1] else param[1])
    if before > 0:
        move_mean(n, state, state + n, w, (power + 1) / (before + power))


cdef inline double schedule_free_share(
    Py_ssize_t n, const floating* w, floating* z, floating* x, floating* lost, floating* sums,
    long long t, double rate, double power,
) noexcept nogil:
    """The share c of the next z in the mean x.

    Its weight is t^power times the square of the largest learning rate so far, which counts the
    steps of a warm-up less.  `sums` holds the sum of weights, in units of that square, and the
    rate.  A sum of 0 starts the mean at w."""
    cdef double top = sums[1] if sums[1] > rate else rate, weight = pow(t, power), total
    if sums[0] == 0:
        memcpy(z, w, n * sizeof(floating))
        memcpy(x, w, n * sizeof(floating))
        memset(lost, 0, n * sizeof(floating))
    if top == 0:
        return 0
    total = weight + sums[0] * (sums[1] / top) * (sums[1] / top)
    sums[0] = <floating> total
    sums[1] = <floating> top
    return weight / total


cdef inline void place_between(
    Py_ssize_t n, floating* w, const floating* z, const floating* x, double beta
) noexcept nogil:
    """w = (1 - beta) z + beta x, where the next gradient is taken."""
    cdef floating b = <floating> beta, rest = <floating> (1 - beta)
    cdef Py_ssize_t j
    for j in range(n):
        w[j] = rest * z[j] + b * x[j]


cdef inline double warmed(double rate, long long t, double steps) noexcept nogil:
    return rate * t / steps if t < steps else rate


cdef void schedule_free_sgd(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating* z = state
    cdef floating* x = state + n
    cdef floating* lost = state + 2 * n
    cdef floating a
    cdef double share
    cdef Py_ssize_t j
    rate = warmed(rate, t, param[1])
    a = <floating> rate
    share = schedule_free_share(n, w, z, x, lost, state + 3 * n, t, rate, param[2])
    for j in range(n):
        z[j] -= a * g[j]
        if l1 != NULL:
            z[j] = shrink(z[j], a * l1[j])
    move_mean(n, x, lost, z, share)
    place_between(n, w, z, x, param[0])


cdef void schedule_free_adamw(
    Py_ssize_t n, Py_ssize_t row, floating* w, const floating* g, const floating* l1,
    floating* state, long long t, double rate, const double* param,
) noexcept nogil:
    cdef floating* z = state
    cdef floating* x = state + n
    cdef floating* lost = state + 2 * n
    cdef floating* v = state + 4 * n
    cdef floating a, decay, scaled, epsilon = <floating> param[2]
    cdef floating b2 = <floating> param[1], keep_2 = <floating> (1 - param[1])
    cdef double share
    cdef Py_ssize_t j
    rate = warmed(rate, t, param[4]) * sqrt(1 - pow(param[1], t))
    a = <floating> rate
    share = schedule_free_share(n, w, z, x, lost, state + 3 * n, t, rate, param[5])
    for j in range(n):
        v[j] = b2 * v[j] + keep_2 * g[j] * g[j]
        scaled = a / (square_root(v[j]) + epsilon)
        # Weights, not intercepts, decay by their value where the gradient was taken.
        decay = 0 if j % row == row - 1 else <floating> (rate * param[3])
        z[j] -= scaled * g[j] + decay * w[j]
        if l1 != NULL:
            z[j] = shrink(z[j], scaled * l1[j])
    move_mean(n, x, lost, z, share)
    place_between(n, w, z, x, param[0])


STEP_KERNELS = {
    "sgd": StepKernel.of(sgd[double], sgd[float]),
    "momentum": StepKernel.of(momentum[double], momentum[float]),
    "rmsprop": StepKernel.of(rmsprop[double], rmsprop[float]),
    "adagrad": StepKernel.of(adagrad[double], adagrad[float]),
    "adadelta": StepKernel.of(adadelta[double], adadelta[float]),
    "adam": StepKernel.of(adam[double], adam[float]),
    "adamw": StepKernel.of(adamw[double], adamw[float]),
    "nadam": StepKernel.of(nadam[double], nadam[float]),
    "radam": StepKernel.of(radam[double], radam[float]),
    "adamax": StepKernel.of(adamax[double], adamax[float]),
    "lion": StepKernel.of(lion[double], lion[float]),
    "averaged": StepKernel.of(averaged[double], averaged[float]),
    "schedule_free_sgd": StepKernel.of(schedule_free_sgd[double], schedule_free_sgd[float]),
    "schedule_free_adamw": StepKernel.of(schedule_free_adamw[double], schedule_free_adamw[float]),
}


cdef number_kernels():
    cdef StepKernel kernel
    for number, kernel in enumerate(STEP_KERNELS.values()):
        steps_double[<int> number] = kernel.for_double
        steps_float[<int> number] = kernel.for_float


number_kernels()
