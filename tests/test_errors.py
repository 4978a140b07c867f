"""Bad input is a clear error before any work, and a failed call changes nothing."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from catalogue import (
    COVER,
    ESTIMATORS,
    PAIRS,
    POSITIVE_TARGETS,
    STEPPING,
    TEXTBOOK,
    TRIPLES,
    combine,
    make,
    make_data,
    optimizer_of,
    settable,
    spellings,
    takes,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_lossopt import (
    DivergenceError,
    GradientClassifier,
    GradientRegressor,
    losses,
    optimizers,
    schedules,
)
from sklearn_lossopt.losses import (
    EpsilonInsensitive,
    Huber,
    LogLoss,
    Quantile,
    SquaredEpsilonInsensitive,
    Tweedie,
)
from sklearn_lossopt.optimizers import (
    LBFGS,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    Averaged,
    Lion,
    Momentum,
    NAdam,
    RAdam,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from sklearn_lossopt.schedules import (
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    Plateau,
    WarmUp,
)

each_task = pytest.mark.parametrize("task", ESTIMATORS)


def spoil(array, position, value):
    array = np.array(array, dtype=float)
    array[position] = value
    return array


# Data ---------------------------------------------------------------------------------------------


@each_task
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_x_must_be_finite(task, value, dtype):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        make(task).fit(spoil(X, (7, 2), value).astype(dtype), y)


@each_task
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_y_must_be_finite(task, value):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=r"Input y contains (NaN|infinity)"):
        make(task).fit(X, spoil(y, 7, value))


def test_y_must_be_finite_in_float32():
    X, y = make_data("regression")
    with pytest.raises(ValueError, match="y is too large for float32"):
        GradientRegressor().fit(X.astype(np.float32), spoil(y, 3, 1e39))


SHAPES = {
    "X of one dimension": (lambda X, y: (X[:, 0], y), "Expected 2D array"),
    "X of three dimensions": (lambda X, y: (X[:, :, None], y), "dim 3"),
    "X without rows": (lambda X, y: (X[:0], y[:0]), "0 sample"),
    "X without features": (lambda X, y: (X[:, :0], y), r"0 feature\(s\)"),
    "y too short": (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    "y missing": (lambda X, y: (X, None), "y.*None"),
    "y of three dimensions": (lambda X, y: (X, y[:, None, None]), r"dim 3|shape \(60, 1, 1\)"),
    "X sparse, without rows": (lambda X, y: (sparse.csr_array(X[:0]), y[:0]), "0 sample"),
    "X of strings": (lambda X, y: (X.astype(str).astype(object) + "a", y), "could not convert"),
    "X complex": (lambda X, y: (X + 1j, y), "Complex data not supported"),
}


@each_task
@pytest.mark.parametrize("case", SHAPES)
def test_shapes_must_agree(task, case):
    change, message = SHAPES[case]
    with pytest.raises((ValueError, TypeError), match=message):
        make(task).fit(*change(*make_data(task)))


def test_labels_have_one_dimension():
    X, y = make_data("classification")
    with pytest.raises(ValueError, match="1d array"):
        GradientClassifier().fit(X, np.column_stack([y, y]))


def test_labels_are_not_continuous():
    X, y = make_data("regression")
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        GradientClassifier().fit(X, y)


def test_targets_are_numbers():
    X, y = make_data("classification")
    with pytest.raises(ValueError, match="could not convert string to float"):
        GradientRegressor().fit(X, np.array(["a", "b"])[y])


@pytest.mark.parametrize("weight", [None, [1, 1, 0] * 20], ids=["in y", "of positive weight"])
def test_two_classes_are_needed(weight):
    X, _ = make_data("classification")
    y = np.full(60, "yes", dtype=object)
    y[[] if weight is None else [2, 5]] = "no"
    with pytest.raises(ValueError, match=r"one class only, 'yes'.*at least two classes"):
        GradientClassifier().fit(X, y, sample_weight=weight)


BAD_WEIGHTS = {
    "negative": (spoil(np.ones(60), 3, -1), "Negative values"),
    "zero": (np.zeros(60), "at least one non-zero"),
    "NaN": (spoil(np.ones(60), 3, np.nan), "sample_weight contains NaN"),
    "infinite": (spoil(np.ones(60), 3, np.inf), "sample_weight contains infinity"),
    "too few": (np.ones(59), r"sample_weight.shape == \(59,\), expected \(60,\)"),
    "two-dimensional": (np.ones((60, 1)), "Sample weights must be 1D"),
}


@each_task
@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights_are_checked(task, case):
    weight, message = BAD_WEIGHTS[case]
    X, y = make_data(task)
    with pytest.raises(ValueError, match=message):
        make(task).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    "class_weight", [{0: -1, 1: 1}, {0: np.nan, 1: 1}, {0: np.inf, 1: 1}, {0: 0, 1: 0}], ids=str
)
def test_class_weights_are_checked(class_weight):
    X, y = make_data("classification")
    with pytest.raises(ValueError, match=r"class_weight=.* must hold finite numbers"):
        GradientClassifier(class_weight=class_weight).fit(X, y)


def test_class_weights_name_classes():
    X, y = make_data("classification")
    with pytest.raises(ValueError, match="not in class_weight"):
        GradientClassifier(class_weight={"no": 1, "yes": 2}).fit(X, y)


def test_class_weights_of_a_class_whose_rows_weigh_nothing():
    X, y = make_data("classification", n_targets=2)
    weight, used = (y != 2) * 1.0, y != 2
    words = r"class_weight=\{0: 3, 2: 5\} names 2, .* sample_weight is above 0, while 1 are not"
    with pytest.raises(ValueError, match=words):
        GradientClassifier(class_weight={0: 3, 2: 5}).fit(X, y, sample_weight=weight)
    for given in ({0: 3, 1: 1, 2: 5}, {0: 3}, "balanced"):
        model = GradientClassifier(class_weight=given, random_state=0)
        whole = clone(model).fit(X, y, sample_weight=weight)
        part = clone(model).fit(X[used], y[used])
        assert_allclose(whole.coef_, part.coef_, rtol=1e-5)


@each_task
def test_the_number_of_features_is_that_of_fit(task):
    X, y = make_data(task)
    model = make(task).fit(X, y)
    with pytest.raises(ValueError, match=r"3 features, but Gradient.* is expecting 4"):
        model.predict(X[:, :3])
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(spoil(X, (0, 0), np.nan))
    with pytest.raises(ValueError, match="3 features"):
        model.predict(sparse.csr_array(X[:, :3]))


@each_task
def test_the_names_of_features_are_those_of_fit(task):
    X, y = make_data(task)
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make(task).fit(frame, y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("dcba")])


@each_task
def test_nothing_can_be_predicted_before_fit(task):
    X, _ = make_data(task)
    with pytest.raises(NotFittedError):
        make(task).predict(X)


DOMAINS = {
    "poisson": ([-0.5], "y at least 0"),
    "gamma": ([-0.5, 0.0], "y greater than 0"),
    "tweedie": ([-0.5], "y at least 0 with power=1.5"),
    Tweedie(power=2.0): ([-0.5, 0.0], "y greater than 0 with power=2.0"),
    Tweedie(power=3): ([-0.5, 0.0], "y greater than 0 with power=3"),
}


@pytest.mark.parametrize("loss", DOMAINS, ids=str)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_targets_are_in_the_domain_of_the_loss(loss, n_targets):
    values, domain = DOMAINS[loss]
    X, y = make_data("regression", "gamma", n_targets=n_targets)
    for value in values:
        y.flat[17] = value
        with pytest.raises(ValueError, match=f"y holds {value:g}, but loss=.* needs {domain}"):
            GradientRegressor(loss).fit(X, y)
    # A row of weight 0 is no part of the data.
    weight = np.ones(len(X))
    weight[17 // n_targets] = 0
    GradientRegressor(loss).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("loss", ["poisson", "tweedie"])
def test_some_target_is_positive(loss):
    X, y = make_data("regression", loss)
    with pytest.raises(ValueError, match="positive sum of y"):
        GradientRegressor(loss).fit(X, np.zeros(len(y)))


def test_the_losses_with_a_domain_are_in_the_catalogue():
    refusing = {
        loss
        for loss in losses.registry()
        if takes("regression", loss)
        and GradientRegressor(loss).__sklearn_tags__().target_tags.positive_only
    }
    assert refusing == POSITIVE_TARGETS


# Parameters ---------------------------------------------------------------------------------------

OUT_OF_RANGE = {
    "hidden_layer_sizes": [0, -3, 2.5, "wide", None],
    "activation": ["sigmoid", 3, None],
    "dropout": [-0.1, 1, np.nan, "some", None],
    "weight_decay": [-0.1, np.nan, np.inf, "some", None],
    "alpha": [-1e-9, np.nan, np.inf, "strong", None],
    "l1_ratio": [-0.1, 1.1, np.nan, "half", None],
    "fit_intercept": ["yes", 2, None],
    "learning_rate": [0, -0.1, np.nan, np.inf, "fast", None],
    "batch_size": [0, -1, 2.5, "all", None],
    "max_iter": [0, -3, 2.5, np.inf, None],
    "tol": [-1e-9, np.nan, np.inf, None],
    "n_iter_no_change": [0, 1.5, None],
    "n_members": [0, -1, 1.5, "2", None],
    "early_stopping": ["auto", 2, None],
    "validation_fraction": [0, 1, 1.5, -0.1, np.nan, "tenth", None],
    "scoring": [3, ["r2"], {"r2": "r2"}],
    "precondition": [True, "full", 0, None],
    "shuffle": ["yes", 2, None],
    "warm_start": ["yes", 2, None],
    "random_state": [-1, 1.5, "seed"],
    "verbose": [-1, "loud", None],
    "class_weight": ["even", 2.0, [1, 1]],
}


def test_every_parameter_has_a_range():
    parameters = set(GradientClassifier().get_params(deep=False))
    assert parameters == OUT_OF_RANGE.keys() | {"loss", "optimizer", "schedule"}


@pytest.mark.parametrize(
    "task, name, value",
    [
        (task, name, value)
        for task, estimator in ESTIMATORS.items()
        for name, values in OUT_OF_RANGE.items()
        for value in values
        if name in estimator().get_params(deep=False)
    ],
)
def test_a_parameter_out_of_range_is_named(task, name, value):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Gradient") as caught:
        make(task).set_params(**{name: value}).fit(X, y)
    assert f"Got {value!r}" in str(caught.value)


UNIT = [-0.1, 1.0, np.nan, "much"]
POSITIVE = [0.0, -1.0, np.nan, np.inf]
NOT_NEGATIVE = [-1e-9, np.nan, np.inf]
FACTOR = [-0.1, 1.1, np.nan]
COUNT = [-1, 0.5, np.nan, "many"]
SWITCH = ["yes", None]
ADAM = {"beta_1": UNIT, "beta_2": UNIT, "epsilon": POSITIVE}
COMPONENTS_OUT_OF_RANGE = {
    "loss": {
        EpsilonInsensitive: {"epsilon": NOT_NEGATIVE},
        Huber: {"delta": POSITIVE},
        Quantile: {"quantile": [0.0, 1.0, np.nan]},
        SquaredEpsilonInsensitive: {"epsilon": NOT_NEGATIVE},
        Tweedie: {"power": [0.5, np.nan, np.inf]},
    },
    "optimizer": {
        Adadelta: {"rho": UNIT, "epsilon": POSITIVE},
        Adagrad: {"epsilon": POSITIVE, "initial_accumulator_value": NOT_NEGATIVE},
        Adam: ADAM | {"amsgrad": SWITCH},
        Adamax: ADAM,
        AdamW: ADAM | {"weight_decay": NOT_NEGATIVE, "amsgrad": SWITCH},
        AMSGrad: ADAM,
        # Its 'optimizer' is resolved as an estimator's is: the tests below.
        Averaged: {"optimizer": [], "start": COUNT, "power": NOT_NEGATIVE},
        LBFGS: {"memory": [0, *COUNT]},
        Lion: {"beta_1": UNIT, "beta_2": UNIT, "weight_decay": NOT_NEGATIVE},
        Momentum: {"momentum": UNIT, "nesterov": SWITCH},
        NAdam: ADAM | {"momentum_decay": NOT_NEGATIVE},
        RAdam: ADAM,
        RMSprop: {"rho": UNIT, "epsilon": POSITIVE, "momentum": UNIT, "centered": SWITCH},
        ScheduleFreeAdamW: ADAM
        | {"weight_decay": NOT_NEGATIVE, "warmup_steps": COUNT, "r": NOT_NEGATIVE},
        ScheduleFreeSGD: {"momentum": UNIT, "warmup_steps": COUNT, "r": NOT_NEGATIVE},
    },
    "schedule": {
        InverseScaling: {"power": NOT_NEGATIVE},
        Exponential: {"decay": [0.0, 1.1, np.nan]},
        Cosine: {"floor": FACTOR},
        OneCycle: {"warm_up": [0.0, 1.0], "start": FACTOR, "floor": FACTOR},
        Plateau: {
            "factor": [0.0, 1.0, np.nan],
            "patience": [-1, 1.5, None],
            "threshold": [-0.1, 1.0, np.nan],
            "floor": FACTOR,
        },
        WarmUp: {"then": [None, 3, Adam()], "epochs": [0, 2.5, None], "start": FACTOR},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "family, module", [("loss", losses), ("optimizer", optimizers), ("schedule", schedules)]
)
def test_every_component_parameter_has_a_range(family, module):
    table = COMPONENTS_OUT_OF_RANGE[family]
    for component in module.registry().values():
        assert set(component().get_params()) == set(table.get(component, {})), component


@pytest.mark.parametrize(
    "family, component, name, value",
    [
        pytest.param(family, component, name, value, id=f"{component.__name__}-{name}-{value}")
        for family, table in COMPONENTS_OUT_OF_RANGE.items()
        for component, parameters in table.items()
        for name, values in parameters.items()
        for value in values
    ],
)
def test_a_component_parameter_out_of_range_is_named(family, component, name, value):
    X, y = make_data("regression")
    model = GradientRegressor(**{family: component(**{name: value})})
    message = f"The '{name}' parameter of {component.__name__} must be"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


FULL_BATCH = [
    spelling for spelling, name in spellings(optimizers).items() if not settable(name, batch_size=1)
]
FAMILIES = {"loss": losses, "optimizer": optimizers, "schedule": schedules}


@each_task
@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_name_lists_the_known_ones(task, family):
    X, y = make_data(task)
    for wrong in ("nonsense", next(iter(FAMILIES[family].registry())).upper(), ""):
        with pytest.raises(ValueError, match=f"Unknown {family} {wrong!r}") as caught:
            make(task).set_params(**{family: wrong}).fit(X, y)
        for known in spellings(FAMILIES[family]):
            found = FAMILIES[family].Loss.resolve(known) if family == "loss" else None
            listed = found is None or getattr(found, task)
            assert (f" {known!r}" in str(caught.value)) == listed


@pytest.mark.parametrize(
    "family, wrong, right",
    [("loss", "hubr", "huber"), ("loss", "Poisson", "poisson"), ("optimizer", "adma", "adam"),
     ("schedule", "cosin", "cosine")],
)  # fmt: skip
def test_a_misspelt_name_suggests_the_nearest(family, wrong, right):
    X, y = make_data("regression")
    with pytest.raises(ValueError, match=f"Unknown {family} '{wrong}'. Did you mean '{right}'?"):
        GradientRegressor(**{family: wrong}).fit(X, y)


def test_parameters_of_the_automatic_schedule_cannot_be_set():
    with pytest.raises(ValueError, match="'schedule__rate' cannot be set with schedule='auto'"):
        GradientRegressor().set_params(schedule__rate=0.1)
    with pytest.raises(TypeError, match="schedule=None must be a string or an instance"):
        GradientRegressor(schedule=None).set_params(schedule__rate=0.1)
    assert (
        GradientRegressor().set_params(schedule="exponential", schedule__decay=0.5).schedule.decay
    )


def test_an_unknown_schedule_lists_auto():
    X, y = make_data("regression")
    with pytest.raises(ValueError, match="'auto'"):
        GradientRegressor(schedule="nonsense").fit(X, y)


@each_task
@pytest.mark.parametrize("family", FAMILIES)
def test_a_component_is_an_instance(task, family):
    X, y = make_data(task)
    for component in FAMILIES[family].registry().values():
        with pytest.raises(TypeError, match=re.escape(f"Did you mean {component.__name__}()?")):
            make(task).set_params(**{family: component}).fit(X, y)


@each_task
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("value", [None, 3, ["adam"], np.ones(2)], ids=repr)
def test_a_component_is_a_string_or_an_object(task, family, value):
    X, y = make_data(task)
    with pytest.raises(TypeError, match=f"{family}=.* must be a string or an instance of"):
        make(task).set_params(**{family: value}).fit(X, y)


def test_a_component_of_another_family_is_refused():
    X, y = make_data("regression")
    with pytest.raises(TypeError, match=r"optimizer=Huber\(\) must be .* Optimizer"):
        GradientRegressor(optimizer=Huber()).fit(X, y)
    with pytest.raises(TypeError, match=r"loss=Adam\(\) must be .* Loss"):
        GradientRegressor(loss=Adam()).fit(X, y)


@each_task
def test_a_loss_of_the_other_task_is_refused(task):
    X, y = make_data(task)
    other = GradientClassifier if task == "regression" else GradientRegressor
    refused = [loss for loss in spellings(losses) if not takes(task, loss)]
    objects = [losses.registry()[spellings(losses)[loss]]() for loss in refused]
    for loss in [*refused, *objects]:
        message = f"is not a {task} loss.*{other.__name__}"
        with pytest.raises(ValueError, match=message) as caught:
            make(task).set_params(loss=loss).fit(X, y)
        for known in spellings(losses):
            assert (repr(known) in str(caught.value).split(" takes ")[1]) == takes(task, known)


def test_each_task_refuses_what_the_design_says():
    assert not takes("regression", "log_loss") and not takes("regression", "hinge")
    assert takes("classification", "squared_error") and takes("classification", "huber")


@each_task
@pytest.mark.parametrize("batch_size", [1, 32, 10**6])
@pytest.mark.parametrize("optimizer", FULL_BATCH)
def test_the_full_batch_takes_no_batch_size(task, batch_size, optimizer):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=f"batch_size={batch_size} cannot be set .*{optimizer}"):
        make(task, optimizer=optimizer, batch_size=batch_size).fit(X, y)


WITHOUT_STEPS = [name for name in spellings(optimizers) if not settable(name, learning_rate=1.0)]
NEEDS_SMOOTH = [name for name in spellings(optimizers) if optimizer_of(name).needs_smooth]


@each_task
@pytest.mark.parametrize("optimizer", WITHOUT_STEPS)
@pytest.mark.parametrize("name, value", [("learning_rate", 0.1), ("schedule", "constant"),
                                         ("schedule", OneCycle())])  # fmt: skip
def test_a_line_search_takes_no_steps_from_outside(task, optimizer, name, value):
    X, y = make_data(task)
    message = rf"{name}={re.escape(repr(value))} cannot be set with optimizer='{optimizer}'.*'auto'"
    with pytest.raises(ValueError, match=message):
        make(task, optimizer=optimizer).set_params(**{name: value}).fit(X, y)


@pytest.mark.parametrize("optimizer", NEEDS_SMOOTH)
@pytest.mark.parametrize("task, loss", PAIRS)
def test_an_optimizer_for_smooth_objectives_refuses_kinks(task, loss, optimizer):
    X, y = make_data(task, loss)
    if combine(loss, optimizer):
        message = f"optimizer='{optimizer}' needs a penalty.*l1_ratio=0.5 with loss='{loss}'.*=0,"
        with pytest.raises(ValueError, match=message):
            make(task, loss, optimizer, l1_ratio=0.5).fit(X, y)
        # Without a strength there is no kink.
        make(task, loss, optimizer, l1_ratio=0.5, alpha=0, max_iter=1, tol=0).fit(X, y)
        return
    with pytest.raises(ValueError, match=f"optimizer='{optimizer}' .* loss='{loss}'") as caught:
        make(task, loss, optimizer).fit(X, y)
    offered = str(caught.value).split("losses ")[1]
    for known in losses.registry():
        assert (repr(known) in offered) == (takes(task, known) and combine(known, optimizer))


@each_task
def test_what_cannot_be_averaged_is_named(task):
    X, y = make_data(task)
    for inner in ("averaged", "schedule_free", "lbfgs", LBFGS()):
        message = f"'optimizer' parameter of Averaged cannot be {re.escape(repr(inner))}"
        with pytest.raises(ValueError, match=message):
            make(task, optimizer=Averaged(inner)).fit(X, y)
    with pytest.raises(ValueError, match="Unknown optimizer 'nonsense'"):
        make(task, optimizer=Averaged("nonsense")).fit(X, y)
    with pytest.raises(TypeError, match="optimizer=3 must be a string or an instance"):
        make(task, optimizer=Averaged(3)).fit(X, y)
    with pytest.raises(ValueError, match="The 'beta_1' parameter of Adam must be"):
        make(task, optimizer=Averaged(Adam(beta_1=2.0))).fit(X, y)


@each_task
def test_a_nested_name_must_exist(task):
    with pytest.raises(ValueError, match=r"Invalid parameter 'beta_1' for estimator SGD\(\)"):
        make(task, optimizer="sgd").set_params(optimizer__beta_1=0.5)
    with pytest.raises(ValueError, match="Invalid parameter 'alpha_2'"):
        make(task).set_params(alpha_2=0.5)
    with pytest.raises(ValueError, match="Unknown optimizer 'nonsense'"):
        make(task).set_params(optimizer="nonsense", optimizer__beta_1=0.5)


# Divergence, and what a failed call leaves --------------------------------------------------------


@pytest.mark.parametrize(
    "task, loss, optimizer, dtype, batch_size",
    [(*case, "float64", 16) for case in TRIPLES if case[2] in STEPPING]
    + [
        (*case, dtype, batch_size)
        for case in COVER
        if case[2] in STEPPING
        for dtype, batch_size in [("float32", 16), ("float64", 1), ("float64", 100)]
    ],
)
def test_divergence_is_an_error(task, loss, optimizer, dtype, batch_size):
    """Every run at an absurd rate ends in the error; none in a model, none in a NaN."""
    X, y = make_data(task, loss)
    settings = settable(optimizer, batch_size=batch_size, **TEXTBOOK | {"tol": 0.01})
    model = make(task, loss, optimizer, learning_rate=1e12, max_iter=30, **settings)
    if optimizer in TO_AND_FRO:
        assert_diverges_or_returns(model, X.astype(dtype), y)
        return
    with pytest.raises(DivergenceError) as caught:
        model.fit(X.astype(dtype), y)
    message = str(caught.value)
    number = r"(nan|-?inf|\d\S*)"
    assert re.search(rf"was {number} after epoch \d+ \({number} at the start\)", message)
    assert "learning_rate=1e+12" in message
    assert "smaller learning_rate" in message
    assert not hasattr(model, "coef_")


# Steps of one size, forth and back again, may end where they started.
TO_AND_FRO = {"lion"}


def assert_diverges_or_returns(model, X, y):
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            model.fit(X, y)
        except DivergenceError:
            return
    assert model.loss_curve_[-1] <= 10 * model.loss_curve_[0] or model.loss_curve_[-1] < 100
    assert not model.converged_


@pytest.mark.parametrize("tol", [0, 1e-4])
@pytest.mark.parametrize("factor", [2.5, 10.0, 1e3])
@pytest.mark.parametrize("precondition", [False, "scale", "whiten"])
def test_gradient_descent_past_its_stable_step_diverges(precondition, factor, tol):
    """Two over the curvature is where a quadratic starts to grow: slowly at 2.5, fast at 1000."""
    X, y = make_data("regression")
    model = make(
        "regression", optimizer="gradient_descent", precondition=precondition, alpha=0,
        schedule="constant", tol=tol, max_iter=300, n_iter_no_change=300,
    )  # fmt: skip
    if precondition is False:
        design = np.column_stack([X, np.ones(len(X))])
        curvature = np.linalg.eigvalsh(design.T @ design / len(X))[-1]
    else:
        curvature = 1.0
    with pytest.raises(DivergenceError):
        model.set_params(learning_rate=factor / curvature).fit(X, y)


def test_divergence_is_a_value_error():
    assert issubclass(DivergenceError, ValueError)


def state(model):
    """Everything that an estimator holds, fitted attributes included."""
    return {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in vars(model).items()
    }


def assert_unchanged(model, before):
    now = vars(model)
    assert now.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            assert_array_equal(now[name], value, err_msg=name)
        else:
            assert now[name] is value, name


FAILURES = {
    "diverging": {"learning_rate": 1e12, "schedule": "constant", "precondition": False},
    "out of range": {"alpha": -1.0},
    "unknown": {"loss": "nonsense"},
}


@each_task
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_fit_leaves_the_old_model(task, failure, warm_start):
    X, y = make_data(task)
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make(task, precondition=False, warm_start=warm_start, max_iter=20, learning_rate=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(frame, y)
    expected = model.predict(frame)
    wider, y_wider = make_data(task, d=7, n_targets=2)
    model.set_params(**FAILURES[failure])
    for other, target in [(wider, y_wider), (X, y), (frame, y)]:
        before = state(model)
        with pytest.raises(ValueError):
            model.fit(other, target)
        assert_unchanged(model, before)
    assert_array_equal(model.predict(frame), expected)


BAD_DATA = {
    "NaN in y": lambda X, y: (X, spoil(y, 0, np.nan), None),
    "NaN in X": lambda X, y: (spoil(X, (0, 0), np.nan), y, None),
    "zero weights": lambda X, y: (X, y, np.zeros(len(X))),
    "negative weights": lambda X, y: (X, y, -np.ones(len(X))),
    "lengths": lambda X, y: (X, y[1:], None),
}


@each_task
@pytest.mark.parametrize("case", [*BAD_DATA, "one class"])
def test_bad_data_leaves_the_old_model(task, case):
    X, y = make_data(task)
    model = make(task).fit(X, y)
    wider, y_wider = make_data(task, d=7)
    if case == "one class":
        if task == "regression":
            model, task = GradientClassifier().fit(X, y > 0), "classification"
        bad = wider, np.ones(len(wider)), None
    else:
        bad = BAD_DATA[case](wider, y_wider)
    before = state(model)
    with pytest.raises(ValueError):
        model.fit(*bad)
    assert_unchanged(model, before)


@each_task
def test_a_failed_first_fit_leaves_nothing(task):
    X, y = make_data(task)
    model = make(task, **FAILURES["diverging"])
    before = state(model)
    with pytest.raises(DivergenceError):
        model.fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert_unchanged(model, before)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_warning_turned_into_an_error_leaves_the_old_model():
    X, y = make_data("classification")
    model = make("classification").fit(X, y)
    before = state(model.set_params(max_iter=1, precondition=False, tol=1e-9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(X[:, :2], y)
    assert_unchanged(model, before)


@pytest.mark.parametrize("searched", [False, True])
def test_a_warning_points_at_the_users_line(searched):
    model = make("regression", max_iter=1, precondition=False, tol=1e-9)
    if searched:
        model = GridSearchCV(make_pipeline(model), {}, cv=2)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(*make_data("regression"))
    assert {warning.filename for warning in caught} == {__file__}


def test_no_probabilities_without_a_loss_that_defines_them():
    for loss in [loss for task, loss in PAIRS if task == "classification"]:
        model = GradientClassifier(loss)
        defined = losses.registry()[spellings(losses)[loss]].has_proba
        assert hasattr(model, "predict_proba") == hasattr(model, "predict_log_proba") == defined
        if not defined:
            with pytest.raises(AttributeError) as caught:
                model.predict_proba(np.zeros((1, 1)))
            assert "log_loss" in str(caught.value.__cause__)
    assert not hasattr(GradientClassifier("nonsense"), "predict_proba")
    assert hasattr(GradientClassifier(LogLoss()), "predict_proba")
