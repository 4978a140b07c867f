"""Training on chunks: what a call does, what it carries over, and what it refuses."""

import functools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from catalogue import (
    COVER,
    ESTIMATORS,
    PAIRS,
    STEPPING,
    TEXTBOOK,
    make,
    make_data,
    real_data,
    same_model,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier, SGDRegressor

from sklearn_lossopt import DivergenceError, GradientClassifier, GradientRegressor
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._streaming.moments import Moments, Sample
from sklearn_lossopt.losses import Huber, RegressionLoss, SquaredError
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Exponential, Plateau

each_task = pytest.mark.parametrize("task", ESTIMATORS)
CHUNKED = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 8}
# delta="auto" is estimated from what a call sees; a number is the same for all.
FIXED = {"huber": Huber(delta=1.3)}


def chunks(n, size):
    return [slice(start, start + size) for start in range(0, n, size)]


def feed(model, X, y, size=None, weight=None, classes=None):
    """Call partial_fit on consecutive chunks."""
    extra = {}
    if isinstance(model, (GradientClassifier, SGDClassifier)):
        extra["classes"] = np.unique(y) if classes is None else classes
    for part in chunks(X.shape[0], size or X.shape[0]):
        share = {} if weight is None else {"sample_weight": weight[part]}
        model.partial_fit(X[part], y[part], **extra, **share)
    return model


def settings_of(optimizer, **more):
    settings = CHUNKED | more
    return settings | {"batch_size": "auto"} if optimizer == "gradient_descent" else settings


# Textbook mode ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "loss", "optimizer"), [case for case in COVER if case[2] in STEPPING]
)
@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_chunks_are_one_call_and_one_epoch(task, loss, optimizer, schedule):
    X, y = make_data(task, loss, n=75, n_targets=2)
    loss = FIXED.get(loss, loss)
    settings = settings_of(optimizer, schedule=schedule)
    once = feed(make(task, loss, optimizer, **settings), X, y)
    epoch = make(task, loss, optimizer, max_iter=1, shuffle=False, **settings).fit(X, y)
    assert_allclose(once.coef_, epoch.coef_, rtol=1e-12, atol=1e-15)
    assert_allclose(once.intercept_, epoch.intercept_, rtol=1e-12, atol=1e-15)
    if not once._optimizer._has_average:  # for which fit looks at the end of the epoch
        assert_allclose(once.loss_curve_, epoch.loss_curve_, rtol=1e-12)
    assert once.t_ == epoch.t_
    if optimizer == "gradient_descent":
        return
    parts = make(task, loss, optimizer, **settings)
    for part in (slice(0, 16), slice(16, 40), slice(40, 75)):
        feed(parts, X[part], y[part], classes=np.unique(y))
    assert_allclose(parts.coef_, once.coef_, rtol=1e-12, atol=1e-15)
    assert_allclose(parts.intercept_, once.intercept_, rtol=1e-12, atol=1e-15)
    assert parts.t_ == once.t_ == 10 and parts.n_iter_ == len(parts.loss_curve_) == 3


def test_a_call_of_gradient_descent_is_one_step_on_the_chunk():
    X, y = make_data("regression", n=40)
    model = feed(
        make(
            "regression",
            None,
            "gradient_descent",
            alpha=0.1,
            **(TEXTBOOK | {"learning_rate": 0.01}),
        ),
        X,
        y,
        10,
    )
    w, b = np.zeros(4), 0.0
    for part in chunks(40, 10):
        r = X[part] @ w + b - y[part]
        w, b = w - 0.01 * (X[part].T @ r / 10 + 0.1 * w), b - 0.01 * r.mean()
    assert_allclose(model.coef_, w, rtol=1e-12)
    assert_allclose(model.intercept_, b, rtol=1e-12)
    assert model.t_ == 4


