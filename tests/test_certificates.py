"""converged_ is a promise: F is within tol of the optimum, whatever the problem.

Every loss is fitted to problems that are hard for certificates: residuals far beyond a loss's
delta, separable classes, offsets, rare columns of which a sample of the rows says little, and
targets in very different units. The optimum is looked for by SciPy's L-BFGS-B in double precision,
from the fit itself and along a path of easier problems.
"""

import warnings
from itertools import product

import numpy as np
import pytest
from catalogue import OPTIMIZERS, PAIRS, POSITIVE_TARGETS, combine, make
from numpy.testing import assert_allclose
from reference import one_vs_rest
from scipy import sparse
from scipy.optimize import linprog, minimize, minimize_scalar
from scipy.special import expit
from sklearn.base import is_classifier
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt import DivergenceError, GradientClassifier, GradientRegressor
from sklearn_lossopt._solvers import huber_scale
from sklearn_lossopt._solvers.certificate import Certificate
from sklearn_lossopt._solvers.newton import HessianModel
from sklearn_lossopt._solvers.row_gaps import inverted_gap
from sklearn_lossopt._training.convergence import Convergence
from sklearn_lossopt.losses import Huber, LogCosh, RegressionLoss
from sklearn_lossopt.losses._base import Loss
from sklearn_lossopt.losses._conjugates import Entropy, relative_entropy

TOL = 1e-6


