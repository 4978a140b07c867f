/* Epochs over sparse rows whose cost is that of the numbers stored: the direct and the lazy path of
 * _sparse.hpp. */
#ifndef LOSSOPT_LAZY_HPP
#define LOSSOPT_LAZY_HPP

#include "_gradients.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* An epoch of plain gradient steps, the weights being s v in between. */
template <class T>
static void direct_epoch(Plan<T> &t, const double *rates, ptrdiff_t rate_step, double *total)
{
    ptrdiff_t d = t.d, k = t.k, ld = d + 1, start = 0, step = 0, r, j;
    double s = 1;
    T *W = t.W, *raw = t.buffers.raw, *grad = t.buffers.gradient;
    const T *none = nullptr;
    while (start < t.n) {
        ptrdiff_t b = least(t.batch_size, t.n - start);
        double rate = rates[step * rate_step], decay = 1 - rate * t.l2 * t.scale;
        gather_block(t, t.order, start, b, false);
        sparse_dot_rows<T>(b, t.csr, t.order, start, t.n, k, ld, W, (T)s, raw);
        model_losses<T>(t, t.buffers, raw, grad, b, total, true);
        s *= decay;
        if (fabs(s) < 1e-4) {
            for (r = 0; r < k; r++)
                for (j = 0; j < d; j++)
                    W[r * ld + j] *= (T)s;
            s = 1;
        }
        double a = -rate * t.scale / b;
        sparse_axpy_rows<T>(b, t.csr, t.order, start, k, ld, grad, (T)(a / s), W);
        if (t.intercept)
            for (r = 0; r < k; r++)
                W[r * ld + d] += (T)(a * weighted_sum<T>(b, grad + r * b, none));
        start += b;
        step += 1;
        look_for_signals(t, 16 + 20 * b * k);
    }
    for (r = 0; r < k; r++)
        for (j = 0; j < d; j++)
            W[r * ld + j] *= (T)s;
    t.steps[0] += step;
}

/* List the active features of n rows, and say where in the list each number stored belongs. */
template <class T>
static ptrdiff_t find_active(const Csr<T> &X, const uint32_t *order, ptrdiff_t start, ptrdiff_t n,
                             Lazy<T> &z)
{
    int32_t n_active = 0, base = z.base, *places = z.places;
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t row = row_index(order, start + i);
        for (ptrdiff_t p = X.indptr[row]; p < X.indptr[row + 1]; p++) {
            /* Without a branch: about every second feature is new, in no order. */
            int32_t j = X.indices[p], tag = z.tag[j];
            bool fresh = tag < base;
            int32_t place = fresh ? n_active : tag - base;
            z.active[n_active] = j;
            z.tag[j] = base + place;
            *places++ = place;
            n_active += fresh;
        }
    }
    z.base = base + n_active;
    return n_active;
}

template <class T>
static void reset_tags(Lazy<T> &z, ptrdiff_t d)
{
    z.base = 0;
    for (ptrdiff_t j = 0; j < d; j++)
        z.tag[j] = -1;
}

/* Every feature's block at an epoch's start. */
template <class T>
static void fill_blocks(const Plan<T> &t, const Lazy<T> &z)
{
    ptrdiff_t ld = t.d + 1;
    T *block = z.blocks;
    for (ptrdiff_t j = 0; j < t.d; j++) {
        block[0] = 0;
        for (ptrdiff_t r = 0; r < z.n_metrics; r++)
            block[1 + r] = t.metric[r * t.metric_stride + j];
        block += 1 + z.n_metrics;
        for (ptrdiff_t r = 0; r < t.k; r++) {
            block[0] = t.U[r * ld + j];
            for (ptrdiff_t slot = 0; slot < z.n_slots; slot++)
                block[1 + slot] = t.state[(slot * t.k + r) * ld + j];
            block += 1 + z.n_slots;
        }
    }
}

/* From every feature's block at an epoch's end. */
template <class T>
static void empty_blocks(const Plan<T> &t, const Lazy<T> &z)
{
    ptrdiff_t ld = t.d + 1;
    const T *block = z.blocks;
    for (ptrdiff_t j = 0; j < t.d; j++) {
        const T *metric = block + 1;
        block += 1 + z.n_metrics;
        for (ptrdiff_t r = 0; r < t.k; r++) {
            t.U[r * ld + j] = block[0];
            if (z.n_metrics > 0)
                t.W[r * ld + j] = block[0] * metric[z.n_metrics > 1 ? r : 0];
            for (ptrdiff_t slot = 0; slot < z.n_slots; slot++)
                t.state[(slot * t.k + r) * ld + j] = block[1 + slot];
            block += 1 + z.n_slots;
        }
    }
}

