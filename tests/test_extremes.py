"""Targets of extreme size: losses are right or refuse them by name, and no warning leaks."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import LOSSES
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt._estimators.parameters import resolve_loss
from sklearn_lossopt.losses import Huber, Tweedie, registry
from sklearn_lossopt.optimizers import Optimizer

POSITIVE = ("poisson", "gamma", "tweedie")
REGRESSION = [name for name, loss in registry().items() if loss.regression]


@pytest.fixture(autouse=True)
def no_runtime_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def make_targets(loss, scale, n=20):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=n)
    y = np.exp(y) if loss in POSITIVE else y
    return X, y / np.abs(y).max() * scale


@pytest.mark.parametrize("loss", REGRESSION)
def test_targets_whose_sum_overflows_are_refused(loss):
    X, y = make_targets(loss, 1.7e308)
    with pytest.raises(ValueError, match="y is too large"):
        GradientRegressor(loss).fit(X, y)


@pytest.mark.parametrize("scale", [1e160, 1e300])
def test_huber_refuses_targets_whose_squares_overflow(scale):
    X, y = make_targets("huber", scale)
    with pytest.raises(ValueError, match="y is too large: its squares"):
        GradientRegressor("huber").fit(X, y)
    assert resolve_loss(GradientRegressor(Huber(delta=scale / 10))).delta


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["squared_error", "huber", "log_cosh", Huber(delta=1.0)], ids=str)
def test_targets_whose_squares_nearly_underflow(loss, optimizer):
    """F has hardly a digit then: the model is no worse than the constant, and nothing leaks."""
    X, y = make_targets("squared_error", 1e-155)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GradientRegressor(loss, optimizer=optimizer, random_state=0).fit(X, y)
    assert Ridge(alpha=2e-3).fit(X, y * 1e155).score(X, y * 1e155) > 0.98
    assert r2_score(y * 1e155, model.predict(X) * 1e155) > 0.95
    network = GradientRegressor(loss, optimizer=optimizer, hidden_layer_sizes=(4,))
    with pytest.raises(ValueError, match="y is too small: the loss of its typical size"):
        network.fit(X, y)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-20, 1e20, 1e200, 1e300])
@pytest.mark.parametrize("loss", POSITIVE)
def test_facts_of_a_log_link_follow_the_scale(loss, scale):
    """The best constant moves by log scale, and the curvature there by a power of it."""
    loss = registry()[loss]()
    y = np.random.default_rng(0).gamma(2.0, size=(50, 1))
    constant = loss._constant(y, None)
    moved = loss._constant(scale * y, None)
    assert_allclose(moved, constant + np.log(scale), rtol=1e-12)
    raw = np.broadcast_to(constant, y.shape)
    with np.errstate(under="ignore"):
        expected = loss._curvature(y, raw) * np.float64(scale) ** (2 - loss._power)
    found = loss._curvature(scale * y, raw + np.log(scale))
    assert_allclose(found, expected, rtol=1e-10)


def test_predictions_that_overflow_are_infinite():
    assert registry()["poisson"]()._predict(np.array([1e3]))[0] == np.inf


def test_a_large_power_of_the_typical_target_overflows_to_infinity():
    assert registry()["tweedie"](-5.0)._curvature_bound(1e300) == np.inf


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "epsilon_insensitive"])
def test_curvature_of_denormal_targets_is_finite(loss):
    assert np.isfinite(registry()[loss]()._curvature_bound(1e-320))


def test_curvature_of_log_cosh_keeps_its_digits():
    r = np.array([0.0, 1e-3, 1.0, 15.0, 30.0, 300.0])
    found = registry()["log_cosh"]()._curvature(np.zeros(6), r)
    assert_allclose(found, 1 / np.cosh(r) ** 2, rtol=1e-13)


@pytest.mark.parametrize("loss", ["poisson", "tweedie"])
def test_chunks_and_validation_rows_may_hold_only_zeros(loss):
    X, y = make_targets(loss, 3.0)
    model = GradientRegressor(loss, random_state=0)
    model.fit(X, y, X_val=X[:5], y_val=np.zeros(5))
    with pytest.raises(ValueError, match="positive sum of y"):
        model.fit(X, np.zeros(20))
    model = GradientRegressor(loss, random_state=0).partial_fit(X, y)
    model.partial_fit(X[:5], np.zeros(5))
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("name", [n for n, o in Optimizer.registry().items() if o().n_slots])
def test_momentum_of_overflowed_state_does_not_warn(name):
    """What is not finite is for the training loop to find, which reports divergence."""
    optimizer = Optimizer.resolve(name)
    for value in (np.inf, np.nan, 1e308, 0.0):
        state = np.full((optimizer.n_slots, 3), value)
        if name == "averaged":
            # A number of updates.
            state[2] = 0.0
        optimizer._flush_momentum(np.full(3, 1e308), state, 5, 1e10)


# Values that are differences -------------------------------------------------------------------


def excess(x):
    """exp(x) - 1 - x, in more digits than float64 has."""
    x = np.asarray(x, np.longdouble)
    series = x**2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7))))) / 2
    return np.where(np.abs(x) < 0.01, series, np.expm1(x) - x).astype(np.float64)


DISTANCES = np.concatenate([sign * 10.0 ** np.arange(-18, 2) for sign in (1, -1)])


def test_log_cosh_of_small_residuals():
    value, gradient = registry()["log_cosh"]().loss_gradient(np.zeros(40), DISTANCES)
    r = np.asarray(np.abs(DISTANCES), np.longdouble)
    near, far = r**2 / 2 - r**4 / 12 + r**6 / 45, r + np.log1p(np.exp(-2 * r)) - np.log(2 + 0 * r)
    exact = np.where(r < 2e-3, near, far)
    assert_allclose(value, exact.astype(np.float64), rtol=1e-14)
    assert_allclose(gradient, np.tanh(DISTANCES), rtol=1e-15)


@pytest.mark.parametrize("y", [5e-324, 1e-300, 1e-3, 1.0, 1e6, 1e300])
def test_log_links_near_a_perfect_prediction(y):
    raw = np.log(y) + DISTANCES
    distance = np.asarray(raw, np.longdouble) - np.log(np.asarray(y, np.longdouble))
    # What rounding of raw, and of log y, leaves of the distance.
    slack = 4e-16 * (1 + abs(np.log(y)))
    targets = np.full(40, y)
    value, gradient = registry()["gamma"]().loss_gradient(targets, raw)
    d = distance.astype(np.float64)
    assert_allclose(
        value, excess(-d), rtol=1e-13, atol=3 * slack * np.abs(np.expm1(-d)).max() + slack**2
    )
    assert_allclose(gradient, -np.expm1(-d), rtol=1e-12, atol=2 * slack * np.exp(-d.min()))
    if y > 1e-290:
        value, _ = registry()["poisson"]().loss_gradient(targets, raw)
        near = np.abs(d) < 1 / 64
        error = np.abs(value - y * excess(d))[near]
        assert (error <= y * slack * (2 * np.abs(d[near]) + slack)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, params", [(name, {}) for name in REGRESSION] + [
    ("tweedie", {"power": power}) for power in (-1.0, 0.0, 1.0, 1.9, 2.0, 3.0)
])  # fmt: skip
def test_no_value_is_below_zero(name, params, dtype):
    loss = registry()[name](**params | ({"delta": 1.0} if name == "huber" else {}))
    limits = np.finfo(dtype)
    sizes = np.geomspace(limits.smallest_subnormal * 4, limits.max / 4, 60).astype(dtype)
    for y in sizes:
        centre = np.log(np.float64(y)) if name in POSITIVE else y
        with np.errstate(over="ignore"):
            near = centre + centre * DISTANCES * limits.eps * 1e14
            raw = np.concatenate([near, DISTANCES, -sizes, sizes]).astype(dtype)
        value, _ = loss.loss_gradient(np.full(len(raw), y), raw)
        assert not (value < 0).any()
    if name in ("poisson", "tweedie") and 1 <= params.get("power", 1.0) < 2:
        assert (loss.loss_gradient(np.zeros(60, dtype), sizes)[0] >= 0).all()


@pytest.mark.parametrize("name", [*POSITIVE, "log_cosh"])
def test_a_prediction_that_is_not_a_number_has_no_value(name):
    assert np.isnan(registry()[name]().loss_gradient(np.ones(1), np.array([np.nan]))[0]).all()


@pytest.mark.parametrize(
    "loss, scale", [("gamma", 1e-300), ("gamma", 1e-310), ("log_cosh", 1e-310)]
)
def test_objectives_end_at_or_above_zero(loss, scale):
    X, y = make_targets(loss, scale)
    model = GradientRegressor(loss, random_state=0).fit(X, y)
    assert (model.loss_curve_ >= 0).all()
    if loss == "gamma":
        assert_allclose(np.log(model.predict(X)), np.log(y), atol=0.5)


# Targets in float32 whose squares it does not hold ------------------------------------------------


@pytest.mark.parametrize("scale", [1e-30, 1e-21, 1e-13, 1e18, 1e20, 1e30])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("sparse_rows", [False, True])
def test_float32_rows_with_targets_of_any_size_are_ridge(scale, optimizer, sparse_rows):
    X, y = make_targets("squared_error", scale, n=80)
    X = X.astype(np.float32)
    rows = sparse.csr_array(X) if sparse_rows else X
    model = GradientRegressor(optimizer=optimizer, alpha=0.1, random_state=0).fit(rows, y)
    right = Ridge(alpha=8.0).fit(X.astype(float), y / scale)
    assert model.converged_ and model.coef_.dtype == model.predict(rows).dtype == np.float32
    assert_allclose(model.coef_ / scale, right.coef_, rtol=1e-3)
    assert_allclose(model.intercept_ / scale, right.intercept_, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-21, 1e20])
@pytest.mark.parametrize("hidden", [(), (8,)])
@pytest.mark.parametrize("loss", REGRESSION)
def test_float32_is_as_right_as_float64_for_targets_of_any_size(loss, hidden, scale):
    X, y = make_targets(loss, scale, n=80)
    X = X.astype(np.float32)
    model = GradientRegressor(loss, hidden_layer_sizes=hidden, random_state=0, max_iter=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        double = clone(model).fit(X.astype(float), y, X_val=X[:20], y_val=y[:20])
        single = clone(model).fit(X, y, X_val=X[:20], y_val=y[:20])
    expected = double.predict(X.astype(float))
    assert_allclose(single.predict(X), expected, rtol=2e-2, atol=2e-2 * np.abs(expected).max())
    assert_allclose(single.loss_curve_[-1], double.loss_curve_[-1], rtol=2e-2, atol=1e-300)
    curves = single.validation_curve_, double.validation_curve_
    assert_allclose(curves[0][-1], curves[1][-1], rtol=5e-2, atol=1e-300)


@pytest.mark.parametrize("scale", [1e-21, 1e20])
def test_streams_and_warm_starts_of_such_targets_go_on_in_float32_models(scale):
    X, y = make_targets("squared_error", scale, n=400)
    X = X.astype(np.float32)
    stream = GradientRegressor(random_state=0)
    for start in range(0, 400, 40):
        stream.partial_fit(X[start : start + 40], y[start : start + 40])
        assert stream.coef_.dtype == np.float32
    assert stream.score(X, y) > 0.9
    two = GradientRegressor(random_state=0, schedule="constant", learning_rate=0.01, tol=0)
    one = clone(two).set_params(max_iter=4).fit(X, y)
    two.set_params(max_iter=2, warm_start=True).fit(X, y).fit(X, y)
    assert_array_equal(two.coef_, one.coef_)


def test_targets_beyond_float32_are_refused():
    X, y = make_targets("squared_error", 1e40)
    with pytest.raises(ValueError, match="y is too large for float32"):
        GradientRegressor().fit(X.astype(np.float32), y)


@pytest.mark.parametrize("sparse_rows", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 1e-4])
def test_columns_whose_squares_underflow_are_refused_unless_a_penalty_holds_them(
    alpha, sparse_rows
):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    X[:, 1] *= 1e-170
    X[:, 2] = 1e-170
    rows = sparse.csr_array(X) if sparse_rows else X
    model = GradientRegressor(alpha=alpha, random_state=0)
    if alpha == 0:
        with pytest.raises(ValueError, match="X is too small in column 1"):
            model.fit(rows, y)
        weight = np.where(np.arange(30) == 0, 1.0, 0.0)
        model.fit(rows[[0, 0]], y[[0, 0]], sample_weight=weight[:2])
        return
    assert_allclose(model.fit(rows, y).coef_[1:], 0, atol=1e-100)
    assert model.converged_


def test_columns_whose_squares_nearly_underflow_are_right():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    small = GradientRegressor(alpha=0, random_state=0).fit(1e-149 * X, y)
    assert_allclose(1e-149 * small.coef_, np.linalg.lstsq(
        X - X.mean(axis=0), y - y.mean(), rcond=None)[0], rtol=1e-9)  # fmt: skip


@pytest.mark.parametrize("loss", ["absolute_error", "quantile"])
def test_the_exact_solution_of_small_data_has_the_units_of_y(loss):
    """Its conditions were checked to 1e-9 of 1, whatever the unit of y."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)).round(1), rng.normal(size=20)
    settings = {"loss": loss, "l1_ratio": 1.0, "random_state": 0}
    for unit in (1e-150, 1e-12, 1e12):
        # The penalty of coefficients in other units stays the same.
        one = GradientRegressor(alpha=0.05, **settings).fit(X, y)
        scaled = GradientRegressor(alpha=0.05, **settings).fit(X, unit * y)
        assert scaled.converged_
        assert_allclose(scaled.loss_curve_[-1] / unit, one.loss_curve_[-1], rtol=1e-6)


