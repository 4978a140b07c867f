"""A user's own losses and optimizers work wherever built-in ones do.

The classes are those of test_components.py, which has a module of its own: worker processes import
them from there, as they would a user's.
"""

import pickle
import warnings

import numpy as np
import pytest
from catalogue import OPTIMIZERS, PAIRS, STEPPING, TEXTBOOK, make, make_data, same_model, settable
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_components import (
    OwnAdam,
    OwnFullBatch,
    OwnHinge,
    OwnHuber,
    OwnLogLoss,
    OwnMomentum,
    OwnSGD,
    OwnSquaredError,
)

from sklearn_lossopt import DivergenceError, GradientClassifier, GradientRegressor
from sklearn_lossopt.losses import (
    AbsoluteError,
    ClassificationLoss,
    Huber,
    Poisson,
    Quantile,
    RegressionLoss,
    SquaredError,
    check_loss,
)
from sklearn_lossopt.optimizers import Adam, Momentum, Optimizer

STEPS = TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 4}
# own loss, the built-in of the same formula, task, number of targets or of classes less one
LOSSES = [
    (OwnSquaredError(), "squared_error", "regression", 1),
    (OwnSquaredError(), "squared_error", "regression", 3),
    (OwnHuber(0.7), Huber(0.7), "regression", 1),
    (OwnLogLoss(), "log_loss", "classification", 1),
    (OwnLogLoss(), "log_loss", "classification", 3),
    (OwnHinge(), "hinge", "classification", 1),
    (OwnHinge(), "hinge", "classification", 3),
]
each_loss = pytest.mark.parametrize(
    "own, built_in, task, n_targets",
    [pytest.param(*case, id=f"{type(case[0]).__name__}-{case[3]}") for case in LOSSES],
)
OWN_OPTIMIZERS = [
    (OwnMomentum(0.8), Momentum(0.8)),
    (OwnAdam(), "adam"),
    (OwnSGD(), "sgd"),
    (OwnFullBatch(), "gradient_descent"),
]
each_optimizer = pytest.mark.parametrize(
    "own, built_in", [pytest.param(*case, id=type(case[0]).__name__) for case in OWN_OPTIMIZERS]
)


def weighted_data(task, n_targets=1, loss=None):
    X, y = make_data(task, loss, n=120, n_targets=n_targets)
    return X, y, np.random.default_rng(0).gamma(2, size=len(X))


def assert_same_iterates(model, expected, rtol=1e-10):
    assert model.t_ == expected.t_
    size = max(np.abs(expected.coef_).max(), np.abs(expected.intercept_).max())
    assert_allclose(model.coef_, expected.coef_, rtol=0, atol=rtol * size)
    assert_allclose(model.intercept_, expected.intercept_, rtol=0, atol=rtol * size)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=rtol)


# The same iterates as the built-in ------------------------------------------------------------


@pytest.mark.parametrize("optimizer", STEPPING)
@each_loss
def test_a_loss_takes_the_same_steps_with_every_optimizer(
    own, built_in, task, n_targets, optimizer
):
    X, y, weight = weighted_data(task, n_targets)
    settings = settable(optimizer, batch_size=32, **STEPS)
    model, expected = (
        make(task, loss, optimizer, **settings).fit(X, y, sample_weight=weight)
        for loss in (own, built_in)
    )
    assert_same_iterates(model, expected)


@pytest.mark.parametrize("task, loss", PAIRS)
@each_optimizer
def test_an_optimizer_takes_the_same_steps_with_every_loss(own, built_in, task, loss):
    X, y, weight = weighted_data(task, 1 if task == "regression" else 2, loss)
    settings = STEPS | {"learning_rate": 1e-4}
    settings |= {} if own.full_batch else {"batch_size": 32}
    model, expected = (
        make(task, loss, optimizer, **settings).fit(X, y, sample_weight=weight)
        for optimizer in (own, built_in)
    )
    assert_same_iterates(model, expected)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.0, 2: 1.0, 3: 1.0}], ids=str)
@pytest.mark.parametrize("own, built_in", [(OwnLogLoss(), "log_loss"), (OwnHinge(), "hinge")])
def test_class_weights(own, built_in, class_weight):
    X, y, weight = weighted_data("classification", 3)
    settings = STEPS | {"class_weight": class_weight, "batch_size": 32}
    model, expected = (
        make("classification", loss, OwnMomentum(), **settings).fit(X, y, sample_weight=weight)
        for loss in (own, built_in)
    )
    assert_same_iterates(model, expected)
    assert_array_equal(model.predict(X), expected.predict(X))


