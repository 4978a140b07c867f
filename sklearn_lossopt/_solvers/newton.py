"""Second derivatives of an objective, and Newton's step from them."""

import numpy as np

from sklearn_lossopt._cache import lazy_property
from sklearn_lossopt._linalg import (
    MATRIX_SIZE,
    block_solver,
    conjugate_gradients,
    extended,
    gram,
    row_basis,
    row_blocks,
    row_whitener,
    scale_columns,
    scale_rows,
    singular,
    squares,
    weighted_grams,
    whitener,
)
from sklearn_lossopt._objective import MAX_SAMPLE_ENTRIES
from sklearn_lossopt._solvers.proximal_newton import SEARCH_STEPS, proximal_newton_direction

# The same as MAX_SAMPLE_ENTRIES where an l1 penalty leaves few of many columns.
MAX_L1_SAMPLE_ENTRIES = 8_000_000
# Of conjugate gradients for one direction, at most.
MAX_ITERATIONS = 480
# As MATRIX_SIZE, for all outputs of a joint loss together.
JOINT_MATRIX_SIZE = 200


class Factor:
    """A ``whitener`` of a Hessian, and the coordinates (d + 1,) in which it has no curvature."""

    def __init__(self, pair, flat):
        self.pair, self.flat = pair, flat


