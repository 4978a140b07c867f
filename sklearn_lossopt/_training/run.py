"""The fit driver: epochs, step sizes, preconditioning and stopping. Floor 2."""

import math
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from itertools import chain

import numpy as np

from sklearn_lossopt._engine import Trainer
from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._preconditioning.linear import LinearPreconditioner
from sklearn_lossopt._solvers.null_space import smallest
from sklearn_lossopt._training.auto_schedule import (
    AugmentedLagrangianCorrector,
    BatchGrowth,
    CyclicalStepSize,
    NewtonCorrector,
    Pocket,
)
from sklearn_lossopt._training.averaging import IterateAverage
from sklearn_lossopt._training.bank import Epochs
from sklearn_lossopt._training.minimize import WholeObjective
from sklearn_lossopt._training.monitor import Monitor
from sklearn_lossopt._training.state import FitResult, State

# A run that ends this many times above its start has diverged.
DIVERGED = 10.0
REMEDY = (
    "Use a smaller learning_rate, or learning_rate='auto' with schedule='auto' and "
    "precondition='auto', which also copes with unscaled features."
)
# Learning rates handed to the engine in one piece.
RATES_AT_ONCE = 1_000_000
# Bytes of a run's objects besides its arrays.
OBJECTS = 12_000
# Dual variables of a proximal Newton solver, at most: they take ten arrays of that length.
DUALS = 600_000


def train(
    objective, settings, seed, start=None, state=None, validation=None, observer=None, run=None
):
    """Fit one model: a generator of the Epochs to train, see ``_bank``.

    Parameters
    ----------
    objective : Objective
    settings : Settings
    seed : int
        Seeds the order of the rows.
    start : tuple of ndarray (k, d), (k,), or None
        Coefficients and intercepts to start from.
    state : State or None
        An earlier call's, to go on with its optimizer memory and counts.
    validation : Validation or None
    observer : object or None
        Told of every epoch, see Monitor.
    run : class or None
        That of the kind of model; None for a linear one.

    Returns
    -------
    outcome : FitResult

    Raises
    ------
    DivergenceError
        If the objective stops being finite or ends far above its start.
    """
    run = (run or Fit)(objective, settings, seed, start, state, validation, observer)
    try:
        return (yield from run.fit())
    finally:
        # Its parts refer to it: its arrays would be there until the next garbage collection.
        vars(run).clear()


def trainer(objective, preconditioner, optimizer, state, batch_size, shuffle):
    """The compiled training of a problem in a space, which goes on from ``state`` and moves it."""
    return Trainer(
        objective.X,
        objective.target,
        objective.target_kind,
        objective.weight,
        objective.rows,
        preconditioner.shift,
        preconditioner.weights,
        objective.model(optimizer, preconditioner.loss_scale),
        state.slots,
        state.steps,
        metric=preconditioner.metric,
        coordinates=preconditioner.coordinates,
        intercept=objective.fit_intercept,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=state.seed,
        network=preconditioner.network,
    )


