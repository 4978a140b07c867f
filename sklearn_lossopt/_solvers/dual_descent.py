r"""Dual coordinate descent, watched by its duality gap.

``_engine/_dual_descent.pyx`` has the sweeps and derives their update. Here their duals
:math:`\theta` and model (w, b) become a bound of F - F*. With duals :math:`\theta'` in their bounds
and :math:`\sum_i s_i \theta'_i = 0`, which moving the larger side towards 0 achieves, and
:math:`w' = -\sum_i s_i \theta'_i x_i / \lambda`,

.. math:: F(w, b) - F^* \le \sum_i s_i \bigl(l(z_i) + l^*(\theta'_i) - \theta'_i z_i\bigr)
    + \tfrac{\lambda}{2} |w - w'|^2

by Fenchel's inequality: nothing is assumed about how far the sweeps have come.

Sweeps cost next to nothing, but with little penalty there can be too many of them. They are given
up where the gap falls so slowly that it would not arrive in time.
"""

import math

import numpy as np

from sklearn_lossopt._cache import lazy_property
from sklearn_lossopt._engine import DualDescent, look_for_stop
from sklearn_lossopt._solvers.augmented_lagrangian import fenchel_gaps, is_bounded_below, total
from sklearn_lossopt._solvers.scaled_rows import most_in_matrix, row_shares

# Sweeps between two measurements of the gap, and numbers read between two looks at signals.
SWEEPS, SIGNAL_WORK = 5, 2e7
# Sweeps that a problem may take, and that it is given before its progress is judged: where the
# augmented Lagrangian forms a matrix, where it needs conjugate gradients, where there is none.
NARROW, WIDE, ALONE = (100, 20), (2000, 50), (10_000, 50)


def anchored(theta, low, high, share):
    """Duals (m, n) in their bounds whose sum weighted by the shares is 0: the side that weighs
    more is moved towards 0. None where that is not enough."""
    balance = float(share @ theta.sum(axis=0))
    anchor = np.clip(0.0, low, high)
    moved = theta - anchor
    moved = np.where(moved > 0, moved, 0.0) if balance > 0 else np.where(moved < 0, moved, 0.0)
    available = float(share @ moved.sum(axis=0))
    if abs(balance) > abs(available):
        return None
    return theta if available == 0 else theta - (balance / available) * moved


class DualDescentSolver:
    """Dual coordinate descent for one output of an objective with an L2 penalty.

    Parameters
    ----------
    objective : Objective
    shift : ndarray of shape (d,) or None
        What dense columns are less.
    breakpoints : list of (c, low, high)
        See ``Loss._breakpoints``; each an array of shape (n,).
    start : ndarray of shape (d + 1,)
        Weights whose intercept is the first proximal point.
    seed : int

    Attributes
    ----------
    weights : ndarray of shape (d + 1,)
        The best that was found.
    gap : float
        A bound of F(weights) - F*.
    exhausted : bool
        Whether sweeps have been given up.
    theta : ndarray of shape (m, n)
        The duals, in their bounds.
    """

    # What the exact end of ``AugmentedLagrangian`` is told by.
    settled = finished = False

    def __init__(self, objective, shift, breakpoints, start, seed):
        parts = [np.stack(part).astype(np.float64) for part in zip(*breakpoints, strict=True)]
        self.c, self.low, self.high = parts
        self.l2, self.intercept = objective.l2, objective.fit_intercept
        self.share = row_shares(objective)
        self.descent = DualDescent(
            objective.X, objective.sample_indices, shift, self.share, tuple(parts), 0.0, self.l2,
            float(start[-1]) if self.intercept else None, seed,
        )  # fmt: skip
        self.weights, self.gap, self.exhausted = start, math.inf, False
        # Sweeps so far, and the smallest gap after each few.
        self.count, self.history = 0, []
        self.most, self.first = NARROW if objective.d <= most_in_matrix(objective) else WIDE

    @lazy_property
    def bounded_below(self):
        """See ``is_bounded_below``."""
        return is_bounded_below(self.low, self.high)

    @property
    def theta(self):
        return self.descent.theta

    def step(self, tol):
        """Sweep until the gap is at most ``tol``, or sweeps are given up."""
        while not (self.gap <= tol or self.exhausted):
            self._sweep()
            self._measure()
            self._judge(tol)

    def _sweep(self):
        left = SWEEPS * self.descent.size
        while left > 0:
            look_for_stop()
            left -= self.descent.sweeps(min(left, SIGNAL_WORK))
        self.count += SWEEPS

    def _measure(self):
        """Take the duals' model, if its gap is the smallest so far."""
        descent = self.descent
        descent.renew()
        z = descent.predict()
        dual, moved = descent.theta, None
        if self.intercept:
            dual = anchored(dual, self.low, self.high, self.share)
            if dual is None:
                return
            moved = self.share * (dual - descent.theta).sum(axis=0)
        gap = float(self.share @ total(fenchel_gaps(z - self.c, self.low, self.high, dual)))
        if moved is not None and moved.any():
            step = descent.pull(moved)
            gap += 0.5 * float(step @ step) / self.l2
            gap += abs(descent.b * float(self.share @ dual.sum(axis=0)))
        if gap < self.gap:
            self.gap = gap
            self.weights = np.append(descent.w, descent.b if self.intercept else 0.0)

    def go_on(self):
        """Take more sweeps than other methods would: there is none."""
        self.exhausted = self.most == ALONE[0]
        self.most, self.first = ALONE

    def _judge(self, tol):
        """Give up where the gap would not arrive in time at the rate of the last half of the
        sweeps."""
        self.history.append(self.gap)
        made = len(self.history)
        if self.gap <= tol or self.count < self.first:
            return
        before = self.history[made // 2 - 1]
        fallen = math.log(before / self.gap) if math.isfinite(before) and self.gap > 0 else 0.0
        wanted = math.log(self.gap / tol) if tol > 0 and math.isfinite(self.gap) else math.inf
        left = self.most / SWEEPS - made
        self.exhausted = not wanted * (made - made // 2) <= fallen * left
