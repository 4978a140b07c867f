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

#include "_lanes.h"

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

#define VECTOR LOSSOPT(vector)
#define LANES LOSSOPT(lanes)

/* out_m = (x_i - shift) . w_m for four rows and one model or two.  Where there is a shift the
 * difference is formed first, so that a large common offset of the rows costs no accuracy. */
LOSSOPT_INLINE void LOSSOPT(dot4_models)(
    const int models, ptrdiff_t n, const REAL *x0, const REAL *x1, const REAL *x2, const REAL *x3,
    const REAL *shift, const REAL *v, const REAL *w, REAL *with_v, REAL *with_w)
{
    const VECTOR none = LOSSOPT(same)(0);
    VECTOR s0 = none, s1 = none, s2 = none, s3 = none, t0 = none, t1 = none, t2 = none, t3 = none;
    VECTOR a, b = none, x;
    ptrdiff_t j, kept = n % LANES;
#define ROW(x_, s, t)                                                                              \
    x = LOSSOPT(load)(x_ + j);                                                                     \
    if (shift)                                                                                     \
        x = LOSSOPT(less)(x, LOSSOPT(load)(shift + j));                                            \
    if (models > 1)                                                                                \
        LOSSOPT_IN_REGISTER(x);                                                                    \
    s = LOSSOPT(plus)(s, x, a);                                                                    \
    if (models > 1)                                                                                \
        t = LOSSOPT(plus)(t, x, b);
#define ROWS ROW(x0, s0, t0) ROW(x1, s1, t1) ROW(x2, s2, t2) ROW(x3, s3, t3)
    for (j = 0; j + LANES <= n; j += LANES) {
        a = LOSSOPT(load)(v + j);
        if (models > 1)
            b = LOSSOPT(load)(w + j);
        ROWS
    }
    if (kept) {
        j = n - LANES;
        a = LOSSOPT(load_last)(v + j, kept);
        if (models > 1)
            b = LOSSOPT(load_last)(w + j, kept);
        ROWS
    }
#undef ROW
#undef ROWS
    LOSSOPT(fold4)(s0, s1, s2, s3, with_v);
    if (models > 1)
        LOSSOPT(fold4)(t0, t1, t2, t3, with_w);
}

