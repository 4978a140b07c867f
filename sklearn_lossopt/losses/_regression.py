"""Losses for regression."""

from numbers import Real

import numpy as np

from sklearn_lossopt._compat import Interval
from sklearn_lossopt.losses._base import RegressionLoss

__all__ = ["Huber", "SquaredError"]


def weighted_quantile(y, weight, level):
    """The quantile of each column of y (n, k), an observed value; shape (k,)."""
    out = np.empty(y.shape[1])
    for column in range(y.shape[1]):
        order = np.argsort(y[:, column])
        share = np.cumsum(np.ones(len(y)) if weight is None else weight[order], dtype=np.float64)
        at = np.searchsorted(share, level * share[-1])
        out[column] = y[order[min(at, len(y) - 1)], column]
    return out


class SquaredError(
    RegressionLoss,
    name="squared_error",
    aliases={"mse": {}, "mean_squared_error": {}},
):
    r"""Half squared error, for the conditional mean.

    .. math:: \ell(y, z) = \tfrac12 (y - z)^2

    with derivative :math:`z - y`; y is any real number. The half makes the objective that of
    ``Ridge`` (whose alpha is n times ours) and of ``SGDRegressor``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import SquaredError
    >>> value, gradient = SquaredError().loss_gradient(np.array([1.0]), np.array([3.0]))
    >>> print(value, gradient)
    [2.] [2.]

    References
    ----------
    Gauss, C. F. (1809). Theoria motus corporum coelestium.
    """

    classification = True

    def _value_unit(self, unit):
        return unit**2

    def _curvature(self, y, raw):
        return np.ones_like(raw)


class Huber(RegressionLoss, name="huber"):
    r"""Huber's loss: quadratic near zero, linear beyond ``delta``, for data with outliers.

    .. math::

        \ell(y, z) = \begin{cases}
            r^2 / 2 & |r| \le \delta \\
            \delta |r| - \delta^2 / 2 & |r| > \delta
        \end{cases}, \qquad r = y - z

    with derivative :math:`\max(-\delta, \min(\delta, z - y))`; y is any real number.

    Parameters
    ----------
    delta : float, default=1.35
        Where the loss turns linear, in the units of y; greater than 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Huber
    >>> value, gradient = Huber(delta=1.0).loss_gradient(np.zeros(2), np.array([0.5, 3.0]))
    >>> print(value, gradient)
    [0.125 2.5  ] [0.5 1. ]

    References
    ----------
    Huber, P. J. (1964). Robust estimation of a location parameter. Annals of Mathematical
    Statistics 35(1), 73-101.
    """

    _parameter_constraints = {"delta": [Interval(Real, 0, None, closed="neither")]}
    _kernel_params = ("delta",)
    classification = True

    def __init__(self, delta=1.35):
        self.delta = delta

    def _value_unit(self, unit):
        return unit * min(unit, self.delta)

    def _curvature(self, y, raw):
        return (np.abs(y - raw) <= self.delta).astype(raw.dtype)

    def _constant(self, y, weight):
        # Newton's method from the median, which lies in the middle of the quadratic part.
        z = weighted_quantile(y, weight, 0.5)
        weight = np.ones((len(y), 1)) if weight is None else weight[:, None]
        for _ in range(50):
            r = z - y
            inside = np.sum(weight * (np.abs(r) <= self.delta), axis=0)
            slope = np.sum(weight * np.clip(r, -self.delta, self.delta), axis=0)
            step = np.where(inside > 0, slope / np.maximum(inside, 1e-300), 0)
            z = z - np.clip(step, -self.delta, self.delta)
            if np.all(np.abs(step) <= 1e-12 * self.delta):
                break
        return z
