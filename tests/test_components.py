"""Losses, optimizers and schedules as objects: registry, copies, and those of a user's own."""

import inspect
import pickle

import numpy as np
import pytest
from catalogue import TEXTBOOK, make, make_data, same_model, spellings
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_lossopt import (
    GradientClassifier,
    GradientRegressor,
    losses,
    optimizers,
    schedules,
)
from sklearn_lossopt._engine import LOSS_KERNELS, STEP_KERNELS
from sklearn_lossopt.losses import ClassificationLoss, Huber, Loss, RegressionLoss
from sklearn_lossopt.optimizers import Adam, Momentum, Optimizer
from sklearn_lossopt.schedules import Schedule

FAMILIES = {"loss": (losses, Loss), "optimizer": (optimizers, Optimizer),
            "schedule": (schedules, Schedule)}  # fmt: skip
COMPONENTS = [
    pytest.param(component, id=component.__name__)
    for module, _ in FAMILIES.values()
    for component in module.registry().values()
]
each_component = pytest.mark.parametrize("component", COMPONENTS)


def other_value(component, name):
    """A valid value other than the default."""
    default = component().get_params()[name]
    if isinstance(default, bool):
        return not default
    return {"delta": 3.0, "power": 1.25}.get(name, 0.5 if default != 0.5 else 0.25)


# The names that the design documents, each with the class it stands for.
DOCUMENTED = {
    "loss": {
        "squared_error": "SquaredError", "mse": "SquaredError",
        "mean_squared_error": "SquaredError", "huber": "Huber", "log_loss": "LogLoss",
        "cross_entropy": "LogLoss", "binary_cross_entropy": "LogLoss",
        "categorical_cross_entropy": "LogLoss", "hinge": "Hinge",
    },
    "optimizer": {
        "gradient_descent": "GradientDescent", "gd": "GradientDescent", "sgd": "SGD",
        "momentum": "Momentum", "nesterov": "Momentum", "rmsprop": "RMSprop", "adam": "Adam",
    },
    "schedule": {
        "constant": "Constant", "invscaling": "InverseScaling", "exponential": "Exponential",
        "cosine": "Cosine", "one_cycle": "OneCycle",
    },
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_documented_names_resolve(family):
    module, base = FAMILIES[family]
    for name, expected in DOCUMENTED[family].items():
        found = base.resolve(name)
        assert type(found).__name__ == expected and isinstance(found, base)
        assert getattr(module, expected) is type(found)
    assert base.resolve("nesterov").nesterov is True if family == "optimizer" else True


@pytest.mark.parametrize("family", FAMILIES)
def test_the_registry_lists_every_class_once(family):
    module, base = FAMILIES[family]
    registry = module.registry()
    assert list(registry) == sorted(registry)
    assert len(set(registry.values())) == len(registry)
    public = {
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.name is not None
    }
    assert set(registry.values()) == public
    for name, component in registry.items():
        assert component.name == name
        assert component.__name__ in module.__all__
    assert base.__name__ in module.__all__


def test_every_registered_component_has_its_kernel():
    """And no kernel is left over: one string ties class and kernel."""
    compiled = {loss()._compiled(k) for loss in losses.registry().values() for k in (1, 3)}
    assert compiled == set(LOSS_KERNELS)
    steps = {optimizer()._kernel() for optimizer in optimizers.registry().values()}
    assert {step for step in steps if isinstance(step, str)} == set(STEP_KERNELS)


@pytest.mark.parametrize("family", FAMILIES)
def test_registries_can_be_changed_without_harm(family):
    module, _ = FAMILIES[family]
    before = module.registry()
    module.registry().clear()
    assert module.registry() == before


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match=r"loss name already registered: \['huber'\]"):

        class Again(RegressionLoss, name="huber"):
            pass

    with pytest.raises(ValueError, match=r"optimizer name already registered: \['gd'\]"):

        class Alias(Optimizer, name="new", aliases={"gd": {}}):
            pass

    assert "new" not in optimizers.registry()
    assert losses.registry()["huber"] is Huber
    # Families have names of their own: "exponential" is a loss and a schedule.
    assert losses.registry()["exponential"] is not schedules.registry()["exponential"]


