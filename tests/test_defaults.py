"""What the defaults promise on raw data: the optimum, an honest certificate, equivariance.

The truth is independent of the package. Losses with curvature: Levenberg-Marquardt steps in scaled
coordinates, with the formulas written out below. Losses with kinks: linear programs, the penalty
replaced by tangents, whose optimum is a proven lower bound of the objective.

If two fits are within ``tol * F`` of one optimum, then by convexity their raw predictions z and z'
differ by ``mean(h * (z - z')**2) <= 4 * 2 * tol * F``, with h the second derivative of the loss
(constant between them, which so close to each other it is): ``4 * 2`` since each is within
``sqrt(2 tol F)`` of the optimum. With the squared error, h = 1, that is 0.1 of y's 77 on diabetes.
"""

import functools
import warnings

import numpy as np
import pytest
from catalogue import ESTIMATORS, OPTIMIZERS, STEPPING, combine, settable
from cover import pairwise
from scipy.linalg import lstsq
from scipy.optimize import linprog
from scipy.special import expit, log_softmax, xlogy
from sklearn.base import is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor

from sklearn_lossopt.losses import (
    EpsilonInsensitive,
    Huber,
    Quantile,
    SquaredEpsilonInsensitive,
)

ALPHA = 1e-4  # the estimators' default
TOL = 1e-6  # the estimators' default
DELTA, EPSILON, QUANTILE, POWER = 0.5, 0.2, 0.8, 1.5

# ------------------------------------------------------------------------------------ the truth


def huber(y, z, delta=DELTA):
    r = z - y
    size = np.minimum(np.abs(r), delta)
    return size * (np.abs(r) - size / 2), np.clip(r, -delta, delta), 1.0 * (np.abs(r) <= delta)


def log_cosh(y, z):
    r = np.abs(z - y)
    slope = np.tanh(z - y)
    return r + np.log1p(np.exp(-2 * r)) - np.log(2), slope, 1 - slope**2


def squared_epsilon_insensitive(y, z, epsilon=EPSILON):
    excess = np.maximum(np.abs(z - y) - epsilon, 0)
    return excess**2, 2 * excess * np.sign(z - y), 2.0 * (excess > 0)


def poisson(y, z):
    return xlogy(y, y) - y * z - y + np.exp(z), np.exp(z) - y, np.exp(z)


def gamma(y, z):
    ratio = y * np.exp(-z)
    return ratio - np.log(y) + z - 1, 1 - ratio, ratio


def tweedie(y, z, p=POWER):
    low, high = y * np.exp((1 - p) * z), np.exp((2 - p) * z)
    value = y ** (2 - p) / ((1 - p) * (2 - p)) - low / (1 - p) + high / (2 - p)
    return value, high - low, (2 - p) * high + (p - 1) * low


def log_loss(y, z):
    p = expit(-y * z)
    return np.logaddexp(0, -y * z), -y * p, p * (1 - p)


def squared_hinge(y, z):
    short = np.maximum(1 - y * z, 0)
    return short**2, -2 * y * short, 2.0 * (short > 0)


def modified_huber(y, z):
    m = y * z
    value, slope, curvature = squared_hinge(y, z)
    far = m < -1
    return np.where(far, -4 * m, value), np.where(far, -4 * y, slope), curvature * ~far


def exponential(y, z):
    value = np.exp(-y * z)
    return value, -y * value, value


# Functions of (y, z) that return value, first and second derivative a row.
SMOOTH = {
    "squared_error": lambda y, z: ((z - y) ** 2 / 2, z - y, np.ones_like(z)),
    "huber": huber,
    "log_cosh": log_cosh,
    "squared_epsilon_insensitive": squared_epsilon_insensitive,
    "poisson": poisson,
    "gamma": gamma,
    "tweedie": tweedie,
    "log_loss": log_loss,
    "squared_hinge": squared_hinge,
    "modified_huber": modified_huber,
    "exponential": exponential,
}
# Functions of y that return the terms (c, low, high) of a loss sum max(low (z - c), high (z - c)).
KINKED = {
    "absolute_error": lambda y: [(y, -1.0, 1.0)],
    "quantile": lambda y: [(y, -QUANTILE, 1 - QUANTILE)],
    "epsilon_insensitive": lambda y: [(y - EPSILON, -1.0, 0.0), (y + EPSILON, 0.0, 1.0)],
    "hinge": lambda y: [(y, np.where(y > 0, -1.0, 0.0), np.where(y > 0, 0.0, 1.0))],
}
CLASSIFICATION = ["log_loss", "squared_hinge", "modified_huber", "exponential", "hinge"]
REGRESSION = [loss for loss in [*SMOOTH, *KINKED] if loss not in CLASSIFICATION]
LOG_LINK = ["poisson", "gamma", "tweedie"]
PARAMETERS = {
    "huber": Huber(delta=DELTA),
    "quantile": Quantile(QUANTILE),
    "epsilon_insensitive": EpsilonInsensitive(EPSILON),
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive(EPSILON),
}


