r"""An augmented Lagrangian on few of many columns, for losses with kinks and an L1 penalty.

Most coefficients are 0 at the optimum. A working set has the others: the smooth problems are solved
on its columns alone, and columns whose duals ask for more than the penalty join it. With duals
:math:`\theta` in their bounds, balanced for the intercept, and :math:`c = \sum_i s_i \theta_i x_i`,

.. math:: F(w, b) - F^* \le \sum_i s_i \bigl(l(z_i) + l^*(\theta_i) - \theta_i z_i\bigr)
    + \sum_j \Bigl(\lambda_1 |w_j| + \tfrac{\lambda_2}{2} w_j^2 + c_j w_j
    + \frac{(|c_j| - \lambda_1)_+^2}{2 \lambda_2}\Bigr)

by Fenchel's inequality, over all columns. Without an L2 penalty no :math:`|c_j|` may be beyond
:math:`\lambda_1`; duals that are shrunk towards 0 stay in the bounds of a loss that is nowhere
negative, and satisfy that (Fercoq, Gramfort and Salmon 2015).

References
----------
Fercoq, O., Gramfort, A. and Salmon, J. (2015). Mind the duality gap: safer rules for the Lasso.
International Conference on Machine Learning.
"""

import math
from dataclasses import replace

import numpy as np

from sklearn_lossopt._cache import Cache, lazy_property
from sklearn_lossopt._engine import look_for_stop
from sklearn_lossopt._objective import MAX_SAMPLE_ENTRIES
from sklearn_lossopt._rows import ExtendedRows
from sklearn_lossopt._solvers.augmented_lagrangian import fenchel_gaps, is_bounded_below, total
from sklearn_lossopt._solvers.dual_descent import anchored
from sklearn_lossopt._solvers.scaled_rows import row_shares

# Columns that a working set begins with, or takes in at least if so many ask for it.
LEAST_COLUMNS = 100
# Working sets, and outer steps on each, in one step; and of the gap, what is left to those steps.
SETS, OUTER_STEPS, REST = 10, 10, 0.1
# Of the penalty: columns whose duals ask for so much are likely to be wanted again.
NEAR = 0.9


def with_columns(objective, columns):
    """The objective of some columns alone, dense if they hold few numbers."""
    if objective.sparse:
        X = objective.X[:, columns]
        X = X.toarray() if X.shape[0] * len(columns) <= MAX_SAMPLE_ENTRIES else X
    else:
        X = np.take(objective.X, columns, axis=1)
    offset = np.broadcast_to(objective.offset, objective.d)[columns]
    return replace(objective, X=X, offset=offset, cache=Cache())


