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

from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian


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
        self.conjugate, self.n_rows = (conjugate.kind, conjugate.q), n_rows
        super().__init__(x, pieces, penalty, y_scale, v)
        # Rows begin with their own derivatives: they are right where the start is.
        u = (x @ v - self.c)[:, :n_rows]
        self.theta[:, :n_rows] = conjugate.dual(
            u, 0.0, 0.0, self.low[:, :n_rows], self.high[:, :n_rows]
        )

    def _first_width(self, y_scale):
        # Raw predictions move by y_scale while the dual goes from end to end.
        ends = np.abs(np.stack([self.low[:, : self.n_rows], self.high[:, : self.n_rows]]))
        return 0.5 * y_scale / (float(ends[np.isfinite(ends)].max(initial=0)) or y_scale)

    def finish(self, tol):
        """Newton's steps on the loss itself end such a problem."""
        return False
