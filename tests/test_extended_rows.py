"""Products of extended rows, beside NumPy's on a copy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_lossopt._rows import ExtendedRows

N, D = 700, 7


@pytest.fixture(params=["dense", "sparse"])
def made(request):
    """A function of (dtype, index): the rows, and a copy of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D)) * (rng.uniform(size=(N, D)) < 0.6)

    def make(dtype=np.float64, index=None, last=1.0):
        rows, shift = X.astype(dtype), X.mean(axis=0).astype(dtype)
        used = rows if index is None else rows[index]
        if request.param == "sparse":
            copy = np.column_stack([used.astype(float), np.full(len(used), last)])
            return ExtendedRows(sparse.csr_array(rows), index, None, last), copy
        copy = np.column_stack([used - shift.astype(float), np.full(len(used), last)])
        return ExtendedRows(rows, index, shift, last), copy

    return make


INDICES = [None, slice(None, None, 3), np.arange(5, 600, 2, dtype=np.uint32), slice(0, 1)]
# As every second of the rows used is.
INDICES.append(INDICES[2][::2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("last", [0.0, 1.0])
def test_products(made, dtype, index, k, last):
    rows, x = made(dtype, index, last)
    rng = np.random.default_rng(1)
    W, a = rng.normal(size=(k, D + 1)), rng.normal(size=(len(x), k))
    # Factors of either sign, and rows without one.
    h = rng.normal(size=(len(x), k)) * (rng.uniform(size=(len(x), k)) < 0.7)
    assert rows.shape == x.shape
    assert_allclose(rows.predict(W), x @ W.T, atol=1e-12)
    assert_allclose(rows.pull(a), a.T @ x, atol=1e-11)
    assert_allclose(rows.grams(h), np.einsum("ik,ia,ib->kab", h, x, x), atol=1e-11)
    found = rows.array()
    assert_allclose(found.toarray() if sparse.issparse(found) else found, x, atol=1e-15)


@pytest.mark.parametrize("index", INDICES)
def test_blocks_are_the_rows_in_order(made, index):
    rows, x = made(index=index)
    W, a = np.eye(D + 1)[:2], np.ones((len(x), 1))
    blocks = rows.blocks(100)
    assert_allclose(np.concatenate([part.predict(W) for _, part in blocks]), x[:, :2], atol=1e-14)
    for index, part in blocks:
        assert_allclose(part.pull(a[index])[0], x[index].sum(axis=0), atol=1e-11)
        copy = part.array()
        assert_allclose(copy.toarray() if sparse.issparse(copy) else copy, x[index], atol=1e-15)
    assert sum(part.shape[0] for _, part in rows.blocks()) == len(x)


def test_numbers_that_are_none_reach_the_sums(made):
    rows, _ = made()
    for odd in (np.nan, np.inf):
        h = np.ones((N, 1))
        h[3] = odd
        assert not np.isfinite(rows.grams(h)[0][-1, -1])


def test_shapes_must_agree(made):
    rows, _ = made()
    for method, wrong in [("predict", (1, D)), ("pull", (N - 1, 1)), ("grams", (N + 1, 2))]:
        with pytest.raises(ValueError, match="shapes do not agree"):
            getattr(rows, method)(np.zeros(wrong))
    with pytest.raises(IndexError):
        rows.part(0, N + 1)


@pytest.mark.parametrize("d", [1, 23, 24, 39, 40, 81, 159, 160, 200])
@pytest.mark.parametrize("k", [1, 2])
def test_gram_matrices_of_any_number_of_columns(d, k):
    """Few are multiplied all with all, more in bands, many by a symmetric product."""
    rng = np.random.default_rng(d)
    X, h = rng.normal(size=(300, d)), rng.normal(size=(300, k))
    x = np.column_stack([X, np.ones(300)])
    found = ExtendedRows(X, None, None, 1.0).grams(h)
    assert_allclose(found, np.einsum("ni,nr,nj->rij", x, h, x, optimize=True), atol=1e-11)
    assert_array_equal(found, found.swapaxes(1, 2))
