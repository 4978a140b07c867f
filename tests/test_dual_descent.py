"""Dual coordinate descent against the dual problems by SciPy, and LinearSVC and LinearSVR."""

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.svm import LinearSVC, LinearSVR

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt._engine import DualDescent, StopFlag, Stopped
from sklearn_lossopt._solvers import dual_descent
from sklearn_lossopt.losses import EpsilonInsensitive, Quantile

# Slopes below and above, and half of the tube's width, of each regression loss.
REGRESSION = {
    "absolute_error": ("absolute_error", 1.0, 1.0, 0.0),
    "quantile": (Quantile(0.8), 0.8, 0.2, 0.0),
    "epsilon_insensitive": (EpsilonInsensitive(0.3), 1.0, 1.0, 0.3),
}
EPSILON_PEERS = [("absolute_error", 0.0), ("epsilon_insensitive", 0.3)]


def rows(n=40, d=30, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.3)
    y = X[:, :5].sum(axis=1) + rng.standard_t(2, n) + 2
    return X, y, np.where(y > np.median(y), 1, -1), rng.uniform(0.2, 3, n)


def dual_optimum(R, linear, upper, signs, alpha, intercept):
    """The maximum of linear'a - |R'a|^2 / (2 alpha) over 0 <= a <= upper and, with an intercept,
    signs'a = 0."""
    constraint = {"type": "eq", "fun": lambda a: signs @ a, "jac": lambda a: signs}
    unit = upper.mean()

    def negative(a):
        pulled = unit * (a @ R)
        value = unit * (linear @ a) - pulled @ pulled / (2 * alpha)
        return -value, -unit * (linear - R @ pulled / alpha)

    found = optimize.minimize(
        negative, np.zeros(len(R)), jac=True, method="SLSQP",
        bounds=[(0, end / unit) for end in upper],
        constraints=[constraint] if intercept else [], options={"ftol": 1e-12, "maxiter": 1000},
    )  # fmt: skip
    assert found.success
    return -found.fun


def objective(model, X, share, alpha, losses):
    z = X @ model.coef_.ravel().astype(float) + model.intercept_
    return share @ losses(z) + alpha / 2 * np.sum(model.coef_.astype(float) ** 2)


def as_rows(X, dtype, index):
    X = sparse.csr_array(X.astype(dtype))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


CASES = [
    (np.float64, np.int32, True, True),
    (np.float64, np.int64, False, False),
    (np.float32, np.int32, True, True),
]


@pytest.fixture
def made(monkeypatch):
    """The solvers that fits have made."""
    found = []

    class Noted(dual_descent.DualDescentSolver):
        def __init__(self, *args):
            super().__init__(*args)
            found.append(self)

    monkeypatch.setattr("sklearn_lossopt._training.lagrangian_corrector.DualDescentSolver", Noted)
    return found


def check(model, X, share, alpha, losses, best, dtype, made):
    assert made and model.converged_
    if alpha >= 0.1:
        # What takes long ends with another solver.
        assert not any(solver.exhausted for solver in made)
    value = objective(model, X, share, alpha, losses)
    room = 1e-6 if dtype == np.float64 else 3e-5
    assert best - 1e-7 * abs(best) <= value <= best * (1 + room + 1e-7)


@pytest.mark.parametrize("alpha", [0.1, 0.003])
@pytest.mark.parametrize("dtype, index, intercept, weighted", CASES)
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_against_its_dual(name, dtype, index, intercept, weighted, alpha, made):
    loss, below, above, tube = REGRESSION[name]
    X, y, _, weight = rows()
    weight = weight if weighted else np.ones(len(y))
    X, y, weight = (np.float64(a.astype(dtype)) for a in (X, y, weight))
    share = weight / weight.sum()
    model = GradientRegressor(loss, alpha=alpha, fit_intercept=intercept, random_state=0)
    model.fit(as_rows(X, dtype, index), y, sample_weight=weight)

    def losses(z):
        r = y - z
        return np.maximum(0, np.maximum(below * r, -above * r) - tube)

    upper, signs = np.concatenate([below * share, above * share]), np.repeat([1.0, -1.0], len(y))
    linear = np.concatenate([y, -y]) - tube
    best = dual_optimum(np.vstack([X, -X]), linear, upper, signs, alpha, intercept)
    check(model, X, share, alpha, losses, best, dtype, made)


