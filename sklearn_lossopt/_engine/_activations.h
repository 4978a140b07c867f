/* Activations of hidden layers, and dropout, for float and double.
 *
 * An activation is two expressions: its value at x, and its derivative, in terms of the value or of
 * x itself (the table in _network.pxi says which).  Loops carry an OpenMP "simd" pragma: without
 * it, the one that works in place would not vectorise.  No expression branches, and none loses a
 * NaN, which is how training finds that it has diverged.
 */
#ifndef LOSSOPT_ACTIVATIONS_H
#define LOSSOPT_ACTIVATIONS_H

#include <math.h>

#include "_simd.h"

#if defined(__GNUC__) || defined(__clang__)
#define LOSSOPT_SIMD _Pragma("omp simd")
#else
#define LOSSOPT_SIMD
#endif

LOSSOPT_INLINE double lossopt_logistic_double(double x)
{
    return 1.0 / (1.0 + lossopt_exp_double(-x));
}

LOSSOPT_INLINE float lossopt_logistic_float(float x)
{
    return 1.0f / (1.0f + lossopt_exp_float(-x));
}

/* With e = exp(2 |x|) - 1, which is accurate near 0. */
LOSSOPT_INLINE double lossopt_tanh_double(double x)
{
    double e = lossopt_expm1_double(2.0 * fabs(x));
    return copysign(e / (e + 2.0), x);
}

LOSSOPT_INLINE float lossopt_tanh_float(float x)
{
    float e = lossopt_expm1_float(2.0f * fabsf(x));
    return copysignf(e / (e + 2.0f), x);
}

/* The normal distribution's Phi(x), and its density in *density.
 *
 * With u = |x| / sqrt 2, Phi(-|x|) = exp(-u^2) erfcx(u) / 2, and erfcx(u) (1 + 2 u) is a polynomial
 * in y = (u - k) / (u + k), which maps all sizes to [-1, 1] (Schonfelder 1978).  Chebyshev series,
 * cut where terms fall below the rounding of 1.
 */
LOSSOPT_INLINE double lossopt_normal_double(double x, double *density)
{
    double u = 0.70710678118654752440 * fabs(x), e = lossopt_exp_double(-u * u);
    double a = u + 3.75, b = 1.0 + 2.0 * u, inverse = 1.0 / (a * b);
    double y = (u - 3.75) * b * inverse, v = y * y;
    double even = 1.2375126308378275289 + v * (0.0035854154854790256379 + v *
                (-0.10880393014244461271 + v * (-0.058693398576649338403 + v *
                (-0.0097465796832652622308 + v * (0.00029371437804495802994 + v *
                (0.000051646529741774161256 + v * (-0.000011438048033346893551 + v *
                (1.7419821586224815923e-6 + v * (-2.4857126248016742872e-7 + v *
                (3.1979266716668042918e-8 + v * (-2.6231073471334757612e-9)))))))))));
    double odd = -0.14024059858554696245 + v * (0.082276738490145207683 + v *
                (0.09230432116037747776 + v * (0.028362277418956404286 + v *
                (0.0017556258528952953569 + v * (-0.00029015408054084171105 + v *
                (0.00002238423915508222982 + v * (-9.7355989673677493407e-7 + v *
                (-5.7218230603224087501e-8 + v * (2.3263508708859123732e-8 + v *
                (-3.7442100809620186444e-9 + v * (3.1114333809799251993e-10)))))))))));
    double tail = 0.5 * e * (even + y * odd) * (a * inverse);
    *density = 0.39894228040143267794 * e;
    return x > 0 ? 1.0 - tail : tail;
}

