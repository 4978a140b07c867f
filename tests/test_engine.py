"""The compiled engine alone: its batches, its sums, its banks of models, its two builds, Ctrl-C."""

import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import LOSSES, batch_objective, one_vs_rest
from scipy.stats import chi2

from sklearn_lossopt import _engine
from sklearn_lossopt._engine import Trainer, column_moments, run_bank


def trainer(
    X, target, *, kind="values", weight=None, rows=None, shift=None, k=1, model=None,
    state_slots=1, shuffle=False, seed=0, batch_size=None, **options,
):  # fmt: skip
    """A trainer, and the weights that it trains."""
    weights = options.pop("weights", np.zeros((k, X.shape[1] + 1), X.dtype))
    model = model or ("squared_error", [], "sgd", [], 0.0, 0.0, 1.0)
    state = np.zeros((state_slots, k * (X.shape[1] + 1)), X.dtype)
    made = Trainer(
        X, target, kind, weight, rows, shift, weights, model, state, np.zeros(1, np.int64),
        batch_size=batch_size or len(X), shuffle=shuffle, seed=seed, **options,
    )  # fmt: skip
    return made, weights


def run(made, n_epochs, rate, first_epoch=0):
    history = np.empty(n_epochs)
    done = made.run(first_epoch, n_epochs, np.array([rate]), history)
    return done, history


# The order of the rows ----------------------------------------------------------------------------


def visits(n, seed, epochs, batch_size=50, rows=None, first_epoch=0, shuffle=True):
    """The rows in the order in which each epoch visits them, as a loss of one's own sees them."""
    seen = []

    def record(y, raw):
        seen.extend(y)
        return np.zeros(len(y)), np.zeros(len(y))

    made, _ = trainer(
        np.zeros((n, 1)), np.arange(float(n))[:, None], batch_size=batch_size, shuffle=shuffle,
        rows=rows, seed=seed, model=(record, [], "sgd", [], 0.0, 0.0, 1.0),
    )  # fmt: skip
    run(made, epochs, 0.0, first_epoch)
    return np.array(seen, int).reshape(epochs, -1)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 5000])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 10_000])
def test_an_epoch_visits_every_row_once(n, batch_size):
    for order in visits(n, 3, 4, batch_size):
        assert_array_equal(np.sort(order), np.arange(n))


def test_epochs_and_seeds_differ():
    orders = [tuple(order) for seed in range(20) for order in visits(50, seed, 20)]
    assert len(set(orders)) == 400


def test_the_order_depends_on_seed_and_epoch_only():
    whole = visits(30, 7, 6)
    assert_array_equal(visits(30, 7, 6, batch_size=8), whole)
    for epoch in range(6):
        assert_array_equal(visits(30, 7, 1, first_epoch=epoch)[0], whole[epoch])


def test_the_order_without_shuffling_is_that_of_the_rows():
    assert_array_equal(visits(30, 7, 3, 8, shuffle=False), np.tile(np.arange(30), (3, 1)))


def test_rows_left_out_are_never_visited():
    rows = np.array([2, 3, 5, 11, 28], np.uint32)
    for order in visits(30, 7, 5, 2, rows):
        assert_array_equal(np.sort(order), rows)
    # The positions are shuffled as if the others had been removed.
    assert_array_equal(rows[visits(5, 7, 5, 2)], visits(30, 7, 5, 2, rows))
    assert_array_equal(visits(30, 7, 2, 2, rows, shuffle=False), [rows, rows])


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_every_row_is_as_likely_in_every_place(n):
    """Chi-square tests of places, and of all orders of few rows, at a level of 1e-6."""
    epochs = 20_000
    orders = visits(n, 11, epochs)
    counts = np.array([np.bincount(orders[:, place], minlength=n) for place in range(n)])
    statistic = ((counts - epochs / n) ** 2).sum() / (epochs / n)
    assert statistic < chi2.isf(1e-6, (n - 1) ** 2)
    if n <= 5:
        _, counts = np.unique(orders, axis=0, return_counts=True)
        possible = int(np.prod(np.arange(1, n + 1)))
        assert len(counts) == possible
        statistic = ((counts - epochs / possible) ** 2).sum() / (epochs / possible)
        assert statistic < chi2.isf(1e-6, possible - 1)


def test_orders_of_neighbouring_seeds_are_unrelated():
    first = np.array([visits(40, seed, 1)[0] for seed in range(2000)])
    correlation = np.corrcoef(first[:-1, 0], first[1:, 0])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(2000)


