"""What the losses say of themselves, and what others say of them.

Second derivatives, breakpoints, best constants and probabilities are derived again here by finite
differences or by scipy's minimisers; values and gradients are compared with scikit-learn's own and
with the distributions in scipy.stats.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats
from sklearn._loss import loss as sklearn_losses
from sklearn.linear_model import _sgd_fast
from test_losses import BREAKS, CONFIGURATIONS, each_loss, one_vs_rest, targets

from sklearn_lossopt.losses import Loss, check_loss, registry

SMOOTH = [name for name, loss in registry().items() if loss.smooth]
POSITIVE = ["poisson", "gamma", "tweedie"]

each_smooth_loss = pytest.mark.parametrize(
    "name, params, kind",
    [
        pytest.param(name, params, kind, id="-".join([name, kind, *map(str, params.values())]))
        for name in SMOOTH
        for params, kind in CONFIGURATIONS[name]
    ],
)

CURVED = [
    (name, params, kind)
    for name, loss in registry().items() if loss._gap_radius > 0
    for params, kind in CONFIGURATIONS[name]
]  # fmt: skip


def columns(array):
    return array if array.ndim == 2 else array[:, None]


# What others compute ------------------------------------------------------------------------------


# our name and parameters, the kind of target, scikit-learn's loss
SKLEARN = [
    ("squared_error", {}, "float", sklearn_losses.HalfSquaredError()),
    ("absolute_error", {}, "float", sklearn_losses.AbsoluteError()),
    ("quantile", {"quantile": 0.1}, "float", sklearn_losses.PinballLoss(quantile=0.1)),
    ("quantile", {"quantile": 0.9}, "float", sklearn_losses.PinballLoss(quantile=0.9)),
    ("huber", {"delta": 0.7}, "float", sklearn_losses.HuberLoss(delta=0.7)),
    ("poisson", {}, "count", sklearn_losses.HalfPoissonLoss()),
    ("gamma", {}, "positive", sklearn_losses.HalfGammaLoss()),
    *(
        ("tweedie", {"power": power}, kind, sklearn_losses.HalfTweedieLoss(power=power))
        for power, kind in [
            (-1, "float"), (-0.5, "float"), (0, "float"), (1, "count"), (1.5, "count"),
            (1.9, "positive"), (2, "positive"), (3, "positive"),
        ]
    ),
    ("log_loss", {}, "sign", sklearn_losses.HalfBinomialLoss()),
    ("log_loss", {}, "index", sklearn_losses.HalfMultinomialLoss(n_classes=4)),
    ("exponential", {}, "sign", sklearn_losses.ExponentialLoss()),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, params, kind, theirs",
    SKLEARN,
    ids=["-".join([name, kind, *map(str, params.values())]) for name, params, kind, _ in SKLEARN],
)
def test_agrees_with_scikit_learn(name, params, kind, theirs):
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 200, rng)
    raw = rng.normal(size=shape) * 3
    value, gradient = registry()[name](**params).loss_gradient(y, raw)
    y = (y + 1) / 2 if kind == "sign" else y.astype(float)
    # scikit-learn leaves out what does not depend on raw
    expected = theirs.loss(y, raw) + theirs.constant_to_optimal_zero(y)
    assert_allclose(value, expected, rtol=1e-10, atol=1e-10)
    assert_allclose(gradient, theirs.gradient(y, raw), rtol=1e-10, atol=1e-10)


SGD = [
    ("hinge", {}, "sign", _sgd_fast.Hinge(1.0)),
    ("perceptron", {}, "sign", _sgd_fast.Hinge(0.0)),
    ("squared_hinge", {}, "sign", _sgd_fast.SquaredHinge(1.0)),
    ("modified_huber", {}, "sign", _sgd_fast.ModifiedHuber()),
    ("epsilon_insensitive", {"epsilon": 0.5}, "float", _sgd_fast.EpsilonInsensitive(0.5)),
    (
        "squared_epsilon_insensitive", {"epsilon": 0.5}, "float",
        _sgd_fast.SquaredEpsilonInsensitive(0.5),
    ),
]  # fmt: skip


@pytest.mark.parametrize("name, params, kind, theirs", SGD, ids=[case[0] for case in SGD])
def test_agrees_with_sgd(name, params, kind, theirs):
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 200, rng)
    raw = rng.normal(size=shape) * 2
    value, gradient = registry()[name](**params).loss_gradient(y, raw)
    assert_allclose(value, [theirs.py_loss(z, t) for z, t in zip(raw, y, strict=True)], rtol=1e-13)
    expected = [theirs.py_dloss(z, t) for z, t in zip(raw, y, strict=True)]
    assert_allclose(gradient, expected, rtol=1e-13)


# log-densities of a target y at mean m, in families whose half deviance the losses are
DENSITIES = [
    ("poisson", {}, "count", lambda y, m: stats.poisson.logpmf(y, m)),
    ("gamma", {}, "positive", lambda y, m: stats.expon.logpdf(y, scale=m)),
    ("tweedie", {"power": 0}, "float", lambda y, m: stats.norm.logpdf(y, m)),
    ("tweedie", {"power": 1}, "count", lambda y, m: stats.poisson.logpmf(y, m)),
    ("tweedie", {"power": 2}, "positive", lambda y, m: stats.expon.logpdf(y, scale=m)),
    ("tweedie", {"power": 3}, "positive", lambda y, m: stats.invgauss.logpdf(y, m)),
]


@pytest.mark.parametrize("name, params, kind, log_density", DENSITIES)
def test_half_deviance_is_what_the_best_mean_gains(name, params, kind, log_density):
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 100, rng)
    raw = rng.normal(size=shape)
    value, _ = registry()[name](**params).loss_gradient(y, raw)
    gain = log_density(y, y) - log_density(y, np.exp(raw))
    assert_allclose(value, gain, rtol=1e-9, atol=1e-9)


# Second derivatives and breakpoints --------------------------------------------------------------


@each_smooth_loss
def test_curvature_is_the_derivative_of_the_gradient(name, params, kind):
    loss = registry()[name](**params)
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 200, rng)
    raw = rng.normal(size=shape) * 2
    h = 1e-4
    curvature = loss._curvature(y, raw)
    assert curvature.shape == shape
    away = BREAKS[name](y, raw, **params) > 3 * h if name in BREAKS else np.ones(shape, bool)
    for column in range(shape[1]) if len(shape) == 2 else [...]:
        at = (slice(None), column) if len(shape) == 2 else ...

        def gradient(steps, at=at):
            moved = raw.copy()
            moved[at] += steps * h
            return loss.loss_gradient(y, moved)[1][at]

        slope = (gradient(-2) - 8 * gradient(-1) + 8 * gradient(1) - gradient(2)) / (12 * h)
        if name == "tweedie":
            # not convex for every power: the curvature is cut off at 0
            slope = np.maximum(slope, 0)
        error = np.abs(curvature[at] - slope) / (1 + np.abs(slope) + np.abs(gradient(0)))
        assert error[away[at]].max() < 1e-8


@each_smooth_loss
def test_constant_curvature_is_the_curvature_everywhere(name, params, kind):
    loss = registry()[name](**params)
    y, shape = targets(kind, 200, np.random.default_rng(0))
    assert (loss._constant_curvature is not None) == (name == "squared_error")
    if loss._constant_curvature is not None:
        for size in (0.1, 1e100):
            raw = np.random.default_rng(1).normal(size=shape) * size
            assert_array_equal(loss._curvature(y, raw), loss._constant_curvature)
        assert loss._curvature_bound(1.0) == loss._constant_curvature
        assert loss._trust_radius(1.0) == np.inf


@each_smooth_loss
def test_curvature_operator_is_the_derivative_along_a_direction(name, params, kind):
    loss = registry()[name](**params)
    rng = np.random.default_rng(1)
    y, shape = targets(kind, 200, rng)
    raw = columns(rng.normal(size=shape))
    y = columns(y) if kind != "index" else y
    direction = rng.normal(size=raw.shape)
    product = loss._curvature_operator(y, raw)(direction)
    assert product.shape == raw.shape

    def gradient(step):
        return loss.loss_gradient(y, raw + step * direction)[1]

    h = 1e-4
    slope = (gradient(-2 * h) - 8 * gradient(-h) + 8 * gradient(h) - gradient(2 * h)) / (12 * h)
    away = np.ones(raw.shape, bool)
    if name in BREAKS:
        away = BREAKS[name](y, raw, **params) > 3 * h * np.abs(direction)
    if name == "tweedie":
        away &= loss._curvature(y, raw) > 0
    error = np.abs(product - slope) / (1 + np.abs(slope) + np.abs(gradient(0)))
    assert away.mean() > 0.5
    assert error[away].max() < 1e-8


@each_smooth_loss
def test_curvature_bound(name, params, kind):
    """Where curvature is bounded, by that; else what it is at the typical target."""
    loss = registry()[name](**params)
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 500, rng)
    unit = loss._y_scale(y) if loss.regression else 1.0
    bound = loss._curvature_bound(unit, shape[1] if kind == "index" else 1)
    if name in POSITIVE:
        unit, typical = np.array([2.0]), loss._curvature_bound(2.0)
        assert_allclose(loss._curvature(unit, np.log(unit)), typical, rtol=1e-12)
    elif name == "exponential":
        assert_allclose(loss._curvature(np.ones(1), np.zeros(1)), bound)
    elif kind == "index":
        direction = rng.normal(size=shape)
        moved = loss._curvature_operator(y, rng.normal(size=shape))(direction)
        assert ((direction * moved).sum(axis=1) <= bound * (direction**2).sum(axis=1)).all()
    else:
        raw = np.concatenate([y, y + rng.normal(size=shape), rng.normal(size=shape)])
        curvature = loss._curvature(np.concatenate([y, y, y]), raw)
        # the bound is that of some rows, not just above all
        assert curvature.max() <= bound <= 1.05 * curvature.max()


def test_losses_with_a_jump_in_the_slope_have_no_curvature():
    for name in set(registry()) - set(SMOOTH):
        params, kind = CONFIGURATIONS[name][0]
        y, shape = targets(kind, 5, np.random.default_rng(0))
        assert registry()[name](**params)._curvature(y, np.zeros(shape)) is None


def test_piecewise_linear_losses_have_breakpoints():
    found = set()
    for name, loss in registry().items():
        params, kind = CONFIGURATIONS[name][0]
        if loss(**params)._breakpoints(targets(kind, 5, np.random.default_rng(0))[0]) is not None:
            found.add(name)
    # the perceptron's minimum is at zero weights: its breakpoints would lead there
    assert found == set(registry()) - set(SMOOTH) - {"perceptron"}


@each_loss
def test_breakpoints_add_up_to_the_loss(name, params, kind):
    loss = registry()[name](**params)
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 300, rng)
    breakpoints = loss._breakpoints(y)
    if breakpoints is None:
        assert loss.smooth or name == "perceptron"
        return
    origin, raw = rng.normal(size=(2, *shape)) * 3

    def total(z):
        parts = [
            below * np.minimum(z - where, 0) + above * np.maximum(z - where, 0)
            for where, below, above in breakpoints
        ]
        return columns(sum(parts)).sum(axis=1)

    difference = loss.loss_gradient(y, raw)[0] - loss.loss_gradient(y, origin)[0]
    assert_allclose(difference, total(raw) - total(origin), rtol=1e-12, atol=1e-12)
    slope = sum(np.where(raw < where, below, above) for where, below, above in breakpoints)
    assert_allclose(loss.loss_gradient(y, raw)[1], slope, rtol=1e-14)
    for where, below, above in breakpoints:
        assert where.shape == below.shape == above.shape == shape
        assert (below <= above).all()


# Best constants and probabilities -----------------------------------------------------------------


def mean_loss(loss, y, weight):
    """The objective of a constant model, as a function of the constant."""
    return lambda z: np.average(loss.loss_gradient(y, np.full(len(y), z))[0], weights=weight)


@pytest.mark.parametrize("weighted", [False, True])
@each_loss
def test_constant_is_the_minimum(name, params, kind, weighted):
    loss = registry()[name](**params)
    rng = np.random.default_rng(3)
    y, _ = targets(kind, 301, rng)
    weight = rng.gamma(1.0, size=len(y)) if weighted else None
    if "sign" in kind:
        y[: len(y) // 3] = 1
    elif name == "tweedie" and "float" in kind:
        y += 2  # the mean must be positive
    if kind == "index":
        y[:40] = 2
        constant = loss._constant(one_vs_rest(y, 4), weight)

        def objective(z):
            raw = np.tile(z, (len(y), 1))
            value, gradient = loss.loss_gradient(y, raw)
            return (
                np.average(value, weights=weight),
                np.average(gradient, axis=0, weights=weight),
            )

        best = optimize.minimize(objective, np.zeros(4), jac=True, tol=1e-10)
        value, gradient = objective(constant)
        assert value <= best.fun + 1e-12
        assert np.abs(gradient).max() < 1e-12
        return
    constant = loss._constant(columns(y), weight)
    assert constant.shape == (columns(y).shape[1],)
    for found, column in zip(constant, columns(y).T, strict=True):
        objective = mean_loss(loss, np.ascontiguousarray(column), weight)
        best = optimize.minimize_scalar(
            objective, bounds=(-20, 20), method="bounded", options={"xatol": 1e-9}
        )
        assert objective(found) <= best.fun + 1e-10 * (1 + abs(best.fun))


@pytest.mark.parametrize("name", [n for n, loss in registry().items() if loss.classification])
def test_constant_of_a_single_class_is_finite(name):
    params = CONFIGURATIONS[name][0][0]
    loss = registry()[name](**params)
    for sign in (-1.0, 1.0):
        constant = loss._constant(np.full((7, 2), sign), None)
        assert np.isfinite(constant).all()
        assert (constant * sign >= 0).all() or name == "log_loss"


def test_weighted_quantile_counts_weights_as_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 2))
    weight = rng.integers(0, 4, size=50)
    for level in (0.1, 0.5, 0.9):
        loss = registry()["quantile"](level)
        repeated = loss._constant(np.repeat(y, weight, axis=0), None)
        assert_allclose(loss._constant(y, weight.astype(float)), repeated, rtol=1e-15)


def probabilistic():
    return [name for name, loss in registry().items() if loss.has_proba]


def test_which_losses_give_probabilities():
    assert probabilistic() == ["exponential", "log_loss", "modified_huber"]
    for name, loss in registry().items():
        defined = getattr(loss, "_probabilities", None)
        if loss.has_proba:
            assert defined is not None
        elif defined is not None:
            with pytest.raises(NotImplementedError):
                loss(**CONFIGURATIONS[name][0][0])._probabilities(np.zeros(3))


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", probabilistic())
def test_probability_is_that_whose_loss_is_least(name, p):
    """If y is 1 with probability p, the raw prediction of the least expected loss says p."""
    loss = registry()[name]()
    y = np.array([1.0, -1.0])

    def expected(z):
        return loss.loss_gradient(y, np.full(2, z))[0] @ [p, 1 - p]

    best = optimize.minimize_scalar(
        expected, bounds=(-10, 10), method="bounded", options={"xatol": 1e-10}
    )
    assert_allclose(loss._probabilities(np.array([best.x])), [[1 - p, p]], atol=1e-6)


@pytest.mark.parametrize("scale", [1, 1000])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", probabilistic())
def test_probabilities_are_a_distribution(name, k, scale):
    loss = registry()[name]()
    raw = np.random.default_rng(0).normal(size=(200, k)) * scale
    raw[0], raw[1] = -2 * scale, 2 * scale
    raw = raw[:, 0] if k == 1 else raw
    probability = loss._probabilities(raw)
    assert probability.shape == (200, max(2, k))
    assert (probability >= 0).all() and (probability <= 1).all()
    assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    if k == 1:
        assert (np.diff(probability[np.argsort(raw), 1]) >= 0).all()
    else:
        # a class with a larger raw prediction is never the less likely one
        order = np.argsort(raw, axis=1)
        assert (np.diff(np.take_along_axis(probability, order, axis=1), axis=1) >= -1e-15).all()
        assert_allclose(probability[:2], 1 / 3, rtol=1e-12)
    with np.errstate(divide="ignore"):
        expected = np.log(probability)
    with warnings.catch_warnings(action="error"):
        logs = loss._log_probabilities(raw)
    likely = probability > 1e-300
    assert_allclose(logs[likely], expected[likely], rtol=1e-9, atol=1e-12)
    assert (logs[~likely] < -600).all()


# Domains and scales -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, params, bad, domain",
    [
        ("poisson", {}, [1.0, -0.5], "y at least 0"),
        ("poisson", {}, [0.0, 0.0], "a positive sum of y"),
        ("gamma", {}, [1.0, 0.0], "y greater than 0"),
        ("gamma", {}, [1.0, -3.0], "y greater than 0"),
        ("tweedie", {"power": 1.0}, [1.0, -0.5], "y at least 0 with power=1"),
        ("tweedie", {"power": 1.5}, [1.0, -0.5], "y at least 0 with power=1.5"),
        ("tweedie", {"power": 1.5}, [0.0, 0.0], "a positive sum of y"),
        ("tweedie", {"power": 2.0}, [1.0, 0.0], "y greater than 0 with power=2"),
        ("tweedie", {"power": 3.0}, [1.0, 0.0], "y greater than 0 with power=3"),
        ("tweedie", {"power": 0.0}, [1.0, -2.0], "a positive sum of y"),
        ("tweedie", {"power": -1.0}, [1.0, -2.0], "a positive sum of y"),
    ],
)
def test_targets_outside_the_domain(name, params, bad, domain):
    loss = registry()[name](**params)
    for y in (np.array(bad)[:, None], np.array([[1.0, bad[0]], [2.0, bad[1]]])):
        if "sum" in domain:
            # Only all rows together must have it: a chunk may hold zeros alone.
            loss._check_target(y)
        with pytest.raises(ValueError, match=f"loss='{name}' needs {domain}"):
            loss._check_target(y)
            loss._check_total(y)


@each_loss
def test_targets_inside_the_domain(name, params, kind):
    y, _ = targets(kind, 50, np.random.default_rng(0))
    if "float" in kind and name == "tweedie":
        y = np.abs(y) - 0.01
    if kind != "index":
        registry()[name](**params)._check_target(columns(y))


@pytest.mark.parametrize(
    "power, edge", [(1.0, 0.0), (1.9, 0.0), (2.0, 1e-300), (3.0, 1e-300), (0.0, -5.0), (-2.0, -5.0)]
)
def test_the_edge_of_the_domain_is_inside(power, edge):
    registry()["tweedie"](power)._check_target(np.array([[edge], [6.0]]))


@pytest.mark.parametrize("name", [n for n, loss in registry().items() if loss.regression])
def test_prediction_is_on_the_scale_of_y(name):
    loss = registry()[name](**CONFIGURATIONS[name][0][0])
    raw = np.linspace(-3, 3, 7)
    expected = np.exp(raw) if name in POSITIVE else raw
    assert_allclose(loss._predict(raw), expected, rtol=1e-15)


@pytest.mark.parametrize("name", [n for n, loss in registry().items() if loss.regression])
def test_unit_follows_the_units_of_y(name):
    loss = registry()[name](**CONFIGURATIONS[name][0][0])
    y = np.random.default_rng(0).gamma(3.0, size=(999, 1))
    assert_allclose(loss._y_scale(1000 * y), 1000 * loss._y_scale(y), rtol=1e-12)
    if name not in POSITIVE:
        assert_allclose(loss._y_scale(y + 50), loss._y_scale(y), rtol=1e-9)
        # most targets equal: a median deviation of 0 is no unit
        assert Loss._y_scale(loss, np.r_[np.zeros(90), np.ones(10)][:, None]) > 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_units_count_weights_as_repeated_rows(dtype):
    rng = np.random.default_rng(0)
    for loss in [found() for found in registry().values() if found.regression]:
        for n in (7, 12):
            y, repeats = rng.gamma(2, size=(n, 2)), rng.integers(1, 5, n)
            weight = (repeats / repeats.mean()).astype(dtype)
            assert_allclose(
                loss._y_scale(y, weight), loss._y_scale(y.repeat(repeats, axis=0)), rtol=1e-6
            )
            nearly_equal = np.r_[np.zeros((9 * n, 2)), y]
            weight = np.r_[np.ones(9 * n), repeats].astype(dtype)
            assert_allclose(
                loss._y_scale(nearly_equal, weight / weight.mean()),
                loss._y_scale(nearly_equal.repeat(weight.astype(int), axis=0)),
                rtol=1e-5,
            )


@pytest.mark.parametrize("name", registry())
def test_which_losses_are_convex(name):
    # Half deviances with log link are between Poisson's and Gamma's.
    for params in [{}, *({"power": p} for p in (-1, 0, 1, 1.9, 2, 3) if name == "tweedie")]:
        loss = Loss.resolve(name).set_params(**params)
        assert loss._convex == check_loss(loss)["convex"], params


def test_a_loss_of_another_formula_is_not_known_to_be_convex():
    class Other(type(Loss.resolve("tweedie"))):
        def loss_gradient(self, y, raw):
            return np.sin(raw - y), np.cos(raw - y)

    assert not Other()._convex


@pytest.mark.parametrize("name, params, kind", CURVED)
def test_second_derivative_bounds_the_gap_of_the_dual_that_it_leads_to(name, params, kind):
    loss = Loss.resolve(name).set_params(**params)
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 2000, rng)
    raw = 3 * rng.normal(size=shape)
    slope = columns(loss.loss_gradient(y, raw)[1])
    y, raw = y if kind == "index" else columns(y), columns(raw)
    moved = min(loss._gap_radius, 9.0) * rng.uniform(-1, 1, size=raw.shape)
    bent = loss._curvature_operator(y, raw)(moved)
    gap = loss._fenchel_gap(y, raw, slope + bent)
    bound = moved * bent if gap.ndim == 2 else (moved * bent).sum(axis=1)
    assert (gap <= bound * (1 + 1e-9) + 1e-12).all()
