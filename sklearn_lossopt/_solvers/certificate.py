r"""Proof that an objective is near its minimum.

A Newton direction :math:`d` at weights w gives each row the dual variable
:math:`\theta_i = l'(z_i) + l''(z_i) \, x_i d`. They satisfy
:math:`X' S \theta + \lambda (w + d) = 0`, the constraint of the dual problem, so that by
Fenchel's inequality

.. math:: F(w) - F^* \le \sum_i s_i \bigl(l(z_i) + l^*(\theta_i) - \theta_i z_i\bigr)
    + \tfrac{\lambda}{2} |d|^2

as long as every dual lies in the domain of the conjugate :math:`l^*`. Near the optimum the right
side is Newton's decrement. Where the Hessian is singular on a part of the space that the gradient
has, the constraint cannot be satisfied; where the curvature does not last as far as the direction
goes, duals leave the domain: there is no certificate then, whatever the decrement promises.

What the constraint is short of, :math:`\rho`, is measured over all rows, also where the direction
comes from a sample of them, and the direction is refined until :math:`\rho' H^{-1} \rho / 2` is
a small part of the gap that is wanted.

References
----------
Borwein, J. M. and Lewis, A. S. (2006). Convex Analysis and Nonlinear Optimization, 2nd ed.,
section 3.3. Springer.
"""

import numpy as np

from sklearn_lossopt._engine import whitener
from sklearn_lossopt._linalg import MATRIX_SIZE, block_solver
from sklearn_lossopt._solvers.row_gaps import (
    row_losses,
    sum_curvature,
    sum_curved_moments,
    sum_gaps,
    sum_losses,
    sum_sizes,
)

# Multiplications that the Hessian of all rows may take where the sample's does not do.
WHOLE_COST = 2e10
# Numbers in it where it is added up from partitions of the rows.
WHOLE_SIZE = 4_000_000
# Numbers in rows, for all outputs, that are read in the time of a few calls of NumPy.
FEW_ENTRIES = 100_000
# Refinements of a direction, at most.
REFINEMENTS = 8
# What is left may be this part of the gap that is wanted.
SMALL = 0.05
# How far the raw predictions of an optimum are taken to be, at most, in units of typical ones.
FAR = 100.0


