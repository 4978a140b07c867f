"""Augmented Lagrangian steps between epochs."""

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian, WithUnitRows
from sklearn_lossopt._solvers.dual_descent import DualDescentSolver
from sklearn_lossopt._solvers.scaled_rows import ScaledRows, most_in_matrix
from sklearn_lossopt._solvers.smooth_lagrangian import SmoothLagrangian
from sklearn_lossopt._solvers.working_set import WorkingSetLagrangian, with_columns
from sklearn_lossopt._training.each_output import judge_each

# Numbers in the rows of a data set that is small enough to be solved exactly at the end.
MAX_EXACT_ENTRIES = 50_000
# Dual variables of an augmented Lagrangian solver: it takes ten arrays of that length.
MAX_DUALS = 600_000


def solvable(objective, pieces):
    """Whether the augmented Lagrangian of a loss with so many pieces per row can be minimised."""
    if objective.in_partitions:
        return pieces > 0 and (objective.d < MATRIX_SIZE or objective.l1 == 0)
    duals = objective.n * objective.n_outputs * pieces
    iterative = objective.l1 > 0 or objective.holdable or not objective.sparse
    solved = objective.d <= most_in_matrix(objective) or iterative
    return solved and 0 < duals <= MAX_DUALS


def descends(objective):
    """Whether dual coordinate descent comes first: a sweep costs a pass over the rows, where a
    matrix of the columns is too large or would be for rows that are sparse. Dense rows need the
    augmented Lagrangian to go on where a small penalty lets sweeps crawl: epochs do better than
    sweeps alone."""
    pieces = objective.breakpoints
    wide = objective.sparse or (objective.d > MATRIX_SIZE and solvable(objective, pieces))
    curved = objective.l2 > 0 and objective.l1 == 0
    return wide and curved and pieces > 0 and not is_small(objective)


def has_working_sets(objective):
    """Whether an L1 penalty on many columns is solved on few of them at a time."""
    many = objective.d > min(MATRIX_SIZE, objective.n)
    return objective.l1 > 0 and many and not (is_small(objective) or objective.in_partitions)


def is_small(objective):
    """Whether the exact solution is worth its time: coefficients then do not depend on the path
    to them."""
    return objective.n * (objective.d + 1) <= MAX_EXACT_ENTRIES and not objective.sparse


def piecewise_linear_solver(objective, x, y, output, *start):
    """The solver of one output, for rows x; ``start`` as for ``AugmentedLagrangian``."""
    pieces = _pieces_of(objective.loss._breakpoints(y), output, x)
    return AugmentedLagrangian(x, pieces, *start)


def dual_descent_solver(objective, shift, y, output, start, seed):
    """The solver of one output that comes first where ``descends``."""
    pieces = _of_output(objective.loss._breakpoints(y), output)
    return DualDescentSolver(objective, shift, pieces, start, seed)


def smooth_solver(objective, x, y, output, *start):
    """The same for a loss with a ``DualForm``."""
    form = objective.loss._dual_form(y)
    pieces = _pieces_of(form.pieces, output, x)
    return SmoothLagrangian(x, pieces, form.conjugate, objective.n, *start)


def _of_output(pieces, output):
    """The pieces of all outputs, of one."""
    return [tuple(part[:, output] for part in piece) for piece in pieces]


def _pieces_of(pieces, output, x):
    """Those of one output and, among x's unit rows, those of the penalty."""
    pieces = _of_output(pieces, output)
    return list(x.extend(pieces)) if isinstance(x, WithUnitRows) else pieces


