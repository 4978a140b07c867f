"""check_loss: passes on every registered loss, and names what is wrong with a wrong one."""

import re
import warnings

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from test_losses import CONFIGURATIONS

from sklearn_lossopt.losses import (
    AbsoluteError,
    ClassificationLoss,
    Loss,
    RegressionLoss,
    SquaredError,
    check_loss,
    registry,
)

ALL = [
    (name, params)
    for name, configurations in CONFIGURATIONS.items()
    for params in [{}, *(params for params, _ in configurations if params)]
]


def with_id(name, params):
    return pytest.param(name, params, id="-".join([name, *map(str, params.values())]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name, params", [with_id(*case) for case in ALL])
def test_every_registered_loss_passes(name, params, seed):
    loss = registry()[name](**params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = check_loss(loss, n_outputs=(1, 2, 5), random_state=seed)
    assert facts["smooth"] == loss.smooth
    # The deviances of these powers bend downwards in the logarithm of the mean.
    assert facts["convex"] == (name != "tweedie" or 1 <= loss.power <= 2)


def test_targets_are_from_the_domain():
    assert check_loss("squared_error")["targets"] == "any number"
    assert check_loss("poisson")["targets"] == "at least 0"
    assert check_loss("gamma")["targets"] == "greater than 0"
    assert check_loss("hinge")["targets"] == "-1 and 1"
    assert check_loss("log_loss")["targets"] == "-1 and 1; class indices"
    assert check_loss(UnitInterval(), n_outputs=1)["targets"] == "between 0 and 1"


@pytest.mark.parametrize("name", ["squared_error", "hinge", "log_loss"])
def test_points_can_be_given(name):
    rng = np.random.default_rng(0)
    y, raw = rng.choice([-1, 1], size=30), rng.normal(size=30)
    for given in [{"y": y}, {"raw": raw}, {"y": y, "raw": raw}]:
        assert check_loss(name, **given)["convex"]
    columns = rng.choice([-1.0, 1.0], size=(30, 4))
    if name == "log_loss":
        columns = rng.integers(4, size=30)
    assert check_loss(name, y=columns, raw=rng.normal(size=(30, 4)))["convex"]
    assert check_loss(name, y=columns)["targets"] == "those given"


# What can be wrong. Each class is right but for one thing.


def squared(y, raw):
    value = (raw - y) ** 2 / 2
    return value if value.ndim == 1 else value.sum(axis=1), raw - y


class Right(RegressionLoss):
    def loss_gradient(self, y, raw):
        return squared(y, raw)


class UnitInterval(RegressionLoss):
    def _check_target(self, y):
        if (y <= 0).any() or (y >= 1).any():
            raise ValueError("y must be between 0 and 1")

    def loss_gradient(self, y, raw):
        return np.logaddexp(0, raw) - y * raw, expit(raw) - y


class WrongSign(Right):
    def loss_gradient(self, y, raw):
        return squared(y, raw)[0], y - raw


class WrongFactor(Right):
    def loss_gradient(self, y, raw):
        return squared(y, raw)[0], 2 * (raw - y)


class WrongInOneColumn(Right):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        if raw.ndim == 2:
            gradient[:, 1] += 0.01
        return value, gradient


class Zero(Right):
    def loss_gradient(self, y, raw):
        return squared(y, raw)[0], np.zeros_like(raw)


class ValueOfColumns(Right):
    def loss_gradient(self, y, raw):
        return (raw - y) ** 2 / 2, raw - y


class OneValue(Right):
    def loss_gradient(self, y, raw):
        return ((raw - y) ** 2).sum() / 2, raw - y


class FlatGradient(Right):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        return value, gradient.ravel()[:, None]


class NoGradient(Right):
    def loss_gradient(self, y, raw):
        return squared(y, raw)[0]


class NotANumber(Right):
    def loss_gradient(self, y, raw):
        r = raw - y
        # The trap: 0 / 0 where a prediction is exact.
        return squared(y, raw)[0], r**2 / r


class Infinite(Right):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        return np.where(np.abs(value) > 10, np.inf, value), gradient


class Overflows(ClassificationLoss):
    joint = False

    def loss_gradient(self, y, raw):
        power = np.exp(-y * raw)
        value = np.log(1 + power)
        return value if raw.ndim == 1 else value.sum(axis=1), -y * power / (1 + power)


class ChangesRaw(Right):
    def loss_gradient(self, y, raw):
        raw -= y
        return squared(0, raw)


class ChangesTarget(Right):
    def loss_gradient(self, y, raw):
        y -= raw
        return squared(y, 0 * raw)[0], -y


class MeanOverRows(Right):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        return value / len(y), gradient / len(y)


class Standardised(Right):
    def loss_gradient(self, y, raw):
        return squared(y - y.mean(axis=0), raw)


class Random(Right):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        return value + np.random.default_rng().normal(size=len(y)), gradient


class CoupledColumns(Right):
    def loss_gradient(self, y, raw):
        if raw.ndim == 1:
            return np.sqrt(1 + (raw - y) ** 2), (raw - y) / np.sqrt(1 + (raw - y) ** 2)
        size = np.sqrt(1 + ((raw - y) ** 2).sum(axis=1))
        return size, (raw - y) / size[:, None]


class CallsItselfSmooth(Right):
    def loss_gradient(self, y, raw):
        # A breakpoint that no row of a random batch is near.
        r = raw - y - 0.2345
        value = np.maximum(r, 0)
        return value if raw.ndim == 1 else value.sum(axis=1), np.where(r > 0, 1.0, 0.0)


class Half(Right):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y.astype(np.float64), raw)
        if raw.dtype == np.float32:
            gradient = gradient.astype(np.float16).round(1)
        return value, gradient


class Raises(Right):
    def loss_gradient(self, y, raw):
        return squared(y[:, 0], raw)


class ExpectsColumns(ClassificationLoss):
    def loss_gradient(self, y, raw):
        value = np.logaddexp(0, -y * raw)
        return value if raw.ndim == 1 else value.sum(axis=1), -y * expit(-y * raw)


class ChangesItsArgument(Right):
    def __init__(self, width=1.0):
        self.width = 2 * width


class ForgetsItsArgument(Right):
    def __init__(self, width=1.0):
        pass


class Unpicklable(Right):
    def __init__(self, shape=None):
        self.shape = shape


class NeitherTask(Loss):
    def loss_gradient(self, y, raw):
        return squared(y, raw)


class WrongBreakpoints(AbsoluteError):
    def loss_gradient(self, y, raw):
        r = raw - y
        value = np.where(r > 0, 0.1 * r, -0.9 * r)
        return value if raw.ndim == 1 else value.sum(axis=1), np.where(r > 0, 0.1, -0.9)

    _breakpoints = AbsoluteError._breakpoints


class WrongCurvature(SquaredError):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        return 0.1 * value, 0.1 * gradient

    _curvature = SquaredError._curvature


class WrongConstant(SquaredError):
    def loss_gradient(self, y, raw):
        value, gradient = squared(y, raw)
        return 0.1 * value, 0.1 * gradient

    _constant_curvature = SquaredError._constant_curvature


class Picky(Right):
    def _check_target(self, y):
        raise ValueError("no")


MISTAKES = [
    (WrongSign(), r"gradient is not the derivative of the value in row \d+ \(y = .*, raw = .*\)"),
    (WrongSign(), "Its sign is the opposite: the derivative is with respect to raw"),
    (WrongFactor(), "In every row it is 2 times that"),
    (WrongInOneColumn(), r"in row \d+ .*, column 1. .* Correct the formula"),
    (Zero(), r"claims a slope of 0, finite differences of the value give"),
    (ValueOfColumns(), r"returned values of shape \(64, 3\).*shape \(64,\) is needed.*sum\(axis=1"),
    (OneValue(), r"returned values of shape \(\)"),
    (FlatGradient(), r"returned a gradient of shape \(64, 1\).*shape \(64,\) is needed"),
    (NoGradient(), "a tuple of two arrays, value and gradient, is needed"),
    (NotANumber(), r"in row \d+ \(y = (.*), raw = \1\), of dtype float64.*gradient nan"),
    (Infinite(), "value inf"),
    (Overflows(), r"raw = .*1000.*gradient .*nan.*np.logaddexp"),
    (ChangesRaw(), "changed its argument raw in place"),
    (ChangesTarget(), "changed its argument y in place"),
    (MeanOverRows(), r"value of row \d+ .* depends on the other rows: .* in a batch of 64 rows"),
    (Standardised(), r"depends on the other rows.*axis 0"),
    (Random(), "depends on the other rows|not the derivative"),
    (CoupledColumns(), r"gradient of row \d+ .* in column 0, but .* where that column is passed"),
    (CallsItselfSmooth(), "gradient jumps from 0 to 1 at raw = .* Set the class attribute smooth"),
    (Half(), "float32 gives another result in row"),
    (Raises(), r"raised IndexError: .* for y of shape \(64,\) \(float64\) and raw"),
    (ExpectsColumns(), r"raised ValueError.* y is the class index; set .* joint = False"),
    (ChangesItsArgument(), "cannot be cloned: .* store each argument"),
    (ForgetsItsArgument(), "cannot be cloned: .* store each argument"),
    (Unpicklable(lambda: 0), "cannot be pickled: .* top level of a module"),
    (WrongBreakpoints(), r"WrongBreakpoints._breakpoints does not fit .* the slope is -?1 where"),
    (WrongCurvature(), "WrongCurvature._curvature does not fit .* is 1 where 0.1 is found"),
    (WrongConstant(), "WrongConstant._constant_curvature does not fit .* is 1 where 0.1 is found"),
    (NeitherTask(), "neither numbers nor classes. Subclass RegressionLoss"),
    (Picky(), "refuses all targets tried.*Pass y"),
]


@pytest.mark.parametrize(
    "loss, message", [pytest.param(*case, id=type(case[0]).__name__) for case in MISTAKES]
)
def test_mistakes_are_named(loss, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_loss(loss)
    assert type(loss).__name__ in str(caught.value)


def test_a_right_loss_passes():
    assert check_loss(Right()) == {"targets": "any number", "convex": True, "smooth": True}


@pytest.mark.parametrize("seed", range(20))
def test_small_mistakes_are_found_with_every_seed(seed):
    class Slightly(Right):
        def loss_gradient(self, y, raw):
            value, gradient = squared(y, raw)
            return value, gradient * (1 + 1e-4)

    Slightly.__qualname__ = "Slightly"
    globals()["Slightly"] = Slightly
    with pytest.raises(ValueError, match=re.escape("In every row it is 1.0001 times that")):
        check_loss(Slightly(), random_state=seed)


class Cauchy(Right):
    def loss_gradient(self, y, raw):
        r = raw - y
        value = np.log1p(r**2)
        return value if raw.ndim == 1 else value.sum(axis=1), 2 * r / (1 + r**2)


class Softmax(ClassificationLoss):
    def loss_gradient(self, y, raw):
        if raw.ndim == 1:
            return np.logaddexp(0, -y * raw), -y * expit(-y * raw)
        rows = np.arange(len(y))
        gradient = softmax(raw, axis=1)
        gradient[rows, y] -= 1
        return -log_softmax(raw, axis=1)[rows, y], gradient


class SoftmaxOfAnotherClass(Softmax):
    def loss_gradient(self, y, raw):
        value, gradient = super().loss_gradient(y, raw)
        return value, gradient if raw.ndim == 1 else gradient[:, ::-1]


def test_a_loss_may_bend_downwards():
    assert check_loss(Cauchy()) == {"targets": "any number", "convex": False, "smooth": True}


def test_joint_columns():
    assert check_loss(Softmax(), n_outputs=(1, 2, 7))["convex"]
    with pytest.raises(ValueError, match="not the derivative of the value"):
        check_loss(SoftmaxOfAnotherClass())


def test_one_output_only():
    """A loss that is never used with several columns need not take them."""
    with pytest.raises(ValueError, match="shape"):
        check_loss(UnitInterval(), n_outputs=3)
    check_loss(UnitInterval(), n_outputs=1)


def test_a_loss_without_its_method_says_so():
    class Nothing(RegressionLoss):
        pass

    globals()["Nothing"] = Nothing
    Nothing.__qualname__ = "Nothing"
    with pytest.raises(NotImplementedError, match=r"Nothing must override loss_gradient\(\)"):
        check_loss(Nothing())
