/* A quadratic model with an l1 norm, as Python hands it to _sign_search.cpp. */
#ifndef LOSSOPT_SIGN_SEARCH_HPP
#define LOSSOPT_SIGN_SEARCH_HPP

#include <stddef.h>

namespace lossopt {

struct SignProblem {
    ptrdiff_t d;
    const double *H;         /* (d, d), symmetric */
    const double *diagonal;  /* (d,), taken for that of H */
    const double *threshold; /* (d,), infinite for coordinates that are held */
    double *u, *slope;       /* (d,), moved */
    double *curvature;       /* (d,), of each coordinate where the others may move along */
    double *factor;          /* (d, d), room for a Cholesky factor */
    double *room;            /* (6, d) */
    ptrdiff_t *order;        /* (3, d), room */
    ptrdiff_t most_steps;
    double gained, left; /* what u has gained, and an estimate of what is missing */
    bool ended;          /* whether steps were enough */
};

}  // namespace lossopt

#endif
