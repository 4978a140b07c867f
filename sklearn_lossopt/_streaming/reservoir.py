"""A bounded, uniform sample of the rows of a stream."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sklearn_lossopt._training.state import altered

# Rows kept: at least so many, and so many for each column.
ROWS, ROWS_PER_COLUMN = 1000, 4


def capacity(d):
    """The number of rows that a reservoir holds."""
    return max(ROWS, ROWS_PER_COLUMN * (d + 1))


def row_keys(numbers, seed):
    """A hash of the number of each row (splitmix64; Steele, Lea and Flood 2014)."""
    x = numbers.astype(np.uint64) + np.uint64(1)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x += np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass
class Reservoir:
    """The rows with the smallest keys of all rows seen; keys are hashes of the rows' numbers.

    So every row is as likely to be kept as any other, and which rows are does not depend on where
    chunks end (bottom-k sampling; Cohen and Kaplan 2007).

    Parameters
    ----------
    seed : int
    keys, numbers : ndarray of shape (m,)
        The keys, and the numbers of the rows in the stream.
    rows : ndarray of shape (m, d)
        Dense, whatever the chunks are.
    target : ndarray of shape (m, k) or (m,)
        As of ``Objective``.
    weight : ndarray of shape (m,), float64
    model : ndarray of shape (m, 4, k), float64
        Of a row that ``QuadraticSum`` holds: the raw predictions that its model starts from, and
        value, slope and curvature there; other rows have zeros.
    seen : int
        Rows seen.

    References
    ----------
    Cohen, E. and Kaplan, H. (2007). Summarizing data using bottom-k sketches. PODC, 225-234.
    """

    seed: int
    keys: np.ndarray
    numbers: np.ndarray
    rows: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    model: np.ndarray
    seen: int = 0

    @classmethod
    def empty(cls, objective, seed):
        """A reservoir for rows like those of an objective."""
        X, none = objective.X, np.empty(0)
        return cls(
            seed,
            none.astype(np.uint64),
            none.astype(np.int64),
            np.empty((0, objective.d), X.dtype),
            objective.target[:0],
            none,
            np.empty((0, 4, objective.n_outputs)),
        )

    def extended(self, objective, weight):
        """The reservoir after the rows of one more chunk, none of which has a model yet."""
        numbers = self.seen + np.arange(objective.n)
        keys, most = row_keys(numbers, self.seed), capacity(objective.d)
        new = np.arange(objective.n)
        if len(self.keys) == most:
            new = np.flatnonzero(keys < self.keys.max())
        if len(new) == 0:
            return altered(self, seen=self.seen + objective.n)
        held, all_keys = len(self.keys), np.concatenate([self.keys, keys[new]])
        left = np.empty(0, int)
        if len(all_keys) > most:
            left = np.argpartition(all_keys, most)[most:]
        free = left[left < held]
        stay = np.ones(len(new), bool)
        stay[left[left >= held] - held] = False
        new = new[stay]
        index = new if objective.sample_indices is None else objective.sample_indices[new]
        rows = objective.X[index]
        parts = {
            "keys": keys[new],
            "numbers": numbers[new],
            "rows": rows.toarray() if sparse.issparse(rows) else rows,
            "target": objective.target[index],
            "weight": np.ones(len(new)) if weight is None else weight[index],
            "model": np.zeros((len(new), 4, self.model.shape[2])),
        }
        # Rows that come take the places of those that go.
        joined = {}
        for name, part in parts.items():
            joined[name] = np.concatenate([getattr(self, name), part[len(free) :]])
            joined[name][free] = part[: len(free)]
        return altered(self, seen=self.seen + objective.n, **joined)

    def mean(self):
        """Of the rows (d,), float64."""
        return (self.weight / self.weight.sum()) @ self.rows.astype(np.float64)

    def without_models(self):
        return altered(self, model=np.zeros_like(self.model))
