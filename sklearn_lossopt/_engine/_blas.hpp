/* Linear algebra by a BLAS and a LAPACK that count in whatever integers they were built with. */
#ifndef LOSSOPT_BLAS_HPP
#define LOSSOPT_BLAS_HPP

#include <stddef.h>

namespace lossopt {

/* C = scale op(A) op(B) + keep C for row-major C (m, n), with an inner dimension of p. */
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

/* C += sign A A', one triangle, for column-major C (n, n) and A (n, k). */
template <class Int>
static void add_gram(
    void (*syrk)(char *, char *, Int *, Int *, double *, double *, Int *, double *, double *, Int *),
    ptrdiff_t n, ptrdiff_t k, double sign, const double *A, double *C)
{
    Int n_ = (Int)n, k_ = (Int)k;
    double one = 1;
    syrk((char *)"L", (char *)"N", &n_, &k_, &sign, (double *)A, &n_, &one, C, &n_);
}

/* The Cholesky factor of that triangle, in its place; returns whether there is one. */
template <class Int>
static bool cholesky_factor(void (*potrf)(char *, Int *, double *, Int *, Int *), ptrdiff_t n,
                            double *A)
{
    Int n_ = (Int)n, info;
    potrf((char *)"L", &n_, A, &n_, &info);
    return info == 0;
}

template <class Int>
static void cholesky_solution(
    void (*potrs)(char *, Int *, Int *, double *, Int *, double *, Int *, Int *), ptrdiff_t n,
    const double *factor, double *b)
{
    Int n_ = (Int)n, one = 1, info;
    potrs((char *)"L", &n_, &one, (double *)factor, &n_, b, &n_, &info);
}

/* The inverse of a lower triangle, in its place. */
template <class Int>
static void triangular_inverse(void (*trtri)(char *, char *, Int *, double *, Int *, Int *), ptrdiff_t n,
                               double *A)
{
    Int n_ = (Int)n, info;
    trtri((char *)"L", (char *)"N", &n_, A, &n_, &info);
}

}  // namespace lossopt

#endif
