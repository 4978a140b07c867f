r"""Feature-sign search for more coefficients than a matrix of theirs is formed for.

The search is that of ``_engine/_sign_search.pyx`` (Lee et al. 2007), with conjugate gradients in
the place of a factor: with the signs of the coefficients given, the minimum of a quadratic model
with an l1 norm is one linear system.

References
----------
Lee, H., Battle, A., Raina, R. and Ng, A. Y. (2007). Efficient sparse coding algorithms. Advances
in Neural Information Processing Systems 19, 801-808.
"""

import numpy as np

from sklearn_lossopt._linalg import conjugate_gradients

# A search has ended once what is left is this part of what was gained.
ACCURACY = 1e-9


class WorkingSet:
    """The curvature among some coordinates, scaled such that its diagonal is 1.

    Parameters
    ----------
    model : QuadraticModel
    index : ndarray of int, shape (size,)
    scale : ndarray of shape (size,)
        Roots of the model's diagonal there.
    """

    def __init__(self, model, index, scale):
        self.model, self.index, self.scale = model, index, scale

    def product(self, p):
        """The scaled curvature times p."""
        v = np.zeros(self.model.size)
        v[self.index] = p / self.scale
        return self.model.product(v)[self.index] / self.scale

    def solve(self, among, b):
        """The solution of H p = b (size,) among some coordinates, 0 elsewhere."""
        return conjugate_gradients(
            lambda v: np.where(among, self.product(v), 0.0),
            lambda v: v,
            np.where(among, b, 0.0),
            tol=1e-3,
            max_iter=200,
        )[0]


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


def feature_sign_search(working_set, u, slope, threshold, steps):
    """Minimise the model on a working set.

    Parameters
    ----------
    working_set : WorkingSet
    u, slope : ndarray of shape (size,)
        The start and the smooth part's gradient there.
    threshold : ndarray of shape (size,)
        The penalty of each absolute value; 0 for intercepts.
    steps : int
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
