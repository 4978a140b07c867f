"""The l1 penalty: optima of other solvers, duality gaps, linear programmes; exact zeros; honest
certificates; the steps of a NumPy twin."""

import pickle
import warnings

import numpy as np
import pytest
from catalogue import OPTIMIZERS, PAIRS, make, make_data, optimizer_of, same_model
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from reference import LOSSES, one_vs_rest, textbook_fit
from scipy import sparse
from scipy.linalg import null_space
from scipy.optimize import linprog, minimize
from scipy.special import expit, logsumexp, xlogy
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression, QuantileRegressor
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data
from test_trajectories import OPTIMIZER_RANGES, draw, make_problem, parameters, relative_error
from test_trajectories import textbook as textbook_model

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses, optimizers

# Not those that need a smooth objective.
PROXIMAL = [name for name in OPTIMIZERS if not optimizer_of(name).needs_smooth]

DIABETES = load_diabetes(return_X_y=True, scaled=False)
# Without second derivatives or kinks to go by: what the optimizer alone reaches.
LEARNING = [pair for pair in PAIRS if pair[1] not in ("perceptron",)]


def standardised(X, y):
    return StandardScaler().fit_transform(X), y


def polynomial(X, y, degree=2):
    return PolynomialFeatures(degree, include_bias=False).fit_transform(X), y


def wide(n=100, d=2000, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, size=d) + rng.normal(size=d)
    return X, X[:, :8] @ rng.normal(size=8) + rng.normal(size=n)


# Truths -------------------------------------------------------------------------------------------


def penalty(coef, alpha, l1_ratio):
    return alpha * ((1 - l1_ratio) / 2 * np.sum(coef**2) + l1_ratio * np.abs(coef).sum())


def squares(model, X, y):
    raw = X @ model.coef_ + model.intercept_
    return np.mean((y - raw) ** 2) / 2 + penalty(model.coef_, model.alpha, model.l1_ratio)


def log_losses(model, X, y, alpha, l1_ratio):
    raw = X @ model.coef_.T + model.intercept_
    code = np.searchsorted(model.classes_, y)
    if raw.shape[1] == 1:
        raw = np.column_stack([np.zeros(len(y)), raw[:, 0]])
    value = logsumexp(raw, axis=1) - raw[np.arange(len(y)), code]
    return value.mean() + penalty(model.coef_, alpha, l1_ratio)


def dual_penalty(slopes, alpha, l1_ratio):
    """The least of slopes.w + penalty(w), where it is finite."""
    if l1_ratio == 1:
        return 0.0
    over = np.maximum(np.abs(slopes) - alpha * l1_ratio, 0)
    return -np.sum(over**2) / (2 * alpha * (1 - l1_ratio))


def feasible(slopes, alpha, l1_ratio):
    """What a dual is multiplied by, so that the penalty's conjugate is finite."""
    return 1.0 if l1_ratio < 1 else min(1.0, alpha / max(np.abs(slopes).max(), 1e-300))


def balanced(r, curvature, X, coef, alpha, l1_ratio):
    """The dual nearest to r whose products with the columns used are what the penalty asks for,
    and with the intercept's 0: rounding of large columns would otherwise make the bound loose."""
    used, r = coef != 0, r.astype(np.longdouble)
    A = np.column_stack([X[:, used] - X[:, used].mean(axis=0), np.ones(len(X))])
    size = np.sqrt((A**2).sum(axis=0))
    wanted = alpha * (l1_ratio * np.sign(coef[used]) + (1 - l1_ratio) * coef[used]) * len(r)
    wanted, root = np.append(wanted, 0.0), np.sqrt(curvature)
    across = (A / size).T * root
    for _ in range(3):
        # Products in more digits, for columns that are large beside the penalty.
        left = ((wanted - A.T.astype(np.longdouble) @ r) / size).astype(float)
        r = r + root * np.linalg.lstsq(across, left, rcond=1e-15)[0]
    return r


def squares_gap(model, X, y):
    """Duality gap of a fit with the squared error: a bound of F - F*, whoever found it."""
    r = y - X @ model.coef_ - model.intercept_
    r = balanced(r, np.ones(len(y)), X, model.coef_, model.alpha, model.l1_ratio)
    slopes = X.T.astype(np.longdouble) @ r / len(y)
    s = feasible(slopes, model.alpha, model.l1_ratio)
    dual = np.mean(s * r * y - (s * r) ** 2 / 2)
    return squares(model, X, y) - dual - dual_penalty(s * slopes, model.alpha, model.l1_ratio)


