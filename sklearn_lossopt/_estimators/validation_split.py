"""Which rows are set aside for validation."""

import numpy as np
from scipy import sparse

# Equal rows stay together, unless equal rows are the rule: more than this many of each.
COPIES = 10
# Numbers of X, or rows, that are looked at together. What is held of each row is its key, of four
# bytes, and a copy of it.
BLOCK_SIZE = 65_536
KEY_BITS = 32


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
    key = _keys(X, rows, np.random.default_rng(seed))
    _number_copies(key)
    n = len(key)
    chosen = _Choice(key, code, weight, rows).lowest(fraction)
    if rows is not None:
        return rows[~chosen], rows[chosen]
    held = np.empty(np.count_nonzero(chosen), np.uint32)
    kept = np.empty(n - len(held), np.uint32)
    for out, flags in ((kept, ~chosen), (held, chosen)):
        end = 0
        for part in _blocks(n):
            found = np.flatnonzero(flags[part])
            begin, end = end, end + len(found)
            out[begin:end] = found + part.start
    return kept, held


class _Choice:
    """Rows in the order of their keys, class by class.

    Parameters
    ----------
    key : ndarray of uint32, of shape (m,)
    code, weight, rows
        As for ``set_aside``; ``key`` has one for each of ``rows``.
    """

    def __init__(self, key, code, weight, rows):
        self.key, self.code, self.weight, self.rows = key, code, weight, rows
        self.n_classes = 1
        if code is not None:
            self.n_classes += max(int(c.max()) for c, _, _ in self._parts())

    def _parts(self):
        """Classes, keys and masses (None for 1 each) of blocks of rows."""
        for part in _blocks(len(self.key)):
            index = part if self.rows is None else self.rows[part]
            key = self.key[part].astype(np.int64)
            code = np.zeros(len(key), np.intp)
            if self.code is not None:
                code = self.code[index].astype(np.intp)
            yield code, key, None if self.weight is None else self.weight[index]

    def lowest(self, fraction):
        """Flags of those of each class that come first and have about this share of its mass: the
        first key's, but not the last's."""
        first = np.full(self.n_classes, 2**KEY_BITS)
        last = np.full(self.n_classes, -1)
        for code, key, _ in self._parts():
            np.minimum.at(first, code, key)
            np.maximum.at(last, code, key)
        end, chosen = self._ends(fraction), []
        for code, key, _ in self._parts():
            chosen.append(((key < end[code]) | (key == first[code])) & (key != last[code]))
        return np.concatenate(chosen)

    def _ends(self, fraction):
        """The keys that those rows' are less than, one for each class.

        They are found from their leading bits on, by the mass of the rows that agree in those.
        """
        width = max(1, (BLOCK_SIZE // self.n_classes).bit_length() - 1)
        left, known = KEY_BITS, np.zeros(self.n_classes, np.int64)
        below, wanted = np.zeros(self.n_classes), None
        while left:
            width = min(width, left)
            mass = np.zeros((self.n_classes, 1 << width))
            for code, key, weight in self._parts():
                inside = np.flatnonzero(key >> left == known[code])
                digit = (key[inside] >> (left - width)) & ((1 << width) - 1)
                place = (code[inside] << width) | digit
                mass += np.bincount(
                    place, None if weight is None else weight[inside], mass.size
                ).reshape(mass.shape)
            end = below[:, None] + np.cumsum(mass, axis=1)
            if wanted is None:
                wanted = fraction * end[:, -1]
            # The sums of the digits before may be rounded in another way.
            wanted = np.minimum(wanted, np.nextafter(end[:, -1], 0))
            digit = np.argmax(end > wanted[:, None], axis=1)
            row = np.arange(self.n_classes)
            below, last = np.where(digit > 0, end[row, digit - 1], below), mass[row, digit]
            known, left = (known << width) | digit, left - width
        return known + (below + 0.5 * last < wanted)


def _blocks(n, size=BLOCK_SIZE):
    """Slices of all of n, of so many each."""
    return (slice(start, start + size) for start in range(0, n, size))


def _keys(X, rows, random):
    """Keys of rows, equal for equal rows: the leading bits of a random linear function of the bits
    of their numbers, to which zeros add nothing, mixed."""
    factors = random.integers(1, 2**64, X.shape[1], np.uint64) | np.uint64(1)
    out = np.empty(X.shape[0] if rows is None else len(rows), np.uint32)
    per_row = X.nnz / max(1, X.shape[0]) if sparse.issparse(X) else X.shape[1]
    for part in _blocks(len(out), max(1, int(BLOCK_SIZE / max(1, per_row)))):
        block = X[part] if rows is None else X[rows[part]]
        if sparse.issparse(block):
            ends = np.cumsum(_bits(block.data) * factors[block.indices], dtype=np.uint64)
            ends = np.append(np.uint64(0), ends)[block.indptr]
            h = ends[1:] - ends[:-1]
        else:
            h = _bits(block) @ factors
        out[part] = _leading(_mixed(h))
    return out


def _bits(numbers):
    bits = (numbers.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    # Round numbers have no low bits, and a product's low bits depend on low bits alone.
    return bits ^ (bits >> np.uint64(32))


def _mixed(h):
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on all."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _leading(h):
    return h >> np.uint64(64 - KEY_BITS)


def _number_copies(key):
    """Make keys differ among equal ones, in place, if equal ones are the rule."""
    ordered = np.sort(key)
    new = np.append(True, ordered[1:] != ordered[:-1])
    if len(key) <= COPIES * np.count_nonzero(new):
        return
    distinct = ordered[new]
    seen = np.zeros(len(distinct), np.int64)
    for part in _blocks(len(key)):
        rank = np.searchsorted(distinct, key[part])
        order = np.argsort(rank, kind="stable")
        first = np.flatnonzero(np.append(True, np.diff(rank[order]) != 0))
        number = np.empty(len(rank), np.int64)
        sizes = np.diff(np.append(first, len(rank)))
        number[order] = np.arange(len(rank)) - np.repeat(first, sizes)
        number += seen[rank]
        np.add.at(seen, rank, 1)
        place = rank.astype(np.uint64) + number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        key[part] = _leading(_mixed(place))