/* Gather the active features' parameters and state; intercepts last. */
template <class T>
static void copy_in(const Plan<T> &t, const Lazy<T> &z, ptrdiff_t n_active, ptrdiff_t now)
{
    ptrdiff_t row = n_active + 1, d = t.d, ld = d + 1, r, i, slot;
    T *uc = z.U, *sc = z.state, *slope = z.l2_slope, *Tc = z.metric;
    T l2 = (T)(t.l2 * t.scale);
    for (i = 0; i < n_active; i++) {
        if (i + AHEAD < n_active)
            LOSSOPT_PREFETCH(z.blocks + z.active[i + AHEAD] * z.stride);
        T *block = z.blocks + z.active[i] * z.stride;
        z.lag[i] = (int32_t)now - (int32_t)block[0];
        block[0] = (T)(now + 1);
        for (r = 0; r < z.n_metrics; r++)
            Tc[r * row + i] = block[1 + r];
        block += 1 + z.n_metrics;
        for (r = 0; r < t.k; r++) {
            uc[r * row + i] = block[0];
            for (slot = 0; slot < z.n_slots; slot++)
                sc[(slot * t.k + r) * row + i] = block[1 + slot];
            block += 1 + z.n_slots;
        }
    }
    for (r = 0; r < t.k; r++) {
        uc[r * row + n_active] = t.U[r * ld + d];
        for (slot = 0; slot < z.n_slots; slot++)
            sc[(slot * t.k + r) * row + n_active] = t.state[(slot * t.k + r) * ld + d];
        for (i = 0; i < n_active; i++) {
            T metric = z.n_metrics == 0 ? 1 : Tc[(z.n_metrics > 1 ? r * row : 0) + i];
            slope[r * row + i] = l2 * metric * metric;
        }
        slope[r * row + n_active] = 0;
    }
    for (r = 0; r < z.n_metrics; r++)
        Tc[r * row + n_active] = t.metric[r * t.metric_stride + d];
}

template <class T>
static void copy_out(const Plan<T> &t, const Lazy<T> &z, ptrdiff_t n_active)
{
    ptrdiff_t row = n_active + 1, d = t.d, ld = d + 1, r, i, slot;
    const T *uc = z.U, *wc = z.W, *sc = z.state;
    for (i = 0; i < n_active; i++) {
        T *block = z.blocks + z.active[i] * z.stride + 1 + z.n_metrics;
        for (r = 0; r < t.k; r++) {
            block[0] = uc[r * row + i];
            for (slot = 0; slot < z.n_slots; slot++)
                block[1 + slot] = sc[(slot * t.k + r) * row + i];
            block += 1 + z.n_slots;
        }
    }
    for (r = 0; r < t.k; r++) {
        t.U[r * ld + d] = uc[r * row + n_active];
        t.W[r * ld + d] = wc[r * row + n_active];
        for (slot = 0; slot < z.n_slots; slot++)
            t.state[(slot * t.k + r) * ld + d] = sc[(slot * t.k + r) * row + n_active];
    }
}

/* out = the gathered metric times v, k rows; without a metric they are the same array. */
template <class T>
static void times_metric(const Lazy<T> &z, ptrdiff_t k, ptrdiff_t row, const T *v, T *out)
{
    for (ptrdiff_t r = 0; r < (z.n_metrics > 0 ? k : 0); r++)
        for (ptrdiff_t j = 0; j < row; j++)
            out[r * row + j] = v[r * row + j] * z.metric[(z.n_metrics > 1 ? r * row : 0) + j];
}

/* The steps that the gathered features have skipped; then their weights. */
template <class T>
static void catch_up(const Plan<T> &t, const Lazy<T> &z, ptrdiff_t n_active, ptrdiff_t now)
{
    ptrdiff_t row = n_active + 1, size = t.k * (n_active + 1);
    for (ptrdiff_t r = 0; r < t.k; r++) {
        ptrdiff_t at = r * row;
        pick<T>(t.catch_up->loop)(n_active, z.U + at, z.state + at, size, z.l2_slope + at, z.lag,
                                 now, &z.tables, t.step_param);
    }
    times_metric<T>(z, t.k, row, z.U, z.W);
}

