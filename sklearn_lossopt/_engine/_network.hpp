/* Hidden layers: forward and backward through the layers that Plan.layers lists.
 *
 * Activations of a chunk are (n, width + 1), rows first, and the last number of a row is 1 (0 without
 * intercepts): a layer's biases are the last column of its weights, so that one product adds them and
 * one forms their gradient.  Loops run over whole blocks, that column included, which is then reset.
 * Raw predictions and their gradients are (k, n), as the losses want them; for one output they are
 * dot products, and the gradient of the activations is an outer product.
 *
 * Sparse rows meet the first layer's weights transposed, so that a number stored is multiplied with
 * contiguous ones; their gradient is collected in the same way.
 */
#ifndef LOSSOPT_NETWORK_HPP
#define LOSSOPT_NETWORK_HPP

#include "_gradients.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* By what row j of the transposed first layer is multiplied. */
template <class T>
LOSSOPT_INLINE T first_scale(const Plan<T> &t, ptrdiff_t j)
{
    return j == t.d ? (T)t.intercept : (t.column_scale ? t.column_scale[j] : 1);
}

/* out (d + 1, h) = w' (h, d + 1), row by row times first_scale. */
template <class T>
static void transpose_scaled(const Plan<T> &t, ptrdiff_t h, const T *w, T *out)
{
    ptrdiff_t ld = t.d + 1;
    for (ptrdiff_t s = 0; s < h; s += 8) {
        ptrdiff_t end = least(s + 8, h);
        for (ptrdiff_t j = 0; j < ld; j++) {
            T c = first_scale(t, j);
            for (ptrdiff_t r = s; r < end; r++)
                out[j * h + r] = c * w[r * ld + j];
        }
    }
}

/* out (h, d + 1) += v' (d + 1, h), column by column times first_scale. */
template <class T>
static void add_transposed(const Plan<T> &t, ptrdiff_t h, const T *v, T *out)
{
    ptrdiff_t ld = t.d + 1;
    for (ptrdiff_t s = 0; s < h; s += 8) {
        ptrdiff_t end = least(s + 8, h);
        for (ptrdiff_t j = 0; j < ld; j++) {
            T c = first_scale(t, j);
            for (ptrdiff_t r = s; r < end; r++)
                out[r * ld + j] += c * v[j * h + r];
        }
    }
}

/* out (n, h + 1) = the first layer's weights (h, d + 1) times the extended rows. */
template <class T>
static void sparse_first_layer(const Plan<T> &t, const uint32_t *order, ptrdiff_t start,
                               ptrdiff_t n, const T *w, T *out)
{
    ptrdiff_t h = t.layers[0].n_out;
    T *v = t.first_layer;
    transpose_scaled(t, h, w, v);
    for (ptrdiff_t i = 0; i < n; i++) {
        prefetch_sparse_row(t.csr, order, start + i + 2, t.n);
        ptrdiff_t row = row_index(order, start + i);
        memcpy(out + i * (h + 1), v + t.d * h, h * sizeof(T));
        for (ptrdiff_t p = t.csr.indptr[row]; p < t.csr.indptr[row + 1]; p++)
            axpy(h, t.csr.data[p], v + t.csr.indices[p] * h, out + i * (h + 1));
    }
}

/* G (h, d + 1) += gradient (n, h + 1)' times the extended rows. */
template <class T>
static void sparse_first_gradient(const Plan<T> &t, const uint32_t *order, ptrdiff_t start,
                                  ptrdiff_t n, const T *gradient, T *G)
{
    ptrdiff_t h = t.layers[0].n_out;
    T *v = t.first_layer;
    memset(v, 0, (t.d + 1) * h * sizeof(T));
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t row = row_index(order, start + i);
        axpy<T>(h, 1, gradient + i * (h + 1), v + t.d * h);
        for (ptrdiff_t p = t.csr.indptr[row]; p < t.csr.indptr[row + 1]; p++)
            axpy(h, t.csr.data[p], gradient + i * (h + 1), v + t.csr.indices[p] * h);
    }
    add_transposed(t, h, v, G);
}

