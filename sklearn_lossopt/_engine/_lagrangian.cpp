/* One outer step of the augmented Lagrangian: semismooth Newton steps, then new duals.
 *
 * `_lagrangian.pyx` has the problem and says how the parts work together.  Sums are formed in the
 * order of the rows. */
#include "_level.hpp"
#include "_smooth_problem.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* What curvature is taken to be at least beside the ridge, as a share of it: the rest is rounding. */
constexpr double LEAST_SHARE = 1e-10;
/* How far from v the optimum is taken to lie, at most, in units of the raw scale plus the mean
 * residual: where both slopes of all rows are of one size, raw predictions move by twice the latter
 * at most, in the mean.  And what rounding leaves of a gradient, in units of the mean slope. */
constexpr double FAR = 100, ROUNDING = 1e-13;
/* Of what v may be short of the smooth minimum, the decrement at which the ridge falls fast. */
constexpr double SMALL_DECREMENT = 0.03;
/* Iterations of conjugate gradients for one Newton step, at most. */
constexpr int CG_STEPS = 1000;

/* The sum of slopes at u + moved q, times factors.  By itself: inlined, it is vectorised badly. */
template <class Term>
LOSSOPT_NOINLINE double slope_sum(const Term &term, ptrdiff_t n, const double *u, double moved,
                                  const double *q, const double *low, const double *high,
                                  const double *factor)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = 0; i < n; i++)
        sum += term.dual(u[i] + moved * q[i], low[i], high[i]) * factor[i];
    return sum;
}

