"""What a fit minimises: the loss and the penalty on these rows."""

import math
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import sparse

from sklearn_lossopt._cache import Cache, lazy_property
from sklearn_lossopt._engine import Trainer, column_moments
from sklearn_lossopt._rows import ExtendedRows, middle_of_most
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.losses._base import measured_curvature, raw_spread

# Numbers in the rows that curvature is measured on: all rows of small data, an even subsample of
# larger data. 16 MB.
MAX_SAMPLE_ENTRIES = 2_000_000
# The same where rows are sparse and all are needed: they cannot be read again as cheaply.
MAX_SPARSE_ENTRIES = 16_000_000
# Targets that a typical size is measured on.
MAX_TYPICAL = 50_000
# Rows that losses and spreads of a constant prediction are measured on.
MEASURED_ROWS = 10_000
# Numbers in the rows that are predicted at once.
PREDICTED_ENTRIES = 200_000
# Numbers in one block of rows where rows are read again.
BLOCK_ENTRIES = 400_000

TOO_LARGE = "X is too large: squares of its values overflow. Divide X by a constant first."
# Squares near the end of what float64 holds in all its digits, and values whose squares they are.
LEAST_SQUARE, LEAST_VALUE = 1e-306, 1e-152


@dataclass
class Objective:
    """One objective on one data set.

    Parameters
    ----------
    X, target, target_kind, weight
        See ``_engine.Trainer``.
    sample_indices : ndarray of int or None
        The rows used; None for all.
    n_outputs : int
        Raw predictions per row.
    loss : Loss
    l2, l1 : float
        The penalty's two parts.
    fit_intercept : bool
    cache : Cache
        Shared by objectives on the same rows.
    model_dtype : dtype or None
        The type of the model where it is not that of X.
    """

    X: np.ndarray | sparse.csr_array
    target: np.ndarray
    target_kind: str
    weight: np.ndarray | None
    sample_indices: np.ndarray | None
    n_outputs: int
    loss: Loss
    l2: float
    l1: float
    fit_intercept: bool
    # What columns of X are less than the user's, and whether X are coordinates in the rows' span.
    offset: np.ndarray | float = 0.0
    in_row_space: bool = False
    cache: Cache = field(default_factory=Cache)
    model_dtype: np.dtype | None = None

    # Whether the rows are elsewhere, and these a sample of them: what is needed of all is a sum.
    in_partitions = False

    def __post_init__(self):
        self.model_dtype = self.model_dtype or self.X.dtype

    @property
    def n(self):
        """Number of rows used."""
        return self.X.shape[0] if self.sample_indices is None else len(self.sample_indices)

    @property
    def d(self):
        """Number of columns."""
        return self.X.shape[1]

    @property
    def sparse(self):
        """Whether X is sparse."""
        return sparse.issparse(self.X)

    @property
    def row_size(self):
        """Numbers in an extended row, on average where rows are sparse."""
        return 1 + (self.X.nnz / max(1, self.X.shape[0]) if self.sparse else self.d)

    @property
    def holdable(self):
        """Whether a float64 copy of all rows used is small enough to be held."""
        # Those in the rows' span have been made as one matrix already, all of which is needed.
        size = self.n * self.row_size
        return self.in_row_space or size <= (
            MAX_SPARSE_ENTRIES if self.sparse else MAX_SAMPLE_ENTRIES
        )

    @property
    def breakpoints(self):
        """Number of breakpoints of a piecewise linear loss, 0 for other losses."""
        return len(self.loss._breakpoints(np.ones((1, 1))) or ())

    @property
    def dual_pieces(self):
        """Number of pieces of a loss's ``DualForm``, 0 for losses without one."""
        form = self.loss._of_output(0)._dual_form(np.ones((1, 1)))
        return 0 if form is None or self.target_kind == "class" else len(form.pieces)

    @property
    def curved(self):
        """Whether the loss has second derivatives that a Newton step can use."""
        return self.loss._curvature(np.ones((1, 1)), np.zeros((1, 1))) is not None

    def cached(self, name, parts, make):
        """``make()``, or what it gave for the same rows, intercept and ``parts``."""
        return self.cache(name, (self._same, *parts), make)

    def cached_while_used(self, name, parts, make):
        """The same for what is large and may differ for each loss and penalty."""
        return self.cache.while_used(name, (self._same, *parts), make)

    @lazy_property
    def _same(self):
        """One object for all objectives that differ in the loss and the penalty only."""
        rows = self.X, self.target, self.target_kind, self.weight, self.sample_indices
        return self.cache("objective", (*rows, self.n_outputs, self.fit_intercept), object)

    def subsample(self, size):
        """An index of about ``size`` of the rows used, evenly spaced."""
        stride = max(1, self.n // max(1, size))
        used = self.sample_indices
        return slice(None, None, stride) if used is None else used[::stride]

    def targets(self, index):
        """Targets as a loss expects them: (m, k), or (m,) class indices for a joint loss."""
        return self.as_targets(self.target[index])

    def as_targets(self, y):
        """The same of targets from elsewhere."""
        if self.target_kind == "one_vs_rest":
            return self.columns(y)
        if self.target_kind == "class":
            return y.astype(np.intp)
        return y

    def columns(self, y):
        """+-1 columns (m, k) of class indices (m,)."""
        return np.where(y[:, None] == np.arange(self.n_outputs), 1, -1).astype(np.int8)

    def best_constant(self):
        """Raw predictions (k,) of the best constant model; zeros without an intercept."""
        if not self.fit_intercept:
            return np.zeros(self.n_outputs)
        return self.cached("constant", self.loss._identity(), self._best_constant)

    def _best_constant(self):
        if self.target_kind == "values":
            index = self.subsample(self.n)
            y, weight = self.target[index], None if self.weight is None else self.weight[index]
        else:
            # A row of each class: columns of all rows could be larger than X.
            mass = self.class_masses()
            y, weight = self.columns(np.flatnonzero(mass)), mass[mass > 0]
        return np.asarray(self.loss._constant(y, weight), dtype=np.float64)

    def class_masses(self):
        """The sum of the weights of each class (k,)."""
        index, mass = self.subsample(self.n), np.zeros(self.n_outputs)
        y, weight = self.target[index], None if self.weight is None else self.weight[index]
        for start in range(0, len(y), PREDICTED_ENTRIES):
            part = slice(start, start + PREDICTED_ENTRIES)
            share = None if weight is None else weight[part]
            mass += np.bincount(y[part].astype(np.intp), share, len(mass))
        return mass

    def objective_at_zero(self):
        """The mean loss of raw predictions 0."""
        zero = np.zeros(self.n_outputs)
        return self.cached("at zero", self.loss._identity(), lambda: self.mean_loss(zero))

    def mean_loss(self, constant):
        """The mean loss of one raw prediction (k,) for all, on about 10,000 rows at the most."""
        index = self.subsample(MEASURED_ROWS)
        raw = np.tile(np.asarray(constant, dtype=np.float64), (len(self.target[index]), 1))
        return self.mean_loss_of(raw, index)

    def loss_of_constant(self, constant):
        """The mean loss of one raw prediction (k,) for all rows used, none of which is read."""
        size = max(1, PREDICTED_ENTRIES // self.n_outputs)
        index, total, mass = np.arange(self.X.shape[0])[self.subsample(self.n)], 0.0, 0.0
        for start in range(0, self.n, size):
            part = index[start : start + size]
            share = float(len(part) if self.weight is None else self.weight[part].sum())
            raw = np.tile(np.asarray(constant, dtype=np.float64), (len(part), 1))
            total += share * self.mean_loss_of(raw, part)
            mass += share
        return total / mass

    def mean_loss_of(self, raw, index):
        """The mean loss of raw predictions (m, k) of these rows."""
        y = self.targets(index)
        if self.n_outputs == 1:
            y, raw = y.reshape(-1), raw[:, 0]
        weight = None if self.weight is None else self.weight[index]
        return float(np.average(self.loss.loss_gradient(y, raw)[0], weights=weight))

    def penalty(self, *coefs):
        """What F adds to the mean loss for these arrays of coefficients."""
        return sum(
            0.5 * self.l2 * float(np.sum(coef**2)) + self.l1 * float(np.sum(np.abs(coef)))
            for coef in coefs
        )

    def y_scale(self):
        """A typical size of the targets, greater than 0."""
        if self.target_kind != "values":
            return 1.0
        return self.cached("y scale", self.loss._identity(), self._y_scale)

    def _y_scale(self):
        """``y_scale`` as measured on a sample."""
        index = self.subsample(MAX_TYPICAL // self.n_outputs)
        weight = None if self.weight is None else self.weight[index]
        return typical_size(self.loss, self.target[index].astype(np.float64), weight)

    def y_scales(self):
        """The same of each output by itself (k,)."""
        if self.n_outputs == 1 or self.target_kind != "values":
            return np.full(self.n_outputs, self.y_scale())
        return self.cached("units", self.loss._identity(), self._y_scales)

    def _y_scales(self):
        index = self.subsample(MAX_TYPICAL // self.n_outputs)
        y = self.target[index].astype(np.float64)
        weight = None if self.weight is None else self.weight[index]
        return np.array([typical_size(self.loss, column[:, None], weight) for column in y.T])

    def loss_scales(self):
        """Typical sizes of the outputs' losses (k,), greater than 0."""
        return np.array(
            [
                float(self.loss._of_output(r)._loss_scale(np.float64(size))) or 1.0
                for r, size in enumerate(self.y_scales())
            ]
        )

    def raw_spread(self, constant):
        """By how much raw predictions of a loss with a link differ, (k,), about a constant (k,)."""
        index = self.subsample(MEASURED_ROWS)
        weight = None if self.weight is None else self.weight[index]
        return raw_spread(self.loss, self.target[index].astype(np.float64), constant, weight)

    def curvature_bound(self, y_scale, from_zero=False):
        """The loss's bound of its second derivative; what is found at the best constant model for a
        user's loss that gives none. ``from_zero``: training does not start there, if it could."""
        bound = self.loss._curvature_bound(y_scale, self.n_outputs)
        if bound is not None and self.loss._has_link and (from_zero or not self.fit_intercept):
            # At raw predictions of 0 the curvature may be far larger.
            start = self.loss._curvature(np.full((1, 1), float(y_scale)), np.zeros((1, 1)))
            return max(float(bound), float(start[0, 0]))
        if bound is not None:
            return bound
        used = np.arange(self.X.shape[0])[self.subsample(2000)]
        sample = replace(self, sample_indices=used, cache=Cache())
        raw = np.tile(sample.best_constant(), (sample.n, 1))
        weight = None if self.weight is None else self.weight[used]
        return measured_curvature(self.loss, self.targets(used), raw, weight, y_scale)

    def loss_scale(self, y_scale):
        """A typical size of the loss, greater than 0; ``y_scale`` is that of the targets."""
        size = float(self.loss._loss_scale(np.float64(y_scale))) or 1.0
        if not np.isfinite(size):
            raise ValueError(
                f"y is too large: the loss of its typical size, {y_scale:.3g}, overflows. "
                "Divide y by a constant first."
            )
        return size

    def predicts_finite(self, raw_of):
        """Whether predictions of all rows used are finite; ``raw_of`` maps rows to raw predictions,
        by parameters that are finite."""
        if not self.predictions_may_overflow():
            return True
        size = max(1, int(PREDICTED_ENTRIES / self.row_size))
        used = self.sample_indices
        parts = (slice(start, start + size) for start in range(0, self.n, size))
        raw = (raw_of(self.X[part if used is None else used[part]]) for part in parts)
        raw = (z.astype(self.model_dtype) for z in raw)
        return all(np.isfinite(z).all() and np.isfinite(self.loss._predict(z)).all() for z in raw)

    def predictions_may_overflow(self):
        """Whether a finite loss leaves that open: beyond a log link, or where the square of a
        target is not a number of the model's type."""
        if self.loss._has_link or self.target_kind != "values":
            return self.loss._has_link
        y, most = self.target[self.subsample(self.n)], np.finfo(self.model_dtype).max
        return bool(max(y.max(), -y.min()) > math.sqrt(most))

    def model(self, optimizer, loss_scale=1.0):
        """What ``_engine.Trainer`` minimises, and how."""
        return (
            self.loss._kernel(self.n_outputs),
            self.loss._kernel_row(),
            optimizer._kernel(),
            optimizer._kernel_row(),
            self.l2,
            self.l1,
            1 / loss_scale,
        )

    def trainer(self, shift, weights, model, slots, steps, **options):
        """What evaluates F and trains on the rows; see ``_engine.Trainer`` for the arguments."""
        rows = self.X, self.target, self.target_kind, self.weight, self.sample_indices
        return Trainer(*rows, shift, weights, model, slots, steps, **options)

    def blocks(self, shift, mass=None):
        """All rows used, ExtendedRows less ``shift``, with targets and shares (m, 1) of ``mass``,
        by default of the sum of their weights."""
        mass = self.weight_sum() if mass is None else mass
        size = max(1, int(BLOCK_ENTRIES / self.row_size))
        for part, rows in self.rows(shift).blocks(size):
            part = part if self.sample_indices is None else self.sample_indices[part]
            share = np.full((rows.shape[0], 1), 1 / mass)
            if self.weight is not None:
                share[:, 0] *= self.weight[part]
            yield rows, self.targets(part), share

    def rows(self, shift, index=None):
        """The ExtendedRows of an index of X, by default of the rows used, less ``shift``."""
        index = self.sample_indices if index is None else index
        return ExtendedRows(self.X, index, shift, float(self.fit_intercept))

    def weight_sum(self):
        """The sum of the weights of the rows used; their number where all are 1."""
        if self.weight is None:
            return float(self.n)
        return float(self.weight[self.subsample(self.n)].sum(dtype=np.float64))

    def total(self, function, shift, *args):
        """The sums over ``blocks`` of the arrays that ``function(loss, joint, *block, *args)``
        returns, a tuple; ``joint`` says whether the loss takes all outputs together."""
        return sum_blocks(self, function, self.blocks(shift), args)

    def each(self, function, *args):
        """The list of ``function(objective, *args)`` of parts that have all rows: this one."""
        return [function(self, *args)]

    def moments(self):
        """Weighted mean and variance of each column, float64; X dense."""
        mean, variance = self.cached("moments", (), self._moments)
        self._refuse_extremes(variance)
        return mean, variance

    def _moments(self):
        rough = self.X[self.subsample(256)].mean(axis=0, dtype=np.float64)
        sums, mass = column_moments(self.X, self.weight, self.sample_indices, rough)
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
        mean = sums[0] / mass
        variance = np.maximum(sums[1] / mass - mean**2, 0)
        mean += rough
        # A mean of equal numbers is rounded: less it, they would be no 0.
        constant = variance <= (4 * np.finfo(float).eps * mean) ** 2
        first = self.X[0 if self.sample_indices is None else self.sample_indices[0]]
        return np.where(constant, first, mean), np.where(constant, 0.0, variance)

    def centre(self):
        """What columns are to be shifted by (d,), in the type of X, and their mean squares then:
        the mean, unless most rows would be lost in its rounding."""
        mean, variance = self.moments()
        make = partial(middle_of_most, self.X[self.subsample(64)], mean)
        centre, moved = self.cached("centre", (), make)
        return centre, np.where(moved, variance + (mean - centre) ** 2, variance)

    def null_space(self, shift, find):
        """The NullSpace of the rows less ``shift`` that ``find(objective)`` finds, or None."""
        return self.cached("null space", (shift,), lambda: find(self))

    def raw_moment(self):
        """Weighted mean square of each column, float64."""
        square = self.cached("raw moment", (), self._raw_moment)
        self._refuse_extremes(square)
        return square

    def _raw_moment(self):
        sums, mass = column_moments(self.X, self.weight, self.sample_indices, np.zeros(self.d))
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
        return sums[1] / mass

    def _refuse_extremes(self, square):
        """Raise if columns come near the end of their type, beyond which centred ones may lie, or
        if those that vary count as constant, as their squares underflow. With a penalty such
        columns are as good as constant."""
        if np.sqrt(square.max(initial=0.0)) > 1e-3 * np.finfo(self.X.dtype).max:
            raise ValueError(TOO_LARGE)
        columns = np.flatnonzero(square < LEAST_SQUARE)
        if self.l1 > 0 or self.l2 > 0 or not len(columns):
            return
        spread = self.cached("spread", (columns.tobytes(),), lambda: self._spread(columns))
        lost = columns[(spread > 0) & (spread < LEAST_VALUE)]
        if len(lost):
            raise ValueError(
                f"X is too small in column {lost[0]}: squares of its values underflow. Multiply it "
                "by a constant first."
            )

    def _spread(self, columns):
        """The difference between the largest and the smallest value of each of some columns."""
        index = self.subsample(self.n)
        used = slice(None) if self.weight is None else self.weight[index] > 0
        rows = np.arange(self.X.shape[0])[index][used]
        if self.sparse:
            # Of few entries, though there may be many such columns.
            X = self.X[rows][:, columns]
            return X.max(axis=0).toarray().ravel() - X.min(axis=0).toarray().ravel()
        size = max(1, PREDICTED_ENTRIES // self.d)
        low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
        for start in range(0, len(rows), size):
            block = self.X[rows[start : start + size]][:, columns]
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        return high - low


def sum_blocks(objective, function, blocks, args):
    """What ``Objective.total`` returns, of these blocks."""
    joint, sums = objective.target_kind == "class", None
    for block in blocks:
        found = function(objective.loss, joint, *block, *args)
        sums = found if sums is None else tuple(a + b for a, b in zip(sums, found, strict=True))
    return sums


def typical_size(loss, y, weight):
    """A typical size of targets (n, k), greater than 0: their scale, unless it is rounding."""
    scale, eps = float(loss._y_scale(y, weight)), np.finfo(np.float64).eps
    if scale > eps * max(y.max(), -y.min()):
        return scale
    size = float(np.average(np.abs(y).mean(axis=1), weights=weight))
    return scale if scale > eps * size else size or 1.0
