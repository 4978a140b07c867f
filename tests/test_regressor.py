"""What only GradientRegressor promises: shapes, units and several outputs."""

import numpy as np
import pytest
from catalogue import PAIRS, POSITIVE_TARGETS, TEXTBOOK, make, make_data
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes
from sklearn.linear_model import HuberRegressor, Ridge

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.losses import Huber, Loss, SquaredError

REGRESSION = [loss for task, loss in PAIRS if task == "regression"]
SMOOTH = [loss for loss in REGRESSION if Loss.resolve(loss).smooth]


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("columns", [None, 1, 3])
def test_shapes_are_those_of_ridge(columns, fit_intercept):
    X, y = make_data("regression", n_targets=3)
    y = y[:, 0] if columns is None else y[:, :columns]
    model = make("regression", fit_intercept=fit_intercept).fit(X, y)
    ridge = Ridge(fit_intercept=fit_intercept).fit(X, y)
    assert model.coef_.shape == ((4,) if columns is None else (columns, 4))
    assert model.predict(X).shape == y.shape
    if columns != 1:
        assert model.coef_.shape == ridge.coef_.shape
    if fit_intercept:
        assert np.shape(model.intercept_) == y.shape[1:]
    else:
        assert np.all(model.intercept_ == 0)
    assert_allclose(model.predict(X), X @ model.coef_.T + model.intercept_, rtol=1e-12)
    assert 0 < model.score(X, y) < 1


@pytest.mark.parametrize("precondition", ["auto", "scale", False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_optimum_is_ridge_in_the_units_of_the_data(precondition, fit_intercept):
    X, y = make_data("regression", n=200)
    model = make(
        "regression", alpha=0.05, fit_intercept=fit_intercept, precondition=precondition,
        tol=1e-12, max_iter=3000,
    ).fit(X, y)  # fmt: skip
    ridge = Ridge(0.05 * len(X), fit_intercept=fit_intercept).fit(X, y)
    assert model.converged_
    assert_allclose(model.coef_, ridge.coef_, rtol=1e-4)
    assert_allclose(model.intercept_, ridge.intercept_, rtol=1e-4)


@pytest.mark.parametrize("loss", SMOOTH)
def test_several_outputs_are_separate_fits(loss):
    X, Y = make_data("regression", loss, n=150, n_targets=3)
    settings = {"alpha": 0.01, "tol": 1e-12}
    if loss not in POSITIVE_TARGETS:
        Y = Y * [1, 30, 0.1]
    together = make("regression", loss, **settings).fit(X, Y)
    for column in range(3):
        alone = make("regression", loss, **settings).fit(X, Y[:, column])
        scale = np.abs(alone.coef_).max()
        assert_allclose(together.coef_[column], alone.coef_, rtol=1e-4, atol=1e-4 * scale)
        assert_allclose(together.intercept_[column], alone.intercept_, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
@pytest.mark.parametrize("loss", REGRESSION)
def test_several_outputs_take_the_same_textbook_steps(loss, optimizer, batch_size):
    if loss == "huber":
        loss = Huber(delta=0.5)
    X, Y = make_data("regression", loss, n_targets=3)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": batch_size, "max_iter": 5}
    together = make("regression", loss, optimizer, **settings).fit(X, Y)
    for column in range(3):
        alone = make("regression", loss, optimizer, **settings).fit(X, Y[:, column])
        assert_allclose(together.coef_[column], alone.coef_, rtol=1e-9, atol=1e-13)
        assert_allclose(together.intercept_[column], alone.intercept_, rtol=1e-9, atol=1e-13)


def test_outputs_in_any_memory_layout():
    X, Y = make_data("regression", n_targets=3)
    expected = make("regression").fit(X, Y).coef_
    for other in (np.asfortranarray(Y), np.repeat(Y, 2, axis=1)[:, ::2], Y.tolist()):
        assert_array_equal(make("regression").fit(X, other).coef_, expected)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "quantile"])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("shift", [0, 1e3])
def test_units_of_the_target_do_not_matter(loss, scale, shift):
    X, y = make_data("regression", n=150)
    # alpha in the units of the objective over those of the coefficients squared
    alpha = 0.01 if loss == "squared_error" else 0.01 / scale
    plain = make("regression", loss, alpha=0.01, tol=1e-8).fit(X, y)
    other = make("regression", loss, alpha=alpha, tol=1e-8).fit(X, scale * (y + shift))
    assert_allclose(other.predict(X) / scale - shift, plain.predict(X), atol=2e-3)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "gradient_descent"])
