/* Rows and targets of a batch, the order of the rows, and products of whole batches. */
#ifndef LOSSOPT_BATCHES_HPP
#define LOSSOPT_BATCHES_HPP

#include "_math.hpp"
#include "_products.hpp"

#if defined(__GNUC__) || defined(__clang__)
#define LOSSOPT_PREFETCH(p) __builtin_prefetch(p)
#else
#define LOSSOPT_PREFETCH(p) ((void)(p))
#endif

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Rows fetched into the cache ahead of use, and the cache lines of each (hardware follows a longer
 * row by itself). */
constexpr ptrdiff_t AHEAD = 8, LINES = 32;

LOSSOPT_INLINE void prefetch_row(const void *row, ptrdiff_t size)
{
    ptrdiff_t n_lines = least(LINES, (size + 63) / 64);
    for (ptrdiff_t line = 0; line < n_lines; line++)
        LOSSOPT_PREFETCH((const char *)row + 64 * line);
}

/* SplitMix64's output function (Steele, Lea, Flood 2014). */
LOSSOPT_INLINE uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* A 32-bit draw times the bound; the product's upper half is the number drawn.  The generator is the
 * upper half of a 64-bit linear congruential one (Knuth's multiplier). */
LOSSOPT_INLINE uint64_t draw(uint64_t *state, uint32_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 32) * bound;
}

/* Fisher-Yates shuffle; the order depends on the seed and the epoch's number alone, so that
 * interrupted and uninterrupted training see the same batches. */
