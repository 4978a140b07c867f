"""Where a fit is: the weights, the optimizer's memory and the trainer that moves both."""

from functools import partial

import numpy as np

from sklearn_lossopt._solvers.certificate import QuadraticLoss

# Numbers in rows from which on it pays not to read them.
MANY_ENTRIES = 200_000


class Iterate:
    """Weights and optimizer memory of a fit, with the compiled trainer that moves them in place.

    Parameters
    ----------
    objective : Objective
    settings : Settings
    preconditioner : Preconditioner
    state : State
    trainer : _engine.Trainer

    Attributes
    ----------
    weights : ndarray
        The preconditioner's, for rows as the preconditioner shifts them.
    gradient : ndarray, float64
        The gradient with respect to the weights, as of the last ``evaluate(gradient=True)``.
    """

    def __init__(self, objective, settings, preconditioner, state, trainer):
        self.objective, self.preconditioner = objective, preconditioner
        self.optimizer, self.shuffle = settings.optimizer, settings.shuffle
        self.state, self.trainer = state, trainer
        self.weights = preconditioner.weights
        self.gradient = np.empty(self.weights.shape)
        # The weights that it belongs to, as bytes, and F there.
        self.seen, self.seen_value = None, np.nan
        # (T, inverse) pairs, one per output, of coordinates to take before the next epoch, or None.
        self.next_metric = None
        # The QuadraticLoss that stands for the rows, or None.
        self.quadratic = None

    @property
    def nbytes(self):
        seen = 0 if self.seen is None else len(self.seen)
        return self.trainer.nbytes + self.gradient.nbytes + seen

    @property
    def is_compiled(self):
        """Whether epochs call nothing but the engine."""
        kernels = self.objective.loss._kernel(self.objective.n_outputs), self.optimizer._kernel()
        return all(isinstance(kernel, str) for kernel in kernels)

    @property
    def updates_per_epoch(self):
        return -(-self.objective.n // self.trainer.batch_size)

    @property
    def arrays(self):
        """All arrays that an epoch moves, apart from the weights."""
        return self.preconditioner.coordinates, self.state.slots, self.state.steps

    def evaluate(self, gradient=False):
        """The objective F at the weights; a second time at the weights of ``gradient`` it takes no
        pass over the rows."""
        if self.seen is not None and self.weights.tobytes() == self.seen:
            return self.seen_value
        value = self._value_without_rows()
        if value is None and not gradient:
            return self.trainer.evaluate()
        if value is None:
            value = self.trainer.evaluate(self.gradient)
        self.seen, self.seen_value = self.weights.tobytes(), value
        return value

    def _value_without_rows(self):
        """F and its gradient from the QuadraticLoss, if there is one that knows them."""
        if self.quadratic is None:
            return None
        weights, l2 = self.weights.astype(np.float64), self.objective.l2
        found = self.quadratic.at(weights, np.zeros_like(weights))
        if found is None:
            return None
        values, _, self.gradient[...] = found
        self.gradient[:, :-1] += l2 * weights[:, :-1]
        return float(values.sum()) + self.objective.penalty(weights[:, :-1])

    def use_quadratic_loss(self):
        """Take no pass over the rows for F from now on, where its matrix gives it to rounding."""
        if self.objective.l1 == 0:
            self.quadratic = QuadraticLoss.of(self.preconditioner.hessian)

    def measure(self):
        """F at the weights by a pass over the rows, which they are for again."""
        self.quadratic = self.seen = None
        return self.evaluate()

    def rise(self, weights):
        """How much larger F is at other weights."""
        saved, before = self.weights.copy(), self.evaluate()
        self.weights[...] = weights
        value = self.evaluate()
        self.weights[...] = saved
        return value - before

    def first_value(self):
        """F at the start, which often is a constant model that others have evaluated."""
        objective, weights = self.objective, self.weights
        if self.preconditioner.network is not None or weights[..., :-1].any():
            return self.evaluate()
        shift, loss = self.preconditioner.shift, objective.loss
        known = self.quadratic is not None
        parts = shift, known, weights[..., -1].tobytes(), *loss._identity()
        find, many = self.evaluate, objective.n * objective.row_size > MANY_ENTRIES
        if many and not (known or objective.in_partitions):
            # A pass over the targets does.
            find = partial(objective.loss_of_constant, weights[:, -1])
        return objective.cached("first value", parts, find)

    def restart(self, weights):
        """Go to these weights, with an empty optimizer memory."""
        self.weights[...] = weights
        self.preconditioner.to_coordinates()
        self.state.forget()

    def flush_momentum(self, rate):
        """Let the optimizer's momentum run out, so that its position can be judged."""
        coordinates = self.preconditioner.coordinates
        if not np.isfinite(coordinates).all():
            return
        sparse = self.objective.l1 > 0
        before = np.sign(coordinates[:, :-1]) if sparse else None
        self.optimizer._flush_momentum(
            coordinates.reshape(-1), self.state.slots, int(self.state.steps[0]), rate
        )
        if sparse:
            # What a proximal step has put to zero stays there.
            coordinates[:, :-1][np.sign(coordinates[:, :-1]) != before] = 0
        self.preconditioner.to_weights()

    def enlarge_batches(self, factor):
        """Train with larger batches from now on; returns whether they could be larger."""
        trainer, n = self.trainer, self.objective.n
        if trainer.batch_size >= n:
            return False
        trainer.batch_size = min(n, factor * trainer.batch_size)
        return True

    def adopt_metric(self):
        """Change the coordinates to those of ``next_metric``, if there is one."""
        if self.next_metric is None:
            return
        preconditioner = self.preconditioner
        preconditioner.set_metric(self.next_metric)
        preconditioner.to_coordinates()
        self.trainer.set_metric(preconditioner.metric, preconditioner.coordinates)
        self.next_metric = None
