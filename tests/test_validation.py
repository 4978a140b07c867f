"""Early stopping: what is set aside, what is measured, when it ends and what is returned."""

import functools
import re
import tracemalloc
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from catalogue import (
    COVER,
    ESTIMATORS,
    STEPPING,
    TEXTBOOK,
    make,
    make_data,
    same_model,
    settable,
)
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses
from sklearn_lossopt._estimators.validation_split import _keys, set_aside
from sklearn_lossopt.losses import Huber
from sklearn_lossopt.schedules import Plateau

each_task = pytest.mark.parametrize("task", ESTIMATORS)
quietly = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CONSTANT = {"schedule": "constant", "learning_rate": 0.05, "batch_size": 16}


def parts(task, loss=None, n=240, seed=1, **options):
    """Rows to train on and rows to validate with."""
    X, y = make_data(task, loss, n=n, seed=seed, **options)
    return X[: 2 * n // 3], y[: 2 * n // 3], X[2 * n // 3 :], y[2 * n // 3 :]


def held_out(model, X, y, weight=None):
    """The rows that a fit of a model trains on, and those it sets aside."""
    code = np.searchsorted(np.unique(y), y) if hasattr(model, "class_weight") else None
    return set_aside(X, code, weight, None, model.validation_fraction, model.random_state)


# What is set aside --------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.37, 0.9])
def test_a_share_of_every_class_is_set_aside(fraction):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3))
    code = np.repeat([0.0, 1.0, 2.0], [700, 250, 50])
    rows = np.flatnonzero(rng.random(1000) < 0.8).astype(np.uint32)
    for used in (None, rows):
        train, held = set_aside(X, code, None, used, fraction, 0)
        chosen = np.arange(1000) if used is None else used
        assert_array_equal(np.sort(np.append(train, held)), chosen)
        assert train.dtype == held.dtype == np.uint32
        for label in range(3):
            size = np.sum(code[chosen] == label)
            assert abs(np.sum(code[held] == label) - fraction * size) <= 0.5
    train, held = set_aside(X, None, None, None, fraction, 0)
    assert abs(len(held) - 1000 * fraction) <= 0.5
    others = [set_aside(X, None, None, None, fraction, seed)[1] for seed in range(1, 6)]
    assert len({tuple(other) for other in [held, *others]}) == 6
    # Another seed makes an independent choice.
    both = np.mean([len(np.intersect1d(held, other)) for other in others])
    assert abs(both / 1000 - fraction**2) < 0.05


@pytest.mark.parametrize("n_classes", [1, 3, 200, 5000])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_each_class_the_first_rows_are_chosen_that_have_the_share(n_classes, weighted):
    rng = np.random.default_rng(n_classes)
    n = 12_000
    X = rng.normal(size=(n, 2))[rng.integers(0, n // 2, n)]
    code = rng.integers(0, n_classes, n) * 1.0
    weight = rng.uniform(0, 5, n) ** 3 if weighted else None
    mass = np.ones(n) if weight is None else weight
    _, held = set_aside(X, code, weight, None, 0.3, 1)
    key = _keys(X, None, np.random.default_rng(1))
    expected = []
    for label in range(n_classes):
        below, wanted = 0.0, 0.3 * mass[code == label].sum()
        groups = np.unique(key[code == label])
        for place, group in enumerate(groups):
            rows = np.flatnonzero((code == label) & (key == group))
            within = below + 0.5 * mass[rows].sum() < wanted
            below += mass[rows].sum()
            if (within or place == 0) and place < len(groups) - 1:
                expected.extend(rows)
    assert_array_equal(held, np.sort(expected))


def test_the_choice_is_that_of_the_rows_whatever_their_order():
    rng = np.random.default_rng(0)
    X, code = rng.normal(size=(300, 40)), rng.integers(0, 3, 300) * 1.0
    X[:, :30] = X[:, :30] > 1.5  # told apart by all columns alone
    X[7] = -0.0 * X[8]
    order = rng.permutation(300)
    held = set_aside(X, code, None, None, 0.2, 3)[1]
    moved = set_aside(X[order], code[order], None, None, 0.2, 3)[1]
    assert set(order[moved]) == set(held)
    for same in (X.astype(">f8").astype(float), np.where(X == 0, -0.0, X), np.asfortranarray(X)):
        assert_array_equal(set_aside(same, code, None, None, 0.2, 3)[1], held)


def test_sparse_rows_are_chosen_as_dense_ones_are():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40)) * (rng.random((300, 40)) < 0.1)
    rows = np.flatnonzero(rng.random(300) < 0.8).astype(np.uint32)
    stored = sparse.csr_array(X)
    stored.data[::7] = 0.0  # explicit ones
    for used in (None, rows):
        expected = set_aside(stored.toarray(), None, None, used, 0.3, 0)
        for got, part in zip(set_aside(stored, None, None, used, 0.3, 0), expected, strict=True):
            assert_array_equal(got, part)


