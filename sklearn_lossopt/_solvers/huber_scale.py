"""The scale of residuals, for Huber's loss."""

import math

import numpy as np

from sklearn_lossopt._linalg import (
    MATRIX_SIZE,
    conjugate_gradients,
    semidefinite_solver,
)
from sklearn_lossopt._quantiles import weighted_median
from sklearn_lossopt._solvers.equivalent_rows import equivalent
from sklearn_lossopt._solvers.newton import HessianModel
from sklearn_lossopt._solvers.proximal_newton import QuadraticModel, minimise, thresholds

# Numbers in the rows that the scale is estimated from: it takes many passes over them.
MAX_SCALE_ENTRIES = 500_000


def residual_scale(objective, epsilon):
    r"""The scale of the residuals that Huber's criterion estimates with the coefficients.

    Minimises :math:`\sigma + \operatorname{mean} \sigma \rho_\epsilon(r / \sigma)` over
    coefficients and :math:`\sigma` together, as ``HuberRegressor`` does, with
    :math:`\rho_\epsilon(u) = u^2` up to epsilon and :math:`2 \epsilon |u| - \epsilon^2` beyond.

    References
    ----------
    Huber, P. J. and Ronchetti, E. M. (2009). Robust Statistics, 2nd ed., section 7.7. Wiley.
    """
    return objective.cached(
        "residual scale", (epsilon, objective.l2, objective.l1),
        lambda: _residual_scale(objective, epsilon),
    )  # fmt: skip


def _residual_scale(objective, epsilon):
    objective, _ = equivalent(objective)
    shift = objective.moments()[0] if objective.fit_intercept and not objective.sparse else None
    hessian = HessianModel(objective, shift, MAX_SCALE_ENTRIES)
    y = hessian.labels[0].astype(np.float64)
    scales = [
        ScaleSearch(hessian, column, epsilon, float(unit)).run()
        for column, unit in zip(y.T, objective.y_scales(), strict=True)
    ]
    return np.array(scales) if objective.n_outputs > 1 else scales[0]


