"""Corrections for smooth losses that may have no curvature where training is. Floor 2."""

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._solvers.smooth_lagrangian import SmoothLagrangian
from sklearn_lossopt._training.auto_schedule import (
    SMALL,
    AugmentedLagrangianCorrector,
    NewtonCorrector,
)

# Newton's steps that may fail to certify the optimum before duals are tried.
PATIENCE = 12
# Below this share of rows with curvature Newton's steps are not waited for.
FEW_CURVED = 0.05
# Dual variables, at most: they take ten arrays of that length.
DUALS = 600_000


def solvable(objective):
    """Whether the augmented Lagrangian can take over."""
    form = objective.loss._of_output(0)._dual_form(np.ones((1, 1)))
    if form is None or objective.target_kind == "class":
        return False
    duals = objective.n * objective.n_outputs * len(form.pieces)
    held = objective.d <= MATRIX_SIZE or (objective.l1 == 0 and objective.holdable)
    return held and duals <= DUALS


class LagrangianCorrector(AugmentedLagrangianCorrector):
    """The augmented Lagrangian of a smooth loss, started where the optimizer is."""

    def _solver(self, extended, rows, r, y, penalty, y_scale, v):
        objective = self.run.objective
        form = objective.loss._dual_form(y)
        pieces = [tuple(part[:, r] for part in piece) for piece in form.pieces]
        if extended is not rows:
            pieces = list(extended.extend(pieces))
        return SmoothLagrangian(extended, pieces, form.conjugate, objective.n, penalty, y_scale, v)

    def _start(self):
        super()._start()
        # No exact solution follows from which rows lie on breakpoints.
        self.small = False


class SmoothCorrector:
    """Newton's steps and, where they cannot certify an optimum because rows have no curvature,
    the augmented Lagrangian from the incumbent on. Newton's step ends what that has found."""

    def __init__(self, run):
        self.run = run
        self.newton, self.lagrangian = NewtonCorrector(run), None
        self.tried = 0

    @property
    def floor(self):
        return self.newton.floor

    @floor.setter
    def floor(self, value):
        self.newton.floor = value

    @property
    def nbytes(self):
        objective = self.run.objective
        return self.newton.nbytes + 72 * objective.n * objective.n_outputs

    def step(self):
        if self.lagrangian is None:
            if self.tried or self._certain() or not self._flat():
                self.newton.step()
                self.tried += 1
                if self.tried < PATIENCE or self._certain():
                    return
            self.lagrangian = LagrangianCorrector(self.run)
            self.run.restore()
        self.lagrangian.step()
        if self._certain():
            self._finish()

    def _certain(self):
        return self.run.gap <= self.run.target(self.run.best)

    def _finish(self):
        """Newton's steps, which are exact once the right rows have curvature. Small problems wait
        for that: their coefficients do not depend on the path to them."""
        run, objective = self.run, self.run.objective
        small = objective.n * (objective.d + 1) <= SMALL and not objective.sparse
        for _ in range(10 if small else 1):
            if self._polish():
                break
            gap = run.gap
            if not small or gap <= 1e-10 * abs(run.best):
                break
            self.lagrangian.step(0.01 * gap)
            run.gap = min(run.gap, gap)

    def _polish(self):
        """Take Newton's steps; whether they have arrived."""
        run = self.run
        for _ in range(5):
            gap, best = run.gap, run.best
            self.newton.floor = 0.0
            self.newton.step()
            arrived = run.gap <= 1e-6 * run.target(run.best)
            # What was proven holds at what is not worse.
            run.gap = min(run.gap, gap)
            if arrived or not run.best < best:
                return arrived
        return False

    def _flat(self):
        """Whether so few rows have curvature that Newton's steps are hopeless."""
        run = self.run
        x, y, weight = run.hessian.sample
        curvature = run.objective.loss._curvature(y, x @ run.saved.astype(np.float64).T)
        curved = (curvature > 0.1 * run.preconditioner.bound) * weight
        share = curved.mean(axis=0)
        rows, columns = x.shape
        return bool((share < max(FEW_CURVED, min(2 * columns / rows, 0.5))).any())
