"""Networks on rows in partitions: local passes of the optimizer, and means of what they come to."""

from dataclasses import dataclass, replace

import numpy as np

from sklearn_lossopt._objective import MAX_SAMPLE_ENTRIES, MAX_TYPICAL, MEASURED_ROWS, Objective
from sklearn_lossopt._partitions.objective import PartitionedObjective, Problem, evaluated
from sklearn_lossopt.optimizers import Optimizer

# Means of the replicas in an epoch, at most.
ROUNDS = 8
# The outer step's momentum, at most (Douillard et al. 2023).
OUTER_MOMENTUM = 0.9
# Tells the order of the partitions from other random numbers of a seed.
ORDER = 7


@dataclass
class Setup:
    """What a trainer of a partition's rows is made of, besides the rows and the model's place."""

    problem: Problem
    shift: np.ndarray | None
    optimizer: Optimizer
    loss_scale: float
    l2: float
    l1: float
    options: dict

    def trainer(self, rows, weights, slots, steps, **other):
        """The compiled trainer, which moves the arrays in place; ``other`` options come first."""
        objective = replace(self.problem.objective(rows), l2=self.l2, l1=self.l1)
        model = objective.model(self.optimizer, self.loss_scale)
        return objective.trainer(self.shift, weights, model, slots, steps, **self.options | other)


