"""Adam and its variants: a running mean of the gradient over a running measure of its size."""

import numpy as np

from sklearn_lossopt._component import NON_NEGATIVE, POSITIVE, PROPORTION
from sklearn_lossopt.optimizers._base import Optimizer, quietly

__all__ = ["AMSGrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam"]

CONSTRAINTS = {"beta_1": PROPORTION, "beta_2": PROPORTION, "epsilon": POSITIVE}


class _AdamLike(Optimizer):
    """Adam's common parts; the first state array is the running mean of the gradient."""

    _parameter_constraints = CONSTRAINTS
    _kernel_params = ("beta_1", "beta_2", "epsilon")
    n_slots = 2

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def _auto_rate(self, smoothness, noise):
        return 0.02

    def _root(self, state, t):
        """The divisor of the mean of the gradient in a step."""
        return np.sqrt(state[1] / (1 - self.beta_2**t)) + self.epsilon

    def _gain(self, state, t):
        """The factor of the mean of the gradient in a step, besides the learning rate."""
        return 1 / (1 - self.beta_1**t)

    @quietly
    def _flush_momentum(self, parameters, state, t, learning_rate):
        remaining = self.beta_1 / (1 - self.beta_1)
        rate = learning_rate * self._gain(state, t) * remaining
        parameters -= rate * state[0] / self._root(state, t)
        state[0] = 0


class Adam(_AdamLike, name="adam"):
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
        Added to the root; greater than 0.
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

    _parameter_constraints = CONSTRAINTS | {"amsgrad": ["boolean"]}
    _kernel_params = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(
        self,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(beta_1, beta_2, epsilon)
        self.amsgrad = amsgrad

    @property
    def n_slots(self) -> int:
        return 3 if self.amsgrad else 2

    def _root(self, state, t):
        return super()._root(state[1:] if self.amsgrad else state, t)


class AMSGrad(_AdamLike, name="amsgrad"):
    r"""AMSGrad: Adam whose mean square of the gradient never falls.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \hat v &\leftarrow \max(\hat v, v) \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}
            {\sqrt{\hat v / (1 - \beta_2^t)} + \epsilon}

    the same as ``Adam(amsgrad=True)`` and as ``torch.optim.Adam`` with that option.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; greater than 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="amsgrad", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Reddi, S. J., Kale, S. and Kumar, S. (2018). On the convergence of Adam and beyond. ICLR.
    """

    _kernel_name = "adam"
    n_slots = 3

    def _kernel_row(self):
        return [*super()._kernel_row(), 1.0]

    def _root(self, state, t):
        return super()._root(state[1:], t)


class AdamW(Adam, name="adamw"):
    r"""AdamW: Adam with weight decay that is decoupled from the gradient.

    .. math::

        w &\leftarrow (1 - \eta \lambda) w \quad\text{(intercepts excepted)} \\
        w &\leftarrow \text{Adam's step from there}

    as in ``torch.optim.AdamW``, except that torch also decays the bias unless it has a parameter
    group of its own. The decay is part of the steps and not of the objective, unlike the penalty
    ``alpha``: training with a constant schedule ends near the minimum of the objective and not in
    it. ``schedule="auto"`` follows the objective and ends in its minimum. With preconditioning,
    the decay shrinks the optimizer's variables instead of the weights in units of X.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; greater than 0.
    weight_decay : float, default=0.01
        :math:`\lambda`, at least 0.
    amsgrad : bool, default=False
        Whether to use the AMSGrad form.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="adamw", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR.
    """

    _parameter_constraints = CONSTRAINTS | {
        "weight_decay": NON_NEGATIVE,
        "amsgrad": ["boolean"],
    }
    _kernel_params = ("beta_1", "beta_2", "epsilon", "amsgrad", "weight_decay")

    def __init__(
        self,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(beta_1, beta_2, epsilon, amsgrad)
        self.weight_decay = weight_decay


class NAdam(_AdamLike, name="nadam"):
    r"""NAdam: Adam with Nesterov's momentum.

    .. math::

        \mu_t &= \beta_1 (1 - 0.5 \cdot 0.96^{t \psi}), \qquad
            \pi_t = \mu_1 \cdots \mu_t \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta \, \frac{g \, (1 - \mu_t) / (1 - \pi_t)
            + m \, \mu_{t+1} / (1 - \pi_{t+1})}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    as in ``torch.optim.NAdam``.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; greater than 0.
    momentum_decay : float, default=0.004
        :math:`\psi`, how fast the weight on the momentum rises; at least 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="nadam", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Dozat, T. (2016). Incorporating Nesterov momentum into Adam. ICLR workshop.
    """

    _parameter_constraints = CONSTRAINTS | {"momentum_decay": NON_NEGATIVE}
    _kernel_params = ("beta_1", "beta_2", "epsilon", "momentum_decay")
    n_slots = 3

    def __init__(
        self,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 0.004,
    ) -> None:
        super().__init__(beta_1, beta_2, epsilon)
        self.momentum_decay = momentum_decay

    def _gain(self, state, t):
        following = self.beta_1 * (1 - 0.5 * 0.96 ** ((t + 1) * self.momentum_decay))
        # The first number of the third state array is the kernel's product of the weights so far.
        return following / (1 - float(state[2, 0]) * following)


class RAdam(_AdamLike, name="radam"):
    r"""RAdam: Adam with smaller early steps, while the running mean square is uncertain.

    With m and v as in Adam, :math:`\rho_\infty = 2 / (1 - \beta_2) - 1` and
    :math:`\rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)`,

    .. math::

        w \leftarrow w - \eta \, \frac{m}{1 - \beta_1^t} \begin{cases}
            r_t \sqrt{1 - \beta_2^t} / (\sqrt{v} + \epsilon) & \rho_t > 5 \\
            1 & \rho_t \le 5
        \end{cases}, \qquad
        r_t = \sqrt{\frac{(\rho_t - 4) (\rho_t - 2) \rho_\infty}
            {(\rho_\infty - 4) (\rho_\infty - 2) \rho_t}}

    as in ``torch.optim.RAdam``. The first steps, five with the default ``beta_2``, are steps of
    plain momentum, proportional to the gradient.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; greater than 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="radam", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Liu, L., Jiang, H., He, P., Chen, W., Liu, X., Gao, J. and Han, J. (2020). On the variance of
    the adaptive learning rate and beyond. ICLR.
    """

    def _auto_rate(self, smoothness, noise):
        return 0.05

    def _root(self, state, t):
        power, most = self.beta_2**t, 2 / (1 - self.beta_2) - 1
        length = most - 2 * t * power / (1 - power)
        if length <= 5:
            return 1.0
        trust = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        return (np.sqrt(state[1]) + self.epsilon) / np.sqrt((1 - power) * trust)


class Adamax(_AdamLike, name="adamax"):
    r"""Adamax: Adam with the largest recent gradient in place of its mean square.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        u &\leftarrow \max(\beta_2 u, |g| + \epsilon) \\
        w &\leftarrow w - \frac{\eta}{1 - \beta_1^t} \frac{m}{u}

    as in ``torch.optim.Adamax``.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean of the gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the largest gradient, in [0, 1).
    epsilon : float, default=1e-8
        Added to the gradient's size; greater than 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="adamax", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Kingma, D. P. and Ba, J. (2015). Adam: a method for stochastic optimization. ICLR, section 7.
    """

    def _auto_rate(self, smoothness, noise):
        return 0.04

    def _root(self, state, t):
        return state[1]