/* Gradient and update of the features that a batch has. */
template <class T>
static void lazy_step(const Plan<T> &t, const Lazy<T> &z, ptrdiff_t start, ptrdiff_t b,
                      ptrdiff_t n_active, double rate, double *total)
{
    ptrdiff_t row = n_active + 1, k = t.k, r, i, j, q = 0;
    const T *data = t.csr.data, *none = nullptr;
    T *wc = z.W, *G = z.G, *raw = t.buffers.raw, *grad = t.buffers.gradient;
    T scale = (T)(t.scale / b), l2 = (T)(t.l2 * t.scale);
    gather_block(t, t.order, start, b, false);
    for (i = 0; i < b; i++) {
        prefetch_sparse_row(t.csr, t.order, start + b + i, t.n);
        ptrdiff_t at = row_index(t.order, start + i);
        ptrdiff_t begin = t.csr.indptr[at], end = t.csr.indptr[at + 1];
        for (r = 0; r < k; r++)
            raw[r * b + i] = sparse_dot<T>(end - begin, data + begin, z.places + q, wc + r * row)
                             + wc[r * row + n_active];
        q += end - begin;
    }
    model_losses<T>(t, t.buffers, raw, grad, b, total, true);
    memset(G, 0, k * row * sizeof(T));
    q = 0;
    for (i = 0; i < b; i++) {
        ptrdiff_t at = row_index(t.order, start + i);
        ptrdiff_t begin = t.csr.indptr[at], end = t.csr.indptr[at + 1];
        for (r = 0; r < k; r++)
            if (grad[r * b + i] != 0)
                sparse_axpy(end - begin, grad[r * b + i], data + begin, z.places + q, G + r * row);
        q += end - begin;
    }
    for (r = 0; r < k; r++) {
        if (t.intercept)
            G[r * row + n_active] = scale * (T)weighted_sum<T>(b, grad + r * b, none);
        for (j = r * row; j < r * row + n_active; j++)
            G[j] = G[j] * scale + l2 * wc[j];
    }
    times_metric<T>(z, k, row, G, z.H);
    t.steps[0] += 1;
    pick<T>(t.optimizer->step)(k * row, row, z.U, z.H, none, z.state, t.steps[0], rate, t.step_param);
    times_metric<T>(z, k, row, z.U, wc);
}

/* An epoch in which features are updated when a batch has them, and all of them at its end. */
template <class T>
static void lazy_epoch(Plan<T> &t, const double *rates, ptrdiff_t rate_step, double *total)
{
    Lazy<T> &z = t.lazy;
    ptrdiff_t start = 0, step = 0, n_active;
    if (t.metric_kind == METRIC_NONE) {
        z.W = z.U;
        z.H = z.G;
    }
    reset_tags(z, t.d);
    fill_blocks(t, z);
    while (start < t.n) {
        ptrdiff_t b = least(t.batch_size, t.n - start);
        if (z.base > 1000000000)
            reset_tags(z, t.d);
        n_active = find_active(t.csr, t.order, start, b, z);
        copy_in(t, z, n_active, step);
        catch_up(t, z, n_active, step);
        lazy_step(t, z, start, b, n_active, rates[step * rate_step], total);
        copy_out(t, z, n_active);
        start += b;
        step += 1;
        look_for_signals(t, 16 + 40 * n_active * t.k);
    }
    for (start = 0; start < t.d; start += n_active) {
        n_active = least(z.capacity, t.d - start);
        for (ptrdiff_t j = 0; j < n_active; j++)
            z.active[j] = (int32_t)(start + j);
        copy_in(t, z, n_active, step);
        catch_up(t, z, n_active, step);
        copy_out(t, z, n_active);
    }
    empty_blocks(t, z);
}