@each_component
def test_components_are_copied(component):
    for name in component().get_params():
        changed = component(**{name: other_value(component, name)})
        for copied in (clone(changed), pickle.loads(pickle.dumps(changed))):
            assert type(copied) is component and copied is not changed
            assert copied.get_params() == changed.get_params()
        assert component().get_params() != changed.get_params()
        assert component().set_params(**changed.get_params()).get_params() == changed.get_params()


@each_component
def test_components_print_what_was_set(component):
    assert repr(component()) == f"{component.__name__}()"
    for name in component().get_params():
        value = other_value(component, name)
        assert repr(component(**{name: value})) == f"{component.__name__}({name}={value!r})"
    with pytest.raises(ValueError, match="Invalid parameter 'no_such_parameter'"):
        component().set_params(no_such_parameter=1)


@each_component
def test_every_parameter_is_documented(component):
    for name, parameter in inspect.signature(component).parameters.items():
        default = parameter.default
        shown = f'"{default}"' if isinstance(default, str) else f"{default}"
        documented = [
            line for line in component.__doc__.splitlines() if line.strip().startswith(f"{name} :")
        ]
        assert len(documented) == 1, name
        written = documented[0].split("default=")[1]
        assert written == shown or float(written) == default, documented


@pytest.mark.parametrize("family", FAMILIES)
def test_resolve_gives_objects_back(family):
    module, base = FAMILIES[family]
    for component in module.registry().values():
        given = component()
        assert base.resolve(given) is given
    assert base.resolve(next(iter(module.registry()))) is not base.resolve(
        next(iter(module.registry()))
    )


@pytest.mark.parametrize("optimizer", spellings(optimizers))
def test_fitting_does_not_change_a_component(optimizer):
    X, y = make_data("regression")
    given = Optimizer.resolve(optimizer)
    before = dict(vars(given))
    make("regression", Huber(), given).fit(X, y)
    assert vars(given) == before


def test_one_object_may_serve_several_estimators():
    X, y = make_data("regression")
    shared = Adam(beta_1=0.8)
    first = make("regression", optimizer=shared).fit(X, y)
    make("classification", optimizer=shared).fit(X, y > 0)
    assert same_model(first, make("regression", optimizer=shared).fit(X, y))


# Components of a user's own -----------------------------------------------------------------------


class OwnSquaredError(RegressionLoss):
    """As a user would write it, in NumPy."""

    def loss_gradient(self, y, raw):
        value = (raw - y) ** 2 / 2
        return value if value.ndim == 1 else value.sum(axis=1), raw - y


class OwnHuber(RegressionLoss):
    def __init__(self, width=1.0):
        self.width = width

    def loss_gradient(self, y, raw):
        r = raw - y
        clipped = np.clip(r, -self.width, self.width)
        value = clipped * (r - clipped / 2)
        return value if value.ndim == 1 else value.sum(axis=1), clipped


class OwnLogLoss(ClassificationLoss):
    def loss_gradient(self, y, raw):
        if raw.ndim == 1:
            margin = y * raw
            return np.logaddexp(0, -margin), -y * np.exp(-np.logaddexp(0, margin))
        assert y.dtype.kind == "i"
        rows = np.arange(len(y))
        gradient = softmax(raw, axis=1)
        gradient[rows, y] -= 1
        return -log_softmax(raw, axis=1)[rows, y], gradient


class OwnHinge(ClassificationLoss):
    joint = False
    smooth = False

    def loss_gradient(self, y, raw):
        value = np.maximum(0, 1 - y * raw)
        return value if value.ndim == 1 else value.sum(axis=1), np.where(value > 0, -y, 0)


class OwnMomentum(Optimizer):
    n_slots = 1

    def __init__(self, mu=0.9):
        self.mu = mu

    def step(self, parameters, gradient, state, t, learning_rate):
        state[0] *= self.mu
        state[0] += gradient
        parameters -= learning_rate * state[0]


class OwnAdam(Optimizer):
    n_slots = 2

    def step(self, parameters, gradient, state, t, learning_rate):
        m, v = state
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        root = np.sqrt(v / (1 - 0.999**t)) + 1e-8
        parameters -= learning_rate * m / (1 - 0.9**t) / root


