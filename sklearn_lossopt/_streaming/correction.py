"""Newton steps on the estimated objective of all rows seen, between passes of the optimizer."""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_lossopt._engine import interior_point
from sklearn_lossopt._linalg import (
    conjugate_gradients,
    scaled_cholesky,
    scaled_solution,
    weighted_grams,
)
from sklearn_lossopt._solvers.joint_hessian import JOINT_MATRIX_SIZE
from sklearn_lossopt._solvers.proximal_newton import (
    MatrixModel,
    QuadraticModel,
    minimise,
    thresholds,
)
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
# By how many times a step with an earlier curvature may gain less or more than it promises.
FAITHFUL = 2.0
# Standard errors by which a minimum may be worse for the rows kept than another model.
NOISE = 3.0
# Widths over which breakpoints are rounded off, in median distances of rows from them: of the
# first step, by what it shrinks, and of the last.
WIDEST, NARROWER, NARROWEST = 1.0, 0.6, 0.15
# Newton's steps that gained this part of the objective may have ended early where breakpoints are
# rounded off. Solutions without rounding off, at most, where each is one of a majorant.
EARLY, ROUNDS = 0.01, 2
# Steps of the interior point, at most.
INTERIOR_STEPS = 40


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
    start, end : Evaluation
        Of the steps; at the end with breakpoints rounded off as in the last one.
    converged, credible : bool
        Whether the steps have ended, and whether the rows kept find the minimum a good one too.
    step : NewtonStep or None
        Of the last curvature; None where it is not a matrix alone.
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
        self.step = None

    def round_off(self, here, step):
        """``here`` with the width for a step from there: narrower with each."""
        if self.objective.loss.smooth:
            return here
        distance = self.loss.distance(self.estimate.target, here.raw)
        width = max(WIDEST * NARROWER**step, NARROWEST) * distance
        self.loss = RoundedLoss(self.objective.loss, max(width, 1e-6 * self.y_scale))
        return here.with_loss(self.loss)

    def run(self, starts, anchor):
        """The minimiser, as far as a few Newton steps from the best start take it.

        Parameters
        ----------
        starts : list of Evaluation
            With the loss as it is.
        anchor : ndarray of shape (k, d + 1)
            Where what the rows leave open stays as it is.

        Returns
        -------
        W : ndarray of shape (k, d + 1)
        """
        with np.errstate(all="ignore"):
            values = np.array([start.value for start in starts])
            self.values = np.where(np.isfinite(values), values, np.inf)
            best = starts[int(np.argmin(self.values))]
            self.value, self.start, self.end = best.value, best, best
            if not np.isfinite(self.values).any():
                self.value = np.inf
                return best.W
            found = self._found(best, anchor, len(starts) > 2)
            self.credible = credible(starts, found)
            if found.value <= self.value:
                self.value = found.value
                return found.W
            # The minimum of what is rounded off over too much.
            self.end = best
        return best.W

    def _found(self, here, anchor, thorough):
        """The minimiser found from an Evaluation, with the loss as it is."""
        smooth, value, narrow = self.objective.loss.smooth, here.value, here.loss
        exact = not smooth and self.objective.l1 == 0
        if exact and (thorough or self.first):
            # What Newton's steps would find on the way is no better a start.
            found = self._polished(here, anchor)
            self.end = self.round_off(found, STEPS)
            self._newton(self.end, anchor)
            return found
        tolerance = (TOLERANCE if smooth else ROUNDED_TOLERANCE) * abs(value)
        first, steps = (0, STEPS) if smooth or self.first else (3, NARROW_STEPS)
        newton = None
        for step in range(first, first + steps):
            here = self.round_off(here, step)
            # The last step's curvature says whether another is worth its own.
            direction, decrement = newton(here) if newton else (None, np.inf)
            if not decrement <= tolerance:
                newton = self._newton(here, anchor)
                direction, decrement = newton(here)
            if not np.isfinite(direction).all():
                break
            if smooth and decrement <= NOTHING * abs(value):
                self.converged = True
                break
            there, length = self._search(here, direction, decrement)
            gained, here = here.value - there.value, there
            newton = newton if smooth and length == 1.0 else None
            self.floor = self.floor * (100 if length < 0.1 else 0.1)
            self.floor = min(max(self.floor, LEAST_FLOOR), 1.0)
            self.converged = gained <= tolerance and length > 0
            if self.converged and (smooth or WIDEST * NARROWER**step <= NARROWEST):
                break
        self.end = here
        if smooth:
            return here
        found = here.with_loss(narrow)
        early = not self.converged or value - found.value > EARLY * abs(value)
        if exact and early:
            found = self._polished(found, anchor)
            self.end = self.round_off(found, STEPS)
        return found

    def _polished(self, here, anchor):
        """The minimum without rounding off, from where Newton's steps ended: they are slow where
        rows have distances of very different sizes from their breakpoints."""
        for _ in range(ROUNDS):
            direction = self._exact(here, anchor) - here.W
            there, _ = self._search(here, direction, np.inf)
            gained, here = here.value - there.value, there
            if self.estimate.models is None or not gained > EARLY * abs(here.value):
                break
        return here

    def _exact(self, here, anchor):
        """The minimiser of the rows' losses and a quadratic for all else in the estimate."""
        estimate = self.estimate
        x, share = estimate.x, estimate.share
        rest = here.gradient() - (share * here.slope).T @ x
        distance = max(here.loss.distance(estimate.target, here.raw), 1e-6 * self.y_scale)
        prior = self.prior / distance * (share[:, 0] @ x**2)
        quadratic = np.tile(np.diag(prior + estimate.l2), (len(here.W), 1, 1))
        if estimate.models is not None:
            quadratic += estimate.own_curvature()
        bent = (quadratic @ here.W[:, :, None])[:, :, 0]
        linear = rest - bent + prior * (here.W - anchor)
        parts = zip(*self.objective.loss._breakpoints(estimate.target), strict=True)
        pieces = np.stack([np.stack([each.T for each in part]) for part in parts])
        tol = EARLY / 10 * abs(here.value) / len(here.W)
        found = np.empty_like(here.W)
        for r, w in enumerate(here.W):
            of_output = tuple(np.ascontiguousarray(pieces[:, :, r]))
            found[r] = interior_point(
                x, share[:, 0], of_output, quadratic[r], linear[r], w, tol, INTERIOR_STEPS
            )
        return found

    def _curvature(self, raw):
        """Of each row, raised to a part of their mean or, if no row has any, of its bound."""
        h = np.nan_to_num(self.loss.curvature(self.estimate.target, raw), posinf=1e150)
        mean = float(self.estimate.share[:, 0] @ h.max(axis=1))
        return np.clip(h, self.floor * (mean if mean > 1e-6 * self.bound else self.bound), 1e150)

    def _newton(self, here, anchor):
        """A function that takes an Evaluation to the way to the minimum of the quadratic model
        there, of the curvature here, and what that promises."""
        estimate, objective = self.estimate, self.objective
        if objective.target_kind == "class":
            return self._joint_newton(here)
        blocks = self._blocks(here.raw)
        if not objective.fit_intercept:
            for H in blocks:
                H[-1, -1] = 1.0
        if objective.l1 > 0:
            models, threshold = (
                [MatrixModel(H, objective.l2) for H in blocks],
                thresholds(objective),
            )

            def proximal(there):
                parts = zip(models, there.W, there.gradient(), strict=True)
                found = [minimise(model, w, g, threshold)[:2] for model, w, g in parts]
                return np.stack([w for w, _ in found]) - there.W, sum(gain for _, gain in found)

            return proximal
        priors = np.stack([np.diagonal(H) for H in blocks]) * self.prior
        for H, prior in zip(blocks, priors, strict=True):
            H[np.diag_indices_from(H)] += prior + estimate.l2
        self.step = step = NewtonStep.of(blocks)
        return lambda there: step(there.gradient() + priors * (there.W - anchor))

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

    def _joint_newton(self, here):
        estimate, objective = self.estimate, self.objective
        along = objective.loss._curvature_operator(estimate.target, here.raw)
        k, x, share = len(here.W), estimate.x, estimate.share
        if objective.l1 > 0:
            model = QuadraticModel(x, share, along, k, objective.l2)
            threshold = np.tile(thresholds(objective), k)

            def proximal(there):
                moved, decrement, *_ = minimise(
                    model, there.W.ravel(), there.gradient().ravel(), threshold
                )
                return moved.reshape(there.W.shape) - there.W, decrement

            return proximal
        penalty = estimate.l2.copy()
        # Of a constant for all outputs, which no loss sees.
        penalty[-1] = 1e-8 if objective.fit_intercept else 1.0
        if here.W.size <= JOINT_MATRIX_SIZE:
            H = joint_matrix(x, along, share, k)
            H[np.diag_indices_from(H)] += np.tile(penalty, k)
            self.step = step = NewtonStep.of([H])
            return lambda there: step(there.gradient())
        blocks = list(weighted_grams(x, self._curvature(here.raw) * share))
        for H in blocks:
            H[np.diag_indices_from(H)] += penalty
        first = NewtonStep.of(blocks)

        def product(v):
            return (along(x @ v.T) * share).T @ x + penalty * v

        def newton(there):
            gradient = there.gradient()
            direction, _ = conjugate_gradients(product, first.solve, -gradient, 0.1, 20)
            return direction, -0.5 * float(np.vdot(gradient, direction))

        return newton

    def _search(self, here, direction, decrement):
        """An Evaluation with a lower value along a direction, and how far it is: ``here`` and 0 if
        there is none."""

        def at(length):
            return self.estimate.at(here.loss, here.W + length * direction)

        length, there = 1.0, at(1.0)
        if here.value - there.value > 1.5 * decrement and self.estimate.models is None:
            while length < 1e3 and (further := at(2 * length)).value < there.value:
                length, there = 2 * length, further
        while not there.value < here.value:
            length *= 0.5
            if length < 1e-3:
                return here, 0.0
            there = at(length)
        return there, length


