"""Both kinds of model offer training the same interface."""

import numpy as np
import pytest

from sklearn_lossopt._objective import Objective
from sklearn_lossopt._preconditioning.linear import LinearPreconditioner
from sklearn_lossopt._preconditioning.network import Architecture, NetworkPreconditioner
from sklearn_lossopt._preconditioning.protocol import Preconditioner
from sklearn_lossopt.losses import SquaredError


@pytest.mark.parametrize("precondition", ["auto", False])
def test_linear_models_and_networks_satisfy_the_protocol(precondition):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    objective = Objective(X, y, "values", None, None, 1, SquaredError(), 1e-2, 0.0, True)
    linear = LinearPreconditioner(objective, precondition, 30, None)
    network = NetworkPreconditioner(
        objective, precondition, Architecture((4,), "relu", 0.0), 0, None
    )
    for found in (linear, network):
        assert isinstance(found, Preconditioner)
        assert found.fingerprint() == b"" or precondition
    assert linear.hessian is not None and network.hessian is None