def silently(model, *args, **kwargs):
    """The model, fitted; whether it converged is what the tests look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


class Problem:
    """F of one output, in coordinates that make L-BFGS quick."""

    def __init__(self, loss, X, y, alpha, weight=None):
        self.loss, self.y, self.alpha = loss, y, alpha
        X = X.toarray() if sparse.issparse(X) else X
        self.X = np.column_stack([X, np.ones(len(X))]).astype(np.float64)
        self.share = np.ones(len(X)) if weight is None else weight
        self.share = self.share / self.share.sum()
        # Orthogonal columns; the intercept stays one by itself.
        centred = self.X[:, :-1] - self.X[:, :-1].mean(axis=0)
        _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
        self.axes = axes.T / np.maximum(sizes, 1e-12 * sizes[0]) * np.sqrt(len(X))
        self.mean = self.X[:, :-1].mean(axis=0)

    def weights(self, u):
        w = self.axes @ u[:-1]
        return np.append(w, u[-1] - w @ self.mean)

    def coordinates(self, w):
        u = np.linalg.lstsq(self.axes, w[:-1], rcond=None)[0]
        return np.append(u, w[-1] + w[:-1] @ self.mean)

    def __call__(self, w, loss=None):
        value, gradient = (loss or self.loss).loss_gradient(self.y, self.X @ w)
        g = (self.share * gradient) @ self.X
        g[:-1] += self.alpha * w[:-1]
        return self.share @ value + 0.5 * self.alpha * w[:-1] @ w[:-1], g

    def minimise(self, w, loss=None):
        def function(u):
            with np.errstate(all="ignore"):
                value, g = self(self.weights(u), loss)
            if not np.isfinite(value):
                return 1e300, np.zeros_like(u)
            slope = self.axes.T @ (g[:-1] - g[-1] * self.mean)
            return value / scale, np.append(slope, g[-1]) / scale

        scale = max(self(w, loss)[0], 1e-300)
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 0, "gtol": 0, "maxcor": 30}
        found = minimize(
            function, self.coordinates(w), jac=True, method="L-BFGS-B", options=options
        )
        return self.weights(found.x)

    def optimum(self, w):
        """The least F found from w, and by a path of wider losses."""
        ends = [w, self.minimise(w)]
        delta = {"huber": getattr(self.loss, "delta", None), "log_cosh": 1.0}.get(self.loss.name)
        if delta is not None:
            wide = np.abs(self.y - np.median(self.y)).max()
            w = np.append(np.zeros(self.X.shape[1] - 1), np.median(self.y))
            while wide > delta:
                w, wide = self.minimise(w, Huber(delta=wide)), wide / 4
            ends.append(self.minimise(w))
        return np.nanmin([self(end)[0] for end in ends])


def least_absolute(X, y):
    """The least mean absolute error, by linear programming."""
    n, size = len(X), np.abs(y).max()
    equations = np.hstack([X, np.ones((n, 1)), np.eye(n), -np.eye(n)])
    costs = np.append(np.zeros(X.shape[1] + 1), np.full(2 * n, 1 / n))
    bounds = [(None, None)] * (X.shape[1] + 1) + [(0, None)] * (2 * n)
    found = linprog(costs, A_eq=equations, b_eq=y / size, bounds=bounds)
    assert found.status == 0
    return size * found.fun


def gaps(model, X, y, alpha, weight=None):
    """(F - F*) / F of each output of a model, by the search above."""
    coef, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    loss = Loss.resolve(model.loss)
    if loss.name == "huber" and isinstance(loss.delta, str):
        loss = Huber(delta=model.delta_)
    if is_classifier(model):
        y = (
            one_vs_rest(y, len(coef))
            if len(coef) > 1
            else np.where(y == model.classes_[1], 1.0, -1)
        )
    y = np.reshape(y, (X.shape[0], -1)).astype(np.float64)
    found = []
    for r in range(len(coef)):
        problem = Problem(loss._of_output(r), X, np.ascontiguousarray(y[:, r]), alpha, weight)
        w = np.append(coef[r], intercept[r]).astype(np.float64)
        value = problem(w)[0]
        # An F of 1e-16, of separable classes, is 0.
        found.append((value - problem.optimum(w)) / max(value, 1e-9 * problem(0 * w)[0]))
    return np.array(found)


# -- problems ------------------------------------------------------------------------------


def prices(n=400, d=5, unit=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, unit * np.exp(12 + X @ np.linspace(0, 0.5, d) + 0.3 * rng.normal(size=n))


def regression_problem(name, loss):
    rng = np.random.default_rng(1)
    X, y = prices(200, 4)
    if loss in POSITIVE_TARGETS:
        y = y / np.median(y)
    if name == "offset":
        X = X * [1, 1e-3, 1e3, 1] + [0, 1e2, 1e6, -1e3]
    if name == "equal columns":
        X = np.column_stack([X, X[:, 0], np.ones(len(X))])
    if name == "outliers":
        y[::20] *= 100
    if name == "near":
        y = y / y.std()
    if name == "few rows":
        X = rng.normal(size=(30, 80))
        y = y[:30]
    return X, y


def classification_problem(name):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 4))
    score = X @ [1, -2, 0.5, 0] + 1
    y = (score + (0 if name == "separable" else rng.logistic(size=200)) > 0).astype(int)
    if name == "flipped":
        y[::9] = 1 - y[::9]
        X[::9] *= 30
    if name == "offset":
        X = X * [1, 1e-3, 1e3, 1] + [0, 1e2, 1e6, -1e3]
    if name == "three classes":
        y += (X[:, 3] > 1).astype(int)
    return X, y


REGRESSION = ["far", "offset", "equal columns", "outliers", "near", "few rows"]
CLASSIFICATION = ["separable", "flipped", "offset", "three classes"]
SMOOTH = [pair for pair in PAIRS if Loss.resolve(pair[1]).smooth]


@pytest.mark.parametrize("alpha", [1e-4, 0.0])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task, loss", SMOOTH)
def test_a_certificate_is_true(task, loss, optimizer, alpha):
    """Whatever is difficult, converged_ says that the optimum is near."""
    for name in REGRESSION if task == "regression" else CLASSIFICATION:
        if (name == "few rows" and alpha == 0) or (name == "equal columns" and alpha == 0):
            continue
        if name == "three classes" and loss == "log_loss":
            continue
        if task == "regression":
            X, y = regression_problem(name, loss)
        else:
            X, y = classification_problem(name)
        model = silently(make(task, loss, optimizer, alpha=alpha, max_iter=120), X, y)
        if model.converged_:
            found = gaps(model, X, y, alpha)
            assert found.max() <= 2 * TOL * len(found), name


NO_PASS = [pair for pair in SMOOTH if Loss.resolve(pair[1])._gap_radius > 0]


@pytest.mark.parametrize("alpha", [1e-2, 1e-4, 0.0])
@pytest.mark.parametrize("task, loss", NO_PASS)
def test_what_the_last_step_knows_is_a_certificate(task, loss, alpha, monkeypatch):
    """By the Hessian, or by the gradient and the penalty: no pass over the rows is made for it."""
    found, passes = [], []
    step, measure = Convergence.newton_direction, Certificate.measure

    def recorded(self, *args, **kwargs):
        value, direction = self.iterate.evaluate(gradient=True), step(self, *args, **kwargs)
        found.append((value, self.gap))
        return direction

    monkeypatch.setattr(Convergence, "newton_direction", recorded)
    monkeypatch.setattr(Certificate, "measure", lambda *a: passes.append(1) or measure(*a))
    if task == "regression":
        X, y = regression_problem("near", loss)
        y = 1 + 0.1 * y if loss in POSITIVE_TARGETS else y
    else:
        X, y = classification_problem("overlapping")
    model = make(task, loss, alpha=alpha, tol=1e-4).fit(X, y)
    assert model.converged_ and not passes
    y = y.astype(float) if task == "regression" else np.where(y == 1, 1.0, -1.0)
    problem = Problem(Loss.resolve(loss), X, y, alpha)
    least = problem.optimum(np.append(model.coef_, model.intercept_))
    proven = [(value, gap) for value, gap in found if gap <= 1e-4 * value]
    assert proven and all(value - least <= gap + 1e-12 * value for value, gap in proven)


BOUNDED = ["log_cosh", Huber(delta=1.35), Huber(delta=1e-3)]


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("alpha", [1e-4, 0.0])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("loss", BOUNDED, ids=str)
def test_residuals_far_beyond_delta(loss, optimizer, alpha, unit):
    """No row has curvature; the optimum is that of absolute errors, and as quickly found."""
    X, y = prices(unit=unit)
    model = GradientRegressor(loss, optimizer, alpha=alpha, random_state=0).fit(X, y)
    assert model.converged_
    assert optimizer == "lbfgs" or model.n_iter_ <= 20
    assert gaps(model, X, y, alpha).max() <= 2 * TOL


@pytest.mark.parametrize("loss", BOUNDED, ids=str)
@pytest.mark.parametrize("kind", ["weights", "float32", "sparse", "few rows", "outputs"])
def test_residuals_far_beyond_delta_in_other_data(kind, loss):
    X, y = prices()
    weight, alpha = None, 1e-4
    if kind == "weights":
        weight = np.random.default_rng(0).gamma(1.0, size=len(y))
    if kind == "float32":
        X = X.astype(np.float32)
        y = y.astype(np.float32)
    if kind == "sparse":
        X = sparse.csr_array(np.where(np.abs(X) < 0.7, 0, X))
    if kind == "few rows":
        rng = np.random.default_rng(0)
        X, y = np.hstack([X[:50], rng.normal(size=(50, 100))]), y[:50]
    if kind == "outputs":
        y = np.column_stack([y, 1e-3 * y[::-1], 1e3 * y])
    model = GradientRegressor(loss, alpha=alpha, random_state=0).fit(X, y, sample_weight=weight)
    assert model.converged_ and model.n_iter_ <= 25
    found = gaps(model, X, np.asarray(y, np.float64), alpha, weight)
    assert found.max() <= (5 if kind == "float32" else 2) * TOL


@pytest.mark.parametrize("loss", ["log_cosh", Huber(delta=1.35)], ids=str)
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_residuals_far_beyond_delta_with_l1(l1_ratio, loss):
    """Beside the fit of absolute errors, whose objective is delta times as large, less a constant
    of at most delta^2 / 2 per row."""
    X, y = prices()
    X = np.hstack([X, np.random.default_rng(0).normal(size=(len(X), 5))])
    delta, alpha = getattr(loss, "delta", 1.0), 100.0
    model = GradientRegressor(loss, alpha=alpha, l1_ratio=l1_ratio, random_state=0).fit(X, y)
    other = GradientRegressor(
        "absolute_error", alpha=alpha / delta, l1_ratio=l1_ratio, random_state=0
    ).fit(X, y)
    assert model.converged_

    def objective(m):
        value = Loss.resolve(loss).loss_gradient(y, m.predict(X))[0].mean()
        w = m.coef_
        return value + alpha * ((1 - l1_ratio) / 2 * w @ w + l1_ratio * np.abs(w).sum())

    assert objective(model) <= objective(other) * (1 + 3 * TOL)


@pytest.mark.parametrize("loss", ["squared_hinge", "modified_huber", "exponential", "log_loss"])
@pytest.mark.parametrize("load", ["wine", "separable"])
def test_flat_parts_of_margin_losses(load, loss):
    X, y = load_wine(return_X_y=True) if load == "wine" else classification_problem("separable")
    y = (y > 0).astype(int)
    model = GradientClassifier(loss, random_state=0).fit(X, y)
    assert model.converged_ and model.n_iter_ <= 30
    assert gaps(model, X, y, 1e-4).max() <= 2 * TOL


class Clipped(RegressionLoss):
    """Huber's loss as a user writes it, who says nothing of its conjugate."""

    def __init__(self, delta=1.35):
        self.delta = delta

    def loss_gradient(self, y, raw):
        r = raw - y
        g = np.clip(r, -self.delta, self.delta)
        return g * (r - 0.5 * g), g