@quietly
@each_task
@pytest.mark.parametrize("settings", [CONSTANT, {}], ids=["constant", "auto"])
@pytest.mark.parametrize("scoring", ["loss", None])
def test_sparse_and_dense_validation_data_are_the_same(task, settings, scoring):
    X, y, X_val, y_val = parts(task)
    X, X_val = np.where(X < 0.5, 0, X), np.where(X_val < 0.5, 0, X_val)
    model = make(task, scoring=scoring, early_stopping=True, max_iter=20, **settings)
    for rows, others in [
        (X, [sparse.csr_array(X_val), sparse.coo_array(X_val)]),
        (sparse.csr_array(X), [sparse.csc_array(X_val), sparse.coo_matrix(X_val)]),
    ]:
        expected = model.fit(rows, y, X_val=X_val, y_val=y_val).validation_curve_
        for other in others:
            curve = clone(model).fit(rows, y, X_val=other, y_val=y_val).validation_curve_
            assert_allclose(curve, expected, rtol=1e-9)
    # Rows set aside of sparse X: those that would be passed.
    model.fit(sparse.csr_array(X), y)
    train, held = held_out(model, X, y)
    explicit = clone(model).fit(sparse.csr_array(X[train]), y[train], X_val=X[held], y_val=y[held])
    assert_allclose(model.validation_curve_, explicit.validation_curve_, rtol=1e-9)


def test_whole_weights_are_repeated_rows():
    rng = np.random.default_rng(0)
    X, code = rng.normal(size=(200, 20)), rng.integers(0, 2, 200) * 1.0
    X[:, ::2] = 0
    weight = rng.integers(1, 5, 200)
    source = np.arange(200).repeat(weight)
    for labels in (None, code):
        repeated = None if labels is None else labels[source]
        train, held = set_aside(X, labels, weight.astype(float), None, 0.3, 0)
        train_2, held_2 = set_aside(X[source], repeated, None, None, 0.3, 0)
        assert set(source[held_2]) == set(held) and set(source[train_2]) == set(train)


def test_equal_rows_are_parted_where_all_have_many_copies():
    X = np.arange(4.0)[np.arange(4000) % 4][:, None]
    train, held = set_aside(X, None, None, None, 0.1, 0)
    assert len(held) == 400
    assert (np.bincount(X[held, 0].astype(int)) > 60).all()
    few = np.arange(400.0)[np.arange(4000) % 400][:, None]
    train, held = set_aside(few, None, None, None, 0.1, 0)
    assert len(held) == 400 and not set(few[held, 0]) & set(few[train, 0])


def test_a_small_class_is_in_both_parts_and_a_single_row_is_trained_on():
    X = np.random.default_rng(0).normal(size=(24, 2))
    code = np.repeat([0.0, 1.0, 2.0, 3.0], [18, 3, 2, 1])
    for fraction in (0.01, 0.1, 0.5, 0.99):
        train, held = set_aside(X, code, None, None, fraction, 0)
        assert set(code[train]) == {0, 1, 2, 3} and set(code[held]) == {0, 1, 2}


# The best epoch comes back ------------------------------------------------------------------------


SETTINGS = {
    "constant": CONSTANT,
    "textbook": TEXTBOOK | {"learning_rate": 1e-2, "batch_size": 7},
    "decaying": {"schedule": "invscaling", "learning_rate": 0.3, "batch_size": 5, "tol": 1e-4},
    "reacting": {"schedule": Plateau(patience=0), "learning_rate": 0.3, "batch_size": 5},
    "auto": {},
    "auto, scaled": {"precondition": "scale", "batch_size": 7},
    "auto, no coordinates": {"precondition": False, "batch_size": 7},
}


