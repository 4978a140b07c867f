"""Sparse X: the fits of dense rows, whatever the format and the way an epoch goes; never dense."""

import os
import pickle
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
from catalogue import (
    ESTIMATORS,
    POSITIVE_TARGETS,
    STEPPING,
    TEXTBOOK,
    TRIPLES,
    make,
    same_model,
    settable,
)
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from reference import batch_objective, one_vs_rest, textbook_fit
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_lossopt import GradientClassifier, GradientRegressor, _objective
from sklearn_lossopt._engine import Trainer, column_moments
from sklearn_lossopt.losses import RegressionLoss
from sklearn_lossopt.optimizers import (
    SGD,
    AdamW,
    Optimizer,
)

each_task = pytest.mark.parametrize("task", ESTIMATORS)
STEPPING_TRIPLES = [triple for triple in TRIPLES if triple[2] in STEPPING]
each_triple = pytest.mark.parametrize("task, loss, optimizer", STEPPING_TRIPLES)
quietly = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(n=60, d=12, each=4, seed=0):
    """CSR rows of ``each`` numbers, of which the second row and the last column have none."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, d))
    for i in range(n):
        columns = rng.choice(max(1, d - 1), size=min(each, max(1, d - 1)), replace=False)
        X[i, columns] = rng.normal(size=len(columns)) + 0.5
    X[1] = 0
    return sparse.csr_array(X)


def targets(task, loss, X, n_targets=1, seed=1):
    """What ``catalogue.make_data`` makes of dense rows, of a size at which no loss overflows."""
    rng = np.random.default_rng(seed)
    n, d = X.shape
    score = X @ rng.normal(size=(d, n_targets)) + 0.3 * rng.normal(size=(n, n_targets))
    if task == "regression":
        if loss in POSITIVE_TARGETS:
            score = np.exp(0.3 * score / score.std())
        return score[:, 0] if n_targets == 1 else score
    shares = [1 / 3, 2 / 3] if n_targets > 1 else [0.5]
    y = np.digitize(score[:, 0], np.quantile(score[:, 0], shares))
    return np.array(["ant", "bee", "cow"])[y]


def assert_same_fit(model, expected, rtol=1e-8):
    """Equal parameters, relative to the largest, and equal objectives."""
    for name in ("coef_", "intercept_", "loss_curve_"):
        ours, theirs = np.asarray(getattr(model, name)), np.asarray(getattr(expected, name))
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert_allclose(ours, theirs, rtol=0, atol=rtol * max(1e-3, np.abs(theirs).max()))
    assert (model.n_iter_, model.t_) == (expected.n_iter_, expected.t_)


# Textbook mode ------------------------------------------------------------------------------------


@pairwise(
    "task, loss, optimizer",
    STEPPING_TRIPLES,
    l1_ratio=[0.0, 0.3],
    n_targets=[1, 3],
    fit_intercept=[True, False],
    size=[1, 16],
)
def test_textbook_steps_are_those_of_dense_rows(
    task, loss, optimizer, l1_ratio, n_targets, fit_intercept, size
):
    X = rows()
    weight = np.random.default_rng(2).uniform(0.5, 2, size=60) * (np.arange(60) % 5 != 2)
    y = targets(task, loss, X, n_targets)
    model, expected = (
        make(
            task, loss, optimizer, alpha=0.02, l1_ratio=l1_ratio, learning_rate=0.004,
            fit_intercept=fit_intercept, max_iter=4,
            **settable(optimizer, batch_size=size), **TEXTBOOK,
        ).fit(x, y, sample_weight=weight)
        for x in (X, X.toarray())
    )  # fmt: skip
    assert_same_fit(model, expected)
    assert np.abs(expected.coef_).max() > 1e-5


# Optimizers whose steps on the features that a batch lacks are spared exactly, penalty included.
EXACT = ["sgd", "momentum", "nesterov"]


@each_triple
def test_textbook_steps_on_many_features(task, loss, optimizer):
    """As above, where most features are in few batches and steps on the others are spared."""
    X = rows(n=40, d=3000)
    y = targets(task, loss, X)
    model, expected = (
        make(
            task, loss, optimizer, alpha=0.02 if optimizer in EXACT else 0.0, learning_rate=0.01,
            max_iter=4, **settable(optimizer, batch_size=4), **TEXTBOOK,
        ).fit(x, y)
        for x in (X, X.toarray())
    )  # fmt: skip
    assert_same_fit(model, expected, 1e-10 if optimizer in EXACT else 1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "adam"])
@pytest.mark.parametrize("size", [1, 7])
def test_textbook_steps_are_those_of_a_numpy_twin(optimizer, size):
    """The intercept included, whose steps scikit-learn shrinks to a hundredth on sparse rows."""
    X = rows(n=30, d=500)
    y = targets("regression", None, X) + 3
    alpha = 0.1 if optimizer in EXACT else 0.0
    model = make(
        "regression", "squared_error", optimizer, alpha=alpha, learning_rate=0.02, max_iter=5,
        shuffle=False, batch_size=size, **TEXTBOOK,
    ).fit(X, y)  # fmt: skip
    expected = textbook_fit(
        X.toarray(), y, "squared_error", optimizer, 0.02, alpha, epochs=5, batch_size=size
    )
    assert_allclose(model.coef_, expected.coef[-1, 0], rtol=0, atol=1e-8)
    assert_allclose(model.intercept_, expected.intercept[-1, 0], rtol=1e-8)
    assert abs(model.intercept_) > 0.1


# Formats ------------------------------------------------------------------------------------------


def with_indices(X, dtype):
    X = X.copy()
    X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
    return X


def unsorted(X):
    """The numbers of each row stored backwards."""
    order = np.concatenate([
        np.arange(b - 1, a - 1, -1) for a, b in zip(X.indptr, X.indptr[1:], strict=False)
    ]).astype(int)  # fmt: skip
    return sparse.csr_array((X.data[order], X.indices[order], X.indptr), X.shape)


def duplicated(X):
    """Every number as two that add up to it."""
    data = np.repeat(X.data, 2) * np.tile([0.25, 0.75], X.nnz)
    return sparse.csr_array((data, np.repeat(X.indices, 2), 2 * X.indptr), X.shape)


def read_only(X):
    X = X.copy()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    return X


def with_zeros(X):
    X = X.copy()
    X.data[::3] = 0
    return X


FORMATS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "csc_matrix": sparse.csc_matrix,
    "coo_array": sparse.coo_array,
    "coo_matrix": sparse.coo_matrix,
    "lil_array": sparse.lil_array,
    "bsr_array": sparse.bsr_array,
    "int32 indices": partial(with_indices, dtype=np.int32),
    "int64 indices": partial(with_indices, dtype=np.int64),
    "unsorted": unsorted,
    "duplicates": duplicated,
    "read-only": read_only,
}


@each_task
@quietly
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "settings", [{}, TEXTBOOK | {"learning_rate": 0.01, "max_iter": 5, "batch_size": 4}],
    ids=["defaults", "textbook"],
)  # fmt: skip
@pytest.mark.parametrize("d", [12, 2000])
def test_the_format_makes_no_difference(task, kind, settings, d):
    X = rows(d=d)
    X.data = np.round(8 * X.data)  # halves and quarters of them are exact
    y, weight = targets(task, None, X), np.arange(60) % 4
    expected = make(task, **settings).fit(X, y, sample_weight=weight)
    given = FORMATS[kind](X)
    model = make(task, **settings).fit(given, y, sample_weight=weight)
    assert same_model(model, expected)
    for ours, theirs in [(given, X), (given, X.toarray())]:
        assert_allclose(
            model._raw_predict(ours), expected._raw_predict(theirs), rtol=1e-12, atol=1e-12
        )


@each_task
@quietly
@pytest.mark.parametrize("kind", ["csr_matrix", "int64 indices", "unsorted", "duplicates"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_data_is_never_modified(task, kind, dtype):
    X = FORMATS[kind](rows()).astype(dtype)
    arrays = X.data, X.indices, X.indptr
    before = [array.copy() for array in arrays]
    for settings in ({}, TEXTBOOK | {"learning_rate": 0.01}):
        model = make(task, max_iter=20, **settings).fit(X, targets(task, None, X))
        model.predict(X)
    for array, held, copied in zip(arrays, (X.data, X.indices, X.indptr), before, strict=True):
        assert held is array and held.dtype == copied.dtype
        assert_array_equal(array, copied)


@each_task
@pytest.mark.parametrize("d", [12, 2000])
def test_explicit_zeros_are_zeros(task, d):
    settings = TEXTBOOK | {"learning_rate": 0.01, "max_iter": 5, "batch_size": 4, "alpha": 0.0}
    X = with_zeros(rows(d=d))
    y = targets(task, None, X)
    assert (X.data == 0).any()
    model = make(task, **settings).fit(X, y)
    assert_same_fit(model, make(task, **settings).fit(X.toarray(), y), 1e-7)
    default = make(task).fit(X, y)
    X.eliminate_zeros()
    assert_allclose(default.loss_curve_[-1], make(task).fit(X, y).loss_curve_[-1], rtol=2e-6)


@pairwise("task, loss, optimizer", STEPPING_TRIPLES, d=[12, 1500])
def test_float32_in_float32_out(task, loss, optimizer, d):
    X = rows(d=d)
    y = targets(task, loss, X)
    model, expected = (
        make(
            task, loss, optimizer, alpha=0.0, learning_rate=0.01, max_iter=3,
            **settable(optimizer, batch_size=8), **TEXTBOOK,
        ).fit(x, y)
        for x in (X.astype(np.float32), X)
    )  # fmt: skip
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    # Signs, of a step or a margin, may come out differently.
    if optimizer != "lion" and loss != "perceptron":
        assert_allclose(model.coef_, expected.coef_, rtol=0, atol=2e-4)
        assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-3)


@each_task
def test_integers_become_float64(task):
    X = rows()
    X.data = np.round(4 * X.data)
    y = targets(task, None, X)
    for dtype in (np.int32, np.int8, bool):
        model = make(task).fit(X.astype(dtype), y)
        assert model.coef_.dtype == np.float64
        assert same_model(model, make(task).fit(X.astype(dtype).astype(float), y))


SHAPES = {
    "one feature": lambda: rows(d=1)[:, :],
    "two rows": lambda: rows()[2:4],
    "fewer rows than features": lambda: rows(n=8, d=300),
    "full rows": lambda: rows(each=12),
    "no numbers": lambda: sparse.csr_array((20, 5)),
    "one column": lambda: sparse.csr_array(np.eye(20)[:, [3, 3, 3]] * [0.0, 1.0, 0.0]),
}


@each_task
@quietly
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_shapes(task, shape, optimizer, fit_intercept):
    X = SHAPES[shape]()
    y = np.arange(X.shape[0]) % 2 + (0.5 * (task == "regression"))
    settings = {"alpha": 0.05, "fit_intercept": fit_intercept}
    model, dense = (make(task, None, optimizer, **settings).fit(x, y) for x in (X, X.toarray()))
    assert_allclose(model.loss_curve_[-1], dense.loss_curve_[-1], rtol=3e-6)
    assert model.converged_ and dense.converged_
    settings |= {"learning_rate": 0.01, "max_iter": 3, "batch_size": 4, "alpha": 0.0} | TEXTBOOK
    model, dense = (make(task, None, optimizer, **settings).fit(x, y) for x in (X, X.toarray()))
    assert_same_fit(model, dense)
    if not fit_intercept:
        assert_array_equal(model.intercept_, 0)


# Defaults -----------------------------------------------------------------------------------------


def objective(model, loss, X, y, alpha):
    """F of a fitted model, by formulas that are not the package's."""
    params = {"delta": model.delta_} if hasattr(model, "delta_") else {}
    if isinstance(model, GradientClassifier):
        index = np.searchsorted(model.classes_, y)
        if len(model.classes_) == 2:
            y = 2 * index - 1
        else:
            loss = "softmax" if loss == "log_loss" else loss
            y = index if loss == "softmax" else one_vs_rest(index, 3)
    elif y.ndim == 2 and params:
        params = {"delta": np.broadcast_to(model.delta_, y.shape)}
    coef, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    X = X.toarray()
    return batch_objective(coef, intercept, X, y, np.ones(len(y)), loss, params, alpha)[0]


