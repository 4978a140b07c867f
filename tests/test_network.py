"""Hidden layers: gradients by finite differences, whole runs beside torch's, and what holds for a
linear model holds for a network."""

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from catalogue import ESTIMATORS, OPTIMIZERS, PAIRS, POSITIVE_TARGETS, TEXTBOOK, make, make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, special
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from sklearn_lossopt import (
    DivergenceError,
    GradientClassifier,
    GradientRegressor,
    losses,
)
from sklearn_lossopt._engine import ACTIVATION_KERNELS, Trainer
from sklearn_lossopt._preconditioning.network import NetworkPreconditioner
from sklearn_lossopt.losses import RegressionLoss
from sklearn_lossopt.optimizers import AdamW, Averaged, Optimizer

RECORDED = np.load(Path(__file__).parent / "trajectories" / "network_trajectories.npz")
CASES = json.loads(str(RECORDED["cases"]))

TWINS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "tanh": np.tanh,
    "logistic": special.expit,
    "silu": lambda z: z * special.expit(z),
    "gelu": lambda z: z * special.ndtr(z),
}
each_task = pytest.mark.parametrize("task", ESTIMATORS)
each_activation = pytest.mark.parametrize("activation", TWINS)


def layers_of(flat, widths):
    """Each layer's (n_out, n_in + 1) of parameters in one array."""
    sizes = [b * (a + 1) for a, b in itertools.pairwise(widths)]
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(b, -1) for part, b in zip(parts, widths[1:], strict=True)]


def flat_of(model):
    """All parameters of a fitted network as one array."""
    return np.concatenate(
        [
            np.column_stack([coef.T, intercept]).ravel()
            for coef, intercept in zip(model.coefs_, model.intercepts_, strict=True)
        ]
    )


def twin_forward(X, coefs, intercepts, activation):
    """Raw predictions (n, k) in plain NumPy."""
    a = np.asarray(X, dtype=np.float64)
    for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
        a = TWINS[activation](a @ coef + intercept)
    return a @ coefs[-1] + intercepts[-1]


@pytest.fixture
def begin_with(monkeypatch):
    """Makes networks start at given layers instead of drawing them."""

    def begin(layers):
        def draw(units, architecture, random):
            for view, layer in zip(units.layers(units.weights), layers, strict=True):
                view[...] = layer

        monkeypatch.setattr(NetworkPreconditioner, "_draw", draw)

    return begin


# Activations --------------------------------------------------------------------------------------


def test_every_activation_has_a_twin():
    assert set(TWINS) == set(ACTIVATION_KERNELS)


@each_activation
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-15), (np.float32, 5e-7)])
def test_activations_are_their_formulas(activation, dtype, tolerance):
    # Squares of the last two overflow.
    ends = [-800.0, 800.0, *np.sqrt(float(np.finfo(dtype).max)) * np.array([-2, 2])]
    z = np.concatenate([np.linspace(-12, 12, 4001), np.logspace(-12, -1, 50), ends]).astype(dtype)
    a = z.copy()
    ACTIVATION_KERNELS[activation](a)
    expected = TWINS[activation](z.astype(np.float64))
    assert_allclose(a, expected, rtol=20 * tolerance, atol=tolerance)
    near = slice(4001, 4051)
    assert_allclose(a[near], expected[near], rtol=4 * np.finfo(dtype).eps)
    unknown = np.array([np.nan], dtype=dtype)
    ACTIVATION_KERNELS[activation](unknown)
    assert np.isnan(unknown).all()


# Gradients ----------------------------------------------------------------------------------------


def trainer_of(X, y, kind, loss, widths, activation, k, weights, **network):
    """A Trainer of a network with an L2 penalty of 0.1."""
    rows = loss._kernel_row()
    model = (loss._kernel(k), rows, "sgd", [], 0.1, 0.0, 1.0)
    return Trainer(
        X, y, kind, network.get("sample_weight"), None, network.get("shift"), weights,
        model, np.zeros((1, weights.size), weights.dtype), np.zeros(1, np.int64), batch_size=16,
        shuffle=False, seed=0,
        network=(widths, activation, 0.0, 0.0, network.get("scale"), network.get("output")),
    )  # fmt: skip


def targets_for(task, loss, k, n, rng):
    """Targets as the engine stores them, as a loss expects them, and the engine's name for them."""
    if task == "regression":
        y = rng.gamma(2.0, size=(n, k))
        return y, y.reshape(-1) if k == 1 else y, "values"
    if k == 1:
        y = rng.choice([-1.0, 1.0], size=(n, 1))
        return y, y[:, 0], "values"
    y = rng.integers(0, k, n)
    if loss.joint:
        return y.astype(float), y, "class"
    return y.astype(float), np.where(y[:, None] == np.arange(k), 1.0, -1.0), "one_vs_rest"