class HessianModel:
    """Second derivatives of an objective, for rows less ``shift``, on a sample of its rows.

    Parameters
    ----------
    objective : Objective
    shift : ndarray of shape (d,) or None
    max_entries : int
        Numbers in the rows sampled, at most.
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

    def __init__(self, objective, shift, max_entries=MAX_SAMPLE_ENTRIES, y_scale=None):
        self.objective, self.shift, self.max_entries = objective, shift, max_entries
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
        # Directions without curvature that the rows do not have, for steps to stay out of.
        self.null = None
        known = objective.loss._constant_curvature is not None and objective.target_kind != "class"
        self.constant = known and objective.d < MATRIX_SIZE
        # Its Factor, held for every step and for other fits.
        self.held = None

    def stay_out_of(self, null):
        """Give the directions of a NullSpace a curvature, for steps to have no part in them."""
        self.null = null

    @lazy_property
    def basis(self):
        """Orthonormal basis (d + 1, r) of the sample's rows and the intercept where there are
        more columns than rows; None elsewhere. With l2 > 0 alone the optimum lies in their span
        (the representer theorem; Kimeldorf and Wahba 1970)."""
        x, objective = self.sample[0], self.objective
        spans = objective.l2 > 0 and objective.l1 == 0 and x.shape[0] == objective.n
        if x.shape[0] >= objective.d or not spans or objective.sparse:
            return None
        return objective.cached("basis", (x,), lambda: row_basis(x[:, :-1]))

    @lazy_property
    def sample(self):
        """Extended rows (m, d + 1), targets and weights (m, 1) of mean 1, float64."""
        objective, size = self.objective, self.max_entries
        if objective.l1 > 0 and objective.d > MATRIX_SIZE and size == MAX_SAMPLE_ENTRIES:
            size = MAX_L1_SAMPLE_ENTRIES
        return objective.cached("sample", (self.shift, size), lambda: self._sample(size))

    def _sample(self, size):
        objective = self.objective
        count = objective.n if objective.in_row_space else int(size / objective.row_size)
        index = objective.subsample(count)
        x = extended(objective.X[index], float(objective.fit_intercept), self.shift)
        weight = np.ones((x.shape[0], 1))
        if objective.weight is not None:
            weight[:, 0] = objective.weight[index]
        return x, objective.targets(index), weight / weight.mean()

    def spectrum(self, metric):
        """Largest eigenvalue of the curvature, by the power method on about 2,000 rows, and its
        trace, with columns multiplied by ``metric`` (d + 1,)."""
        objective = self.objective
        x, _, weight = HessianModel(objective, self.shift, 2000 * objective.row_size).sample
        h = objective.curvature_bound(self.y_scale)
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

    @lazy_property
    def gram(self):
        """Mean of x x' over the sample, which all fits on the same rows share."""
        objective = self.objective
        return objective.cached("gram", (self.shift, self.max_entries), self._gram)

    def _gram(self, h=1.0):
        x, _, weight = self.sample
        if self.objective.weight is not None or np.ndim(h):
            x = scale_rows(x, np.sqrt(h * weight[:, 0]))
        return gram(x, x) / x.shape[0]

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
        diagonal = np.diagonal(H).copy()
        diagonal[:-1] += self.objective.l2
        if not self.objective.fit_intercept:
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
        Leaves in ``whiteners`` the ``whitener`` of each output's own block of the Hessian, or one
        for all of them; None where blocks are too large.
        """
        if self.objective.l1 > 0:
            return proximal_newton_direction(self, weights, gradient, floor)
        loss = self.objective.loss
        if (
            self.objective.l2 == 0
            and self.objective.target_kind == "class"
            and loss.shift_invariant
        ):
            # No loss and no penalty changes where all outputs' weights move alike: rounding alone.
            gradient = gradient - gradient.mean(axis=0)
        if self.basis is None:
            return self._newton_direction(self.sample[0], weights, gradient, floor)
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
        """The sampled rows in ``basis``."""
        x, Q = self.sample[0], self.basis
        return self.objective.cached("reduced rows", (x, Q), lambda: x @ Q)

    def _newton_direction(self, x, weights, gradient, floor):
        if self.constant and x is self.sample[0]:
            return self._constant_direction(gradient)
        _, y, weight = self.sample
        raw = x @ weights.T
        curvature = self.objective.loss._curvature(y, raw)
        joint = self.objective.target_kind == "class"
        valid = joint or floor == 0 or bool((curvature >= floor).all())
        h = np.maximum(curvature, floor)
        del curvature
        if not joint and x.shape[1] <= MATRIX_SIZE:
            # The scaled rows are the largest that a fit holds: nothing is kept beside them.
            share = h * (weight / x.shape[0])
            del raw, h
            self._whiten(x, share)
            multiply, self.iterated = block_solver(self.whiteners), False
            self.solve = self._seen(multiply)
            direction = -multiply(gradient)
        else:
            direction = self._solve_iteratively(x, y, weight, raw, h, gradient)
        valid = valid and (
            float(np.abs(x @ direction.T).max()) <= self.objective.loss._trust_radius(self.y_scale)
        )
        decrement = -0.5 * float(np.vdot(gradient, direction))
        if self.whiteners is not None and not self.finite:
            # A curvature that overflows lets no step be seen.
            decrement, valid = np.inf, False
        return direction, decrement, valid

    def _constant_direction(self, gradient):
        """Newton's direction where the quadratic model is the objective itself."""
        factor = self.factor(self.objective.loss._constant_curvature)
        self.whiteners, self.flat, self.iterated = [factor.pair], factor.flat, False
        multiply = block_solver(self.whiteners)
        self.solve = self._seen(multiply)
        direction = -multiply(gradient)
        decrement = -0.5 * float(np.vdot(gradient, direction))
        return direction, decrement, bool(np.isfinite(direction).all())

    def _whiten(self, x, share):
        """Factor each output's own block of the Hessian, of rows with these shares (m, k)."""
        matrices = weighted_grams(x, share)
        matrices = [self.with_penalty(H) for H in matrices]
        self.finite = all(np.isfinite(H).all() for H in matrices)
        self.flat = np.stack([np.diagonal(H) <= 0 for H in matrices])
        self.whiteners = [
            self._whitener(x, part, H) for part, H in zip(share.T, matrices, strict=True)
        ]

    def factor(self, h):
        """The Factor of the curvature of h in all rows, shared by all who use it at a time."""
        objective = self.objective
        parts = self.shift, self.max_entries, float(h), objective.l2, self.null
        found = objective.cached_while_used("factor", parts, lambda: self._factor(h))
        if self.constant:
            self.held = found
        return found

    def _factor(self, h):
        x, _, weight = self.sample
        H = self.matrix(h)
        return Factor(self._whitener(x, h * weight[:, 0] / x.shape[0], H), np.diagonal(H) <= 0)

    def _whitener(self, x, share, H):
        """The ``whitener`` of a Hessian, which is that of rows x with these weights."""
        found = whitener(H)
        exact = not self.objective.sparse and self.objective.X.dtype == np.float64
        if not (exact and share.min() > 0 and singular(found[1])):
            return found
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

    def _solve_iteratively(self, x, y, weight, raw, h, gradient):
        """Newton's direction by conjugate gradients, where the Hessian couples the outputs or is
        too large; preconditioned by the outputs' own blocks, or by the diagonal."""
        loss, l2 = self.objective.loss, self.objective.l2
        joint = self.objective.target_kind == "class"
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
                self._whiten(x, h * share)
            solve = block_solver(self.whiteners)
        else:
            diagonal = (h * share).T @ squares(x)
            diagonal[:, :-1] += l2
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

    def _solve_jointly(self, x, along, share, gradient):
        """Newton's direction with the Hessian of all outputs together."""
        k, size = gradient.shape
        H = np.empty((k, size, k, size))
        for s in range(k):
            y_scale = np.zeros((x.shape[0], k))
            y_scale[:, s] = 1.0
            column = along(y_scale) * share
            for r in range(s + 1):
                H[r, :, s] = gram(scale_rows(x, column[:, r]), x)
                H[s, :, r] = H[r, :, s].T
            self.with_penalty(H[s, :, s])
        T, _ = whitener(H.reshape(k * size, k * size))
        self.solve = lambda g: (T @ (T.T @ g.ravel())).reshape(k, size)
        self.iterated = False
        return -self.solve(gradient)
