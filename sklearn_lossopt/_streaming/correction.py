"""Newton steps on the estimated objective of all rows seen, between passes of the optimizer."""

import math

import numpy as np

from sklearn_lossopt._linalg import conjugate_gradients, weighted_grams, whitener
from sklearn_lossopt._solvers.newton import JOINT_MATRIX_SIZE
from sklearn_lossopt._solvers.proximal_newton import (
    MatrixModel,
    QuadraticModel,
    minimise,
    thresholds,
)
from sklearn_lossopt._streaming.interior_point import PiecewiseLinearProblem
from sklearn_lossopt._streaming.rounded import RoundedLoss

# Newton steps of one correction, at most: in general, and where breakpoints are rounded off over
# little, as a start is good.
STEPS, NARROW_STEPS = 8, 4
# Curvatures of single rows are raised to this part of their mean, or more where steps fail.
FLOOR, LEAST_FLOOR = 1e-2, 1e-6
# A correction ends where a step gains less than this part of the objective; less gained is nothing
# beside what is rounded off.
TOLERANCE, ROUNDED_TOLERANCE = 1e-4, 1e-3
# And before a step of a smooth loss that promises less than this part.
NOTHING = 1e-6
# Parts of a pass that are tried.
PARTS = 1.0, 0.25, 0.05
# Standard errors by which a minimum may be worse for the rows kept than another model.
NOISE = 3.0
# Widths over which breakpoints are rounded off, in median distances of rows from them: of the
# first step, by what it shrinks, and of the last.
WIDEST, NARROWER, NARROWEST = 1.0, 0.6, 0.15
# Newton's steps that gained this part of the objective may have ended early where breakpoints are
# rounded off. Solutions without rounding off, at most, where each is one of a majorant.
EARLY, ROUNDS = 0.01, 2


