"""The fit driver: epochs, step sizes, preconditioning and stopping. Floor 2."""

import math
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from itertools import chain

import numpy as np

from sklearn_lossopt._bank import Epochs
from sklearn_lossopt._coordinates import Coordinates
from sklearn_lossopt._engine import Trainer
from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._linear_algebra import MATRIX_SIZE
from sklearn_lossopt._mean import Mean
from sklearn_lossopt._monitor import Monitor
from sklearn_lossopt._pace import Cycles, Growth, KinkCorrector, NewtonCorrector, Pocket
from sklearn_lossopt._quasi_newton import WholeObjective
from sklearn_lossopt._state import Outcome, State

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
    problem, settings, seed, start=None, state=None, validation=None, watch=None, run=None
):
    """Fit one model: a generator of the Epochs to train, see ``_bank``.

    Parameters
    ----------
    problem : Problem
    settings : Settings
    seed : int
        Seeds the order of the rows.
    start : tuple of ndarray (k, d), (k,), or None
        Coefficients and intercepts to start from.
    state : State or None
        An earlier call's, to go on with its optimizer memory and counts.
    validation : Validation or None
    watch : object or None
        Told of every epoch, see Monitor.
    run : class or None
        That of the kind of model; None for a linear one.

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    DivergenceError
        If the objective stops being finite or ends far above its start.
    """
    run = (run or _Run)(problem, settings, seed, start, state, validation, watch)
    try:
        return (yield from run.fit())
    finally:
        # Its parts refer to it: its arrays would be there until the next garbage collection.
        vars(run).clear()


def trainer(problem, space, optimizer, state, batch_size, shuffle):
    """The compiled training of a problem in a space, which goes on from ``state`` and moves it."""
    return Trainer(
        problem.X, problem.target, problem.target_kind, problem.weight, problem.rows, space.shift,
        space.weights, problem.model(optimizer, space.value_unit), state.slots, state.steps,
        metric=space.metric, coordinates=space.coordinates, intercept=problem.fit_intercept,
        batch_size=batch_size, shuffle=shuffle, seed=state.seed, network=space.network,
    )


