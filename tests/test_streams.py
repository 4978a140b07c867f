"""Streams with the default settings: no start, order or size of chunks may ruin one."""

import pickle
import warnings

import numpy as np
import pytest
from catalogue import PAIRS, STEPPING, make, make_data, real_data
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LinearRegression, SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._streaming.correction import credible
from sklearn_lossopt._streaming.estimate import Estimate, QuadraticSum
from sklearn_lossopt._streaming.reservoir import Reservoir, capacity
from sklearn_lossopt._streaming.rounded import RoundedLoss
from sklearn_lossopt.losses import Hinge, Loss, Quantile, Tweedie
from sklearn_lossopt.schedules import Plateau

LEARNING = [pair for pair in PAIRS if pair[1] != "perceptron"]


def feed(model, X, y, size, passes=1, **more):
    if isinstance(model, (GradientClassifier, SGDClassifier)):
        more = {"classes": np.unique(y)} | more
    for _ in range(passes):
        for start in range(0, len(y), size):
            model.partial_fit(X[start : start + size], y[start : start + size], **more)
    return model


def ordered(task, X, y, order):
    """The rows in an order that is hard for a stream."""
    if order == "by target":
        at = np.argsort(y, kind="stable")
        return X[at], y[at]
    if order == "by a column":
        at = np.argsort(X[:, 0], kind="stable")
        return X[at], y[at]
    X, y = X.copy(), y.astype(float) if task == "regression" else y
    if order == "far start":
        if task == "regression":
            y += 30 * y.std()
            y[:12] = y.min() / 30
        else:
            X[:12] += 30 * X.std(axis=0)
    elif order == "scale":
        X[len(X) // 2 :] *= 100
    return X, y


def objective(model, coef, intercept, X, y):
    """F of a linear model with the loss of a fitted estimator."""
    raw = X @ np.atleast_2d(coef).T + np.atleast_1d(intercept)
    loss = model._loss._prepared(lambda epsilon: model.delta_ / epsilon)
    if hasattr(model, "classes_"):
        code, k = np.searchsorted(model.classes_, y), len(model.classes_)
        y = code if loss.joint and k > 2 else np.where(code[:, None] == np.arange(k), 1.0, -1.0)
        y = y[:, 1] if k == 2 else y
    raw = raw[:, 0] if raw.shape[1] == 1 else raw
    return loss.loss_gradient(y, raw)[0].mean() + 0.5e-4 * np.sum(np.square(coef))


def excess(model, X, y):
    """(F - F_fit) / (F_constant - F_fit), of all rows."""
    best = type(model)(model.loss, random_state=0).fit(X, y)
    none = type(model)(model.loss, random_state=0).fit(0 * X, y)
    low = objective(best, best.coef_, best.intercept_, X, y)
    high = objective(best, none.coef_, none.intercept_, X, y)
    return (objective(best, model.coef_, model.intercept_, X, y) - low) / (high - low)


# The optimum of all rows seen ---------------------------------------------------------------------


@pytest.mark.parametrize("number, pair", list(enumerate(LEARNING)))
@pytest.mark.parametrize("order", ["by target", "far start"])
def test_every_loss_in_hard_orders(number, pair, order):
    task, loss = pair
    X, y = ordered(task, *make_data(task, loss, n=90, n_targets=1), order)
    optimizer = STEPPING[number % len(STEPPING)]
    model = feed(make(task, loss, optimizer), X, y, (15, 90)[number % 2], passes=20)
    assert excess(model, X, y) < 0.05


@pytest.mark.parametrize("number, optimizer", list(enumerate(STEPPING)))
@pytest.mark.parametrize("task, loss", [("regression", "huber"), ("classification", "log_loss")])
def test_every_optimizer_in_hard_orders(number, optimizer, task, loss):
    order = ("scale", "by a column", "by target")[number % 3]
    X, y = ordered(task, *make_data(task, loss, n=60, n_targets=1), order)
    assert excess(feed(make(task, loss, optimizer), X, y, 12, passes=20), X, y) < 0.05


def test_a_scale_that_jumps_under_breakpoints():
    X, y = load_wine(return_X_y=True)
    at = np.random.default_rng(0).permutation(len(y))[:100]
    X, y = ordered("classification", X[at], y[at], "scale")
    assert (
        excess(feed(make("classification", "hinge", "adamax"), X, y, 100, passes=12), X, y) < 0.05
    )


@pytest.mark.parametrize("optimizer", ["adagrad", "lion", "rmsprop"])
def test_steps_shorten_where_little_of_them_is_kept(optimizer):
    """Calls that are not judged must not undo what corrections gained."""
    X, y, _ = real_data("regression")["diabetes"]
    X, y = ordered("regression", X[:100], y[:100], "by target")
    model = make("regression", "huber", optimizer)
    feed(model, X, y, 10, passes=10)
    # With steps as long as ever, every other of these is above 0.05 with adagrad.
    for start in range(0, 100, 10):
        part = slice(start, start + 10)
        assert excess(model.partial_fit(X[part], y[part]), X, y) < 0.01


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
def test_more_rows_than_are_kept(loss):
    X, y = ordered("regression", *make_data("regression", loss, n=2500), "by target")
    assert excess(feed(make("regression", loss, "lion"), X, y, 25), X, y) < 0.05


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_few_rows_with_nearly_all_of_the_curvature(optimizer):
    """Classes that can nearly be told apart: the mean curvature of rows is that of next to none."""
    X, y = load_breast_cancer(return_X_y=True)
    model = feed(GradientClassifier(optimizer=optimizer, random_state=0), X, y, len(y), 12)
    best = GradientClassifier(tol=1e-8, random_state=0).fit(X, y)
    found, least = (objective(each, each.coef_, each.intercept_, X, y) for each in (model, best))
    assert found - least < 1e-5


def test_row_by_row():
    X, y = ordered("classification", *make_data("classification", n=60), "by target")
    assert excess(feed(make("classification"), X, y, 1, passes=8), X, y) < 0.05


def test_squared_errors_minimum_is_exact_in_any_order():
    X, y = ordered("regression", *real_data("regression")["diabetes"][:2], "by target")
    model = feed(GradientRegressor(alpha=0, random_state=0), X, y, 17)
    best = LinearRegression().fit(X, y)
    assert model.score(X, y) > best.score(X, y) - 1e-2
    assert model._stream.memory.reservoir is None


@pytest.mark.parametrize("sort", [sparse.csr_array, np.float32], ids=["sparse", "float32"])
def test_other_kinds_of_rows(sort):
    X, y = make_data("classification", n=150, n_targets=2)
    at = np.argsort(y, kind="stable")
    given = sort(X[at]) if sort is sparse.csr_array else X[at].astype(sort)
    model = make("classification")
    for _ in range(10):
        for start in range(0, 150, 10):
            part = slice(start, start + 10)
            model.partial_fit(given[part], y[at][part], classes=[0, 1, 2])
    assert excess(model, X, y) < 0.05


def test_weights_are_repeated_rows():
    X, y = make_data("regression", "huber", n=120)
    weight = np.random.default_rng(0).integers(1, 4, size=120)
    at = np.repeat(np.arange(120), weight)
    model = make("regression", "absolute_error")
    for _ in range(10):
        for start in range(0, 120, 10):
            part = slice(start, start + 10)
            model.partial_fit(X[part], y[part], sample_weight=1e6 * weight[part])
    assert excess(model, X[at], y[at]) < 0.05


def test_the_l1_penalty():
    X, y = make_data("regression", n=300, d=6)
    model = feed(make("regression", alpha=0.3, l1_ratio=1.0), X, y, 10, passes=5)
    best = make("regression", alpha=0.3, l1_ratio=1.0).fit(X, y)
    assert np.abs(model.coef_ - best.coef_).max() < 0.05 * np.abs(best.coef_).max()


# Starts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["log_loss", "exponential"])
@pytest.mark.parametrize("sizes", [[1] * 300, [1, 100, 100, 99]], ids=["row by row", "one row"])
def test_a_first_chunk_of_one_class(loss, sizes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = (rng.random(600) < 1 / (1 + np.exp(-X @ [1, -1, 0.5, 0]))).astype(int)
    model, start = make("classification", loss), 0
    for size in sizes:
        model.partial_fit(X[start : start + size], y[start : start + size], classes=[0, 1])
        start += size
    best = make("classification", loss).fit(X[:300], y[:300])
    p, q = (log_loss(y[300:], each.predict_proba(X[300:])) for each in (model, best))
    assert p < q + 0.02
    one = make("classification", loss).partial_fit(X[:1], y[:1], classes=[0, 1, 2])
    assert one.predict_proba(X[:1]).min() > 0.05


def test_a_class_that_comes_after_thousands_of_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4))
    y = np.zeros(3000, int)
    X[2700:] += [2, 2, 0, 0]
    y[2700:] = 1
    model = feed(make("classification"), X, y, 50, classes=[0, 1])
    assert excess(model, X, y) < 0.05