LOSSOPT_INLINE float lossopt_normal_float(float x, float *density)
{
    float u = 0.70710678f * fabsf(x), e = lossopt_exp_float(-u * u);
    float a = u + 2.5f, b = 1.0f + 2.0f * u, inverse = 1.0f / (a * b);
    float y = (u - 2.5f) * b * inverse, v = y * y;
    float even = 1.26483818024f + v * (-0.0990242416581f + v * (-0.102970538356f + v *
                (0.000946759630325f + v * (0.000463337520599f + v * (-6.39178660442e-5f)))));
    float odd = -0.122356800752f + v * (0.157630994362f + v * (0.0327520525687f + v *
                (-0.00435049234049f + v * (0.000575734629341f + v * (-6.19075309705e-5f)))));
    float tail = 0.5f * e * (even + y * odd) * (a * inverse);
    *density = 0.39894228f * e;
    return x > 0 ? 1.0f - tail : tail;
}

LOSSOPT_INLINE double lossopt_gelu_slope_double(double x)
{
    double density, below = lossopt_normal_double(x, &density);
    return below + x * density;
}

LOSSOPT_INLINE float lossopt_gelu_slope_float(float x)
{
    float density, below = lossopt_normal_float(x, &density);
    return below + x * density;
}

LOSSOPT_INLINE double lossopt_gelu_double(double x)
{
    double density;
    return x * lossopt_normal_double(x, &density);
}

LOSSOPT_INLINE float lossopt_gelu_float(float x)
{
    float density;
    return x * lossopt_normal_float(x, &density);
}

#define LOSSOPT_ACTIVATION(name, VALUE, SLOPE)                                              \
    static void LOSSOPT(name##_forward)(ptrdiff_t n, const REAL *z, REAL *a)                \
    {                                                                                       \
        ptrdiff_t i;                                                                        \
        LOSSOPT_SIMD                                                                        \
        for (i = 0; i < n; i++) {                                                           \
            REAL x = z[i];                                                                  \
            a[i] = (VALUE);                                                                 \
        }                                                                                   \
    }                                                                                       \
    static void LOSSOPT(name##_backward)(ptrdiff_t n, const REAL *kept, REAL *gradient)     \
    {                                                                                       \
        ptrdiff_t i;                                                                        \
        LOSSOPT_SIMD                                                                        \
        for (i = 0; i < n; i++) {                                                           \
            REAL x = kept[i];                                                               \
            (void)x;                                                                        \
            gradient[i] *= (SLOPE);                                                         \
        }                                                                                   \
    }

#define REAL double
#include "_activations.h"
#undef REAL
#define REAL float
#include "_activations.h"
#undef REAL

#elif defined(REAL)

LOSSOPT_ACTIVATION(identity, x, (REAL)1)
LOSSOPT_ACTIVATION(relu, x < 0 ? 0 : x, (REAL)(x > 0))
LOSSOPT_ACTIVATION(leaky_relu, x > 0 ? x : (REAL)0.01 * x, x > 0 ? (REAL)1 : (REAL)0.01)
LOSSOPT_ACTIVATION(tanh, LOSSOPT(tanh)(x), 1 - x * x)
LOSSOPT_ACTIVATION(logistic, LOSSOPT(logistic)(x), x * (1 - x))
LOSSOPT_ACTIVATION(silu, x * LOSSOPT(logistic)(x),
                   LOSSOPT(logistic)(x) * (1 + x * LOSSOPT(logistic)(-x)))
LOSSOPT_ACTIVATION(gelu, LOSSOPT(gelu)(x), LOSSOPT(gelu_slope)(x))

/* out = x / (1 - rate) or, with probability rate, 0; the same for the same key.  The hash of an
 * index is "lowbias32" (C. Wellons, 2018), with half of the key on each side of its first round. */
static void LOSSOPT(drop)(ptrdiff_t n, uint64_t key, ptrdiff_t first, double rate, const REAL *x,
                          REAL *out)
{
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    const uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32), base = (uint32_t)first;
    const REAL scale = (REAL)(1 / (1 - rate));
    ptrdiff_t i;
    LOSSOPT_SIMD
    for (i = 0; i < n; i++) {
        uint32_t h = (base + (uint32_t)i) ^ low;
        h ^= h >> 16;
        h *= 0x7feb352dU;
        h ^= high;
        h ^= h >> 15;
        h *= 0x846ca68bU;
        h ^= h >> 16;
        out[i] = x[i] * (h < threshold ? 0 : scale);
    }
}

#endif