@each_task
@pytest.mark.parametrize("kind", ["sparse", "float32", "custom", "one column"])
def test_chunks_of_other_kinds_are_one_call(task, kind):
    X, y = make_data(task, n=64)
    settings = dict(CHUNKED)
    if kind == "sparse":
        X = sparse.csr_array(np.where(X > 1, X, 0))
    elif kind == "float32":
        X = X.astype(np.float32)
    elif kind == "custom":
        settings |= {"optimizer": Drag()}
        if task == "regression":
            settings |= {"loss": Cubic()}
    elif task == "regression":
        y = y[:, None]
    once, parts = feed(make(task, **settings), X, y), feed(make(task, **settings), X, y, 16)
    assert_allclose(parts.coef_, once.coef_, rtol=1e-12 if X.dtype == np.float64 else 1e-6)
    assert parts.coef_.dtype == X.dtype
    assert parts.predict(X).shape == y.shape


class Drag(Optimizer):
    """Momentum, in NumPy."""

    n_slots = 1

    def step(self, parameters, gradient, state, t, learning_rate):
        state[0] = 0.9 * state[0] + gradient
        parameters -= learning_rate / t * state[0]


class Cubic(RegressionLoss):
    def loss_gradient(self, y, raw):
        r = raw - y
        return np.abs(r) ** 3 / 3, r * np.abs(r)


@each_task
def test_weights_are_relative_to_the_mean_of_all_rows_so_far(task):
    """So that the end of a chunk does not matter, unit weights are none, and units drop out."""
    X, y = make_data(task, n=96)
    weight = np.random.default_rng(0).integers(0, 4, size=96).astype(float)
    X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
    X, y, weight = X[:64], y[:64], weight[:64]
    once = feed(make(task, **CHUNKED), X, y, weight=weight)
    parts = feed(make(task, **CHUNKED), X, y, 16, weight)
    assert_allclose(parts.coef_, once.coef_, rtol=1e-12)
    scaled = feed(make(task, **CHUNKED), X, y, 16, 1e200 * weight)
    assert_allclose(scaled.coef_, once.coef_, rtol=1e-12)
    plain = feed(make(task, **CHUNKED), X, y, 16)
    assert_allclose(feed(make(task, **CHUNKED), X, y, 16, np.full(64, 3.0)).coef_, plain.coef_)
    assert not np.allclose(plain.coef_, once.coef_)
    # Calls without weights count as weights of 1.
    mixed = make(task, **CHUNKED)
    feed(mixed, X[:32], y[:32], 16, classes=np.unique(y))
    feed(mixed, X[32:], y[32:], 16, np.ones(32), classes=np.unique(y))
    assert_array_equal(mixed.coef_, plain.coef_)


def test_weights_in_a_plain_loop():
    X, y = make_data("regression", n=32)
    weight = np.random.default_rng(1).uniform(0.1, 5, size=32)
    model = make("regression", None, "sgd", alpha=0.1, **CHUNKED)
    feed(model, X, y, 16, weight)
    w, b = np.zeros(4), 0.0
    for part in chunks(32, 8):
        s = weight[part] / weight[: part.stop].mean()
        r = s * (X[part] @ w + b - y[part])
        w, b = w - 1e-3 * (X[part].T @ r / 8 + 0.1 * w), b - 1e-3 * r.mean()
    assert_allclose(model.coef_, w, rtol=1e-12)
    assert_allclose(model.intercept_, b, rtol=1e-12)


@each_task
def test_class_and_zero_weights(task):
    X, y = make_data(task, n=64)
    weight = (np.arange(64) % 4 > 0).astype(float)
    dropped = feed(make(task, **CHUNKED), X, y, weight=weight)
    kept = feed(make(task, **CHUNKED), X[weight > 0], y[weight > 0], classes=np.unique(y))
    assert_array_equal(dropped.coef_, kept.coef_)
    if task == "classification":
        factors = {0: 0.5, 1: 3.0}
        by_class = feed(make(task, class_weight=factors, **CHUNKED), X, y, 16)
        by_row = feed(make(task, **CHUNKED), X, y, 16, np.where(y == 1, 3.0, 0.5))
        assert_array_equal(by_class.coef_, by_row.coef_)