class Fit:
    def __init__(self, objective, settings, seed, start, state, validation, observer):
        self.objective, self.settings = objective, settings
        optimizer = settings.optimizer
        self.batch_size = self._batch_size()
        self.preconditioner = preconditioner = self._place(start)
        fresh = State.fresh(self.objective, optimizer, seed, settings.network)
        self.state = self._go_on(fresh, state, start)
        self.weights = preconditioner.weights
        self.mean = IterateAverage(self)
        self.mean.take_up(self.state.raw_iterate)
        self.rate = settings.learning_rate
        if optimizer.minimize is not None:
            self.rate = 1.0
        elif self.rate is None:
            self.rate = self._auto_rate()
        self.trainer = trainer(
            self.objective, preconditioner, optimizer, self.state, self.batch_size, settings.shuffle
        )
        self.curve, self.epoch = [], 0
        self.gradient = np.empty(preconditioner.weights.shape)
        self.gap = self.estimate = self.start = math.inf
        self.warning = None
        if validation is not None and validation.objective is not None:
            rows = preconditioner.apply(validation.objective)
            validation = replace(validation, objective=rows)
        self.monitor = Monitor(self, validation, observer)

    def _go_on(self, fresh, state, start):
        """The earlier state, with the exact place where it ended, if its coordinates are those of
        this run; else a fresh one."""
        preconditioner = self.preconditioner
        fresh.fingerprint = preconditioner.fingerprint()
        if (
            state is None
            or state.fingerprint != fresh.fingerprint
            or state.slots.shape != fresh.slots.shape
        ):
            return fresh
        if state.position is not None:
            weights, coordinates = state.position
            ended = preconditioner.rounded(*preconditioner.unshift(weights.astype(np.float64)))
            if all(map(np.array_equal, chain(*ended), chain(*start))):
                preconditioner.weights[...], preconditioner.coordinates[...] = weights, coordinates
        return replace(
            fresh,
            slots=state.slots.copy(),
            steps=state.steps.copy(),
            epoch=state.epoch,
            updates=state.updates,
            curve=list(state.curve),
            raw_iterate=state.raw_iterate,
        )

    def _place(self, start):
        """The coordinates in which to train."""
        preconditioner = LinearPreconditioner(
            self.objective, self.settings.precondition, self.batch_size, start
        )
        self.objective, self.hessian = preconditioner.objective, preconditioner.hessian
        return preconditioner

    def _auto_rate(self):
        smoothness, noise = self.preconditioner.smoothness_and_noise(self.batch_size)
        return self.settings.optimizer._auto_rate(smoothness, noise)

    def _batch_size(self):
        n = self.objective.n
        if self.settings.optimizer.full_batch:
            return n
        if self.settings.batch_size is None:
            # A full batch's subgradient can point uphill at a kink; smaller ones get past it.
            stuck = not self.objective.loss.smooth and self.objective.breakpoints == 0
            least = 16 if stuck and self.objective.loss.learns_at_optimum else 64
            return min(n, max(least, min(256, n // 16)))
        return min(n, self.settings.batch_size)

    # -- running ----------------------------------------------------------------------------

    def fit(self):
        with self.monitor.lines or nullcontext():
            converged = yield from self._train()
        self._smallest()
        result = self.result(self.weights, converged)
        if (
            converged
            and self.objective.X.dtype == np.float32
            and (self.preconditioner.shift is not None or self.preconditioner.changes)
        ):
            result.converged = self._survives(result.coef, result.intercept)
            result.loss_curve = self.curve
        result.warning = self.warning
        return result

    def _train(self):
        """Run the epochs; returns whether the optimum is certified."""
        schedule = self.settings.schedule
        if self.settings.optimizer.minimize is not None:
            return WholeObjective(self).train()
        if schedule is not None:
            return (yield from self._follow(schedule))
        if self.objective.loss.learns_at_optimum:
            return (yield from self._react())
        return (yield from Pocket(self).train())

    def passes(self, count, rates):
        """Have epochs trained; returns the running means of the objective in those that were."""
        epochs = Epochs(self, count, rates)
        yield epochs
        self.epoch += epochs.done
        self.state.updates += epochs.done * -(-self.objective.n // self.trainer.batch_size)
        return epochs.history[: epochs.done]

    @property
    def nbytes(self):
        """About what the run holds between epochs, in bytes, besides what it shares."""
        size = OBJECTS + self.trainer.nbytes + self.gradient.nbytes + self.monitor.nbytes
        if self.mean.exists:
            size += self.weights.nbytes + self.preconditioner.coordinates.nbytes
        if self.settings.schedule is None:
            corrector = self._corrector()
            size += self.weights.nbytes + (0 if corrector is None else corrector.nbytes)
        return size

    def result(self, weights, converged=False):
        """What a fit that ended now with these weights would return."""
        coef, intercept = self._result(weights)
        state = replace(
            self.state,
            slots=self.state.slots.copy(),
            steps=self.state.steps.copy(),
            epoch=self.state.epoch + len(self.curve),
            curve=self.state.curve + self.curve,
            raw_iterate=self.mean.copy(),
        )
        if state.fingerprint and self.settings.schedule is None:
            # Corrections have left the coordinates that the memory belongs to.
            state.fingerprint = b"corrected"
        elif state.fingerprint and weights is self.weights:
            state.position = weights.copy(), self.preconditioner.coordinates.copy()
        return FitResult(
            *self.preconditioner.rounded(coef, intercept),
            state,
            len(self.curve),
            self.rate,
            converged,
            list(self.curve),
            None,
            list(self.monitor.curve),
            self.monitor.best_iter,
        )

    def _result(self, weights):
        """Coefficients and intercepts in the user's units, float64."""
        d = self.objective.d
        W = weights.astype(np.float64)
        if (
            self.settings.schedule is None
            and self.objective.target_kind == "class"
            and (self.objective.loss.shift_invariant)
        ):
            # Adding a number to all columns changes nothing.
            W[:, d] -= W[:, d].mean()
        return self.preconditioner.unshift(W)

    def _smallest(self):
        """See to it that weights without a penalty are the smallest of those that predict the
        same, if rounding lets them predict the same."""
        preconditioner, objective = self.preconditioner, self.objective
        if preconditioner.leaves_directions:
            better = smallest(objective, preconditioner.shift, self.weights.astype(np.float64))
            if self._as_good(better):
                self.weights[...] = better
                preconditioner.to_coordinates()
        null = preconditioner.null
        if null is not None and not self._as_good(null.remove(self.weights.astype(np.float64))):
            preconditioner.null = None

    def _as_good(self, weights):
        """Whether F at other weights is the same within tolerance."""
        saved, before = self.weights.copy(), self.evaluate()
        self.weights[...] = weights
        value = self.evaluate()
        self.weights[...] = saved
        return value - before <= self.target(before)

    def _survives(self, coef, intercept):
        """Whether the model is still as good once its intercept, for columns that are not
        centred, is rounded to float32."""
        self.preconditioner.place(coef, intercept)
        value, before = self.evaluate(), self.curve[-1]
        self.curve[-1] = value
        if value - before <= 1e-3 * max(abs(before), 1e-3 * self.start):
            return True
        self.gap = value - before
        self._warn(value)
        return False

    def _first_value(self):
        """The objective at the start."""
        objective, weights = self.objective, self.weights
        if self.settings.network is not None or weights[..., :-1].any():
            return self.evaluate()
        # Of a constant model; others with the loss often have the same.
        parts = self.preconditioner.shift, weights[..., -1].tobytes(), *objective.loss._identity()
        return objective.cached("first value", parts, self.evaluate)

    def evaluate(self, gradient=False):
        return self.trainer.evaluate(self.gradient if gradient else None)

    def _diverged(self, epoch, value, start):
        raise DivergenceError(
            f"Training diverged: the objective was {value:.3g} after epoch {epoch} "
            f"({start:.3g} at the start) with learning_rate={self.rate:.3g}. {REMEDY}"
        )

    def _follow(self, schedule):
        """Train by a rule for the rate; returns whether the optimum is certified."""
        settings, first, monitor = self.settings, self.state.epoch, self.monitor
        per_epoch = -(-self.objective.n // self.batch_size)
        # Batches' running mean of the objective is that of the weights that training moves.
        look = self.mean.begin() or settings.tol > 0 or schedule.reacts
        # Without a tolerance the start is only the measure of divergence.
        at_zero = settings.tol == 0 and not self.weights.any()
        self.start = start = self.objective.objective_at_zero() if at_zero else self._first_value()
        at_once = 1 if look or monitor.active else max(1, RATES_AT_ONCE // per_epoch)
        if schedule.reacts:
            self.memory = reduce(schedule.remember, self.state.curve, None)
        best, best_epoch = math.inf, 0
        while self.epoch < settings.max_iter:
            with self.mean.predicting():
                monitor.begin(self.weights)
            count = min(at_once, settings.max_iter - self.epoch)
            rates = self._rates(schedule, first + self.epoch, count, per_epoch)
            done = yield from self.passes(count, rates)
            self.curve.extend(done)
            epoch = self.epoch
            with self.mean.predicting():
                if look:
                    self.curve[-1] = self.evaluate()
                value = self.curve[-1]
                if not math.isfinite(value):
                    self._diverged(epoch, value, start)
                if schedule.reacts:
                    self.memory = schedule.remember(self.memory, value)
                if monitor.end(self.weights, rates[-1]):
                    break
            if value < best - settings.tol * abs(best) or best == math.inf:
                best, best_epoch = value, epoch
            elif (
                settings.tol > 0
                and not monitor.stopping
                and (epoch - best_epoch >= settings.n_iter_no_change)
            ):
                break
        self.mean.end()
        ended = monitor.finish()
        self.check(ended)
        return ended == epoch and not monitor.stopped and self._certify(self.curve[ended - 1])

    def check(self, ended):
        """Raise if a run by a rule for the rate that ended with this epoch has diverged."""
        if self.settings.schedule is None:
            return  # what does not lower the objective is not kept
        value, start = self.curve[ended - 1], self.start
        scale = max(start, 1.0) if self.objective.loss.classification else start
        if not np.isfinite(self.weights).all() or value > DIVERGED * scale:
            self._diverged(ended, value, start)

    def _rates(self, schedule, epoch, count, per_epoch):
        """Learning rates of the next updates, or one for all."""
        if schedule.name == "constant":
            return np.array([self.rate])
        # Calls of partial_fit make other numbers of updates; what reacts counts epochs.
        first = epoch * per_epoch if schedule.reacts else self.state.updates
        step = np.arange(first, first + count * per_epoch, dtype=np.float64)
        memory = (self.memory,) if schedule.reacts else ()
        return self.rate * schedule(step, per_epoch, self.settings.max_iter, *memory)

    def target(self, value):
        """The gap at which training may end: ``tol`` times F, but not below F's rounding."""
        # Not the start's: one far away would allow any gap.
        size = max(min(self.start, abs(value)), self.preconditioner.loss_scale)
        return max(self.settings.tol * abs(value), np.finfo(self.objective.X.dtype).eps * size)

    def _certify(self, value):
        """Whether the estimated gap is below tolerance; warns where it is not."""
        tol = self.settings.tol
        if tol == 0 or not self.objective.loss.learns_at_optimum:
            return False
        self.newton(floor=0.0)
        if self.gap <= self.target(value):
            return True
        self._warn(value)
        return False

    def _warn(self, value):
        settings = self.settings
        gap = "cannot be estimated here"
        estimate = min(self.gap, self.estimate)
        if math.isfinite(estimate):
            gap = f"is estimated at {estimate:.2g}, {estimate / max(abs(value), 1e-300):.1e} of it"
            if estimate < self.gap:
                gap += " or more"
        self.warning = (
            f"Training stopped above tolerance: the objective is {value:.6g} and its distance to "
            f"the optimum {gap} (tol={settings.tol:g}). Increase max_iter "
            f"(now {settings.max_iter}), or use learning_rate='auto', schedule='auto' and "
            f"precondition='auto'."
        )

    def newton(self, floor):
        """Estimate the gap at the current weights; returns Newton's direction."""
        loss = self.objective.loss
        if not loss.smooth or not self.objective.curved:
            self.gap = math.inf
            return None
        self.evaluate(gradient=True)
        W = self.weights.astype(np.float64)
        direction, gap, valid = self.hessian.newton_direction(W, self.gradient, floor)
        self.gap, self.estimate = gap if valid else math.inf, gap
        return direction

    # -- schedule="auto" --------------------------------------------------------------------

    def _react(self):
        """Train with steps and batches that follow the full objective after each epoch.

        Each epoch is a pass of the optimizer, kept where it lowered F. From the second on, where
        the loss's second derivative or its kinks are known, the optimum's distance is estimated,
        and the step that the estimate implies is taken as far as it lowers F.
        """
        settings, objective = self.settings, self.objective
        self.best = self.start = start = self._first_value()
        self.saved = self.weights.copy()
        pace = BatchGrowth(self) if objective.loss.smooth else CyclicalStepSize(self)
        corrector = self._corrector()
        while self.epoch < settings.max_iter:
            self.monitor.begin(self.saved)
            rate = self.rate * pace.factor
            yield from self.passes(1, np.array([rate]))
            self._flush_momentum(rate)
            value = self.evaluate()
            pace.after(value, value < self.best)
            if value < self.best:
                self.keep(value)
            done = pace.finished
            if corrector is not None and self.epoch >= 2:
                corrector.step()
                done = self.gap <= self.target(self.best)
            self.curve.append(self.best)
            if self.monitor.end(self.saved, rate) or (done and settings.tol > 0):
                break
        self.weights[...] = self.saved
        if not math.isfinite(self.best):
            self._diverged(self.epoch, self.best, start)
        return self._conclude(corrector)

    def _conclude(self, corrector):
        """End a run that reacted to its objective; returns whether the optimum is certified."""
        tol, monitor = self.settings.tol, self.monitor
        certain = tol > 0 and bool(self.gap <= self.target(self.best))
        if monitor.finish(certain) < len(self.curve):
            return False
        if not monitor.stopped:
            if corrector is None and self.objective.loss.smooth:
                return self._certify(self.best)
            if tol > 0 and not certain:
                self._warn(self.best)
        return certain

    def _corrector(self):
        objective, precondition = self.objective, self.settings.precondition
        if objective.loss.smooth:
            wanted = precondition in ("auto", "whiten") and self.objective.curved
            return NewtonCorrector(self) if wanted else None
        if precondition is False:
            return None
        duals = objective.n * objective.n_outputs * objective.breakpoints
        solvable = objective.d <= MATRIX_SIZE or (objective.l1 == 0 and objective.holdable)
        return AugmentedLagrangianCorrector(self) if solvable and 0 < duals <= DUALS else None

    def _flush_momentum(self, rate):
        """Let the optimizer's momentum run out, so that its position can be judged."""
        coordinates = self.preconditioner.coordinates
        if not np.isfinite(coordinates).all():
            return
        before = np.sign(coordinates[:, :-1])
        self.settings.optimizer._flush_momentum(
            coordinates.reshape(-1), self.state.slots, int(self.state.steps[0]), rate
        )
        if self.objective.l1 > 0:
            # What a proximal step has put to zero stays there.
            coordinates[:, :-1][np.sign(coordinates[:, :-1]) != before] = 0
        self.preconditioner.to_weights()

    def keep(self, value):
        self.best = value
        self.saved[...] = self.weights

    def restore(self):
        """Go back to the best weights, with no memory of how they were left."""
        self.weights[...] = self.saved
        self.preconditioner.to_coordinates()
        self.state.slots[...] = 0
        self.state.steps[...] = 0
