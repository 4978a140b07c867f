"""Warm starts: several fits that are one run."""

import pickle
from itertools import product

import joblib
import numpy as np
import pytest
from catalogue import (
    COVER,
    ESTIMATORS,
    STEPPING,
    TEXTBOOK,
    make,
    make_data,
    real_data,
    same_model,
)
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_lossopt import schedules

each_task = pytest.mark.parametrize("task", ESTIMATORS)
FIXED = {"schedule": "constant", "tol": 0, "warm_start": True}
# With preconditioning, the coordinates at the end are stored: no rounding on the way.
MODES = {
    "whiten": {"precondition": "whiten"},
    "scale": {"precondition": "scale"},
    "auto rate": {"learning_rate": "auto"},
    "textbook": {"precondition": False, "learning_rate": 1e-3},
    "l1": {"l1_ratio": 0.5},
}


def assert_same_run(twice, once):
    assert_allclose(twice.coef_, once.coef_, rtol=1e-12, atol=1e-15)
    assert_allclose(twice.intercept_, once.intercept_, rtol=1e-12, atol=1e-15)
    slots = once._state.slots
    assert_allclose(twice._state.slots, slots, rtol=1e-12, atol=1e-14 * np.abs(slots).max())
    assert_array_equal(twice._state.steps, once._state.steps)
    assert twice.t_ == once.t_


@pairwise(
    "task, loss, optimizer",
    [case for case in COVER if case[2] in STEPPING],
    mode=["whiten", "scale"],
)
def test_two_preconditioned_fits_are_one(task, loss, optimizer, mode):
    X, y = make_data(task, loss, n_targets=2)
    X = X * [1e-2, 1, 10, 1e3] + [100, 0, -5, 0]
    settings = FIXED | MODES[mode] | {"learning_rate": 0.01}
    once = make(task, loss, optimizer, max_iter=6, **settings).fit(X, y)
    twice = make(task, loss, optimizer, max_iter=3, **settings).fit(X, y)
    half = twice.loss_curve_
    twice.fit(X, y)
    assert_same_run(twice, once)
    assert_allclose(np.append(half, twice.loss_curve_), once.loss_curve_, rtol=1e-12)


@pairwise(
    "mode, random_state",
    list(product(MODES, [0, None, "instance"])),
    task=list(ESTIMATORS),
    dtype=["float32", "float64"],
    copy=["none", "pickle", "joblib"],
)
def test_copies_between_the_fits_change_nothing(task, mode, dtype, random_state, copy, tmp_path):
    """With no seed given, the order of the rows still goes on: the seed is kept."""
    X, y = make_data(task, n=100)
    X = X.astype(dtype)
    settings = FIXED | MODES[mode] | {"batch_size": 16}
    if random_state == "instance":
        random_state = np.random.RandomState(3)
    once = make(task, max_iter=4, **settings).set_params(random_state=random_state)
    twice = make(task, max_iter=2, **settings).set_params(random_state=random_state)
    twice.fit(X, y)
    if random_state != 0:
        once.set_params(random_state=twice._state.seed)
    if copy == "pickle":
        twice = pickle.loads(pickle.dumps(twice))
    elif copy == "joblib":
        joblib.dump(twice, tmp_path / "model")
        twice = joblib.load(tmp_path / "model")
    assert_same_run(twice.fit(X, y), once.fit(X, y))


@each_task
def test_a_clone_starts_anew(task):
    X, y = make_data(task, n=100)
    settings = FIXED | {"max_iter": 2, "random_state": None}
    model = make(task, **settings).fit(X, y)
    fresh = clone(model)
    assert not hasattr(fresh, "coef_") and fresh.fit(X, y).t_ == model.t_


def test_the_order_depends_on_seed_and_epoch_only():
    """The second fit visits the rows in a new order, that of the epoch in a longer run."""
    X, y = make_data("regression", n=100)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 10, "warm_start": True}
    model = make("regression", max_iter=1, **settings).fit(X, y)
    other = make("regression", max_iter=1, **settings).fit(X, y)
    other._state.epoch = 0
    assert not np.array_equal(model.fit(X, y).coef_, other.fit(X, y).coef_)
    assert_same_run(model, make("regression", max_iter=2, **settings).fit(X, y))


