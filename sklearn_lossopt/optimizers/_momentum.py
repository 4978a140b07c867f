"""Gradient descent, with and without momentum."""

from sklearn_lossopt._component import NON_NEGATIVE, PROPORTION
from sklearn_lossopt.optimizers._base import Optimizer, quietly

__all__ = ["SGD", "GradientDescent", "Lion", "Momentum"]


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
    r"""Gradient descent: each update uses the gradient of all rows, one update per epoch.

    .. math:: w \leftarrow w - \eta \nabla F(w)

    It refuses a ``batch_size``.

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

    _parameter_constraints = {"momentum": PROPORTION, "nesterov": ["boolean"]}
    _kernel_params = ("momentum", "nesterov")
    n_slots = 1

    def __init__(self, momentum: float = 0.9, nesterov: bool = False) -> None:
        self.momentum = momentum
        self.nesterov = nesterov

    def _auto_rate(self, smoothness, noise):
        return (1 - self.momentum) / (smoothness + noise)

    @quietly
    def _flush_momentum(self, parameters, state, t, learning_rate):
        remaining = self.momentum / (1 - self.momentum) * (self.momentum if self.nesterov else 1)
        parameters -= learning_rate * remaining * state[0]
        state[0] = 0


class Lion(Optimizer, name="lion"):
    r"""Lion: steps of one size, along the sign of a momentum.

    .. math::

        c &= \beta_1 m + (1 - \beta_1) g \\
        w &\leftarrow w - \eta \, (\operatorname{sign}(c) + \lambda w)
            \quad\text{(intercepts without } \lambda\text{)} \\
        m &\leftarrow \beta_2 m + (1 - \beta_2) g

    Each update moves every parameter by the learning rate. It should be a third to a tenth of
    Adam's, under a schedule that falls to 0. With preconditioning, the sign and the decay are
    taken in the optimizer's variables.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Weight of the momentum in the direction, in [0, 1).
    beta_2 : float, default=0.99
        Decay of the momentum, in [0, 1).
    weight_decay : float, default=0.0
        :math:`\lambda`, at least 0; decoupled from the gradient as in ``AdamW``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(GradientClassifier(optimizer="lion", random_state=0).fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Chen, X., Liang, C., Huang, D., Real, E., Wang, K., Liu, Y., Pham, H., Dong, X., Luong, T.,
    Hsieh, C.-J., Lu, Y. and Le, Q. V. (2023). Symbolic discovery of optimization algorithms.
    NeurIPS.
    """

    _parameter_constraints = {
        "beta_1": PROPORTION,
        "beta_2": PROPORTION,
        "weight_decay": NON_NEGATIVE,
    }
    _kernel_params = ("beta_1", "beta_2", "weight_decay")
    n_slots = 1

    def __init__(
        self, beta_1: float = 0.9, beta_2: float = 0.99, weight_decay: float = 0.0
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.weight_decay = weight_decay

    def _auto_rate(self, smoothness, noise):
        return 0.005
