"""The augmented Lagrangian of one output where columns are too many for a matrix of them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sklearn_lossopt._linalg import scale_columns, squares
from sklearn_lossopt._partitions.lagrangian import PartitionedLagrangian
from sklearn_lossopt._partitions.looks import AtPoint
from sklearn_lossopt._solvers.augmented_lagrangian import AugmentedLagrangian, total

# Rows are near if their duals, before bounds cut them, are within so many times the bounds'
# distance of them; or within a part of it, where such rows are too many to bring.
SPREAD, NARROWER = 4.0, (1.0, 0.25, 0.0)
# How much more each partition may bring where all bent rows are few, but some have most of them.
MORE = 8


def stored(x):
    """Numbers in rows."""
    return x.nnz if sparse.issparse(x) else x.size


def stacked(parts):
    """Rows (m, d + 1) below one another."""
    return sparse.vstack(parts, "csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


@dataclass
class NearRows:
    """Rows near where the smooth loss bends, in parts.

    The sum of two has the parts of both.

    Attributes
    ----------
    parts : list of tuple
        Rows (m, d + 1), their shares (m,), and their breakpoints' c, low, high and duals (4, q, m).
    bent : int
        How many numbers all rows have at which it bends.
    lacking : int
        How many blocks have brought only every so many of theirs.
    """

    parts: list
    bent: int
    lacking: int

    def __add__(self, other):
        return NearRows(
            self.parts + other.parts, self.bent + other.bent, self.lacking + other.lacking
        )


@dataclass
class AtPointNear(AtPoint):
    """The same look, which brings near rows in the matrix's place.

    Attributes
    ----------
    spread : float
        See SPREAD.
    most : float
        Numbers to bring, over all rows' number of all partitions.
    """

    spread: float
    most: float

    def _curved(self, x, share, pieces, theta, u):
        _, low, high = pieces
        most = self.most * len(share)
        for part in NARROWER:
            margin = part * self.spread * (high - low)
            near = np.flatnonzero(((u > low - margin) & (u < high + margin)).any(axis=0))
            rows = x[near]
            if stored(rows) <= most:
                break
        u, low, high = u[:, near], low[:, near], high[:, near]
        bent = stored(rows[((u > low) & (u < high)).any(axis=0)])
        stride = max(1, int(np.ceil(stored(rows) / most)))
        near, rows = near[::stride], rows[::stride]
        held = np.stack([*(piece[:, near] for piece in pieces), theta[:, near]])
        return NearRows([(rows, stride * share[near], held)], bent, int(stride > 1))


class HeldRows:
    """Scaled rows as AugmentedLagrangian takes them."""

    __array_ufunc__ = None

    def __init__(self, x, share):
        self.x, self.share = x, share

    def operator(self, index, weight):
        """See ``ScaledRows``."""
        x = self.x[index]
        return lambda v: (weight * (x @ v)) @ x, weight @ squares(x)

    def __matmul__(self, v):
        return self.x @ v

    def __rmatmul__(self, u):
        return u @ self.x


class NearProblem(AugmentedLagrangian):
    """The smooth problem about a point: as it is in the near rows, linear in all others.

    Those are one row more, whose loss has the slope 1.

    Parameters
    ----------
    near : NearRows
    scale : ndarray of shape (d + 1,)
        Of the columns.
    penalty, v : ndarray of shape (d + 1,)
        See AugmentedLagrangian.
    slope : ndarray of shape (d + 1,)
        The gradient of the smooth loss at v.
    width, ridge : float
    """

    def __init__(self, near, scale, penalty, v, slope, width, ridge):
        x, share, pieces = zip(*near.parts, strict=True)
        x = scale_columns(stacked(x), 1 / scale)
        share, pieces = np.concatenate(share), np.concatenate(pieces, axis=2)
        c, low, high, theta = pieces
        dual = np.clip((x @ v - c) / width + theta, low, high)
        rest = slope - (share * total(dual)) @ x
        rest = sparse.csr_array(rest[None]) if sparse.issparse(x) else rest[None]
        one = np.zeros((len(c), 1))
        one[0] = 1.0
        c, low, high, theta = (
            np.append(piece, end, axis=1)
            for piece, end in zip(pieces, (0 * one, one, one, one), strict=True)
        )
        rows = HeldRows(stacked([x, rest]), np.append(share, 1.0))
        super().__init__(rows, list(zip(c, low, high, strict=True)), penalty, 2 * width, v)
        self.begin_at(theta)
        self.start, self.ridge = v, ridge
        # Whether all rows at which the loss bends are there.
        self.complete = not near.lacking

    def operator(self):
        """The product with the curvature at the start, and its diagonal."""
        return self._operator(self._dual(self.x @ self.start, self.theta))

    def minimum(self):
        """Where the minimum is."""
        self.v, self.rest = self.start, 1e-3
        width, theta = self.width, self.theta
        self.step(0.0)
        self.width, self.theta = width, theta
        return self.v


class WideLagrangian(PartitionedLagrangian):
    """Augmented Lagrangian iterations for one output on rows in partitions, of many columns.

    Near the optimum the rows at which the smooth loss bends are about as many as columns. They, and
    those near to them, come to this process, and the smooth problem is minimised on them. Then all
    rows are looked at again. Where even bent rows are too many to bring, every so many of them give
    the direction, and of what is left nothing is believed but what the penalty promises by itself:
    the squared gradient over twice its curvature.

    Parameters
    ----------
    objective, rows, output, weights
        See PartitionedLagrangian.
    entries : float
        Numbers in the rows that one look brings, at most.
    """

    def __init__(self, objective, rows, output, weights, entries):
        super().__init__(objective, rows, output, weights)
        self.entries, self.spread = entries, SPREAD
        self.most = self.least = entries / objective.mass

    def _look_at(self, v):
        point = (self.x.weights(v),)
        return AtPointNear(self.output, point, self.width, self.spread, self.most)

    def _about(self, v, slope, near):
        if near.bent > self.entries:
            self.most = self.least
        elif near.lacking:
            self.most *= MORE
        parts = self.x.scale, self.penalty, v, slope
        return NearProblem(near, *parts, self.width, self.ridge)

    def _operator(self, dual):
        return dual[0].operator()

    def _newton_direction(self, g, dual):
        problem, gap = dual
        direction, decrement = super()._newton_direction(g, dual)
        if not problem.complete:
            least = self.penalty.copy()
            least[-1] += problem.operator()[1][-1]
            with np.errstate(divide="ignore", invalid="ignore"):
                promised = 0.5 * float(np.where(g == 0, 0.0, g * (g / least)).sum())
            decrement = max(decrement, promised)
        if decrement > self.rest * gap:
            direction = problem.minimum() - problem.start
        return direction, decrement

    def _move(self, z, v, g, direction):
        if self.slopes is not None:
            self.spread *= 2
        return super()._move(z, v, g, direction)

    def _replace_duals(self, z, v):
        super()._replace_duals(z, v)
        self.spread = SPREAD
