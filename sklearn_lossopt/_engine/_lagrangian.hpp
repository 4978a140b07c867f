/* The augmented Lagrangian of a penalised problem, as Python hands it to _lagrangian.cpp. */
#ifndef LOSSOPT_LAGRANGIAN_HPP
#define LOSSOPT_LAGRANGIAN_HPP

#include "_rows.hpp"

namespace lossopt {

/* What is known of the conjugate of the rows' pieces: see losses/_conjugates.py. */
enum { CONJUGATE_NONE, CONJUGATE_QUADRATIC, CONJUGATE_ENTROPY };
/* Rows with curvature that are added to the matrix at once. */
constexpr ptrdiff_t GRAM_ROWS = 256;

/* Linear algebra of column-major matrices, of which the lower triangle is used. */
struct Lapack {
    /* C (n, n) += A A' for A (n, k) */
    void (*syrk)(ptrdiff_t n, ptrdiff_t k, const double *A, double *C);
    bool (*factorise)(ptrdiff_t n, double *A);
    void (*solve)(ptrdiff_t n, const double *factor, double *b);
};

/* Rows are extended by `last` and, `shift` taken off, multiplied by `scale`: coefficients and all
 * else of `size` = rows.d + 1 belong to these.  After the rows come `units` unit rows, which predict
 * one coefficient each.  Arrays of (pieces, m) belong to all m = rows.n + units of them. */
struct LagrangianProblem {
    UsedRows rows;
    double last, numbers; /* numbers in all rows */
    ptrdiff_t units, pieces, size;
    int conjugate;
    double q; /* of a quadratic conjugate */
    const double *share, *c, *low, *high;
    const double *scale, *penalty;
    const double *null; /* (n_null, size): directions that are taken out of the rows */
    ptrdiff_t n_null;
    bool dense; /* whether the curvature matrix is formed */
    /* Where the step starts, and ends. */
    double *v, *theta;
    double width, raw_scale, ridge, least_ridge, accuracy;
    bool *on; /* (pieces, m) duals inside of their bounds */
    double rest, tolerance;
    double gap;
    ptrdiff_t count, most;
    bool changed; /* whether `on` has */
    /* What the next step goes on from, see SmoothProblem: room for `lagrangian_kept` numbers, the sum
     * of the slopes, and since raw predictions were last formed anew, the Newton steps taken and by
     * how much they have moved them in the mean. */
    double *kept;
    double slope_sum, moved;
    ptrdiff_t steps;
    bool known; /* whether a step has left it */
    double *room;
    uint32_t *active; /* room for m indices, without a matrix */
    const Host *host;
    const Lapack *lapack;
};

/* Numbers of `kept`: raw predictions and slopes, sums of rows, and where they belong to. */
static inline ptrdiff_t lagrangian_kept(const LagrangianProblem *p)
{
    return 2 * (p->rows.n + p->units) + 2 * p->size;
}

/* Numbers of `room`. */
static inline ptrdiff_t lagrangian_room(const LagrangianProblem *p)
{
    ptrdiff_t m = p->rows.n + p->units, size = p->size;
    ptrdiff_t matrices = p->dense ? 2 * size * size + GRAM_ROWS * (size + p->n_null) : m;
    return (3 + p->pieces) * m + 10 * size + p->n_null + matrices;
}

}  // namespace lossopt

#endif
