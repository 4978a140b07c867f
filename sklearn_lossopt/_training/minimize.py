"""Training by a method that minimises the full objective by itself. Floor 2."""

import math

import numpy as np

from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._linalg import times, transposed

# How far above its start the objective is said to be where it cannot be evaluated, in starts.
WALL = 1e3
# Iterations after which Newton's steps are tried for the first time; then after twice as many more.
FIRST_LEG = 100


class WholeObjective:
    """A run's objective as a function of one flat vector, and the run as its minimisation.

    The vector is that of the coordinates u, in float64 whatever X is: only the weights that it
    stands for are rounded to the type of X.
    """

    def __init__(self, run):
        self.run = run
        self.shape = run.weights.shape
        self.threshold, self.begun = math.inf, False

    # -- the function -----------------------------------------------------------------------

    def start(self):
        """The best weights' coordinates, in the metric of now."""
        preconditioner = self.run.preconditioner
        self.run.weights[...] = self.run.saved
        self.metric = (
            None if preconditioner.metric is None else preconditioner.metric.astype(np.float64)
        )
        preconditioner.to_coordinates()
        return preconditioner.coordinates.astype(np.float64).ravel()

    def place(self, u):
        """Set the run's weights to what u stands for."""
        u = u.reshape(self.shape)
        self.run.weights[...] = u if self.metric is None else times(self.metric, u)

    def __call__(self, u):
        run = self.run
        self._begin()
        with np.errstate(over="ignore"):
            self.place(u)
        value, gradient = run.evaluate(gradient=True), run.gradient
        unit = run.preconditioner.loss_scale
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            # A long trial step: a wall, from which the line search turns back.
            return WALL * (abs(run.start) + unit) / unit, np.zeros(u.shape)
        slope = gradient if self.metric is None else times(transposed(self.metric), gradient)
        return value / unit, slope.ravel() / unit

    # -- the run ----------------------------------------------------------------------------

    def train(self):
        """Minimise; returns whether the optimum is certified."""
        run, settings = self.run, self.run.settings
        run.start = run.best = run.evaluate()
        if not math.isfinite(run.best):
            raise DivergenceError(
                f"The objective is {run.best} at the start of training. Divide X or y by a "
                "constant first, or use precondition='auto'."
            )
        run.saved = run.weights.copy()
        corrector = run._corrector() if settings.tol > 0 else None
        legs, left, length = 0, settings.max_iter, FIRST_LEG
        while left > 0 and not run.monitor.stopped:
            most = left if corrector is None else min(left, length)
            settings.optimizer.minimize(self, self.start(), most, self._after)
            done, left = len(run.curve), settings.max_iter - len(run.curve)
            if corrector is not None and left > 0 and not run.monitor.stopped:
                self._correct(corrector)
            elif self.begun:
                # A last line search found nothing.
                self._end()
            stuck = done < legs + most
            if stuck or (settings.tol > 0 and run.gap <= run.target(run.best)):
                break
            legs, left, length = len(run.curve), settings.max_iter - len(run.curve), 2 * length
        run.weights[...] = run.saved
        if corrector is not None and run.gap == math.inf:
            run.newton(floor=0.0)
        return run._conclude(corrector)

    def _correct(self, corrector):
        """Newton's steps from where the optimizer is, a few at most; they count as an iteration."""
        run, gap = self.run, self.run.gap
        self._begin()
        for _ in range(5):
            best, target = run.best, run.target(run.best)
            if gap <= target:
                corrector.floor = 0.0
            corrector.step()
            gap = min(gap, run.gap)
            # The gap is that before a step: far below the target, the step leaves rounding alone.
            if gap <= 1e-8 * target or (gap <= target and run.best >= best):
                break
        # An estimate stays true while F falls.
        run.gap = gap
        self._end()

    def _begin(self):
        if not self.begun:
            self.begun = True
            self.run.monitor.begin(self.run.saved)

    def _end(self):
        """An iteration has ended; returns whether to stop."""
        self.begun = False
        self.run.curve.append(self.run.best)
        self.run.state.updates += 1
        return self.run.monitor.end(self.run.saved, self.run.rate)

    def _after(self, u, value):
        """Take note of an iterate; returns whether it may be the last."""
        run, tol = self.run, self.run.settings.tol
        self.place(u)
        value = value * run.preconditioner.loss_scale
        fell = run.best - value
        if value <= run.best:
            run.keep(value)
        if self._end():
            return True
        target = run.target(run.best)
        if tol == 0 or fell > min(target, self.threshold):
            return False
        run.newton(floor=0.0)
        # The estimate costs a few passes: not again before progress is a good deal slower.
        self.threshold = 0.2 * fell
        return run.gap <= target