def values(loss, y, z):
    if loss in SMOOTH:
        return SMOOTH[loss](y, z)[0]
    return sum(np.maximum(low * (z - c), high * (z - c)) for c, low, high in KINKED[loss](y))


def signs(y):
    """+-1 of the classes in columns: one for two classes, else one a class."""
    classes = np.unique(y)
    return np.where(y[:, None] == (classes[1:] if len(classes) == 2 else classes), 1.0, -1.0)


def raw(model, X):
    """Predictions (n, k) before the link, to the last bit that the coefficients have."""
    coef = np.atleast_2d(model.coef_).astype(np.longdouble)
    return (X.astype(np.longdouble) @ coef.T + np.atleast_1d(model.intercept_)).astype(float)


def objective(model, loss, X, y, alpha=ALPHA):
    z = raw(model, X)
    if is_regressor(model):
        value = values(loss, y.astype(float)[:, None], z).mean()
    elif loss == "log_loss" and z.shape[1] > 1:
        codes = np.searchsorted(np.unique(y), y)
        value = -log_softmax(z, axis=1)[np.arange(len(y)), codes].mean()
    else:
        value = values(loss, signs(y), z).mean(axis=0).sum()
    return value + alpha / 2 * (model.coef_.astype(float) ** 2).sum()


def scaled(X, alpha, middle=np.mean):
    """Rows (n, d + 1) centred and scaled to squares of about 1, and the penalty's curvature."""
    X = X.astype(np.longdouble)
    Z = X - X.mean(axis=0) if X.shape[1] else X
    scale = np.sqrt(middle(Z**2, axis=0) + alpha) if X.shape[1] else np.ones(0)
    scale[scale == 0] = 1
    Z = np.column_stack([Z / scale, np.ones(len(X))]).astype(float)
    return Z, np.append(alpha / scale**2, 0).astype(float)


def minimise(evaluate, hessian, v):
    """Levenberg-Marquardt steps until none lowers the objective."""
    damping, (value, gradient, *state) = 1e-3, evaluate(v)
    for _ in range(1000):
        if damping > 1e8:
            break
        H = hessian(*state)
        H[np.diag_indices_from(H)] += max(damping, 1e-15)
        step = np.linalg.solve(H, gradient)
        if damping < 1e-10 and gradient @ step <= 1e-14 * abs(value):
            break
        with np.errstate(over="ignore", invalid="ignore"):
            trial = v - step
            new = evaluate(trial)
        if new[0] < value:
            v, (value, gradient, *state) = trial, new
            damping *= 0.1
        else:
            damping = max(damping, 1e-12) * 10
    return float(value)


def smooth_optimum(function, X, y, alpha):
    Z, penalty = scaled(X, alpha)

    def evaluate(v):
        value, slope, curvature = function(y, Z @ v)
        value = value.mean() + (penalty * v**2).sum() / 2
        return value, Z.T @ slope / len(y) + penalty * v, curvature

    def hessian(curvature):
        return (Z.T * curvature) @ Z / len(y) + np.diag(penalty)

    return minimise(evaluate, hessian, np.zeros(Z.shape[1]))


def softmax_optimum(X, y, alpha):
    Z, penalty = scaled(X, alpha)
    n, d = Z.shape
    Y = (signs(y) + 1) / 2
    k = Y.shape[1]

    def evaluate(v):
        V = v.reshape(k, d)
        log_p = log_softmax(Z @ V.T, axis=1)
        value = -(Y * log_p).sum() / n + (penalty * V**2).sum() / 2
        return value, ((np.exp(log_p) - Y).T @ Z / n + penalty * V).ravel(), np.exp(log_p)

    def hessian(p):
        H = np.empty((k, d, k, d))
        for r in range(k):
            for s in range(r + 1):
                H[r, :, s] = (Z.T * (p[:, r] * ((r == s) - p[:, s]) / n)) @ Z
                H[s, :, r] = H[r, :, s]
            H[r, :, r] += np.diag(penalty)
        return H.reshape(k * d, k * d)

    return minimise(evaluate, hessian, np.zeros(k * d))