class Certificate:
    """Duality gaps of an objective.

    Parameters
    ----------
    hessian : HessianModel
        After its ``newton_direction``, whose ``solve`` refines directions.
    """

    def __init__(self, hessian):
        self.hessian, self.objective = hessian, hessian.objective
        self.joint = self.objective.target_kind == "class"
        # Columns of one classification problem have one objective; targets have their own.
        self.together = self.objective.target_kind != "values"
        # Of the Hessian of all rows, where that of the sample does not do.
        self.whole = self.whole_at = None

    # -- rows -------------------------------------------------------------------------------

    def _total(self, function, *args):
        """Sums over all rows used, see ``Objective.total``."""
        objective, hessian = self.objective, self.hessian
        if self.sampled:
            return objective.total(function, hessian.shift, *args)
        y, weight = hessian.labels
        share = weight / weight.sum()
        return function(objective.loss, self.joint, hessian.rows, y, share, *args)

    @property
    def sampled(self):
        return self.hessian.rows.shape[0] < self.objective.n

    # -- the gap ----------------------------------------------------------------------------

    def measure(self, weights, direction):
        """One pass over the rows.

        Returns
        -------
        values : ndarray of shape (k,)
            The objective at the weights, of each output; of a classification the sum, in the first.
        gaps : ndarray of shape (k,)
            The duality gaps, were the constraint satisfied.
        rest : ndarray of shape (k, d + 1)
            What it is short of.
        """
        objective = self.objective
        values, gaps, pull = self._of_the_loss(weights, direction)
        coef, step = weights[:, :-1], direction[:, :-1]
        values += self._sum(0.5 * objective.l2 * coef**2 + objective.l1 * np.abs(coef))
        rest = pull
        if objective.l1 > 0:
            # Where the dual of the penalty would have to lie outside its bounds.
            wanted = -pull[:, :-1] - objective.l2 * (coef + step)
            held = np.clip(wanted, -objective.l1, objective.l1)
            # The sums' rounding can be larger than l1: then it is where the solver put it.
            signed = objective.l1 * np.sign(coef)
            cost, signed_cost = (
                (objective.l1 * np.abs(coef) - h * coef) + self._gain(h - wanted)
                for h in (held, signed)
            )
            held = np.where((coef != 0) & (signed_cost < cost), signed, held)
            rest[:, :-1] = held - wanted
            gaps += self._sum(objective.l1 * np.abs(coef) - held * coef)
        else:
            rest[:, :-1] += objective.l2 * (coef + step)
        gaps += self._sum(0.5 * objective.l2 * step**2)
        return values, gaps, self._of_constraint(rest)

    def _of_the_loss(self, weights, direction):
        """The same without the penalty, and the duals' mean of the rows."""
        hessian = self.hessian
        quadratic = QuadraticLoss.of(hessian)
        found = None if quadratic is None else quadratic.at(weights, direction)
        if found is not None:
            return self._sum(found[0][:, None]), self._sum(found[1][:, None]), found[2]
        values, gaps, pull = self._total(sum_gaps, weights, direction)
        return self._sum(values[:, None]), self._sum(gaps[:, None]), pull

    def values(self, weights):
        """The objective at the weights, as by ``measure``."""
        coef, objective = weights[:, :-1], self.objective
        # An l1 penalty's directions are proven on its matrix, however rounded; F is not.
        quadratic = QuadraticLoss.of(self.hessian) if objective.l1 == 0 else None
        found = None if quadratic is None else quadratic.at(weights, np.zeros_like(weights))
        (values,) = self._total(sum_losses, weights) if found is None else found[:1]
        penalty = 0.5 * objective.l2 * coef**2 + objective.l1 * np.abs(coef)
        return self._sum(values[:, None]) + self._sum(penalty)

    def _sum(self, terms):
        """Sums over rows or coefficients (k, m), of all outputs in the first if they belong
        together."""
        sums = terms.sum(axis=1)
        if self.together and len(sums) > 1:
            sums = np.append(sums.sum(), np.zeros(len(sums) - 1))
        return sums

    def prove(self, weights, gradient, direction, allowed):
        """Bound F(w) - F*.

        Parameters
        ----------
        weights, gradient, direction : ndarray of shape (k, d + 1), float64
        allowed : callable
            Maps the objectives (k,) to the gaps that are wanted.

        Returns
        -------
        gap : float
            A bound in units of the gaps wanted, the largest over outputs; infinite without one.
        direction : ndarray of shape (k, d + 1)
            Refined.
        """
        before = 0.5 * np.abs(self._sum(gradient * direction))
        for attempt in range(REFINEMENTS):
            values, gaps, rest = self.measure(weights, direction)
            wanted = allowed(values)
            if not (np.isfinite(rest).all() and np.isfinite(gaps).all()):
                # Duals outside of the domain stay there.
                break
            if self.objective.l1 > 0:
                left = self._left_of_sparse(rest, weights, direction, values)
                return float(np.max((gaps + left) / wanted)), direction
            proven = self._left_to_penalty(rest, direction)
            if np.all(gaps + proven <= wanted) and np.all(proven <= SMALL * wanted):
                return float(np.max((gaps + proven) / wanted)), direction
            correction = self._solve(rest)
            left = np.abs(0.5 * self._sum(rest * correction))
            if self.whole is None and self.hessian.iterated:
                # Conjugate gradients may not have seen where the curvature is least.
                left = 30 * left if self.objective.l2 == 0 else np.minimum(proven, 1e300)
            shrunk = np.all(left <= 0.3 * before)
            if np.all(left <= SMALL * wanted) and (
                shrunk
                or (
                    self._is_rounding(rest, weights, direction)
                    and np.all(self._cost_of_rounding(rest) <= wanted)
                )
            ):
                return float(np.max((gaps + 2 * left) / wanted)), direction
            # A float32 gradient near 0 is rounding: the first direction may owe it all.
            if not shrunk and (attempt or self.sampled):
                if not self._look_at_all_rows(weights):
                    break
                correction, left = self._solve(rest), np.inf
            direction, before = direction - correction, left
        return np.inf, direction

    def without_rows(self, gradient, direction, wanted):
        """Bound F(w) - F* by what is known at w, before any pass over the rows.

        Parameters
        ----------
        gradient, direction : ndarray of shape (k, d + 1)
            Newton's.
        wanted : float
            The gap that is wanted.

        Returns
        -------
        gap : float
            Infinite where nothing is proven.
        """
        objective = self.objective
        one = self.together or objective.n_outputs == 1
        known = one and objective.loss._convex and objective.X.dtype == np.float64
        if not known or objective.l1 > 0:
            return np.inf
        if self.hessian.product is None:
            return self._by_slopes(gradient, wanted)
        return self._by_curvature(gradient, direction)

    def _by_slopes(self, gradient, wanted):
        """By the rows' slopes at w, which are duals without a gap. All that they lack is the
        gradient, which the penalty's dual makes up for; of the intercepts little may be left."""
        if self.objective.l2 == 0:
            return np.inf
        intercept = self._of_constraint(gradient.copy())
        intercept[:, :-1] = 0
        left = 2 * abs(float(np.vdot(intercept, self._solve(intercept))))
        if not left <= SMALL * wanted:
            return np.inf
        return float(np.sum(gradient[:, :-1] ** 2)) / (2 * self.objective.l2) + left

    def _by_curvature(self, gradient, direction):
        """By the slopes at the end of the direction in the rows' quadratic models: duals whose gaps
        the Hessian bounds, see ``Loss._gap_radius``, and which lack what the direction leaves."""
        along = self.hessian.product(direction)
        rest = self._of_constraint(gradient + along)
        left = abs(0.5 * float(np.vdot(rest, self._solve(rest))))
        if not left <= SMALL * abs(0.5 * float(np.vdot(gradient, direction))):
            return np.inf
        return float(np.vdot(direction, along)) + 2 * left

    def _of_constraint(self, rest):
        """What the constraint is short of, in place: there is none of a missing intercept."""
        if not self.objective.fit_intercept:
            rest[:, -1] = 0.0
        return rest

    def _left_to_penalty(self, rest, direction):
        """What the gap is larger by if the penalty's dual makes up for what the constraint is
        short of, which only the intercept's part cannot."""
        l2, intercept = self.objective.l2, rest.copy()
        if l2 == 0:
            return np.full(len(rest), np.inf)
        step = direction[:, :-1]
        intercept[:, :-1] = 0
        more = self._sum((rest[:, :-1] - l2 * step) ** 2 - (l2 * step) ** 2) / (2 * l2)
        return np.maximum(more, 0) + 2 * np.abs(self._sum(intercept * self._solve(intercept)))

    def _is_rounding(self, rest, weights, direction):
        """Whether that is no more than the rounding of the sums that it comes from."""
        (size,) = self._total(sum_sizes, weights, direction)
        size[:, :-1] += self.objective.l2 * np.abs(weights[:, :-1])
        return bool(np.all(np.abs(rest) <= 1e-13 * size))

    def _cost_of_rounding(self, rest):
        """What that can cost where the curvature is rounding too: on the way to an optimum whose
        raw predictions are far away."""
        rows, share = self.hessian.rows, 1 / self.hessian.rows.shape[0]
        square = rows.column_squares(np.full(rows.shape[0], share))
        size = np.sqrt(np.append(square, rows.last**2))
        unit = 1.0 if self.objective.loss._has_link else self.hessian.y_scale
        cost = FAR * unit * np.abs(rest) / np.where(size > 0, size, np.inf)
        return self._sum(cost)

    def _left_of_sparse(self, rest, weights, direction, values):
        """The same with an l1 penalty, whose solver has estimated it already: many times the sum
        of what each coordinate could gain by itself.

        Where its curvature is lost in rounding, the l2 penalty's is left, and |w| <= F / l1 at the
        optimum: a slope g could gain at most g^2 / (2 l2) and |g| (F / l1 + |w|).
        """
        gain, objective = self._gain(rest), self.objective
        if not self.joint and objective.loss._constant_curvature is None:
            # A row that curves here may be flat beyond, and hide the others' curvature no longer.
            beyond = self._gain_beyond(rest, weights + 2 * direction)
            gain[:, :-1] = np.maximum(gain[:, :-1], beyond)
        lost = self.hessian.model_lost.reshape(len(rest), -1)[:, :-1]
        # Without an l2 penalty the bound is beyond what rounded slopes can show.
        if lost.any() and objective.l2 > 0:
            value = values.sum() if self.together else values[:, None]
            slope = np.abs(rest[:, :-1])
            bound = slope * (value / objective.l1 + np.abs(weights[:, :-1]))
            bound = np.minimum(bound, slope**2 / (2 * objective.l2))
            gain[:, :-1] = np.where(lost, np.maximum(gain[:, :-1], bound), gain[:, :-1])
        return self._sum(gain)

    def _gain(self, rest):
        """The same of each coordinate, with or without the intercepts."""
        diagonal = self.hessian.model_diagonal.reshape(len(rest), -1)[:, : rest.shape[1]]
        return np.where(rest == 0, 0.0, 30 * rest**2 / (2 * diagonal))

    def _gain_beyond(self, rest, weights):
        """The same of each coefficient by the curvature elsewhere, the intercept going with it."""
        square, along = self._total(sum_curved_moments, weights)
        slope, mass, along = rest[:, :-1].copy(), along[:, -1:], along[:, :-1]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if self.objective.fit_intercept:
                slope -= rest[:, -1:] * np.where(mass > 0, along / mass, 0.0)
                square = square - np.where(mass > 0, along**2 / mass, 0.0)
            curvature = np.maximum(square, 0.0) + self.objective.l2
            return np.where(rest[:, :-1] == 0, 0.0, 30 * slope**2 / (2 * curvature))

    def newton_direction(self, weights, gradient, floor):
        """Newton's step by the Hessian of all rows, no curvature of which is below ``floor``, and
        half of what it promises, where that takes a few passes; None elsewhere."""
        objective, size = self.objective, weights.size * weights.shape[1]
        # Partitions share the work, but each has a matrix to send.
        limit = WHOLE_SIZE if objective.in_partitions else WHOLE_COST / objective.n
        if objective.l1 > 0 or size > limit:
            return None
        known = self.whole is not None and objective.loss._constant_curvature is not None
        if not (known or self._look_at_all_rows(weights, floor)):
            return None
        direction = -self.whole(gradient)
        return direction, -0.5 * float(np.vdot(gradient, direction))

    # -- refinement -------------------------------------------------------------------------

    def _solve(self, rest):
        return (self.whole or self.hessian.solve)(rest)

    def _look_at_all_rows(self, weights, floor=0.0):
        """Replace the sample's Hessian by that of all rows; whether there was any such change."""
        if self.joint or not self.sampled or weights.shape[1] > MATRIX_SIZE:
            return False
        constant = self.objective.loss._constant_curvature
        if self.whole_at is weights or (constant is not None and self.whole is not None):
            return False
        self.whole_at = weights
        matrices = self._total(sum_curvature, weights, constant, floor)
        self.whole = block_solver([whitener(self.hessian.with_penalty(H)) for H in matrices])
        return True


