"""What is known of a stream of chunks."""

import math
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from sklearn_lossopt._engine import whitener
from sklearn_lossopt._preconditioning.linear import Statistics, whitens
from sklearn_lossopt._solvers.huber_scale import residual_scale
from sklearn_lossopt._streaming.estimate import best_constant
from sklearn_lossopt._streaming.memory import Memory, remembers
from sklearn_lossopt._streaming.moments import Moments, Sample
from sklearn_lossopt._training.state import State, altered
from sklearn_lossopt.losses._base import raw_spread

# A scale that the loss leaves open is estimated again when rows have grown by this factor; by 2
# from so many rows on.
SCALE_GROWTH, SCALE_ROWS = 1.5, 10_000
# What changes slowly is found again when rows have grown by this factor.
AGAIN = 1.1
# Values in a curve, at most.
CURVE = 10_000


@dataclass
class Stream:
    """What is known of a stream of chunks and goes on from call to call; arrays in it are replaced,
    not changed.

    Parameters
    ----------
    state : State
        The optimizer's memory and counts.
    """

    state: State
    # Updates of the first call: what schedules count as an epoch.
    per_epoch: int = 0
    rows: int = 0
    mass: float = 0.0
    moments: Moments | None = None
    targets: Sample | None = None
    # The targets' typical size, the loss that says so and the rows that it comes from.
    y_scale: tuple = (None, 0, 1.0)
    # The best constant of the targets and, with a link, by how much raw predictions differ about
    # it; the loss that says so and the rows that they come from.
    constant: tuple = (None, 0, None, None)
    # By how much the last call has moved it.
    constant_step: np.ndarray | float = 0.0
    # T and its inverse, and the rows, variances, bound and penalty that they come from.
    whitener: tuple | None = None
    # The scale of residuals, and the rows that it comes from.
    scale: np.ndarray | float = 0.0
    scale_rows: int = 0
    # Of the curvature: its largest eigenvalue, its trace and the rows that they come from.
    spectrum: tuple = (0.0, 0.0, 0)
    # A schedule that reacts, as text, the epochs and calls so far, and what it remembers of them.
    schedule: tuple = (None, 0, None)
    # Calls that a value of the curve is the mean of, and those that the last one has so far.
    thinning: tuple = (1, 1)
    # What the learning rate is cut by under schedule="auto".
    factor: float = 1.0
    # The first call's objective at its start.
    start: float | None = None
    # Where an optimizer predicts from other weights than it moves, in the units of X, as pairs of
    # coefficients and intercepts: the model, what training moves, and the points in its memory.
    points: tuple | None = None
    # Rows kept, and what is known of the others; None where the stream's first rows are not
    # among them.
    memory: Memory | None = None
    remembers: bool = True
    # What columns were shifted by and multiplied with when a network's first layer followed them.
    units: tuple | None = None

    def next_call(self):
        """A copy for the next chunk, with a state of its own."""
        state = self.state
        slots, steps = state.slots.copy(), state.steps.copy()
        return altered(self, state=altered(state, slots=slots, steps=steps, epoch=state.epoch + 1))

    def remembered(self, schedule):
        """Epochs and calls so far, and what a schedule that reacts remembers of them."""
        known, epochs, memory = self.schedule
        if known != _description(schedule):
            # Of the fit that the stream goes on from; calls under another schedule have passed.
            memory = reduce(schedule.remember, self.state.curve, None)
        return max(epochs, len(self.state.curve)), memory

    def end_call(self, schedule, value):
        """Note the chunk's objective, as the schedule and the curve know it."""
        if schedule is not None and schedule.reacts:
            epochs, memory = self.remembered(schedule)
            memory = schedule.remember(memory, value)
            self.schedule = _description(schedule), epochs + 1, memory
        else:
            epochs = max(self.schedule[1], len(self.state.curve))
            self.schedule = None, epochs + 1, None

    def curve(self, before, value):
        """A curve with the value of one more call: where it has become too long, each value is
        the mean of twice as many calls."""
        calls, held = self.thinning
        if held < calls and len(before) <= CURVE:
            curve = np.array(before)
            curve[-1] += (value - curve[-1]) / (held + 1)
            self.thinning = calls, held + 1
            return curve
        while len(before) >= CURVE:
            before = np.append(before, before[len(before) - len(before) % 2 :])
            before, calls = before.reshape(-1, 2).mean(axis=1), 2 * calls
        self.thinning = calls, 1
        return np.append(before, value)

    def relative_weights(self, objective, weight, ends):
        """Weights over the mean weight of all rows up to the end of their own batch, so that it
        does not matter where chunks end.

        Parameters
        ----------
        objective : Objective
        weight : ndarray of shape (n_rows,) or None
        ends : ndarray of int
            The chunk's rows up to the end of each batch.
        """
        if weight is None:
            self.mass += objective.n
            return None
        used = slice(None) if objective.sample_indices is None else objective.sample_indices
        with np.errstate(over="ignore"):
            masses = self.mass + np.cumsum(weight[used])[ends - 1]
        self.mass = float(masses[-1])
        if not math.isfinite(self.mass):
            raise ValueError(
                "sample_weight is too large: its sum overflows. Divide it by a constant."
            )
        out = np.zeros(len(weight), objective.X.dtype)
        mean = np.repeat(masses / (self.rows + ends), np.diff(ends, prepend=0))
        out[used] = weight[used] / mean
        if not out.any():
            raise ValueError(
                f"sample_weight of at most {weight.max():.3g} is nothing beside that of all rows "
                f"so far, {self.mass:.3g}, in {out.dtype}, the type of X. Leave the chunk out, or "
                "give weights of more equal size."
            )
        return out

    def observe(self, objective, weight, settings, size):
        """Take note of a chunk's rows; returns what coordinates follow from."""
        full = settings.network is None and whitens(objective, settings.precondition, size)
        mass = float(objective.n)
        if weight is not None:
            mass = float(weight.sum())
            weight = (weight / weight.max()).astype(objective.X.dtype)
        if weight is not None:
            objective = replace(objective, weight=weight)
        now = Moments.of(objective, mass, full)
        before = self.moments
        fits = before is not None and before.centred == now.centred
        if not fits or before.second.ndim < now.second.ndim:
            self.moments, self.whitener = now, None
        else:
            self.moments = before.merged(now)
        y_scale, values = 1.0, objective.target_kind == "values"
        if values or settings.network is not None:
            sample = self.targets or Sample(np.empty((0, objective.n_outputs)))
            y = objective.target[objective.subsample(objective.n)]
            y = (y if values else objective.columns(y)).astype(np.float64)
            self.targets = sample.extended(y)
        if values:
            y_scale = self._y_scale(objective.loss)
        moments = self.moments
        return Statistics(
            moments.mean if moments.centred else None,
            moments.variance,
            y_scale if y_scale > 0 else 1.0,
            lambda h: self.whitening(objective, h),
            *(self._constant(objective) if settings.network is not None else ()),
        )

    def _constant(self, objective):
        """Raw predictions of the best constant of the targets, and by how much others differ from
        it, found anew when there are twice as many. Of numbers the earlier half does not count: a
        start far away is soon forgotten."""
        identity, seen, constant, spread = self.constant
        self.constant_step = 0.0
        if identity != objective.loss._identity() or self.targets.seen >= 2 * seen:
            kept = self.targets.kept
            if objective.loss.regression:
                kept = kept[len(kept) // 2 :]
            columns = objective.target_kind != "values"
            before, constant = constant, best_constant(objective, kept, None, columns)
            if before is not None and identity == objective.loss._identity():
                self.constant_step = constant - before
            if objective.loss._has_link:
                spread = raw_spread(objective.loss, kept, constant, None)
            self.constant = objective.loss._identity(), self.targets.seen, constant, spread
        return constant, spread

    def _y_scale(self, loss):
        """The typical size of the targets, found anew when there are a tenth more."""
        identity, seen, y_scale = self.y_scale
        if identity != loss._identity() or self.targets.seen >= AGAIN * seen:
            y_scale = loss._y_scale(self.targets.kept)
            self.y_scale = loss._identity(), self.targets.seen, y_scale
        return y_scale

    def remember(self, objective, weight, settings, start):
        """Keep the chunk's rows, if all rows before them are known; ``start`` is the model of a
        stream that goes on."""
        identity = (
            objective.loss._identity(), objective.target_kind, objective.fit_intercept,
            objective.n_outputs,
        )  # fmt: skip
        known = self.remembers and remembers(objective, settings)
        known = known and (self.rows > 0 or start is None)
        memory = self.memory
        if known and memory is not None and memory.identity != identity:
            memory = memory.for_loss(objective, identity)
            known = memory is not None
        self.remembers = known
        if not known:
            self.memory = None
            return
        if memory is None:
            memory = Memory.of_first_chunk(objective, weight, identity, self.state.seed)
        self.memory = memory.kept(objective, weight)

    def residual_scale(self, objective, epsilon):
        """The scale of residuals, estimated again as the rows grow, on those that are kept or,
        where a chunk has more, on the chunk. Estimates count by the rows that came before them,
        unless all rows are kept."""
        rows = self.rows + objective.n
        later = 2 if self.scale_rows >= SCALE_ROWS else SCALE_GROWTH
        if self.scale_rows and rows < later * self.scale_rows:
            return self.scale if np.ndim(self.scale) else float(self.scale)
        kept = None if self.memory is None else self.memory.all_kept(objective)
        sample = objective
        if kept is not None and objective.n < len(kept.rows):
            sample = self.memory.sample(objective, kept)
        if rows <= 4 * (objective.d + 1):
            # Too few to tell residuals from what the columns explain.
            y = sample.targets(sample.subsample(sample.n)).astype(np.float64)
            found = [objective.loss._y_scale(column) or 1.0 for column in y.T[:, :, None]]
            found, share = np.array(found) if len(found) > 1 else np.float64(found[0]), 1.0
        else:
            found = np.asarray(residual_scale(sample, epsilon))
            few = self.scale_rows <= 4 * (objective.d + 1)
            all_rows = sample is not objective and kept.seen == len(kept.keys)
            share = 1.0 if few or all_rows else (rows - self.scale_rows) / rows
        self.scale = (1 - share) * self.scale + share * found
        self.scale_rows = rows
        return self.scale if np.ndim(self.scale) else float(self.scale)

    def whitening(self, objective, h):
        """T for the curvature h times the second moments, shrunk towards their diagonal while few
        rows have been seen. It costs as much as the moments of d rows, and is kept as long, or
        until there are a tenth more."""
        variance, rows = self.moments.variance, self.rows + objective.n
        if self.whitener is not None:
            T, inverse, then, before = self.whitener
            now = np.append(variance, [h, objective.l2])
            steady = (now <= 2 * before).all() and (before <= 2 * now).all()
            if rows < max(then + objective.d, AGAIN * then) and steady:
                return T, inverse
        matrix = np.zeros((objective.d + 1, objective.d + 1))
        inner = matrix[:-1, :-1]
        share = objective.d / (objective.d + rows)
        np.multiply(self.moments.second, h * (1 - share), out=inner)
        intercept = h if objective.fit_intercept else 1.0
        np.fill_diagonal(matrix, np.append(h * variance + objective.l2, intercept))
        T, inverse = whitener(matrix)
        self.whitener = T, inverse, rows, np.append(variance, [h, objective.l2])
        return T, inverse

    def smoothness_and_trace(self, objective, preconditioner):
        """Of the curvature in the coordinates, the chunk's rows counted among the stream's."""
        if preconditioner.whiten:
            # The diagonal's share hides at most this much of the curvature.
            return 1 / (1 - objective.d / (objective.d + self.rows)), objective.d + 1.0
        smoothness, trace, rows = self.spectrum
        metric, largest = None, 0.0
        if preconditioner.metric is None:
            h = objective.curvature_bound(preconditioner.hessian.y_scale)
            largest = h * float(objective.raw_moment().sum())
        else:
            metric = preconditioner.metric[0] / math.sqrt(preconditioner.loss_scale)
        if self.rows >= 2 * rows or largest > 2 * trace:
            now = preconditioner.hessian.spectrum(metric)
            share = objective.n / self.rows
            smoothness = max(now[0], (1 - share) * smoothness + share * now[0])
            trace = max(now[1], (1 - share) * trace + share * now[1])
            self.spectrum = smoothness, trace, self.rows
        return smoothness, trace


def _description(schedule):
    """What tells a schedule from another."""
    return f"{schedule!r}"