# Sums ---------------------------------------------------------------------------------------------

# name of the kernel, its parameters, kind of target, columns, and the loss's NumPy twin
KERNELS = [
    ("squared_error", [], "values", 1, "squared_error"),
    ("squared_error", [], "values", 3, "squared_error"),
    ("huber", [0.8], "values", 1, "huber"),
    ("log_loss", [], "values", 1, "log_loss"),
    ("hinge", [], "one_vs_rest", 4, "hinge"),
    ("softmax_log_loss", [], "class", 4, "softmax"),
]


def bank_data(kind, k, n, d, dtype, rng):
    X = (rng.normal(size=(n, d)) + 2).astype(dtype)
    if kind == "values":
        target = rng.choice([-1.0, 1.0], size=(n, k)).astype(dtype)
        return X, target, target[:, 0] if k == 1 else target
    index = rng.integers(k, size=n)
    return X, index.astype(dtype), one_vs_rest(index, k) if kind == "one_vs_rest" else index


@pytest.mark.parametrize("loss, params, kind, k, name", KERNELS)
@pytest.mark.parametrize("n, d", [(1, 1), (257, 3), (3000, 17), (40, 2500)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_chunked_sums_are_those_of_numpy(loss, params, kind, k, name, n, d, weighted, dtype):
    """Objective and gradient over all rows, more of them than a chunk holds."""
    rng = np.random.default_rng(n + d)
    X, target, y = bank_data(kind, k, n, d, dtype, rng)
    weight = rng.gamma(2, size=n).astype(dtype) if weighted else np.ones(n, dtype)
    weight /= weight.mean()
    weights = (rng.normal(size=(k, d + 1)) / np.sqrt(d)).astype(dtype)
    made, _ = trainer(
        X, target, kind=kind, k=k, weight=weight if weighted else None, weights=weights.copy(),
        model=(loss, params, "sgd", [], 0.3, 0.0, 1.0),
    )  # fmt: skip
    gradient = np.empty((k, d + 1))
    objective = made.evaluate(gradient)

    value, coef, intercept = batch_objective(
        weights[:, :d].astype(float), weights[:, d].astype(float), X.astype(float), y,
        weight.astype(float), name, {"delta": params[0]} if params else {}, 0.3,
    )  # fmt: skip
    rtol = 1e-12 if dtype == "float64" else 2e-5
    assert_allclose(objective, value, rtol=rtol)
    assert made.evaluate() == objective
    size = np.abs(np.column_stack([coef, intercept])).max()
    assert_allclose(gradient[:, :d], coef, rtol=rtol, atol=rtol * size)
    assert_allclose(gradient[:, d], intercept, rtol=rtol, atol=rtol * size)

    # One step from all rows moves the weights by that gradient.
    run(made, 1, 0.5)
    step = weights - 0.5 * np.column_stack([coef, intercept])
    assert_allclose(
        made.evaluate(),
        batch_objective(
            step[:, :d], step[:, d], X.astype(float), y, weight.astype(float), name,
            {"delta": params[0]} if params else {}, 0.3,
        )[0],
        rtol=10 * rtol,
    )  # fmt: skip


def test_float32_sums_do_not_drift():
    """Adding up a million numbers in float32 would lose three digits; sums are in float64."""
    n = 1_000_000
    X, target = np.ones((n, 1), np.float32), np.full((n, 1), 0.1, np.float32)
    made, _ = trainer(X, target)
    gradient = np.empty((1, 2))
    assert_allclose(made.evaluate(gradient), 0.1**2 / 2, rtol=2e-6)
    assert_allclose(gradient, -0.1, rtol=1e-6)
    _, history = run(made, 1, 1e-3)
    assert_allclose(history[0], 0.1**2 / 2, rtol=2e-6)


def test_shifted_rows_are_centred_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 6)) + 100, rng.normal(size=(500, 2))
    shift = X.mean(axis=0)
    for k in (1, 2):
        target = np.ascontiguousarray(y[:, :k])
        results = []
        for data, by in ((X, shift), (X - shift, None)):
            made, weights = trainer(data, target, k=k, shift=by, batch_size=16, shuffle=True)
            run(made, 3, 0.01)
            results.append(weights)
        assert_allclose(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 5), (3, 5), (1, 5, 5), (3, 5, 5)], ids=str)