class OwnSGD(Optimizer):
    def step(self, parameters, gradient, state, t, learning_rate):
        assert state.size == 0 or not state.any()
        parameters -= learning_rate * gradient


class OwnFullBatch(OwnSGD):
    full_batch = True


class OwnSchedule(Schedule):
    def __call__(self, step, steps_per_epoch, max_iter):
        return 1 / (1 + step)


def data(task, target):
    n_targets = {"one": 1, "many": 3, "two classes": 1, "three classes": 2}[target]
    X, y = make_data(task, n=150, n_targets=n_targets)
    return X, y, np.random.default_rng(0).gamma(2, size=len(X))


LOSS_TWINS = [
    ("regression", OwnSquaredError(), "squared_error", "one"),
    ("regression", OwnSquaredError(), "squared_error", "many"),
    ("regression", OwnHuber(width=0.7), Huber(delta=0.7), "one"),
    ("regression", OwnHuber(width=0.7), Huber(delta=0.7), "many"),
    ("classification", OwnLogLoss(), "log_loss", "two classes"),
    ("classification", OwnLogLoss(), "log_loss", "three classes"),
    ("classification", OwnHinge(), "hinge", "two classes"),
    ("classification", OwnHinge(), "hinge", "three classes"),
]
each_loss_twin = pytest.mark.parametrize(
    "task, own, built_in, target",
    [pytest.param(*twin, id=f"{type(twin[1]).__name__}-{twin[3]}") for twin in LOSS_TWINS],
)


@each_loss_twin
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loss_of_ones_own_trains_like_the_built_in(
    task, own, built_in, target, batch_size, dtype
):
    X, y, weight = data(task, target)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": batch_size, "max_iter": 5}
    model = make(task, own, **settings).fit(X.astype(dtype), y, sample_weight=weight)
    expected = make(task, built_in, **settings).fit(X.astype(dtype), y, sample_weight=weight)
    rtol = {"float64": 1e-10, "float32": 1e-3}[dtype]
    assert_allclose(model.coef_, expected.coef_, rtol=rtol, atol=rtol * 1e-3)
    assert_allclose(model.intercept_, expected.intercept_, rtol=rtol, atol=rtol * 1e-3)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=rtol)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_loss_twin
def test_a_loss_of_ones_own_trains_with_default_settings(task, own, built_in, target):
    X, y, weight = data(task, target)
    model = make(task, own, alpha=0.01).fit(X, y, sample_weight=weight)
    expected = make(task, built_in, alpha=0.01).fit(X, y, sample_weight=weight)
    # Without the curvature of a loss, nothing corrects the steps; the estimator says so.
    slack = 5e-3 if model.converged_ else 0.05
    assert model.loss_curve_[-1] <= expected.loss_curve_[-1] * (1 + slack)
    assert model.score(X, y) > expected.score(X, y) - 0.03


OPTIMIZER_TWINS = [
    (OwnMomentum(mu=0.8), Momentum(momentum=0.8)),
    (OwnAdam(), "adam"),
    (OwnSGD(), "sgd"),
    (OwnFullBatch(), "gradient_descent"),
]
each_optimizer_twin = pytest.mark.parametrize(
    "own, built_in", [pytest.param(*twin, id=type(twin[0]).__name__) for twin in OPTIMIZER_TWINS]
)


@each_optimizer_twin
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
@pytest.mark.parametrize(
    "task, target", [("regression", "many"), ("classification", "two classes")]
)
def test_an_optimizer_of_ones_own_steps_like_the_built_in(own, built_in, task, target, batch_size):
    X, y, weight = data(task, target)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 5}
    if not own.full_batch:
        settings["batch_size"] = batch_size
    model = make(task, optimizer=own, **settings).fit(X, y, sample_weight=weight)
    expected = make(task, optimizer=built_in, **settings).fit(X, y, sample_weight=weight)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-9)
    assert model.t_ == expected.t_


@each_optimizer_twin
@pytest.mark.parametrize("precondition", ["whiten", "scale"])
def test_an_optimizer_of_ones_own_trains_with_default_settings(own, built_in, precondition):
    X, y, weight = data("regression", "one")
    model = make("regression", optimizer=own, precondition=precondition, alpha=0.1)
    expected = clone(model).set_params(optimizer=built_in).fit(X, y, sample_weight=weight)
    assert_allclose(
        model.fit(X, y, sample_weight=weight).loss_curve_[-1], expected.loss_curve_[-1], rtol=1e-4
    )