template <class Row> class OuterStep : SmoothProblem<Row> {
    using Base = SmoothProblem<Row>;
    using Base::p, Base::n, Base::m, Base::size, Base::z, Base::q, Base::weighted, Base::start;
    using Base::slopes, Base::begin, Base::leave;
    using Base::g, Base::direction, Base::second, Base::third, Base::diagonal, Base::residual;
    using Base::solved, Base::along, Base::H, Base::factor, Base::n_active, Base::gap, Base::work;
    using Base::fill_diagonal, Base::for_terms, Base::measure, Base::measure_curvature, Base::predict;
    using Base::product;

    /* -- Newton's direction ---------------------------------------------------------------------- */

    /* Returns the decrement, or NaN where the matrix has no factor. */
    double direct_solution()
    {
        double ridge = p.ridge / p.width;
        memcpy(factor, H, size * size * sizeof(double));
        for (ptrdiff_t j = 0; j < size; j++) {
            double own = H[j * size + j] + p.penalty[j];
            factor[j * size + j] = own + ridge;
        }
        if (!p.lapack->factorise(size, factor))
            return NAN;
        for (ptrdiff_t j = 0; j < size; j++)
            direction[j] = -g[j];
        p.lapack->solve(size, factor, direction);
        /* Without the ridge R it would be the sum of (H + R)^-1 R, to all powers, times this: a
         * geometric series, which is long where there is next to no other curvature. */
        multiplied_solution(ridge, direction, second);
        multiplied_solution(ridge, second, third);
        double first = -dot(size, g, direction), next = -dot(size, g, second);
        double left = next > 0 ? greatest(1 + dot(size, g, third) / next, LEAST_SHARE) : 1.0;
        return 0.5 * (first + greatest(next, 0.0) / left);
    }

    void multiplied_solution(double ridge, const double *from, double *to)
    {
        for (ptrdiff_t j = 0; j < size; j++)
            to[j] = ridge * from[j];
        p.lapack->solve(size, factor, to);
    }

    /* The same by conjugate gradients.  Their residual r hides r' H^-1 r / 2 of the decrement, which
     * is bounded with the penalty's part of H alone. */
    double iterative_solution()
    {
        fill_diagonal();
        double rho = 0, begun;
        for (ptrdiff_t j = 0; j < size; j++) {
            direction[j] = 0, residual[j] = -g[j];
            along[j] = solved[j] = residual[j] / diagonal[j];
            rho += residual[j] * solved[j];
        }
        begun = rho;
        for (int step = 0; step < CG_STEPS && rho > p.accuracy * p.accuracy * begun; step++) {
            product(along, second);
            double curvature = dot(size, along, second);
            if (!(curvature > 0))
                break;
            double length = rho / curvature, before = rho;
            for (ptrdiff_t j = 0; j < size; j++) {
                direction[j] += length * along[j];
                residual[j] -= length * second[j];
                solved[j] = residual[j] / diagonal[j];
            }
            rho = dot(size, residual, solved);
            for (ptrdiff_t j = 0; j < size; j++)
                along[j] = solved[j] + rho / before * along[j];
            work += p.numbers * (double)n_active / (double)m;
        }
        product(direction, second);
        double decrement = -0.5 * dot(size, g, direction), rest = 0, ridge = p.ridge / p.width;
        for (ptrdiff_t j = 0; j < size; j++) {
            double r = g[j] + second[j];
            rest += 0.5 * r * r / (j == size - 1 ? diagonal[j] : p.penalty[j] + ridge);
        }
        if (rest > decrement)
            p.accuracy = greatest(0.1 * p.accuracy, 1e-9);
        return decrement + rest;
    }

    /* -- the line search ------------------------------------------------------------------------- */

    double slope_along(double length, double constant, double linear)
    {
        double sum = constant + length * linear;
        for_terms([&](const auto &term, ptrdiff_t begin, ptrdiff_t end) {
            double moved = length * term.rate();
            for (ptrdiff_t k = 0; k < p.pieces; k++) {
                ptrdiff_t at = k * m + begin;
                sum += slope_sum(term, end - begin, start + at, moved, q + begin, p.low + at,
                                 p.high + at, weighted + begin);
            }
        });
        return sum;
    }

    /* The minimiser along the direction: the root of an increasing function. */
    double search(double constant, double linear)
    {
        double low = 0, high = 1;
        double at_low = slope_along(0, constant, linear), at_high = slope_along(1, constant, linear);
        if (!(at_low < 0))
            return 1;
        double tolerance = 1e-3 * fabs(at_low);
        while (at_high < 0 && high < 1e6) {
            low = high, at_low = at_high;
            high *= 4;
            at_high = slope_along(high, constant, linear);
        }
        if (at_high <= 0)
            return high;
        for (int i = 0; i < 30; i++) {
            double middle = low - at_low * (high - low) / (at_high - at_low);
            middle = greatest(middle, low + 0.05 * (high - low));
            middle = least(middle, high - 0.05 * (high - low));
            double there = slope_along(middle, constant, linear);
            if (fabs(there) <= tolerance)
                return middle;
            if (there < 0)
                low = middle, at_low = there;
            else
                high = middle, at_high = there;
        }
        return 0.5 * (low + high);
    }

    /* Go along the direction; returns how far. */
    double move()
    {
        predict(direction, q);
        for (ptrdiff_t i = 0; i < m; i++)
            weighted[i] = p.share[i] * q[i];
        for_terms([&](const auto &term, ptrdiff_t begin, ptrdiff_t end) {
            for (ptrdiff_t k = 0; k < p.pieces; k++)
                for (ptrdiff_t i = begin; i < end; i++)
                    start[k * m + i] = term.argument(z[i] - p.c[k * m + i], p.theta[k * m + i]);
        });
        double constant = 0, linear = 0;
        for (ptrdiff_t j = 0; j < size; j++) {
            constant += p.penalty[j] * p.v[j] * direction[j];
            linear += p.penalty[j] * direction[j] * direction[j];
        }
        double length = search(constant, linear), way = 0;
        for (ptrdiff_t i = 0; i < m; i++)
            z[i] += length * q[i];
#pragma omp simd reduction(+ : way)
        for (ptrdiff_t i = 0; i < n; i++)
            way += fabs(weighted[i]);
        p.moved += length * way, p.steps++;
        for (ptrdiff_t j = 0; j < size; j++)
            p.v[j] += length * direction[j];
        return length;
    }

    /* -- the step -------------------------------------------------------------------------------- */

    /* The mean distance of the rows from their breakpoints. */
    double mean_residual()
    {
        double sum = 0;
        for (ptrdiff_t k = 0; k < p.pieces; k++) {
            const double *c = p.c + k * m, *low = p.low + k * m, *high = p.high + k * m;
#pragma omp simd reduction(+ : sum)
            for (ptrdiff_t i = 0; i < n; i++)
                sum += low[i] < high[i] ? p.share[i] * fabs(z[i] - c[i]) : 0.0;
        }
        return sum;
    }

    /* Whether the duals at v, which are feasible where g is 0, give a lower bound that is next to the
     * best.  An optimum u away from v has F >= F(v) - gap + g u + u' P u / 2, P being the penalty's. */
    bool concludes()
    {
        double far = FAR * (p.raw_scale + mean_residual()), missing = 0, unit = 0;
#pragma omp simd reduction(+ : unit)
        for (ptrdiff_t i = 0; i < n; i++)
            unit += fabs(slopes[i]);
        for (ptrdiff_t j = 0; j < size; j++) {
            double slope = fabs(g[j]), u = least(slope / p.penalty[j], far);
            if (slope > 0)
                missing += u * (slope - 0.5 * p.penalty[j] * u);
        }
        if (missing > greatest(p.rest * greatest(gap, p.tolerance), ROUNDING * unit * far))
            return false;
        p.gap = gap + missing;
        return true;
    }

    /* Take the duals at v, and note which are inside of their bounds. */
    void replace_duals()
    {
        p.changed = false;
        for_terms([&](const auto &term, ptrdiff_t begin, ptrdiff_t end) {
            for (ptrdiff_t k = 0; k < p.pieces; k++)
                for (ptrdiff_t i = begin; i < end; i += BLOCK)
                    replace_some(term, k * m, i, least(i + BLOCK, end));
        });
    }

    template <class Term>
    void replace_some(const Term term, ptrdiff_t piece, ptrdiff_t begin, ptrdiff_t end)
    {
        const double *LOSSOPT_RESTRICT raw = z, *LOSSOPT_RESTRICT c = p.c + piece;
        const double *LOSSOPT_RESTRICT low = p.low + piece, *LOSSOPT_RESTRICT high = p.high + piece;
        double *LOSSOPT_RESTRICT theta = p.theta + piece, inside[BLOCK];
#pragma omp simd
        for (ptrdiff_t i = begin; i < end; i++) {
            double slack = 1e-6 * (high[i] - low[i]);
            double t = term.dual(term.argument(raw[i] - c[i], theta[i]), low[i], high[i]);
            inside[i - begin] = (t > low[i] + slack) & (t < high[i] - slack) ? 1.0 : 0.0;
            theta[i] = t;
        }
        bool smooth = begin < n && p.conjugate != CONJUGATE_NONE;
        for (ptrdiff_t i = begin; i < end; i++) {
            bool on = !smooth && inside[i - begin] > 0;
            p.changed |= on != p.on[piece + i];
            p.on[piece + i] = on;
        }
    }

    void change_ridge(double length)
    {
        if (length > 0.5)
            p.ridge = greatest(0.1 * p.ridge, p.least_ridge);
        else if (length < 0.1)
            p.ridge = greatest(least(10 * p.ridge, 1e-2), p.least_ridge);
    }

  public:
    explicit OuterStep(LagrangianProblem &problem) : Base(problem) {}

    int run()
    {
        begin();
        p.gap = INFINITY;
        bool moved = true;
        for (p.count = 0;; p.count++) {
            if (moved) {
                measure();
                if (concludes() || p.count == p.most)
                    break;
                measure_curvature();
            } else if (p.count == p.most)
                break;
            double decrement = p.dense ? direct_solution() : iterative_solution();
            moved = false;
            if (p.dense && isnan(decrement)) {
                p.ridge = p.least_ridge = 10 * p.ridge;
                continue;
            }
            if (p.ridge > p.least_ridge &&
                decrement <= SMALL_DECREMENT * p.rest * greatest(gap, p.tolerance)) {
                /* The step is one of the ridge. */
                p.ridge = greatest(p.least_ridge, 1e-3 * p.ridge);
                continue;
            }
            change_ridge(move());
            moved = true;
            if (work > SIGNAL_WORK) {
                work = 0;
                if (p.host->check_signals() < 0)
                    return -1;
            }
        }
        replace_duals();
        leave();
        return 0;
    }
};

template <class Row> static int outer_step(LagrangianProblem &p)
{
    return OuterStep<Row>(p).run();
}

template <class Row> static void add_squares(const UsedRows &rows, const double *factors, double *out)
{
    for (ptrdiff_t i = 0; i < rows.n; i++)
        Row(rows, i).add_squares_to(factors[i], out);
}

void column_squares(const UsedRows *rows, const double *factors, double *out)
{
    LOSSOPT_FOR_ROWS(*rows, add_squares, *rows, factors, out);
}

int lagrangian_step(LagrangianProblem *p)
{
    return LOSSOPT_FOR_ROWS(p->rows, outer_step, *p);
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