@pytest.mark.parametrize("unit", [1e-5, 1e-3, 1.0])
@pytest.mark.parametrize("alpha", [1e-4, 0.0])
def test_a_users_loss(alpha, unit):
    X, y = prices(unit=unit)
    model = silently(GradientRegressor(Clipped(), alpha=alpha, max_iter=60, random_state=0), X, y)
    if model.converged_:
        assert gaps(model, X, y, alpha).max() <= 2 * TOL
    elif unit == 1e-5:
        raise AssertionError("an easy problem")


# -- what certificates are made of -----------------------------------------------------------

DOMAIN = {"gamma": (0.2, 5), "poisson": (0.5, 5), "tweedie": (0.2, 5)}


@pytest.mark.parametrize("task, loss", SMOOTH)
def test_conjugates_against_brute_force(task, loss):
    """l(z) + l*(t) - t z by a search for the conjugate's maximum."""
    loss = Loss.resolve(loss)._prepared(lambda epsilon: 1.0)
    rng = np.random.default_rng(0)
    y = rng.choice([-1.0, 1.0], 8) if task == "classification" else rng.uniform(0.3, 3, 8)
    raw, other = rng.normal(size=(2, 8))
    dual = loss.loss_gradient(y, other)[1]
    gap = loss._fenchel_gap(y[:, None], raw[:, None], dual[:, None])
    if gap is None:
        value, gradient = loss.loss_gradient(y, raw)
        gap = inverted_gap(
            loss, y[:, None], raw[:, None], dual[:, None], (other - raw)[:, None],
            value[:, None], gradient[:, None],
        )  # fmt: skip
    for i in range(8):
        one = y[i : i + 1]

        def short(z, one=one, i=i):
            return loss.loss_gradient(one, np.array([z]))[0][0] - dual[i] * z

        best = minimize_scalar(short, bounds=(-8, 8), method="bounded", options={"xatol": 1e-9})
        expected = short(raw[i]) - best.fun
        assert_allclose(gap[i, 0], expected, rtol=1e-5, atol=1e-9)
    at = loss.loss_gradient(y, raw)[1]
    if loss._fenchel_gap(y[:, None], raw[:, None], at[:, None]) is not None:
        assert np.all(loss._fenchel_gap(y[:, None], raw[:, None], at[:, None]) <= 1e-12)


