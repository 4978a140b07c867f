"""Losses for regression."""

from numbers import Real

import numpy as np
from scipy.special import xlog1py
from sklearn.base import clone

from sklearn_lossopt._compat import Interval, StrOptions
from sklearn_lossopt._component import NON_NEGATIVE, POSITIVE
from sklearn_lossopt._quantiles import weighted_quantile
from sklearn_lossopt._typing import Auto
from sklearn_lossopt.losses._base import RegressionLoss
from sklearn_lossopt.losses._conjugates import DualForm, Entropy, Quadratic

__all__ = [
    "AbsoluteError",
    "EpsilonInsensitive",
    "Huber",
    "LogCosh",
    "Quantile",
    "SquaredEpsilonInsensitive",
    "SquaredError",
]

# Huber's constant, in units of the residual scale: 95% efficiency if the errors are normal.
AUTO_HUBER = 1.345


class _ResidualLoss(RegressionLoss):
    r"""Losses g(r) of the residual r = z - y.

    The conjugate is :math:`\sup_z \theta z - g(z - y) = \theta y + \sup_r \theta r - g(r)
    = \theta y + g^*(\theta)`.
    """

    _convex = True
    # The greatest slope of g.
    _steepest = np.inf

    def _dual_domain(self, y, n_outputs=1):
        high = np.broadcast_to(np.float64(self._steepest), y.shape)
        return -high, high

    def _conjugate_inside(self, y, dual):
        return y * dual + self._residual_conjugate(dual)

    def _residual_conjugate(self, dual):
        r"""The conjugate of g, here :math:`\theta^2 / 2`: the conjugate of :math:`r^2 / 2`.

        It is also that of Huber's g, whose slope takes the same values up to delta.
        """
        return dual**2 / 2


class _PiecewiseLinear(RegressionLoss):
    """Losses that are linear between breakpoints, in units of y."""

    smooth = False
    _convex = True

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 1 / max(y_scale, np.finfo(np.float64).tiny)

    def _loss_scale(self, y_scale):
        return y_scale


class SquaredError(
    _ResidualLoss,
    name="squared_error",
    aliases={"mse": {}, "mean_squared_error": {}},
):
    r"""Half squared error, for the conditional mean.

    .. math:: \ell(y, z) = \tfrac12 (y - z)^2

    with derivative :math:`z - y`; y is any real number. With the factor one half, the objective
    is that of ``SGDRegressor``, and that of ``Ridge`` with n times our ``alpha``.

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
    _constant_curvature = 1.0
    _gap_radius = np.inf

    def _loss_scale(self, y_scale):
        return y_scale**2

    def _trust_radius(self, y_scale):
        return np.inf

    def _curvature(self, y, raw):
        return np.ones_like(raw)

    def _fenchel_gap(self, y, raw, dual):
        return 0.5 * (dual - (raw - y)) ** 2

    def _constant(self, y, weight):
        return y.mean(axis=0) if weight is None else np.average(y, axis=0, weights=weight)


class Huber(_ResidualLoss, name="huber"):
    r"""Huber's loss: quadratic near zero, linear beyond ``delta``, for data with outliers.

    .. math::

        \ell(y, z) = \begin{cases}
            r^2 / 2 & |r| \le \delta \\
            \delta |r| - \delta^2 / 2 & |r| > \delta
        \end{cases}, \qquad r = y - z

    with derivative :math:`\max(-\delta, \min(\delta, z - y))`; y is any real number.

    Parameters
    ----------
    delta : float or "auto", default="auto"
        The residual at which the loss turns linear, in units of y; greater than 0. "auto" is 1.345
        times the scale of the residuals of each output, which is 95% efficient if the errors are
        normal. ``fit`` finds the scale by Huber's criterion, as ``HuberRegressor`` does, and the
        estimator stores delta as ``delta_``.

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

    _parameter_constraints = {"delta": [*POSITIVE, StrOptions({"auto"})]}
    _kernel_params = ("delta",)
    classification = True

    def __init__(self, delta: float | Auto = "auto") -> None:
        self.delta = delta

    @property
    def _steepest(self):
        return self.delta

    def _prepared(self, residual_scale):
        if isinstance(self.delta, str):
            return clone(self).set_params(delta=AUTO_HUBER * residual_scale(AUTO_HUBER))
        return self

    def _check_total(self, y):
        super()._check_total(y)
        with np.errstate(over="ignore"):
            if isinstance(self.delta, str) and not np.isfinite((y**2).sum()):
                raise ValueError(
                    "y is too large: its squares, from which Huber(delta='auto') finds delta, "
                    "overflow. Divide y by a constant first."
                )

    def _kernel_row(self):
        if isinstance(self.delta, str):
            raise ValueError(
                "Huber(delta='auto') has no value of its own: delta is found by an estimator's "
                "fit. Give a number, such as Huber(delta=1.35), to evaluate the loss."
            )
        if np.ndim(self.delta):
            return [[float(delta)] for delta in self.delta]
        return super()._kernel_row()

    def _loss_scale(self, y_scale):
        return y_scale * min(y_scale, float(np.mean(self.delta)))

    def _curvature(self, y, raw):
        return (np.abs(y - raw) <= self.delta).astype(raw.dtype)

    def _dual_form(self, y):
        return DualForm([(y, *self._dual_domain(y))], Quadratic(1.0))

    def _of_output(self, output):
        return clone(self).set_params(delta=self.delta[output]) if np.ndim(self.delta) else self

    def _constant(self, y, weight):
        # Newton's method from the median, in the middle of the quadratic part.
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