@pairwise(
    "task, loss, optimizer",
    [triple for triple in TRIPLES if triple[2] in ("adam", "sgd", "lbfgs")],
    n_targets=[1, 3],
    shape=[(150, 12), (80, 200)],
)
def test_defaults_reach_the_optimum_of_dense_rows(task, loss, optimizer, n_targets, shape):
    """Sparse rows are scaled, not centred: another way to the same place."""
    X, alpha = rows(*shape), 1e-2
    y = targets(task, loss, X, n_targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if loss == "perceptron" else "error", ConvergenceWarning)
        made = make(task, loss, optimizer, alpha=alpha)
        model, dense = (clone(made).fit(x, y) for x in (X, X.toarray()))
    found = objective(model, loss, X, y, alpha)
    assert_allclose(model.loss_curve_[-1], found, rtol=1e-9, atol=1e-12)
    if loss == "perceptron":  # its minimiser learns nothing
        assert model.score(X, y) > 0.8
        return
    assert model.converged_ and dense.converged_
    if loss == "huber":  # found from residuals, on two ways
        assert_allclose(model.delta_, dense.delta_, rtol=1e-2)
        assert_allclose(found, dense.loss_curve_[-1], rtol=1e-2)
        return
    assert_allclose(found, dense.loss_curve_[-1], rtol=2.2e-6)


