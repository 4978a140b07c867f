"""The search for the minimum of a quadratic model with an l1 norm, and the fits that rest on it:
optimality conditions, closed forms and scikit-learn's Lasso and ElasticNet."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import ElasticNet, Lasso
from sklearn.model_selection import KFold
from test_constant_curvature import Half

from sklearn_lossopt import GradientRegressor, GradientSearchCV
from sklearn_lossopt._engine import sign_search
from sklearn_lossopt._solvers.newton import HessianModel


def model_around(n, d, units, seed):
    """Rows, H, g and thresholds of a model around v; a column is free and one is held."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) + 2 * rng.normal(size=(n, 1))) * units ** rng.uniform(-1, 1, d)
    X -= X.mean(axis=0)
    v = np.where(rng.random(d) < 0.3, rng.normal(size=d), 0.0) / np.abs(X).max(axis=0)
    y = X @ v + rng.normal(size=n)
    H = X.T @ X / n
    most = np.abs(X.T @ y / n).max()
    threshold = rng.uniform(0.01, 0.2, d) * np.sqrt(np.diagonal(H)) * most / units
    threshold[0], threshold[1] = 0.0, np.inf
    return H, v, H @ v - X.T @ y / n, threshold


@pytest.mark.parametrize("n, d", [(60, 8), (60, 40), (15, 40)])
@pytest.mark.parametrize("units", [1.0, 1e3])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_optimality_conditions(n, d, units, ridge):
    for seed in range(5):
        H, v, g, threshold = model_around(n, d, units, seed)
        diagonal = np.diagonal(H) * (1 + ridge)
        A = H + np.diag(diagonal - np.diagonal(H))
        before = v.copy(), g.copy(), H.copy()
        u, left, ended, _ = sign_search(H, diagonal, threshold, v, g, 500)
        assert_array_equal(before[2], H)
        assert all(map(np.array_equal, before, (v, g)))
        slope, size = g + A @ (u - v), np.sqrt(diagonal)
        assert ended and u[1] == v[1]
        rounding = 1e-9 * (np.abs(g) + np.abs(A) @ np.abs(u - v))[2:]
        used = u[2:] != 0
        free = np.abs(slope[2:] + threshold[2:] * np.sign(u[2:]))
        assert np.all(free[used] <= rounding[used])
        assert np.all((np.abs(slope[2:]) <= threshold[2:] + rounding)[~used])
        assert abs(slope[0]) <= 1e-9 * size[0] * (np.abs(slope[2:]) / size[2:]).max()
        change = g @ (u - v) + 0.5 * (u - v) @ A @ (u - v)
        change += threshold[2:] @ (np.abs(u) - np.abs(v))[2:]
        assert left <= 1e-9 * abs(change)


@pytest.mark.parametrize("n, d, threshold", [(20, 60, 1e-4), (40, 120, 1e-4), (60, 200, 1e-5)])
def test_small_thresholds_on_rows_fewer_than_columns(n, d, threshold):
    """Sweeps leave all coefficients in use: most are combinations of the others."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, d))
        X -= X.mean(axis=0)
        y = X[:, :5].sum(axis=1) + rng.normal(size=n)
        H, g, u, t = X.T @ X / n, -X.T @ (y - y.mean()) / n, np.zeros(d), np.full(d, threshold)
        for _ in range(3):
            u, left, ended, curvature = sign_search(H, np.diagonal(H).copy(), t, u, g + H @ u, 300)
            if ended:
                break
        assert ended and left <= 1e-12 * np.abs(g @ u)
        assert np.count_nonzero(u) < n and np.all(curvature[u != 0] > 1e-8)
        # The duality gap of the lasso, at residuals whose slopes are within bounds.
        y -= y.mean()
        rest = y - X @ u
        dual = rest * min(1, n * threshold / np.abs(X.T @ rest).max())
        gap = (rest @ rest + (y - dual) @ (y - dual) - y @ y) / (2 * n)
        gap += threshold * np.abs(u).sum()
        assert abs(gap) <= 1e-8 * threshold * np.abs(u).sum()


def test_equal_columns():
    """Combinations of others have no row in the factor, and weights may lie anywhere on them."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(30, 6)), 3, axis=1)
    y = X[:, :9] @ rng.normal(size=9)
    H, b, t = X.T @ X / 30, X.T @ y / 30, np.full(18, 0.05)
    start = rng.normal(size=18)
    u, _, ended, _ = sign_search(H, np.diagonal(H).copy(), t, start, H @ start - b, 300)
    one = Lasso(alpha=0.05, fit_intercept=False, tol=1e-14).fit(X[:, ::3], y)
    assert ended
    assert_allclose(u.reshape(6, 3).sum(axis=1), one.coef_, atol=1e-9)
    assert_allclose(np.abs(u).sum(), np.abs(one.coef_).sum(), rtol=1e-9)


