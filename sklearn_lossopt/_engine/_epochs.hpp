/* Epochs of one model, on every path. */
#ifndef LOSSOPT_EPOCHS_HPP
#define LOSSOPT_EPOCHS_HPP

#include "_lazy.hpp"
#include "_network.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Begin to sum gradients of n rows into G, chunk by chunk; float32 sums of chunks add up in
 * float64. */
template <class T>
static void begin_sum(const Plan<T> &t, T *G, ptrdiff_t n)
{
    memset(G, 0, t.size * sizeof(T));
    if (sizeof(T) < sizeof(double) && n > t.chunk)
        memset(t.sums, 0, t.size * sizeof(double));
}

/* A chunk's sum is in G. */
template <class T>
static void add_chunk(const Plan<T> &t, T *G, ptrdiff_t n)
{
    if (sizeof(T) < sizeof(double) && n > t.chunk) {
        for (ptrdiff_t j = 0; j < t.size; j++)
            t.sums[j] += (double)G[j];
        memset(G, 0, t.size * sizeof(T));
    }
}

template <class T>
static void end_sum(const Plan<T> &t, T *G, ptrdiff_t n)
{
    if (sizeof(T) < sizeof(double) && n > t.chunk)
        for (ptrdiff_t j = 0; j < t.size; j++)
            G[j] = (T)t.sums[j];
}

/* Sum over n rows into t.G. */
template <class T>
static void batch_gradient(Plan<T> &t, ptrdiff_t start, ptrdiff_t n, double *total)
{
    T *G = t.G;
    begin_sum(t, G, n);
    for (ptrdiff_t done = 0, m; done < n; done += m) {
        m = least(t.chunk, n - done);
        forward_backward(t, t.order, start + done, m, G, total, true);
        add_chunk(t, G, n);
        look_for_signals(t, m * t.size);
    }
    end_sum(t, G, n);
}

/* Weight decay that is no part of the gradient; biases stay. Networks have no metric: W is U. */
template <class T>
static void shrink_weights(const Plan<T> &t, double rate)
{
    T kept = (T)(1 - rate * t.weight_decay);
    for (ptrdiff_t l = 0; l < t.n_layers; l++) {
        const Layer<T> &layer = t.layers[l];
        for (ptrdiff_t r = 0; r < layer.n_out; r++) {
            T *w = t.W + layer.offset + r * layer.row;
            for (ptrdiff_t j = 0; j < layer.n_in; j++)
                w[j] *= kept;
        }
    }
}

/* One optimizer step, t.G being the summed gradients of n rows. */
template <class T>
static void update(const Plan<T> &t, ptrdiff_t n, double rate)
{
    ptrdiff_t ld = t.d + 1, r, j;
    T *G = t.G, *H = t.H, *W = t.W, *U = t.U;
    T scale = (T)(t.scale / n), l2 = (T)(t.l2 * t.scale);
    for (ptrdiff_t l = 0; l < t.n_layers; l++) {
        ptrdiff_t d = t.layers[l].n_in;
        for (r = 0; r < t.layers[l].n_out; r++) {
            ptrdiff_t at = t.layers[l].offset + r * (d + 1);
            T *g = G + at;
            for (j = 0; j < d; j++)
                g[j] = g[j] * scale + l2 * W[at + j];
            g[d] *= scale;
        }
    }
    for (r = 0; r < (t.metric_kind != METRIC_NONE ? t.k : 0); r++) {
        const T *metric = t.metric + r * t.metric_stride;
        if (t.metric_kind == METRIC_DIAGONAL)
            for (j = 0; j < ld; j++)
                H[r * ld + j] = G[r * ld + j] * metric[j];
        else {
            memset(H + r * ld, 0, ld * sizeof(T));
            axpy_upper<T>(ld, metric, G + r * ld, H + r * ld);
        }
    }
    if (t.weight_decay > 0)
        shrink_weights(t, rate);
    call_step<T>(t, U, H, rate);
    for (r = 0; r < (t.metric_kind != METRIC_NONE ? t.k : 0); r++) {
        const T *metric = t.metric + r * t.metric_stride;
        if (t.metric_kind == METRIC_DIAGONAL)
            for (j = 0; j < ld; j++)
                W[r * ld + j] = U[r * ld + j] * metric[j];
        else
            dot_upper<T>(ld, metric, U + r * ld, W + r * ld);
    }
}

/* Whether epochs are those of `stochastic_epoch`. */
template <class T>
static bool one_by_one(const Plan<T> &t)
{
    return t.k == 1 && t.batch_size == 1 && t.n > 1 && t.plain_sgd && t.metric_kind == METRIC_NONE
           && t.n_layers == 1 && t.X && t.loss && pick<T>(t.loss->at) && t.l1 == 0;
}

/* An epoch of plain stochastic gradient descent, one row a step: gradient, penalty and step are one
 * pass over the weights.
 *
 * A step waits for its raw prediction x_i . w, and that for the step before.  The wait is cut by
 * taking x_i . w before that last step, w' = decay w + a z, and adding what the step changes:
 * x_i . w' = decay (x_i . w) + a (x_i . z). */