/* The same for rows of fewer numbers than there are lanes. */
LOSSOPT_INLINE void LOSSOPT(dot4_short)(
    ptrdiff_t n, const REAL *x0, const REAL *x1, const REAL *x2, const REAL *x3,
    const REAL *shift, const REAL *w, REAL *out)
{
    REAL s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    ptrdiff_t j;
    for (j = 0; j < n; j++) {
        REAL m = shift ? shift[j] : 0;
        s0 += (x0[j] - m) * w[j];
        s1 += (x1[j] - m) * w[j];
        s2 += (x2[j] - m) * w[j];
        s3 += (x3[j] - m) * w[j];
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

LOSSOPT_INLINE void LOSSOPT(dot4)(
    ptrdiff_t n, const REAL *x0, const REAL *x1, const REAL *x2, const REAL *x3,
    const REAL *shift, const REAL *w, REAL *out)
{
    if (n < LANES)
        LOSSOPT(dot4_short)(n, x0, x1, x2, x3, shift, w, out);
    else if (shift)
        LOSSOPT(dot4_models)(1, n, x0, x1, x2, x3, shift, w, NULL, out, NULL);
    else
        LOSSOPT(dot4_models)(1, n, x0, x1, x2, x3, NULL, w, NULL, out, NULL);
}

/* Two models at once, of at least as many numbers as there are lanes. */
LOSSOPT_INLINE void LOSSOPT(dot4_pair)(
    ptrdiff_t n, const REAL *x0, const REAL *x1, const REAL *x2, const REAL *x3, const REAL *v,
    const REAL *w, REAL *with_v, REAL *with_w)
{
    LOSSOPT(dot4_models)(2, n, x0, x1, x2, x3, NULL, v, w, with_v, with_w);
}

/* out_m += the sum over n rows of a_m[i] times (row i - shift), one row after the other, for the
 * numbers of `width` vectors from j on, and for 1 or 4 models.  The last vector begins at `last`;
 * of it so many lanes are `kept`.  a_m is a + m n. */
LOSSOPT_INLINE void LOSSOPT(axpy_tile)(
    const int models, const int width, ptrdiff_t n, ptrdiff_t d, const REAL *X,
    const uint32_t *order, ptrdiff_t start, const REAL *shift, const REAL *a, REAL *const *out,
    ptrdiff_t j, ptrdiff_t last, ptrdiff_t kept)
{
    VECTOR s[12], c, x;
    const REAL *row;
    ptrdiff_t i, at;
    int m, u;
#define PLACE(u) ((u) < width - 1 ? j + (u)*LANES : last)
#pragma GCC unroll 4
    for (m = 0; m < models; m++)
#pragma GCC unroll 8
        for (u = 0; u < width; u++)
            s[m * width + u] = LOSSOPT(load)(out[m] + PLACE(u));
    for (i = 0; i < n; i++) {
        at = order ? (ptrdiff_t)order[start + i] : start + i;
        row = X + at * d;
#pragma GCC unroll 8
        for (u = 0; u < width; u++) {
            x = LOSSOPT(load)(row + PLACE(u));
            if (shift)
                x = LOSSOPT(less)(x, LOSSOPT(load)(shift + PLACE(u)));
#pragma GCC unroll 4
            for (m = 0; m < models; m++) {
                c = LOSSOPT(same)(a[m * n + i]);
                s[m * width + u] = LOSSOPT(plus)(s[m * width + u], c, x);
            }
        }
    }
#pragma GCC unroll 4
    for (m = 0; m < models; m++) {
#pragma GCC unroll 8
        for (u = 0; u < width - 1; u++)
            LOSSOPT(store)(out[m] + j + u * LANES, s[m * width + u]);
        LOSSOPT(store_last)(out[m] + last, s[m * width + width - 1], kept);
    }
#undef PLACE
}

/* The same for one model and rows of fewer numbers than there are lanes: four sums of every fourth
 * row. */
LOSSOPT_INLINE void LOSSOPT(axpy_short)(
    ptrdiff_t n, ptrdiff_t d, const REAL *X, const uint32_t *order, ptrdiff_t start,
    const REAL *shift, const REAL *a, REAL *out)
{
    ptrdiff_t i, j;
#define AT(i) X[(order ? (ptrdiff_t)order[start + (i)] : start + (i)) * d + j]
    for (j = 0; j < d; j++) {
        REAL s0 = 0, s1 = 0, s2 = 0, s3 = 0, m = shift ? shift[j] : 0;
        for (i = 0; i + 4 <= n; i += 4) {
            s0 += a[i] * (AT(i) - m);
            s1 += a[i + 1] * (AT(i + 1) - m);
            s2 += a[i + 2] * (AT(i + 2) - m);
            s3 += a[i + 3] * (AT(i + 3) - m);
        }
        for (; i < n; i++)
            s0 += a[i] * (AT(i) - m);
        out[j] += (s0 + s1) + (s2 + s3);
    }
#undef AT
}

/* out += the sum over n rows of a[i] times (row i - shift); of an upper triangular matrix's rows the
 * zeros before the diagonal are spared, vector by vector. */
LOSSOPT_INLINE void LOSSOPT(axpy_tiles)(
    const int upper, ptrdiff_t n, ptrdiff_t d, const REAL *X, const uint32_t *order,
    ptrdiff_t start, const REAL *shift, const REAL *a, REAL *out)
{
    ptrdiff_t kept = d % LANES, vectors = d / LANES + (kept > 0), tiles = (vectors + 7) / 8, u = 0;
    if (d < LANES) {
        LOSSOPT(axpy_short)(n, d, X, order, start, shift, a, out);
        return;
    }
    for (; tiles > 0; tiles--) {
        ptrdiff_t width = (vectors - u + tiles - 1) / tiles, j = u * LANES, rest = LANES;
        ptrdiff_t last = j + (width - 1) * LANES;
        u += width;
        if (u == vectors && kept) {
            last = d - LANES;
            rest = kept;
        }
        if (upper)
            n = last + LANES;
#define TILE(width)                                                                                \
    case width:                                                                                    \
        LOSSOPT(axpy_tile)(1, width, n, d, X, order, start, shift, a, &out, j, last, rest);        \
        break;
        switch (width) {
            TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8)
        }
#undef TILE
    }
}

static void LOSSOPT(axpy_rows)(
    ptrdiff_t n, ptrdiff_t d, const REAL *X, const uint32_t *order, ptrdiff_t start,
    const REAL *shift, const REAL *a, REAL *out)
{
    if (shift)
        LOSSOPT(axpy_tiles)(0, n, d, X, order, start, shift, a, out);
    else
        LOSSOPT(axpy_tiles)(0, n, d, X, order, start, NULL, a, out);
}

static void LOSSOPT(axpy_upper)(ptrdiff_t d, const REAL *X, const REAL *a, REAL *out)
{
    LOSSOPT(axpy_tiles)(1, d, d, X, NULL, 0, NULL, a, out);
}

/* axpy_rows for four models, each in the same order; a is (4, n), the rows are n contiguous ones of at
 * least as many numbers as there are lanes. */
static void LOSSOPT(axpy_rows_4)(
    ptrdiff_t n, ptrdiff_t d, const REAL *X, const REAL *a, REAL *const *out)
{
    ptrdiff_t kept = d % LANES, vectors = d / LANES + (kept > 0), u = 0;
    while (u < vectors) {
        ptrdiff_t left = vectors - u, width = left == 1 || left == 3 ? left : 2, j = u * LANES;
        ptrdiff_t last = j + (width - 1) * LANES, rest = LANES;
        u += width;
        if (u == vectors && kept) {
            last = d - LANES;
            rest = kept;
        }
        if (width == 1)
            LOSSOPT(axpy_tile)(4, 1, n, d, X, NULL, 0, NULL, a, out, j, last, rest);
        else if (width == 2)
            LOSSOPT(axpy_tile)(4, 2, n, d, X, NULL, 0, NULL, a, out, j, last, rest);
        else
            LOSSOPT(axpy_tile)(4, 3, n, d, X, NULL, 0, NULL, a, out, j, last, rest);
    }
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

/* Sum of a, or of a w where there are weights, in double precision: of four parts, side by side, so
 * that an addition need not wait for the last. */
static double LOSSOPT(weighted_sum)(ptrdiff_t n, const REAL *restrict a, const REAL *restrict w)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    ptrdiff_t i, q = n / 4;
    if (w) {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (i = 0; i < q; i++) {
            s0 += (double)(a[i] * w[i]);
            s1 += (double)(a[q + i] * w[q + i]);
            s2 += (double)(a[2 * q + i] * w[2 * q + i]);
            s3 += (double)(a[3 * q + i] * w[3 * q + i]);
        }
        for (i = 4 * q; i < n; i++)
            s0 += (double)(a[i] * w[i]);
    } else {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (i = 0; i < q; i++) {
            s0 += (double)a[i];
            s1 += (double)a[q + i];
            s2 += (double)a[2 * q + i];
            s3 += (double)a[3 * q + i];
        }
        for (i = 4 * q; i < n; i++)
            s0 += (double)a[i];
    }
    return (s0 + s1) + (s2 + s3);
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

#undef VECTOR
#undef LANES

#endif
