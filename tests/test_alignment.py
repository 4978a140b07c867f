"""Arrays at addresses that do not suit their type are read as equal arrays that do."""

import numpy as np
import pytest
from catalogue import make, make_data, same_model
from scipy import sparse

from sklearn_lossopt._estimators.data import canonical


def misaligned(array):
    """An equal array, C-ordered, one byte off."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    out = raw[1:].view(array.dtype).reshape(array.shape)
    out[...] = array
    assert out.flags.c_contiguous and not out.flags.aligned
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_misaligned_data_fit_as_aligned_data(task, dtype):
    X, y = make_data(task)
    X, y = X.astype(dtype), y.astype(dtype)
    weight = np.linspace(0.5, 2, len(y))
    good = X, y, weight
    bad = [misaligned(part) for part in good]
    fits = [
        make(task).fit(*given, X_val=given[0], y_val=given[1], sample_weight_val=given[2])
        for given in (good, bad)
    ]
    assert same_model(*fits)
    assert np.array_equal(fits[0].validation_curve_, fits[1].validation_curve_)


def test_rows_that_the_engine_gets_are_aligned():
    X = make_data("regression")[0]
    assert canonical(X) is X
    assert canonical(misaligned(X)).flags.aligned
    rows = sparse.csr_array(X)
    rows.data = misaligned(rows.data)
    assert canonical(rows).data.flags.aligned
    assert not rows.data.flags.aligned