class AbsoluteError(
    _PiecewiseLinear, name="absolute_error", aliases={"mae": {}, "mean_absolute_error": {}}
):
    r"""Absolute error, for the conditional median.

    .. math:: \ell(y, z) = |y - z|

    with derivative :math:`\operatorname{sign}(z - y)`; y is any real number.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import AbsoluteError
    >>> value, gradient = AbsoluteError().loss_gradient(np.array([1.0]), np.array([3.0]))
    >>> print(value, gradient)
    [2.] [1.]

    References
    ----------
    Laplace, P. S. (1774). Memoire sur la probabilite des causes par les evenements.
    """

    def _breakpoints(self, y):
        return [(y, np.full(y.shape, -1.0), np.full(y.shape, 1.0))]


class Quantile(_PiecewiseLinear, name="quantile", aliases={"pinball": {}}):
    r"""Pinball loss, for a conditional quantile.

    .. math:: \ell(y, z) = \max(q\,(y - z), (1 - q)(z - y))

    with derivative :math:`-q` where z < y and :math:`1 - q` where z > y; y is any real number.

    Parameters
    ----------
    quantile : float, default=0.5
        The level q, in (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Quantile
    >>> value, gradient = Quantile(0.9).loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value, gradient)
    [0.9] [-0.9]

    References
    ----------
    Koenker, R. and Bassett, G. (1978). Regression quantiles. Econometrica 46(1), 33-50.
    """

    _parameter_constraints = {"quantile": [Interval(Real, 0, 1, closed="neither")]}
    _kernel_params = ("quantile",)

    def __init__(self, quantile: float = 0.5) -> None:
        self.quantile = quantile

    def _breakpoints(self, y):
        return [(y, np.full(y.shape, -self.quantile), np.full(y.shape, 1 - self.quantile))]


class EpsilonInsensitive(_PiecewiseLinear, name="epsilon_insensitive"):
    r"""Absolute error beyond a tube, as in support vector regression.

    .. math:: \ell(y, z) = \max(0, |y - z| - \epsilon)

    with derivative :math:`\operatorname{sign}(z - y)` outside the tube and 0 inside; y is any real
    number.

    Parameters
    ----------
    epsilon : float, default=0.1
        Half the width of the tube, in units of y; at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import EpsilonInsensitive
    >>> value, gradient = EpsilonInsensitive(0.5).loss_gradient(np.zeros(2), np.array([0.2, 2.0]))
    >>> print(value, gradient)
    [0.  1.5] [0. 1.]

    References
    ----------
    Drucker, H., Burges, C. J. C., Kaufman, L., Smola, A. and Vapnik, V. (1997). Support vector
    regression machines. NIPS 9.
    """

    _parameter_constraints = {"epsilon": NON_NEGATIVE}
    _kernel_params = ("epsilon",)

    def __init__(self, epsilon: float = 0.1) -> None:
        self.epsilon = epsilon

    def _breakpoints(self, y):
        one, zero = np.ones(y.shape), np.zeros(y.shape)
        return [(y - self.epsilon, -one, zero), (y + self.epsilon, zero, one)]


