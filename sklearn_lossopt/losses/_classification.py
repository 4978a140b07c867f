"""Losses for classification."""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from sklearn_lossopt.losses._base import ClassificationLoss
from sklearn_lossopt.losses._conjugates import DualForm, Quadratic, relative_entropy

__all__ = [
    "Exponential",
    "Hinge",
    "LogLoss",
    "ModifiedHuber",
    "Perceptron",
    "SquaredHinge",
]


def class_shares(y, weight):
    """Weighted share of +1 in each column of y (n, k)."""
    share = np.average(y > 0, axis=0, weights=weight)
    return np.clip(share, 1e-12, 1 - 1e-12)


class LogLoss(
    ClassificationLoss,
    name="log_loss",
    aliases={"cross_entropy": {}, "binary_cross_entropy": {}, "categorical_cross_entropy": {}},
):
    r"""Cross-entropy, also called logistic loss: the negative log-likelihood of the classes.

    Two classes, :math:`y \in \{-1, 1\}`, with :math:`P(y = 1) = 1 / (1 + e^{-z})`:

    .. math:: \ell(y, z) = \log(1 + e^{-y z})

    More than two classes, y the index of the class and one raw prediction
    :math:`z_0, \dots, z_{k-1}` a class, trained jointly (softmax):

    .. math:: \ell(y, z) = \log \sum_j e^{z_j} - z_y

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

    has_proba = True
    shift_invariant = True

    def _compiled(self, n_outputs):
        return "log_loss" if n_outputs == 1 else "softmax_log_loss"

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 0.25 if n_outputs == 1 else 0.5

    def _curvature(self, y, raw):
        if raw.ndim == 1 or raw.shape[1] == 1:
            p = expit(raw)
        else:
            p = softmax(raw, axis=1)
        return p * (1 - p)

    def _curvature_operator(self, y, raw):
        if raw.shape[1] == 1:
            return super()._curvature_operator(y, raw)
        p = softmax(raw, axis=1)

        def product(direction):
            moved = p * direction
            moved -= p * moved.sum(axis=1, keepdims=True)
            return moved

        return product

    def _fenchel_gap(self, y, raw, dual):
        # The dual is a probability q less the observed one, which it is compared with.
        if raw.shape[1] == 1:
            sign = np.where(y > 0, 1.0, -1.0)
            q, p = -sign * dual, expit(-sign * raw)
            q, p = np.stack([q, 1 - q]), np.stack([p, expit(sign * raw)])
        else:
            q = dual.T.copy()
            q[y, np.arange(len(y))] += 1
            p = softmax(raw, axis=1).T
        gap = relative_entropy(np.clip(q, 0, 1), p).sum(axis=0)
        return np.where(((q >= -1e-12) & (q <= 1 + 1e-12)).all(axis=0), gap, np.inf)

    def _constant(self, y, weight):
        share = class_shares(y, weight)
        if y.shape[1] == 1:
            return np.log(share / (1 - share))
        logs = np.log(share)
        return logs - logs.mean()

    def _probabilities(self, raw):
        if raw.ndim == 2:
            return softmax(raw, axis=1)
        return np.column_stack([expit(-raw), expit(raw)])

    def _log_probabilities(self, raw):
        if raw.ndim == 2:
            return log_softmax(raw, axis=1)
        return np.column_stack([log_expit(-raw), log_expit(raw)])


class Hinge(ClassificationLoss, name="hinge"):
    r"""Hinge loss, that of the linear support vector machine.

    .. math:: \ell(y, z) = \max(0, 1 - y z), \qquad y \in \{-1, 1\}

    The derivative is :math:`-y` where :math:`y z < 1` and 0 elsewhere, the kink included. More
    than two classes are trained one-vs-rest, all columns in one pass.

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
    joint = False

    def _constant(self, y, weight):
        return np.where(class_shares(y, weight) > 0.5, 1.0, -1.0)

    def _breakpoints(self, y):
        return [(y, np.where(y > 0, -1.0, 0.0), np.where(y > 0, 0.0, 1.0))]


