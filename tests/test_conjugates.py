"""Convex conjugates of the losses, against the greatest theta z - loss(y, z) by search."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize
from test_losses import CONFIGURATIONS, targets

from sklearn_lossopt.losses import AbsoluteError, Huber, Quantile, RegressionLoss, registry


def known(name, params):
    """Whether the conjugate is known: of all losses but Tweedie's with other powers."""
    return name != "tweedie" or params["power"] in (1, 1.5, 2)


CASES = [
    pytest.param(name, params, kind, id="-".join([name, kind, *map(str, params.values())]))
    for name, configurations in CONFIGURATIONS.items()
    for params, kind in configurations
    if known(name, params) and kind != "index"
]
each_case = pytest.mark.parametrize("name, params, kind", CASES)


def draw(name, params, kind, n=40, seed=0):
    """A loss, targets, and duals in its domain, its ends among them where they are finite."""
    loss, rng = registry()[name](**params), np.random.default_rng(seed)
    y, _ = targets(kind, n, rng)
    low, high = loss._dual_domain(y)
    assert low.shape == high.shape == y.shape and (low <= 0).all() and (high >= 0).all()
    dual = rng.uniform(np.maximum(low, -4), np.minimum(high, 4))
    return loss, y, dual


def greatest(loss, y, dual):
    """sup over z for each y, by golden sections of eight intervals; it may lie at infinity, where
    the slope is at its bound."""
    starts = np.linspace(-40, 40, 9)
    low, high = (np.repeat(ends[:, None], len(y), axis=1) for ends in (starts[:-1], starts[1:]))

    def gain(z):
        value = loss.loss_gradient(np.repeat(y[None], len(z), axis=0).ravel(), z.ravel())[0]
        return dual * z - value.reshape(z.shape)

    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):  # to 1e-11
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        below = gain(left) >= gain(right)
        low, high = np.where(below, low, left), np.where(below, right, high)
    far = np.repeat([[-300.0], [300.0]], len(y), axis=1)
    return np.maximum(gain((low + high) / 2).max(axis=0), gain(far).max(axis=0))


@each_case
def test_conjugate_is_the_supremum(name, params, kind):
    loss, y, dual = draw(name, params, kind, 12)
    low, high = loss._dual_domain(y)
    for theta in (
        dual,
        np.where(np.isfinite(low), low, dual),
        np.where(np.isfinite(high), high, 0),
    ):
        found = loss._conjugate(y, theta)
        assert found.shape == y.shape and found.dtype == np.float64
        expected = greatest(loss, y.ravel(), theta.ravel())
        assert_allclose(found.ravel(), expected, rtol=1e-7, atol=1e-7)


@each_case
def test_conjugate_is_infinite_outside_the_domain(name, params, kind):
    loss, y, dual = draw(name, params, kind)
    for end, sign in zip(loss._dual_domain(y), (-1, 1), strict=True):
        bounded = np.isfinite(end)
        found = loss._conjugate(y, np.where(bounded, end + sign * 1e-9, dual))
        assert (found[bounded] == np.inf).all() and np.isfinite(found[~bounded]).all()


@each_case
@pytest.mark.parametrize("scale", [1e-8, 1.0, 30.0])
def test_fenchel_and_young(name, params, kind, scale):
    """loss + conjugate is at least theta z, and equal to it where theta is the derivative."""
    loss, y, dual = draw(name, params, kind, 300)
    raw = np.random.default_rng(1).normal(size=y.shape) * scale
    columns = [(y, raw)] if y.ndim == 1 else list(zip(y.T, raw.T, strict=True))
    if isinstance(params.get("delta"), float) or y.ndim == 1 or not params:
        value, gradient = (
            np.stack(parts, axis=-1).reshape(y.shape)
            for parts in zip(*[loss.loss_gradient(*column) for column in columns], strict=True)
        )
        low, high = loss._dual_domain(y)
        assert ((low <= gradient) & (gradient <= high)).all()
        size = 1e-14 * (1 + np.abs(value) + np.abs(raw) * (1 + np.abs(gradient)) + y**2)
        assert (np.abs(value + loss._conjugate(y, gradient) - gradient * raw) <= 20 * size).all()
        assert (value + loss._conjugate(y, dual) - dual * raw >= -20 * size).all()


