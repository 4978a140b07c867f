r"""Newton's step for smooth losses with an l1 penalty: proximal Newton.

The smooth part of the objective is replaced by its quadratic model at the current weights, the
l1 norm stays as it is, and the minimum of the two together is the next point (proximal Newton;
Lee, Sun and Saunders 2014). What the model promises there is an estimate of F - F*, exact for the
squared error.

The subproblem is solved by ``_engine.sign_search``: sweeps over the coordinates and feature-sign
search on the curvature matrix. So correlated columns, which make coordinate descent crawl, cost
next to nothing. Above ``MATRIX_SIZE`` coefficients, or ``WIDE`` for each row, only a working set is
looked at, which the optimality conditions of the others enlarge. Where the curvature is constant,
all fits on the same rows share one matrix, whatever their penalties.

References
----------
Lee, J. D., Sun, Y. and Saunders, M. A. (2014). Proximal Newton-type methods for minimizing
composite functions. SIAM Journal on Optimization 24(3), 1420-1443.
"""

import numpy as np
from scipy import sparse

from sklearn_lossopt._engine import sign_search
from sklearn_lossopt._linalg import MATRIX_SIZE, gram, scale_rows, squares
from sklearn_lossopt._solvers.iterative_search import ACCURACY, WorkingSet, feature_sign_search

# The largest working set that a matrix is formed for; beyond it, conjugate gradients.
WORKING_SIZE = 1500
# Rows whose squares are formed at once.
SQUARED_BLOCK_ROWS = 500
# Coefficients for each row from which a working set is worth finding.
WIDE = 6
# Steps of one feature-sign search, and enlargements of one working set, at most.
SEARCH_STEPS, ENLARGEMENTS = 300, 40
# Searches with the slope as the rows give it, at most: the matrix has been rounded.
REFINEMENTS = 3
# A row is heavy where its part of a column's curvature is more than this times all others'. In the
# matrix it then is this many times theirs.
HEAVY = 1e6
# Such rows, and steps of the method of multipliers for them, at most; what is left of their error
# is no more than this part of the gain.
MOST_HEAVY, MULTIPLIER_STEPS, SMALL = 8, 12, 1e-6
# A curvature below this part of its coordinate's own is one that the search has lost in rounding.
LOST = 1e-12
# Rows with curvature lie far from the others where their spread is less than this part of a
# column's curvature.
CENTRED = 1e-6


class QuadraticModel:
    """The smooth part's curvature for outputs that the loss couples; coordinates are flat.

    Parameters
    ----------
    x : ndarray or CSR array of shape (m, d + 1)
        Sampled rows.
    share : ndarray of shape (m, 1)
        Their weights, which sum to 1.
    along : callable
        Maps a change of the raw predictions (m, k) to that of the loss's derivatives.
    k : int
    l2 : float
    """

    # What rows have been shifted by besides, (d,).
    centre = None

    def __init__(self, x, share, along, k, l2):
        self.x, self.share, self.along, self.k, self.l2 = x, share, along, k, l2
        self.width, self.rank = x.shape[1], len(share)
        self.size = k * self.width
        # Second derivatives by pairs of outputs, each (m, k).
        self.second = [along(np.eye(k)[r] * np.ones((len(share), 1))) * share for r in range(k)]
        own = np.stack([self.second[r][:, r] for r in range(k)])
        self.diagonal, largest = self._diagonal(own)
        # A row has nearly all of a column at the most where its second derivative is the largest.
        may = k == 1 and bool((2 * own.max() * largest > self.diagonal).any())
        self.heavy = HeavyRows.of(x, own[0], l2) if may else None
        # What the matrix is formed of.
        self.formed, self.formed_diagonal = self.second, self.diagonal
        if self.heavy is not None:
            self.formed = [self.heavy.lowered(own[0])[:, None]]
            self.formed_diagonal = self._diagonal(self.formed[0].T)[0]

    def forget_heavy_rows(self):
        """Form the matrix of the model itself, however rounded."""
        self.heavy, self.formed, self.formed_diagonal = None, self.second, self.diagonal

    def _diagonal(self, own):
        """That of the curvature matrix, for outputs' own second derivatives (k, m), and the
        largest square of each column."""
        diagonal, largest = np.zeros((self.k, self.width)), np.zeros(self.width)
        for start in range(0, own.shape[1], SQUARED_BLOCK_ROWS):
            part = slice(start, start + SQUARED_BLOCK_ROWS)
            square = squares(self.x[part])
            diagonal += own[:, part] @ square
            most = square.max(axis=0)
            largest = np.maximum(largest, most.toarray() if sparse.issparse(most) else most)
        diagonal[:, :-1] += self.l2
        return np.maximum(diagonal.ravel(), 0), largest

    @classmethod
    def of_output(cls, x, share, h, objective):
        """That of one output with curvatures h (m, 1). Where the rows with curvature lie far from
        the others, beside how far they lie apart, it is of rows about their mean: the intercept,
        which is free, makes up for it."""
        model = cls(x, share, h.__mul__, 1, objective.l2)
        if objective.sparse or not objective.fit_intercept:
            return model
        weight = (h * share)[:, 0]
        mass = weight.sum()
        if not 0 < mass < np.inf:
            return model
        centre = weight @ x[:, :-1] / mass
        left = model.diagonal[:-1] - objective.l2 - mass * centre**2
        if not (left < CENTRED * model.diagonal[:-1]).any():
            return model
        x = x.copy()
        x[:, :-1] -= centre
        model = cls(x, share, h.__mul__, 1, objective.l2)
        model.centre = centre
        return model

    def product(self, v):
        """The curvature matrix times v (size,)."""
        v = v.reshape(self.k, self.width)
        out = (self.along(self.x @ v.T) * self.share).T @ self.x
        out[:, :-1] += self.l2 * v[:, :-1]
        return out.ravel()

    def product_of_others(self, v, index):
        """The curvature matrix without HeavyRows times v, both for the coordinates of an index."""
        others = self.second[0].copy()
        others[self.heavy.index] = 0.0
        x = self.x[:, index]
        out = (others[:, 0] * (x @ v)) @ x
        return out + np.where(index < self.width - 1, self.l2, 0.0) * v

    def matrix(self, index):
        """The rows and columns of the curvature matrix that a sorted index names, but for its
        diagonal; HeavyRows have a lower curvature there."""
        H = np.empty((len(index), len(index)))
        output, column = np.divmod(index, self.width)
        ends = np.searchsorted(output, np.arange(self.k + 1))
        parts = [slice(*ends[r : r + 2]) for r in range(self.k)]
        rows = [self.x[:, column[part]] for part in parts]
        for r, here in enumerate(parts):
            for s in range(r + 1):
                there = parts[s]
                H[here, there] = gram(scale_rows(rows[r], self.formed[r][:, s]), rows[s])
                H[there, here] = H[here, there].T
        return H