@pytest.mark.parametrize("loss", ["squared_error", "huber", "log_cosh", "absolute_error"])
@pytest.mark.parametrize("odd", [1, 3, 100])
def test_odd_first_rows(loss, odd):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 5))
    y = X @ [1, 2, 3, 4, 5.0] + 10 + rng.normal(size=900)
    seen = np.where(np.arange(900) < odd, 0.0, y)
    model = make("regression", loss)
    feed(model, X[:odd], seen[:odd], odd)
    feed(model, X[odd:], seen[odd:], 100)
    best = make("regression", loss).fit(X, seen)
    assert model.score(X[odd:], y[odd:]) > best.score(X[odd:], y[odd:]) - 0.01


def test_fewer_rows_than_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 100))
    y = X @ rng.normal(size=100) + rng.normal(size=400)
    for optimizer in ("adam", "sgd"):
        for rows in (60, 120, 300):
            scores = [
                feed(model, X[:rows], y[:rows], 10).score(X[300:], y[300:])
                for model in (make("regression", None, optimizer), SGDRegressor(random_state=0))
            ]
            assert scores[0] >= scores[1]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad"])
def test_one_pass_is_not_worse_than_sgd_with_scaled_columns(optimizer):
    for task in ("regression", "classification"):
        for X, y, _ in real_data(task).values():
            X = StandardScaler().fit_transform(X)
            y = (y - y.mean()) / y.std() if task == "regression" else (y == y[0]).astype(int)
            at = np.argsort(y, kind="stable")
            peer = SGDRegressor if task == "regression" else SGDClassifier
            loss = "squared_error" if task == "regression" else "log_loss"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                other = feed(peer(loss=loss, random_state=0), X[at], y[at], 30)
            model = feed(make(task, loss, optimizer), X[at], y[at], 30)
            own, theirs = (
                objective(model, each.coef_, each.intercept_, X, y) for each in (model, other)
            )
            assert own <= theirs


