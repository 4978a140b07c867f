"""Which rows are set aside for validation."""

import numpy as np
from scipy import sparse

from sklearn_lossopt._solvers.scaled_rows import BLOCK_SIZE

# Equal rows stay together, unless equal rows are the rule: more than this many of each.
COPIES = 10
# Columns that rows are told apart by, if these suffice.
COLUMNS = 16


def set_aside(X, code, weight, rows, fraction, seed):
    """Choose rows for validation.

    Each class gives about ``fraction`` of its weight, but never all its distinct rows and, if it
    has two of them, at least one. Rows are ordered by a hash of their content: the choice does
    not depend on the order of the rows, equal rows are not parted (a validation row that was
    trained on proves nothing), and an integer weight is as good as equal rows.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n, d)
    code : ndarray of shape (n,) or None
        Class indices; None for targets that are no classes.
    weight : ndarray of shape (n,) or None
    rows : ndarray of uint32 or None
        The rows to choose from; None for all.
    fraction : float
    seed : int

    Returns
    -------
    training, validation : ndarray of uint32
        Sorted indices. ``validation`` is empty where no class has two distinct rows.
    """
    index = np.arange(X.shape[0], dtype=np.uint32) if rows is None else rows
    share = np.ones(len(index)) if weight is None else weight[index]
    key = _keys(X, index, np.random.default_rng(seed))
    if len(index) > COPIES * (key.max() + 1):
        key = _numbered(key)
    if code is None:
        parts = [np.argsort(key, kind="stable")]
    else:
        order = np.lexsort((key, code[index]))
        parts = np.split(order, np.flatnonzero(np.diff(code[index][order])) + 1)
    chosen = np.zeros(len(index), bool)
    for part in parts:
        first = np.flatnonzero(np.append(True, np.diff(key[part]) != 0))
        mass = np.add.reduceat(share[part], first)
        end = np.cumsum(mass)
        take = end - 0.5 * mass < fraction * end[-1]
        take[0], take[-1] = True, False
        chosen[part] = np.repeat(take, np.diff(np.append(first, len(part))))
    return index[~chosen], index[chosen]


def _keys(X, index, random):
    """Ranks of rows in the order of their hashes; equal for equal rows."""
    step = -(-X.shape[1] // COLUMNS)
    key, more = _hashes(X, index, step, random), np.zeros(len(index), np.uint64)
    order = np.argsort(key, kind="stable")
    tied = np.diff(key[order]) == 0
    if tied.any():
        # Equal in some columns: look at all of them.
        tied = order[np.append(tied, False) | np.append(False, tied)]
        more[tied] = _hashes(X, index[tied], 1, random)
        order = np.lexsort((more, key))
    new = (np.diff(key[order]) != 0) | (np.diff(more[order]) != 0)
    rank = np.empty(len(index), np.uint64)
    rank[order] = np.append(0, np.cumsum(new))
    return rank


def _hashes(X, index, step, random):
    """A 64-bit hash of rows' numbers in every ``step``-th column: a random linear function of
    their bits, to which zeros add nothing, mixed."""
    factors = random.integers(1, 2**64, -(-X.shape[1] // step), np.uint64) | np.uint64(1)
    if sparse.issparse(X):
        each = np.zeros(X.shape[1], np.uint64)
        each[::step] = factors
        ends = np.append(np.uint64(0), np.cumsum(_bits(X.data) * each[X.indices]))
        return _mixed((ends[X.indptr[1:]] - ends[X.indptr[:-1]])[index])
    out = np.empty(len(index), np.uint64)
    block = max(1, BLOCK_SIZE // len(factors))
    for start in range(0, len(index), block):
        out[start : start + block] = _bits(X[index[start : start + block], ::step]) @ factors
    return _mixed(out)


def _bits(numbers):
    bits = (numbers.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    # Round numbers have no low bits, and a product's low bits depend on low bits alone.
    return bits ^ (bits >> np.uint64(32))


def _mixed(h):
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on all."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _numbered(key):
    """Keys that differ among equal ones."""
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(key[order]) != 0))
    sizes = np.diff(np.append(first, len(key)))
    number = np.empty(len(key), np.uint64)
    number[order] = np.arange(len(key)) - np.repeat(first, sizes)
    return _mixed(key + number * np.uint64(0x9E3779B97F4A7C15))
