"""Optimizers whose model is a mean of the points that training visits."""

from typing import Any, Self

import numpy as np

from sklearn_lossopt._component import COUNT, NON_NEGATIVE, POSITIVE, PROPORTION, as_objects
from sklearn_lossopt._engine import STEP_KERNELS
from sklearn_lossopt._typing import Array
from sklearn_lossopt.optimizers._base import Optimizer

__all__ = ["Averaged", "ScheduleFreeAdamW", "ScheduleFreeSGD"]


class Averaged(Optimizer, name="averaged", aliases={"asgd": {}}):
    r"""Iterate averaging: the steps of any optimizer, and the mean of its iterates as the model.

    The iterates :math:`w_t` of ``optimizer`` do not depend on their mean. With m = t - ``start``,

    .. math::

        \bar w_t = \bar w_{t-1} + \frac{p + 1}{m + p} (w_t - \bar w_{t-1}), \qquad m \ge 1,

    and :math:`\bar w_t = w_t` before. With :math:`p = 0` it is the plain mean of all iterates after
    the first ``start`` (Polyak-Ruppert), as in ``SGDClassifier(average=start)``, which counts
    rows, and in ``ax`` of ``torch.optim.ASGD``. With p > 0 the weight of an iterate grows like
    :math:`t^p`, which gives the early iterates little weight. With a constant learning rate, the
    iterates of a noisy method stay at a distance from the optimum, and their mean gets much closer.

    ``coef_``, ``loss_curve_`` and the stopping rule use the mean. A warm start with
    ``precondition=False`` continues both the iterates and the mean. With ``schedule="auto"``,
    training moves to the mean after each epoch and starts a new mean there.

    With an L1 penalty, the mean has an exact zero only if all its iterates have it. With
    ``schedule="auto"``, it also gets the zeros of the last iterate of an epoch.

    Parameters
    ----------
    optimizer : str or Optimizer, default="sgd"
        The optimizer that makes the steps. It must have a ``step`` and no mean of its own.
    start : int, default=0
        Number of updates before averaging begins, at least 0.
    power : float, default=0.0
        The exponent p, at least 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> from sklearn_lossopt.optimizers import Averaged
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(
    ...     optimizer=Averaged("momentum"), schedule="constant", random_state=0
    ... ).set_params(optimizer__optimizer__momentum=0.8, max_iter=20, tol=0)
    >>> print(model.fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Polyak, B. T. and Juditsky, A. B. (1992). Acceleration of stochastic approximation by
    averaging. SIAM Journal on Control and Optimization 30(4), 838-855.

    Ruppert, D. (1988). Efficient estimations from a slowly convergent Robbins-Monro process.
    Cornell University, technical report 781.

    Shamir, O. and Zhang, T. (2013). Stochastic gradient descent for non-smooth optimization:
    convergence results and optimal averaging schemes. ICML (p > 0).
    """

    _parameter_constraints = {
        # Optimizer.resolve checks it, and its message lists the known names.
        "optimizer": "no_validation",
        "start": COUNT,
        "power": NON_NEGATIVE,
    }
    _kernel_params = ("start", "power")
    _position_slots = (0,)

    def __init__(
        self, optimizer: str | Optimizer = "sgd", start: int = 0, power: float = 0.0
    ) -> None:
        self.optimizer = optimizer
        self.start = start
        self.power = power

    def set_params(self, **params: Any) -> Self:
        """Set parameters, including those of ``optimizer``.

        Parameters
        ----------
        **params : dict
            Such as ``start=100`` or ``optimizer__momentum=0.8``.

        Returns
        -------
        self : Averaged
        """
        return super().set_params(**as_objects(self, {"optimizer": Optimizer}, params))

    def _check(self):
        super()._check()
        inner = self._inner
        if inner._has_average or inner.minimize is not None:
            why = (
                "predicts from a mean itself" if inner._has_average else "makes no steps to average"
            )
            raise ValueError(
                f"The 'optimizer' parameter of Averaged cannot be {self.optimizer!r}, which {why}. "
                "Use it alone, or average another such as 'sgd' or 'adam'."
            )

    @property
    def _inner(self):
        return Optimizer.resolve(self.optimizer)

    @property
    def n_slots(self) -> int:
        return 3 + self._inner.n_slots

    @property
    def full_batch(self) -> bool:
        return self._inner.full_batch

    @property
    def needs_smooth(self) -> bool:
        return self._inner.needs_smooth

    def _kernel(self):
        inner = self._inner._kernel()
        return "averaged" if isinstance(inner, str) else self.step

    def _kernel_row(self):
        inner = self._inner
        number = [*STEP_KERNELS].index(inner._kernel()) if isinstance(inner._kernel(), str) else -1
        return [float(number), *super()._kernel_row(), *inner._kernel_row()]

    def step(
        self, parameters: Array, gradient: Array, state: Array, t: int, learning_rate: float
    ) -> None:
        """Make one update with an optimizer that has no compiled kernel; see ``Optimizer.step``.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            Changed in place.
        gradient : ndarray of shape (n_parameters,)
            Gradient of the batch's objective.
        state : ndarray of shape (n_slots, n_parameters)
            The mean and the optimizer's memory; changed in place.
        t : int
            Number of this update, from 1.
        learning_rate : float
            Step size.
        """
        self._inner.step(parameters, gradient, state[3:], t, learning_rate)
        m = self._averaged(state, t)
        if m > 0:
            state[0] += (self.power + 1) / (m + self.power) * (parameters - state[0])

    def _averaged(self, state, t):
        """The number of iterates in the mean."""
        return max(0, t - max(self.start, int(state[2, 0])))

    def _auto_rate(self, smoothness, noise):
        return self._inner._auto_rate(smoothness, noise)

    def _prediction(self, parameters, state, t):
        return state[0].copy() if self._averaged(state, t) > 0 else parameters

    def _flush_momentum(self, parameters, state, t, learning_rate):
        mean = self._prediction(parameters, state, t)
        self._inner._flush_momentum(parameters, state[3:], t, learning_rate)
        if mean is not parameters:
            parameters[...] = mean
            state[:3] = 0
            state[2, 0] = t


