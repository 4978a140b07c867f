"""One partition's rows: what is checked and counted first, and how they are encoded then.

The functions here are pure and run where the partition is.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sklearn_lossopt._estimators.data import TargetEncoding, canonical, check_weight, select
from sklearn_lossopt._estimators.labels import check_classification_targets, class_codes, distinct
from sklearn_lossopt._estimators.targets import numeric_target, squares_leave_float32
from sklearn_lossopt._partitions.objective import PartitionRows


@dataclass
class Block:
    """One partition as the user has it."""

    number: int
    X: object
    y: object
    weight: object | None = None

    def __post_init__(self):
        # Estimators of scikit-learn take a frame of one column for a matrix.
        if getattr(self.y, "ndim", 1) == 2 and hasattr(self.y, "columns"):
            self.y = self.y.to_numpy()

    @property
    def rows(self):
        return self.X.shape[0]


@contextmanager
def naming_block(number):
    """Errors inside name the partition that they are about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"block {number} of the data: {str(error).strip()}") from error


@dataclass
class Facts:
    """What a fit has to know of a partition before it can encode it.

    Attributes
    ----------
    features : tuple
        Their number and their names, None where there are none.
    labels : ndarray of shape (c,) or None
        Of the rows used, sorted; None for numbers.
    counts, masses : ndarray of shape (c,)
        Rows used, and the sums of their weights over ``largest``, of each label; of all rows for
        numbers.
    largest : ndarray of shape (c,)
        The largest weights.
    targets : ndarray of shape (2, k) or None
        The least and the largest numbers.
    """

    number: int
    features: tuple
    dtype: np.dtype
    sparse: bool
    shape: tuple  # of y, without its rows
    weighted: bool
    labels: np.ndarray | None
    counts: np.ndarray
    masses: np.ndarray
    largest: np.ndarray
    targets: np.ndarray | None
    leaves_float32: bool

    @property
    def used(self):
        """Number of rows used."""
        return int(self.counts.sum())


def gather_facts(block, estimator):
    """The Facts of a Block, None where it is empty; ValueError where its data are invalid.

    ``estimator`` has the parameters alone.
    """
    if block.rows == 0:
        return None
    with naming_block(block.number):
        X, y = estimator._validate(block.X, block.y)
        weight, used = check_weight(block.weight, X, allow_all_zero=True)
        features = estimator.n_features_in_, getattr(estimator, "feature_names_in_", None)
        known, targets, leaves = select(y, used), None, False
        if estimator._task == "classification":
            if len(known) and known.dtype.kind not in "biu":
                check_classification_targets(known)
            labels = distinct(known)
            codes = class_codes(labels, known).astype(np.intp, copy=False)
        else:
            labels, codes = None, np.zeros(len(known), np.intp)
            # Of rows without a weight no shape follows from their number.
            numbers = (known if known.ndim == 2 else known[:, None]).astype(np.float64)
            if len(known):
                targets = np.stack([numbers.min(axis=0), numbers.max(axis=0)])
            leaves = X.dtype == np.float32 and squares_leave_float32(y, used)
        size = 1 if labels is None else len(labels)
        counts, largest = np.bincount(codes, minlength=size), np.zeros(size)
        if weight is None:
            largest[counts > 0], masses = 1.0, counts.astype(np.float64)
        else:
            share = select(weight, used)
            np.maximum.at(largest, codes, share)
            masses = np.bincount(codes, share / largest[codes], minlength=size)
        return Facts(
            block.number, features, X.dtype, sparse.issparse(X), y.shape[1:],
            block.weight is not None, labels, counts, masses, largest, targets, leaves,
        )  # fmt: skip


@dataclass
class Recipe:
    """How every partition is encoded: what follows from the facts of all.

    Attributes
    ----------
    dtype : dtype
        That training takes place in.
    unit : float or None
        What weights, times those of their classes, are multiplied with; None where all are alike.
    """

    encoding: TargetEncoding
    n_features: int
    dtype: np.dtype
    sparse: bool
    class_weights: np.ndarray | None
    unit: float | None


def encode(block, recipe):
    """The PartitionRows of a Block that has passed its checks."""
    dtype, encoding = recipe.dtype, recipe.encoding
    if block.rows == 0:
        X = np.empty((0, recipe.n_features), dtype)
        X = sparse.csr_array(X) if recipe.sparse else X
        return PartitionRows(block.number, X, np.empty((0, 1), dtype), None, None)
    with naming_block(block.number):
        X = block.X
        if not (type(X) is np.ndarray and X.dtype == dtype and X.flags.c_contiguous):
            X = check_array(X, dtype=dtype, order="C", accept_sparse="csr", ensure_all_finite=False)
        if recipe.sparse and not sparse.issparse(X):
            X = sparse.csr_array(X)
        X, y = canonical(X), np.asarray(block.y)
        weight, used = check_weight(block.weight, X, allow_all_zero=True)
        codes = None
        if hasattr(encoding, "classes"):
            target, codes = encoding.encode_known(y.ravel(), used)
        else:
            target = numeric_target(y.astype(np.float64, copy=False), dtype)
        if recipe.unit is None:
            return PartitionRows(block.number, X, target, None, used)
        weight = np.ones(X.shape[0]) if weight is None else weight
        if recipe.class_weights is not None:
            weight = weight * np.take(recipe.class_weights, codes.astype(np.intp), mode="clip")
        positive = np.flatnonzero(weight).astype(np.uint32)
        used = None if len(positive) == len(weight) else positive
        weight = (weight * recipe.unit).astype(dtype)
        return PartitionRows(block.number, X, target, weight, used)


def take_rows(rows, first, strides):
    """Every so many of the rows used of each class, counted over all partitions.

    ``first`` has the numbers of those before each partition, ``strides`` (c,) how many of each
    class one stands for; weights make up for strides that differ.
    """
    used, stride = np.arange(rows.n), int(strides.max())
    before = first.get(rows.number)
    if rows.n == 0 or (strides == stride).all():
        picked = used[-(0 if before is None else int(before.sum())) % stride :: stride]
        factor = None
    else:
        target = rows.target if rows.sample_indices is None else rows.target[rows.sample_indices]
        codes = (target[:, 0] > 0 if target.ndim == 2 else target).astype(np.intp)
        classes = (used[codes == c] for c in range(len(strides)))
        counted = zip(classes, before, strides, strict=True)
        picked = np.sort(np.concatenate([own[-b % s :: s] for own, b, s in counted]))
        factor = strides[codes[picked]] / stride
    picked = picked if rows.sample_indices is None else rows.sample_indices[picked]
    weight = None if rows.weight is None else rows.weight[picked]
    if factor is not None:
        weight = (factor if weight is None else factor * weight).astype(rows.X.dtype)
    return PartitionRows(rows.number, rows.X[picked], rows.target[picked], weight, None)
