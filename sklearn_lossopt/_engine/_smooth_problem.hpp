/* The smooth problem of an augmented Lagrangian: raw predictions, gradients, curvature. */
#ifndef LOSSOPT_SMOOTH_PROBLEM_HPP
#define LOSSOPT_SMOOTH_PROBLEM_HPP

#include <initializer_list>
#include <math.h>
#include <string.h>

#include "_conjugates.hpp"
#include "_gram.hpp"
#include "_lagrangian.hpp"
#include "_math.hpp"
#include "_products.hpp"
#include "_row_kinds.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Rows whose derivatives are formed before they are added up: they stay in the cache. */
constexpr ptrdiff_t BLOCK = 64;
/* Raw predictions are formed anew after so many Newton steps, or after moves of so many raw scales. */
constexpr ptrdiff_t FRESH_STEPS = 30;
constexpr double FRESH_WAY = 1e3;

template <class Row> class SmoothProblem {
  protected:
    LagrangianProblem &p;
    const UsedRows &rows;
    ptrdiff_t n, m, size;
    /* Kept from step to step: raw predictions at v, the slopes that the gradient was formed of, the
     * sum of the rows times them, and the v that they were left at. */
    double *z, *slopes, *row_sum, *left_at;
    /* By what a direction moves raw predictions, that times the shares, and the terms' arguments at
     * the start of a line search; the curvatures. */
    double *q, *weighted, *start, *bends;
    /* Of the coefficients: the gradient, a direction, two more that solve the same equations, and
     * room for products with rows and for conjugate gradients. */
    double *g, *direction, *second, *third, *w, *pulled, *diagonal, *residual, *solved, *along;
    double *projected;
    /* The curvature matrix, its factor, and rows that are added to it; or the weights of the rows
     * with curvature. */
    double *H, *factor, *buffer, *on_null, *weight;
    ptrdiff_t buffered = 0, n_active = 0;
    double gap = 0, work = 0;

    explicit SmoothProblem(LagrangianProblem &problem)
        : p(problem), rows(problem.rows), n(problem.rows.n), m(problem.rows.n + problem.units),
          size(problem.size)
    {
        double *room = p.kept;
        auto take = [&](ptrdiff_t count) {
            double *taken = room;
            room += count;
            return taken;
        };
        z = take(m), slopes = take(m), row_sum = take(size), left_at = take(size);
        room = p.room;
        q = take(m), weighted = take(m), start = take(p.pieces * m), bends = take(m);
        for (double **each : {&g, &direction, &second, &third, &w, &pulled, &diagonal, &residual,
                              &solved, &along})
            *each = take(size);
        projected = take(p.n_null);
        H = factor = buffer = on_null = weight = NULL;
        if (p.dense) {
            H = take(size * size), factor = take(size * size);
            buffer = take(GRAM_ROWS * size), on_null = take(GRAM_ROWS * p.n_null);
        } else
            weight = take(m);
    }

    template <class Function> void for_terms(Function &&call)
    {
        if (p.conjugate == CONJUGATE_QUADRATIC)
            call(QuadraticTerm{p.width, p.q}, 0, n);
        else if (p.conjugate == CONJUGATE_ENTROPY)
            call(EntropyTerm{p.width}, 0, n);
        else
            call(Breakpoint{p.width}, 0, n);
        call(Breakpoint{p.width}, n, m);
    }

    /* -- products with the rows ----------------------------------------------------------------- */

    /* Take the null space out of numbers of the coefficients. */
    void project(double *v)
    {
        if (!p.n_null)
            return;
        for (ptrdiff_t k = 0; k < p.n_null; k++)
            projected[k] = dot(size, p.null + k * size, v);
        for (ptrdiff_t k = 0; k < p.n_null; k++)
            for (ptrdiff_t j = 0; j < size; j++)
                v[j] -= projected[k] * p.null[k * size + j];
    }

    /* w so that rows times it are scaled rows times v; returns what the last column adds. */
    double as_weights(const double *v)
    {
        memcpy(w, v, size * sizeof(double));
        project(w);
        for (ptrdiff_t j = 0; j < size; j++)
            w[j] *= p.scale[j];
        return p.last * w[size - 1];
    }

    /* The gradient in v of the sum in `pulled` of rows, whose factors have the sum `last`. */
    void as_gradient(double last)
    {
        pulled[size - 1] = p.last * last;
        for (ptrdiff_t j = 0; j < size; j++)
            pulled[j] *= p.scale[j];
        project(pulled);
    }

    void predict(const double *v, double *out)
    {
        double last = as_weights(v);
        dot_rows<Row>(rows, NULL, n, w, out);
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] += last;
        memcpy(out + n, v, p.units * sizeof(double));
        work += p.numbers;
    }

    /* -- the smooth problem ---------------------------------------------------------------------- */

    /* The slopes and curvatures of some rows' terms, times the shares, and their gap. */
    template <class Term>
    double form(const Term term, ptrdiff_t begin, ptrdiff_t end, double *LOSSOPT_RESTRICT slope,
                double *LOSSOPT_RESTRICT bend)
    {
        double gaps[BLOCK], total = 0;
        const double *LOSSOPT_RESTRICT raw = z + begin;
        for (ptrdiff_t i = 0; i < end - begin; i++)
            slope[i] = bend[i] = gaps[i] = 0;
        for (ptrdiff_t k = 0; k < p.pieces; k++) {
            const double *LOSSOPT_RESTRICT c = p.c + k * m + begin;
            const double *LOSSOPT_RESTRICT theta = p.theta + k * m + begin;
            const double *LOSSOPT_RESTRICT low = p.low + k * m + begin;
            const double *LOSSOPT_RESTRICT high = p.high + k * m + begin;
#pragma omp simd
            for (ptrdiff_t i = 0; i < end - begin; i++) {
                double r = raw[i] - c[i];
                double t = term.dual(term.argument(r, theta[i]), low[i], high[i]);
                slope[i] += t;
                bend[i] += term.bend(t, low[i], high[i]);
                gaps[i] += term.gap(r, t, low[i], high[i]);
            }
        }
        const double *LOSSOPT_RESTRICT share = p.share + begin;
        double least = term.least_bend();
        for (ptrdiff_t i = 0; i < end - begin; i++) {
            total += share[i] * gaps[i];
            slope[i] *= share[i];
            bend[i] = bend[i] > least ? bend[i] * share[i] : 0.0;
        }
        return total;
    }

    /* Begin at v: with what the last step has left there, unless rounding may have added up in it. */
    void begin()
    {
        bool there = p.known && memcmp(left_at, p.v, size * sizeof(double)) == 0;
        p.known = false;
        if (there && p.steps < FRESH_STEPS && p.moved <= FRESH_WAY * p.raw_scale)
            return;
        predict(p.v, z);
        memset(row_sum, 0, size * sizeof(double));
        memset(slopes, 0, m * sizeof(double));
        p.slope_sum = p.moved = 0, p.steps = 0;
        work += p.numbers;
    }

    void leave()
    {
        memcpy(left_at, p.v, size * sizeof(double));
        p.known = true;
    }

    /* The gradient and the gap at v.  Most duals stay at their bounds: after the first time, rows are
     * read again where the slope has changed. */
    void measure()
    {
        double slope[BLOCK];
        gap = 0;
        for_terms([&](const auto &term, ptrdiff_t begin, ptrdiff_t end) {
            for (ptrdiff_t i = begin; i < end; i += BLOCK) {
                ptrdiff_t count = least(BLOCK, end - i);
                gap += form(term, i, i + count, slope, bends + i);
                if (i < n)
                    add_slopes(i, count, slope);
                else
                    for (ptrdiff_t k = 0; k < count; k++)
                        pulled[i - n + k] += slope[k];
            }
            /* Unit rows are added to what the rows have become. */
            if (begin == 0) {
                memcpy(pulled, row_sum, size * sizeof(double));
                as_gradient(p.slope_sum);
            }
        });
        for (ptrdiff_t j = 0; j < size; j++)
            g[j] = pulled[j] + p.penalty[j] * p.v[j];
    }

    /* The curvature where the gradient has been measured. */
    void measure_curvature()
    {
        buffered = n_active = 0;
        if (p.dense)
            memset(H, 0, size * size * sizeof(double));
        add_curvature();
        complete_curvature();
        for (ptrdiff_t j = 0; j < p.units; j++)
            if (p.dense)
                H[j * size + j] += bends[n + j];
            else if (bends[n + j] > 0)
                note(n + j, bends[n + j]);
    }

    /* Take the new slopes of some rows, which become their changes. */
    void add_slopes(ptrdiff_t first, ptrdiff_t count, double *slope)
    {
        for (ptrdiff_t i = 0; i < count; i++) {
            double change = slope[i] - slopes[first + i];
            slopes[first + i] = slope[i];
            slope[i] = change;
            p.slope_sum += change;
        }
        add_rows<Row>(rows, NULL, first, count, slope, row_sum);
    }

    void note(ptrdiff_t row, double bend)
    {
        p.active[n_active] = (uint32_t)row;
        weight[n_active++] = bend;
    }

    void add_curvature()
    {
        for (ptrdiff_t i = 0; i < n; i++) {
            if (!(bends[i] > 0))
                continue;
            Row row(rows, i);
            if (!p.dense) {
                note(i, bends[i]);
                continue;
            }
            if constexpr (Row::sparse) {
                row.add_outer_to(bends[i], p.last, size - 1, H);
                work += (double)row.size() * (double)row.size();
            } else {
                double root = sqrt(bends[i]), *out = buffer + buffered * size;
                row.copy(root, p.scale, out);
                out[size - 1] = p.last * root * p.scale[size - 1];
                if (++buffered == GRAM_ROWS)
                    flush();
            }
        }
    }

    /* Add the rows in the buffer to the matrix. */
    void flush()
    {
        if (p.n_null) {
            auto gemm = p.host->gemm.for_double;
            gemm("N", "T", buffered, p.n_null, size, 1, buffer, size, p.null, size, 0, on_null,
                 p.n_null);
            gemm("N", "N", buffered, size, p.n_null, -1, on_null, p.n_null, p.null, size, 1, buffer,
                 size);
        }
        add_upper_gram(p.host, buffered, size, 1, buffer, H,
                       [&] { p.lapack->syrk(size, buffered, buffer, H); });
        work += 0.5 * (double)(buffered * size) * (double)size;
        buffered = 0;
    }

    void complete_curvature()
    {
        if (!p.dense)
            return;
        if (buffered)
            flush();
        if constexpr (Row::sparse)
            for (ptrdiff_t i = 0; i < size; i++)
                for (ptrdiff_t j = 0; j < size; j++)
                    H[i * size + j] *= p.scale[i] * p.scale[j];
    }

    /* -- where there is no matrix ------------------------------------------------------------------ */

    /* out = (curvature + penalty + ridge) v, from the rows with curvature. */
    void product(const double *v, double *out)
    {
        double last = as_weights(v), sum = 0;
        ptrdiff_t count = n_active;
        while (count && p.active[count - 1] >= n)
            count--;
        memset(pulled, 0, size * sizeof(double));
        for (ptrdiff_t i = 0; i < count; i += BLOCK) {
            double a[BLOCK];
            ptrdiff_t some = least(BLOCK, count - i);
            dot_rows<Row>(rows, p.active + i, some, w, a);
            for (ptrdiff_t k = 0; k < some; k++) {
                a[k] = weight[i + k] * (a[k] + last);
                sum += a[k];
            }
            add_rows<Row>(rows, p.active + i, 0, some, a, pulled);
        }
        as_gradient(sum);
        for (ptrdiff_t i = count; i < n_active; i++) {
            ptrdiff_t j = p.active[i] - n;
            pulled[j] += weight[i] * v[j];
        }
        double ridge = p.ridge / p.width;
        for (ptrdiff_t j = 0; j < size; j++)
            out[j] = pulled[j] + (p.penalty[j] + ridge) * v[j];
    }

    void fill_diagonal()
    {
        double ridge = p.ridge / p.width;
        memset(diagonal, 0, size * sizeof(double));
        for (ptrdiff_t i = 0; i < n_active; i++) {
            if (p.active[i] >= n)
                continue;
            Row(rows, p.active[i]).add_squares_to(weight[i], diagonal);
            diagonal[size - 1] += weight[i] * p.last * p.last;
        }
        for (ptrdiff_t j = 0; j < size; j++)
            diagonal[j] *= p.scale[j] * p.scale[j];
        for (ptrdiff_t i = n_active; i-- && p.active[i] >= n;)
            diagonal[p.active[i] - n] += weight[i];
        for (ptrdiff_t j = 0; j < size; j++) {
            diagonal[j] += p.penalty[j] + ridge;
        }
    }
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
