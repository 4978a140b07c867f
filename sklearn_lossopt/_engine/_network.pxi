# Hidden layers: forward and backward through the layers that `Trainer.layers` lists.
#
# Activations of a chunk are (n, width + 1), rows first, and the last number of a row is 1 (0 without
# intercepts): a layer's biases are the last column of its weights, so that one product adds them and
# one forms their gradient.  Loops run over whole blocks, that column included, which is then reset.
# Raw predictions and their gradients are (k, n), as the loss kernels want them; for one output they
# are dot products, and the gradient of the activations is an outer product.
#
# Sparse rows meet the first layer's weights transposed, so that a number stored is multiplied with
# contiguous ones; their gradient is collected in the same way.

cdef void gather_extended(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const uint32_t* order, Py_ssize_t start,
    Py_ssize_t n_rows, bint streams, const floating* shift, const floating* scale, floating last,
    floating* out,
) noexcept nogil:
    """Rows (x - shift) scale, extended by `last`, as (n, d + 1)."""
    cdef Py_ssize_t i, j
    cdef const floating* x
    cdef floating* o
    for i in range(n):
        if streams and order != NULL and start + i + AHEAD < n_rows:
            prefetch_row(X + <Py_ssize_t> order[start + i + AHEAD] * d, d * sizeof(floating))
        x = row_at(X, order, start + i, d)
        o = out + i * (d + 1)
        if scale == NULL:
            memcpy(o, x, d * sizeof(floating))
        elif shift == NULL:
            for j in range(d):
                o[j] = x[j] * scale[j]
        else:
            for j in range(d):
                o[j] = (x[j] - shift[j]) * scale[j]
        o[d] = last


cdef void transpose_scaled(
    Py_ssize_t h, Py_ssize_t d, const floating* w, const floating* scale, floating last,
    floating* out,
) noexcept nogil:
    """out (d + 1, h) = w' (h, d + 1), row j times scale[j], the last one times `last`."""
    cdef Py_ssize_t j, r, s, ld = d + 1
    cdef floating c
    for s in range(0, h, 8):
        for j in range(ld):
            c = last if j == d else (scale[j] if scale != NULL else 1)
            for r in range(s, min(s + 8, h)):
                out[j * h + r] = c * w[r * ld + j]


cdef void add_transposed(
    Py_ssize_t h, Py_ssize_t d, const floating* v, const floating* scale, floating last,
    floating* out,
) noexcept nogil:
    """out (h, d + 1) += v' (d + 1, h), column j times scale[j], the last one times `last`."""
    cdef Py_ssize_t j, r, s, ld = d + 1
    cdef floating c
    for s in range(0, h, 8):
        for j in range(ld):
            c = last if j == d else (scale[j] if scale != NULL else 1)
            for r in range(s, min(s + 8, h)):
                out[r * ld + j] += c * v[j * h + r]


cdef void sparse_first_layer(
    Trainer t, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, const floating* w,
    floating* out,
) noexcept nogil:
    """out (n, h + 1) = the first layer's weights (h, d + 1) times the extended rows."""
    cdef Py_ssize_t h = t.layers[0].n_out, d = t.d, i, p, row
    cdef floating* v = <floating*> t.first
    cdef const floating* data = <const floating*> t.csr.data
    transpose_scaled(h, d, w, <const floating*> t.column_scale, <floating> t.intercept, v)
    for i in range(n):
        prefetch_sparse_row(&t.csr, order, start + i + 2, t.n, sizeof(floating))
        row = row_index(order, start + i)
        memcpy(out + i * (h + 1), v + d * h, h * sizeof(floating))
        for p in range(t.csr.indptr[row], t.csr.indptr[row + 1]):
            axpy[floating](h, data[p], v + t.csr.indices[p] * h, NULL, out + i * (h + 1))


