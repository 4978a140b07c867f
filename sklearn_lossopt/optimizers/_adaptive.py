"""Optimizers that scale each parameter's step by the size of its gradients."""

from numbers import Real

import numpy as np

from sklearn_lossopt._compat import Interval
from sklearn_lossopt.optimizers._base import Optimizer

__all__ = ["Adam", "RMSprop"]


class RMSprop(Optimizer, name="rmsprop"):
    r"""RMSprop: steps divided by a running root mean square of the gradient.

    .. math::

        s &\leftarrow \rho s + (1 - \rho) g^2 \\
        v &\leftarrow \mu v + g / (\sqrt{s} + \epsilon) \\
        w &\leftarrow w - \eta v

    as in ``torch.optim.RMSprop`` (:math:`\epsilon` stands outside the root). With ``centered``,
    the root is taken of :math:`s - m^2`, m the running mean of the gradient: of its variance.

    Parameters
    ----------
    rho : float, default=0.9
        Decay of the running means, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; at least 0.
    momentum : float, default=0.0
        :math:`\mu`, in [0, 1).
    centered : bool, default=False
        Whether to divide by the root of the gradient's variance.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="rmsprop", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Tieleman, T. and Hinton, G. (2012). Lecture 6.5: RMSprop. Neural Networks for Machine
    Learning, Coursera.

    Graves, A. (2013). Generating sequences with recurrent neural networks. arXiv:1308.0850
    (the centered form).
    """

    _parameter_constraints = {
        "rho": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "centered": ["boolean"],
    }
    _kernel_params = ("rho", "epsilon", "momentum", "centered")
    n_slots = 3

    def __init__(self, rho=0.9, epsilon=1e-8, momentum=0.0, centered=False):
        self.rho = rho
        self.epsilon = epsilon
        self.momentum = momentum
        self.centered = centered

    def _auto_rate(self, smoothness, noise):
        return 0.01 * (1 - self.momentum)


class Adam(Optimizer, name="adam"):
    r"""Adam: momentum and a running mean square of the gradient, both corrected for their start.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}
            {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    as in ``torch.optim.Adam``, t counting updates from 1. With ``amsgrad``, v is replaced in the
    step by its largest value so far.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; at least 0.
    amsgrad : bool, default=False
        Whether to use the AMSGrad form.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> from sklearn_lossopt.optimizers import Adam
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(optimizer=Adam(beta_1=0.8), random_state=0)
    >>> print(model.fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Kingma, D. P. and Ba, J. (2015). Adam: a method for stochastic optimization. ICLR.

    Reddi, S. J., Kale, S. and Kumar, S. (2018). On the convergence of Adam and beyond. ICLR
    (AMSGrad).
    """

    _parameter_constraints = {
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "amsgrad": ["boolean"],
    }
    _kernel_params = ("beta_1", "beta_2", "epsilon", "amsgrad")
    n_slots = 3

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8, amsgrad=False):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def _auto_rate(self, smoothness, noise):
        return 0.02

    def _settle(self, parameters, state, t, learning_rate):
        unbias = 1 / (1 - self.beta_2**t)
        rate = learning_rate / (1 - self.beta_1**t) * self.beta_1 / (1 - self.beta_1)
        second = state[2] if self.amsgrad else state[1]
        parameters -= rate * state[0] / (np.sqrt(second * unbias) + self.epsilon + 1e-300)
        state[0] = 0