@each_loss
def test_integer_weights_are_repeated_rows(own, built_in, task, n_targets):
    X, y, _ = weighted_data(task, n_targets)
    times = np.random.default_rng(1).integers(3, size=len(X))
    times[: n_targets + 1] = 1
    model = make(task, own, OwnFullBatch(), **STEPS)
    weighted = clone(model).fit(X, y, sample_weight=times)
    assert_same_iterates(weighted, model.fit(X.repeat(times, axis=0), y.repeat(times, axis=0)))


def test_columns_are_fits_of_their_own():
    X, y, weight = weighted_data("regression", 3)
    model = make("regression", OwnHuber(), OwnSGD(), **STEPS, batch_size=16)
    together = clone(model).fit(X, y, sample_weight=weight)
    for column in range(3):
        alone = clone(model).fit(X, y[:, column], sample_weight=weight)
        assert_allclose(together.coef_[column], alone.coef_, rtol=1e-10)


def test_one_vs_rest_columns_are_fits_of_their_own():
    X, y, weight = weighted_data("classification", 3)
    model = make("classification", OwnHinge(), OwnSGD(), **STEPS, batch_size=16)
    together = clone(model).fit(X, y, sample_weight=weight)
    for label in range(4):
        alone = clone(model).fit(X, y == label, sample_weight=weight)
        assert_allclose(together.coef_[label], alone.coef_[0], rtol=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("own, built_in", [(OwnHuber(0.7), Huber(0.7)), (OwnLogLoss(), "log_loss")])
def test_default_settings_reach_the_optimum_with_every_optimizer(own, built_in, optimizer):
    task = "regression" if own.regression else "classification"
    X, y, weight = weighted_data(task, 1 if own.regression else 2)
    model, expected = (
        make(task, loss, optimizer, alpha=0.01).fit(X, y, sample_weight=weight)
        for loss in (own, built_in)
    )
    assert model.converged_ and expected.converged_
    assert_allclose(model.loss_curve_[-1], expected.loss_curve_[-1], rtol=3e-6)


# What is passed to them -----------------------------------------------------------------------


class Recorder(OwnLogLoss):
    """Remembers, in the class, what it was called with."""

    calls = []

    def loss_gradient(self, y, raw):
        self.calls.append((y.dtype.kind, y.shape[1:], raw.dtype.name, raw.shape[1:], y.min()))
        return super().loss_gradient(y, raw)


class ColumnRecorder(OwnHinge):
    calls = []

    def loss_gradient(self, y, raw):
        self.calls.append((y.dtype.kind, y.shape[1:], raw.dtype.name, raw.shape[1:], y.min()))
        return super().loss_gradient(y, raw)


class StepRecorder(Optimizer):
    n_slots = 2
    calls = []

    def step(self, parameters, gradient, state, t, learning_rate):
        names = {a.dtype.name for a in (parameters, gradient, state)}
        self.calls.append((names, parameters.shape, gradient.shape, state.shape, t))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "loss, n_classes, kind, shape_y, shape",
    [
        (Recorder(), 2, "f", (), ()),
        (Recorder(), 4, "i", (), (4,)),
        (ColumnRecorder(), 2, "f", (), ()),
        (ColumnRecorder(), 4, "f", (4,), (4,)),
    ],
    ids=["two", "joint", "margin", "one-vs-rest"],
)
def test_losses_are_called_as_documented(loss, n_classes, kind, shape_y, shape, dtype):
    X, y, _ = weighted_data("classification", n_classes - 1)
    loss.calls.clear()
    model = make("classification", loss, **STEPS, batch_size=120).fit(X.astype(dtype), y)
    assert model.coef_.dtype == model.intercept_.dtype == dtype
    # First are two calls that ask for curvature, and the objective at the start, in float64.
    least = 0 if kind == "i" else -1
    assert set(loss.calls[3:]) == {(kind, shape_y, dtype, shape, least)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_optimizers_are_called_as_documented(dtype):
    X, y, _ = weighted_data("regression", 3)
    StepRecorder.calls.clear()
    model = make("regression", optimizer=StepRecorder(), **STEPS, batch_size=50)
    model.fit(X.astype(dtype), y)
    size = 3 * (X.shape[1] + 1)
    assert model.coef_.dtype == dtype and not model.coef_.any()
    assert StepRecorder.calls == [
        ({dtype}, (size,), (size,), (2, size), t) for t in range(1, model.t_ + 1)
    ]


@each_loss
def test_float32(own, built_in, task, n_targets):
    X, y, weight = weighted_data(task, n_targets)
    with warnings.catch_warnings():
        # Without second derivatives of a margin loss, nothing proves the optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model, expected = (
            make(task, own, OwnMomentum(), alpha=0.1).fit(X.astype(dtype), y, sample_weight=weight)
            for dtype in ("float32", "float64")
        )
    assert model.coef_.dtype == "float32"
    slack = 1e-4 if own.smooth else 0.05
    assert_allclose(model.loss_curve_[-1], expected.loss_curve_[-1], rtol=slack)