@each_activation
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("task, loss", PAIRS)
def test_gradients_are_differences_of_the_twins_objective(task, loss, k, kind, activation):
    rng = np.random.default_rng(3)
    loss = losses.Huber(0.7) if loss == "huber" else losses.Loss.resolve(loss)
    n, widths = 21, [4, 5, 3, k]
    X, shift, scale = rng.normal(size=(n, 4)), rng.normal(size=4), rng.uniform(0.5, 2, 4)
    rows = X
    if kind == "sparse":
        X *= rng.random(X.shape) < 0.6
        rows, shift = sparse.csr_array(X), None
    s = rng.gamma(2.0, size=n)
    s /= s.mean()
    stored, y, target_kind = targets_for(task, loss, k, n, rng)
    output = np.column_stack([rng.normal(size=k), rng.uniform(1, 2, k)])
    flat = rng.normal(size=5 * 5 + 3 * 6 + k * 4) * 0.5
    trainer = trainer_of(
        rows, stored, target_kind, loss, widths, activation, k, flat, sample_weight=s,
        shift=shift, scale=scale, output=output,
    )  # fmt: skip

    def objective(flat):
        layers = layers_of(flat, widths)
        x = (X if shift is None else X - shift) * scale
        coefs, intercepts = [w[:, :-1].T for w in layers], [w[:, -1] for w in layers]
        raw = output[:, 0] + output[:, 1] * twin_forward(x, coefs, intercepts, activation)
        value = np.mean(s * loss.loss_gradient(y, raw[:, 0] if k == 1 else raw)[0])
        return value + 0.05 * sum(np.sum(coef**2) for coef in coefs)

    gradient = np.empty(flat.shape)
    assert_allclose(trainer.evaluate(gradient), objective(flat), rtol=1e-12)
    steps = 1e-6 * np.eye(flat.size)
    numeric = [(objective(flat + e) - objective(flat - e)) / 2e-6 for e in steps]
    assert np.abs(gradient - numeric).max() < 1e-6 * max(1, np.abs(numeric).max())


# Whole runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_follows_torch(case, begin_with):
    X, y = RECORDED["X_" + case["data"]], RECORDED["y_" + case["data"]]
    widths = case["widths"]
    begin_with(layers_of(RECORDED["start/" + "x".join(map(str, widths))], widths))
    regression = y.dtype.kind == "f"
    for epochs, expected in zip(case["epochs"], RECORDED["end/" + case["name"]], strict=True):
        model = (GradientRegressor if regression else GradientClassifier)(
            losses.registry()[case["loss"]](**case["loss_params"]),
            Optimizer.resolve(case["optimizer"]).set_params(**case["optimizer_params"]),
            hidden_layer_sizes=widths[1:-1], activation=case["activation"], alpha=case["alpha"],
            learning_rate=case["learning_rate"], max_iter=epochs, shuffle=False, random_state=0,
            batch_size="auto" if case["optimizer"] == "gradient_descent" else case["batch_size"],
            **TEXTBOOK,
        )  # fmt: skip
        model.fit(X, y)
        assert_allclose(flat_of(model), expected, rtol=1e-8, atol=1e-8, err_msg=f"epoch {epochs}")


# The model ----------------------------------------------------------------------------------------

# Losses whose targets (n, k) a network's outputs can have, and what they predict from raw.
DATA = {
    "regression": lambda: load_diabetes(return_X_y=True, scaled=False),
    "classification": lambda: load_wine(return_X_y=True),
}


def network(task, loss=None, optimizer="adam", **parameters):
    """A small network with a fixed seed, on few epochs."""
    given = {"hidden_layer_sizes": (8,), "max_iter": 5, **parameters}
    return make(task, loss, optimizer, **given)


def raw_of(model, X):
    """What the estimator makes of the twin's raw predictions."""
    if isinstance(model, GradientClassifier):
        return np.squeeze(model.decision_function(X))
    return model.predict(X)


def same_network(a, b):
    """Whether two fitted networks are equal bit for bit."""
    return (
        np.array_equal(flat_of(a), flat_of(b))
        and np.array_equal(a.loss_curve_, b.loss_curve_)
        and (a.n_iter_, a.t_, a.learning_rate_) == (b.n_iter_, b.t_, b.learning_rate_)
    )


