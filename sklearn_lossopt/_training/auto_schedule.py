"""How schedule="auto" paces the optimizer and corrects its way. Floor 2."""

import math

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian, WithUnitRows
from sklearn_lossopt._solvers.scaled_rows import ScaledRows

# Numbers in the rows of a problem that is finished by one direct solution.
SMALL = 50_000


class Pocket:
    """Training for a loss whose minimiser learns nothing: epochs at one learning rate, until no
    row is on the wrong side or their share has not fallen for a while; the weights with the
    fewest such rows are kept (Gallant 1990, the pocket algorithm)."""

    def __init__(self, run):
        self.run = run

    def train(self):
        """Yield the epochs; returns that nothing is certified."""
        run, settings = self.run, self.run.settings
        x, y, weight = run.hessian.sample
        rates = np.array([run.rate])
        fewest, since, saved = math.inf, 0, None
        while run.epoch < settings.max_iter:
            run.monitor.begin(run.weights if saved is None else saved[0])
            yield from run.passes(1, rates)
            with run.mean.predicting():
                run.curve.append(run.evaluate())
                wrong = float(np.sum(weight * (y * (x @ run.weights.T) <= 0)))
                since += 1
                if wrong < fewest:
                    fewest, since, saved = wrong, 0, (run.weights.copy(), run.curve[-1])
            done = settings.tol > 0 and (wrong == 0 or since >= 4 * settings.n_iter_no_change)
            if run.monitor.end(run.weights if saved is None else saved[0], run.rate) or done:
                break
        if saved is not None:
            run.weights[...], run.curve[-1] = saved
        run.monitor.finish(certain=True)
        return False


class BatchGrowth:
    """Pace for smooth losses: where F did not fall, larger batches, then smaller steps."""

    def __init__(self, run):
        self.run = run
        self.factor = 1.0
        self.finished = False

    def after(self, value, improved):
        if improved:
            return
        trainer, n = self.run.trainer, self.run.objective.n
        self.run.restore()
        if trainer.batch_size < n:
            trainer.batch_size = min(n, 4 * trainer.batch_size)
        else:
            self.factor *= 0.25
            self.finished = self.factor < 1e-8


class CyclicalStepSize:
    """Pace for losses with kinks: steps that grow while F falls and shrink while it does not, in
    cycles that shrink ever more slowly; three cycles that agree end the run."""

    def __init__(self, run):
        self.run = run
        self.factor, self.top, self.shrink = 1.0, 1.0, 0.5
        self.start = run.best
        self.last, self.agreed = math.inf, 0
        self.finished = False

    def after(self, value, improved):
        run = self.run
        self.factor *= 1.1 if improved else self.shrink
        if not math.isfinite(value) or value > self.start:
            run.restore()
            self.factor *= 0.25
        if self.factor >= 1e-3 * self.top:
            return
        best = min(value, run.best) if math.isfinite(value) else run.best
        run.restore()
        # Cycles agree sooner than they arrive: agreement ends a run, but certifies nothing.
        close = 0.01 * math.sqrt(run.settings.tol) * abs(best)
        self.agreed = self.agreed + 1 if self.last - best <= close else 0
        self.finished = run.settings.tol > 0 and self.agreed >= 2
        self.last = best
        self.top *= 0.5
        self.factor, self.shrink = self.top, self.shrink**0.6


class NewtonCorrector:
    """Newton's step for smooth losses; its decrement estimates F - F*.

    Rows in flat parts of the loss have no curvature, and far from the optimum that misleads. So
    every row's is first raised to a floor, which falls while full steps succeed and rises where
    they do not. A decrement under a floor is too small, and is not believed.
    """

    def __init__(self, run):
        self.run = run
        self.floor = 1e-2
        # Flat rows of a margin loss hold a point beyond all margins back from the optimum, which
        # lies on them; where any rows can be fitted, the way from a constant model is short.
        self.from_constant = run.objective.in_row_space

    @property
    def nbytes(self):
        """Of the Hessian's factors and, for dense rows, of the metric made of them."""
        objective = self.run.objective
        size = objective.d + 1
        if objective.l1 > 0 or size > MATRIX_SIZE or objective.n < objective.d:
            return 0
        return (
            objective.n_outputs * size**2 * (16 if objective.sparse else 24 + objective.X.itemsize)
        )

    def step(self):
        run = self.run
        run.restore()
        if self.from_constant:
            self.from_constant = False
            self._start_again()
        direction = run.newton(self.floor * run.preconditioner.bound)
        # Near the optimum F is flat to rounding where the step still mends the coefficients.
        near = run.gap <= 1e-6 * abs(run.best)
        origin = run.weights.astype(np.float64)
        length = 1.0
        while length > 1e-4:
            run.weights[...] = origin + length * direction
            value = run.evaluate()
            if value < run.best or (near and value <= run.best + 1e-10 * abs(run.best)):
                run.keep(value)
                break
            length *= 0.5
        if length <= 1e-4:
            # No step helps: what is left is below rounding, or hidden by the floor.
            if self.floor == 0 and run.estimate <= run.target(run.best):
                run.gap = run.estimate
            self.floor = 1e-2 * self.floor if self.floor > 1e-6 else 0.0
        elif length == 1.0:
            self.floor = 1e-2 * self.floor if self.floor > 1e-3 else 0.0
        elif length < 0.2:
            self.floor = min(1.0, 100 * max(self.floor, 1e-8))
        if run.hessian.whiteners is not None and not run.objective.sparse:
            preconditioner = run.preconditioner
            preconditioner.set_metric(run.hessian.whiteners)
            run.trainer.set_metric(preconditioner.metric, preconditioner.coordinates)
        run.restore()

    def _start_again(self):
        """Keep the point of full steps from the best constant model, if it is better."""
        run = self.run
        run.weights[...] = 0.0
        run.weights[:, -1] = run.objective.best_constant()
        value, best = run.evaluate(), math.inf
        while value < best:
            best = value
            if best < run.best:
                run.keep(best)
            run.weights[...] = run.weights.astype(np.float64) + run.newton(0.0)
            value = run.evaluate()
        run.restore()