def kinked_optimum(loss, X, y, alpha):
    """A lower bound of the optimum, and that to 1e-7 of the best constant's objective."""
    # HiGHS drops numbers below 1e-9, which is what an outlier's scale makes of the other rows'.
    Z, penalty = scaled(X, alpha, np.median)
    n, size = Z.shape
    terms = [np.broadcast_arrays(*term) for term in KINKED[loss](y)]
    q, free = len(terms), np.flatnonzero(penalty > 0)
    m = q * n
    blocks, right = [], []
    for i, (c, low, high) in enumerate(terms):
        out = np.zeros((n, m))
        out[:, i * n : (i + 1) * n] = -np.eye(n)
        for slope in (low, high):
            blocks.append(np.column_stack([slope[:, None] * Z, out, np.zeros((n, len(free)))]))
            right.append(slope * c)
    A, b = np.vstack(blocks), np.concatenate(right)
    cost = np.concatenate([np.zeros(size), np.full(m, 1 / n), np.ones(len(free))])
    bounds = [(None, None)] * (size + m) + [(0, None)] * len(free)
    start = constant_objective(loss, y)
    best = start
    for _ in range(40):
        solution = linprog(cost, A, b, bounds=bounds, method="highs")
        assert solution.status == 0, solution.message
        v = solution.x[:size]
        value = values(loss, y, Z @ v).mean() + (penalty * v**2).sum() / 2
        best = min(best, value)
        if best - solution.fun <= 1e-7 * start:
            break
        tangents = np.zeros((len(free), A.shape[1]))
        tangents[np.arange(len(free)), free] = penalty[free] * v[free]
        tangents[np.arange(len(free)), size + m + np.arange(len(free))] = -1
        A, b = np.vstack([A, tangents]), np.append(b, penalty[free] * v[free] ** 2 / 2)
    assert best - solution.fun <= 1e-5 * start
    return solution.fun


def constant_objective(loss, y):
    if loss in SMOOTH:
        return smooth_optimum(SMOOTH[loss], np.zeros((len(y), 0)), y, 0.0)
    kinks = np.concatenate([c for c, _, _ in KINKED[loss](y)])
    return min(values(loss, y, np.full(len(y), c)).mean() for c in kinks)


def truth(task, loss, X, y, alpha=ALPHA):
    """The best constant's objective and the optimum, of all columns together."""
    if loss == "log_loss" and len(np.unique(y)) > 2:
        return softmax_optimum(np.zeros((len(y), 0)), y, 0.0), softmax_optimum(X, y, alpha)
    columns = [y.astype(float)] if task == "regression" else signs(y).T
    constant = sum(constant_objective(loss, column) for column in columns)
    if loss in SMOOTH:
        optimum = sum(smooth_optimum(SMOOTH[loss], X, column, alpha) for column in columns)
    else:
        optimum = sum(kinked_optimum(loss, X, column, alpha) for column in columns)
    return constant, min(constant, optimum)


def task_of(loss):
    return "classification" if loss in CLASSIFICATION else "regression"