class SquaredEpsilonInsensitive(_ResidualLoss, name="squared_epsilon_insensitive"):
    r"""The square of the epsilon-insensitive loss.

    .. math:: \ell(y, z) = \max(0, |y - z| - \epsilon)^2

    with derivative :math:`2 \operatorname{sign}(z - y) \max(0, |y - z| - \epsilon)`; y is any real
    number.

    Parameters
    ----------
    epsilon : float, default=0.1
        Half the width of the tube, in units of y; at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import SquaredEpsilonInsensitive
    >>> loss = SquaredEpsilonInsensitive(epsilon=0.5)
    >>> value, gradient = loss.loss_gradient(np.zeros(2), np.array([0.2, 2.0]))
    >>> print(value, gradient)
    [0.   2.25] [0. 3.]

    References
    ----------
    Ho, C.-H. and Lin, C.-J. (2012). Large-scale linear support vector regression. Journal of
    Machine Learning Research 13, 3323-3348.
    """

    _parameter_constraints = {"epsilon": NON_NEGATIVE}
    _kernel_params = ("epsilon",)

    def __init__(self, epsilon: float = 0.1) -> None:
        self.epsilon = epsilon

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 2.0

    def _loss_scale(self, y_scale):
        return y_scale**2

    def _curvature(self, y, raw):
        return 2.0 * (np.abs(y - raw) > self.epsilon)

    def _residual_conjugate(self, dual):
        r"""With :math:`|r| = \epsilon + |\theta| / 2`, where the slope is :math:`\theta`:
        :math:`\epsilon |\theta| + \theta^2 / 4`."""
        return self.epsilon * np.abs(dual) + dual**2 / 4

    def _dual_form(self, y):
        zero, infinite = np.zeros(y.shape), np.full(y.shape, np.inf)
        pieces = [(y - self.epsilon, -infinite, zero), (y + self.epsilon, zero, infinite)]
        return DualForm(pieces, Quadratic(0.5))


class LogCosh(_ResidualLoss, name="log_cosh"):
    r"""Logarithm of the hyperbolic cosine: smooth, quadratic below 1, linear beyond.

    .. math:: \ell(y, z) = \log \cosh(y - z)

    with derivative :math:`\tanh(z - y)`; y is any real number. The loss turns linear at a residual
    of about 1 in units of y, so rescale y to move that point.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import LogCosh
    >>> value, gradient = LogCosh().loss_gradient(np.zeros(1), np.array([1.0]))
    >>> print(value.round(4), gradient.round(4))
    [0.4338] [0.7616]

    References
    ----------
    Green, P. J. (1990). Bayesian reconstructions from emission tomography data using a modified
    EM algorithm. IEEE Transactions on Medical Imaging 9(1), 84-93.
    """

    _steepest = 1.0
    # As for the log loss, of 2 z.
    _gap_radius = 0.5

    def _loss_scale(self, y_scale):
        return y_scale * min(y_scale, 1.0)

    def _curvature(self, y, raw):
        # 1 - tanh^2, which loses its digits where tanh is nearly 1.
        e = np.exp(-2 * np.abs(y - raw))
        return 4 * e / (1 + e) ** 2

    def _residual_conjugate(self, dual):
        r"""With :math:`r = \operatorname{artanh} \theta`, where :math:`\log \cosh r = -\tfrac12
        \log(1 - \theta^2)`: :math:`\theta \operatorname{artanh} \theta + \tfrac12
        \log(1 - \theta^2) = \tfrac12 [(1 + \theta) \log(1 + \theta)
        + (1 - \theta) \log(1 - \theta)]`.

        The first form is exact to rounding near 0, the second at the ends."""
        near = np.clip(dual, -0.5, 0.5)
        inner = near * np.arctanh(near) + np.log1p(-(near**2)) / 2
        outer = (xlog1py(1 + dual, dual) + xlog1py(1 - dual, -dual)) / 2
        return np.where(near == dual, inner, outer)

    def _dual_form(self, y):
        return DualForm([(y, *self._dual_domain(y))], Entropy())
