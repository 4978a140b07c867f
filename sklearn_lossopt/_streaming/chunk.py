"""Training on a stream of chunks: running statistics, and one pass a chunk. Floor 2."""

import math
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._linalg import whitener
from sklearn_lossopt._preconditioning.linear import LinearPreconditioner, Statistics, whitens
from sklearn_lossopt._solvers.huber_scale import residual_scale
from sklearn_lossopt._streaming.moments import Moments, Sample
from sklearn_lossopt._training.loop import DIVERGED, REMEDY, trainer
from sklearn_lossopt._training.state import FitResult, State

# Rows an update where the user leaves it open: the least that fit takes too.
BATCH_SIZE = 64
# Under schedule="auto" rates fall as 1 / (1 + t / t0), with t0 this many times the curvature that a
# batch shows, so that the rate ends as t0 / t whatever it started from.
DECAY = 4.0
# A falling rate may start higher than one that has to end a fit; where rates follow from the
# curvature they are as high as they can be. Over d columns, steps of one size add up to its root
# of d.
GAIN, GAIN_COLUMNS = 10.0, 16
# By how much of itself, and of the first call's, an objective may rise in a pass.
SLACK = 0.1, 0.01
# Rows whose residuals settle a scale that the loss leaves open.
SCALE_ROWS = 10_000


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
    # T and its inverse, and the rows, variances, bound and penalty that they come from.
    whitener: tuple | None = None
    # The scale of residuals, and the rows that it comes from.
    scale: np.ndarray | float = 0.0
    scale_rows: int = 0
    # Of the curvature: its largest eigenvalue, its trace and the rows that they come from.
    spectrum: tuple = (0.0, 0.0, 0)
    # What the learning rate is cut by under schedule="auto".
    factor: float = 1.0
    # The first call's objective at its start.
    start: float | None = None
    # Where an optimizer predicts from other weights than it moves, in the units of X, as pairs of
    # coefficients and intercepts: the model, what training moves, and the points in its memory.
    points: tuple | None = None


def advance(objective, weight, settings, stream, start=None, call=None):
    """Train on one chunk, in the order of its rows.

    Parameters
    ----------
    objective : Objective
        The chunk, without weights.
    weight : ndarray of shape (n_rows,), float64, or None
    settings : Settings
    stream : Stream
        Left as it is.
    start : tuple of ndarray (k, d), (k,), or None
        Coefficients and intercepts to start from.
    call : class or None
        That of the kind of model; None for a linear one.

    Returns
    -------
    outcome : FitResult
        Of the whole stream so far; ``outcome.stream`` is to go on from.

    Raises
    ------
    DivergenceError
        If the objective stops being finite, or is far above that of predicting 0 and rises.
    """
    return (call or ChunkFit)(objective, weight, settings, stream, start).train()


