"""Traces: every point against NumPy twins, the objective's formula and the fit itself."""

import warnings

import numpy as np
import pytest
import reference
from catalogue import COVER, TEXTBOOK, make, make_data, same_model
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import DivergenceError, GradientClassifier, GradientRegressor, trace
from sklearn_lossopt.losses import RegressionLoss


def textbook(optimizer, **parameters):
    given = {**TEXTBOOK, "learning_rate": 0.01, "max_iter": 3, "shuffle": False, "alpha": 0.1}
    return GradientRegressor(optimizer=optimizer, **(given | parameters))


def twin(step, X, y, batch_size, epochs, rate=0.01, alpha=0.1):
    """The model after each update, coefficients before the intercept, by NumPy."""
    theta, state, found = np.zeros(X.shape[1] + 1), {}, []
    rows = np.column_stack([X, np.ones(len(X))])
    found.append(theta)
    for _ in range(epochs):
        for start in range(0, len(X), batch_size):
            part = slice(start, start + batch_size)
            gradient = rows[part].T @ (rows[part] @ theta - y[part]) / len(rows[part])
            gradient[:-1] += alpha * theta[:-1]
            theta = step(theta, gradient, state, rate)
            found.append(state.get("prediction", theta))
    return np.array(found)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "averaged"])