def log_loss_gap(model, X, y):
    """The same for the binary log loss."""
    sign = np.where(y == model.classes_[1], 1, -1)
    u = expit(-sign * (X @ model.coef_[0] + model.intercept_[0]))
    u = balanced(sign * u, u * (1 - u), X, model.coef_[0], model.alpha, model.l1_ratio)
    u = sign * u.astype(float)
    assert -1e-30 < u.min() <= u.max() <= 1
    u = np.maximum(u, 0)
    slopes = X.T @ (sign * u) / len(y)
    s = feasible(slopes, model.alpha, model.l1_ratio)
    dual = -np.mean(xlogy(s * u, s * u) + xlogy(1 - s * u, 1 - s * u))
    dual += dual_penalty(s * slopes, model.alpha, model.l1_ratio)
    return log_losses(model, X, y, model.alpha, model.l1_ratio) - dual


def solve_split(loss, X, y, weight, alpha, l1_ratio, loss_params):
    """The optimum by L-BFGS-B on the coefficients' positive and negative parts, and the
    objective as a function of (k, d + 1)."""
    k = 1 if y.ndim == 1 else y.shape[1]
    if loss == "softmax":
        k = y.max() + 1
    d, share = X.shape[1], weight / weight.sum()

    def smooth(theta):
        raw = X @ theta[:, :d].T + theta[:, d]
        value, g = LOSSES[loss](y, raw if k > 1 else raw[:, 0], **loss_params)
        g = g.reshape(len(X), -1) * share[:, None]
        coef = theta[:, :d]
        gradient = np.column_stack([g.T @ X + alpha * (1 - l1_ratio) * coef, g.sum(axis=0)])
        return share @ value + alpha * (1 - l1_ratio) / 2 * np.sum(coef**2), gradient

    def objective(theta):
        return smooth(theta)[0] + alpha * l1_ratio * np.abs(theta[:, :d]).sum()

    def split(v):
        plus, minus, intercept = np.split(v, [k * d, 2 * k * d])
        theta = np.column_stack([(plus - minus).reshape(k, d), intercept])
        value, g = smooth(theta)
        l1 = alpha * l1_ratio
        flat = g[:, :d].ravel()
        return value + l1 * (plus + minus).sum(), np.concatenate([flat + l1, l1 - flat, g[:, d]])

    bounds = [(0, None)] * (2 * k * d) + [(None, None)] * k
    start = np.zeros(2 * k * d + k)
    start[2 * k * d :] = 0.1
    for _ in range(5):
        found = minimize(
            split,
            start,
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-12},
        )
        start = found.x
    return found.fun, objective


def solve_linear_programme(X, kinks, l1, share):
    """The least weighted sum of kinks, max(low (z - c), high (z - c)), plus l1 |w|."""
    n, d = X.shape
    rows, right, cost = [], [], [np.full(2 * d, l1), np.zeros(2)]
    rising = sparse.csr_array(np.hstack([X, -X, np.ones((n, 1)), -np.ones((n, 1))]))
    for i, (c, low, high) in enumerate(kinks):
        signs = [(i == j) * sparse.eye_array(n) for j in range(len(kinks))]
        rows.append(sparse.hstack([rising, *(part for s in signs for part in (-s, s))]))
        right.append(np.broadcast_to(c, n))
        cost += [share * high, -share * low]
    found = linprog(
        np.concatenate(cost),
        A_eq=sparse.vstack(rows).tocsr(),
        b_eq=np.concatenate(right),
        bounds=(0, None),
        method="highs",
    )
    assert found.status == 0
    return found.fun


def kinks_of(name, y, **parameters):
    """Written from the formulas."""
    one = np.ones(len(y))
    if name == "hinge":
        return [(y, np.where(y > 0, -one, 0), np.where(y > 0, 0, one))]
    if name == "epsilon_insensitive":
        epsilon = parameters["epsilon"]
        return [(y - epsilon, -one, 0 * one), (y + epsilon, 0 * one, one)]
    q = parameters.get("quantile", 0.5)
    factor = 2 if name == "absolute_error" else 1
    return [(y, -factor * q * one, factor * (1 - q) * one)]


# Optima -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", PROXIMAL)
@pytest.mark.parametrize("alpha, l1_ratio", [(0.5, 1.0), (0.1, 0.5)])
def test_lasso_and_elastic_net_with_every_optimizer(optimizer, alpha, l1_ratio):
    X, y = DIABETES
    model = make("regression", "squared_error", optimizer, alpha=alpha, l1_ratio=l1_ratio)
    model.fit(X, y)
    best = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000).fit(X, y)
    assert squares(model, X, y) <= squares(best, X, y) * (1 + 1e-9)
    assert_array_equal(model.coef_ != 0, best.coef_ != 0)
    assert_allclose(model.coef_, best.coef_, rtol=1e-4, atol=1e-6 * np.abs(best.coef_).max())
    assert model.converged_ and model.n_iter_ <= 20