class ScaleSearch:
    """The search for the scale of one output's residuals, in units of a typical target.

    Parameters
    ----------
    hessian : HessianModel
    y : ndarray of shape (m,)
        Targets of the sampled rows.
    epsilon : float
        Residuals beyond epsilon times the scale are outliers.
    y_scale : float
        A typical size of the targets. No scale is below a hundredth of it.
    """

    least = 0.01

    def __init__(self, hessian, y, epsilon, y_scale):
        self.hessian, self.epsilon = hessian, epsilon
        self.rows, weight = hessian.rows, hessian.labels[1]
        self.objective = objective = hessian.objective
        # A power of 2 changes no digit, and squares stay finite.
        self.unit = 2.0 ** math.floor(math.log2(y_scale))
        self.least = self.least * y_scale / self.unit
        self.y = y / self.unit
        self.share = weight[:, 0] / weight.sum()
        self.l2, self.l1 = objective.l2, objective.l1 / self.unit
        self.has_matrix = self.rows.shape[1] <= MATRIX_SIZE

    def run(self):
        """The scale, in the units of the targets."""
        w = np.zeros(self.rows.shape[1])
        w[-1] = _median(self.y) if self.objective.fit_intercept else 0.0
        w, r, sigma = self._start(w)
        # The curvature of outliers: 1 is reweighted least squares', 0 Newton's. Where an l1 penalty
        # chooses among columns, the rows within delta alone are too few at first.
        outer = 0.0 if self.l1 == 0 else 1.0
        last, momentum = w, 0
        for _ in range(100):
            start, left, aim = w, r, sigma
            if outer == 1:
                # Reweighting gets an accelerated start instead.
                ahead = w + momentum / (momentum + 3) * (w - last)
                missed, delta = self._residuals(ahead), self.epsilon * sigma
                faster = self._criterion(ahead, missed, delta) < self._criterion(w, r, delta)
                start, left, momentum = (ahead, missed, momentum + 1) if faster else (w, r, 1)
            if outer == 0 and self.has_matrix:
                moved, aim = self._joint_step(w, r, sigma)
            else:
                moved = self._step(start, left, self.epsilon * sigma, outer)
            missed, delta = self._residuals(moved), self.epsilon * aim
            # At the end the criterion is flat to rounding where steps still mend the scale.
            before, rounding = (w, r, delta), 1 + 1e-14
            if outer < 1 and (
                self._criterion(moved, missed, delta) > rounding * self._criterion(*before)
            ):
                moved, aim = self._step(w, r, self.epsilon * sigma, 1.0), sigma
                missed = self._residuals(moved)
                outer = min(10 * outer, 1.0)
            elif self.l1 > 0:
                outer *= 0.3
            last, w, r = w, moved, missed
            sigma = self._scale_of(r)
            if sigma == self.least or abs(sigma - aim) <= 1e-11 * sigma:
                break
        return self.unit * sigma

    def _start(self, constant):
        """Weights, their residuals and the scale of these: a constant model's or, where outliers
        leave it the smaller one, those of least squares."""
        r = self._residuals(constant)
        sigma = self._scale_of(r)
        if self.l1 > 0 or not self.has_matrix:
            return constant, r, sigma
        H = self.hessian.matrix(1.0)
        w = semidefinite_solver(H)(self._sum(self.share * self.y))
        left = self._residuals(w)
        smaller = self._scale_of(left)
        return (w, left, smaller) if smaller < sigma else (constant, r, sigma)

    def _residuals(self, w):
        return self.y - self.rows.predict(w[None])[:, 0]

    def _sum(self, factors):
        """The sum of the rows times factors."""
        return self.rows.pull(factors[:, None])[0]

    def _scale_of(self, r):
        """The best scale of residuals r: the mean of min(r / sigma, epsilon)^2 falls with sigma,
        and is 1 at the minimum."""
        squares, share, square = r**2, self.share, self.epsilon**2
        if self.objective.weight is None:
            squares.sort()
        else:
            order = np.argsort(squares)
            squares, share = squares[order], share[order]
        # Of the rows up to each: their sum, and the share of the others.
        inner, outside = np.cumsum(share * squares), 1 - np.cumsum(share)
        # How many are inside of epsilon sigma, as far as they are no less than it makes them.
        last = np.count_nonzero(square * (inner + outside * squares) >= squares) - 1
        return max(math.sqrt(inner[last] / (1 - square * outside[last])), self.least)

    def _criterion(self, w, r, delta):
        """Huber's objective at a fixed delta, given the residuals of w."""
        size = np.abs(r)
        clipped = np.minimum(size, delta)
        coef = w[:-1]
        value = self.share @ (clipped * (size - 0.5 * clipped)) + 0.5 * self.l2 * coef @ coef
        return value + self.l1 * np.abs(coef).sum()

    def _step(self, w, r, delta, outer):
        """The minimiser of a quadratic model at w, whose residuals are r. Reweighted least squares
        never overshoot; Newton's weights, where outliers have none, are exact near the end."""
        share, l2 = self.share, self.l2
        h, g = self._weights(r, delta, outer), self._slope(w, r, delta)
        if self.l1 > 0:
            model = QuadraticModel(
                self.hessian.sample[0], share[:, None], h[:, None].__mul__, 1, l2
            )
            return minimise(model, w, -g, thresholds(self.objective) / self.unit)[0]
        if self.has_matrix:
            return w + semidefinite_solver(self._matrix(h))(g)
        h *= share
        last = self.rows.last**2 * h.sum()
        diagonal = np.append(self.rows.column_squares(h) + l2, last)
        diagonal[diagonal == 0] = 1.0

        def product(v):
            out = self._sum(h * self.rows.predict(v[None])[:, 0])
            out[:-1] += l2 * v[:-1]
            return out

        return w + conjugate_gradients(product, lambda v: v / diagonal, g, 1e-4, 500)[0]

    def _joint_step(self, w, r, sigma):
        """Newton's step for weights and scale together; returns both.

        As long as the same rows are outliers, the minimiser moves along a line with the scale, and
        the best scale on it solves a quadratic equation.
        """
        share, delta = self.share, self.epsilon * sigma
        h = self._weights(r, delta, 0.0)
        solve = semidefinite_solver(self._matrix(h))
        moved = w + solve(self._slope(w, r, delta))
        outliers = share * (1 - h)
        along = solve(self._sum(self.epsilon * outliers * np.sign(r)))
        left, shift = self._residuals(moved), self.rows.predict(along[None])[:, 0]
        inside = share * h
        rest = 1 - self.epsilon**2 * outliers.sum()
        # a t^2 - 2 b t + c = 0 for the change t of the scale.
        a = inside @ shift**2 - rest
        b = inside @ (left * shift) + sigma * rest
        c = inside @ left**2 - rest * sigma**2
        root = b**2 - a * c
        if not (root >= 0 and b > 0):
            return moved, sigma
        t = c / (b + math.sqrt(root))
        return (moved + t * along, sigma + t) if abs(t) < 0.5 * sigma else (moved, sigma)

    def _weights(self, r, delta, outer):
        """The rows' curvatures: 1, and of outliers the share ``outer`` of their weight in
        reweighted least squares."""
        size = np.maximum(np.abs(r), 1e-300)
        return np.where(size <= delta, 1.0, outer * (delta / size))

    def _slope(self, w, r, delta):
        """Minus the criterion's gradient at w, whose residuals are r, at a fixed delta."""
        g = self._sum(self.share * np.minimum(np.maximum(r, -delta), delta))
        g[:-1] -= self.l2 * w[:-1]
        return g

    def _matrix(self, h):
        """The criterion's Hessian: the Gram matrix less what few rows lack of it."""
        hessian = self.hessian
        if 2 * np.count_nonzero(h < 1) > len(h):
            return hessian.matrix(h)
        H = hessian.gram - self.rows.grams(((1 - h) * self.share)[:, None])[0]
        if (np.diagonal(H) < 1e-6 * np.diagonal(hessian.gram)).any():
            # Those few have nearly all of a column: the difference would be rounding.
            return hessian.matrix(h)
        return hessian.with_penalty(H)


def _median(values):
    return float(weighted_median(values[:, None], None)[0])