/* The masks of a batch depend on the seed, the epoch, the rows' place in it and the layer. */
template <class T>
LOSSOPT_INLINE uint64_t mask_key(const Plan<T> &t, ptrdiff_t layer, ptrdiff_t start)
{
    return mix(t.mask_seed + mix((uint64_t)(start * MOST_LAYERS + layer) + 1));
}

/* out = x / (1 - rate) or, with probability rate, 0; the same for the same key.  The hash of an index
 * is "lowbias32" (C. Wellons, 2018), with half of the key on each side of its first round. */
template <class T>
static void drop(ptrdiff_t n, uint64_t key, ptrdiff_t first, double rate, const T *x, T *out)
{
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    const uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32), base = (uint32_t)first;
    const T scale = (T)(1 / (1 - rate));
    ptrdiff_t i;
#pragma omp simd
    for (i = 0; i < n; i++) {
        uint32_t h = (base + (uint32_t)i) ^ low;
        h ^= h >> 16;
        h *= 0x7feb352dU;
        h ^= high;
        h ^= h >> 15;
        h *= 0x846ca68bU;
        h ^= h >> 16;
        out[i] = x[i] * (h < threshold ? 0 : scale);
    }
}

/* Numbers that several loops go over while they are in the cache. */
constexpr ptrdiff_t PIECE = 1024;

/* From what layer l's product has left, z, to the activations a that the next layer reads. */
template <class T>
static void activate_layer(const Plan<T> &t, ptrdiff_t l, ptrdiff_t start, ptrdiff_t n,
                           bool dropping, T *z, T *a)
{
    const Activation &f = *t.activation;
    ptrdiff_t width = t.layers[l].n_out + 1, size = n * width;
    T *to = dropping && !f.keeps_input ? z : a;
    uint64_t key = dropping ? mask_key(t, l, start) : 0;
    for (ptrdiff_t s = 0, m; s < size; s += m) {
        m = least(PIECE, size - s);
        pick<T>(f.forward)(m, z + s, to + s);
        if (dropping)
            drop(m, key, s, t.dropout, (const T *)to + s, a + s);
    }
    for (ptrdiff_t i = 0; i < n; i++)
        a[i * width + width - 1] = (T)t.intercept;
}

/* Gradients of layer l's activations, `size` numbers from `first` on, become those of its product. */
template <class T>
static void deactivate_layer(const Plan<T> &t, ptrdiff_t l, ptrdiff_t start, ptrdiff_t first,
                             ptrdiff_t size, bool dropping, T *gradient)
{
    const Activation &f = *t.activation;
    const Layer<T> &layer = t.layers[l];
    const T *kept = dropping || f.keeps_input ? layer.product : layer.active;
    const T scale = (T)(1 / (1 - t.dropout));
    uint64_t key = dropping ? mask_key(t, l, start) : 0;
    for (ptrdiff_t s = 0, m, i; s < size; s += m) {
        m = least(PIECE, size - s);
        T *part = gradient + s;
        if (dropping && f.is_0_or_line)
            /* Numbers that were dropped are 0, and have a derivative of 0 already. */
            for (i = 0; i < m; i++)
                part[i] *= scale;
        else if (dropping)
            drop(m, key, first + s, t.dropout, (const T *)part, part);
        pick<T>(f.backward)(m, kept + first + s, part);
    }
}

/* raw (k, n) for extended rows. */
template <class T>
static void network_forward(const Plan<T> &t, const T *block, const uint32_t *order,
                            ptrdiff_t start, ptrdiff_t n, bool dropping, T *raw)
{
    ptrdiff_t last = t.n_layers - 1;
    const T *x = block, *w, *none = nullptr;
    Gemm<T> gemm = pick<T>(t.host->gemm);
    for (ptrdiff_t l = 0; l < last; l++) {
        const Layer<T> &layer = t.layers[l];
        w = t.W + layer.offset;
        if (l == 0 && t.csr.indptr)
            sparse_first_layer(t, order, start, n, w, layer.product);
        else
            gemm("n", "t", n, layer.n_out, layer.row, 1, x, layer.row, w, layer.row, 0,
                 layer.product, layer.n_out + 1);
        activate_layer(t, l, start, n, dropping, layer.product, layer.active);
        x = layer.active;
    }
    const Layer<T> &layer = t.layers[last];
    w = t.W + layer.offset;
    if (t.k == 1)
        dot_rows<T>(n, layer.row, x, nullptr, 0, n, false, none, w, 0, raw);
    else
        gemm("n", "t", t.k, n, layer.row, 1, w, layer.row, x, layer.row, 0, raw, n);
    if (t.output)
        for (ptrdiff_t r = 0; r < t.k; r++) {
            T shift = (T)t.output[2 * r], scale = (T)t.output[2 * r + 1];
            for (ptrdiff_t i = 0; i < n; i++)
                raw[r * n + i] = shift + scale * raw[r * n + i];
        }
}

