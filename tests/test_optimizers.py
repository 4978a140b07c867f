"""What optimizers say of their memory; their update rules are in test_trajectories.py."""

import pickle
import warnings

import numpy as np
import pytest
from catalogue import STEPPING, TEXTBOOK, make, make_data, optimizer_of, settable
from numpy.testing import assert_allclose, assert_array_equal
from reference import OPTIMIZERS
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt._engine import Trainer
from sklearn_lossopt.optimizers import Averaged, Optimizer, RMSprop, registry

SLOW = {"beta_1": 0.6, "beta_2": 0.9999}
# name, parameters, what the twin calls the slots of state
MEMORIES = [
    ("sgd", {}, []),
    ("gradient_descent", {}, []),
    ("momentum", {"momentum": 0.7}, ["v"]),
    ("momentum", {"momentum": 0.7, "nesterov": True}, ["v"]),
    ("rmsprop", {}, ["square"]),
    ("rmsprop", {"rho": 0.9999, "momentum": 0.7}, ["square", "v"]),
    ("rmsprop", {"centered": True}, ["square", "mean"]),
    ("rmsprop", {"rho": 0.9999, "momentum": 0.7, "centered": True}, ["square", "v", "mean"]),
    ("adam", SLOW, ["m", "s"]),
    ("adam", SLOW | {"amsgrad": True}, ["m", "s", "largest"]),
    ("amsgrad", SLOW, ["m", "s", "largest"]),
    ("adamw", SLOW | {"weight_decay": 0.0}, ["m", "s"]),
    ("adamw", SLOW | {"weight_decay": 0.0, "amsgrad": True}, ["m", "s", "largest"]),
    ("nadam", SLOW, ["m", "s", "product"]),
    ("radam", SLOW, ["m", "s"]),
    ("radam", {"beta_1": 0.6, "beta_2": 0.5}, ["m", "s"]),
    ("adamax", SLOW, ["m", "u"]),
    ("adagrad", {}, ["s"]),
    ("adadelta", {}, ["s", "u"]),
    ("lion", {}, ["m"]),
]
# name, parameters, the number of slots, those among them that a fresh mean leaves
MEANS = [
    ("averaged", {}, 3, []),
    ("averaged", {"start": 7}, 3, []),
    ("averaged", {"optimizer": "adam", "power": 2.0}, 5, [4]),
    ("averaged", {"optimizer": RMSprop(momentum=0.7, centered=True)}, 6, [3, 5]),
    ("schedule_free_sgd", {"momentum": 0.5}, 4, []),
    ("schedule_free_adamw", {"warmup_steps": 5}, 5, [4]),
]
each_memory = pytest.mark.parametrize(
    "name, params, slots",
    MEMORIES,
    ids=["-".join([name, *(f"{key}={value}" for key, value in params.items())])
         for name, params, _ in MEMORIES],
)  # fmt: skip


def test_every_registered_optimizer_is_tested():
    stepping = {name for name, found in registry().items() if found.minimize is None}
    assert {name for name, *_ in [*MEMORIES, *MEANS]} == stepping


@each_memory
def test_allocates_what_it_needs(name, params, slots):
    assert registry()[name](**params).n_slots == len(slots)


@each_memory
def test_settles_where_it_would_come_to_rest(name, params, slots):
    """As if the gradient were 0 from now on; optimizers without momentum are at rest."""
    rng = np.random.default_rng(0)
    theta, memory, rate, t = rng.normal(size=(2, 4)), {}, 0.01, 4000
    for _ in range(t):
        gradient = rng.normal(size=theta.shape) + 0.3
        theta = OPTIMIZERS[name](theta, gradient, memory, rate, **params)
    # NAdam's product of weights below 1, which the twin does not keep, has long come to 0
    memory["product"] = np.zeros(theta.shape)
    state = np.reshape([memory[slot] for slot in slots], (len(slots), theta.size))
    settled = theta.ravel().copy()
    registry()[name](**params)._flush_momentum(settled, state, t, rate)

    moving = bool({"v", "m"} & set(slots)) and name != "lion"
    rest = theta
    if moving:
        for _ in range(60):
            rest = OPTIMIZERS[name](rest, 0 * theta, memory, rate, **params)
        assert np.abs(rest - theta).max() > 1e-4
    assert_allclose(settled - theta.ravel(), (rest - theta).ravel(), rtol=0.01, atol=1e-12)
    if moving:
        # the momentum itself is gone, the measure of the gradient's size is not
        for slot, row in zip(slots, state, strict=True):
            assert (row == 0).all() == (slot in ("v", "m", "product"))


each_mean = pytest.mark.parametrize(
    "name, params, n_slots, kept", MEANS, ids=[f"{name}-{params}" for name, params, *_ in MEANS]
)