class AugmentedLagrangianCorrector:
    """Augmented Lagrangian steps, started at the incumbent or where sweeps of dual coordinate
    descent have been given up.

    The solvers, one per output, have points of their own and go on from them. What they find
    becomes the incumbent where it is better.

    Parameters
    ----------
    iterate, incumbent, convergence
        As for ``NewtonCorrector``.
    make_solver : callable
        ``piecewise_linear_solver``, or ``smooth_solver``.
    exact : bool, default=True
        Whether small problems end with an exact solution.
    descend : bool, default=False
        Whether dual coordinate descent comes first, see ``descends``.
    by_columns : bool, default=False
        Whether few columns are solved for at a time, see ``has_working_sets``.
    """

    # An epoch comes between two steps.
    arriving = False

    def __init__(
        self, iterate, incumbent, convergence, make_solver, exact=True, descend=False,
        by_columns=False,
    ):  # fmt: skip
        self.iterate, self.incumbent, self.convergence = iterate, incumbent, convergence
        # The exact solution needs the rows at hand.
        exact = exact and not iterate.objective.in_partitions
        self.make_solver, self.exact = make_solver, exact and is_small(iterate.objective)
        self.descend, self.by_columns, self.solvers = descend, by_columns, None
        # What has the solvers of rows in partitions step together.
        self.shared = None

    @property
    def nbytes(self):
        """Of the solvers: breakpoints, duals and which rows are on their breakpoints; predictions
        and slopes."""
        objective = self.iterate.objective
        rows = objective.n + (objective.d if objective.l1 > 0 else 0)
        size = (33 * objective.breakpoints + 16) * rows
        if self.descend:
            # And shares, squared lengths, who rests; the model and the best one.
            size += 20 * rows + 16 * objective.d
        return objective.n_outputs * size

    def step(self, tol=None):
        """One outer step of every solver that has not arrived.

        Parameters
        ----------
        tol : float, default=None
            The gap that is wanted; None for that at which training may end.
        """
        if self.solvers is None:
            self.solvers = self._descents() if self.descend else self._lagrangians()
        elif self.descend:
            self._replace_exhausted()
        convergence, incumbent = self.convergence, self.incumbent
        tols = self._step_all(tol)
        if self.descend and convergence.gap > convergence.target(incumbent.value):
            # F has fallen, and what is wanted with it.
            tols = self._step_all(tol)
        if self.exact and convergence.gap <= convergence.target(incumbent.value):
            for solver, wanted in zip(self.solvers, tols, strict=True):
                if not solver.finished:
                    solver.step_until_finished(wanted)
            self._judge()
        incumbent.restore()

    def _step_all(self, tol):
        """One step of every solver that has not arrived; returns the gaps wanted."""
        tols = self._tolerances(tol)
        gaps = np.array([solver.gap for solver in self.solvers])
        if np.all(gaps <= tols):
            # What was kept, with exact zeros, lies a little above the solvers' point.
            tols = 0.1 * gaps
        pairs = zip(self.solvers, tols, strict=True)
        going = [(each, tol) for each, tol in pairs if each.gap > tol and not each.finished]
        if self.shared is not None:
            self.shared.step(going)
        else:
            self._step_alone(going)
        self._judge()
        return tols

    def _step_alone(self, going):
        """One step of each of (solver, gap wanted)."""
        for solver, wanted in going:
            solver.step(wanted)
            if self.exact and solver.settled and solver.gap > wanted:
                solver.finish(wanted)

    def _tolerances(self, tol):
        """The gap wanted of each solver, where ``tol`` is that of all together."""
        convergence, incumbent, count = self.convergence, self.incumbent, len(self.solvers)
        target = convergence.target(incumbent.value)
        share = 1.0 if tol is None else tol / target
        if not convergence.separate:
            return np.full(count, share * target / count)
        allowed = convergence.allowed(convergence.objectives(incumbent.weights))
        return allowed * min(1.0, share)

    def _descents(self):
        """A solver for each output that descends along its duals."""
        objective, seed = self.iterate.objective, self.iterate.state.seed
        shift, y = self.iterate.preconditioner.shift, self._targets()
        return [
            dual_descent_solver(objective, shift, y, r, weights.astype(np.float64), seed)
            for r, weights in enumerate(self.incumbent.weights)
        ]

    def _replace_exhausted(self):
        """Have another solver go on where a descent has been given up, if there is one."""
        objective = self.iterate.objective
        given_up = [r for r, solver in enumerate(self.solvers) if solver.exhausted]
        if not solvable(objective, objective.breakpoints):
            for r in given_up:
                self.solvers[r].go_on()
        elif given_up:
            found = self._lagrangians(given_up)
            for r, solver in zip(given_up, found, strict=True):
                solver.begin_at(self.solvers[r].theta)
                self.solvers[r] = solver

    def _targets(self):
        objective = self.iterate.objective
        return objective.targets(objective.subsample(objective.n)).astype(np.float64)

    def _lagrangians(self, outputs=None):
        """A solver for each of these outputs, of all by default."""
        objective, preconditioner = self.iterate.objective, self.iterate.preconditioner
        shift, null = preconditioner.shift, preconditioner.null
        if objective.in_partitions:
            self.shared = objective.lagrangians(shift, self.incumbent.weights, null)
            return self.shared.solvers
        y, y_scales, solvers = self._targets(), objective.y_scales(), []
        for r in range(objective.n_outputs) if outputs is None else outputs:
            parts = y, r, y_scales[r], self.incumbent.weights[r].astype(np.float64)
            if self.by_columns:
                solvers.append(self._on_working_sets(objective, shift, *parts))
            else:
                solvers.append(self._lagrangian(objective, shift, null, *parts))
        if objective.in_row_space and objective.l2 > 0:
            # As many directions as rows, all curved in the dual. With a width of the size of that
            # curvature, duals arrive in a few outer steps.
            curvature = np.exp(np.mean(np.log(solvers[0].x.scale[:-1] ** 2))) / objective.l2
            for solver in solvers:
                solver.widen(0.2 * curvature)
        return solvers

    def _on_working_sets(self, objective, shift, y, output, y_scale, weights):
        """The solver of one output that has few of the columns at a time."""

        def solver_of(columns, weights):
            part = with_columns(objective, columns)
            around = None if shift is None else shift[columns]
            return self._lagrangian(part, around, None, y, output, y_scale, weights)

        pieces = _of_output(objective.loss._breakpoints(y), output)
        return WorkingSetLagrangian(objective, shift, pieces, weights, solver_of)

    def _lagrangian(self, objective, shift, null, y, output, y_scale, weights):
        """The solver of one output that has all columns."""
        rows = extended = objective.cached(
            "scaled rows", (shift, null), lambda: ScaledRows(objective, shift, null)
        )
        if objective.l1 > 0:
            extended = WithUnitRows(rows, objective.l1)
        penalty = np.full(len(rows.scale), float(objective.l2))
        penalty[-1] = float(not objective.fit_intercept)
        parts = penalty / rows.scale**2, y_scale, rows.coordinates(weights)
        return self.make_solver(objective, extended, y, output, *parts)

    def _judge(self):
        """Keep the solvers' point where it is the best; estimate how far that is from F*."""
        incumbent, l1 = self.incumbent, self.iterate.objective.l1
        if self.convergence.separate:
            self._judge_each()
            return
        points = [solver.weights for solver in self.solvers]
        value = exact_value = self._place(points)
        if self.iterate.objective.X.dtype == np.float32:
            # Rounding to float32 moved the iterate away from the solvers' point.
            exact_value = float(self.convergence.objectives(self._weights(points)).sum())
        gap = sum(solver.gap for solver in self.solvers)
        # No loss whose slopes change their sign at its breakpoints is below 0.
        bounded = all(solver.bounded_below for solver in self.solvers)
        least = max(exact_value - gap, 0.0) if bounded else exact_value - gap
        if l1 > 0:
            sparse = self._place([self._sparse(solver) for solver in self.solvers])
            if sparse <= value + np.clip(gap, 1e-10 * abs(value), 1e-6 * abs(value)):
                value = sparse
            else:
                self._place(points)
        near = gap <= 1e-6 * value and value <= incumbent.value + 1e-10 * abs(incumbent.value)
        # Of points within tolerance, the one with more exact zeros.
        fewer = np.count_nonzero(self.iterate.weights) < np.count_nonzero(incumbent.weights)
        exact = l1 > 0 and fewer and value - least <= self.convergence.target(value)
        if value < incumbent.value or near or exact:
            incumbent.keep(value)
        # The gap is that of the solvers' point; the best one found may lie lower.
        self.convergence.set_bounds(np.array([incumbent.value]), np.array([least]))

    def _judge_each(self):
        """The same for targets with objectives of their own."""
        iterate, sparse = self.iterate, None
        found = self._weights([solver.weights for solver in self.solvers])
        if iterate.objective.l1 > 0:
            sparse = self._weights([self._sparse(solver) for solver in self.solvers])
        gaps = np.array([solver.gap for solver in self.solvers])
        judge_each(iterate, self.incumbent, self.convergence, found, gaps, sparse)

    def _place(self, points):
        """Move the iterate to points of the solvers; returns F there."""
        self.iterate.weights[...] = self._weights(points)
        return self.iterate.evaluate()

    def _weights(self, points):
        """The solvers' points as weights (k, d + 1), in float64."""
        weights = np.stack(points)
        if not self.iterate.objective.fit_intercept:
            weights[:, -1] = 0.0
        return weights

    def _sparse(self, solver):
        """A solver's point, with zeros where the penalty holds the coefficient at 0."""
        weights, zero = solver.weights, solver.held_at_zero(self.iterate.objective.n)
        if zero is None:
            return weights
        return np.append(np.where(zero, 0.0, weights[:-1]), weights[-1])
