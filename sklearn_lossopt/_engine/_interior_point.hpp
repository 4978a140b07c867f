/* Quadratic plus piecewise linear losses of rows, as Python hands them to _interior_point.cpp. */
#ifndef LOSSOPT_INTERIOR_POINT_HPP
#define LOSSOPT_INTERIOR_POINT_HPP

#include "_lagrangian.hpp"

namespace lossopt {

/* Rows x are (n, size); arrays of (pieces, n) are said to have all = pieces * n numbers. */
struct InteriorProblem {
    ptrdiff_t n, size, pieces;
    const double *x, *share;
    const double *c, *low, *high;         /* (pieces, n) */
    const double *quadratic, *linear;     /* (size, size) and (size,) */
    double *w;                            /* where it starts, and ends */
    double mass, tolerance;
    ptrdiff_t most_steps;
    double *room;
    const Lapack *lapack;
};

/* Numbers of `room`. */
static inline ptrdiff_t interior_room(const InteriorProblem *p)
{
    return (8 * p->pieces + 2) * p->n + (2 * p->size + GRAM_ROWS + 3) * p->size;
}

}  // namespace lossopt

#endif
