/* The terms of an augmented Lagrangian: with a dual variable t between low and high, whose centre is
 * theta, and r the raw prediction beyond the piece's c,
 *
 *     e(r) = max t r - phi(t) - width (t - theta)^2 / 2 .
 *
 * A term has a number that is linear in r (`argument`, with `rate` as its derivative), the t that
 * attains the maximum, as a function of that number (`dual`), its derivative in r (`bend`), and by how
 * much any t falls short of the loss itself (`gap`). */
#ifndef LOSSOPT_CONJUGATES_HPP
#define LOSSOPT_CONJUGATES_HPP

#include <math.h>

#include "_plan.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

constexpr double LOG_2 = 0.6931471805599453;

LOSSOPT_INLINE double clip(double t, double low, double high)
{
    t = t < low ? low : t;
    return t > high ? high : t;
}

/* phi = 0 */
struct Breakpoint {
    double width;

    double rate() const { return 1 / width; }
    double argument(double r, double theta) const { return r / width + theta; }
    double dual(double u, double low, double high) const { return clip(u, low, high); }
    double bend(double t, double low, double high) const
    {
        return (t > low) & (t < high) ? 1 / width : 0.0;
    }
    double gap(double r, double t, double low, double high) const
    {
        return ((r > 0 ? high : low) - t) * r;
    }
    double least_bend() const { return 0; }
};

/* phi = q t^2 / 2 */
struct QuadraticTerm {
    double width, q;

    double rate() const { return 1 / (width + q); }
    double argument(double r, double theta) const { return (r + width * theta) / (width + q); }
    double dual(double u, double low, double high) const { return clip(u, low, high); }
    double bend(double t, double low, double high) const
    {
        return (t > low) & (t < high) ? 1 / (width + q) : 0.0;
    }
    double gap(double r, double t, double low, double high) const
    {
        double best = clip(r / q, low, high);
        return (best - t) * (r - 0.5 * q * (best + t));
    }
    double least_bend() const { return 0; }
};

/* The conjugate of log cosh. */
struct EntropyTerm {
    double width;

    static double log_cosh(double u)
    {
        double size = fabs(u);
        return size + log1p(exp(-2 * size)) - LOG_2;
    }
    double rate() const { return 1; }
    double argument(double r, double theta) const { return r + width * theta; }

    /* t = tanh(s) with s + width tanh(s) = u: the left side rises, and bends downwards. */
    double dual(double u, double, double) const
    {
        double size = fabs(u), whole = size / (1 + width);
        double s = atanh(whole < 1 - 1e-15 ? whole : 1 - 1e-15);
        s = size - width > s ? size - width : s;
        s = s < size ? s : size;
        /* Where tanh is 1 to rounding, that is the solution. */
        for (int i = 0; i < 50 && size - width < 20; i++) {
            double t = tanh(s), step = (s + width * t - size) / (1 + width * (1 - t * t));
            /* It approaches from below, after one step that can be too long. */
            double start = s;
            s = clip(s - step, 0, size);
            if (!(fabs(step) > 1e-7 * (1 + start)))
                break;
        }
        return copysign(tanh(s), u);
    }
    double bend(double t, double, double) const
    {
        double curvature = (1 - t) * (1 + t);
        return curvature / (1 + width * curvature);
    }
    double gap(double r, double t, double, double) const
    {
        double gap;
        if (fabs(t) < 1) {
            double s = atanh(t);
            gap = log_cosh(r) - log_cosh(s) - t * (r - s);
        } else {
            /* At the ends of the domain phi is log 2. */
            gap = log_cosh(r) + LOG_2 - t * r;
        }
        return gap > 0 ? gap : 0.0;
    }
    double least_bend() const { return 1e-12 / (1 + width); }
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
