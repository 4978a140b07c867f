"""The augmented Lagrangian of one output where columns are too many for a matrix of them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sklearn_lossopt._engine import Lagrangian, Rows
from sklearn_lossopt._linalg import MATRIX_SIZE, conjugate_gradients, scale_columns, squares
from sklearn_lossopt._partitions.lagrangian import SMALL_DECREMENT, PartitionedLagrangian
from sklearn_lossopt._partitions.looks import AtPoint
from sklearn_lossopt._solvers.augmented_lagrangian import MAX_NEWTON, total

# Rows are near if their duals, before bounds cut them, are within so many times the bounds'
# distance of them; or within a part of it, where such rows are too many to bring.
SPREAD, NARROWER = 4.0, (1.0, 0.25, 0.0)
# Conjugate gradients' steps, at most.
CG_STEPS = 1000
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


class NearProblem:
    """The smooth problem about a point: as it is in the near rows, linear in all others.

    What is linear is a term with a slope of its own for each coefficient.

    Parameters
    ----------
    near : NearRows
    scale : ndarray of shape (d + 1,)
        Of the columns.
    penalty, v : ndarray of shape (d + 1,)
        See AugmentedLagrangian.
    slope : ndarray of shape (d + 1,)
        The gradient of the smooth loss at v.
    width : float
    """

    def __init__(self, near, scale, penalty, v, slope, width):
        x, share, pieces = zip(*near.parts, strict=True)
        self.near, self.share, pieces = stacked(x), np.concatenate(share), np.concatenate(pieces, 2)
        self.scale, self.penalty, self.start, self.width = scale, penalty, v, width
        self.x = scale_columns(self.near, 1 / scale)
        self.c, self.low, self.high, self.theta = pieces
        self.dual = np.clip((self.x @ v - self.c) / width + self.theta, self.low, self.high)
        self.rest = slope - (self.share * total(self.dual)) @ self.x

    def operator(self):
        """The product with the curvature at the start, and its diagonal."""
        bends = ((self.dual > self.low) & (self.dual < self.high)).sum(axis=0)
        rows = np.flatnonzero(bends)
        x, weight = self.x[rows], self.share[rows] * bends[rows] / self.width
        return lambda v: (weight * (x @ v)) @ x, weight @ squares(x)

    def minimum(self):
        """Where the minimum is."""
        # The intercept's slope is that of a row of zeros; coefficients have unit rows.
        x, rest = self.near[:, :-1], np.append(self.rest[-1], self.rest[:-1])
        zeros = np.zeros((1, x.shape[1]))
        x = stacked([x, sparse.csr_array(zeros) if sparse.issparse(x) else zeros])
        linear = np.zeros((len(self.c), len(rest)))
        linear[0] = np.sign(rest)
        pieces = [
            np.append(piece, end, axis=1)
            for piece, end in (
                (self.c, 0 * linear), (self.low, linear), (self.high, linear), (self.theta, linear),
            )
        ]  # fmt: skip
        solver = Lagrangian(
            Rows(x, None, None), float(self.penalty[-1] == 0), 1 / self.scale, None,
            np.append(self.share, np.abs(rest)), tuple(pieces[:3]), ("none", 0.0), self.penalty,
            self.width, MATRIX_SIZE,
        )  # fmt: skip
        solver.theta[...] = pieces[3]
        return solver.step(self.start, self.width, 1e-3, 0.0, MAX_NEWTON)[0]


class WideLagrangian(PartitionedLagrangian):
    """Augmented Lagrangian iterations for one output on rows in partitions, of many columns.

    Near the optimum the rows at which the smooth loss bends are about as many as columns. They, and
    those near to them, come to this process, and the smooth problem is minimised on them. Then all
    rows are looked at again. Where even bent rows are too many to bring, every so many of them give
    the direction.

    Parameters
    ----------
    objective, rows, output, weights
        See PartitionedLagrangian.
    entries : float
        Numbers in the rows that one look brings, at most.
    """

    def __init__(self, objective, rows, output, weights, entries):
        super().__init__(objective, rows, output, weights)
        self.entries, self.spread, self.accuracy = entries, SPREAD, 0.05
        self.most = self.least = entries / objective.mass

    def _look_at(self, v):
        point = (self.x.weights(v),)
        return AtPointNear(self.output, point, self.width, self.spread, self.most)

    def _about(self, v, slope, near):
        if near.bent > self.entries:
            self.most = self.least
        elif near.lacking:
            self.most *= MORE
        return NearProblem(near, self.x.scale, self.penalty, v, slope, self.width)

    def _newton_direction(self, g, problem, gap):
        """The same by conjugate gradients. Their residual r hides r' H^-1 r / 2 of the decrement,
        which is bounded with the penalty's part of H alone."""
        along, diagonal = problem.operator()
        ridge = self.ridge / self.width
        added = self.penalty + ridge
        curved = diagonal + added

        def product(v):
            return along(v) + added * v

        direction, _ = conjugate_gradients(
            product, lambda v: v / curved, -g, self.accuracy, CG_STEPS
        )
        r = g + product(direction)
        least = added.copy()
        least[-1] = curved[-1]
        decrement, rest = -0.5 * g @ direction, 0.5 * r @ (r / least)
        if rest > decrement:
            self.accuracy = max(0.1 * self.accuracy, 1e-9)
        decrement += rest
        if decrement > SMALL_DECREMENT * self.rest * gap:
            direction = problem.minimum() - problem.start
        return direction, decrement

    def _length(self, v, g, direction):
        if self.slopes is not None:
            self.spread *= 2
        return super()._length(v, g, direction)

    def _replace_duals(self, v):
        super()._replace_duals(v)
        self.spread = SPREAD
