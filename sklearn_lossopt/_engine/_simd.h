/* Vector loops and the two transcendental functions of the engine, for float and double.
 *
 * The file includes itself once per type.  Reductions carry an OpenMP "simd" pragma, which lets
 * the compiler reorder the additions of that loop alone; everything else keeps strict IEEE
 * semantics, so that NaN and infinity survive and can be tested for.  exp and log1p are written
 * out because calls into libm stop a loop from vectorising, and because vector maths libraries
 * are not portable.  Polynomials interpolate at Chebyshev nodes (relative error below 5e-18 in
 * double, 5e-9 in float, before rounding).
 */
#ifndef LOSSOPT_SIMD_H
#define LOSSOPT_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define LOSSOPT_PREFETCH(p) __builtin_prefetch(p)
#define LOSSOPT_INLINE static inline __attribute__((always_inline))
#else
#define LOSSOPT_PREFETCH(p) ((void)(p))
#define LOSSOPT_INLINE static inline
#endif

/* exp(x) = scale (1 + the value returned), x clamped to [-708, 709]; NaN stays NaN. */
LOSSOPT_INLINE double lossopt_exp_parts_double(double x, double *scale)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    double t, r, r2, r4;
    int64_t bits;
    x = x < -708.0 ? -708.0 : x;
    x = x > 709.0 ? 709.0 : x;
    t = x * 1.4426950408889634074 + magic;
    memcpy(&bits, &t, sizeof bits);
    bits = (int64_t)((uint64_t)(bits + 1023) << 52);
    memcpy(scale, &bits, sizeof bits);
    t -= magic;
    r = (x - t * 0.6931471803691238) - t * 1.9082149292705878161e-10;
    r2 = r * r;
    r4 = r2 * r2;
    return (r + r2 * (0.50000000000000184039 + r * 0.1666666666666668082))
        + r4 * ((0.04166666666648795252 + r * 0.0083333333333195896163)
                + r2 * (0.0013888888952352862866 + r * 0.00019841269890076402829)
                + r4 * ((2.4801485441561312966e-5 + r * 2.7557240887229868596e-6)
                        + r2 * (2.763265472252779189e-7 + r * 2.5110049204818659793e-8)));
}

/* The same for float, x clamped to [-87, 88]. */
LOSSOPT_INLINE float lossopt_exp_parts_float(float x, float *scale)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    float t, r, r2;
    int32_t bits;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    t = x * 1.44269504f + magic;
    memcpy(&bits, &t, sizeof bits);
    bits = (int32_t)((uint32_t)(bits + 127) << 23);
    memcpy(scale, &bits, sizeof bits);
    t -= magic;
    r = (x - t * 0.693145751953125f) - t * 1.42860682030941723e-6f;
    r2 = r * r;
    return (r * 1.00000003773887f + r2 * (0.500000004714606f + r * 0.166664154140412f))
        + r2 * r2 * ((0.0416663527711112f + r * 0.00837513477462433f)
                     + r2 * 0.00139411181895837f);
}

/* exp(x), never zero, subnormal or infinite, and exp(x) - 1, accurate near 0 too. */
LOSSOPT_INLINE double lossopt_exp_double(double x)
{
    double scale, p = lossopt_exp_parts_double(x, &scale);
    return (1.0 + p) * scale;
}

LOSSOPT_INLINE float lossopt_exp_float(float x)
{
    float scale, p = lossopt_exp_parts_float(x, &scale);
    return (1.0f + p) * scale;
}

LOSSOPT_INLINE double lossopt_expm1_double(double x)
{
    double scale, p = lossopt_exp_parts_double(x, &scale);
    return p * scale + (scale - 1.0);
}

LOSSOPT_INLINE float lossopt_expm1_float(float x)
{
    float scale, p = lossopt_exp_parts_float(x, &scale);
    return p * scale + (scale - 1.0f);
}

/* log((1 + s) / (1 - s)) = 2 atanh(s) for 0 <= s <= 1/3; so log(1 + u) with s = u / (2 + u). */
LOSSOPT_INLINE double lossopt_log_ratio_double(double s)
{
    double v = s * s, v2 = v * v, v4 = v2 * v2;
    double p = ((2.0 + v * 0.66666666666666149594)
                + v2 * (0.40000000000185747468 + v * 0.28571428545454114534))
               + v4 * ((0.22222224080747673173 + v * 0.1818174083250480451)
                       + v2 * (0.15386614042304007762 + v * 0.13300374032674624337)
                       + v4 * ((0.12110168728069217655 + v * 0.083245065118608205757)
                               + v2 * 0.17044163562781398129));
    return s * p;
}

LOSSOPT_INLINE float lossopt_log_ratio_float(float s)
{
    float v = s * s;
    float p = (2.00000000768f + v * 0.66666321641f)
              + v * v * ((0.40024595230f + v * 0.27965157745f) + v * v * 0.28157778363f);
    return s * p;
}

/* Least and greatest of two, without a branch; the second where the comparison meets a NaN. */
LOSSOPT_INLINE double lossopt_least_double(double a, double b) { return a < b ? a : b; }
LOSSOPT_INLINE float lossopt_least_float(float a, float b) { return a < b ? a : b; }
LOSSOPT_INLINE double lossopt_greatest_double(double a, double b) { return a > b ? a : b; }
LOSSOPT_INLINE float lossopt_greatest_float(float a, float b) { return a > b ? a : b; }

