"""Looks at rows in partitions: what solvers of losses with kinks ask of all rows, in one pass.

The dual variables stay with their rows.
"""

from dataclasses import dataclass

import numpy as np

from sklearn_lossopt._linalg import gram, scale_rows
from sklearn_lossopt._partitions.protocol import add
from sklearn_lossopt._solvers.augmented_lagrangian import fenchel_gaps, is_bounded_below, total

# Lengths of a step that one pass compares where the whole one is not good enough.
LENGTHS = np.array([4.0**-6, 4.0**-4, 0.016, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 1.0, 1.6, 4.0])


@dataclass
class Duals:
    """The rows of one partition and the dual variables (k, q, n) of each output's breakpoints."""

    rows: object
    theta: np.ndarray | None


@dataclass
class View:
    """How a problem is looked at: its rows less ``shift``."""

    problem: object
    shift: np.ndarray | None


@dataclass
class AtPoint:
    """A look at the smooth problem of one output at a point.

    Attributes
    ----------
    output : int
    points : tuple of one ndarray of shape (d + 1,)
        Extended weights.
    width : float
    """

    output: int
    points: tuple
    width: float

    def read(self, x, raw, share, pieces, theta):
        """What rows add to the mean loss, to the smooth loss's gradient, to the gap, to the mean
        distance from breakpoints, to the number of blocks that have rows whose loss is below 0, and
        to what ``_curved`` gives."""
        c, low, high = pieces
        r = raw[0] - c
        u = r / self.width + theta
        dual = np.clip(u, low, high)
        gap = float(share @ total(fenchel_gaps(r, low, high, dual)))
        value = gap + float(share @ total(dual * r))
        residual = float(share @ total(np.abs(r) * (low < high)))
        below = not is_bounded_below(low, high)
        slope = (share * total(dual)) @ x
        return value, slope, gap, residual, below, self._curved(x, share, pieces, theta, u)

    def _curved(self, x, share, pieces, theta, u):
        """The matrix of the smooth loss's curvature; u are duals that bounds have not cut."""
        _, low, high = pieces
        weight = ((u > low) & (u < high)).sum(axis=0) * (share / self.width)
        rows = np.flatnonzero(weight)
        bent = scale_rows(x[rows], np.sqrt(weight[rows]))
        return gram(bent, bent)


@dataclass
class AlongMove:
    """A look along a move: from ``points[0]`` in the direction ``points[1]``."""

    output: int
    points: tuple
    width: float

    def read(self, x, raw, share, pieces, theta):
        """What rows add to the smooth loss's slopes at each of LENGTHS."""
        (z, q), (c, low, high) = raw, pieces
        r, weighted, slopes = z - c, share * q, np.empty(len(LENGTHS))
        for i, length in enumerate(LENGTHS):
            dual = np.clip((r + length * q) / self.width + theta, low, high)
            slopes[i] = total(dual) @ weighted
        return (slopes,)


# -- pure functions of one partition --------------------------------------------------------------


def _blocks(rows, view):
    """The slice, the rows, the shares and the breakpoints' c, low and high (k, q, m) of each
    block."""
    start, problem = 0, view.problem
    for x, y, share in problem.objective(rows).blocks(view.shift, problem.mass):
        part = slice(start, start + len(share))
        start = part.stop
        pieces = zip(*problem.loss._breakpoints(y.astype(np.float64)), strict=True)
        pieces = [np.stack([each.T for each in piece], 1) for piece in pieces]
        yield part, x.array(), share[:, 0], pieces


def begin_duals(rows, view):
    """Duals in the middle of their bounds."""
    if rows.n == 0:
        return Duals(rows, None)
    theta = [0.5 * (low + high) for *_, (_, low, high) in _blocks(rows, view)]
    return Duals(rows, np.concatenate(theta, axis=2))


def replace_duals(duals, view, ends):
    """The duals of some outputs at weights of theirs, each row's slope of the smooth loss; ``ends``
    has (output, weights, width)."""
    if duals.rows.n == 0:
        return duals
    theta, W = duals.theta.copy(), np.stack([w for _, w, _ in ends])
    for part, x, _, pieces in _blocks(duals.rows, view):
        for (output, _, width), z in zip(ends, (x @ W.T).T, strict=True):
            c, low, high = (piece[output] for piece in pieces)
            own = theta[output][:, part]
            own[...] = np.clip((z - c) / width + own, low, high)
    return Duals(duals.rows, theta)


def look(duals, view, looks):
    """What each of some looks finds, a tuple of tuples, in one pass; None without rows."""
    if duals.rows.n == 0:
        return None
    points = np.stack([point for each in looks for point in each.points])
    found = None
    for part, x, share, pieces in _blocks(duals.rows, view):
        raw, seen, start = (x @ points.T).T, [], 0
        for each in looks:
            own = raw[start : start + len(each.points)]
            start += len(own)
            breakpoints = [piece[each.output] for piece in pieces]
            theta = duals.theta[each.output][:, part]
            seen.append(each.read(x, own, share, breakpoints, theta))
        found = add([found, tuple(seen)])
    return found