class QuadraticLoss:
    """The mean loss of each output where its curvature is constant: a quadratic function, whose
    value and gradient at the best constant model all fits on the same rows share.

    Parameters
    ----------
    hessian : HessianModel
        Of constant curvature, on all rows.
    """

    def __init__(self, hessian):
        objective, x, (y, weight) = hessian.objective, hessian.rows, hessian.labels
        count = len(weight)
        self.H = hessian.constant_matrix
        self.base = np.zeros((objective.n_outputs, x.shape[1]))
        self.base[:, -1] = objective.best_constant()
        raw = np.tile(x.last * self.base[:, -1], (count, 1))
        value, slope = row_losses(objective.loss, y, raw, False)
        if objective.weight is not None:
            # Of mean 1.
            value, slope = weight * value, weight * slope
        # In a fifth of the time of a sum over the first axis.
        self.values = np.einsum("ij->j", value) / count
        self.gradients = x.pull(slope) / count

    @classmethod
    def of(cls, hessian):
        """The one that serves a HessianModel, shared by all fits on the same rows; None where
        curvatures differ, where passes over the rows take no longer, and where the matrix of
        all rows does not give sums to rounding."""
        objective = hessian.objective
        if not hessian.constant or hessian.rows.shape[0] < objective.n:
            return None
        if objective.l1 == 0:
            few = hessian.rows.size * objective.n_outputs < FEW_ENTRIES
            if few or hessian.factor(objective.loss._constant_curvature).singular:
                return None
        parts = hessian.shift, hessian.max_entries, *objective.loss._identity()
        return objective.cached("quadratic loss", parts, lambda: cls(hessian))

    def at(self, weights, direction):
        """Losses (k,) and the gaps (k,) of a direction's duals, which a quadratic conjugate leaves
        exactly, and the duals' mean of the rows (k, d + 1); None where the losses would be next to
        nothing but rounding."""
        way = weights - self.base
        bent, moved = way @ self.H, direction @ self.H
        values = self.values + np.sum((self.gradients + 0.5 * bent) * way, axis=1)
        if not (values > 1e-6 * self.values).all():
            return None
        gaps = 0.5 * np.sum(direction * moved, axis=1)
        return values, gaps, self.gradients + bent + moved