@quietly
@each_task
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["set aside", "passed"])
@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_parameters_are_those_of_the_best_epoch(task, settings, kind, n_targets, dtype):
    """A run of only that many epochs ends there."""
    X, y, X_val, y_val = parts(task, n_targets=n_targets)
    X, X_val = X.astype(dtype), X_val.astype(dtype)
    given = {"X_val": X_val, "y_val": y_val} if kind == "passed" else {}
    model = make(
        task, optimizer="momentum", early_stopping=True, n_iter_no_change=3, max_iter=60,
        **SETTINGS[settings],
    ).fit(X, y, **given)  # fmt: skip
    assert model.validation_curve_.shape == model.loss_curve_.shape == (model.n_iter_,)
    assert model.best_iter_ == model.validation_curve_.argmin() + 1
    short = clone(model).set_params(max_iter=model.best_iter_).fit(X, y, **given)
    assert short.n_iter_ == short.best_iter_ == model.best_iter_
    assert_array_equal(short.validation_curve_, model.validation_curve_[: model.best_iter_])
    assert_allclose(short.coef_, model.coef_, rtol=1e-12)
    assert_allclose(short.intercept_, model.intercept_, rtol=1e-12)
    assert_allclose(short.predict(X_val), model.predict(X_val), rtol=1e-12)
    assert model.coef_.dtype == dtype


@quietly
@pytest.mark.parametrize("optimizer", ["averaged", "schedule_free", "lbfgs"])
@pytest.mark.parametrize("settings", ["constant", "textbook"])
def test_the_best_epoch_of_weights_that_training_does_not_move(optimizer, settings):
    X, y, X_val, y_val = parts("regression")
    settings = SETTINGS[settings] if optimizer in STEPPING else {"precondition": False}
    model = make("regression", optimizer=optimizer, early_stopping=True, max_iter=40, **settings)
    model.set_params(n_iter_no_change=3).fit(X, y, X_val=X_val, y_val=y_val + 3 * X_val[:, 0])
    value = measured(model, X_val, y_val + 3 * X_val[:, 0])
    assert_allclose(value, model.validation_curve_.min(), rtol=1e-9)
    short = clone(model).set_params(max_iter=model.best_iter_, early_stopping=False).fit(X, y)
    assert_allclose(short.coef_, model.coef_, rtol=1e-12)
    assert_allclose(short.intercept_, model.intercept_, rtol=1e-12)


@quietly
@pairwise(
    "task, loss, optimizer",
    COVER,
    schedule=[{}, {"schedule": "exponential", "learning_rate": 0.05}],
)
def test_every_loss_and_optimizer_stops_early(task, loss, optimizer, schedule):
    """Rows passed as X_val are treated as those set aside are, with either kind of schedule."""
    X, y = make_data(task, loss, n=150, n_targets=2)
    weight = np.random.default_rng(0).gamma(2, size=len(X))
    settings = settable(optimizer, **schedule)
    model = make(task, loss, optimizer, early_stopping=True, max_iter=30, **settings)
    model.fit(X, y, sample_weight=weight)
    train, held = held_out(model, X, y, weight)
    explicit = clone(model).fit(
        X[train], y[train], weight[train],
        X_val=X[held], y_val=y[held], sample_weight_val=weight[held],
    )  # fmt: skip
    assert same_model(model, explicit)
    assert_allclose(model.validation_curve_, explicit.validation_curve_, rtol=1e-12)
    assert model.best_iter_ == explicit.best_iter_
    assert np.isfinite(model.predict(X)).all()
    value = measured(model, X[held], y[held], weight[held])
    assert_allclose(model.validation_curve_[model.best_iter_ - 1], value, rtol=1e-9, atol=1e-15)


def measured(model, X, y, weight=None):
    """The mean loss by the loss itself, class weights given as a dict included."""
    loss = losses.Loss.resolve(model.loss)
    if hasattr(model, "delta_"):
        loss = Huber(delta=model.delta_)
    raw = X @ model.coef_.T + model.intercept_
    if hasattr(model, "classes_"):
        index = np.searchsorted(model.classes_, y)
        if isinstance(model.class_weight, dict):
            factor = np.array([model.class_weight[label] for label in model.classes_])[index]
            weight = factor if weight is None else factor * weight
        signs = 2.0 * (index[:, None] == np.arange(len(model.classes_))) - 1
        if raw.shape[1] == 1:
            y, raw = signs[:, 1], raw[:, 0]
        else:
            y = index if loss.joint else signs
    return np.average(loss.loss_gradient(y, raw)[0], weights=weight)