def test_what_the_search_refuses_or_leaves():
    H, one = np.eye(2), np.ones(2)
    with pytest.raises(ValueError, match="shapes do not agree"):
        sign_search(H, np.ones(3), one, one, one, 5)
    empty = np.empty((0, 0))
    assert sign_search(empty, empty[0:0].ravel(), empty.ravel(), [], [], 5)[2]
    # No curvature, no move; nothing infinite comes of what overflows.
    u = sign_search(np.zeros((2, 2)), np.array([0.0, 1.0]), 0.1 * one, one, 3 * one, 5)[0]
    assert_allclose(u, [1, -1.9])
    H = np.full((2, 2), np.inf)
    u = sign_search(H, np.full(2, np.inf), one, one, one, 5)[0]
    assert np.isfinite(u).all()


# Fits ---------------------------------------------------------------------------------------------


def table(n=200, d=12, k=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + 3 * rng.normal(size=d)
    y = (X - X.mean(axis=0))[:, :4] @ rng.normal(size=(4, k)) + rng.normal(size=(n, k)) + 7
    return X, y if k > 1 else y[:, 0], rng.uniform(0.2, 3, n)


def test_orthonormal_columns():
    """Each coefficient is soft-thresholded by itself."""
    rng = np.random.default_rng(0)
    n, d = 64, 5
    Q = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, d))]))[0][:, 1:]
    X, y = np.sqrt(n) * Q, 3 * Q @ rng.normal(size=d) + 0.1 * rng.normal(size=n)
    fit = GradientRegressor(alpha=0.2, l1_ratio=0.75).fit(X, y)
    b = X.T @ y / n
    wanted = np.sign(b) * np.maximum(np.abs(b) - 0.15, 0) / 1.05
    assert fit.converged_ and 0 < np.count_nonzero(wanted) < d
    assert_allclose(fit.coef_, wanted, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", ["dense", "float32", "sparse", "no intercept"])
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_one_epoch_ends_at_the_optimum(layout, weighted, l1_ratio):
    X, y, weight = table()
    weight, intercept = weight if weighted else None, layout != "no intercept"
    peer = ElasticNet(
        alpha=0.1, l1_ratio=l1_ratio, tol=1e-13, max_iter=100_000, fit_intercept=intercept
    )
    peer.fit(X, y, sample_weight=weight)
    rows = {"float32": np.float32, "sparse": sparse.csr_array}.get(layout, np.array)(X)
    ours = GradientRegressor(alpha=0.1, l1_ratio=l1_ratio, fit_intercept=intercept)
    ours.fit(rows, y, sample_weight=weight)
    # Steps in float32 end where F is flat to its rounding.
    tolerance = 2e-4 if layout == "float32" else 1e-8
    assert ours.converged_ and ours.n_iter_ <= (5 if layout == "float32" else 1)
    assert_allclose(ours.coef_, peer.coef_, atol=tolerance)
    assert_allclose(ours.intercept_, peer.intercept_, atol=10 * tolerance)
    if layout != "float32":
        assert_array_equal(ours.coef_ == 0, peer.coef_ == 0)


def test_targets_in_units_of_their_own():
    X, y, _ = table(k=3)
    y = y * [1e-4, 1.0, 1e4]
    joint = GradientRegressor(alpha=1e-3, l1_ratio=0.5).fit(X, y)
    for r in range(3):
        one = ElasticNet(alpha=1e-3, l1_ratio=0.5, tol=1e-14, max_iter=100_000).fit(X, y[:, r])
        assert_allclose(joint.coef_[r], one.coef_, atol=1e-8 * np.abs(y[:, r]).max())


def test_a_loss_of_ones_own():
    X, y, weight = table()
    ours = GradientRegressor(Half(), alpha=0.05, l1_ratio=0.5).fit(X, y, sample_weight=weight)
    peer = ElasticNet(alpha=0.1, l1_ratio=0.5, tol=1e-13, max_iter=100_000)
    peer.fit(X, y, sample_weight=weight)
    assert ours.converged_ and ours.n_iter_ == 1
    assert_allclose(ours.coef_, peer.coef_, atol=1e-8)


def test_a_search_forms_one_matrix_a_fold(monkeypatch):
    X, y, _ = table()
    made, form = [], HessianModel._gram
    monkeypatch.setattr(HessianModel, "_gram", lambda self: made.append(1) or form(self))
    grid = {"alpha": [0.01, 0.1, 1.0], "l1_ratio": [0.0, 0.5, 1.0]}
    search = GradientSearchCV(GradientRegressor(random_state=0), grid, cv=3, refit=False)
    search.fit(X, y)
    assert len(made) == 3
    # Each candidate is what a fit by itself gives, to the last bit.
    for i, params in enumerate(search.cv_results_["params"]):
        for f, (train, test) in enumerate(KFold(3).split(X)):
            alone = GradientRegressor(random_state=0, **params).fit(X[train], y[train])
            score = search.cv_results_[f"split{f}_test_score"][i]
            assert score == alone.score(X[test], y[test])


def test_rows_whose_curvature_is_next_to_nothing():
    """Two rows and forty columns in mixed units took the search minutes once."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2, 40)) * 10.0 ** rng.uniform(-4, 4, 40)
    y = np.array([[3.0, 1000.0], [0.0, 1001.0]])
    fit = GradientRegressor("poisson", alpha=1e-4, l1_ratio=0.5, fit_intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit.fit(X, y)
    assert fit.n_iter_ <= 100
    mean = fit.predict(X)
    assert_allclose(mean[:, 1], y[:, 1], rtol=0.02)
