r"""Exact minimisation for piecewise linear losses.

Such a loss is a sum of terms :math:`\max(l (z - c), h (z - c))`, one for each breakpoint c. It has
no curvature to guide a Newton step. The augmented Lagrangian gives it one: with dual variables
:math:`\theta` in [l, h] and a width :math:`\sigma`,

.. math:: e(z) = \max_{l \le t \le h} \; t (z - c) - \tfrac{\sigma}{2} (t - \theta)^2

is smooth, lies below the loss, and its derivative t is the next :math:`\theta`. Minimising the
penalised mean of e by semismooth Newton steps and then replacing :math:`\theta` converges to the
minimiser of the loss itself for any fixed :math:`\sigma`, the faster the smaller
:math:`\sigma` (Rockafellar 1976; Li, Sun and Toh 2018). Since e lies below the loss, the minimum
of the smooth problem bounds the optimum from below: every outer step gives a duality gap.
``_engine/_lagrangian.pyx`` has the outer step.

References
----------
Rockafellar, R. T. (1976). Augmented Lagrangians and applications of the proximal point algorithm
in convex programming. Mathematics of Operations Research 1(2), 97-116.

Li, X., Sun, D. and Toh, K.-C. (2018). A highly efficient semismooth Newton augmented Lagrangian
method for solving Lasso problems. SIAM Journal on Optimization 28(1), 433-458.
"""

import numpy as np
from scipy import linalg

from sklearn_lossopt._cache import lazy_property

# Newton steps in one outer step, at most.
MAX_NEWTON = 30
# In units of the first width: below it steps are rounding.
LEAST_WIDTH = 1e-12


def total(breakpoints):
    """Sum over breakpoints (q, n), without a copy where there is one."""
    return breakpoints[0] if len(breakpoints) == 1 else breakpoints.sum(axis=0)


def fenchel_gaps(r, low, high, dual):
    """l(z) + l*(theta) - theta z of each piecewise linear term (q, n), r = z - c beyond its
    breakpoint: 0 where the dual is the slope."""
    gaps = np.where(r > 0, high, low)
    gaps -= dual
    gaps *= r
    return gaps


def is_bounded_below(low, high):
    """Whether no row's loss is below 0: slopes change their sign at its breakpoints."""
    return bool((low <= 0).all() and (high >= 0).all())


def size_from_zero(share, c, penalty):
    """A typical size of raw predictions without an intercept, which begin at 0 however little the
    targets differ; 0 with one."""
    return float(share @ np.abs(c).max(axis=0)) if penalty[-1] > 0 else 0.0


def next_width(width, first_width, count):
    """The width that follows an outer step of so many Newton steps."""
    if count <= 6:
        return max(0.2 * width, LEAST_WIDTH * first_width)
    return 2.0 * width if count > 15 else width


class WithUnitRows:
    """Rows followed by one unit row per coefficient.

    What a unit row predicts is the coefficient, so that an l1 penalty is one more piecewise linear
    loss, with its breakpoint at 0.

    Parameters
    ----------
    x : ScaledRows
    l1 : float
    """

    def __init__(self, x, l1):
        self.x, self.n = x, len(x.share)
        # |w_j| in the scaled coordinates.
        self.share = np.append(x.share, l1 / x.scale[:-1])

    def extend(self, breakpoints):
        """The breakpoints of the rows and, with the first of them, those of the penalty."""
        for position, each in enumerate(breakpoints):
            slope = float(position == 0)
            added = (np.full(len(self.share) - self.n, end) for end in (0.0, -slope, slope))
            yield tuple(np.append(*pair) for pair in zip(each, added, strict=True))

    def take(self, index):
        out = np.zeros((len(index), len(self.x.scale)))
        unit = index >= self.n
        out[~unit] = self.x.take(index[~unit])
        out[unit, index[unit] - self.n] = 1.0
        return out

    def weights(self, v):
        """See ``ScaledRows``."""
        return self.x.weights(v)

    def lagrangian(self, *args):
        """See ``ScaledRows``."""
        return self.x.lagrangian(*args)

    def __matmul__(self, v):
        return np.append(self.x @ v, v[:-1])

    def __rmatmul__(self, u):
        out = u[: self.n] @ self.x
        out[:-1] += u[self.n :]
        return out

    __array_ufunc__ = None