@each_activation
@pytest.mark.parametrize("precondition", ["auto", False])
@pytest.mark.parametrize("hidden", [(8,), (5, 4, 3)])
@each_task
def test_coefs_and_intercepts_are_the_model_for_raw_rows(task, hidden, precondition, activation):
    X, y = DATA[task]()
    X[:, 0] += 100.0
    if precondition is False:
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = network(
        task, hidden_layer_sizes=hidden, precondition=precondition, activation=activation
    ).fit(X, y)
    raw = twin_forward(X, model.coefs_, model.intercepts_, activation)
    assert_allclose(raw_of(model, X), np.squeeze(raw), rtol=1e-9, atol=1e-9)
    k = 1 if task == "regression" else 3
    widths = [X.shape[1], *hidden, k]
    assert [coef.shape for coef in model.coefs_] == list(itertools.pairwise(widths))
    assert [intercept.shape for intercept in model.intercepts_] == [(b,) for b in widths[1:]]
    assert (model.n_layers_, model.n_outputs_) == (len(hidden) + 2, k)
    assert not hasattr(model, "coef_") and not hasattr(model, "intercept_")
    assert not hasattr(model, "sparsify") and not model.converged_


@pytest.mark.parametrize("task, loss", PAIRS)
def test_every_loss_learns_what_a_constant_cannot(task, loss):
    X, y = make_data(task, loss, n=300)
    model = make(task, loss, hidden_layer_sizes=(16,)).fit(X, y)
    constant = make(task, loss, alpha=1e6).fit(X, y)
    assert model.loss_curve_[-1] < 0.8 * constant.loss_curve_[-1] or loss == "perceptron"
    assert model.score(X, y) > constant.score(X, y)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@each_task
def test_every_optimizer_learns_by_default(task, optimizer):
    X, y = DATA[task]()
    model = make(task, optimizer=optimizer, hidden_layer_sizes=(16,)).fit(X, y)
    assert model.score(X, y) > (0.4 if task == "regression" else 0.95)


def test_a_network_learns_what_no_linear_model_does():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(500, 2)) * [1, 1000] + [50, 0]
    inside = ((X[:, 0] - 50) ** 2 + (X[:, 1] / 1000) ** 2 < 0.5).astype(int)
    assert make("classification").fit(X, inside).score(X, inside) < 0.8
    network = make("classification", hidden_layer_sizes=(16,)).fit(X, inside)
    assert network.score(X, inside) > 0.95
    wave = 1e6 + 1e3 * np.sin(3 * X[:, 1] / 1000)
    assert make("regression", hidden_layer_sizes=(16,)).fit(X, wave).score(X, wave) > 0.95


@each_task
def test_units_of_the_data_do_not_matter(task):
    X, y = DATA[task]()
    a = network(task).fit(X, y)
    factors = 2.0 ** np.arange(-6, X.shape[1] - 6)
    moved = y if task == "classification" else 1024 * y - 4096
    b = network(task).fit(X * factors + 8, moved)
    expected = raw_of(a, X) if task == "classification" else 1024 * raw_of(a, X) - 4096
    assert_allclose(raw_of(b, X * factors + 8), expected, rtol=1e-6)


class Counts(RegressionLoss):
    """A log link in NumPy."""

    def loss_gradient(self, y, raw):
        return np.exp(raw) - y * raw, np.exp(raw) - y

    def _predict(self, raw):
        return np.exp(raw)