def test_units_of_the_features_do_not_matter(scale, optimizer):
    X, y = make_data("regression", n=150)
    settings = {"alpha": 0, "tol": 1e-10}
    plain = make("regression", optimizer=optimizer, **settings).fit(X, y)
    scales = np.array([scale, 1, 1 / scale, 1])
    other = make("regression", optimizer=optimizer, **settings).fit(X * scales, y)
    assert_allclose(other.coef_ * scales, plain.coef_, rtol=1e-4)


def test_integer_targets():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    assert_array_equal(
        make("regression").fit(X, y.astype(np.int16)).coef_, make("regression").fit(X, y).coef_
    )


@pytest.mark.parametrize("loss", REGRESSION)
@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_a_constant_target_is_predicted(loss, value):
    if loss in POSITIVE_TARGETS and value <= 0:
        value = 0.5
    X, _ = make_data("regression")
    model = make("regression", loss).fit(X, np.full(len(X), value))
    # the insensitive losses are as happy anywhere in their tube
    assert_allclose(model.predict(X), value, atol=0.11 if "insensitive" in loss else 1e-3)


@pytest.mark.parametrize("loss", REGRESSION)
def test_constant_and_repeated_features(loss):
    X, y = make_data("regression", loss, n=100)
    padded = np.column_stack([X, np.ones(len(X)), X[:, 0], np.zeros(len(X)), np.full(len(X), 1e5)])
    model = make("regression", loss, alpha=1e-3).fit(padded, y)
    plain = make("regression", loss, alpha=1e-3).fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.loss_curve_[-1] <= plain.loss_curve_[-1] * (1 + 1e-3)


@pytest.mark.parametrize("loss", REGRESSION)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_rows(loss, n):
    X, y = make_data("regression", loss)
    model = make("regression", loss, alpha=0.1).fit(X[:n], y[:n])
    assert np.isfinite(model.predict(X)).all()


def test_more_features_than_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 100)), rng.normal(size=30)
    model = make("regression", alpha=0.1, tol=1e-10).fit(X, y)
    assert_allclose(model.coef_, Ridge(3.0).fit(X, y).coef_, atol=1e-4)


def test_the_score_is_r2_with_weights():
    X, y = make_data("regression")
    model, weight = make("regression").fit(X, y), np.arange(len(X)) + 1.0
    residual = np.average((y - model.predict(X)) ** 2, weights=weight)
    spread = np.average((y - np.average(y, weights=weight)) ** 2, weights=weight)
    assert_allclose(model.score(X, y, sample_weight=weight), 1 - residual / spread)


@pytest.mark.parametrize("loss", sorted(POSITIVE_TARGETS))
def test_a_log_link_predicts_the_mean(loss):
    X, y = make_data("regression", loss)
    model = make("regression", loss, alpha=0.01).fit(X, y)
    assert_allclose(model.predict(X), np.exp(X @ model.coef_ + model.intercept_), rtol=1e-12)
    assert (model.predict(X) > 0).all()


@pytest.mark.parametrize("outlier", [0, 1e3, 1e6, 1e9])
def test_huber_withstands_outliers(outlier):
    """Its own choice of delta is 1.345 times the scale that HuberRegressor estimates."""
    X, y = make_data("regression", n=200)
    y[-1] = outlier
    model = make("regression", "huber", alpha=0).fit(X, y)
    clean = make("regression", "huber", alpha=0).fit(X[:-1], y[:-1])
    assert_allclose(model.coef_, clean.coef_, atol=0.1)
    assert_allclose(model.delta_, clean.delta_, rtol=0.1)
    if outlier == 0:
        peer = HuberRegressor(epsilon=1.345, alpha=0, tol=1e-8, max_iter=1000).fit(X, y)
        assert_allclose(model.delta_, 1.345 * peer.scale_, rtol=1e-4)
        assert_allclose(model.coef_, peer.coef_, atol=1e-4)


def test_objects_and_names_are_the_same():
    X, y = make_data("regression")
    assert_array_equal(
        GradientRegressor(SquaredError(), random_state=0).fit(X, y).coef_,
        GradientRegressor("squared_error", random_state=0).fit(X, y).coef_,
    )
