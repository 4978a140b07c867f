"""Schedules: factors of the learning rate over the updates of a fit."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from sklearn_lossopt._compat import Interval
from sklearn_lossopt._component import COUNT, NON_NEGATIVE, PROPORTION, Component, as_objects
from sklearn_lossopt._typing import Array

# A range with both ends, for factors.
FACTOR: list[Any] = [Interval(Real, 0, 1, closed="both")]

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseScaling",
    "OneCycle",
    "Plateau",
    "Schedule",
    "WarmUp",
    "registry",
]


class Schedule(Component, family="schedule"):
    """Base of all schedules: a factor of the learning rate for every update.

    A schedule depends on its arguments alone, and so a fit can be interrupted and resumed. A
    schedule that depends on the objective F sets the class attribute ``reacts = True`` and
    overrides ``remember``. Its fourth argument, ``memory``, is the last result of ``remember``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import Schedule
    >>> class Linear(Schedule):
    ...     def __call__(self, step, steps_per_epoch, max_iter):
    ...         return 1 - step / (steps_per_epoch * max_iter)
    >>> print(Linear()(np.arange(4), 2, 2))
    [1.   0.75 0.5  0.25]
    """

    reacts: bool = False

    def remember(self, memory: Any, value: float) -> Any:
        """The memory after an epoch.

        Parameters
        ----------
        memory : object
            The memory before the epoch; None before the first.
        value : float
            The objective F after the epoch.

        Returns
        -------
        memory : object
            Any object that can be pickled.

        Raises
        ------
        NotImplementedError
            If the class does not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override remember()")

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        """Factors of the learning rate.

        Parameters
        ----------
        step : ndarray of shape (n_steps,), float64
            Numbers of the updates, from 0.
        steps_per_epoch : int
            Number of updates per epoch.
        max_iter : int
            The greatest number of epochs.

        Returns
        -------
        factor : ndarray of shape (n_steps,)
            Numbers without a unit, at least 0.

        Raises
        ------
        NotImplementedError
            If the class does not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override __call__()")


class Constant(Schedule, name="constant"):
    """The learning rate never changes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import Constant
    >>> print(Constant()(np.arange(3.0), 1, 3))
    [1. 1. 1.]
    """

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        return np.ones(len(step))


class InverseScaling(Schedule, name="invscaling"):
    r"""The factor of update t, from 1, is :math:`t^{-p}`, as in scikit-learn's "invscaling".

    Parameters
    ----------
    power : float, default=0.5
        The exponent p; at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import InverseScaling
    >>> print(InverseScaling(power=1.0)(np.arange(4.0), 1, 4))
    [1.         0.5        0.33333333 0.25      ]
    """

    _parameter_constraints = {"power": NON_NEGATIVE}

    def __init__(self, power: float = 0.5) -> None:
        self.power = power

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        return (step + 1) ** -self.power


class Exponential(Schedule, name="exponential"):
    r"""The factor falls by ``decay`` each epoch, smoothly: :math:`\mathrm{decay}^{\,e}` after e
    epochs.

    Parameters
    ----------
    decay : float, default=0.95
        The factor per epoch, in (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import Exponential
    >>> print(Exponential(decay=0.5)(np.arange(3.0), 1, 3))
    [1.   0.5  0.25]
    """

    _parameter_constraints = {"decay": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = decay

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        return self.decay ** (step / steps_per_epoch)


class Cosine(Schedule, name="cosine"):
    r"""Half a cosine from 1 down to ``floor`` over ``max_iter`` epochs.

    Parameters
    ----------
    floor : float, default=0.0
        The last factor, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import Cosine
    >>> print(Cosine()(np.arange(3.0), 1, 3).round(2))
    [1.   0.75 0.25]

    References
    ----------
    Loshchilov, I. and Hutter, F. (2017). SGDR: stochastic gradient descent with warm restarts.
    ICLR.
    """

    _parameter_constraints = {"floor": FACTOR}

    def __init__(self, floor: float = 0.0) -> None:
        self.floor = floor

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        done = np.minimum(step / (steps_per_epoch * max_iter), 1.0)
        return self.floor + (1 - self.floor) * 0.5 * (1 + np.cos(np.pi * done))


class OneCycle(Schedule, name="one_cycle"):
    r"""A linear rise from ``start`` to 1, then half a cosine down to ``floor``.

    Parameters
    ----------
    warm_up : float, default=0.3
        The share of the updates over which the factor rises, in (0, 1).
    start : float, default=0.04
        The first factor, in [0, 1].
    floor : float, default=1e-4
        The last factor, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import OneCycle
    >>> print(OneCycle(warm_up=0.5, start=0.5)(np.arange(4.0), 1, 4).round(2))
    [0.5  0.75 1.   0.5 ]

    References
    ----------
    Smith, L. N. and Topin, N. (2018). Super-convergence: very fast training of neural networks
    using large learning rates. arXiv:1708.07120.
    """

    _parameter_constraints = {
        "warm_up": [Interval(Real, 0, 1, closed="neither")],
        "start": FACTOR,
        "floor": FACTOR,
    }

    def __init__(self, warm_up: float = 0.3, start: float = 0.04, floor: float = 1e-4) -> None:
        self.warm_up = warm_up
        self.start = start
        self.floor = floor

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        done = np.minimum(step / (steps_per_epoch * max_iter), 1.0)
        rise = self.start + (1 - self.start) * done / self.warm_up
        fall = np.clip((done - self.warm_up) / (1 - self.warm_up), 0, 1)
        return np.where(
            done < self.warm_up,
            rise,
            self.floor + (1 - self.floor) * 0.5 * (1 + np.cos(np.pi * fall)),
        )


class Plateau(Schedule, name="plateau"):
    r"""The factor is multiplied by ``factor`` when the objective F stops falling.

    An epoch improves F if F falls below :math:`(1 - \mathrm{threshold})` times the least value
    before. After more than ``patience`` epochs in a row without an improvement, the factor falls
    and the count starts again. F is evaluated after each epoch, also with ``tol=0``.

    Parameters
    ----------
    factor : float, default=0.5
        The multiplier of the factor, in (0, 1).
    patience : int, default=2
        Number of epochs without improvement that change nothing, at least 0. It should be less
        than the estimator's ``n_iter_no_change``, which otherwise ends the fit first unless
        ``tol=0``.
    threshold : float, default=1e-4
        The share of F by which it must fall to improve, in [0, 1).
    floor : float, default=0.0
        The least factor, in [0, 1].

    Notes
    -----
    ``torch.optim.lr_scheduler.ReduceLROnPlateau`` with ``mode="min"``, ``threshold_mode="rel"``,
    ``cooldown=0`` and ``eps=0``; its defaults are ``factor=0.1, patience=10``, and its ``min_lr``
    is ``floor`` times the learning rate.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import Plateau
    >>> schedule, memory, factors = Plateau(patience=0), None, []
    >>> for value in [1.0, 0.5, 0.5, 0.4]:
    ...     memory = schedule.remember(memory, value)
    ...     factors.extend(schedule(np.zeros(1), 1, 10, memory).tolist())
    >>> print(factors)
    [1.0, 1.0, 0.5, 0.5]
    """

    reacts = True
    _parameter_constraints = {
        "factor": [Interval(Real, 0, 1, closed="neither")],
        "patience": COUNT,
        "threshold": PROPORTION,
        "floor": FACTOR,
    }

    def __init__(
        self, factor: float = 0.5, patience: int = 2, threshold: float = 1e-4, floor: float = 0.0
    ) -> None:
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.floor = floor

    def remember(self, memory: Any, value: float) -> Any:
        factor, best, since = memory or (1.0, math.inf, 0)
        if best == math.inf or value < best - self.threshold * abs(best):
            return factor, value, 0
        if since < self.patience:
            return factor, best, since + 1
        return max(self.factor * factor, self.floor), best, 0

    def __call__(
        self, step: Array, steps_per_epoch: int, max_iter: int, memory: Any = None
    ) -> Array:
        return np.full(len(step), 1.0 if memory is None else memory[0])


class WarmUp(Schedule, name="warm_up"):
    """A linear rise from ``start`` to 1 over the first epochs, followed by another schedule.

    Let w be the number of updates in ``epochs`` epochs. The factor of update t, from 0, is that of
    ``then`` for update max(t - w, 0), multiplied by start + (1 - start) t / w while t < w.
    ``then`` sees ``max_iter`` minus ``epochs`` epochs.

    Parameters
    ----------
    then : str or Schedule, default="constant"
        The schedule that follows; its own parameters can be searched as
        ``schedule__then__decay``.
    epochs : int, default=5
        Number of epochs of the rise, at least 1.
    start : float, default=0.1
        The first factor, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import WarmUp
    >>> print(WarmUp("exponential", epochs=2, start=0.2)(np.arange(5.0), 1, 5).round(2))
    [0.2  0.6  1.   0.95 0.9 ]

    References
    ----------
    Goyal, P. et al. (2017). Accurate, large minibatch SGD: training ImageNet in 1 hour.
    arXiv:1706.02677.
    """

    _parameter_constraints = {
        "then": [str, Schedule],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "start": FACTOR,
    }

    def __init__(
        self, then: str | Schedule = "constant", epochs: int = 5, start: float = 0.1
    ) -> None:
        self.then = then
        self.epochs = epochs
        self.start = start

    def set_params(self, **params: Any) -> Self:
        return super().set_params(**as_objects(self, {"then": Schedule}, params))

    @property
    def reacts(self) -> bool:
        return Schedule.resolve(self.then).reacts

    def remember(self, memory: Any, value: float) -> Any:
        # The number of epochs so far, and the memory of ``then``.
        epoch, rest = memory or (0, None)
        if epoch >= self.epochs:
            rest = Schedule.resolve(self.then).remember(rest, value)
        return epoch + 1, rest

    def _check(self):
        super()._check()
        Schedule.resolve(self.then)

    def __call__(
        self, step: Array, steps_per_epoch: int, max_iter: int, memory: Any = None
    ) -> Array:
        then, rise = Schedule.resolve(self.then), self.epochs * steps_per_epoch
        seen = {"memory": memory and memory[1]} if then.reacts else {}
        after = then(
            np.maximum(step - rise, 0.0), steps_per_epoch, max(1, max_iter - self.epochs), **seen
        )
        return after * (self.start + (1 - self.start) * np.minimum(step / rise, 1.0))


registry: Callable[[], dict[str, type[Schedule]]] = Schedule.registry
