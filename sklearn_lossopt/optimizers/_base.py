"""Base class of optimizers."""

from collections.abc import Callable

import numpy as np

from sklearn_lossopt._component import Component
from sklearn_lossopt._typing import Array

# Parameters that overflow are found by the training loop, as divergence.
quietly = np.errstate(over="ignore", invalid="ignore", divide="ignore")


class Optimizer(Component, family="optimizer"):
    """Base of all optimizers.

    A registered optimizer has a compiled kernel of the same name. A user's optimizer overrides
    ``step`` in NumPy and sets ``n_slots`` to the number of state arrays that it needs. The engine
    calls ``step`` once per batch.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.optimizers import Optimizer
    >>> class SignDescent(Optimizer):
    ...     def step(self, parameters, gradient, state, t, learning_rate):
    ...         parameters -= learning_rate * np.sign(gradient)
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> model = GradientRegressor(optimizer=SignDescent(), random_state=0).fit(X, y)
    >>> print(model.converged_)
    True
    """

    # Number of state arrays, each of the parameters' size and zero before the first step.
    n_slots: int = 0
    # Whether every update uses the gradient of all rows.
    full_batch: bool = False
    # Whether the loss must be smooth and the penalty free of L1.
    needs_smooth: bool = False
    # ``minimize(objective, start, max_iter, after)`` of methods that minimise the full objective
    # by themselves, without batches, learning rate and ``step``.
    minimize: Callable[..., None] | None = None
    # Name of the compiled kernel, if it differs from the optimizer's.
    _kernel_name: str | None = None

    def _kernel(self):
        """Name of the compiled kernel, the Python method if there is none, or None if the
        optimizer makes no steps."""
        if self.minimize is not None:
            return None
        compiled = self._kernel_name or self.name
        if compiled is None or type(self).step is not Optimizer.step:
            return self.step
        return compiled

    def step(
        self, parameters: Array, gradient: Array, state: Array, t: int, learning_rate: float
    ) -> None:
        """Make one update, in place.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            Weights and intercepts in the optimizer's variables; changed in place.
        gradient : ndarray of shape (n_parameters,)
            Gradient of the batch's objective, penalty included.
        state : ndarray of shape (n_slots, n_parameters)
            The optimizer's memory, zero before the first step; changed in place.
        t : int
            Number of this update, from 1.
        learning_rate : float
            The estimator's learning rate times the schedule's factor.

        Raises
        ------
        NotImplementedError
            If the class does not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override step()")

    def _auto_rate(self, smoothness, noise):
        """The default learning rate.

        Parameters
        ----------
        smoothness : float
            The largest eigenvalue of the Hessian, in the optimizer's variables.
        noise : float
            The trace of the Hessian divided by the batch size: the part that single rows add.
        """
        return 1 / (smoothness + noise)

    def _flush_momentum(self, parameters, state, t, learning_rate):
        """Make, in place, the moves that momentum would still make if all gradients were 0."""

    def _prediction(self, parameters, state, t):
        """The parameters of the model, if training moves others: a new array, or
        ``parameters`` itself."""
        return parameters

    # The state arrays that hold points in parameter space, for predictions from their mean.
    _position_slots: tuple[int, ...] = ()

    @property
    def _has_average(self):
        """Whether the model has other parameters than those that training moves."""
        return type(self)._prediction is not Optimizer._prediction

    @property
    def _takes_weight_decay(self):
        """Whether an estimator may shrink weights between its steps: not where it does so itself,
        and not where its memory or a line search decides where the weights are."""
        return not (self._has_average or self.minimize is not None or hasattr(self, "weight_decay"))