#define LOSSOPT_NAME_(name, type) lossopt_##name##_##type
#define LOSSOPT_NAME__(name, type) LOSSOPT_NAME_(name, type)
#define LOSSOPT(name) LOSSOPT_NAME__(name, REAL)

#define REAL double
#include "_simd.h"
#undef REAL
#define REAL float
#include "_simd.h"
#undef REAL

#elif defined(REAL)

LOSSOPT_INLINE REAL LOSSOPT(dot)(ptrdiff_t n, const REAL *restrict x, const REAL *restrict shift,
                                 const REAL *restrict w)
{
    REAL s = 0;
    ptrdiff_t j;
    if (shift) {
#pragma omp simd reduction(+ : s)
        for (j = 0; j < n; j++)
            s += (x[j] - shift[j]) * w[j];
    } else {
#pragma omp simd reduction(+ : s)
        for (j = 0; j < n; j++)
            s += x[j] * w[j];
    }
    return s;
}

/* out = (x_i - shift) . w for four rows.  Where there is a shift the difference is formed first, so
 * that a large common offset of the rows costs no accuracy. */
LOSSOPT_INLINE void LOSSOPT(dot4)(ptrdiff_t n, const REAL *restrict x0, const REAL *restrict x1,
                                  const REAL *restrict x2, const REAL *restrict x3,
                                  const REAL *restrict shift, const REAL *restrict w, REAL *out)
{
    REAL s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    ptrdiff_t j;
    if (shift) {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (j = 0; j < n; j++) {
            REAL m = shift[j], v = w[j];
            s0 += (x0[j] - m) * v;
            s1 += (x1[j] - m) * v;
            s2 += (x2[j] - m) * v;
            s3 += (x3[j] - m) * v;
        }
    } else {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (j = 0; j < n; j++) {
            REAL v = w[j];
            s0 += x0[j] * v;
            s1 += x1[j] * v;
            s2 += x2[j] * v;
            s3 += x3[j] * v;
        }
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

/* Products of one row x with w and with another row z, both rows less the shift. */
LOSSOPT_INLINE void LOSSOPT(dot_pair)(ptrdiff_t n, const REAL *restrict x,
                                      const REAL *restrict z, const REAL *restrict shift,
                                      const REAL *restrict w, REAL *with_w, REAL *with_z)
{
    REAL s = 0, t = 0;
    ptrdiff_t j;
    if (shift) {
#pragma omp simd reduction(+ : s, t)
        for (j = 0; j < n; j++) {
            REAL v = x[j] - shift[j];
            s += v * w[j];
            t += v * (z[j] - shift[j]);
        }
    } else {
#pragma omp simd reduction(+ : s, t)
        for (j = 0; j < n; j++) {
            s += x[j] * w[j];
            t += x[j] * z[j];
        }
    }
    *with_w = s;
    *with_z = t;
}

/* out += a0 x0 + a1 x1 + a2 x2 + a3 x3, each row less the shift where there is one. */
LOSSOPT_INLINE void LOSSOPT(axpy4)(ptrdiff_t n, const REAL *a, const REAL *restrict x0,
                                   const REAL *restrict x1, const REAL *restrict x2,
                                   const REAL *restrict x3, const REAL *restrict shift,
                                   REAL *restrict out)
{
    const REAL a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    ptrdiff_t j;
    if (shift) {
#pragma omp simd
        for (j = 0; j < n; j++) {
            REAL m = shift[j];
            out[j] += (a0 * (x0[j] - m) + a1 * (x1[j] - m))
                      + (a2 * (x2[j] - m) + a3 * (x3[j] - m));
        }
    } else {
#pragma omp simd
        for (j = 0; j < n; j++)
            out[j] += (a0 * x0[j] + a1 * x1[j]) + (a2 * x2[j] + a3 * x3[j]);
    }
}

LOSSOPT_INLINE void LOSSOPT(axpy)(ptrdiff_t n, REAL a, const REAL *restrict x,
                                  const REAL *restrict shift, REAL *restrict out)
{
    ptrdiff_t j;
    if (shift) {
#pragma omp simd
        for (j = 0; j < n; j++)
            out[j] += a * (x[j] - shift[j]);
    } else {
#pragma omp simd
        for (j = 0; j < n; j++)
            out[j] += a * x[j];
    }
}

/* Sum of a, or of a w where there are weights, in double precision. */
LOSSOPT_INLINE double LOSSOPT(weighted_sum)(ptrdiff_t n, const REAL *restrict a,
                                            const REAL *restrict w)
{
    double s = 0;
    ptrdiff_t i;
    if (w) {
#pragma omp simd reduction(+ : s)
        for (i = 0; i < n; i++)
            s += (double)(a[i] * w[i]);
    } else {
#pragma omp simd reduction(+ : s)
        for (i = 0; i < n; i++)
            s += (double)a[i];
    }
    return s;
}

/* w = decay w + a (x - shift): one stochastic step, penalty included. */
LOSSOPT_INLINE void LOSSOPT(decay_axpy)(ptrdiff_t n, REAL decay, REAL a, const REAL *restrict x,
                                        const REAL *restrict shift, REAL *restrict w)
{
    ptrdiff_t j;
    if (shift) {
#pragma omp simd
        for (j = 0; j < n; j++)
            w[j] = decay * w[j] + a * (x[j] - shift[j]);
    } else {
#pragma omp simd
        for (j = 0; j < n; j++)
            w[j] = decay * w[j] + a * x[j];
    }
}

#endif