@quietly
@pytest.mark.parametrize("loss, optimizer", [("log_loss", "adam"), ("log_loss", "nesterov")])
def test_the_optimum_is_that_of_logistic_regression(loss, optimizer):
    X, alpha = rows(n=300, d=400), 1e-3
    y = targets("classification", loss, X)
    model = make("classification", loss, optimizer, alpha=alpha, tol=1e-10).fit(X, y)
    peer = LogisticRegression(C=1 / (300 * alpha), tol=1e-10, max_iter=10_000).fit(X, y)
    assert_allclose(model.coef_, peer.coef_, atol=1e-4)
    assert_allclose(model.intercept_, peer.intercept_, atol=1e-4)
    assert model.converged_


@each_task
def test_an_l1_penalty_selects_as_on_dense_rows(task):
    X = rows(n=150, d=40)
    y = targets(task, None, X)
    settings = {"alpha": 0.05, "l1_ratio": 0.5, "learning_rate": 0.1, "max_iter": 3000} | TEXTBOOK
    model, dense = (make(task, None, "gd", **settings).fit(x, y) for x in (X, X.toarray()))
    assert_same_fit(model, dense)
    assert_array_equal(model.coef_ == 0, dense.coef_ == 0)
    assert 0 < np.count_nonzero(model.coef_) < 40