@each_case
def test_conjugate_of_zero_is_the_least_loss(name, params, kind):
    loss, y, _ = draw(name, params, kind)
    assert_allclose(loss._conjugate(y, np.zeros(y.shape)), 0, atol=1e-13)


def test_conjugate_of_softmax_is_negative_entropy():
    loss, rng = registry()["log_loss"](), np.random.default_rng(0)
    y, raw = rng.integers(4, size=50), 3 * rng.normal(size=(50, 4))
    value, gradient = loss.loss_gradient(y, raw)
    found = loss._conjugate(y, gradient)
    assert found.shape == (50,)
    assert_allclose(found, (gradient * raw).sum(axis=1) - value, rtol=1e-12, atol=1e-12)
    low, high = loss._dual_domain(y, 4)
    assert ((low <= gradient) & (gradient <= high)).all()
    for row in range(10):

        def negative(z, row=row):
            value, slope = loss.loss_gradient(y[row : row + 1], np.append(z, 0.0)[None])
            shrunk = 0.7 * gradient[row]
            return value[0] - shrunk[:-1] @ z, (slope[0] - shrunk)[:-1]

        best = optimize.minimize(negative, np.zeros(3), jac=True, tol=1e-12)
        assert_allclose(loss._conjugate(y, 0.7 * gradient)[row], -best.fun, rtol=1e-9, atol=1e-10)
    assert_allclose(loss._conjugate(y, 0 * gradient), 0)
    # Outside of the simplex: a component beyond its bounds, or another sum.
    for wrong in (gradient + 1e-6, gradient * 1e3, np.eye(4)[y] + 0.1):
        assert (loss._conjugate(y, wrong) == np.inf).all()


def test_delta_of_each_output():
    loss = Huber(delta=np.array([1.0, 2.0]))
    y, dual = np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([[1.0, 1.5], [1.1, 2.1]])
    assert_allclose(loss._conjugate(y, dual), [[3.5, 6 + 1.125], [np.inf, np.inf]])


def test_another_formula_has_no_known_conjugate():
    class Steeper(AbsoluteError):
        def loss_gradient(self, y, raw):
            return 2 * np.abs(raw - y), 2 * np.sign(raw - y)

    class Own(RegressionLoss):
        def loss_gradient(self, y, raw):
            return np.abs(raw - y), np.sign(raw - y)

        def _breakpoints(self, y):
            return AbsoluteError._breakpoints(self, y)

    y = np.array([1.0, 2.0])
    assert Steeper()._conjugate(y, y) is None
    assert registry()["tweedie"](1.7)._conjugate(y, y) is None
    # Breakpoints are all that a piecewise linear loss needs.
    assert_array_equal(Own()._conjugate(y, np.array([0.5, 1.5])), [0.5, np.inf])
    assert_array_equal(Own()._dual_domain(y), [[-1, -1], [1, 1]])


@pytest.mark.parametrize("name, y", [("log_cosh", 0.0), ("gamma", 1.0)])
def test_conjugate_keeps_its_digits_near_zero(name, y):
    """theta^2 / 2, of a theta at which 1 - theta^2 is 1 to half of the digits."""
    theta = np.array([1e-6, 1e-4])
    found = registry()[name]()._conjugate(np.full(2, y), theta)
    assert_allclose(found, theta**2 / 2, rtol=1e-3)


def test_quantile_conjugate_by_hand():
    assert_allclose(Quantile(0.9)._conjugate(np.array([2.0]), np.array([-0.5])), [-1.0])
