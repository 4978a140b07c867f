"""The minimum of a quadratic and piecewise linear losses of some rows, by an interior point."""

import numpy as np

from sklearn_lossopt._linalg import semidefinite_solver

# Steps, at most.
STEPS = 40
# Part of the way to the nearest bound that a step may go.
INSIDE = 0.99
# At the start, how far rows stay from their breakpoints: in median distances, or as far as a step
# of Newton's would move them.
DISTANCE = 0.1


class PiecewiseLinearProblem:
    r"""One output's problem in extended weights w (d + 1,),

    .. math:: \tfrac12 w'Pw + q'w + \sum_i s_i \sum_b \max_{l \le t \le h} \; t (x_i'w - c)

    A row's slope t at a breakpoint c lies between l and h, and :math:`x_i'w - c = v - u` with
    u, v >= 0. Newton's steps go to u (t - l) = v (h - t) = m, as m falls to 0. So each row is
    rounded off over a width of its own, which suits it (primal-dual interior point, with the
    predictor and corrector of Mehrotra 1992; for support vector machines Ferris and Munson 2002).

    Parameters
    ----------
    x : ndarray of shape (n, d + 1)
    share : ndarray of shape (n,)
        s.
    breakpoints : list of tuple of ndarray of shape (n,)
        c, l and h of each.
    quadratic, linear : ndarray of shape (d + 1, d + 1) and (d + 1,)
        P, positive semi-definite, and q.

    References
    ----------
    Mehrotra, S. (1992). On the implementation of a primal-dual interior point method. SIAM Journal
    on Optimization 2(4), 575-601.
    Ferris, M. C. and Munson, T. S. (2002). Interior-point methods for massive support vector
    machines. SIAM Journal on Optimization 13(3), 783-804.
    """

    def __init__(self, x, share, breakpoints, quadratic, linear):
        self.x, self.share, self.quadratic, self.linear = x, share, quadratic, linear
        self.at, self.low, self.high = (np.stack(part) for part in zip(*breakpoints, strict=True))
        self.mass = float(share.sum()) * len(self.at)

    def minimiser(self, w, tol):
        """The minimiser (d + 1,), found from w, with an error of about ``tol`` in the objective."""
        self._begin(w)
        step = None
        for _ in range(STEPS):
            below, above = self.t - self.low, self.high - self.t
            residual = self._residual()
            gap = self._weighted(self.u * below + self.v * above)
            if gap <= tol and step is not None and abs(float(residual @ step)) <= tol:
                break
            step = self._step(below, above, gap, residual)
            if step is None:
                break
        return self.w

    def _begin(self, w):
        """Start from w with slopes for which the products are about the same for all rows."""
        self.w, r = w, self.x @ w - self.at
        width = DISTANCE * float(np.median(np.abs(r))) or 1.0
        self._place(r, width)
        solve = self._solver(1 / (self.u / (self.t - self.low) + self.v / (self.high - self.t)))
        self._place(r, np.maximum(width, np.abs(self.x @ solve(self._residual()))))

    def _place(self, r, width):
        """Distances (u, v) for rows' r, and the slopes that belong to them."""
        self.u, self.v = np.maximum(-r, 0) + width, np.maximum(r, 0) + width
        self.t = self.low + (self.high - self.low) * (self.v / (self.u + self.v))

    def _residual(self):
        """The gradient of the problem for the slopes."""
        return self.quadratic @ self.w + self.linear + self._pull(self.t)

    def _weighted(self, values):
        return float(np.sum(values @ self.share))

    def _pull(self, slopes):
        """The gradient of the rows' losses."""
        return (self.share * slopes.sum(axis=0)) @ self.x

    def _solver(self, curvature):
        """What multiplies by the inverse of the Hessian for curvatures of rows."""
        rows = self.x * np.sqrt(self.share * curvature.sum(axis=0))[:, None]
        return semidefinite_solver(rows.T @ rows + self.quadratic, 1e-12)

    def _step(self, below, above, gap, residual):
        """A predictor and a corrector; returns the way gone, None where it is no number."""
        u, v = self.u, self.v
        curvature = 1 / (u / below + v / above)
        solve = self._solver(curvature)

        def direction(first, second):
            """Towards u (t - l) = ``first`` and v (h - t) = ``second``, both over the factors."""
            e = v - u + first - second
            dw = -solve(residual + self._pull(curvature * e))
            dt = curvature * (self.x @ dw + e)
            return dw, dt, first - u - u / below * dt, second - v + v / above * dt

        def length(dt, du, dv):
            most = 1.0
            for at, step in ((u, du), (v, dv), (below, dt), (above, -dt)):
                most = min(most, -1 / min(float((step / at).min()), -1.0))
            return most

        _, dt, du, dv = direction(0.0, 0.0)
        part = length(dt, du, dv)
        left = (u + part * du) * (below + part * dt) + (v + part * dv) * (above - part * dt)
        centre = gap / (2 * self.mass) * (self._weighted(left) / gap) ** 3
        dw, dt, du, dv = direction((centre - du * dt) / below, (centre + dv * dt) / above)
        if not np.isfinite(dw).all():
            return None
        part = INSIDE * length(dt, du, dv)
        self.w, self.t = self.w + part * dw, self.t + part * dt
        self.u, self.v = u + part * du, v + part * dv
        return dw