@pytest.mark.parametrize("spread", [0.01, 0.1])
@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", Counts()], ids=str)
def test_a_log_link_learns_targets_that_vary_little_around_their_mean(loss, spread):
    """Where y varies little, the link is nearly linear, and deviances are squared errors."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    y = 100 * (1 + spread * (y - y.mean()) / y.std())
    train, test = np.arange(len(y)) % 4 > 0, np.arange(len(y)) % 4 == 0
    given = {"hidden_layer_sizes": (16,)}
    least = make("regression", **given).fit(X[train], y[train]).score(X[test], y[test])
    found = make("regression", loss, **given).fit(X[train], y[train]).score(X[test], y[test])
    assert least > 0.3 and found > least - 0.07


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_a_stream_learns_a_log_link_whose_targets_vary_little(loss):
    X, y = make_data("regression", n=4000)
    y = 1e4 * (1 + 0.01 * (y - y.mean()) / y.std())
    model = make("regression", loss, hidden_layer_sizes=(16,))
    for start in [*range(0, 4000, 200)] * 3:
        model.partial_fit(X[start : start + 200], y[start : start + 200])
    assert model.score(X, y) > 0.9 * make("regression").fit(X, y).score(X, y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", [loss for task, loss in PAIRS if task == "regression"])
def test_a_constant_target_is_predicted_exactly(loss, dtype):
    X, y = make_data("regression", n=80)
    y[:] = 100 / 3
    model = network("regression", loss).fit(X.astype(dtype), y)
    linked = loss in POSITIVE_TARGETS
    tolerance = 5 * np.finfo(dtype).eps if linked else 0
    assert_allclose(model.predict(X.astype(dtype)), y.astype(dtype), rtol=tolerance)
    if not linked:
        both = np.column_stack([y, X[:, 0]])
        model = network("regression", loss, warm_start=True).fit(X, both).fit(X, both)
        assert_array_equal(model.predict(X)[:, 0], y)
        assert np.ptp(model.predict(X)[:, 1]) > 0


@each_task
def test_columns_that_do_not_vary_have_no_effect(task):
    X, y = make_data(task)
    X[:, 1] = 3.0
    model = network(task).fit(X, y)
    changed = X.copy()
    changed[:, 1] = -1e6
    assert (model.coefs_[0][1] == 0).all()
    assert_array_equal(raw_of(model, changed), raw_of(model, X))


def test_targets_with_columns_stay_with_columns():
    X, y = make_data("regression", n_targets=3)
    model = network("regression").fit(X, y)
    assert model.predict(X).shape == y.shape and model.n_outputs_ == 3
    assert network("regression").fit(X, y[:, :1]).predict(X).shape == (len(y), 1)
    assert network("regression").fit(X, y[:, 0]).predict(X).shape == (len(y),)


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_probabilities_and_labels(loss):
    X, y = load_wine(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    model = network("classification", loss, max_iter=60).fit(X, names)
    assert model.score(X, names) > 0.95
    if loss == "log_loss":
        raw = twin_forward(X, model.coefs_, model.intercepts_, "relu")
        assert_allclose(model.predict_proba(X), special.softmax(raw, axis=1), atol=1e-12)


@each_task
def test_float32_stays_float32_and_close(task):
    X, y = make_data(task, n=200)
    double = network(task, max_iter=10).fit(X, y)
    single = network(task, max_iter=10).fit(X.astype(np.float32), y)
    assert {coef.dtype for coef in single.coefs_ + single.intercepts_} == {np.dtype(np.float32)}
    assert_allclose(
        raw_of(single, X), raw_of(double, X), atol=1e-3 * np.abs(raw_of(double, X)).max()
    )


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
@each_task
def test_sparse_rows_are_trained_on_as_dense_ones(task, optimizer, index):
    X, y = make_data(task, n=90)
    X *= np.random.default_rng(0).random(X.shape) < 0.5
    rows = sparse.csr_array(X)
    rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    given = {
        **TEXTBOOK, "learning_rate": 0.01, "max_iter": 6, "batch_size": 16,
        "hidden_layer_sizes": (7, 4),
    }  # fmt: skip
    dense, model = (network(task, optimizer=optimizer, **given).fit(Z, y) for Z in (X, rows))
    assert_allclose(flat_of(model), flat_of(dense), rtol=1e-10, atol=1e-10)
    assert_allclose(raw_of(model, rows), raw_of(dense, X), rtol=1e-9, atol=1e-9)
    # Scaled alone, whether the rows are sparse or there is no intercept.
    given = {"fit_intercept": False, "hidden_layer_sizes": (7,), "max_iter": 6}
    dense, model = (network(task, optimizer=optimizer, **given).fit(Z, y) for Z in (X, rows))
    assert_allclose(flat_of(model), flat_of(dense), rtol=1e-8, atol=1e-8)
    assert all((intercept == 0).all() for intercept in model.intercepts_)


@each_task
def test_integer_weights_are_repeated_rows(task):
    X, y = make_data(task, n=40)
    weight = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    given = {"optimizer": "gradient_descent", "max_iter": 30, "activation": "tanh"}
    a = network(task, **given).fit(X, y, sample_weight=weight)
    b = network(task, **given).fit(X[repeated], y[repeated])
    assert_allclose(raw_of(a, X), raw_of(b, X), rtol=1e-7, atol=1e-8)


def test_class_weights_are_sample_weights():
    X, y = load_wine(return_X_y=True)
    factors = {0: 1.0, 1: 3.0, 2: 0.5}
    a = network("classification", class_weight=factors).fit(X, y)
    b = network("classification").fit(X, y, sample_weight=np.array([1.0, 3.0, 0.5])[y])
    assert_allclose(flat_of(a), flat_of(b), rtol=1e-10)


# Training -----------------------------------------------------------------------------------------


@each_task
def test_fits_are_reproducible_pickled_and_cloned(task):
    X, y = make_data(task, n=150)
    model = network(task, dropout=0.2).fit(X, y)
    assert same_network(model, clone(model).fit(X, y))
    assert same_network(model, pickle.loads(pickle.dumps(model)))
    assert not same_network(model, clone(model).set_params(random_state=1).fit(X, y))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "nadam"])
@each_task
def test_k_epochs_and_k_more_are_2_k(task, optimizer, dropout):
    X, y = make_data(task, n=100)
    given = {**TEXTBOOK, "learning_rate": 0.01, "batch_size": 16, "dropout": dropout}
    whole = network(task, optimizer=optimizer, max_iter=8, **given).fit(X, y)
    parts = network(task, optimizer=optimizer, max_iter=4, warm_start=True, **given)
    parts.fit(X, y).fit(X, y)
    assert_array_equal(flat_of(parts), flat_of(whole))
    assert parts.t_ == whole.t_


@each_task
def test_warm_start_goes_on_from_the_model_in_any_units(task):
    X, y = DATA[task]()
    model = make(task, hidden_layer_sizes=(8,), warm_start=True).fit(X, y)
    before = raw_of(model, X)
    model.set_params(max_iter=1, learning_rate=1e-12, schedule="constant").fit(X, y)
    assert_allclose(raw_of(model, X), before, rtol=1e-5, atol=1e-6)
    assert model.set_params(hidden_layer_sizes=(5,)).fit(X, y).coefs_[0].shape[1] == 5
    linear = model.set_params(hidden_layer_sizes=(), learning_rate="auto", schedule="auto")
    linear.set_params(max_iter=1000).fit(X, y)
    assert hasattr(linear, "coef_") and not hasattr(linear, "coefs_")
    assert not hasattr(linear, "n_layers_") and hasattr(linear, "sparsify")


def test_dropout_keeps_the_mean_and_leaves_predictions_alone():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20000, 3))
    y = X @ [1.0, 2.0, 3.0]
    given = {
        "activation": "identity", "hidden_layer_sizes": (50,), "max_iter": 1, "batch_size": 20000,
        "learning_rate": 1e-12, "alpha": 0.0, **TEXTBOOK,
    }  # fmt: skip
    plain = network("regression", **given).fit(X, y)
    dropped = network("regression", dropout=0.4, **given).fit(X, y)
    raw = twin_forward(X, plain.coefs_, plain.intercepts_, "identity")[:, 0]
    hidden = X @ plain.coefs_[0] + plain.intercepts_[0]
    # Of each unit's contribution a, the variance is a^2 p / (1 - p).
    noise = 0.4 / 0.6 * np.mean((hidden**2) @ plain.coefs_[1] ** 2)
    loss = 0.5 * np.mean((y - raw) ** 2)
    assert_allclose(plain.loss_curve_[0], loss, rtol=1e-9)
    assert_allclose(dropped.loss_curve_[0], loss + 0.5 * noise, rtol=0.03)
    assert_allclose(dropped.predict(X), raw, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "silu", "relu"])
def test_dropout_has_the_gradient_of_what_it_minimises(activation, begin_with):
    """One step of gradient descent from the masks that the running objective was measured with."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    widths, flat = [3, 4, 3, 1], rng.normal(size=16 + 15 + 4)
    given = {
        "activation": activation, "hidden_layer_sizes": (4, 3), "dropout": 0.4, "max_iter": 1,
        "alpha": 0.0, "optimizer": "gradient_descent", **TEXTBOOK,
    }  # fmt: skip

    def fitted(flat, rate):
        begin_with(layers_of(flat, widths))
        return network("regression", **{**given, "learning_rate": rate}).fit(X, y)

    gradient = (flat - flat_of(fitted(flat, 1e-3))) / 1e-3
    for j in range(len(flat)):
        h = 1e-5 * np.eye(len(flat))[j]
        up, down = (fitted(flat + e, 1e-9).loss_curve_[0] for e in (h, -h))
        assert_allclose(gradient[j], (up - down) / 2e-5, rtol=1e-5, atol=1e-6)


