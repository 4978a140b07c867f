"""Targets that are numbers, of one output or several."""

from dataclasses import dataclass

import numpy as np

from sklearn_lossopt._estimators.data import TargetEncoding, select

TOO_LARGE = "y is too large for float32, the type of X. Pass X as float64."
# Targets whose squares, and those of residuals a good deal smaller or larger, float32 holds.
SQUARABLE = 1e-12, 1e17


@dataclass
class NumericEncoding(TargetEncoding):
    """Numbers, one column for each output."""

    n_outputs: int
    flat: bool
    dtype: np.dtype  # that of X

    target_kind = "values"
    attributes = {}

    def encode_validation(self, y, sample_indices):
        target = numeric_target(y, self.dtype)
        if target.shape[1] != self.n_outputs:
            raise ValueError(f"y_val has {target.shape[1]} columns, but y has {self.n_outputs}.")
        return target, None


def numeric_target(y, dtype):
    """Targets (n, k) in the dtype that X is trained in."""
    columns = y.reshape(len(y), -1)
    target = np.require(columns, dtype, ["C", "A"])
    if not np.isfinite(target).all():
        raise ValueError(TOO_LARGE)
    return target


def squares_leave_float32(y, sample_indices):
    """Whether targets of an output are so large or small that squares of residuals overflow or
    underflow in float32, though the targets do not."""
    y = select(y, sample_indices)
    if not len(y):
        return False
    y = y.reshape(len(y), -1)
    size = np.maximum(y.max(axis=0).astype(np.float64), -y.min(axis=0).astype(np.float64))
    if (size > np.finfo(np.float32).max).any():
        raise ValueError(TOO_LARGE)
    return bool(((size > SQUARABLE[1]) | ((size > 0) & (size < SQUARABLE[0]))).any())
