/* Products of rows, extended by a last column, with vectors of k outputs; and their Gram matrices.
 *
 * Rows are read as they lie where there is one output.  For several, and for matrices, blocks of dense
 * rows are copied.  Sums are formed in the order of the rows. */
#include "_level.hpp"
#include "_extended_rows.hpp"
#include "_gram.hpp"
#include "_row_kinds.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

template <class Row> class Products {
    const ExtendedRows &p;
    const UsedRows &rows;
    ptrdiff_t d, size;

    /* out (count, size) = rows from `first` on */
    void copy(ptrdiff_t first, ptrdiff_t count, double *out) const
    {
        for (ptrdiff_t i = 0; i < count; i++, out += size) {
            Row(rows, first + i).copy(out);
            out[d] = p.last;
        }
    }

    /* The rows from `first` on whose factor has this sign, times its root; returns their number. */
    ptrdiff_t scaled(ptrdiff_t first, ptrdiff_t count, const double *h, ptrdiff_t step, double sign,
                     const double *copied, double *out) const
    {
        ptrdiff_t found = 0;
        for (ptrdiff_t i = 0; i < count; i++) {
            double factor = sign * h[i * step];
            /* A factor that is not a number belongs in the sum. */
            if (!(factor > 0) && (factor == factor || sign < 0))
                continue;
            double root = sqrt(factor), *to = out + size * found++;
            if (copied) {
                const double *from = copied + i * size;
                for (ptrdiff_t j = 0; j < size; j++)
                    to[j] = root * from[j];
            } else {
                Row(rows, first + i).copy(to);
                for (ptrdiff_t j = 0; j < d; j++)
                    to[j] *= root;
                to[d] = root * p.last;
            }
        }
        return found;
    }

  public:
    Products(const ExtendedRows &products)
        : p(products), rows(products.rows), d(products.rows.d), size(products.rows.d + 1)
    {
    }

    void predict(ptrdiff_t k, const double *W, double *out, double *room) const
    {
        if (k == 1) {
            dot_rows<Row>(rows, nullptr, rows.n, W, out);
            for (ptrdiff_t i = 0; i < rows.n; i++)
                out[i] += p.last * W[d];
        } else if constexpr (Row::sparse) {
            for (ptrdiff_t i = 0; i < rows.n; i++)
                for (ptrdiff_t r = 0; r < k; r++)
                    out[i * k + r] = Row(rows, i).dot(W + r * size) + p.last * W[r * size + d];
        } else {
            for (ptrdiff_t i = 0; i < rows.n; i += COPIED_ROWS) {
                ptrdiff_t count = least(COPIED_ROWS, rows.n - i);
                copy(i, count, room);
                p.host->gemm.for_double("N", "T", count, k, size, 1, room, size, W, size, 0,
                                        out + i * k, k);
            }
        }
    }

    void pull(ptrdiff_t k, const double *a, double *out, double *room) const
    {
        if (k == 1) {
            double sum = 0;
            add_rows<Row>(rows, nullptr, 0, rows.n, a, out);
            for (ptrdiff_t i = 0; i < rows.n; i++)
                sum += a[i];
            out[d] += p.last * sum;
        } else if constexpr (Row::sparse) {
            for (ptrdiff_t i = 0; i < rows.n; i++)
                for (ptrdiff_t r = 0; r < k; r++) {
                    double factor = a[i * k + r];
                    if (factor == 0)
                        continue;
                    Row(rows, i).add_to(factor, out + r * size);
                    out[r * size + d] += factor * p.last;
                }
        } else {
            for (ptrdiff_t i = 0; i < rows.n; i += COPIED_ROWS) {
                ptrdiff_t count = least(COPIED_ROWS, rows.n - i);
                copy(i, count, room);
                p.host->gemm.for_double("T", "N", k, size, count, 1, a + i * k, k, room, size, 1, out,
                                        size);
            }
        }
    }

    void grams(ptrdiff_t k, const double *h, double *out, double *room) const
    {
        if constexpr (Row::sparse) {
            for (ptrdiff_t i = 0; i < rows.n; i++)
                for (ptrdiff_t r = 0; r < k; r++)
                    if (h[i * k + r] != 0)
                        Row(rows, i).add_outer_to(h[i * k + r], p.last, d, out + r * size * size);
        } else {
            double *bent = room, *copied = nullptr;
            if (k > 1)
                copied = room + least(COPIED_ROWS, rows.n) * size;
            for (ptrdiff_t i = 0; i < rows.n; i += COPIED_ROWS) {
                ptrdiff_t count = least(COPIED_ROWS, rows.n - i);
                if (copied)
                    copy(i, count, copied);
                for (ptrdiff_t r = 0; r < k; r++)
                    for (double sign = 1; sign >= -1; sign -= 2) {
                        ptrdiff_t found = scaled(i, count, h + i * k + r, k, sign, copied, bent);
                        double *H = out + r * size * size;
                        if (found)
                            add_upper_gram(p.host, found, size, sign, bent, H,
                                           [&] { p.syrk(size, found, sign, bent, H); });
                    }
            }
            /* Each row has the columns from its own on. */
            for (ptrdiff_t r = 0; r < k; r++, out += size * size)
                for (ptrdiff_t i = 0; i < size; i++)
                    for (ptrdiff_t j = 0; j < i; j++)
                        out[i * size + j] = out[j * size + i];
        }
    }
};

template <class Row>
static void predict(const ExtendedRows &p, ptrdiff_t k, const double *W, double *out, double *room)
{
    Products<Row>(p).predict(k, W, out, room);
}

template <class Row>
static void pull(const ExtendedRows &p, ptrdiff_t k, const double *a, double *out, double *room)
{
    Products<Row>(p).pull(k, a, out, room);
}

template <class Row>
static void grams(const ExtendedRows &p, ptrdiff_t k, const double *h, double *out, double *room)
{
    Products<Row>(p).grams(k, h, out, room);
}

void row_predictions(const ExtendedRows *p, ptrdiff_t k, const double *W, double *out, double *room)
{
    LOSSOPT_FOR_ROWS(p->rows, predict, *p, k, W, out, room);
}

void row_sums(const ExtendedRows *p, ptrdiff_t k, const double *a, double *out, double *room)
{
    LOSSOPT_FOR_ROWS(p->rows, pull, *p, k, a, out, room);
}

void row_grams(const ExtendedRows *p, ptrdiff_t k, const double *h, double *out, double *room)
{
    LOSSOPT_FOR_ROWS(p->rows, grams, *p, k, h, out, room);
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
