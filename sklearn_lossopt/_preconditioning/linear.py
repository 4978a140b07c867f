"""The change of variables for linear models: columns are centred, scaled or whitened."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._engine import singular
from sklearn_lossopt._linalg import MATRIX_SIZE, times
from sklearn_lossopt._solvers.equivalent_rows import equivalent
from sklearn_lossopt._solvers.newton import HessianModel
from sklearn_lossopt._solvers.null_space import MOST_COLUMNS, null_space
from sklearn_lossopt._solvers.scaled_rows import ScaledRows

# A penalty's curvature is lost in the rounding of a column's where it is no more than this of it.
LOST = 1e-12


def whitens(objective, precondition, batch_size):
    """Whether the metric is a full matrix."""
    return precondition == "whiten" or (
        precondition == "auto"
        and objective.d < min(MATRIX_SIZE, 16 * batch_size)
        and objective.l1 == 0
        and not objective.sparse
    )


@dataclass
class Statistics:
    """What coordinates follow from where it is not measured on the objective's own rows.

    Parameters
    ----------
    mean : ndarray of shape (d,) or None
        Of the columns; None where they are not shifted.
    variance : ndarray of shape (d,)
        Of the columns; without ``mean``, their mean square.
    y_scale : float
        A typical size of the targets.
    whitener : callable
        Takes the loss's curvature bound, returns T and its inverse.
    constant : ndarray of shape (k,) or None
        Raw predictions of the best constant; None for linear models, which start elsewhere.
    raw_spread : ndarray of shape (k,) or None
        By how much raw predictions differ from it; None where they are in the units of y.
    """

    mean: np.ndarray | None
    variance: np.ndarray
    y_scale: float
    whitener: Callable
    constant: np.ndarray | None = None
    raw_spread: np.ndarray | None = None

    @property
    def raw_scale(self):
        """A typical size of raw predictions."""
        return self.y_scale if self.raw_spread is None else self.raw_spread


class Metric:
    """T and its inverse, and what is known of them: held by the fits that train in it."""

    def __init__(self, matrix, inverse):
        self.matrix, self.inverse, self.cache = matrix, inverse, Cache()
        self.nbytes = matrix.nbytes + inverse.nbytes


class LinearPreconditioner:
    """Weights for shifted rows, and the optimizer's coordinates u behind them, w = T u.

    The interface is that of ``Preconditioner``; what is said here comes on top.

    Parameters
    ----------
    objective : Objective
    precondition : str or False
        See the estimators.
    batch_size : int
    start : tuple of ndarray (k, d), (k,), or None
        Coefficients and intercepts to start from; otherwise the best constant or, without
        preconditioning, zero.
    statistics : Statistics or None
        None to measure the objective's rows.
    path_matters : bool
        See ``equivalent``.

    Attributes
    ----------
    weights, coordinates : ndarray of shape (k, d + 1)
        Intercepts last.
    metric_inverse : ndarray or None
        The inverse of T.
    bound : float
        An upper bound of the loss's curvature; without preconditioning it is not needed, and 0.
    whiten : bool
        Whether the first T is a full matrix.
    """

    network = scale = None

    def __init__(
        self, objective, precondition, batch_size, start, statistics=None, path_matters=False
    ):
        self.changes = []
        # What depends on all rows is not looked for in a sample of them.
        at_hand = statistics is None and not objective.in_partitions
        if precondition is not False and at_hand:
            objective, self.changes = equivalent(objective, path_matters)
        self.objective = objective
        k, d = objective.n_outputs, objective.d
        self.shift = self.metric = self.metric_inverse = self.shared = self.null = None
        # Whether weights may have parts that no row's prediction shows.
        self.leaves_directions = (
            bool(precondition)
            and at_hand
            and objective.l2 == objective.l1 == 0
            and objective.d > MOST_COLUMNS
            and not objective.in_row_space
        )
        # Without a penalty, of all classes' weights that predict the same, the smallest.
        self.centre_classes = (
            precondition is not False
            and objective.target_kind == "class"
            and objective.loss.shift_invariant
            and objective.l2 == objective.l1 == 0
        )
        self.loss_scale, self.bound = 1.0, 0.0
        self.whiten = False
        self.weights = np.zeros((k, d + 1), objective.X.dtype)
        self.coordinates = self.weights
        if precondition is not False:
            variance = self._shift(statistics)
            y_scale = objective.y_scale() if statistics is None else statistics.y_scale
            self.loss_scale = objective.loss_scale(y_scale)
            self.bound = objective.curvature_bound(y_scale)
            self.whiten = whitens(objective, precondition, batch_size)
            self.hessian = HessianModel(objective, self.shift, y_scale=y_scale)
            if statistics is None:
                self._share_metric(variance)
            else:
                self.metric, self.metric_inverse = self._first_metric(statistics, variance)
        else:
            self.hessian = HessianModel(objective, None)
        if start is not None:
            self.place(*start)
            return
        if precondition is not False:
            self.weights[:, d] = objective.best_constant()
        self.to_coordinates()

    def _share_metric(self, variance):
        """Begin with a metric that fits on the same rows share."""
        objective, h = self.objective, self.bound

        def make():
            return Metric(*self._first_metric(None, variance))

        parts = self.shift, float(h), objective.l2, self.loss_scale, self.whiten
        self.shared = objective.cached_while_used("metric", parts, make)
        if self._may_be_dependent(h * variance):
            self.null = self._null_space()
        if self.null is not None and self.whiten and self._loses_penalty(h * variance):
            # Steps are to stay out of them; a penalty's curvature, if seen, is enough for that.
            self.hessian.stay_out_of(self.null)
            self.shared = objective.cached_while_used("metric", (*parts, self.null), make)
        self.metric, self.metric_inverse = self.shared.matrix, self.shared.inverse

    def place(self, coef, intercept):
        """Go to coefficients (k, d) and intercepts (k,) for rows as they are."""
        for change in self.changes:
            coef, intercept = change.from_user(coef, intercept)
        self.weights[:, :-1] = coef
        self.weights[:, -1] = intercept
        if self.shift is not None:
            self.weights[:, -1] += np.asarray(coef, np.float64) @ self.shift
        if self.null is not None:
            self.weights[...] = self.null.remove(self.weights.astype(np.float64))
        self.to_coordinates()

    def _shift(self, statistics):
        """Choose what rows are shifted by; returns the variances of the columns then."""
        objective = self.objective
        if statistics is not None:
            if statistics.mean is not None:
                self.shift = statistics.mean.astype(objective.X.dtype)
            return statistics.variance
        if objective.fit_intercept and not objective.sparse:
            self.shift, variance = objective.centre()
            return variance
        return objective.raw_moment()

    def _may_be_dependent(self, curvature):
        """Whether columns that depend on each other would leave directions without curvature."""
        objective = self.objective
        if objective.l1 > 0 or objective.in_row_space or objective.d > MOST_COLUMNS:
            return False
        if objective.l2 == 0 or not self.whiten:
            varying = curvature[curvature > 0]
            return objective.l2 <= 1e-8 * (np.median(varying) if len(varying) else 0.0)
        return singular(self.shared.inverse[0])

    def _loses_penalty(self, curvature):
        """Whether the penalty's curvature is lost in the rounding of any column's."""
        varying = curvature[curvature > 0]
        return self.objective.l2 <= LOST * (varying.min() if len(varying) else 0.0)

    def _null_space(self):
        shift = self.shift

        def find(objective):
            offset = objective.offset if shift is None else shift.astype(np.float64)
            eps = np.finfo(objective.X.dtype).eps
            rows = ScaledRows(objective, shift)
            evened = rows.evened()
            return null_space(evened, objective.fit_intercept, offset, eps, rows.scale)

        return self.objective.null_space(shift, find)

    def _first_metric(self, statistics, variance):
        """T and its inverse at the start, from bounds of the curvature."""
        h = self.bound
        if self.whiten and statistics is None:
            return self._metric([self.hessian.factor(h).pair])
        if self.whiten:
            return self._metric([statistics.whitener(h)])
        scale = np.sqrt(np.append(h * variance + self.objective.l2, h))
        scale[scale == 0] = 1.0
        return self._metric([(1 / scale, scale)])

    def _metric(self, pairs):
        """T in the type of X and its inverse, in units of the loss."""
        dtype, root = self.objective.X.dtype, math.sqrt(self.loss_scale)
        metric = np.stack([root * T for T, _ in pairs]).astype(dtype)
        return metric, np.stack([inverse / root for _, inverse in pairs])

    def set_metric(self, pairs):
        """Change T; ``pairs`` of T and its inverse, one for all outputs or one for each."""
        self.metric, self.metric_inverse = self._metric(pairs)
        self.shared = None

    def fingerprint(self):
        """Bytes that tell the first coordinates from others; empty for those of X."""
        if self.shared is None:
            return b""
        return self.shared.cache("digest", (), self._digest)

    def _digest(self):
        digest = blake2b(self.metric.tobytes(), digest_size=16)
        if self.shift is not None:
            digest.update(self.shift.tobytes())
        return digest.digest()

    def parts(self, slots):
        """The vectors that the optimizer steps one by one, each with its state."""
        return [(self.coordinates.reshape(-1), slots)]

    def to_coordinates(self):
        """Recompute the optimizer's coordinates from the weights."""
        if self.metric is None:
            return
        U = times(self.metric_inverse, self.weights.astype(np.float64))
        if self.coordinates is self.weights:
            self.coordinates = np.empty_like(self.weights)
        self.coordinates[...] = U

    def to_weights(self):
        """Recompute the weights from the optimizer's coordinates."""
        if self.metric is not None:
            self.weights[...] = times(self.metric, self.coordinates)

    def unshift(self, W):
        """Coefficients (k, d) and intercepts (k,) for rows as they are, from float64 weights."""
        if self.centre_classes:
            W = W.copy()
            W[:, :-1] -= W[:, :-1].mean(axis=0)
        if self.null is not None:
            W = self.null.remove(W)
        coef, intercept = W[:, :-1], W[:, -1].copy()
        if self.shift is not None:
            intercept -= coef @ self.shift.astype(np.float64)
        for change in reversed(self.changes):
            coef, intercept = change.to_user(coef, intercept)
        return coef, intercept

    def forget_null_space(self):
        """Keep the weights' parts along directions that the rows do not have."""
        self.null = None

    def apply(self, objective):
        """An objective on other rows, which the weights are for as they are."""
        for change in self.changes:
            objective = change.rows(objective)
        return objective

    def rounded(self, coef, intercept):
        """Both in the type of the model."""
        dtype = self.objective.model_dtype
        return coef.astype(dtype), intercept.astype(dtype)

    def smoothness_and_noise(self, batch_size):
        """The curvature's largest eigenvalue, in the coordinates, and what the sampling of
        batches adds to it."""
        if self.whiten:
            smoothness, trace = 1.0, self.objective.d + 1.0
        else:
            cached, metric = self.objective.cached, None
            parts = self.objective.l2, *self.objective.loss._identity()
            if self.metric is not None:
                # The metric without the unit of the loss.
                metric = self.metric[0] / math.sqrt(self.loss_scale)
                cached = self.shared.cache
            smoothness, trace = cached("spectrum", parts, lambda: self.hessian.spectrum(metric))
        return smoothness, trace / batch_size if batch_size < self.objective.n else 0.0
