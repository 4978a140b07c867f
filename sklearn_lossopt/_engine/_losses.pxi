# Loss kernels.
#
# An elementwise loss is one inline function of a target and a raw prediction,
#
#     gradient = loss_at(y, z, param, &value)
#
# and a loop over it, called once a batch:
#
#     loss(n, k, y, raw, param, value, gradient)
#
# `y`, `raw`, `value` and `gradient` are (k, n), sample index fastest, so that the loop vectorises;
# `gradient` is the derivative with respect to raw.  A joint loss, of all k raw predictions of a
# row together, has the second form only: it reads y as (n,) class indices and writes value as
# (n,).  `param` holds the numbers that the Python class names in `_kernel_params`, in that order.
# Comparisons are written so that a NaN in raw reaches value: the training loop finds divergence
# there.

ctypedef void (*loss_double)(
    Py_ssize_t, Py_ssize_t, const double*, const double*, const double*, double*, double*
) noexcept nogil
ctypedef void (*loss_float)(
    Py_ssize_t, Py_ssize_t, const float*, const float*, const double*, float*, float*
) noexcept nogil
ctypedef double (*at_double)(double, double, const double*, double*) noexcept nogil
ctypedef float (*at_float)(float, float, const double*, float*) noexcept nogil


cdef class LossKernel:
    """The typed pointers of a loss kernel."""

    cdef void* for_double
    cdef void* for_float
    cdef void* at_double
    cdef void* at_float
    cdef readonly bint joint

    @staticmethod
    cdef LossKernel of(
        loss_double for_double, loss_float for_float, at_double one_double, at_float one_float
    ):
        cdef LossKernel kernel = LossKernel()
        kernel.for_double = <void*> for_double
        kernel.for_float = <void*> for_float
        kernel.at_double = <void*> one_double
        kernel.at_float = <void*> one_float
        kernel.joint = one_double == NULL
        return kernel

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
        cdef size_t a = y_columns.ctypes.data, b = raw_columns.ctypes.data
        cdef size_t c = value.ctypes.data, e = gradient.ctypes.data
        if raw.dtype == np.float32:
            (<loss_float> self.for_float)(
                n, k, <float*> a, <float*> b, numbers, <float*> c, <float*> e)
        else:
            (<loss_double> self.for_double)(
                n, k, <double*> a, <double*> b, numbers, <double*> c, <double*> e)
        return value.sum(axis=0), gradient.T.reshape(raw.shape)


cdef inline floating exp_excess(floating x) noexcept nogil:
    """exp(x) - 1 - x of |x| <= 1/32, never below 0: its Taylor series, to the last digit."""
    cdef floating tail = <floating> (1 / 5040.) + x * <floating> (1 / 40320.)
    tail = <floating> (1 / 24.) + x * (<floating> (1 / 120.) + x * (<floating> (1 / 720.) + x * tail))
    return x * x * (<floating> 0.5 + x * (<floating> (1 / 6.) + x * tail))


cdef inline floating poisson_value(floating y, floating z, floating mean) noexcept nogil:
    """y (exp(x) - 1 - x) with x = z - log y, or exp(z) for y = 0: at least 0."""
    # As far as exp goes, so that no difference of saturated numbers is below 0.
    cdef floating last = 709 if floating is double else 88
    cdef floating x = least[floating](last, z) - <floating> log(<double> y)
    # Both without a branch.
    cdef floating near = y * exp_excess(x), far = greatest[floating](0, mean - y - y * x)
    return (near if x * x < <floating> 0.0009765625 else far) if y > 0 else mean - y * z


cdef inline floating gamma_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    # In x = log y - z alone: a y near the least number is no other than one near 1.
    cdef floating largest = 709 if floating is double else 88
    cdef floating x = least[floating](largest, <floating> log(<double> y) - z)
    cdef floating excess = expm1(x)
    cdef floating near = exp_excess(x), far = greatest[floating](0, excess - x)
    value[0] = near if x * x < <floating> 0.0009765625 else far
    return -excess


cdef inline floating squared_error_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating r = z - y
    value[0] = <floating> 0.5 * r * r
    return r