# Tools of scikit-learn ------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_search_in_worker_processes(task):
    X, y, _ = weighted_data(task, 1 if task == "regression" else 2)
    loss = OwnHuber() if task == "regression" else OwnLogLoss()
    model = make_pipeline(StandardScaler(), make(task, loss, OwnMomentum(), max_iter=50))
    step = model.steps[-1][0]
    grid = {f"{step}__optimizer__mu": [0.5, 0.9], f"{step}__alpha": [1e-4, 1.0]}
    if task == "regression":
        grid[f"{step}__loss__width"] = [0.3, 3.0]
    here, there = (
        GridSearchCV(model, grid, cv=2, error_score="raise", n_jobs=n_jobs).fit(X, y)
        for n_jobs in (1, 2)
    )
    assert here.best_params_ == there.best_params_
    assert_array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    assert same_model(here.best_estimator_[-1], there.best_estimator_[-1])
    predictions = cross_val_predict(there.best_estimator_, X, y, cv=2, n_jobs=2)
    assert predictions.shape == y.shape


@each_loss
def test_fitted_models_are_copied(own, built_in, task, n_targets):
    X, y, weight = weighted_data(task, n_targets)
    model = make(task, own, OwnAdam(), **STEPS).fit(X, y, sample_weight=weight)
    copied = pickle.loads(pickle.dumps(model))
    assert same_model(copied, model)
    assert_array_equal(copied.predict(X), model.predict(X))
    assert same_model(clone(model).fit(X, y, sample_weight=weight), model)
    assert type(clone(model).loss) is type(own) and clone(model).loss is not model.loss


# Subclasses of built-in ones ------------------------------------------------------------------


class Doubled(Huber):
    """A subclass's formula counts, not the kernel that it has a name of."""

    def loss_gradient(self, y, raw):
        r = np.clip(raw - y, -self.delta, self.delta)
        return 2 * r * (raw - y - r / 2), 2 * r

    def _curvature(self, y, raw):
        return 2 * super()._curvature(y, raw)


class Slower(Adam):
    def step(self, parameters, gradient, state, t, learning_rate):
        parameters -= learning_rate * gradient / 2


def test_a_subclass_of_a_built_in_loss():
    assert check_loss(Doubled(1.0), n_outputs=1)["convex"]
    X, y, _ = weighted_data("regression")
    model = make("regression", Doubled(0.7), "sgd", **STEPS, alpha=0).fit(X, y)
    expected = make("regression", Huber(0.7), "sgd", **STEPS | {"learning_rate": 2e-3}, alpha=0)
    assert_allclose(model.coef_, expected.fit(X, y).coef_, rtol=1e-10)
    automatic = make("regression", Doubled("auto")).fit(X, y)
    assert automatic.converged_ and automatic.delta_ > 0


class SteepBelow(AbsoluteError):
    """The quantile loss of level 0.9."""

    def loss_gradient(self, y, raw):
        r = raw - y
        return np.where(r > 0, 0.1 * r, -0.9 * r), np.where(r > 0, 0.1, -0.9)


class SteepBelowAgain(SteepBelow):
    """Inherits the formula, and says what is true of it."""

    def _breakpoints(self, y):
        return [(y, np.full(y.shape, -0.9), np.full(y.shape, 0.1))]


class WithoutExtremes(SteepBelowAgain):
    """Another formula again, its own breakpoints and no others."""

    def loss_gradient(self, y, raw):
        value, gradient = super().loss_gradient(y, raw)
        return np.minimum(value, 50), np.where(value < 50, gradient, 0)


class Tilted(Poisson):
    def loss_gradient(self, y, raw):
        value, gradient = super().loss_gradient(y, raw)
        return value + 1e-3 * raw**4, gradient + 4e-3 * raw**3


class HalfSquares:
    """A formula as a mixin."""

    def loss_gradient(self, y, raw):
        return (raw - y) ** 2 / 4, (raw - y) / 2


