"""The rows that an estimator trains on and validates with, as data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sklearn_lossopt._compat import check_sample_weight

# Of the largest weight, as a power of 2: beyond it products with class weights lose digits.
MAX_EXPONENT = 900


class TargetEncoding(ABC):
    """How the targets of one kind of estimator become numbers to train on, and back.

    Attributes
    ----------
    target_kind : str
        What an Objective calls such targets.
    n_outputs : int
    flat : bool
        Whether the user knows targets, raw predictions and coefficients without an axis of outputs.
    attributes : dict
        Fitted attributes besides the coefficients.
    """

    target_kind: str
    n_outputs: int
    flat: bool
    attributes: dict

    @abstractmethod
    def encode_validation(self, y, sample_indices):
        """``RowSet.target`` and ``RowSet.codes`` of y_val; ValueError where y has no such values.

        Parameters
        ----------
        y : ndarray
        sample_indices : ndarray or None
            Rows that are used; None for all.
        """


@dataclass
class RowSet:
    """Rows to train on, or to validate with."""

    X: np.ndarray | sparse.csr_array
    y: np.ndarray  # as the user knows it
    target: np.ndarray  # as an Objective takes it
    codes: np.ndarray | None  # class indices; None for numbers
    weight: np.ndarray | None
    sample_indices: np.ndarray | None  # of the rows that are used; None for all
    model_dtype: np.dtype | None = None  # where it is not that of X

    def class_weighted(self, class_weights, cache):
        """The same rows, their weights multiplied by those of their classes. Rows to train on and
        rows to validate with share the weights of all."""
        if class_weights is None:
            return self
        parts = self.weight, self.codes, class_weights
        weight = cache("weights by class", parts, lambda: self._weights_by_class(class_weights))
        positive = select(weight, self.sample_indices) > 0
        if positive.all():
            return replace(self, weight=weight)
        kept = self.sample_indices
        kept = np.arange(len(weight), dtype=np.uint32) if kept is None else kept
        return replace(self, weight=weight, sample_indices=kept[positive])

    def _weights_by_class(self, class_weights):
        # Rows of weight 0 may have labels that are no classes, and any code.
        weight = np.take(class_weights, self.codes.astype(np.intp), mode="clip")
        if self.weight is not None:
            # Denormal numbers have few digits, and products of large ones overflow.
            exponent = np.frexp(self.weight.max())[1]
            extreme = abs(exponent) > MAX_EXPONENT
            weight *= np.ldexp(self.weight, -exponent) if extreme else self.weight
        return weight

    def relative_weights(self):
        """The weights, of mean 1 in the rows that are used, in the type of X."""
        # By the largest first: their sum cannot overflow then, nor can they vanish in float32.
        used = select(self.weight, self.sample_indices)
        largest = used.max()
        weight = self.weight / largest
        weight /= np.mean(used / largest)
        return weight.astype(self.X.dtype, copy=False)


@dataclass
class TrainingData:
    """All that one fit gets to see."""

    rows: RowSet  # to train on
    validation: RowSet | None
    encoding: TargetEncoding
    seed: int


def select(array, sample_indices):
    """The rows of an array that are used."""
    return array if sample_indices is None else array[sample_indices]


def check_target(loss, target):
    """Raise ValueError where a fit to all of these targets (n, k) has no optimum."""
    loss._check_target(target)
    loss._check_total(target)


def check_weight(sample_weight, X, allow_all_zero=False):
    """Checked weights, and the indices of rows whose weight is not 0; None for all of them."""
    if sample_weight is None:
        return None, None
    weight = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True,
        allow_all_zero_weights=allow_all_zero,
    )  # fmt: skip
    sample_indices = np.flatnonzero(weight).astype(np.uint32)
    return weight, None if len(sample_indices) == X.shape[0] else sample_indices


def is_plain(X, y, n_features, many_outputs=False):
    """Whether X and y are arrays that scikit-learn's validation would return as they are; False
    where only that can tell. Any number of columns will do for ``n_features=None``, and y may have
    columns where there can be ``many_outputs``."""
    if not (type(X) is type(y) is np.ndarray and X.ndim == 2):
        return False
    if not (y.ndim == 1 or (many_outputs and y.ndim == 2 and y.size > 0)):
        return False
    if (
        X.shape != (len(y), n_features or X.shape[1])
        or X.size == 0
        or X.dtype not in (np.float32, np.float64)
    ):
        return False
    if not (y.dtype.kind in "biuf" and y.dtype.isnative) or not (
        X.flags.c_contiguous and X.flags.aligned
    ):
        return False
    with np.errstate(all="ignore"):
        return bool(np.isfinite(X.sum()) and (y.dtype.kind != "f" or np.isfinite(y.sum())))


def canonical(X):
    """Valid X as the engine takes it: numbers at addresses that suit their type, and of sparse
    formats a csr_array that stores each place once."""
    if not sparse.issparse(X):
        return X if X.flags.aligned else X.copy()
    if X.nnz and not 0 <= X.indices.min() <= X.indices.max() < X.shape[1]:
        raise ValueError(
            f"X has column indices from {X.indices.min()} to {X.indices.max()}, but "
            f"{X.shape[1]} columns. Build it anew from its data."
        )
    if not X.data.flags.aligned:
        X = X.copy()
    if not X.has_canonical_format:
        # Numbers stored twice for one place are to be added; not in the caller's X.
        X = X.copy()
        X.sum_duplicates()
    return sparse.csr_array(X)
