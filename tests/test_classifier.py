"""What only GradientClassifier promises: labels, class weights, scores and probabilities."""

import warnings

import numpy as np
import pandas as pd
import pytest
from catalogue import PAIRS, TEXTBOOK, make, make_data, same_model, spellings
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_softmax, softmax
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_lossopt import GradientClassifier, losses
from sklearn_lossopt._estimators.labels import distinct
from sklearn_lossopt._estimators.prediction import top_classes
from sklearn_lossopt.losses import Huber

CLASSIFICATION = [loss for task, loss in PAIRS if task == "classification"]
PROBABILISTIC = [loss for loss in CLASSIFICATION if losses.registry()[loss].has_proba]


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_shapes_are_those_of_logistic_regression(loss, n_classes, fit_intercept):
    X, y = make_data("classification", n=100, n_targets=n_classes - 1)
    model = make("classification", loss, fit_intercept=fit_intercept, alpha=0.01).fit(X, y)
    peer = LogisticRegression(fit_intercept=fit_intercept).fit(X, y)
    assert model.coef_.shape == peer.coef_.shape
    assert model.intercept_.shape == ((1,) if n_classes == 2 else (n_classes,))
    assert_array_equal(model.classes_, peer.classes_)
    scores = model.decision_function(X)
    assert scores.shape == peer.decision_function(X).shape
    raw = X @ model.coef_.T + model.intercept_
    assert_allclose(scores, raw[:, 0] if n_classes == 2 else raw, rtol=1e-12)
    chosen = scores.argmax(axis=1) if n_classes > 2 else (scores > 0).astype(int)
    assert_array_equal(model.predict(X), model.classes_[chosen])
    if not fit_intercept:
        assert np.all(model.intercept_ == 0)


LABELS = {
    "strings": np.array(["north", "south", "west"]),
    "objects": np.array(["north", "south", "west"], dtype=object),
    "signs": np.array([-1, 0, 1]),
    "floats": np.array([0.0, 5.0, 7.0]),
    "large": np.array([10**15, 10**15 + 1, 10**15 + 2]),
    "bytes": np.array([0, 100, 255], dtype=np.uint8),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_error"])
def test_labels_are_given_back(kind, n_classes, loss):
    X, y = make_data("classification", n_targets=n_classes - 1)
    labels = LABELS[kind]
    model, plain = make("classification", loss).fit(X, labels[y]), make("classification", loss)
    plain.fit(X, y)
    assert same_model(model, plain)
    assert_array_equal(model.classes_, labels[:n_classes])
    assert model.predict(X).dtype == labels.dtype
    assert_array_equal(model.predict(X), labels[plain.predict(X)])
    assert model.score(X, labels[y]) == plain.score(X, y)


@pytest.mark.parametrize("wrap", [list, pd.Series, lambda y: pd.Series(y, dtype="category")])
def test_labels_in_other_containers(wrap):
    X, y = make_data("classification")
    labels = np.array(["no", "yes"])[y]
    model = make("classification").fit(X, wrap(labels))
    assert same_model(model, make("classification").fit(X, labels))
    assert_array_equal(model.classes_, ["no", "yes"])


def test_boolean_labels():
    X, y = make_data("classification")
    model = make("classification").fit(X, y == 1)
    assert model.predict(X).dtype == bool
    assert same_model(model, make("classification").fit(X, y))


def test_a_class_without_weight_is_no_class():
    X, y = make_data("classification", n_targets=2)
    model = make("classification").fit(X, y, sample_weight=(y < 2).astype(float))
    assert_array_equal(model.classes_, [0, 1])
    assert model.coef_.shape == (1, 4)


# Class weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", CLASSIFICATION)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", [{0: 0.5, 1: 3.0, 2: 1.0}, {0: 2, 1: 1, 2: 0}, {1: 2.5}])
def test_class_weights_are_sample_weights(loss, weighted, class_weight):
    X, y = make_data("classification", n_targets=2)
    class_weight = {0: 1, 1: 1, 2: 1} | class_weight
    given = np.random.default_rng(0).gamma(2, size=len(X)) if weighted else None
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 7, "max_iter": 10}
    model = make("classification", loss, class_weight=class_weight, **settings)
    model.fit(X, y, sample_weight=given)
    total = np.array([class_weight[label] for label in y]) * (given if weighted else 1.0)
    if class_weight[2] == 0:
        # The class stays one of the model's: class weights do not remove classes.
        assert model.coef_.shape == (3, 4)
        return
    plain = make("classification", loss, **settings).fit(X, y, sample_weight=total)
    assert_allclose(model.coef_, plain.coef_, rtol=1e-10, atol=1e-14)


