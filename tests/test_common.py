"""What both estimators promise: scikit-learn's conformance suite over every documented loss with
every optimizer, kinds of input, reproducibility, weights, resuming and the fitted attributes."""

import copy
import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from catalogue import (
    COVER,
    ESTIMATORS,
    OPTIMIZERS,
    PAIRS,
    STEPPING,
    TEXTBOOK,
    TRIPLES,
    combine,
    fit_seed,
    make,
    make_data,
    real_data,
    same_model,
    settable,
    spellings,
    takes,
)
from conformance import failed_checks
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_info

from sklearn_lossopt import losses, optimizers
from sklearn_lossopt._compat import CALLBACKS
from sklearn_lossopt.losses import Huber
from sklearn_lossopt.optimizers import Adam

each_task = pytest.mark.parametrize("task", ESTIMATORS)
each_pair = pytest.mark.parametrize("task, loss", PAIRS)
each_triple = pytest.mark.parametrize("task, loss, optimizer", TRIPLES)
each_case = pytest.mark.parametrize("task, loss, optimizer", COVER)


# Some checks fit a handful of separable rows, where a loss without an optimum runs on.
quietly = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Checks of what training leads to, made of every combination. The rest is the same code for all
# losses and optimizers, before one of either is asked: constructors, tags, names, containers of X,
# y and weights, refusals. It makes two thirds of all fits; every loss and every optimizer passes it
# once (ONCE).
TRAINING = {
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_estimators_dtypes",
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_non_transformer_estimators_n_iter",
    "check_regressor_multioutput",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}


def once():
    """A few triples in which every loss and every optimizer of each task is."""
    found = []
    for task in ESTIMATORS:
        able = [triple for triple in TRIPLES if triple[0] == task]
        while missing := {part for triple in able for part in triple} - {
            part for triple in found if triple[0] == task for part in triple
        }:
            found.append(max(able, key=lambda triple: len(missing & set(triple))))
    return found


ONCE = once()


def dealt(task, loss, optimizer):
    """Every third check of ``TRAINING``, dealt so that any three optimizers in a row make all of
    them with every loss, and the reverse."""
    field = [name for pair_task, name in PAIRS if pair_task == task].index(loss)
    field += OPTIMIZERS.index(optimizer)
    return set(sorted(TRAINING)[field % 3 :: 3])


@pytest.mark.slow
@quietly
@each_triple
def test_every_combination_conforms_to_scikit_learn(task, loss, optimizer):
    only = None if (task, loss, optimizer) in ONCE else dealt(task, loss, optimizer)
    assert failed_checks(ESTIMATORS[task](loss, optimizer), only) == {}


@quietly
@each_task
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"early_stopping": True}, {"hidden_layer_sizes": (8,)},
        {"n_members": 3, "early_stopping": True},
        {"n_members": 3, "hidden_layer_sizes": (8,), "max_iter": 30},
    ],
)  # fmt: skip
def test_every_kind_of_estimator_conforms_to_scikit_learn(task, settings):
    assert failed_checks(ESTIMATORS[task](**settings)) == {}


# Real data ----------------------------------------------------------------------------------------

# Perceptrons have no optimum worth reaching; the rest score like any good linear model.
NO_SCORE = {"perceptron"}


@each_triple
def test_every_combination_fits_raw_data(task, loss, optimizer):
    for name, (X, y, score) in real_data(task).items():
        if name == "diabetes" and loss in ("quantile", "gamma", "poisson", "tweedie"):
            score -= 0.05
        model = make(task, loss, optimizer).fit(X, y)
        assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
        assert model.score(X, y) > (0 if loss in NO_SCORE else score), name


