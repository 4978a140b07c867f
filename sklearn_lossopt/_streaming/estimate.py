r"""The objective of all rows seen, of which only some are kept.

Each row i has a quadratic model q_i of its loss around the prediction that it met. The models add
up to one quadratic, whatever the number of rows. With the sum of the models of all rows in a set S,
and a uniform sample R of all rows seen,

.. math:: \hat F(w) = \frac1n \sum_{i \in S} q_i(w)
    + \frac1{|R|} \sum_{i \in R} \bigl(\ell_i(w) - [i \in S] \, q_i(w)\bigr)

is an unbiased estimate of the mean loss of all rows at every w, in any order of the rows: the
models are a control variate for the sample (Hammersley and Handscomb 1964). For the squared error
it is exact; while R holds all rows too; and elsewhere its error falls with the distance between the
predictions that the models start from and those of now.

References
----------
Hammersley, J. M. and Handscomb, D. C. (1964). Monte Carlo methods. Methuen.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np

from sklearn_lossopt._linalg import extended, row_sums
from sklearn_lossopt._training.state import altered
from sklearn_lossopt.losses import ClassificationLoss

# The share of a row that each class is credited with before its first row, and the rows after which
# it speaks for itself: of a loss that grows exponentially the least share could be all of it.
PSEUDO_ROW, KNOWN = 0.5, 10
# Of the mean square of slopes, what is next to nothing.
ROUNDING = 1e-12


@dataclass
class QuadraticSum:
    """The sum of rows' quadratic models, in extended weights for rows less ``shift``.

    Parameters
    ----------
    shift : ndarray of shape (d,)
    hessian : ndarray of shape (k, d + 1, d + 1), or (1, d + 1, d + 1) if ``joint``
    linear : ndarray of shape (k, d + 1)
    joint : bool
        Whether the loss is the same when all outputs move together: curvature is that of their
        differences from their mean then, the same for all outputs.
    constant, mass : float
        The models' sum is w'Hw / 2 - linear'w + constant, of rows of weight ``mass``.
    """

    shift: np.ndarray
    hessian: np.ndarray
    linear: np.ndarray
    joint: bool = False
    constant: float = 0.0
    mass: float = 0.0

    @classmethod
    def empty(cls, shift, k, joint):
        size = len(shift) + 1
        return cls(shift, np.zeros((1 if joint else k, size, size)), np.zeros((k, size)), joint)

    def bent(self, rows):
        """Of numbers of each output (n, k), what curvature sees."""
        if not self.joint:
            return rows
        # As a product: sums over few columns are slow.
        return rows - rows @ np.full((rows.shape[1], 1), 1 / rows.shape[1])

    def along(self, W):
        """The product of the curvature with extended weights (k, d + 1)."""
        W = self.bent(W.T).T
        return W @ self.hessian[0] if self.joint else (self.hessian @ W[:, :, None])[:, :, 0]

    def extended(self, x, weight, z, value, slope, curvature):
        """With the models of more rows x (n, d + 1), their weights (n, 1) and (n, k) each; of the
        curvature (1, k) where it is one for all rows."""
        z = self.bent(z)
        bent = curvature * z
        hessian = self.hessian.copy()
        if len(curvature) == 1:
            hessian += curvature[0, : len(hessian), None, None] * ((x * weight).T @ x)
        else:
            for r in range(len(hessian)):
                hessian[r] += (x * (weight * curvature[:, r : r + 1])).T @ x
        return altered(
            self,
            hessian=hessian,
            linear=self.linear + (weight * (bent - slope)).T @ x,
            constant=self.constant
            + float(weight[:, 0] @ row_sums(value + (0.5 * bent - slope) * z)),
            mass=self.mass + float(weight.sum()),
        )

    def moved(self, shift, intercept):
        """The same for another shift; ``intercept`` is the last entry of extended rows."""
        size = len(shift) + 1
        change = np.eye(size)
        change[:-1, -1] = (self.shift - shift) * intercept
        return altered(
            self,
            shift=shift,
            hessian=change @ self.hessian @ change.T,
            linear=self.linear @ change.T,
        )


class Estimate:
    """The objective of all rows seen as a function of extended weights (k, d + 1).

    Parameters
    ----------
    objective : Objective
        Of any chunk: its loss, penalties and kind.
    reservoir : Reservoir or None
        None where the models are the loss.
    models : QuadraticSum or None
    mass : float
        The weight of all rows seen.
    shift : ndarray of shape (d,) or None
        What rows are shifted by where no models say so; None for the mean of the rows kept.

    Attributes
    ----------
    x : ndarray of shape (m, d + 1)
        Rows to evaluate the loss on.
    share : ndarray of shape (m, 1)
        Their weights; with those of the models they sum to 1.
    """

    def __init__(self, objective, reservoir, models, mass, shift=None):
        self.objective, self.models = objective, models
        self.l2 = np.append(np.full(objective.d, objective.l2), 0.0)
        self.l1 = np.append(np.full(objective.d, objective.l1), 0.0)
        self.last = float(objective.fit_intercept)
        self.total = mass
        if reservoir is None:
            self.shift = models.shift
            self.x, self.share = np.empty((0, objective.d + 1)), np.empty((0, 1))
            return
        self.shift = shift if models is None else models.shift
        if not objective.fit_intercept:
            self.shift = np.zeros(objective.d)
        elif self.shift is None:
            self.shift = reservoir.mean()
        weight, target, model = reservoir.weight, reservoir.target, reservoir.model
        self.kept_mass = float(weight.sum())
        share = weight * (mass / self.kept_mass)
        x, credit = extended(reservoir.rows, self.last, self.shift), ()
        if objective.fit_intercept and isinstance(objective.loss, ClassificationLoss):
            # Rows of each class without features: no class is impossible before its first row.
            classes = _one_of_each(objective)
            seen = [float(share @ (target.reshape(-1) == each)) for each in classes.flat]
            credit = PSEUDO_ROW * np.maximum(1 - np.array(seen) / KNOWN, 0)
            classes, credit = classes[credit > 0], credit[credit > 0]
        if len(credit):
            row = np.zeros((len(classes), objective.d + 1))
            row[:, -1] = 1.0
            x = np.concatenate([x, row])
            share = np.append(share, credit)
            target = np.concatenate([target, classes])
            model = np.concatenate([model, np.zeros((len(classes), *model.shape[1:]))])
            self.total += float(credit.sum())
        self.x = x
        self.share = (share / self.total)[:, None]
        self.target = objective.as_targets(target)
        if models is not None:
            self.z, worth, self.slope, self.bend = np.ascontiguousarray(np.moveaxis(model, 1, 0))
            self.start = row_sums(worth)

    def penalty(self, W):
        value = 0.0
        if self.objective.l2 > 0:
            value += 0.5 * float(np.sum(W**2 @ self.l2))
        if self.objective.l1 > 0:
            value += float(np.sum(np.abs(W) @ self.l1))
        return value

    def at(self, loss, W):
        """The Evaluation at W; ``loss`` is a RoundedLoss."""
        with np.errstate(all="ignore"):
            return Evaluation(self, loss, W)

    def own_curvature(self):
        """For each output or for all a matrix that is above the curvature of the models of all rows
        less that of the models of the rows kept: the two differ by chance, and so much at the most
        if the rows are many (Marchenko and Pastur 1967)."""
        hessian = self.models.hessian
        return min(1.0, 2 * np.sqrt(hessian.shape[1] / len(self.x))) / self.total * hessian

    def place(self, coef, intercept):
        """Extended weights, float64, of coefficients and intercepts for rows as they are."""
        coef = np.asarray(coef, np.float64)
        return np.column_stack([coef, np.asarray(intercept, np.float64) + coef @ self.shift])

    def unshift(self, W):
        return W[:, :-1], W[:, -1] - W[:, :-1] @ self.shift


class Evaluation:
    """The estimate at extended weights, from one look at the rows kept.

    Parameters
    ----------
    estimate : Estimate
    loss : RoundedLoss
    W : ndarray of shape (k, d + 1)

    Attributes
    ----------
    value : float
        F.
    raw, slope : ndarray of shape (m, k)
        Raw predictions of the rows kept, and the derivatives of their losses.
    rows : ndarray of shape (m,)
        Their losses.
    """

    def __init__(self, estimate, loss, W):
        self.estimate, self.loss, self.W = estimate, loss, W
        models, share = estimate.models, estimate.share
        self.raw = estimate.x @ W.T
        # The part of the value that is not the rows' losses; what the models say of the slopes of
        # the rows kept, and of those of all others.
        self._beside, self._of_models, self._along = estimate.penalty(W), 0.0, None
        if len(self.raw) and models is not None:
            step = models.bent(self.raw - estimate.z)
            bent = estimate.bend * step
            self._of_models = estimate.slope + bent
            known = (estimate.slope + 0.5 * bent) * step
            self._beside -= float(share[:, 0] @ (estimate.start + row_sums(known)))
        if models is not None:
            self._along = models.along(W)
            self._beside += float(np.vdot(W, 0.5 * self._along - models.linear)) / estimate.total
            self._beside += models.constant / estimate.total
        self._look_at_rows()

    def _look_at_rows(self):
        self.value = self._beside
        self.slope, self.rows = np.empty(self.raw.shape), np.empty(len(self.raw))
        if len(self.raw):
            self.rows, self.slope = self.loss.value_and_slope(self.estimate.target, self.raw)
            self.value += float(self.estimate.share[:, 0] @ self.rows)

    def with_loss(self, loss):
        """The same with another RoundedLoss."""
        there = copy.copy(self)
        there.loss = loss
        with np.errstate(all="ignore"):
            there._look_at_rows()
        return there

    def gradient(self):
        """Of all but F's l1 term, (k, d + 1)."""
        estimate = self.estimate
        gradient = estimate.l2 * self.W
        if len(self.raw):
            gradient += (estimate.share * (self.slope - self._of_models)).T @ estimate.x
        if self._along is not None:
            gradient += (self._along - estimate.models.linear) / estimate.total
        return gradient

    def of_kept(self):
        """What each of the rows kept adds to their objective."""
        return self.estimate.share[:, 0] * self.rows

    def of_models(self):
        """What the models of all rows add to that, less those of the rows kept."""
        return self._beside - self.estimate.penalty(self.W)

    def spread(self):
        """The standard deviation of the rows' losses; about as much where none is kept."""
        if not len(self.raw):
            return self.value
        with np.errstate(all="ignore"):
            spread = float(np.std(self.rows))
        return spread if math.isfinite(spread) else 0.0

    def mean_curvature(self, start):
        """Of the rows kept, for each output (k,); None where rows' own say more. They do near where
        they are measured: on the way here from an Evaluation ``start`` the mean must have said more
        of the slopes, and more than nothing."""
        mean = self._mean(self._curvature())
        if self.estimate.objective.target_kind == "class":
            k = len(mean)
            return np.full(k, mean.mean() * k / (k - 1))
        return None if self.loss.loss.smooth and self._own_says_more(start) else mean

    def _own_says_more(self, start):
        share, own = self.estimate.share, start._curvature()
        step, slope = self.raw - start.raw, self.slope - start.slope
        with np.errstate(all="ignore"):
            of_own, of_mean, of_none = (
                float(np.sum(share * (slope - h * step) ** 2)) for h in (own, start._mean(own), 0.0)
            )
            rounding = ROUNDING * float(np.sum(share * self.slope**2))
        return of_own <= max(of_mean, rounding) or of_mean >= of_none

    def _curvature(self):
        h = self.loss.curvature(self.estimate.target, self.raw)
        return np.nan_to_num(h, nan=0.0, posinf=0.0)

    def _mean(self, h):
        share = self.estimate.share
        return (share * h).sum(axis=0) / share.sum()

    def models_help(self):
        """Whether the models of the rows kept say more of their slopes than nothing would."""
        share, left = self.estimate.share, self.slope - self._of_models
        return float(np.sum(share * left**2)) <= float(np.sum(share * self.slope**2))


def first_constant(objective):
    """Raw predictions (k,) of the best constant for an objective's rows; zeros without one."""
    if not objective.fit_intercept:
        return np.zeros(objective.n_outputs)
    index = objective.subsample(objective.n)
    weight = None if objective.weight is None else objective.weight[index]
    return best_constant(objective, objective.target[index], weight, False)


def best_constant(objective, y, weight, columns):
    """The same for any targets, to which half a row of each class is added: no class is impossible
    before its first row. ``columns`` are +-1 for each class."""
    loss = objective.loss
    classes = _one_of_each(objective)
    if objective.target_kind != "values":
        classes = objective.columns(classes)
        y = y if columns else objective.columns(y)
    if isinstance(loss, ClassificationLoss):
        weight = np.ones(len(y)) if weight is None else weight
        weight = np.append(weight, np.full(len(classes), PSEUDO_ROW))
        y = np.concatenate([y, classes])
    return np.asarray(loss._constant(y, weight), np.float64)


def _one_of_each(objective):
    """A target of each class."""
    if objective.target_kind == "values":
        return np.array([[1.0], [-1.0]], objective.target.dtype)
    return np.arange(objective.n_outputs, dtype=objective.target.dtype)
