"""Every schedule: its closed form, and the steps of a fit that follows it."""

import math

import numpy as np
import pytest
from catalogue import SCHEDULES, TEXTBOOK, make
from numpy.testing import assert_allclose
from reference import OPTIMIZERS, batch_objective

from sklearn_lossopt.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    Schedule,
    registry,
)


def one_cycle(done, warm_up, start, floor):
    if done < warm_up:
        return start + (1 - start) * done / warm_up
    return floor + (1 - floor) * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2


# The factor of update t, from 0, in a run of `total` updates, `each` of them an epoch.
CLOSED_FORMS = [
    (Constant(), lambda t, each, total: 1.0),
    (InverseScaling(), lambda t, each, total: 1 / math.sqrt(t + 1)),
    (InverseScaling(power=0.0), lambda t, each, total: 1.0),
    (InverseScaling(power=1.5), lambda t, each, total: (t + 1) ** -1.5),
    (Exponential(), lambda t, each, total: 0.95 ** (t / each)),
    (Exponential(decay=0.5), lambda t, each, total: 2 ** (-t / each)),
    (Exponential(decay=1.0), lambda t, each, total: 1.0),
    (Cosine(), lambda t, each, total: math.cos(math.pi * t / total / 2) ** 2),
    (Cosine(floor=0.2), lambda t, each, total: 0.2 + 0.8 * math.cos(math.pi * t / total / 2) ** 2),
    (OneCycle(), lambda t, each, total: one_cycle(t / total, 0.3, 0.04, 1e-4)),
    (
        OneCycle(warm_up=0.5, start=0.5, floor=0.1),
        lambda t, each, total: one_cycle(t / total, 0.5, 0.5, 0.1),
    ),
]
each_form = pytest.mark.parametrize(
    "schedule, form", [pytest.param(*case, id=str(case[0])) for case in CLOSED_FORMS]
)


def test_every_schedule_has_a_closed_form():
    assert {type(schedule) for schedule, _ in CLOSED_FORMS} == set(registry().values())
    for schedule, _ in CLOSED_FORMS:
        if not schedule.get_params():
            continue
        given = [case.get_params() for case, _ in CLOSED_FORMS if type(case) is type(schedule)]
        for name in schedule.get_params():
            assert len({parameters[name] for parameters in given}) > 1, name


@each_form
@pytest.mark.parametrize("each, epochs", [(1, 7), (13, 5)])
def test_factors_are_the_closed_form(schedule, form, each, epochs):
    total = each * epochs
    expected = [form(t, each, total) for t in range(total)]
    factors = schedule(np.arange(float(total)), each, epochs)
    assert factors.shape == (total,) and factors.dtype == np.float64
    assert_allclose(factors, expected, rtol=1e-12)
    # A part of the run is the same numbers.
    assert_allclose(schedule(np.arange(3.0, 6.0), each, epochs), expected[3:6], rtol=1e-12)


@each_form
def test_factors_lie_between_zero_and_one(schedule, form):
    factors = schedule(np.arange(500.0), 5, 100)
    assert (factors >= 0).all() and (factors <= 1).all()
    assert factors.max() == pytest.approx(1, abs=0.02)


@each_form
def test_beyond_the_end_the_factor_stays(schedule, form):
    """A warm start goes on counting; nothing starts to rise again."""
    late = schedule(np.array([499.0, 500, 600, 5000]), 5, 100)
    assert np.isfinite(late).all()
    assert (np.diff(late) <= 0).all() and (late >= 0).all()


def twin(X, y, optimizer, rates, batch_size, epochs, alpha):
    """The textbook fit of squared errors with a rate of its own for every update."""
    theta, state, t = np.zeros((1, X.shape[1] + 1)), {}, 0
    for _ in range(epochs):
        for start in range(0, len(X), batch_size):
            batch = slice(start, start + batch_size)
            _, coef, intercept = batch_objective(
                theta[:, :-1], theta[:, -1], X[batch], y[batch], np.ones(len(X[batch])),
                "squared_error", {}, alpha,
            )  # fmt: skip
            gradient = np.column_stack([coef, intercept])
            theta = OPTIMIZERS[optimizer](theta, gradient, state, rates[t])
            t += 1
    assert t == len(rates)
    return theta


@each_form
@pytest.mark.parametrize("batch_size", [1, 16, 100])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_fit_follows_the_schedule(schedule, form, optimizer, batch_size):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    epochs, each = 6, -(-50 // batch_size)
    rates = [0.01 * form(t, each, epochs * each) for t in range(epochs * each)]
    theta = twin(X, y, optimizer, rates, batch_size, epochs, alpha=0.1)
    settings = TEXTBOOK | {
        "learning_rate": 0.01, "batch_size": batch_size, "max_iter": epochs, "alpha": 0.1,
        "shuffle": False, "schedule": schedule,
    }  # fmt: skip
    for extra in ({}, {"tol": 1e-300, "n_iter_no_change": 100}, {"verbose": 1}):
        model = make("regression", optimizer=optimizer, **settings | extra)
        if extra.get("tol"):
            with pytest.warns(match="above tolerance"):
                model.fit(X, y)
        else:
            model.fit(X, y)
        assert_allclose(model.coef_, theta[0, :-1], rtol=1e-10)
        assert_allclose(model.intercept_, theta[0, -1], rtol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_name_stands_for_the_defaults(name):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    settings = TEXTBOOK | {"learning_rate": 0.01, "max_iter": 5, "batch_size": 16}
    by_name = make("regression", **settings | {"schedule": name}).fit(X, y)
    by_object = make("regression", **settings | {"schedule": registry()[name]()}).fit(X, y)
    assert np.array_equal(by_name.coef_, by_object.coef_)
    assert by_name.learning_rate_ == 0.01


def test_a_warm_start_goes_on_in_the_schedule():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    settings = TEXTBOOK | {"learning_rate": 0.01, "batch_size": 16, "schedule": "invscaling"}
    once = make("regression", **settings, max_iter=8).fit(X, y)
    twice = make("regression", **settings, max_iter=4, warm_start=True).fit(X, y).fit(X, y)
    assert_allclose(twice.coef_, once.coef_, rtol=1e-12)


def test_falling_rates_settle_where_a_constant_one_jitters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    y = X @ rng.normal(size=5) + rng.normal(size=500)
    settings = {"learning_rate": 0.1, "max_iter": 60, "tol": 0, "batch_size": 8}
    best = make("regression", optimizer="sgd", tol=1e-12).fit(X, y).coef_
    distance = {}
    for name in SCHEDULES:
        model = make("regression", optimizer="sgd", schedule=name, **settings).fit(X, y)
        distance[name] = np.linalg.norm(model.coef_ - best)
    for name in set(SCHEDULES) - {"constant"}:
        assert distance[name] < 0.5 * distance["constant"], distance


def test_a_base_schedule_says_what_is_missing():
    class Empty(Schedule):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must override __call__\(\)"):
        make("regression", schedule=Empty()).fit(np.eye(3), np.arange(3))