def test_class_weights_by_label():
    X, y = make_data("classification")
    labels = np.array(["no", "yes"])[y]
    by_label = make("classification", class_weight={"no": 0.5, "yes": 3}).fit(X, labels)
    by_index = make("classification", class_weight={0: 0.5, 1: 3}).fit(X, y)
    assert same_model(by_label, by_index)


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_weighs_classes_equally(weighted):
    X, y = make_data("classification", n=200, n_targets=2)
    X, y = X[(y != 1) | (np.arange(len(y)) % 4 == 0)], y[(y != 1) | (np.arange(len(y)) % 4 == 0)]
    given = np.random.default_rng(0).gamma(2, size=len(X)) if weighted else np.ones(len(X))
    model = make("classification", class_weight="balanced", tol=1e-12)
    model.fit(X, y, sample_weight=given if weighted else None)
    if weighted:
        mass = np.bincount(y, weights=given)
        total = given * mass.sum() / (3 * mass[y])
    else:
        total = compute_sample_weight("balanced", y)
    plain = make("classification", tol=1e-12).fit(X, y, sample_weight=total)
    assert_allclose(model.coef_, plain.coef_, rtol=1e-6)
    # Each class has the same share of the objective.
    assert_allclose(np.bincount(y, weights=total), len(y) / 3 if not weighted else total.sum() / 3)


def test_balanced_weights_that_overflow_are_refused_by_class():
    X, y = make_data("classification", n_targets=1)
    model = make("classification", class_weight="balanced")
    weight = np.where(y == y[0], 1e-290, 1e190)
    with pytest.raises(ValueError, match=rf"sample_weight of {y[0]} is too small .*='balanced'"):
        model.fit(X, y, sample_weight=weight)


def test_balanced_ignores_rows_of_weight_zero():
    X, y = make_data("classification")
    weight = np.where(np.arange(len(X)) % 3 == 0, 0.0, 1.0)
    model = make("classification", class_weight="balanced")
    kept = weight > 0
    assert_allclose(
        model.fit(X, y, sample_weight=weight).coef_.copy(),
        model.fit(X[kept], y[kept]).coef_,
        rtol=1e-8,
    )


# Probabilities ------------------------------------------------------------------------------------


def test_probabilities_are_the_softmax():
    for load in (load_iris, load_wine):
        X, y = load(return_X_y=True)
        model = make("classification").fit(X, y)
        scores = model.decision_function(X)
        assert_allclose(model.predict_proba(X), softmax(scores, axis=1), rtol=1e-12)
        assert_allclose(model.predict_log_proba(X), log_softmax(scores, axis=1), rtol=1e-12)


def test_probabilities_of_two_classes_are_the_sigmoid():
    X, y = make_data("classification")
    model = make("classification").fit(X, y)
    scores = model.decision_function(X)
    assert_allclose(model.predict_proba(X)[:, 1], expit(scores), rtol=1e-12)
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", PROBABILISTIC)
def test_probabilities_sum_to_one_and_agree_with_predict(loss, n_classes):
    X, y = make_data("classification", n=200, n_targets=n_classes - 1)
    model = make("classification", loss, alpha=0.01).fit(X, y)
    far = np.vstack([X, 1e6 * X, np.zeros_like(X[:1])])
    p = model.predict_proba(far)
    assert p.shape == (len(far), n_classes)
    assert (p >= 0).all() and (p <= 1).all()
    assert_allclose(p.sum(axis=1), 1)
    with np.errstate(divide="ignore"):
        assert_allclose(np.exp(model.predict_log_proba(far)), p, atol=1e-15)
    chosen = p.argmax(axis=1)
    certain = np.partition(p, -2, axis=1)[:, -1] > np.partition(p, -2, axis=1)[:, -2]
    assert_array_equal(model.classes_[chosen][certain], model.predict(far)[certain])