def test_duals_outside_of_the_domain_prove_nothing():
    y, raw = np.ones((1, 1)), np.zeros((1, 1))
    for loss, dual in (
        (Huber(delta=1.0), 1.1), (LogCosh(), -1.1), ("log_loss", 0.1), ("log_loss", -1.1),
        ("exponential", 0.1), ("squared_hinge", 0.1), ("modified_huber", -4.1), ("poisson", -1.1),
        ("gamma", 1.1),
    ):  # fmt: skip
        assert Loss.resolve(loss)._fenchel_gap(y, raw, np.array([[dual]]))[0, 0] == np.inf


def test_the_entropy_of_log_cosh():
    rng = np.random.default_rng(0)
    for width in (1e-6, 0.3, 10, 1e4, 1e9):
        u = rng.standard_t(2, size=(1, 500)) * max(width, 1)
        center = rng.choice([-1, -0.9, 0, 0.5, 1], size=(1, 500))
        t = Entropy().dual(u, center, width, -1, 1)
        inside = np.abs(t) < 1 - 1e-6
        miss = np.arctanh(t[inside]) + width * (t - center)[inside] - u[inside]
        size = np.abs(u[inside]) + width + 1
        assert np.all(np.abs(miss) <= 1e-8 * size)
        assert np.all(np.sign(t) == np.sign(u + width * center))


