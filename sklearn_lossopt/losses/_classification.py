"""Losses for classification."""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from sklearn_lossopt.losses._base import ClassificationLoss

__all__ = ["Hinge", "LogLoss"]


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

    def _compiled(self, n_outputs):
        return "log_loss" if n_outputs == 1 else "softmax_log_loss"

    def _curvature_bound(self, unit, n_outputs=1):
        return 0.25 if n_outputs == 1 else 0.5

    def _curvature(self, y, raw):
        if raw.ndim == 1 or raw.shape[1] == 1:
            p = expit(raw)
        else:
            p = softmax(raw, axis=1)
        return p * (1 - p)

    def _curvature_product(self, y, raw, direction):
        if raw.shape[1] == 1:
            return self._curvature(y, raw) * direction
        p = softmax(raw, axis=1)
        moved = p * direction
        return moved - p * moved.sum(axis=1, keepdims=True)

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
