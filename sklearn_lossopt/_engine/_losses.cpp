/* Losses.
 *
 * An elementwise loss is a struct: built from the numbers that the Python class names in
 * `_kernel_params`, in that order, it is called with a target and a raw prediction, writes the value
 * and returns the derivative with respect to the raw prediction.  Comparisons are written so that a
 * NaN in the prediction reaches the value: the training loop finds divergence there.
 *
 * Over a batch, `y`, `raw`, `value` and `gradient` are (k, n), sample index fastest, so that the loop
 * vectorises.  A joint loss, of all k raw predictions of a row together, has that form only: it reads
 * y as (n,) class indices and writes value as (n,).
 */
#include "_level.hpp"
#include "_math.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

struct NoParameters {
    explicit NoParameters(const double *) {}
};

template <class T>
struct SquaredError : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T r = z - y;
        value = (T)0.5 * r * r;
        return r;
    }
};

template <class T>
struct Huber {
    T delta;
    explicit Huber(const double *param) : delta((T)param[0]) {}
    T operator()(T y, T z, T &value) const
    {
        T r = z - y, clipped = greatest(-delta, least(delta, r));
        value = clipped * (r - (T)0.5 * clipped);
        return clipped;
    }
};

template <class T>
struct AbsoluteError : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T r = z - y;
        value = r >= 0 ? r : -r;
        return r > 0 ? 1 : (r < 0 ? -1 : 0);
    }
};

template <class T>
struct Quantile {
    T below, above;
    explicit Quantile(const double *param) : below((T)param[0]), above((T)(1 - param[0])) {}
    T operator()(T y, T z, T &value) const
    {
        T r = z - y;
        value = r >= 0 ? above * r : -below * r;
        return r > 0 ? above : (r < 0 ? -below : 0);
    }
};

template <class T>
struct EpsilonInsensitive {
    T epsilon;
    explicit EpsilonInsensitive(const double *param) : epsilon((T)param[0]) {}
    T operator()(T y, T z, T &value) const
    {
        T r = z - y, excess = (r >= 0 ? r : -r) - epsilon;
        value = excess <= 0 ? 0 : excess;
        return excess <= 0 ? 0 : (r > 0 ? 1 : -1);
    }
};

template <class T>
struct SquaredEpsilonInsensitive {
    T epsilon;
    explicit SquaredEpsilonInsensitive(const double *param) : epsilon((T)param[0]) {}
    T operator()(T y, T z, T &value) const
    {
        T r = z - y, excess = (r >= 0 ? r : -r) - epsilon;
        excess = excess <= 0 ? 0 : excess;
        value = excess * excess;
        return r > 0 ? 2 * excess : -2 * excess;
    }
};

template <class T>
struct LogCosh : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T r = z - y, size = r >= 0 ? r : -r;
        /* With t = tanh |r|, log cosh r = -log(1 - t^2) / 2, without cancellation for |r| below 0.88. */
        T less = bounded_expm1(-2 * size), e = 1 + less;
        T slope = -less / (2 + less), square = slope * slope;
        bool near = square <= (T)0.5;
        T ratio = log_ratio(near ? square / (2 - square) : e / (2 + e));
        value = near ? (T)0.5 * ratio : size + ratio - (T)0.6931471805599453;
        return r >= 0 ? slope : -slope;
    }
};

/* exp(x) - 1 - x of |x| <= 1/32, never below 0: its Taylor series, to the last digit. */
template <class T>
LOSSOPT_INLINE T exp_excess(T x)
{
    T tail = (T)(1 / 5040.) + x * (T)(1 / 40320.);
    tail = (T)(1 / 24.) + x * ((T)(1 / 120.) + x * ((T)(1 / 720.) + x * tail));
    return x * x * ((T)0.5 + x * ((T)(1 / 6.) + x * tail));
}

/* The square of 1/32, up to which exp_excess serves. */
#define LOSSOPT_NEAR 0.0009765625

/* As far as exp goes, so that no difference of saturated numbers is below 0. */
template <class T>
constexpr T LARGEST = sizeof(T) == sizeof(double) ? 709 : 88;

