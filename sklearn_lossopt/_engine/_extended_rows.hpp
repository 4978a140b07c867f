/* Products with extended rows, as Python hands them to _extended_rows.cpp. */
#ifndef LOSSOPT_EXTENDED_ROWS_HPP
#define LOSSOPT_EXTENDED_ROWS_HPP

#include "_rows.hpp"

namespace lossopt {

/* Rows copied at once, for products of matrices: they stay in the cache. */
constexpr ptrdiff_t COPIED_ROWS = 256;

/* Rows less their shift, and a last column of one number. */
struct ExtendedRows {
    UsedRows rows;
    double last;
    const Host *host;
    /* C (n, n) += sign A A' for column-major A (n, k), one triangle. */
    void (*syrk)(ptrdiff_t n, ptrdiff_t k, double sign, const double *A, double *C);
};

}  // namespace lossopt

#endif
