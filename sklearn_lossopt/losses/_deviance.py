"""Deviances of exponential dispersion models with log link."""

from numbers import Real

import numpy as np
from scipy.special import xlog1py, xlogy

from sklearn_lossopt._compat import Interval
from sklearn_lossopt.losses._base import RegressionLoss
from sklearn_lossopt.losses._conjugates import relative_entropy
from sklearn_lossopt.losses._links import Log

__all__ = ["Gamma", "Poisson", "Tweedie"]


def require(condition, loss, domain, y):
    if not np.all(condition):
        worst = y[~np.asarray(condition)].flat[0]
        raise ValueError(
            f"y holds {worst:.6g}, but loss={loss.name!r} needs {domain}. Remove or correct "
            "those rows, or use another loss."
        )


class _LogLink(RegressionLoss):
    """Half deviances with the mean exp(raw); ``_power`` is p in variance = mean^p."""

    _link = Log()
    _convex = True

    def _check_total(self, y):
        super()._check_total(y)
        require(np.sum(y, axis=0) > 0, self, "a positive sum of y", np.sum(y, axis=0))

    def _check_target(self, y):
        self._check_some_targets(y)
        require(np.sum(y, axis=0) > 0, self, "a positive sum of y", np.sum(y, axis=0))

    def _y_scale(self, y, weight=None):
        return float(np.average(y, weights=weight, axis=0).mean())

    def _trust_radius(self, y_scale):
        return 1.0

    @np.errstate(over="ignore", invalid="ignore")
    def _curvature_bound(self, y_scale, n_outputs=1):
        return np.float64(y_scale) ** (2 - self._power)

    def _loss_scale(self, y_scale):
        return self._curvature_bound(y_scale)

    @np.errstate(divide="ignore")
    def _curvature(self, y, raw):
        p = self._power
        a = np.exp(np.clip((2 - p) * raw, -700, 700))
        if p == 1:
            return a
        # The exponent of a product: neither very small nor very large y are out of range.
        b = np.sign(y) * np.exp(np.clip(np.log(np.abs(y)) + (1 - p) * raw, -700, 700))
        return np.maximum((2 - p) * a + (p - 1) * b, 0)

    def _constant(self, y, weight):
        mean = np.average(y, axis=0, weights=weight)
        # Nothing but zeros: half a count so far.
        none = 0.5 / (len(y) if weight is None else np.sum(weight))
        return np.log(np.where(mean > 0, mean, none))


class Poisson(_LogLink, name="poisson"):
    r"""Half Poisson deviance with log link, for counts and rates.

    .. math:: \ell(y, z) = e^z - y z + y \log y - y

    with derivative :math:`e^z - y`; y is at least 0, without a unit. ``predict`` returns
    :math:`e^z`.

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
    # (1 + t) log(1 + t) - t is at most t^2.
    _gap_radius = 1.0

    def _dual_domain(self, y, n_outputs=1):
        return -y, np.full(y.shape, np.inf)

    def _conjugate_inside(self, y, dual):
        r"""With :math:`\mu = e^z = y + \theta`: :math:`\mu \log \mu - y \log y - \theta`."""
        mean = y + dual
        return xlogy(mean, mean) - xlogy(y, y) - dual

    def _fenchel_gap(self, y, raw, dual):
        # The dual is a mean less the observed one.
        mean = dual + y
        gap = relative_entropy(np.maximum(mean, 0.0), np.exp(np.clip(raw, -700, 700)))
        return np.where(mean >= 0, gap, np.inf)

    def _check_target(self, y):
        require(y >= 0, self, "y at least 0", y)


class Gamma(_LogLink, name="gamma"):
    r"""Half gamma deviance with log link, for positive amounts.

    .. math:: \ell(y, z) = z + y e^{-z} - \log y - 1

    with derivative :math:`1 - y e^{-z}`; y is greater than 0, in any unit. ``predict`` returns
    :math:`e^z`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Gamma
    >>> value, gradient = Gamma().loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value, abs(gradient))
    [0.] [0.]

    References
    ----------
    Nelder, J. A. and Wedderburn, R. W. M. (1972). Generalized linear models. Journal of the Royal
    Statistical Society A 135(3), 370-384.
    """

    _power = 2.0
    _gap_radius = 1.0

    def _dual_domain(self, y, n_outputs=1):
        return np.full(y.shape, -np.inf), np.ones(y.shape)

    def _conjugate_inside(self, y, dual):
        r"""With :math:`y e^{-z} = 1 - \theta`: :math:`\theta (1 + \log y) + (1 - \theta)
        \log(1 - \theta)`."""
        return dual * (1 + np.log(y)) + xlog1py(1 - dual, -dual)

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

    with derivative :math:`\mu^{2-p} - y \mu^{1-p}`. Power 1 is ``Poisson``, power 2 is ``Gamma``,
    and power 0 is half the squared error with log link. ``predict`` returns :math:`e^z`.

    Parameters
    ----------
    power : float, default=1.5
        The power p of the mean that the variance of y is proportional to; at most 0 or at least
        1. y is any number for p <= 0, at least 0 for 1 <= p < 2, and greater than 0 for p >= 2.

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

    def __init__(self, power: float = 1.5) -> None:
        self.power = power

    @property
    def _power(self):
        return float(self.power)

    @property
    def _convex(self):
        return 1 <= self.power <= 2

    @property
    def _same(self):
        """The loss of the same formula, for powers 1 and 2."""
        return {1.0: Poisson(), 2.0: Gamma()}.get(self._power)

    def _dual_domain(self, y, n_outputs=1):
        if self._same is not None:
            return self._same._dual_domain(y)
        return np.where(y == 0, 0.0, -np.inf), np.full(y.shape, np.inf)

    def _conjugate_inside(self, y, dual):
        r"""Known for powers 1, 1.5 and 2.

        For p = 1.5 and :math:`u = \sqrt\mu`, the loss is :math:`2 u + 2 y / u - 4 \sqrt y`. Its
        derivative :math:`u - y / u` is :math:`\theta` at the positive root :math:`u` of
        :math:`u^2 - \theta u - y`, and :math:`z = 2 \log u`."""
        if self._same is not None:
            return self._same._conjugate_inside(y, dual)
        if self._power != 1.5:
            return None
        root = np.hypot(dual, 2 * np.sqrt(y))
        # One of the two forms adds numbers of the same sign.
        apart = np.where(dual < 0, root - dual, root + dual)
        other = 2 * y / np.where(apart > 0, apart, 1.0)
        u, inverse = np.where(dual < 0, (other, apart / 2), (apart / 2, other))
        return 2 * (xlogy(dual, u) - u - inverse) + 4 * np.sqrt(y)

    def _check_target(self, y):
        if self.power >= 2:
            require(y > 0, self, f"y greater than 0 with power={self.power}", y)
        elif self.power >= 1:
            require(y >= 0, self, f"y at least 0 with power={self.power}", y)