class WorkingSetLagrangian:
    """The interface of ``AugmentedLagrangian``, for one output of an objective with an L1 penalty.

    Parameters
    ----------
    objective : Objective
    shift : ndarray of shape (d,) or None
        What dense columns are less.
    breakpoints : list of (c, low, high)
        See ``Loss._breakpoints``; each an array of shape (n,).
    start : ndarray of shape (d + 1,)
        Weights whose slopes say which columns come first.
    solver_of : callable
        The ``AugmentedLagrangian`` for some columns, an array of int, that starts at these weights.
    """

    exhausted = settled = finished = False

    def __init__(self, objective, shift, breakpoints, start, solver_of):
        self.l1, self.l2, self.intercept = objective.l1, objective.l2, objective.fit_intercept
        parts = (np.stack(part, dtype=np.float64) for part in zip(*breakpoints, strict=True))
        self.c, self.low, self.high = parts
        used, last = objective.sample_indices, float(objective.fit_intercept)
        self.rows = ExtendedRows(objective.X, used, shift, last)
        self.share = row_shares(objective)
        spread = np.sqrt(self.rows.column_squares(self.share))
        self.spread = np.where(spread > 0, spread, np.inf)
        self.solver_of, self.solver = solver_of, None
        self.columns = np.zeros(0, int)
        self.weights, self.gap, self._zero = start.copy(), math.inf, None
        # The gap when columns last left the working set.
        self.left_at = math.inf
        # Which columns the duals of the last model ask for, and how much.
        self.sums = self._sums_at(start)

    @lazy_property
    def bounded_below(self):
        """See ``is_bounded_below``."""
        return is_bounded_below(self.low, self.high)

    def held_at_zero(self, n):
        """Which coefficients the penalty holds at 0; None before the first step."""
        return self._zero

    def step(self, tol):
        """Solve on working sets until the gap is at most ``tol``, or for some of them."""
        for _ in range(SETS):
            look_for_stop()
            grown = self._grow()
            wanted = REST * max(tol, self.gap if grown and math.isfinite(self.gap) else 0.0)
            for _ in range(OUTER_STEPS):
                self.solver.step(wanted)
                if self.solver.gap <= wanted:
                    break
            self._measure()
            if self.gap <= tol:
                return

    def _sums_at(self, weights):
        """The sums (d,) of the rows times their slopes at some weights."""
        beyond = self.rows.predict(weights[None])[:, 0] > self.c
        return self._sums(np.where(beyond, self.high, self.low))

    def _sums(self, dual):
        return self.rows.pull((self.share * total(dual))[:, None])[0, :-1]

    def _grow(self):
        """Take in the columns whose duals are farthest beyond the penalty; returns whether there
        were any."""
        # By what a step along the column alone would gain.
        asked = (np.abs(self.sums) - self.l1) / self.spread
        asked[self.columns] = -np.inf
        if self.solver is not None:
            asked[np.abs(self.sums) <= (1 + 1e-9) * self.l1] = -np.inf
        kept = self._worth_keeping()
        count = min(max(LEAST_COLUMNS, len(kept) // 2), np.count_nonzero(asked > -np.inf))
        if count == 0:
            return False
        self._solve_on(kept, np.argpartition(-asked, count - 1)[:count])
        return True

    def _worth_keeping(self):
        """Positions of columns in the working set that are to stay. Others leave when the gap has
        halved since some did: columns that come and go in turn cannot go on for ever."""
        every = np.arange(len(self.columns))
        if self.solver is None or not self.gap <= 0.5 * self.left_at:
            return every
        self.left_at = self.gap
        zero = self.solver.held_at_zero(len(self.share))
        return every[~zero | (np.abs(self.sums[self.columns]) >= NEAR * self.l1)]

    def _solve_on(self, kept, added):
        """Go on with some columns of the working set and others, from where the solver was."""
        before, columns = self.solver, np.concatenate([self.columns[kept], added])
        weights = self.weights if before is None else self._point()
        self.columns = columns
        self.solver = self.solver_of(columns, np.append(weights[columns], weights[-1]))
        if before is None:
            return
        # The duals of the new columns' penalties are what the rows' leave them.
        units = np.zeros((len(self.c), len(added)))
        units[0] = np.clip(-self.sums[added] / self.l1, -1, 1)
        n = len(self.share)
        rows, own = before.theta[:, :n], before.theta[:, n:]
        self.solver.begin_at(np.hstack([rows, own[:, kept], units]))
        self.solver.width = before.width

    def _point(self):
        """The solver's weights (d + 1,), zeros elsewhere."""
        weights, found = np.zeros(len(self.spread) + 1), self.solver.weights
        weights[self.columns], weights[-1] = found[:-1], found[-1]
        return weights

    def _measure(self):
        """Take the solver's model, if its gap over all columns is the smallest so far."""
        n, weights = len(self.share), self._point()
        dual = self.solver.theta[:, :n]
        balanced = anchored(dual, self.low, self.high, self.share) if self.intercept else dual
        self.sums = self._sums(dual if balanced is None else balanced)
        gap = math.inf if balanced is None else self._gap(weights, balanced)
        if gap < self.gap:
            self.gap, self.weights = gap, weights
            self._zero = np.ones(len(self.spread), bool)
            self._zero[self.columns] = self.solver.held_at_zero(n)

    def _gap(self, weights, dual):
        """The bound of F - F* by balanced duals, or by shrunk ones if that is smaller."""
        w, r = weights[:-1], self.rows.predict(weights[None])[:, 0] - self.c
        rest = abs(weights[-1] * float(self.share @ total(dual)))
        rest += float(np.sum(self.l1 * np.abs(w) + 0.5 * self.l2 * w**2))
        most = float(np.abs(self.sums).max(initial=0.0))
        factors = [1.0]
        if self.bounded_below and most > self.l1:
            factors.append(self.l1 / most)
        found = []
        for factor in factors:
            gaps = float(self.share @ total(fenchel_gaps(r, self.low, self.high, factor * dual)))
            found.append(gaps + rest + factor * float(self.sums @ w) + self._conjugate(factor))
        return max(0.0, min(found))

    def _conjugate(self, factor):
        """That of the penalty, at the sums times a factor."""
        excess = np.maximum(factor * np.abs(self.sums) - self.l1, 0.0)
        # A factor makes the largest equal to the penalty, up to rounding.
        excess[excess <= 1e-15 * self.l1] = 0.0
        if not excess.any():
            return 0.0
        return 0.5 * float(excess @ excess) / self.l2 if self.l2 > 0 else math.inf
