/* A penalised problem in its dual variables, as Python hands it to _dual_descent.cpp. */
#ifndef LOSSOPT_DUAL_DESCENT_HPP
#define LOSSOPT_DUAL_DESCENT_HPP

#include "_rows.hpp"

namespace lossopt {

/* Arrays of (pieces, n) belong to the rows used, in their order. */
struct DualProblem {
    UsedRows rows;
    ptrdiff_t pieces;
    const double *share;  /* weights of the rows, of sum 1 */
    const double *square; /* squared lengths of the rows */
    const double *c, *low, *high;
    double curvature;   /* second derivative of each piece's conjugate; 0 for breakpoints */
    double l2;
    double inverse_rho; /* of the intercept's proximal term; 0 without an intercept */
    double *theta, *w;
    double b, sum; /* the intercept, and the sum of share times theta */
    uint32_t *active; /* rows that do not rest */
    ptrdiff_t n_active;
    uint64_t seed, sweep; /* of the order of the rows */
    double limit, worst;  /* the worst violations of the sweep before and of the last one */
};

}  // namespace lossopt

#endif