@quietly
@each_task
@pytest.mark.parametrize("settings", ["constant", "auto"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_the_curve_is_the_loss_after_each_epoch(task, settings, early_stopping):
    X, y, X_val, y_val = parts(task, n_targets=2)
    weight = np.random.default_rng(0).gamma(2, size=len(X_val))
    weight[::5] = 0
    given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight}
    model = make(task, alpha=0.1, max_iter=7, **SETTINGS[settings])
    if task == "classification":
        model.set_params(class_weight={0: 1.0, 1: 2.0, 2: 0.5})
    stopped = clone(model).set_params(early_stopping=early_stopping).fit(X, y, **given)
    expected = [
        measured(clone(model).set_params(max_iter=k).fit(X, y), X_val, y_val, weight)
        for k in range(1, stopped.n_iter_ + 1)
    ]
    assert_allclose(stopped.validation_curve_, expected, rtol=1e-9)


@each_task
def test_validation_data_alone_are_only_looked_at(task):
    X, y, X_val, y_val = parts(task)
    for settings in ({}, CONSTANT | {"tol": 0, "max_iter": 12}):
        plain = make(task, **settings).fit(X, y)
        watched = make(task, **settings).fit(X, y, X_val=X_val, y_val=y_val)
        assert same_model(plain, watched)
        assert len(watched.validation_curve_) == plain.n_iter_
        assert watched.best_iter_ == watched.validation_curve_.argmin() + 1
        assert not hasattr(plain, "validation_curve_") and not hasattr(plain, "best_iter_")
        assert vars(watched.fit(X, y)).keys() == vars(plain).keys()


@quietly
def test_balanced_classes_are_balanced_by_the_rows_trained_on():
    X, y, X_val, y_val = parts("classification", n_targets=2)
    model = make("classification", class_weight="balanced", **CONSTANT | {"max_iter": 3})
    model.fit(X, y, X_val=X_val, y_val=y_val)
    factor = len(y) / (3 * np.bincount(y))
    value = measured(model.set_params(class_weight=None), X_val, y_val, factor[y_val])
    assert_allclose(model.validation_curve_[-1], value, rtol=1e-9)


# When it ends -------------------------------------------------------------------------------------


def stopping_epoch(costs, moved, tol, patience):
    """The epoch after which no cost has been below the last good one by tol for so long; epochs
    that have not ``moved`` the model do not count."""
    reference, since = costs[0], 0
    for epoch, cost in enumerate(costs[1:], start=2):
        if not moved[epoch - 2]:
            continue
        since += 1
        if cost < reference - tol * abs(reference):
            reference, since = cost, 0
        if since == patience:
            return epoch
    return len(costs)


@functools.cache
def whole_run(task, schedule, scoring):
    X, y, X_val, y_val = parts(task)
    settings = {"optimizer": "sgd", "batch_size": 8, "precondition": "scale", "random_state": 0}
    settings |= {"schedule": schedule, "learning_rate": 0.02, "scoring": scoring, "max_iter": 80}
    whole = make(task).set_params(**settings, tol=0).fit(X, y, X_val=X_val, y_val=y_val)
    assert whole.n_iter_ == 80
    return whole


@pairwise(
    "tol, patience, schedule",
    list(product([0, 1e-6, 1e-2, 0.2], [1, 3, 10], ["constant", "auto"])),
    task=list(ESTIMATORS),
    scoring=["loss", None],
)
def test_it_ends_after_some_epochs_without_an_improvement(task, tol, patience, schedule, scoring):
    X, y, X_val, y_val = parts(task)
    whole = whole_run(task, schedule, scoring)
    sign = 1 if scoring == "loss" else -1
    # By schedule="auto" an epoch that did not lower F is undone.
    moved = (np.diff(whole.loss_curve_) != 0) | (schedule != "auto")
    end = stopping_epoch(sign * whole.validation_curve_, moved, tol, patience)
    model = clone(whole).set_params(early_stopping=True, tol=tol, n_iter_no_change=patience)
    with warnings.catch_warnings():
        # A run that validation stops has nothing to warn about.
        warnings.simplefilter("ignore" if end == 80 else "error", ConvergenceWarning)
        model.fit(X, y, X_val=X_val, y_val=y_val)
    if model.converged_ and model.n_iter_ < end:
        assert schedule == "auto" and tol > 0
        end = model.n_iter_
    elif model.n_iter_ < end:
        # The optimum is certain, and an earlier epoch was better.
        assert schedule == "auto" and model.best_iter_ < model.n_iter_
        end = model.n_iter_
    assert model.n_iter_ == end
    assert_array_equal(model.validation_curve_, whole.validation_curve_[:end])
    assert model.best_iter_ == (sign * whole.validation_curve_[:end]).argmin() + 1


def test_the_objective_does_not_end_what_validation_decides():
    """It has a floor of noise, which the loss on rows without noise has not."""
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(2, 4000, 4))[0], rng.normal(size=4)
    y, X_val = X @ w + 3 * rng.normal(size=4000), rng.normal(size=(50, 4))
    model = make("regression", optimizer="gd", schedule="constant", learning_rate=0.2)
    model.set_params(alpha=0, tol=0.1, n_iter_no_change=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = clone(model).fit(X, y)
    model.set_params(early_stopping=True).fit(X, y, X_val=X_val, y_val=X_val @ w)
    assert model.n_iter_ > plain.n_iter_ + 4
    assert model.validation_curve_[-1] < 0.5 * model.validation_curve_[plain.n_iter_ - 1]


@pytest.mark.parametrize("factor", [1e-8, 1e8])
@pytest.mark.parametrize("settings", ["constant", "auto"])
def test_units_make_no_difference(factor, settings):
    X, y, X_val, y_val = parts("regression")
    settings = SETTINGS[settings] | {"early_stopping": True, "optimizer": "sgd", "tol": 1e-3}
    model = make("regression", **settings).fit(X, y, X_val=X_val, y_val=y_val)
    scaled = clone(model).fit(X, factor * y, X_val=X_val, y_val=factor * y_val)
    assert (scaled.n_iter_, scaled.best_iter_) == (model.n_iter_, model.best_iter_)
    assert_allclose(scaled.validation_curve_, factor**2 * model.validation_curve_, rtol=1e-5)


@each_task
def test_a_run_that_validation_has_not_stopped_warns(task):
    X, y, X_val, y_val = parts(task)
    model = make(task, early_stopping=True, max_iter=3, n_iter_no_change=9, **CONSTANT)
    with pytest.warns(ConvergenceWarning, match=r"above tolerance.*max_iter"):
        model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.best_iter_ == 3
    # The same, where the best epoch is not the last one.
    y_val = np.full(len(y_val), y.mean()) if task == "regression" else 1 - y_val
    model.set_params(max_iter=20, n_iter_no_change=20)
    with pytest.warns(ConvergenceWarning, match="after max_iter=20 .* best after epoch"):
        model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.best_iter_ < 20 and not model.converged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(tol=0).fit(X, y, X_val=X_val, y_val=y_val)


@each_task
def test_converged_is_said_of_the_model_returned(task):
    X, y, X_val, y_val = parts(task, n=600)
    model = make(task, early_stopping=True, n_iter_no_change=50)
    model.fit(X, y, X_val=X, y_val=y)
    assert model.converged_ and model.best_iter_ == model.n_iter_
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.converged_ == (model.best_iter_ == model.n_iter_)


def test_a_warm_start_validates_with_the_same_rows():
    X, y = make_data("regression", n=100)
    model = GradientRegressor(early_stopping=True, warm_start=True, **CONSTANT)
    model.set_params(max_iter=2, tol=0).fit(X, y)
    seed = model._state.seed
    model.fit(X, y)
    assert model._state.seed == seed
    held = set_aside(X, None, None, None, 0.1, seed)[1]
    value = measured(model, X[held], y[held])
    assert_allclose(value, model.validation_curve_[model.best_iter_ - 1], rtol=1e-9)


@each_task
@pytest.mark.parametrize("random_state", [None, 0, np.random.RandomState(3)])
def test_any_random_state_will_do(task, random_state):
    X, y = make_data(task)
    model = make(task, early_stopping=True, max_iter=3).set_params(random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert len(model.fit(X, y).validation_curve_) == model.n_iter_


# Scorers ------------------------------------------------------------------------------------------


def worst_error(model, X, y):
    """A scorer that is no function of scikit-learn's."""
    assert not hasattr(model, "feature_names_in_")
    predicted = model.predict(X)
    if predicted.dtype.kind == "U":
        return -float(np.mean(predicted != y))
    return -float(np.abs(predicted - y).max())


SCORERS = [
    ("regression", None, 1),
    ("regression", "r2", 1),
    ("regression", "neg_mean_absolute_error", 2),
    ("regression", worst_error, 1),
    ("classification", None, 1),
    ("classification", "accuracy", 2),
    ("classification", "neg_log_loss", 2),
    ("classification", "roc_auc", 1),
    ("classification", "f1_macro", 2),
    ("classification", worst_error, 2),
]


@quietly
@pytest.mark.parametrize("task, scoring, n_targets", SCORERS)
@pytest.mark.parametrize("settings", ["constant", "auto"])
def test_the_curve_is_the_score_after_each_epoch(task, scoring, n_targets, settings):
    X, y, X_val, y_val = parts(task, n_targets=n_targets)
    if task == "classification":
        y, y_val = np.array(list("cab"))[y], np.array(list("cab"))[y_val]
    weight = np.random.default_rng(0).gamma(2, size=len(X_val))
    weight = {} if scoring is worst_error else {"sample_weight": weight}
    model = make(task, scoring=scoring, early_stopping=True, max_iter=7, **SETTINGS[settings])
    frame = pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(X_val, columns=list("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of names of features
        warnings.simplefilter("ignore", ConvergenceWarning)
        given = {f"{name}_val": value for name, value in weight.items()}
        model.fit(frame[0], y, X_val=frame[1], y_val=y_val, **given)
    scorer = {None: type(model).score}.get(scoring, scoring)
    scorer = get_scorer(scorer) if isinstance(scorer, str) else scorer
    for k in range(1, model.n_iter_ + 1):
        short = clone(model).set_params(early_stopping=False, max_iter=k).fit(X, y)
        expected = scorer(short, X_val, y_val, **weight)
        assert_allclose(model.validation_curve_[k - 1], expected, rtol=1e-9)
    assert model.best_iter_ == model.validation_curve_.argmax() + 1
    assert hasattr(model, "feature_names_in_")


def test_rows_set_aside_are_scored_with_their_own_weights():
    """Class weights are for the loss: a score is that of scikit-learn."""
    X, y = make_data("classification", n=200, n_targets=2)
    weight = np.random.default_rng(0).gamma(2, size=len(X))
    model = make("classification", class_weight={0: 5.0, 1: 1.0, 2: 0.0}, scoring="accuracy")
    model.set_params(early_stopping=True).fit(X, y, weight)
    _, held = held_out(model, X, y, weight)
    expected = model.score(X[held], y[held], weight[held])
    assert_allclose(model.validation_curve_[model.best_iter_ - 1], expected, rtol=1e-12)


# In company ---------------------------------------------------------------------------------------


@each_task
def test_a_pipeline_transforms_the_validation_data(task):
    X, y, X_val, y_val = parts(task)
    scaler = StandardScaler().fit(X)
    with config_context(enable_metadata_routing=True):
        model = make(task, alpha=0.1, early_stopping=True, n_iter_no_change=2)
        model.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        steps = [("scale", StandardScaler()), ("model", model)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        weight = np.arange(len(X_val)) % 3.0
        pipeline.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
        direct = clone(model).fit(
            scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val,
            sample_weight_val=weight,
        )  # fmt: skip
    assert same_model(pipeline[-1], direct)
    assert_array_equal(pipeline[-1].validation_curve_, direct.validation_curve_)


@quietly
@pytest.mark.parametrize("task, n_jobs", [("regression", 1), ("classification", 2)])
def test_a_search_over_validated_fits(task, n_jobs):
    X, y = make_data(task, n=200)
    grid = {"scoring": ["loss", None], "validation_fraction": [0.1, 0.3]}
    model = make(task, early_stopping=True, max_iter=30, **CONSTANT)
    search = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.7
    assert search.best_estimator_.validation_curve_.size


@each_task
def test_x_is_not_copied(task):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 60))
    y = X[:, 0] + rng.normal(size=len(X))
    model = make(task, early_stopping=True, max_iter=2, tol=0, schedule="constant")
    model.set_params(precondition=False, learning_rate=0.01)
    tracemalloc.start()
    model.fit(X, y if task == "regression" else y > 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * X.nbytes


# Errors -------------------------------------------------------------------------------------------


def names(X):
    return pd.DataFrame(X, columns=list("abcd"))


BAD = {
    "X_val alone": (lambda X, y: {"X_val": X}, "X_val is passed, but y_val is not"),
    "y_val alone": (lambda X, y: {"y_val": y}, "y_val is passed, but X_val is not"),
    "weights alone": (lambda X, y: {"sample_weight_val": y}, "sample_weight_val is passed, but"),
    "columns": (lambda X, y: {"X_val": X[:, :3], "y_val": y}, "X_val.*3 features"),
    "lengths": (lambda X, y: {"X_val": X, "y_val": y[1:]}, "y_val.*inconsistent"),
    "NaN in X_val": (lambda X, y: {"X_val": X * np.nan, "y_val": y}, "X_val contains NaN"),
    "one dimension": (lambda X, y: {"X_val": X[0], "y_val": y}, "X_val.*2D array"),
    "no rows": (lambda X, y: {"X_val": X[:0], "y_val": y[:0]}, "X_val.*0 sample"),
    "y_val of two columns": (lambda X, y: {"X_val": X, "y_val": np.c_[y, y]}, "y_val.*(column|1d)"),
    "weights of zero": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": 0 * y},
        "sample_weight_val.*non-zero",
    ),
    "negative weights": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": 0 * y - 1},
        "sample_weight_val.*[Nn]egative",
    ),
    "too few weights": (
        lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": y[1:]},
        "sample_weight_val.*shape",
    ),
}  # fmt: skip


@each_task
@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_bad_validation_data_leave_the_old_model(task, case, early_stopping):
    X, y = make_data(task)
    wider, y_wider = make_data(task, d=7)
    model = make(task, early_stopping=early_stopping).fit(wider, y_wider)
    before = vars(model).copy()
    change, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, **change(X, y))
    assert vars(model) == before


@each_task
def test_the_names_of_features_are_those_of_x(task):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=r"X_val: (?s:.)*feature names"):
        make(task).fit(names(X), y, X_val=names(X)[list("dcba")], y_val=y)