@each_task
@pytest.mark.parametrize("precondition", ["auto", False])
def test_a_chunk_without_weight_changes_nothing(task, precondition):
    X, y = make_data(task, n=32)
    settings = CHUNKED | {"precondition": precondition}
    model = feed(make(task, **settings), X, y, 16)
    before = pickle.dumps(model)
    feed(model, 1e6 * X, y, weight=np.zeros(32))
    assert pickle.dumps(model) == before
    # In the first call the model is that of zeros, and the next one starts the stream.
    first = feed(make(task, **settings), 1e6 * X, y, weight=np.zeros(32))
    assert not first.coef_.any() and first.t_ == first.n_iter_ == 0
    assert first.predict(X).shape == (32,)
    assert same_model(feed(first, X, y, 16), model)


# What is carried over -----------------------------------------------------------------------------


def test_statistics_of_chunks_are_those_of_all_rows():
    """Means a billion standard deviations from 0, chunks of one row, and weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1e-3, 1, 1e3] + [1e6, -5, 0]
    weight = rng.uniform(0.1, 3, size=300)
    share = weight / weight.sum()
    mean = share @ X
    exact = ((X - mean) * share[:, None]).T @ (X - mean)
    for full in (True, False):
        total = None
        for start, stop in [(0, 1), (1, 2), (2, 7), (7, 120), (120, 300)]:
            problem = Objective(
                X[start:stop],
                np.zeros((stop - start, 1)),
                "values",
                weight[start:stop],
                None,
                1,
                SquaredError(),
                0.0,
                0.0,
                True,
            )
            now = Moments.of(problem, weight[start:stop].sum(), full)
            total = now if total is None else total.merged(now)
        assert_allclose(total.mean, mean, rtol=1e-14)
        assert_allclose(total.mass, weight.sum())
        found = total.second if full else np.diag(total.second)
        size = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        wanted = exact if full else np.diag(np.diag(exact))
        assert_allclose(found / size, wanted / size, atol=1e-6)


def test_the_sample_of_targets_is_even_whatever_the_chunks():
    y = np.arange(9000.0)[:, None]
    whole = Sample(np.empty((0, 1))).extended(y)
    parts = Sample(np.empty((0, 1)))
    for size in (1, 2, 997, 5000, 3000):
        parts = parts.extended(y[parts.seen : parts.seen + size])
    assert parts.seen == whole.seen == 9000
    assert_array_equal(parts.kept, whole.kept)
    assert_array_equal(whole.kept[:, 0], np.arange(0, 9000, whole.stride))
    assert 1000 <= len(whole.kept) <= 2000


@each_task
@pytest.mark.parametrize("precondition", ["whiten", "scale"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_new_statistics_do_not_move_the_model(task, precondition, dtype):
    """Shift and metric change by orders of magnitude; the function stays, but for rounding."""
    X, y = make_data(task, n=60, n_targets=2)
    X = X.astype(dtype)
    settings = {"precondition": precondition, "schedule": "constant", "learning_rate": 0.05}
    model = feed(make(task, None, "sgd", **settings), X, y, 20)
    model.set_params(learning_rate=1e-300)
    raw = model.predict if task == "regression" else model.decision_function
    coef, before = model.coef_, raw(X)
    factors = np.array([1e-3, 1.0, 1e2, 1e3], dtype)
    feed(model, X * factors + 10 * factors, y, 30)
    rounding = 1e-9 if dtype == np.float64 else 1e-3
    assert_allclose(raw(X), before, rtol=rounding, atol=rounding * np.abs(before).max())
    assert_allclose(model.coef_, coef, rtol=rounding, atol=rounding * np.abs(coef).max())


def test_counts_and_curves_go_on():
    X, y = make_data("regression", n=100)
    model = make("regression").fit(X, y)
    epochs, updates, curve = model.n_iter_, model.t_, model.loss_curve_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.partial_fit(X[:70], y[:70]).partial_fit(X[70:], y[70:])
    assert model.n_iter_ == epochs + 2 and model.t_ == updates + 3
    assert_array_equal(model.loss_curve_[:-2], curve)
    assert not model.converged_
    assert model.fit(X, y).n_iter_ == epochs and same_model(model, make("regression").fit(X, y))


def test_the_curve_is_the_chunk_as_seen_before_each_update():
    X, y = make_data("regression", n=16)
    model = make("regression", None, "sgd", alpha=0.0, **CHUNKED)
    feed(model, X, y)
    first = feed(make("regression", None, "sgd", alpha=0.0, **CHUNKED), X[:8], y[:8])
    seen = [0.5 * np.mean(y[:8] ** 2), 0.5 * np.mean((y[8:] - first.predict(X[8:])) ** 2)]
    assert_allclose(model.loss_curve_, [np.mean(seen)], rtol=1e-12)


@each_task
@pytest.mark.parametrize("optimizer", STEPPING)
def test_partial_fit_goes_on_after_fit_and_fit_after_partial_fit(task, optimizer):
    X, y = make_data(task, n=64)
    settings = settings_of(optimizer, shuffle=False)
    both = make(task, None, optimizer, max_iter=3, **settings).fit(X, y)
    feed(both, X, y)
    longer = make(task, None, optimizer, max_iter=4, **settings).fit(X, y)
    assert_allclose(both.coef_, longer.coef_, rtol=1e-12)
    warm = feed(make(task, None, optimizer, max_iter=3, warm_start=True, **settings), X, y)
    warm.fit(X, y)
    assert_allclose(warm.coef_, longer.coef_, rtol=1e-12)
    assert warm.t_ == longer.t_
    cold = feed(make(task, None, optimizer, max_iter=4, **settings), X, y).fit(X, y)
    assert same_model(cold, longer)


def test_after_a_default_fit_a_stream_stays_near_the_optimum():
    X, y = real_data("regression")["diabetes"][:2]
    model = make("regression").fit(X, y)
    best = model.score(X, y)
    feed(model, X, y, 100)
    assert abs(model.score(X, y) - best) < 0.01


def test_other_optimizers_and_losses_may_follow():
    X, y = make_data("regression", n=64)
    model = feed(make("regression", None, "adam", **CHUNKED), X, y)
    coef, updates = model.coef_, model.t_
    model.set_params(optimizer="rmsprop", loss="log_cosh", precondition="scale", l1_ratio=0.5)
    feed(model, X, y, 16)
    assert model.t_ == updates + 8 and not np.array_equal(model.coef_, coef)
    model.set_params(precondition="whiten", l1_ratio=0.0)
    feed(model, X, y, 16)
    assert np.isfinite(model.coef_).all()


def test_an_epoch_of_a_schedule_is_as_many_updates_as_the_first_call_made():
    X, y = make_data("regression", n=40)
    settings = CHUNKED | {"schedule": Exponential(decay=0.5)}
    model = feed(make("regression", None, "sgd", alpha=0.0, **settings), X[:16], y[:16])
    feed(model, X[16:], y[16:])
    w, b = np.zeros(4), 0.0
    for t, part in enumerate(chunks(40, 8)):
        r, rate = X[part] @ w + b - y[part], 1e-3 * 0.5 ** (t / 2)
        w, b = w - rate * X[part].T @ r / 8, b - rate * r.mean()
    assert_allclose(model.coef_, w, rtol=1e-12)


@each_task
@pytest.mark.parametrize("copy", ["pickle", "joblib"])
def test_a_copy_goes_on_where_the_original_does(task, copy, tmp_path):
    X, y = make_data(task, n=160, n_targets=2)
    model = feed(make(task), X[:80], y[:80], 20, classes=np.unique(y))
    if copy == "pickle":
        other = pickle.loads(pickle.dumps(model))
    else:
        joblib.dump(model, tmp_path / "model")
        other = joblib.load(tmp_path / "model")
    for each in (model, other):
        feed(each, X[80:], y[80:], 20, classes=np.unique(y))
    assert same_model(model, other)


SCRIPT = """
    import os, pickle, signal, sys
    import numpy as np
    from pathlib import Path
    from sklearn_lossopt import GradientRegressor

    path, stop = Path(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5)) * [1, 10, 100, 1e3, 1e4] + 50
    y = X @ rng.normal(size=5) + rng.normal(size=1000)
    done, model = 0, GradientRegressor(loss="huber", optimizer="adam")
    if path.exists():
        done, model = pickle.loads(path.read_bytes())
    for number in range(done, 10):
        part = slice(100 * number, 100 * number + 100)
        model.partial_fit(X[part], y[part])
        if number == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(pickle.dumps((number + 1, model)))
        os.replace(fresh, path)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_between_two_calls_only_the_calls_after_the_pickle_are_lost(tmp_path):
    script = tmp_path / "stream.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def run(path, stop):
        return subprocess.run(
            [sys.executable, script, path, str(stop)], env=os.environ, timeout=120
        ).returncode

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert run(killed, 4) == -signal.SIGKILL
    assert pickle.loads(killed.read_bytes())[0] == 4
    assert run(killed, -1) == 0
    assert run(whole, -1) == 0
    models = [pickle.loads(path.read_bytes())[1] for path in (killed, whole)]
    assert same_model(*models)
    assert_array_equal(models[0]._state.slots, models[1]._state.slots)


