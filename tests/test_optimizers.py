"""What optimizers say of their memory; their update rules are in test_trajectories.py."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import OPTIMIZERS

from sklearn_lossopt.optimizers import registry

SLOW = {"beta_1": 0.6, "beta_2": 0.9999}
# name, parameters, what the twin calls the slots of state
MEMORIES = [
    ("sgd", {}, []),
    ("gradient_descent", {}, []),
    ("momentum", {"momentum": 0.7}, ["v"]),
    ("momentum", {"momentum": 0.7, "nesterov": True}, ["v"]),
    ("rmsprop", {}, ["square"]),
    ("rmsprop", {"rho": 0.9999, "momentum": 0.7}, ["square", "v"]),
    ("rmsprop", {"centered": True}, ["square", "mean"]),
    ("rmsprop", {"rho": 0.9999, "momentum": 0.7, "centered": True}, ["square", "v", "mean"]),
    ("adam", SLOW, ["m", "s"]),
    ("adam", SLOW | {"amsgrad": True}, ["m", "s", "largest"]),
    ("amsgrad", SLOW, ["m", "s", "largest"]),
    ("adamw", SLOW | {"weight_decay": 0.0}, ["m", "s"]),
    ("adamw", SLOW | {"weight_decay": 0.0, "amsgrad": True}, ["m", "s", "largest"]),
    ("nadam", SLOW, ["m", "s", "product"]),
    ("radam", SLOW, ["m", "s"]),
    ("radam", {"beta_1": 0.6, "beta_2": 0.5}, ["m", "s"]),
    ("adamax", SLOW, ["m", "u"]),
    ("adagrad", {}, ["s"]),
    ("adadelta", {}, ["s", "u"]),
    ("lion", {}, ["m"]),
]
each_memory = pytest.mark.parametrize(
    "name, params, slots",
    MEMORIES,
    ids=["-".join([name, *(f"{key}={value}" for key, value in params.items())])
         for name, params, _ in MEMORIES],
)  # fmt: skip


def test_every_registered_optimizer_is_tested():
    assert {name for name, _, _ in MEMORIES} == set(registry())


@each_memory
def test_allocates_what_it_needs(name, params, slots):
    assert registry()[name](**params).n_slots == len(slots)


@each_memory
def test_settles_where_it_would_come_to_rest(name, params, slots):
    """As if the gradient were 0 from now on; optimizers without momentum are at rest."""
    rng = np.random.default_rng(0)
    theta, memory, rate, t = rng.normal(size=(2, 4)), {}, 0.01, 4000
    for _ in range(t):
        gradient = rng.normal(size=theta.shape) + 0.3
        theta = OPTIMIZERS[name](theta, gradient, memory, rate, **params)
    # NAdam's product of weights below 1, which the twin does not keep, has long come to 0
    memory["product"] = np.zeros(theta.shape)
    state = np.reshape([memory[slot] for slot in slots], (len(slots), theta.size))
    settled = theta.ravel().copy()
    registry()[name](**params)._settle(settled, state, t, rate)

    moving = bool({"v", "m"} & set(slots)) and name != "lion"
    rest = theta
    if moving:
        for _ in range(60):
            rest = OPTIMIZERS[name](rest, 0 * theta, memory, rate, **params)
        assert np.abs(rest - theta).max() > 1e-4
    assert_allclose(settled - theta.ravel(), (rest - theta).ravel(), rtol=0.01, atol=1e-12)
    if moving:
        # the momentum itself is gone, the measure of the gradient's size is not
        for slot, row in zip(slots, state, strict=True):
            assert (row == 0).all() == (slot in ("v", "m", "product"))