/* y (exp(x) - 1 - x) with x = z - log y, or exp(z) for y = 0: at least 0. */
template <class T>
struct Poisson : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T mean = bounded_exp(z), x = least(LARGEST<T>, z) - (T)log((double)y);
        /* Both without a branch. */
        T near = y * exp_excess(x), far = greatest<T>(0, mean - y - y * x);
        value = y > 0 ? (x * x < (T)LOSSOPT_NEAR ? near : far) : mean - y * z;
        return mean - y;
    }
};

/* In x = log y - z alone: a y near the least number is no other than one near 1. */
template <class T>
struct Gamma : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T x = least(LARGEST<T>, (T)log((double)y) - z), excess = bounded_expm1(x);
        T near = exp_excess(x), far = greatest<T>(0, excess - x);
        value = x * x < (T)LOSSOPT_NEAR ? near : far;
        return -excess;
    }
};

template <class T>
struct Tweedie {
    double p;
    /* Both exponentials would saturate at one value where they go the same way, and their difference
     * have either sign. Where one grows and the other vanishes it must not be held back by that: F
     * would be finite for a mean that rounds to 0. */
    T low, high;
    explicit Tweedie(const double *param) : p(param[0])
    {
        double largest = sizeof(T) == sizeof(double) ? 708 : 87, up = fabs(2 - p), down = fabs(1 - p);
        bool apart = 1 < p && p < 2;
        high = (T)(largest / (apart ? up : greatest(up, down)));
        low = (T)(-largest / (apart ? down : greatest(up, down)));
    }
    T operator()(T y, T z, T &value) const
    {
        if (p == 1)
            return Poisson<T>(nullptr)(y, z, value);
        if (p == 2)
            return Gamma<T>(nullptr)(y, z, value);
        T near = least(high, greatest(low, z));
        T a = bounded_exp((T)(2 - p) * near), b = y * bounded_exp((T)(1 - p) * near);
        /* The deviance of a perfect prediction is a difference of equal numbers. */
        T rest = (T)(p != 0 ? power(y > 0 ? y : 0, 2 - p) / ((1 - p) * (2 - p)) : 0.5 * y * y);
        value = greatest<T>(0, a / (T)(2 - p) - b / (T)(1 - p) + rest);
        return a - b;
    }
};

template <class T>
LOSSOPT_INLINE T minus_size(T margin)
{
    return margin > 0 ? -margin : margin;
}

/* With u = exp(-|yz|): log(1 + exp(-yz)) = max(0, -yz) + log(1 + u), where u / (2 + u) is wanted,
 * and the derivative is -y u / (1 + u), or -y / (1 + u) for yz < 0. */
template <class T>
LOSSOPT_INLINE T log_loss_from(T y, T margin, T u, T &value)
{
    T below = 1 + u, above = 2 + u;
    value = greatest<T>(0, -margin) + log_ratio(u / above);
    return -y * (margin < 0 ? 1 : u) / below;
}

template <class T>
struct LogLoss : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        return log_loss_from(y, y * z, bounded_exp(minus_size(y * z)), value);
    }
};

/* In two loops: each is short enough for a processor to be in several of its rounds at once. */
template <class T>
static void log_loss(ptrdiff_t n, ptrdiff_t k, const T *y, const T *raw, const double *, T *value,
                     T *gradient)
{
    T margin[64], u[64];
    for (ptrdiff_t start = 0; start < n * k; start += 64) {
        ptrdiff_t m = least<ptrdiff_t>(64, n * k - start);
        for (ptrdiff_t i = 0; i < m; i++) {
            margin[i] = y[start + i] * raw[start + i];
            u[i] = bounded_exp(minus_size(margin[i]));
        }
        for (ptrdiff_t i = 0; i < m; i++)
            gradient[start + i] = log_loss_from(y[start + i], margin[i], u[i], value[start + i]);
    }
}

template <class T>
struct Hinge : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T slack = 1 - y * z;
        value = slack <= 0 ? 0 : slack;
        return slack <= 0 ? 0 : -y;
    }
};