def training_of(optimizer, dtype="float64", rate=0.05, n=40):
    """A trainer for one linear model on noisy rows, and the arrays that it moves."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3)).astype(dtype)
    y = (X @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=n)).astype(dtype)[:, None]
    weights, steps = np.zeros((1, 4), dtype), np.zeros(1, np.int64)
    state = np.zeros((optimizer.n_slots, 4), dtype)
    model = ("squared_error", [], optimizer._kernel(), optimizer._kernel_row(), 0.1, 0.0, 1.0)
    trainer = Trainer(
        X, y, "values", None, None, None, weights, model, state, steps, batch_size=1,
        shuffle=True, seed=0,
    )  # fmt: skip

    def run(first, epochs):
        trainer.run(first, epochs, np.array([rate]), np.empty(epochs))
        return weights[0], state, int(steps[0])

    return run


@each_mean
def test_a_mean_settles_where_it_predicts_and_begins_anew(name, params, n_slots, kept):
    optimizer = registry()[name](**params)
    assert optimizer.n_slots == n_slots
    run = training_of(optimizer)
    w, state, t = run(0, 2)
    moved, mean = w.copy(), optimizer._prediction(w, state, t)
    assert np.abs(mean - moved).max() > 1e-4
    assert_array_equal(w, moved)
    optimizer._flush_momentum(w, state, t, 0.05)
    assert_array_equal(w, mean)
    assert optimizer._prediction(w, state, t) is w
    # What is known of the sizes of gradients stays.
    assert [slot for slot in range(n_slots) if state[slot].all()] == kept
    w, state, t = run(2, 2)
    after = optimizer._prediction(w, state, t)
    # The mean of the later points alone: nearer to them than one with all points in it.
    fresh = training_of(optimizer)
    assert np.abs(after - optimizer._prediction(*fresh(0, 4))).max() > 1e-4


@pytest.mark.parametrize("name", ["averaged", "schedule_free_sgd"])
def test_a_long_mean_in_single_precision(name):
    """Late in it every move is smaller than the rounding of the mean; together they count."""
    means = []
    for dtype in ("float32", "float64"):
        optimizer = registry()[name]()
        run = training_of(optimizer, dtype, rate=8e-5, n=1000)
        means.append(optimizer._prediction(*run(0, 1000)))
    assert means[0].dtype == np.float32
    assert_allclose(*means, rtol=1e-3, atol=3e-4)


def test_the_parameters_of_an_averaged_optimizer_are_searched_by_name():
    model = GradientRegressor(optimizer="asgd")
    model.set_params(optimizer__optimizer="momentum", optimizer__optimizer__momentum=0.5)
    assert model.optimizer.optimizer.momentum == 0.5
    model.set_params(optimizer__optimizer__nesterov=True)
    assert model.optimizer.optimizer.nesterov is True
    grid = GridSearchCV(model, {"optimizer__start": [0, 50], "optimizer__power": [0.0, 3.0]})
    X = np.random.default_rng(0).normal(size=(60, 3))
    assert set(grid.fit(X, X.sum(axis=1)).best_params_) == {"optimizer__start", "optimizer__power"}


class OwnSGD(Optimizer):
    def step(self, parameters, gradient, state, t, learning_rate):
        parameters -= learning_rate * gradient


@pytest.mark.parametrize("params", [{}, {"start": 9}, {"power": 3.0}])
def test_an_optimizer_of_ones_own_is_averaged_alike(params):
    X, y = make_data("regression", n=50)
    settings = TEXTBOOK | {"learning_rate": 0.01, "batch_size": 7, "max_iter": 4}
    own = make("regression", optimizer=Averaged(OwnSGD(), **params), **settings).fit(X, y)
    built_in = make("regression", optimizer=Averaged("sgd", **params), **settings).fit(X, y)
    assert_allclose(own.coef_, built_in.coef_, rtol=1e-10)
    assert_allclose(own.loss_curve_, built_in.loss_curve_, rtol=1e-10)


# With a mean, the model is not what training moves ------------------------------------------------

WITH_MEAN = [name for name in STEPPING if optimizer_of(name)._has_average]


@pytest.mark.parametrize("optimizer", WITH_MEAN)
@pytest.mark.parametrize("tol", [0, 1e-12])
def test_the_curve_is_that_of_the_model(optimizer, tol):
    """At every epoch: a run that ends there has it as its model's objective."""
    X, y = make_data("classification", n=200, seed=1)
    settings = {"schedule": "constant", "batch_size": 20, "tol": tol, "n_iter_no_change": 50}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make("classification", "log_loss", optimizer, max_iter=6, **settings).fit(X, y)
        for epochs in range(1, 7):
            short = make("classification", "log_loss", optimizer, max_iter=epochs, **settings)
            coef = short.fit(X, y).coef_
            value = np.logaddexp(0, -(2 * y - 1) * short.decision_function(X)).mean()
            assert_allclose(
                model.loss_curve_[epochs - 1], value + 0.5e-4 * np.sum(coef**2), rtol=1e-10
            )