def test_log_probabilities_do_not_underflow():
    X, y = make_data("classification", n_targets=2)
    for target in (y, y == 1):
        model = make("classification").fit(X, target)
        log_p = model.predict_log_proba(1e6 * X)
        assert np.isfinite(log_p).all() and (log_p < -745).any()


def test_probabilities_are_calibrated_on_average():
    """With an intercept, the optimum's mean probability is the share of the class."""
    X, y = make_data("classification", n=300, n_targets=2)
    model = make("classification", tol=1e-12, alpha=0.01).fit(X, y)
    assert_allclose(model.predict_proba(X).mean(axis=0), np.bincount(y) / len(y), atol=1e-4)


def test_float32_probabilities():
    X, y = make_data("classification", n_targets=2)
    model = make("classification").fit(X.astype(np.float32), y)
    p = model.predict_proba(X.astype(np.float32))
    assert p.dtype == np.float32
    assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


# Several classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    "loss", [loss for loss in CLASSIFICATION if not losses.registry()[loss].joint]
)
def test_margin_losses_are_one_vs_rest(loss, optimizer):
    if loss == "huber":
        loss = Huber(delta=0.5)
    X, y = make_data("classification", n_targets=2)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 7, "max_iter": 5}
    together = make("classification", loss, optimizer, **settings).fit(X, y)
    for label in range(3):
        alone = make("classification", loss, optimizer, **settings).fit(X, y == label)
        assert_allclose(together.coef_[label], alone.coef_[0], rtol=1e-9, atol=1e-13)
        assert_allclose(together.intercept_[label], alone.intercept_[0], rtol=1e-9, atol=1e-13)


def test_many_classes():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 12)), np.arange(900) % 40
    X[np.arange(900), y % 12] += 4
    model = make("classification", batch_size=50).fit(X, y)
    assert model.coef_.shape == (40, 12)
    assert model.score(X, y) > 3 / 40


def test_the_order_of_two_labels_only_flips_signs():
    X, y = make_data("classification")
    model = make("classification", tol=1e-12).fit(X, y)
    other = make("classification", tol=1e-12).fit(X, 1 - y)
    assert_allclose(other.coef_, -model.coef_, rtol=1e-5)


@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_separable_classes_are_told_apart(loss):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(40, 2)) + 6, rng.normal(size=(40, 2)) - 6])
    y = np.repeat(["above", "below"], 40)
    model = make("classification", loss)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.score(X, y) == 1
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("loss", spellings(losses))
def test_probabilities_are_offered_before_fitting(loss):
    if losses.registry()[spellings(losses)[loss]].classification:
        expected = losses.registry()[spellings(losses)[loss]].has_proba
        assert hasattr(GradientClassifier(loss), "predict_proba") == expected
    else:
        assert not hasattr(GradientClassifier(loss), "predict_proba")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (20_000, 5), (3, 30_000)])
def test_the_first_of_equal_scores_is_predicted(shape, dtype):
    rng = np.random.default_rng(0)
    levels = rng.integers(-3, 3, shape)
    scores = (levels * 1e3 * (1 + np.finfo(dtype).eps * rng.random(shape))).astype(dtype)
    # Of integers, argmax is the first.
    assert_array_equal(top_classes(scores), levels.argmax(axis=1))
    assert_array_equal(top_classes(np.asfortranarray(scores)), levels.argmax(axis=1))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_distinct_labels_are_those_of_numpy(dtype):
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    for low, high in ((least, most), (least, least + 3), (most - 3, most), (0, 100)):
        for size in (1, 3, 10, 1000):
            y = rng.integers(low, high, size, dtype=dtype, endpoint=True)
            found, expected = distinct(y), np.unique(y)
            assert found.dtype == dtype and np.array_equal(found, expected)