/* out (n, row) = grad w', taken on to the product of layer l while it is in the cache. */
template <class T>
static void outer_product(const Plan<T> &t, ptrdiff_t l, ptrdiff_t start, ptrdiff_t n,
                          const T *grad, const T *w, bool dropping, T *out)
{
    ptrdiff_t row = t.layers[l].n_out + 1, rows = greatest<ptrdiff_t>(1, PIECE / row), s = 0;
    while (s < n) {
        ptrdiff_t end = least(s + rows, n);
        for (ptrdiff_t i = s; i < end; i++) {
            T a = grad[i];
            for (ptrdiff_t j = 0; j < row; j++)
                out[i * row + j] = a * w[j];
        }
        deactivate_layer(t, l, start, s * row, (end - s) * row, dropping, out + s * row);
        s = end;
    }
}

/* Add the gradient to G, from the gradients with respect to raw (k, n). */
template <class T>
static void network_backward(const Plan<T> &t, const T *block, const uint32_t *order,
                             ptrdiff_t start, ptrdiff_t n, bool dropping, T *grad, T *G)
{
    ptrdiff_t l = t.n_layers - 1;
    const Layer<T> *layer = &t.layers[l];
    const T *w = t.W + layer->offset, *x = t.layers[l - 1].active, *none = nullptr;
    T *D = t.gradients[0], *E = t.gradients[1];
    Gemm<T> gemm = pick<T>(t.host->gemm);
    if (t.output)
        for (ptrdiff_t r = 0; r < t.k; r++) {
            T scale = (T)t.output[2 * r + 1];
            for (ptrdiff_t i = 0; i < n; i++)
                grad[r * n + i] *= scale;
        }
    if (t.k == 1) {
        axpy_rows<T>(n, layer->row, x, nullptr, 0, none, grad, G + layer->offset);
        outer_product<T>(t, l - 1, start, n, grad, w, dropping, D);
    } else {
        gemm("n", "n", t.k, layer->row, n, 1, grad, n, x, layer->row, 1, G + layer->offset,
             layer->row);
        gemm("t", "n", n, layer->n_in, t.k, 1, grad, n, w, layer->row, 0, D, layer->row);
        deactivate_layer(t, l - 1, start, 0, n * layer->row, dropping, D);
    }
    while (l > 0) {
        l -= 1;
        layer = &t.layers[l];
        w = t.W + layer->offset;
        ptrdiff_t width = layer->n_out + 1;
        if (l == 0 && t.csr.indptr) {
            sparse_first_gradient<T>(t, order, start, n, D, G + layer->offset);
            return;
        }
        x = l == 0 ? block : t.layers[l - 1].active;
        gemm("t", "n", layer->n_out, layer->row, n, 1, D, width, x, layer->row, 1,
             G + layer->offset, layer->row);
        if (l > 0) {
            gemm("n", "n", n, layer->n_in, layer->n_out, 1, D, width, w, layer->row, 0, E,
                 layer->row);
            deactivate_layer(t, l - 1, start, 0, n * layer->row, dropping, E);
            T *other = D;
            D = E;
            E = other;
        }
    }
}

template <class T>
static void network_gradient(const Plan<T> &t, const Buffers<T> &buffers, const uint32_t *order,
                             ptrdiff_t start, ptrdiff_t n, T *G, double *total, bool training)
{
    bool dropping = training && t.dropout > 0;
    const T *block = buffers.rows;
    network_forward(t, block, order, start, n, dropping, buffers.raw);
    model_losses(t, buffers, buffers.raw, buffers.gradient, n, total, G != nullptr);
    if (G)
        network_backward(t, block, order, start, n, dropping, buffers.gradient, G);
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