def test_both_of_ones_own():
    X, y, _ = data("regression", "one")
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 16, "max_iter": 5}
    model = make("regression", OwnHuber(0.7), OwnMomentum(0.8), **settings).fit(X, y)
    expected = make("regression", Huber(delta=0.7), Momentum(0.8), **settings).fit(X, y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-10)


def test_a_schedule_of_ones_own():
    X, y, _ = data("regression", "one")
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 16, "max_iter": 5}
    model = make("regression", **settings).set_params(schedule=OwnSchedule()).fit(X, y)
    expected = make("regression", **settings)
    expected.set_params(schedule=schedules.InverseScaling(power=1.0)).fit(X, y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-12)


def test_models_of_ones_own_components_are_copied():
    X, y, _ = data("regression", "one")
    model = make("regression", OwnHuber(0.7), OwnMomentum(0.8), warm_start=True)
    model.set_params(schedule=OwnSchedule(), precondition=False, learning_rate=1e-3, tol=0)
    model.set_params(max_iter=5).fit(X, y)
    copied = pickle.loads(pickle.dumps(model))
    assert copied.loss.width == 0.7 and copied.optimizer.mu == 0.8
    assert_array_equal(copied.predict(X), model.predict(X))
    assert same_model(copied.fit(X, y), model.fit(X, y))
    assert clone(model).loss.width == 0.7


def test_ones_own_components_are_searched():
    X, y, _ = data("regression", "one")
    grid = {"loss__width": [0.3, 3.0], "optimizer__mu": [0.5, 0.9]}
    model = make("regression", OwnHuber(), OwnMomentum(), max_iter=100)
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_.loss.width in (0.3, 3.0)
    assert (model.loss.width, model.optimizer.mu) == (1.0, 0.9)


class Broken(RegressionLoss):
    def loss_gradient(self, y, raw):
        raise ZeroDivisionError("the user's own mistake")


class WrongShape(RegressionLoss):
    def loss_gradient(self, y, raw):
        return np.zeros(len(y) + 1), np.zeros(len(y) + 1)


class BrokenStep(Optimizer):
    def step(self, parameters, gradient, state, t, learning_rate):
        raise ZeroDivisionError("the user's own mistake")


class NotANumber(RegressionLoss):
    def loss_gradient(self, y, raw):
        return np.full(len(y), np.nan), np.zeros(len(y))


@pytest.mark.parametrize("settings", [{}, TEXTBOOK | {"learning_rate": 0.1}], ids=str)
def test_errors_in_ones_own_code_are_raised(settings):
    X, y, _ = data("regression", "one")
    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        GradientRegressor(Broken(), **settings).fit(X, y)
    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        GradientRegressor(optimizer=BrokenStep(), **settings).fit(X, y)
    with pytest.raises(ValueError):
        GradientRegressor(WrongShape(), **settings).fit(X, y)
    with pytest.raises(ValueError, match=r"NotANumber.loss_gradient returned NaN"):
        GradientRegressor(NotANumber(), **settings).fit(X, y)


class Nothing(RegressionLoss):
    pass


class NoStep(Optimizer):
    pass


def test_a_component_without_its_method_says_so():
    X, y, _ = data("regression", "one")
    with pytest.raises(NotImplementedError, match=r"Nothing must override loss_gradient\(\)"):
        GradientRegressor(Nothing()).fit(X, y)
    with pytest.raises(NotImplementedError, match=r"NoStep must override step\(\)"):
        GradientRegressor(optimizer=NoStep()).fit(X, y)


def test_ones_own_losses_belong_to_a_task():
    X, y, _ = data("regression", "one")
    with pytest.raises(ValueError, match="not a classification loss"):
        GradientClassifier(OwnHuber()).fit(X, y > 0)
    with pytest.raises(ValueError, match="not a regression loss"):
        GradientRegressor(OwnHinge()).fit(X, y)
    assert not hasattr(GradientClassifier(OwnLogLoss()), "predict_proba")