@pytest.mark.parametrize("optimizer", PROXIMAL)
@pytest.mark.parametrize("data", [load_breast_cancer, load_wine])
def test_logistic_regression_with_every_optimizer(data, optimizer):
    X, y = standardised(*data(return_X_y=True))
    alpha, l1_ratio = 0.02, 0.8
    model = make("classification", "log_loss", optimizer, alpha=alpha, l1_ratio=l1_ratio).fit(X, y)
    best = LogisticRegression(
        solver="saga",
        C=1 / (len(y) * alpha),
        l1_ratio=l1_ratio,
        tol=1e-9,
        max_iter=10_000,
        random_state=0,
    ).fit(X, y)
    found, least = (log_losses(m, X, y, alpha, l1_ratio) for m in (model, best))
    assert found <= least * (1 + 1e-7)
    assert_array_equal(model.coef_ != 0, best.coef_ != 0)
    assert model.converged_ and model.n_iter_ <= 30


@pytest.mark.slow
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_many_classes(l1_ratio):
    X, y = load_digits(return_X_y=True)
    X, y = X[:250], y[:250]
    model = GradientClassifier(alpha=0.02, l1_ratio=l1_ratio, random_state=0).fit(X, y)
    best = LogisticRegression(
        solver="saga",
        C=1 / (len(y) * 0.02),
        l1_ratio=l1_ratio,
        tol=1e-7,
        max_iter=5000,
        random_state=0,
    ).fit(X, y)
    found, least = (log_losses(m, X, y, 0.02, l1_ratio) for m in (model, best))
    assert found <= least * (1 + 1e-6)
    assert model.converged_


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1e-3, 1e-2])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("degree", [1, 2])
def test_raw_classification(degree, alpha, l1_ratio):
    X, y = polynomial(*load_breast_cancer(return_X_y=True), degree)
    model = GradientClassifier(alpha=alpha, l1_ratio=l1_ratio, random_state=0).fit(X, y)
    assert model.converged_ and model.n_iter_ <= 60
    assert log_loss_gap(model, X, y) <= 3e-6 * log_losses(model, X, y, alpha, l1_ratio)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1e-6, 1e-2, 1.0])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_raw_polynomials(degree, alpha, l1_ratio):
    X, y = polynomial(*DIABETES, degree)
    model = GradientRegressor(alpha=alpha, l1_ratio=l1_ratio, random_state=0).fit(X, y)
    assert model.converged_ and model.n_iter_ <= 20
    # The bound is loose where a dual has to be scaled down by much.
    assert squares_gap(model, X, y) <= 2e-6 * squares(model, X, y)


@pytest.mark.slow
@pytest.mark.parametrize("alpha, l1_ratio", [(0.05, 1.0), (0.5, 1.0), (0.1, 0.5), (0.5, 0.05)])
def test_more_columns_than_rows(alpha, l1_ratio):
    X, y = wide()
    model = GradientRegressor(alpha=alpha, l1_ratio=l1_ratio, random_state=0).fit(X, y)
    best = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-10, max_iter=100_000).fit(X, y)
    assert model.converged_ and model.n_iter_ <= 10
    assert squares(model, X, y) <= squares(best, X, y) * (1 + 1e-7)
    assert np.mean((model.coef_ != 0) == (best.coef_ != 0)) > 0.999


def test_more_columns_than_rows_classified():
    X, y = wide(120, 1500)
    y = y > np.median(y)
    model = GradientClassifier(alpha=0.02, l1_ratio=0.9, random_state=0).fit(X, y)
    assert model.converged_ and model.n_iter_ <= 20
    assert log_loss_gap(model, X, y) <= 3e-6 * log_losses(model, X, y, 0.02, 0.9)
    assert np.count_nonzero(model.coef_) < 120


