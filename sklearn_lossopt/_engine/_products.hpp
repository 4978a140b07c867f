/* Products of rows with weights, and sums of weighted rows.
 *
 * Reductions carry an OpenMP "simd" pragma, which lets the compiler reorder the additions of that
 * loop alone.
 */
#ifndef LOSSOPT_PRODUCTS_HPP
#define LOSSOPT_PRODUCTS_HPP

#include "_lanes.hpp"

#if defined(_MSC_VER)
#define LOSSOPT_RESTRICT __restrict
#else
#define LOSSOPT_RESTRICT __restrict__
#endif

namespace lossopt {
namespace LOSSOPT_LEVEL {

template <class T>
LOSSOPT_INLINE T dot(ptrdiff_t n, const T *LOSSOPT_RESTRICT x, const T *LOSSOPT_RESTRICT w)
{
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (ptrdiff_t j = 0; j < n; j++)
        s += x[j] * w[j];
    return s;
}

template <class T>
LOSSOPT_INLINE T dot(ptrdiff_t n, const T *LOSSOPT_RESTRICT x, const T *LOSSOPT_RESTRICT shift,
                     const T *LOSSOPT_RESTRICT w)
{
    if (!shift)
        return dot(n, x, w);
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (ptrdiff_t j = 0; j < n; j++)
        s += (x[j] - shift[j]) * w[j];
    return s;
}

/* out_m = (x_i - shift) . w_m for four rows and one model or two.  Where there is a shift the
 * difference is formed first, so that a large common offset of the rows costs no accuracy. */
template <int models, class T>
LOSSOPT_INLINE void dot4_models(
    ptrdiff_t n, const T *x0, const T *x1, const T *x2, const T *x3, const T *shift, const T *v,
    const T *w, T *with_v, T *with_w)
{
    const Vector<T> none = same<T>(0);
    Vector<T> s0 = none, s1 = none, s2 = none, s3 = none;
    Vector<T> t0 = none, t1 = none, t2 = none, t3 = none;
    Vector<T> a, b = none, x;
    ptrdiff_t j, kept = n % lanes<T>;
#define ROW(x_, s, t)                                                                              \
    x = load<T>(x_ + j);                                                                           \
    if (shift)                                                                                     \
        x = less<T>(x, load<T>(shift + j));                                                        \
    if (models > 1)                                                                                \
        LOSSOPT_IN_REGISTER(x);                                                                    \
    s = plus<T>(s, x, a);                                                                          \
    if (models > 1)                                                                                \
        t = plus<T>(t, x, b);
#define ROWS ROW(x0, s0, t0) ROW(x1, s1, t1) ROW(x2, s2, t2) ROW(x3, s3, t3)
    for (j = 0; j + lanes<T> <= n; j += lanes<T>) {
        a = load<T>(v + j);
        if (models > 1)
            b = load<T>(w + j);
        ROWS
    }
    if (kept) {
        j = n - lanes<T>;
        a = load_last<T>(v + j, kept);
        if (models > 1)
            b = load_last<T>(w + j, kept);
        ROWS
    }
#undef ROW
#undef ROWS
    fold4(s0, s1, s2, s3, with_v);
    if (models > 1)
        fold4(t0, t1, t2, t3, with_w);
}

/* The same for rows of fewer numbers than there are lanes. */
template <class T>
LOSSOPT_INLINE void dot4_short(ptrdiff_t n, const T *x0, const T *x1, const T *x2, const T *x3,
                               const T *shift, const T *w, T *out)
{
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (ptrdiff_t j = 0; j < n; j++) {
        T m = shift ? shift[j] : 0;
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

template <class T>
LOSSOPT_INLINE void dot4(ptrdiff_t n, const T *x0, const T *x1, const T *x2, const T *x3,
                         const T *shift, const T *w, T *out)
{
    const T *none = nullptr;
    if (n < lanes<T>)
        dot4_short(n, x0, x1, x2, x3, shift, w, out);
    else if (shift)
        dot4_models<1, T>(n, x0, x1, x2, x3, shift, w, none, out, nullptr);
    else
        dot4_models<1, T>(n, x0, x1, x2, x3, none, w, none, out, nullptr);
}

/* Two models at once, of at least as many numbers as there are lanes. */
template <class T>
LOSSOPT_INLINE void dot4_pair(ptrdiff_t n, const T *x0, const T *x1, const T *x2, const T *x3,
                              const T *v, const T *w, T *with_v, T *with_w)
{
    dot4_models<2, T>(n, x0, x1, x2, x3, nullptr, v, w, with_v, with_w);
}

/* out_m += the sum over n rows of a_m[i] times (row i - shift), one row after the other, for the
 * numbers of `width` vectors from j on, and for 1 or 4 models.  The last vector begins at `last`;
 * of it so many lanes are `kept`.  a_m is a + m n. */
template <int models, int width, class T>
LOSSOPT_INLINE void axpy_tile(
    ptrdiff_t n, ptrdiff_t d, const T *X, const uint32_t *order, ptrdiff_t start, const T *shift,
    const T *a, T *const *out, ptrdiff_t j, ptrdiff_t last, ptrdiff_t kept)
{
    Vector<T> s[12], c, x;
    const T *row;
    ptrdiff_t i, at;
    int m, u;
#define PLACE(u) ((u) < width - 1 ? j + (u)*lanes<T> : last)
#pragma GCC unroll 4
    for (m = 0; m < models; m++)
#pragma GCC unroll 8
        for (u = 0; u < width; u++)
            s[m * width + u] = load<T>(out[m] + PLACE(u));
    for (i = 0; i < n; i++) {
        at = order ? (ptrdiff_t)order[start + i] : start + i;
        row = X + at * d;
#pragma GCC unroll 8
        for (u = 0; u < width; u++) {
            x = load<T>(row + PLACE(u));
            if (shift)
                x = less<T>(x, load<T>(shift + PLACE(u)));
#pragma GCC unroll 4
            for (m = 0; m < models; m++) {
                c = same<T>(a[m * n + i]);
                s[m * width + u] = plus<T>(s[m * width + u], c, x);
            }
        }
    }
#pragma GCC unroll 4
    for (m = 0; m < models; m++) {
#pragma GCC unroll 8
        for (u = 0; u < width - 1; u++)
            store<T>(out[m] + j + u * lanes<T>, s[m * width + u]);
        store_last<T>(out[m] + last, s[m * width + width - 1], kept);
    }
#undef PLACE
}

/* The same for one model and rows of fewer numbers than there are lanes: four sums of every fourth
 * row. */
template <class T>
LOSSOPT_INLINE void axpy_short(
    ptrdiff_t n, ptrdiff_t d, const T *X, const uint32_t *order, ptrdiff_t start, const T *shift,
    const T *a, T *out)
{
    ptrdiff_t i, j;
#define AT(i) X[(order ? (ptrdiff_t)order[start + (i)] : start + (i)) * d + j]
    for (j = 0; j < d; j++) {
        T s0 = 0, s1 = 0, s2 = 0, s3 = 0, m = shift ? shift[j] : 0;
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
template <bool upper, class T>
LOSSOPT_INLINE void axpy_tiles(
    ptrdiff_t n, ptrdiff_t d, const T *X, const uint32_t *order, ptrdiff_t start, const T *shift,
    const T *a, T *out)
{
    ptrdiff_t kept = d % lanes<T>, vectors = d / lanes<T> + (kept > 0);
    ptrdiff_t tiles = (vectors + 7) / 8, u = 0;
    if (d < lanes<T>) {
        axpy_short(n, d, X, order, start, shift, a, out);
        return;
    }
    for (; tiles > 0; tiles--) {
        ptrdiff_t width = (vectors - u + tiles - 1) / tiles, j = u * lanes<T>, rest = lanes<T>;
        ptrdiff_t last = j + (width - 1) * lanes<T>;
        u += width;
        if (u == vectors && kept) {
            last = d - lanes<T>;
            rest = kept;
        }
        if (upper)
            n = last + lanes<T>;
#define TILE(width)                                                                                \
    case width:                                                                                    \
        axpy_tile<1, width, T>(n, d, X, order, start, shift, a, &out, j, last, rest);              \
        break;
        switch (width) {
            TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8)
        }
#undef TILE
    }
}

template <class T>
static void axpy_rows(ptrdiff_t n, ptrdiff_t d, const T *X, const uint32_t *order, ptrdiff_t start,
                      const T *shift, const T *a, T *out)
{
    const T *none = nullptr;
    if (shift)
        axpy_tiles<false, T>(n, d, X, order, start, shift, a, out);
    else
        axpy_tiles<false, T>(n, d, X, order, start, none, a, out);
}

template <class T>
static void axpy_upper(ptrdiff_t d, const T *X, const T *a, T *out)
{
    axpy_tiles<true, T>(d, d, X, nullptr, 0, nullptr, a, out);
}

/* axpy_rows for four models, each in the same order; a is (4, n), the rows are n contiguous ones of at
 * least as many numbers as there are lanes. */
template <class T>
static void axpy_rows_4(ptrdiff_t n, ptrdiff_t d, const T *X, const T *a, T *const *out)
{
    ptrdiff_t kept = d % lanes<T>, vectors = d / lanes<T> + (kept > 0), u = 0;
    const T *none = nullptr;
    while (u < vectors) {
        ptrdiff_t left = vectors - u, width = left == 1 || left == 3 ? left : 2, j = u * lanes<T>;
        ptrdiff_t last = j + (width - 1) * lanes<T>, rest = lanes<T>;
        u += width;
        if (u == vectors && kept) {
            last = d - lanes<T>;
            rest = kept;
        }
        if (width == 1)
            axpy_tile<4, 1, T>(n, d, X, nullptr, 0, none, a, out, j, last, rest);
        else if (width == 2)
            axpy_tile<4, 2, T>(n, d, X, nullptr, 0, none, a, out, j, last, rest);
        else
            axpy_tile<4, 3, T>(n, d, X, nullptr, 0, none, a, out, j, last, rest);
    }
}

/* Products of one row x with w and with another row z, both rows less the shift. */
template <class T>
LOSSOPT_INLINE void dot_pair(
    ptrdiff_t n, const T *LOSSOPT_RESTRICT x, const T *LOSSOPT_RESTRICT z,
    const T *LOSSOPT_RESTRICT shift, const T *LOSSOPT_RESTRICT w, T *with_w, T *with_z)
{
    T s = 0, t = 0;
    ptrdiff_t j;
    if (shift) {
#pragma omp simd reduction(+ : s, t)
        for (j = 0; j < n; j++) {
            T v = x[j] - shift[j];
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

template <class T>
LOSSOPT_INLINE void axpy(ptrdiff_t n, T a, const T *LOSSOPT_RESTRICT x, T *LOSSOPT_RESTRICT out)
{
    ptrdiff_t j;
#pragma omp simd
    for (j = 0; j < n; j++)
        out[j] += a * x[j];
}

/* Sum of a, or of a w where there are weights, in double precision: of four parts, side by side, so
 * that an addition need not wait for the last. */
template <class T>
static double weighted_sum(
    ptrdiff_t n, const T *LOSSOPT_RESTRICT a, const T *LOSSOPT_RESTRICT w)
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
template <class T>
LOSSOPT_INLINE void decay_axpy(
    ptrdiff_t n, T decay, T a, const T *LOSSOPT_RESTRICT x, const T *LOSSOPT_RESTRICT shift,
    T *LOSSOPT_RESTRICT w)
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

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