def test_l1_makes_exact_zeros_in_every_layer():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = make("regression", hidden_layer_sizes=(16, 8), alpha=0.02, l1_ratio=1.0).fit(X, y)
    assert model.score(X, y) > 0.3
    assert all(0.05 < np.mean(coef == 0) < 1 for coef in model.coefs_)


@each_task
def test_early_stopping_keeps_the_best_epoch(task):
    X, y = DATA[task]()
    model = make(task, hidden_layer_sizes=(32,), early_stopping=True, learning_rate=0.02).fit(X, y)
    assert model.best_iter_ == np.argmin(model.validation_curve_) + 1
    assert model.n_iter_ == len(model.validation_curve_)
    held = make(task, hidden_layer_sizes=(8,), max_iter=4).fit(X, y, X_val=X, y_val=y)
    loss = losses.SquaredError() if task == "regression" else losses.LogLoss()
    raw = twin_forward(X, held.coefs_, held.intercepts_, "relu")
    value = loss.loss_gradient(y, raw[:, 0] if task == "regression" else raw)[0].mean()
    assert_allclose(held.validation_curve_[-1], value, rtol=1e-9)


class Cube(RegressionLoss):
    def loss_gradient(self, y, raw):
        r = raw - y
        return np.abs(r) ** 3 / 3, r * np.abs(r)


