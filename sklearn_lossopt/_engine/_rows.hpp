/* Rows that methods read as they lie, whatever their kind. */
#ifndef LOSSOPT_ROWS_HPP
#define LOSSOPT_ROWS_HPP

#include "_plan.hpp"

namespace lossopt {

/* Dense (X) or sparse (csr) rows of float or double. */
struct UsedRows {
    bool single;
    ptrdiff_t n, d;
    const void *X;
    Csr<void> csr;
    const uint32_t *used; /* those used, n of them, or NULL for all */
    const double *shift;  /* what dense columns are less, or NULL */
};

}  // namespace lossopt

#endif
