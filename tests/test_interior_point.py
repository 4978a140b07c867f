"""The interior point for streams of piecewise linear losses, beside linear programs."""

import numpy as np
import pytest
from scipy.optimize import linprog

from sklearn_lossopt._engine import interior_point
from sklearn_lossopt.losses import AbsoluteError, EpsilonInsensitive, Hinge, Quantile

RNG = np.random.default_rng(0)


def rows(loss, scale):
    """Extended rows, the later half of them of another scale, targets and shares."""
    x = np.column_stack([RNG.normal(size=(120, 4)), np.ones(120)])
    x[60:, :-1] *= scale
    y = x @ [1.0, -1.0, 0.5, 0.0, 1.0] + RNG.normal(size=120)
    share = RNG.random(120)
    return x, np.sign(y) if loss.classification else y, share / share.sum()


def linear_program(x, share, breakpoints):
    """The least sum of the losses: each piece has a variable that is above both of its sides."""
    n, d = x.shape
    count = len(breakpoints)
    cost = np.concatenate([np.zeros(d), *[share] * count])
    sides, bounds = [], []
    for b, (at, low, high) in enumerate(breakpoints):
        variable = np.zeros((n, count * n))
        variable[:, b * n : (b + 1) * n] = -np.eye(n)
        for slope in (low, high):
            sides.append(np.hstack([slope[:, None] * x, variable]))
            bounds.append(slope * at)
    free = (None, None)
    return linprog(cost, np.vstack(sides), np.concatenate(bounds), bounds=[free] * len(cost)).fun


def minimiser(x, share, breakpoints, quadratic, linear, tol):
    pieces = tuple(np.stack(part) for part in zip(*breakpoints, strict=True))
    return interior_point(x, share, pieces, quadratic, linear, np.zeros(len(linear)), tol, 40)


def value(loss, x, y, share, w):
    return float(share @ loss.loss_gradient(y, x @ w)[0])


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("loss", [Hinge(), AbsoluteError(), Quantile(0.9), EpsilonInsensitive(0.3)])
def test_minimum_is_that_of_a_linear_program(loss, scale):
    x, y, share = rows(loss, scale)
    breakpoints = loss._breakpoints(y)
    w = minimiser(x, share, breakpoints, np.zeros((5, 5)), np.zeros(5), 1e-8)
    found = value(loss, x, y, share, w)
    best = linear_program(x, share, breakpoints)
    assert -1e-9 <= found - best < 1e-6 * max(1.0, best)


def test_a_quadratic_and_a_linear_term():
    loss = AbsoluteError()
    x, y, share = rows(loss, 1.0)
    root = RNG.normal(size=(5, 5))
    P, q = root @ root.T, RNG.normal(size=5)
    w = minimiser(x, share, loss._breakpoints(y), P, q, 1e-12)

    def total(v):
        return value(loss, x, y, share, v) + 0.5 * v @ P @ v + q @ v

    for _ in range(50):
        assert total(w) <= total(w + 10 ** RNG.uniform(-6, 0) * RNG.normal(size=5)) + 1e-10


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_too_large_leave_the_start(bad):
    loss = Quantile(0.8)
    x, y, share = rows(loss, 1.0)
    x[7, 1] = bad
    w = minimiser(x, share, loss._breakpoints(y), np.eye(5), np.ones(5), 1e-8)
    np.testing.assert_array_equal(w, 0.0)


def test_shapes_that_do_not_agree_are_refused():
    loss = Quantile(0.8)
    x, y, share = rows(loss, 1.0)
    with pytest.raises(ValueError, match=r"quadratic has shape \(4, 4\), not \(5, 5\)"):
        minimiser(x, share, loss._breakpoints(y), np.eye(4), np.ones(5), 1e-8)
    with pytest.raises(ValueError, match="low has shape"):
        interior_point(
            x, share, (y[None], y[None, 1:], y[None]), np.eye(5), np.ones(5), np.ones(5), 1e-8, 9
        )
