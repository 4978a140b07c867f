"""Optimizers that minimise the full objective by themselves: SciPy's L-BFGS-B on the engine."""

import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
from catalogue import PAIRS, combine, make, make_data
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from reference import batch_objective, one_vs_rest
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from sklearn_lossopt import DivergenceError, GradientClassifier, GradientRegressor
from sklearn_lossopt.losses import Huber
from sklearn_lossopt.optimizers import LBFGS

SMOOTH = [pair for pair in PAIRS if combine(pair[1], "lbfgs")]
PARAMETERS = {"tweedie": {"power": 1.5}, "squared_epsilon_insensitive": {"epsilon": 0.1},
              "huber": {"delta": 1.5}}  # fmt: skip


def scipys(X, y, loss, alpha, weight, memory, max_iter, fit_intercept=True):
    """Iterates (max_iter, k, d + 1) and their objectives, from plain NumPy."""
    scale, d = weight / weight.mean(), X.shape[1]
    k = y.max() + 1 if loss == "softmax" else y[0].size
    iterates, values = [], []

    def objective(theta):
        theta = theta.reshape(k, d + 1)
        value, slope, intercept = batch_objective(
            theta[:, :d], theta[:, d], X, y, scale, loss, PARAMETERS.get(loss, {}), alpha
        )
        return value, np.column_stack([slope, intercept * fit_intercept]).ravel()

    def note(intermediate_result):
        iterates.append(intermediate_result.x.reshape(k, d + 1).copy())
        values.append(intermediate_result.fun)

    minimize(
        objective, np.zeros(k * (d + 1)), jac=True, method="L-BFGS-B", callback=note,
        options={"maxcor": memory, "maxiter": max_iter, "ftol": 0, "gtol": 0},
    )  # fmt: skip
    return np.array(iterates), np.array(values)


def twin_target(task, loss, y):
    if task == "regression":
        return y, loss
    if y.max() == 1:
        return 2.0 * y - 1, loss
    return (y, "softmax") if loss == "log_loss" else (one_vs_rest(y, y.max() + 1), loss)


@pairwise("task, loss", SMOOTH, n_targets=[1, 3], memory=[2, 10])
def test_textbook_mode_is_scipy_iterate_by_iterate(task, loss, memory, n_targets):
    X, y = make_data(task, loss, n=80, n_targets=n_targets)
    X = X / 2
    weight = np.random.default_rng(1).gamma(2, size=len(X))
    twin_y, twin_loss = twin_target(task, loss, y)
    intercept = memory == 10
    iterates, values = scipys(X, twin_y, twin_loss, 0.05, weight, memory, 12, intercept)
    model = make(
        task, optimizer=LBFGS(memory), alpha=0.05, precondition=False, tol=0, max_iter=12,
        fit_intercept=intercept,
        loss=Huber(delta=1.5) if loss == "huber" else loss,
    )  # fmt: skip
    for epochs in (1, 2, 5, 9):
        model.set_params(max_iter=epochs).fit(X, y, sample_weight=weight)
        assert model.n_iter_ == model.t_ == epochs
        found = np.column_stack([np.atleast_2d(model.coef_), np.ravel(model.intercept_)])
        expected = iterates[epochs - 1]
        assert np.max(np.abs(found - expected)) < 1e-8 * max(1, np.abs(expected).max())
    assert_allclose(model.loss_curve_, values[:9], rtol=1e-8)


def test_reaches_what_scikit_learn_finds():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = GradientRegressor(optimizer="lbfgs", alpha=0.1).fit(X, y)
    peer = Ridge(0.1 * len(X)).fit(X, y)
    assert model.converged_
    assert_allclose(model.coef_, peer.coef_, rtol=1e-6)
    model = GradientRegressor("poisson", "lbfgs", alpha=0.1).fit(X, y)
    peer = PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-10).fit(X, y)
    assert model.converged_
    assert_allclose(model.coef_, peer.coef_, rtol=1e-5)
    for X, y in (load_breast_cancer(return_X_y=True), load_wine(return_X_y=True)):
        model = GradientClassifier(optimizer="lbfgs", alpha=1e-2).fit(X, y)
        peer = LogisticRegression(
            C=100 / len(X), solver="newton-cholesky", tol=1e-8, max_iter=200
        ).fit(X, y)
        assert model.converged_
        assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("precondition", ["auto", "whiten", "scale", False])
@pytest.mark.parametrize("task, loss", SMOOTH)
def test_a_certificate_means_the_optimum(task, loss, precondition):
    X, y = make_data(task, loss, n=150)
    best = make(task, loss, "lbfgs", alpha=0.01, tol=0).fit(X, y).loss_curve_[-1]
    for tol in (1e-3, 1e-6):
        model = make(task, loss, "lbfgs", alpha=0.01, tol=tol, precondition=precondition)
        value = model.fit(X, y).loss_curve_[-1]
        assert model.converged_
        assert value <= best + tol * abs(best) + 1e-12
    assert (np.diff(model.loss_curve_) <= 1e-10 * value).all()