@pytest.mark.slow
def test_many_classes_and_columns():
    """More coefficients than one matrix is made for, coupled by softmax."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 400))
    y = (X[:, :9] @ rng.normal(size=(9, 4))).argmax(axis=1)
    model = GradientClassifier(alpha=0.01, l1_ratio=0.9, random_state=0).fit(X, y)
    best = LogisticRegression(
        solver="saga", C=1 / (len(y) * 0.01), l1_ratio=0.9, tol=1e-7, max_iter=3000, random_state=0
    ).fit(X, y)
    found, least = (log_losses(m, X, y, 0.01, 0.9) for m in (model, best))
    assert model.converged_ and found <= least * (1 + 1e-6)


SMOOTH = [pair for pair in LEARNING if losses.registry()[pair[1]]().smooth]
LOSS_PARAMETERS = {
    "huber": {"delta": 0.7},
    "squared_epsilon_insensitive": {"epsilon": 0.1},
    "tweedie": {"power": 1.5},
}


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("task, loss", SMOOTH)
def test_every_smooth_loss(task, loss, n_targets):
    X, y = make_data(task, loss, n=80, d=6, n_targets=n_targets)
    twin_y, twin = y, loss
    if task == "classification":
        twin_y = 2.0 * y - 1
        if n_targets > 1:
            joint = losses.registry()[loss].joint
            twin_y, twin = (y, "softmax") if joint else (one_vs_rest(y, n_targets + 1), loss)
    weight = np.random.default_rng(1).uniform(0.2, 3, len(y))
    given = LOSS_PARAMETERS.get(loss, {})
    component = losses.registry()[loss](**given)
    model = make(task, component, alpha=0.05, l1_ratio=0.7).fit(X, y, sample_weight=weight)
    least, objective = solve_split(twin, X, twin_y, weight, 0.05, 0.7, given)
    found = objective(parameters(model, y))
    assert model.converged_
    assert -1e-7 * abs(least) <= found - least <= 1e-6 * abs(least)


@pytest.mark.parametrize("alpha", [0.003, 0.05, 0.3])
@pytest.mark.parametrize(
    "loss, given",
    [
        ("absolute_error", {}),
        ("quantile", {"quantile": 0.85}),
        ("epsilon_insensitive", {"epsilon": 12.0}),
        ("hinge", {}),
    ],
)
def test_kinks_against_linear_programmes(loss, given, alpha):
    task = "classification" if loss == "hinge" else "regression"
    X, y = load_breast_cancer(return_X_y=True) if loss == "hinge" else DIABETES
    target = 2.0 * y - 1 if loss == "hinge" else y
    weight = np.random.default_rng(0).uniform(0.2, 3, len(y))
    model = make(task, losses.registry()[loss](**given), alpha=alpha, l1_ratio=1.0)
    model.fit(X, y, sample_weight=weight)
    kinks, share = kinks_of(loss, target, **given), weight / weight.sum()
    least = solve_linear_programme(X, kinks, alpha, share)
    raw = X @ np.ravel(model.coef_) + model.intercept_
    found = sum(share @ np.maximum(low * (raw - c), high * (raw - c)) for c, low, high in kinks)
    found += alpha * np.abs(model.coef_).sum()
    assert found <= least * (1 + 1e-6)
    assert model.converged_ and model.n_iter_ <= 60


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_several_targets_are_fitted_one_by_one(l1_ratio):
    X, y = make_data("regression", n=100, d=8, n_targets=3)
    for loss in ("squared_error", "absolute_error"):
        together = make("regression", loss, alpha=0.1, l1_ratio=l1_ratio).fit(X, y)
        for column in range(3):
            alone = make("regression", loss, alpha=0.1, l1_ratio=l1_ratio).fit(X, y[:, column])
            assert_allclose(together.coef_[column], alone.coef_, rtol=1e-5, atol=1e-6)
            assert_array_equal(together.coef_[column] != 0, alone.coef_ != 0)


@pytest.mark.parametrize(
    "task, loss",
    [
        ("regression", "squared_error"),
        ("regression", "absolute_error"),
        ("regression", "log_cosh"),
        ("classification", "log_loss"),
        ("classification", "hinge"),
    ],
)
@pytest.mark.parametrize("n_targets", [1, 3])
def test_sparse_rows_have_the_optimum_of_dense_ones(task, loss, n_targets):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 25)) * (rng.random((200, 25)) < 0.3)
    score = X[:, :12] @ rng.normal(size=(12, n_targets + 1)) + rng.normal(size=(200, n_targets + 1))
    if task == "classification":
        y = score.argmax(axis=1)
    else:
        y = score[:, 0] if n_targets == 1 else score[:, :n_targets]
    dense, csr = (
        make(task, loss, alpha=0.03, l1_ratio=0.9, tol=1e-7).fit(rows, y)
        for rows in (X, sparse.csr_array(X))
    )
    assert csr.converged_ and dense.converged_
    assert_allclose(csr.loss_curve_[-1], dense.loss_curve_[-1], rtol=3e-7)
    assert np.mean((csr.coef_ != 0) == (dense.coef_ != 0)) >= 0.97


def test_sparse_rows_with_many_columns():
    rng = np.random.default_rng(0)
    X = sparse.random_array((500, 20_000), density=2e-3, random_state=rng, format="csr")
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)  # for peers
    y = X[:, :2000] @ rng.normal(size=2000) + 0.1 * rng.normal(size=500)
    model = GradientRegressor(alpha=2e-3, l1_ratio=1.0, random_state=0).fit(X, y)
    best = ElasticNet(alpha=2e-3, l1_ratio=1.0, tol=1e-10, max_iter=100_000).fit(X, y)
    least = np.mean((y - best.predict(X)) ** 2) / 2 + penalty(best.coef_, 2e-3, 1.0)
    assert model.converged_ and model.n_iter_ <= 10
    assert model.loss_curve_[-1] <= least * (1 + 1e-7)
    assert_array_equal(model.coef_ != 0, best.coef_ != 0)


# The ends of the path -----------------------------------------------------------------------------


@pytest.mark.parametrize("task, loss", LEARNING)
def test_large_alpha_leaves_the_best_constant(task, loss):
    X, y = make_data(task, loss, n=61)
    model, constant = (
        make(task, loss, alpha=1e3, l1_ratio=1.0).fit(rows, y) for rows in (X, 0 * X[:, :1])
    )
    assert not model.coef_.any()
    # Of several best constants any will do.
    assert_allclose(model.loss_curve_[-1], constant.loss_curve_[-1], rtol=1e-6)
    if loss == "squared_error" and task == "regression":
        assert_allclose(model.intercept_, y.mean())
    if loss == "absolute_error":
        assert_allclose(model.intercept_, np.median(y))


@pytest.mark.parametrize("optimizer", PROXIMAL)
def test_critical_alpha(optimizer):
    """The coefficients leave 0 at alpha_max, not above it."""
    X, y = DIABETES
    alpha_max = np.abs(X.T @ (y - y.mean())).max() / len(y)
    above, below = (
        make("regression", None, optimizer, alpha=factor * alpha_max, l1_ratio=1.0).fit(X, y)
        for factor in (1 + 1e-6, 1 - 1e-3)
    )
    assert not above.coef_.any()
    assert np.count_nonzero(below.coef_) == 1


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_alpha_0_with_l1_ratio_is_no_penalty(task):
    X, y = make_data(task, n=200)
    y = y if task == "regression" else np.random.default_rng(0).permutation(y)
    with_ratio, without = (make(task, alpha=0.0, l1_ratio=r).fit(X, y) for r in (1.0, 0.0))
    assert same_model(with_ratio, without)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_zeros_that_fit_are_not_given_up(n_targets):
    """All targets are 0, and so is the start."""
    X = np.random.default_rng(0).normal(size=(3, 2))
    X[0] *= 1e8
    y = np.zeros((3, n_targets)) if n_targets > 1 else np.zeros(3)
    model = make("regression", losses.Quantile(0.9), alpha=1e-10, l1_ratio=1.0, fit_intercept=False)
    model.fit(X, y)
    assert model.converged_ and not model.coef_.any() and model.loss_curve_[-1] == 0


def test_equal_and_constant_columns():
    X, y = DIABETES
    X = np.column_stack([X, X, np.full(len(X), 3.0), X[:, :1] + X[:, 1:2]])
    model = GradientRegressor(alpha=0.1, l1_ratio=1.0, random_state=0).fit(X, y)
    assert model.converged_ and model.coef_[20] == 0
    assert squares_gap(model, X, y) <= 2e-6 * squares(model, X, y)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_no_intercept(loss):
    X, y = DIABETES
    model = make("regression", loss, alpha=0.1, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    assert model.intercept_ == 0 and model.converged_
    if loss == "squared_error":
        best = ElasticNet(
            alpha=0.1, l1_ratio=1.0, fit_intercept=False, tol=1e-12, max_iter=100_000
        ).fit(X, y)
        assert_allclose(model.coef_, best.coef_, rtol=1e-5, atol=1e-6)


# Weights, types, zeros ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
def test_weights_are_repeated_rows(loss):
    X, y = DIABETES
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = make("regression", loss, alpha=0.1, l1_ratio=0.8).fit(X, y, sample_weight=weight)
    repeated = make("regression", loss, alpha=0.1, l1_ratio=0.8)
    repeated.fit(X.repeat(weight, axis=0), y.repeat(weight))
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4)
    assert_array_equal(weighted.coef_ != 0, repeated.coef_ != 0)


@pytest.mark.parametrize("task, loss", LEARNING)
def test_conformance_of_weights(task, loss):
    model = make(task, loss, alpha=0.01, l1_ratio=0.5)
    check_sample_weight_equivalence_on_dense_data(type(model).__name__, model)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_float32_has_the_same_zeros(loss):
    X, y = polynomial(*DIABETES)
    X, _ = standardised(np.delete(X, 20, axis=1), y)  # the square of a binary column
    alpha = 0.4 if loss == "absolute_error" else 2.0
    single, double = (
        make("regression", loss, alpha=alpha, l1_ratio=1.0).fit(X.astype(dtype), y.astype(dtype))
        for dtype in (np.float32, np.float64)
    )
    assert single.coef_.dtype == np.float32
    assert 0 < np.count_nonzero(double.coef_) < 30
    assert_array_equal(single.coef_ != 0, double.coef_ != 0)
    assert_allclose(single.coef_, double.coef_, rtol=1e-2, atol=1e-2)


# Certificates -------------------------------------------------------------------------------------


def stopped_early(model, X, y):
    """The gap that a run stopped early names, and the model."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            text = str(warning.message)
            if "estimated at" in text:
                return float(text.split("estimated at ")[1].split(",")[0]), model
    return None, model


