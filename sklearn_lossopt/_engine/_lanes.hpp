/* Vectors of as many numbers as a register holds, for T = float and double.
 *
 * Sums over the numbers of a row go lane by lane and then lane to lane in the order of `fold4`; what
 * is left of a row that is no multiple of the lanes is read by a last vector that ends with the row
 * and overlaps the one before.  So the order of additions is the same wherever a row is multiplied.
 */
#ifndef LOSSOPT_LANES_HPP
#define LOSSOPT_LANES_HPP

#include <string.h>

#include "_plan.hpp"

#ifdef __AVX__
#define LOSSOPT_BYTES 32
#else
#define LOSSOPT_BYTES 16
#endif

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

namespace lossopt {
namespace LOSSOPT_LEVEL {

template <class T>
constexpr ptrdiff_t lanes = LOSSOPT_BYTES / sizeof(T);

#ifdef LOSSOPT_VECTORS

template <class T>
struct Lanes;
template <>
struct Lanes<double> {
    typedef double Vector __attribute__((vector_size(LOSSOPT_BYTES)));
    typedef int64_t Bits __attribute__((vector_size(LOSSOPT_BYTES)));
};
template <>
struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(LOSSOPT_BYTES)));
    typedef int32_t Bits __attribute__((vector_size(LOSSOPT_BYTES)));
};
template <class T>
using Vector = typename Lanes<T>::Vector;
template <class T>
using Bits = typename Lanes<T>::Bits;

/* Masks that keep the last lanes; how many, is where reading begins, counted from the middle. */
alignas(64) static const int32_t masks[16] = {0,  0,  0,  0,  0,  0,  0,  0,
                                              -1, -1, -1, -1, -1, -1, -1, -1};

template <class T>
LOSSOPT_INLINE Vector<T> load(const T *p)
{
    Vector<T> a;
    memcpy(&a, p, sizeof a);
    return a;
}

template <class T>
LOSSOPT_INLINE void store(T *p, Vector<T> a)
{
    memcpy(p, &a, sizeof a);
}

template <class T>
LOSSOPT_INLINE Vector<T> same(T a)
{
    return a - Vector<T>{};
}

/* s + a b */
template <class T>
LOSSOPT_INLINE Vector<T> plus(Vector<T> s, Vector<T> a, Vector<T> b)
{
    return s + a * b;
}

template <class T>
LOSSOPT_INLINE Vector<T> less(Vector<T> a, Vector<T> b)
{
    return a - b;
}

template <class T>
LOSSOPT_INLINE Bits<T> mask(ptrdiff_t kept)
{
    Bits<T> bits;
    memcpy(&bits, (const char *)masks + 32 - LOSSOPT_BYTES + kept * sizeof(T), sizeof bits);
    return bits;
}

/* p, but zero in all lanes but the last ones */
template <class T>
LOSSOPT_INLINE Vector<T> load_last(const T *p, ptrdiff_t kept)
{
    Bits<T> bits;
    memcpy(&bits, p, sizeof bits);
    return (Vector<T>)(bits & mask<T>(kept));
}

template <class T>
LOSSOPT_INLINE void store_last(T *p, Vector<T> a, ptrdiff_t kept)
{
    Bits<T> before, bits = mask<T>(kept);
    memcpy(&before, p, sizeof before);
    before = (before & ~bits) | ((Bits<T>)a & bits);
    memcpy(p, &before, sizeof before);
}

/* out[i] = the sum of s_i's lanes: neighbours first, then neighbours of those. */
LOSSOPT_INLINE void fold4(
    Vector<double> s0, Vector<double> s1, Vector<double> s2, Vector<double> s3, double *out)
{
#if LOSSOPT_BYTES == 32
    Vector<double> a = __builtin_shufflevector(s0, s1, 0, 4, 2, 6)
                       + __builtin_shufflevector(s0, s1, 1, 5, 3, 7);
    Vector<double> b = __builtin_shufflevector(s2, s3, 0, 4, 2, 6)
                       + __builtin_shufflevector(s2, s3, 1, 5, 3, 7);
    store<double>(out, __builtin_shufflevector(a, b, 0, 1, 4, 5)
                           + __builtin_shufflevector(a, b, 2, 3, 6, 7));
#else
    store<double>(out, __builtin_shufflevector(s0, s1, 0, 2) + __builtin_shufflevector(s0, s1, 1, 3));
    store<double>(
        out + 2, __builtin_shufflevector(s2, s3, 0, 2) + __builtin_shufflevector(s2, s3, 1, 3));
#endif
}

LOSSOPT_INLINE Vector<float> neighbours(Vector<float> a, Vector<float> b)
{
#if LOSSOPT_BYTES == 32
    return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
           + __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

LOSSOPT_INLINE void fold4(
    Vector<float> s0, Vector<float> s1, Vector<float> s2, Vector<float> s3, float *out)
{
    Vector<float> s = neighbours(neighbours(s0, s1), neighbours(s2, s3));
#if LOSSOPT_BYTES == 32
    typedef float half __attribute__((vector_size(16)));
    half a = __builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7);
    memcpy(out, &a, sizeof a);
#else
    store<float>(out, s);
#endif
}

#else

template <class T>
struct Vector {
    T at[lanes<T>];
};

template <class T>
LOSSOPT_INLINE Vector<T> load_last(const T *p, ptrdiff_t kept)
{
    Vector<T> a;
    for (ptrdiff_t i = 0; i < lanes<T>; i++)
        a.at[i] = i < lanes<T> - kept ? 0 : p[i];
    return a;
}

template <class T>
LOSSOPT_INLINE void store_last(T *p, Vector<T> a, ptrdiff_t kept)
{
    for (ptrdiff_t i = lanes<T> - kept; i < lanes<T>; i++)
        p[i] = a.at[i];
}

template <class T>
LOSSOPT_INLINE Vector<T> load(const T *p)
{
    return load_last(p, lanes<T>);
}

template <class T>
LOSSOPT_INLINE void store(T *p, Vector<T> a)
{
    store_last(p, a, lanes<T>);
}

template <class T>
LOSSOPT_INLINE Vector<T> same(T a)
{
    Vector<T> s;
    for (ptrdiff_t i = 0; i < lanes<T>; i++)
        s.at[i] = a;
    return s;
}

template <class T>
LOSSOPT_INLINE Vector<T> less(Vector<T> a, Vector<T> b)
{
    for (ptrdiff_t i = 0; i < lanes<T>; i++)
        a.at[i] -= b.at[i];
    return a;
}

template <class T>
LOSSOPT_INLINE Vector<T> plus(Vector<T> s, Vector<T> a, Vector<T> b)
{
    for (ptrdiff_t i = 0; i < lanes<T>; i++)
        s.at[i] += a.at[i] * b.at[i];
    return s;
}

template <class T>
LOSSOPT_INLINE void fold4(Vector<T> s0, Vector<T> s1, Vector<T> s2, Vector<T> s3, T *out)
{
    Vector<T> s[4] = {s0, s1, s2, s3};
    for (int i = 0; i < 4; i++) {
        for (ptrdiff_t step = 1; step < lanes<T>; step *= 2)
            for (ptrdiff_t j = 0; j < lanes<T>; j += 2 * step)
                s[i].at[j] += s[i].at[j + step];
        out[i] = s[i].at[0];
    }
}

#endif

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