static void permute(uint32_t *order, ptrdiff_t n, uint64_t seed, uint64_t epoch)
{
    uint64_t state = mix(seed + mix(epoch + 1));
    for (ptrdiff_t i = n - 1; i > 0; i--) {
        /* Lemire (2019): of the draws, the few that would bias the result are rejected. */
        uint32_t bound = (uint32_t)(i + 1);
        uint64_t wide = draw(&state, bound);
        if ((uint32_t)wide < bound) {
            uint32_t threshold = (uint32_t)(-(int64_t)bound) % bound;
            while ((uint32_t)wide < threshold)
                wide = draw(&state, bound);
        }
        ptrdiff_t j = (ptrdiff_t)(wide >> 32);
        uint32_t other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
}

LOSSOPT_INLINE ptrdiff_t row_index(const uint32_t *order, ptrdiff_t i)
{
    return order ? (ptrdiff_t)order[i] : i;
}

template <class T>
LOSSOPT_INLINE const T *row_at(const T *X, const uint32_t *order, ptrdiff_t i, ptrdiff_t d)
{
    return X + row_index(order, i) * d;
}

/* Targets of n rows as (k, n), or (n,) for class indices, and their weights. */
template <class T>
static void gather_targets(const Plan<T> &t, const uint32_t *order, ptrdiff_t start, ptrdiff_t n,
                           T *y, T *s)
{
    const T *target = t.target, *weight = t.weight;
    ptrdiff_t k = t.k, i, r;
    bool plain = t.target_kind == TARGET_CLASS || (t.target_kind == TARGET_VALUES && k == 1);
    if (weight && !order)
        memcpy(s, weight + start, n * sizeof(T));
    else if (weight)
        for (i = 0; i < n; i++)
            s[i] = weight[order[start + i]];
    if (plain && !order)
        memcpy(y, target + start, n * sizeof(T));
    else if (plain)
        for (i = 0; i < n; i++)
            y[i] = target[order[start + i]];
    else if (t.target_kind == TARGET_VALUES)
        for (i = 0; i < n; i++) {
            ptrdiff_t row = row_index(order, start + i);
            for (r = 0; r < k; r++)
                y[r * n + i] = target[row * k + r];
        }
    else
        for (i = 0; i < n; i++) {
            ptrdiff_t row = row_index(order, start + i);
            for (r = 0; r < k; r++)
                y[r * n + i] = target[row] == r ? 1 : -1;
        }
}

template <class T>
LOSSOPT_INLINE void prefetch_ahead(const Plan<T> &t, const uint32_t *order, ptrdiff_t i)
{
    if (t.streams && order && i + AHEAD < t.n)
        prefetch_row(t.X + (ptrdiff_t)order[i + AHEAD] * t.d, t.d * sizeof(T));
}

/* Rows less the shift. */
template <class T>
static void gather_rows(const Plan<T> &t, const uint32_t *order, ptrdiff_t start, ptrdiff_t n,
                        T *out)
{
    ptrdiff_t d = t.d;
    const T *shift = t.shift;
    for (ptrdiff_t i = 0; i < n; i++) {
        prefetch_ahead(t, order, start + i);
        const T *x = row_at(t.X, order, start + i, d);
        T *o = out + i * d;
        if (!shift)
            memcpy(o, x, d * sizeof(T));
        else
            for (ptrdiff_t j = 0; j < d; j++)
                o[j] = x[j] - shift[j];
    }
}

/* Rows (x - shift) scale, extended by 1, or 0 without intercepts, as (n, d + 1). */
template <class T>
static void gather_extended(const Plan<T> &t, const uint32_t *order, ptrdiff_t start, ptrdiff_t n,
                            T *out)
{
    ptrdiff_t d = t.d, j;
    const T *shift = t.shift, *scale = t.column_scale;
    for (ptrdiff_t i = 0; i < n; i++) {
        prefetch_ahead(t, order, start + i);
        const T *x = row_at(t.X, order, start + i, d);
        T *o = out + i * (d + 1);
        if (!scale)
            memcpy(o, x, d * sizeof(T));
        else if (!shift)
            for (j = 0; j < d; j++)
                o[j] = x[j] * scale[j];
        else
            for (j = 0; j < d; j++)
                o[j] = (x[j] - shift[j]) * scale[j];
        o[d] = (T)t.intercept;
    }
}

/* raw = rows . w + intercept, straight from X: one output needs no copy of the rows. */
template <class T>
static void dot_rows(ptrdiff_t n, ptrdiff_t d, const T *X, const uint32_t *order, ptrdiff_t start,
                     ptrdiff_t n_rows, bool streams, const T *shift, const T *w, T intercept,
                     T *raw)
{
    ptrdiff_t i = 0, p = start;
    for (; i + 4 <= n; i += 4, p += 4) {
        if (streams && order) {
            ptrdiff_t end = least(p + AHEAD + 4, n_rows);
            for (ptrdiff_t ahead = p + AHEAD; ahead < end; ahead++)
                prefetch_row(row_at(X, order, ahead, d), d * sizeof(T));
        }
        dot4(d, row_at(X, order, p, d), row_at(X, order, p + 1, d), row_at(X, order, p + 2, d),
             row_at(X, order, p + 3, d), shift, w, raw + i);
    }
    if (i < n) {
        /* The rows that are left in the same order of additions: some of them twice. */
        T rest[4];
        ptrdiff_t last = n - 1 - i;
        dot4(d, row_at(X, order, p, d), row_at(X, order, p + least<ptrdiff_t>(1, last), d),
             row_at(X, order, p + last, d), row_at(X, order, p + last, d), shift, w, rest);
        memcpy(raw + i, rest, (n - i) * sizeof(T));
    }
    for (i = 0; i < n; i++)
        raw[i] += intercept;
}

/* As `dot_rows` for two models, of at least as many features as there are lanes, whose intercepts
 * follow their weights. */
template <class T>
static void dot_rows_pair(ptrdiff_t n, ptrdiff_t d, const T *X, const T *v, const T *w, T *with_v,
                          T *with_w)
{
    const T *x = X;
    ptrdiff_t i;
    for (i = 0; i < n - 3; i += 4) {
        dot4_pair(d, x, x + d, x + 2 * d, x + 3 * d, v, w, with_v + i, with_w + i);
        x += 4 * d;
    }
    ptrdiff_t last = n % 4 - 1;
    if (last >= 0) {
        T rest_v[4], rest_w[4];
        dot4_pair(d, x, x + least<ptrdiff_t>(1, last) * d, x + last * d, x + last * d, v, w, rest_v,
                  rest_w);
        memcpy(with_v + n - 1 - last, rest_v, (last + 1) * sizeof(T));
        memcpy(with_w + n - 1 - last, rest_w, (last + 1) * sizeof(T));
    }
    for (i = 0; i < n; i++) {
        with_v[i] += v[d];
        with_w[i] += w[d];
    }
}

/* out = M u for an upper triangular M (n, n), without most of the zeros. */
template <class T>
static void dot_upper(ptrdiff_t n, const T *M, const T *u, T *out)
{
    const T *x, *none = nullptr;
    for (ptrdiff_t j = 0; j < n - 3; j += 4) {
        x = M + j * n + j;
        dot4(n - j, x, x + n, x + 2 * n, x + 3 * n, none, u + j, out + j);
    }
    ptrdiff_t last = n % 4 - 1;
    if (last >= 0) {
        T rest[4];
        ptrdiff_t j = n - 1 - last;
        x = M + j * n + j;
        dot4(n - j, x, x + least<ptrdiff_t>(1, last) * n, x + last * n, x + last * n, none, u + j,
             rest);
        memcpy(out + j, rest, (last + 1) * sizeof(T));
    }
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
