"""Both kinds of model offer training the same interface."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_lossopt._objective import Objective
from sklearn_lossopt._preconditioning.linear import LinearPreconditioner
from sklearn_lossopt._preconditioning.network import Architecture, NetworkPreconditioner
from sklearn_lossopt._preconditioning.protocol import Preconditioner
from sklearn_lossopt.losses import SquaredError
from sklearn_lossopt.preprocessing import PiecewiseLinearEncoder


@pytest.mark.parametrize("precondition", ["auto", False])
def test_linear_models_and_networks_satisfy_the_protocol(precondition):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    objective = Objective(X, y, "values", None, None, 1, SquaredError(), 1e-2, 0.0, True)
    linear = LinearPreconditioner(objective, precondition, 30, None)
    network = NetworkPreconditioner(
        objective, precondition, Architecture((4,), "relu", 0.0, 0.0), 0, None
    )
    for found in (linear, network):
        assert isinstance(found, Preconditioner)
        assert found.fingerprint() == b"" or precondition
    assert linear.hessian is not None and network.hessian is None


def columns(n=400):
    """Columns, and whether each is one that networks leave as it is."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    found = {
        "rare": (rng.random(n) < 0.02, True),
        "common": (rng.random(n) < 0.6, True),
        "normal": (x, False),
        # Like returns: in no units that 0 and 1 are the ends of.
        "small": (0.001 + 0.03 * x, False),
        "share": (rng.random(n), False),
        "narrow share": (0.5 + 0.01 * rng.random(n), False),
        "sign": (np.sign(x), False),
        "count": (rng.poisson(0.5, size=n), False),
        "constant": (np.ones(n), False),
    }
    encoded = PiecewiseLinearEncoder().fit_transform(np.column_stack([x, np.exp(x)]))
    found |= {f"bin {i}": (column, True) for i, column in enumerate(encoded.T)}
    X, alone = zip(*found.values(), strict=True)
    return np.column_stack(X).astype(float), np.array(alone)


def units(X, weight=None, **given):
    """The factors that columns are multiplied with."""
    y = np.random.default_rng(0).normal(size=(X.shape[0], 1))
    used = None if weight is None else np.flatnonzero(weight).astype(np.uint32)
    objective = Objective(X, y, "values", weight, used, 1, SquaredError(), 0.0, 0.0, True)
    architecture = Architecture((4,), "relu", 0.0, 0.0)
    return NetworkPreconditioner(objective, "auto", architecture, 0, None, **given).scale


def test_networks_leave_zeros_ones_and_fillings_of_bins_as_they_are():
    X, alone = columns()
    scale = units(X)
    assert_array_equal(scale[alone], 1)
    spread = X.std(axis=0)
    varied = ~alone & (spread > 0)
    assert_allclose(scale[varied], 1 / spread[varied])
    assert_array_equal(scale[spread == 0], 0)
    # Rows of weight 0 count for nothing, the range included.
    more = np.vstack([X, X[:50] + 3])
    weight = np.r_[np.full(len(X), 2.0), np.zeros(50)]
    assert_allclose(units(more, weight), scale, rtol=1e-9)


def test_sparse_columns_of_ones_are_left_as_they_are():
    X, _ = columns()
    ones = np.isin(X, (0, 1)).all(axis=0)
    scale = units(sparse.csr_array(X))
    assert_array_equal(scale[ones], 1)
    assert_allclose(scale[~ones], 1 / np.sqrt((X[:, ~ones] ** 2).mean(axis=0)))
    more = sparse.csr_array(np.vstack([X, X[:50] + 3]))
    weight = np.r_[np.full(len(X), 2.0), np.zeros(50)]
    assert_allclose(units(more, weight), scale, rtol=1e-9)


def test_a_stream_recognises_zeros_and_ones():
    X, _ = columns()
    seen = SimpleNamespace(mean=X.mean(axis=0), variance=X.var(axis=0), constant=np.zeros(1),
                           y_scale=1.0, raw_spread=np.ones(1))  # fmt: skip
    ends = np.isin(X, (0, 1)).all(axis=0)
    varied = X.std(axis=0) > 0
    scale = units(X, statistics=seen)
    assert_array_equal(scale[ends & varied], 1)
    assert_allclose(scale[~ends], 1 / X.std(axis=0)[~ends])
