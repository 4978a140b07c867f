"""The augmented Lagrangian of one output of rows in partitions."""

import numpy as np
from scipy import linalg

from sklearn_lossopt._partitions.looks import LENGTHS, AlongMove, AtPoint
from sklearn_lossopt._solvers.augmented_lagrangian import (
    MAX_NEWTON,
    fenchel_gaps,
    next_width,
    size_from_zero,
)

# A whole step is good enough if the slope along it is at its end within this part of the first.
SLOPE_LEFT = 0.5
# What curvature is taken to be at least beside the ridge, as a share of it.
LEAST_SHARE = 1e-10
# As in the engine: how far the optimum is taken to lie, rounding, and small decrements.
FAR, ROUNDING, SMALL_DECREMENT = 100.0, 1e-13, 0.03


class PartitionedLagrangian:
    """Augmented Lagrangian iterations for one output on rows in partitions.

    It takes the steps of ``_engine/_lagrangian.pyx``, and pauses in them for looks at all rows: one
    a step, and another two where a whole one leads too far. It starts near the optimum, with a
    width of the size of the error that a sample leaves.

    Parameters
    ----------
    objective : PartitionedObjective
    rows : ScaledRows
        Of the sample.
    output : int
    weights : ndarray of shape (d + 1,)
        The start.
    null : NullSpace or None
        Directions that no row has any part in, for steps to stay out of.

    Attributes
    ----------
    end : tuple
        The output, the weights and the width that its duals are to be replaced at.
    value : float
        The mean loss there, after a step.
    """

    # It does not give up, and does not look for an exact solution.
    exhausted = finished = settled = False
    # Of the gap, by how much the duals may miss the best lower bound.
    rest = 0.3

    def __init__(self, objective, rows, output, weights, null=None):
        self.x, self.output, self.null = rows, output, null
        penalty = np.full(len(weights), float(objective.l2))
        penalty[-1] = float(not objective.fit_intercept)
        self.penalty, self.v = penalty / rows.scale**2, rows.coordinates(weights)
        y_scale = float(objective.y_scales()[output])
        sample = rows.objective
        pieces = sample.loss._breakpoints(sample.targets(sample.subsample(sample.n)))
        c = np.stack([piece[0][:, output] for piece in pieces])
        y_scale = max(y_scale, size_from_zero(rows.share, c, penalty))
        error = np.sqrt(len(weights) / rows.objective.n)
        self.first_width = 0.5 * y_scale
        self.width = self.first_width * min(1.0, 2 * error)
        self.gap, self.ridge, self.least_ridge = np.inf, 1e-6, 1e-14
        # |w_j| is a piecewise linear loss of the scaled coordinates, with duals on the driver.
        self.l1 = objective.l1 / rows.scale[:-1]
        self.l1_duals = np.zeros(len(self.l1))
        # What was found last: where, at which width, and what. And slopes along the move at hand.
        self.seen, self.slopes, self.end, self.bounded = None, None, None, True

    @property
    def weights(self):
        """``v`` in the units of the rows."""
        return self.x.weights(self.v)

    @property
    def bounded_below(self):
        """See ``is_bounded_below``."""
        return self.bounded

    def stepping(self, tol):
        """One outer step, see ``AugmentedLagrangian``: a generator of the looks that it waits for,
        to which their results are sent."""
        v, count, self.gap = self.v, 0, np.inf
        while True:
            yield from self._fetch(v)
            g, about, gap, residual = self.seen[2]
            g = g + self.penalty * v
            if self._concludes(g, gap, residual, tol) or count == MAX_NEWTON:
                break
            count += 1
            try:
                direction, decrement = self._newton_direction(g, about, gap)
            except linalg.LinAlgError:
                self.ridge = self.least_ridge = 10 * self.ridge
                continue
            small = decrement <= SMALL_DECREMENT * self.rest * max(gap, tol)
            if small and self.ridge > self.least_ridge:
                self.ridge = max(self.least_ridge, 1e-3 * self.ridge)
                continue
            yield from self._fetch_along(v, g, direction)
            length = self._length(v, g, direction)
            v = v + length * direction
            if length > 0.5:
                self.ridge = max(0.1 * self.ridge, self.least_ridge)
            elif length < 0.1:
                self.ridge = max(min(10 * self.ridge, 1e-2), self.least_ridge)
        self.v = v
        self._replace_duals(v)
        self.width = next_width(self.width, self.first_width, count)

    def _concludes(self, g, gap, residual, tol):
        """Whether the duals at a point, which are feasible where g is 0, give a lower bound that is
        next to the best: see the engine's. Notes the gap then."""
        far = FAR * (2 * self.first_width + residual)
        g = np.abs(g)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.where(g > 0, np.minimum(g / self.penalty, far), 0.0)
        missing = float(u @ (g - 0.5 * self.penalty * u))
        if missing > max(self.rest * max(gap, tol), ROUNDING * far):
            return False
        self.gap = gap + missing
        return True

    def _newton_direction(self, g, H, gap):
        """Newton's direction and decrement, by which the ridge is made up for."""
        ridge, diagonal = self.ridge / self.width, np.diagonal(H) + self.penalty
        H = H.copy()
        np.fill_diagonal(H, diagonal + ridge)
        factor = linalg.cho_factor(H, lower=True, check_finite=False)
        direction = -linalg.cho_solve(factor, g, check_finite=False)
        terms, moved = [-g @ direction], direction
        for _ in range(2):
            moved = linalg.cho_solve(factor, ridge * moved, check_finite=False)
            terms.append(-g @ moved)
        left = max(1 - terms[2] / terms[1], LEAST_SHARE) if terms[1] > 0 else 1.0
        return direction, 0.5 * (terms[0] + max(terms[1], 0.0) / left)

    def _look_at(self, v):
        """The look to ask for at v."""
        return AtPoint(self.output, (self.x.weights(v),), self.width)

    def _about(self, v, slope, curved):
        """What is known of the smooth problem about v, where the loss has this gradient, by what a
        look has found of its curvature: a matrix."""
        if self.null is not None:
            rows = self.null.rows(np.diagonal(curved))
            curved = curved + rows.T @ rows
        return curved / self.x.scale / self.x.scale[:, None]

    def _fetch(self, v):
        """Ask for a look at v, unless it is the last one."""
        if self.seen is not None and self.seen[1] == self.width and np.array_equal(self.seen[0], v):
            return
        self.value, g, gap, residual, below, curved = yield self._look_at(v)
        g, self.bounded = g / self.x.scale, not below
        curved = self._about(v, g, curved)
        if self.l1.any():
            dual = self._l1_dual(v)
            g[:-1] += self.l1 * dual
            bends = np.append(self.l1 * (np.abs(dual) < 1) / self.width, 0.0)
            curved[np.diag_indices_from(curved)] += bends
            gap += float(self.l1 @ fenchel_gaps(v[:-1], -1.0, 1.0, dual))
        self.seen = v, self.width, (g, curved, gap, residual)

    def _l1_dual(self, v):
        return np.clip(v[:-1] / self.width + self.l1_duals, -1.0, 1.0)

    def held_at_zero(self, n):
        """Which coefficients the l1 penalty holds at 0."""
        return np.abs(self.l1_duals) < 1 - 1e-6

    def _fetch_along(self, v, g, direction):
        """Ask for a look at the end of a whole step and, where that leads too far, along it."""
        self.slopes = None
        first, there = g @ direction, v + direction
        yield from self._fetch(there)
        last = (self.seen[2][0] + self.penalty * there) @ direction
        if not first < 0 or abs(last) <= SLOPE_LEFT * abs(first):
            return
        points = self.x.weights(v), self.x.weights(direction)
        (self.slopes,) = yield AlongMove(self.output, points, self.width)

    def _length(self, v, g, direction):
        """How far to go along a direction from v, where the gradient is g."""
        if self.slopes is None:
            return 1.0
        penalty, weighed = self.penalty, self.l1 * direction[:-1]
        slopes = self.slopes + (penalty * v) @ direction
        slopes += LENGTHS * ((penalty * direction) @ direction)
        slopes += [self._l1_dual(v + length * direction) @ weighed for length in LENGTHS]
        after = int(np.searchsorted(slopes > 0, True))
        if after == len(slopes):
            return float(LENGTHS[-1])
        low, f_low = (0.0, g @ direction) if after == 0 else (LENGTHS[after - 1], slopes[after - 1])
        return float(low - f_low * (LENGTHS[after] - low) / (slopes[after] - f_low))

    def _replace_duals(self, v):
        """Take the duals at v."""
        self.end = self.output, self.x.weights(v), self.width
        self.l1_duals, self.seen = self._l1_dual(v), None
