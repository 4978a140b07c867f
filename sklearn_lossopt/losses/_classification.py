"""Losses for classification."""

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from sklearn_lossopt.losses._base import ClassificationLoss
from sklearn_lossopt.losses._conjugates import DualForm, Quadratic, relative_entropy
from sklearn_lossopt.losses._links import Clipped, Logistic

__all__ = [
    "Exponential",
    "Hinge",
    "LogLoss",
    "ModifiedHuber",
    "Perceptron",
    "SquaredHinge",
]


def _softmax(raw):
    """Shares (n, k) of the classes; SciPy's takes several times as long for few rows."""
    share = np.exp(raw - raw.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return share


def class_shares(y, weight):
    """Weighted share of +1 in each column of y (n, k), shape (k,)."""
    share = np.average(y > 0, axis=0, weights=weight)
    return np.clip(share, 1e-12, 1 - 1e-12)


class _MarginLoss(ClassificationLoss):
    r"""Losses :math:`\phi(m)` of the margin m = y z; several classes are trained one-vs-rest.

    Because y is 1 or -1, :math:`\theta z = y \theta m`, and the conjugate is
    :math:`\phi^*(y \theta)`. :math:`\phi` falls, and so :math:`p = -y \theta \ge 0`.
    """

    joint = False
    _convex = True
    # The greatest slope by which the loss falls.
    _steepest = np.inf

    def _dual_domain(self, y, n_outputs=1):
        return np.where(y > 0, -self._steepest, 0.0), np.where(y > 0, 0.0, self._steepest)

    def _conjugate_inside(self, y, dual):
        return self._margin_conjugate(-y * dual)

    def _margin_conjugate(self, p):
        r"""The greatest :math:`-p m - \phi(m)` over m."""
        raise NotImplementedError


class LogLoss(
    _MarginLoss,
    name="log_loss",
    aliases={"cross_entropy": {}, "binary_cross_entropy": {}, "categorical_cross_entropy": {}},
):
    r"""Cross-entropy, also called logistic loss: the negative log-likelihood of the classes.

    Two classes, :math:`y \in \{-1, 1\}`, with :math:`P(y = 1) = 1 / (1 + e^{-z})`:

    .. math:: \ell(y, z) = \log(1 + e^{-y z})

    More than two classes are trained jointly (softmax). There is one raw prediction per class,
    :math:`z_0, \dots, z_{k-1}`, and y is the index of the class:

    .. math:: \ell(y, z) = \log \sum_j e^{z_j} - z_y

    The derivatives are :math:`P(y = 1) - 1` or :math:`P(y = 1)` for y = 1 or -1, and
    :math:`P(j) - [j = y]`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import LogLoss
    >>> value, gradient = LogLoss().loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value.round(4), gradient)
    [0.6931] [-0.5]

    References
    ----------
    Cox, D. R. (1958). The regression analysis of binary sequences. Journal of the Royal
    Statistical Society B 20(2), 215-242.
    """

    joint = True
    has_proba = True
    _probability_link = Logistic()
    shift_invariant = True
    _steepest = 1.0
    # Relative entropy is at most the chi-squared divergence, for shares that are not below 0.
    _gap_radius = 0.5

    def _compiled(self, n_outputs):
        return "log_loss" if n_outputs == 1 else "softmax_log_loss"

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 0.25 if n_outputs == 1 else 0.5

    def _curvature(self, y, raw):
        if raw.ndim == 1 or raw.shape[1] == 1:
            p = expit(raw)
        else:
            p = _softmax(raw)
        return p * (1 - p)

    def _curvature_operator(self, y, raw):
        if raw.shape[1] == 1:
            return super()._curvature_operator(y, raw)
        p = _softmax(raw)

        def product(direction):
            mean = np.einsum("ij,ij->i", p, direction)
            return p * (direction - mean[:, None])

        return product

    def _margin_conjugate(self, p):
        r"""With :math:`p = 1 / (1 + e^m)`: the negative entropy
        :math:`p \log p + (1 - p) \log(1 - p)`."""
        return xlogy(p, p) + xlog1py(1 - p, -p)

    def _dual_domain(self, y, n_outputs=1):
        if n_outputs == 1:
            return super()._dual_domain(y)
        found = (y[:, None] == np.arange(n_outputs)).astype(np.float64)
        return -found, 1 - found

    def _conjugate(self, y, dual):
        r"""With several classes, y (n,), dual (n, k): the negative entropy
        :math:`\sum_j p_j \log p_j` of :math:`p_j = \theta_j + [j = y]`, from the gradient of log
        sum exp. Infinite if p is not a distribution, up to rounding of its sum."""
        if np.ndim(dual) == np.ndim(y):
            return super()._conjugate(y, dual)
        dual = np.asarray(dual, np.float64)
        low, high = self._dual_domain(y, dual.shape[1])
        inside = (low <= dual) & (dual <= high)
        inside = inside.all(axis=1) & (np.abs(dual.sum(axis=1)) <= 1e-12 * dual.shape[1])
        p = np.clip(dual - low, 0.0, 1.0)
        return np.where(inside, xlogy(p, p).sum(axis=1), np.inf)

    def _fenchel_gap(self, y, raw, dual):
        # The dual is a probability q less the observed one, which it is compared with.
        if raw.shape[1] == 1:
            q, margin = -y * dual, y * raw
            inside = (q >= -1e-12) & (q <= 1 + 1e-12)
            q = np.clip(q, 0, 1)
            gap = relative_entropy(q, expit(-margin)) + relative_entropy(1 - q, expit(margin))
            return np.where(inside, gap, np.inf)
        q = dual.T.copy()
        q[y, np.arange(len(y))] += 1
        gap = relative_entropy(np.clip(q, 0, 1), _softmax(raw).T).sum(axis=0)
        return np.where(((q >= -1e-12) & (q <= 1 + 1e-12)).all(axis=0), gap, np.inf)

    def _constant(self, y, weight):
        share = class_shares(y, weight)
        if y.shape[1] == 1:
            return np.log(share / (1 - share))
        logs = np.log(share)
        return logs - logs.mean()


class Hinge(_MarginLoss, name="hinge"):
    r"""Hinge loss, the loss of the linear support vector machine.

    .. math:: \ell(y, z) = \max(0, 1 - y z), \qquad y \in \{-1, 1\}

    The derivative is :math:`-y` for :math:`y z < 1` and 0 from the breakpoint :math:`y z = 1` on.
    More than two classes are trained one-vs-rest, all columns in one pass.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Hinge
    >>> value, gradient = Hinge().loss_gradient(np.array([1.0, -1.0]), np.array([0.25, -2.0]))
    >>> print(value, gradient)
    [0.75 0.  ] [-1.  0.]

    References
    ----------
    Cortes, C. and Vapnik, V. (1995). Support-vector networks. Machine Learning 20, 273-297.
    """

    smooth = False
    _steepest = 1.0

    def _margin_conjugate(self, p):
        """With m = 1: -p."""
        return -p

    def _constant(self, y, weight):
        return np.where(class_shares(y, weight) > 0.5, 1.0, -1.0)

    def _breakpoints(self, y):
        return [(y, np.where(y > 0, -1.0, 0.0), np.where(y > 0, 0.0, 1.0))]


class SquaredHinge(_MarginLoss, name="squared_hinge"):
    r"""Square of the hinge loss: a smooth margin loss.

    .. math:: \ell(y, z) = \max(0, 1 - y z)^2, \qquad y \in \{-1, 1\}

    with derivative :math:`-2 y \max(0, 1 - y z)`. More than two classes are trained one-vs-rest.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import SquaredHinge
    >>> value, gradient = SquaredHinge().loss_gradient(np.array([1.0]), np.array([-1.0]))
    >>> print(value, gradient)
    [4.] [-4.]

    References
    ----------
    Chang, K.-W., Hsieh, C.-J. and Lin, C.-J. (2008). Coordinate descent method for large-scale
    L2-loss linear support vector machines. Journal of Machine Learning Research 9, 1369-1398.
    """

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 2.0

    def _curvature(self, y, raw):
        return 2.0 * (y * raw < 1)

    def _margin_conjugate(self, p):
        r"""With :math:`m = 1 - p / 2`: :math:`-p + p^2 / 4`."""
        return p * (p / 4 - 1)

    def _dual_form(self, y):
        return DualForm([(y, *self._dual_domain(y))], Quadratic(0.5))

    def _constant(self, y, weight):
        return 2 * class_shares(y, weight) - 1


class ModifiedHuber(_MarginLoss, name="modified_huber"):
    r"""Squared hinge loss that is linear for badly misclassified rows; gives probabilities.

    .. math::

        \ell(y, z) = \begin{cases}
            \max(0, 1 - y z)^2 & y z \ge -1 \\
            -4 y z & y z < -1
        \end{cases}, \qquad y \in \{-1, 1\}

    The derivative is :math:`-2 y \max(0, 1 - y z)` in the first case and :math:`-4 y` in the
    second. The minimiser of the expected loss is :math:`2 P(y = 1) - 1`, and so
    :math:`P(y = 1) = (\min(1, \max(-1, z)) + 1) / 2`. More than two classes are trained
    one-vs-rest, and their probabilities are normalised to sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import ModifiedHuber
    >>> value, gradient = ModifiedHuber().loss_gradient(np.ones(2), np.array([0.0, -3.0]))
    >>> print(value, gradient)
    [ 1. 12.] [-2. -4.]

    References
    ----------
    Zhang, T. (2004). Statistical behavior and consistency of classification methods based on
    convex risk minimization. Annals of Statistics 32(1), 56-85.
    """

    has_proba = True
    _probability_link = Clipped()
    _steepest = 4.0
    _margin_conjugate, _dual_form = SquaredHinge._margin_conjugate, SquaredHinge._dual_form

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 2.0

    def _curvature(self, y, raw):
        return 2.0 * (np.abs(y * raw) < 1)

    def _constant(self, y, weight):
        return 2 * class_shares(y, weight) - 1


class Perceptron(_MarginLoss, name="perceptron"):
    r"""Rosenblatt's perceptron criterion: only misclassified rows count.

    .. math:: \ell(y, z) = \max(0, -y z), \qquad y \in \{-1, 1\}

    The derivative is :math:`-y` for :math:`y z \le 0` and 0 beyond. The objective has its minimum,
    0, at w = 0, a useless model. The criterion is meant for a few epochs of a first-order method:
    training starts at zero and stops when the objective stalls. More than two classes are trained
    one-vs-rest.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Perceptron
    >>> value, gradient = Perceptron().loss_gradient(np.ones(2), np.array([2.0, -3.0]))
    >>> print(value, gradient)
    [0. 3.] [ 0. -1.]

    References
    ----------
    Rosenblatt, F. (1958). The perceptron: a probabilistic model for information storage and
    organization in the brain. Psychological Review 65(6), 386-408.
    """

    smooth = False
    learns_at_optimum = False
    _steepest = 1.0

    def _margin_conjugate(self, p):
        """With m = 0: 0."""
        return np.zeros_like(p)


class Exponential(_MarginLoss, name="exponential"):
    r"""Exponential loss, the loss of AdaBoost.

    .. math:: \ell(y, z) = e^{-y z}, \qquad y \in \{-1, 1\}

    with derivative :math:`-y e^{-y z}`. The minimiser of the expected loss is half the log-odds,
    and so :math:`P(y = 1) = 1 / (1 + e^{-2 z})`. More than two classes are trained one-vs-rest,
    and their probabilities are normalised to sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.losses import Exponential
    >>> value, gradient = Exponential().loss_gradient(np.array([1.0]), np.array([0.0]))
    >>> print(value, gradient)
    [1.] [-1.]

    References
    ----------
    Friedman, J., Hastie, T. and Tibshirani, R. (2000). Additive logistic regression: a
    statistical view of boosting. Annals of Statistics 28(2), 337-407.
    """

    has_proba = True
    _probability_link = Logistic(slope=2)
    _gap_radius = 1.0

    def _curvature(self, y, raw):
        return np.exp(np.clip(-y * raw, -300, 300))

    def _margin_conjugate(self, p):
        r"""With :math:`m = -\log p`: :math:`p \log p - p`."""
        return xlogy(p, p) - p

    def _fenchel_gap(self, y, raw, dual):
        q = -y * dual
        gap = relative_entropy(np.maximum(q, 0.0), self._curvature(y, raw))
        return np.where(q >= 0, gap, np.inf)

    def _constant(self, y, weight):
        share = class_shares(y, weight)
        return 0.5 * np.log(share / (1 - share))
