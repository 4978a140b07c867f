"""The augmented Lagrangian of rows in partitions, whose dual variables stay with them."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sklearn_lossopt._linalg import gram, scale_columns, scale_rows
from sklearn_lossopt._solvers.augmented_lagrangian import (
    LEAST_WIDTH,
    MAX_NEWTON,
    fenchel_gaps,
    is_bounded_below,
    total,
)
from sklearn_lossopt._solvers.scaled_rows import ScaledRows

# A whole step is good enough if the slope along it is at its end within this part of the first.
SLOPE_LEFT = 0.5
# What curvature is taken to be at least beside the ridge, as a share of it.
LEAST_SHARE = 1e-10
# Lengths of a step that one pass compares where the whole one is not.
LENGTHS = np.array([4.0**-6, 4.0**-4, 0.016, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 1.0, 1.6, 4.0])


@dataclass
class Duals:
    """The rows of one partition and the dual variables (q, n) of one output's breakpoints."""

    rows: object
    theta: np.ndarray | None


@dataclass
class View:
    """How a problem is looked at: one output of it, rows less ``shift`` over ``scale``."""

    problem: object
    output: int
    shift: np.ndarray | None
    scale: np.ndarray


# -- pure functions of one partition --------------------------------------------------------------


def _pieces(problem, y, output):
    """c, low and high (q, m) of the targets' breakpoints."""
    pieces = problem.loss._breakpoints(y.astype(np.float64))
    return (np.stack([part[:, output] for part in parts]) for parts in zip(*pieces, strict=True))


def _blocks(rows, view):
    """The slice, the scaled rows, the shares and the breakpoints of each block."""
    start = 0
    for x, y, share in view.problem.objective(rows).blocks(view.shift, view.problem.mass):
        part = slice(start, start + len(share))
        start = part.stop
        x = scale_columns(x, 1 / view.scale)
        yield part, x, share[:, 0], *_pieces(view.problem, y, view.output)


def begin_duals(rows, view):
    """Duals in the middle of their bounds."""
    if rows.n == 0:
        return Duals(rows, None)
    theta = [0.5 * (low + high) for *_, low, high in _blocks(rows, view)]
    return Duals(rows, np.concatenate(theta, axis=1))


def replace_duals(duals, view, v, width):
    """The duals at v, each row's slope of the smooth loss."""
    if duals.rows.n == 0:
        return duals
    theta = np.empty_like(duals.theta)
    for part, x, _, c, low, high in _blocks(duals.rows, view):
        theta[:, part] = np.clip((x @ v - c) / width + duals.theta[:, part], low, high)
    return Duals(duals.rows, theta)


def measure(duals, view, v, width):
    """The parts of the smooth problem's gradient and matrix at v, and of the gap, in one pass."""
    if duals.rows.n == 0:
        return None
    size = len(v)
    g, H, gap = np.zeros(size), np.zeros((size, size)), 0.0
    for part, x, share, c, low, high in _blocks(duals.rows, view):
        r = x @ v - c
        dual = np.clip(r / width + duals.theta[:, part], low, high)
        g += (share * total(dual)) @ x
        gap += float(share @ total(fenchel_gaps(r, low, high, dual)))
        bends = ((dual > low) & (dual < high)).sum(axis=0)
        rows = np.flatnonzero(bends)
        bent = scale_rows(x[rows], np.sqrt(share[rows] * bends[rows] / width))
        H += gram(bent, bent)
    return g, H, gap


def slopes_along(duals, view, v, direction, width):
    """The smooth loss's slopes at each of LENGTHS along a direction."""
    if duals.rows.n == 0:
        return None
    slopes = np.zeros(len(LENGTHS))
    for part, x, share, c, low, high in _blocks(duals.rows, view):
        r, q, theta = x @ v - c, x @ direction, duals.theta[:, part]
        weighted = share * q
        for i, length in enumerate(LENGTHS):
            dual = np.clip((r + length * q) / width + theta, low, high)
            slopes[i] += total(dual) @ weighted
    return (slopes,)


def slopes_alternate(rows, view):
    """Parts of: whether no row's loss is below 0."""
    if rows.n == 0:
        return 0
    return int(not all(is_bounded_below(low, high) for *_, low, high in _blocks(rows, view)))


# -- the solver -----------------------------------------------------------------------------------


