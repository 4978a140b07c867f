r"""The augmented Lagrangian for smooth losses whose derivative is bounded.

A loss such as Huber's, where residuals are much larger than delta, is all but piecewise linear:
rows beyond delta have no curvature, and Newton's steps on the loss itself see nothing of what lies
between. As a maximum over a dual variable, :math:`f(u) = \max_t t u - \phi(t)`, it takes the same
proximal term as a breakpoint,

.. math:: e(u) = \max_{l \le t \le h} \; t u - \phi(t) - \tfrac{\sigma}{2} (t - \theta)^2,

which is a wider Huber's loss: with :math:`\phi = q t^2 / 2` its curvature is
:math:`1 / (q + \sigma)` between its bounds. A breakpoint has q = 0. Where :math:`\sigma` is much
smaller than q the steps are Newton's own.
"""

import numpy as np

from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian, fenchel_gaps, total


class SmoothLagrangian(AugmentedLagrangian):
    """Augmented Lagrangian iterations for one output of a loss with a ``DualForm``.

    Parameters
    ----------
    x : ScaledRows or WithUnitRows
    pieces : list of (c, low, high)
        Those of the rows and, with an l1 penalty, of the unit rows, which are breakpoints.
    conjugate : Quadratic or Entropy
        That of the rows' pieces.
    n_rows : int
        Rows that come before the unit rows.
    penalty, y_scale, v :
        As for AugmentedLagrangian.
    """

    def __init__(self, x, pieces, conjugate, n_rows, penalty, y_scale, v):
        super().__init__(x, pieces, penalty, y_scale, v)
        self.conjugate, self.n_rows = conjugate, n_rows
        ends = np.stack([self.low[:, :n_rows], self.high[:, :n_rows]])
        finite = np.abs(ends[np.isfinite(ends)])
        # Raw predictions move by y_scale while the dual goes from end to end.
        largest = float(finite.max(initial=0)) or y_scale
        self.width = self.first_width = 0.5 * y_scale / largest
        middle = 0.5 * (self.low + self.high)
        self.theta = np.where(np.isfinite(middle), middle, 0.0)
        # Rows begin with their own derivatives: they are right where the start is.
        z = self.x @ self.v
        self.theta[:, :n_rows] = self._own_dual(z)

    def _own_dual(self, z):
        n = self.n_rows
        return self.conjugate.dual((z - self.c)[:, :n], 0.0, 0.0, self.low[:, :n], self.high[:, :n])

    def _parts(self, *arrays):
        """Arrays of rows and unit rows, those of each together."""
        n = self.n_rows
        yield [array[:, :n] for array in arrays]
        yield [array[:, n:] for array in arrays]

    def _dual(self, z, theta):
        u = z - self.c
        rows, units = self._parts(u, theta, self.low, self.high)
        dual = np.empty_like(u)
        dual[:, : self.n_rows] = self.conjugate.dual(rows[0], rows[1], self.width, *rows[2:])
        dual[:, self.n_rows :] = np.clip(units[0] / self.width + units[1], *units[2:])
        return dual

    def _gap(self, z, dual):
        u = z - self.c
        rows, units = self._parts(u, dual, self.low, self.high)
        gap = np.empty_like(u)
        gap[:, : self.n_rows] = self.conjugate.gap(*rows)
        r, dual, low, high = units
        gap[:, self.n_rows :] = fenchel_gaps(r, low, high, dual)
        return float(self.share @ total(gap))

    def _curvature(self, dual):
        rows, units = self._parts(dual, self.low, self.high)
        bends = np.empty(dual.shape)
        bends[:, : self.n_rows] = self.conjugate.slope(rows[0], self.width, *rows[1:])
        bends[:, self.n_rows :] = ((units[0] > units[1]) & (units[0] < units[2])) / self.width
        bends = total(bends)
        index = np.flatnonzero(bends > 1e-12 * bends.max())
        return index, self.share[index] * bends[index]

    def _on_breakpoints(self):
        # Of unit rows alone: rows have no breakpoints.
        on = np.zeros(self.theta.shape, bool)
        theta, low, high = list(self._parts(self.theta, self.low, self.high))[1]
        slack = 1e-6 * (high - low)
        on[:, self.n_rows :] = (theta > low + slack) & (theta < high - slack)
        return on

    def finish(self, tol):
        """Newton's steps on the loss itself end such a problem."""
        return False