def test_a_metric_is_a_change_of_variables(shape):
    """w = A u and steps on u are steps on w by A A' times the gradient."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 3))
    metric = rng.normal(size=shape) + 2 * (np.eye(5) if len(shape) == 3 else 1)
    if len(shape) == 3:
        metric = np.triu(metric)  # as the engine expects of a full one
    made, weights = trainer(
        X, y, k=3, metric=metric, coordinates=np.zeros((3, 5)),
        model=("squared_error", [], "sgd", [], 0.1, 0.0, 1.0),
    )  # fmt: skip
    run(made, 4, 0.003)
    extended = np.column_stack([X, np.ones(40)])
    expected = np.zeros((3, 5))
    for _ in range(4):
        for r, w in enumerate(expected):
            A = metric[0 if len(metric) == 1 else r]
            A = np.diag(A) if A.ndim == 1 else A
            g = extended.T @ (extended @ w - y[:, r]) / 40 + 0.1 * w * [1, 1, 1, 1, 0]
            w -= 0.003 * A @ A.T @ g
    assert_allclose(weights, expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_of_every_length(dtype):
    """Products of rows go by tiles of vectors; whatever is left of a row is counted once."""
    rng = np.random.default_rng(0)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    for d in range(1, 80):
        n = 1 + d % 7
        X, y = rng.normal(size=(n + 3, d)).astype(dtype), rng.normal(size=(n + 3, 1)).astype(dtype)
        shift, w = rng.normal(size=d).astype(dtype), rng.normal(size=(1, d + 1)).astype(dtype)
        rows = rng.permutation(n + 3)[:n].astype(np.uint32)
        for by, used in ((None, None), (shift, rows)):
            made, _ = trainer(X, y, weights=w.copy(), shift=by, rows=used)
            gradient = np.empty((1, d + 1))
            made.evaluate(gradient)
            at = slice(None) if used is None else used
            x = X[at].astype(float) - (0 if by is None else shift)
            x = np.column_stack([x, np.ones(len(x))])
            expected = x.T @ (x @ w[0] - y[at, 0]) / len(x)
            size = np.abs(x).sum(axis=0).max()
            assert_allclose(gradient[0], expected, rtol=rtol, atol=rtol * size, err_msg=str(d))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_full_metrics_of_every_size(dtype):
    rng = np.random.default_rng(0)
    rtol = 1e-10 if dtype == "float64" else 1e-3
    for d in range(1, 80):
        X, y = rng.normal(size=(9, d)).astype(dtype), rng.normal(size=(9, 1)).astype(dtype)
        A = (np.triu(rng.normal(size=(d + 1, d + 1))) / (d + 1)).astype(dtype)
        weights = np.zeros((1, d + 1), dtype)
        made, _ = trainer(X, y, weights=weights, metric=A[None], coordinates=np.zeros_like(weights))
        run(made, 2, 0.1)
        x, expected = np.column_stack([X, np.ones(9)]).astype(float), np.zeros(d + 1)
        for _ in range(2):
            expected -= 0.1 * A @ A.T @ (x.T @ (x @ expected - y[:, 0])) / 9
        atol = rtol * np.abs(expected).max()
        assert_allclose(weights[0], expected, rtol=rtol, atol=atol, err_msg=str(d))


# Banks --------------------------------------------------------------------------------------------


def own_loss(y, raw):
    return 0.5 * (raw - y) ** 2 / (1 + y * y), (raw - y) / (1 + y * y)


def own_step(parameters, gradient, state, t, rate):
    state[0] = 0.5 * state[0] + gradient
    parameters -= rate / np.sqrt(t) * state[0]


# Losses of +-1 and of numbers, optimizers of which each has a path of its own, penalties.
MEMBERS = [
    ("log_loss", [], "adam", [0.9, 0.999, 1e-8, 0.0], 0.1, 0.0, 1.0),
    ("hinge", [], "sgd", [], 0.01, 0.0, 1.0),
    ("squared_error", [], "momentum", [0.9, 1.0], 0.0, 0.0, 0.5),
    (own_loss, [], "rmsprop", [0.9, 1e-8, 0.5, 1.0], 0.1, 0.0, 1.0),
    ("huber", [0.7], "adagrad", [1e-8, 0.1], 0.0, 0.0, 1.0),
    ("poisson", [], "lion", [0.9, 0.99, 0.1], 0.0, 0.0, 1.0),
    ("log_cosh", [], own_step, [], 0.2, 0.0, 1.0),
]


def assert_alone_as_in_a_bank(make, models, rates=None, epochs=3):
    """``make(model)`` gives a trainer and its weights; returns the numbers of epochs done."""
    rates = [0.01 * (i + 1) for i in range(len(models))] if rates is None else rates
    rates = [np.array([rate]) for rate in rates]
    together = [make(model) for model in models]
    history = [np.full(epochs, -1.0) for _ in models]
    done = run_bank([t for t, _ in together], 1, epochs, rates, history)
    for i, model in enumerate(models):
        alone, weights = make(model)
        own = np.full(epochs, -1.0)
        assert alone.run(1, epochs, rates[i], own) == done[i]
        assert_array_equal(together[i][1], weights, err_msg=str(model))
        assert_array_equal(history[i], own)
        assert weights.any()
    return done


def signs(n, k, dtype, rng):
    return rng.choice([-1.0, 1.0], size=(n, k)).astype(dtype)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 30, 31, 33, 100])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bank_is_its_members_alone(d, dtype):
    """To the last bit: four models go through the rows together, three are left over."""
    rng = np.random.default_rng(d)
    X, y = rng.normal(size=(151, d)).astype(dtype), signs(151, 1, dtype, rng)
    weight = rng.gamma(2, size=151).astype(dtype)
    rows = rng.permutation(151)[:99].astype(np.uint32)
    for options in (
        {"shuffle": True},
        {"weight": weight, "intercept": False},
        {"weight": weight, "shift": X.mean(axis=0), "rows": rows, "shuffle": True},
    ):
        for batch_size in (1, 37, 1000):
            assert_alone_as_in_a_bank(
                lambda model, b=batch_size, o=options: trainer(
                    X, y, model=model, batch_size=b, seed=3, state_slots=3, **o
                ),
                MEMBERS if batch_size > 1 else MEMBERS[2:],
                epochs=2,
            )  # fmt: skip


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shape", [None, (1, 12), (1, 12, 12), (3, 12, 12)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bank_in_a_metric(k, shape, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 11)).astype(dtype), signs(70, k, dtype, rng)
    metric = None
    if shape is not None:
        metric = rng.uniform(0.5, 1, size=shape)
        metric = np.triu(metric) if len(shape) == 3 else metric
        metric = metric[:k].astype(dtype)
    models = [m for m in MEMBERS if k == 1 or m[0] is not own_loss]
    if shape is None or len(shape) == 2:
        models = [(*m[:5], 0.02, m[6]) for m in models] + models

    def make(model):
        weights = np.zeros((k, 12), dtype)
        coordinates = None if metric is None else np.zeros_like(weights)
        return trainer(
            X, y, k=k, model=model, batch_size=32, shuffle=True, state_slots=3,
            weights=weights, metric=metric, coordinates=coordinates, shift=X.mean(axis=0),
        )  # fmt: skip

    assert_alone_as_in_a_bank(make, models)


@pytest.mark.parametrize("batch_size", [1, 16, 500])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bank_of_several_outputs(batch_size, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 8)).astype(dtype), signs(300, 3, dtype, rng)
    assert_alone_as_in_a_bank(
        lambda model: trainer(
            X, y, k=3, model=model, batch_size=batch_size, shuffle=True, seed=5, state_slots=3
        ),
        [model for model in MEMBERS if model[0] is not own_loss],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["one_vs_rest", "class"])
def test_a_bank_of_classes(kind):
    rng = np.random.default_rng(0)
    X, target = rng.normal(size=(70, 5)), rng.integers(4, size=70).astype(float)
    losses = ["softmax_log_loss"] if kind == "class" else ["hinge", "log_loss"]
    models = [(loss, [], "sgd", [], l2, 0.0, 1.0) for loss in losses for l2 in (0.0, 0.1, 1.0)]
    assert_alone_as_in_a_bank(
        lambda model: trainer(X, target, kind=kind, k=4, model=model, batch_size=16, seed=1),
        models,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bank_whose_batches_are_several_chunks(dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1203, 9)).astype(dtype), signs(1203, 1, dtype, rng)
    assert_alone_as_in_a_bank(
        lambda model: trainer(X, y, model=model, batch_size=700, shuffle=True, state_slots=3),
        MEMBERS,
    )  # fmt: skip


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("activation, dropout", [("relu", 0.0), ("tanh", 0.3)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bank_of_networks(k, activation, dropout, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 6)).astype(dtype), signs(90, k, dtype, rng)
    widths, size = [6, 7, 5, k], 7 * 7 + 5 * 8 + k * 6
    start = rng.normal(size=size).astype(dtype)

    def make(model):
        weights = start.copy()
        return Trainer(
            X, y, "values", None, None, X.mean(axis=0), weights, model,
            np.zeros((3, size), dtype), np.zeros(1, np.int64), batch_size=32, shuffle=True,
            seed=4, network=(widths, activation, dropout, 0.1, X.std(axis=0), None),
        ), weights  # fmt: skip

    models = [m for m in MEMBERS if k == 1 or m[0] is not own_loss]
    assert_alone_as_in_a_bank(make, models)


def test_members_that_diverge_leave_the_others_alone():
    """Also where the four that go together change with it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(45, 8)), signs(45, 1, float, rng)
    models = [("squared_error", [], "sgd", [], 0.1, 0.0, 1.0)] * 9
    rates = [0.01, 1e60, 0.02, 0.03, 1e15, 0.04, 0.05, 1e300, 0.06]
    for shuffle in (False, True):
        with np.errstate(all="ignore"):
            done = assert_alone_as_in_a_bank(
                lambda model, s=shuffle: trainer(X, y, model=model, batch_size=8, shuffle=s),
                models, rates, epochs=12,
            )  # fmt: skip
        assert [e == 12 for e in done] == [rate < 1 for rate in rates]
        assert done[1] < done[4] < 12


