# Loss kernels: one function a loss, called once a batch.
#
#     kernel(n, k, y, raw, param, value, gradient)
#
# `raw` and `gradient` are (k, n), sample index fastest, so that loops over samples vectorise.
# An elementwise loss reads y as (k, n) and writes value as (k, n); a joint loss (`joint=True` in
# the table) reads y as (n,) class indices and writes value as (n,).  `gradient` is the derivative
# with respect to raw.  `param` holds the numbers that the Python class names in `_kernel_params`,
# in that order.  Comparisons are written so that a NaN in raw reaches value: the training loop
# finds divergence there.

ctypedef void (*loss_double)(
    Py_ssize_t, Py_ssize_t, const double*, const double*, const double*, double*, double*
) noexcept nogil
ctypedef void (*loss_float)(
    Py_ssize_t, Py_ssize_t, const float*, const float*, const double*, float*, float*
) noexcept nogil


cdef class LossKernel:
    """The two typed pointers of a loss kernel."""

    cdef void* for_double
    cdef void* for_float
    cdef readonly bint joint

    @staticmethod
    cdef LossKernel of(loss_double for_double, loss_float for_float, bint joint=False):
        cdef LossKernel kernel = LossKernel()
        kernel.for_double = <void*> for_double
        kernel.for_float = <void*> for_float
        kernel.joint = joint
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


cdef void squared_error(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef floating r
    cdef Py_ssize_t i
    for i in range(n * k):
        r = raw[i] - y[i]
        value[i] = <floating> 0.5 * r * r
        gradient[i] = r


cdef void huber(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef floating delta = <floating> param[0], r, size, clipped
    cdef Py_ssize_t i
    for i in range(n * k):
        r = raw[i] - y[i]
        size = r if r >= 0 else -r
        clipped = delta if size > delta else size
        value[i] = clipped * (size - <floating> 0.5 * clipped)
        gradient[i] = clipped if r >= 0 else -clipped


cdef void log_loss(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef floating margin, e, share
    cdef Py_ssize_t i
    for i in range(n * k):
        margin = y[i] * raw[i]
        e = exp(-margin if margin >= 0 else margin)
        value[i] = (0 if margin >= 0 else -margin) + log1p(e)
        share = e if margin >= 0 else 1
        gradient[i] = -y[i] * share / (1 + e)


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


cdef void hinge(
    Py_ssize_t n, Py_ssize_t k, const floating* y, const floating* raw, const double* param,
    floating* value, floating* gradient,
) noexcept nogil:
    cdef floating slack
    cdef Py_ssize_t i
    for i in range(n * k):
        slack = 1 - y[i] * raw[i]
        value[i] = 0 if slack <= 0 else slack
        gradient[i] = 0 if slack <= 0 else -y[i]


LOSS_KERNELS = {
    "squared_error": LossKernel.of(squared_error[double], squared_error[float]),
    "huber": LossKernel.of(huber[double], huber[float]),
    "log_loss": LossKernel.of(log_loss[double], log_loss[float]),
    "softmax_log_loss": LossKernel.of(
        softmax_log_loss[double], softmax_log_loss[float], joint=True
    ),
    "hinge": LossKernel.of(hinge[double], hinge[float]),
}
