"""Every schedule: its closed form, and the steps of a fit that follows it."""

import math
import pickle

import numpy as np
import pytest
from catalogue import SCHEDULES, TEXTBOOK, make
from numpy.testing import assert_allclose
from reference import OPTIMIZERS, batch_objective
from sklearn.model_selection import GridSearchCV

from sklearn_lossopt.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    Plateau,
    Schedule,
    WarmUp,
    registry,
)


def one_cycle(done, warm_up, start, floor):
    if done < warm_up:
        return start + (1 - start) * done / warm_up
    return floor + (1 - floor) * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2


def warm_up(t, each, epochs, start):
    return min(1.0, start + (1 - start) * t / (epochs * each))


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
    (WarmUp(), lambda t, each, total: warm_up(t, each, 5, 0.1)),
    (WarmUp(epochs=1, start=0.0), lambda t, each, total: warm_up(t, each, 1, 0.0)),
    (
        WarmUp("exponential", epochs=2, start=0.5),
        lambda t, each, total: warm_up(t, each, 2, 0.5) * 0.95 ** max(t / each - 2, 0),
    ),
    (
        WarmUp(Cosine(floor=0.2), epochs=3, start=1.0),
        lambda t, each, total: (
            0.2 + 0.8 * math.cos(math.pi * max(t - 3 * each, 0) / (total - 3 * each) / 2) ** 2
        ),
    ),
    (
        WarmUp(WarmUp(epochs=1, start=0.3), epochs=2, start=0.5),
        lambda t, each, total: (
            warm_up(t, each, 2, 0.5) * warm_up(max(t - 2 * each, 0), each, 1, 0.3)
        ),
    ),
]
each_form = pytest.mark.parametrize(
    "schedule, form", [pytest.param(*case, id=str(case[0])) for case in CLOSED_FORMS]
)


def test_every_schedule_has_a_closed_form():
    closed = {found for found in registry().values() if found is WarmUp or not found.reacts}
    assert {type(schedule) for schedule, _ in CLOSED_FORMS} == closed
    for schedule, _ in CLOSED_FORMS:
        if not schedule.get_params():
            continue
        given = [
            case.get_params(deep=False) for case, _ in CLOSED_FORMS if type(case) is type(schedule)
        ]
        for name in schedule.get_params(deep=False):
            assert len({str(parameters[name]) for parameters in given}) > 1, name


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
    # A warm-up ends in a constant rate.
    for name in set(SCHEDULES) - {"constant", "warm_up"}:
        assert distance[name] < 0.5 * distance["constant"], distance


def test_a_base_schedule_says_what_is_missing():
    class Empty(Schedule):
        pass

    assert not Empty.reacts
    with pytest.raises(NotImplementedError, match=r"Empty must override __call__\(\)"):
        make("regression", schedule=Empty()).fit(np.eye(3), np.arange(3))
    Empty.reacts = True
    with pytest.raises(NotImplementedError, match=r"Empty must override remember\(\)"):
        Empty().remember(None, 1.0)


# Schedules that react to the objective ------------------------------------------------------------


def torch_factors(curve, factor, patience, threshold, floor):
    """What ``ReduceLROnPlateau(mode="min", threshold_mode="rel", eps=0)`` makes of a rate of 1:
    its ``step``, written down from the documentation, called with each value of a curve."""
    rate, best, num_bad_epochs, rates = 1.0, math.inf, 0, [1.0]
    for metric in curve:
        if metric < best * (1 - threshold):
            best = metric
            num_bad_epochs = 0
        else:
            num_bad_epochs += 1
        if num_bad_epochs > patience:
            rate = max(rate * factor, floor)
            num_bad_epochs = 0
        rates.append(rate)
    return np.array(rates)


def factors_along(schedule, curve, each, max_iter):
    """The factors of all updates of a run with this curve, and of the epoch after it."""
    memory, factors = None, []
    for epoch, value in enumerate([*curve, None]):
        step = np.arange(float(epoch * each), float((epoch + 1) * each))
        factors.append(schedule(step, each, max_iter, memory))
        if value is not None:
            memory = pickle.loads(pickle.dumps(schedule.remember(memory, value)))
    return np.concatenate(factors)


PLATEAUS = [
    {},
    {"factor": 0.1, "patience": 10, "threshold": 1e-4, "floor": 0.0},
    {"factor": 0.7, "patience": 0, "threshold": 0.0, "floor": 0.3},
    {"factor": 0.5, "patience": 1, "threshold": 0.05, "floor": 0.0},
]


