"""Training by a method that minimises the full objective by itself, such as L-BFGS."""

import math

import numpy as np

from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._linalg import times, transposed
from sklearn_lossopt._training.incumbent import Incumbent
from sklearn_lossopt._training.loop import Strategy

# What the objective is said to be where it cannot be evaluated, in multiples of its start.
VALUE_WHERE_NOT_FINITE = 1e3
# Iterations before Newton's steps are tried for the first time; then twice as many each time.
FIRST_ROUND = 100


class FlatObjective:
    """The objective as a function of one flat vector, in units of a typical loss.

    The vector is that of the coordinates u, in float64 whatever X is: only the weights that it
    stands for are rounded to the type of X.

    Parameters
    ----------
    iterate : Iterate
        Moved to wherever the function is evaluated.
    start : float
        The objective at the start.
    """

    def __init__(self, iterate, start):
        self.iterate, self.start = iterate, start
        self.metric = None

    def vector(self):
        """The iterate's coordinates, in the metric of now, which holds until the next call."""
        self.iterate.adopt_metric()
        preconditioner = self.iterate.preconditioner
        metric = preconditioner.metric
        self.metric = None if metric is None else metric.astype(np.float64)
        preconditioner.to_coordinates()
        return preconditioner.coordinates.astype(np.float64).ravel()

    def place(self, u):
        """Set the iterate's weights to what u stands for."""
        weights = self.iterate.weights
        u = u.reshape(weights.shape)
        weights[...] = u if self.metric is None else times(self.metric, u)

    def __call__(self, u):
        """The value and the gradient at u."""
        iterate, unit = self.iterate, self.iterate.preconditioner.loss_scale
        self.place(u)
        value, gradient = iterate.evaluate(gradient=True), iterate.gradient
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            # A long trial step: a high value makes the line search turn back.
            return VALUE_WHERE_NOT_FINITE * (abs(self.start) + unit) / unit, np.zeros(u.shape)
        slope = gradient if self.metric is None else times(transposed(self.metric), gradient)
        return value / unit, slope.ravel() / unit


class WholeObjective(Strategy):
    """A strategy that makes its own passes: the optimizer's ``minimize``, and Newton's steps.

    Its iterations count as epochs.

    Parameters
    ----------
    iterate : Iterate
    convergence : Convergence
    settings : Settings
    rate : float
        What callbacks and printed lines are told.
    make_corrector : callable
        See ``corrections.make_corrector``.
    """

    drives_itself = True

    def __init__(self, iterate, convergence, settings, rate, make_corrector):
        self.convergence, self.settings, self.rate = convergence, settings, rate
        start = iterate.evaluate()
        if not math.isfinite(start):
            raise DivergenceError(
                f"The objective is {start} at the start of training. Divide X or y by a "
                "constant first, or use precondition='auto'."
            )
        convergence.begin(start)
        self.function = FlatObjective(iterate, start)
        incumbent, corrector = Incumbent(iterate, start), None
        if settings.tol > 0:
            corrector = make_corrector(iterate, incumbent, convergence, settings.precondition)
        super().__init__(iterate, incumbent, corrector)
        # Below this decrease of F in one iteration the gap is worth an estimate.
        self.threshold = math.inf
        self.iterations, self.begun, self.stopped = 0, False, False

    def run(self, begin_epoch, end_epoch):
        """Minimise.

        Parameters
        ----------
        begin_epoch, end_epoch : callable
            The loop's, called before and after each iteration.
        """

        def begin():
            if not self.begun:
                self.begun = True
                begin_epoch()

        def end():
            self.begun = False
            self.iterations += 1
            self.stopped = end_epoch([self.incumbent.value], 1, self.rate)

        def function(u):
            begin()
            return self.function(u)

        settings, length = self.settings, FIRST_ROUND
        left = settings.max_iter - self.iterations
        while left > 0 and not self.stopped:
            before, most = self.iterations, left if self.corrector is None else min(left, length)
            self.incumbent.place()
            settings.optimizer.minimize(
                function, self.function.vector(), most, lambda u, value: self._after(u, value, end)
            )
            made = self.iterations - before
            left = settings.max_iter - self.iterations
            if self.corrector is not None and left > 0 and not self.stopped:
                begin()
                self._correct()
                end()
            elif self.begun:
                # A last line search found nothing.
                end()
            if made < most or self.convergence.reached(self.incumbent.value):
                break
            left, length = settings.max_iter - self.iterations, 2 * length

    def finish(self, curve):
        super().finish(curve)
        if self.corrector is not None and self.convergence.gap == math.inf:
            self.convergence.newton_direction()

    def _after(self, u, value, end):
        """Take note of an iterate; returns whether it may be the last."""
        incumbent, convergence = self.incumbent, self.convergence
        self.function.place(u)
        value = value * self.iterate.preconditioner.loss_scale
        fell = incumbent.value - value
        if value <= incumbent.value:
            incumbent.keep(value)
        end()
        if self.stopped:
            return True
        if self.iterate.preconditioner.hessian is None:
            return convergence.stalls(incumbent.value)
        target = convergence.target(incumbent.value)
        if self.settings.tol == 0 or fell > min(target, self.threshold):
            return False
        convergence.newton_direction()
        # The estimate costs a few passes: not again before progress is a good deal slower.
        self.threshold = 0.2 * fell
        return convergence.reached(incumbent.value)

    def _correct(self):
        """Newton's steps from the incumbent, a few at most."""
        incumbent, convergence = self.incumbent, self.convergence
        gap = convergence.gap
        for _ in range(5):
            best, target = incumbent.value, convergence.target(incumbent.value)
            if gap <= target:
                self.corrector.trust_curvature()
            self.corrector.step()
            gap = min(gap, convergence.gap)
            # The gap is that before a step: far below the target, the step leaves rounding alone.
            if gap <= 1e-8 * target or (gap <= target and incumbent.value >= best):
                break
        # An estimate stays true while F falls.
        convergence.set_gap(gap)