class Plain(Optimizer):
    n_slots = 1

    def step(self, parameters, gradient, state, t, learning_rate):
        state[0] = 0.9 * state[0] + gradient
        parameters -= learning_rate * state[0]


def test_components_in_numpy():
    X, y = make_data("regression", n=120)
    given = {**TEXTBOOK, "learning_rate": 0.01, "max_iter": 4, "batch_size": 16}
    compiled = network("regression", optimizer="momentum", **given).fit(X, y)
    own = network("regression", **given).set_params(optimizer=Plain()).fit(X, y)
    assert_allclose(flat_of(own), flat_of(compiled), rtol=1e-12, atol=1e-12)
    X, y = load_diabetes(return_X_y=True, scaled=False)
    assert make("regression", Cube(), hidden_layer_sizes=(8,)).fit(X, y).score(X, y) > 0.4


def test_a_schedule_of_ours_runs_to_its_end_without_a_warning(recwarn):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = make("regression", hidden_layer_sizes=(4,)).fit(X, y)
    assert not recwarn.list and model.n_iter_ >= 60
    assert make("regression", hidden_layer_sizes=(4,), max_iter=7).fit(X, y).n_iter_ == 7


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"hidden_layer_sizes": 0}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (4, 0)}, "integers that are at least 1"),
        ({"hidden_layer_sizes": (4, 2.5)}, "integers that are at least 1"),
        ({"hidden_layer_sizes": (True,)}, "integers that are at least 1"),
        ({"hidden_layer_sizes": "64"}, "hidden_layer_sizes"),
        ({"activation": "sigmoid"}, "activation"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"weight_decay": 0.1, "optimizer": "adamw"}, "has a weight_decay of its own"),
        ({"weight_decay": 0.1, "optimizer": "averaged"}, "no steps from shrunken weights"),
        ({"weight_decay": 0.1, "optimizer": "lbfgs"}, "no steps from shrunken weights"),
        ({"precondition": "whiten"}, "linear models"),
    ],
)
@each_task
def test_errors_name_the_parameter(task, parameters, words):
    X, y = make_data(task)
    model = network(task).fit(X, y)
    before = flat_of(model)
    with pytest.raises(ValueError, match=words):
        model.set_params(**{"hidden_layer_sizes": (4,), **parameters}).fit(X, y)
    assert_array_equal(flat_of(model), before)


def test_divergence_is_an_error():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    with pytest.raises(DivergenceError, match="learning_rate"):
        network("regression", optimizer="sgd", precondition=False, max_iter=20).fit(X, y)
    with pytest.raises(DivergenceError, match="learning_rate"):
        network(
            "regression", optimizer="sgd", learning_rate=100.0, schedule="constant", max_iter=20
        ).fit(X, y)  # fmt: skip


@pytest.mark.parametrize(
    "optimizer", ["gradient_descent", "sgd", "momentum", "nesterov", "averaged"]
)
def test_default_rates_heed_the_curvature_of_the_penalty(optimizer):
    """A rate above 2 / alpha would let weights grow without end; none are wanted at all."""
    X, y = make_data("regression", n=60)
    model = network("regression", optimizer=optimizer, alpha=1e6, max_iter=100).fit(X, y)
    assert max(np.abs(coef).max() for coef in model.coefs_) < 0.05
    assert model.learning_rate_ <= 1e-6


def test_advice_on_divergence_names_nothing_that_is_auto_already():
    X, y = make_data("regression", n=60)
    with pytest.raises(DivergenceError) as caught:
        network("regression", optimizer="radam", alpha=1e12).fit(X, y)
    assert "'auto'" not in str(caught.value) and "alpha" in str(caught.value)


def test_an_integer_is_one_hidden_layer():
    X, y = load_breast_cancer(return_X_y=True)
    a, b = (network("classification", hidden_layer_sizes=h).fit(X, y) for h in (6, [6]))
    assert same_network(a, b)


# Streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
@each_task
def test_chunks_are_an_epoch(task, optimizer):
    X, y = make_data(task, n=96)
    given = {"learning_rate": 0.01, "precondition": False, "schedule": "constant", "tol": 0}
    given |= {"batch_size": 16, "shuffle": False, "optimizer": optimizer}
    whole = network(task, **{**given, "max_iter": 2}).fit(X, y)
    chunks = network(task, **given)
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    for part in (slice(0, 32), slice(32, 96), slice(0, 96)):
        chunks.partial_fit(X[part], y[part], **classes)
    assert_allclose(flat_of(chunks), flat_of(whole), rtol=1e-12)
    assert chunks.t_ == whole.t_ and chunks.n_iter_ == 3


