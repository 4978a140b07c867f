"""Products in blocks, beside the formulas they stand for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sklearn_lossopt._engine import singular, whitener
from sklearn_lossopt._linalg import (
    block_solver,
    row_blocks,
    triangular_solution,
    weighted_grams,
)

LAYOUTS = {"dense": np.asarray, "sparse": sparse.csr_array}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def dense(x):
    return x.toarray() if sparse.issparse(x) else x


def make_rows(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.3)


@each_layout
@pytest.mark.parametrize("d", [1, 3, 101])
@pytest.mark.parametrize("k", [1, 7, 8, 20])
def test_weighted_grams(layout, d, k):
    x, h = make_rows(700, d), np.random.default_rng(1).gamma(1, size=(700, k))
    h[:, 0] *= h[:, 0] > 1
    found = np.array(list(weighted_grams(layout(x), h)))
    assert_allclose(found, np.einsum("ir,ij,il->rjl", h, x, x), rtol=1e-11, atol=1e-11)


@each_layout
@pytest.mark.parametrize("n, d", [(1, 2), (256, 5), (1000, 5), (900, 2000)])
def test_row_blocks_are_the_rows(layout, n, d):
    x = layout(make_rows(n, d))
    parts, rows = zip(*row_blocks(x), strict=True)
    assert np.concatenate([np.arange(n)[part] for part in parts]).tolist() == list(range(n))
    assert np.array_equal(np.vstack([dense(block) for block in rows]), dense(x))


def test_blocks_of_sparse_rows_hold_a_number_for_every_column():
    x = sparse.random_array(
        (5000, 4000), density=0.001, format="csr", random_state=np.random.default_rng(0)
    )
    assert min(block.nnz for _, block in row_blocks(x)[:-1]) > 0.8 * 4000


def test_block_solver_divides_by_each_matrix():
    rng = np.random.default_rng(0)
    factors, g = rng.normal(size=(5, 4, 4)), rng.normal(size=(5, 4))
    matrices = factors @ factors.swapaxes(1, 2) + np.eye(4)
    found = block_solver([whitener(H) for H in matrices])(g)
    assert_allclose(
        found, [np.linalg.solve(H, row) for H, row in zip(matrices, g, strict=True)], rtol=1e-8
    )
    one_for_all = block_solver([whitener(matrices[0])])(g)
    assert_allclose(one_for_all, np.linalg.solve(matrices[0], g.T).T, rtol=1e-8)


@pytest.mark.parametrize("n", [0, 1, 6])
@pytest.mark.parametrize("lower", [False, True])
def test_triangular_solution(n, lower):
    matrix = np.random.default_rng(n).normal(size=(n, n)) + 5 * np.eye(n)
    matrix = np.tril(matrix) if lower else np.triu(matrix)
    x = triangular_solution(matrix, np.ones((n, 3)), lower=lower)
    assert x.shape == (n, 3)
    assert_allclose(matrix @ x, 1)


def test_whitener_is_a_triangular_inverse_root():
    x = make_rows(40, 6) * 10.0 ** np.arange(-3, 3)
    H = x.T @ x
    T, inverse = whitener(H)
    assert_allclose(T.T @ H @ T, np.eye(6), atol=1e-9)
    assert_allclose(T @ inverse, np.eye(6), atol=1e-12)
    assert_allclose(inverse.T @ inverse, H, rtol=1e-9, atol=1e-9 * H.max())
    assert (np.tril(T, -1) == 0).all()
    assert not singular(inverse)


def test_whitener_lets_directions_without_curvature_have_next_to_none():
    x = make_rows(40, 4)
    x[:, 2], x[:, 3] = x[:, 0] - x[:, 1], 0.0
    T, inverse = whitener(x.T @ x)
    assert np.isfinite(T).all()
    assert_allclose(T @ inverse, np.eye(4), atol=1e-6)
    assert_allclose(inverse.T @ inverse, x.T @ x + np.diag([0, 0, 0, 1]), atol=1e-7 * (x**2).sum())
    assert singular(inverse)
    # Squares of these overflow, or vanish.
    assert singular(1e200 * inverse) and singular(1e-200 * inverse)
    assert not singular(1e200 * np.eye(3))