@pytest.mark.parametrize("alpha", [0.1, 0.003])
@pytest.mark.parametrize("dtype, index, intercept, weighted", CASES)
def test_hinge_against_its_dual(dtype, index, intercept, weighted, alpha, made):
    X, _, c, weight = rows()
    weight = weight if weighted else np.ones(len(c))
    X, weight = (np.float64(a.astype(dtype)) for a in (X, weight))
    share = weight / weight.sum()
    model = GradientClassifier("hinge", alpha=alpha, fit_intercept=intercept, random_state=0)
    model.fit(as_rows(X, dtype, index), c, sample_weight=weight)
    R = c[:, None] * X
    best = dual_optimum(R, np.ones(len(c)), share, c.astype(float), alpha, intercept)
    check(model, X, share, alpha, lambda z: np.maximum(0, 1 - c * z), best, dtype, made)


def test_gaps_are_bounds(made):
    """At every gap on the way, F less the gap is below the optimum."""
    X, _, c, _ = rows(seed=3)
    share = np.full(len(c), 1 / len(c))
    R = c[:, None] * X
    best = dual_optimum(R, np.ones(len(c)), share, c.astype(float), 0.003, True)
    GradientClassifier("hinge", alpha=0.003, random_state=0).fit(sparse.csr_array(X), c)
    descent, model = made[0].descent, GradientClassifier()
    descent.theta[...] = np.clip(0.0, made[0].low, made[0].high)
    descent.renew()
    gaps = []
    for _ in range(12):
        made[0].gap = np.inf
        made[0].descent.sweeps(1.0)
        made[0]._measure()
        model.coef_, model.intercept_ = made[0].weights[:-1], made[0].weights[-1]
        value = objective(model, X, share, 0.003, lambda z: np.maximum(0, 1 - c * z))
        assert value - made[0].gap <= best + 1e-9
        gaps.append(made[0].gap)
    assert gaps[-1] < 0.3 * gaps[0]


def wide(n=900, d=820):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    raw = X[:, :20].sum(axis=1) / 4
    return X, raw + 0.3 * rng.normal(size=n), np.where(raw + 0.5 * rng.normal(size=n) > 0, 1, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wide_hinge_as_linear_svc(dtype, made):
    X, _, c = wide()
    share, alpha = np.full(len(c), 1 / len(c)), 1.0
    peer = LinearSVC(
        loss="hinge", C=1 / (alpha * len(c)), fit_intercept=False, tol=1e-8, max_iter=100_000
    ).fit(X, c)
    model = GradientClassifier("hinge", alpha=alpha, fit_intercept=False, random_state=0)
    model.fit(X.astype(dtype), c)
    best = objective(peer, X, share, alpha, lambda z: np.maximum(0, 1 - c * z))
    check(model, X, share, alpha, lambda z: np.maximum(0, 1 - c * z), best, dtype, made)


@pytest.mark.parametrize("loss, epsilon", EPSILON_PEERS)
def test_wide_regression_as_linear_svr(loss, epsilon, made):
    X, y, _ = wide()
    share, alpha = np.full(len(y), 1 / len(y)), 1.0
    peer = LinearSVR(
        epsilon=epsilon, C=1 / (alpha * len(y)), fit_intercept=False, tol=1e-9, max_iter=100_000
    ).fit(X, y)
    loss = EpsilonInsensitive(epsilon) if epsilon else loss
    model = GradientRegressor(loss, alpha=alpha, fit_intercept=False, random_state=0).fit(X, y)

    def losses(z):
        return np.maximum(0, np.abs(y - z) - epsilon)

    best = objective(peer, X, share, alpha, losses)
    check(model, X, share, alpha, losses, best, np.float64, made)


def test_wide_columns_far_from_zero(made):
    """Dense columns are centred as they are read: predictions are those of other columns."""
    X, y, _ = wide()
    fit = GradientRegressor("absolute_error", alpha=1.0, random_state=0).fit
    plain, moved = fit(X, y).predict(X), fit(X + 30.0, y).predict(X + 30.0)
    assert len(made) == 2
    np.testing.assert_allclose(moved, plain, atol=3e-3)


def test_classes_one_by_one(made):
    X, y, _, _ = rows(n=60)
    classes = np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))
    model = GradientClassifier("hinge", alpha=0.01, random_state=0).fit(
        sparse.csr_array(X), classes
    )
    assert model.converged_ and len(made) == 3
    share, total, best = np.full(60, 1 / 60), 0.0, 0.0
    for k in range(3):
        c = np.where(classes == k, 1.0, -1.0)
        z = X @ model.coef_[k] + model.intercept_[k]
        total += share @ np.maximum(0, 1 - c * z) + 0.005 * model.coef_[k] @ model.coef_[k]
        best += dual_optimum(c[:, None] * X, np.ones(60), share, c, 0.01, True)
    assert best - 1e-7 <= total <= best * (1 + 1.1e-6)