@each_task
def test_a_stream_learns_on_raw_rows(task):
    X, y = make_data(task, n=4000)
    X = 1e3 * X + 1e5
    model = make(task, hidden_layer_sizes=(16,), random_state=0)
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    for start in [*range(0, 4000, 200)] * 3:
        model.partial_fit(X[start : start + 200], y[start : start + 200], **classes)
    raw = twin_forward(X, model.coefs_, model.intercepts_, "relu")
    assert_allclose(raw_of(model, X), np.squeeze(raw), rtol=1e-9)
    assert model.score(X, y) > 0.9 * make(task).fit(X, y).score(X, y)
    with pytest.raises(ValueError, match="fit to start anew"):
        model.set_params(hidden_layer_sizes=(4,)).partial_fit(X, y)


@each_task
def test_a_stream_goes_on_from_a_fit_and_from_nothing(task):
    X, y = make_data(task, n=100)
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    model = network(task).fit(X, y)
    before = raw_of(model, X)
    model.set_params(learning_rate=1e-12).partial_fit(X, y)
    assert_allclose(raw_of(model, X), before, rtol=1e-5, atol=1e-6)
    fresh = network(task).partial_fit(X, y, sample_weight=np.zeros(len(y)), **classes)
    assert not np.any(flat_of(fresh)) and fresh.t_ == 0
    assert fresh.partial_fit(X, y).t_ > 0 and np.any(flat_of(fresh))
    assert not hasattr(network(task, optimizer="averaged"), "partial_fit")


@pytest.mark.parametrize(("task", "loss"), PAIRS)
def test_streams_learn_every_loss(task, loss):
    """Huber's delta="auto" among them: the output's units ask for it before any row is known."""
    X, y = make_data(task, loss, n=150, n_targets=1)
    model = network(task, loss=loss)
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    for _ in range(8):
        for start in range(0, len(y), 25):
            part = slice(start, start + 25)
            model.partial_fit(X[part], y[part], **classes)
    assert model.loss_curve_[-6:].mean() < 0.95 * model.loss_curve_[:6].mean()


@each_task
def test_weight_decay_is_what_torch_decouples(task):
    """AdamW's beside Adam; and beside plain steps the gradient of an L2 penalty."""
    X, y = make_data(task)
    given = {**TEXTBOOK, "learning_rate": 0.01, "batch_size": 16}
    found = network(task, weight_decay=0.3, **given).fit(X, y)
    expected = network(task, optimizer=AdamW(weight_decay=0.3), **given).fit(X, y)
    assert_allclose(flat_of(found), flat_of(expected), rtol=1e-12)
    found = network(task, optimizer="sgd", alpha=0, weight_decay=0.3, **given).fit(X, y)
    expected = network(task, optimizer="sgd", alpha=0.3, **given).fit(X, y)
    assert_allclose(flat_of(found), flat_of(expected), rtol=1e-9)
    assert not np.allclose(flat_of(found), flat_of(network(task, None, "sgd", **given).fit(X, y)))


# Defaults and means of iterates -------------------------------------------------------------------


def test_dropout_by_default_is_for_wide_layers_and_sampled_batches():
    X, y = load_diabetes(return_X_y=True, scaled=False)

    def differs(rows=slice(None), **parameters):
        given = {"hidden_layer_sizes": (32,), "max_iter": 2, **parameters}
        model = make("regression", **given).fit(X[rows], y[rows])
        without = make("regression", dropout=0.0, **given).fit(X[rows], y[rows])
        quarter = make("regression", dropout=0.25, **given).fit(X[rows], y[rows])
        assert not same_network(without, quarter)
        assert same_network(model, without) != same_network(model, quarter)
        return same_network(model, quarter)

    assert differs()
    assert not differs(hidden_layer_sizes=(64, 31))
    assert not differs(slice(64)) and differs(slice(65))
    assert not differs(optimizer="gradient_descent")
    assert not differs(precondition=False, learning_rate=1e-9)