cdef void sparse_first_gradient(
    Trainer t, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, const floating* gradient,
    floating* G,
) noexcept nogil:
    """G (h, d + 1) += gradient (n, h + 1)' times the extended rows."""
    cdef Py_ssize_t h = t.layers[0].n_out, d = t.d, i, p, row
    cdef floating* v = <floating*> t.first
    cdef const floating* data = <const floating*> t.csr.data
    memset(v, 0, (d + 1) * h * sizeof(floating))
    for i in range(n):
        row = row_index(order, start + i)
        axpy[floating](h, 1, gradient + i * (h + 1), NULL, v + d * h)
        for p in range(t.csr.indptr[row], t.csr.indptr[row + 1]):
            axpy[floating](h, data[p], gradient + i * (h + 1), NULL, v + t.csr.indices[p] * h)
    add_transposed(h, d, v, <const floating*> t.column_scale, <floating> t.intercept, G)


cdef inline uint64_t mask_key(Trainer t, Py_ssize_t layer, Py_ssize_t start) noexcept nogil:
    """The masks of a batch depend on the seed, the epoch, the rows' place in it and the layer."""
    return mix(t.mask_seed + mix(<uint64_t> (start * MOST_LAYERS + layer) + 1))


cdef void activate(
    Trainer t, Py_ssize_t l, Py_ssize_t start, Py_ssize_t n, bint dropping, floating* z,
    floating* a,
) noexcept nogil:
    """From what layer l's product has left, z, to the activations a that the next layer reads."""
    cdef Py_ssize_t width = t.layers[l].n_out + 1, size = n * width, i
    cdef floating* to = z if dropping and not t.keeps_input else a
    if floating is double:
        (<along_double> t.forward)(size, z, to)
    else:
        (<along_float> t.forward)(size, z, to)
    if dropping:
        drop(size, mask_key(t, l, start), 0, t.dropout, to, a)
    for i in range(n):
        a[i * width + width - 1] = <floating> t.intercept


cdef void deactivate(
    Trainer t, Py_ssize_t l, Py_ssize_t start, Py_ssize_t first, Py_ssize_t size, bint dropping,
    floating* gradient,
) noexcept nogil:
    """Gradients of layer l's activations, `size` numbers from `first` on, become those of its
    product."""
    cdef Layer* layer = &t.layers[l]
    cdef const floating* kept = <const floating*> (
        layer.product if dropping or t.keeps_input else layer.active)
    if dropping:
        drop(size, mask_key(t, l, start), first, t.dropout, gradient, gradient)
    if floating is double:
        (<along_double> t.backward)(size, kept + first, gradient)
    else:
        (<along_float> t.backward)(size, kept + first, gradient)


cdef void network_forward(
    Trainer t, const floating* block, const floating* W, const uint32_t* order, Py_ssize_t start,
    Py_ssize_t n, bint dropping, floating* raw,
) noexcept nogil:
    """raw (k, n) for extended rows."""
    cdef Py_ssize_t l, i, r, last = t.n_layers - 1
    cdef Layer* layer
    cdef const floating* x = block
    cdef const floating* w
    cdef floating scale, shift
    for l in range(last):
        layer = &t.layers[l]
        w = W + layer.offset
        if l == 0 and t.csr.indptr != NULL:
            sparse_first_layer[floating](t, order, start, n, w, <floating*> layer.product)
        else:
            gemm[floating](b"n", b"t", n, layer.n_out, layer.row, 1, x, layer.row, w, layer.row,
                           0, <floating*> layer.product, layer.n_out + 1)
        activate[floating](
            t, l, start, n, dropping, <floating*> layer.product, <floating*> layer.active)
        x = <const floating*> layer.active
    layer = &t.layers[last]
    w = W + layer.offset
    if t.k == 1:
        dot_rows[floating](n, layer.row, x, NULL, 0, n, False, NULL, w, 0, raw)
    else:
        gemm[floating](
            b"n", b"t", t.k, n, layer.row, 1, w, layer.row, x, layer.row, 0, raw, n)
    if t.output != NULL:
        for r in range(t.k):
            shift, scale = <floating> t.output[2 * r], <floating> t.output[2 * r + 1]
            for i in range(n):
                raw[r * n + i] = shift + scale * raw[r * n + i]


