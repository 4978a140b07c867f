"""The objective of rows in partitions, with the interface of one whose rows are at hand."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from sklearn_lossopt._objective import Objective, sum_blocks
from sklearn_lossopt._partitions.null_space import shared_null_space
from sklearn_lossopt._partitions.protocol import Partitions
from sklearn_lossopt._partitions.side_by_side import SideBySide
from sklearn_lossopt.optimizers import SGD


@dataclass
class PartitionRows:
    """The rows of one partition, as an Objective takes them."""

    number: int
    X: np.ndarray | sparse.csr_array
    target: np.ndarray
    weight: np.ndarray | None
    sample_indices: np.ndarray | None

    @property
    def n(self):
        """Number of rows used."""
        return self.X.shape[0] if self.sample_indices is None else len(self.sample_indices)


@dataclass
class Problem:
    """What an Objective is besides its rows and its penalty; small, and sent to every partition."""

    target_kind: str
    n_outputs: int
    loss: object
    fit_intercept: bool
    model_dtype: np.dtype
    mass: float  # the sum of the weights of all rows

    def objective(self, rows):
        """The Objective of these rows, without a penalty."""
        return Objective(
            rows.X, rows.target, self.target_kind, rows.weight, rows.sample_indices,
            self.n_outputs, self.loss, 0.0, 0.0, self.fit_intercept, model_dtype=self.model_dtype,
        )  # fmt: skip


# -- pure functions of one partition --------------------------------------------------------------


def sum_over_blocks(rows, problem, function, shift, *args):
    """``Objective.total`` of one partition's rows; None without any."""
    if rows.n == 0:
        return None
    objective = problem.objective(rows)
    return sum_blocks(objective, function, objective.blocks(shift, problem.mass), args)


def mean_loss(rows, problem, shift, weights, with_gradient):
    """One partition's part of the mean loss, and of its gradient (k, d + 1)."""
    if rows.n == 0:
        return None
    objective, optimizer = problem.objective(rows), SGD()
    slots = np.zeros((1, weights.size), weights.dtype), np.zeros(1, np.int64)
    trainer = objective.trainer(
        shift, weights.copy(), objective.model(optimizer), *slots,
        intercept=problem.fit_intercept, batch_size=1, shuffle=False, seed=0,
    )  # fmt: skip
    return evaluated(trainer, rows.n / problem.mass, weights.shape, with_gradient)


def evaluated(trainer, share, shape, with_gradient):
    """What a trainer of one partition adds to the mean over all, of whose rows it has a share."""
    if not with_gradient:
        return (share * trainer.evaluate(),)
    gradient = np.empty(shape)
    return share * trainer.evaluate(gradient), share * gradient


def count_infinite(rows, problem, raw_of):
    """1 if any prediction of the partition's rows is infinite, else 0."""
    return int(rows.n > 0 and not problem.objective(rows).predicts_finite(raw_of))


# -- all rows -------------------------------------------------------------------------------------


@dataclass
class PartitionedObjective(Objective):
    """The objective of rows in partitions; its own rows are an even sample of them.

    Whatever steers training is measured on the sample: coordinates, typical sizes, the curvature
    of the first steps. What is promised is not: F, its gradient, duality gaps and the curvature of
    the last steps are sums over all partitions.

    Parameters
    ----------
    partitions : Partitions of PartitionRows
    mass : float
        The number of rows used, which the weights add up to.
    sample : Objective
        That of the sample alone.
    """

    partitions: Partitions | None = None
    mass: float = 0.0
    sample: Objective | None = None
    # Weights that the mean loss is known at, and the loss; shared with copies of other penalties.
    known: dict = field(default_factory=dict)

    in_partitions = True

    @property
    def n(self):
        return int(self.mass)

    @property
    def problem(self):
        """The Problem, with the loss of now."""
        return Problem(
            self.target_kind, self.n_outputs, self.loss, self.fit_intercept, self.model_dtype,
            self.mass,
        )  # fmt: skip

    def subsample(self, size):
        return slice(None, None, max(1, self.X.shape[0] // max(1, size)))

    def curvature_bound(self, y_scale, from_zero=False):
        return self.sample.curvature_bound(y_scale, from_zero)

    def trainer(self, shift, weights, model, slots, steps, **options):
        # The penalty is the model's: validation has none.
        *_, l2, l1, _ = model
        objective = replace(self, l2=l2, l1=l1)
        return PartitionedTrainer(objective, shift, weights, options["batch_size"])

    def note_loss(self, weights, value):
        """Keep what the mean loss of all outputs is at some weights, for a trainer to be asked."""
        self.known.update(weights=weights, value=value)

    def lagrangians(self, shift, weights, null):
        """The solvers of a piecewise linear loss, one of each output, which start at these weights
        (k, d + 1) of a sample's optimum; ``null`` is the NullSpace of all rows, or None."""
        return SideBySide(self, shift, weights, null)

    def null_space(self, shift, find):
        null = self.sample.null_space(shift, find)
        return None if null is None else shared_null_space(self, null, shift)

    def total(self, function, shift, *args):
        return self.partitions.sum(sum_over_blocks, self.problem, function, shift, *args)

    def predicts_finite(self, raw_of):
        if not self.sample.predictions_may_overflow():
            return True
        return self.partitions.sum(count_infinite, self.problem, raw_of) == 0


class PartitionedTrainer:
    """Evaluates F on all partitions, as ``_engine.Trainer`` does on rows at hand. It makes no
    epochs.

    Parameters
    ----------
    objective : PartitionedObjective
    shift : ndarray of shape (d,) or None
    weights : ndarray of shape (k, d + 1)
        Those to evaluate at, whatever they become.
    batch_size : int
        What is said of an update.
    """

    nbytes = 0

    def __init__(self, objective, shift, weights, batch_size):
        self.objective, self.shift, self.weights = objective, shift, weights
        self.batch_size = batch_size

    def set_metric(self, metric, coordinates):
        """Coordinates do not matter to F."""

    def evaluate(self, gradient=None):
        """See ``_engine.Trainer.evaluate``."""
        objective, weights = self.objective, self.weights
        coef = weights[:, :-1].astype(np.float64)
        if gradient is None and np.array_equal(weights, objective.known.get("weights")):
            return objective.known["value"] + objective.penalty(coef)
        parts = objective.problem, self.shift, weights.copy(), gradient is not None
        value, *slope = objective.partitions.sum(mean_loss, *parts)
        if gradient is not None:
            gradient[...] = slope[0]
            gradient[:, :-1] += objective.l2 * coef
        return value + objective.penalty(coef)