@pytest.mark.parametrize("hidden", [(40,), (64, 32), (32, 64, 32), (32,) * 4])
@each_task
def test_weight_decay_by_default_depends_on_the_task_and_the_layers(task, hidden):
    X, y = make_data(task, n=130)
    layers, deep = len(hidden), len(hidden) > 2
    forgotten = {"regression": [10, 20, 9, 81 / 16], "classification": [2, 6, 6, 54 / 16]}
    total = forgotten[task][layers - 1]
    factor = 2 / 3 if deep and task == "regression" else 1

    def decay(shown, **parameters):
        """Whether "auto" is the number that is shown."""
        given = {"hidden_layer_sizes": hidden, "max_iter": 3, **parameters}
        automatic = make(task, **given).fit(X, y)
        return same_network(automatic, make(task, weight_decay=shown, **given).fit(X, y))

    # 9 batches of 16 rows, or 5 of 30, make 2000 updates in 246 and 461 epochs.
    few, many = (123 * 9, 230 * 5) if deep else (246 * 9, 461 * 5)
    assert decay(total / (factor * 0.003 * few)) and not decay(0.0)
    assert decay(total / (0.01 * many), batch_size=30, learning_rate=0.01)
    assert decay(total / (factor * 0.03 * few), optimizer="sgd")
    assert decay(0.0, optimizer="lion") and decay(0.0, optimizer="schedule_free_adamw")
    assert decay(0.0, hidden_layer_sizes=(64, 31)) and decay(0.0, batch_size=130)
    assert decay(0.0, precondition=False, learning_rate=1e-9)


@pytest.mark.parametrize("hidden", [(40,), (40, 40)])
@pytest.mark.parametrize("n_levels, share", [(20, 20 / 130), (140, 1.0)])
def test_weight_decay_by_default_grows_with_columns_of_levels(n_levels, share, hidden):
    X, y = make_data("regression", n=130)
    X = np.hstack([X, np.random.default_rng(0).random((130, n_levels)) < 0.4])
    given = {"hidden_layer_sizes": hidden, "max_iter": 3}
    total = 10 * (1 + 6 * share) if len(hidden) == 1 else 20
    shown = make("regression", weight_decay=total / (0.003 * (246 * 9)), **given)
    assert same_network(make("regression", **given).fit(X, y), shown.fit(X, y))


@pytest.mark.parametrize("task, layers, dropout, rate", [
    ("regression", 1, 0.25, 0.003), ("regression", 2, 0.25, 0.003), ("regression", 3, 0.15, 0.002),
    ("regression", 4, 0.15, 0.002), ("classification", 1, 0.25, 0.003),
    ("classification", 2, 0.25, 0.003), ("classification", 3, 0.25, 0.003),
])  # fmt: skip
def test_dropout_and_rate_by_default_depend_on_the_task_and_the_layers(task, layers, dropout, rate):
    X, y = make_data(task, n=130)
    given = {"hidden_layer_sizes": (32,) * layers, "max_iter": 2}
    model = make(task, **given).fit(X, y)
    assert_allclose(model.learning_rate_, rate, rtol=1e-12)
    assert same_network(model, make(task, dropout=dropout, **given).fit(X, y))
    assert not same_network(model, make(task, dropout=0.2, **given).fit(X, y))


@pytest.mark.parametrize("layers", [2, 3, 4, 6])
def test_weight_decay_by_default_leaves_more_than_a_constant(layers):
    X, y = load_diabetes(return_X_y=True)
    model = make("regression", hidden_layer_sizes=(32,) * layers).fit(X[:150], y[:150])
    assert model.score(X[150:], y[150:]) > 0.3


def test_deep_networks_train_for_half_of_the_epochs():
    X, y = make_data("regression", n=130)
    lengths = [make("regression", hidden_layer_sizes=(4,) * k).fit(X, y).n_iter_ for k in (1, 2, 3)]
    assert lengths == [246, 246, 123]


def test_averaging_predicts_from_the_mean_of_the_iterates():
    X, y = make_data("regression", n=50)
    given = {**TEXTBOOK, "learning_rate": 0.02, "hidden_layer_sizes": (4, 3)}
    plain = network("regression", optimizer="gradient_descent", **given)
    iterates = [flat_of(plain.set_params(max_iter=t).fit(X, y)) for t in range(1, 6)]
    averaged = network(
        "regression", optimizer=Averaged("gradient_descent"), **given
    ).fit(X, y)  # fmt: skip
    assert_allclose(flat_of(averaged), np.mean(iterates, axis=0), rtol=1e-10)


def test_a_stream_of_zeros_and_ones_without_an_intercept():
    X, y = np.eye(6)[np.arange(60) % 6], np.arange(60) % 2.0
    model = GradientRegressor(hidden_layer_sizes=(4,), fit_intercept=False, random_state=0)
    for start in range(0, 60, 20):
        model.partial_fit(X[start : start + 20], y[start : start + 20])
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "radam"])
def test_an_outlier_does_not_blow_up_a_loss_that_grows_as_a_square(optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = X[:, 0] + 0.1 * rng.normal(size=60)
    y[0] = 1e8
    model = GradientRegressor(
        "squared_epsilon_insensitive", optimizer, hidden_layer_sizes=(8,), random_state=0
    )
    model.fit(X, y)
    assert model.loss_curve_[-1] < 1.01 * y.var()