def test_networks_follow_a_start_far_away():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = 100 + X[:, 0] + 0.1 * rng.normal(size=400)
    plain = feed(make("regression", hidden_layer_sizes=(8,)), X, y, 20, passes=5)
    model = make("regression", hidden_layer_sizes=(8,)).partial_fit(X[:20], np.zeros(20))
    feed(model, X, y, 20, passes=5)
    assert plain.score(X, y) - 0.2 < model.score(X, y) > 0
    label = (X[:, 0] > 0).astype(int)
    one = make("classification", hidden_layer_sizes=(8,))
    one.partial_fit(X[:1], label[:1], classes=[0, 1])
    assert one.predict_proba(X).min() > 0.01


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_networks_follow_columns_that_move(optimizer):
    """Units of the first rows, all of one class, are a tenth of what the columns' become."""
    X, y = load_iris(return_X_y=True)
    model = feed(make("classification", None, optimizer, hidden_layer_sizes=(16,)), X, y, 20, 3)
    constant = log_loss(y, np.full((len(y), 3), 1 / 3))
    assert log_loss(y, model.predict_proba(X)) < 1.5 * constant  # was 12 times
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 8)) + np.linspace(0, 1, 2000)[:, None] * 10 * rng.normal(size=8)
    y = X @ rng.normal(size=8) + 0.3 * rng.normal(size=2000)
    model = make("regression", None, optimizer, hidden_layer_sizes=(16,))
    assert feed(model, X, y, 50, passes=2).score(X, y) > 0.5  # sgd diverged


# What losses ask of all rows ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 20])
def test_hubers_delta_in_small_chunks(size):
    X, y = real_data("regression")["diabetes"][:2]
    rows = 150 if size == 1 else 440
    best = make("regression", "huber").fit(X[:rows], y[:rows])
    for hidden in ((), (3,)):
        model = make("regression", "huber").set_params(hidden_layer_sizes=hidden)
        feed(model, X[:rows], y[:rows], size)
        assert abs(model.delta_ / best.delta_ - 1) < 0.15


