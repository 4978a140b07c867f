# The table of activations, whose loops are in _activations.h.

cdef extern from "_activations.h" nogil:
    void lossopt_identity_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_identity_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_identity_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_identity_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_relu_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_relu_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_relu_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_relu_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_leaky_relu_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_leaky_relu_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_leaky_relu_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_leaky_relu_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_tanh_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_tanh_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_tanh_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_tanh_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_logistic_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_logistic_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_logistic_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_logistic_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_silu_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_silu_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_silu_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_silu_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_gelu_forward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_gelu_forward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_gelu_backward_double(Py_ssize_t n, const double* x, double* out)
    void lossopt_gelu_backward_float(Py_ssize_t n, const float* x, float* out)
    void lossopt_drop_double(
        Py_ssize_t n, uint64_t key, Py_ssize_t first, double rate, const double* x, double* out)
    void lossopt_drop_float(
        Py_ssize_t n, uint64_t key, Py_ssize_t first, double rate, const float* x, float* out)

ctypedef void (*along_double)(Py_ssize_t, const double*, double*) noexcept nogil
ctypedef void (*along_float)(Py_ssize_t, const float*, float*) noexcept nogil


cdef class ActivationKernel:
    """The typed pointers of an activation: ``forward(n, z, a)``, and ``backward(n, kept, g)``,
    which multiplies g by the derivative.  What is kept is a, or z where ``keeps_input``."""

    cdef void* forward_double
    cdef void* forward_float
    cdef void* backward_double
    cdef void* backward_float
    cdef readonly bint keeps_input

    @staticmethod
    cdef ActivationKernel of(
        along_double forward_double, along_float forward_float, along_double backward_double,
        along_float backward_float, bint keeps_input,
    ):
        cdef ActivationKernel kernel = ActivationKernel()
        kernel.forward_double = <void*> forward_double
        kernel.forward_float = <void*> forward_float
        kernel.backward_double = <void*> backward_double
        kernel.backward_float = <void*> backward_float
        kernel.keeps_input = keeps_input
        return kernel

    def __call__(self, z):
        """Replace a C-contiguous array, float32 or float64, by its activations."""
        if not (z.flags.c_contiguous and z.flags.writeable and z.dtype.kind == "f"):
            raise TypeError("expected a writeable C-contiguous array of floats")
        cdef size_t address = z.ctypes.data
        if z.dtype == np.float32:
            (<along_float> self.forward_float)(z.size, <float*> address, <float*> address)
        else:
            (<along_double> self.forward_double)(z.size, <double*> address, <double*> address)


ACTIVATION_KERNELS = {
    "identity": ActivationKernel.of(
        lossopt_identity_forward_double, lossopt_identity_forward_float,
        lossopt_identity_backward_double, lossopt_identity_backward_float, False),
    "relu": ActivationKernel.of(
        lossopt_relu_forward_double, lossopt_relu_forward_float,
        lossopt_relu_backward_double, lossopt_relu_backward_float, False),
    "leaky_relu": ActivationKernel.of(
        lossopt_leaky_relu_forward_double, lossopt_leaky_relu_forward_float,
        lossopt_leaky_relu_backward_double, lossopt_leaky_relu_backward_float, False),
    "tanh": ActivationKernel.of(
        lossopt_tanh_forward_double, lossopt_tanh_forward_float,
        lossopt_tanh_backward_double, lossopt_tanh_backward_float, False),
    "logistic": ActivationKernel.of(
        lossopt_logistic_forward_double, lossopt_logistic_forward_float,
        lossopt_logistic_backward_double, lossopt_logistic_backward_float, False),
    "silu": ActivationKernel.of(
        lossopt_silu_forward_double, lossopt_silu_forward_float,
        lossopt_silu_backward_double, lossopt_silu_backward_float, True),
    "gelu": ActivationKernel.of(
        lossopt_gelu_forward_double, lossopt_gelu_forward_float,
        lossopt_gelu_backward_double, lossopt_gelu_backward_float, True),
}


cdef inline void drop(
    Py_ssize_t n, uint64_t key, Py_ssize_t first, double rate, const floating* x, floating* out
) noexcept nogil:
    if floating is double:
        lossopt_drop_double(n, key, first, rate, x, out)
    else:
        lossopt_drop_float(n, key, first, rate, x, out)
