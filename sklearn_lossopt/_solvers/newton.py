"""Second derivatives of an objective, and Newton's step from them."""

from functools import partial

import numpy as np

from sklearn_lossopt._cache import lazy_property
from sklearn_lossopt._engine import singular, whitener
from sklearn_lossopt._linalg import (
    MATRIX_SIZE,
    block_solver,
    conjugate_gradients,
    row_basis,
    row_whitener,
    scale_columns,
    scale_rows,
    squares,
    times_blocks,
)
from sklearn_lossopt._objective import MAX_SAMPLE_ENTRIES
from sklearn_lossopt._rows import ExtendedRows
from sklearn_lossopt._solvers.joint_hessian import joins, joint_matrix
from sklearn_lossopt._solvers.proximal_newton import SEARCH_STEPS, proximal_newton_direction

# The same as MAX_SAMPLE_ENTRIES where an l1 penalty leaves few of many columns.
MAX_L1_SAMPLE_ENTRIES = 8_000_000
# Rows for each column, and at least, of a Newton step.
COLUMN_ROWS, LEAST_ROWS = 100, 2000
# Attributes that the sampled rows decide.
SAMPLED = "basis", "rows", "labels", "sample", "gram", "constant_matrix", "reduced_rows"
# Of conjugate gradients for one direction, at most.
MAX_ITERATIONS = 480


class Factor:
    """A ``whitener`` of a Hessian, and the coordinates (d + 1,) in which it has no curvature."""

    def __init__(self, pair, flat):
        self.pair, self.flat = pair, flat

    @lazy_property
    def singular(self):
        """Whether a column is a combination of the others up to what a matrix's rounding hides."""
        return singular(self.pair[1])