def test_a_lower_tolerance_takes_more_iterations():
    X, y = load_breast_cancer(return_X_y=True)
    counts = [
        make("classification", "log_loss", "lbfgs", tol=tol, precondition="scale").fit(X, y).n_iter_
        for tol in (1e-4, 1e-6, 1e-8)
    ]
    assert counts[0] < counts[1] < counts[2]


def test_max_iter_counts_iterations():
    X, y = load_breast_cancer(return_X_y=True)
    model = make("classification", "log_loss", "lbfgs", max_iter=4)
    with pytest.warns(ConvergenceWarning, match=r"max_iter \(now 4\)"):
        model.fit(X, y)
    assert (model.n_iter_, model.t_, len(model.loss_curve_)) == (4, 4, 4)
    assert not model.converged_ and model.learning_rate_ == 1.0


def test_a_network_runs_until_it_stops_falling_or_warns_at_max_iter():
    X, y = make_data("regression", n=200)
    given = {"hidden_layer_sizes": (3,), "activation": "tanh", "tol": 1e-3}
    model = make("regression", None, "lbfgs", max_iter=250, **given).set_params(tol=0)
    assert model.fit(X, y).n_iter_ == 250
    longer = make("regression", None, "lbfgs", max_iter=5000, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = longer.fit(X, y).loss_curve_
    assert len(curve) < 5000 and not longer.converged_
    best, since, ends = curve[0], 0, []
    for number, value in enumerate(curve):
        best, since = (value, 0) if value < best * 0.999 else (best, since + 1)
        ends += [number] * (since >= 5)
    assert ends == [len(curve) - 1]
    short = make("regression", None, "lbfgs", **given).set_params(max_iter=10)
    with pytest.warns(ConvergenceWarning, match="max_iter=10 .* still fell by more than tol=0.001"):
        short.fit(X, y)


def test_where_the_start_is_the_optimum():
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = make("regression", "squared_error", "lbfgs").fit(X, np.full(30, 3.0))
    assert model.n_iter_ == 1 and model.converged_
    assert_allclose(model.predict(X), 3.0)


@pytest.mark.parametrize("task, loss", SMOOTH)
def test_single_precision_gets_as_far_as_it_can(task, loss):
    X, y = make_data(task, loss, n=200)
    double = make(task, loss, "lbfgs", alpha=0.01).fit(X, y)
    for tol in (0, 1e-6):
        single = make(task, loss, "lbfgs", alpha=0.01, tol=tol).fit(X.astype(np.float32), y)
        assert single.coef_.dtype == np.float32
        assert_allclose(single.loss_curve_[-1], double.loss_curve_[-1], rtol=2e-6, atol=1e-7)
        assert single.n_iter_ < 1000
    assert single.converged_


def test_a_warm_start_begins_at_the_last_weights():
    X, y = load_breast_cancer(return_X_y=True)
    model = make("classification", "log_loss", "lbfgs", warm_start=True, tol=1e-9).fit(X, y)
    first, value = model.n_iter_, model.loss_curve_[-1]
    model = pickle.loads(pickle.dumps(model)).fit(X, y)
    assert model.n_iter_ < first / 4
    assert_allclose(model.loss_curve_[-1], value, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("precondition", ["auto", False])
def test_a_step_too_far_is_taken_back(precondition, dtype):
    """Exponentials of raw predictions overflow along the first trial steps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) * np.array([1, 1e3, 1e-2])
    y = rng.poisson(np.exp(0.5 * X[:, 0] + 1)).astype(float)
    if precondition is False:
        X = X / 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make("regression", "poisson", "lbfgs", precondition=precondition)
        model.fit(X.astype(dtype), y)
    curve = model.loss_curve_
    assert np.isfinite(curve).all() and (np.diff(curve) <= np.finfo(dtype).eps * curve[1:]).all()
    if precondition == "auto":
        peer = PoissonRegressor(alpha=1e-4, solver="newton-cholesky", tol=1e-8).fit(X, y)
        assert_allclose(model.predict(X), peer.predict(X), rtol=1e-3)


def test_divergence_is_an_error():
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(DivergenceError, match="objective is inf at the start"):
        make("regression", optimizer="lbfgs", precondition=False).fit(X, np.full(30, 1e200))


def test_verbose_prints_a_line_an_iteration(capsys):
    X, y = load_breast_cancer(return_X_y=True)
    model = make("classification", "log_loss", "lbfgs", verbose=1).fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == model.n_iter_


def test_the_seed_does_not_matter():
    X, y = load_breast_cancer(return_X_y=True)
    a, b = (
        make("classification", "log_loss", "lbfgs", random_state=seed).fit(X, y) for seed in (0, 1)
    )
    assert_array_equal(a.coef_, b.coef_)


def test_control_c_ends_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300_000, 40))
    model = make("classification", "log_loss", "lbfgs", tol=0, alpha=0, precondition=False)
    # A shell starts what it runs in the background with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            # Separable: without the signal hundreds of iterations.
            model.fit(X, X[:, 0] > 0)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert not hasattr(model, "coef_")
