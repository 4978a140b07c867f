"""Corrections for smooth losses that may have no curvature where training is."""

import numpy as np

from sklearn_lossopt._training.lagrangian_corrector import (
    AugmentedLagrangianCorrector,
    is_small,
    smooth_solver,
)
from sklearn_lossopt._training.newton_corrector import NewtonCorrector

# Newton steps that may fail to certify the optimum before duals are tried.
NEWTON_STEPS = 12
# Below this share of rows with curvature Newton steps are not waited for.
FEW_CURVED = 0.05


class SmoothCorrector:
    """Newton steps and, where rows without curvature keep them from certifying an optimum, the
    augmented Lagrangian from the incumbent on. Newton steps end what that has found.

    Parameters
    ----------
    iterate, incumbent, convergence
        As for ``NewtonCorrector``.
    """

    def __init__(self, iterate, incumbent, convergence):
        self.iterate, self.incumbent, self.convergence = iterate, incumbent, convergence
        self.newton, self.lagrangian = NewtonCorrector(iterate, incumbent, convergence), None
        self.tried = 0

    @property
    def nbytes(self):
        """Of both; the Lagrangian's duals are counted before they are there."""
        objective = self.iterate.objective
        return self.newton.nbytes + 88 * objective.n * objective.n_outputs

    @property
    def arriving(self):
        """Whether the last step was a whole Newton step."""
        return self.lagrangian is None and self.newton.arriving

    def trust_curvature(self):
        """Take curvatures as they are from now on."""
        self.newton.trust_curvature()

    def step(self):
        """One step of the solver whose turn it is."""
        if self.lagrangian is None:
            if self.tried or self._certain() or not self._flat():
                self.newton.step()
                self.tried += 1
                if self.tried < NEWTON_STEPS or self._certain():
                    return
            parts = self.iterate, self.incumbent, self.convergence
            # No exact solution follows from which rows lie on breakpoints.
            self.lagrangian = AugmentedLagrangianCorrector(*parts, smooth_solver, exact=False)
            self.incumbent.restore()
        self.lagrangian.step()
        if self._certain():
            self._finish()

    def _certain(self):
        return self.convergence.gap <= self.convergence.target(self.incumbent.value)

    def _finish(self):
        """Newton steps, which are exact once the right rows have curvature. Small problems wait
        for that: their coefficients do not depend on the path to them."""
        convergence, small = self.convergence, is_small(self.iterate.objective)
        for _ in range(10 if small else 1):
            if self._polish():
                break
            gap = convergence.gap
            if not small or gap <= 1e-10 * abs(self.incumbent.value):
                break
            self.lagrangian.step(0.01 * gap)
            convergence.set_gap(min(convergence.gap, gap))

    def _polish(self):
        """Take Newton steps; returns whether they have arrived."""
        convergence, incumbent = self.convergence, self.incumbent
        for _ in range(5):
            gap, best = convergence.gap, incumbent.value
            self.newton.trust_curvature()
            self.newton.step()
            arrived = convergence.gap <= 1e-6 * convergence.target(incumbent.value)
            # What was proven holds at what is not worse.
            convergence.set_gap(min(convergence.gap, gap))
            if arrived or not incumbent.value < best:
                return arrived
        return False

    def _flat(self):
        """Whether so few rows have curvature that Newton steps are hopeless."""
        preconditioner = self.iterate.preconditioner
        x, (y, weight) = preconditioner.hessian.rows, preconditioner.hessian.labels
        raw = x.predict(self.incumbent.weights.astype(np.float64))
        curvature = self.iterate.objective.loss._curvature(y, raw)
        share = ((curvature > 0.1 * preconditioner.bound) * weight).mean(axis=0)
        rows, columns = x.shape
        return bool((share < max(FEW_CURVED, min(2 * columns / rows, 0.5))).any())