def test_validation_targets_are_those_that_the_loss_takes():
    X, y = make_data("regression", "poisson")
    with pytest.raises(ValueError, match="y_val: y holds -1, but loss='poisson'"):
        GradientRegressor("poisson").fit(X, y, X_val=X, y_val=np.where(y < 1, y, -1.0))
    # A row of weight 0 is no part of the data.
    bad = np.append(-1.0, y[1:])
    GradientRegressor("poisson").fit(X, y, X_val=X, y_val=bad, sample_weight_val=bad > 0)


@pytest.mark.parametrize(
    "labels, unknown",
    [(["no", "yes", "maybe"], "'maybe'"), ([0, 1, 0], "0, 1"), (["No", "yes", "no"], "'No'")],
)
def test_validation_labels_are_known(labels, unknown):
    X, y = make_data("classification")
    y = np.array(["no", "yes"])[y]
    with pytest.raises(ValueError, match=f"y_val holds {unknown}, which y does not.*'no', 'yes'"):
        GradientClassifier().fit(X, y, X_val=X[:3], y_val=labels)
    GradientClassifier().fit(X, y, X_val=X[:1], y_val=["yes"])


@quietly
@pytest.mark.parametrize("labels", [["a", "ba", "bb"], np.array(["a", "ba", "bb"], object)])
def test_validation_labels_longer_than_the_first(labels):
    X, y, X_val, y_val = parts("classification", n_targets=2)
    codes = make("classification", max_iter=5).fit(X, y, X_val=X_val, y_val=y_val)
    names = np.array(labels)
    model = clone(codes).fit(X, names[y], X_val=X_val, y_val=names[y_val])
    assert_array_equal(model.validation_curve_, codes.validation_curve_)


