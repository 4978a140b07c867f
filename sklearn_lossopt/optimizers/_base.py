"""Base class of optimizers."""

from sklearn_lossopt._component import Component


class Optimizer(Component, family="optimizer"):
    """Base of all optimizers.

    A registered optimizer has a compiled kernel of its own name. A user's optimizer overrides
    ``step`` instead, in NumPy, and says in ``n_slots`` how many arrays of state it needs; the
    engine then calls it once a batch.
    """

    # Arrays of state, each of the parameters' size, zero before the first step.
    n_slots = 0
    # Whether every update is made from the gradient of all rows.
    full_batch = False
    # Whether the loss must be without kinks and the penalty without its L1 part.
    needs_smooth = False
    # ``minimize(objective, start, max_iter, after)``, for methods that look for the minimum of
    # the full objective by themselves: there are no batches, no learning rate and no ``step``.
    minimize = None
    # The compiled kernel, where its name is not the optimizer's.
    _kernel_name = None

    def _kernel(self):
        """The compiled kernel's name, or the Python method where there is none; None for
        methods that do not step."""
        if self.minimize is not None:
            return None
        compiled = self._kernel_name or self.name
        if compiled is None or type(self).step is not Optimizer.step:
            return self.step
        return compiled

    def step(self, parameters, gradient, state, t, learning_rate):
        """Make one update, in place.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            Changed in place.
        gradient : ndarray of shape (n_parameters,)
            Gradient of the batch's objective, penalty included.
        state : ndarray of shape (n_slots, n_parameters)
            The optimizer's memory, zero before the first step; changed in place.
        t : int
            Number of this update, from 1.
        learning_rate : float
            The estimator's learning rate times the schedule's factor.
        """
        raise NotImplementedError(f"{type(self).__name__} must override step()")

    def _auto_rate(self, smoothness, noise):
        """The default learning rate.

        Parameters
        ----------
        smoothness : float
            The largest eigenvalue of the curvature, in the optimizer's coordinates.
        noise : float
            The curvature's trace over the batch size: what single rows add to it.
        """
        return 1 / (smoothness + noise)

    def _flush_momentum(self, parameters, state, t, learning_rate):
        """Make, in place, the moves that the memory would still make if gradients stopped."""

    def _prediction(self, parameters, state, t):
        """The parameters that predict, where training moves others: a new array, or else
        ``parameters`` itself."""
        return parameters

    # Which slots of state hold points, as parameters are, for predictions from a mean of them.
    _position_slots = ()

    @property
    def _has_average(self):
        """Whether other parameters predict than those that training moves."""
        return type(self)._prediction is not Optimizer._prediction