class Mixed(HalfSquares, SquaredError):
    pass


class LogLink(RegressionLoss):
    """What losses of one link share, and no formula."""

    def _trust_radius(self, unit):
        return 1.0


class Linked(LogLink):
    def loss_gradient(self, y, raw):
        return np.exp(raw) - y * raw, np.exp(raw) - y


def test_another_formula_inherits_no_facts_of_the_old_one():
    y, raw = np.array([[1.0], [2.0]]), np.array([[0.5], [3.0]])
    assert SteepBelow()._breakpoints(y) is None
    assert len(SteepBelowAgain()._breakpoints(y)) == 1
    assert WithoutExtremes()._breakpoints(y) is None
    assert_allclose(Mixed()._curvature(y, raw), 0.5, rtol=1e-6)
    assert_allclose(Tilted()._curvature(y, raw), np.exp(raw) + 0.012 * raw**2, rtol=1e-6)
    # Built-in losses, what has no formula, and the names that belong to the kernel stay.
    assert Mixed()._constant_curvature is None
    assert_array_equal(SquaredError()._curvature(y, raw), 1)
    assert AbsoluteError()._breakpoints(y) is not None
    assert Linked()._trust_radius(7.0) == 1.0
    assert Tilted().name == "poisson" and Tilted()._predict(0.0) == 1


def test_only_true_breakpoints_certify_an_optimum():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    least = make("regression", Quantile(0.9)).fit(X, y).loss_curve_[-1]
    proven = make("regression", SteepBelowAgain()).fit(X, y)
    assert proven.converged_
    assert_allclose(proven.loss_curve_[-1], least, rtol=2e-6)
    with pytest.warns(ConvergenceWarning):
        unproven = make("regression", SteepBelow(), max_iter=300).fit(X, y)
    assert not unproven.converged_
    assert least <= unproven.loss_curve_[-1] <= 1.01 * least


# Where a loss is far from what its targets suggest --------------------------------------------


class Counts(RegressionLoss):
    """The Poisson loss, and nothing said about its units."""

    def loss_gradient(self, y, raw):
        value, gradient = np.exp(raw) - y * raw, np.exp(raw) - y
        return value if raw.ndim == 1 else value.sum(axis=1), gradient


@pytest.mark.parametrize("scale", [1e-3, 1, 10, 1e6])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "gradient_descent"])
def test_a_log_link_is_found_from_the_gradient_alone(optimizer, scale):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    peer = PoissonRegressor(alpha=1e-4, solver="newton-cholesky", tol=1e-9 * max(1, scale))
    peer.fit(X, scale * y)
    model = make("regression", Counts(), optimizer).fit(X, scale * y)
    assert model.converged_ and model.n_iter_ < 20
    assert_allclose(np.exp(model.predict(X)), peer.predict(X), rtol=1e-3)


@pytest.mark.parametrize("y", [-3.0, 0.5, 800.0, 1e7])
def test_the_best_constant_may_lie_outside_the_targets(y):
    """The minimum of exp(z) - y z over z + offset."""
    targets = np.abs(y) * np.array([[0.5, 1.0], [1.5, 1.0]])
    for offset in (-50.0, 0.0, 50.0):

        class Moved(RegressionLoss):
            def loss_gradient(self, y, raw, offset=offset):
                mean = np.exp(raw - offset)
                # As sloppy as can be far out: infinity less infinity.
                return mean - y * raw, mean + (mean - mean) - y

        found = Moved()._constant(targets, None)
        assert_allclose(found, np.log(np.abs(y)) + offset, rtol=1e-12, atol=1e-12)


def test_a_loss_that_only_falls_has_a_constant():
    class Falls(RegressionLoss):
        def loss_gradient(self, y, raw):
            return -raw, -np.ones_like(raw)

    assert_allclose(Falls()._constant(np.array([[1.0], [3.0]]), None), 3.0)