@pytest.mark.parametrize("parameters", PLATEAUS, ids=str)
@pytest.mark.parametrize("each", [1, 7])
def test_plateau_is_that_of_torch(parameters, each):
    rng = np.random.default_rng(0)
    schedule = Plateau(**parameters)
    for decay, noise in [(0.5, 0.0), (0.02, 0.1), (0.0, 0.3), (0.0, 0.0)]:
        curve = np.exp(-decay * np.arange(60)) + 0.5 + noise * rng.random(60)
        expected = torch_factors(curve, **schedule.get_params())
        factors = factors_along(schedule, curve, each, 61)
        assert_allclose(factors, expected.repeat(each), rtol=1e-15)
    assert schedule(np.array([0.0, 50.0]), each, 10).tolist() == [1.0, 1.0]


def test_plateau_with_objectives_below_zero():
    """Where torch's relative threshold would take any value for an improvement."""
    schedule = Plateau(patience=0, threshold=0.1)
    factors = factors_along(schedule, [-1.0, -1.05, -1.2], 1, 4)
    assert factors.tolist() == [1.0, 1.0, 0.5, 0.5]


def test_a_warm_up_before_a_plateau_hides_its_epochs():
    schedule = WarmUp(Plateau(patience=0, factor=0.1), epochs=2, start=0.5)
    assert schedule.reacts and not WarmUp("cosine").reacts
    factors = factors_along(schedule, [1.0, 2.0, 3.0, 3.0, 1.0], 1, 6)
    assert_allclose(factors, [0.5, 0.75, 1.0, 1.0, 0.1, 0.1], rtol=1e-15)


REACTING = [
    Plateau(patience=0, factor=0.5),
    Plateau(patience=1, factor=0.3, threshold=0.05, floor=0.1),
    WarmUp(Plateau(patience=0), epochs=2),
]


@pytest.mark.parametrize("schedule", REACTING, ids=str)
@pytest.mark.parametrize("tol", [0, 1e-300])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_fit_follows_a_schedule_of_its_own_curve(schedule, tol, optimizer):
    """The twin is handed the rates that the fit's own curve stands for, and the curve is F."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    settings = TEXTBOOK | {
        "learning_rate": 0.2, "batch_size": 16, "max_iter": 12, "alpha": 0.1, "shuffle": False,
        "schedule": schedule, "tol": tol, "n_iter_no_change": 100,
    }  # fmt: skip
    model = make("regression", optimizer=optimizer, **settings)
    if tol:
        with pytest.warns(match="above tolerance"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    factors = factors_along(schedule, model.loss_curve_[:-1], 4, 12)
    assert len(np.unique(factors)) > 2
    theta = twin(X, y, optimizer, 0.2 * factors, 16, 12, alpha=0.1)
    assert_allclose(model.coef_, theta[0, :-1], rtol=1e-10)
    value, _, _ = batch_objective(
        theta[:, :-1], theta[:, -1], X, y, np.ones(50), "squared_error", {}, 0.1
    )
    assert_allclose(model.loss_curve_[-1], value, rtol=1e-10)


@pytest.mark.parametrize("schedule", REACTING, ids=str)
def test_a_warm_start_goes_on_with_the_curve(schedule):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    settings = TEXTBOOK | {"learning_rate": 0.2, "batch_size": 16, "schedule": schedule}
    once = make("regression", **settings, max_iter=12).fit(X, y)
    parts = make("regression", **settings, max_iter=4, warm_start=True)
    curves = [parts.fit(X, y).loss_curve_ for _ in range(3)]
    assert_allclose(np.concatenate(curves), once.loss_curve_, rtol=1e-12)
    assert_allclose(parts.coef_, once.coef_, rtol=1e-12)


def test_the_schedule_after_a_warm_up_can_be_searched():
    model = make("regression", schedule="warm_up")
    model.set_params(schedule__epochs=3, schedule__then="exponential", schedule__then__decay=0.5)
    then = model.schedule.then
    assert isinstance(then, Exponential) and then.decay == 0.5 and model.schedule.epochs == 3
    assert "schedule__then__decay" in model.get_params()
    X, y = np.random.default_rng(0).normal(size=(2, 40, 1))
    grid = {"schedule": [WarmUp()], "schedule__then__decay": [0.5, 0.9]}
    grid["schedule__then"] = ["exponential"]
    model.set_params(max_iter=8, tol=0)
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y[:, 0])
    assert search.best_estimator_.schedule.then.decay in (0.5, 0.9)
    assert grid["schedule"][0].then == "constant"


@pytest.mark.parametrize(
    "then, message",
    [
        ("nonsense", "Unknown schedule 'nonsense'"),
        ("auto", "Unknown schedule 'auto'"),
        (Exponential(decay=2.0), "The 'decay' parameter of Exponential"),
        (WarmUp(then="nonsense"), "Unknown schedule 'nonsense'"),
    ],
)
def test_what_follows_a_warm_up_is_checked_before_any_work(then, message):
    with pytest.raises(ValueError, match=message):
        make("regression", schedule=WarmUp(then)).fit([["no numbers"]], ["either"])
