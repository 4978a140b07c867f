"""The problem that a fit solves, and its second-order facts. Floor 2."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sklearn_lossopt._engine import column_moments
from sklearn_lossopt._linear_algebra import (
    MATRIX_SIZE,
    block_solver,
    conjugate_gradients,
    extended,
    gram,
    row_basis,
    row_blocks,
    scale_columns,
    scale_rows,
    squares,
    weighted_grams,
    whitener,
)
from sklearn_lossopt._memo import Memo
from sklearn_lossopt._sparse_newton import sparse_newton_direction
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.losses._base import measured_curvature

# Numbers in the rows that curvature is measured on: all rows of small data, an even thinning of
# larger data. 16 MB.
SAMPLE_SIZE = 2_000_000
# The same where rows are sparse and all are needed: they cannot be read again as cheaply.
SPARSE_SIZE = 16_000_000
# The same where an l1 penalty leaves few of many columns.
SPARSE_SAMPLE_SIZE = 8_000_000
# As MATRIX_SIZE, for all outputs of a joint loss together.
JOINT_MATRIX_SIZE = 200

TOO_LARGE = "X is too large: squares of its values overflow. Divide X by a constant first."


@dataclass
class Problem:
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
    memo: Memo = field(default_factory=Memo)  # shared by problems on the same rows

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
        return self.n * self.row_size <= (SPARSE_SIZE if self.sparse else SAMPLE_SIZE)

    @property
    def kinks(self):
        """Number of kinks of a piecewise linear loss, 0 for other losses."""
        return len(self.loss._kinks(np.ones((1, 1))) or ())

    @property
    def curved(self):
        """Whether the loss has second derivatives that are a guide."""
        return self.loss._curvature(np.ones((1, 1)), np.zeros((1, 1))) is not None

    def recall(self, name, parts, make):
        """``make()``, or what it gave for the same rows, intercept and ``parts``."""
        return self.memo(name, (self._same, *parts), make)

    def recall_while_used(self, name, parts, make):
        """The same for what is large and may differ for each loss and penalty."""
        return self.memo.while_used(name, (self._same, *parts), make)

    @cached_property
    def _same(self):
        """One object for all problems that differ in the loss and the penalty only."""
        rows = self.X, self.target, self.target_kind, self.weight, self.rows
        return self.memo("problem", (*rows, self.n_outputs, self.fit_intercept), object)

    def thinned(self, size):
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
        return self.recall("constant", self.loss._identity(), self._best_constant)

    def _best_constant(self):
        index = self.thinned(self.n)
        y = self.target[index]
        if self.target_kind != "values":
            y = self.columns(y)
        weight = None if self.weight is None else self.weight[index]
        return np.asarray(self.loss._constant(y, weight), dtype=np.float64)

    def objective_at_zero(self):
        """The mean loss of raw predictions 0."""
        zero = np.zeros(self.n_outputs)
        return self.recall("at zero", self.loss._identity(), lambda: self.mean_loss(zero))

    def mean_loss(self, constant):
        """The mean loss of one raw prediction (k,) for all, on about 10,000 rows at the most."""
        index = self.thinned(10_000)
        y = self.targets(index)
        raw = np.tile(np.asarray(constant, dtype=np.float64), (len(y), 1))
        if self.n_outputs == 1:
            y, raw = y.reshape(-1), raw[:, 0]
        weight = None if self.weight is None else self.weight[index]
        return float(np.average(self.loss.loss_gradient(y, raw)[0], weights=weight))

    def unit(self):
        """A typical size of the targets, greater than 0."""
        if self.target_kind != "values":
            return 1.0
        return self.recall("unit", self.loss._identity(), self._unit)

    def _unit(self):
        index = self.thinned(50_000)
        weight = None if self.weight is None else self.weight[index]
        unit = self.loss._unit(self.target[index].astype(np.float64), weight)
        return unit if unit > 0 else 1.0

    def curvature_bound(self, unit):
        """The loss's bound of its second derivative; what is found at the best constant model
        for a user's loss that gives none."""
        bound = self.loss._curvature_bound(unit, self.n_outputs)
        if bound is not None:
            return bound
        sample = replace(self, rows=np.arange(self.X.shape[0])[self.thinned(2000)], memo=Memo())
        raw = np.tile(sample.best_constant(), (sample.n, 1))
        weight = None if self.weight is None else self.weight[sample.rows]
        return measured_curvature(self.loss, self.targets(sample.rows), raw, weight, unit)

    def value_unit(self, unit):
        """A typical size of the loss, greater than 0; ``unit`` is that of the targets."""
        with np.errstate(over="ignore"):
            size = float(self.loss._value_unit(np.float64(unit))) or 1.0
        if not np.isfinite(size):
            raise ValueError(
                f"y is too large: the loss of its typical size, {unit:.3g}, overflows. Divide y by "
                "a constant first."
            )
        return size

    def model(self, optimizer, value_unit=1.0):
        """What ``_engine.Trainer`` minimises, and how."""
        return (
            self.loss._kernel(self.n_outputs), self.loss._kernel_row(), optimizer._kernel(),
            optimizer._kernel_row(), self.l2, self.l1, 1 / value_unit,
        )

    def moments(self):
        """Weighted mean and variance of each column, float64; X dense."""
        return self.recall("moments", (), self._moments)

    def _moments(self):
        rough = self.X[self.thinned(256)].mean(axis=0, dtype=np.float64)
        sums, mass = column_moments(self.X, self.weight, self.rows, rough)
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
        mean = sums[0] / mass
        return rough + mean, np.maximum(sums[1] / mass - mean**2, 0)

    def raw_moment(self):
        """Weighted mean square of each column, float64."""
        return self.recall("raw moment", (), self._raw_moment)

    def _raw_moment(self):
        sums, mass = column_moments(self.X, self.weight, self.rows, np.zeros(self.d))
        if not np.isfinite(sums).all():
            raise ValueError(TOO_LARGE)
        return sums[1] / mass