@pytest.mark.parametrize("optimizer", WITH_MEAN)
def test_a_pickled_mean_goes_on(optimizer):
    X, y = make_data("regression", n=200)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 20, "warm_start": True}
    once = make("regression", optimizer=optimizer, max_iter=8, **settings).fit(X, y)
    half = make("regression", optimizer=optimizer, max_iter=4, **settings).fit(X, y)
    copy = pickle.loads(pickle.dumps(half)).fit(X, y)
    assert_allclose(copy.coef_, once.coef_, rtol=1e-12)
    # Coefficients set by hand are where to start, with no memory of the mean.
    half.coef_ = half.coef_ + 1
    start = half.coef_
    half.set_params(learning_rate=1e-12).fit(X, y)
    assert_allclose(half.coef_, start, rtol=1e-9)


@pytest.mark.parametrize("optimizer", WITH_MEAN)
def test_a_mean_is_closer_to_the_optimum_than_where_training_stops(optimizer):
    """What the methods are for: a constant rate, mini-batches, one long run."""
    X, y = make_data("regression", n=400, d=6)
    settings = {"schedule": "constant", "batch_size": 4, "max_iter": 40, "tol": 0}
    best = make("regression", tol=1e-12).fit(X, y).loss_curve_[-1]
    other = {"schedule_free_adamw": "adam"}.get(optimizer, "sgd")
    mean, plain = (
        make("regression", optimizer=name, **settings).fit(X, y) for name in (optimizer, other)
    )
    value = 0.5 * np.mean((y - plain.predict(X)) ** 2) + 0.5e-4 * np.sum(plain.coef_**2)
    assert mean.loss_curve_[-1] - best < 0.2 * (value - best)


@pytest.mark.parametrize("optimizer", WITH_MEAN)
def test_an_l1_penalty_leaves_exact_zeros(optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    y = X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=300)
    model = make("regression", optimizer=optimizer, alpha=0.3, l1_ratio=1.0, tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        coef = model.fit(X, y).coef_
    peer = Lasso(0.3, tol=1e-10).fit(X, y).coef_
    assert_array_equal(coef == 0, peer == 0)
    assert_allclose(coef, peer, atol=3e-3)


@pytest.mark.parametrize("optimizer", [*WITH_MEAN, "lbfgs"])
@pytest.mark.parametrize("schedule", ["auto", "constant"])
@pytest.mark.parametrize("precondition", ["auto", False])
def test_validation_is_of_the_model_too(optimizer, schedule, precondition):
    X, y = make_data("regression", n=120, d=20)
    settings = settable(optimizer, schedule=schedule, learning_rate=0.01, batch_size=10)
    model = make(
        "regression", optimizer=optimizer, early_stopping=True, n_iter_no_change=3, max_iter=200,
        precondition=precondition, **settings,
    )  # fmt: skip
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    values = model.validation_curve_
    assert model.best_iter_ == 1 + np.argmin(values)
    residual = y[60:] - model.predict(X[60:])
    assert_allclose(0.5 * np.mean(residual**2), values.min(), rtol=1e-9)


@pytest.mark.parametrize("optimizer", WITH_MEAN)
def test_training_goes_on_from_the_best_epoch(optimizer):
    X, y = make_data("regression", n=120, d=20)
    settings = TEXTBOOK | {"learning_rate": 0.02, "batch_size": 10, "shuffle": False}
    model = make("regression", optimizer=optimizer, max_iter=200, **settings, warm_start=True)
    model.set_params(early_stopping=True, n_iter_no_change=3)
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    best = model.best_iter_
    assert best < model.n_iter_
    model.set_params(early_stopping=False, max_iter=3).fit(X[:60], y[:60])
    once = make("regression", optimizer=optimizer, max_iter=best + 3, **settings)
    assert_allclose(model.coef_, once.fit(X[:60], y[:60]).coef_, rtol=1e-10)


@pytest.mark.parametrize("optimizer", [*WITH_MEAN, "lbfgs"])
def test_callbacks_see_the_model(optimizer):
    """One subtask an epoch, each ended, with the coefficients that a fit ending there has."""
    pytest.importorskip("sklearn.callback")
    seen = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **told):
            seen.append("begin")

        def on_fit_task_end(self, estimator, context, **told):
            seen.append("end")

    X, y = make_data("classification", n=100)
    settings = settable(optimizer, schedule="constant", batch_size=10)
    model = make("classification", "log_loss", optimizer, max_iter=4, tol=0, **settings)
    model.set_callbacks(Watch()).fit(X, y)
    assert seen == ["begin", *4 * ["begin", "end"], "end"]