@pytest.mark.parametrize("max_iter", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "lion"])
@pytest.mark.parametrize("schedule", ["auto", "constant"])
def test_estimates_of_runs_stopped_early(schedule, optimizer, max_iter):
    told = 0
    for task, (X, y) in {
        "regression": DIABETES,
        "classification": standardised(*load_breast_cancer(return_X_y=True)),
    }.items():
        for l1_ratio in (0.2, 1.0):
            parameters = {"alpha": 0.01, "l1_ratio": l1_ratio, "tol": 1e-6}
            best = make(task, **parameters).fit(X, y)
            model = make(task, None, optimizer, **parameters, schedule=schedule, max_iter=max_iter)
            estimate, model = stopped_early(model, X, y)
            if task == "regression":
                least, found = (squares(m, X, y) for m in (best, model))
            else:
                least, found = (log_losses(m, X, y, 0.01, l1_ratio) for m in (best, model))
            if model.converged_:
                assert found - least <= 1e-5 * found
            elif estimate is not None:
                told += 1
                assert estimate >= (found - least) / 3 - 1e-6 * found
    assert told or schedule == "auto"


@pytest.mark.slow
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "epsilon_insensitive", "hinge"])
def test_estimates_for_kinks_stopped_early(loss, l1_ratio):
    task = "classification" if loss == "hinge" else "regression"
    X, y = load_breast_cancer(return_X_y=True) if loss == "hinge" else DIABETES
    told = 0
    for alpha in (0.01, 0.3):
        best = make(task, loss, alpha=alpha, l1_ratio=l1_ratio, tol=1e-8).fit(X, y)
        for max_iter in range(2, 13):
            model = make(task, loss, alpha=alpha, l1_ratio=l1_ratio, max_iter=max_iter)
            estimate, model = stopped_early(model, X, y)
            gap = model.loss_curve_[-1] - best.loss_curve_[-1]
            if model.converged_:
                assert gap <= 1e-5 * best.loss_curve_[-1]
            elif estimate is not None:
                told += 1
                assert estimate >= gap / 3
    assert told