class Correction:
    """Minimises an Estimate from the best of several starts.

    Parameters
    ----------
    estimate : Estimate
    rows : int
        Rows seen.
    bound : float
        An upper bound of the loss's curvature, or its typical size.
    y_scale : float
        A typical size of the targets.
    first : bool, default=False
        Whether the stream has not been corrected before, so that starts may be far away.

    Attributes
    ----------
    values : ndarray
        The estimate at the starts.
    value : float
        At the minimiser.
    converged, credible : bool
        Whether the steps have ended, and whether the rows kept find the minimum a good one too.
    """

    def __init__(self, estimate, rows, bound, y_scale, first=False):
        self.estimate, self.bound, self.y_scale, self.first = estimate, bound, y_scale, first
        self.objective = estimate.objective
        size = self.objective.d + 1
        # A prior worth one row while there are fewer rows than columns, and soon nothing.
        self.prior = 1 / (rows * (1 + (rows / size) ** 2))
        self.loss = RoundedLoss(self.objective.loss, y_scale)
        self.floor = FLOOR
        self.credible = self.converged = True

    def round_off(self, W, step):
        """Choose the width for a step from W: narrower with each."""
        if self.objective.loss.smooth:
            return
        distance = self.loss.distance(self.estimate.target, self.estimate.x @ W.T)
        width = max(WIDEST * NARROWER**step, NARROWEST) * distance
        self.loss = RoundedLoss(self.objective.loss, max(width, 1e-6 * self.y_scale))

    def run(self, starts):
        """The minimiser, as far as a few Newton steps from the best start take it; what the rows
        leave open stays as it is in the last one."""
        smooth = self.objective.loss.smooth
        with np.errstate(all="ignore"):
            narrow = RoundedLoss(self.objective.loss, 0.0)
            values = [self.estimate.value(narrow, W) for W in starts]
            self.values = values = np.where(np.isfinite(values), values, np.inf)
            value, W = values.min(), starts[int(np.argmin(values))]
            self.value = float(value)
            if not np.isfinite(value):
                return W
            tolerance = TOLERANCE if smooth else ROUNDED_TOLERANCE
            first, steps = (0, STEPS) if smooth or self.first else (3, NARROW_STEPS)
            for step in range(first, first + steps):
                self.round_off(W, step)
                direction, decrement = self._direction(W, starts[-1])
                if not np.isfinite(direction).all():
                    break
                if smooth and decrement <= NOTHING * abs(value):
                    self.converged = True
                    break
                length, gained = self._search(W, direction, decrement)
                W = W + length * direction
                self.floor = self.floor * (100 if length < 0.1 else 0.1)
                self.floor = min(max(self.floor, LEAST_FLOOR), 1.0)
                self.converged = gained <= tolerance * abs(value) and length > 0
                if self.converged and (smooth or WIDEST * NARROWER**step <= NARROWEST):
                    break
            if not smooth and self.objective.l1 == 0:
                gained = self.value - self.estimate.value(narrow, W)
                if len(starts) > 2 or not self.converged or gained > EARLY * abs(self.value):
                    self.loss = narrow
                    W = self._polished(W, starts[-1], narrow)
                    self.round_off(W, STEPS)
            self._judge(starts, W)
            found = self.estimate.value(narrow, W)
            if not found <= self.value:
                # The minimum of what is rounded off over too much.
                return starts[int(np.argmin(values))]
            self.value = found
        return W

    def _polished(self, W, anchor, narrow):
        """The minimum without rounding off, from where Newton's steps ended: they are slow where
        rows have distances of very different sizes from their breakpoints."""
        for _ in range(ROUNDS):
            direction = self._exact(W, anchor, narrow) - W
            length, gained = self._search(W, direction, np.inf)
            W = W + length * direction
            if self.estimate.models is None or not gained > EARLY * abs(self.here):
                break
        return W

    def _exact(self, W, anchor, narrow):
        """The minimiser of the rows' losses and a quadratic for all else in the estimate."""
        estimate = self.estimate
        x, share = estimate.x, estimate.share
        slope = narrow.value_and_slope(estimate.target, x @ W.T)[1]
        self.here, gradient = estimate.value_and_gradient(narrow, W)
        rest = gradient - (share * slope).T @ x
        distance = max(self.loss.distance(estimate.target, x @ W.T), 1e-6 * self.y_scale)
        prior = self.prior / distance * (share[:, 0] @ x**2)
        found = np.empty_like(W)
        breakpoints = self.objective.loss._breakpoints(estimate.target)
        for r, w in enumerate(W):
            quadratic = np.diag(prior + estimate.l2)
            if estimate.models is not None:
                quadratic += estimate.own_curvature(r)
            linear = rest[r] - quadratic @ w + prior * (w - anchor[r])
            of_output = [tuple(part[:, r] for part in each) for each in breakpoints]
            problem = PiecewiseLinearProblem(x, share[:, 0], of_output, quadratic, linear)
            found[r] = problem.minimiser(w, EARLY / 10 * abs(self.here) / len(W))
        return found

    def _judge(self, starts, W):
        """Whether the minimum is a good one for the rows kept, too."""
        if self.estimate.models is None or not len(self.estimate.x):
            return
        best = min((self.estimate.of_kept(self.loss, each) for each in starts), key=np.sum)
        change = self.estimate.of_kept(self.loss, W) - best
        # The standard error of the sum of the rows' changes.
        noise = math.sqrt(float(np.sum((change - change.mean()) ** 2)))
        self.credible = bool(np.sum(change) <= NOISE * noise)

    def _curvature(self, raw):
        """Of each row, raised to a part of their mean or, if no row has any, of its bound."""
        h = np.nan_to_num(self.loss.curvature(self.estimate.target, raw), posinf=1e150)
        mean = float(self.estimate.share[:, 0] @ h.max(axis=1))
        return np.clip(h, self.floor * (mean if mean > 1e-6 * self.bound else self.bound), 1e150)

    def _direction(self, W, anchor):
        """The way to the minimum of the quadratic model at W, and what it promises."""
        estimate, objective = self.estimate, self.objective
        self.here, gradient = estimate.value_and_gradient(self.loss, W)
        raw = estimate.x @ W.T
        if objective.target_kind == "class":
            return self._joint_direction(W, raw, gradient)
        direction, decrement = np.empty_like(W), 0.0
        for r, H in enumerate(self._blocks(raw)):
            if not objective.fit_intercept:
                H[-1, -1] = 1.0
            if objective.l1 > 0:
                model, threshold = MatrixModel(H, objective.l2), thresholds(objective)
                moved, gain, *_ = minimise(model, W[r], gradient[r], threshold)
                direction[r], decrement = moved - W[r], decrement + gain
                continue
            diagonal = np.diagonal(H) * self.prior
            g = gradient[r] + diagonal * (W[r] - anchor[r])
            H[np.diag_indices_from(H)] += diagonal + estimate.l2
            T, _ = whitener(H)
            direction[r] = -(T @ (T.T @ g))
            decrement -= 0.5 * g @ direction[r]
        return direction, decrement

    def _blocks(self, raw):
        """Each output's mean curvature matrix, without the penalty's: of the rows kept, and of
        the models."""
        estimate, models = self.estimate, self.estimate.models
        if not len(estimate.x):
            return models.hessian / estimate.total
        grams = np.stack(list(weighted_grams(estimate.x, self._curvature(raw) * estimate.share)))
        if models is None:
            return grams
        kept = estimate.kept_mass
        return (models.hessian + kept * grams) / (models.mass + kept)

    def _joint_direction(self, W, raw, gradient):
        estimate, objective = self.estimate, self.objective
        along = objective.loss._curvature_operator(estimate.target, raw)
        k, x, share = len(W), estimate.x, estimate.share
        if objective.l1 > 0:
            model = QuadraticModel(x, share, along, k, objective.l2)
            threshold = np.tile(thresholds(objective), k)
            moved, decrement, *_ = minimise(model, W.ravel(), gradient.ravel(), threshold)
            return moved.reshape(W.shape) - W, decrement
        penalty = estimate.l2.copy()
        # Of a constant for all outputs, which no loss sees.
        penalty[-1] = 1e-8 if objective.fit_intercept else 1.0
        if gradient.size <= JOINT_MATRIX_SIZE:
            H = joint_matrix(x, along, share, k)
            H[np.diag_indices_from(H)] += np.tile(penalty, k)
            T, _ = whitener(H)
            direction = -(T @ (T.T @ gradient.ravel())).reshape(W.shape)
        else:
            blocks = list(weighted_grams(x, self._curvature(raw) * share))
            for H in blocks:
                H[np.diag_indices_from(H)] += penalty
            whiteners = [whitener(H)[0] for H in blocks]

            def product(v):
                return (along(x @ v.T) * share).T @ x + penalty * v

            def solve(g):
                return np.stack([T @ (T.T @ row) for T, row in zip(whiteners, g, strict=True)])

            direction, _ = conjugate_gradients(product, solve, -gradient, 0.1, 20)
        return direction, -0.5 * float(np.vdot(gradient, direction))

    def _search(self, W, direction, decrement):
        """A length that lowers the estimate, and by how much it does; 0 if there is none."""
        start = self.here

        def gain(length):
            return start - self.estimate.value(self.loss, W + length * direction)

        length, gained = 1.0, gain(1.0)
        if gained > 1.5 * decrement and self.estimate.models is None:
            while length < 1e3 and (more := gain(2 * length)) > gained:
                length, gained = 2 * length, more
        while not gained > 0:
            length *= 0.5
            if length < 1e-3:
                return 0.0, 0.0
            gained = gain(length)
        return length, gained


def kept_part(estimate, loss, before, after):
    """The part of a pass that does not raise the estimate: weights, the part, from 1 to 0, and
    the estimate there."""
    with np.errstate(all="ignore"):
        start = estimate.value(loss, before)
        for length in PARTS:
            W = before + length * (after - before)
            value = estimate.value(loss, W)
            if value <= start:
                return W, length, value
    return before, 0.0, start


def joint_matrix(x, along, share, k):
    """The mean curvature of a loss that couples its outputs, (k (d + 1), k (d + 1))."""
    size = x.shape[1]
    H = np.empty((k, size, k, size))
    for s in range(k):
        one = np.zeros((len(x), k))
        one[:, s] = 1.0
        columns = (along(one) * share)[:, s:]
        blocks = x.T @ (columns[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        blocks = blocks.reshape(size, k - s, size)
        H[s, :, s:] = blocks
        H[s:, :, s] = blocks.transpose(1, 2, 0)
    return H.reshape(k * size, -1)
