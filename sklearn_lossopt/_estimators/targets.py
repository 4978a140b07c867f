"""Targets that are numbers, of one output or several."""

from dataclasses import dataclass

import numpy as np

from sklearn_lossopt._estimators.data import TargetEncoding


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
    """Targets (n, k) in the dtype of X."""
    columns = y.reshape(len(y), -1)
    with np.errstate(over="ignore"):
        target = np.require(columns, dtype, ["C", "A"])
    if not np.isfinite(target).all():
        raise ValueError("y is too large for float32, the type of X. Pass X as float64.")
    return target