# Default settings ---------------------------------------------------------------------------------


def gap(model, best, X, y):
    """(F - F*) / (F0 - F*) of squared error or log loss, without the penalty."""

    def value(model):
        if hasattr(model, "predict_proba"):
            p = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
            return -np.log(np.maximum(p, 1e-300)).mean()
        return 0.5 * np.mean((model.predict(X) - y) ** 2)

    if hasattr(model, "predict_proba"):
        share = np.unique(y, return_counts=True)[1] / len(y)
        start = -(share @ np.log(share))
    else:
        start = 0.5 * np.var(y)
    return (value(model) - value(best)) / (start - value(best))


@pytest.mark.parametrize("size", [50, 300])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("task", ESTIMATORS)
def test_passes_over_raw_data_come_close_to_the_optimum(task, optimizer, size):
    for X, y, _ in real_data(task).values():
        order = np.random.default_rng(0).permutation(len(X))
        X, y = X[order], y[order]
        best = make(task, max_iter=300).fit(X, y)
        model = make(task, None, optimizer)
        gaps = []
        for _ in range(10):
            gaps.append(gap(feed(model, X, y, size, classes=np.unique(y)), best, X, y))
        # One pass over wine is four updates: few for a momentum that starts from rest.
        assert gaps[0] < (0.75 if optimizer == "momentum" else 0.4), gaps
        assert gaps[-1] < 0.12, gaps
        peer = {"regression": SGDRegressor(), "classification": SGDClassifier(loss="log_loss")}
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = gap(feed(peer[task], X, y, size, classes=np.unique(y)), best, X, y)
        assert not gaps[-1] > raw


