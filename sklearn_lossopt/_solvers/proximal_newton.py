r"""Newton's step for smooth losses with an l1 penalty: proximal Newton.

The smooth part of the objective is replaced by its quadratic model at the current weights, the
l1 norm stays as it is, and the minimum of the two together is the next point (proximal Newton;
Lee, Sun and Saunders 2014). What the model promises there is an estimate of F - F*, exact for the
squared error.

The subproblem is solved by feature-sign search (Lee et al. 2007): with the signs of the
coefficients given it is one linear system. So correlated columns, which make coordinate descent
crawl, cost nothing. The signs are corrected by a search along the line to the system's solution,
and by a projection that drops every coefficient whose sign would change. Above ``MATRIX_SIZE``
coefficients only a working set is looked at, which the optimality conditions of the others enlarge.

References
----------
Lee, J. D., Sun, Y. and Saunders, M. A. (2014). Proximal Newton-type methods for minimizing
composite functions. SIAM Journal on Optimization 24(3), 1420-1443.

Lee, H., Battle, A., Raina, R. and Ng, A. Y. (2007). Efficient sparse coding algorithms. Advances
in Neural Information Processing Systems 19, 801-808.
"""

import numpy as np
from scipy import linalg

from sklearn_lossopt._linalg import (
    MATRIX_SIZE,
    conjugate_gradients,
    gram,
    scale_rows,
    squares,
    unit_cholesky,
)

# The largest working set that is solved by factorisation; beyond it, conjugate gradients.
WORKING_SIZE = 1500
# Rows whose squares are formed at once.
SQUARED_BLOCK_ROWS = 500
# Steps of one feature-sign search, and enlargements of one working set, at most.
SEARCH_STEPS, ENLARGEMENTS = 300, 40
# A subproblem is solved once what is left is this part of what was gained.
ACCURACY = 1e-9


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

    def __init__(self, x, share, along, k, l2):
        self.x, self.share, self.along, self.k, self.l2 = x, share, along, k, l2
        self.width = x.shape[1]
        self.size = k * self.width
        # Second derivatives by pairs of outputs, each (m, k).
        self.second = [along(np.eye(k)[r] * np.ones((len(share), 1))) * share for r in range(k)]
        own = np.stack([self.second[r][:, r] for r in range(k)])
        diagonal = np.zeros((k, self.width))
        for start in range(0, len(share), SQUARED_BLOCK_ROWS):
            part = slice(start, start + SQUARED_BLOCK_ROWS)
            diagonal += own[:, part] @ squares(x[part])
        diagonal[:, :-1] += l2
        self.diagonal = np.maximum(diagonal.ravel(), 0)

    def product(self, v):
        """The curvature matrix times v (size,)."""
        v = v.reshape(self.k, self.width)
        out = (self.along(self.x @ v.T) * self.share).T @ self.x
        out[:, :-1] += self.l2 * v[:, :-1]
        return out.ravel()

    def matrix(self, index):
        """The rows and columns of the curvature matrix that a sorted index names."""
        H = np.empty((len(index), len(index)))
        output, column = np.divmod(index, self.width)
        ends = np.searchsorted(output, np.arange(self.k + 1))
        parts = [slice(*ends[r : r + 2]) for r in range(self.k)]
        rows = [self.x[:, column[part]] for part in parts]
        for r, here in enumerate(parts):
            for s in range(r + 1):
                there = parts[s]
                H[here, there] = gram(scale_rows(rows[r], self.second[r][:, s]), rows[s])
                H[there, here] = H[here, there].T
        H[np.diag_indices_from(H)] += np.where(column < self.width - 1, self.l2, 0.0)
        return H


class WorkingSet:
    """The curvature among a working set, in coordinates that make its diagonal 1."""

    def __init__(self, model, index, scale):
        self.model, self.index, self.scale = model, index, scale
        self.H = None
        if len(index) <= WORKING_SIZE:
            self.H = model.matrix(index) / scale / scale[:, None]

    def product(self, p):
        """The scaled curvature among the working set times p."""
        if self.H is not None:
            moved = np.flatnonzero(p)
            return self.H[:, moved] @ p[moved] if 2 * len(moved) < len(p) else self.H @ p
        v = np.zeros(self.model.size)
        v[self.index] = p / self.scale
        return self.model.product(v)[self.index] / self.scale

    def solve(self, among, b):
        """The solution of H p = b (len(index),) among some coordinates, 0 elsewhere."""
        p = np.zeros(len(b))
        if self.H is None:
            p = conjugate_gradients(
                lambda v: np.where(among, self.product(v), 0.0),
                lambda v: v,
                np.where(among, b, 0.0),
                tol=1e-3,
                max_iter=200,
            )[0]
            return p
        factor = unit_cholesky(self.H[np.ix_(among, among)], 1e-13)
        p[among] = linalg.cho_solve((factor, True), b[among], check_finite=False)
        return p


