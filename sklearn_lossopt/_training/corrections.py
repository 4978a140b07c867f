"""Second-order steps that correct a fit between its epochs, and estimate how far it has to go."""

import math

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian, WithUnitRows
from sklearn_lossopt._solvers.scaled_rows import ScaledRows

# Numbers in the rows of a data set that is small enough to be solved exactly at the end.
MAX_EXACT_ENTRIES = 50_000
# Dual variables of an augmented Lagrangian solver: it takes ten arrays of that length.
MAX_DUALS = 600_000


def make_corrector(iterate, incumbent, convergence, precondition):
    """The corrector for an objective, or None where there is none.

    Parameters
    ----------
    iterate : Iterate
    incumbent : Incumbent
    convergence : Convergence
    precondition : str or False
        The estimator's parameter.
    """
    objective, parts = iterate.objective, (iterate, incumbent, convergence)
    if iterate.preconditioner.hessian is None:
        return None
    if objective.loss.smooth:
        wanted = precondition in ("auto", "whiten") and objective.curved
        return NewtonCorrector(*parts) if wanted else None
    if precondition is False:
        return None
    duals = objective.n * objective.n_outputs * objective.breakpoints
    solvable = objective.d <= MATRIX_SIZE or (objective.l1 == 0 and objective.holdable)
    return AugmentedLagrangianCorrector(*parts) if solvable and 0 < duals <= MAX_DUALS else None


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
    """

    def __init__(self, iterate, incumbent, convergence):
        self.iterate, self.incumbent, self.convergence = iterate, incumbent, convergence
        self.floor = 1e-2
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
        return (
            objective.n_outputs * size**2 * (16 if objective.sparse else 24 + objective.X.itemsize)
        )

    def trust_curvature(self):
        """Take curvatures as they are from now on."""
        self.floor = 0.0

    def step(self):
        """One Newton step from the incumbent, as far as it lowers F."""
        iterate, incumbent, convergence = self.iterate, self.incumbent, self.convergence
        incumbent.restore()
        if self.from_constant:
            self.from_constant = False
            self._start_again()
        direction = convergence.newton_direction(self.floor * iterate.preconditioner.bound)
        # Near the optimum F is flat to rounding where the step still mends the coefficients.
        near = convergence.gap <= 1e-6 * abs(incumbent.value)
        length = self._search(direction, near)
        if length <= 1e-4:
            # No step helps: what is left is below rounding, or hidden by the floor.
            if self.floor == 0 and convergence.estimate <= convergence.target(incumbent.value):
                convergence.set_gap(convergence.estimate)
            self.floor = 1e-2 * self.floor if self.floor > 1e-6 else 0.0
        elif length == 1.0:
            self.floor = 1e-2 * self.floor if self.floor > 1e-3 else 0.0
        elif length < 0.2:
            self.floor = min(1.0, 100 * max(self.floor, 1e-8))
        whiteners = iterate.preconditioner.hessian.whiteners
        if whiteners is not None and not iterate.objective.sparse:
            iterate.set_metric(whiteners)
        incumbent.restore()

    def _start_again(self):
        """Keep the point of full steps from the best constant model, if it is better."""
        iterate, incumbent = self.iterate, self.incumbent
        iterate.weights[...] = 0.0
        iterate.weights[:, -1] = iterate.objective.best_constant()
        value, best = iterate.evaluate(), math.inf
        while value < best:
            best = value
            if best < incumbent.value:
                incumbent.keep(best)
            direction = self.convergence.newton_direction()
            iterate.weights[...] = iterate.weights.astype(np.float64) + direction
            value = iterate.evaluate()
        incumbent.restore()

    def _search(self, direction, near):
        """Halve the step until it lowers F; returns its length, at most 1e-4 if none does."""
        iterate, incumbent = self.iterate, self.incumbent
        origin = iterate.weights.astype(np.float64)
        length = 1.0
        while length > 1e-4:
            iterate.weights[...] = origin + length * direction
            value, best = iterate.evaluate(), incumbent.value
            if value < best or (near and value <= best + 1e-10 * abs(best)):
                incumbent.keep(value)
                break
            length *= 0.5
        return length


class AugmentedLagrangianCorrector:
    """Augmented Lagrangian steps for piecewise linear losses, started at the incumbent.

    The solvers, one per output, have points of their own and go on from them. What they find
    becomes the incumbent where it is better.

    Parameters
    ----------
    iterate, incumbent, convergence
        As for ``NewtonCorrector``.
    """

    def __init__(self, iterate, incumbent, convergence):
        self.iterate, self.incumbent, self.convergence = iterate, incumbent, convergence
        objective = iterate.objective
        self.exact = objective.n * (objective.d + 1) <= MAX_EXACT_ENTRIES and not objective.sparse
        self.rows = self.solvers = None

    @property
    def nbytes(self):
        """Of the solvers: breakpoints, duals and which rows are on their breakpoints."""
        objective = self.iterate.objective
        rows = objective.n + (objective.d if objective.l1 > 0 else 0)
        return 33 * objective.breakpoints * objective.n_outputs * rows

    def step(self):
        """One outer step of every solver that has not arrived."""
        if self.solvers is None:
            self.rows, self.solvers = self._start()
        convergence, incumbent = self.convergence, self.incumbent
        tol = convergence.target(incumbent.value) / len(self.solvers)
        farthest = max(solver.gap for solver in self.solvers)
        if farthest <= tol:
            # What was kept, with exact zeros, lies a little above the solvers' point.
            tol = 0.1 * farthest
        for solver in self.solvers:
            if solver.gap > tol and not solver.finished:
                solver.step(tol)
                if self.exact and solver.settled and solver.gap > tol:
                    solver.finish(tol)
        self._judge()
        if self.exact and convergence.gap <= convergence.target(incumbent.value):
            for solver in self.solvers:
                if not solver.finished:
                    solver.step_until_finished(tol)
            self._judge()
        incumbent.restore()

    def _start(self):
        """The rows, and a solver for each output."""
        objective, preconditioner = self.iterate.objective, self.iterate.preconditioner
        shift, null = preconditioner.shift, preconditioner.null
        rows = extended = objective.cached(
            "scaled rows", (shift, null), lambda: ScaledRows(objective, shift, null)
        )
        if objective.l1 > 0:
            extended = WithUnitRows(rows, objective.l1)
        penalty = np.full(len(rows.scale), float(objective.l2))
        penalty[-1] = float(not objective.fit_intercept)
        y = objective.targets(objective.subsample(objective.n)).astype(np.float64)
        y_scale, solvers = objective.y_scale(), []
        for r in range(objective.n_outputs):
            breakpoints = [
                tuple(part[:, r] for part in each) for each in objective.loss._breakpoints(y)
            ]
            if extended is not rows:
                breakpoints = list(extended.extend(breakpoints))
            start = rows.coordinates(self.incumbent.weights[r].astype(np.float64))
            solvers.append(
                AugmentedLagrangian(extended, breakpoints, penalty / rows.scale**2, y_scale, start)
            )
        if objective.in_row_space and objective.l2 > 0:
            # As many directions as rows, all curved in the dual. With a width of the size of that
            # curvature, duals arrive in a few outer steps, and the smooth problems bend less.
            curvature = np.exp(np.mean(np.log(rows.scale[:-1] ** 2))) / objective.l2
            for solver in solvers:
                solver.widen(0.2 * curvature)
        return rows, solvers

    def _judge(self):
        """Keep the solvers' point where it is the best; estimate how far that is from F*."""
        incumbent, l1 = self.incumbent, self.iterate.objective.l1
        value = self._place([solver.v for solver in self.solvers])
        gap = sum(solver.gap for solver in self.solvers)
        # No loss whose slopes change their sign at its breakpoints is below 0.
        bounded = all(solver.bounded_below for solver in self.solvers)
        least = max(value - gap, 0.0) if bounded else value - gap
        if l1 > 0:
            sparse = self._place([self._sparse(solver) for solver in self.solvers])
            if sparse <= value + np.clip(gap, 1e-10 * abs(value), 1e-6 * abs(value)):
                value = sparse
            else:
                self._place([solver.v for solver in self.solvers])
        near = gap <= 1e-6 * value and value <= incumbent.value + 1e-10 * abs(incumbent.value)
        # Of points within tolerance, the one with exact zeros.
        exact = l1 > 0 and value - least <= self.convergence.target(value)
        if value < incumbent.value or near or exact:
            incumbent.keep(value)
        # The gap is that of the solvers' point; the best one found may lie lower.
        self.convergence.set_gap(incumbent.value - least)

    def _place(self, points):
        """Move the iterate to points of the solvers; returns F there."""
        weights = self.iterate.weights
        for r, v in enumerate(points):
            weights[r] = self.rows.weights(v)
        if not self.iterate.objective.fit_intercept:
            weights[:, -1] = 0.0
        return self.iterate.evaluate()

    def _sparse(self, solver):
        """A solver's point, with zeros where the penalty holds the coefficient at 0."""
        zero = solver.on[:, self.iterate.objective.n :].any(axis=0)
        return np.append(np.where(zero, 0.0, solver.v[:-1]), solver.v[-1])
