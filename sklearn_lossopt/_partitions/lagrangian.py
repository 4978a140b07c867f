"""The augmented Lagrangian of one output of rows in partitions."""

import numpy as np

from sklearn_lossopt._partitions.looks import LENGTHS, AlongMove, AtPoint
from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian, fenchel_gaps

# A whole step is good enough if the slope along it is at its end within this part of the first.
SLOPE_LEFT = 0.5


class PartitionedLagrangian(AugmentedLagrangian):
    """Augmented Lagrangian iterations for one output on rows in partitions.

    It takes the steps of its base, and pauses in them for looks at all rows: one a step, and
    another two where a whole one leads too far. It starts near the optimum, with a width of the
    size of the error that a sample leaves.

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
    """

    def __init__(self, objective, rows, output, weights, null=None):
        self.x, self.output, self.null = rows, output, null
        penalty = np.full(len(weights), float(objective.l2))
        penalty[-1] = float(not objective.fit_intercept)
        self.penalty, self.v = penalty / rows.scale**2, rows.coordinates(weights)
        y_scale = float(objective.y_scales()[output])
        error = np.sqrt(len(weights) / rows.objective.n)
        self.first_width = 0.5 * y_scale
        self.width = self.first_width * min(1.0, 2 * error)
        self.gap, self.finished, self.on, self.settled = np.inf, False, None, False
        self.ridge, self.least_ridge, self.rest, self.enough = 1e-6, 1e-14, 0.01, 0.0
        self.accuracy, self.flat = 0.05, np.zeros(len(weights), bool)
        # |w_j| is a piecewise linear loss of the scaled coordinates, with duals on the driver.
        self.l1 = objective.l1 / rows.scale[:-1]
        self.l1_duals = np.zeros(len(self.l1))
        # What was found last: where, at which width, and what. And slopes along the move at hand.
        self.seen, self.slopes, self.end, self.bounded = None, None, None, True

    @property
    def bounded_below(self):
        return self.bounded

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
        g, gap, below, curved = yield self._look_at(v)
        g, self.bounded = g / self.x.scale, not below
        curved = self._about(v, g, curved)
        if self.l1.any():
            dual = self._l1_dual(v)
            g[:-1] += self.l1 * dual
            bends = np.append(self.l1 * (np.abs(dual) < 1) / self.width, 0.0)
            curved[np.diag_indices_from(curved)] += bends
            gap += float(self.l1 @ fenchel_gaps(v[:-1], -1.0, 1.0, dual))
        self.seen = v, self.width, (g, curved, gap)

    def _l1_dual(self, v):
        return np.clip(v[:-1] / self.width + self.l1_duals, -1.0, 1.0)

    def held_at_zero(self, n):
        return np.abs(self.l1_duals) < 1 - 1e-6

    def _predict(self, v):
        return None

    def _slope(self, z, v):
        g, curved, gap = self.seen[2]
        return g + self.penalty * v, (curved, gap)

    def _matrix(self, dual):
        return dual[0].copy()

    def _gap(self, z, dual):
        return dual[1]

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

    def _move(self, z, v, g, direction):
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

    def _replace_duals(self, z, v):
        self.end = self.output, self.x.weights(v), self.width
        self.l1_duals, self.seen = self._l1_dual(v), None