def test_a_new_seed_is_a_new_order():
    X, y = make_data("regression", n=100)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 10, "warm_start": True}
    models = [make("regression", max_iter=1, **settings).fit(X, y) for _ in range(2)]
    models[1].set_params(random_state=7)
    assert not np.array_equal(models[0].fit(X, y).coef_, models[1].fit(X, y).coef_)


CHANGES = {
    "data": lambda model, X, y: (2 * X, y),
    "units of y": lambda model, X, y: (X, 3 * y),
    "alpha": lambda model, X, y: (model.set_params(alpha=1.0), X, y)[1:],
    "optimizer": lambda model, X, y: (model.set_params(optimizer="adamax"), X, y)[1:],
    "mode": lambda model, X, y: (model.set_params(precondition="scale"), X, y)[1:],
    "textbook": lambda model, X, y: (model.set_params(precondition=False), X, y)[1:],
}


@pytest.mark.parametrize("change", CHANGES)
def test_memory_of_other_coordinates_is_dropped(change):
    """The model goes on, the optimizer starts afresh: as from the same coefficients alone."""
    X, y = make_data("regression", n=100)
    settings = FIXED | {"precondition": "whiten", "learning_rate": 1e-3, "max_iter": 2}
    model = make("regression", **settings).fit(X, y)
    first = model.t_
    bare = make("regression", **settings).fit(X, y)
    bare._state.slots = bare._state.slots[:1]
    X, y = CHANGES[change](model, X, y)
    CHANGES[change](bare, X, y)
    model.fit(X, y)
    assert model.t_ == first
    assert_array_equal(model.coef_, bare.fit(X, y).coef_)


def test_coefficients_that_were_set_are_started_from():
    X, y = make_data("regression", n=100)
    settings = FIXED | {"precondition": "whiten", "learning_rate": 1e-12, "max_iter": 1}
    model = make("regression", **settings).fit(X, y)
    model.coef_ = model.coef_ + 1
    expected = model.coef_
    assert_allclose(model.fit(X, y).coef_, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["exponential", "invscaling"])
@pytest.mark.parametrize("precondition", [False, "auto"])
def test_schedules_go_on_from_the_last_update(name, precondition):
    X, y = make_data("regression", n=100)
    settings = FIXED | {"schedule": name, "precondition": precondition, "learning_rate": 1e-3}
    once = make("regression", max_iter=6, **settings).fit(X, y)
    twice = make("regression", max_iter=3, **settings).fit(X, y).fit(X, y)
    assert_same_run(twice, once)


def test_schedules_of_a_given_length_count_from_the_first_fit():
    """``max_iter`` is their length, and the epochs of one call: a second call has ended them."""
    X, y = make_data("regression", n=100)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "warm_start": True, "max_iter": 3}
    model = make("regression", **settings | {"schedule": "cosine"}).fit(X, y)
    coef = model.coef_
    assert_array_equal(model.fit(X, y).coef_, coef)
    floor = {"schedule": schedules.Cosine(floor=0.1)}
    ended = make("regression", **settings | floor).fit(X, y).fit(X, y)
    constant = make("regression", **settings | floor).fit(X, y)
    constant.set_params(schedule="constant", learning_rate=1e-4).fit(X, y)
    assert_allclose(ended.coef_, constant.coef_, rtol=1e-12)


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("regression", "squared_error"),
        ("regression", "huber"),
        ("regression", "absolute_error"),
        ("classification", "log_loss"),
        ("classification", "hinge"),
    ],
)
def test_from_the_optimum_a_default_fit_ends_soon_and_no_worse(task, loss):
    for X, y, _ in real_data(task).values():
        for optimizer in ("sgd", "adam"):
            epochs = []
            for seed in range(3):
                model = make(task, loss, optimizer, warm_start=True, random_state=seed).fit(X, y)
                assert model.converged_
                best = model.loss_curve_[-1]
                model.fit(X, y)
                assert model.converged_
                assert model.loss_curve_[-1] <= best * (1 + 1e-9)
                epochs.append(model.n_iter_)
            # The first is not corrected; kinks take outer steps, and one epoch each.
            smooth = loss in ("squared_error", "huber", "log_loss")
            assert max(epochs) <= (2 if smooth else 8)


@each_task
def test_without_warm_start_nothing_goes_on(task):
    X, y = make_data(task, n=100)
    settings = FIXED | {"max_iter": 2, "warm_start": False}
    model = make(task, **settings).fit(X, y)
    assert same_model(make(task, **settings).fit(2 * X, y).fit(X, y), model)
