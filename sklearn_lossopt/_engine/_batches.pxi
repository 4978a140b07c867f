# Rows and targets of a batch, the order of the rows, and BLAS on row-major blocks.

cdef enum:
    # Rows fetched into the cache ahead of use, and the cache lines of each (hardware follows
    # a longer row by itself).
    AHEAD = 8
    LINES = 32


# Sparse rows: a row's numbers and their columns, between one entry of indptr and the next.
cdef struct Csr:
    const char* data
    const int32_t* indices
    const int64_t* indptr


cdef inline void prefetch_row(const void* row, Py_ssize_t size) noexcept nogil:
    cdef const char* address = <const char*> row
    cdef Py_ssize_t line, n_lines = min(LINES, (size + 63) // 64)
    for line in range(n_lines):
        prefetch(address + 64 * line)


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """SplitMix64's output function (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint64_t draw(uint64_t* state, uint32_t bound) noexcept nogil:
    """A 32-bit draw times the bound; the product's upper half is the number drawn. The generator
    is the upper half of a 64-bit linear congruential one (Knuth's multiplier)."""
    state[0] = state[0] * <uint64_t> 6364136223846793005 + <uint64_t> 1442695040888963407
    return (state[0] >> 32) * bound


cdef void permute(uint32_t* order, Py_ssize_t n, uint64_t seed, uint64_t epoch) noexcept nogil:
    """Fisher-Yates shuffle; the order depends on the seed and the epoch's number alone, so that
    interrupted and uninterrupted training see the same batches."""
    cdef uint64_t state = mix(seed + mix(epoch + 1)), wide
    cdef uint32_t bound, threshold, other
    cdef Py_ssize_t i, j
    for i in range(n - 1, 0, -1):
        # Lemire (2019): of the draws, the few that would bias the result are rejected.
        bound = <uint32_t> (i + 1)
        wide = draw(&state, bound)
        if <uint32_t> wide < bound:
            threshold = <uint32_t> (-<int64_t> bound) % bound
            while <uint32_t> wide < threshold:
                wide = draw(&state, bound)
        j = <Py_ssize_t> (wide >> 32)
        other = order[i]
        order[i] = order[j]
        order[j] = other


cdef void gather_targets(
    Py_ssize_t n, Py_ssize_t k, const floating* target, const floating* weight,
    const uint32_t* order, Py_ssize_t start, int kind, floating* y, floating* s,
) noexcept nogil:
    """Targets of n rows as (k, n), or (n,) for class indices, and their weights."""
    cdef Py_ssize_t i, r, row
    if order == NULL:
        if weight != NULL:
            memcpy(s, weight + start, n * sizeof(floating))
        if kind == TARGET_CLASS or (kind == TARGET_VALUES and k == 1):
            memcpy(y, target + start, n * sizeof(floating))
            return
    elif weight != NULL:
        for i in range(n):
            s[i] = weight[order[start + i]]
    if order != NULL and (kind == TARGET_CLASS or (kind == TARGET_VALUES and k == 1)):
        for i in range(n):
            y[i] = target[order[start + i]]
    elif kind == TARGET_VALUES:
        for i in range(n):
            row = <Py_ssize_t> order[start + i] if order != NULL else start + i
            for r in range(k):
                y[r * n + i] = target[row * k + r]
    else:
        for i in range(n):
            row = <Py_ssize_t> order[start + i] if order != NULL else start + i
            for r in range(k):
                y[r * n + i] = 1 if target[row] == r else -1


cdef void gather_rows(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const uint32_t* order, Py_ssize_t start,
    Py_ssize_t n_rows, bint streams, const floating* shift, floating* out,
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef const floating* x
    cdef floating* o
    for i in range(n):
        if streams and order != NULL and start + i + AHEAD < n_rows:
            prefetch_row(X + <Py_ssize_t> order[start + i + AHEAD] * d, d * sizeof(floating))
        x = X + (<Py_ssize_t> order[start + i] if order != NULL else start + i) * d
        o = out + i * d
        if shift == NULL:
            memcpy(o, x, d * sizeof(floating))
        else:
            for j in range(d):
                o[j] = x[j] - shift[j]


cdef inline const floating* row_at(
    const floating* X, const uint32_t* order, Py_ssize_t i, Py_ssize_t d
) noexcept nogil:
    return X + (<Py_ssize_t> order[i] if order != NULL else i) * d


cdef void dot_rows(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const uint32_t* order, Py_ssize_t start,
    Py_ssize_t n_rows, bint streams, const floating* shift, const floating* w,
    floating intercept, floating* raw,
) noexcept nogil:
    """raw = rows . w + intercept, straight from X: one output needs no copy of the rows."""
    cdef Py_ssize_t i = 0, p = start, ahead, last
    cdef floating rest[4]
    while i + 4 <= n:
        if streams and order != NULL:
            for ahead in range(p + AHEAD, min(p + AHEAD + 4, n_rows)):
                prefetch_row(row_at(X, order, ahead, d), d * sizeof(floating))
        dot4(d, row_at(X, order, p, d), row_at(X, order, p + 1, d), row_at(X, order, p + 2, d),
             row_at(X, order, p + 3, d), shift, w, raw + i)
        i += 4
        p += 4
    if i < n:
        # The rows that are left in the same order of additions: some of them twice.
        last = n - 1 - i
        dot4(d, row_at(X, order, p, d), row_at(X, order, p + min(1, last), d),
             row_at(X, order, p + last, d), row_at(X, order, p + last, d), shift, w, rest)
        memcpy(raw + i, rest, (n - i) * sizeof(floating))
    for i in range(n):
        raw[i] += intercept


cdef void dot_rows_pair(
    Py_ssize_t n, Py_ssize_t d, const floating* X, const floating* v, const floating* w,
    floating* with_v, floating* with_w,
) noexcept nogil:
    """As ``dot_rows`` for two models, of at least as many features as there are lanes, whose
    intercepts follow their weights."""
    cdef Py_ssize_t i, last
    cdef floating rest_v[4]
    cdef floating rest_w[4]
    cdef const floating* x = X
    for i in range(0, n - 3, 4):
        dot4_pair(d, x, x + d, x + 2 * d, x + 3 * d, v, w, with_v + i, with_w + i)
        x += 4 * d
    last = n % 4 - 1
    if last >= 0:
        dot4_pair(d, x, x + min(1, last) * d, x + last * d, x + last * d, v, w, rest_v, rest_w)
        memcpy(with_v + n - 1 - last, rest_v, (last + 1) * sizeof(floating))
        memcpy(with_w + n - 1 - last, rest_w, (last + 1) * sizeof(floating))
    for i in range(n):
        with_v[i] += v[d]
        with_w[i] += w[d]


cdef void dot_upper(
    Py_ssize_t n, const floating* T, const floating* u, floating* out
) noexcept nogil:
    """out = T u for an upper triangular T (n, n), without most of the zeros."""
    cdef Py_ssize_t j, last
    cdef floating rest[4]
    cdef const floating* x
    for j in range(0, n - 3, 4):
        x = T + j * n + j
        dot4(n - j, x, x + n, x + 2 * n, x + 3 * n, NULL, u + j, out + j)
    last = n % 4 - 1
    if last >= 0:
        j = n - 1 - last
        x = T + j * n + j
        dot4(n - j, x, x + min(1, last) * n, x + last * n, x + last * n, NULL, u + j, rest)
        memcpy(out + j, rest, (last + 1) * sizeof(floating))


cdef void gemm(
    const char* op_a, const char* op_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t p, floating scale,
    const floating* A, Py_ssize_t lda, const floating* B, Py_ssize_t ldb, floating keep,
    floating* C, Py_ssize_t ldc,
) noexcept nogil:
    """C = scale op(A) op(B) + keep C for row-major C (m, n), with an inner dimension of p."""
    cdef blas_int m_ = <blas_int> m, n_ = <blas_int> n, p_ = <blas_int> p
    cdef blas_int lda_ = <blas_int> lda, ldb_ = <blas_int> ldb, ldc_ = <blas_int> ldc
    if floating is double:
        dgemm(<char*> op_b, <char*> op_a, &n_, &m_, &p_, &scale, <double*> B, &ldb_,
              <double*> A, &lda_, &keep, C, &ldc_)
    else:
        sgemm(<char*> op_b, <char*> op_a, &n_, &m_, &p_, &scale, <float*> B, &ldb_,
              <float*> A, &lda_, &keep, C, &ldc_)
