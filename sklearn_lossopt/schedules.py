"""Schedules: how the learning rate changes over a run. Floor 1."""

from numbers import Real

import numpy as np

from sklearn_lossopt._compat import Interval
from sklearn_lossopt._component import Component

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseScaling",
    "OneCycle",
    "Schedule",
    "registry",
]


class Schedule(Component, family="schedule"):
    """Base of all schedules: a factor of the learning rate for every update."""

    def __call__(self, step, steps_per_epoch, max_iter):
        """Factors of the learning rate.

        Parameters
        ----------
        step : ndarray of shape (n_steps,), float64
            Numbers of the updates, from 0.
        steps_per_epoch : int
            Updates an epoch.
        max_iter : int
            The greatest number of epochs.

        Returns
        -------
        factor : ndarray of shape (n_steps,)
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

    def __call__(self, step, steps_per_epoch, max_iter):
        return np.ones(len(step))


class InverseScaling(Schedule, name="invscaling"):
    r"""The t-th update, t from 1, has factor :math:`t^{-p}`, as scikit-learn's "invscaling".

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

    _parameter_constraints = {"power": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, power=0.5):
        self.power = power

    def __call__(self, step, steps_per_epoch, max_iter):
        return (step + 1) ** -self.power


class Exponential(Schedule, name="exponential"):
    r"""The factor falls by ``decay`` each epoch, smoothly: :math:`\mathrm{decay}^{\,e}` after e
    epochs.

    Parameters
    ----------
    decay : float, default=0.95
        In (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.schedules import Exponential
    >>> print(Exponential(decay=0.5)(np.arange(3.0), 1, 3))
    [1.   0.5  0.25]
    """

    _parameter_constraints = {"decay": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, decay=0.95):
        self.decay = decay

    def __call__(self, step, steps_per_epoch, max_iter):
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

    _parameter_constraints = {"floor": [Interval(Real, 0, 1, closed="both")]}

    def __init__(self, floor=0.0):
        self.floor = floor

    def __call__(self, step, steps_per_epoch, max_iter):
        done = np.minimum(step / (steps_per_epoch * max_iter), 1.0)
        return self.floor + (1 - self.floor) * 0.5 * (1 + np.cos(np.pi * done))


class OneCycle(Schedule, name="one_cycle"):
    r"""A linear rise from ``start`` to 1, then half a cosine down to ``floor``.

    Parameters
    ----------
    warm_up : float, default=0.3
        Share of the run in which the rate rises, in (0, 1).
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
        "start": [Interval(Real, 0, 1, closed="both")],
        "floor": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, warm_up=0.3, start=0.04, floor=1e-4):
        self.warm_up = warm_up
        self.start = start
        self.floor = floor

    def __call__(self, step, steps_per_epoch, max_iter):
        done = np.minimum(step / (steps_per_epoch * max_iter), 1.0)
        rise = self.start + (1 - self.start) * done / self.warm_up
        fall = np.clip((done - self.warm_up) / (1 - self.warm_up), 0, 1)
        return np.where(
            done < self.warm_up,
            rise,
            self.floor + (1 - self.floor) * 0.5 * (1 + np.cos(np.pi * fall)),
        )


registry = Schedule.registry