class HeavyRows:
    r"""Rows beside whose curvature that of all others would be rounding, in a quadratic model.

    In the matrix such a row's second derivative h is lowered, as if it were that of
    :math:`\min_s h s^2 / 2 + \mu (a - s) + \rho (a - s)^2 / 2`, a being the change of its raw
    prediction: to :math:`h \rho / (h + \rho)`, which leaves the others their digits. The method of
    multipliers finds the :math:`\mu` with which the minimum is that of :math:`h a^2 / 2`. A step of
    it leaves a part of the error that is the others' curvature over :math:`\rho`'s.

    Parameters
    ----------
    rows : ndarray of shape (m, width)
    index : ndarray of int
        Which rows of all.
    h, lower : ndarray of shape (m,)
        Their second derivatives, and those in the matrix.

    References
    ----------
    Bertsekas, D. P. (1982). Constrained Optimization and Lagrange Multiplier Methods. Academic
    Press.
    """

    def __init__(self, rows, index, h, lower):
        self.rows, self.index, self.h, self.lower = rows, index, h, lower
        self.rho = h * lower / (h - lower)

    @classmethod
    def of(cls, x, h, l2):
        """Those of rows x (m, d + 1) with second derivatives h (m,), or None."""
        left, found = h.copy(), []
        while True:
            total, most, which = _column_sums(x, left)
            beside = total - most <= total / HEAVY
            rows = np.unique(which[beside & (most > 0)])
            if not len(rows):
                break
            found.extend(rows.tolist())
            left[rows] = 0.0
            if len(found) > MOST_HEAVY:
                # Each beside the next: there is no such thing as the others.
                return None
        found = np.array(found, np.intp)
        if not len(found):
            return None
        rest = _column_sums(x, left)[0]
        rest[:-1] += l2
        rows = x[found].toarray() if sparse.issparse(x) else x[found]
        with np.errstate(over="ignore"):
            ratios = h[found][:, None] * rows**2 / np.where(rest > 0, rest, np.inf)
        # A row that is alone in a column hides no other there.
        hides = ((ratios > HEAVY).sum(axis=1) > 1) & np.isfinite(ratios).all(axis=1)
        if not hides.any():
            return None
        own, rows = h[found[hides]], rows[hides]
        return cls(rows, found[hides], own, own * HEAVY / ratios[hides].max(axis=1))

    def lowered(self, h):
        """Second derivatives (m,) as they are in the matrix."""
        h = h.copy()
        h[self.index] = self.lower
        return h

    def search(self, model, index, threshold, u, slope, steps):
        """``_search`` of the model itself, given its slope at u; all that is lowered is made up
        for."""
        rows, h, rho = self.rows[:, index], self.h, self.rho
        mu, v, at = np.zeros(len(h)), u, slope
        for _ in range(MULTIPLIER_STEPS):
            v, left, ended, curvature = _search(model, index, threshold, v, at, steps)
            way = v - u
            a = rows @ way
            s = (rho * a + mu) / (h + rho)
            if float(h @ (a - s) ** 2) <= SMALL * abs(float(slope @ way)):
                break
            mu = h * s
            lowered = (self.lower * a + h / (h + rho) * mu) @ rows
            at = slope + model.product_of_others(way, index) + lowered
        else:
            model.forget_heavy_rows()
            return _search(model, index, threshold, u, slope, steps)
        return v, left, ended, curvature


