/* Weighted sums of x - origin and of its square over rows; origin is zero for sparse rows. */
#include "_level.hpp"
#include "_sparse.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

template <class T>
static double dense_moments(ptrdiff_t n, ptrdiff_t d, const T *X, const T *weight,
                            const uint32_t *order, const double *origin, double *first,
                            double *second)
{
    double w = 1, mass = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const T *x = row_at(X, order, i, d);
        if (weight)
            w = weight[row_index(order, i)];
        mass += w;
        for (ptrdiff_t j = 0; j < d; j++) {
            double difference = (double)x[j] - origin[j];
            first[j] += w * difference;
            second[j] += w * difference * difference;
        }
    }
    return mass;
}

template <class T>
static double sparse_moments(ptrdiff_t n, const Csr<T> &X, const T *weight, const uint32_t *order,
                             double *first, double *second)
{
    double w = 1, mass = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t row = row_index(order, i);
        if (weight)
            w = weight[row];
        mass += w;
        for (ptrdiff_t p = X.indptr[row]; p < X.indptr[row + 1]; p++) {
            double x = X.data[p];
            first[X.indices[p]] += w * x;
            second[X.indices[p]] += w * x * x;
        }
    }
    return mass;
}

template <class T>
static double any_moments(const Csr<void> *csr, const void *X, ptrdiff_t n, ptrdiff_t d,
                          const void *weight, const uint32_t *order, const double *origin,
                          double *first, double *second)
{
    if (X)
        return dense_moments(n, d, (const T *)X, (const T *)weight, order, origin, first, second);
    Csr<T> rows = {(const T *)csr->data, csr->indices, csr->indptr};
    return sparse_moments(n, rows, (const T *)weight, order, first, second);
}

double moments(const Csr<void> *csr, const void *X, bool single, ptrdiff_t n, ptrdiff_t d,
               const void *weight, const uint32_t *order, const double *origin, double *first,
               double *second)
{
    if (single)
        return any_moments<float>(csr, X, n, d, weight, order, origin, first, second);
    return any_moments<double>(csr, X, n, d, weight, order, origin, first, second);
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