class HessianModel:
    """Second derivatives of an objective, for rows less ``shift``, on a sample of its rows.

    Parameters
    ----------
    objective : Objective
    shift : ndarray of shape (d,) or None
    max_entries : int or None
        Numbers in the rows sampled, at most; None for as few as Newton steps need.
    y_scale : float or None
        A typical size of the targets; None to measure it.

    Attributes
    ----------
    whiteners : list or None
        See ``newton_direction``.
    constant : bool
        Whether the loss has the same curvature everywhere, and a matrix of it is small enough to be
        factored: one factor then serves every output and every step.
    """

    def __init__(self, objective, shift, max_entries=None, y_scale=None):
        self.objective, self.shift = objective, shift
        self.max_entries = enough_entries(objective) if max_entries is None else max_entries
        self.y_scale = objective.y_scale() if y_scale is None else y_scale
        self.whiteners, self.finite = None, True
        # Of conjugate gradients: of the last direction, and of the next at most.
        self.iterations, self.limit = 0, 60
        # Of one search with an l1 penalty, at most.
        self.search_steps = SEARCH_STEPS
        # Of the last direction: the function that multiplies (k, d + 1) by the inverse Hessian,
        # whether by iterations, and with an l1 penalty the curvature of each coordinate, and where
        # it is lost in rounding.
        self.solve, self.iterated = None, False
        self.model_diagonal = self.model_lost = None
        # Multiplies (k, d + 1) by the last direction's Hessian, where that bounds the gaps of the
        # duals at its end, see ``Loss._gap_radius``.
        self.product = None
        # Directions without curvature that the rows do not have, for steps to stay out of.
        self.null = None
        known = objective.loss._constant_curvature is not None and objective.target_kind != "class"
        self.constant = known and objective.d < MATRIX_SIZE
        # Its Factor, held for every step and for other fits.
        self.held = None

    @property
    def of_few_rows(self):
        """Whether curvatures are measured on fewer rows than can be held."""
        return self.max_entries < MAX_SAMPLE_ENTRIES and self.rows.shape[0] < self.objective.n

    def take_more_rows(self):
        """Measure curvatures on as many rows as can be held from now on; whether that is more."""
        if not self.of_few_rows:
            return False
        self.max_entries = MAX_SAMPLE_ENTRIES
        self.whiteners = self.solve = self.held = None
        for name in SAMPLED:
            vars(self).pop(name, None)
        return True

    def stay_out_of(self, null):
        """Give the directions of a NullSpace a curvature, for steps to have no part in them."""
        self.null, self.held = null, None

    @lazy_property
    def basis(self):
        """Orthonormal basis (d + 1, r) of the sample's rows and the intercept where there are
        more columns than rows; None elsewhere. With l2 > 0 alone the optimum lies in their span
        (the representer theorem; Kimeldorf and Wahba 1970)."""
        count, objective = self.rows.shape[0], self.objective
        spans = objective.l2 > 0 and objective.l1 == 0 and count == objective.n
        if count >= objective.d or not spans or objective.sparse or self.null is not None:
            return None
        x = self.sample[0]
        return objective.cached("basis", (x,), lambda: row_basis(x[:, :-1]))

    @lazy_property
    def rows(self):
        """The sampled rows, as ExtendedRows."""
        return self._cached("rows", self._rows)

    @lazy_property
    def labels(self):
        """Their targets and weights (m, 1) of mean 1, float64."""
        return self._cached("labels", self._labels)

    @lazy_property
    def sample(self):
        """Extended rows (m, d + 1) as one array, targets and weights."""
        return self._cached("sample", lambda: (self.rows.array(), *self.labels))

    def _cached(self, name, make):
        """What ``make()`` makes of the sampled rows, for all fits on the same rows."""
        return self.objective.cached(name, (self.shift, self.max_entries), make)

    @property
    def _index(self):
        objective, size = self.objective, self.max_entries
        if objective.l1 > 0 and objective.d > MATRIX_SIZE and size == MAX_SAMPLE_ENTRIES:
            size = MAX_L1_SAMPLE_ENTRIES
        count = objective.n if objective.in_row_space else int(size / objective.row_size)
        return objective.subsample(count)

    def _rows(self):
        return self.objective.rows(self.shift, self._index)

    def _labels(self):
        objective, index = self.objective, self._index
        weight = np.ones((self.rows.shape[0], 1))
        if objective.weight is not None:
            weight[:, 0] = objective.weight[index]
            weight /= weight.mean()
        return objective.targets(index), weight

    def spectrum(self, metric):
        """Largest eigenvalue of the curvature, by the power method on about 2,000 rows, and the
        trace of the rows' part, with columns multiplied by ``metric`` (d + 1,)."""
        objective = self.objective
        x, _, weight = HessianModel(objective, self.shift, 2000 * objective.row_size).sample
        # Without preconditioning training starts at 0.
        h = objective.curvature_bound(self.y_scale, from_zero=metric is None)
        x = scale_rows(x, np.sqrt(h / x.shape[0] * weight[:, 0]))
        penalty = np.append(np.full(objective.d, objective.l2), 0.0)
        if metric is not None:
            x, penalty = scale_columns(x, metric), penalty * metric**2
        v, size = np.ones(x.shape[1]), 1.0
        for _ in range(20):
            v = x.T @ (x @ v) + penalty * v
            size = np.linalg.norm(v)
            if size == 0:
                return 1.0, 1.0
            v /= size
        # The power method ends below the eigenvalue.
        return 1.1 * size, float(squares(x).sum())

    @lazy_property
    def gram(self):
        """Mean of x x' over the sample, which all fits on the same rows share."""
        return self._cached("gram", self._gram)

    def _gram(self, h=1.0):
        weight = self.labels[1]
        return self.rows.grams(weight * np.reshape(h, (-1, 1)) / len(weight))[0]

    @lazy_property
    def constant_matrix(self):
        """The mean loss's Hessian where it is constant."""
        h = float(self.objective.loss._constant_curvature)
        return self.gram if h == 1 else h * self.gram

    def matrix(self, h):
        """Mean of h x x' over the sample, plus the penalty's curvature; h is (m,) or a number."""
        return self.with_penalty(self._gram(h) if np.ndim(h) else h * self.gram)

    def with_penalty(self, H):
        """Add the penalty's curvature in place, and some where no row has any."""
        if self.null is not None:
            rows = self.null.rows(np.diagonal(H))
            H += rows.T @ rows
        diagonal = np.einsum("ii->i", H)
        diagonal[:-1] += self.objective.l2
        if not self.objective.fit_intercept:
            diagonal[-1] = 1.0
        return H

    def newton_direction(self, weights, gradient, floor, again=False):
        """Newton's step and what it promises.

        Parameters
        ----------
        weights, gradient : ndarray of shape (k, d + 1), float64
        floor : float
            Curvatures of single rows are raised to this.
        again : bool, default=False
            Whether to take the Hessian of the last direction.

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
        Leaves in ``whiteners`` the ``whitener`` of each output's own block of the Hessian, or one
        for all of them; None where blocks are too large.
        """
        self.product = None
        if self.objective.l1 > 0:
            return proximal_newton_direction(self, weights, gradient, floor)
        objective = self.objective
        joint = objective.target_kind == "class"
        if objective.l2 == 0 and joint and objective.loss.shift_invariant:
            # No loss and no penalty changes where all outputs' weights move alike: rounding alone.
            gradient = gradient - gradient.mean(axis=0)
        if again and self.solve is not None and self.basis is None and not self.constant:
            return self._as_far(self.rows, gradient, -self.solve(gradient), True)
        if self.basis is None:
            return self._newton_direction(self.rows, weights, gradient, floor)
        # Within the span of the rows; outside of it there is the penalty alone.
        Q = self.basis
        outside = weights - (weights @ Q) @ Q.T
        direction, decrement, valid = self._newton_direction(
            self.reduced_rows, weights @ Q, gradient @ Q, floor
        )
        decrement += 0.5 * self.objective.l2 * float(np.sum(outside**2))
        self.whiteners = None
        within, l2 = self.solve, self.objective.l2
        self.solve = lambda g: within(g @ Q) @ Q.T + (g - (g @ Q) @ Q.T) / l2
        return direction @ Q.T - outside, decrement, valid

    @lazy_property
    def reduced_rows(self):
        """The sampled rows in ``basis``, the last of which is the intercept's axis."""
        x, Q = self.sample[0], self.basis

        def reduced():
            inner = np.ascontiguousarray(x[:, :-1] @ Q[:-1, :-1])
            return ExtendedRows(inner, None, None, float(self.objective.fit_intercept))

        return self.objective.cached("reduced rows", (x, Q), reduced)

    def _newton_direction(self, x, weights, gradient, floor):
        if self.constant and x is self.rows:
            return self._constant_direction(gradient)
        y, weight = self.labels
        raw = x.predict(weights)
        curvature = self.objective.loss._curvature(y, raw)
        joint = self.objective.target_kind == "class"
        valid = joint or floor == 0 or bool((curvature >= floor).all())
        h = np.maximum(curvature, floor)
        if not joint and x.shape[1] <= MATRIX_SIZE:
            matrices = self._whiten(x, h * (weight / x.shape[0]))
            self.product = partial(times_blocks, matrices)
            multiply, self.iterated = block_solver(self.whiteners), False
            self.solve = self._seen(multiply)
            direction = -multiply(gradient)
        else:
            direction = self._solve_iteratively(x, y, weight, raw, h, gradient, floor > 0)
        if floor > 0 or not self._is_whole(x):
            self.product = None
        if self.whiteners is not None and not self.finite:
            # A curvature that overflows lets no step be seen.
            return direction, np.inf, False
        return self._as_far(x, gradient, direction, valid)

    def _is_whole(self, x):
        """Whether curvatures of rows x are those of all rows, and of nothing else."""
        return x is self.rows and x.shape[0] == self.objective.n and self.null is None

    def _as_far(self, x, gradient, direction, valid):
        """A direction, its decrement, and whether it is valid as far as it goes."""
        farthest, loss = float(np.abs(x.predict(direction)).max()), self.objective.loss
        if not farthest <= loss._gap_radius:
            self.product = None
        valid = valid and farthest <= loss._trust_radius(self.y_scale)
        return direction, -0.5 * float(np.vdot(gradient, direction)), valid

    def _constant_direction(self, gradient):
        """Newton's direction where the quadratic model is the objective itself."""
        factor = self.factor(self.objective.loss._constant_curvature)
        self.whiteners, self.flat, self.iterated = [factor.pair], factor.flat, False
        multiply = block_solver(self.whiteners)
        self.solve = self._seen(multiply)
        if self._is_whole(self.rows) and self.objective.loss._gap_radius == np.inf:
            self.product = self._times_constant
        direction = -multiply(gradient)
        decrement = -0.5 * float(np.vdot(gradient, direction))
        return direction, decrement, bool(np.isfinite(direction).all())

    def _times_constant(self, v):
        """``product`` of the constant curvature."""
        out = v @ self.constant_matrix
        out[:, :-1] += self.objective.l2 * v[:, :-1]
        return out

    def _whiten(self, x, share):
        """Each output's own block of the Hessian, of rows with these shares (m, k), factored."""
        matrices = [self.with_penalty(H) for H in x.grams(share)]
        self.finite = all(np.isfinite(H).all() for H in matrices)
        self.flat = np.stack([H.diagonal() <= 0 for H in matrices])
        self.whiteners = [
            self._whitener(x, part, H) for part, H in zip(share.T, matrices, strict=True)
        ]
        return matrices

    def factor(self, h):
        """The Factor of the curvature of h in all rows, shared by all who use it at a time."""
        if self.constant and self.held is not None:
            return self.held
        objective = self.objective
        parts = self.shift, self.max_entries, float(h), objective.l2, self.null
        found = objective.cached_while_used("factor", parts, lambda: self._factor(h))
        if self.constant:
            self.held = found
        return found

    def _factor(self, h):
        H, share = self.matrix(h), h * self.labels[1][:, 0] / self.rows.shape[0]
        return Factor(self._whitener(self.rows, share, H), np.diagonal(H) <= 0)

    def _whitener(self, rows, share, H):
        """The ``whitener`` of a Hessian, which is that of rows with these weights."""
        found = whitener(H)
        # Of sparse rows directions without any curvature are not known.
        objective, size = self.objective, rows.shape[0] * rows.shape[1]
        exact = (objective.l2 > 0 or not objective.sparse) and size <= MAX_SAMPLE_ENTRIES
        exact = exact and objective.X.dtype == np.float64 and share.min() > 0
        if not (exact and singular(found[1])):
            return found
        x = rows.array().toarray() if objective.sparse else rows.array()
        parts = [np.sqrt(share)[:, None] * x]
        if self.objective.l2 > 0:
            parts.append(np.sqrt(self.objective.l2) * np.eye(x.shape[1])[:-1])
        if self.null is not None:
            parts.append(self.null.rows(np.einsum("ij,ij->j", parts[0], parts[0])))
        if not self.objective.fit_intercept:
            parts.append(np.eye(x.shape[1])[-1:])
        return row_whitener(np.vstack(parts))

    def _seen(self, multiply):
        """The inverse Hessian, infinite along coordinates without any curvature."""
        flat = self.flat
        return lambda g: np.where(flat & (g != 0), np.inf, multiply(g))

    def _solve_iteratively(self, x, y, weight, raw, h, gradient, far):
        """Newton's direction by conjugate gradients, where the Hessian couples the outputs or is
        too large; preconditioned by the outputs' own blocks, or by the diagonal. ``far`` says that
        the optimum is not near, so that few of them do."""
        loss, l2 = self.objective.loss, self.objective.l2
        joint = self.objective.target_kind == "class"
        share = weight / x.shape[0]
        if joint and joins(x.shape[0], gradient.size, far):
            return self._solve_jointly(x, y, share, raw, gradient)
        blocks = [
            (
                rows, share[part],
                loss._curvature_operator(y[part], raw[part]) if joint else h[part].__mul__,
            )
            for part, rows in x.blocks()
        ]  # fmt: skip

        def product(v):
            out = np.zeros_like(v)
            for rows, part, along in blocks:
                moved = along(rows.predict(v))
                moved *= part
                out += rows.pull(moved)
            out[:, :-1] += l2 * v[:, :-1]
            return out

        if x.shape[1] <= MATRIX_SIZE:
            # Old blocks serve until they take many iterations: they cost as much as ten.
            if self.whiteners is None or self.iterations > 12:
                self._whiten(x, h * share)
            solve = block_solver(self.whiteners)
        else:
            diagonal = np.stack([x.column_squares(column) for column in (h * share).T.copy()])
            last = x.last**2 * (h * share).sum(axis=0)
            diagonal = np.column_stack([diagonal + l2, last])
            self.flat = diagonal <= 0
            diagonal[self.flat] = 1.0

            def solve(g):
                return g / diagonal

        limit = self.limit
        direction, self.iterations = conjugate_gradients(product, solve, -gradient, 0.05, limit)
        if self.iterations == limit:
            # Ended early, steps are slow, and there is no telling how far the optimum is.
            self.limit = min(2 * limit, MAX_ITERATIONS)
        self.iterated = True
        self.solve = self._seen(lambda g: conjugate_gradients(product, solve, g, 1e-3, 300)[0])
        return direction

    def _solve_jointly(self, x, y, share, raw, gradient):
        """Newton's direction with the Hessian of all outputs together."""
        H = joint_matrix(self.objective.loss, x, y, share, raw, self.with_penalty)
        T, _ = whitener(H)
        self.product = lambda v: (H @ v.ravel()).reshape(gradient.shape)
        self.solve = lambda g: (T @ (T.T @ g.ravel())).reshape(gradient.shape)
        self.iterated = False
        return -self.solve(gradient)


def enough_entries(objective):
    """Numbers in as many dense rows as a Newton step needs whose Hessian comes from the rows anew:
    full gradients mend what a sample's step gets wrong."""
    once = objective.loss._constant_curvature is not None and objective.target_kind != "class"
    curved = objective.loss.smooth and objective.curved
    if not curved or once or objective.sparse or objective.l1 > 0 or objective.in_partitions:
        return MAX_SAMPLE_ENTRIES
    entries = max(LEAST_ROWS, COLUMN_ROWS * (objective.d + 1)) * objective.row_size
    return min(entries, MAX_SAMPLE_ENTRIES)