def test_relative_entropy_is_accurate_and_never_negative():
    p = np.array([0.3, 1e-20, 1.0, 0.0, 1e-320])
    assert_allclose(relative_entropy(p * (1 + 1e-9), p)[:3], 0.5e-18 * p[:3], rtol=1e-6)
    assert np.all(relative_entropy(np.zeros(5), p) == np.maximum(p, 1e-290))
    assert relative_entropy(np.array([0.1]), np.array([0.0]))[0] > 60


def rare_columns(n=20_000, d=8, rare=24, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d + rare))
    X[:, d:] = rng.random((n, rare)) < 10 ** rng.uniform(-3.4, -2, rare)
    w = rng.normal(size=d + rare)
    y = (rng.random(n) < expit(0.5 * X @ w - 1)).astype(int)
    return X, y


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "poisson"])
def test_curvature_of_a_sample(loss, optimizer, monkeypatch):
    """Rare columns are in few of the sampled rows: all rows are looked at before the last yes."""
    monkeypatch.setattr(HessianModel.__init__, "__defaults__", (20_000, None))
    X, y = rare_columns()
    alpha = 1e-6
    if loss == "poisson":
        model, y = GradientRegressor(loss, optimizer), y.astype(float)
    else:
        model = GradientClassifier(loss, optimizer)
    model = silently(model.set_params(alpha=alpha, random_state=0, max_iter=300), X, y)
    assert model.converged_ and (optimizer == "lbfgs" or model.n_iter_ <= 20)
    assert gaps(model, X, y, alpha).max() <= 1.2 * TOL


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("loss", ["modified_huber", "squared_hinge"])
def test_a_row_that_becomes_flat_hides_no_curvature(loss, l1_ratio):
    """At its margin a row of 4e8 curves by 1e17, and beyond it not at all. Where it is right, the
    optimum is that of the others."""
    told = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(60, 1)), np.full(60, -1)
        x[0], y[rng.integers(1, 60, 2)] = -4e8 * rng.uniform(0.3, 1), 1
        others = silently(make("classification", loss, "lbfgs", alpha=1e-10), x[1:], y[1:])
        model = make("classification", loss, "sgd", alpha=1e-10, l1_ratio=l1_ratio)
        silently(model, x, y)
        assert others.converged_
        if others.decision_function(x[:1])[0] <= -1:
            told += 1
            best = others.loss_curve_[-1] * 59 / 60
            assert not model.converged_ or model.loss_curve_[-1] <= best * (1 + 1e-5)
    assert told > 3


