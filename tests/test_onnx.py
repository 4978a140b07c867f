"""Graphs that onnxruntime runs, with the predictions of the models that they were made of."""

import numpy as np
import pandas as pd
import pytest
from catalogue import PAIRS, make, make_data
from cover import pairwise
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_lossopt import (
    GradientClassifier,
    GradientHalvingSearchCV,
    GradientRegressor,
    GradientSearchCV,
)
from sklearn_lossopt._engine import ACTIVATION_KERNELS
from sklearn_lossopt.losses import LogLoss, Poisson, RegressionLoss
from sklearn_lossopt.losses._links import Link, ProbabilityLink
from sklearn_lossopt.preprocessing import PiecewiseLinearEncoder, SmoothClipScaler

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
converters = pytest.importorskip("sklearn_lossopt.onnx")

CLASSIFICATION = [loss for task, loss in PAIRS if task == "classification"]
TENSORS = {"zipmap": False}


def session(model, X, **options):
    graph = skl2onnx.to_onnx(model, X[:1], **options)
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def run(model, X, **options):
    """What a model's graph makes of X; each column of a frame is an input."""
    given = {name: X[[name]].to_numpy() for name in X} if isinstance(X, pd.DataFrame) else {"X": X}
    return session(model, X, **options).run(None, given)


def expected_numbers(model, X):
    """Probabilities or, where there are none, the scores of each class."""
    with np.errstate(over="ignore", invalid="ignore"):
        if hasattr(model, "predict_proba"):
            return model.predict_proba(X)
        scores = model.decision_function(X)
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores


