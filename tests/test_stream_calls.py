"""What a call of partial_fit refuses, skips and promises, whatever the stream."""

import numpy as np
import pytest
from catalogue import STEPPING, make, make_data

from sklearn_lossopt import DivergenceError
from sklearn_lossopt._estimators.data import is_plain
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._streaming import memory as memory_module
from sklearn_lossopt._streaming.correction import Correction
from sklearn_lossopt._streaming.estimate import Estimate
from sklearn_lossopt._streaming.reservoir import Reservoir, capacity
from sklearn_lossopt._streaming.rounded import RoundedLoss
from sklearn_lossopt.losses import Loss


def halves(task, dtype=np.float64):
    X, y = make_data(task, n=40, n_targets=1)
    more = {"classes": np.unique(y)} if task == "classification" else {}
    return X.astype(dtype), y, more


# Weights ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("layers", [(), (4,)], ids=["linear", "network"])
@pytest.mark.parametrize("first, later", [(1.0, 1e-60), (1e300, 1e-300)])
def test_weights_that_vanish_are_refused_by_name(task, layers, first, later):
    X, y, more = halves(task, np.float32)
    model = make(task, hidden_layer_sizes=layers)
    model.partial_fit(X[:20], y[:20], sample_weight=np.full(20, first), **more)
    before = model.predict(X)
    with pytest.raises(ValueError, match="sample_weight of at most"):
        model.partial_fit(X[20:], y[20:], sample_weight=np.full(20, later))
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.n_iter_ == 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("unit", [1e-320, 1e-50, 1e250])
def test_units_of_weights_drop_out(unit):
    X, y, _ = halves("regression", np.float32)
    plain, scaled = make("regression", "huber"), make("regression", "huber")
    for part in (slice(0, 20), slice(20, 40)):
        plain.partial_fit(X[part], y[part], sample_weight=np.ones(20))
        scaled.partial_fit(X[part], y[part], sample_weight=np.full(20, unit))
    np.testing.assert_allclose(scaled.coef_, plain.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_weights_whose_ratio_overflows_are_refused_by_name():
    X, y, _ = halves("regression")
    model = make("regression", "huber").partial_fit(X, y, sample_weight=np.full(40, 1e-300))
    with pytest.raises(ValueError, match="sample_weight is too large beside"):
        model.partial_fit(X, y, sample_weight=np.full(40, 1e300))


def test_float32_chunks_without_weight_are_skipped():
    X, y, _ = halves("regression", np.float32)
    model = make("regression", "squared_error").partial_fit(X, 1e-30 * y)
    before = model.coef_.copy()
    model.partial_fit(X[:3], 1e-30 * y[:3], sample_weight=np.zeros(3))
    np.testing.assert_array_equal(model.coef_, before)


# Textbook mode ------------------------------------------------------------------------------------


def test_hubers_scale_does_not_make_a_textbook_stream_correct_itself():
    """Rows are kept for the scale alone: each call stays one step of gradient descent."""
    X, y, _ = halves("regression")
    settings = {"precondition": False, "learning_rate": 0.1, "alpha": 0.0}
    model = make("regression", "huber", "gradient_descent", **settings)
    w = np.zeros(X.shape[1] + 1)
    for part in (slice(0, 12), slice(12, 30), slice(30, 40)):
        model.partial_fit(X[part], y[part])
        residual = X[part] @ w[:-1] + w[-1] - y[part]
        slope = np.clip(residual, -model.delta_, model.delta_) / len(residual)
        moved = np.append(model.coef_, model.intercept_)
        # Rates fall from call to call.
        rates = (w - moved) / np.append(slope @ X[part], slope.sum())
        np.testing.assert_allclose(rates, rates[0], rtol=1e-9)
        assert 0.01 < rates[0] <= 0.1 + 1e-12
        w = moved


# Infinite predictions -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize("number", range(0, len(STEPPING), 3))
def test_log_links_predict_finite_numbers_or_diverge(loss, number):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y = rng.poisson(np.exp(X[:, 0])) + 0.5
    X[50:] *= 1000  # exp of the first half's slopes overflows on the second
    ended = []
    for more in ({}, {"precondition": False}):
        model = make("regression", loss, STEPPING[number], **more)
        for start in range(0, 100, 10):
            part = slice(start, start + 10)
            before = dict(vars(model))
            try:
                model.partial_fit(X[part], y[part])
            except DivergenceError:
                ended.append(more)
                assert vars(model).keys() == before.keys()
                assert all(vars(model)[name] is before[name] for name in before)
                break
            assert np.isfinite(model.predict(X[part])).all()
    assert {} not in ended  # with the defaults streams go on


# What is skipped ----------------------------------------------------------------------------------


def test_plain_arrays_are_those_that_validation_returns():
    X, y = np.ones((3, 2)), np.arange(3)
    assert is_plain(X, y, 2) and is_plain(X.astype(np.float32), y.astype(float), 2)
    broken = X.copy()
    broken[1, 0] = np.nan
    endless = np.array([0, np.inf, 1])
    for rows, targets in (
        (broken, y), (X, endless), (X, y[:2]), (X[:, :1], y), (X[:0], y[:0]), (X.tolist(), y),
        (np.asfortranarray(X), y), (X.astype(int), y), (X, y.astype(object)), (X, y[:, None]),
        (X.astype(">f8"), y), (X, y.astype(">i8")),
    ):  # fmt: skip
        assert not is_plain(rows, targets, 2)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_later_chunks_are_validated_too(task):
    X, y, more = halves(task)
    model = make(task).partial_fit(X, y, **more)
    for value in (np.nan, np.inf, -np.inf):
        rows = X.copy()
        rows[3, 1] = value
        with pytest.raises(ValueError, match="X contains"):
            model.partial_fit(rows, y)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :2], y)
    with pytest.raises(ValueError, match="inconsistent"):
        model.partial_fit(X, y[:-1])