template <class T>
static void stochastic_epoch(Plan<T> &t, const double *rates, ptrdiff_t rate_step, double *total)
{
    ptrdiff_t d = t.d;
    const T *X = t.X, *target = t.target, *weight = t.weight, *shift = t.shift;
    T *W = t.W, v, with_w = 0, with_row = 0, one = t.intercept ? 1 : 0;
    LossAt<T> loss_at = pick<T>(t.loss->at);
    double l2 = t.l2, sum = 0;
    ptrdiff_t row = row_index(t.order, 0);
    T z = dot<T>(d, X + row * d, shift, W) + W[d];
    for (ptrdiff_t i = 0; i < t.n; i++) {
        ptrdiff_t following = row;
        if (i + 1 < t.n) {
            following = row_index(t.order, i + 1);
            dot_pair<T>(d, X + following * d, X + row * d, shift, W, &with_w, &with_row);
        }
        if (t.streams && t.order && i + AHEAD < t.n) {
            prefetch_row(X + (ptrdiff_t)t.order[i + AHEAD] * d, d * sizeof(T));
            LOSSOPT_PREFETCH(target + t.order[i + AHEAD]);
        }
        T g = loss_at(target[row], z, t.loss_param, &v);
        if (weight) {
            v *= weight[row];
            g *= weight[row];
        }
        sum += (double)v;
        double rate = rates[i * rate_step];
        T decay = (T)(1 - rate * l2), a = (T)(-rate) * g;
        z = (decay * with_w + W[d]) + a * (with_row + one);
        decay_axpy<T>(d, decay, a, X + row * d, shift, W);
        W[d] += a * one;
        show_update(t);
        row = following;
        look_for_signals(t, d + 16);
    }
    t.steps[0] += t.n;
    *total += sum;
}

/* The rows in the order in which they are given. */
template <class T>
static void restore_order(const Plan<T> &t)
{
    if (t.sample_indices)
        memcpy(t.order, t.sample_indices, t.n * sizeof(uint32_t));
    else
        for (ptrdiff_t i = 0; i < t.n; i++)
            t.order[i] = (uint32_t)i;
}

template <class T>
static void begin_epoch(Plan<T> &t, double *total, double *penalty, ptrdiff_t epoch)
{
    *total = *penalty = 0;
    /* The penalty at the epoch's start, so that a full-batch epoch's value is F itself. */
    add_penalty<T>(t, t.W, penalty);
    t.mask_seed = mix(~t.seed + mix(epoch + 1));
}

template <class T>
static void order_epoch(const Plan<T> &t, ptrdiff_t epoch)
{
    if (t.shuffle) {
        restore_order(t);
        permute(t.order, t.n, t.seed, epoch);
    }
}

/* Make a mean of the sum; returns whether all is finite. */
template <class T>
static bool end_epoch(const Plan<T> &t, double *total, double *penalty)
{
    *total = *total / t.n + *penalty;
    *penalty = 0;
    add_penalty<T>(t, t.W, penalty);
    if (!is_finite(*penalty))
        *total = *penalty;
    return is_finite(*total);
}

/* An epoch of mini-batches over all features. */
template <class T>
static void dense_epoch(Plan<T> &t, const double *rates, ptrdiff_t rate_step, double *total)
{
    ptrdiff_t start = 0;
    while (start < t.n) {
        ptrdiff_t b = least(t.batch_size, t.n - start);
        batch_gradient(t, start, b, total);
        update(t, b, rates[start / t.batch_size * rate_step]);
        show_update(t);
        start += b;
        look_for_signals(t, (b + 4) * t.size);
    }
}

/* Train up to n_epochs epochs; returns those done. */
template <class T>
static ptrdiff_t run_epochs(Plan<T> &t, int path, ptrdiff_t first_epoch, ptrdiff_t n_epochs,
                            const double *rates, ptrdiff_t rate_step, double *history)
{
    ptrdiff_t per_epoch = (t.n + t.batch_size - 1) / t.batch_size;
    bool plain = one_by_one(t);
    double penalty;
    for (ptrdiff_t epoch = 0; epoch < n_epochs; epoch++) {
        double *total = history + epoch;
        begin_epoch(t, total, &penalty, first_epoch + epoch);
        order_epoch(t, first_epoch + epoch);
        if (plain)
            stochastic_epoch(t, rates, rate_step, total);
        else if (path == PATH_DIRECT)
            direct_epoch(t, rates, rate_step, total);
        else if (path == PATH_LAZY) {
            fill_tables(t, rates, rate_step, per_epoch);
            lazy_epoch(t, rates, rate_step, total);
        } else
            dense_epoch(t, rates, rate_step, total);
        rates += per_epoch * rate_step;
        if (!end_epoch(t, total, &penalty))
            return epoch + 1;
    }
    return n_epochs;
}

/* What the penalty's l1 is for each of the optimizer's coordinates. */
template <class T>
static void thresholds(const Plan<T> &t)
{
    double l1 = t.l1 * t.scale;
    for (ptrdiff_t l = 0; l < t.n_layers; l++) {
        const Layer<T> &layer = t.layers[l];
        for (ptrdiff_t r = 0; r < layer.n_out; r++) {
            T *row = t.thresholds + layer.offset + r * layer.row;
            const T *metric = t.metric ? t.metric + r * t.metric_stride : nullptr;
            for (ptrdiff_t j = 0; j < layer.n_in; j++)
                row[j] = (T)(metric ? l1 * metric[j] : l1);
        }
    }
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
