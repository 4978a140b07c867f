/* A primal-dual interior point with a predictor and a corrector: see `_interior_point.pyx`. */
#include <algorithm>
#include <math.h>
#include <string.h>

#include "_interior_point.hpp"
#include "_level.hpp"
#include "_math.hpp"
#include "_products.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Part of the way to the nearest bound that a step may go. */
constexpr double INSIDE = 0.99;
/* At the start, how far rows stay from their breakpoints: in median distances. */
constexpr double DISTANCE = 0.1;
/* Where the matrix, its diagonal scaled to 1, is singular, this is added to the diagonal, or more. */
constexpr double JITTER = 1e-12, MOST_JITTER = 1e6;

class InteriorPoint {
    InteriorProblem &p;
    const ptrdiff_t n, size, all;
    const double *LOSSOPT_RESTRICT low, *LOSSOPT_RESTRICT high;
    /* Distances from breakpoints, slopes, and the curvatures that these give; what a step aims at, then
     * how far slopes lie from it; and by what a step moves the first three. */
    double *LOSSOPT_RESTRICT u, *LOSSOPT_RESTRICT v, *LOSSOPT_RESTRICT t, *LOSSOPT_RESTRICT curvature;
    double *LOSSOPT_RESTRICT aim, *LOSSOPT_RESTRICT dt, *LOSSOPT_RESTRICT du, *LOSSOPT_RESTRICT dv;
    /* Of rows: a sum over pieces, and products. */
    double *LOSSOPT_RESTRICT sum, *LOSSOPT_RESTRICT z;
    double *H, *factor, *buffer, *scale, *residual, *dw;

    /* sum_i = share_i times the sum over pieces of values, which are functions of their index. */
    template <class Function> void sum_pieces(Function &&value)
    {
        for (ptrdiff_t k = 0; k < p.pieces; k++) {
            const double *share = p.share;
#pragma omp simd
            for (ptrdiff_t i = 0; i < n; i++) {
                double part = share[i] * value(k * n + i);
                sum[i] = k ? sum[i] + part : part;
            }
        }
    }

    /* The weighted sum of the same. */
    template <class Function> double total(Function &&value)
    {
        double out = 0;
        for (ptrdiff_t k = 0; k < p.pieces; k++) {
            const double *share = p.share;
#pragma omp simd reduction(+ : out)
            for (ptrdiff_t i = 0; i < n; i++)
                out += share[i] * value(k * n + i);
        }
        return out;
    }

    void predict(const double *weights)
    {
        for (ptrdiff_t i = 0; i < n; i++)
            z[i] = dot(size, p.x + i * size, weights);
    }

    /* out = the sum of the rows times `sum`. */
    void pull(double *out)
    {
        memset(out, 0, size * sizeof(double));
        for (ptrdiff_t i = 0; i < n; i++)
            axpy(size, sum[i], p.x + i * size, out);
    }

    /* The gradient of the problem for the slopes. */
    void measure_residual()
    {
        sum_pieces([&](ptrdiff_t i) { return t[i]; });
        pull(residual);
        for (ptrdiff_t j = 0; j < size; j++)
            residual[j] += p.linear[j] + dot(size, p.quadratic + j * size, p.w);
    }

    /* Distances for what z says, from breakpoints with at least some width, and slopes. */
    template <class Width> void place(Width &&width)
    {
        for (ptrdiff_t k = 0; k < p.pieces; k++)
#pragma omp simd
            for (ptrdiff_t i = 0; i < n; i++) {
                ptrdiff_t at = k * n + i;
                double r = z[i] - p.c[at], wide = width(i);
                u[at] = greatest(-r, 0.0) + wide;
                v[at] = greatest(r, 0.0) + wide;
                t[at] = low[at] + (high[at] - low[at]) * (v[at] / (u[at] + v[at]));
            }
    }

    void measure_curvature()
    {
#pragma omp simd
        for (ptrdiff_t i = 0; i < all; i++)
            curvature[i] = 1 / (u[i] / (t[i] - low[i]) + v[i] / (high[i] - t[i]));
    }

    /* The factor of the Hessian, scaled to a diagonal of 1; returns whether there is one. */
    bool factorise()
    {
        sum_pieces([&](ptrdiff_t i) { return curvature[i]; });
        memcpy(H, p.quadratic, size * size * sizeof(double));
        for (ptrdiff_t begin = 0; begin < n; begin += GRAM_ROWS) {
            ptrdiff_t count = least(GRAM_ROWS, n - begin);
            for (ptrdiff_t i = 0; i < count; i++) {
                double root = sqrt(sum[begin + i]);
                const double *row = p.x + (begin + i) * size;
                for (ptrdiff_t j = 0; j < size; j++)
                    buffer[i * size + j] = root * row[j];
            }
            p.lapack->syrk(size, count, buffer, H);
        }
        for (ptrdiff_t j = 0; j < size; j++) {
            double own = H[j * size + j];
            if (!(own >= 0) || own > 1e300)
                return false;
            scale[j] = own > 0 ? sqrt(own) : 1.0;
        }
        for (ptrdiff_t j = 0; j < size; j++)
            for (ptrdiff_t i = j; i < size; i++)
                H[j * size + i] /= scale[i] * scale[j];
        for (double jitter = JITTER; jitter < MOST_JITTER; jitter *= 100) {
            memcpy(factor, H, size * size * sizeof(double));
            for (ptrdiff_t j = 0; j < size; j++)
                factor[j * size + j] = 1 + jitter;
            if (p.lapack->factorise(size, factor))
                return true;
        }
        return false;
    }

