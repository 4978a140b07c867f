"""Fewer rows than columns: coordinates in the span of the rows."""

from functools import partial

import numpy as np
import pytest
from catalogue import make
from numpy.testing import assert_allclose
from scipy import sparse

from sklearn_lossopt._objective import Objective
from sklearn_lossopt._solvers.equivalent_rows import RowSpace, equivalent
from sklearn_lossopt.losses import AbsoluteError, SquaredError

KINDS = {
    "dense": np.asarray,
    "sparse": sparse.csr_array,
    "float32": partial(np.asarray, dtype=np.float32),
}


def wide(n=25, d=80, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + 2 * rng.normal(size=d)
    # Numbers that float32 holds.
    return X.astype(np.float32).astype(np.float64), rng.normal(size=n), rng.integers(1, 4, n) * 1.0


def objective(X, y, weight, used=None, fit_intercept=True, loss=None):
    loss = SquaredError() if loss is None else loss
    y, weight = y.astype(X.dtype), None if weight is None else weight.astype(X.dtype)
    return Objective(X, y[:, None], "values", weight, used, 1, loss, 0.1, 0.0, fit_intercept)


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()], ids=["smooth", "kinked"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "used", [None, np.arange(22, dtype=np.uint32)], ids=["all rows", "some rows"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_and_lengths_are_kept(kind, used, weighted, fit_intercept, loss):
    X, y, s = wide()
    full = objective(KINDS[kind](X), y, s if weighted else None, used, fit_intercept, loss)
    inside, (change,) = equivalent(full)
    rows = slice(None) if used is None else used
    mean = np.average(X[rows], axis=0, weights=s[rows] if weighted else None) * fit_intercept
    A = X[rows] - mean
    Q = A.T @ change.T
    assert inside.d == Q.shape[1] == len(A) - fit_intercept
    assert_allclose(Q.T @ Q, np.eye(inside.d), atol=1e-11)
    tol = 1e-6 if kind == "float32" else 1e-11
    assert_allclose(inside.X @ Q.T, A, atol=tol * np.abs(A).max())
    V, intercept = np.random.default_rng(1).normal(size=(1, inside.d)), np.ones(1)
    coef, moved = change.to_user(V, intercept)
    assert_allclose(X[rows] @ coef[0] + moved, inside.X @ V[0] + 1, atol=tol * np.abs(A).max())
    assert_allclose(np.linalg.norm(coef), np.linalg.norm(V), rtol=tol)
    back, same = change.from_user(coef, moved)
    assert_allclose(back, V, atol=10 * tol)
    assert_allclose(same, intercept, atol=10 * tol)


def repeated(X):
    return np.vstack([X[:-1], X[:1]])


def nearly_repeated(X):
    return np.vstack([X[:-1], X[:1] + 1e-4 * X[-1:]])


def lengths_differ(X):
    return X * np.logspace(0, 9, len(X))[:, None]


@pytest.mark.parametrize("spoil", [repeated, nearly_repeated, lengths_differ])
def test_a_cholesky_factor_serves_where_the_condition_is_good(spoil):
    X, y, s = wide()
    assert RowSpace(objective(X, y, s), orthogonal=False)._parts is None
    assert RowSpace(objective(X, y, s), orthogonal=True)._parts is not None
    assert RowSpace(objective(spoil(X), y, s), orthogonal=False)._parts is not None


@pytest.mark.parametrize("alpha", [0.0, 1e-8, 0.1])
@pytest.mark.parametrize("sizes", [0, 6, 12], ids=lambda power: f"columns to 1e{power}")
@pytest.mark.parametrize("spoil", [np.asarray, repeated, nearly_repeated])
def test_squared_error_is_the_ridge(spoil, sizes, alpha):
    X, y, s = wide()
    X = spoil(X) * np.logspace(-sizes, 0, X.shape[1])
    if spoil in (repeated, nearly_repeated):
        y[-1] = y[0]
    model = make("regression", "squared_error", alpha=alpha).fit(X, y, sample_weight=s)
    assert model.converged_
    root = np.sqrt(s / s.sum())
    A, b = (
        root[:, None] * (X - np.average(X, axis=0, weights=s)),
        root * (y - np.average(y, weights=s)),
    )
    U, size, W = np.linalg.svd(A, full_matrices=False)
    keep = size > 1e-13 * size[0]
    share = np.where(keep, size / (size**2 + alpha + 1e-300), 0)
    best = 0.5 * np.sum((b - A @ (W.T @ (share * (U.T @ b)))) ** 2)
    best += 0.5 * alpha * np.sum((share * (U.T @ b)) ** 2)
    value = 0.5 * np.average((y - model.predict(X)) ** 2, weights=s)
    value += 0.5 * alpha * np.sum(model.coef_**2)
    assert value <= best * (1 + 1e-6) + 1e-14 * np.average(y**2, weights=s)