def test_announced_classes_stay():
    X, y, more = halves("classification")
    model = make("classification").partial_fit(X, y, **more)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, y, classes=np.array([0, 1, 2]))
    assert model.partial_fit(X, y, classes=np.array([1, 0])).n_iter_ == 2


@pytest.mark.parametrize("loss", ["log_cosh", "absolute_error"])
def test_corrections_become_rare(loss, monkeypatch):
    counts = {"judged": 0, "steps": 0}
    judge, step = memory_module.kept_part, Correction._newton

    def counted(name, function):
        def call(*args):
            counts[name] += 1
            return function(*args)

        return call

    monkeypatch.setattr(memory_module, "kept_part", counted("judged", judge))
    monkeypatch.setattr(Correction, "_newton", counted("steps", step))
    X, y = make_data("regression", loss, n=6000, n_targets=1)
    model = make("regression", loss)
    for start in range(0, 6000, 20):
        if start == 3000:
            counts.update(judged=0, steps=0)
        model.partial_fit(X[start : start + 20], y[start : start + 20])
    # Of the last 150 calls, in which the rows doubled: ln 2 times 16 and 8.
    assert 4 <= counts["judged"] <= 20
    assert counts["steps"] <= 12 * 8


# Corrections --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["hinge", "absolute_error", "log_cosh", "poisson"])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_a_correction_never_ends_above_its_start(loss, scale):
    task = "classification" if loss == "hinge" else "regression"
    X, y = make_data(task, loss, n=80, n_targets=1)
    X[40:] *= scale
    y = np.where(y > y.min(), 1.0, -1.0) if loss == "hinge" else y
    objective = Objective(
        X, y[:, None], "values", None, None, 1, Loss.resolve(loss), 1e-4, 0.0, True
    )  # fmt: skip
    reservoir = Reservoir.empty(objective, 0).extended(objective, None)
    estimate = Estimate(objective, reservoir, None, 80.0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        correction = Correction(estimate, 80, 1.0, 1.0)
        starts = [0.01 * rng.normal(size=(1, X.shape[1] + 1)) for _ in range(2)]
        loss = RoundedLoss(objective.loss, 0.0)
        correction.run([estimate.at(loss, W) for W in starts], starts[-1])
        assert correction.value <= correction.values.min()


def test_a_full_reservoir_keeps_whole_rows():
    rng = np.random.default_rng(0)
    size = 3 * capacity(1)
    X = rng.normal(size=(size, 1))
    target = np.column_stack([np.arange(size, dtype=float), X[:, 0]])
    weight, kept = 1 + np.arange(size, dtype=float), None
    for start in range(0, size, 250):
        part = slice(start, start + 250)
        chunk = Objective(
            X[part], target[part], "values", None, None, 2, Loss.resolve("huber"), 0.0, 0.0, True
        )
        kept = Reservoir.empty(chunk, 1) if kept is None else kept
        kept = kept.extended(chunk, weight[part])
    assert len(np.unique(kept.numbers)) == len(kept.keys) == capacity(1)
    np.testing.assert_array_equal(kept.rows, X[kept.numbers])
    np.testing.assert_array_equal(kept.target, target[kept.numbers])
    np.testing.assert_array_equal(kept.weight, weight[kept.numbers])