    void solve(double *b)
    {
        for (ptrdiff_t j = 0; j < size; j++)
            b[j] /= scale[j];
        p.lapack->solve(size, factor, b);
        for (ptrdiff_t j = 0; j < size; j++)
            b[j] /= scale[j];
    }

    /* The step towards u (t - low) = first (t - low) and v (high - t) = second (high - t), functions of
     * a number's index. */
    template <class First, class Second> void direct(First &&first, Second &&second)
    {
#pragma omp simd
        for (ptrdiff_t i = 0; i < all; i++)
            aim[i] = v[i] - u[i] + first(i) - second(i);
        sum_pieces([&](ptrdiff_t i) { return curvature[i] * aim[i]; });
        pull(dw);
        for (ptrdiff_t j = 0; j < size; j++)
            dw[j] = -(residual[j] + dw[j]);
        solve(dw);
        predict(dw);
        for (ptrdiff_t k = 0; k < p.pieces; k++)
#pragma omp simd
            for (ptrdiff_t i = 0; i < n; i++) {
                ptrdiff_t at = k * n + i;
                /* The functions are of the step that is replaced. */
                double one = first(at), other = second(at);
                double moved = curvature[at] * (z[i] + aim[at]);
                dt[at] = moved;
                du[at] = one - u[at] - u[at] / (t[at] - low[at]) * moved;
                dv[at] = other - v[at] + v[at] / (high[at] - t[at]) * moved;
            }
    }

    /* How far a step may go until a number is 0, at most 1. */
    double length()
    {
        double most = -1;
#pragma omp simd reduction(min : most)
        for (ptrdiff_t i = 0; i < all; i++) {
            most = least(most, du[i] / u[i]);
            most = least(most, dv[i] / v[i]);
            most = least(most, dt[i] / (t[i] - low[i]));
            most = least(most, -dt[i] / (high[i] - t[i]));
        }
        return -1 / most;
    }

    /* A predictor and a corrector; returns whether they were numbers. */
    bool step(double gap)
    {
        measure_curvature();
        if (!factorise())
            return false;
        auto none = [](ptrdiff_t) { return 0.0; };
        direct(none, none);
        double part = length();
        double left = total([&](ptrdiff_t i) {
            return (u[i] + part * du[i]) * (t[i] - low[i] + part * dt[i]) +
                   (v[i] + part * dv[i]) * (high[i] - t[i] - part * dt[i]);
        });
        double share = left / gap, centre = gap / (2 * p.mass) * share * share * share;
        direct([&](ptrdiff_t i) { return (centre - du[i] * dt[i]) / (t[i] - low[i]); },
               [&](ptrdiff_t i) { return (centre + dv[i] * dt[i]) / (high[i] - t[i]); });
        for (ptrdiff_t j = 0; j < size; j++)
            if (!isfinite(dw[j]))
                return false;
        part = INSIDE * length();
        for (ptrdiff_t j = 0; j < size; j++)
            p.w[j] += part * dw[j];
#pragma omp simd
        for (ptrdiff_t i = 0; i < all; i++) {
            u[i] += part * du[i];
            v[i] += part * dv[i];
            t[i] += part * dt[i];
        }
        return true;
    }

    /* Start with slopes for which the products are about the same for all rows, as far from breakpoints
     * as a step of Newton's would move rows. */
    bool begin()
    {
        predict(p.w);
        for (ptrdiff_t k = 0; k < p.pieces; k++)
            for (ptrdiff_t i = 0; i < n; i++)
                aim[k * n + i] = fabs(z[i] - p.c[k * n + i]);
        for (ptrdiff_t i = 0; i < all; i++)
            if (!isfinite(aim[i]))
                return false;
        std::nth_element(aim, aim + all / 2, aim + all);
        double width = DISTANCE * aim[all / 2];
        width = width > 0 ? width : 1.0;
        place([&](ptrdiff_t) { return width; });
        measure_curvature();
        measure_residual();
        if (!factorise())
            return false;
        memcpy(dw, residual, size * sizeof(double));
        solve(dw);
        for (ptrdiff_t i = 0; i < n; i++)
            sum[i] = fabs(dot(size, p.x + i * size, dw));
        place([&](ptrdiff_t i) { return greatest(width, sum[i]); });
        return true;
    }

  public:
    explicit InteriorPoint(InteriorProblem &problem)
        : p(problem), n(p.n), size(p.size), all(p.pieces * p.n), low(p.low), high(p.high)
    {
        double *room = p.room;
        auto take = [&](ptrdiff_t count) {
            double *taken = room;
            room += count;
            return taken;
        };
        u = take(all), v = take(all), t = take(all), curvature = take(all);
        aim = take(all), dt = take(all), du = take(all), dv = take(all);
        sum = take(n), z = take(n);
        H = take(size * size), factor = take(size * size), buffer = take(GRAM_ROWS * size);
        scale = take(size), residual = take(size), dw = take(size);
    }

    void run()
    {
        if (!begin())
            return;
        for (ptrdiff_t count = 0; count < p.most_steps; count++) {
            measure_residual();
            double gap = total([&](ptrdiff_t i) {
                return u[i] * (t[i] - low[i]) + v[i] * (high[i] - t[i]);
            });
            if (count && gap <= p.tolerance && fabs(dot(size, residual, dw)) <= p.tolerance)
                break;
            if (!step(gap))
                break;
        }
    }
};

void interior_point(InteriorProblem *problem)
{
    InteriorPoint(*problem).run();
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
