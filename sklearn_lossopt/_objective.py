"""The problem that a fit solves, and its second-order facts. Floor 2."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._engine import column_moments
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.losses._base import measured_curvature

# Numbers in the rows that curvature is measured on: all rows of small data, an even thinning of
# larger data. 16 MB.
SAMPLE_SIZE = 2_000_000
# The same where rows are sparse and all are needed: they cannot be read again as cheaply.
SPARSE_SIZE = 16_000_000

TOO_LARGE = "X is too large: squares of its values overflow. Divide X by a constant first."


@dataclass
class Objective:
    """One objective on one data set; see ``_engine.Trainer`` for the arrays' meaning."""

    X: np.ndarray | sparse.csr_array
    target: np.ndarray
    target_kind: str
    weight: np.ndarray | None
    rows: np.ndarray | None
    n_outputs: int
    loss: Loss
    l2: float
    l1: float
    fit_intercept: bool
    cache: Cache = field(default_factory=Cache)  # shared by problems on the same rows
    # What columns of X are less than the user's, and whether X are coordinates in the rows' span.
    offset: np.ndarray | float = 0.0
    in_row_space: bool = False

    @property
    def n(self):
        """Number of rows used."""
        return self.X.shape[0] if self.rows is None else len(self.rows)

    @property
    def d(self):
        return self.X.shape[1]

    @property
    def sparse(self):
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
        return self.in_row_space or size <= (SPARSE_SIZE if self.sparse else SAMPLE_SIZE)

    @property
    def breakpoints(self):
        """Number of kinks of a piecewise linear loss, 0 for other losses."""
        return len(self.loss._breakpoints(np.ones((1, 1))) or ())

    @property
    def curved(self):
        """Whether the loss has second derivatives that are a guide."""
        return self.loss._curvature(np.ones((1, 1)), np.zeros((1, 1))) is not None

    def cached(self, name, parts, make):
        """``make()``, or what it gave for the same rows, intercept and ``parts``."""
        return self.cache(name, (self._same, *parts), make)

    def cached_while_used(self, name, parts, make):
        """The same for what is large and may differ for each loss and penalty."""
        return self.cache.while_used(name, (self._same, *parts), make)

    @cached_property
    def _same(self):
        """One object for all problems that differ in the loss and the penalty only."""
        rows = self.X, self.target, self.target_kind, self.weight, self.rows
        return self.cache("problem", (*rows, self.n_outputs, self.fit_intercept), object)

    def subsample(self, size):
        """An index of about ``size`` of the rows used, evenly spaced."""
        stride = max(1, self.n // max(1, size))
        return slice(None, None, stride) if self.rows is None else self.rows[::stride]

    def targets(self, index):
        """Targets as a loss expects them: (m, k), or (m,) class indices for a joint loss."""
        y = self.target[index]
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
        index = self.subsample(self.n)
        y = self.target[index]
        if self.target_kind != "values":
            y = self.columns(y)
        weight = None if self.weight is None else self.weight[index]
        return np.asarray(self.loss._constant(y, weight), dtype=np.float64)

    def objective_at_zero(self):
        """The mean loss of raw predictions 0."""
        zero = np.zeros(self.n_outputs)
        return self.cached("at zero", self.loss._identity(), lambda: self.mean_loss(zero))

    def mean_loss(self, constant):
        """The mean loss of one raw prediction (k,) for all, on about 10,000 rows at the most."""
        index = self.subsample(10_000)
        y = self.targets(index)
        raw = np.tile(np.asarray(constant, dtype=np.float64), (len(y), 1))
        if self.n_outputs == 1:
            y, raw = y.reshape(-1), raw[:, 0]
        weight = None if self.weight is None else self.weight[index]
        return float(np.average(self.loss.loss_gradient(y, raw)[0], weights=weight))

    def y_scale(self):
        """A typical size of the targets, greater than 0."""
        if self.target_kind != "values":
            return 1.0
        return self.cached("unit", self.loss._identity(), self._y_scale)

    def _y_scale(self):
        index = self.subsample(50_000)
        weight = None if self.weight is None else self.weight[index]
        y_scale = self.loss._y_scale(self.target[index].astype(np.float64), weight)
        return y_scale if y_scale > 0 else 1.0

    def curvature_bound(self, y_scale):
        """The loss's bound of its second derivative; what is found at the best constant model
        for a user's loss that gives none."""
        bound = self.loss._curvature_bound(y_scale, self.n_outputs)
        if bound is not None:
            return bound
        sample = replace(self, rows=np.arange(self.X.shape[0])[self.subsample(2000)], cache=Cache())
        raw = np.tile(sample.best_constant(), (sample.n, 1))
        weight = None if self.weight is None else self.weight[sample.rows]
        return measured_curvature(self.loss, self.targets(sample.rows), raw, weight, y_scale)

    def loss_scale(self, y_scale):
        """A typical size of the loss, greater than 0; ``y_scale`` is that of the targets."""
        with np.errstate(over="ignore"):
            size = float(self.loss._loss_scale(np.float64(y_scale))) or 1.0
        if not np.isfinite(size):
            raise ValueError(
                f"y is too large: the loss of its typical size, {y_scale:.3g}, overflows. "
                "Divide y by a constant first."
            )
        return size

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

    def moments(self):
        """Weighted mean and variance of each column, float64; X dense."""
        return self.cached("moments", (), self._moments)

    def _moments(self):
        rough = self.X[self.subsample(256)].mean(axis=0, dtype=np.float64)
        sums, mass = column_moments(self.X, self.weight, self.rows, rough)
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
        mean = sums[0] / mass
        variance = np.maximum(sums[1] / mass - mean**2, 0)
        mean += rough
        # A mean of equal numbers is rounded: less it, they would be no 0.
        constant = variance <= (4 * np.finfo(float).eps * mean) ** 2
        first = self.X[0 if self.rows is None else self.rows[0]]
        return np.where(constant, first, mean), np.where(constant, 0.0, variance)

    def raw_moment(self):
        """Weighted mean square of each column, float64."""
        return self.cached("raw moment", (), self._raw_moment)

    def _raw_moment(self):
        sums, mass = column_moments(self.X, self.weight, self.rows, np.zeros(self.d))
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
        return sums[1] / mass