def along_signs(u, p, slope, curvature, threshold):
    """The minimiser over t >= 0 of the model along u + t p: its derivative grows linearly, and
    jumps where a coefficient changes sign. Coefficients that it ends on become exactly 0."""
    start = slope @ p + threshold @ (np.where(u != 0, np.sign(u), np.sign(p)) * p)
    crossing = np.flatnonzero((u * p < 0) & (threshold > 0))
    at = -u[crossing] / p[crossing]
    order = np.argsort(at)
    crossing, at = crossing[order], at[order]
    jumps = np.cumsum(2 * threshold[crossing] * np.abs(p[crossing]))
    before = start + np.append(0.0, jumps[:-1])[: len(at)] + curvature * at
    ended = np.flatnonzero(start + jumps + curvature * at >= 0)
    if len(ended) and before[ended[0]] < 0:
        t = at[ended[0]]
        moved = u + t * p
        moved[crossing[at == t]] = 0.0
        return moved
    passed = ended[0] if len(ended) else len(at)
    slope_there = start + (jumps[passed - 1] if passed else 0.0)
    return u + (max(-slope_there / curvature, 0.0) if curvature > 0 else 1.0) * p


def _direction(working_set, u, slope, threshold):
    """The direction to the minimum for the present signs, and what it promises.

    Coefficients that are 0 and should not be enter with the sign that lowers the model, unless
    the direction would take them to the other side.
    """
    active = (u != 0) | (threshold == 0)
    excess = np.where(active, 0.0, np.maximum(np.abs(slope) - threshold, 0))
    sign = np.where(u != 0, np.sign(u), -np.sign(slope))
    reduced = slope + threshold * sign
    # A few at a time, and not before the others are settled: more than are needed in the end
    # can make the matrix singular.
    entering = (excess > 0) & (excess >= 0.5 * excess.max(initial=0))
    if np.sum(reduced[active] ** 2) > np.sum(excess**2):
        entering[:] = False
    for _ in range(4):
        p = working_set.solve(active | entering, -reduced)
        wrong = entering & (p * sign <= 0)
        if not wrong.any():
            break
        entering &= ~wrong
    else:
        entering = excess == excess.max()
        p = working_set.solve(active | entering, -reduced)
        if (entering & (p * sign <= 0)).any():
            entering = np.zeros_like(active)
            p = working_set.solve(active, -reduced)
    # What the coefficients that were kept out could gain by themselves.
    held = 0.5 * float(np.sum(excess[~entering] ** 2))
    among = active | entering
    return p, sign, -0.5 * float(reduced[among] @ p[among]), held


