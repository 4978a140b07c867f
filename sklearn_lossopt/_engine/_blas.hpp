/* Products of row-major matrices by a BLAS that counts in whatever integers it was built with. */
#ifndef LOSSOPT_BLAS_HPP
#define LOSSOPT_BLAS_HPP

#include <stddef.h>

namespace lossopt {

/* C = scale op(A) op(B) + keep C for C (m, n), with an inner dimension of p. */
template <class Int, class T>
static void row_major(
    void (*blas)(char *, char *, Int *, Int *, Int *, T *, T *, Int *, T *, Int *, T *, T *, Int *),
    const char *op_a, const char *op_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t p, T scale, const T *A,
    ptrdiff_t lda, const T *B, ptrdiff_t ldb, T keep, T *C, ptrdiff_t ldc)
{
    Int m_ = (Int)m, n_ = (Int)n, p_ = (Int)p, lda_ = (Int)lda, ldb_ = (Int)ldb, ldc_ = (Int)ldc;
    blas((char *)op_b, (char *)op_a, &n_, &m_, &p_, &scale, (T *)B, &ldb_, (T *)A, &lda_, &keep, C,
         &ldc_);
}

}  // namespace lossopt

#endif