@pytest.mark.parametrize("precondition", ["auto", "scale"])
@pytest.mark.parametrize("delta", [1e-3, 1.0])
def test_curvature_within_the_rounding_of_predictions_proves_nothing(delta, precondition):
    """Half of the targets are met by the constant, up to a rounding that is larger than delta."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), np.where(rng.random(60) < 0.5, -9e15, 9e15)
    model = make("regression", Huber(delta), "momentum", alpha=0, precondition=precondition)
    silently(model, X, y)
    # The loss is delta times the absolute error, which linear programming makes least.
    best = least_absolute(X, y)
    assert not model.converged_ or model.loss_curve_[-1] <= delta * best * (1 + 1e-5)


@pytest.mark.parametrize("shape", [(7, 8), (7, 20), (30, 8)])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "log_cosh", "hinge"])
def test_rows_are_not_lost_beside_one_that_is_far_larger(loss, shape):
    """In float32 its rounding is larger than the others. float64 tells what can be reached."""
    for seed, size in product(range(4), (1e4, 1e8)):
        rng = np.random.default_rng(seed)
        X, weights = rng.normal(size=shape), rng.normal(size=shape[1])
        y = X @ weights
        X[0] *= size
        X = X.astype(np.float32)
        task = "classification" if loss == "hinge" else "regression"
        y = np.where(y > np.median(y), 1, -1) if loss == "hinge" else y
        single, double = (
            silently(make(task, loss, alpha=1e-4), X.astype(dtype), y)
            for dtype in (np.float32, np.float64)
        )
        best = double.loss_curve_[-1]
        assert not single.converged_ or single.loss_curve_[-1] <= best * (1 + 1e-3) + 1e-5


# -- several targets -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(
    "loss",
    ["huber", "squared_error", "absolute_error", "log_cosh", Huber(delta=1.35), "quantile"],
    ids=str,
)
def test_targets_in_other_units(loss, optimizer):
    if not combine(Loss.resolve(loss).name, optimizer):
        pytest.skip("needs a smooth loss")
    X, y = load_diabetes(return_X_y=True, scaled=False)
    y = y.copy()
    y[::20] += 3000
    alone = GradientRegressor(loss, optimizer, random_state=0).fit(X, y)
    # Some absolute errors in units of 1e-5 are those of a constant: others than alone's.
    for factor in (1e5, 1e7):
        both = GradientRegressor(loss, optimizer, random_state=0).fit(
            X, np.column_stack([y, factor * y[::-1]])
        )
        assert both.converged_
        assert_allclose(both.predict(X)[:, 0], alone.predict(X), rtol=1e-5, atol=1e-3)
        if Loss.resolve(loss).smooth:
            assert gaps_of_first(both, alone, X, y).max() <= 2 * TOL
        if loss == "huber":
            assert_allclose(both.delta_[0], alone.delta_, rtol=1e-9)


def gaps_of_first(both, alone, X, y):
    """The gap of the first target, with the loss that it has alone."""
    loss = Loss.resolve(alone.loss)
    if loss.name == "huber" and isinstance(loss.delta, str):
        loss = Huber(delta=float(both.delta_[0]))
    problem = Problem(loss, X, y, 1e-4)
    w = np.append(both.coef_[0], both.intercept_[0])
    value = problem(w)[0]
    return np.array([(value - problem.optimum(w)) / value])


# -- the rest ----------------------------------------------------------------------------------


def test_a_loss_with_kinks_on_many_dense_columns():
    # An optimum by construction: duals first, then the weights and targets that they belong to.
    rng = np.random.default_rng(0)
    alpha, n, d = 0.3, 4700, 860
    X = rng.normal(size=(n, d))
    dual = np.clip(1.3 * rng.normal(size=n), -1, 1)
    coef = X.T @ dual / (n * alpha)
    y = X @ coef + np.where(np.abs(dual) == 1, dual * rng.exponential(size=n), 0)

    def objective(w):
        return np.abs(y - X @ w).mean() + alpha / 2 * w @ w

    model = GradientRegressor("absolute_error", alpha=alpha, fit_intercept=False, random_state=0)
    assert model.fit(X, y).converged_
    assert objective(model.coef_) <= (1 + 1e-6) * objective(coef)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("loss", ["absolute_error", "quantile"])
def test_one_row_has_all_weight_and_there_is_no_intercept(loss, l1_ratio):
    # Targets as good as equal say nothing of how far predictions have to go from 0.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 8)), 20 + rng.normal(size=60)
    weight = 10.0 ** rng.uniform(-300, -30, 60)
    weight[3], weight[7] = 1e-14, 1.0
    model = GradientRegressor(
        loss, alpha=0.1, l1_ratio=l1_ratio, fit_intercept=False, optimizer="adadelta",
        random_state=0,
    ).fit(X, y, sample_weight=weight)  # fmt: skip
    x, l1, l2 = X[7], 0.1 * l1_ratio, 0.1 * (1 - l1_ratio)

    def least(z):
        """The penalty of the smallest weights with which the row is predicted to be z."""
        dual = minimize_scalar(
            lambda u: np.sum(np.maximum(np.abs(u * x) - l1, 0) ** 2) / (2 * l2) - u * z,
            bounds=(0, 1e3), method="bounded", options={"xatol": 1e-12},
        )  # fmt: skip
        return -dual.fun

    best = minimize_scalar(
        lambda z: 0.5 * (2 if loss == "absolute_error" else 1) * abs(y[7] - z) + least(z),
        bounds=(0, 30), method="bounded", options={"xatol": 1e-10},
    ).fun  # fmt: skip
    found = 0.5 * (2 if loss == "absolute_error" else 1) * np.abs(y[7] - x @ model.coef_)
    found += l1 * np.abs(model.coef_).sum() + l2 / 2 * model.coef_ @ model.coef_
    assert found <= best * (1 + 1e-5)
    assert model.converged_


def test_epochs_that_changed_nothing_are_no_evidence():
    """Rejected epochs are not counted against n_iter_no_change."""
    X, y = prices(600)
    for loss in ("log_cosh", Huber(delta=1.35)):
        model = GradientRegressor(loss, early_stopping=True, random_state=0).fit(X, y)
        other = GradientRegressor("absolute_error", random_state=0).fit(X, y)
        errors = [np.abs(y - m.predict(X)).mean() for m in (model, other)]
        assert errors[0] <= 1.02 * errors[1]


@pytest.mark.parametrize("loss", ["gamma", "poisson", "tweedie"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_predictions_are_finite_or_it_diverged(optimizer, loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = 1e9 * np.exp(X @ [0.3, -0.2, 0.1] + 0.3 * rng.normal(size=100))
    model = GradientRegressor(loss, optimizer, precondition=False, max_iter=30, random_state=0)
    try:
        silently(model, X, y)
    except DivergenceError as error:
        assert "learning_rate" in str(error)
    else:
        assert np.isfinite(model.predict(X)).all()


def test_perceptron_at_zero_has_converged():
    X, y = classification_problem("separable")
    model = GradientClassifier("perceptron", alpha=0, random_state=0).fit(X, y)
    assert model.converged_ and model.loss_curve_[-1] == 0 and model.score(X, y) == 1
    X, y = classification_problem("flipped")
    assert not silently(GradientClassifier("perceptron", alpha=0, random_state=0), X, y).converged_


def message(model, X, y):
    with pytest.warns(ConvergenceWarning) as found:
        model.fit(X, y)
    return str(found[0].message)


class Absolute(RegressionLoss):
    """A loss with a breakpoint that it does not tell of."""

    smooth = False

    def loss_gradient(self, y, raw):
        return np.abs(raw - y), np.sign(raw - y)


def test_advice_fits_the_cause():
    X, y = prices()
    text = message(GradientRegressor("log_cosh", max_iter=2, random_state=0), X, y)
    assert "Increase max_iter (now 2)." in text and "auto" not in text
    text = message(
        GradientRegressor(max_iter=2, schedule="constant", learning_rate=1e-3, random_state=0), X, y
    )
    assert "ncrease max_iter (now 2), or use learning_rate='auto' and schedule='auto'" in text
    assert "precondition" not in text
    text = message(GradientRegressor("absolute_error", precondition=False, random_state=0), X, y)
    assert "precondition='auto'" in text and "schedule" not in text
    text = message(GradientRegressor(Absolute(), random_state=0), X, y)
    assert "No certificate" in text and "ncrease max_iter" not in text


def test_the_scale_of_residuals_with_l1_is_found_quickly(monkeypatch):
    """It starts each search where the last one ended."""
    rng = np.random.default_rng(0)
    X = sparse.random(120, 300, 0.02, random_state=0, format="csr")
    y = np.abs(X @ rng.normal(size=300) + 0.05 * rng.normal(size=120)) + 0.1
    searches = []
    original = huber_scale.minimise

    def counted(model, w, g, threshold):
        found = original(model, w, g, threshold)
        searches.append(np.count_nonzero(np.sign(found[0]) != np.sign(w)))
        return found

    monkeypatch.setattr(huber_scale, "minimise", counted)
    model = GradientRegressor("huber", alpha=1e-3, l1_ratio=1, random_state=0).fit(X, y)
    assert model.converged_ and len(searches) <= 100 and np.median(searches) <= 10
    assert_allclose(model.delta_, 0.15850, rtol=1e-3)