def test_wild_scales_and_drifting_means():
    rng = np.random.default_rng(0)
    n, d = 4000, 12
    scales = 10 ** rng.uniform(-3, 4, size=d)
    X = (rng.normal(size=(n, d)) + np.linspace(0, 20, n)[:, None]) * scales
    y = 1e3 * (X / scales) @ rng.normal(size=d) + 1e3 * rng.normal(size=n)
    best = make("regression").fit(X, y)
    for optimizer in ("sgd", "adam"):
        model = feed(make("regression", None, optimizer), X, y, 200)
        assert gap(model, best, X, y) < 0.02


def test_rows_one_by_one():
    X, y = make_data("regression", n=300)
    best = make("regression").fit(X, y)
    model = feed(make("regression", None, "sgd"), X, y, 1)
    assert model.t_ == model.n_iter_ == 300
    assert gap(model, best, X, y) < 0.1


@pytest.mark.parametrize(("task", "loss"), PAIRS)
def test_every_loss_learns_from_chunks(task, loss):
    X, y = make_data(task, loss, n=400, n_targets=2)
    classes = np.unique(y)
    model = make(task, loss)
    for _ in range(3):
        feed(model, X, y, 50, classes=classes)
    if loss != "perceptron":  # whose value at its start, all zeros, is the least
        assert model.loss_curve_[-8:].mean() <= model.loss_curve_[:8].mean()
    assert model.score(X, y) > (0.6 if task == "classification" else 0.3), model.score(X, y)


