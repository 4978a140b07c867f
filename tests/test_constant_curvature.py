"""A loss of constant curvature: one factor for all steps and targets, and the optimum after one
epoch, by scikit-learn's Ridge and by closed forms."""

import numpy as np
import pytest
from catalogue import make, same_model
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import Ridge

from sklearn_lossopt import GradientSearchCV
from sklearn_lossopt._solvers import newton
from sklearn_lossopt.losses import RegressionLoss, SquaredError

ALPHA = 1e-3


def problem(n=300, d=6, k=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-2, 2, d) + 5 * rng.normal(size=d)
    y = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=(d, k)) + rng.normal(size=(n, k))
    # Targets in units of their own.
    return X, y * 10.0 ** (np.arange(k) % 3), rng.uniform(0.1, 3, n)


def ridge(X, y, weight=None, alpha=ALPHA):
    """The minimiser of the objective, from its normal equations."""
    share = np.ones(len(X)) if weight is None else weight
    share = share / share.sum()
    mean, middle = share @ X, share @ y
    A = (X - mean).T * share
    coef = np.linalg.solve(A @ (X - mean) + alpha * np.eye(X.shape[1]), A @ (y - middle)).T
    return coef, middle - coef @ mean


class Half(RegressionLoss):
    """Half of squared error, which says that its curvature is constant."""

    _constant_curvature = 0.5

    def loss_gradient(self, y, raw):
        r = raw - y
        value = r**2 / 4
        return value if raw.ndim == 1 else value.sum(axis=1), r / 2


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "gradient_descent", "schedule_free_sgd"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3, 12])
def test_one_epoch_ends_at_the_optimum(k, weighted, optimizer):
    X, y, weight = problem(k=k)
    weight = weight if weighted else None
    model = make("regression", "squared_error", optimizer, alpha=ALPHA)
    model.fit(X, y if k > 1 else y[:, 0], sample_weight=weight)
    assert model.converged_ and model.n_iter_ == 1
    coef, intercept = ridge(X, y, weight)
    scale = y.std(axis=0)[:, None] / X.std(axis=0)
    assert_allclose(np.atleast_2d(model.coef_) / scale, coef / scale, atol=1e-9)
    assert_allclose(model.intercept_, intercept if k > 1 else intercept[0], rtol=1e-8)


@pytest.mark.parametrize("layout", [np.asarray, np.float32, sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_layouts(layout, fit_intercept):
    X, y, _ = problem()
    X = layout(X)
    model = make("regression", alpha=ALPHA, fit_intercept=fit_intercept).fit(X, y)
    dense = X.toarray() if sparse.issparse(X) else X.astype(float)
    peer = Ridge(alpha=len(y) * ALPHA, fit_intercept=fit_intercept).fit(dense, y)
    scale = y.std(axis=0)
    tol = 1e-3 if X.dtype == np.float32 else 1e-8
    assert_allclose(model.predict(X) / scale, peer.predict(dense) / scale, atol=tol)
    assert model.converged_


@pytest.mark.parametrize("k", [1, 3])
def test_a_factor_of_some_of_the_rows(k, monkeypatch):
    """Rare columns make the sample's Hessian a bad one: that of all rows takes its place."""
    rng = np.random.default_rng(1)
    X, y, _ = problem(n=4000, k=k)
    X = np.column_stack([X, rng.random((4000, 4)) < 0.003])
    monkeypatch.setattr(newton.HessianModel.__init__, "__defaults__", (2000, None))
    model = make("regression", alpha=1e-6).fit(X, y)
    coef, _ = ridge(X, y, alpha=1e-6)
    scale = y.std(axis=0)[:, None] / X.std(axis=0)
    assert model.converged_
    assert_allclose(model.coef_.reshape(coef.shape) / scale, coef / scale, atol=2e-3)


@pytest.mark.parametrize("alpha", [0.0, 1e-12])
def test_dependent_columns_have_the_smallest_coefficients(alpha):
    X, y, _ = problem()
    X = X / X.std(axis=0)
    X = np.column_stack([X, X[:, 0] + X[:, 1], np.ones(len(X))])
    model = make("regression", alpha=alpha).fit(X, y)
    assert model.converged_
    expected = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(axis=0), rcond=1e-10)[0].T
    scale = y.std(axis=0)[:, None]
    assert_allclose(model.coef_ / scale, expected / scale, atol=1e-6)


def test_each_target_is_fitted_as_if_alone():
    X, y, _ = problem(k=4)
    together = make("regression", alpha=ALPHA).fit(X, y)
    for r in range(4):
        alone = make("regression", alpha=ALPHA).fit(X, y[:, r])
        assert_allclose(together.coef_[r], alone.coef_, rtol=1e-8)


def test_a_loss_of_your_own_states_it():
    X, y, weight = problem()
    own = make("regression", Half(), alpha=ALPHA / 2).fit(X, y, sample_weight=weight)
    known = make("regression", SquaredError(), alpha=ALPHA).fit(X, y, sample_weight=weight)
    assert own.converged_ and own.n_iter_ == 1
    assert_allclose(own.coef_, known.coef_, rtol=1e-8)


def test_candidates_that_share_a_factor_are_what_they_are_alone():
    X, y, _ = problem(k=1)
    grid = {"optimizer": ["adam", "sgd", "momentum"], "alpha": [1e-3, 1e-2]}
    model = make("regression", random_state=0)
    search = GradientSearchCV(model, grid, cv=3, n_jobs=1).fit(X, y[:, 0])
    best = make("regression", random_state=0, **search.best_params_).fit(X, y[:, 0])
    assert same_model(search.best_estimator_, best)