class Curvature:
    """Second derivatives of a problem's objective, for rows less ``shift``.

    Parameters
    ----------
    problem : Problem
    shift : ndarray of shape (d,) or None
    size : int
        Numbers in the rows sampled, at most.
    """

    def __init__(self, problem, shift, size=SAMPLE_SIZE):
        self.problem = problem
        self.shift = shift
        self.size = size
        self.unit = problem.unit()
        self.whiteners = None
        self.iterations = 0

    @cached_property
    def basis(self):
        """Orthonormal basis (d + 1, r) of the sample's rows and the intercept where there are
        more columns than rows; None elsewhere. With l2 > 0 alone the optimum lies in their span
        (the representer theorem; Kimeldorf and Wahba 1970)."""
        x, problem = self.sample[0], self.problem
        spans = problem.l2 > 0 and problem.l1 == 0 and x.shape[0] == problem.n
        if x.shape[0] >= problem.d or not spans or problem.sparse:
            return None
        return problem.recall("basis", (x,), lambda: row_basis(x[:, :-1]))

    @cached_property
    def sample(self):
        """Extended rows (m, d + 1), targets and weights (m, 1) of mean 1, float64."""
        problem, size = self.problem, self.size
        if problem.l1 > 0 and problem.d > MATRIX_SIZE and size == SAMPLE_SIZE:
            size = SPARSE_SAMPLE_SIZE
        return problem.recall("sample", (self.shift, size), lambda: self._sample(size))

    def _sample(self, size):
        problem = self.problem
        index = problem.thinned(int(size / problem.row_size))
        x = extended(problem.X[index], float(problem.fit_intercept), self.shift)
        weight = np.ones((x.shape[0], 1))
        if problem.weight is not None:
            weight[:, 0] = problem.weight[index]
        return x, problem.targets(index), weight / weight.mean()

    def spectrum(self, metric):
        """Largest eigenvalue of the curvature, by the power method on about 2,000 rows, and its
        trace, with columns multiplied by ``metric`` (d + 1,)."""
        problem = self.problem
        x, _, weight = Curvature(problem, self.shift, 2000 * problem.row_size).sample
        h = problem.curvature_bound(self.unit)
        x = scale_rows(x, np.sqrt(h / x.shape[0] * weight[:, 0]))
        if metric is not None:
            x = scale_columns(x, metric)
        v, size = np.ones(x.shape[1]), 1.0
        for _ in range(20):
            v = x.T @ (x @ v)
            size = np.linalg.norm(v)
            if size == 0:
                return 1.0, 1.0
            v /= size
        # The power method ends below the eigenvalue.
        return 1.1 * size, float(squares(x).sum())

    def matrix(self, h):
        """Mean of h x x' over the sample, plus the penalty's curvature; h is (m,) or a number."""
        x, _, weight = self.sample
        half = np.sqrt(h * weight[:, 0])
        scaled = scale_rows(x, half) if self.problem.weight is not None or np.ndim(h) else x
        H = gram(scaled, scaled) / x.shape[0]
        if scaled is x:
            H *= h
        return self.with_penalty(H)

    def with_penalty(self, H):
        """Add the penalty's curvature in place."""
        diagonal = np.diagonal(H).copy()
        diagonal[:-1] += self.problem.l2
        if not self.problem.fit_intercept:
            diagonal[-1] = 1.0
        np.fill_diagonal(H, diagonal)
        return H

    def newton_direction(self, weights, gradient, floor):
        """Newton's step and what it promises.

        Parameters
        ----------
        weights, gradient : ndarray of shape (k, d + 1), float64
        floor : float
            Curvatures of single rows are raised to this.

        Returns
        -------
        direction : ndarray of shape (k, d + 1)
            Minus the inverse Hessian times the gradient.
        decrement : float
            Half of gradient' H^-1 gradient: how far the quadratic model's minimum lies below.
        valid : bool
            Whether the model can be believed that far: no curvature was raised, and no raw
            prediction moves further than the curvature can be taken to last (for the log loss,
            whose third derivative is at most its second: by 1; Bach 2010).

        References
        ----------
        Bach, F. (2010). Self-concordant analysis for logistic regression. Electronic Journal of
        Statistics 4, 384-414.

        Notes
        -----
        Leaves in ``whiteners`` the ``whitener`` of each output's own block of the Hessian; None
        where blocks are too large.
        """
        if self.problem.l1 > 0:
            return sparse_newton_direction(self, weights, gradient, floor)
        if self.basis is None:
            return self._newton_direction(self.sample[0], weights, gradient, floor)
        # Within the span of the rows; outside of it there is the penalty alone.
        Q = self.basis
        outside = weights - (weights @ Q) @ Q.T
        direction, decrement, valid = self._newton_direction(
            self.reduced_rows, weights @ Q, gradient @ Q, floor
        )
        decrement += 0.5 * self.problem.l2 * float(np.sum(outside**2))
        self.whiteners = None
        return direction @ Q.T - outside, decrement, valid

    @cached_property
    def reduced_rows(self):
        x, Q = self.sample[0], self.basis
        return self.problem.recall("reduced rows", (x, Q), lambda: x @ Q)

    def _newton_direction(self, x, weights, gradient, floor):
        _, y, weight = self.sample
        raw = x @ weights.T
        curvature = self.problem.loss._curvature(y, raw)
        h = np.maximum(curvature, floor)
        joint = self.problem.target_kind == "class"
        if not joint and x.shape[1] <= MATRIX_SIZE:
            self._whiten(x, h)
            direction = -block_solver(self.whiteners)(gradient)
        else:
            direction = self._iterate(x, y, weight, raw, h, gradient)
        valid = (joint or floor == 0 or bool((curvature >= floor).all())) and (
            float(np.abs(x @ direction.T).max()) <= self.problem.loss._raw_unit(self.unit)
        )
        return direction, -0.5 * float(np.vdot(gradient, direction)), valid

    def _whiten(self, x, h):
        matrices = weighted_grams(x, h * (self.sample[2] / x.shape[0]))
        self.whiteners = [whitener(self.with_penalty(H)) for H in matrices]

    def _iterate(self, x, y, weight, raw, h, gradient):
        """Newton's direction by conjugate gradients, where the Hessian couples the outputs or is
        too large; preconditioned by the outputs' own blocks, or by the diagonal."""
        loss, l2 = self.problem.loss, self.problem.l2
        joint = self.problem.target_kind == "class"
        share = weight / x.shape[0]
        if joint and gradient.size <= JOINT_MATRIX_SIZE:
            return self._solve_jointly(x, loss._curvature_operator(y, raw), share, gradient)
        blocks = [
            (
                rows, share[part],
                loss._curvature_operator(y[part], raw[part]) if joint else h[part].__mul__,
            )
            for part, rows in row_blocks(x)
        ]  # fmt: skip

        def product(v):
            columns, out = np.ascontiguousarray(v.T), np.zeros_like(v)
            for rows, part, along in blocks:
                moved = along(rows @ columns)
                moved *= part
                out += moved.T @ rows
            out[:, :-1] += l2 * v[:, :-1]
            return out

        if x.shape[1] <= MATRIX_SIZE:
            # Old blocks serve until they take many iterations: they cost as much as ten.
            if self.whiteners is None or self.iterations > 12:
                self._whiten(x, h)
            solve = block_solver(self.whiteners)
        else:
            diagonal = (h * share).T @ squares(x)
            diagonal[:, :-1] += l2
            diagonal[diagonal == 0] = 1.0

            def solve(g):
                return g / diagonal

        direction, self.iterations = conjugate_gradients(product, solve, -gradient)
        return direction

    def _solve_jointly(self, x, along, share, gradient):
        """Newton's direction with the Hessian of all outputs together."""
        k, size = gradient.shape
        H = np.empty((k, size, k, size))
        for s in range(k):
            unit = np.zeros((x.shape[0], k))
            unit[:, s] = 1.0
            column = along(unit) * share
            for r in range(s + 1):
                H[r, :, s] = gram(scale_rows(x, column[:, r]), x)
                H[s, :, r] = H[r, :, s].T
            self.with_penalty(H[s, :, s])
        T, _ = whitener(H.reshape(k * size, k * size))
        return -(T @ (T.T @ gradient.ravel())).reshape(k, size)