cdef void squared_error(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = squared_error_at(y[i], raw[i], param, &value[i])


cdef inline floating huber_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating delta = <floating> param[0], r = z - y
    cdef floating clipped = greatest(-delta, least(delta, r))
    value[0] = clipped * (r - <floating> 0.5 * clipped)
    return clipped


cdef void huber(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = huber_at(y[i], raw[i], param, &value[i])


cdef inline floating absolute_error_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating r = z - y
    value[0] = r if r >= 0 else -r
    return 1 if r > 0 else (-1 if r < 0 else 0)


cdef void absolute_error(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = absolute_error_at(y[i], raw[i], param, &value[i])


cdef inline floating quantile_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating below = <floating> param[0], above = <floating> (1 - param[0]), r = z - y
    value[0] = above * r if r >= 0 else -below * r
    return above if r > 0 else (-below if r < 0 else 0)


cdef void quantile(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = quantile_at(y[i], raw[i], param, &value[i])


cdef inline floating epsilon_insensitive_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating epsilon = <floating> param[0], r = z - y
    cdef floating excess = (r if r >= 0 else -r) - epsilon
    value[0] = 0 if excess <= 0 else excess
    return 0 if excess <= 0 else (1 if r > 0 else -1)


cdef void epsilon_insensitive(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = epsilon_insensitive_at(y[i], raw[i], param, &value[i])


cdef inline floating squared_epsilon_insensitive_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating epsilon = <floating> param[0], r = z - y
    cdef floating excess = (r if r >= 0 else -r) - epsilon
    excess = 0 if excess <= 0 else excess
    value[0] = excess * excess
    return 2 * excess if r > 0 else -2 * excess


cdef void squared_epsilon_insensitive(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = squared_epsilon_insensitive_at(y[i], raw[i], param, &value[i])


cdef inline floating log_cosh_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating r = z - y
    cdef floating size = r if r >= 0 else -r
    # With t = tanh |r|, log cosh r = -log(1 - t^2) / 2, without cancellation for |r| below 0.88.
    cdef floating less = expm1(-2 * size), e = 1 + less
    cdef floating slope = -less / (2 + less), square = slope * slope
    cdef bint near = square <= <floating> 0.5
    cdef floating ratio = log_ratio(square / (2 - square) if near else e / (2 + e))
    value[0] = <floating> 0.5 * ratio if near else (
        size + ratio - <floating> 0.6931471805599453)
    return slope if r >= 0 else -slope


cdef void log_cosh(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = log_cosh_at(y[i], raw[i], param, &value[i])


cdef inline floating poisson_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating mean = exp(z)
    value[0] = poisson_value(y, z, mean)
    return mean - y


cdef void poisson(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = poisson_at(y[i], raw[i], param, &value[i])


cdef void gamma(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = gamma_at(y[i], raw[i], param, &value[i])


cdef inline floating tweedie_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef double p = param[0], largest = 708 if floating is double else 87
    if p == 1:
        return poisson_at(y, z, param, value)
    if p == 2:
        return gamma_at(y, z, param, value)
    # Both exponentials would saturate at one value, and their difference have either sign.
    cdef floating most = <floating> (largest / greatest[double](abs(1 - p), abs(2 - p)))
    cdef floating near = least[floating](most, greatest[floating](-most, z))
    cdef floating a = exp(<floating> (2 - p) * near), b = y * exp(<floating> (1 - p) * near)
    # The deviance of a perfect prediction is a difference of equal numbers.
    value[0] = greatest[floating](0, a / <floating> (2 - p) - b / <floating> (1 - p) + <floating> (
        pow(y if y > 0 else 0, 2 - p) / ((1 - p) * (2 - p)) if p != 0 else 0.5 * y * y))
    return a - b


cdef void tweedie(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = tweedie_at(y[i], raw[i], param, &value[i])


cdef inline floating minus_size(floating margin) noexcept nogil:
    return -margin if margin > 0 else margin


cdef inline floating log_loss_from(
    floating y, floating margin, floating u, floating* value
) noexcept nogil:
    # With u = exp(-|yz|): log(1 + exp(-yz)) = max(0, -yz) + log(1 + u), where u / (2 + u) is wanted,
    # and the derivative is -y u / (1 + u), or -y / (1 + u) for yz < 0.
    cdef floating below = 1 + u, above = 2 + u
    value[0] = greatest[floating](0, -margin) + log_ratio(u / above)
    return -y * (1 if margin < 0 else u) / below


cdef inline floating log_loss_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    return log_loss_from(y, y * z, exp(minus_size(y * z)), value)


cdef void log_loss(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    # In two loops: each is short enough for a processor to be in several of its rounds at once.
    cdef floating margin[64]
    cdef floating u[64]
    cdef Py_ssize_t start, m, i
    for start in range(0, n * k, 64):
        m = min(64, n * k - start)
        for i in range(m):
            margin[i] = y[start + i] * raw[start + i]
            u[i] = exp(minus_size(margin[i]))
        for i in range(m):
            gradient[start + i] = log_loss_from(
                y[start + i], margin[i], u[i], &value[start + i])


cdef inline floating hinge_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating slack = 1 - y * z
    value[0] = 0 if slack <= 0 else slack
    return 0 if slack <= 0 else -y


cdef void hinge(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = hinge_at(y[i], raw[i], param, &value[i])


cdef inline floating squared_hinge_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating slack = greatest[floating](0, 1 - y * z)
    value[0] = slack * slack
    return -2 * y * slack


cdef void squared_hinge(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = squared_hinge_at(y[i], raw[i], param, &value[i])


cdef inline floating modified_huber_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating margin = y * z
    cdef floating slack = 0 if margin >= 1 else 1 - margin
    value[0] = -4 * margin if margin < -1 else slack * slack
    return -4 * y if margin < -1 else -2 * y * slack


cdef void modified_huber(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = modified_huber_at(y[i], raw[i], param, &value[i])


cdef inline floating perceptron_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating margin = y * z
    value[0] = 0 if margin >= 0 else -margin
    # The subgradient at 0 is that of the wrong side: training starts there.
    return 0 if margin > 0 else -y


cdef void perceptron(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = perceptron_at(y[i], raw[i], param, &value[i])


cdef inline floating exponential_at(
    floating y, floating z, const double* param, floating* value
) noexcept nogil:
    cdef floating e = exp(-y * z)
    value[0] = e
    return -y * e


cdef void exponential(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n * k):
        gradient[i] = exponential_at(y[i], raw[i], param, &value[i])


cdef void softmax_log_loss(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef floating top[64]
    cdef floating total[64]
    cdef const floating* z
    cdef floating* g
    cdef Py_ssize_t start, m, i, r
    for start in range(0, n, 64):
        m = min(64, n - start)
        for i in range(m):
            top[i] = raw[start + i]
            total[i] = 0
        for r in range(1, k):
            z = raw + r * n + start
            for i in range(m):
                top[i] = z[i] if z[i] > top[i] else top[i]
        for r in range(k):
            z = raw + r * n + start
            g = gradient + r * n + start
            for i in range(m):
                g[i] = exp(z[i] - top[i])
                total[i] += g[i]
        for r in range(k):
            g = gradient + r * n + start
            for i in range(m):
                g[i] = g[i] / total[i] - (1 if y[start + i] == r else 0)
        for i in range(m):
            r = <Py_ssize_t> y[start + i]
            value[start + i] = (top[i] - raw[r * n + start + i]) + <floating> log(total[i])


LOSS_KERNELS = {
    "squared_error": LossKernel.of(
        squared_error[double], squared_error[float], squared_error_at[double], squared_error_at[float]),
    "huber": LossKernel.of(
        huber[double], huber[float], huber_at[double], huber_at[float]),
    "absolute_error": LossKernel.of(
        absolute_error[double], absolute_error[float], absolute_error_at[double], absolute_error_at[float]),
    "quantile": LossKernel.of(
        quantile[double], quantile[float], quantile_at[double], quantile_at[float]),
    "epsilon_insensitive": LossKernel.of(
        epsilon_insensitive[double], epsilon_insensitive[float], epsilon_insensitive_at[double], epsilon_insensitive_at[float]),
    "squared_epsilon_insensitive": LossKernel.of(
        squared_epsilon_insensitive[double], squared_epsilon_insensitive[float], squared_epsilon_insensitive_at[double], squared_epsilon_insensitive_at[float]),
    "log_cosh": LossKernel.of(
        log_cosh[double], log_cosh[float], log_cosh_at[double], log_cosh_at[float]),
    "poisson": LossKernel.of(
        poisson[double], poisson[float], poisson_at[double], poisson_at[float]),
    "gamma": LossKernel.of(
        gamma[double], gamma[float], gamma_at[double], gamma_at[float]),
    "tweedie": LossKernel.of(
        tweedie[double], tweedie[float], tweedie_at[double], tweedie_at[float]),
    "log_loss": LossKernel.of(
        log_loss[double], log_loss[float], log_loss_at[double], log_loss_at[float]),
    "hinge": LossKernel.of(
        hinge[double], hinge[float], hinge_at[double], hinge_at[float]),
    "squared_hinge": LossKernel.of(
        squared_hinge[double], squared_hinge[float], squared_hinge_at[double], squared_hinge_at[float]),
    "modified_huber": LossKernel.of(
        modified_huber[double], modified_huber[float], modified_huber_at[double], modified_huber_at[float]),
    "perceptron": LossKernel.of(
        perceptron[double], perceptron[float], perceptron_at[double], perceptron_at[float]),
    "exponential": LossKernel.of(
        exponential[double], exponential[float], exponential_at[double], exponential_at[float]),
    "softmax_log_loss": LossKernel.of(
        softmax_log_loss[double], softmax_log_loss[float], NULL, NULL),
}