@pytest.mark.parametrize("loss", ["poisson", Tweedie(power=1.5)])
def test_chunks_of_zeros(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = rng.poisson(np.exp(X[:, 0] - 2)).astype(float)
    at = np.argsort(y, kind="stable")
    model = feed(make("regression", loss), X[at], y[at], 10)
    assert excess(model, X, y) < 0.05
    make("regression", loss).fit(X, y, X_val=X[at[:5]], y_val=np.zeros(5))
    with pytest.raises(ValueError, match="positive sum"):
        make("regression", loss).fit(X, 0 * y)
    with pytest.raises(ValueError, match="at least 0"):
        model.partial_fit(X, -y)


# Cost ---------------------------------------------------------------------------------------------


def test_a_curve_is_bounded_and_keeps_means():
    X, y = make_data("regression", n=8)
    model = make("regression").partial_fit(X, y)
    stream, values = model._stream, np.random.default_rng(0).random(25_001)
    curve = np.empty(0)
    for value in values:
        curve = stream.curve(curve, value)
        assert len(curve) <= 10_000
    calls, held = stream.thinning
    assert calls == 4
    np.testing.assert_allclose(curve[:-1], values[: 4 * (len(curve) - 1)].reshape(-1, 4).mean(1))
    np.testing.assert_allclose(curve[-1], values[-held:].mean())
    model.loss_curve_ = np.zeros(1_000_000)
    assert len(model.partial_fit(X, y).loss_curve_) <= 10_000
    assert model._state.curve == []


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_pickles_stop_growing(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 3))
    model, sizes = make("regression", loss), []
    for start in range(0, 6000, 500):
        model.partial_fit(X[start : start + 500], X[start : start + 500, 0])
        sizes.append(len(pickle.dumps(model)))
    assert sizes[-1] <= 1.05 * sizes[len(sizes) // 2]


def test_a_schedule_remembers_without_the_curve():
    X, y = make_data("regression", n=60)
    plateau = Plateau(factor=0.5, patience=0, threshold=0.99)
    model = make("regression", None, "sgd", schedule=plateau, learning_rate=0.1)
    feed(model, X, y, 10)
    epochs, memory = model._stream.remembered(plateau)
    assert epochs == 6 and memory[0] < 1


# The parts ----------------------------------------------------------------------------------------


def problem(rows, y, loss="log_cosh"):
    return Objective(rows, y[:, None], "values", None, None, 1, Loss.resolve(loss), 1e-4, 0.0, True)


def test_a_reservoir_is_uniform_whatever_the_chunks():
    X = np.arange(6000.0)[:, None]
    whole = Reservoir.empty(problem(X, X[:, 0]), 3).extended(problem(X, X[:, 0]), None)
    parts, start = Reservoir.empty(problem(X, X[:, 0]), 3), 0
    for size in (1, 10, 989, 4000, 1000):
        part = X[start : start + size]
        parts, start = parts.extended(problem(part, part[:, 0]), None), start + size
    np.testing.assert_array_equal(np.sort(parts.numbers), np.sort(whole.numbers))
    np.testing.assert_array_equal(parts.rows[:, 0], parts.numbers)
    assert len(parts.numbers) == capacity(1)
    assert abs(parts.numbers.mean() - 3000) < 4 * 1732 / np.sqrt(capacity(1))


@pytest.mark.parametrize("loss", ["squared_error", "log_cosh"])
def test_rows_that_wait_are_the_streams_own(loss):
    X, y = make_data("regression", n=1300)
    model, again = make("regression", loss), make("regression", loss)
    rows, targets = np.empty((10, X.shape[1])), np.empty(10)
    for start in range(0, 1300, 10):
        rows[...], targets[...] = X[start : start + 10], y[start : start + 10]
        model.partial_fit(rows, targets)
        rows[...], targets[...] = np.nan, np.nan
        again.partial_fit(X[start : start + 10].copy(), y[start : start + 10].copy())
    np.testing.assert_array_equal(model.coef_, again.coef_)
    memory = model._stream.memory
    waiting = sum(len(rows) for rows, _, _ in memory.waiting)
    assert memory.rows == 1300 and memory.taken + waiting == 1300 and waiting < 512
    if memory.reservoir is not None:
        assert memory.reservoir.seen == memory.taken
        assert len(memory.all_kept(problem(X, y, loss)).keys) == capacity(X.shape[1])


def test_quadratic_models_are_those_of_another_shift():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(50, 2)), np.ones(50)])
    parts = [rng.random((50, 1)) for _ in range(5)]
    here = QuadraticSum.empty(np.zeros(2), 1, False).extended(x, *parts)
    there = here.moved(np.array([3.0, -1.0]), 1.0)
    w = rng.normal(size=(1, 3))
    moved = w.copy()
    moved[0, 2] += w[0, :2] @ [3.0, -1.0]
    for each, v in ((here, w), (there, moved)):
        value = 0.5 * np.sum(v * each.along(v)) - np.sum(each.linear * v) + each.constant
        weight, z, value_at, slope, bend = parts
        step = x @ w.T - z
        wanted = np.sum(weight * (value_at + slope * step + 0.5 * bend * step**2))
        np.testing.assert_allclose(value, wanted)