@pytest.mark.parametrize("task, loss", LEARNING)
def test_converged_is_true_only_at_the_optimum(task, loss):
    """At a loose tolerance, F is no further from the optimum than ten times of it."""
    X, y = make_data(task, loss, n=150, d=12, seed=3)
    for tol in (1e-1, 1e-2, 1e-4):
        for optimizer in ("adam", "sgd"):
            loose = make(task, loss, optimizer, alpha=0.02, l1_ratio=0.9, tol=tol).fit(X, y)
            tight = make(task, loss, alpha=0.02, l1_ratio=0.9, tol=1e-8).fit(X, y)
            if loose.converged_:
                assert loose.loss_curve_[-1] - tight.loss_curve_[-1] <= 10 * tol * abs(
                    loose.loss_curve_[-1]
                )


# The optimizers' own steps ------------------------------------------------------------------------


PROBLEMS = [
    ("squared_error", "one_output"),
    ("absolute_error", "outputs"),
    ("hinge", "one_vs_rest"),
    ("log_loss", "softmax"),
]


@pairwise(
    "loss, target, optimizer",
    [(*problem, optimizer) for problem in PROBLEMS for optimizer in OPTIMIZER_RANGES],
    batch_size=[1, 7, 50],
)
def test_proximal_steps_follow_the_twin(loss, target, optimizer, batch_size, request):
    rng = np.random.default_rng(list(request.node.name.encode()))
    zeros = 0
    for _ in range(4):
        X, y, twin_y = make_problem(target, rng)
        weight = rng.gamma(2, size=len(X))
        settings = {
            "learning_rate": float(rng.uniform(0.002, 0.01)),
            "alpha": float(rng.uniform(1, 6)),
            "l1_ratio": float(rng.uniform(0.3, 1)),
            "epochs": int(rng.integers(2, 12)),
            "batch_size": batch_size,
            "fit_intercept": bool(rng.random() < 0.7),
            "optimizer_params": draw(OPTIMIZER_RANGES[optimizer], rng),
        }
        estimator = GradientRegressor if y.dtype.kind == "f" else GradientClassifier
        model = textbook_model(estimator, loss, optimizer, **settings)
        model.fit(X, y, sample_weight=weight)
        twin = textbook_fit(
            X,
            twin_y,
            "softmax" if target == "softmax" else loss,
            optimizer,
            sample_weight=weight,
            **settings,
        )
        assert relative_error(np.atleast_2d(model.coef_), twin.coef[-1]) < 1e-10
        assert relative_error(np.ravel(model.intercept_), twin.intercept[-1]) < 1e-10
        assert_array_equal(np.atleast_2d(model.coef_) == 0, twin.coef[-1] == 0)
        zeros += np.count_nonzero(model.coef_ == 0)
    # A mean has a zero only where all the points in it have it.
    assert zeros or optimizer_of(optimizer)._has_average


# Lion's steps have one size, and a mean lags behind the points in it.
ARRIVING = [
    name for name in OPTIMIZER_RANGES if name != "lion" and not optimizer_of(name)._has_average
]