def test_a_huge_start_allows_no_gap():
    """Slow steps from a start of 1e90 are not convergence."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = make("regression", Counts(), warm_start=True, max_iter=20)
    model.fit(X, y)
    least, model.intercept_ = model.loss_curve_[-1], model.intercept_ + 200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert not model.converged_ or model.loss_curve_[-1] <= least + 1e-5 * abs(least)


@pytest.mark.parametrize(
    "loss, built_in, task",
    [
        (OwnSquaredError(), "squared_error", "regression"),
        (OwnHuber(100.0), Huber(100.0), "regression"),
        (SteepBelow(), Quantile(0.9), "regression"),
        (Counts(), "poisson", "regression"),
        (OwnLogLoss(), "log_loss", "classification"),
        (OwnHinge(), "hinge", "classification"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RegressionLoss) else None,
)
def test_steps_follow_the_curvature_of_a_loss(loss, built_in, task):
    """The learning rate is within a small factor of what the built-in's bound gives."""
    X, y = make_data(task, n=200)
    y = 1000 * np.abs(y) if task == "regression" else y
    own, known = (
        make(task, f, "sgd", precondition=False, batch_size=64, max_iter=1, tol=0).fit(X, y)
        for f in (loss, built_in)
    )
    assert 0.2 < own.learning_rate_ / known.learning_rate_ < 5


def test_a_subclass_of_a_built_in_optimizer():
    X, y, _ = weighted_data("regression")
    model = make("regression", optimizer=Slower(), **STEPS).fit(X, y)
    expected = make("regression", optimizer="sgd", **STEPS | {"learning_rate": 5e-4}).fit(X, y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-10)


# Mistakes, by name ----------------------------------------------------------------------------


class Mistaken(RegressionLoss):
    """Squared error, but for one thing."""

    def __init__(self, mistake=None):
        self.mistake = mistake

    def loss_gradient(self, y, raw):
        value, gradient = (raw - y) ** 2 / 2, raw - y
        if raw.ndim == 2 and self.mistake != "columns":
            value = value.sum(axis=1)
        if self.mistake == "scalar":
            return value.sum(), gradient
        if self.mistake == "column":
            return value, gradient[:, None]
        if self.mistake == "short":
            return value[1:], gradient
        if self.mistake == "nan":
            gradient[-1] = np.nan
        if self.mistake == "infinite":
            value[0] = np.inf
        return value, gradient


class MistakenSoftmax(ClassificationLoss):
    def loss_gradient(self, y, raw):
        return np.zeros(raw.shape), np.zeros(raw.shape)


@pytest.mark.parametrize("settings", [{}, STEPS], ids=["defaults", "textbook"])
@pytest.mark.parametrize(
    "mistake, n_targets, message",
    [
        ("scalar", 1, r"returned values of shape \(\); one value a row, shape \(\d+,\)"),
        ("short", 1, r"returned values of shape \(\d+,\); one value a row"),
        ("columns", 3, r"returned values of shape \(\d+, 3\); one value a row.*columns"),
        ("column", 1, r"returned a gradient of shape \(\d+, 1\); raw's shape, \(\d+,\), is needed"),
        ("nan", 1, "returned NaN for finite raw predictions"),
        ("nan", 3, "returned NaN for finite raw predictions"),
    ],
)
def test_wrong_results_name_the_loss(mistake, n_targets, message, settings):
    X, y, _ = weighted_data("regression", n_targets)
    with pytest.raises(ValueError, match=f"Mistaken.loss_gradient {message}"):
        GradientRegressor(Mistaken(mistake), random_state=0, **settings).fit(X, y)
    with pytest.raises(ValueError, match=r"Mistaken.loss_gradient"):
        check_loss(Mistaken(mistake))


@pytest.mark.parametrize("settings", [{}, STEPS], ids=["defaults", "textbook"])
def test_infinite_losses_are_an_error(settings):
    X, y, _ = weighted_data("regression")
    with pytest.raises(ValueError, match=r"infinity|diverged"):
        GradientRegressor(Mistaken("infinite"), random_state=0, **settings).fit(X, y)


def test_wrong_results_of_a_joint_loss_name_it():
    X, y, _ = weighted_data("classification", 3)
    with pytest.raises(ValueError, match=r"MistakenSoftmax.loss_gradient returned values"):
        GradientClassifier(MistakenSoftmax(), **STEPS).fit(X, y)


class Explodes(Optimizer):
    def step(self, parameters, gradient, state, t, learning_rate):
        parameters *= -10
        parameters += gradient


class Vanishes(Optimizer):
    def step(self, parameters, gradient, state, t, learning_rate):
        parameters[0] = np.nan


@pytest.mark.parametrize("optimizer", [Explodes(), Vanishes()], ids=str)
def test_an_optimizer_that_diverges_is_an_error(optimizer):
    X, y, _ = weighted_data("regression")
    model = make("regression", optimizer=optimizer, **STEPS | {"max_iter": 50})
    with pytest.raises(DivergenceError, match="Training diverged"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")