def test_a_rate_for_every_update():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 1))
    rates = rng.uniform(0.001, 0.01, size=2 * 4)
    at_once, weights = trainer(X, y, batch_size=16, shuffle=True)
    at_once.run(0, 2, rates, np.empty(2))
    apart, stepwise = trainer(X, y, batch_size=16, shuffle=True)
    for epoch in range(2):
        apart.run(epoch, 1, rates[4 * epoch : 4 * epoch + 4], np.empty(1))
    assert_array_equal(weights, stepwise)


def test_an_epoch_that_overflows_is_the_last():
    X, y = np.full((10, 1), 1e200), np.full((10, 1), 1e200)
    made, _ = trainer(X, y)
    done, history = run(made, 20, 1.0)
    assert done < 20
    assert not np.isfinite(history[done - 1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_columns(dtype, weighted):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(1000, 7)) * np.arange(7) + 1000).astype(dtype)
    weight = rng.gamma(2, size=1000).astype(dtype) if weighted else None
    rows = np.sort(rng.choice(1000, 600, replace=False)).astype(np.uint32)
    for used in (None, rows):
        sums, mass = column_moments(X, weight, used, np.full(7, 1000.0))
        x = X.astype(float)[slice(None) if used is None else used] - 1000
        w = np.ones(1000) if weight is None else weight.astype(float)
        w = w[slice(None) if used is None else used][:, None]
        assert_allclose(mass, w.sum())
        assert_allclose(sums[0], (w * x).sum(axis=0), rtol=1e-10, atol=1e-9)
        assert_allclose(sums[1], (w * x**2).sum(axis=0), rtol=1e-10)


