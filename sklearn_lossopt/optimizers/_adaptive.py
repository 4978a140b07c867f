"""Optimizers that scale each parameter's step by the size of its gradients."""

from sklearn_lossopt._component import NON_NEGATIVE, POSITIVE, PROPORTION
from sklearn_lossopt.optimizers._base import Optimizer, quietly

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer, name="rmsprop"):
    r"""RMSprop: steps divided by a running root mean square of the gradient.

    .. math::

        s &\leftarrow \rho s + (1 - \rho) g^2 \\
        v &\leftarrow \mu v + g / (\sqrt{s} + \epsilon) \\
        w &\leftarrow w - \eta v

    as in ``torch.optim.RMSprop`` (:math:`\epsilon` is outside the root). With ``centered``, the
    root is that of the gradient's variance :math:`s - m^2`, m being its running mean.

    Parameters
    ----------
    rho : float, default=0.9
        Decay of the running means, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; greater than 0.
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
        "rho": PROPORTION,
        "epsilon": POSITIVE,
        "momentum": PROPORTION,
        "centered": ["boolean"],
    }
    _kernel_params = ("rho", "epsilon", "momentum", "centered")

    def __init__(
        self, rho: float = 0.9, epsilon: float = 1e-8, momentum: float = 0.0, centered: bool = False
    ) -> None:
        self.rho = rho
        self.epsilon = epsilon
        self.momentum = momentum
        self.centered = centered

    @property
    def n_slots(self) -> int:
        return 1 + (self.momentum != 0) + bool(self.centered)

    def _auto_rate(self, smoothness, noise):
        return 0.01 * (1 - self.momentum)

    @quietly
    def _flush_momentum(self, parameters, state, t, learning_rate):
        if self.momentum != 0:
            parameters -= learning_rate * self.momentum / (1 - self.momentum) * state[1]
            state[1] = 0


class Adagrad(Optimizer, name="adagrad"):
    r"""Adagrad: steps divided by the root of the sum of all squared gradients so far.

    .. math::

        s &\leftarrow s + g^2 \\
        w &\leftarrow w - \eta \, g / (\sqrt{s} + \epsilon)

    as in ``torch.optim.Adagrad``. The steps of a parameter shrink as it moves: a constant learning
    rate converges, and the parameter of a rare feature keeps large steps.

    Parameters
    ----------
    epsilon : float, default=1e-10
        Added to the root; greater than 0.
    initial_accumulator_value : float, default=0.0
        The initial s; at least 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="adagrad", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Duchi, J., Hazan, E. and Singer, Y. (2011). Adaptive subgradient methods for online learning
    and stochastic optimization. Journal of Machine Learning Research 12, 2121-2159.
    """

    _parameter_constraints = {"epsilon": POSITIVE, "initial_accumulator_value": NON_NEGATIVE}
    _kernel_params = ("epsilon", "initial_accumulator_value")
    n_slots = 1

    def __init__(self, epsilon: float = 1e-10, initial_accumulator_value: float = 0.0) -> None:
        self.epsilon = epsilon
        self.initial_accumulator_value = initial_accumulator_value

    def _auto_rate(self, smoothness, noise):
        return 0.2


class Adadelta(Optimizer, name="adadelta"):
    r"""Adadelta: steps scaled by a parameter's recent moves over its recent gradients.

    .. math::

        s &\leftarrow \rho s + (1 - \rho) g^2 \\
        \Delta &= \sqrt{u + \epsilon} / \sqrt{s + \epsilon} \; g \\
        u &\leftarrow \rho u + (1 - \rho) \Delta^2 \\
        w &\leftarrow w - \eta \Delta

    as in ``torch.optim.Adadelta``. The steps have the units of w, and so one learning rate (1 in
    the paper) suits all units. Their size grows from the root of epsilon.

    Parameters
    ----------
    rho : float, default=0.9
        Decay of the two running means, in [0, 1).
    epsilon : float, default=1e-6
        Added inside both roots; greater than 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="adadelta", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Zeiler, M. D. (2012). Adadelta: an adaptive learning rate method. arXiv:1212.5701.
    """

    _parameter_constraints = {"rho": PROPORTION, "epsilon": POSITIVE}
    _kernel_params = ("rho", "epsilon")
    n_slots = 2

    def __init__(self, rho: float = 0.9, epsilon: float = 1e-6) -> None:
        self.rho = rho
        self.epsilon = epsilon

    def _auto_rate(self, smoothness, noise):
        return 3.0