@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_each_update_is_that_of_the_twin(optimizer, batch_size):
    X, y = make_data("regression")
    found = trace(textbook(optimizer, batch_size=batch_size), X, y)
    expected = twin(getattr(reference, optimizer), X, y, batch_size, 3)
    models = np.column_stack([found.coef, found.intercept])
    np.testing.assert_allclose(models, expected, rtol=1e-9, atol=1e-12)
    per_epoch = -(-60 // batch_size)
    np.testing.assert_array_equal(found.update, np.arange(3 * per_epoch + 1))
    np.testing.assert_allclose(found.epoch, found.update / per_epoch)
    assert (found.learning_rate == 0.01).all() and found.error is None
    for coef, intercept, value in zip(found.coef, found.intercept, found.objective, strict=True):
        mean_loss = np.mean((y - X @ coef - intercept) ** 2) / 2
        assert value == pytest.approx(mean_loss + 0.05 * coef @ coef, rel=1e-12)


@pytest.mark.parametrize("task, loss, optimizer", COVER)
def test_ends_with_the_model_of_fit(task, loss, optimizer):
    X, y = make_data(task, loss, n_targets=1 if task == "regression" else 2)
    model = make(task, loss, optimizer, max_iter=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = trace(model, X, y)
        by_epoch = trace(model, X, y, every="epoch")
        fitted = clone(model).fit(X, y)
    assert same_model(found.estimator, fitted) and same_model(by_epoch.estimator, fitted)
    for steps in (found, by_epoch):
        np.testing.assert_array_equal(steps.coef[-1], fitted.coef_)
        np.testing.assert_array_equal(steps.intercept[-1], fitted.intercept_)
        assert steps.update[-1] == fitted.t_ and steps.epoch[-1] == fitted.n_iter_
        assert (np.diff(steps.update) >= 0).all() and (np.diff(steps.epoch) >= 0).all()
    np.testing.assert_allclose(by_epoch.objective[1:], fitted.loss_curve_, rtol=1e-9, atol=1e-12)
    assert len(by_epoch.epoch) == fitted.n_iter_ + 1


def test_weights_and_the_l1_penalty_are_in_the_objective():
    X, y = make_data("regression")
    weight = np.arange(60) % 3
    model = GradientRegressor("absolute_error", alpha=0.2, l1_ratio=0.25, random_state=0)
    steps = trace(model, X, y, weight, every="epoch")
    coef, intercept = steps.coef[-1], steps.intercept[-1]
    penalty = 0.2 * (0.75 / 2 * coef @ coef + 0.25 * np.abs(coef).sum())
    expected = np.average(np.abs(y - X @ coef - intercept), weights=weight) + penalty
    assert steps.objective[-1] == pytest.approx(expected, rel=1e-12)
    assert steps.evaluate(coef, intercept) == pytest.approx(expected, rel=1e-12)


def test_rates_are_those_of_the_schedule():
    X, y = make_data("regression")
    model = textbook("sgd", batch_size=20, schedule="exponential", learning_rate=0.1)
    steps = trace(model, X, y)
    resolved = trace(model, X, y, every="epoch")
    assert steps.learning_rate[0] == steps.learning_rate[1] == 0.1
    assert (np.diff(steps.learning_rate[1:]) <= 0).all() and steps.learning_rate[-1] < 0.1
    assert resolved.learning_rate[-1] == steps.learning_rate[-1]
    assert np.isnan(trace(make("regression", optimizer="lbfgs"), X, y).learning_rate).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad"])
def test_sparse_rows_give_the_points_of_dense_ones(optimizer):
    X, y = make_data("regression")
    X[np.abs(X) < 1.5] = 0
    for batch_size in (1, 8):
        model = textbook(optimizer, batch_size=batch_size)
        dense, found = trace(model, X, y), trace(model, sparse.csr_array(X), y)
        np.testing.assert_allclose(found.coef, dense.coef, rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(found.objective, dense.objective, rtol=1e-8)
        # A later fit takes the path for sparse rows again, which visits the same points.
        fitted = clone(model).fit(sparse.csr_array(X), y)
        np.testing.assert_allclose(fitted.coef_, found.coef[-1], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("every", ["update", "epoch"])
def test_a_diverging_fit_is_traced_until_it_ends(every):
    X, y = make_data("regression")
    model = textbook("gradient_descent", learning_rate=2.0, max_iter=12)
    with pytest.raises(DivergenceError):
        clone(model).fit(X, y)
    steps = trace(model, X, y, every=every)
    assert isinstance(steps.error, DivergenceError) and not hasattr(steps.estimator, "coef_")
    assert (np.diff(steps.objective) > 0).all() and steps.objective[-1] > 10 * steps.objective[0]
    expected = twin(reference.sgd, X, y, 60, len(steps.update) - 1, rate=2.0)
    np.testing.assert_allclose(steps.coef, expected[:, :-1], rtol=1e-7)


def test_network():
    X, y = make_data("classification", n_targets=2)
    model = GradientClassifier(hidden_layer_sizes=(5, 3), max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps, fitted = trace(model, X, y), clone(model).fit(X, y)
    points = len(steps.update)
    assert [layer.shape for layer in steps.coef] == [(points, 4, 5), (points, 5, 3), (points, 3, 3)]
    for layer, last in zip((*steps.coef, *steps.intercept), (*fitted.coefs_, *fitted.intercepts_),
                           strict=True):  # fmt: skip
        np.testing.assert_array_equal(layer[-1], last)
    # The objective by scikit-learn's probabilities.
    given = -np.log(fitted.predict_proba(X)[np.arange(60), y]).mean()
    penalty = fitted.alpha / 2 * sum(np.sum(layer**2) for layer in fitted.coefs_)
    assert steps.objective[-1] == pytest.approx(given + penalty, rel=1e-9)
    assert steps.evaluate(fitted.coefs_, fitted.intercepts_) == steps.objective[-1]
    with pytest.raises(ValueError, match="linear model of one output"):
        steps.plane((0, 1), [0.0], [0.0], fitted.coefs_, fitted.intercepts_)


def test_plane_is_the_objective_over_two_parameters():
    X, y = make_data("regression")
    model = GradientRegressor("huber", alpha=0.1, random_state=0)
    steps = trace(model, X, y)
    coef, intercept = steps.coef[-1], float(steps.intercept[-1])
    for rows in (X, sparse.csr_array(X)):
        steps = trace(model, rows, y)
        for features in [(2, 0), ("intercept", 3)]:
            found = steps.plane(features, [-1.0, 0.5, 2.0], [0.0, 3.0], coef, intercept)
            assert found.shape == (2, 3)
            for r, second in enumerate([0.0, 3.0]):
                for c, first in enumerate([-1.0, 0.5, 2.0]):
                    moved = np.append(coef, intercept)
                    moved[[4 if f == "intercept" else f for f in features]] = first, second
                    expected = steps.evaluate(moved[:-1], moved[-1])
                    assert found[r, c] == pytest.approx(expected, rel=1e-12)
    assert steps.evaluate(coef, intercept) <= found.min()


def test_a_pipeline_is_traced_in_the_units_of_its_last_step():
    X, y = make_data("regression")
    pipeline = make_pipeline(StandardScaler(), textbook("sgd", batch_size=60))
    steps = trace(pipeline, X, y)
    expected = twin(reference.sgd, StandardScaler().fit_transform(X), y, 60, 3)
    np.testing.assert_allclose(steps.coef, expected[:, :-1], rtol=1e-9)


class Cubic(RegressionLoss):
    """A loss of a user's own, and one that fails after some calls."""

    calls = 0

    def loss_gradient(self, y, raw):
        type(self).calls += 1
        if type(self).calls > 20:
            raise RuntimeError("enough")
        residual = raw - y
        return np.abs(residual) ** 3, 3 * residual * np.abs(residual)


def test_errors():
    X, y = make_data("regression")
    with pytest.raises(ValueError, match=r"every must be one of.*'step'"):
        trace(GradientRegressor(), X, y, every="step")
    with pytest.raises(TypeError, match="GradientRegressor, a GradientClassifier or a pipeline"):
        trace(Ridge(), X, y)
    with pytest.raises(ValueError, match="loss"):
        trace(GradientRegressor("hinge"), X, y)
    with pytest.raises(ValueError, match="alpha"):
        trace(GradientRegressor(alpha=-1), X, y)
    # What goes wrong inside an epoch comes through.
    with pytest.raises(RuntimeError, match="enough"):
        trace(textbook("sgd", loss=Cubic(), batch_size=2, learning_rate=1e-6), X, y)