def test_the_l1_penalty_keeps_exact_zeros():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20)) * 10 ** rng.uniform(-2, 2, size=20) + 5
    y = X[:, 0] / X[:, 0].std() * 3 + rng.normal(size=2000)
    penalty = {"alpha": 0.05 * X.std(0).min(), "l1_ratio": 1.0}
    best = make("regression", tol=0, max_iter=50, **penalty).fit(X, y)
    model = make("regression", None, "sgd", **penalty)
    for start in range(0, 2000, 100):
        model.partial_fit(X[start : start + 100], y[start : start + 100])
        assert (model.coef_ == 0).sum() >= 1
    assert gap(model, best, X, y) < 0.05


def test_hubers_delta_settles():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12_000, 4))
    y = X @ np.ones(4) + rng.normal(size=12_000)
    y[::50] += 1000
    model = make("regression", "huber")
    feed(model, X[:11_000], y[:11_000], 500)
    assert_allclose(model.delta_, make("regression", "huber").fit(X, y).delta_, rtol=0.05)
    before = model.delta_
    feed(model, X[11_000:], y[11_000:], 500)
    assert model.delta_ == before
    assert_allclose(model.coef_, 1, atol=0.1)


def test_the_units_of_y_do_not_matter():
    X, y = make_data("regression", n=200)
    for optimizer in ("sgd", "adam"):
        scale = 2.0**30
        one, other = (
            feed(make("regression", None, optimizer, alpha=0.0), X, factor * y, 40)
            for factor in (1.0, scale)
        )
        assert_allclose(other.coef_ / scale, one.coef_, rtol=1e-9)


# Errors -------------------------------------------------------------------------------------------


def unchanged(model, call, error=ValueError, match=None):
    """Assert that a call fails and changes nothing."""
    before = pickle.dumps(model)
    with pytest.raises(error, match=match):
        call()
    assert pickle.dumps(model) == before


@each_task
@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_a_diverging_call_changes_nothing(task, schedule):
    X, y = make_data(task, n=64)
    settings = {"precondition": False, "schedule": schedule, "alpha": 0.01, "optimizer": "sgd"}
    loss = {"loss": "squared_error"}
    new = make(task, learning_rate=100.0, batch_size=4, **settings, **loss)
    unchanged(new, lambda: feed(new, X, y), DivergenceError, "learning_rate")
    with pytest.raises(NotFittedError):
        new.predict(X)
    model = feed(make(task, learning_rate=1e-3, batch_size=4, **settings, **loss), X, y)
    model.set_params(learning_rate=100.0)
    unchanged(model, lambda: feed(model, X, y), DivergenceError)


def test_slow_divergence_is_found_before_it_overflows():
    X, y = make_data("regression", n=64)
    settings = TEXTBOOK | {"batch_size": 64, "optimizer": "sgd"}
    rate = 2.2 / np.linalg.eigvalsh(np.c_[X, np.ones(64)].T @ np.c_[X, np.ones(64)] / 64).max()
    model = make("regression", learning_rate=rate, **settings)
    with pytest.raises(DivergenceError):
        for _ in range(200):
            feed(model, X, y)
    assert np.abs(model.coef_).max() < 1e3


