# Optimizer kernels: one function an update rule, called once a batch and model.
#
#     kernel(n, w, g, state, t, rate, param)
#
# updates the n contiguous parameters w, given the gradient g.  `state` is (slots, n), zero before
# the first step; t counts steps from 1.  `param` holds the numbers that the Python class names in
# `_kernel_params`, in that order.

ctypedef void (*step_double)(
    Py_ssize_t, double*, const double*, double*, long long, double, const double*
) noexcept nogil
ctypedef void (*step_float)(
    Py_ssize_t, float*, const float*, float*, long long, double, const double*
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


cdef void sgd(
    Py_ssize_t n, floating* w, const floating* g, floating* state, long long t, double rate,
    const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate
    cdef Py_ssize_t j
    for j in range(n):
        w[j] -= a * g[j]


cdef void momentum(
    Py_ssize_t n, floating* w, const floating* g, floating* state, long long t, double rate,
    const double* param,
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


cdef void rmsprop(
    Py_ssize_t n, floating* w, const floating* g, floating* state, long long t, double rate,
    const double* param,
) noexcept nogil:
    cdef floating a = <floating> rate, rho = <floating> param[0], epsilon = <floating> param[1]
    cdef floating mu = <floating> param[2], keep = <floating> (1 - param[0]), spread
    cdef bint centered = param[3] != 0
    cdef floating* square = state
    cdef floating* velocity = state + n
    cdef floating* mean = state + 2 * n
    cdef Py_ssize_t j
    if not centered and mu == 0:
        for j in range(n):
            square[j] = rho * square[j] + keep * g[j] * g[j]
            w[j] -= a * g[j] / (square_root(square[j]) + epsilon)
        return
    for j in range(n):
        square[j] = rho * square[j] + keep * g[j] * g[j]
        spread = square[j]
        if centered:
            mean[j] = rho * mean[j] + keep * g[j]
            spread -= mean[j] * mean[j]
            # Rounding can push the variance below zero where the gradient hardly changes.
            spread = 0 if spread < 0 else spread
        velocity[j] = mu * velocity[j] + g[j] / (square_root(spread) + epsilon)
        w[j] -= a * velocity[j]


cdef void adam(
    Py_ssize_t n, floating* w, const floating* g, floating* state, long long t, double rate,
    const double* param,
) noexcept nogil:
    cdef double beta_1 = param[0], beta_2 = param[1]
    cdef floating keep_1 = <floating> (1 - beta_1), keep_2 = <floating> (1 - beta_2)
    cdef floating b1 = <floating> beta_1, b2 = <floating> beta_2, epsilon = <floating> param[2]
    cdef bint amsgrad = param[3] != 0
    cdef floating a = <floating> (rate / (1 - pow(beta_1, t)))
    cdef floating unbias = <floating> (1 / sqrt(1 - pow(beta_2, t)))
    cdef floating* m = state
    cdef floating* v = state + n
    cdef floating* top = state + 2 * n
    cdef Py_ssize_t j
    if not amsgrad:
        for j in range(n):
            m[j] = b1 * m[j] + keep_1 * g[j]
            v[j] = b2 * v[j] + keep_2 * g[j] * g[j]
            w[j] -= a * m[j] / (square_root(v[j]) * unbias + epsilon)
        return
    for j in range(n):
        m[j] = b1 * m[j] + keep_1 * g[j]
        v[j] = b2 * v[j] + keep_2 * g[j] * g[j]
        top[j] = v[j] if v[j] > top[j] else top[j]
        w[j] -= a * m[j] / (square_root(top[j]) * unbias + epsilon)


STEP_KERNELS = {
    "sgd": StepKernel.of(sgd[double], sgd[float]),
    "momentum": StepKernel.of(momentum[double], momentum[float]),
    "rmsprop": StepKernel.of(rmsprop[double], rmsprop[float]),
    "adam": StepKernel.of(adam[double], adam[float]),
}