cdef void outer_product(
    Trainer t, Py_ssize_t l, Py_ssize_t start, Py_ssize_t n, const floating* grad,
    const floating* w, bint dropping, floating* out,
) noexcept nogil:
    """out (n, row) = grad w', taken on to the product of layer l while it is in the cache."""
    cdef Py_ssize_t row = t.layers[l].n_out + 1, rows = max(1, 1024 // row), i, j, s = 0, end
    cdef floating a
    while s < n:
        end = min(s + rows, n)
        for i in range(s, end):
            a = grad[i]
            for j in range(row):
                out[i * row + j] = a * w[j]
        deactivate[floating](t, l, start, s * row, (end - s) * row, dropping, out + s * row)
        s = end


cdef void network_backward(
    Trainer t, const floating* block, const floating* W, const uint32_t* order, Py_ssize_t start,
    Py_ssize_t n, bint dropping, floating* grad, floating* G,
) noexcept nogil:
    """Add the gradient to G, from the gradients with respect to raw (k, n)."""
    cdef Py_ssize_t l = t.n_layers - 1, r, i, width
    cdef Layer* layer = &t.layers[l]
    cdef const floating* w = W + layer.offset
    cdef const floating* x = <const floating*> t.layers[l - 1].active
    cdef floating* D = <floating*> t.gradients[0]
    cdef floating* E = <floating*> t.gradients[1]
    cdef floating scale
    if t.output != NULL:
        for r in range(t.k):
            scale = <floating> t.output[2 * r + 1]
            for i in range(n):
                grad[r * n + i] *= scale
    if t.k == 1:
        axpy_rows(n, layer.row, x, NULL, 0, NULL, grad, G + layer.offset)
        outer_product[floating](t, l - 1, start, n, grad, w, dropping, D)
    else:
        gemm[floating](b"n", b"n", t.k, layer.row, n, 1, grad, n, x, layer.row, 1,
                       G + layer.offset, layer.row)
        gemm[floating](b"t", b"n", n, layer.n_in, t.k, 1, grad, n, w, layer.row, 0, D, layer.row)
        deactivate[floating](t, l - 1, start, 0, n * layer.row, dropping, D)
    while l > 0:
        l -= 1
        layer = &t.layers[l]
        w = W + layer.offset
        width = layer.n_out + 1
        if l == 0 and t.csr.indptr != NULL:
            sparse_first_gradient[floating](t, order, start, n, D, G + layer.offset)
            return
        x = block if l == 0 else <const floating*> t.layers[l - 1].active
        gemm[floating](b"t", b"n", layer.n_out, layer.row, n, 1, D, width, x, layer.row, 1,
                       G + layer.offset, layer.row)
        if l > 0:
            gemm[floating](b"n", b"n", n, layer.n_in, layer.n_out, 1, D, width, w, layer.row, 0,
                           E, layer.row)
            deactivate[floating](t, l - 1, start, 0, n * layer.row, dropping, E)
            D, E = E, D


cdef int network_gradient(
    Trainer t, Trainer room, const uint32_t* order, Py_ssize_t start, Py_ssize_t n, floating* G,
    double* total, bint training,
) except -1 nogil:
    """As ``forward_backward``, with the rows, their targets and weights in ``room``."""
    cdef bint dropping = training and t.dropout > 0
    cdef const floating* block = <const floating*> room.xb
    cdef const floating* W = <const floating*> t.W
    cdef floating* raw = <floating*> room.raw
    cdef floating* grad = <floating*> room.grad
    network_forward[floating](t, block, W, order, start, n, dropping, raw)
    model_losses[floating](t, room, raw, grad, n, total, G != NULL)
    if G != NULL:
        network_backward[floating](t, block, W, order, start, n, dropping, grad, G)
    return 0
