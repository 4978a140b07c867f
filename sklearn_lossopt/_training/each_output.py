"""Several targets, each with an objective and a tolerance of its own.

Their sum is what epochs lower. It says nothing about a target in small units beside one in large
ones. So steps are judged target by target.
"""

import numpy as np

# Halvings of a step.
HALVINGS = 13


def step_each(iterate, incumbent, convergence, direction):
    """Move each output along its row of a Newton direction as far as lowers its own objective.

    Returns
    -------
    length : float
        The shortest step among outputs that are not at their optimum.
    """
    origin = iterate.weights.astype(np.float64)
    values = convergence.objectives(origin)
    promised = np.abs(0.5 * np.sum(iterate.gradient * direction, axis=1))
    near = promised <= 1e-6 * np.abs(values)
    lengths = np.ones(len(values))
    for _ in range(HALVINGS + 1):
        found = convergence.objectives(origin + lengths[:, None] * direction)
        good = (found < values) | (near & (found <= values + 1e-10 * np.abs(values)))
        if good.all():
            break
        lengths[~good] *= 0.5
    lengths[~good] = 0.0
    iterate.weights[...] = origin + lengths[:, None] * direction
    # The next step starts here.
    value, best = iterate.evaluate(gradient=True), incumbent.value
    if lengths.any() and value <= best + 1e-10 * abs(best):
        incumbent.keep(value)
    unfinished = promised > convergence.allowed(values)
    return float(lengths[unfinished].min() if unfinished.any() else lengths.max())


def judge_each(iterate, incumbent, convergence, found, gaps, sparse=None):
    """Keep the solvers' points (k, d + 1) where they are the best, and set the gap.

    Parameters
    ----------
    iterate, incumbent, convergence
        As for ``NewtonCorrector``.
    found : ndarray of shape (k, d + 1), float64
    gaps : ndarray of shape (k,)
        How far each of them is from its optimum.
    sparse : ndarray of shape (k, d + 1), default=None
        The same points with exact zeros. More of them are preferred within tolerance.
    """
    saved = incumbent.weights.astype(np.float64)
    before, now = convergence.objectives(saved), convergence.objectives(found)
    least, exact = now - gaps, False
    if sparse is not None:
        value, size = convergence.objectives(sparse), np.abs(now)
        take = value <= now + np.clip(gaps, 1e-10 * size, 1e-6 * size)
        found, now = np.where(take[:, None], sparse, found), np.where(take, value, now)
        fewer = np.count_nonzero(found, axis=1) < np.count_nonzero(saved, axis=1)
        exact = fewer & (now - least <= convergence.allowed(now))
    near = (gaps <= 1e-6 * np.abs(now)) & (now <= before + 1e-10 * np.abs(before))
    take = (now < before) | near | exact
    iterate.weights[...] = np.where(take[:, None], found, saved)
    if take.any():
        incumbent.keep(iterate.evaluate())
    best = np.where(take, now, before)
    convergence.set_bounds(best, least)