@pytest.mark.parametrize("optimizer", ARRIVING)
def test_the_optimum_is_a_fixed_point_of_the_steps(optimizer):
    """Textbook steps of a falling size end at Lasso's optimum, whatever their scaling."""
    X, y = make_data("regression", n=60, d=6)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    best = ElasticNet(alpha=0.8, l1_ratio=0.9, tol=1e-12).fit(X, y)
    rate = {"adadelta": 30.0, "adagrad": 0.5}.get(optimizer, 0.02)
    model = GradientRegressor(
        optimizer=optimizer,
        alpha=0.8,
        l1_ratio=0.9,
        precondition=False,
        learning_rate=rate,
        schedule="cosine",
        max_iter=3000,
        tol=0,
        random_state=0,
        batch_size="auto" if optimizer == "gradient_descent" else 60,
    ).fit(X, y)
    assert squares(model, X, y) <= squares(best, X, y) * (1 + 1e-4)
    assert_array_equal(model.coef_ != 0, best.coef_ != 0)


class SignedMomentum(optimizers.Optimizer):
    """An optimizer of a user's, whose scaling the engine cannot know."""

    n_slots = 1

    def step(self, parameters, gradient, state, t, learning_rate):
        state[0] = 0.8 * state[0] + gradient
        parameters -= learning_rate * state[0] / (1 + np.abs(state[0]))


@pytest.mark.parametrize("precondition", ["scale", "auto"])
def test_an_optimizer_in_numpy(precondition):
    X, y = standardised(*DIABETES)
    best = ElasticNet(alpha=4.0, l1_ratio=1.0, tol=1e-12).fit(X, y)
    model = GradientRegressor(
        optimizer=SignedMomentum(),
        alpha=4.0,
        l1_ratio=1.0,
        precondition=precondition,
        learning_rate=0.05,
        max_iter=300,
        random_state=0,
        tol=1e-6,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    close = 1e-3 if precondition == "scale" else 1e-9
    assert squares(model, X, y) <= squares(best, X, y) * (1 + close)
    assert 0 < np.count_nonzero(best.coef_) < 10
    assert_array_equal(model.coef_ != 0, best.coef_ != 0)


@pytest.mark.parametrize("kind", ["dense", "float32", "sparse", "weighted"])
@pytest.mark.parametrize("quantile", [0.5, 0.8])
def test_kinks_on_more_columns_than_rows(kind, quantile):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 600)) * (rng.random((90, 600)) < (0.3 if kind == "sparse" else 1))
    y = X[:, :5].sum(axis=1) + 0.3 * rng.standard_t(3, size=90) + 2
    weight = rng.integers(0, 3, 90) if kind == "weighted" else None
    alpha = 0.05
    peer = QuantileRegressor(quantile=quantile, alpha=alpha, solver="highs")
    peer.fit(X, y, sample_weight=weight)
    model = GradientRegressor(losses.Quantile(quantile), alpha=alpha, l1_ratio=1.0, random_state=0)
    rows = {"sparse": sparse.csr_array(X), "float32": X.astype(np.float32)}.get(kind, X)
    model.fit(rows, y, sample_weight=weight)

    def objective(found):
        residual = y - X @ np.ravel(found.coef_) - found.intercept_
        loss = np.maximum(quantile * residual, (quantile - 1) * residual)
        return np.average(loss, weights=weight) + alpha * np.abs(found.coef_).sum()

    assert model.converged_
    assert objective(model) <= (1 + 1e-5) * objective(peer)
    assert np.count_nonzero(model.coef_) <= 90


def wide_labels():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 700))
    return X, X[:, :3].sum(axis=1) + rng.normal(size=100) > 0.5


def test_a_hinge_on_more_columns_than_rows():
    X, y = wide_labels()
    n, d, alpha = *X.shape, 0.03
    model = GradientClassifier("hinge", alpha=alpha, l1_ratio=1.0, random_state=0).fit(X, y)
    t = 2 * y - 1
    # Weights are differences of two that are not negative; each row's loss is at least 1 - t z.
    rows = X * t[:, None]
    bounds = [(0, None)] * (2 * d) + [(None, None)] + [(0, None)] * n
    found = linprog(
        np.concatenate([np.full(2 * d, alpha), [0.0], np.full(n, 1 / n)]),
        A_ub=-np.hstack([rows, -rows, t[:, None], np.eye(n)]), b_ub=-np.ones(n), bounds=bounds,
    )  # fmt: skip
    value = np.maximum(0, 1 - t * model.decision_function(X)).mean()
    value += alpha * np.abs(model.coef_).sum()
    assert model.converged_
    assert found.fun * (1 - 1e-9) <= value <= found.fun * (1 + 1e-5)


def test_an_elastic_net_of_a_hinge_on_more_columns_than_rows():
    X, y = wide_labels()
    n, alpha = len(X), 0.03
    model = GradientClassifier(
        "hinge", alpha=alpha, l1_ratio=0.5, fit_intercept=False, random_state=0
    ).fit(X, y)
    rows, l1, l2 = X * (2 * y - 1)[:, None] / n, alpha / 2, alpha / 2

    def dual(a):
        sums = rows.T @ a
        excess = np.sign(sums) * np.maximum(np.abs(sums) - l1, 0)
        return excess @ excess / (2 * l2) - a.mean(), rows @ excess / l2 - 1 / n

    # Whatever is found is a bound from below.
    bound = -minimize(dual, np.zeros(n), jac=True, bounds=[(0, 1)] * n, tol=1e-12).fun
    w = model.coef_[0]
    value = np.maximum(0, 1 - n * rows @ w).mean() + l1 * np.abs(w).sum() + l2 / 2 * w @ w
    assert model.converged_
    assert bound * (1 - 1e-9) <= value <= bound * (1 + 1e-5)