def test_wide_rows_far_larger_than_targets():
    X = np.array([[0.0, 0.0, -2e149]])
    model = GradientRegressor("quantile", fit_intercept=False, random_state=0)
    assert_allclose(model.fit(X, [-6e-151]).predict(X), [-6e-151])
    assert_allclose(model.coef_, [0.0, 0.0, 3e-300])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "schedule_free_sgd"])
@pytest.mark.parametrize("loss, size", [("poisson", 1e-10), ("gamma", 1e9), ("tweedie", 1e-3)])
def test_streams_of_log_links_without_intercept_do_not_overshoot(loss, size, optimizer):
    """They start at predictions of 1, where curvature is not that of the targets' mean."""
    rng = np.random.default_rng(0)
    X = 100 + rng.normal(size=(60, 1))
    y = size * np.exp(0.1 * rng.normal(size=60))
    model = GradientRegressor(
        loss, optimizer=optimizer, fit_intercept=False, alpha=0, random_state=0
    )
    for start in range(0, 60, 3):
        model.partial_fit(X[start : start + 3], y[start : start + 3])
        # Somewhere between the start and the optimum, give or take a part of the way.
        way = model.coef_[0] * 100 / np.log(size)
        assert -0.05 < way < 1.2


def test_a_start_that_fits_all_rows_is_no_measure_of_divergence():
    """One row has all the weight: the first constant is right to the last digit."""
    rng = np.random.default_rng(0)
    X, y = np.ones((20, 2)), np.abs(rng.standard_t(1, size=20))
    weight = 1.0 * (np.arange(20) == 10)
    model = GradientRegressor(
        "squared_error", optimizer="nadam", alpha=1e6, schedule="exponential", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y, sample_weight=weight)
    assert abs(model.predict(X[:1])[0] - y[10]) < 0.1