class _ScheduleFree(Optimizer):
    """Schedule-Free methods; state: z, its mean x, the rounding error of x, the weights' sum."""

    _position_slots = (0, 1)

    def _prediction(self, parameters, state, t):
        return state[1].copy() if state[3, 0] > 0 else parameters

    def _flush_momentum(self, parameters, state, t, learning_rate):
        if state[3, 0] > 0:
            # The exact zeros of a proximal step are those of z.
            parameters[...] = np.where(state[0] == 0, 0, state[1])
            state[:4] = 0


class ScheduleFreeSGD(_ScheduleFree, name="schedule_free_sgd", aliases={"schedule_free": {}}):
    r"""Schedule-Free SGD: the accuracy of a decaying learning rate, from a constant one.

    .. math::

        \eta_t &= \eta \min(1, t / T_\text{warmup}) \\
        z &\leftarrow z - \eta_t g \\
        x &\leftarrow (1 - c) x + c z, \qquad
            c = t^r \eta_t^2 \Big/ \textstyle\sum_{i \le t} i^r \eta_i^2 \\
        y &\leftarrow (1 - \mu) z + \mu x

    where g is the gradient at y, and x is the model. As in the authors' ``SGDScheduleFree``,
    :math:`\eta_t` in the weights is the largest so far. There is no switch between training and
    evaluation: ``coef_``, ``loss_curve_`` and the stopping rule use x, and a warm start with
    ``precondition=False`` continues x, y and z. The method is meant for ``schedule="constant"``;
    "auto" moves y and z to x after each epoch.

    With an L1 penalty, z makes the proximal steps. x has an exact zero only if all z had it. With
    ``schedule="auto"``, it also gets the zeros of the last z of an epoch.

    Parameters
    ----------
    momentum : float, default=0.9
        :math:`\mu`, the share of x in y, in [0, 1). At 0, y is z, and x is its mean
        (Polyak-Ruppert).
    warmup_steps : int, default=0
        Number of updates over which the learning rate rises to its value.
    r : float, default=0.0
        The power of t in the weights of the mean, at least 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(
    ...     optimizer="schedule_free", schedule="constant", max_iter=20, tol=0, random_state=0
    ... )
    >>> print(model.fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Defazio, A., Yang, X. A., Mehta, H., Mishchenko, K., Khaled, A. and Cutkosky, A. (2024). The
    road less scheduled. NeurIPS.
    """

    _parameter_constraints = {"momentum": PROPORTION, "warmup_steps": COUNT, "r": NON_NEGATIVE}
    _kernel_params = ("momentum", "warmup_steps", "r")
    n_slots = 4

    def __init__(self, momentum: float = 0.9, warmup_steps: int = 0, r: float = 0.0) -> None:
        self.momentum = momentum
        self.warmup_steps = warmup_steps
        self.r = r


class ScheduleFreeAdamW(_ScheduleFree, name="schedule_free_adamw"):
    r"""Schedule-Free AdamW: Adam's scaling, with a mean of its iterates in place of a schedule.

    .. math::

        \eta_t &= \eta \sqrt{1 - \beta_2^t} \, \min(1, t / T_\text{warmup}) \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        z &\leftarrow z - \eta_t \, (g / (\sqrt{v} + \epsilon) + \lambda y)
            \quad\text{(intercepts without } \lambda\text{)} \\
        x &\leftarrow (1 - c) x + c z, \qquad
            c = t^r \eta_t^2 \Big/ \textstyle\sum_{i \le t} i^r \eta_i^2 \\
        y &\leftarrow (1 - \beta_1) z + \beta_1 x

    where g is the gradient at y, and x is the model. As in the authors' ``AdamWScheduleFree``,
    :math:`\eta_t` in the weights is the largest so far. Attributes, warm starts, schedules and the
    L1 penalty are as in ``ScheduleFreeSGD``. The decay is part of the steps and not of the
    objective, as in ``AdamW``.

    Parameters
    ----------
    beta_1 : float, default=0.9
        The share of x in y, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of the gradient's square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root; greater than 0.
    weight_decay : float, default=0.0
        :math:`\lambda`, at least 0.
    warmup_steps : int, default=0
        Number of updates over which the learning rate rises to its value.
    r : float, default=0.0
        The power of t in the weights of the mean, at least 0.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(
    ...     optimizer="schedule_free_adamw", schedule="constant", max_iter=20, tol=0,
    ...     random_state=0,
    ... )
    >>> print(model.fit(X, y).score(X, y) > 0.95)
    True

    References
    ----------
    Defazio, A., Yang, X. A., Mehta, H., Mishchenko, K., Khaled, A. and Cutkosky, A. (2024). The
    road less scheduled. NeurIPS.
    """

    _parameter_constraints = {
        "beta_1": PROPORTION,
        "beta_2": PROPORTION,
        "epsilon": POSITIVE,
        "weight_decay": NON_NEGATIVE,
        "warmup_steps": COUNT,
        "r": NON_NEGATIVE,
    }
    _kernel_params = ("beta_1", "beta_2", "epsilon", "weight_decay", "warmup_steps", "r")
    n_slots = 5

    def __init__(
        self,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.r = r

    def _auto_rate(self, smoothness, noise):
        return 0.02