def test_a_shock_is_not_divergence():
    """The model is far off at first and learns; only what gets worse diverges."""
    X, y = make_data("regression", n=256)
    model = feed(make("regression", None, "sgd", **CHUNKED), X, y, 32)
    shifted = X.copy()
    shifted[:, 0] += 20
    for _ in range(20):
        feed(model, shifted, 0.01 * y, 64)
    assert model.loss_curve_[-1] < model.loss_curve_[8]


REFUSED = {
    "features": lambda X, y: (X[:, :2], y),
    "NaN": lambda X, y: (np.where(X > 1, np.nan, X), y),
    "lengths": lambda X, y: (X, y[1:]),
    "no rows": lambda X, y: (X[:0], y[:0]),
}


@each_task
@pytest.mark.parametrize("case", REFUSED)
def test_bad_chunks_change_nothing(task, case):
    X, y = make_data(task, n=64)
    model = feed(make(task), X, y, 32)
    bad = REFUSED[case](X, y)
    unchanged(model, lambda: model.partial_fit(*bad))
    unchanged(model, lambda: model.partial_fit(X, y, sample_weight=-np.ones(64)))


def test_names_of_features_are_checked():
    X, y = make_data("regression", n=64)
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make("regression").partial_fit(frame, y)
    assert list(model.feature_names_in_) == list("abcd")
    unchanged(model, lambda: model.partial_fit(frame[list("dcba")], y), match="feature names")


def test_outputs_are_checked():
    X, y = make_data("regression", n=64, n_targets=2)
    model = make("regression").partial_fit(X, y)
    for other in (y[:, :1], y[:, 0], np.c_[y, y]):
        unchanged(model, lambda other=other: model.partial_fit(X, other), match="outputs")
    single = make("regression").partial_fit(X, y[:, 0])
    unchanged(single, lambda: single.partial_fit(X, y), match="outputs")


@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (3,)}])
def test_one_target_may_come_as_a_column_or_not(settings):
    """The first call says what shape predictions have."""
    X, y = make_data("regression", n=64)
    flat, column = (make("regression", **settings).partial_fit(X, t) for t in (y, y[:, None]))
    flat.partial_fit(X, y[:, None])
    column.partial_fit(X, y)
    assert flat.predict(X).shape == (64,)
    assert_array_equal(flat.predict(X), column.predict(X).reshape(-1))


def test_labels_longer_than_the_first():
    X, y = make_data("classification", n=64, n_targets=2)
    names, weight = np.array(["a", "ba", "bb"]), np.arange(64.0)  # the first row does not count
    codes = make("classification").partial_fit(X, y, range(3), weight)
    model = make("classification").partial_fit(X, names[y], names, weight)
    assert_array_equal(model.coef_, codes.coef_)


