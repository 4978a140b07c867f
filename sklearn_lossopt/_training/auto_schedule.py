"""schedule="auto": steps and batches that follow the objective after each epoch."""

import math

import numpy as np

from sklearn_lossopt._training.incumbent import Incumbent
from sklearn_lossopt._training.loop import Strategy, diverged

# Epochs and corrections in a row that may change next to nothing.
MAX_IDLE = 50
# Corrections after one epoch, at most.
MAX_CORRECTIONS = 5


class AutoSchedule(Strategy):
    """Epochs of the optimizer, each kept where it lowered F, and corrections between them.

    From the second epoch on, where the loss's second derivative or its breakpoints are known, a
    corrector estimates how far the optimum is. It takes the step that the estimate implies as far
    as that lowers F. Where the step is a whole one the next follows at once: no epoch would do
    better. Where the curvature is constant, a step may end at the optimum from anywhere: there it
    comes after the first epoch.

    Parameters
    ----------
    iterate : Iterate
    convergence : Convergence
    settings : Settings
    rate : float
        The first learning rate.
    make_corrector : callable
        See ``corrections.make_corrector``.
    """

    def __init__(self, iterate, convergence, settings, rate, make_corrector):
        self.convergence, self.rate, self.settings = convergence, rate, settings
        hessian = iterate.preconditioner.hessian
        self.exact = hessian is not None and hessian.constant
        if self.exact and settings.precondition in ("auto", "whiten"):
            iterate.use_quadratic_loss()
        self.start = iterate.first_value()
        convergence.begin(self.start)
        incumbent = Incumbent(iterate, self.start)
        corrector = make_corrector(iterate, incumbent, convergence, settings.precondition)
        super().__init__(iterate, incumbent, corrector)
        self.step_control = (
            BatchGrowth(iterate, incumbent)
            if iterate.objective.loss.smooth
            else CyclicalStepSize(incumbent, settings.tol)
        )
        # Where a step takes hardly more than a pass, the second epoch is not worth its passes.
        early = self.exact or (hessian is not None and hessian.of_few_rows)
        self.uncorrected = 0 if early else 1
        self.differentiable = self.corrector is not None and iterate.objective.loss.smooth
        self.made, self.idle, self.before = 0, 0, (math.inf, math.inf)

    def rates(self, epoch, count):
        self.made = epoch + count
        self.iterate.adopt_metric()
        return np.array([self.rate * self.step_control.factor])

    def evaluate(self, mean, rate):
        self.iterate.flush_momentum(rate)
        # The first correction starts here, if the epoch has lowered F.
        first = self.convergence.newton_steps == 0 and self.made > self.uncorrected
        return self.iterate.evaluate(gradient=first and self.differentiable)

    def after(self, epoch, value):
        incumbent, iterate = self.incumbent, self.iterate
        self.step_control.after(value, value < incumbent.value)
        if value < incumbent.value:
            incumbent.keep(value)
        done = self.step_control.finished
        if self.corrector is not None and epoch > self.uncorrected:
            self._correct()
            done = self.convergence.reached(incumbent.value) or self._is_idle()
            if done and iterate.quadratic is not None:
                done = self._is_confirmed()
        return incumbent.value, done and self.settings.tol > 0

    def _correct(self):
        """Take one step, and more while they arrive and lower F."""
        for _ in range(MAX_CORRECTIONS):
            best = self.incumbent.value
            self.corrector.step()
            value = self.incumbent.value
            if self.convergence.reached(value) or not self._fell(best, value):
                break
            if not (self.exact or self.corrector.arriving):
                break

    def _is_confirmed(self):
        """Whether the rows agree with F as their matrix gave it; they have the last word."""
        incumbent = self.incumbent
        incumbent.restore()
        before, incumbent.value = incumbent.value, self.iterate.measure()
        return abs(incumbent.value - before) <= self.convergence.target(before)

    def _fell(self, before, value):
        """Whether F has fallen by what could end the fit."""
        return before - value > 1e-3 * self.convergence.target(value)

    def _is_idle(self):
        """Whether neither F nor the gap has fallen for long by what could end the fit."""
        value, gap = self.incumbent.value, self.convergence.gap
        before, gap_before = self.before
        fell = self._fell(before, value) or gap < 0.9 * gap_before
        self.idle = 0 if fell else self.idle + 1
        if fell:
            self.before = value, min(gap, gap_before)
        return self.idle >= MAX_IDLE

    def finish(self, curve):
        super().finish(curve)
        if self.iterate.quadratic is not None:
            curve[-1] = self.incumbent.value = self.iterate.measure()
        if not math.isfinite(self.incumbent.value):
            raise diverged(len(curve), self.incumbent.value, self.start, self.rate, self.settings)


class BatchGrowth:
    """Step control for smooth losses: larger batches where F did not fall, then smaller steps.

    Parameters
    ----------
    iterate : Iterate
    incumbent : Incumbent

    Attributes
    ----------
    factor : float
        What the learning rate is multiplied by.
    finished : bool
        Whether steps have become so small that nothing more will come of them.
    """

    def __init__(self, iterate, incumbent):
        self.iterate, self.incumbent = iterate, incumbent
        self.factor, self.finished = 1.0, False

    def after(self, value, improved):
        """Judge an epoch that ended at this value of F."""
        if improved:
            return
        self.incumbent.restore()
        if not self.iterate.enlarge_batches(4):
            self.factor *= 0.25
            self.finished = self.factor < 1e-8


class CyclicalStepSize:
    """Step control for non-smooth losses: steps grow while F falls and shrink while it does not.

    They do so in cycles, in which they shrink ever more slowly. Three cycles that agree end the
    fit.

    Parameters
    ----------
    incumbent : Incumbent
    tol : float

    Attributes
    ----------
    factor, finished
        As in ``BatchGrowth``.
    """

    def __init__(self, incumbent, tol):
        self.incumbent, self.tol = incumbent, tol
        self.factor, self.top, self.shrink = 1.0, 1.0, 0.5
        self.start = incumbent.value
        self.last, self.agreed = math.inf, 0
        self.finished = False

    def after(self, value, improved):
        """Judge an epoch that ended at this value of F."""
        incumbent = self.incumbent
        self.factor *= 1.1 if improved else self.shrink
        if not math.isfinite(value) or value > self.start:
            incumbent.restore()
            self.factor *= 0.25
        if self.factor >= 1e-3 * self.top:
            return
        best = min(value, incumbent.value) if math.isfinite(value) else incumbent.value
        incumbent.restore()
        # Cycles agree sooner than they arrive: agreement ends a fit, but certifies nothing.
        close = 0.01 * math.sqrt(self.tol) * abs(best)
        self.agreed = self.agreed + 1 if self.last - best <= close else 0
        self.finished = self.tol > 0 and self.agreed >= 2
        self.last = best
        self.top *= 0.5
        self.factor, self.shrink = self.top, self.shrink**0.6
