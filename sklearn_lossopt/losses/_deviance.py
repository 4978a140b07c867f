"""Deviances of exponential dispersion models, with log link."""

from numbers import Real

import numpy as np

from sklearn_lossopt._compat import Interval
from sklearn_lossopt.losses._base import RegressionLoss
from sklearn_lossopt.losses._conjugates import relative_entropy

__all__ = ["Gamma", "Poisson", "Tweedie"]


def require(condition, loss, domain, y):
    if not np.all(condition):
        worst = y[~np.asarray(condition)].flat[0]
        raise ValueError(
            f"y holds {worst:.6g}, but loss={loss.name!r} needs {domain}. Remove or correct "
            "those rows, or use another loss."
        )


class _LogLink(RegressionLoss):
    """Half deviances of positive means, exp(raw)."""

    # The variance of y is proportional to this power of its mean.
    @property
    def _power(self):
        raise NotImplementedError

    def _predict(self, raw):
        return np.exp(raw)

    def _y_scale(self, y, weight=None):
        return float(np.average(y, weights=weight, axis=0).mean())

    def _trust_radius(self, y_scale):
        return 1.0

    def _curvature_bound(self, y_scale, n_outputs=1):
        return y_scale ** (2 - self._power)

    def _loss_scale(self, y_scale):
        return y_scale ** (2 - self._power)

    def _curvature(self, y, raw):
        p = self._power
        raw = np.clip(raw, -300, 300)
        return np.maximum((2 - p) * np.exp((2 - p) * raw) + (p - 1) * y * np.exp((1 - p) * raw), 0)

    def _constant(self, y, weight):
        mean = np.average(y, axis=0, weights=weight)
        return np.log(np.maximum(mean, 1e-10))


class Poisson(_LogLink, name="poisson"):
    r"""Half Poisson deviance with log link, for counts and rates.

    .. math:: \ell(y, z) = e^z - y z + y \log y - y

    with derivative :math:`e^z - y`; y is at least 0, and ``predict`` returns :math:`e^z`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Poisson
    >>> value, gradient = Poisson().loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value, gradient)
    [0.] [0.]

    References
    ----------
    Nelder, J. A. and Wedderburn, R. W. M. (1972). Generalized linear models. Journal of the Royal
    Statistical Society A 135(3), 370-384.
    """

    _power = 1.0

    def _fenchel_gap(self, y, raw, dual):
        # The dual is a mean less the observed one.
        mean = dual + y
        gap = relative_entropy(np.maximum(mean, 0.0), np.exp(np.clip(raw, -700, 700)))
        return np.where(mean >= 0, gap, np.inf)

    def _check_target(self, y):
        require(y >= 0, self, "y at least 0", y)
        require(np.sum(y, axis=0) > 0, self, "a positive sum of y", np.sum(y, axis=0))


class Gamma(_LogLink, name="gamma"):
    r"""Half gamma deviance with log link, for positive amounts.

    .. math:: \ell(y, z) = z + y e^{-z} - \log y - 1

    with derivative :math:`1 - y e^{-z}`; y is greater than 0, and ``predict`` returns
    :math:`e^z`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Gamma
    >>> value, gradient = Gamma().loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value, gradient)
    [0.] [0.]

    References
    ----------
    Nelder, J. A. and Wedderburn, R. W. M. (1972). Generalized linear models. Journal of the Royal
    Statistical Society A 135(3), 370-384.
    """

    _power = 2.0

    def _fenchel_gap(self, y, raw, dual):
        ratio = 1 - dual
        with np.errstate(over="ignore"):
            now = y * np.exp(np.clip(-raw, -700, 700))
        gap = relative_entropy(np.maximum(ratio, 0.0), now)
        return np.where(ratio > 0, gap, np.inf)

    def _check_target(self, y):
        require(y > 0, self, "y greater than 0", y)


class Tweedie(_LogLink, name="tweedie"):
    r"""Half Tweedie deviance with log link, for amounts that may be exactly 0.

    With mean :math:`\mu = e^z` and power p other than 1 and 2,

    .. math::

        \ell(y, z) = \frac{\max(y, 0)^{2-p}}{(1-p)(2-p)} - \frac{y \mu^{1-p}}{1-p}
            + \frac{\mu^{2-p}}{2-p}

    with derivative :math:`\mu^{2-p} - y \mu^{1-p}`; powers 1 and 2 are Poisson and Gamma, 0 the
    half squared error with log link. ``predict`` returns :math:`e^z`.

    Parameters
    ----------
    power : float, default=1.5
        The variance of y is proportional to this power of its mean; at most 0 or at least 1.
        y is any number for p <= 0, at least 0 for 1 <= p < 2, and greater than 0 for p >= 2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Tweedie
    >>> value, gradient = Tweedie().loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value, gradient)
    [0.] [0.]

    References
    ----------
    Jorgensen, B. (1987). Exponential dispersion models. Journal of the Royal Statistical Society
    B 49(2), 127-162.
    """

    _parameter_constraints = {
        "power": [Interval(Real, None, 0, closed="right"), Interval(Real, 1, None, closed="left")]
    }
    _kernel_params = ("power",)

    def __init__(self, power=1.5):
        self.power = power

    @property
    def _power(self):
        return float(self.power)

    def _check_target(self, y):
        if self.power >= 2:
            require(y > 0, self, f"y greater than 0 with power={self.power}", y)
        elif self.power >= 1:
            require(y >= 0, self, f"y at least 0 with power={self.power}", y)
        require(np.sum(y, axis=0) > 0, self, "a positive sum of y", np.sum(y, axis=0))