class SquaredHinge(ClassificationLoss, name="squared_hinge"):
    r"""Square of the hinge loss: a smooth margin loss.

    .. math:: \ell(y, z) = \max(0, 1 - y z)^2, \qquad y \in \{-1, 1\}

    One-vs-rest for more than two classes.

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

    joint = False

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 2.0

    def _curvature(self, y, raw):
        return 2.0 * (y * raw < 1)

    def _dual_form(self, y):
        piece = y, np.where(y > 0, -np.inf, 0.0), np.where(y > 0, 0.0, np.inf)
        return DualForm([piece], Quadratic(0.5))

    def _constant(self, y, weight):
        return 2 * class_shares(y, weight) - 1


class ModifiedHuber(ClassificationLoss, name="modified_huber"):
    r"""Squared hinge that turns linear for badly wrong rows; gives probabilities.

    .. math::

        \ell(y, z) = \begin{cases}
            \max(0, 1 - y z)^2 & y z \ge -1 \\
            -4 y z & y z < -1
        \end{cases}, \qquad y \in \{-1, 1\}

    One-vs-rest for more than two classes. The minimiser of its expectation is
    :math:`2 P(y = 1) - 1`, so that :math:`P(y = 1) = (\min(1, \max(-1, z)) + 1) / 2`; with more
    classes these are normalised to sum to 1.

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

    joint = False
    has_proba = True

    def _curvature_bound(self, y_scale, n_outputs=1):
        return 2.0

    def _curvature(self, y, raw):
        return 2.0 * (np.abs(y * raw) < 1)

    def _dual_form(self, y):
        piece = y, np.where(y > 0, -4.0, 0.0), np.where(y > 0, 0.0, 4.0)
        return DualForm([piece], Quadratic(0.5))

    def _constant(self, y, weight):
        return 2 * class_shares(y, weight) - 1

    def _probabilities(self, raw):
        p = (np.clip(raw, -1, 1) + 1) / 2
        if p.ndim == 1:
            return np.column_stack([1 - p, p])
        total = p.sum(axis=1, keepdims=True)
        return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1])


class Perceptron(ClassificationLoss, name="perceptron"):
    r"""Rosenblatt's perceptron criterion: only wrong rows count.

    .. math:: \ell(y, z) = \max(0, -y z), \qquad y \in \{-1, 1\}

    The derivative is :math:`-y` where :math:`y z \le 0`. The objective's minimum, 0, is at w = 0,
    where nothing is learnt: the criterion is meant for a few epochs of a first-order method, not
    for its optimum. Training therefore starts at zero and stops when the objective stalls.
    One-vs-rest for more than two classes.

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
    joint = False
    learns_at_optimum = False


class Exponential(ClassificationLoss, name="exponential"):
    r"""Exponential loss, that of AdaBoost.

    .. math:: \ell(y, z) = e^{-y z}, \qquad y \in \{-1, 1\}

    The minimiser of its expectation is half the log-odds, so that
    :math:`P(y = 1) = 1 / (1 + e^{-2 z})`. One-vs-rest for more than two classes, whose
    probabilities are normalised to sum to 1.

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

    joint = False
    has_proba = True

    def _curvature(self, y, raw):
        return np.exp(np.clip(-y * raw, -300, 300))

    def _fenchel_gap(self, y, raw, dual):
        q = -y * dual
        gap = relative_entropy(np.maximum(q, 0.0), self._curvature(y, raw))
        return np.where(q >= 0, gap, np.inf)

    def _constant(self, y, weight):
        share = class_shares(y, weight)
        return 0.5 * np.log(share / (1 - share))

    def _probabilities(self, raw):
        if raw.ndim == 1:
            return np.column_stack([expit(-2 * raw), expit(2 * raw)])
        return softmax(log_expit(2 * raw), axis=1)

    def _log_probabilities(self, raw):
        if raw.ndim == 1:
            return np.column_stack([log_expit(-2 * raw), log_expit(2 * raw)])
        return log_softmax(log_expit(2 * raw), axis=1)
