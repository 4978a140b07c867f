/* Activations of hidden layers: two expressions each, the value at x, and the derivative in terms of
 * the value or, where `keeps_input`, of x.
 *
 * Loops carry an OpenMP "simd" pragma: without it, the one that works in place would not vectorise.
 * No expression branches, and none loses a NaN, which is how training finds that it has diverged.
 */
#include "_level.hpp"
#include "_math.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

LOSSOPT_INLINE double size_of(double x) { return fabs(x); }
LOSSOPT_INLINE float size_of(float x) { return fabsf(x); }
LOSSOPT_INLINE double with_sign(double size, double x) { return copysign(size, x); }
LOSSOPT_INLINE float with_sign(float size, float x) { return copysignf(size, x); }

template <class T>
LOSSOPT_INLINE T logistic(T x)
{
    return 1 / (1 + bounded_exp(-x));
}

template <class T>
LOSSOPT_INLINE T at_most_1000(T u)
{
    return u > 1000 ? (T)1000 : u;
}

/* The normal distribution's Phi(x), and its density in *density.
 *
 * With u = |x| / sqrt 2, Phi(-|x|) = exp(-u^2) erfcx(u) / 2, and erfcx(u) (1 + 2 u) is a polynomial
 * in y = (u - k) / (u + k), which maps all sizes to [-1, 1] (Schonfelder 1978).  Chebyshev series,
 * cut where terms fall below the rounding of 1.  Products of a larger u than 1000 might overflow;
 * exp(-u^2) is next to nothing from 30 on.
 */
LOSSOPT_INLINE double normal(double x, double *density)
{
    double u = at_most_1000(0.70710678118654752440 * fabs(x)), e = bounded_exp(-u * u);
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

LOSSOPT_INLINE float normal(float x, float *density)
{
    float u = at_most_1000(0.70710678f * fabsf(x)), e = bounded_exp(-u * u);
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

template <class T>
struct Identity {
    static T value(T x) { return x; }
    static T slope(T) { return 1; }
};

template <class T>
struct Relu {
    static T value(T x) { return x < 0 ? 0 : x; }
    static T slope(T a) { return (T)(a > 0); }
};

template <class T>
struct LeakyRelu {
    static T value(T x) { return x > 0 ? x : (T)0.01 * x; }
    static T slope(T a) { return a > 0 ? (T)1 : (T)0.01; }
};

template <class T>
struct Tanh {
    /* With e = exp(2 |x|) - 1, which is accurate near 0. */
    static T value(T x)
    {
        T e = bounded_expm1(2 * size_of(x));
        return with_sign(e / (e + 2), x);
    }
    static T slope(T a) { return 1 - a * a; }
};

template <class T>
struct Logistic {
    static T value(T x) { return logistic(x); }
    static T slope(T a) { return a * (1 - a); }
};

template <class T>
struct Silu {
    static T value(T x) { return x * logistic(x); }
    static T slope(T x) { return logistic(x) * (1 + x * logistic(-x)); }
};

template <class T>
struct Gelu {
    static T value(T x)
    {
        T density;
        return x * normal(x, &density);
    }
    static T slope(T x)
    {
        T density, below = normal(x, &density);
        return below + x * density;
    }
};

template <template <class> class Kernel, class T>
static void forward(ptrdiff_t n, const T *z, T *a)
{
    ptrdiff_t i;
#pragma omp simd
    for (i = 0; i < n; i++)
        a[i] = Kernel<T>::value(z[i]);
}

template <template <class> class Kernel, class T>
static void backward(ptrdiff_t n, const T *kept, T *gradient)
{
    ptrdiff_t i;
#pragma omp simd
    for (i = 0; i < n; i++)
        gradient[i] *= Kernel<T>::slope(kept[i]);
}

template <template <class> class Kernel>
constexpr Activation activation(const char *name, bool keeps_input = false,
                                bool is_0_or_line = false)
{
    return {name, {forward<Kernel, double>, forward<Kernel, float>},
            {backward<Kernel, double>, backward<Kernel, float>}, keeps_input, is_0_or_line};
}

extern const Activation activations[] = {
    activation<Identity>("identity"),
    activation<Relu>("relu", false, true),
    activation<LeakyRelu>("leaky_relu"),
    activation<Tanh>("tanh"),
    activation<Logistic>("logistic"),
    activation<Silu>("silu", true),
    activation<Gelu>("gelu", true),
    {},
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