/* The tables of an epoch of n steps. */
template <class T>
static void fill_tables(Plan<T> &t, const double *rates, ptrdiff_t rate_step, ptrdiff_t n)
{
    const double *param = t.step_param;
    Tables &z = t.lazy.tables;
    ptrdiff_t i;
    double rate;
    z.constant = rate_step == 0;
    z.rate = rates[0];
    z.sum[0] = z.square_sum[0] = 0;
    for (i = 0; i < n; i++) {
        rate = rates[i * rate_step];
        z.sum[i + 1] = z.sum[i] + rate;
        z.square_sum[i + 1] = z.square_sum[i] + rate * rate;
    }
    if (t.catch_up->forgets < 2)
        return;
    double decay = t.catch_up->forgets == 3 ? param[4] : 0;
    double power_1 = power(param[0], t.steps[0]), power_2 = power(param[1], t.steps[0]);
    z.kept[0] = z.kept_inverse[0] = 1;
    z.unbias[0] = sqrt(1 - power_2);
    for (i = 0; i < n; i++) {
        rate = rates[i * rate_step];
        power_1 *= param[0];
        power_2 *= param[1];
        z.kept[i + 1] = z.kept[i] * (1 - rate * decay);
        z.kept_inverse[i + 1] = 1 / z.kept[i + 1];
        z.unbias[i + 1] = sqrt(1 - power_2);
        z.tail[i] = rate * z.unbias[i + 1] / (1 - power_1) * z.kept_inverse[i + 1];
        z.trim[i] = z.tail[i] * z.unbias[i + 1];
    }
    z.tail[n] = z.trim[n] = 0;
    for (i = n - 1; i >= 0; i--) {
        z.tail[i] = z.ratio * (z.tail[i] + z.tail[i + 1]);
        z.trim[i] = z.trim_ratio * (z.trim[i] + z.trim[i + 1]);
    }
}

/* Point the tables for epochs of up to n steps into `room`, of N_TABLES (n + 1) numbers, and fill
 * those that do not change from epoch to epoch. */
static void fill_powers(Tables &z, const CatchUp &kind, const double *param, ptrdiff_t n,
                        double *room)
{
    double **tables[N_TABLES] = {
        &z.sum, &z.square_sum, &z.tail, &z.trim, &z.kept, &z.unbias, &z.forget, &z.forget_half,
        &z.shrink, &z.shrink_trim, &z.grown, &z.kept_inverse, &z.late};
    for (ptrdiff_t i = 0; i < N_TABLES; i++)
        *tables[i] = room + i * (n + 1);
    double beta_1 = 0, beta_2 = 0;
    if (kind.forgets >= 1)
        beta_1 = beta_2 = param[0];
    if (kind.forgets >= 2) {
        beta_2 = param[1];
        /* By what a momentum's move shrinks from one step to the next without a gradient, and, more
         * slowly by as much as the denominator does, epsilon's part. */
        z.ratio = param[0] / (param[3] != 0 ? 1 : sqrt(param[1]));
        z.trim_ratio = param[3] != 0 ? z.ratio : z.ratio / sqrt(beta_2);
    }
    for (ptrdiff_t i = 0; i <= n; i++) {
        ptrdiff_t steps = greatest<ptrdiff_t>(i, 1);
        z.forget[i] = power(beta_1, i);
        z.forget_half[i] = power(beta_2, 0.5 * i);
        z.shrink[i] = power(z.ratio, i);
        z.shrink_trim[i] = power(z.trim_ratio, i);
        z.late[i] = (1 - (1 - z.shrink[i]) / (steps * (1 - z.ratio)))
                    / greatest(1 - z.shrink[i], 1e-30);
        z.grown[i] = 1 - beta_1 / (1 - beta_1) * (1 - z.forget[i]) / steps;
    }
}

/* Features that a batch has, on average over eight of the data as they come, not of a shuffle: every
 * epoch and every call decides alike. */
template <class T>
static ptrdiff_t mean_active(Plan<T> &t)
{
    ptrdiff_t batches = least<ptrdiff_t>(8, greatest<ptrdiff_t>(1, t.n / t.batch_size)), found = 0;
    ptrdiff_t apart = (t.n - t.batch_size) / greatest<ptrdiff_t>(1, batches - 1);
    reset_tags(t.lazy, t.d);
    for (ptrdiff_t i = 0; i < batches; i++)
        found += find_active(t.csr, t.sample_indices, i * apart, t.batch_size, t.lazy);
    return greatest<ptrdiff_t>(1, found / batches);
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