@quietly
@each_task
def test_scores_of_a_linear_model_after_a_network(task):
    X, y = make_data(task)
    linear = make(task, early_stopping=True, scoring=None, max_iter=5).fit(X, y)
    model = clone(linear).set_params(hidden_layer_sizes=(3,)).fit(X, y)
    model.set_params(hidden_layer_sizes=()).fit(X, y)
    assert_array_equal(model.validation_curve_, linear.validation_curve_)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [False, True], ["0", "1"]])
def test_validation_labels_of_the_same_kind_are_enough(labels):
    X, y = make_data("classification")
    given = np.array(labels)[y]
    model = make("classification").fit(X, given, X_val=X, y_val=given.astype(object))
    assert_array_equal(model.validation_curve_[-1] < model.validation_curve_[0], True)


@each_task
def test_rows_that_are_all_alike_cannot_be_parted(task):
    X, y = np.ones((8, 3)), np.arange(8) % 2
    with pytest.raises(ValueError, match=r"n_samples=8 all are alike.* Pass X_val and y_val"):
        make(task, early_stopping=True).fit(X, y)
    with pytest.raises(ValueError, match=r"n_samples=1|one class"):
        make(task, early_stopping=True).fit(X[:1], y[:1])
    assert make(task, early_stopping=True).fit(X, y, X_val=X, y_val=y).n_iter_


