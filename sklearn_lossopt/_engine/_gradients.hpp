/* A model's losses and their gradient for some rows, and one step of its optimizer. */
#ifndef LOSSOPT_GRADIENTS_HPP
#define LOSSOPT_GRADIENTS_HPP

#include "_sparse.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Thrown after an exception in Python, and caught before the loops return there. */
struct Interrupted {};

LOSSOPT_INLINE void check(int status)
{
    if (status < 0)
        throw Interrupted();
}

/* Let Ctrl-C through now and then; `work` counts what was done since the last call. */
template <class T>
LOSSOPT_INLINE void look_for_signals(Plan<T> &t, ptrdiff_t work)
{
    t.work += work;
    if (t.work > SIGNAL_WORK) {
        t.work = 0;
        check(t.host->check_signals());
    }
}

template <class T>
static bool all_finite(ptrdiff_t n, const T *x)
{
    bool finite = true;
    for (ptrdiff_t i = 0; i < n; i++)
        finite = finite && is_finite(x[i]);
    return finite;
}

template <class T>
static bool any_nan(ptrdiff_t n, const T *x)
{
    bool found = false;
    for (ptrdiff_t i = 0; i < n; i++)
        found = found || x[i] != x[i];
    return found;
}

/* Losses and derivatives of n rows whose targets are in `buffers`. */
template <class T>
static void call_loss(const Plan<T> &t, const Buffers<T> &buffers, ptrdiff_t n, const T *raw,
                      T *gradient)
{
    const T *y = buffers.target;
    T *value = buffers.value;
    if (!t.loss) {
        check(t.host->custom_loss(t.custom, buffers.custom, n, raw - y, value - y, gradient - y));
        /* Infinity is a step too far; a number that is none is a mistake where raw is one. */
        if ((any_nan(n, value) || any_nan(t.k * n, gradient)) && all_finite(t.k * n, raw))
            check(t.host->blame_loss(t.custom));
        return;
    }
    ptrdiff_t k = t.k, calls = 1;
    if (t.loss_param_step > 0) {
        k = 1;
        calls = t.k;
    }
    for (ptrdiff_t r = 0; r < calls; r++)
        pick<T>(t.loss->loop)(n, k, y + r * n, raw + r * n, t.loss_param + r * t.loss_param_step,
                             value + r * n, gradient + r * n);
}

/* Weights and memory are those after an update. */
template <class T>
LOSSOPT_INLINE void show_update(const Plan<T> &t)
{
    if (t.watched)
        check(t.host->after_update(t.custom));
}

/* One step of the optimizer, layer by layer. */
template <class T>
static void call_step(const Plan<T> &t, T *w, const T *g, double rate)
{
    t.steps[0] += 1;
    for (ptrdiff_t l = 0; l < t.n_layers; l++) {
        ptrdiff_t row = t.layers[l].row, at = t.layers[l].offset, size = t.layers[l].n_out * row;
        if (!t.optimizer)
            check(t.host->custom_step(t.custom, l, t.steps[0], rate));
        else
            pick<T>(t.optimizer->step)(size, row, w + at, g + at,
                                      t.l1 > 0 ? t.thresholds + at : nullptr,
                                      t.state + t.n_slots * at, t.steps[0], rate, t.step_param);
    }
}

/* Add the weighted losses of the n rows whose targets and weights are in `buffers` to total; leave
 * the weighted derivatives in `grad` (k, n) if `slopes`. */
template <class T>
static void model_losses(const Plan<T> &t, const Buffers<T> &buffers, const T *raw, T *grad,
                         ptrdiff_t n, double *total, bool slopes)
{
    const T *s = buffers.weight, *none = nullptr;
    bool weighted = t.weight != nullptr;
    call_loss(t, buffers, n, raw, grad);
    for (ptrdiff_t r = 0; r < (t.joint || !t.loss ? 1 : t.k); r++)
        *total += weighted_sum(n, buffers.value + r * n, weighted ? s : none);
    if (weighted && slopes)
        for (ptrdiff_t r = 0; r < t.k; r++)
            for (ptrdiff_t i = 0; i < n; i++)
                grad[r * n + i] *= s[i];
}

/* Targets and weights of n rows into the buffers, and the rows too where they are wanted. */
template <class T>
static void gather_block(const Plan<T> &t, const uint32_t *order, ptrdiff_t start, ptrdiff_t n,
                         bool rows)
{
    gather_targets(t, order, start, n, t.buffers.target, t.buffers.weight);
    if (rows && t.n_layers > 1)
        gather_extended(t, order, start, n, t.buffers.rows);
    else if (rows)
        gather_rows(t, order, start, n, t.buffers.rows);
}

/* As `forward_backward`, for the rows that X, order and start say, less the shift, whose targets and
 * weights are in `buffers`. */