def test_what_takes_too_long_is_handed_over(made, monkeypatch):
    X, y, _, _ = rows(n=200)
    monkeypatch.setattr(dual_descent, "NARROW", (5, 5))
    model = GradientRegressor("absolute_error", alpha=1e-5, random_state=0)
    model.fit(sparse.csr_array(X), y)
    assert made[0].exhausted and model.converged_
    dense = GradientRegressor("absolute_error", alpha=1e-5, random_state=0).fit(X, y)
    assert model.loss_curve_[-1] == pytest.approx(dense.loss_curve_[-1], rel=2e-6)


def test_alone_it_goes_on(made, monkeypatch):
    """Where no other solver takes over, sweeps that were given up are taken up again."""
    X, y, _, _ = rows(n=200)
    monkeypatch.setattr(dual_descent, "NARROW", (5, 5))
    module = "sklearn_lossopt._training.lagrangian_corrector.MAX_DUALS"
    monkeypatch.setattr(module, 100)
    model = GradientRegressor("absolute_error", alpha=0.01, random_state=0)
    model.fit(sparse.csr_array(X), y)
    assert model.converged_ and len(made) == 1 and made[0].count > 5


def test_a_set_flag_ends_sweeps(made):
    X, _, c, _ = rows()
    GradientClassifier("hinge", alpha=0.1, random_state=0).fit(sparse.csr_array(X), c)
    flag = StopFlag()
    with pytest.raises(Stopped), flag.heard():
        flag.set()
        made[0].step(-1.0)


@pytest.mark.parametrize("curvature", [0.0, 0.5])
def test_one_row_in_closed_form(curvature):
    """A step goes to the maximum along the dual: clip((z - c) / (q + |x|^2 / l2), low, high) from
    w = 0 without an intercept."""
    x = np.array([[3.0, 4.0]])
    for c in (-7.0, -1.0, 2.0, 300.0):
        piece = tuple(np.array([[number]]) for number in (c, -0.4, 0.7))
        descent = DualDescent(x, None, None, np.ones(1), piece, curvature, 10.0, None, 0)
        descent.sweeps(1.0)
        theta = np.clip((0 - c) / (curvature + 25 / 10), -0.4, 0.7)
        np.testing.assert_allclose(descent.theta, [[theta]], rtol=1e-14)
        np.testing.assert_allclose(descent.w, -theta * x[0] / 10, rtol=1e-14)


def test_equal_fits_give_equal_bits(made):
    X, y, _, _ = rows()
    coefs = [
        GradientRegressor("quantile", alpha=0.01, random_state=0).fit(sparse.csr_array(X), y).coef_
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*coefs)
