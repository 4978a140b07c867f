/* Products with rows of either kind, in double.
 *
 * A kind of rows has functions of one row, by its position among those used, and of several rows at
 * the positions `first`, `first` + 1, ... of a list, or of all rows where that is NULL. */
#ifndef LOSSOPT_ROW_KINDS_HPP
#define LOSSOPT_ROW_KINDS_HPP

#include "_rows.hpp"
#include "_sparse.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

template <class T> class DenseRow {
    const T *x;
    const double *shift;
    ptrdiff_t d;

  public:
    static constexpr bool sparse = false;

    DenseRow(const UsedRows &rows, ptrdiff_t i)
        : x((const T *)rows.X + row_index(rows.used, i) * rows.d), shift(rows.shift), d(rows.d)
    {
    }

    ptrdiff_t size() const { return d; }

    void prefetch() const { prefetch_row(x, d * sizeof(T)); }

    double dot(const double *w) const
    {
        double sum = 0;
        if (shift) {
#pragma omp simd reduction(+ : sum)
            for (ptrdiff_t j = 0; j < d; j++)
                sum += ((double)x[j] - shift[j]) * w[j];
        } else {
#pragma omp simd reduction(+ : sum)
            for (ptrdiff_t j = 0; j < d; j++)
                sum += (double)x[j] * w[j];
        }
        return sum;
    }

    double square() const
    {
        double sum = 0;
        for (ptrdiff_t j = 0; j < d; j++) {
            double moved = (double)x[j] - (shift ? shift[j] : 0.0);
            sum += moved * moved;
        }
        return sum;
    }

    void add_to(double a, double *w) const
    {
        if (shift)
            for (ptrdiff_t j = 0; j < d; j++)
                w[j] += a * ((double)x[j] - shift[j]);
        else
            for (ptrdiff_t j = 0; j < d; j++)
                w[j] += a * (double)x[j];
    }

    void copy(double *LOSSOPT_RESTRICT out) const
    {
        if (shift)
            for (ptrdiff_t j = 0; j < d; j++)
                out[j] = (double)x[j] - shift[j];
        else
            for (ptrdiff_t j = 0; j < d; j++)
                out[j] = (double)x[j];
    }

    /* out[j] = x[j] times a scale[j] */
    void copy(double a, const double *scale, double *out) const
    {
        if (shift)
            for (ptrdiff_t j = 0; j < d; j++)
                out[j] = ((double)x[j] - shift[j]) * (a * scale[j]);
        else
            for (ptrdiff_t j = 0; j < d; j++)
                out[j] = (double)x[j] * (a * scale[j]);
    }

    void add_squares_to(double a, double *out) const
    {
        for (ptrdiff_t j = 0; j < d; j++) {
            double moved = (double)x[j] - (shift ? shift[j] : 0.0);
            out[j] += a * (moved * moved);
        }
    }

    /* Four rows at a time: sums do not wait for each other, and w is read once for all. */
    static void dot4(const DenseRow *row, const double *LOSSOPT_RESTRICT w, double *out)
    {
        const T *x0 = row[0].x, *x1 = row[1].x, *x2 = row[2].x, *x3 = row[3].x;
        const double *LOSSOPT_RESTRICT shift = row[0].shift;
        ptrdiff_t d = row[0].d;
        double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        if (shift) {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
            for (ptrdiff_t j = 0; j < d; j++) {
                s0 += ((double)x0[j] - shift[j]) * w[j];
                s1 += ((double)x1[j] - shift[j]) * w[j];
                s2 += ((double)x2[j] - shift[j]) * w[j];
                s3 += ((double)x3[j] - shift[j]) * w[j];
            }
        } else {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
            for (ptrdiff_t j = 0; j < d; j++) {
                s0 += (double)x0[j] * w[j];
                s1 += (double)x1[j] * w[j];
                s2 += (double)x2[j] * w[j];
                s3 += (double)x3[j] * w[j];
            }
        }
        out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
    }

    static void add4_to(const DenseRow *row, const double *a, double *LOSSOPT_RESTRICT w)
    {
        const T *x0 = row[0].x, *x1 = row[1].x, *x2 = row[2].x, *x3 = row[3].x;
        const double *LOSSOPT_RESTRICT shift = row[0].shift;
        ptrdiff_t d = row[0].d;
        double a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
        if (shift)
            for (ptrdiff_t j = 0; j < d; j++)
                w[j] += (a0 * ((double)x0[j] - shift[j]) + a1 * ((double)x1[j] - shift[j]))
                        + (a2 * ((double)x2[j] - shift[j]) + a3 * ((double)x3[j] - shift[j]));
        else
            for (ptrdiff_t j = 0; j < d; j++)
                w[j] += (a0 * (double)x0[j] + a1 * (double)x1[j])
                        + (a2 * (double)x2[j] + a3 * (double)x3[j]);
    }
};

