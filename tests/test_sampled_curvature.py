"""Curvature of some of the rows: where Newton's steps end, and what they fall back on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._solvers.huber_scale import ScaleSearch
from sklearn_lossopt._solvers.newton import HessianModel
from sklearn_lossopt.losses import Huber, LogLoss

ALPHA = 1e-3
ROWS = 6000
# Every third row is sampled, of so many rows and few columns.
STRIDE = 3


@pytest.fixture
def sampled(monkeypatch):
    """The numbers of rows that curvatures are measured on, as samples are taken."""
    rows, original = [], HessianModel._labels

    def counted(self):
        found = original(self)
        rows.append(len(found[1]))
        return found

    monkeypatch.setattr(HessianModel, "_labels", counted)
    return rows


def make_rows(kind, rng):
    """Rows that a sample of them stands for, or does not."""
    X = rng.normal(size=(ROWS, 5)) * [1, 10, 0.1, 1, 3] + rng.normal(size=5)
    if kind == "rare":
        # Columns that few rows have, none of which is sampled, and of another size.
        X[:, 3] = 0.0
        X[1:400:30, 3] = 40.0
    elif kind == "periodic":
        X[::STRIDE] = X.mean(axis=0) + 0.1 * (X[::STRIDE] - X.mean(axis=0))
    return X


def mean_loss(name, y, z):
    if name == "poisson":
        return np.mean(np.exp(z[:, 0]) - y * z[:, 0])
    if z.shape[1] == 1:
        return np.mean(np.logaddexp(0, -np.where(y == 1, 1, -1) * z[:, 0]))
    return np.mean(np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y])


def objective(model, name, X, y):
    coef = np.atleast_2d(model.coef_)
    z = X @ coef.T + model.intercept_
    return mean_loss(name, y, z) + 0.5 * ALPHA * np.sum(coef**2)


@pytest.mark.parametrize("kind", ["even", "rare", "periodic"])
@pytest.mark.parametrize("name", ["log_loss", "softmax", "poisson"])
def test_few_rows_lead_to_the_optimum(name, kind, sampled):
    rng = np.random.default_rng(0)
    X = make_rows(kind, rng)
    z = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-3) @ rng.normal(size=(5, 4))
    newton = {"solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000}
    if name == "poisson":
        y = rng.poisson(np.exp(0.2 * z[:, 0])).astype(float)
        model, peer = GradientRegressor(name, alpha=ALPHA), PoissonRegressor(alpha=ALPHA, **newton)
    else:
        noisy = z + rng.gumbel(size=z.shape)
        y = noisy.argmax(axis=1) if name == "softmax" else (noisy[:, 0] > noisy[:, 1]).astype(int)
        model = GradientClassifier("log_loss", alpha=ALPHA)
        peer = LogisticRegression(C=1 / (ALPHA * ROWS), **newton)
    model.set_params(random_state=0).fit(X, y)
    assert model.converged_
    least = objective(peer.fit(X, y), name, X, y)
    assert objective(model, name, X, y) <= least * (1 + 1e-6)
    # Where the sample does not stand for the rows, all have been looked at.
    assert min(sampled) == ROWS // STRIDE
    assert (max(sampled) == ROWS) == (kind != "even") or name == "poisson"


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("floor", [0.0, 1e-2])
def test_the_joint_hessian_of_softmax(layout, floor):
    rng = np.random.default_rng(1)
    n, d, k, l2 = 300, 6, 4, 0.1
    X, y = rng.normal(size=(n, d)), rng.integers(0, k, n)
    problem = Objective(
        layout(X), y.astype(float), "class", None, None, k, LogLoss(), l2, 0.0, True
    )
    W, g = rng.normal(size=(k, d + 1)), rng.normal(size=(k, d + 1))
    # Equal intercepts have no curvature.
    g[:, -1] -= g[:, -1].mean()
    direction, decrement, _ = HessianModel(problem, None).newton_direction(W, g, floor)

    x = np.column_stack([X, np.ones(n)])
    p = np.exp(x @ W.T)
    p /= p.sum(axis=1, keepdims=True)
    bend = np.einsum("ir,rs->irs", p, np.eye(k)) - p[:, :, None] * p[:, None, :]
    H = np.einsum("irs,ia,ib->rasb", bend, x, x) / n
    H = H.reshape(k * (d + 1), -1) + np.diag(np.tile([l2] * d + [0.0], k))
    assert_allclose(H @ direction.ravel(), -g.ravel(), atol=1e-7)
    assert_allclose(decrement, -0.5 * np.vdot(g, direction))


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_outliers_are_taken_out_of_the_gram_matrix(layout, share):
    rng = np.random.default_rng(2)
    n, d = 400, 5
    X, lack = rng.normal(size=(n, d)), rng.uniform(size=n) < share
    # A column that next to none but outliers have: the difference would be rounding.
    X[:, 4] = np.where(lack, 1e9, X[:, 4])
    y, weight = rng.normal(size=(n, 1)), rng.uniform(0.5, 2, n)
    problem = Objective(
        layout(X), y, "values", weight / weight.mean(), None, 1, Huber(delta=1.0), 0.1, 0.0, True
    )
    h = np.where(lack, 0.3 * (np.arange(n) % 2), 1.0)
    search = ScaleSearch(HessianModel(problem, None), y[:, 0], 1.345, 1.0)
    x = np.column_stack([X, np.ones(n)])
    H = (x * (h * weight / weight.sum())[:, None]).T @ x + np.diag([0.1] * d + [0.0])
    assert_allclose(search._matrix(h), H, rtol=1e-9, atol=1e-9 * np.sqrt(H[4, 4]))
