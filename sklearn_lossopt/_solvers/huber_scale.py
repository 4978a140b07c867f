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
            delta = self.epsilon * sigma
            value = self._criterion(w, r, delta)
            start, left = w, r
            if outer == 1:
                # Reweighting gets an accelerated start instead.
                ahead = w + momentum / (momentum + 3) * (w - last)
                missed = self._residuals(ahead)
                faster = self._criterion(ahead, missed, delta) < value
                start, left, momentum = (ahead, missed, momentum + 1) if faster else (w, r, 1)
            moved = self._step(start, left, delta, outer)
            missed = self._residuals(moved)
            # At the end the criterion is flat to rounding where steps still mend the scale.
            if outer < 1 and self._criterion(moved, missed, delta) > (1 + 1e-14) * value:
                moved = self._step(w, r, delta, 1.0)
                missed = self._residuals(moved)
                outer = min(10 * outer, 1.0)
            elif self.l1 > 0:
                outer *= 0.3
            last, w, r, before = w, moved, missed, sigma
            sigma = self._scale_of(r)
            if sigma == self.least or abs(sigma - before) <= 1e-11 * sigma:
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
        epsilon, share, squares, least = self.epsilon, self.share, r**2, self.least
        # From the middle: outliers may be any size larger, and where many fit exactly a start from
        # the last scale ends elsewhere.
        sigma = max(1.4826 * _median(np.abs(r)), least)
        for _ in range(200):
            inner = squares <= (epsilon * sigma) ** 2
            outside = epsilon**2 * (1 - share @ inner)
            if outside < 1:
                before, sigma = sigma, np.sqrt(share @ (squares * inner) / (1 - outside))
                if abs(sigma - before) <= 1e-13 * sigma:
                    break
            else:
                sigma *= 0.5
            if sigma <= least:
                break
        return max(sigma, least)

    def _criterion(self, w, r, delta):
        """Huber's objective at a fixed delta, given the residuals of w."""
        size = np.abs(r)
        clipped = np.minimum(size, delta)
        coef = w[:-1]
        value = self.share @ (clipped * (size - 0.5 * clipped)) + 0.5 * self.l2 * coef @ coef
        return value + self.l1 * np.abs(coef).sum()

    def _step(self, w, r, delta, outer):
        """The minimiser of a quadratic model at w, whose residuals are r.

        Outliers have the share ``outer`` of their weight in reweighted least squares. That never
        overshoots; Newton's weights, where they have none, are exact near the end.
        """
        share, l2 = self.share, self.l2
        size = np.maximum(np.abs(r), 1e-300)
        h = np.where(size <= delta, 1.0, outer * (delta / size))
        g = self._sum(share * np.minimum(np.maximum(r, -delta), delta))
        g[:-1] -= l2 * w[:-1]
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