def extreme_rows(X, dtype, seed=1):
    """The rows of X, and random ones of sizes 1e-18 to 1e18."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-18, 18, size=(200, 1))
    return np.vstack([X, rng.normal(size=(200, X.shape[1])) * sizes]).astype(dtype)


def assert_same(found, expected, dtype, tolerance):
    """Numbers within a tolerance once the expected ones are of the same type."""
    assert found.dtype == dtype
    with np.errstate(over="ignore"):
        expected = expected.astype(dtype)
    assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pairwise(
    "task, loss", PAIRS,
    hidden=[(), (5, 4)], n_targets=[1, 2], kept=[np.float32, np.float64],
    given=[np.float32, np.float64],
)  # fmt: skip
def test_every_loss(task, loss, hidden, n_targets, kept, given):
    X, y = make_data(task, loss, n_targets=n_targets)
    model = make(task, loss, max_iter=10, tol=0, hidden_layer_sizes=hidden)
    model.fit(X.astype(kept), y)
    X = extreme_rows(X, given)
    tolerance = 1e-5 if np.float32 in (kept, given) else 1e-12
    *label, numbers = run(model, X, options=TENSORS if task == "classification" else None)
    if task == "regression":
        assert_same(numbers, model.predict(X).reshape(len(X), -1), given, tolerance)
    else:
        assert_array_equal(label[0], model.predict(X))
        assert_same(numbers, expected_numbers(model, X), given, tolerance)


@pytest.mark.parametrize("given", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATION_KERNELS)
def test_every_activation(activation, given):
    X, y = make_data("regression", n_targets=2)
    model = make("regression", max_iter=10, tol=0, hidden_layer_sizes=(4, 3), activation=activation)
    model.fit(X.astype(given), y)
    X = extreme_rows(X, given)
    tolerance = 1e-5 if given == np.float32 else 1e-12
    assert_same(run(model, X)[0], model.predict(X), given, tolerance)


def test_float32_rows_lose_no_digits_of_a_float64_model():
    """In float32, a sum with terms of 1e8 would have no digit after the point."""
    X, y = make_data("regression")
    X = (X + 1e7).astype(np.float32)
    model = make("regression").fit(X.astype(np.float64), y)
    assert_same(run(model, X)[0][:, 0], model.predict(X), np.float32, 1e-6)
    assert np.abs(model.coef_).max() * 1e7 > 1e6


@pytest.mark.parametrize(
    "dtype", [str, object, np.int64, np.int32, np.uint8, bool, np.float64], ids=str
)
@pytest.mark.parametrize("zipmap", [True, False, "columns"])
def test_labels_and_zipmap(dtype, zipmap):
    n_targets = 1 if dtype is bool else 2
    X, y = make_data("classification", n_targets=n_targets)
    X = X.astype(np.float32)
    kinds = {str: np.array(["no", "perhaps", "yes"]), object: np.array(["a", "é", "c"], object)}
    labels = kinds[dtype][y] if dtype in kinds else (3 * y).astype(dtype)
    model = make("classification", max_iter=10, tol=0).fit(X, labels)
    found, *numbers = run(model, X, options={"zipmap": zipmap})
    assert_array_equal(found, model.predict(X))
    if zipmap is True:
        assert [set(row) for row in numbers[0]] == [set(model.classes_)] * len(X)
        numbers = [[[row[label] for label in model.classes_] for row in numbers[0]]]
    elif zipmap == "columns":
        numbers = [np.stack(numbers, axis=1)]
    assert_allclose(numbers[0], model.predict_proba(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_raw_scores_and_indices_in_place_of_labels(loss):
    X, y = make_data("classification", n_targets=2)
    X = X.astype(np.float32)
    model = make("classification", loss, max_iter=10, tol=0).fit(X, np.array(["a", "b", "c"])[y])
    label, scores, names = run(
        model, X, options={**TENSORS, "raw_scores": True, "output_class_labels": True}
    )
    assert_array_equal(label, model.predict(X))
    assert_array_equal(names, model.classes_)
    assert_same(scores, model.decision_function(X), np.float32, 1e-5)
    label, _ = run(model, X, options={**TENSORS, "nocl": True})
    assert_array_equal(model.classes_[label], model.predict(X))


def test_ties_go_to_the_first_class_up_to_rounding():
    X, y = make_data("classification", n_targets=2)
    model = make("classification", "hinge", max_iter=3, tol=0).fit(X, y)
    model.coef_[:] = model.coef_[0]
    model.intercept_[:] = model.intercept_[0]
    model.coef_[1] *= 1 + 1e-15
    model.coef_[2, 0] += 1e-3
    expected = model.predict(X)
    assert_array_equal(run(model, X, options=TENSORS)[0], expected)
    assert set(expected) == {0, 2}


# Pipelines ----------------------------------------------------------------------------------------


def frame():
    X, y = make_data("classification", n_targets=2)
    data = pd.DataFrame(X, columns=list("abcd"))
    data["count"] = np.arange(len(data)) % 7
    data["text"] = np.where(np.arange(len(data)) % 3 > 0, "u", "v")
    return data, np.array(["no", "perhaps", "yes"])[y]


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_a_pipeline_with_a_column_transformer_on_a_frame(loss):
    data, y = frame()
    model = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["a", "b"]), (OneHotEncoder(), ["text"]),
            ("passthrough", ["count", "d"]),
        ),
        make("classification", loss),
    ).fit(data, y)  # fmt: skip
    label, numbers = run(model, data, options=TENSORS)
    assert_array_equal(label, model.predict(data))
    assert_allclose(numbers, expected_numbers(model, data), rtol=1e-5, atol=1e-6)


def test_a_frame_without_a_pipeline():
    data, y = frame()
    model = make("regression").fit(data.drop(columns="text"), y == "yes")
    (found,) = run(model, data.drop(columns="text"))
    assert_allclose(found[:, 0], model.predict(data.drop(columns="text")), rtol=1e-12)
    with pytest.raises(ValueError, match="the input 'text' is text"):
        skl2onnx.to_onnx(model, data[:1])


def test_rows_of_integers():
    X = np.arange(80).reshape(20, 4) % 7
    model = make("regression", "poisson").fit(X, X[:, 0])
    found = run(model, X)[0][:, 0]
    assert found.dtype == np.float32
    assert_allclose(found, model.predict(X), rtol=1e-6)


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_inside_other_estimators(loss, n_targets):
    X, y = make_data("classification", n_targets=n_targets)
    X = X.astype(np.float32)
    one, grid = make("classification", loss, max_iter=10, tol=0), {"alpha": [0.1, 0.01]}
    models = [CalibratedClassifierCV(one, cv=2, ensemble=False), GridSearchCV(one, grid, cv=2)]
    # skl2onnx stacks scores of two classes as two columns, of any classifier.
    if loss == "log_loss" or n_targets > 1:
        models += [StackingClassifier([("one", one), ("two", clone(one))], one, cv=2)]
    for model in models:
        model.fit(X, y)
        label, numbers = run(model, X, options=TENSORS)
        assert_array_equal(label, model.predict(X))
        assert_allclose(numbers, expected_numbers(model, X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("search", [GradientSearchCV, GradientHalvingSearchCV])
@pytest.mark.parametrize("piped", [False, True])
def test_a_search_is_its_best_model(search, piped):
    X, y = make_data("classification", n_targets=2)
    X = X.astype(np.float32)
    model, name = make("classification", "hinge"), "alpha"
    if piped:
        model, name = make_pipeline(StandardScaler(), model), f"gradientclassifier__{name}"
    model = search(model, {name: [0.1, 0.01, 0.001]}, cv=2).fit(X, y)
    label, numbers = run(model, X, options=TENSORS)
    assert_array_equal(label, model.predict(X))
    assert_allclose(numbers, model.decision_function(X), rtol=1e-5, atol=1e-5)


def test_a_sparse_coef():
    X, y = make_data("regression", n_targets=2)
    model = make("regression", l1_ratio=1.0, alpha=0.3).fit(X, y).sparsify()
    assert_allclose(run(model, X)[0], model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_versions_of_the_operators(opset):
    X, y = make_data("classification", n_targets=2)
    model = make("classification", "modified_huber", max_iter=10, tol=0).fit(X, y)
    label, numbers = run(model, X, options=TENSORS, target_opset=opset)
    assert_array_equal(label, model.predict(X))
    assert_allclose(numbers, model.predict_proba(X), rtol=1e-12)


def test_what_cannot_be_converted():
    X, y = make_data("regression")
    for model in (GradientRegressor(), GradientClassifier()):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            skl2onnx.to_onnx(model, X[:1])
    model = make("regression", max_iter=3, tol=0).fit(X, y)
    with pytest.raises(ValueError, match="target_opset=12 is too old"):
        skl2onnx.to_onnx(model, X[:1], target_opset=12)


# Losses of one's own ------------------------------------------------------------------------------


class Counts(RegressionLoss):
    """A log link that only its method states."""

    def loss_gradient(self, y, raw):
        return np.exp(raw) - y * raw, np.exp(raw) - y

    def _predict(self, raw):
        return np.exp(raw)


class LinkedCounts(Counts):
    """The same loss, which states the link too."""

    _link = Poisson._link


class Quartic(RegressionLoss):
    """No link: raw predictions are predictions."""

    def loss_gradient(self, y, raw):
        return (raw - y) ** 4 / 4, (raw - y) ** 3


class Cautious(LogLoss):
    """Probabilities that are never certain."""

    def _probabilities(self, raw):
        return 0.98 * super()._probabilities(raw) + 0.01


class Twice(LogLoss):
    """Another formula, with the link of the old one."""

    def loss_gradient(self, y, raw):
        value, gradient = super().loss_gradient(y, raw)
        return 2 * value, 2 * gradient


def test_an_own_loss_is_converted_if_it_states_its_link():
    X, y = make_data("regression", "poisson")
    for loss in (LinkedCounts(), Quartic()):
        model = make("regression", loss, max_iter=10, tol=0).fit(X, y)
        assert_allclose(run(model, X)[0][:, 0], model.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match=r"loss=Counts\(\) cannot .* `_link = Poisson._link`"):
        skl2onnx.to_onnx(make("regression", Counts(), max_iter=3, tol=0).fit(X, y), X[:1])


@pytest.mark.parametrize("n_targets", [1, 2])
def test_an_own_loss_with_probabilities(n_targets):
    X, y = make_data("classification", n_targets=n_targets)
    model = make("classification", Twice(), max_iter=10, tol=0).fit(X, y)
    assert_allclose(run(model, X, options=TENSORS)[1], model.predict_proba(X), rtol=1e-12)
    model = make("classification", Cautious(), max_iter=10, tol=0).fit(X, y)
    with pytest.raises(ValueError, match=r"loss=Cautious\(\) cannot .*_probabilities\(\)"):
        skl2onnx.to_onnx(model, X[:1])
    label, scores = run(model, X, options={**TENSORS, "raw_scores": True})
    assert_array_equal(label, model.predict(X))
    assert_allclose(scores[:, -1], model.decision_function(X).reshape(len(X), -1)[:, -1])


def descendants(cls):
    return {cls}.union(*map(descendants, cls.__subclasses__()))


def test_every_link_and_activation_has_a_form():
    assert set(converters.ACTIVATIONS) == set(ACTIVATION_KERNELS)
    probability = descendants(ProbabilityLink)
    assert set(converters.PROBABILITY_LINKS) == probability - {ProbabilityLink}
    assert set(converters.LINKS) == descendants(Link) - probability - {Link}


# Preprocessing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_encoder_and_scaler(kept, given):
    X, _ = make_data("regression")
    X = np.column_stack([X, np.round(X[:, 0]), X[:, 1] > 0, np.full(len(X), 3.0)])
    for transformer in (
        PiecewiseLinearEncoder(), PiecewiseLinearEncoder(3, extrapolation="linear"),
        SmoothClipScaler(), SmoothClipScaler(limit=1),
    ):  # fmt: skip
        transformer.fit(X.astype(kept))
        rows = extreme_rows(X, given)
        rows[0, 0] = rows[1] = np.nan
        tolerance = 1e-6 if np.float32 in (kept, given) else 1e-14
        assert_same(run(transformer, rows)[0], transformer.transform(rows), given, tolerance)
        found = run(transformer, np.arange(70).reshape(10, 7))[0]
        expected = transformer.transform(np.arange(70).reshape(10, 7))
        assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_recipe_for_tables():
    data, y = frame()
    numbers = ["a", "b", "count"]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), ["text"]), (PiecewiseLinearEncoder(), numbers),
            (SmoothClipScaler(), ["c", "d"]),
        ),
        make("classification", hidden_layer_sizes=(5,), max_iter=20),
    ).fit(data, y)  # fmt: skip
    label, probabilities = run(model, data, options=TENSORS)
    assert_array_equal(label, model.predict(data))
    assert_allclose(probabilities, model.predict_proba(data), rtol=1e-5, atol=1e-6)