@each_task
def test_whitening_would_make_it_dense(task):
    X = rows()
    model = make(task, precondition="whiten")
    with pytest.raises(ValueError, match=r"'whiten' would make sparse X dense.*'scale'"):
        model.fit(X, targets(task, None, X))
    assert not hasattr(model, "coef_")


@each_task
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_must_be_finite(task, bad):
    X = rows()
    y = targets(task, None, X)
    model = make(task).fit(X, y)
    before = model.coef_
    X.data[5] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.fit(X, y)
    assert model.coef_ is before


# The three ways through an epoch ------------------------------------------------------------------


def train(path, optimizer, l2, rates, *, k=1, metric=None, size=8, d=300, dtype="float64"):
    """Weights, optimizer's state and running objectives of three epochs by one of the ways."""
    optimizer = Optimizer.resolve(optimizer)
    X = rows(400, d, 3).astype(dtype)
    y = targets("regression", None, X, 2)[:, :k].astype(dtype, order="C")
    weights = np.zeros((k, d + 1), dtype)
    state = np.zeros((max(1, optimizer.n_slots), k * (d + 1)), dtype)
    options = {}
    if metric is not None:
        options = {"metric": metric.astype(dtype), "coordinates": np.zeros_like(weights)}
    kernel = optimizer._kernel(), optimizer._kernel_row()
    made = Trainer(
        X, y, "values", None, None, None, weights,
        ("squared_error", [], *kernel, l2, 0.0, 1.0), state, np.zeros(1, np.int64),
        batch_size=size, shuffle=True, seed=3, path=path, **options,
    )  # fmt: skip
    history = np.empty(3)
    made.run(0, 3, rates, history)
    return weights, state, history


