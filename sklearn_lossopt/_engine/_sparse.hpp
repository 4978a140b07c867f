/* Products of sparse rows (CSR).
 *
 * An epoch over them takes one of three paths, by cost (see `choose_path` in _trainer.pyx):
 *
 * - dense: the gradient and the update run over all features.  Any optimizer, any penalty.
 * - direct: plain gradient steps without a metric.  The weights are s v; a step's decay is one
 *   multiplication of s and its gradient is added to v where it is not zero.
 * - lazy: a feature that no row of a batch has sees a gradient of zero but for the penalty's.  It
 *   catches up with such steps when a batch has it next, by the optimizer's function in
 *   _catch_up.cpp; the batch's own features are copied into contiguous vectors, on which the ordinary
 *   updates work.
 */
#ifndef LOSSOPT_SPARSE_HPP
#define LOSSOPT_SPARSE_HPP

#include "_batches.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Four sums, since each addition waits for the one before it. */
template <class T>
LOSSOPT_INLINE T sparse_dot(ptrdiff_t n, const T *x, const int32_t *at, const T *w)
{
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    ptrdiff_t p = 0;
    for (; p + 4 <= n; p += 4) {
        s0 += x[p] * w[at[p]];
        s1 += x[p + 1] * w[at[p + 1]];
        s2 += x[p + 2] * w[at[p + 2]];
        s3 += x[p + 3] * w[at[p + 3]];
    }
    for (; p < n; p++)
        s0 += x[p] * w[at[p]];
    return (s0 + s1) + (s2 + s3);
}

template <class T>
LOSSOPT_INLINE void sparse_axpy(ptrdiff_t n, T a, const T *x, const int32_t *at, T *out)
{
    for (ptrdiff_t p = 0; p < n; p++)
        out[at[p]] += a * x[p];
}

template <class T>
static void prefetch_sparse_row(const Csr<T> &X, const uint32_t *order, ptrdiff_t i, ptrdiff_t n)
{
    if (!order || i >= n)
        return;
    ptrdiff_t row = order[i], begin = X.indptr[row], size = X.indptr[row + 1] - begin;
    prefetch_row(X.data + begin, size * sizeof(T));
    prefetch_row(X.indices + begin, size * sizeof(int32_t));
}

/* raw (k, n) = scale times rows . W' plus the intercepts. */
template <class T>
static void sparse_dot_rows(ptrdiff_t n, const Csr<T> &X, const uint32_t *order, ptrdiff_t start,
                            ptrdiff_t n_rows, ptrdiff_t k, ptrdiff_t ld, const T *W, T scale,
                            T *raw)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        prefetch_sparse_row(X, order, start + i + 2, n_rows);
        ptrdiff_t row = row_index(order, start + i), begin = X.indptr[row];
        ptrdiff_t size = X.indptr[row + 1] - begin;
        for (ptrdiff_t r = 0; r < k; r++)
            raw[r * n + i] = scale
                                 * sparse_dot(size, X.data + begin, X.indices + begin, W + r * ld)
                             + W[r * ld + ld - 1];
    }
}

/* out (k, ld) += scale times the sum of a[r, i] times row i. */
template <class T>
static void sparse_axpy_rows(ptrdiff_t n, const Csr<T> &X, const uint32_t *order, ptrdiff_t start,
                             ptrdiff_t k, ptrdiff_t ld, const T *a, T scale, T *out)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t row = row_index(order, start + i), begin = X.indptr[row];
        for (ptrdiff_t r = 0; r < k; r++)
            if (a[r * n + i] != 0)
                sparse_axpy(X.indptr[row + 1] - begin, scale * a[r * n + i], X.data + begin,
                            X.indices + begin, out + r * ld);
    }
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
