"""Fused-type names for the loops of ``_simd.h``."""

from cython cimport floating
from libc.stdint cimport uint32_t

cdef extern from "_simd.h" nogil:
    enum:
        lossopt_lanes_double
        lossopt_lanes_float
    void prefetch "LOSSOPT_PREFETCH" (const void* address)
    double lossopt_dot_double(
        Py_ssize_t n, const double* x, const double* shift, const double* w)
    void lossopt_dot4_double(
        Py_ssize_t n, const double* x0, const double* x1, const double* x2, const double* x3, const double* shift,
        const double* w, double* out)
    void lossopt_dot4_pair_double(
        Py_ssize_t n, const double* x0, const double* x1, const double* x2, const double* x3, const double* v,
        const double* w, double* with_v, double* with_w)
    void lossopt_axpy_rows_double(
        Py_ssize_t n, Py_ssize_t d, const double* X, const uint32_t* order, Py_ssize_t start,
        const double* shift, const double* a, double* out)
    void lossopt_axpy_upper_double(
        Py_ssize_t d, const double* X, const double* a, double* out)
    void lossopt_axpy_rows_4_double(
        Py_ssize_t n, Py_ssize_t d, const double* X, const double* a, double** out)
    void lossopt_dot_pair_double(
        Py_ssize_t n, const double* x, const double* z, const double* shift, const double* w, double* with_w,
        double* with_z)
    void lossopt_axpy_double(
        Py_ssize_t n, double a, const double* x, const double* shift, double* out)
    void lossopt_decay_axpy_double(
        Py_ssize_t n, double decay, double a, const double* x, const double* shift, double* w)
    double lossopt_weighted_sum_double(
        Py_ssize_t n, const double* a, const double* w)
    double lossopt_weighted_sum_float(
        Py_ssize_t n, const float* a, const float* w)
    double lossopt_exp_double(
        double x)
    double lossopt_expm1_double(
        double x)
    double lossopt_log_ratio_double(
        double s)
    double lossopt_least_double(
        double a, double b)
    double lossopt_greatest_double(
        double a, double b)
    float lossopt_dot_float(
        Py_ssize_t n, const float* x, const float* shift, const float* w)
    void lossopt_dot4_float(
        Py_ssize_t n, const float* x0, const float* x1, const float* x2, const float* x3, const float* shift,
        const float* w, float* out)
    void lossopt_dot4_pair_float(
        Py_ssize_t n, const float* x0, const float* x1, const float* x2, const float* x3, const float* v,
        const float* w, float* with_v, float* with_w)
    void lossopt_axpy_rows_float(
        Py_ssize_t n, Py_ssize_t d, const float* X, const uint32_t* order, Py_ssize_t start,
        const float* shift, const float* a, float* out)
    void lossopt_axpy_upper_float(
        Py_ssize_t d, const float* X, const float* a, float* out)
    void lossopt_axpy_rows_4_float(
        Py_ssize_t n, Py_ssize_t d, const float* X, const float* a, float** out)
    void lossopt_dot_pair_float(
        Py_ssize_t n, const float* x, const float* z, const float* shift, const float* w, float* with_w,
        float* with_z)
    void lossopt_axpy_float(
        Py_ssize_t n, float a, const float* x, const float* shift, float* out)
    void lossopt_decay_axpy_float(
        Py_ssize_t n, float decay, float a, const float* x, const float* shift, float* w)
    float lossopt_exp_float(
        float x)
    float lossopt_expm1_float(
        float x)
    float lossopt_log_ratio_float(
        float s)
    float lossopt_least_float(
        float a, float b)
    float lossopt_greatest_float(
        float a, float b)


cdef inline floating dot(
    Py_ssize_t n, const floating* x, const floating* shift, const floating* w
) noexcept nogil:
    if floating is double:
        return lossopt_dot_double(n, x, shift, w)
    else:
        return lossopt_dot_float(n, x, shift, w)


