"""Fits of many estimators on the same rows: each is what it would be alone, to the last bit."""

import warnings

import numpy as np
import pytest
from catalogue import ESTIMATORS, OPTIMIZERS, PAIRS, SCHEDULES, combine, make_data, settable
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sklearn_lossopt import DivergenceError, GradientClassifier, GradientRegressor
from sklearn_lossopt._cache import Cache
from sklearn_lossopt._training import bank
from sklearn_lossopt.losses import Loss, SquaredError
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.search._joint_fit import JointFit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(model):
    """The attributes that a fit sets, but for what callbacks are told by."""
    return {
        name: value for name, value in vars(model).items()
        if name.endswith("_") and not name.startswith("_")
    }  # fmt: skip


def assert_same(model, other):
    found, wanted = fitted(model), fitted(other)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        pairs = zip(found[name], value, strict=True) if isinstance(value, list) else (
            (found[name], value),
        )  # fmt: skip
        for a, b in pairs:
            assert_array_equal(a, b, err_msg=f"{name} of {model}", strict=True)
    assert_array_equal(model._state.slots, other._state.slots)
    assert model._state.updates == other._state.updates


def alone(model, X, y, params):
    model = clone(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return model.fit(X, y, **params)
        except Exception as error:
            return error


def assert_as_alone(models, X, y, params=None):
    """Compare fits together with fits alone, of which most must succeed."""
    params = params or {}
    fits = dict(JointFit(map(clone, models), X, y, params))
    assert fits.keys() == set(range(len(models)))
    failed = 0
    for i, model in enumerate(models):
        wanted, fit = alone(model, X, y, params), fits[i]
        if isinstance(wanted, Exception):
            failed += 1
            assert type(fit.error) is type(wanted)
            assert str(fit.error) == str(wanted)
            assert vars(fit.estimator).keys() == vars(model).keys()
        else:
            assert fit.error is None, (model, fit.error)
            assert_same(fit.estimator, wanted)
            assert fit.seconds > 0
    assert failed < len(models) / 2


def drawn(task, rng, count, **fixed):
    """Estimators with parameters drawn from all that go together."""
    models = []
    while len(models) < count:
        _, loss = [pair for pair in PAIRS if pair[0] == task][rng.integers(PER_TASK[task])]
        optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
        if not combine(loss, optimizer):
            continue
        rate, schedule = [
            ("auto", "auto"), (0.01, "auto"), ("auto", "constant"),
            (10.0 ** -rng.integers(1, 4), SCHEDULES[rng.integers(len(SCHEDULES))]),
        ][rng.integers(4)]  # fmt: skip
        parameters = {
            "max_iter": int(rng.integers(1, 7)),
            "alpha": float(rng.choice([0, 1e-4, 1e-2])),
            "tol": float(rng.choice([0, 1e-6])),
            "precondition": [False, "auto", "scale"][rng.integers(3)],
            "fit_intercept": bool(rng.integers(5)),
            "random_state": int(rng.integers(2)),
            **settable(
                optimizer, learning_rate=rate, schedule=schedule,
                batch_size=["auto", 1, 7, 1000][rng.integers(4)],
            ),
        }  # fmt: skip
        if rng.integers(4) == 0 and combine("hinge", optimizer):
            parameters["l1_ratio"] = 0.5
        models.append(ESTIMATORS[task](loss=loss, optimizer=optimizer, **{**parameters, **fixed}))
    return models


PER_TASK = {task: sum(pair[0] == task for pair in PAIRS) for task in ESTIMATORS}
KINDS = {
    "plain": {},
    "weights": {},
    "float32": {},
    "sparse": {},
    "several outputs": {},
    "early stopping": {"early_stopping": True},
    "network": {"hidden_layer_sizes": (5, 3), "alpha": 1e-3, "l1_ratio": 0.0},
    "no shuffling": {"shuffle": False},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ESTIMATORS)
def test_each_is_as_alone(task, kind):
    rng = np.random.default_rng([len(kind), len(task)])
    several = kind in ("several outputs", "network")
    X, y = make_data(task, "gamma" if task == "regression" else None, n=90, d=5)
    X = X * 10.0 ** rng.uniform(-2, 2, X.shape[1]) + rng.standard_normal(X.shape[1])
    params = {}
    if several and task == "regression":
        y = np.column_stack([y, y**2])
    elif several:
        y = rng.integers(3, size=len(y))
    if kind == "weights":
        params["sample_weight"] = rng.integers(3, size=len(y)).astype(float)
    if kind == "float32":
        X = X.astype(np.float32)
    if kind == "sparse":
        X = sparse.csr_array(np.where(rng.random(X.shape) < 0.5, X, 0))
    assert_as_alone(drawn(task, rng, 25, **KINDS[kind]), X, y, params)


def test_class_weights_and_validation_data():
    rng = np.random.default_rng(0)
    X, y = make_data("classification", n=90)
    models = []
    for class_weight in ("balanced", {0: 1.0, 1: 3.0}, None):
        models += drawn("classification", rng, 8, class_weight=class_weight)
    X_val, y_val = make_data("classification", n=30, seed=1)
    assert_as_alone(models, X, y, {"X_val": X_val, "y_val": y_val})


class Bent(SquaredError):
    """A user's loss."""

    def loss_gradient(self, y, raw):
        return 0.5 * (y - raw) ** 2 + 0.1 * (y - raw) ** 4, (raw - y) + 0.4 * (raw - y) ** 3


class Crawl(Optimizer, name=None):
    """A user's optimizer."""

    n_slots = 1

    def step(self, parameters, gradient, state, t, learning_rate):
        state[0] = 0.5 * state[0] + gradient
        parameters -= learning_rate * state[0]


def test_components_of_users():
    X, y = make_data("regression", n=90)
    models = [
        GradientRegressor(
            loss=loss,
            optimizer=optimizer,
            schedule="constant",
            learning_rate=rate,
            max_iter=3,
            random_state=0,
        )
        for loss in (Bent(), "squared_error")
        for optimizer in (Crawl(), "adam")
        for rate in (1e-3, 1e-2)
    ]
    assert_as_alone(models, X, y)


# What happens between them ------------------------------------------------------------------------


@pytest.fixture
def banks(monkeypatch):
    """The numbers of trainers in the calls of the engine's bank."""
    sizes, run_bank = [], bank.run_bank

    def counted(trainers, *args):
        sizes.append(len(trainers))
        return run_bank(trainers, *args)

    monkeypatch.setattr(bank, "run_bank", counted)
    return sizes


def candidates(**parameters):
    settings = {"schedule": "constant", "tol": 0, "max_iter": 5, "random_state": 0}
    return [
        GradientClassifier(
            loss=loss, optimizer=optimizer, learning_rate=rate, **{**settings, **parameters}
        )
        for loss in ("log_loss", "hinge") for optimizer in ("sgd", "adam") for rate in (0.01, 0.1)
    ]  # fmt: skip


@pytest.mark.parametrize("random_state", [0, None])
def test_one_bank(banks, random_state):
    X, y = make_data("classification", n=90)
    fits = dict(JointFit(candidates(random_state=random_state), X, y, {}))
    assert banks == [8]
    assert all(fit.estimator.n_iter_ == 5 for fit in fits.values())


def test_other_batches_are_another_bank(banks):
    X, y = make_data("classification", n=90)
    list(JointFit(candidates() + candidates(batch_size=16) + candidates(random_state=1), X, y, {}))
    assert banks == [8, 8, 8]


def test_those_within_tolerance_leave(banks):
    X, y = make_data("classification", n=90)
    models = candidates(tol=1e-6, n_iter_no_change=2, max_iter=30)
    epochs = [fit.estimator.n_iter_ for _, fit in JointFit(models, X, y, {})]
    assert min(epochs) < max(epochs)
    assert banks == [n for e in range(max(epochs)) if (n := sum(e < m for m in epochs)) > 1]


def test_those_that_diverge_leave(banks):
    X, y = make_data("classification", n=90)
    models = candidates(precondition=False, max_iter=30)
    models[3].set_params(loss="exponential", learning_rate=1e9)
    fits = dict(JointFit(models, X, y, {}))
    assert isinstance(fits.pop(3).error, DivergenceError)
    assert banks == [8]  # all epochs in one call, from which it leaves by itself
    for i, fit in fits.items():
        assert_same(fit.estimator, alone(models[i], X, y, {}))


def test_waves(banks, monkeypatch):
    """Runs that are too large together are trained in turn, with the same results."""
    X, y = make_data("classification", n=90)
    whole = dict(JointFit(candidates(), X, y, {}))
    monkeypatch.setattr(bank, "WAVE_BYTES", 1)
    fits = JointFit(candidates(), X, y, {})
    taken = iter(fits)
    found = dict([next(taken)])
    assert len(fits.bank.waiting) == 7
    found |= dict(taken)
    assert banks == [8]
    for i, fit in found.items():
        assert_same(fit.estimator, whole[i].estimator)


def test_an_unknown_parameter():
    X, y = make_data("classification", n=30)
    with pytest.raises(TypeError, match="'weights'"):
        JointFit(candidates(), X, y, {"weights": None})


# Pauses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "sparse", "network", "early stopping"])
@pytest.mark.parametrize("task", ESTIMATORS)
def test_pauses_change_nothing(task, kind):
    """A fit glanced at after some epochs is that which ends there; trained on, it is the whole."""
    rng = np.random.default_rng([1, len(kind), len(task)])
    X, y = make_data(task, "gamma" if task == "regression" else None, n=90, d=5)
    if kind == "sparse":
        X = sparse.csr_array(np.where(rng.random(X.shape) < 0.5, X, 0))
    fixed = {"max_iter": 6, "schedule": "constant", "precondition": "auto", "learning_rate": 0.01}
    models = [
        model for model in drawn(task, rng, 12, **{**KINDS[kind], **fixed})
        if Optimizer.resolve(model.optimizer).minimize is None
    ]  # fmt: skip
    # Which ends at the first pause.
    whole = {"optimizer": "lbfgs", "max_iter": 6, "tol": 0.0, "random_state": 0}
    models.append(ESTIMATORS[task](**KINDS[kind], **whole))
    fits = JointFit(map(clone, models), X, y, {}, pauses=(2, 4))
    for epochs in (2, 4):
        for i, fit in fits.pause(epochs):
            assert fit.error is None
            short = alone(clone(models[i]).set_params(max_iter=epochs), X, y, {})
            for name in ("coef_", "coefs_", "loss_curve_", "validation_curve_", "n_iter_"):
                if hasattr(short, name) and kind != "early stopping":
                    a, b = getattr(fit.estimator, name), getattr(short, name)
                    for one, other in zip(a, b, strict=True) if isinstance(a, list) else [(a, b)]:
                        assert_array_equal(one, other, err_msg=name)
    fits.drop(0)
    found = dict(fits)
    assert 0 not in found
    for i, fit in found.items():
        assert_same(fit.estimator, alone(models[i], X, y, {}))


# Cache --------------------------------------------------------------------------------------------


def test_memo_tells_equal_from_same():
    memo, calls = Cache(), []

    def ask(*parts):
        return memo("name", parts, lambda: calls.append(parts) or len(calls))

    a, b = np.zeros(3), np.zeros(3)
    assert ask(a) == ask(a) == 1
    assert ask(b) == 2  # equal, but another
    assert ask(1) == ask(1) == 3
    assert ask(1.0) == 4
    assert ask(True) == 5
    assert ask(("x", (1, 2))) == ask(("x", (1, 2))) == 6
    assert ask({"a": 1}) == ask({"a": 1}) == 7
    assert ask({"a": 2}) == 8
    assert ask(np.int64(1)) == ask(np.int64(1)) == 9
    assert ask(None) == ask(None) == 10
    assert memo("other", (a,), lambda: "another") == "another"


def test_memo_keeps_what_it_knows_by_identity():
    memo = Cache()
    for number in range(100):
        assert memo("name", (np.zeros(2),), lambda number=number: number) == number


def test_losses_are_the_same_function_if_their_parameters_are():
    for name, loss in Loss.registry().items():
        assert loss()._identity() == loss()._identity(), name
    from sklearn_lossopt.losses import Huber, Quantile

    assert Huber(1.0)._identity() != Huber(2.0)._identity()
    assert Quantile(0.1)._identity() != Quantile(0.9)._identity()
    assert Bent()._identity() != SquaredError()._identity()