class AugmentedLagrangianCorrector:
    """Proximal Newton steps for piecewise linear losses, started where the optimizer is."""

    def __init__(self, run):
        self.run = run
        self.solvers = None

    @property
    def nbytes(self):
        """Of the solvers: kinks, duals and which rows are on their kinks."""
        objective = self.run.objective
        rows = objective.n + (objective.d if objective.l1 > 0 else 0)
        return 33 * objective.breakpoints * objective.n_outputs * rows

    def _start(self):
        run, objective = self.run, self.run.objective
        shift, null = run.preconditioner.shift, run.preconditioner.null
        rows = extended = objective.cached(
            "scaled rows", (shift, null), lambda: ScaledRows(objective, shift, null)
        )
        if objective.l1 > 0:
            extended = WithUnitRows(rows, objective.l1)
        self.small = objective.n * (objective.d + 1) <= SMALL and not objective.sparse
        penalty = np.full(len(rows.scale), float(objective.l2))
        penalty[-1] = float(not objective.fit_intercept)
        y = objective.targets(objective.subsample(objective.n)).astype(np.float64)
        y_scale = objective.y_scale()
        self.rows, self.solvers = rows, []
        for r in range(objective.n_outputs):
            breakpoints = [
                tuple(part[:, r] for part in kink) for kink in objective.loss._breakpoints(y)
            ]
            self.solvers.append(
                AugmentedLagrangian(
                    extended,
                    breakpoints if extended is rows else list(extended.extend(breakpoints)),
                    penalty / rows.scale**2,
                    y_scale,
                    rows.coordinates(run.saved[r].astype(np.float64)),
                )
            )
            if objective.in_row_space and objective.l2 > 0:
                # As many directions as rows, all curved in the dual: with a width of the size of
                # that curvature, duals arrive in a few outer steps of hardly bent problems, if
                # those are solved: what they are short of is large in the units of the duals.
                curvature = np.exp(np.mean(np.log(rows.scale[:-1] ** 2))) / objective.l2
                self.solvers[-1].width = max(self.solvers[-1].width, 0.2 * curvature)
                self.solvers[-1].rest, self.solvers[-1].enough = 1e-10, 1e-3

    def step(self):
        run = self.run
        if self.solvers is None:
            self._start()
        tol = run.target(run.best) / len(self.solvers)
        farthest = max(solver.gap for solver in self.solvers)
        if farthest <= tol:
            # What was kept, with exact zeros, lies a little above the solvers' point.
            tol = 0.1 * farthest
        for solver in self.solvers:
            if solver.gap > tol and not solver.finished:
                solver.step(tol)
                if self.small and solver.settled and solver.gap > tol:
                    solver.finish(tol)
        self._judge()
        if self.small and run.gap <= run.target(run.best):
            for solver in self.solvers:
                if not solver.finished:
                    self._finish(solver, tol)
            self._judge()
        run.restore()

    def _judge(self):
        """Keep the solvers' point where it is the best; estimate how far that is from F*."""
        run = self.run
        value = self._place([solver.v for solver in self.solvers])
        gap = sum(solver.gap for solver in self.solvers)
        # No loss whose slopes change their sign at its breakpoints is below 0.
        bounded = all((s.low <= 0).all() and (s.high >= 0).all() for s in self.solvers)
        least = max(value - gap, 0.0) if bounded else value - gap
        if run.objective.l1 > 0:
            sparse = self._place([self._sparse(solver) for solver in self.solvers])
            if sparse <= value + np.clip(gap, 1e-10 * abs(value), 1e-6 * abs(value)):
                value = sparse
            else:
                self._place([solver.v for solver in self.solvers])
        near = gap <= 1e-6 * value and value <= run.best + 1e-10 * abs(run.best)
        # Of points within tolerance, the one with exact zeros.
        exact = run.objective.l1 > 0 and value - least <= run.target(value)
        if value < run.best or near or exact:
            run.keep(value)
        # The gap is that of the solvers' point; the best one found may lie lower.
        run.gap = run.best - least

    def _place(self, points):
        """The objective at points of the solvers."""
        run = self.run
        for r, v in enumerate(points):
            run.weights[r] = self.rows.weights(v)
        if not run.objective.fit_intercept:
            run.weights[:, -1] = 0.0
        return run.evaluate()

    def _sparse(self, solver):
        """A solver's point with zeros where the penalty's kink holds the coefficient."""
        zero = solver.on[:, self.run.objective.n :].any(axis=0)
        return np.append(np.where(zero, 0.0, solver.v[:-1]), solver.v[-1])

    @staticmethod
    def _finish(solver, tol):
        """Go on until the rows on their kinks are known, and with them the exact solution."""
        for _ in range(15):
            if solver.finish(tol) or solver.gap <= solver.enough * tol:
                break
            gap, v = solver.gap, solver.v
            solver.step(0.0)
            if not solver.gap <= gap:
                solver.gap, solver.v = gap, v