class AugmentedLagrangian:
    """Augmented Lagrangian iterations for one output.

    Parameters
    ----------
    x : ScaledRows or WithUnitRows
        The rows, scaled to mean squares of 1.
    breakpoints : list of (c, low, high)
        See ``Loss._breakpoints``; each an array of shape (n,).
    penalty : ndarray of shape (d + 1,)
        Second derivatives of the penalty in the scaled coordinates.
    y_scale : float
        A typical size of raw predictions; the first width is half of it.
    v : ndarray of shape (d + 1,)
        The start, in the scaled coordinates.
    """

    # Whether it has given up: it does not.
    exhausted = False
    # What the conjugates of the rows' terms are, see ``Lagrangian``.
    conjugate = ("none", 0.0)

    def __init__(self, x, breakpoints, penalty, y_scale, v):
        self.x, self.share, self.penalty, self.v = x, x.share, penalty, v
        parts = zip(*breakpoints, strict=True)
        self.c, self.low, self.high = (np.stack(part, dtype=np.float64) for part in parts)
        y_scale = max(y_scale, size_from_zero(self.share, self.c, penalty))
        self.width = self.first_width = self._first_width(y_scale)
        # The duals begin in the middle: the smooth loss is then symmetric.
        self.engine = x.lagrangian(
            self.share, (self.c, self.low, self.high), self.conjugate, penalty, y_scale
        )
        self.gap = np.inf
        # Which rows are on their breakpoints after the last step, and whether they were before it.
        self.on, self.settled = None, False
        # Of the gap, by how much the duals may miss the best lower bound. Of the tolerance, the gap
        # that makes it needless to look for the exact solution.
        self.rest, self.enough = 0.3, 0.0
        # Whether v is the exact solution, see ``finish``.
        self.finished = False

    def _first_width(self, y_scale):
        return 0.5 * y_scale

    @property
    def weights(self):
        """``v`` in the units of the rows."""
        return self.x.weights(self.v)

    @property
    def theta(self):
        """The duals, one for each row and breakpoint."""
        return self.engine.theta

    def held_at_zero(self, n):
        """Which coefficients an l1 penalty, whose unit rows follow n rows, holds at 0; None before
        the first step."""
        return None if self.on is None else self.on[:, n:].any(axis=0)

    def begin_at(self, theta):
        """Begin with these duals, which lie in their bounds."""
        self.theta[...] = theta

    @lazy_property
    def bounded_below(self):
        """See ``is_bounded_below``."""
        return is_bounded_below(self.low, self.high)

    def widen(self, width):
        """Begin with at least this width, and solve the smooth problems, which hardly bend then, to
        the end: what they are short of is large in the units of the duals."""
        self.width = max(self.width, width)
        self.rest, self.enough = 1e-3, 1e-3

    def step(self, tol):
        """One outer step: minimise the smooth problem, then replace its duals.

        Parameters
        ----------
        tol : float
            The gap that is wanted; the duals may miss a part ``rest`` of it.

        Notes
        -----
        Updates ``v`` and ``gap``, an estimate of F(v) - F*: the duality gap plus what the duals may
        miss.
        """
        self.finished, first = False, self.on is None
        self.v, self.gap, count = self.engine.step(self.v, self.width, self.rest, tol, MAX_NEWTON)
        self.on, self.settled = self.engine.on, not (first or self.engine.changed)
        self.width = next_width(self.width, self.first_width, count)

    def finish(self, tol):
        """Solve for v exactly, given which rows lie on their breakpoints.

        Those are the rows whose dual is strictly inside its bounds. With the others' duals at a
        bound, the optimum solves one linear system. Small problems end here: their coefficients
        do not depend on the path to them, nor on how rows are repeated.

        Parameters
        ----------
        tol : float
            The gap that is wanted.

        Returns
        -------
        optimal : bool
            Whether the solution satisfies the optimality conditions. It replaces ``v`` and
            ``gap`` then.
        """
        on, slack = self.on, 1e-6 * (self.high - self.low)
        piece, row = np.nonzero(on)
        size = len(self.v)
        if len(row) > 4 * size:
            return False
        above = self.theta > self.low + slack
        dual = np.where(on, 0.0, np.where(above, self.high, self.low))
        A = self.x.take(row)
        # The duals in units of the penalty, so that both parts of the system are of one size.
        penalty_scale = self.penalty.max() or 1.0
        system = np.zeros((size + len(row), size + len(row)))
        system[np.arange(size), np.arange(size)] = self.penalty / penalty_scale
        system[:size, size:] = A.T
        system[size:, :size] = A
        right = np.concatenate(
            [((self.share * total(dual)) @ self.x) / -penalty_scale, self.c[piece, row]]
        )
        solution = linalg.lstsq(
            system, right, cond=1e-13, check_finite=False, lapack_driver="gelsy"
        )[0]
        v, theta = solution[:size], solution[size:] * penalty_scale / self.share[row]
        r = self.x @ v - self.c
        tiny = 1e-9 * (2 * self.first_width + np.abs(self.c))
        if not (
            np.all(theta >= self.low[piece, row] - slack[piece, row])
            and np.all(theta <= self.high[piece, row] + slack[piece, row])
            and np.all(
                np.where(on, np.abs(r) <= tiny, np.where(above, r >= -tiny, r <= tiny))
                | (self.low == self.high)
            )
        ):
            return False
        # By how much the gradient misses 0, the dual of this solution misses the optimum.
        miss = (system[:size] @ solution - right[:size]) * penalty_scale
        weighed = self.penalty > 0
        gap = 0.5 * float(np.sum(miss[weighed] ** 2 / self.penalty[weighed]))
        gap += self.first_width * float(np.abs(miss[~weighed]).sum())
        if gap > max(tol, self.gap):
            return False
        self.v, self.gap, self.finished = v, gap, True
        return True

    def step_until_finished(self, tol):
        """Step on, a few times at most, until the rows on their breakpoints are known and with
        them the exact solution."""
        for _ in range(15):
            if self.finish(tol) or self.gap <= self.enough * tol:
                break
            gap, v = self.gap, self.v
            self.step(0.0)
            if np.array_equal(self.v, v):
                break
            if not self.gap <= gap:
                self.gap, self.v = gap, v
