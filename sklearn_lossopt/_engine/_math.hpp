/* exp, log(1 + u) and the like, for T = float and double.
 *
 * They are written out because calls into libm stop a loop from vectorising, and because libraries of
 * vector functions are not portable.  Polynomials interpolate at Chebyshev nodes (relative error
 * below 5e-18 in double, 5e-9 in float, before rounding).  Nothing else leaves strict IEEE semantics,
 * so that NaN and infinity survive and can be tested for.
 */
#ifndef LOSSOPT_MATH_HPP
#define LOSSOPT_MATH_HPP

#include <math.h>
#include <string.h>

#include "_plan.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* exp(x) = scale (1 + the value returned), x clamped to [-708, 709]; NaN stays NaN. */
LOSSOPT_INLINE double exp_parts(double x, double *scale)
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
LOSSOPT_INLINE float exp_parts(float x, float *scale)
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

/* exp(x), never zero, subnormal or infinite. */
template <class T>
LOSSOPT_INLINE T bounded_exp(T x)
{
    T scale, p = exp_parts(x, &scale);
    return (1 + p) * scale;
}

/* exp(x) - 1, accurate near 0 too. */
template <class T>
LOSSOPT_INLINE T bounded_expm1(T x)
{
    T scale, p = exp_parts(x, &scale);
    return p * scale + (scale - 1);
}

/* log((1 + s) / (1 - s)) = 2 atanh(s) for 0 <= s <= 1/3; so log(1 + u) with s = u / (2 + u). */
LOSSOPT_INLINE double log_ratio(double s)
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

LOSSOPT_INLINE float log_ratio(float s)
{
    float v = s * s;
    float p = (2.00000000768f + v * 0.66666321641f)
              + v * v * ((0.40024595230f + v * 0.27965157745f) + v * v * 0.28157778363f);
    return s * p;
}

/* log(1 - x) for 0 <= x <= 1/2. */
template <class T>
LOSSOPT_INLINE T log_one_minus(T x)
{
    return -log_ratio((T)(x / (2.0 - x)));
}

LOSSOPT_INLINE double square_root(double x) { return sqrt(x); }
LOSSOPT_INLINE float square_root(float x) { return sqrtf(x); }

LOSSOPT_INLINE double power(double x, double exponent) { return pow(x, exponent); }

LOSSOPT_INLINE bool is_finite(double x) { return x - x == 0; }

/* Least and greatest of two, without a branch; the second where the comparison meets a NaN. */
template <class T>
LOSSOPT_INLINE T least(T a, T b)
{
    return a < b ? a : b;
}

template <class T>
LOSSOPT_INLINE T greatest(T a, T b)
{
    return a > b ? a : b;
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