def feature_sign_search(working_set, u, slope, threshold, steps=SEARCH_STEPS):
    """Minimise the model on a working set.

    Parameters
    ----------
    working_set : WorkingSet
    u, slope : ndarray of shape (size,)
        The start and the smooth part's gradient there.
    threshold : ndarray of shape (size,)
        The penalty of each absolute value; 0 for intercepts.
    steps : int, default=SEARCH_STEPS
        At most.

    Returns
    -------
    u : ndarray of shape (size,)
    left : float
        An estimate of how far above the minimum u is.
    """
    gained, left = 0.0, np.inf
    for _ in range(steps):
        p, sign, promise, held = _direction(working_set, u, slope, threshold)
        left = promise + held
        if left <= ACCURACY * gained:
            break
        best, choice = 0.0, None
        along = working_set.product(p)
        ends = u + p
        candidates = [along_signs(u, p, slope, p @ along, threshold)]
        crossing = (p != 0) & (ends * sign <= 0) & (threshold > 0)
        if crossing.any():
            half = u + np.median(-u[crossing] / p[crossing]) * p
            candidates += [
                np.where((moved * sign > 0) | (threshold == 0), moved, 0.0)
                for moved in (ends, half)
            ]
        for moved in candidates:
            step = moved - u
            bent = working_set.product(step)
            change = np.sum(slope * step + threshold * (np.abs(moved) - np.abs(u)))
            change += 0.5 * step @ bent
            if change < best:
                best, choice = change, (moved, bent)
        if choice is None:
            # Below rounding.
            break
        u, slope = choice[0], slope + choice[1]
        gained -= best
    return u, left


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
    """
    scale = np.sqrt(model.diagonal)
    scale[scale == 0] = 1.0
    usable = np.isfinite(threshold)
    whole = usable.sum() <= MATRIX_SIZE
    u, slope = weights.copy(), gradient
    left, decrement = np.inf, 0.0
    if not whole and 2 * np.count_nonzero(u) > min(MATRIX_SIZE, len(model.share)):
        # Nearly as many as there are rows would make their matrix singular.
        u = np.where(usable & (threshold > 0), 0.0, u)
        slope = gradient + model.product(u - weights)
    for _ in range(1 if whole else ENLARGEMENTS):
        working = usable if whole else _working_set(u, slope, threshold, scale)
        index = np.flatnonzero(working)
        s = scale[index]
        v, left = feature_sign_search(
            WorkingSet(model, index, s), u[index] * s, slope[index] / s, threshold[index] / s, steps
        )
        u[index] = v / s
        D = u - weights
        bent = model.product(D)
        slope = gradient + bent
        change = gradient * D
        change[usable] += threshold[usable] * (np.abs(u) - np.abs(weights))[usable]
        decrement = -float(change.sum() + 0.5 * D @ bent)
        excess = np.maximum(np.abs(slope[~working]) - threshold[~working], 0) / scale[~working]
        outside = 0.5 * float(np.sum(excess**2))
        left += outside
        if outside <= ACCURACY * decrement:
            break
    return u, decrement + left, decrement > 0 and left <= 0.1 * decrement


def _working_set(u, slope, threshold, scale):
    """Coefficients that are not 0, intercepts, and the zeros that violate optimality most."""
    working = np.isfinite(threshold) & ((u != 0) | (threshold == 0))
    excess = np.where(working, 0.0, np.maximum(np.abs(slope) - threshold, 0) / scale)
    most = min(max(50, int(working.sum())), len(u))
    return working | ((excess > 0) & (excess >= np.partition(excess, -most)[-most]))


def thresholds(objective):
    """The penalty of each absolute value of one output's extended weights."""
    threshold = np.full(objective.d + 1, objective.l1)
    threshold[-1] = 0.0 if objective.fit_intercept else np.inf
    return threshold


def proximal_newton_direction(hessian, weights, gradient, floor):
    """Proximal Newton's step; see ``HessianModel.newton_direction``."""
    objective = hessian.objective
    x, y, weight = hessian.sample
    share = weight / weight.sum()
    raw = x @ weights.T
    found = objective.loss._curvature(y, raw)
    threshold = np.tile(thresholds(objective), (len(weights), 1))
    if objective.target_kind == "class":
        if objective.loss.shift_invariant:
            # All intercepts moved alike change nothing: the last one stays.
            threshold[-1, -1] = np.inf
        along = objective.loss._curvature_operator(y, raw)
        models = [(slice(None), QuadraticModel(x, share, along, len(weights), objective.l2))]
        raised = False
    else:
        h = np.maximum(found, floor)
        raised = floor > 0 and bool((found < floor).any())
        models = [
            (slice(r, r + 1), QuadraticModel(x, share, h[:, r : r + 1].__mul__, 1, objective.l2))
            for r in range(len(weights))
        ]
    moved, decrement, solved = np.empty_like(weights), 0.0, True
    for part, model in models:
        u, gain, done = minimise(
            model, weights[part].ravel(), gradient[part].ravel(), threshold[part].ravel(),
            hessian.search_steps,
        )  # fmt: skip
        moved[part] = u.reshape(weights[part].shape)
        decrement, solved = decrement + gain, solved and done
    direction = moved - weights
    # Among columns that are equal to rounding searches do not end: the next ones are shorter.
    hessian.search_steps = SEARCH_STEPS if solved else max(hessian.search_steps // 2, 20)
    hessian.model_diagonal = np.concatenate([model.diagonal for _, model in models])
    near = float(np.abs(x @ direction.T).max()) <= objective.loss._trust_radius(hessian.y_scale)
    return direction, decrement, solved and near and not raised