CONSTANT = np.array([0.02])
VARYING = CONSTANT * np.random.default_rng(5).uniform(0.2, 1, size=150)
MODELS = {
    "one": {},
    "two outputs": {"k": 2},
    "a metric": {"metric": np.random.default_rng(6).uniform(0.5, 2, size=(1, 301))},
    "a metric each": {
        "k": 2, "metric": np.random.default_rng(6).uniform(0.5, 2, size=(2, 301)),
    },
}  # fmt: skip
each_model = pytest.mark.parametrize("model", MODELS)
PATHS = "lazy", "dense"


def assert_close(ours, theirs, rtol):
    for a, b in zip(ours, theirs, strict=True):
        assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())


@each_model
@pytest.mark.parametrize("l2", [0.0, 1e-3, 0.01])
@pytest.mark.parametrize("optimizer", EXACT)
def test_lazy_steps_of_gradient_methods_are_exact(optimizer, l2, model):
    ours, theirs = (train(path, optimizer, l2, CONSTANT, **MODELS[model]) for path in PATHS)
    assert_close(ours, theirs, 1e-12)


@pytest.mark.parametrize("rates", [CONSTANT, VARYING], ids=["constant", "varying"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("l2", [0.0, 1e-3, 0.05, 20.0])
def test_direct_steps_are_exact(rates, k, l2):
    """Also where the weights' common factor is renewed many times: 0.6 a step."""
    ours, theirs = (train(path, "sgd", l2, rates, k=k) for path in ("direct", "dense"))
    assert_close(ours, theirs, 1e-12)


ADAPTIVE = ["rmsprop", "adagrad", "adam", "amsgrad", AdamW(weight_decay=1.0)]


@each_model
@pytest.mark.parametrize("rates", [CONSTANT, VARYING], ids=["constant", "varying"])
@pytest.mark.parametrize("optimizer", ["sgd", *ADAPTIVE], ids=str)
def test_lazy_steps_without_a_penalty_are_exact(optimizer, rates, model):
    """Those with a momentum but for the second order in epsilon over the root of the squares."""
    ours, theirs = (train(path, optimizer, 0.0, rates, **MODELS[model]) for path in PATHS)
    assert_close(ours, theirs, 1e-12 if optimizer in ("sgd", "rmsprop", "adagrad") else 2e-8)
    assert_close(ours[2:], theirs[2:], 1e-8)


@each_model
def test_lazy_steps_under_varying_rates(model):
    """Products of decays to the third order in rate times penalty."""
    for l2, rtol in ((1e-3, 1e-11), (0.05, 1e-6)):
        ours, theirs = (train(path, "sgd", l2, VARYING, **MODELS[model]) for path in PATHS)
        assert_close(ours, theirs, rtol)


# How much of the penalty's effect on the weights may be missed, in the mean square. Measured, at
# most: 0.041, 0.037, 0.065, 0.064 and 0.107.
MISSED = dict(zip(map(str, ADAPTIVE), [0.06, 0.06, 0.1, 0.1, 0.15], strict=True))


@each_model
@pytest.mark.parametrize("rates", [CONSTANT, VARYING], ids=["constant", "varying"])
@pytest.mark.parametrize("optimizer", ADAPTIVE, ids=str)
def test_lazy_steps_with_a_penalty_are_close(optimizer, rates, model):
    for l2 in (1e-6, 1e-4, 1e-2):
        lazy, dense = (train(path, optimizer, l2, rates, **MODELS[model])[0] for path in PATHS)
        without = train("dense", optimizer, 0.0, rates, **MODELS[model])[0]
        effect, missed = np.linalg.norm(dense - without), np.linalg.norm(lazy - dense)
        assert 0 < missed < MISSED[str(optimizer)] * effect + 1e-8 * np.linalg.norm(dense)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adagrad", "adam", "amsgrad"])
def test_lazy_steps_in_float32(optimizer):
    ours, theirs = (
        train(path, optimizer, 1e-3 if optimizer in EXACT else 0.0, VARYING * 0 + 0.02, dtype=dtype)
        if optimizer != "momentum"
        else train(path, optimizer, 1e-3, CONSTANT, dtype=dtype)
        for path, dtype in (("lazy", "float32"), ("dense", "float64"))
    )
    assert ours[0].dtype == np.float32
    assert_allclose(ours[0], theirs[0], rtol=0, atol=2e-5 * np.abs(theirs[0]).max())


def fits_by_path(monkeypatch, model, X, y):
    """One fit for each way that there is, and one that may choose."""
    fits = {}
    for path in ("dense", "direct", "lazy", None):
        if path == "direct" and not isinstance(Optimizer.resolve(model.optimizer), SGD):
            continue
        monkeypatch.setattr(_objective, "Trainer", partial(Trainer, path=path))
        fits[path] = model.fit(X, y).coef_
    monkeypatch.undo()
    return fits


@pytest.mark.parametrize(
    "optimizer, d, alpha, l1_ratio, chosen",
    [
        ("sgd", 30, 0.1, 0, "direct"),
        ("sgd", 5000, 0.1, 0, "direct"),
        ("sgd", 5000, 0.1, 0.5, "dense"),
        ("momentum", 30, 0.1, 0, "dense"),
        ("momentum", 5000, 0.1, 0, "lazy"),
        ("momentum", 5000, 0.1, 0.5, "dense"),
        ("adam", 30, 0.0, 0, "dense"),
        ("adam", 5000, 0.0, 0, "lazy"),
        ("rmsprop", 5000, 0.0, 0, "lazy"),
    ],
)
def test_the_cheapest_way_is_chosen(monkeypatch, optimizer, d, alpha, l1_ratio, chosen):
    X = rows(n=100, d=d, each=6)
    model = make(
        "regression", None, optimizer, alpha=alpha, l1_ratio=l1_ratio, learning_rate=0.01,
        max_iter=3, batch_size=4, **TEXTBOOK,
    )  # fmt: skip
    if l1_ratio > 0:
        expected = model.fit(X.toarray(), targets("regression", None, X)).coef_
        assert_allclose(model.fit(X, targets("regression", None, X)).coef_, expected, atol=1e-12)
        return
    fits = fits_by_path(monkeypatch, model, X, targets("regression", None, X))
    assert_array_equal(fits[None], fits[chosen])
    for path, coef in fits.items():
        if path not in (chosen, None):
            assert not np.array_equal(coef, fits[chosen]), path
        assert_allclose(coef, fits["dense"], rtol=0, atol=1e-6 * np.abs(coef).max())


@pytest.mark.parametrize("optimizer", ["nadam", "radam", "adamax", "adadelta", "lion"])
def test_other_optimizers_go_the_dense_way(monkeypatch, optimizer):
    X = rows(n=100, d=3000)
    y = targets("regression", None, X)
    settings = {"alpha": 0.1, "learning_rate": 0.01, "max_iter": 3, "batch_size": 4} | TEXTBOOK
    free = make("regression", None, optimizer, **settings).fit(X, y)
    monkeypatch.setattr(_objective, "Trainer", partial(Trainer, path="dense"))
    assert_array_equal(free.coef_, make("regression", None, optimizer, **settings).fit(X, y).coef_)


# The engine's sums --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("k", [1, 3])
def test_sums_over_rows_are_those_of_numpy(dtype, k):
    X = rows(n=6000, d=50).astype(dtype)
    y = targets("regression", None, X, max(k, 2))[:, :k].astype(dtype, order="C")
    used = np.flatnonzero(np.arange(6000) % 3).astype(np.uint32)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=6000)
    weight = (weight / weight[used].mean()).astype(dtype)
    weights = np.random.default_rng(1).normal(size=(k, 51)).astype(dtype)
    made = Trainer(
        X, y, "values", weight, used, None, weights,
        ("squared_error", [], "sgd", [], 0.3, 0.0, 1.0), np.zeros((1, k * 51), dtype),
        np.zeros(1, np.int64), batch_size=5000, shuffle=False, seed=0,
    )  # fmt: skip
    gradient = np.empty((k, 51))
    found = made.evaluate(gradient)
    W = weights.astype(float)
    value, coef, intercept = batch_objective(
        W[:, :50], W[:, 50], X.toarray()[used].astype(float), y[used].astype(float),
        weight[used].astype(float), "squared_error", {}, 0.3,
    )  # fmt: skip
    rtol = 1e-12 if dtype == "float64" else 2e-5
    assert_allclose(found, value, rtol=rtol)
    assert_allclose(gradient, np.column_stack([coef, intercept]), atol=rtol * abs(value))

    sums, mass = column_moments(X, weight, used, np.zeros(50))
    x, w = X.toarray()[used].astype(float), weight[used].astype(float)[:, None]
    assert_allclose(mass, w.sum())
    assert_allclose(sums, [(w * x).sum(axis=0), (w * x**2).sum(axis=0)], rtol=1e-10, atol=1e-10)


# Size ---------------------------------------------------------------------------------------------

SCRIPT = """
import resource, sys
import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
import warnings
from sklearn_lossopt import GradientClassifier, GradientRegressor

warnings.simplefilter("ignore", ConvergenceWarning)
loss, optimizer, settings = {case!r}
n, d, each = 2000, 1_000_000, 20
rng = np.random.default_rng(0)
X = sparse.csr_array(
    (rng.normal(size=n * each), rng.integers(d, size=n * each), each * np.arange(n + 1)), (n, d))
X.sum_duplicates()
score = X @ rng.normal(size=d)
kind = GradientClassifier if loss in ("log_loss", "hinge", "squared_hinge") else GradientRegressor
model = kind(loss, optimizer, max_iter=5, random_state=0, **settings)
y = (score > 0).astype(int) if kind is GradientClassifier else score
kind(loss, optimizer, max_iter=2, random_state=0, **settings).fit(X[:, :500], y)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(X, y)
model.predict(X)
if kind is GradientClassifier:
    model.decision_function(X)
if loss == "log_loss":
    model.predict_proba(X)
assert model.score(X, y) > 0.5
rise = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(rise * (1 if sys.platform == "darwin" else 1024) / (8 * d))
"""
FAST = {"learning_rate": 0.05, "alpha": 0.0, "batch_size": 16} | TEXTBOOK


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("log_loss", "adam", {}),
        ("hinge", "sgd", {}),
        ("squared_hinge", "momentum", {"alpha": 1e-2}),
        ("log_loss", "adam", FAST),
    ],
    ids=str,
)
def test_a_million_features(case):
    """Vectors of a million numbers, some dozens; dense rows would be 2,000 of them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(case=case)], env=os.environ, stdout=subprocess.PIPE,
        check=True, text=True, timeout=300,
    )  # fmt: skip
    assert float(done.stdout) < 60


# In company ---------------------------------------------------------------------------------------

TEXTS = ["good film", "bad film", "a good, good plot", "what a bad ending", "great", "awful"] * 5
MOODS = np.array(["like", "dislike"] * 15)


@quietly
@pytest.mark.parametrize("words", [HashingVectorizer(n_features=2**11), TfidfVectorizer()])
def test_texts(words):
    search = GridSearchCV(
        make_pipeline(words, make("classification")),
        {"gradientclassifier__loss": ["log_loss", "hinge"],
         "gradientclassifier__alpha": [1e-3, 1e-2]},
        cv=3, error_score="raise",
    ).fit(TEXTS, MOODS)  # fmt: skip
    assert search.best_score_ > 0.9
    assert_array_equal(search.predict(["a good ending", "a bad plot"]), ["like", "dislike"])


@each_task
def test_one_hot_columns(task):
    rng = np.random.default_rng(0)
    towns = rng.integers(5, size=(200, 1))
    y = np.array([3.0, 1, 4, 1, 5])[towns[:, 0]] + 0.1 * rng.normal(size=200)
    y = y if task == "regression" else y > 2
    weight = rng.uniform(0.5, 2, size=200)
    given, dense = (
        make_pipeline(OneHotEncoder(sparse_output=sparse_output), make(task))
        for sparse_output in (True, False)
    )
    for pipeline in (given, dense):
        pipeline.fit(towns, y, **{f"{pipeline.steps[-1][0]}__sample_weight": weight})
    assert sparse.issparse(given[0].transform(towns))
    assert_allclose(given[-1].loss_curve_[-1], dense[-1].loss_curve_[-1], rtol=2e-6)
    assert cross_val_score(given, towns, y, error_score="raise").mean() > 0.95


@each_task
def test_weights_are_repeated_rows(task):
    X = rows(n=80, d=300)
    y, weight = targets(task, None, X), np.arange(80) % 3
    model = make(task, optimizer="gd").fit(X, y, sample_weight=weight)
    again = np.repeat(np.arange(80), weight)
    repeated = make(task, optimizer="gd").fit(X[again], y[again])
    assert_allclose(model.loss_curve_[-1], repeated.loss_curve_[-1], rtol=2e-6)


@each_task
@quietly
def test_predictions_do_not_depend_on_the_kind_of_rows(task):
    X = rows()
    model = make(task).fit(X, targets(task, None, X))
    again = pickle.loads(pickle.dumps(model))
    for other in (X.toarray(), X.tocsc(), X.tocoo(), sparse.csr_matrix(X), X.astype(np.float32)):
        assert_allclose(again._raw_predict(other), model._raw_predict(X), rtol=1e-5, atol=1e-6)
        assert type(again.predict(other)) is np.ndarray
    dense = make(task).fit(X.toarray(), targets(task, None, X))
    assert_allclose(dense._raw_predict(X), dense._raw_predict(X.toarray()), rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="12 features"):
        model.predict(X[:, :7])


@each_task
@pytest.mark.parametrize("settings", [{}, {"batch_size": 4, "learning_rate": 0.01} | TEXTBOOK])
def test_the_same_seed_gives_the_same_bits(task, settings):
    X = rows(n=100, d=2000)
    y = targets(task, None, X, 3 if task == "classification" else 1)
    fits = [make(task, max_iter=10, **settings) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert same_model(*(model.fit(X, y) for model in fits))


def test_a_warm_start_goes_on():
    X = rows(n=50, d=2000)
    y = targets("regression", None, X)
    settings = {"alpha": 0.0, "learning_rate": 0.01, "batch_size": 4} | TEXTBOOK
    for optimizer in ("momentum", "adam"):
        whole = make("regression", None, optimizer, max_iter=6, **settings).fit(X, y)
        parts = make("regression", None, optimizer, max_iter=3, warm_start=True, **settings)
        parts.fit(X, y).fit(X, y)
        assert_allclose(parts.coef_, whole.coef_, rtol=0, atol=1e-12)


@each_task
@quietly
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array", "duplicates", "dense"])
def test_validation_rows_of_any_kind(task, kind):
    X = rows(n=150, d=40)
    y = targets(task, None, X)
    given = X[100:].toarray() if kind == "dense" else FORMATS[kind](X[100:])
    model = make(task).fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    other = make(task).fit(X[:100], y[:100], X_val=given, y_val=y[100:])
    assert_allclose(other.validation_curve_, model.validation_curve_, rtol=1e-9)
    stopped = make(task, early_stopping=True).fit(X, y)
    assert len(stopped.validation_curve_) == stopped.n_iter_


class Cube(RegressionLoss):
    """A third of the residual's size cubed."""

    def loss_gradient(self, y, raw):
        r = raw - y
        return np.abs(r) ** 3 / 3, r * np.abs(r)


class Slow(Optimizer):
    """Gradient steps of half the size."""

    def step(self, parameters, gradient, state, t, learning_rate):
        parameters -= 0.5 * learning_rate * gradient


@pytest.mark.parametrize("d", [12, 2000])
def test_components_in_numpy(d):
    X = rows(d=d)
    y = targets("regression", None, X)
    settings = {"learning_rate": 0.005, "max_iter": 4, "batch_size": 4} | TEXTBOOK
    for loss, optimizer in [(Cube(), "sgd"), (Cube(), "momentum"), ("squared_error", Slow())]:
        model, dense = (
            GradientRegressor(loss, optimizer, random_state=0, **settings).fit(x, y)
            for x in (X, X.toarray())
        )
        assert_same_fit(model, dense, 1e-12)
