"""Training by a rule for the learning rate."""

import math
from functools import reduce

import numpy as np

from sklearn_lossopt._training.loop import Strategy, diverged, far_above

# Learning rates handed to the engine in one piece.
MAX_RATES_AT_ONCE = 1_000_000


class FixedSchedule(Strategy):
    """Epochs at the learning rates of a Schedule, until F stops falling.

    Parameters
    ----------
    iterate : Iterate
    average : IterateAverage
    convergence : Convergence
    settings : Settings
    rate : float
        What the schedule's factors multiply.
    patient : bool
        Whether to go on although F has stopped falling, as validation decides.
    anew : bool
        Whether the schedule begins anew, where it otherwise goes on from an earlier fit.
    """

    def __init__(self, iterate, average, convergence, settings, rate, patient, anew):
        super().__init__(iterate)
        self.average, self.settings, self.rate, self.patient = average, settings, rate, patient
        schedule, state = settings.schedule, iterate.state
        self.per_epoch = iterate.updates_per_epoch
        # Batches' running mean of the objective is that of the weights that training moves.
        self.looks = average.begin() or settings.tol > 0 or schedule.reacts
        if not self.looks:
            self.epochs_at_once = max(1, MAX_RATES_AT_ONCE // self.per_epoch)
        # Without a tolerance the start is only the measure of divergence.
        at_zero = settings.tol == 0 and not iterate.weights.any()
        self.start = iterate.objective.objective_at_zero() if at_zero else iterate.first_value()
        convergence.begin(self.start)
        self.first_epoch, self.first_update = state.epoch, state.updates if anew else 0
        self.memory = reduce(schedule.remember, state.curve, None) if schedule.reacts else None
        self.best, self.best_epoch = math.inf, 0

    @property
    def nbytes(self):
        return self.average.nbytes

    def rates(self, epoch, count):
        schedule, per_epoch = self.settings.schedule, self.per_epoch
        if schedule.name == "constant":
            return np.array([self.rate])
        # Calls of partial_fit make other numbers of updates; what reacts counts epochs.
        first = self.iterate.state.updates - self.first_update
        if schedule.reacts:
            first = (self.first_epoch + epoch) * per_epoch
        step = np.arange(first, first + count * per_epoch, dtype=np.float64)
        memory = (self.memory,) if schedule.reacts else ()
        return self.rate * schedule(step, per_epoch, self.settings.max_iter, *memory)

    def predicting(self):
        return self.average.predicting()

    def evaluate(self, mean, rate):
        return self.iterate.evaluate() if self.looks else mean

    def after(self, epoch, value):
        settings = self.settings
        if not math.isfinite(value):
            raise diverged(epoch, value, self.start, self.rate, settings)
        if settings.schedule.reacts:
            self.memory = settings.schedule.remember(self.memory, value)
        if value < self.best - settings.tol * abs(self.best) or self.best == math.inf:
            self.best, self.best_epoch = value, epoch
        waited = epoch - self.best_epoch >= settings.n_iter_no_change
        return value, settings.tol > 0 and waited and not self.patient

    def finish(self, curve):
        self.average.end()

    def check(self, curve, returned):
        value, objective = curve[returned - 1], self.iterate.objective
        rose = far_above(value, self.start)
        if rose:
            # Where the start fits all rows, any step at all ends far above it.
            size = 1.0 if objective.loss.classification else float(objective.loss_scales().sum())
            rose = far_above(value, max(self.start, size))
        if rose or not np.isfinite(self.iterate.weights).all():
            raise diverged(returned, value, self.start, self.rate, self.settings)
