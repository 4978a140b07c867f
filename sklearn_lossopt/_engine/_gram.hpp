/* Gram matrices: products of a few columns with those from theirs on. */
#ifndef LOSSOPT_GRAM_HPP
#define LOSSOPT_GRAM_HPP

#include "_plan.hpp"

namespace lossopt {

/* Columns of a band, and the numbers of columns from which bands take less time than one product of
 * all with all, and up to which less than a symmetric product. */
constexpr ptrdiff_t BAND = 16, LEAST_BANDED = 25, MOST_BANDED = 160;

/* H (size, size) += sign A' A for A (count, size): of each row at least the columns from its own on.
 * `symmetric` does the same for many columns. */
template <class Symmetric>
static void add_upper_gram(const Host *host, ptrdiff_t count, ptrdiff_t size, double sign,
                           const double *A, double *H, const Symmetric &symmetric)
{
    if (size > MOST_BANDED) {
        symmetric();
        return;
    }
    ptrdiff_t bands = size < LEAST_BANDED ? 1 : (size + BAND / 2) / BAND;
    for (ptrdiff_t b = 0; b < bands; b++) {
        ptrdiff_t first = size * b / bands, end = size * (b + 1) / bands;
        host->gemm.for_double("T", "N", end - first, size - first, count, sign, A + first, size,
                              A + first, size, 1, H + first * size + first, size);
    }
}

}  // namespace lossopt

#endif
