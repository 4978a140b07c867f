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

References
----------
Rockafellar, R. T. (1976). Augmented Lagrangians and applications of the proximal point algorithm
in convex programming. Mathematics of Operations Research 1(2), 97-116.

Li, X., Sun, D. and Toh, K.-C. (2018). A highly efficient semismooth Newton augmented Lagrangian
method for solving Lasso problems. SIAM Journal on Optimization 28(1), 433-458.
"""

from functools import partial

import numpy as np
from scipy import linalg

from sklearn_lossopt._linalg import MATRIX_SIZE, conjugate_gradients

# Iterations of conjugate gradients for one Newton step, at most.
CG_STEPS = 1000
# In units of the first width: below it steps are rounding.
LEAST_WIDTH = 1e-12
# What other curvature is taken to be at least, as a share of the ridge: the rest is rounding.
LEAST_SHARE = 1e-10


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

    def gram(self, index, weight):
        end = np.searchsorted(index, self.n)
        H = self.x.gram(index[:end], weight[:end])
        unit = index[end:] - self.n
        H[unit, unit] += weight[end:]
        return H

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

    def __init__(self, x, breakpoints, penalty, y_scale, v):
        self.x, self.share, self.penalty, self.v = x, x.share, penalty, v
        self.c, self.low, self.high = (np.stack(part) for part in zip(*breakpoints, strict=True))
        self.width = self.first_width = 0.5 * y_scale
        self.gap = np.inf
        # A multiple of the identity keeps Newton's matrix regular while few rows have curvature.
        self.ridge, self.least_ridge = 1e-4, 1e-14
        # Until there are duals, those in the middle: the smooth loss is then symmetric.
        self.theta = 0.5 * (self.low + self.high)
        # Which rows are on their breakpoints after the last step, and whether they were before it.
        self.on, self.settled = None, False
        # Coordinates along which the last step had no curvature but the ridge.
        self.flat = np.zeros(len(v), bool)
        # Of conjugate gradients, where they solve for the step.
        self.accuracy = 0.05
        # Of the gap, what the smooth problem may be short of its minimum. Of the tolerance, the gap
        # that makes it needless to look for the exact solution.
        self.rest, self.enough = 0.01, 0.0
        # Whether v is the exact solution, see ``finish``.
        self.finished = False

    @property
    def weights(self):
        """``v`` in the units of the rows."""
        return self.x.weights(self.v)

    def held_at_zero(self, n):
        """Which coefficients an l1 penalty, whose unit rows follow n rows, holds at 0; None before
        the first step."""
        return None if self.on is None else self.on[:, n:].any(axis=0)

    def begin_at(self, theta):
        """Begin with these duals, which lie in their bounds."""
        self.theta = theta.copy()

    @property
    def bounded_below(self):
        """See ``is_bounded_below``."""
        return is_bounded_below(self.low, self.high)

    def widen(self, width):
        """Begin with at least this width, and solve the smooth problems, which hardly bend then, to
        the end: what they are short of is large in the units of the duals."""
        self.width = max(self.width, width)
        self.rest, self.enough = 1e-10, 1e-3

    def _dual(self, z, theta):
        u = z - self.c
        u /= self.width
        u += theta
        return np.clip(u, self.low, self.high, out=u)

    def _gap(self, z, dual):
        return float(self.share @ total(fenchel_gaps(z - self.c, self.low, self.high, dual)))

    def _predict(self, v):
        """Raw predictions of the rows."""
        return self.x @ v

    def _slope(self, z, v):
        """The gradient of the smooth problem at v, and the rows' duals."""
        dual = self._dual(z, self.theta)
        return (self.share * total(dual)) @ self.x + self.penalty * v, dual

    def _newton_direction(self, g, dual):
        ridge = self.ridge / self.width
        added = self.penalty + ridge
        if len(g) > MATRIX_SIZE:
            return self._solve_iteratively(g, dual, added)
        H = self._matrix(dual)
        self.flat = np.diagonal(H) + self.penalty <= 10 * ridge
        H[np.diag_indices_from(H)] += added
        factor = linalg.cho_factor(H, lower=True, check_finite=False)
        solve = partial(linalg.cho_solve, (factor[0], True), check_finite=False)
        direction = -solve(g)
        # Without the ridge R it would be the sum of (H + R)^-1 R, to all powers, times this: a
        # geometric series, which is long where there is next to no other curvature.
        second = solve(ridge * direction)
        terms = [-g @ direction, -g @ second, -g @ solve(ridge * second)]
        left = max(1 - terms[2] / terms[1], LEAST_SHARE) if terms[1] > 0 else 1.0
        return direction, 0.5 * (terms[0] + max(terms[1], 0.0) / left)

    def _matrix(self, dual):
        """The curvature of the smooth loss."""
        return self.x.gram(*self._curvature(dual))

    def _curvature(self, dual):
        """The rows where the smooth loss has curvature, and how much, times their shares."""
        bends = ((dual > self.low) & (dual < self.high)).sum(axis=0, dtype=np.int8)
        rows = np.flatnonzero(bends)
        return rows, self.share[rows] * bends[rows] / self.width

    def _operator(self, dual):
        """The product with ``_matrix``, which is not formed, and its diagonal."""
        return self.x.operator(*self._curvature(dual))

    def _solve_iteratively(self, g, dual, added):
        """The same by conjugate gradients. Their residual r hides r' H^-1 r / 2 of the decrement,
        which is bounded with the penalty's part of H alone."""
        along, diagonal = self._operator(dual)
        self.flat = diagonal + self.penalty <= 10 * (added - self.penalty)
        diagonal += added

        def product(v):
            return along(v) + added * v

        direction, _ = conjugate_gradients(
            product, lambda v: v / diagonal, -g, self.accuracy, CG_STEPS
        )
        r = g + product(direction)
        least = added.copy()
        least[-1] = diagonal[-1]
        decrement, rest = -0.5 * g @ direction, 0.5 * r @ (r / least)
        if rest > decrement:
            self.accuracy = max(0.1 * self.accuracy, 1e-9)
        return direction, decrement + rest

    def step(self, tol, max_newton=30):
        """One outer step: minimise the smooth problem, then replace its duals.

        Parameters
        ----------
        tol : float
            The gap that is wanted; the smooth problem is solved to a part ``rest`` of it.
        max_newton : int, default=30

        Notes
        -----
        Updates ``v`` and ``gap``, an estimate of F(v) - F*: the duality gap plus what the smooth
        problem is short of its minimum.
        """
        for _ in self.stepping(tol, max_newton):
            pass  # rows at hand are waited for by nobody

    def stepping(self, tol, max_newton=30):
        """``step`` as a generator: it pauses for what ``_fetch`` and ``_fetch_along`` wait for."""
        v = self.v
        z = self._predict(v)
        count, self.gap, self.finished = 0, np.inf, False
        while count < max_newton:
            count += 1
            yield from self._fetch(v)
            g, dual = self._slope(z, v)
            try:
                direction, decrement = self._newton_direction(g, dual)
            except linalg.LinAlgError:
                self.ridge = self.least_ridge = 10 * self.ridge
                continue
            gap = self._gap(z, dual)
            del dual
            if decrement <= self.rest * max(gap, tol):
                # The decrement says what is left only where the ridge is negligible.
                if self.ridge <= self.least_ridge:
                    # Many times: it takes the rows near their breakpoints to be those at the end.
                    self.gap = gap + 30 * decrement
                    # Where the ridge is all curvature, the decrement says nothing.
                    self.gap += 100 * self.first_width * float(np.abs(g[self.flat]).sum())
                    break
                self.ridge = max(self.least_ridge, 1e-3 * self.ridge)
                continue
            yield from self._fetch_along(v, g, direction)
            length = self._move(z, v, g, direction)
            v = v + length * direction
            if length > 0.5:
                self.ridge = max(0.1 * self.ridge, self.least_ridge)
            elif length < 0.1:
                self.ridge = max(min(10 * self.ridge, 1e-2), self.least_ridge)
        self.v = v
        self._replace_duals(z, v)
        if count <= 6:
            self.width = max(0.2 * self.width, LEAST_WIDTH * self.first_width)
        elif count > 15:
            self.width *= 2.0

    def _fetch(self, v):
        """Waits for what the next look at v needs, where rows are elsewhere: yields until then."""
        return ()

    def _fetch_along(self, v, g, direction):
        """The same for a move from v, where the gradient is g."""
        return ()

    def _move(self, z, v, g, direction):
        """Move predictions z along a direction from v, where the gradient is g; returns how far."""
        q = self.x @ direction
        length = self._search(z, q, v, direction, self.theta)
        q *= length
        z += q
        return length

    def _replace_duals(self, z, v):
        """Take the duals at v, and note which rows they leave on their breakpoints."""
        self.theta = self._dual(z, self.theta)
        on, self.on = self.on, self._on_breakpoints()
        self.settled = on is not None and np.array_equal(on, self.on)

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
            if not self.gap <= gap:
                self.gap, self.v = gap, v

    def _on_breakpoints(self):
        """Which rows have a dual strictly inside its bounds."""
        slack = 1e-6 * (self.high - self.low)
        return (self.theta > self.low + slack) & (self.theta < self.high - slack)

    def _search(self, z, q, v, direction, theta):
        """The minimiser along a direction: the root of an increasing function."""
        share, penalty = self.share, self.penalty
        constant, linear = (penalty * v) @ direction, (penalty * direction) @ direction
        weighted = share * q

        def slope(t):
            moved = t * q
            moved += z
            return total(self._dual(moved, theta)) @ weighted + constant + t * linear

        low, high = 0.0, 1.0
        f_low, f_high = slope(0.0), slope(1.0)
        if not f_low < 0:
            return 1.0
        while f_high < 0 and high < 1e6:
            low, f_low = high, f_high
            high *= 4
            f_high = slope(high)
        if f_high <= 0:
            return high
        tolerance = 1e-3 * abs(slope(0.0))
        for _ in range(30):
            middle = low - f_low * (high - low) / (f_high - f_low)
            middle = min(max(middle, low + 0.05 * (high - low)), high - 0.05 * (high - low))
            f = slope(middle)
            if abs(f) <= tolerance:
                return middle
            if f < 0:
                low, f_low = middle, f
            else:
                high, f_high = middle, f
        return 0.5 * (low + high)
