/* Vectors of as many numbers as a register holds, for float and double.
 *
 * Sums over the numbers of a row go lane by lane and then lane to lane in the order of `fold4`; what
 * is left of a row that is no multiple of the lanes is read by a last vector that ends with the row
 * and overlaps the one before.  So the order of additions is the same wherever a row is multiplied.
 */
#ifndef LOSSOPT_LANES_H
#define LOSSOPT_LANES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __AVX__
#define LOSSOPT_BYTES 32
#else
#define LOSSOPT_BYTES 16
#endif
enum {
    lossopt_lanes_double = LOSSOPT_BYTES / 8,
    lossopt_lanes_float = LOSSOPT_BYTES / 4
};

#if defined(__has_builtin) && !defined(LOSSOPT_NO_VECTORS)
#if __has_builtin(__builtin_shufflevector)
#define LOSSOPT_VECTORS
#endif
#endif

/* Compilers may read a number anew for every product that it is in, at twice the cost. */
#if defined(LOSSOPT_VECTORS) && defined(__x86_64__)
#define LOSSOPT_IN_REGISTER(x) __asm__("" : "+x"(x))
#else
#define LOSSOPT_IN_REGISTER(x) ((void)0)
#endif

#ifdef LOSSOPT_VECTORS

/* Masks that keep the last lanes, and how many, is where reading begins, counted from the middle. */
static const int64_t lossopt_masks_double[8] = {0, 0, 0, 0, -1, -1, -1, -1};
static const int32_t lossopt_masks_float[16] = {0, 0,  0,  0,  0,  0,  0,  0,
                                                -1, -1, -1, -1, -1, -1, -1, -1};

