"""Every registered loss: finite differences, the NumPy twin, extreme values, dtypes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import LOSSES, one_vs_rest

from sklearn_lossopt.losses import registry

# name: parameters and the kind of target, in each form the loss takes. A loss registered without a
# line here, or without a twin, fails.
CONFIGURATIONS = {
    "squared_error": [({}, "float"), ({}, "floats")],
    "huber": [({"delta": 1.35}, "float"), ({"delta": 30.0}, "float"), ({"delta": 0.4}, "floats")],
    "absolute_error": [({}, "float"), ({}, "floats")],
    "quantile": [
        ({"quantile": 0.1}, "float"), ({"quantile": 0.5}, "float"), ({"quantile": 0.9}, "floats"),
    ],
    "epsilon_insensitive": [({"epsilon": 0.0}, "float"), ({"epsilon": 0.5}, "floats")],
    "squared_epsilon_insensitive": [({"epsilon": 0.0}, "float"), ({"epsilon": 0.5}, "floats")],
    "log_cosh": [({}, "float"), ({}, "floats")],
    "poisson": [({}, "count"), ({}, "positives")],
    "gamma": [({}, "positive"), ({}, "positives")],
    "tweedie": [
        ({"power": -1.0}, "float"), ({"power": -0.5}, "float"), ({"power": 0.0}, "floats"),
        ({"power": 1.0}, "count"), ({"power": 1.5}, "count"), ({"power": 1.9}, "positives"),
        ({"power": 2.0}, "positive"), ({"power": 3.0}, "positive"),
    ],
    "log_loss": [({}, "sign"), ({}, "index")],
    "hinge": [({}, "sign"), ({}, "signs")],
    "squared_hinge": [({}, "sign"), ({}, "signs")],
    "modified_huber": [({}, "sign"), ({}, "signs")],
    "perceptron": [({}, "sign"), ({}, "signs")],
    "exponential": [({}, "sign"), ({}, "signs")],
}  # fmt: skip
# how far a raw prediction is from where the derivative jumps, in its value or its slope
BREAKS = {
    "huber": lambda y, raw, delta: np.abs(np.abs(y - raw) - delta),
    "absolute_error": lambda y, raw: np.abs(y - raw),
    "quantile": lambda y, raw, quantile: np.abs(y - raw),
    "epsilon_insensitive": lambda y, raw, epsilon: np.abs(np.abs(y - raw) - epsilon),
    "squared_epsilon_insensitive": lambda y, raw, epsilon: np.abs(np.abs(y - raw) - epsilon),
    "hinge": lambda y, raw: np.abs(1 - y * raw),
    "squared_hinge": lambda y, raw: np.abs(1 - y * raw),
    "modified_huber": lambda y, raw: np.abs(1 - np.abs(y * raw)),
    "perceptron": lambda y, raw: np.abs(y * raw),
}
# What a raw prediction is multiplied by in the exponentials of a loss, and up to where those are
# sure not to saturate.
EXPONENTS = {
    "poisson": lambda: [1],
    "gamma": lambda: [-1],
    "tweedie": lambda power: [2 - power, 1 - power],
    "exponential": lambda: [1, -1],
}
LARGEST = {"float32": 80, "float64": 700}
# what float32 cannot tell from 0 without subnormal numbers, and float64 likewise
TINY = {"float32": 1e-37, "float64": 1e-300}
RTOL = {"float32": 2e-6, "float64": 1e-12}

each_loss = pytest.mark.parametrize(
    "name, params, kind",
    [
        pytest.param(name, params, kind, id="-".join([name, kind, *map(str, params.values())]))
        for name, configurations in CONFIGURATIONS.items()
        for params, kind in configurations
    ],
)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def targets(kind, n, rng, dtype="float64"):
    """y of the kind, and the shape of the raw predictions that go with it."""
    if kind == "index":
        return rng.integers(4, size=n), (n, 4)
    shape = (n, 3) if kind.endswith("s") else (n,)
    if kind.startswith("sign"):
        y = rng.choice([-1.0, 1.0], size=shape)
    elif kind.startswith("float"):
        y = rng.normal(size=shape) * 3
    elif kind == "count":
        y = rng.poisson(2.0, size=shape)
    else:
        y = rng.gamma(2.0, size=shape) + 0.1
    return y.astype(dtype), shape


def powers(name, params, raw):
    """The exponentials in a loss, and where none of them saturates."""
    factors = EXPONENTS[name](**params) if name in EXPONENTS else []
    exponents = [factor * raw.astype(float) for factor in factors]
    inside = np.ones(raw.shape, bool)
    for exponent in exponents:
        inside &= np.abs(exponent) <= LARGEST[raw.dtype.name]
    return [np.exp(np.where(inside, exponent, 0)) for exponent in exponents], inside


def rounding(name, params, kind, y, raw):
    """The size of what is rounded, besides the result: residuals, sums of exponentials."""
    if "sign" in kind:
        return np.zeros(raw.shape)
    size = 1 + np.abs(raw.astype(float))
    if kind == "index":
        return np.broadcast_to(size.max(axis=1, keepdims=True), raw.shape)
    for power in powers(name, params, raw)[0]:
        size = size + power * (1 + np.abs(raw)) * (1 + np.abs(y))
    # what Tweedie's deviance of a perfect prediction may come to
    return size + (1 + np.abs(y)) ** 3 * (name == "tweedie")


def assert_close_to_the_twin(name, params, kind, y, raw):
    """Value and gradient, each to rounding, where no exponential saturates."""
    inside = powers(name, params, raw)[1]
    with np.errstate(over="ignore", invalid="ignore"):
        actual = registry()[name](**params).loss_gradient(y, raw)
        expected = twin(name, y, raw, params)
    size = rounding(name, params, kind, y, raw)
    pairs = list(zip(actual, expected, strict=True))
    if raw.ndim == 2:
        pairs[0] = tuple(value[:, None] for value in pairs[0])
    dtype = raw.dtype.name
    assert inside.any()
    for a, e in pairs:
        assert a.dtype == dtype
        whole = a.shape == raw.shape
        rows = inside if whole else inside.all(axis=1, keepdims=True)
        most = size if whole else size.sum(axis=1, keepdims=True)
        error = np.abs(a[rows] - e[rows])
        limit = TINY[dtype] + RTOL[dtype] * (np.abs(e) + most)[rows]
        assert (error <= limit).all(), (error / limit).max()
    return actual


def twin(name, y, raw, params):
    if name == "log_loss" and raw.ndim == 2:
        return LOSSES["softmax"](y, raw)
    return LOSSES[name](np.asarray(y, float), np.asarray(raw, float), **params)


def test_every_registered_loss_is_tested():
    assert set(registry()) == set(CONFIGURATIONS)
    assert set(CONFIGURATIONS) <= set(LOSSES)


@each_loss
def test_gradient_is_the_finite_difference(name, params, kind):
    loss = registry()[name](**params)
    rng = np.random.default_rng(0)
    y, shape = targets(kind, 400, rng)
    raw = rng.normal(size=shape) * 4
    value, gradient = loss.loss_gradient(y, raw)
    assert value.shape == (400,) and gradient.shape == shape

    h = 1e-4
    smooth = np.ones(shape, bool)
    if name in BREAKS:
        smooth = BREAKS[name](y, raw, **params) > 3 * h
    assert smooth.mean() > 0.9
    for column in range(shape[1]) if len(shape) == 2 else [...]:
        at = (slice(None), column) if len(shape) == 2 else ...

        def shifted(steps, at=at):
            moved = raw.copy()
            moved[at] += steps * h
            return loss.loss_gradient(y, moved)[0]

        slope = (shifted(-2) - 8 * shifted(-1) + 8 * shifted(1) - shifted(2)) / (12 * h)
        # the values, of a size that grows exponentially for some losses, are rounded
        noise = 1e-15 * np.abs(value) / h
        error = np.abs(gradient[at] - slope) - 1e-8 * np.abs(slope) - 1e-9 - noise
        assert (error[smooth[at]] < 0).all()


@each_dtype
@pytest.mark.parametrize("scale", [1e-3, 1, 10, 300])
@each_loss
def test_agrees_with_the_twin(name, params, kind, scale, dtype):
    rng = np.random.default_rng(1)
    y, shape = targets(kind, 257, rng, dtype)
    raw = (rng.normal(size=shape) * scale).astype(dtype)
    assert_close_to_the_twin(name, params, kind, y, raw)


@pytest.mark.parametrize("k", [1, 3])
def test_hinge_has_no_slope_at_its_breakpoint(k):
    y = np.array([1.0, -1.0]) if k == 1 else one_vs_rest([0, 1], k)
    value, gradient = registry()["hinge"]().loss_gradient(y, y.copy())
    assert not value.any() and not gradient.any()


@each_dtype
@each_loss
def test_extremes(name, params, kind, dtype):
    """Up to 700: right where no exponential saturates, and beyond, no NaN and no false minimum."""
    rng = np.random.default_rng(2)
    y, shape = targets(kind, 1401, rng, dtype)
    raw = np.linspace(-700, 700, 1401).astype(dtype)
    if len(shape) == 2:
        raw = np.column_stack([rng.permutation(raw) for _ in range(shape[1])])
    value, gradient = assert_close_to_the_twin(name, params, kind, y, raw)

    if name in ("poisson", "gamma", "tweedie"):
        slope = np.exp(raw.astype(float)) - y
    else:
        slope = twin(name, y, raw, params)[1]
    assert (np.sign(gradient) * np.sign(slope) >= 0).all()
    assert (value > -1e-3).all()
    if powers(name, params, raw)[1].all():
        assert np.isfinite(value).all() and np.isfinite(gradient).all()


# margin, log(1 + exp(-margin)), -1 / (1 + exp(margin)); from
#     from mpmath import mp, mpf, exp, log1p
#     mp.dps = 400
#     for margin in (0, 1e-8, -1e-8, 2.5, -2.5, 37, -37, 100, -100, 700, -700, 1e300, -1e300):
#         m = mpf(margin)
#         print(margin, float(log1p(exp(-m))), float(-1 / (1 + exp(m))))
LOG_LOSS = [
    (0, 0.6931471805599453, -0.5),
    (1e-08, 0.6931471755599453, -0.4999999975),
    (-1e-08, 0.6931471855599454, -0.5000000025),
    (2.5, 0.07888973429254963, -0.07585818002124355),
    (-2.5, 2.5788897342925496, -0.9241418199787564),
    (37, 8.533047625744066e-17, -8.533047625744065e-17),
    (-37, 37.0, -0.9999999999999999),
    (100, 3.720075976020836e-44, -3.720075976020836e-44),
    (-100, 100.0, -1.0),
    (700, 9.85967654375977e-305, -9.85967654375977e-305),
    (-700, 700.0, -1.0),
    (1e300, 0.0, 0.0),
    (-1e300, 1e300, -1.0),
]

# class, raw, value, gradient; from
#     for i, raw in ((0, (700, 0, -700)), ...):
#         raw = [mpf(r) for r in raw]
#         total = sum(exp(r - max(raw)) for r in raw)
#         print(float(log(total) + max(raw) - raw[i]),
#               [float(exp(r - max(raw)) / total - (j == i)) for j, r in enumerate(raw)])
SOFTMAX = [
    (0, (700, 0, -700), 0.0, (0.0, 0.0, 0.0)),
    (1, (700, 0, -700), 700.0, (1.0, -1.0, 0.0)),
    (2, (700, 0, -700), 1400.0, (1.0, 0.0, -1.0)),
    (0, (700, 700, 700), 1.0986122886681098, (-2 / 3, 1 / 3, 1 / 3)),
    (1, (-700, -700, -700), 1.0986122886681098, (1 / 3, -2 / 3, 1 / 3)),
    (0, (0.5, -1.25, 2), 1.7326219831020326,
     (-0.8231798178925557, 0.030726740326436432, 0.7924530775661193)),
    (0, (1e300, -1e300, 0), 0.0, (0.0, 0.0, 0.0)),
    (1, (1e300, -1e300, 0), 2e300, (1.0, -1.0, 0.0)),
]  # fmt: skip


def representable(raw, dtype):
    """1e300 has no float32; 1e38 stands for it there."""
    raw = np.asarray(raw, float)
    return np.clip(raw, -1e38, 1e38).astype(dtype) if dtype == "float32" else raw


@each_dtype
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("margin, value, slope", LOG_LOSS, ids=lambda v: f"{v:g}")
def test_log_loss_on_exact_values(margin, value, slope, sign, dtype):
    raw = representable([sign * margin], dtype)
    actual = registry()["log_loss"]().loss_gradient(np.array([sign], dtype), raw)
    expected = representable([value], dtype), [sign * slope]
    for a, e in zip(actual, expected, strict=True):
        assert_allclose(a, e, rtol=RTOL[dtype], atol=TINY[dtype])


@each_dtype
@pytest.mark.parametrize("index, raw, value, gradient", SOFTMAX)
def test_softmax_on_exact_values(index, raw, value, gradient, dtype):
    raw = representable([raw], dtype)
    if dtype == "float32" and value > 1e38:
        value = 2e38
    actual = registry()["log_loss"]().loss_gradient(np.array([index]), raw)
    for a, e in zip(actual, ([value], [gradient]), strict=True):
        assert_allclose(a, e, rtol=RTOL[dtype], atol=RTOL[dtype])


@each_dtype
@pytest.mark.parametrize("z", [1, -1])
def test_linear_tails_do_not_overflow(z, dtype):
    """Where the value is finite it is exact, however far out; the square is never needed."""
    big = 1e300 if dtype == "float64" else 1e38
    raw = np.full(9, z * big, dtype)
    one = np.ones(9, dtype)
    huber = registry()["huber"](delta=1.5)
    hinge = registry()["hinge"]()
    for loss, y, value, slope in [
        (huber, 0 * one, 1.5 * big, 1.5 * z),
        (huber, -raw, 3.0 * big, 1.5 * z),
        (hinge, -z * one, big, z),
        (hinge, z * one, 0.0, 0.0),
    ]:
        actual_value, actual_slope = loss.loss_gradient(y, raw)
        assert_allclose(actual_value, value, rtol=RTOL[dtype])
        assert_allclose(actual_slope, slope, rtol=RTOL[dtype])