def _column_sums(x, h):
    """Sums of h x^2 over rows for each column, the largest terms and their rows."""
    total, most = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    which = np.zeros(x.shape[1], np.intp)
    for start in range(0, len(h), SQUARED_BLOCK_ROWS):
        part = slice(start, start + SQUARED_BLOCK_ROWS)
        terms = scale_rows(squares(x[part]), h[part])
        place, largest = terms.argmax(axis=0), terms.max(axis=0)
        if sparse.issparse(largest):
            largest = largest.toarray()
        which = np.where(largest > most, start + place, which)
        most = np.maximum(most, largest)
        total += terms.sum(axis=0)
    return total, most, which


class MatrixModel:
    """The curvature of one output as a matrix, which models may share.

    Parameters
    ----------
    H : ndarray of shape (size, size)
        The smooth part's without the penalty's; not changed.
    l2 : float
    rank : int, default=None
        Its rank, at most; None for the size.
    """

    def __init__(self, H, l2, rank=None):
        self.H, self.l2 = H, l2
        self.centre = self.heavy = None
        self.size, self.rank = len(H), rank or len(H)
        self.diagonal = self.formed_diagonal = np.diagonal(H).copy()
        self.diagonal[:-1] += l2

    def product(self, v):
        """The curvature matrix times v (size,)."""
        out = self.H @ v
        out[:-1] += self.l2 * v[:-1]
        return out

    def matrix(self, index):
        """The rows and columns of the curvature matrix that a sorted index names, but for its
        diagonal."""
        return self.H if len(index) == self.size else self.H[np.ix_(index, index)]


def minimise(model, weights, gradient, threshold, steps=SEARCH_STEPS):
    """The minimum of the quadratic model with the l1 norm.

    Parameters
    ----------
    model : QuadraticModel
    weights, gradient, threshold : ndarray of shape (model.size,)
        Thresholds are infinite for coordinates that are held.
    steps : int, default=SEARCH_STEPS
        Of one search, at most.

    Returns
    -------
    u : ndarray of shape (model.size,)
        The minimiser.
    decrement : float
        How far the model's minimum lies below the start: what was gained, and an estimate of what
        is missing.
    solved : bool
        Whether what is missing is a small part.
    curvature : ndarray of shape (model.size,)
        Of each coordinate, next to nothing for combinations of others.
    """
    usable = np.isfinite(threshold)
    whole = usable.sum() <= min(MATRIX_SIZE, WIDE * model.rank)
    u, slope = weights.copy(), gradient
    decrement, curvature = 0.0, model.diagonal
    if not whole and 2 * np.count_nonzero(u) > min(MATRIX_SIZE, model.rank):
        # Nearly as many as there are rows would make their matrix singular.
        u = np.where(usable & (threshold > 0), 0.0, u)
        slope, decrement = gradient + model.product(u - weights), -np.inf
    for _ in range(REFINEMENTS if whole else ENLARGEMENTS):
        working = usable if whole else _working_set(u, slope, threshold, model.diagonal)
        index, moved = np.flatnonzero(working), u.copy()
        parts = threshold[index], u[index], slope[index]
        search = _search if model.heavy is None else model.heavy.search
        moved[index], left, ended, found = search(model, index, *parts, steps)
        D = moved - weights
        bent = model.product(D)
        change = gradient * D
        change[usable] += threshold[usable] * (np.abs(moved) - np.abs(weights))[usable]
        gained = -float(change.sum() + 0.5 * D @ bent)
        if not gained > (1 + 1e-12) * decrement:
            # What is left is rounding.
            curvature = curvature.copy()
            curvature[index] = np.minimum(curvature[index], found)
            break
        u, slope, decrement = moved, gradient + bent, gained
        curvature = model.diagonal.copy()
        curvature[index] = found
        missing = _missing(u, slope, threshold, curvature)
        rest = float(missing.sum() if whole else missing[~working].sum())
        if rest <= ACCURACY * decrement:
            break
    else:
        ended = ended and whole
    left = max(left, float(_missing(u, slope, threshold, curvature).sum()))
    solved = ended or (decrement > 0 and left <= 0.1 * decrement)
    return u, decrement + left, solved, curvature


