"""Several targets, each with an objective and a tolerance of its own. Floor 2.

Their sum is what epochs lower. It says nothing about a target in small units beside one in large
ones: steps are therefore judged target by target.
"""

import numpy as np


def separate(objective):
    """Whether the objective is the sum of those of several targets."""
    return objective.target_kind == "values" and objective.n_outputs > 1


def step_each(run, direction):
    """Move each output along its row of a Newton direction as far as lowers its own objective.

    Returns
    -------
    length : float
        The shortest step among outputs that are not at their optimum.
    """
    origin = run.weights.astype(np.float64)
    values = run.certificate.values(origin)
    promised = np.abs(0.5 * np.sum(run.gradient * direction, axis=1))
    near = promised <= 1e-6 * np.abs(values)
    lengths = np.ones(len(values))
    for _ in range(14):
        found = run.certificate.values(origin + lengths[:, None] * direction)
        good = (found < values) | (near & (found <= values + 1e-10 * np.abs(values)))
        if good.all():
            break
        lengths[~good] *= 0.5
    lengths[~good] = 0.0
    run.weights[...] = origin + lengths[:, None] * direction
    value = run.evaluate()
    if lengths.any() and value <= run.best + 1e-10 * abs(run.best):
        run.keep(value)
    unfinished = promised > run._allowed(values)
    return float(lengths[unfinished].min() if unfinished.any() else lengths.max())


def judge_each(run, found, gaps, sparse=None):
    """Keep the solvers' points (k, d + 1) where they are the best, and set the run's gap.

    ``sparse`` are the same with exact zeros, which are preferred within tolerance.
    """
    saved = run.saved.astype(np.float64)
    before, now = run.certificate.values(saved), run.certificate.values(found)
    least, exact = now - gaps, False
    if sparse is not None:
        value = run.certificate.values(sparse)
        size = np.abs(now)
        take = value <= now + np.clip(gaps, 1e-10 * size, 1e-6 * size)
        found, now = np.where(take[:, None], sparse, found), np.where(take, value, now)
        exact = now - least <= run._allowed(now)
    near = (gaps <= 1e-6 * np.abs(now)) & (now <= before + 1e-10 * np.abs(before))
    take = (now < before) | near | exact
    run.weights[...] = np.where(take[:, None], found, saved)
    if take.any():
        run.keep(run.evaluate())
    best = np.where(take, now, before)
    run.gap = float(np.max((best - least) / run._allowed(best))) * run.target(run.best)
