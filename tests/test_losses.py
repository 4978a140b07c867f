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
    "log_loss": [({}, "sign"), ({}, "index")],
    "hinge": [({}, "sign"), ({}, "signs")],
}
# how far a raw prediction is from where the derivative jumps, in its value or its slope
KINKS = {
    "huber": lambda y, raw, delta: np.abs(np.abs(y - raw) - delta),
    "hinge": lambda y, raw: np.abs(1 - y * raw),
}
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
    shape = (n, 3) if kind in ("floats", "signs") else (n,)
    y = rng.normal(size=shape) * 3 if "float" in kind else rng.choice([-1.0, 1.0], size=shape)
    return y.astype(dtype), shape


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
    if name in KINKS:
        smooth = KINKS[name](y, raw, **params) > 3 * h
    assert smooth.mean() > 0.9
    for column in range(shape[1]) if len(shape) == 2 else [...]:
        at = (slice(None), column) if len(shape) == 2 else ...

        def shifted(steps, at=at):
            moved = raw.copy()
            moved[at] += steps * h
            return loss.loss_gradient(y, moved)[0]

        slope = (shifted(-2) - 8 * shifted(-1) + 8 * shifted(1) - shifted(2)) / (12 * h)
        assert_allclose(gradient[at][smooth[at]], slope[smooth[at]], rtol=1e-8, atol=1e-9)


@each_dtype
@pytest.mark.parametrize("scale", [1e-3, 1, 10, 300])
@each_loss
def test_agrees_with_the_twin(name, params, kind, scale, dtype):
    loss = registry()[name](**params)
    rng = np.random.default_rng(1)
    y, shape = targets(kind, 257, rng, dtype)
    raw = (rng.normal(size=shape) * scale).astype(dtype)
    actual = loss.loss_gradient(y, raw)
    for a, expected in zip(actual, twin(name, y, raw, params), strict=True):
        assert a.dtype == dtype
        # a residual or a sum of exponentials is rounded at the size of what it is made from
        size = max(1, scale) if "sign" not in kind else 0
        assert_allclose(a, expected, rtol=RTOL[dtype], atol=TINY[dtype] + RTOL[dtype] * size)


@pytest.mark.parametrize("k", [1, 3])
def test_hinge_has_no_slope_at_its_kink(k):
    y = np.array([1.0, -1.0]) if k == 1 else one_vs_rest([0, 1], k)
    value, gradient = registry()["hinge"]().loss_gradient(y, y.copy())
    assert not value.any() and not gradient.any()


@each_dtype
@each_loss
def test_finite_up_to_700(name, params, kind, dtype):
    loss = registry()[name](**params)
    rng = np.random.default_rng(2)
    y, shape = targets(kind, 1401, rng, dtype)
    raw = np.linspace(-700, 700, 1401).astype(dtype)
    if len(shape) == 2:
        raw = np.column_stack([rng.permutation(raw) for _ in range(shape[1])])
    actual = loss.loss_gradient(y, raw)
    for a, expected in zip(actual, twin(name, y, raw, params), strict=True):
        assert np.isfinite(a).all()
        size = 0 if "sign" in kind else 700
        assert_allclose(a, expected, rtol=RTOL[dtype], atol=TINY[dtype] + RTOL[dtype] * size)


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