def fit(name, X, y, optimizer="adam", **parameters):
    """A fit with defaults; a warning other than ConvergenceWarning is an error."""
    parameters = {"loss": PARAMETERS.get(name, name), "random_state": 0, **parameters}
    model = ESTIMATORS[task_of(name)](optimizer=optimizer, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


# --------------------------------------------------------------------------------- the optimum


def gap(model, loss, X, y, alpha=ALPHA):
    constant, optimum = truth(task_of(loss), loss, X, y, alpha)
    return (objective(model, loss, X, y, alpha) - optimum) / (constant - optimum)


def test_squared_error_reaches_the_closed_form():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = fit("squared_error", X, y)
    rows = np.vstack([X - X.mean(axis=0), np.sqrt(ALPHA * len(X)) * np.eye(X.shape[1])])
    coef = lstsq(rows, np.append(y - y.mean(), np.zeros(X.shape[1])))[0]
    best = ((y - y.mean() - rows[: len(X)] @ coef) ** 2).mean() / 2 + ALPHA / 2 * coef @ coef
    reached = objective(model, "squared_error", X, y)
    assert abs(reached - best) <= 1e-6 * (y.var() / 2 - best)
    assert model.converged_


def test_huber_reaches_the_optimum_for_the_scale_it_found(monkeypatch):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = fit("huber", X, y, loss="huber")
    assert 10 < model.delta_ < 200
    monkeypatch.setitem(SMOOTH, "huber", functools.partial(huber, delta=model.delta_))
    assert abs(gap(model, "huber", X, y)) <= 1e-6
    assert model.converged_


@pytest.mark.parametrize("optimizer", ["adam", "gradient_descent", "sgd"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_log_loss_reaches_newton(load, optimizer):
    X, y = load(return_X_y=True)
    model = fit("log_loss", X, y, optimizer)
    assert abs(gap(model, "log_loss", X, y)) <= 1e-6
    assert model.converged_


def test_log_loss_reaches_newton_on_digits():
    X, y = load_digits(return_X_y=True)
    model = fit("log_loss", X[::6], y[::6])
    assert abs(gap(model, "log_loss", X[::6], y[::6])) <= 1e-6
    assert model.converged_


@pytest.mark.parametrize("loss", KINKED)
def test_kinks_reach_the_linear_programs_bound(loss):
    load = load_breast_cancer if loss == "hinge" else load_diabetes
    X, y = load(return_X_y=True)
    if loss != "hinge":
        X, y = load_diabetes(return_X_y=True, scaled=False)
    X, y = X[:150, :10], y[:150]
    model = fit(loss, X, y)
    assert -1e-6 <= gap(model, loss, X, y) <= 1e-4
    assert model.converged_


@pytest.mark.parametrize("alpha", [1e-4, 1e-2])
@pytest.mark.parametrize(
    "loss, peer",
    [("poisson", PoissonRegressor), ("gamma", GammaRegressor), ("tweedie", TweedieRegressor)],
)
def test_deviances_agree_with_scikit_learn(loss, peer, alpha):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    options = {"power": POWER, "link": "log"} if loss == "tweedie" else {}
    peer = peer(alpha=alpha, solver="newton-cholesky", tol=1e-12, max_iter=1000, **options)
    # Its Newton steps start from coefficients of 0 and overflow on raw columns.
    peer.fit(X - X.mean(axis=0), y)
    model = fit(loss, X, y, alpha=alpha)
    assert np.linalg.norm(model.coef_ - peer.coef_) <= 1e-4 * np.linalg.norm(peer.coef_)
    np.testing.assert_allclose(model.predict(X), peer.predict(X - X.mean(axis=0)), rtol=1e-4)


# ------------------------------------------------------------------------------- certificates


def nasty(name, dtype):
    """Rows that make optimizers fail, and a target of size 1 with a share explained."""
    rng = np.random.default_rng(7)
    n, d, noise = {"wide": (20, 40, 0.3), "tiny": (5, 3, 0.3)}.get(name, (60, 4, 0.3))
    if name in ("perfect", "nearly separable"):
        noise = 0.0
    X = rng.standard_t(1, size=(n, d)) if name == "heavy tails" else rng.normal(size=(n, d))
    signal = X @ rng.normal(size=d)
    score = np.clip(signal / np.median(np.abs(signal)), -5, 5) + noise * rng.normal(size=n)
    if name == "perfect":
        score = signal / signal.std()
    elif name == "scales":
        X *= 10.0 ** np.array([-8, -3, 3, 8])
    elif name == "offset":
        # An intercept of 1e6 in float32 would leave predictions one digit.
        X += (1e6 if dtype == "float64" else 1e3) * np.array([1, -1, 0.5, 0])
    elif name == "constant columns":
        X[:, 1], X[:, 2] = 0.0, 7.3
    elif name == "duplicates":
        X = np.column_stack([X, X, -X[:, 0], X[:, 1] + X[:, 2]])
    elif name == "outlier":
        X[0] *= 1e6
        score[0] = 5.0
    elif name == "rounded":
        X, score = np.round(X), np.round(score)
    labels = (score > np.median(score)).astype(int)
    if name == "nearly separable":
        labels[np.argsort(np.abs(signal))[:1]] ^= 1
    if name == "equal targets":
        score = np.full(n, 2.5)
    return X, score, labels


NASTY = [
    "scales", "offset", "constant columns", "duplicates", "wide", "heavy tails", "outlier", "tiny",
    "perfect", "nearly separable", "rounded", "equal targets",
]  # fmt: skip


@functools.cache
def nasty_problem(name, loss, dtype):
    X, score, labels = nasty(name, dtype)
    y = labels if loss in CLASSIFICATION else np.exp(score / 2) if loss in LOG_LINK else score
    X = X.astype(dtype)
    y = y.astype(dtype) if loss not in CLASSIFICATION else y
    return X, y, *truth(task_of(loss), loss, X, y)


NASTY_CASES = [
    (name, loss)
    for name in NASTY
    for loss in [*SMOOTH, *KINKED]
    if not (name == "equal targets" and loss in CLASSIFICATION)
]


def rounding(dtype):
    """Of an objective of typical size 1."""
    return 10 * np.finfo(dtype).eps


@pairwise(
    "name, loss, dtype",
    [(*case, dtype) for case in NASTY_CASES for dtype in ("float64", "float32")],
    precondition=["auto", "whiten", "scale"],
)
def test_no_data_break_a_fit(name, loss, dtype, precondition):
    X, y, constant, optimum = nasty_problem(name, loss, dtype)
    model = fit(loss, X, y, precondition=precondition)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    assert type(model.converged_) is bool
    reached = objective(model, loss, X, y)
    assert reached <= constant + rounding(dtype)
    assert reached >= optimum - 1e-6 * constant - rounding(dtype)
    if model.converged_ and (loss in SMOOTH or precondition != "scale"):
        assert reached - optimum <= max(1e-3 * (constant - optimum), TOL * reached) + rounding(
            dtype
        )


@pytest.mark.parametrize(
    "name, loss", [(name, loss) for name, loss in NASTY_CASES if name != "equal targets"]
)
def test_defaults_solve_nasty_problems(name, loss):
    X, y, constant, optimum = nasty_problem(name, loss, "float64")
    model = fit(loss, X, y)
    share = 1e-6 if loss in SMOOTH else 1e-4
    assert objective(model, loss, X, y) - optimum <= share * (constant - optimum)
    # Next to that row, rounding alone moves predictions beyond where the estimate is believed.
    assert model.converged_ or (name == "outlier" and loss in ("log_loss", "exponential"))


def test_runs_cut_short_do_not_claim_convergence():
    unfinished = 0
    for name, loss in NASTY_CASES:
        X, y, constant, optimum = nasty_problem(name, loss, "float64")
        model = fit(loss, X, y, max_iter=2)
        if objective(model, loss, X, y) - optimum > max(1e-3 * (constant - optimum), 1e-9):
            unfinished += 1
            assert not model.converged_, (name, loss)
    assert unfinished > 10


# ------------------------------------------------------------------------------- equivariance

# The power of c by which a loss grows when its targets do, c times.
DEGREE = {
    "squared_error": 2, "squared_epsilon_insensitive": 2, "huber": 2, "poisson": 1, "gamma": 0,
    "tweedie": 2 - POWER, "absolute_error": 1, "quantile": 1, "epsilon_insensitive": 1,
}  # fmt: skip


def sample(loss):
    """Correlated columns and a noisy target of size 1 that no model separates or interpolates."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4)
    score = X @ rng.normal(size=4)
    score = score / score.std() + 0.7 * rng.standard_t(4, size=120)
    if loss in CLASSIFICATION:
        return X, (score > 0.3).astype(int)
    return X, np.exp(score / 2) if loss in LOG_LINK else score


def assert_same_predictions(loss, y, z, other, value, noise=0.0):
    """Raw predictions z and other differ by no more than two optima within tol; see the top.

    Without curvature the bound does not say anything. But a small data set ends with a direct
    solution, on the very rows that define it.
    """
    assert np.shape(z) == np.shape(other)
    scale = z.std()
    if loss not in SMOOTH:
        assert np.abs(z - other).max() <= (1e-6 + noise) * scale
        return
    target = y.astype(float)[:, None] if task_of(loss) == "regression" else signs(y)
    curvature = SMOOTH[loss](target, z)[2]
    assert (curvature * (z - other) ** 2).mean() <= 8 * TOL * value
    # It ends with Newton's step, whose error is of second order.
    assert np.abs(z - other).max() <= (1e-3 + noise) * scale


COVER = [(loss, optimizer) for loss in [*SMOOTH, *KINKED] for optimizer in OPTIMIZERS]
COVER = [
    (loss, optimizer)
    for loss, optimizer in COVER
    if (optimizer in ("adam", "gradient_descent") or loss == "log_loss")
    and combine(loss, optimizer)
]


@pytest.mark.parametrize("loss, optimizer", COVER)
def test_features_in_other_units(loss, optimizer):
    X, y = sample(loss)
    alpha = 0.01
    model = fit(loss, X, y, optimizer, alpha=alpha)
    z, value = raw(model, X), objective(model, loss, X, y, alpha)
    assert model.converged_
    for c in (1e-6, 1e-3, 1e6):
        other = fit(loss, c * X, y, optimizer, alpha=c**2 * alpha)
        assert abs(objective(other, loss, c * X, y, c**2 * alpha) - value) <= TOL * value
        assert_same_predictions(loss, y, z, raw(other, c * X), value)
        assert other.converged_


@pytest.mark.parametrize("loss, optimizer", COVER)
def test_every_feature_in_a_unit_of_its_own(loss, optimizer):
    X, y = sample(loss)
    model = fit(loss, X, y, optimizer, alpha=0)
    z, value = raw(model, X), objective(model, loss, X, y, 0)
    for powers in ([-6, 6, 0, 3], [6, 2, -6, -1]):
        moved = X * 10.0 ** np.array(powers)
        other = fit(loss, moved, y, optimizer, alpha=0)
        assert abs(objective(other, loss, moved, y, 0) - value) <= TOL * value
        assert_same_predictions(loss, y, z, raw(other, moved), value)


@pytest.mark.parametrize("loss, optimizer", COVER)
def test_features_from_another_origin(loss, optimizer):
    X, y = sample(loss)
    model = fit(loss, X, y, optimizer)
    z, value = raw(model, X), objective(model, loss, X, y)
    for shift in (1e3, 1e6):
        moved = X + shift * X.std(axis=0) * np.array([1, -1, 0.3, 1])
        other = fit(loss, moved, y, optimizer)
        assert abs(objective(other, loss, moved, y) - value) <= TOL * value
        # The sum's last bit, and what coefficients that differ in theirs make of it.
        assert_same_predictions(loss, y, z, raw(other, moved), value, shift * 1e-12)
        np.testing.assert_allclose(other.predict(moved), model.predict(X), rtol=1e-3, atol=1e-3)


@pairwise(
    "loss, optimizer",
    [pair for pair in COVER if pair[0] in DEGREE and pair[0] not in LOG_LINK],
    units=[(1e-6, 0), (1e6, 0), (1, 1e6), (-1e3, 1e8)],
)
def test_targets_in_other_units(loss, optimizer, units):
    c, shift = units
    if loss == "quantile":
        c = abs(c)
    X, y = sample(loss)
    degree, alpha = DEGREE[loss], 0.01
    model = fit(loss, X, y, optimizer, alpha=alpha, loss=in_training_units(loss, 1))
    z, value = raw(model, X), objective(model, loss, X, y, alpha)
    other = fit(
        loss, X, c * y + shift, optimizer, loss=in_training_units(loss, abs(c)),
        alpha=abs(c) ** (degree - 2) * alpha,
    )  # fmt: skip
    back = (raw(other, X) - shift) / c
    assert_same_predictions(loss, y, z, back, value, 1e-15 * abs(shift / c))
    assert model.converged_ and other.converged_


def in_training_units(loss, c):
    """The loss with the parameters that are in units of y given in others."""
    kinds = {
        "huber": lambda: Huber(DELTA * c),
        "epsilon_insensitive": lambda: EpsilonInsensitive(EPSILON * c),
        "squared_epsilon_insensitive": lambda: SquaredEpsilonInsensitive(EPSILON * c),
    }
    return kinds[loss]() if loss in kinds else PARAMETERS.get(loss, loss)


@pytest.mark.parametrize("c", [1e-6, 1e3])
@pytest.mark.parametrize("loss, optimizer", [pair for pair in COVER if pair[0] in LOG_LINK])
def test_positive_targets_in_other_units(loss, optimizer, c):
    X, y = sample(loss)
    model = fit(loss, X, y, optimizer, alpha=0.01)
    other = fit(loss, X, c * y, optimizer, alpha=0.01 * c ** DEGREE[loss])
    value = objective(model, loss, X, y, 0.01)
    assert_same_predictions(loss, y, raw(model, X), raw(other, X) - np.log(c), value)
    np.testing.assert_allclose(other.predict(X), c * model.predict(X), rtol=1e-3)


@pytest.mark.parametrize("c, shift", [(1e-6, 0), (1e6, 0), (1, 1e6), (-1e3, 1e6)])
def test_hubers_automatic_delta_is_in_units_of_y(c, shift):
    X, y = sample("huber")
    model = fit("huber", X, y, loss="huber")
    other = fit("huber", X, c * y + shift, loss="huber")
    assert other.delta_ == pytest.approx(abs(c) * model.delta_, rel=1e-6)
    np.testing.assert_allclose((other.predict(X) - shift) / c, model.predict(X), atol=1e-4)


@pytest.mark.parametrize("loss, optimizer", COVER)
def test_rows_and_columns_in_another_order(loss, optimizer):
    X, y = sample(loss)
    model = fit(loss, X, y, optimizer)
    z, value = raw(model, X), objective(model, loss, X, y)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    other = fit(loss, X[rows], y[rows], optimizer)
    assert_same_predictions(loss, y, z, raw(other, X), value)
    other = fit(loss, X[:, columns], y, optimizer)
    assert_same_predictions(loss, y, z, raw(other, X[:, columns]), value)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "hinge"])
def test_many_classes_in_other_units(loss):
    X, _ = sample(loss)
    score = X @ np.random.default_rng(1).normal(size=(4, 3))
    y = (score + np.random.default_rng(2).normal(size=score.shape)).argmax(axis=1)
    model = fit(loss, X, y, alpha=0.01)
    value = objective(model, loss, X, y, 0.01)
    assert abs(value - truth("classification", loss, X, y, 0.01)[1]) <= 1e-5 * value
    shift = 1e5 * X.std(axis=0)
    for c in (1e-6, 1e4):
        moved = c * (X + shift)
        other = fit(loss, moved, y, alpha=c**2 * 0.01)
        assert abs(objective(other, loss, moved, y, c**2 * 0.01) - value) <= TOL * value
        np.testing.assert_allclose(
            other.decision_function(moved), model.decision_function(X), atol=1e-3
        )


# ------------------------------------------------------------------------------ textbook mode

TEXTBOOK = {"precondition": False, "schedule": "constant", "learning_rate": 0.05}


def textbook(optimizer, **parameters):
    X, y = sample("squared_error")
    parameters |= settable(optimizer, batch_size=32, **TEXTBOOK)
    return fit("squared_error", X, y, optimizer, **parameters)


@pytest.mark.parametrize("optimizer", STEPPING)
def test_the_stopping_rule_leaves_textbook_iterates_alone(optimizer):
    plain = textbook(optimizer, tol=0, max_iter=9)
    for tol, patience in ((1e-14, 1), (1e-14, 50), (10.0, 50)):
        model = textbook(optimizer, tol=tol, n_iter_no_change=patience, max_iter=9)
        assert model.n_iter_ <= 9
        same = textbook(optimizer, tol=0, max_iter=model.n_iter_)
        np.testing.assert_array_equal(model.coef_, same.coef_)
        np.testing.assert_array_equal(model.intercept_, same.intercept_)
    # With that much patience nothing stops early.
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    stopped = textbook(optimizer, tol=10.0, n_iter_no_change=2, max_iter=9)
    assert stopped.n_iter_ == 3
    same = textbook(optimizer, tol=0, max_iter=3)
    np.testing.assert_array_equal(stopped.coef_, same.coef_)


@pytest.mark.parametrize("tol", [0, 1e-12])
def test_textbook_gradient_descent_is_the_formula(tol):
    X, y = sample("squared_error")
    model = fit("squared_error", X, y, "gradient_descent", tol=tol, max_iter=8, **TEXTBOOK)
    w, b = np.zeros(4), 0.0
    for _ in range(8):
        r = X @ w + b - y
        w, b = w - 0.05 * (X.T @ r / len(y) + ALPHA * w), b - 0.05 * r.mean()
    np.testing.assert_allclose(model.coef_, w, rtol=1e-12)
    np.testing.assert_allclose(model.intercept_, b, rtol=1e-12)