def _missing(u, slope, threshold, diagonal):
    """What each coordinate by itself could gain; those that are held could gain nothing."""
    used = (u != 0) & np.isfinite(threshold)
    excess = np.maximum(np.abs(slope) - threshold, 0)
    excess[used] = np.abs(slope[used] + threshold[used] * np.sign(u[used]))
    return 0.5 * excess**2 / np.where(diagonal > 0, diagonal, np.inf)


def _search(model, index, threshold, u, slope, steps):
    """Minimise the model among some coordinates; see ``_engine.sign_search``."""
    if len(index) <= WORKING_SIZE:
        H, diagonal = np.ascontiguousarray(model.matrix(index)), model.formed_diagonal[index]
        return sign_search(H, diagonal, threshold, u, slope, steps)
    scale = np.sqrt(np.where(model.diagonal[index] > 0, model.diagonal[index], 1.0))
    v, left = feature_sign_search(
        WorkingSet(model, index, scale), u * scale, slope / scale, threshold / scale, steps
    )
    return v / scale, left, False, model.diagonal[index]


def _working_set(u, slope, threshold, diagonal):
    """Coefficients that are not 0, intercepts, and the zeros that violate optimality most."""
    working = np.isfinite(threshold) & ((u != 0) | (threshold == 0))
    missing = np.where(working, 0.0, _missing(u, slope, threshold, diagonal))
    most = min(max(50, int(working.sum())), len(u))
    return working | ((missing > 0) & (missing >= np.partition(missing, -most)[-most]))


def thresholds(objective):
    """The penalty of each absolute value of one output's extended weights."""
    threshold = np.full(objective.d + 1, objective.l1)
    threshold[-1] = 0.0 if objective.fit_intercept else np.inf
    return threshold


def proximal_newton_direction(hessian, weights, gradient, floor):
    """Proximal Newton's step; see ``HessianModel.newton_direction``."""
    objective = hessian.objective
    threshold = np.tile(thresholds(objective), (len(weights), 1))
    models, raised = _models(hessian, weights, floor, threshold)
    direction, decrement, solved, curvature = np.empty_like(weights), 0.0, True, []
    for part, model in models:
        start, slope = weights[part].ravel(), gradient[part].ravel()
        if model.centre is not None:
            start, slope = start.copy(), slope.copy()
            start[-1] += model.centre @ start[:-1]
            slope[:-1] -= model.centre * slope[-1]
        u, gain, done, found = minimise(
            model, start, slope, threshold[part].ravel(), hessian.search_steps
        )
        step = u - start
        if model.centre is not None:
            step[-1] -= model.centre @ step[:-1]
        direction[part] = step.reshape(weights[part].shape)
        decrement, solved = decrement + gain, solved and done
        curvature.append(found)
    # Among columns that are equal to rounding searches do not end: the next ones are shorter.
    hessian.search_steps = SEARCH_STEPS if solved else max(hessian.search_steps // 2, 20)
    hessian.model_diagonal = np.concatenate(curvature)
    diagonal = np.concatenate([model.formed_diagonal for _, model in models])
    hessian.model_lost = hessian.model_diagonal < LOST * diagonal
    near = hessian.constant or float(np.abs(hessian.sample[0] @ direction.T).max()) <= (
        objective.loss._trust_radius(hessian.y_scale)
    )
    return direction, decrement, solved and near and not raised


def _models(hessian, weights, floor, threshold):
    """Quadratic models with the outputs (slices) that each is for, and whether a curvature has been
    raised. A coordinate that need not move gets an infinite threshold."""
    objective, k = hessian.objective, len(weights)
    each = [slice(r, r + 1) for r in range(k)]
    if hessian.constant:
        model = MatrixModel(hessian.constant_matrix, objective.l2, hessian.rows.shape[0])
        return [(part, model) for part in each], False
    x, y, weight = hessian.sample
    share, raw = weight / weight.sum(), x @ weights.T
    if objective.target_kind == "class":
        if objective.loss.shift_invariant:
            # All intercepts moved alike change nothing: the last one stays.
            threshold[-1, -1] = np.inf
        along = objective.loss._curvature_operator(y, raw)
        return [(slice(None), QuadraticModel(x, share, along, k, objective.l2))], False
    found = objective.loss._curvature(y, raw)
    h = np.maximum(found, floor)
    raised = floor > 0 and bool((found < floor).any())
    models = [QuadraticModel.of_output(x, share, h[:, part], objective) for part in each]
    return list(zip(each, models, strict=True)), raised