def test_a_class_of_one_row_is_trained_on():
    X, y = make_data("classification", n_targets=2)
    y[y == 2] = 1
    y[5] = 2
    model = make("classification", early_stopping=True).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2])


def test_validation_rows_of_class_weight_zero_measure_nothing():
    X, y = make_data("classification", n_targets=2)
    model = make("classification", class_weight={0: 1.0, 1: 1.0, 2: 0.0})
    with pytest.raises(ValueError, match=r"class_weight=.* gives all rows for validation"):
        model.fit(X, y, X_val=X[y == 2], y_val=y[y == 2])
    model.set_params(scoring="accuracy").fit(X, y, X_val=X[y == 2], y_val=y[y == 2])
    assert_array_equal(model.validation_curve_, 0)


@each_task
def test_a_scorer_must_exist(task):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=r"scoring must be 'loss' or a scorer.*nonsense"):
        make(task, scoring="nonsense").fit(X, y)


@pytest.mark.parametrize("value", [np.nan, None, "good", {"r2": 1.0}])
def test_a_score_is_a_number(value):
    X, y = make_data("regression")
    model = make("regression", early_stopping=True, scoring=lambda model, X, y: value)
    match = rf"returned {re.escape(repr(value))} for the 6 validation rows after epoch 1"
    with pytest.raises(ValueError, match=match):
        model.fit(X, y)


