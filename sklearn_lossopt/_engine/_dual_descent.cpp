/* Dual coordinate descent: one row's dual variables at a time, with the model moving along.
 *
 * `_dual_descent.pyx` has the problem and derives the update. */
#include "_dual_descent.hpp"
#include "_level.hpp"
#include "_math.hpp"
#include "_row_kinds.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Sweeps between two moves of the intercept's proximal point. */
constexpr uint64_t PROXIMAL_SWEEPS = 5;
/* Sweeps end where the worst violation is this part of the first one's. */
constexpr double SMALLER = 0.1;

/* One row's dual variables; returns whether the row may rest.  `move` is what they have changed by. */
static bool visit(DualProblem &p, ptrdiff_t i, double z, double *move)
{
    double size = p.share[i] * (p.square[i] / p.l2 + p.inverse_rho);
    bool rests = true;
    for (ptrdiff_t at = i; at < p.pieces * p.rows.n; at += p.rows.n) {
        double t = p.theta[at], low = p.low[at], high = p.high[at];
        double slope = z - p.c[at] - p.curvature * t;
        bool below = t <= low, above = t >= high;
        if (below && above)
            continue;
        double violation = below ? greatest(slope, 0.0) : above ? greatest(-slope, 0.0) : fabs(slope);
        if (!(below && slope < -p.limit) && !(above && slope > p.limit))
            rests = false;
        if (!(violation > 0))
            continue;
        p.worst = greatest(p.worst, violation);
        double bend = p.curvature + size, moved;
        if (bend > 0)
            moved = least(greatest(t + slope / bend, low), high);
        else
            moved = slope > 0 ? high : low;
        p.theta[at] = moved;
        *move += moved - t;
        z -= size * (moved - t);
    }
    return rests;
}

/* Returns the numbers read. */
template <class Row> static double sweep(DualProblem &p)
{
    permute(p.active, p.n_active, p.seed, p.sweep);
    double work = 0;
    ptrdiff_t kept = 0;
    p.worst = 0;
    for (ptrdiff_t k = 0; k < p.n_active; k++) {
        uint32_t i = p.active[k];
        if (Row::sparse && !p.rows.used && k + 4 < p.n_active)
            Row(p.rows, p.active[k + 4]).prefetch();
        Row row(p.rows, i);
        double move = 0;
        bool rests = visit(p, i, row.dot(p.w) + p.b, &move);
        work += (double)row.size() + 1;
        if (!rests)
            p.active[kept++] = i;
        if (move == 0)
            continue;
        move *= p.share[i];
        row.add_to(-move / p.l2, p.w);
        p.sum += move;
        p.b -= move * p.inverse_rho;
    }
    p.n_active = kept;
    p.limit = p.worst;
    p.sweep++;
    if (p.sweep % PROXIMAL_SWEEPS == 0)
        p.b -= p.sum * p.inverse_rho;
    return work;
}

template <class Row>
static double sweeps(DualProblem &p, double most_work)
{
    double first = 0, work = 0;
    while (work < most_work && p.n_active > 0) {
        work += sweep<Row>(p);
        first = greatest(first, p.worst);
        if (p.sweep % PROXIMAL_SWEEPS == 0 && p.worst <= SMALLER * first)
            break;
    }
    return work;
}

template <class Row>
static void predict(const DualProblem &p, double *z)
{
    for (ptrdiff_t i = 0; i < p.rows.n; i++)
        z[i] = Row(p.rows, i).dot(p.w) + p.b;
}

template <class Row>
static void pull(const DualProblem &p, const double *a, double *out)
{
    for (ptrdiff_t i = 0; i < p.rows.n; i++)
        if (a[i] != 0)
            Row(p.rows, i).add_to(a[i], out);
}

template <class Row>
static void squares(const DualProblem &p, double *out)
{
    for (ptrdiff_t i = 0; i < p.rows.n; i++)
        out[i] = Row(p.rows, i).square();
}

double dual_sweeps(DualProblem *p, double most_work)
{
    return LOSSOPT_FOR_ROWS(p->rows, sweeps, *p, most_work);
}

void dual_predict(const DualProblem *p, double *z)
{
    LOSSOPT_FOR_ROWS(p->rows, predict, *p, z);
}

void dual_pull(const DualProblem *p, const double *a, double *out)
{
    LOSSOPT_FOR_ROWS(p->rows, pull, *p, a, out);
}

void dual_squares(const DualProblem *p, double *out)
{
    LOSSOPT_FOR_ROWS(p->rows, squares, *p, out);
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