@pytest.mark.slow
@each_task
@pytest.mark.parametrize("optimizer", spellings(optimizers))
def test_an_alias_is_its_name(task, optimizer):
    name, X_y = spellings(optimizers)[optimizer], next(iter(real_data(task).values()))[:2]
    given = optimizers.Optimizer.resolve(optimizer)
    canonical = make(task, optimizer=optimizers.registry()[name](**given.get_params()))
    for loss in [loss for loss in spellings(losses) if takes(task, loss)]:
        if not combine(loss, optimizer):
            continue
        model = make(task, loss, optimizer, max_iter=3)
        expected = clone(canonical).set_params(loss=spellings(losses)[loss], max_iter=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert same_model(model.fit(*X_y), expected.fit(*X_y)), loss


def mixed_frame(n=120):
    """Numbers of two scales and two kinds of categories, and what depends on all of them."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(10, 0.5, size=n),
            "age": rng.integers(18, 80, size=n),
            "town": rng.choice(["north", "south", "west"], size=n),
            "owner": pd.Categorical(rng.choice(["yes", "no"], size=n)),
        }
    )
    score = (
        (frame["income"] / 20_000)
        + (frame["age"] - 50) / 20
        + 2 * (frame["town"] == "south")
        + (frame["owner"] == "yes")
        + rng.normal(scale=0.5, size=n)
    )
    return frame, score


@pytest.mark.slow
@each_task
def test_a_grid_over_a_pipeline_on_a_mixed_frame(task):
    frame, y = mixed_frame()
    if task == "classification":
        y = pd.cut(y, 3, labels=["low", "middle", "high"]).astype(str)
    columns = make_column_transformer(
        (StandardScaler(), ["income", "age"]),
        (OneHotEncoder(sparse_output=False), ["town", "owner"]),
    )
    pipeline = make_pipeline(columns, make(task))
    step = pipeline.steps[-1][0]
    pair = ["squared_error", "huber"] if task == "regression" else ["log_loss", "hinge"]
    able = [name for name in OPTIMIZERS if all(combine(loss, name) for loss in pair)]
    grid = [
        {
            f"{step}__loss": pair,
            f"{step}__optimizer": able,
        },
        {
            f"{step}__optimizer": ["adam", Adam(amsgrad=True)],
            f"{step}__optimizer__beta_1": [0.8, 0.95],
            f"{step}__learning_rate": [0.01, "auto"],
            f"{step}__alpha": [1e-4, 1e-2],
        },
    ]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("default", ConvergenceWarning)
        search.fit(frame, y)
    assert search.best_score_ > 0.75
    assert len(search.cv_results_["params"]) == 2 * len(able) + 2**4
    # The grid's own objects are not touched.
    assert grid[1][f"{step}__optimizer"][1].beta_1 == 0.9
    assert pipeline[-1].optimizer == "adam"


def test_a_component_given_as_a_string_can_be_searched_into():
    model = make("regression").set_params(optimizer__beta_1=0.7, loss="huber", loss__delta=3.0)
    assert isinstance(model.optimizer, Adam) and model.optimizer.beta_1 == 0.7
    assert isinstance(model.loss, Huber) and model.loss.delta == 3.0
    model.set_params(optimizer__beta_2=0.9, optimizer="adam", optimizer__epsilon=0.1)
    assert model.optimizer.get_params() == Adam(beta_2=0.9, epsilon=0.1).get_params()
    X, y = make_data("regression")
    by_name = make("regression", "huber", "nesterov").set_params(optimizer__momentum=0.7)
    assert by_name.optimizer.nesterov
    object_ = optimizers.Momentum(momentum=0.7, nesterov=True)
    assert same_model(by_name.fit(X, y), make("regression", "huber", object_).fit(X, y))


# Input --------------------------------------------------------------------------------------------


def memory_mapped(X, tmp_path):
    joblib.dump(X, tmp_path / "X.joblib")
    return joblib.load(tmp_path / "X.joblib", mmap_mode="r")


def read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


INPUTS = {
    "F-ordered": lambda X, tmp_path: np.asfortranarray(X),
    "strided": lambda X, tmp_path: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda X, tmp_path: X[::-1].copy()[::-1],
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "big-endian": lambda X, tmp_path: X.astype(">f8"),
    "list": lambda X, tmp_path: X.tolist(),
    "pandas": lambda X, tmp_path: pd.DataFrame(X, columns=list("abcd")),
    "pandas, mixed types": lambda X, tmp_path: pd.DataFrame(X, columns=list("abcd")).astype(
        {"a": "float32", "b": "Int64", "c": "int8"}
    ),
    "polars": lambda X, tmp_path: pl.DataFrame(X, schema=list("abcd")),
    "integers": lambda X, tmp_path: X.astype(np.int16),
    "objects": lambda X, tmp_path: X.astype(object),
}


@each_task
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("settings", [{}, TEXTBOOK], ids=["defaults", "textbook"])
def test_the_kind_of_input_makes_no_difference(task, kind, settings, tmp_path):
    X, y = make_data(task, n=90)
    X = np.round(10 * X)  # the same numbers in every type
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    parameters = settings | ({"learning_rate": 1e-3, "max_iter": 5} if settings else {})
    expected = make(task, **parameters).fit(X, y, sample_weight=weight)
    model = make(task, **parameters)
    model.fit(INPUTS[kind](X, tmp_path), y, sample_weight=weight)
    assert same_model(model, expected)
    predicted = model.predict(INPUTS[kind](X, tmp_path))
    assert_allclose(predicted, expected.predict(X), rtol=1e-12)


@each_task
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("settings", [{}, TEXTBOOK | {"learning_rate": 1e-3}], ids=str)
def test_data_is_never_modified(task, dtype, settings):
    X, y = make_data(task)
    X, weight = X.astype(dtype), np.arange(len(X)) % 3.0
    before = X.copy(), y.copy(), weight.copy()
    model = make(task, max_iter=20, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y, sample_weight=weight)
    model.predict(X)
    model.score(X, y)
    for array, copied in zip((X, y, weight), before, strict=True):
        assert_array_equal(array, copied)


@each_case
def test_float32_in_float32_out(task, loss, optimizer):
    X, y = make_data(task, loss)
    single = make(task, loss, optimizer, max_iter=200).fit(X.astype(np.float32), y)
    double = make(task, loss, optimizer, max_iter=200).fit(X, y)
    assert double.coef_.dtype == np.float64 and single.coef_.dtype == np.float32
    assert single.intercept_.dtype == np.float32
    if task == "regression":
        assert single.predict(X.astype(np.float32)).dtype == np.float32
    if loss not in NO_SCORE:
        assert_allclose(single.loss_curve_[-1], double.loss_curve_[-1], rtol=1e-3, atol=1e-4)


@each_task
def test_float16_and_integers_become_float64(task):
    X, y = make_data(task)
    for dtype in (np.float16, np.int32, bool):
        assert make(task).fit(X.astype(dtype), y).coef_.dtype == np.float64


@each_task
def test_names_of_features(task):
    X, y = make_data(task)
    frames = [pd.DataFrame(X, columns=list("abcd")), pl.DataFrame(X, schema=list("abcd"))]
    # scikit-learn finds the names of new versions of Polars from 1.9 on.
    for frame in frames[: 2 if CALLBACKS else 1]:
        model = make(task).fit(frame, y)
        assert list(model.feature_names_in_) == list("abcd")
    model.fit(X, y)
    assert not hasattr(model, "feature_names_in_") and model.n_features_in_ == 4


# Reproducibility ----------------------------------------------------------------------------------


def settings_of_all_kinds():
    return [
        {},
        {"precondition": "scale", "batch_size": 7},
        {"batch_size": 7, "schedule": "cosine", "max_iter": 10},
        TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 1, "max_iter": 10},
    ]


@each_task
@quietly
@pytest.mark.parametrize("settings", settings_of_all_kinds(), ids=str)
def test_the_same_seed_gives_the_same_bits(task, settings):
    X, y = make_data(task, n=200, d=30, n_targets=2)
    model = make(task, optimizer="sgd", **settings).fit(X, y)
    assert same_model(model, clone(model).fit(X, y))
    assert same_model(model, model.fit(X, y))
    generator = make(task, optimizer="sgd", **settings, random_state=np.random.RandomState(5))
    again = clone(generator).set_params(random_state=np.random.RandomState(5))
    assert same_model(generator.fit(X, y), again.fit(X, y))
    if "batch_size" in settings:
        other = clone(model).set_params(random_state=1).fit(X, y)
        assert not np.array_equal(model.coef_, other.coef_)


@each_task
def test_without_shuffling_the_seed_does_not_matter(task):
    X, y = make_data(task)
    model = make(task, batch_size=7, shuffle=False).fit(X, y)
    assert same_model(model, clone(model).set_params(random_state=1).fit(X, y))


@each_task
@pytest.mark.parametrize("prefer", ["threads", "processes"])
def test_the_same_bits_from_parallel_fits(task, prefer):
    X, y = make_data(task, n=400, d=60, n_targets=2)
    model = make(task, batch_size=50)
    alone = [fit_seed(model, seed, X, y) for seed in range(6)]
    together = joblib.Parallel(n_jobs=2, prefer=prefer)(
        joblib.delayed(fit_seed)(model, seed, X, y) for seed in range(6)
    )
    for a, b in zip(alone, together, strict=True):
        assert same_model(a, b)


def test_parallel_fits_leave_the_number_of_threads_alone():
    X, y = make_data("regression", n=400, d=60)
    before = [library["num_threads"] for library in threadpool_info()]
    joblib.Parallel(n_jobs=3, prefer="threads")(
        joblib.delayed(fit_seed)(make("regression", batch_size=50), seed, X, y)
        for seed in range(12)
    )
    assert [library["num_threads"] for library in threadpool_info()] == before


@each_task
def test_a_parallel_search_is_the_serial_one(task):
    X, y = make_data(task, n=200)
    grid = {"alpha": [1e-3, 1e-1], "optimizer": ["adam", "sgd"]}
    scores = [
        GridSearchCV(make(task, batch_size=20), grid, n_jobs=n_jobs, cv=3)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*scores)


@each_task
def test_copies_predict_the_same(task, tmp_path):
    X, y = make_data(task, n_targets=2)
    model = make(task, optimizer=Adam(beta_1=0.8), precondition=False, max_iter=50, tol=0)
    model.set_params(schedule="constant", warm_start=True).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        joblib.load(tmp_path / "model"),
    ]
    for other in copies:
        assert_array_equal(other.predict(X), model.predict(X))
        assert same_model(other, model)
    # They go on where the original does.
    model.fit(X, y)
    for other in copies:
        assert same_model(other.fit(X, y), model)
    unfitted = clone(model)
    assert not hasattr(unfitted, "coef_") and not hasattr(unfitted, "_state")


# Weights ------------------------------------------------------------------------------------------


@pairwise("task, loss, optimizer", COVER, batch_size=["auto", 7], dtype=["float64", "float32"])
def test_rows_of_weight_zero_are_removed(task, loss, optimizer, batch_size, dtype):
    """Bit for bit, in textbook mode and with default settings."""
    X, y = make_data(task, loss, n=80, n_targets=2)
    X = X.astype(dtype)
    rng = np.random.default_rng(0)
    weight = rng.gamma(2, size=len(X)) * (rng.random(len(X)) > 0.4)
    weight[:3] = 1.0
    kept = weight > 0
    for settings in ({}, TEXTBOOK | {"learning_rate": 1e-3}):
        settings = settable(optimizer, batch_size=batch_size, **settings)
        model = make(task, loss, optimizer, max_iter=8, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y, sample_weight=weight)
            removed = clone(model).fit(X[kept], y[kept], sample_weight=weight[kept])
        assert same_model(model, removed)


@each_pair
def test_weights_of_one_are_no_weights(task, loss):
    X, y = make_data(task, loss, n_targets=2)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 7, "max_iter": 8}
    plain = make(task, loss, **settings).fit(X, y)
    for weight in (np.ones(len(X)), np.full(len(X), 0.1), np.full(len(X), 3, dtype=np.int8)):
        assert same_model(plain, clone(plain).fit(X, y, sample_weight=weight))
    only = np.arange(len(X)) % 3 > 0
    assert same_model(
        clone(plain).fit(X[only], y[only]), clone(plain).fit(X, y, sample_weight=only)
    )


@pairwise(
    "task, loss", PAIRS, factor=[1e-300, 1e-44, 7.0, 1e44, 1e307], dtype=["float64", "float32"]
)
def test_only_the_ratios_of_weights_matter(task, loss, dtype, factor):
    X, y = make_data(task, loss)
    X, weight = X.astype(dtype), np.random.default_rng(0).gamma(2, size=len(X)) + 0.01
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 7, "max_iter": 8}
    model = make(task, loss, **settings).fit(X, y, sample_weight=weight)
    scaled = clone(model).fit(X, y, sample_weight=factor * weight)
    rtol, atol = (1e-12, 0) if dtype == "float64" else (1e-3, 1e-6)
    assert_allclose(scaled.coef_, model.coef_, rtol=rtol, atol=atol)


@each_pair
@pytest.mark.parametrize("momentum", [False, True])
def test_whole_weights_are_repeated_rows(task, loss, momentum):
    """Exactly, but for rounding, where every step is made from all rows."""
    X, y = make_data(task, loss, n_targets=2)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    optimizer, batch = ("nesterov", {"batch_size": 10**6}) if momentum else ("gd", {})
    settings = TEXTBOOK | {"learning_rate": 0.01, "max_iter": 50, "alpha": 0.1}
    model = make(task, loss, optimizer, **settings, **batch)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(X.repeat(weight, axis=0), y.repeat(weight, axis=0))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-10)
    assert_allclose(weighted.intercept_, repeated.intercept_, rtol=1e-10)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-10)


@each_task
@pytest.mark.parametrize("precondition", ["auto", "scale", False])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_rate_counts_weights_as_repeated_rows(task, precondition, container):
    X, y = make_data(task, n=50)
    weight = np.random.default_rng(0).integers(0, 9, size=len(X))
    # Batches of all rows, however many they are.
    model = make(task, optimizer="gd", precondition=precondition, max_iter=1, tol=0)
    weighted = clone(model).fit(container(X), y, sample_weight=weight)
    repeated = clone(model).fit(container(X.repeat(weight, axis=0)), y.repeat(weight))
    assert_allclose(weighted.learning_rate_, repeated.learning_rate_, rtol=1e-9)


@pytest.mark.parametrize(
    "task, loss, optimizer", [case for case in COVER if case[1] not in NO_SCORE]
)
def test_whole_weights_are_repeated_rows_at_the_optimum(task, loss, optimizer):
    X, y = make_data(task, loss, n=150)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    weighted = make(task, loss, optimizer, alpha=0.1).fit(X, y, sample_weight=weight)
    repeated = make(task, loss, optimizer, alpha=0.1).fit(
        X.repeat(weight, axis=0), y.repeat(weight, axis=0)
    )
    assert_allclose(weighted.loss_curve_[-1], repeated.loss_curve_[-1], rtol=2e-5, atol=1e-12)


# Resuming -----------------------------------------------------------------------------------------


@pairwise(
    "task, loss, optimizer",
    [case for case in COVER if case[2] in STEPPING],
    batch_size=["auto", 1, 7],
)
def test_two_warm_starts_are_one_run(task, loss, optimizer, batch_size):
    X, y = make_data(task, loss, n_targets=2)
    settings = settable(optimizer, learning_rate=3e-4, batch_size=batch_size, **TEXTBOOK)
    once = make(task, loss, optimizer, max_iter=10, **settings).fit(X, y)
    twice = make(task, loss, optimizer, max_iter=5, warm_start=True, **settings).fit(X, y)
    half = twice.loss_curve_
    twice.fit(X, y)
    assert_allclose(twice.coef_, once.coef_, rtol=1e-12, atol=1e-15)
    assert_allclose(twice.intercept_, once.intercept_, rtol=1e-12, atol=1e-15)
    assert_allclose(np.append(half, twice.loss_curve_), once.loss_curve_, rtol=1e-12)
    assert twice.n_iter_ == 5 and twice.t_ == once.t_


@each_task
def test_a_warm_start_at_the_optimum_stays_there(task):
    X, y = make_data(task)
    model = make(task, warm_start=True, tol=1e-9).fit(X, y)
    coef = model.coef_
    model.fit(X, y)
    # It is shown anew that this is the optimum, as carefully as from anywhere.
    assert model.n_iter_ <= 5
    assert_allclose(model.coef_, coef, rtol=1e-4)


@each_task
def test_a_warm_start_on_other_shapes_starts_afresh(task):
    X, y = make_data(task)
    wider, more = make_data(task, d=7, n_targets=3)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 5, "warm_start": True}
    model = make(task, **settings).fit(X, y).fit(wider, more)
    assert same_model(model, make(task, **settings).fit(wider, more))


OTHER_RUNS = {
    "optimizer": {"optimizer": "adagrad"},
    "memory": {"optimizer": optimizers.RMSprop(momentum=0.5)},
    "parameters": {"optimizer": optimizers.RMSprop(centered=True, rho=0.5)},
}


@each_task
@pytest.mark.parametrize("case", OTHER_RUNS)
def test_a_warm_start_forgets_the_memory_of_another_optimizer(task, case):
    """It goes on from the coefficients alone."""
    X, y = make_data(task)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 5, "warm_start": True}
    first = optimizers.RMSprop(centered=True)
    model = make(task, optimizer=first, **settings).fit(X, y)
    model.set_params(**OTHER_RUNS[case]).fit(X, y)
    assert model.t_ == 5
    assert np.isfinite(model.coef_).all()


@each_task
def test_a_warm_start_in_another_precision(task):
    X, y = make_data(task)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 5, "warm_start": True}
    model = make(task, **settings).fit(X.astype(np.float32), y).fit(X, y)
    assert model.coef_.dtype == np.float64
    assert model.loss_curve_[-1] < make(task, **settings).fit(X, y).loss_curve_[-1]


@each_task
def test_without_warm_start_fits_are_independent(task):
    X, y = make_data(task)
    wider, more = make_data(task, d=7, n_targets=3)
    model = make(task).fit(wider, more).fit(X, y)
    assert same_model(model, make(task).fit(X, y))


# Fitted attributes --------------------------------------------------------------------------------


@each_case
def test_without_tolerance_all_epochs_run_in_silence(task, loss, optimizer):
    X, y = make_data(task, loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in ({}, TEXTBOOK | {"learning_rate": 1e-3}, {"schedule": "cosine"}):
            settings = settable(optimizer, **settings | {"tol": 0})
            model = make(task, loss, optimizer, max_iter=17, **settings).fit(X, y)
            # A line search ends where rounding hides what is left.
            least = 17 if optimizer in STEPPING else 1
            assert least <= model.n_iter_ <= 17 and len(model.loss_curve_) == model.n_iter_
            assert not model.converged_


@each_case
def test_the_objective_is_what_the_curve_says(task, loss, optimizer):
    """The last value of the curve is F at the fitted coefficients, from the loss itself."""
    X, y = make_data(task, loss, n_targets=2)
    weight = np.random.default_rng(0).gamma(2, size=len(X))
    for settings in ({}, {"schedule": "cosine"}, {"precondition": False, "max_iter": 20}):
        settings = settable(optimizer, **{"max_iter": 200} | settings)
        model = make(task, loss, optimizer, alpha=0.05, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y, sample_weight=weight)
        assert model.loss_curve_.shape == (model.n_iter_,)
        assert model.loss_curve_.dtype == np.float64
        assert_allclose(model.loss_curve_[-1], objective(model, X, y, weight), rtol=1e-9)


def objective(model, X, y, weight):
    loss = losses.Loss.resolve(model.loss)
    if hasattr(model, "delta_"):
        loss = Huber(delta=model.delta_)
    raw = X @ model.coef_.T + model.intercept_
    if hasattr(model, "classes_"):
        index = np.searchsorted(model.classes_, y)
        k = len(model.classes_)
        signs = 2.0 * (index[:, None] == np.arange(k)) - 1
        if k == 2:
            y, raw = signs[:, 1], raw[:, 0]
        else:
            y = index if loss.joint else signs
    value, _ = loss.loss_gradient(y, raw)
    return np.average(value, weights=weight) + 0.5 * model.alpha * np.sum(model.coef_**2)


@each_task
def test_updates_and_epochs_are_counted(task):
    X, y = make_data(task, n=60)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 4}
    for batch_size, updates in [(1, 60), (7, 9), (60, 1), (100, 1)]:
        model = make(task, batch_size=batch_size, **settings).fit(X, y)
        assert (model.n_iter_, model.t_) == (4, 4 * updates)
        assert model.learning_rate_ == 1e-3
    model = make(task, optimizer="gd", **settings).fit(X, y)
    assert (model.n_iter_, model.t_) == (4, 4)
    auto = make(task).fit(X, y)
    assert isinstance(auto.learning_rate_, float) and auto.learning_rate_ > 0
    assert isinstance(auto.n_iter_, int) and isinstance(auto.t_, int)
    assert isinstance(auto.converged_, bool)


@each_case
def test_converged_means_close_to_the_optimum(task, loss, optimizer):
    """No fit that says it converged is above another by more than its tolerance."""
    X, y = make_data(task, loss, n=150)
    model = make(task, loss, optimizer, alpha=0.01, tol=1e-4)
    best = make(task, loss, optimizer, alpha=0.01, tol=1e-8, max_iter=3000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
        best.fit(X, y)
    if model.converged_:
        assert model.loss_curve_[-1] <= best.loss_curve_[-1] * (1 + 2e-4) + 1e-12


@each_task
@pytest.mark.parametrize("schedule", ["auto", "constant"])
def test_a_run_cut_short_says_how_far_off_it_is(task, schedule):
    X, y = make_data(task)
    model = make(task, precondition=False, learning_rate=1e-3, schedule=schedule, max_iter=2)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    assert len(caught) == 1
    message = str(caught[0].message)
    found = re.search(r"estimated at (\S+),", message)
    if task == "regression":
        optimum = make(task, tol=1e-10).fit(X, y).loss_curve_[-1]
        actual = model.loss_curve_[-1] - optimum
        assert 0.9 * actual < float(found[1]) < 1.1 * actual
    else:
        # Far from the optimum of a loss that is not quadratic, an estimate would mislead.
        assert found or "cannot be estimated here" in message
    assert f"objective is {model.loss_curve_[-1]:.6g}" in message
    assert "tol=1e-06" in message and "max_iter (now 2)" in message
    assert not model.converged_


@each_task
@pytest.mark.parametrize("schedule", ["auto", "cosine"])
@pytest.mark.parametrize("tol", [0, 1e-6])
def test_verbose_prints_a_line_an_epoch(task, schedule, tol, capsys):
    X, y = make_data(task)
    settings = {"schedule": schedule, "tol": tol, "max_iter": 6}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        silent = make(task, **settings).fit(X, y)
        assert capsys.readouterr() == ("", "")
        model = make(task, verbose=1, **settings).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_
    for epoch, (line, value) in enumerate(zip(lines, model.loss_curve_, strict=True), start=1):
        found = re.fullmatch(r"epoch +(\d+) +objective (\S+) +rate \S+", line)
        assert int(found[1]) == epoch
        assert_allclose(float(found[2]), value, rtol=1e-6)
    assert_array_equal(model.coef_, silent.coef_)


@each_task
def test_parameters_are_not_changed_by_fit(task):
    X, y = make_data(task)
    loss = Huber(delta=2.0)
    model = make(task, loss, optimizer=Adam(beta_1=0.8), learning_rate=0.05)
    before = {name: id(value) for name, value in model.get_params().items()}
    model.fit(X, y)
    assert {name: id(value) for name, value in model.get_params().items()} == before


def test_nothing_is_left_of_an_earlier_fit():
    X, y = make_data("regression", "poisson")
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make("regression", "huber", warm_start=True).fit(frame, y)
    model.set_params(loss="poisson", warm_start=False).fit(X, y)
    assert vars(model).keys() == vars(make("regression", "poisson").fit(X, y)).keys()


@each_task
def test_predictions_follow_the_fitted_loss(task):
    X, y = make_data(task, "poisson")
    model = make(task, "poisson" if task == "regression" else "log_loss").fit(X, y)
    expected = model.predict(X)
    model.set_params(loss="squared_error")
    assert_array_equal(model.predict(X), expected)


# In company ---------------------------------------------------------------------------------------


@each_task
def test_weights_are_routed(task):
    X, y = make_data(task, n=90)
    weight = np.random.default_rng(0).gamma(1, size=len(X))
    with config_context(enable_metadata_routing=True):
        model = make(task, alpha=0.1).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        direct = clone(model).fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model).fit(X, y, sample_weight=weight)
        assert same_model(pipeline[-1], direct)
        assert not same_model(pipeline[-1], clone(pipeline).fit(X, y)[-1])
        step = pipeline.steps[-1][0]
        search = GridSearchCV(pipeline, {f"{step}__alpha": [0.1]}, error_score="raise")
        search.fit(X, y, sample_weight=weight)
        assert same_model(search.best_estimator_[-1], direct)


@each_task
def test_cross_validation(task):
    X, y, score = next(iter(real_data(task).values()))
    assert cross_val_score(make(task), X, y, error_score="raise").mean() > score - 0.05