def test_curvature_that_overflows_certifies_nothing():
    """h x^2 is beyond float64, and a Newton step along it 0."""
    rng = np.random.default_rng(0)
    X, y = 1e150 * rng.normal(size=(7, 1)), 1e150 * rng.gamma(2, size=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GradientRegressor("poisson", random_state=0).fit(X, y)
    one = GradientRegressor("poisson", alpha=0, random_state=0).fit(1e-150 * X, 1e-150 * y)
    gap = model.loss_curve_[-1] / 1e150 - one.loss_curve_[-1]
    assert not model.converged_ or gap < 1e-6


def test_wide_rows_of_columns_of_very_different_sizes_keep_what_training_found():
    """The way back from the rows' span is refined as long as that helps."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        X = rng.normal(size=(7, 8)) * 10.0 ** rng.uniform(-10, 12, size=8)
        y = rng.normal(size=7)
        model = GradientRegressor("absolute_error", alpha=0, random_state=0).fit(X, y)
        error = np.abs(model.predict(X) - y).mean()
        assert_allclose(model.loss_curve_[-1], error, atol=1e-8)


@pytest.mark.parametrize("sparse_rows", [False, True])
def test_float32_columns_at_the_end_of_their_type_are_refused(sparse_rows):
    """Less their mean they would be infinite."""
    X, y = make_targets("squared_error", 1.0)
    rows = np.where(X > 0, 3e38, -3e38).astype(np.float32)
    rows = sparse.csr_array(rows) if sparse_rows else rows
    for alpha in (0.0, 1e-4):
        with pytest.raises(ValueError, match="X is too large"):
            GradientRegressor(alpha=alpha).fit(rows, y)


def test_float32_models_whose_coefficients_overflow_are_refused():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    X, y = (X * [1, 1, 1e-20]).astype(np.float32), (3e37 * y).astype(np.float32)
    for optimizer in ("sgd", "lbfgs"):
        model = GradientRegressor("squared_error", optimizer, alpha=0, random_state=0)
        with pytest.raises(ValueError, match=r"X and y are too extreme .* Pass X as float64"):
            model.fit(X, y)
        assert not hasattr(model, "coef_")
    model.fit(X.astype(np.float64), y)
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("optimizer", ["sgd", "averaged", "momentum", "gradient_descent"])
@pytest.mark.parametrize("mean", [1e4, 1e8])
def test_log_links_without_preconditioning_do_not_overshoot(optimizer, mean):
    """Such a fit starts at predictions of 1, where gamma's curvature is y."""
    X, y = np.linspace(0, 1, 5)[:, None], np.full(5, mean)
    model = GradientRegressor("gamma", optimizer, precondition=False, max_iter=200, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert np.all(np.diff(model.loss_curve_) <= 1e-9 * mean)
    assert np.isfinite(model.predict(X)).all()


def test_the_curve_ends_with_the_model_that_is_returned():
    """Terms of 1e12 times a prediction cancel in it, and not in the coordinates of training."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(20, 40))
        y = X @ rng.normal(size=40) > 0
        X *= 10.0 ** rng.integers(-12, 13, size=40)
        model = GradientClassifier("hinge", precondition="scale", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        margins = np.where(y, 1, -1) * (X @ model.coef_[0] + model.intercept_[0])
        value = np.maximum(0, 1 - margins).mean() + 5e-5 * np.sum(model.coef_**2)
        size = np.max(np.abs(X) @ np.abs(model.coef_[0]))
        assert_allclose(model.loss_curve_[-1], value, rtol=1e-9, atol=1e-15 * size)


@pytest.mark.parametrize("power", [1.05, 1.5, 1.95])
def test_tweedie_of_a_mean_that_rounds_to_0(power):
    """Of its two exponentials one grows there, and the other must not hold it back."""
    y, raw = np.array([1e-150, 1.0]), np.full(2, -300.0 / (power - 1))
    expected = LOSSES["tweedie"](y[:, None], raw[:, None], power)
    value, slope = Tweedie(power).loss_gradient(y, raw)
    assert_allclose(value, expected[0], rtol=1e-9)
    assert_allclose(slope, expected[1].ravel(), rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_targets_that_only_light_rows_vary_in(optimizer):
    """Huber's delta is estimated for each target, and squares of a tiny unit underflow."""
    y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    for share in ([1, 1e-170, 1e-20], [1, 1e-182, 1e-214], [1, 1e-300, 1e-300]):
        for X in (np.zeros((3, 2)), np.arange(6.0).reshape(3, 2)):
            model = GradientRegressor("huber", optimizer, alpha=0, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X, y, sample_weight=share)
            assert_allclose(model.predict(X[:1]), y[:1], atol=1e-6)


def test_sparse_rows_beside_one_that_dwarfs_them():
    """Poisson means of 9e15 and a row of 4e7: the other's curvature is 1e-14 of that. A dense fit
    has a factor of the rows themselves."""
    X = np.array([[-3.5e7, -4.2e7, 0.0], [0.8, 1.5, 0.0], [0.0, 0.0, 0.0]])
    y = np.full(3, 9e15)
    found = []
    for kind in (np.asarray, sparse.csr_array):
        model = GradientRegressor("poisson", alpha=10.0, fit_intercept=False, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found.append(model.fit(kind(X), y).loss_curve_[-1])
        assert model.n_iter_ < 200
    assert_allclose(found[1], found[0], rtol=1e-6)


def test_rates_of_tiny_columns_heed_the_penalty():
    """Its curvature is then all that there is."""
    rng = np.random.default_rng(0)
    X, y = 1e-10 * rng.normal(size=(20, 1)), np.arange(20) < 1
    for loss in ("perceptron", "log_loss"):
        model = GradientClassifier(
            loss, "gradient_descent", precondition=False, fit_intercept=False, tol=0, max_iter=20
        )
        assert np.all(model.fit(X, y).loss_curve_ <= 1.0)