template <class T>
struct SquaredHinge : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T slack = greatest<T>(0, 1 - y * z);
        value = slack * slack;
        return -2 * y * slack;
    }
};

template <class T>
struct ModifiedHuber : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T margin = y * z, slack = margin >= 1 ? 0 : 1 - margin;
        value = margin < -1 ? -4 * margin : slack * slack;
        return margin < -1 ? -4 * y : -2 * y * slack;
    }
};

template <class T>
struct Perceptron : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T margin = y * z;
        value = margin >= 0 ? 0 : -margin;
        /* The subgradient at 0 is that of the wrong side: training starts there. */
        return margin > 0 ? 0 : -y;
    }
};

template <class T>
struct Exponential : NoParameters {
    using NoParameters::NoParameters;
    T operator()(T y, T z, T &value) const
    {
        T e = bounded_exp(-y * z);
        value = e;
        return -y * e;
    }
};

template <class T>
static void softmax_log_loss(ptrdiff_t n, ptrdiff_t k, const T *y, const T *raw, const double *,
                             T *value, T *gradient)
{
    T top[64], total[64];
    for (ptrdiff_t start = 0; start < n; start += 64) {
        ptrdiff_t m = least<ptrdiff_t>(64, n - start), i, r;
        for (i = 0; i < m; i++) {
            top[i] = raw[start + i];
            total[i] = 0;
        }
        for (r = 1; r < k; r++) {
            const T *z = raw + r * n + start;
            for (i = 0; i < m; i++)
                top[i] = z[i] > top[i] ? z[i] : top[i];
        }
        for (r = 0; r < k; r++) {
            const T *z = raw + r * n + start;
            T *g = gradient + r * n + start;
            for (i = 0; i < m; i++) {
                g[i] = bounded_exp(z[i] - top[i]);
                total[i] += g[i];
            }
        }
        for (r = 0; r < k; r++) {
            T *g = gradient + r * n + start;
            for (i = 0; i < m; i++)
                g[i] = g[i] / total[i] - (y[start + i] == r ? 1 : 0);
        }
        for (i = 0; i < m; i++) {
            r = (ptrdiff_t)y[start + i];
            value[start + i] = (top[i] - raw[r * n + start + i]) + (T)log((double)total[i]);
        }
    }
}

template <template <class> class Kernel, class T>
static T one(T y, T z, const double *param, T *value)
{
    return Kernel<T>(param)(y, z, *value);
}

template <template <class> class Kernel, class T>
static void all(ptrdiff_t n, ptrdiff_t k, const T *y, const T *raw, const double *param, T *value,
                T *gradient)
{
    const Kernel<T> loss(param);
    for (ptrdiff_t i = 0; i < n * k; i++)
        gradient[i] = loss(y[i], raw[i], value[i]);
}

template <template <class> class Kernel>
constexpr Loss elementwise(const char *name)
{
    return {name, {all<Kernel, double>, all<Kernel, float>},
            {one<Kernel, double>, one<Kernel, float>}, false};
}

extern const Loss losses[] = {
    elementwise<SquaredError>("squared_error"),
    elementwise<Huber>("huber"),
    elementwise<AbsoluteError>("absolute_error"),
    elementwise<Quantile>("quantile"),
    elementwise<EpsilonInsensitive>("epsilon_insensitive"),
    elementwise<SquaredEpsilonInsensitive>("squared_epsilon_insensitive"),
    elementwise<LogCosh>("log_cosh"),
    elementwise<Poisson>("poisson"),
    elementwise<Gamma>("gamma"),
    elementwise<Tweedie>("tweedie"),
    {"log_loss", {log_loss<double>, log_loss<float>}, {one<LogLoss, double>, one<LogLoss, float>},
     false},
    elementwise<Hinge>("hinge"),
    elementwise<SquaredHinge>("squared_hinge"),
    elementwise<ModifiedHuber>("modified_huber"),
    elementwise<Perceptron>("perceptron"),
    elementwise<Exponential>("exponential"),
    {"softmax_log_loss", {softmax_log_loss<double>, softmax_log_loss<float>}, {nullptr, nullptr},
     true},
    {},
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