def test_r2_of_one_row_is_no_score():
    X, y = make_data("regression", n=8)
    with (
        pytest.warns(match=r"R\^2 score is not well-defined"),
        pytest.raises(ValueError, match=r"nan for the 1 validation rows.*validation_fraction"),
    ):
        make("regression", early_stopping=True, scoring="r2").fit(X, y)


@each_task
def test_a_loss_that_overflows_on_validation_rows_is_a_bad_loss(task):
    """Not an error: the best epoch is the first one that is finite, or the first."""
    loss = "poisson" if task == "regression" else "exponential"
    X, y = make_data(task, loss)
    X_val = np.full((2, 4), 1e4)
    model = make(task, loss, early_stopping=True, n_iter_no_change=2)
    model.fit(X, y, X_val=X_val, y_val=y[:2])
    assert np.isfinite(model.coef_).all() and len(model.validation_curve_) == model.n_iter_


def test_untransformed_rows_in_a_pipeline_name_the_remedy():
    X, y, X_val, y_val = parts("regression")
    expanded = PolynomialFeatures(2, include_bias=False)
    model = make("regression")
    pipeline = make_pipeline(expanded, clone(model))
    with pytest.raises(ValueError, match=r"transform_input=\['X_val'\].*set_fit_request"):
        pipeline.fit(X, y, gradientregressor__X_val=X_val, gradientregressor__y_val=y_val)
    # What the message says.
    with config_context(enable_metadata_routing=True):
        step = clone(model).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(expanded, step, transform_input=["X_val"])
        curve = pipeline.fit(X, y, X_val=X_val, y_val=y_val)[-1].validation_curve_
    rows, rows_val = expanded.fit_transform(X), expanded.transform(X_val)
    expected = clone(model).fit(rows, y, X_val=rows_val, y_val=y_val).validation_curve_
    assert_array_equal(curve, expected)
