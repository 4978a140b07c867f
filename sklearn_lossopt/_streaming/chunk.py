"""One pass over one chunk of a stream."""

import math

import numpy as np

from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._preconditioning.linear import LinearPreconditioner
from sklearn_lossopt._preconditioning.network import (
    NetworkPreconditioner,
    predicts_finite,
    standardisation,
)
from sklearn_lossopt._streaming.defaults import initial_rate, linear_decay, network_decay
from sklearn_lossopt._streaming.estimate import first_constant
from sklearn_lossopt._streaming.memory import automatic
from sklearn_lossopt._training.defaults import network_rate, with_regularisation
from sklearn_lossopt._training.loop import far_above, infinite_predictions, remedy, trainer
from sklearn_lossopt._training.state import FitResult

# Rows an update where the user leaves it open: the least that fit takes too.
BATCH_SIZE = 64
# By how much of itself, and of the first call's, an objective may rise in a pass.
SLACK = 0.1, 0.01
# In units, a step of the targets' best constant or of a column's mean that a network follows, and
# by how many times a column's unit may change before it does.
FAR, WIDE = 0.5, 2.0
# The least that rates are cut to where passes raise the objective.
LEAST = 1e-3


def advance(objective, weight, settings, stream, start=None):
    """Train on one chunk, in the order of its rows.

    Parameters
    ----------
    objective : Objective
        The chunk, without weights.
    weight : ndarray of shape (n_rows,), float64, or None
    settings : Settings
    stream : Stream
        Left as it is.
    start : tuple or None
        Coefficients (k, d) and intercepts (k,) to start from, or lists of a network's layers.

    Returns
    -------
    outcome : FitResult
        Of the whole stream so far; ``outcome.stream`` is to go on from.

    Raises
    ------
    DivergenceError
        If the objective stops being finite, or is far above that of predicting 0 and rises.
    """
    return ChunkFit(objective, weight, settings, stream, start).train()