def test_arrays_of_another_kind_are_refused():
    X, y = np.zeros((4, 2)), np.zeros((4, 1))
    with pytest.raises(TypeError, match="C-contiguous"):
        trainer(np.asfortranarray(np.ones((4, 2))), y)
    with pytest.raises(TypeError, match="float64"):
        trainer(X, y.astype(np.float32))
    weights = np.zeros((1, 3))
    weights.flags.writeable = False
    with pytest.raises(TypeError, match="writeable"):
        trainer(X, y, weights=weights)
    with pytest.raises(KeyError):
        trainer(X, y, model=("nonsense", [], "sgd", [], 0.0, 0.0, 1.0))


def test_the_twins_here_are_those_of_the_losses():
    assert {name for *_, name in KERNELS} <= set(LOSSES)


# Builds -------------------------------------------------------------------------------------------

FITS = """
import pickle, sys
import numpy as np
from sklearn.datasets import load_diabetes, load_wine
from sklearn_lossopt import GradientClassifier, GradientRegressor, _engine, losses, optimizers

found = {"level": _engine.CPU_LEVEL}
X, y = load_diabetes(return_X_y=True)
diabetes = 20 * X, y / 100
X, y = load_wine(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
data = {GradientRegressor: [diabetes], GradientClassifier: [(X, y == 1), (X, y)]}
for estimator, sets in data.items():
    names = [
        name for name, kind in losses.registry().items() if getattr(kind, estimator._task)
    ]
    pairs = [(loss, "sgd") for loss in names]
    smooth = [name for name in names if losses.registry()[name].smooth]
    pairs += [
        ((smooth if kind.needs_smooth is True else names)[0], optimizer)
        for optimizer, kind in optimizers.registry().items()
    ]
    for loss, optimizer in pairs:
        kind = optimizers.registry()[optimizer]()
        steps = {} if kind.minimize else {"schedule": "constant", "learning_rate": 1e-2}
        model = estimator(
            loss, optimizer, precondition=False, tol=0, max_iter=3, random_state=0,
            batch_size="auto" if kind.full_batch else 13, **steps,
        )
        for i, (X, y) in enumerate(sets):
            for dtype in ("float64", "float32"):
                model.fit(X.astype(dtype), y)
                found[loss, optimizer, i, dtype] = model.coef_, model.loss_curve_
pickle.dump(found, sys.stdout.buffer)
"""