template <class T> class SparseRow {
    const T *x;
    const int32_t *at;
    ptrdiff_t count;

  public:
    static constexpr bool sparse = true;

    SparseRow(const UsedRows &rows, ptrdiff_t i)
    {
        ptrdiff_t row = row_index(rows.used, i), begin = rows.csr.indptr[row];
        x = (const T *)rows.csr.data + begin;
        at = rows.csr.indices + begin;
        count = rows.csr.indptr[row + 1] - begin;
    }

    ptrdiff_t size() const { return count; }

    void prefetch() const
    {
        prefetch_row(x, count * sizeof(T));
        prefetch_row(at, count * sizeof(int32_t));
    }

    double dot(const double *w) const
    {
        double even = 0, odd = 0;
        ptrdiff_t i = 0;
        for (; i + 2 <= count; i += 2) {
            even += (double)x[i] * w[at[i]];
            odd += (double)x[i + 1] * w[at[i + 1]];
        }
        if (i < count)
            even += (double)x[i] * w[at[i]];
        return even + odd;
    }

    double square() const
    {
        double sum = 0;
        for (ptrdiff_t i = 0; i < count; i++)
            sum += (double)x[i] * (double)x[i];
        return sum;
    }

    void add_to(double a, double *w) const
    {
        for (ptrdiff_t i = 0; i < count; i++)
            w[at[i]] += a * (double)x[i];
    }

    void add_squares_to(double a, double *out) const
    {
        for (ptrdiff_t i = 0; i < count; i++)
            out[at[i]] += a * ((double)x[i] * (double)x[i]);
    }

    /* H += a times the outer product of the row, extended by a number at d. */
    void add_outer_to(double a, double last, ptrdiff_t d, double *H) const
    {
        for (ptrdiff_t i = 0; i <= count; i++) {
            double *row = H + (i < count ? (ptrdiff_t)at[i] : d) * (d + 1);
            double factor = a * (i < count ? (double)x[i] : last);
            for (ptrdiff_t k = 0; k < count; k++)
                row[at[k]] += factor * (double)x[k];
            row[d] += factor * last;
        }
    }

    static void dot4(const SparseRow *row, const double *w, double *out)
    {
        for (int i = 0; i < 4; i++)
            out[i] = row[i].dot(w);
    }

    static void add4_to(const SparseRow *row, const double *a, double *w)
    {
        for (int i = 0; i < 4; i++)
            row[i].add_to(a[i], w);
    }
};

LOSSOPT_INLINE ptrdiff_t position(const uint32_t *list, ptrdiff_t i)
{
    return list ? (ptrdiff_t)list[i] : i;
}

/* out[i] = row . w for `count` rows */
template <class Row>
static void dot_rows(const UsedRows &rows, const uint32_t *list, ptrdiff_t count, const double *w,
                     double *out)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= count; i += 4) {
        Row four[4] = {{rows, position(list, i)}, {rows, position(list, i + 1)},
                       {rows, position(list, i + 2)}, {rows, position(list, i + 3)}};
        Row::dot4(four, w, out + i);
    }
    for (; i < count; i++)
        out[i] = Row(rows, position(list, i)).dot(w);
}

/* w += the sum of a[i] times row i, of those with a[i] other than 0; a[0] is that of `first` */
template <class Row>
static void add_rows(const UsedRows &rows, const uint32_t *list, ptrdiff_t first, ptrdiff_t count,
                     const double *a, double *w)
{
    ptrdiff_t some[4], n = 0;
    double factor[4];
    for (ptrdiff_t i = 0; i < count; i++) {
        if (a[i] == 0)
            continue;
        some[n] = position(list, first + i);
        factor[n++] = a[i];
        if (n == 4) {
            Row four[4] = {{rows, some[0]}, {rows, some[1]}, {rows, some[2]}, {rows, some[3]}};
            Row::add4_to(four, factor, w);
            n = 0;
        }
    }
    for (ptrdiff_t i = 0; i < n; i++)
        Row(rows, some[i]).add_to(factor[i], w);
}

/* A call for the kind that rows have. */
#define LOSSOPT_FOR_ROWS(rows, call, ...)                                                          \
    ((rows).X ? (rows).single ? call<DenseRow<float>>(__VA_ARGS__)                                 \
                              : call<DenseRow<double>>(__VA_ARGS__)                                \
     : (rows).single ? call<SparseRow<float>>(__VA_ARGS__)                                         \
                     : call<SparseRow<double>>(__VA_ARGS__))

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