class ChunkFit:
    """One chunk's pass. The problem's weights and loss are set here."""

    def __init__(self, objective, weight, settings, stream, start):
        # A loss whose minimiser learns nothing is no guide: as in fit, steps stay as they are.
        self.automatic = settings.schedule is None and objective.loss.learns_at_optimum
        self.settings = settings
        state = stream.state
        self.stream = stream = replace(
            stream,
            state=replace(
                state, slots=state.slots.copy(), steps=state.steps.copy(), epoch=state.epoch + 1
            ),
        )
        size = settings.batch_size or BATCH_SIZE
        # Rows of a full batch, where there is one.
        self.size = objective.n if settings.optimizer.full_batch else size
        self.batch_size = min(objective.n, self.size)
        self.per_call = -(-objective.n // self.batch_size)
        self.objective = objective
        objective.weight = self._relative(weight)
        statistics = None
        if settings.precondition is not False:
            statistics = self._observe(weight)
        objective.loss = objective.loss._prepared(self._residual_scale)
        stream.rows += objective.n
        stream.per_epoch = stream.per_epoch or self.per_call
        self.preconditioner = preconditioner = self._place(start, statistics)
        self.trainer = trainer(
            self.objective, preconditioner, settings.optimizer, stream.state, self.batch_size, False
        )
        self._take_up_points(start)

    def _place(self, start, statistics):
        """The coordinates in which to train."""
        return LinearPreconditioner(
            self.objective, self.settings.precondition, self.size, start, statistics
        )

    def _take_up_points(self, start):
        """Put the weights that training moves, and those in the optimizer's memory, where they are
        in this call's coordinates."""
        stream, preconditioner, optimizer = (
            self.stream,
            self.preconditioner,
            self.settings.optimizer,
        )
        if not optimizer._has_average or start is None:
            return
        slots, state = stream.state.slots, stream.state
        points = stream.points
        if points is None and state.raw_iterate is not None and preconditioner.metric is None:
            # From a fit, whose memory is in the units of X too.
            held = (state.raw_iterate[0], *slots[list(optimizer._position_slots)])
            points = start, *(self._point(values) for values in held)
        if points is None or not all(map(np.array_equal, points[0], start)):
            # The model is not what the memory belongs to.
            slots[...] = 0
            state.steps[...] = 0
            return
        for slot, point in zip(optimizer._position_slots, points[2:], strict=True):
            preconditioner.place(*point)
            slots[slot] = preconditioner.coordinates.reshape(-1)
        preconditioner.place(*points[1])

    def _point(self, weights):
        """Weights as coefficients and intercepts, in the units of X."""
        shape = self.preconditioner.weights.shape
        return self.preconditioner.unshift(weights.reshape(shape).astype(np.float64))

    def _predicting(self):
        """Turn the weights that training moved into those that predict, and note both."""
        stream, preconditioner, optimizer = (
            self.stream,
            self.preconditioner,
            self.settings.optimizer,
        )
        if not optimizer._has_average:
            return
        slots, steps = stream.state.slots, int(stream.state.steps[0])
        parameters = preconditioner.coordinates.reshape(-1)
        moved = parameters.copy()
        model = np.array(optimizer._prediction(parameters, slots, steps))
        stream.state.raw_iterate = None
        if preconditioner.metric is None:
            stream.state.raw_iterate = preconditioner.weights.copy(), preconditioner.weights.copy()
        points = []
        for point in (moved, *(slots[slot] for slot in optimizer._position_slots), model):
            parameters[...] = point
            preconditioner.to_weights()
            points.append(self._point(preconditioner.weights))
        stream.points = (preconditioner.rounded(*points.pop()), *points)

    # -- what is known of the stream ----------------------------------------------------------

    def _relative(self, weight):
        """Weights over the mean weight of all rows up to the end of their own batch, so that it
        does not matter where chunks end."""
        stream, objective, n = self.stream, self.objective, self.objective.n
        used = slice(None) if objective.sample_indices is None else objective.sample_indices
        if weight is None:
            stream.mass += n
            return None
        ends = np.minimum(np.arange(1, self.per_call + 1) * self.batch_size, n)
        with np.errstate(over="ignore"):
            masses = stream.mass + np.cumsum(weight[used])[ends - 1]
        stream.mass = float(masses[-1])
        if not math.isfinite(stream.mass):
            raise ValueError(
                "sample_weight is too large: its sum overflows. Divide it by a constant."
            )
        out = np.zeros(len(weight), objective.X.dtype)
        mean = np.repeat(masses / (stream.rows + ends), np.diff(ends, prepend=0))
        out[used] = weight[used] / mean
        return out

    def _observe(self, weight):
        """Let the stream's statistics know the chunk."""
        stream, objective = self.stream, self.objective
        full = self.settings.network is None and whitens(
            objective, self.settings.precondition, self.size
        )
        mass = float(objective.n)
        if weight is not None:
            mass = float(weight.sum())
            weight = (weight / weight.max()).astype(objective.X.dtype)
        now = Moments.of(replace(objective, weight=weight), mass, full)
        before = stream.moments
        fits = before is not None and before.centred == now.centred
        if not fits or before.second.ndim < now.second.ndim:
            stream.moments, stream.whitener = now, None
        else:
            stream.moments = before.merged(now)
        values = objective.target_kind == "values"
        y_scale = 1.0
        if values:
            sample = stream.targets or Sample(np.empty((0, objective.n_outputs)))
            index = objective.subsample(objective.n)
            stream.targets = sample.extended(objective.target[index].astype(np.float64))
            y_scale = objective.loss._y_scale(stream.targets.kept)
        moments = stream.moments
        return Statistics(
            moments.mean if moments.centred else None,
            moments.variance,
            y_scale if y_scale > 0 else 1.0,
            self._whitener,
        )

    def _residual_scale(self, epsilon):
        """The mean of what each chunk says, until enough rows have been seen."""
        stream, objective = self.stream, self.objective
        if stream.scale_rows < SCALE_ROWS and (
            objective.n > 4 * objective.d + 4 or stream.scale_rows == 0
        ):
            rows = stream.scale_rows + objective.n
            share = objective.n / rows
            found = np.asarray(residual_scale(objective, epsilon))
            stream.scale = (1 - share) * stream.scale + share * found
            stream.scale_rows = rows
        return stream.scale if np.ndim(stream.scale) else float(stream.scale)

    def _whitener(self, h):
        """T for the curvature h times the second moments, shrunk towards their diagonal while few
        rows have been seen. It costs as much as the moments of d rows, and is kept as long."""
        stream, objective = self.stream, self.objective
        variance, rows = stream.moments.variance, stream.rows + objective.n
        if stream.whitener is not None:
            T, inverse, then, before = stream.whitener
            now = np.append(variance, [h, objective.l2])
            steady = (now <= 2 * before).all() and (before <= 2 * now).all()
            if rows < then + objective.d and steady:
                return T, inverse
        matrix = np.zeros((objective.d + 1, objective.d + 1))
        inner = matrix[:-1, :-1]
        share = objective.d / (objective.d + rows)
        np.multiply(stream.moments.second, h * (1 - share), out=inner)
        intercept = h if objective.fit_intercept else 1.0
        np.fill_diagonal(matrix, np.append(h * variance + objective.l2, intercept))
        T, inverse = whitener(matrix)
        stream.whitener = T, inverse, rows, np.append(variance, [h, objective.l2])
        return T, inverse

    # -- the learning rate --------------------------------------------------------------------

    def _smoothness_and_trace(self):
        stream, objective, preconditioner = self.stream, self.objective, self.preconditioner
        if preconditioner.whiten:
            # The diagonal's share hides at most this much of the curvature.
            return 1 / (1 - objective.d / (objective.d + stream.rows)), objective.d + 1.0
        smoothness, trace, rows = stream.spectrum
        metric, largest = None, 0.0
        if preconditioner.metric is None:
            h = objective.curvature_bound(preconditioner.hessian.y_scale)
            largest = h * float(objective.raw_moment().sum())
        else:
            metric = preconditioner.metric[0] / math.sqrt(preconditioner.loss_scale)
        if stream.rows >= 2 * rows or largest > 2 * trace:
            now = preconditioner.hessian.spectrum(metric)
            share = objective.n / stream.rows
            smoothness = max(now[0], (1 - share) * smoothness + share * now[0])
            trace = max(now[1], (1 - share) * trace + share * now[1])
            stream.spectrum = smoothness, trace, stream.rows
        return smoothness, trace

    def _rates(self):
        """Learning rates of the call's updates, and the number that stands for "auto"."""
        stream, settings, per_call = self.stream, self.settings, self.per_call
        rate, size = settings.learning_rate, self.size
        rates = np.full(per_call, rate)
        if rate is None or self.automatic:
            smoothness, trace = self._smoothness_and_trace()
            noise = 0.0 if settings.optimizer.full_batch else trace / size
        if rate is None:
            rate = self._auto_rate(smoothness, noise)
            rates = np.full(per_call, rate)
            last = self.objective.n - (per_call - 1) * self.batch_size
            if last < size:
                rates[-1] = self._auto_rate(smoothness, trace / last)
        step = stream.state.updates + np.arange(per_call, dtype=np.float64)
        schedule, epoch = settings.schedule, stream.per_epoch
        if schedule is not None and schedule.reacts:
            # A call stands for an epoch, as the curve has a value for each.
            curve = stream.state.curve
            step = (len(curve) + np.arange(per_call) / per_call) * epoch
            memory = reduce(schedule.remember, curve, None)
            rates *= schedule(step, epoch, settings.max_iter, memory)
        elif schedule is not None:
            rates *= schedule(step, epoch, settings.max_iter)
        elif self.automatic:
            rates *= stream.factor / (1 + step / (DECAY * (smoothness + noise)))
        return rates, rate

    def _auto_rate(self, smoothness, noise):
        optimizer = self.settings.optimizer
        rate = optimizer._auto_rate(smoothness, noise)
        follows = rate != optimizer._auto_rate(2 * smoothness, 2 * noise)
        if follows or not self.automatic:
            return rate
        return rate * max(1.0, GAIN * min(1.0, math.sqrt(GAIN_COLUMNS / (self.objective.d + 1))))

    # -- running ------------------------------------------------------------------------------

    def train(self):
        preconditioner, stream = self.preconditioner, self.stream
        rates, rate = self._rates()
        value = (self._careful_pass if self.automatic else self._plain_pass)(rates, rate)
        stream.state.updates += self.per_call
        self._predicting()
        stream.state.curve = [*stream.state.curve, value]
        model = preconditioner.rounded(
            *preconditioner.unshift(preconditioner.weights.astype(np.float64))
        )
        return FitResult(*model, stream.state, 1, rate, False, [value], stream=stream)

    def _pass(self, rates):
        history = np.empty(1)
        self.trainer.run(self.stream.state.epoch, 1, rates, history)
        return float(history[0])

    def _plain_pass(self, rates, rate):
        before = self.preconditioner.weights.copy()
        value = self._pass(rates)
        scale = self.objective.objective_at_zero()
        if self.objective.loss.classification:
            scale = max(scale, 1.0)
        if not (math.isfinite(value) and np.isfinite(self.preconditioner.weights).all()):
            self._diverged(value, scale, rate)
        if value > DIVERGED * scale:
            # The model may have come like this: only a pass that makes it worse diverges.
            after = self.trainer.evaluate()
            self.preconditioner.weights[...], kept = before, self.preconditioner.weights.copy()
            worse = not after <= 1.01 * self.trainer.evaluate()
            self.preconditioner.weights[...] = kept
            if worse:
                self._diverged(value, scale, rate)
        return value

    def _careful_pass(self, rates, rate):
        """A pass that is kept if it lowered the chunk's objective, else repeated with smaller
        steps."""
        preconditioner, state, stream = self.preconditioner, self.stream.state, self.stream
        saved = [array.copy() for array in (preconditioner.weights, state.slots, state.steps)]
        start = self.trainer.evaluate()
        if stream.start is None:
            stream.start = start
        most = start + SLACK[0] * abs(start) + SLACK[1] * abs(stream.start)
        value = start
        for _ in range(8):
            value = self._pass(rates)
            if self.trainer.evaluate() <= most:
                stream.factor = min(1.0, 1.1 * stream.factor)
                break
            for array, before in zip(
                (preconditioner.weights, state.slots, state.steps), saved, strict=True
            ):
                array[...] = before
            preconditioner.to_coordinates()
            stream.factor *= 0.5
            rates = 0.25 * rates
        if not math.isfinite(start):
            self._diverged(start, self.objective.objective_at_zero(), rate)
        return value if math.isfinite(value) else start

    def _diverged(self, value, scale, rate):
        raise DivergenceError(
            f"Training diverged: the objective was {value:.3g} in call {self.stream.state.epoch} "
            f"({scale:.3g} for predictions of 0) with learning_rate={rate:.3g}. {REMEDY}"
        )