template <class T>
static void linear_gradient(const Plan<T> &t, const Buffers<T> &buffers, const T *X,
                            const uint32_t *order, ptrdiff_t start, const T *shift, ptrdiff_t n,
                            T *G, double *total)
{
    ptrdiff_t d = t.d, ld = d + 1, k = t.k, r, i;
    const T *W = t.W, *none = nullptr;
    T *raw = buffers.raw, *grad = buffers.gradient;
    bool sparse = t.csr.indptr != nullptr;
    Gemm<T> gemm = pick<T>(t.host->gemm);
    if (sparse)
        sparse_dot_rows<T>(n, t.csr, order, start, t.n, k, ld, W, 1, raw);
    else if (k == 1)
        dot_rows(n, d, X, order, start, t.n, t.streams, shift, W, W[d], raw);
    else {
        gemm("n", "t", k, n, d, 1, W, ld, X, d, 0, raw, n);
        for (r = 0; r < k; r++)
            for (i = 0; i < n; i++)
                raw[r * n + i] += W[r * ld + d];
    }
    model_losses(t, buffers, raw, grad, n, total, G != nullptr);
    if (!G)
        return;
    if (sparse)
        sparse_axpy_rows<T>(n, t.csr, order, start, k, ld, grad, 1, G);
    else if (k == 1)
        axpy_rows(n, d, X, order, start, shift, grad, G);
    else
        gemm("n", "n", k, d, n, 1, grad, n, X, d, 1, G, ld);
    if (t.intercept)
        for (r = 0; r < k; r++)
            G[r * ld + d] += (T)weighted_sum(n, grad + r * n, none);
}

/* As `forward_backward` for a network, whose rows, targets and weights are in `buffers`; in
 * _network.hpp. */
template <class T>
static void network_gradient(const Plan<T> &t, const Buffers<T> &buffers, const uint32_t *order,
                             ptrdiff_t start, ptrdiff_t n, T *G, double *total, bool training);

/* Add the weighted losses of n rows to total and, unless G is NULL, their gradient with respect to
 * the extended weights to G (size,).  Dropout is for `training`. */
template <class T>
static void forward_backward(const Plan<T> &t, const uint32_t *order, ptrdiff_t start, ptrdiff_t n,
                             T *G, double *total, bool training)
{
    const T *none = nullptr;
    bool dense = !t.csr.indptr;
    bool straight = t.n_layers == 1 && (!dense || t.k == 1 || (!order && !t.shift));
    gather_block(t, order, start, n, dense && !straight);
    if (t.n_layers > 1)
        network_gradient(t, t.buffers, order, start, n, G, total, training);
    else if (!straight)
        linear_gradient<T>(t, t.buffers, t.buffers.rows, nullptr, 0, none, n, G, total);
    /* One output needs no copy of the rows, nor do rows as they are. */
    else if (t.k > 1 && dense)
        linear_gradient(t, t.buffers, t.X + start * t.d, order, 0, t.shift, n, G, total);
    else
        linear_gradient(t, t.buffers, t.X, order, start, t.shift, n, G, total);
}

/* Not inlined: compilers fuse multiply-adds in one way or another where they inline, and the history
 * of a model must not hang on who asks. */
template <class T>
LOSSOPT_NOINLINE void add_penalty(const Plan<T> &t, const T *W, double *out)
{
    for (ptrdiff_t l = 0; l < t.n_layers; l++) {
        ptrdiff_t d = t.layers[l].n_in, j;
        for (ptrdiff_t r = 0; r < t.layers[l].n_out; r++) {
            const T *w = W + t.layers[l].offset + r * (d + 1);
            double sum = 0, sizes = 0;
            for (j = 0; j < d; j++)
                sum += (double)w[j] * (double)w[j];
            if (t.l1 > 0)
                for (j = 0; j < d; j++)
                    sizes += fabs((double)w[j]);
            *out += 0.5 * t.l2 * sum + t.l1 * sizes;
        }
    }
}

/* The full objective and, unless it is NULL, the gradient of all but its l1 term. */
template <class T>
static double full_objective(Plan<T> &t, double *gradient)
{
    T *G = gradient ? t.G : nullptr;
    double objective = 0;
    ptrdiff_t done = 0, j;
    if (gradient)
        memset(gradient, 0, t.size * sizeof(double));
    while (done < t.n) {
        ptrdiff_t b = least(t.chunk, t.n - done);
        if (G)
            memset(G, 0, t.size * sizeof(T));
        forward_backward(t, t.sample_indices, done, b, G, &objective, false);
        if (G)
            for (j = 0; j < t.size; j++)
                gradient[j] += (double)G[j];
        done += b;
        look_for_signals(t, b * t.size);
    }
    objective /= t.n;
    add_penalty(t, (const T *)t.W, &objective);
    if (gradient) {
        for (j = 0; j < t.size; j++)
            gradient[j] /= t.n;
        for (ptrdiff_t l = 0; l < t.n_layers; l++) {
            ptrdiff_t d = t.layers[l].n_in;
            for (ptrdiff_t r = 0; r < t.layers[l].n_out; r++) {
                ptrdiff_t at = t.layers[l].offset + r * (d + 1);
                for (j = 0; j < d; j++)
                    gradient[at + j] += t.l2 * t.W[at + j];
            }
        }
    }
    return objective;
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
