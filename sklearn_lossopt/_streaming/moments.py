"""Moments of the rows of a stream, none of which is kept, and a sample of its targets."""

from dataclasses import dataclass, replace

import numpy as np

from sklearn_lossopt._linalg import subtract_from_rows
from sklearn_lossopt._objective import TOO_LARGE
from sklearn_lossopt._solvers.scaled_rows import BLOCK_SIZE

# Targets kept for their typical size.
TARGETS = 2000


@dataclass
class Moments:
    """Weighted first and second moments of all rows seen.

    Merging two sets of rows adds to their second moments about their own means what lies between
    the means; no difference of large numbers is formed (Chan, Golub and LeVeque 1983).

    Parameters
    ----------
    mass : float
        Sum of the weights.
    mean : ndarray of shape (d,)
    second : ndarray of shape (d,) or (d, d)
        Weighted mean of the squares, or products, of the columns less ``mean``; without
        ``centred``, of the columns as they are.
    centred : bool

    References
    ----------
    Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for computing the sample
    variance. The American Statistician 37(3), 242-247.
    """

    mass: float
    mean: np.ndarray
    second: np.ndarray
    centred: bool

    @classmethod
    def of(cls, objective, mass, full):
        """The moments of a problem's rows, whose weights add up to ``mass``."""
        centred = objective.fit_intercept and not objective.sparse
        if not full:
            mean, second = objective.moments() if centred else (np.zeros(objective.d), None)
            return cls(mass, mean, objective.raw_moment() if second is None else second, centred)
        index = objective.subsample(objective.n)
        total, size = None, max(1, BLOCK_SIZE // max(1, objective.d))
        weight = np.ones(objective.n) if objective.weight is None else objective.weight[index]
        weight = weight.astype(np.float64) * (mass / weight.sum(dtype=np.float64))
        for start in range(0, objective.n, size):
            part = slice(start, start + size)
            used = objective.sample_indices
            rows = objective.X[part if used is None else used[part]]
            block = cls._of_rows(rows.astype(np.float64, order="C"), weight[part], centred)
            total = block if total is None else total.merged(block)
        return total

    @classmethod
    def _of_rows(cls, rows, weight, centred):
        mass = weight.sum()
        share = weight / mass
        mean = share @ rows if centred else np.zeros(rows.shape[1])
        if centred:
            subtract_from_rows(rows, mean)
        rows *= np.sqrt(share)[:, None]
        with np.errstate(over="ignore"):
            second = rows.T @ rows
        if not np.isfinite(second).all():
            raise ValueError(TOO_LARGE)
        return cls(mass, mean, second, centred)

    def merged(self, other):
        """The moments of both sets of rows."""
        if self.second.ndim > other.second.ndim:
            self = replace(self, second=self.variance)
        mass = self.mass + other.mass
        share = other.mass / mass
        second = (1 - share) * self.second + share * other.second
        mean = self.mean
        if self.centred:
            step = other.mean - self.mean
            mean = self.mean + share * step
            between = share * (1 - share)
            second += between * (step**2 if second.ndim == 1 else np.outer(step, step))
        return Moments(mass, mean, second, self.centred)

    @property
    def variance(self):
        return self.second if self.second.ndim == 1 else np.diagonal(self.second)


@dataclass
class Sample:
    """Targets evenly thinned from all rows seen: every ``stride``-th one."""

    kept: np.ndarray
    stride: int = 1
    seen: int = 0

    def extended(self, y):
        """The sample with the next rows' targets (n, k)."""
        kept = np.concatenate([self.kept, y[-self.seen % self.stride :: self.stride]])
        stride = self.stride
        while len(kept) > TARGETS:
            kept, stride = kept[::2], 2 * stride
        return Sample(kept, stride, self.seen + len(y))