#define LOSSOPT_VECTOR(real, integer)                                                              \
    typedef real lossopt_vector_##real __attribute__((vector_size(LOSSOPT_BYTES)));                \
    typedef integer lossopt_bits_##real __attribute__((vector_size(LOSSOPT_BYTES)));               \
    typedef lossopt_vector_##real lossopt_loose_##real                                             \
        __attribute__((aligned(sizeof(real)), may_alias));                                         \
    typedef lossopt_bits_##real lossopt_loose_bits_##real                                          \
        __attribute__((aligned(sizeof(real)), may_alias));                                         \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_load_##real(const real *p)                        \
    {                                                                                              \
        return *(const lossopt_loose_##real *)p;                                                   \
    }                                                                                              \
    LOSSOPT_INLINE void lossopt_store_##real(real *p, lossopt_vector_##real a)                     \
    {                                                                                              \
        *(lossopt_loose_##real *)p = a;                                                            \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_same_##real(real a)                               \
    {                                                                                              \
        return a - (lossopt_vector_##real){0};                                                     \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_less_##real(                                      \
        lossopt_vector_##real a, lossopt_vector_##real b)                                          \
    {                                                                                              \
        return a - b;                                                                              \
    }                                                                                              \
    /* s + a b */                                                                                  \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_plus_##real(                                      \
        lossopt_vector_##real s, lossopt_vector_##real a, lossopt_vector_##real b)                 \
    {                                                                                              \
        return s + a * b;                                                                          \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_bits_##real lossopt_mask_##real(ptrdiff_t kept)                         \
    {                                                                                              \
        const integer *middle = lossopt_masks_##real + 32 / sizeof(real);                          \
        return *(const lossopt_loose_bits_##real *)(middle - lossopt_lanes_##real + kept);         \
    }                                                                                              \
    /* p, but zero in all lanes but the last ones */                                               \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_load_last_##real(const real *p, ptrdiff_t kept)   \
    {                                                                                              \
        return (lossopt_vector_##real)(*(const lossopt_loose_bits_##real *)p                       \
                                       & lossopt_mask_##real(kept));                               \
    }                                                                                              \
    LOSSOPT_INLINE void lossopt_store_last_##real(                                                 \
        real *p, lossopt_vector_##real a, ptrdiff_t kept)                                          \
    {                                                                                              \
        lossopt_bits_##real mask = lossopt_mask_##real(kept);                                      \
        *(lossopt_loose_bits_##real *)p = (*(const lossopt_loose_bits_##real *)p & ~mask)          \
                                          | ((lossopt_bits_##real)a & mask);                       \
    }

LOSSOPT_VECTOR(double, int64_t)
LOSSOPT_VECTOR(float, int32_t)

/* out[i] = the sum of s_i's lanes: neighbours first, then neighbours of those. */
LOSSOPT_INLINE void lossopt_fold4_double(
    lossopt_vector_double s0, lossopt_vector_double s1, lossopt_vector_double s2,
    lossopt_vector_double s3, double *out)
{
#if LOSSOPT_BYTES == 32
    lossopt_vector_double a = __builtin_shufflevector(s0, s1, 0, 4, 2, 6)
                              + __builtin_shufflevector(s0, s1, 1, 5, 3, 7);
    lossopt_vector_double b = __builtin_shufflevector(s2, s3, 0, 4, 2, 6)
                              + __builtin_shufflevector(s2, s3, 1, 5, 3, 7);
    lossopt_store_double(out, __builtin_shufflevector(a, b, 0, 1, 4, 5)
                                  + __builtin_shufflevector(a, b, 2, 3, 6, 7));
#else
    lossopt_store_double(out, __builtin_shufflevector(s0, s1, 0, 2)
                                  + __builtin_shufflevector(s0, s1, 1, 3));
    lossopt_store_double(out + 2, __builtin_shufflevector(s2, s3, 0, 2)
                                      + __builtin_shufflevector(s2, s3, 1, 3));
#endif
}

LOSSOPT_INLINE lossopt_vector_float lossopt_neighbours(
    lossopt_vector_float a, lossopt_vector_float b)
{
#if LOSSOPT_BYTES == 32
    return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
           + __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

LOSSOPT_INLINE void lossopt_fold4_float(
    lossopt_vector_float s0, lossopt_vector_float s1, lossopt_vector_float s2,
    lossopt_vector_float s3, float *out)
{
    lossopt_vector_float s = lossopt_neighbours(
        lossopt_neighbours(s0, s1), lossopt_neighbours(s2, s3));
#if LOSSOPT_BYTES == 32
    typedef float half __attribute__((vector_size(16)));
    half a = __builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7);
    memcpy(out, &a, sizeof a);
#else
    lossopt_store_float(out, s);
#endif
}

#else

#define LOSSOPT_VECTOR(real)                                                                       \
    typedef struct { real at[lossopt_lanes_##real]; } lossopt_vector_##real;                       \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_load_last_##real(const real *p, ptrdiff_t kept)   \
    {                                                                                              \
        lossopt_vector_##real a;                                                                   \
        int i, n = lossopt_lanes_##real;                                                           \
        for (i = 0; i < n; i++)                                                                    \
            a.at[i] = i < n - kept ? 0 : p[i];                                                     \
        return a;                                                                                  \
    }                                                                                              \
    LOSSOPT_INLINE void lossopt_store_last_##real(                                                 \
        real *p, lossopt_vector_##real a, ptrdiff_t kept)                                          \
    {                                                                                              \
        int i, n = lossopt_lanes_##real;                                                           \
        for (i = n - (int)kept; i < n; i++)                                                        \
            p[i] = a.at[i];                                                                        \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_load_##real(const real *p)                        \
    {                                                                                              \
        return lossopt_load_last_##real(p, lossopt_lanes_##real);                                  \
    }                                                                                              \
    LOSSOPT_INLINE void lossopt_store_##real(real *p, lossopt_vector_##real a)                     \
    {                                                                                              \
        lossopt_store_last_##real(p, a, lossopt_lanes_##real);                                     \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_same_##real(real a)                               \
    {                                                                                              \
        lossopt_vector_##real s;                                                                   \
        int i;                                                                                     \
        for (i = 0; i < lossopt_lanes_##real; i++)                                                 \
            s.at[i] = a;                                                                           \
        return s;                                                                                  \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_less_##real(                                      \
        lossopt_vector_##real a, lossopt_vector_##real b)                                          \
    {                                                                                              \
        int i;                                                                                     \
        for (i = 0; i < lossopt_lanes_##real; i++)                                                 \
            a.at[i] -= b.at[i];                                                                    \
        return a;                                                                                  \
    }                                                                                              \
    LOSSOPT_INLINE lossopt_vector_##real lossopt_plus_##real(                                      \
        lossopt_vector_##real s, lossopt_vector_##real a, lossopt_vector_##real b)                 \
    {                                                                                              \
        int i;                                                                                     \
        for (i = 0; i < lossopt_lanes_##real; i++)                                                 \
            s.at[i] += a.at[i] * b.at[i];                                                          \
        return s;                                                                                  \
    }                                                                                              \
    LOSSOPT_INLINE void lossopt_fold4_##real(                                                      \
        lossopt_vector_##real s0, lossopt_vector_##real s1, lossopt_vector_##real s2,              \
        lossopt_vector_##real s3, real *out)                                                       \
    {                                                                                              \
        lossopt_vector_##real s[4];                                                                \
        int i, j, step;                                                                            \
        s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;                                                \
        for (i = 0; i < 4; i++) {                                                                  \
            for (step = 1; step < lossopt_lanes_##real; step *= 2)                                 \
                for (j = 0; j < lossopt_lanes_##real; j += 2 * step)                               \
                    s[i].at[j] += s[i].at[j + step];                                               \
            out[i] = s[i].at[0];                                                                   \
        }                                                                                          \
    }

LOSSOPT_VECTOR(double)
LOSSOPT_VECTOR(float)

#endif
#endif