@dataclass
class NewtonStep:
    """Newton's step for gradients (k, d + 1), with one ``scaled_cholesky`` for each row or one for
    all."""

    factors: list

    @classmethod
    def of(cls, matrices):
        return cls([scaled_cholesky(H) for H in matrices])

    @property
    def size(self):
        """Numbers that it holds."""
        return sum(factor.size for factor, _ in self.factors)

    def solve(self, gradient):
        """The inverse of the curvature times a gradient."""
        if len(self.factors) < len(gradient):
            return scaled_solution(*self.factors[0], gradient.ravel()).reshape(gradient.shape)
        pairs = zip(self.factors, gradient, strict=True)
        return np.stack([scaled_solution(*factor, row) for factor, row in pairs])

    def __call__(self, gradient):
        """The step, and what it promises."""
        direction = -self.solve(gradient)
        return direction, -0.5 * float(np.vdot(gradient, direction))


def stepped(here, step, width):
    """The Evaluation after one step with an earlier curvature, where breakpoints were rounded off
    over ``width``; None where the step does not gain what it promises, so that the curvature is
    another one here."""
    estimate, narrow = here.estimate, here.loss
    with np.errstate(all="ignore"):
        start = here
        if not narrow.loss.smooth:
            start = here.with_loss(RoundedLoss(narrow.loss, width))
        direction, decrement = step(start.gradient())
        if decrement <= NOTHING * abs(here.value):
            return here
        there = estimate.at(start.loss, here.W + direction)
        gained = start.value - there.value
        if not decrement / FAITHFUL <= gained <= FAITHFUL * decrement:
            return None
        if start is not here:
            there = there.with_loss(narrow)
            if not there.value <= here.value:
                return None
        return there if credible([here], there) else None


def credible(starts, found):
    """Whether the rows kept, too, find a minimum a good one, and what the models say beside them is
    what may be said of other rows."""
    if found.estimate.models is None or not len(found.rows):
        return True
    if found.value < 0 <= found.rows.min():
        # So good is no model.
        return False
    best = min(starts, key=lambda start: np.sum(start.of_kept()))
    change = found.of_kept() - best.of_kept()
    # The standard error of the sum of the rows' changes.
    noise = math.sqrt(float(np.sum((change - change.mean()) ** 2)))
    more = found.of_models() - best.of_models()
    return bool(np.sum(change) <= NOISE * noise and -more <= NOISE * noise)


def kept_part(before, after, parts=PARTS):
    """The part of a pass that does not raise the estimate: the Evaluation there, and the part, from
    1 to 0, given those before and after the pass."""
    with np.errstate(all="ignore"):
        for length in parts:
            there = after
            if length < 1.0:
                W = before.W + length * (after.W - before.W)
                there = before.estimate.at(before.loss, W)
            if there.value <= before.value:
                return there, length
    return before, 0.0


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