class _Run:
    def __init__(self, problem, settings, seed, start, state, validation, watch):
        self.problem, self.settings = problem, settings
        optimizer = settings.optimizer
        self.batch_size = self._batch_size()
        self.space = space = self._place(start)
        fresh = State.fresh(problem, optimizer, seed, settings.network)
        self.state = self._go_on(fresh, state, start)
        self.weights = space.weights
        self.mean = Mean(self)
        self.mean.take_up(self.state.moving)
        self.rate = settings.learning_rate
        if optimizer.minimize is not None:
            self.rate = 1.0
        elif self.rate is None:
            self.rate = self._auto_rate()
        self.trainer = trainer(
            self.problem, space, optimizer, self.state, self.batch_size, settings.shuffle
        )
        self.curve, self.epoch = [], 0
        self.gradient = np.empty(space.weights.shape)
        self.gap = self.estimate = math.inf
        self.warning = None
        self.monitor = Monitor(self, validation, watch)

    def _go_on(self, fresh, state, start):
        """The earlier state, with the exact place where it ended, if its coordinates are those of
        this run; else a fresh one."""
        space = self.space
        fresh.space = space.fingerprint()
        if state is None or state.space != fresh.space or state.slots.shape != fresh.slots.shape:
            return fresh
        if state.position is not None:
            weights, coordinates = state.position
            ended = space.rounded(*space.unshift(weights.astype(np.float64)))
            if all(map(np.array_equal, chain(*ended), chain(*start))):
                space.weights[...], space.coordinates[...] = weights, coordinates
        return replace(fresh, slots=state.slots.copy(), steps=state.steps.copy(),
                       epoch=state.epoch, updates=state.updates, curve=list(state.curve),
                       moving=state.moving)

    def _place(self, start):
        """The coordinates in which to train."""
        space = Coordinates(self.problem, self.settings.precondition, self.batch_size, start)
        self.curvature = space.curvature
        return space

    def _auto_rate(self):
        smoothness, noise = self.space.smoothness_and_noise(self.batch_size)
        return self.settings.optimizer._auto_rate(smoothness, noise)

    def _batch_size(self):
        n = self.problem.n
        if self.settings.optimizer.full_batch:
            return n
        if self.settings.batch_size is None:
            # A full batch's subgradient can point uphill at a kink; smaller ones get past it.
            stuck = not self.problem.loss.smooth and self.problem.kinks == 0
            least = 16 if stuck and self.problem.loss.learns_at_optimum else 64
            return min(n, max(least, min(256, n // 16)))
        return min(n, self.settings.batch_size)

    # -- running ----------------------------------------------------------------------------

    def fit(self):
        with self.monitor.lines or nullcontext():
            converged = yield from self._train()
        outcome = self.outcome(self.weights, converged)
        if converged and self.problem.X.dtype == np.float32 and self.space.shift is not None:
            outcome.converged = self._survives(outcome.coef, outcome.intercept)
            outcome.loss_curve = self.curve
        outcome.warning = self.warning
        return outcome

    def _train(self):
        """Run the epochs; returns whether the optimum is certified."""
        schedule = self.settings.schedule
        if self.settings.optimizer.minimize is not None:
            return WholeObjective(self).train()
        if schedule is not None:
            return (yield from self._follow(schedule))
        if self.problem.loss.learns_at_optimum:
            return (yield from self._react())
        return (yield from Pocket(self).train())

    def passes(self, count, rates):
        """Have epochs trained; returns the running means of the objective in those that were."""
        epochs = Epochs(self, count, rates)
        yield epochs
        self.epoch += epochs.done
        self.state.updates += epochs.done * -(-self.problem.n // self.trainer.batch_size)
        return epochs.history[: epochs.done]

    @property
    def nbytes(self):
        """About what the run holds between epochs, in bytes, besides what it shares."""
        size = OBJECTS + self.trainer.nbytes + self.gradient.nbytes + self.monitor.nbytes
        if self.mean.exists:
            size += self.weights.nbytes + self.space.coordinates.nbytes
        if self.settings.schedule is None:
            corrector = self._corrector()
            size += self.weights.nbytes + (0 if corrector is None else corrector.nbytes)
        return size

    def outcome(self, weights, converged=False):
        """What a fit that ended now with these weights would return."""
        coef, intercept = self._result(weights)
        state = replace(
            self.state, slots=self.state.slots.copy(), steps=self.state.steps.copy(),
            epoch=self.state.epoch + len(self.curve), curve=self.state.curve + self.curve,
            moving=self.mean.copy(),
        )
        if state.space and self.settings.schedule is None:
            # Corrections have left the coordinates that the memory belongs to.
            state.space = b"corrected"
        elif state.space and weights is self.weights:
            state.position = weights.copy(), self.space.coordinates.copy()
        return Outcome(
            *self.space.rounded(coef, intercept), state, len(self.curve), self.rate,
            converged, list(self.curve), None, list(self.monitor.curve), self.monitor.best_iter,
        )

    def _result(self, weights):
        """Coefficients and intercepts in the user's units, float64."""
        d = self.problem.d
        W = weights.astype(np.float64)
        if self.settings.schedule is None and self.problem.target_kind == "class" and (
            self.problem.loss.shift_invariant
        ):
            # Adding a number to all columns changes nothing.
            W[:, d] -= W[:, d].mean()
        return self.space.unshift(W)

    def _survives(self, coef, intercept):
        """Whether the model is still as good once its intercept, for columns that are not
        centred, is rounded to float32."""
        self.weights[:, :-1] = coef
        self.weights[:, -1] = intercept + coef.astype(np.float64) @ self.space.shift
        value, before = self.evaluate(), self.curve[-1]
        self.curve[-1] = value
        if value - before <= 1e-3 * max(abs(before), 1e-3 * self.start):
            return True
        self.gap = value - before
        self._warn(value)
        return False

    def _first_value(self):
        """The objective at the start."""
        problem, weights = self.problem, self.weights
        if self.settings.network is not None or weights[..., :-1].any():
            return self.evaluate()
        # Of a constant model; others with the loss often have the same.
        parts = self.space.shift, weights[..., -1].tobytes(), *problem.loss._identity()
        return problem.recall("first value", parts, self.evaluate)

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
        per_epoch = -(-self.problem.n // self.batch_size)
        # Batches' running mean of the objective is that of the weights that training moves.
        look = self.mean.begin() or settings.tol > 0 or schedule.reacts
        # Without a tolerance the start is only the measure of divergence.
        at_zero = settings.tol == 0 and not self.weights.any()
        self.start = start = self.problem.objective_at_zero() if at_zero else self._first_value()
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
            elif settings.tol > 0 and not monitor.stopping and (
                epoch - best_epoch >= settings.n_iter_no_change
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
        scale = max(start, 1.0) if self.problem.loss.classification else start
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
        size = max(min(self.start, abs(value)), self.space.value_unit)
        return max(self.settings.tol * abs(value), np.finfo(self.problem.X.dtype).eps * size)

    def _certify(self, value):
        """Whether the estimated gap is below tolerance; warns where it is not."""
        tol = self.settings.tol
        if tol == 0 or not self.problem.loss.learns_at_optimum:
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
        loss = self.problem.loss
        if not loss.smooth or not self.problem.curved:
            self.gap = math.inf
            return None
        self.evaluate(gradient=True)
        W = self.weights.astype(np.float64)
        direction, gap, valid = self.curvature.newton_direction(W, self.gradient, floor)
        self.gap, self.estimate = gap if valid else math.inf, gap
        return direction

    # -- schedule="auto" --------------------------------------------------------------------

    def _react(self):
        """Train with steps and batches that follow the full objective after each epoch.

        Each epoch is a pass of the optimizer, kept where it lowered F. From the second on, where
        the loss's second derivative or its kinks are known, the optimum's distance is estimated,
        and the step that the estimate implies is taken as far as it lowers F.
        """
        settings, problem = self.settings, self.problem
        self.best = self.start = start = self._first_value()
        self.saved = self.weights.copy()
        pace = Growth(self) if problem.loss.smooth else Cycles(self)
        corrector = self._corrector()
        while self.epoch < settings.max_iter:
            self.monitor.begin(self.saved)
            rate = self.rate * pace.factor
            yield from self.passes(1, np.array([rate]))
            self._settle(rate)
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
            if corrector is None and self.problem.loss.smooth:
                return self._certify(self.best)
            if tol > 0 and not certain:
                self._warn(self.best)
        return certain

    def _corrector(self):
        problem, precondition = self.problem, self.settings.precondition
        if problem.loss.smooth:
            wanted = precondition in ("auto", "whiten") and self.problem.curved
            return NewtonCorrector(self) if wanted else None
        if precondition is False:
            return None
        duals = problem.n * problem.n_outputs * problem.kinks
        solvable = problem.d <= MATRIX_SIZE or (problem.l1 == 0 and problem.holdable)
        return KinkCorrector(self) if solvable and 0 < duals <= DUALS else None

    def _settle(self, rate):
        """Let the optimizer's momentum run out, so that its position can be judged."""
        coordinates = self.space.coordinates
        if not np.isfinite(coordinates).all():
            return
        before = np.sign(coordinates[:, :-1])
        self.settings.optimizer._settle(
            coordinates.reshape(-1), self.state.slots, int(self.state.steps[0]), rate
        )
        if self.problem.l1 > 0:
            # What a proximal step has put to zero stays there.
            coordinates[:, :-1][np.sign(coordinates[:, :-1]) != before] = 0
        self.space.to_weights()

    def keep(self, value):
        self.best = value
        self.saved[...] = self.weights

    def restore(self):
        """Go back to the best weights, with no memory of how they were left."""
        self.weights[...] = self.saved
        self.space.to_coordinates()
        self.state.slots[...] = 0
        self.state.steps[...] = 0