# Sparse coefficients ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task, n_targets",
    [("regression", 1), ("regression", 3), ("classification", 1), ("classification", 3)],
)
def test_sparsify_and_densify(task, n_targets):
    X, y = make_data(task, n=90, d=10, n_targets=n_targets)
    model = make(task, alpha=0.2, l1_ratio=1.0)
    with pytest.raises(ValueError, match="not fitted"):
        model.sparsify()
    model.fit(X, y)
    dense, predicted = model.coef_.copy(), model.predict(X)
    assert model.densify() is model and model.coef_.shape == dense.shape
    assert model.sparsify() is model and sparse.issparse(model.coef_)
    assert model.coef_.nnz == np.count_nonzero(dense) < dense.size
    again = pickle.loads(pickle.dumps(model))
    for sparsified in (model, again):
        assert sparsified.predict(X).shape == predicted.shape
        assert_allclose(sparsified.predict(X), predicted)
    if task == "classification":
        scores = model.decision_function(X)
        assert_allclose(scores, pickle.loads(pickle.dumps(model)).densify().decision_function(X))
    assert not hasattr(clone(model), "coef_")
    model.densify()
    assert_array_equal(model.coef_, dense)
    model.sparsify().set_params(warm_start=True).fit(X, y)
    assert isinstance(model.coef_, np.ndarray) and model.coef_.shape == dense.shape
    assert_allclose(model.coef_, dense, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 2, 5, 7])
def test_one_huge_number(seed):
    """Beyond its margin the row with it has no curvature; it has moved the column's mean away from
    all others'. At the optimum it costs nothing, and only the sign of its coefficient is bound."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 10))
    sign = np.where(X @ rng.normal(size=10) + rng.normal(size=200) > 0, 1.0, -1.0)
    X[3, 2] = 1e12
    rows, signs, d = np.delete(X, 3, axis=0), np.delete(sign, 3), 10

    def split(u):
        left = np.maximum(0, 1 - signs * (rows @ (u[:d] - u[d:-1]) + u[-1]))
        slope = -2 * signs * left / len(X)
        gradient = np.concatenate([slope @ rows + 0.01, 0.01 - slope @ rows, [slope.sum()]])
        return np.sum(left**2) / len(X) + 0.01 * u[:-1].sum(), gradient

    bounds = [(0, None)] * (2 * d) + [(None, None)]
    bounds[2 if sign[3] < 0 else 12] = (0, 0)
    least = minimize(
        split, np.zeros(2 * d + 1), jac=True, bounds=bounds,
        options={"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    model = GradientClassifier("squared_hinge", l1_ratio=1.0, alpha=1e-2, random_state=0)
    with warnings.catch_warnings():
        # Sums of numbers of such sizes are too rough to prove it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        value = model.fit(X, sign).loss_curve_.min()
    assert value < least.fun * (1 + 1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "log_loss"])
def test_a_row_that_dwarfs_the_others_leaves_them_their_curvature(loss, fit_intercept):
    """Beside its square theirs are below the rounding of the Hessian. A direct search from the
    point found, along directions that keep the row's prediction, finds nothing below it."""
    for seed, (n, d) in enumerate([(7, 8), (20, 8)]):
        rng = np.random.default_rng(seed)
        X, w = rng.normal(size=(n, d)), rng.normal(size=d)
        y = np.exp(X @ w / 3) if loss != "log_loss" else np.where(X @ w > 0, 1.0, -1.0)
        y[:2] = np.abs(y[:2]) * [1, -1] if loss == "log_loss" else y[:2]
        X[0] *= 1e8
        task = GradientClassifier if loss == "log_loss" else GradientRegressor
        model = task(loss, alpha=1e-3, l1_ratio=0.5, fit_intercept=fit_intercept, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        assert model.n_iter_ < 200
        Z = null_space(X[:1])
        coef, b = model.coef_.ravel(), np.ravel(model.intercept_)[0]
        formula = LOSSES[loss]

        def value(v, coef=coef, b=b, Z=Z, X=X, y=y, formula=formula):
            moved = coef + Z @ v[:-1]
            raw = X[1:] @ moved + b + v[-1] * fit_intercept
            first = X[0] @ coef + b + v[-1] * fit_intercept
            rows = formula(y[:, None], np.append(first, raw)[:, None])[0]
            return rows.mean() + 5e-4 * np.abs(moved).sum() + 2.5e-4 * moved @ moved

        start = np.zeros(Z.shape[1] + 1)
        best = minimize(value, start + 0.01, method="Powell", options={"maxiter": 3000}).fun
        assert value(start) <= best * (1 + 1e-4)