@dataclass
class Span:
    """Where in an epoch of ``n`` rows a round is: after ``before`` rows, ``size`` rows long."""

    epoch: int
    before: int
    size: int
    n: int

    def rates(self, rates, updates):
        """Those of an epoch for the so many updates of one partition in the round."""
        if len(rates) == 1:
            return rates
        made = self.before * updates + self.size * np.arange(updates)
        return rates[made * len(rates) // (self.n * updates)]


# -- pure functions of one partition --------------------------------------------------------------


def count_used(rows):
    """The partition's number and its rows used."""
    return rows.number, rows.n


def apply_to_objective(rows, problem, function, *args):
    """A function of the Objective of one partition's rows; None without any."""
    return None if rows.n == 0 else function(problem.objective(rows), *args)


def take_targets(rows, first, stride):
    """Targets and weights of every so many rows used, counted over all partitions; ``first`` has
    the numbers of those before each. None without any."""
    if rows.n == 0:
        return None
    used = np.arange(rows.n) if rows.sample_indices is None else rows.sample_indices
    picked = used[-first[rows.number] % stride :: stride]
    return rows.target[picked], None if rows.weight is None else rows.weight[picked]


def weighted_moments(objective):
    """The sum of the weights, and ``Objective.moments``."""
    return objective.weight_sum(), *objective._moments()


def weighted_raw_moment(objective):
    """The sum of the weights, and ``Objective.raw_moment``."""
    return objective.weight_sum(), objective._raw_moment()


def evaluate(rows, setup, weights, n_slots, with_gradient):
    """The partition's part of F, and of its gradient."""
    if rows.n == 0:
        return None
    slots = np.zeros((n_slots, weights.size), weights.dtype)
    trainer = setup.trainer(rows, weights.copy(), slots, np.zeros(1, np.int64))
    return evaluated(trainer, rows.n / setup.problem.mass, weights.shape, with_gradient)


def train_locally(rows, setup, weights, slots, steps, span, rates):
    """One pass of the optimizer over the partition's rows, from a place that all partitions of the
    round start at.

    Returns
    -------
    weights, slots, steps, mean : ndarray of float64
        Where it ends, and the running mean of F, each times the partition's share of the round.
    """
    arrays = weights.copy(), slots.copy(), steps.copy()
    size, mean = setup.options["batch_size"], np.empty(1)
    if rows.n < span.n:
        # The few rows that are left of each partition would make many steps of more noise.
        size = -(-rows.n // max(1, round(rows.n / size)))
    trainer = setup.trainer(rows, *arrays, batch_size=size)
    trainer.run(span.epoch, 1, span.rates(rates, -(-rows.n // trainer.batch_size)), mean)
    return tuple(rows.n / span.size * array.astype(np.float64) for array in (*arrays, mean))


# -- all rows -------------------------------------------------------------------------------------


@dataclass
class NetworkObjective(PartitionedObjective):
    """The objective of a network on rows in partitions.

    The units that a network is trained in are those of all rows: moments are sums, and what a plain
    fit measures on evenly thinned targets is measured on the same ones.

    Parameters
    ----------
    sizes : dict
        Rows used by the partitions' numbers, in their order.
    """

    sizes: dict | None = None

    def each(self, function, *args):
        """The list of ``function(objective, *args)`` of the partitions that have rows."""
        found = self.partitions.collect(apply_to_objective, self.problem, function, *args)
        return [part for part in found if part is not None]

    def model(self, optimizer, loss_scale=1.0):
        """What ``trainer`` takes for a model: partitions make theirs where they are."""
        return optimizer, loss_scale, self.l2, self.l1

    def trainer(self, shift, weights, model, slots, steps, **options):
        # Networks have no metric: coordinates are the weights.
        options = {k: v for k, v in options.items() if k not in ("metric", "coordinates")}
        setup = Setup(self.problem, shift, *model, options)
        return LocalTrainer(self, setup, weights, slots, steps)

    # -- units ------------------------------------------------------------------------------------

    def class_masses(self):
        return sum(self.each(Objective.class_masses))

    def _moments(self):
        masses, means, variances = map(np.array, zip(*self.each(weighted_moments), strict=True))
        share = masses / masses.sum()
        mean = share @ means
        return mean, share @ (variances + (means - mean) ** 2)

    def _raw_moment(self):
        masses, squares = map(np.array, zip(*self.each(weighted_raw_moment), strict=True))
        return masses / masses.sum() @ squares

    def _best_constant(self):
        if self.target_kind != "values":
            return super()._best_constant()
        if np.count_nonzero(list(self.sizes.values())) == 1:
            return self.each(Objective._best_constant)[0]
        return self._thinned(MAX_SAMPLE_ENTRIES // self.n_outputs).best_constant()

    def _y_scale(self):
        return self._thinned(MAX_TYPICAL // self.n_outputs)._y_scale()

    def _y_scales(self):
        return self._thinned(MAX_TYPICAL // self.n_outputs)._y_scales()

    def raw_spread(self, constant):
        return self._thinned(MEASURED_ROWS).raw_spread(constant)

    def mean_loss(self, constant):
        return self._thinned(MEASURED_ROWS).mean_loss(constant)

    def _thinned(self, size):
        """The Objective of the targets alone of about ``size`` rows, those that ``subsample`` of a
        plain fit takes."""
        stride = max(1, self.n // max(1, size))
        return self.cached("thinned", (stride,), lambda: self._take_targets(stride))

    def _take_targets(self, stride):
        counts = np.array(list(self.sizes.values()))
        first = dict(zip(self.sizes, (np.cumsum(counts) - counts).tolist(), strict=True))
        found = self.partitions.collect(take_targets, first, stride)
        targets, weights = zip(*(part for part in found if part is not None), strict=True)
        target = np.concatenate(targets)
        weight = None if weights[0] is None else np.concatenate(weights)
        return Objective(
            np.empty((len(target), 0), self.X.dtype), target, self.target_kind, weight, None,
            self.n_outputs, self.loss, 0.0, 0.0, self.fit_intercept,
        )  # fmt: skip


class LocalTrainer:
    """Trains a network on partitions by local passes, with the interface of ``_engine.Trainer``.

    An epoch has rounds. Each takes other partitions, in an order of the epoch's. All of a round
    start at one place and make a pass of the optimizer over their own rows. The mean of where they
    end is the next place, but for an outer step: with R partitions in a round it makes up for the
    updates that R ran side by side, by a momentum of 1 - 1/R. The memory of the optimizer goes on
    from its mean. All of it is here between rounds: partitions keep nothing, and it does not matter
    who has them.

    Parameters
    ----------
    objective : NetworkObjective
    setup : Setup
    weights, slots, steps : ndarray
        Moved in place.

    References
    ----------
    Stich, S. U. (2019). Local SGD converges fast and communicates little. ICLR.
    Douillard, A. et al. (2023). DiLoCo: distributed low-communication training of language models.
    """

    def __init__(self, objective, setup, weights, slots, steps):
        self.objective, self.setup = objective, setup
        self.weights, self.slots, self.steps = weights, slots, steps
        self.batch_size = setup.options["batch_size"]
        self.momentum = np.zeros(weights.shape)

    @property
    def nbytes(self):
        return self.momentum.nbytes

    def shares_batches(self):
        """No other fit is trained on these rows."""
        return False

    def run(self, first_epoch, n_epochs, rates, history, after_update=None):
        """See ``_engine.Trainer.run``; nothing is called after updates, which are elsewhere."""
        for i in range(n_epochs):
            count = len(rates) // n_epochs
            part = rates if len(rates) == 1 else rates[i * count : (i + 1) * count]
            history[i] = self._run_epoch(first_epoch + i, part)
            if not np.isfinite(history[i]):
                return i + 1
        return n_epochs

    def _run_epoch(self, epoch, rates):
        """One epoch; returns the mean of F over its batches."""
        sizes, n = np.array(list(self.objective.sizes.values())), self.objective.n
        order = np.flatnonzero(sizes)
        if self.setup.options["shuffle"]:
            seed = self.setup.options["seed"]
            order = np.random.default_rng([seed, epoch, ORDER]).permutation(order)
        updates = -(-n // self.batch_size)
        total = before = 0
        for chosen in np.array_split(order, min(ROUNDS, updates, len(order))):
            chosen = np.sort(chosen)  # the order of their sum is that of all engines
            size = int(sizes[chosen].sum())
            span = Span(epoch, before, size, n)
            mean = self._run_round(chosen, span, rates, outer=updates > 1)
            total, before = total + size / n * mean, before + size
        return total

    def _run_round(self, chosen, span, rates, outer):
        """Train from here on the chosen partitions, and go to the mean; returns that of F."""
        place = self.weights, self.slots, self.steps
        parts = self.objective.partitions.select(chosen)
        weights, slots, steps, mean = parts.sum(train_locally, self.setup, *place, span, rates)
        self.slots[...], self.steps[...] = slots, np.rint(steps)
        if len(chosen) > 1 and outer and not self.setup.optimizer._has_average:
            change, factor = weights - self.weights, min(OUTER_MOMENTUM, 1 - 1 / len(chosen))
            self.momentum = factor * self.momentum + change
            weights = self.weights + change + factor * self.momentum
        self.weights[...] = weights
        return float(mean[0])

    def evaluate(self, gradient=None):
        """See ``_engine.Trainer.evaluate``."""
        value, *slope = self.objective.partitions.sum(
            evaluate, self.setup, self.weights, len(self.slots), gradient is not None
        )
        if gradient is not None:
            gradient[...] = slope[0]
        return value