@pytest.mark.parametrize(("first", "then"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_the_first_call_chooses_the_type(first, then):
    X, y = make_data("regression", n=64)
    model = make("regression").partial_fit(X.astype(first), y)
    model.partial_fit(X.astype(then), y)
    assert model.coef_.dtype == first
    if first == np.float32:
        unchanged(model, lambda: model.partial_fit(X * 1e39, y), match="too large for float32")


def test_classes():
    X, y = make_data("classification", n=64, n_targets=2)
    names = np.array(["a", "b", "c"])
    model = make("classification")
    unchanged(model, lambda: model.partial_fit(X, y), match="classes must be passed on the first")
    unchanged(model, lambda: model.partial_fit(X, y, classes=[0]), match="at least two")
    unchanged(model, lambda: model.partial_fit(X, y, classes=[0, 1]), match="holds 2, which")
    rows = y < 2
    model.partial_fit(X[rows], names[y[rows]], classes=["c", "a", "b"])
    assert list(model.classes_) == list(names) and model.coef_.shape == (3, 4)
    model.partial_fit(X, names[y]).partial_fit(X, names[y].astype(object), classes=names)
    unchanged(
        model,
        lambda: model.partial_fit(X, names[y], classes=["a", "b"]),
        match="is not the same as on last call",
    )
    unchanged(model, lambda: model.partial_fit(X, np.full(64, "d")), match="holds 'd', which")
    unchanged(model, lambda: model.partial_fit(X, y), match="holds 0, 1, 2, which")
    # A label without weight does not come.
    model.partial_fit(X[:2], ["a", "d"], sample_weight=[1, 0])
    model.partial_fit(X[:1], ["a"])
    fitted = make("classification").fit(X, names[y])
    assert fitted.partial_fit(X[:3], names[y[:3]]).classes_.tolist() == names.tolist()


@pytest.mark.parametrize("optimizer", ["averaged", "schedule_free_sgd", "schedule_free_adamw"])
@each_task
def test_means_of_iterates(task, optimizer):
    """Their points go on in the coordinates of the next call."""
    X, y = make_data(task, n=800)
    model = feed(make(task, None, optimizer), X, y, 100)
    assert model.score(X, y) > make(task).fit(X, y).score(X, y) - 0.1


@each_task
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"early_stopping": True}, "early_stopping=True needs all rows"),
        ({"optimizer": "lbfgs"}, "looks for the minimum of all rows"),
    ],
)
def test_what_needs_all_rows_has_no_partial_fit(task, settings, reason):
    X, y = make_data(task, n=64)
    model = make(task, **settings)
    assert not hasattr(model, "partial_fit")
    unchanged(model, lambda: feed(model, X, y), AttributeError)
    with pytest.raises(AttributeError) as raised:
        feed(model, X, y)
    assert reason in str(raised.value.__cause__)


def test_a_schedule_that_reads_the_curve_has_a_value_for_each_call():
    X, y = make_data("regression", n=96)
    plateau = Plateau(factor=0.5, patience=1, threshold=0.99)  # falls in every second epoch
    model = feed(
        make("regression", None, "sgd", alpha=0.0, **CHUNKED | {"schedule": plateau}), X, y, 16
    )
    w, b = np.zeros(4), 0.0
    for t, part in enumerate(chunks(96, 8)):
        memory = functools.reduce(plateau.remember, model.loss_curve_[: t // 2], None)
        rate = 1e-3 * float(plateau(np.array([t]), 2, 1, memory)[0])
        r = X[part] @ w + b - y[part]
        w, b = w - rate * X[part].T @ r / 8, b - rate * r.mean()
    assert rate < 1e-3
    assert_allclose(model.coef_, w, rtol=1e-12)


def test_sparse_coefficients_go_on():
    X, y = make_data("regression", n=64)
    model, other = (feed(make("regression", **CHUNKED), X, y) for _ in range(2))
    model.sparsify()
    assert_array_equal(feed(model, X, y).coef_, feed(other, X, y).coef_)


def test_balanced_weights_are_refused():
    X, y = make_data("classification", n=64)
    model = make("classification", class_weight="balanced")
    unchanged(model, lambda: model.partial_fit(X, y, classes=[0, 1]), match="compute_class_weight")


@each_task
@pytest.mark.parametrize("parameter", [{"alpha": -1.0}, {"optimizer": "nonsense"}])
def test_parameters_are_checked(task, parameter):
    X, y = make_data(task, n=64)
    model = make(task, **parameter)
    unchanged(model, lambda: feed(model, X, y))


def test_too_large_numbers():
    X, y = make_data("regression", n=64)
    for precondition in ("whiten", "scale"):
        model = make("regression", precondition=precondition)
        unchanged(model, lambda model=model: feed(model, 1e200 * X, y), match="X is too large")
    model = GradientRegressor()
    weight = np.full(64, 1e308)
    unchanged(model, lambda: feed(model, X, y, weight=weight), match="sample_weight is too large")