cdef inline void dot4(
    Py_ssize_t n, const floating* x0, const floating* x1, const floating* x2, const floating* x3, const floating* shift,
    const floating* w, floating* out
) noexcept nogil:
    if floating is double:
        lossopt_dot4_double(n, x0, x1, x2, x3, shift, w, out)
    else:
        lossopt_dot4_float(n, x0, x1, x2, x3, shift, w, out)


cdef inline void dot4_pair(
    Py_ssize_t n, const floating* x0, const floating* x1, const floating* x2, const floating* x3, const floating* v,
    const floating* w, floating* with_v, floating* with_w
) noexcept nogil:
    if floating is double:
        lossopt_dot4_pair_double(n, x0, x1, x2, x3, v, w, with_v, with_w)
    else:
        lossopt_dot4_pair_float(n, x0, x1, x2, x3, v, w, with_v, with_w)


cdef inline void axpy_rows(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const uint32_t* order, Py_ssize_t start,
    const floating* shift, const floating* a, floating* out
) noexcept nogil:
    if floating is double:
        lossopt_axpy_rows_double(n, d, X, order, start, shift, a, out)
    else:
        lossopt_axpy_rows_float(n, d, X, order, start, shift, a, out)


cdef inline void axpy_upper(
    Py_ssize_t d, const floating* X, const floating* a, floating* out
) noexcept nogil:
    if floating is double:
        lossopt_axpy_upper_double(d, X, a, out)
    else:
        lossopt_axpy_upper_float(d, X, a, out)


cdef inline void axpy_rows_4(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const floating* a, floating** out
) noexcept nogil:
    if floating is double:
        lossopt_axpy_rows_4_double(n, d, X, a, out)
    else:
        lossopt_axpy_rows_4_float(n, d, X, a, out)


cdef inline void dot_pair(
    Py_ssize_t n, const floating* x, const floating* z, const floating* shift, const floating* w, floating* with_w,
    floating* with_z
) noexcept nogil:
    if floating is double:
        lossopt_dot_pair_double(n, x, z, shift, w, with_w, with_z)
    else:
        lossopt_dot_pair_float(n, x, z, shift, w, with_w, with_z)


cdef inline void axpy(
    Py_ssize_t n, floating a, const floating* x, const floating* shift, floating* out
) noexcept nogil:
    if floating is double:
        lossopt_axpy_double(n, a, x, shift, out)
    else:
        lossopt_axpy_float(n, a, x, shift, out)


cdef inline void decay_axpy(
    Py_ssize_t n, floating decay, floating a, const floating* x, const floating* shift, floating* w
) noexcept nogil:
    if floating is double:
        lossopt_decay_axpy_double(n, decay, a, x, shift, w)
    else:
        lossopt_decay_axpy_float(n, decay, a, x, shift, w)


cdef inline floating exp(
    floating x
) noexcept nogil:
    if floating is double:
        return lossopt_exp_double(x)
    else:
        return lossopt_exp_float(x)


cdef inline floating expm1(
    floating x
) noexcept nogil:
    if floating is double:
        return lossopt_expm1_double(x)
    else:
        return lossopt_expm1_float(x)


cdef inline floating log_ratio(
    floating s
) noexcept nogil:
    if floating is double:
        return lossopt_log_ratio_double(s)
    else:
        return lossopt_log_ratio_float(s)


cdef inline floating least(
    floating a, floating b
) noexcept nogil:
    if floating is double:
        return lossopt_least_double(a, b)
    else:
        return lossopt_least_float(a, b)


cdef inline floating greatest(
    floating a, floating b
) noexcept nogil:
    if floating is double:
        return lossopt_greatest_double(a, b)
    else:
        return lossopt_greatest_float(a, b)


cdef inline double weighted_sum(
    Py_ssize_t n, const floating* a, const floating* w
) noexcept nogil:
    if floating is double:
        return lossopt_weighted_sum_double(n, a, w)
    else:
        return lossopt_weighted_sum_float(n, a, w)