class PartitionedLagrangian:
    """Augmented Lagrangian iterations for one output on rows in partitions.

    It takes the steps of ``_engine/_lagrangian.pyx``, whose sums over the rows are sums over the
    partitions here. A step costs a pass, and another two where a whole one leads too
    far. It starts near the optimum, with a width of the size of the error that a sample leaves.

    Parameters
    ----------
    objective : PartitionedObjective
    shift : ndarray of shape (d,) or None
    output : int
    weights : ndarray of shape (d + 1,)
        The start.
    """

    # It does not give up, and does not look for an exact solution.
    exhausted = finished = settled = False
    # Of the gap, what the smooth problem may be short of its minimum.
    rest = 0.01

    def __init__(self, objective, shift, output, weights):
        sample = objective.sample()
        self.x = ScaledRows(sample, shift)
        penalty = np.full(len(weights), float(objective.l2))
        penalty[-1] = float(not objective.fit_intercept)
        self.penalty, self.v = penalty / self.x.scale**2, self.x.coordinates(weights)
        self.view = View(objective.problem, output, shift, self.x.scale)
        y_scale = float(objective.y_scales()[output])
        error = np.sqrt(len(weights) / sample.n)
        self.first_width = 0.5 * y_scale
        self.width = self.first_width * min(1.0, 2 * error)
        self.gap, self.ridge, self.least_ridge = np.inf, 1e-6, 1e-14
        self.flat = np.zeros(len(weights), bool)
        # |w_j| is a piecewise linear loss of the scaled coordinates, with duals on the driver.
        self.l1 = objective.l1 / self.x.scale[:-1]
        self.l1_duals = np.zeros(len(self.l1))
        self.duals = objective.partitions.map(begin_duals, self.view)
        self.bounded = objective.partitions.sum(slopes_alternate, self.view) == 0
        # What was measured last: where, at which width, and what.
        self.seen = None

    @property
    def weights(self):
        """``v`` in the units of the rows."""
        return self.x.weights(self.v)

    @property
    def bounded_below(self):
        """See ``is_bounded_below``."""
        return self.bounded

    def step(self, tol):
        """See ``AugmentedLagrangian``."""
        v, count, self.gap = self.v, 0, np.inf
        while count < MAX_NEWTON:
            count += 1
            g, H, gap = self._measure(v)
            g = g + self.penalty * v
            try:
                direction, decrement = self._newton_direction(g, H)
            except linalg.LinAlgError:
                self.ridge = self.least_ridge = 10 * self.ridge
                continue
            if decrement <= self.rest * max(gap, tol):
                if self.ridge <= self.least_ridge:
                    self.gap = gap + 30 * decrement
                    self.gap += 100 * self.first_width * float(np.abs(g[self.flat]).sum())
                    break
                self.ridge = max(self.least_ridge, 1e-3 * self.ridge)
                continue
            length = self._length(v, g, direction)
            v = v + length * direction
            if length > 0.5:
                self.ridge = max(0.1 * self.ridge, self.least_ridge)
            elif length < 0.1:
                self.ridge = max(min(10 * self.ridge, 1e-2), self.least_ridge)
        self.v = v
        self._replace_duals(v)
        if count <= 6:
            self.width = max(0.2 * self.width, LEAST_WIDTH * self.first_width)
        elif count > 15:
            self.width *= 2.0

    def _newton_direction(self, g, H):
        """Newton's direction and decrement, by which the ridge is made up for."""
        ridge, diagonal = self.ridge / self.width, np.diagonal(H) + self.penalty
        self.flat = diagonal <= 10 * ridge
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

    def _measure(self, v):
        """``measure`` at v, of all partitions; a second time it takes no pass."""
        if self.seen is None or self.seen[1] != self.width or not np.array_equal(self.seen[0], v):
            g, H, gap = self.duals.sum(measure, self.view, v, self.width)
            if self.l1.any():
                dual = self._l1_dual(v)
                g[:-1] += self.l1 * dual
                bends = np.append(self.l1 * (np.abs(dual) < 1) / self.width, 0.0)
                H[np.diag_indices_from(H)] += bends
                gap += float(self.l1 @ fenchel_gaps(v[:-1], -1.0, 1.0, dual))
            self.seen = v, self.width, (g, H, gap)
        return self.seen[2]

    def _l1_dual(self, v):
        return np.clip(v[:-1] / self.width + self.l1_duals, -1.0, 1.0)

    def held_at_zero(self, n):
        """Which coefficients the l1 penalty holds at 0."""
        return np.abs(self.l1_duals) < 1 - 1e-6

    def _length(self, v, g, direction):
        """How far to go along a direction from v, where the gradient is g."""
        first, penalty = g @ direction, self.penalty
        there = v + direction
        last = (self._measure(there)[0] + penalty * there) @ direction
        if not first < 0 or abs(last) <= SLOPE_LEFT * abs(first):
            return 1.0
        (slopes,) = self.duals.sum(slopes_along, self.view, v, direction, self.width)
        slopes = slopes + (penalty * v) @ direction
        slopes += LENGTHS * ((penalty * direction) @ direction)
        weighed = self.l1 * direction[:-1]
        slopes += [self._l1_dual(v + length * direction) @ weighed for length in LENGTHS]
        after = int(np.searchsorted(slopes > 0, True))
        if after == len(slopes):
            return float(LENGTHS[-1])
        low, f_low = (0.0, first) if after == 0 else (LENGTHS[after - 1], slopes[after - 1])
        return float(low - f_low * (LENGTHS[after] - low) / (slopes[after] - f_low))

    def _replace_duals(self, v):
        """Take the duals at v."""
        self.duals = self.duals.map(replace_duals, self.view, v, self.width)
        self.l1_duals, self.seen = self._l1_dual(v), None