def test_the_estimate_is_the_objective_while_all_rows_are_kept():
    X, y = make_data("regression", n=60)
    model = feed(make("regression", "log_cosh"), X, y, 20)
    memory = model._stream.memory
    estimate = Estimate(problem(X, y), memory.reservoir, memory.models, memory.mass)
    W = estimate.place(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_))
    loss = RoundedLoss(model._loss, 1.0)
    here = estimate.at(loss, W)
    np.testing.assert_allclose(here.value, objective(model, model.coef_, model.intercept_, X, y))
    for j in range(5):
        step = np.zeros_like(W)
        step[0, j] = 1e-6
        up, down = (estimate.at(loss, W + sign * step).value for sign in (1, -1))
        np.testing.assert_allclose((up - down) / 2e-6, here.gradient()[0, j], atol=1e-6)


def test_classes_that_have_come_are_credited_with_nothing():
    """Where rows lie far from their mean, exp of the margin there is any number."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.where(np.arange(60) < 30, 1.0, -1.0)
    chunk = problem(X, y, "exponential")
    kept = Reservoir.empty(chunk, 0).extended(chunk, None)
    estimate = Estimate(chunk, kept, None, 60.0)
    W = estimate.place(np.array([[0.1, -0.2]]), np.array([50.0]))
    expected = np.exp(-y * (X @ [0.1, -0.2] + 50)).mean() + 0.5e-4 * 0.05
    found = estimate.at(RoundedLoss(chunk.loss, 0.0), W).value
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    first = problem(X[:3], y[:3], "exponential")
    kept = Reservoir.empty(first, 0).extended(first, None)
    estimate = Estimate(first, kept, None, 3.0)
    assert estimate.at(RoundedLoss(chunk.loss, 0.0), W).value > 0.1 * np.exp(50) / 4


def test_an_estimate_below_zero_is_not_believed():
    X, y = make_data("regression", n=40, n_targets=1)
    chunk = problem(X, y)
    kept = Reservoir.empty(chunk, 0).extended(chunk, None)
    for constant in (0.0, -1e6):
        models = QuadraticSum.empty(X.mean(axis=0), 1, False)
        models.constant = constant
        estimate = Estimate(chunk, kept, models, 40.0)
        here = estimate.at(RoundedLoss(chunk.loss, 0.0), np.zeros((1, X.shape[1] + 1)))
        assert (here.value < 0) == (constant < 0)
        assert credible([here], here) == (constant == 0)


@pytest.mark.parametrize("loss", [Hinge(), Quantile(0.8)])
def test_rounded_breakpoints(loss):
    raw = np.linspace(-3, 3, 601)[:, None]
    y = np.ones_like(raw)
    exact = loss.loss_gradient(y[:, 0], raw[:, 0])[0]
    for width in (1e-3, 0.5):
        rounded = RoundedLoss(loss, width)
        value, slope = rounded.value_and_slope(y, raw)
        assert np.all(value <= exact + 1e-12) and np.all(exact - value <= width / 8 + 1e-12)
        difference = np.gradient(value, raw[:, 0])
        assert np.abs(difference[1:-1] - slope[1:-1, 0]).max() < 0.02 / max(width, 0.02) + 1e-6