class ChunkFit:
    """One chunk's pass. The objective's weights and loss are set here."""

    def __init__(self, objective, weight, settings, stream, start):
        self.settings, self.objective = settings, objective
        self.stream = stream = stream.next_call()
        size = settings.batch_size or BATCH_SIZE
        # Rows of a full batch, where there is one.
        self.size = objective.n if settings.optimizer.full_batch else size
        self.batch_size = min(objective.n, self.size)
        self.per_call = -(-objective.n // self.batch_size)
        ends = np.minimum(np.arange(1, self.per_call + 1) * self.batch_size, objective.n)
        objective.weight = stream.relative_weights(objective, weight, ends)
        statistics, linear = None, settings.network is None
        stream.remember(objective, weight, settings, start)
        if not linear:
            # The output's units ask for the scale.
            self._prepare_loss()
        if settings.precondition is not False:
            statistics = stream.observe(objective, weight, settings, self.size)
        if linear:
            self._prepare_loss()
        stream.rows += objective.n
        stream.per_epoch = stream.per_epoch or self.per_call
        self.automatic = automatic(objective, settings)
        self.corrects = (
            self.automatic
            and settings.precondition is not False
            and stream.memory is not None
            and (objective.curved if objective.loss.smooth else objective.breakpoints > 0)
        )
        if stream.memory is not None and stream.memory.full:
            stream.memory.take_in(objective, self.corrects)
        if linear:
            if start is None and statistics is not None:
                constant = first_constant(objective)
                start = np.zeros((objective.n_outputs, objective.d)), constant
            self.start = start
            preconditioner = LinearPreconditioner(
                objective, settings.precondition, self.size, start, statistics
            )
        else:
            if statistics is not None:
                start = self._in_units(start, statistics)
            architecture = with_regularisation(settings, settings.precondition is False)
            preconditioner = NetworkPreconditioner(
                objective, settings.precondition, architecture, stream.state.seed, start, statistics
            )
            objective = preconditioner.objective
        self.objective, self.preconditioner = objective, preconditioner
        self.trainer = trainer(
            objective, preconditioner, settings.optimizer, stream.state, self.batch_size, False
        )
        self._take_up_points(start)

    def _in_units(self, start, statistics):
        """A network's parameters after what the rows seen say of columns and targets: where the
        units have moved far, the parameters are kept in units. Updates are short beside a start far
        away, and the optimizer's memory is of gradients in other units."""
        stream, followed = self.stream, start
        shift, scale = standardisation(self.objective, statistics)
        shift = np.zeros(self.objective.d) if shift is None else shift
        if start is None:
            stream.units = shift, scale
            return None
        step = stream.constant_step
        if np.max(np.abs(step) / statistics.raw_scale) > FAR:
            coefs, (*hidden, last) = start
            followed = coefs, [*hidden, last + step]
        if stream.units is not None:
            before, by = stream.units
            ratio = np.where(by > 0, scale / np.where(by > 0, by, 1), 1)
            far = np.abs(shift - before) * by > FAR
            far |= (ratio > WIDE) | (ratio * WIDE < 1)
            if far.any():
                (first, *coefs), (intercept, *others) = followed
                moved = first * np.where(far, ratio, 1)[:, None]
                intercept = intercept + (before * far) @ first - (shift * far) @ moved
                followed = [moved, *coefs], [intercept, *others]
            # A column that has not varied has no unit before.
            far |= by == 0
            stream.units = np.where(far, shift, before), np.where(far, scale, by)
        if followed is not start:
            stream.state.forget()
        return followed

    def _prepare_loss(self):
        """Let a loss that asks for the scale of residuals have it."""
        objective, stream = self.objective, self.stream
        objective.loss = objective.loss._prepared(
            lambda epsilon: stream.residual_scale(objective, epsilon)
        )

    def _rates(self):
        """Learning rates of the call's updates, and the number that stands for "auto"."""
        stream, settings, per_call = self.stream, self.settings, self.per_call
        schedule, epoch, linear = settings.schedule, stream.per_epoch, settings.network is None
        step = stream.state.updates + np.arange(per_call, dtype=np.float64)
        if linear and (settings.learning_rate is None or self.automatic):
            smoothness, trace = stream.smoothness_and_trace(self.objective, self.preconditioner)
            noise = 0.0 if settings.optimizer.full_batch else trace / self.size
        rate = settings.learning_rate
        if rate is None and not linear:
            rate = network_rate(settings, self.preconditioner)
        rates = np.full(per_call, np.nan if rate is None else rate)
        if rate is None:
            d = self.objective.d
            rate = initial_rate(settings.optimizer, smoothness, noise, d, self.automatic)
            rates[:] = rate
            last = self.objective.n - (per_call - 1) * self.batch_size
            if last < self.size:
                rates[-1] = initial_rate(
                    settings.optimizer, smoothness, trace / last, d, self.automatic
                )
        if schedule is not None and schedule.reacts:
            # A call stands for an epoch, as the curve has a value for each.
            epochs, memory = stream.remembered(schedule)
            step = (epochs + np.arange(per_call) / per_call) * epoch
            rates *= schedule(step, epoch, settings.max_iter, memory)
        elif schedule is not None:
            rates *= schedule(step, epoch, settings.max_iter)
        elif self.automatic:
            rates *= linear_decay(step + stream.state.ahead, smoothness, noise, stream.factor)
        elif not linear:
            rates *= network_decay(step)
        return rates, rate

    def train(self):
        preconditioner, stream = self.preconditioner, self.stream
        rates, rate = self._rates()
        if self.corrects:
            value = self._corrected_pass(rates)
        else:
            value = (self._careful_pass if self.automatic else self._plain_pass)(rates, rate)
            self._predicting()
        stream.state.updates += self.per_call
        stream.end_call(self.settings.schedule, value)
        model = preconditioner.rounded(
            *preconditioner.unshift(preconditioner.weights.astype(np.float64))
        )
        if not self._predicts_finite(model):
            when = f"after call {stream.state.epoch}"
            raise infinite_predictions(self.objective, when, rate, self.settings)
        return FitResult(*model, stream.state, 1, rate, False, [value], stream=stream)

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
        if far_above(value, scale):
            # The model may have come like this: only a pass that makes it worse diverges.
            after = self.trainer.evaluate()
            self.preconditioner.weights[...], kept = before, self.preconditioner.weights.copy()
            worse = not after <= 1.01 * self.trainer.evaluate()
            self.preconditioner.weights[...] = kept
            if worse:
                self._diverged(value, scale, rate)
        return value

    def _predicts_finite(self, model):
        """Whether coefficients and intercepts, of layers in a network, predict finite numbers."""
        return predicts_finite(self.objective, self.settings.network, *model)

    def _corrected_pass(self, rates):
        """A pass of which as much is kept as does not raise the estimated objective of all rows
        seen, and where it is due Newton's steps on that."""
        preconditioner, stream = self.preconditioner, self.stream
        before = self.start
        value = self._pass(rates)
        self._predicting()
        after = preconditioner.unshift(preconditioner.weights.astype(np.float64))
        bound, y_scale = preconditioner.bound, preconditioner.hessian.y_scale
        memory = stream.memory
        met = value if memory.judges or self._predicts_finite(after) else math.inf
        held = self._held(before, after)
        model, kept = memory.settle(self.objective, before, held, met, bound, y_scale)
        if kept == 1.0:
            stream.factor = min(1.0, 1.1 * stream.factor)
        elif kept is not None:
            # Steps were too long, and the optimizer's memory is of a way that was not taken.
            stream.factor = max(0.5 * stream.factor, LEAST)
            stream.state.forget()
        if not all(map(np.array_equal, model, after)):
            preconditioner.place(*model)
        if not math.isfinite(value):
            value = self.trainer.evaluate()
        if not math.isfinite(value):
            self._diverged(value, self.objective.objective_at_zero(), float(np.max(rates)))
        return value

    def _held(self, before, after):
        """The model after a pass, with an l1 penalty without the coefficients that were 0 before
        it: steps on few rows leave hardly one at 0, and corrections say which are to come in."""
        if self.objective.l1 == 0:
            return after
        coef = np.where(before[0] == 0, 0.0, after[0])
        if self.preconditioner.shift is None:
            return coef, after[1]
        return coef, after[1] + (after[0] - coef) @ self.preconditioner.shift.astype(np.float64)

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
            f"({scale:.3g} for predictions of 0) with learning_rate={rate:.3g}. "
            f"{remedy(self.settings)}"
        )