def environment(**changes):
    return {**os.environ, **changes}


def test_both_builds_agree():
    """The one for any processor and the one for this, to rounding."""
    results = []
    for level in ("1", "3"):
        done = subprocess.run(
            [sys.executable, "-c", FITS], env=environment(SKLEARN_LOSSOPT_CPU_LEVEL=level),
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        results.append(pickle.loads(done.stdout))
    baseline, best = results
    assert baseline.pop("level") == "baseline"
    level = best.pop("level")
    # Tests that run at a lowered level know no other.
    assert level == _engine.CPU_LEVEL or "SKLEARN_LOSSOPT_CPU_LEVEL" in os.environ
    assert baseline.keys() == best.keys() and len(best) > 50
    for key, (coef, curve) in best.items():
        rtol = 1e-9 if key[-1] == "float64" else 2e-3
        assert_allclose(baseline[key][0], coef, rtol=rtol, atol=rtol * np.abs(coef).max())
        assert_allclose(baseline[key][1], curve, rtol=rtol, err_msg=str(key))


# Ctrl-C -------------------------------------------------------------------------------------------

LONG_FIT = """
import sys
import numpy as np
from sklearn_lossopt import GradientClassifier, GradientRegressor

for name, (n, d, classes, settings) in {cases!r}.items():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    if classes:
        y, estimator = np.arange(n) % classes, GradientClassifier
    else:
        y, estimator = rng.standard_normal(n), GradientRegressor
    model = estimator(max_iter=10**9, random_state=0, **settings)
    print("ready", name, flush=True)
    try:
        model.fit(X, y)
    except KeyboardInterrupt:
        print("interrupted", hasattr(model, "coef_"), flush=True)
"""
STEPS = {"precondition": False, "learning_rate": 1e-9, "schedule": "constant", "tol": 0}
LONG_FITS = {
    "small": (100, 5, 0, STEPS),
    "row by row": (1000, 50, 2, STEPS | {"optimizer": "sgd", "batch_size": 1}),
    "row by row, wide": (1000, 4000, 2, STEPS | {"optimizer": "sgd", "batch_size": 1}),
    "all rows": (50_000, 50, 2, STEPS | {"optimizer": "gradient_descent"}),
    "ten classes": (20_000, 50, 10, STEPS | {"batch_size": 64}),
    "whitened, wide": (
        2000, 700, 0, STEPS | {"precondition": "whiten", "batch_size": 1, "optimizer": "sgd"},
    ),
    "network": (20_000, 50, 2, STEPS | {"hidden_layer_sizes": (256, 256), "batch_size": 200}),
    "reacting": (5000, 20, 2, {"loss": "hinge", "tol": 0, "batch_size": 8}),
}  # fmt: skip


@pytest.mark.slow
def test_control_c_ends_a_fit_within_a_second():
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_FIT.format(cases=LONG_FITS)], env=environment(),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for name in LONG_FITS:
            assert process.stdout.readline() == f"ready {name}\n"
            time.sleep(1.0)
            assert process.poll() is None, name
            process.send_signal(signal.SIGINT)
            start = time.perf_counter()
            line = process.stdout.readline()
            assert line == "interrupted False\n", name
            assert time.perf_counter() - start < 1, name
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
