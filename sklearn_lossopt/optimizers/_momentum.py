"""Gradient descent and its momentum forms."""

from numbers import Real

from sklearn_lossopt._compat import Interval
from sklearn_lossopt.optimizers._base import Optimizer

__all__ = ["SGD", "GradientDescent", "Momentum"]


class SGD(Optimizer, name="sgd"):
    r"""Stochastic gradient descent on mini-batches.

    .. math:: w \leftarrow w - \eta g

    with learning rate :math:`\eta` and g the gradient of the batch.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="sgd", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Robbins, H. and Monro, S. (1951). A stochastic approximation method. Annals of Mathematical
    Statistics 22(3), 400-407.
    """


class GradientDescent(Optimizer, name="gradient_descent", aliases={"gd": {}}):
    r"""Gradient descent: every update from the gradient of all rows, one update an epoch.

    .. math:: w \leftarrow w - \eta \nabla F(w)

    ``batch_size`` cannot be set with it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(optimizer="gradient_descent").fit(X, y)
    >>> model.t_ == model.n_iter_
    True

    References
    ----------
    Cauchy, A. (1847). Methode generale pour la resolution des systemes d'equations simultanees.
    Comptes rendus de l'Academie des sciences 25, 536-538.
    """

    full_batch = True
    _kernel_name = "sgd"


class Momentum(Optimizer, name="momentum", aliases={"nesterov": {"nesterov": True}}):
    r"""Gradient descent with momentum, on mini-batches.

    .. math::

        v &\leftarrow \mu v + g \\
        w &\leftarrow w - \eta v
            \quad\text{or, with Nesterov's correction,}\quad w - \eta (g + \mu v)

    as in ``torch.optim.SGD``. A constant gradient is amplified by :math:`1 / (1 - \mu)`.

    Parameters
    ----------
    momentum : float, default=0.9
        :math:`\mu`, in [0, 1).
    nesterov : bool, default=False
        Whether to use Nesterov's form. The string "nesterov" stands for it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> from sklearn_lossopt.optimizers import Momentum
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(optimizer=Momentum(momentum=0.8), random_state=0)
    >>> print(model.fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Polyak, B. T. (1964). Some methods of speeding up the convergence of iteration methods. USSR
    Computational Mathematics and Mathematical Physics 4(5), 1-17.

    Sutskever, I., Martens, J., Dahl, G. and Hinton, G. (2013). On the importance of
    initialization and momentum in deep learning. ICML.
    """

    _parameter_constraints = {
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterov": ["boolean"],
    }
    _kernel_params = ("momentum", "nesterov")
    n_slots = 1

    def __init__(self, momentum=0.9, nesterov=False):
        self.momentum = momentum
        self.nesterov = nesterov

    def _auto_rate(self, smoothness, noise):
        return (1 - self.momentum) / (smoothness + noise)

    def _settle(self, parameters, state, t, learning_rate):
        parameters -= learning_rate * self.momentum / (1 - self.momentum) * state[0]
        state[0] = 0
