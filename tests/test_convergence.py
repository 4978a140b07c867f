"""Run to the optimum, the estimators agree with whoever else minimises the same objective.

The peers' parameters map to ours as A = alpha * sum(s) (Ridge) and C = 1 / (alpha * sum(s))
(LogisticRegression, LinearSVC, SVC), s the sample weights. Settings are explicit: textbook steps
with a rate from the objective's curvature, so that a failure is not a matter of defaults.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import batch_objective, one_vs_rest
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import scale
from sklearn.svm import SVC, LinearSVC

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt.losses import Huber
from sklearn_lossopt.optimizers import RMSprop

FULL_BATCH = ["gradient_descent", "momentum", "nesterov"]
# optimizer and first learning rate; rmsprop with a longer memory, as its default makes the
# normaliser follow the very batch it divides, which moves the point where mini-batches settle
MINI_BATCH = [
    pytest.param("sgd", 0.2, id="sgd"),
    pytest.param("momentum", 0.02, id="momentum"),
    pytest.param("nesterov", 0.02, id="nesterov"),
    pytest.param(RMSprop(rho=0.99), 0.02, id="rmsprop"),
    pytest.param("adam", 0.02, id="adam"),
]


def data(load, **options):
    X, y = load(return_X_y=True, **options)
    return scale(X), y


def weights(n, weighted):
    return np.random.default_rng(0).gamma(2, size=n) if weighted else np.ones(n)


def objective(coef, intercept, X, y, loss, alpha, s, **loss_params):
    coef, intercept = np.atleast_2d(coef), np.atleast_1d(intercept)
    return batch_objective(coef, intercept, X, y, s / s.mean(), loss, loss_params, alpha)[0]


def steepest(X, s, curvature, alpha):
    """One over the largest curvature of the objective, for a loss of at most the one given."""
    design = np.column_stack([X, np.ones(len(X))])
    largest = np.linalg.eigvalsh(design.T @ (s[:, None] / s.sum() * design))[-1]
    return 1 / (curvature * largest + alpha)


def full_batch(estimator, loss, optimizer, step, alpha, epochs):
    """Deterministic steps; heavy momentum needs shorter ones to stay stable."""
    return estimator(
        loss, optimizer, learning_rate=step / (4 if optimizer == "momentum" else 2), alpha=alpha,
        batch_size="auto" if optimizer == "gradient_descent" else 10**6, max_iter=epochs, tol=0,
        precondition=False, schedule="constant",
    )  # fmt: skip


def annealed(loss, optimizer, rate, alpha, X, y, sample_weight=None, **options):
    """Warm-started fits at falling rates, since a constant one stops at its noise."""
    if optimizer == "gradient_descent":
        options["max_iter"] = 1200
    else:
        options |= {"max_iter": 120, "batch_size": 32}
    model = GradientClassifier(
        loss, optimizer, alpha=alpha, warm_start=True, random_state=0, tol=0, precondition=False,
        schedule="constant", **options,
    )  # fmt: skip
    for stage in range(18):
        model.set_params(learning_rate=rate * 0.6**stage).fit(X, y, sample_weight=sample_weight)
    return model


def assert_same_optimum(model, peer, X, y, loss, alpha, s):
    """The peer's objective to 2e-4, and never below it by more than the peer's own tolerance."""
    y = 2 * y - 1.0 if len(peer.classes_) == 2 else one_vs_rest(y, len(peer.classes_))
    best = objective(peer.coef_, peer.intercept_, X, y, loss, alpha, s)
    reached = objective(model.coef_, model.intercept_, X, y, loss, alpha, s)
    assert best * (1 - 1e-6) <= reached <= best * (1 + 2e-4)
    assert_allclose(model.coef_, peer.coef_, atol=0.03)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("optimizer", FULL_BATCH)
def test_squared_error_is_ridge(optimizer, weighted):
    X, y = data(load_diabetes, scaled=False)
    Y = np.column_stack([y, y**2 / 300 + X[:, 0]])
    s, alpha = weights(len(X), weighted), 0.01
    model = full_batch(
        GradientRegressor, "squared_error", optimizer, steepest(X, s, 1, alpha), alpha, 12_000
    )
    for target in (y, Y):
        ridge = Ridge(alpha * s.sum()).fit(X, target, sample_weight=s)
        model.fit(X, target, sample_weight=s)
        assert_allclose(model.coef_, ridge.coef_, rtol=1e-7, atol=1e-7)
        assert_allclose(model.intercept_, ridge.intercept_, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("optimizer", FULL_BATCH)
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
def test_log_loss_is_logistic_regression(load, optimizer, weighted):
    X, y = data(load)
    s, alpha = weights(len(X), weighted), 0.02
    peer = LogisticRegression(
        C=1 / (alpha * s.sum()), solver="newton-cg", tol=1e-10, max_iter=1000
    ).fit(X, y, sample_weight=s)
    curvature = 0.25 if len(peer.classes_) == 2 else 0.5
    step = steepest(X, s, curvature, alpha)
    model = full_batch(GradientClassifier, "log_loss", optimizer, step, alpha, 8000)
    model.fit(X, y, sample_weight=s)
    assert_allclose(model.coef_, peer.coef_, atol=1e-6)
    # softmax does not see a constant added to every intercept
    shift = 0 if len(peer.classes_) == 2 else (model.intercept_ - peer.intercept_).mean()
    assert_allclose(model.intercept_ - shift, peer.intercept_, atol=1e-6)
    assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("optimizer, rate", MINI_BATCH)
def test_mini_batches_reach_logistic_regression(optimizer, rate):
    X, y = data(load_breast_cancer)
    s, alpha = np.ones(len(X)), 0.02
    peer = LogisticRegression(C=1 / (alpha * len(X)), tol=1e-10, max_iter=10_000).fit(X, y)
    model = annealed("log_loss", optimizer, rate, alpha, X, y)
    assert_same_optimum(model, peer, X, y, "log_loss", alpha, s)


@pytest.mark.parametrize(
    "optimizer, rate", [pytest.param("gradient_descent", 0.2, id="gradient_descent"), *MINI_BATCH]
)
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_hinge_is_linear_svc(load, optimizer, rate):
    """LinearSVC penalises its intercept and we do not, so both go without one."""
    X, y = data(load)
    s, alpha = np.ones(len(X)), 0.05
    peer = LinearSVC(
        loss="hinge", C=1 / (alpha * len(X)), fit_intercept=False, tol=1e-9, max_iter=10**6,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    model = annealed("hinge", optimizer, rate, alpha, X, y, fit_intercept=False)
    assert_same_optimum(model, peer, X, y, "hinge", alpha, s)
    assert (model.predict(X) == peer.predict(X)).mean() > 0.99


def test_hinge_with_intercept_is_svc():
    """SVC's intercept is free of penalty, as ours."""
    X, y = data(load_breast_cancer)
    s, alpha = weights(len(X), True), 0.05
    peer = SVC(kernel="linear", C=1 / (alpha * s.sum()), tol=1e-9).fit(X, y, sample_weight=s)
    model = annealed("hinge", "sgd", 0.2, alpha, X, y, s)
    assert_same_optimum(model, peer, X, y, "hinge", alpha, s)
    assert_allclose(model.intercept_, peer.intercept_, atol=0.02)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("optimizer", FULL_BATCH)
@pytest.mark.parametrize("delta", [20.0, 80.0])
def test_huber_is_what_scipy_finds(delta, optimizer, weighted):
    X, y = data(load_diabetes, scaled=False)
    s, alpha = weights(len(X), weighted), 0.01

    def value_and_gradient(theta):
        value, slope, intercept_slope = batch_objective(
            theta[None, :-1], theta[-1:], X, y, s / s.mean(), "huber", {"delta": delta}, alpha
        )
        return value, np.append(slope, intercept_slope)

    start = np.zeros(X.shape[1] + 1)
    peer = minimize(value_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    step = steepest(X, s, 1, alpha)
    model = full_batch(GradientRegressor, Huber(delta=delta), optimizer, step, alpha, 12_000)
    model.fit(X, y, sample_weight=s)
    assert_allclose(np.append(model.coef_, model.intercept_), peer.x, rtol=1e-5, atol=1e-5)
