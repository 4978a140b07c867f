"""Newton's steps between epochs."""

import math

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._solvers.joint_hessian import JOINT_MATRIX_SIZE
from sklearn_lossopt._training.each_output import step_each

# Full Newton steps from the best constant model, at most.
MAX_STEPS = 50
EPS = float(np.finfo(np.float64).eps)


class NewtonCorrector:
    """Newton steps for smooth losses. Their decrement estimates F - F*.

    Rows in flat parts of the loss have no curvature, which misleads far from the optimum. So the
    curvature of every row is first raised to a floor. The floor falls while full steps succeed and
    rises where they do not. A decrement found with a floor is too small, and is not believed.

    Parameters
    ----------
    iterate : Iterate
        Moved to the incumbent by every step.
    incumbent : Incumbent
        Where steps start and where they are kept.
    convergence : Convergence
        Told of the gap.

    Attributes
    ----------
    arriving : bool
        Whether the last step was a whole one.
    """

    def __init__(self, iterate, incumbent, convergence):
        self.iterate, self.incumbent, self.convergence = iterate, incumbent, convergence
        # Where the curvature is constant there are no flat parts.
        self.floor = 0.0 if iterate.preconditioner.hessian.constant else 1e-2
        self.arriving = False
        # Flat rows of a margin loss hold a point beyond all margins back from the optimum, which
        # lies on them. Where any rows can be fitted, the way from a constant model is short.
        self.from_constant = iterate.objective.in_row_space

    @property
    def nbytes(self):
        """Of the Hessian's factors and, for dense rows, of the metric made of them."""
        objective = self.iterate.objective
        size = objective.d + 1
        if objective.l1 > 0 or size > MATRIX_SIZE or objective.n < objective.d:
            return 0
        outputs = 1 if self.iterate.preconditioner.hessian.constant else objective.n_outputs
        joint = outputs * size if objective.target_kind == "class" else 0
        own = outputs * size**2 * (16 if objective.sparse else 24 + objective.X.itemsize)
        return own + (8 * joint**2 if joint <= JOINT_MATRIX_SIZE else 0)

    def trust_curvature(self):
        """Take curvatures as they are from now on."""
        self.floor = 0.0

    def step(self):
        """One Newton step from the incumbent, as far as it lowers F."""
        iterate, incumbent, convergence = self.iterate, self.incumbent, self.convergence
        incumbent.place()
        if self.from_constant:
            self.from_constant = False
            self._start_again()
            if convergence.reached(incumbent.value):
                return
        direction = convergence.newton_direction(self.floor * iterate.preconditioner.bound)
        if self.floor and convergence.estimate <= convergence.target(incumbent.value):
            # All but the optimum: what the floor hides is all that is left to ask.
            self.floor = 0.0
            direction = convergence.newton_direction()
        if iterate.objective.in_partitions and convergence.reached(incumbent.value):
            # One more step costs a pass.
            incumbent.restore()
            return
        if convergence.separate:
            length = step_each(iterate, incumbent, convergence, direction)
        else:
            # Near the optimum F is flat to rounding where the step still mends the coefficients.
            size = abs(incumbent.value)
            near = convergence.gap <= 1e-6 * size or convergence.estimate <= EPS * size
            length = self._search(direction, near)
        self.arriving = length == 1.0
        if not self.arriving and iterate.preconditioner.hessian.take_more_rows():
            # The step may not be to blame for its curvature.
            incumbent.restore()
            return
        if length <= 1e-4:
            # No step helps: what is left is below rounding, or hidden by the floor.
            self.floor = 1e-2 * self.floor if self.floor > 1e-6 else 0.0
        elif length == 1.0:
            self.floor = 1e-2 * self.floor if self.floor > 1e-3 else 0.0
        elif length < 0.2:
            self.floor = min(1.0, 100 * max(self.floor, 1e-8))
        preconditioner = iterate.preconditioner
        hessian, whiteners = preconditioner.hessian, preconditioner.hessian.whiteners
        # A metric of constant curvature is what it would become.
        keep = iterate.objective.sparse or (hessian.constant and preconditioner.whiten)
        if whiteners is not None and not keep:
            iterate.next_metric = whiteners
        incumbent.restore()

    def _start_again(self):
        """Keep the point of full steps from the best constant model, if it is better."""
        iterate, incumbent = self.iterate, self.incumbent
        iterate.weights[...] = 0.0
        iterate.weights[:, -1] = iterate.objective.best_constant()
        value, best = iterate.evaluate(), math.inf
        for _ in range(MAX_STEPS):
            if not value < best or self.convergence.reached(value):
                break
            best = value
            if best < incumbent.value:
                incumbent.keep(best)
            direction = self.convergence.newton_direction()
            iterate.weights[...] = iterate.weights.astype(np.float64) + direction
            value = iterate.evaluate()
        if value < incumbent.value:
            incumbent.keep(value)
        incumbent.restore()

    def _search(self, direction, near):
        """Halve the step until it lowers F; returns its length, at most 1e-4 if none does."""
        iterate, incumbent = self.iterate, self.incumbent
        origin = iterate.weights.astype(np.float64)
        length = 1.0
        while length > 1e-4:
            iterate.weights[...] = origin + length * direction
            # The next step starts here, if the step is whole and no epoch is better.
            value, best = iterate.evaluate(gradient=length == 1.0), incumbent.value
            if value < best or (near and value <= best + 1e-10 * abs(best)):
                incumbent.keep(value)
                break
            length *= 0.5
        return length
