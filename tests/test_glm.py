"""Quantile, robust and generalised linear regression: what they are for, and scikit-learn's own.

Deviances on the diabetes data are in test_defaults.py; here are zeros, weights and other powers.
"""

import functools

import numpy as np
import pytest
from catalogue import make
from numpy.testing import assert_allclose
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    PoissonRegressor,
    QuantileRegressor,
    TweedieRegressor,
)

from sklearn_lossopt.losses import Quantile, Tweedie


def cell_area():
    """The mean area of a cell from its other 29 measurements."""
    X = load_breast_cancer().data
    return np.delete(X, 3, axis=1), X[:, 3]


DATA = {
    "diabetes": functools.partial(load_diabetes, return_X_y=True, scaled=False),
    "cell area": cell_area,
    "friedman1": functools.partial(make_friedman1, 2000, noise=1.0, random_state=0),
    "friedman2": functools.partial(make_friedman2, 20_000, noise=100.0, random_state=0),
    "friedman3": functools.partial(make_friedman3, 5000, noise=0.1, random_state=0),
}


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", DATA)
def test_a_quantile_covers_its_share_of_rows(name, level):
    X, y = DATA[name]()
    model = make("regression", Quantile(level)).fit(X, y)
    assert model.converged_
    residual = y - model.predict(X)
    on = np.abs(residual) <= 1e-7 * np.abs(y).max()
    below = np.mean((residual < 0) & ~on)
    # Optimality, with a free intercept: the rows that the model goes through tip the balance.
    assert below - 1e-3 <= level <= below + on.mean() + 1e-3
    assert on.sum() <= X.shape[1] + 1
    assert abs(below + on.mean() / 2 - level) <= 0.01


def test_quantiles_cover_weight_not_rows():
    X, y = DATA["friedman1"]()
    weight = np.random.default_rng(0).gamma(1.0, size=len(y))
    model = make("regression", Quantile(0.9)).fit(X, y, sample_weight=weight)
    assert abs(np.average(y <= model.predict(X), weights=weight) - 0.9) <= 0.01
    plain = make("regression", Quantile(0.9)).fit(X, y)
    assert not np.allclose(plain.coef_, model.coef_, rtol=1e-2)


@pytest.mark.parametrize("level", [0.25, 0.9])
def test_quantile_without_penalty_is_quantile_regressor(level):
    X, y = DATA["diabetes"]()
    model = make("regression", Quantile(level), alpha=0).fit(X, y)
    peer = QuantileRegressor(quantile=level, alpha=0, solver="highs").fit(X, y)
    loss = Quantile(level)
    ours, theirs = (loss.loss_gradient(y, m.predict(X))[0].mean() for m in (model, peer))
    assert_allclose(ours, theirs, rtol=1e-6)
    assert_allclose(model.predict(X), peer.predict(X), atol=1e-3 * y.std())


def rates(zeros, n=2000, d=5, seed=0):
    """Columns in different units, and targets of a log-linear mean, some of them 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** np.arange(-2, d - 2)
    mean = np.exp(X @ (rng.normal(size=d) / 3 / X.std(axis=0)) + 0.5)
    y = rng.gamma(2.0, mean / 2)
    if zeros:
        y[rng.uniform(size=n) < 0.3] = 0.0
    return X, y, rng.gamma(2.0, size=n)


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "loss, peer",
    [
        ("poisson", PoissonRegressor()),
        ("gamma", GammaRegressor()),
        (Tweedie(1.1), TweedieRegressor(power=1.1)),
        (Tweedie(1.5), TweedieRegressor(power=1.5)),
        (Tweedie(1.9), TweedieRegressor(power=1.9)),
        (Tweedie(1.0), PoissonRegressor()),
        (Tweedie(2.0), GammaRegressor()),
    ],
    ids=lambda found: str(found).split("Regressor")[0],
)
def test_deviances_are_those_of_scikit_learn(loss, peer, weighted, alpha):
    """Half the mean deviance plus alpha / 2 |w|^2, in both; coefficients to 1e-4."""
    power = {"poisson": 1.0, "gamma": 2.0}.get(loss, getattr(loss, "power", None))
    X, y, weight = rates(zeros=power < 2)
    weight = weight if weighted else None
    if isinstance(peer, TweedieRegressor):
        peer.set_params(link="log")
    # Its Newton steps want columns of one size, which changes the penalty; so do ours then.
    X = X / X.std(axis=0)
    peer.set_params(alpha=alpha, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    peer.fit(X, y, sample_weight=weight)
    model = make("regression", loss, alpha=alpha).fit(X, y, sample_weight=weight)
    assert model.converged_
    for ours, theirs in ((model.coef_, peer.coef_), (model.intercept_, peer.intercept_)):
        assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
    assert_allclose(model.predict(X), peer.predict(X), rtol=1e-3)


@pytest.mark.parametrize("loss", ["poisson", "gamma", Tweedie(1.5)], ids=str)
def test_units_of_the_columns_do_not_matter(loss):
    """scikit-learn's solvers need scaled columns; without a penalty predictions are the same."""
    X, y, _ = rates(zeros=loss != "gamma")
    raw, scaled = (make("regression", loss, alpha=0).fit(Z, y) for Z in (X, X / X.std(axis=0)))
    assert raw.converged_
    assert_allclose(raw.predict(X), scaled.predict(X / X.std(axis=0)), rtol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_huber_is_huber_regressor_on_contaminated_data(share, alpha):
    """delta="auto" is epsilon times HuberRegressor's own scale; then both minimise the same.

    Its objective has twice our loss over sigma, summed, and alpha |w|^2.
    """
    X, y = DATA["diabetes"]()
    # Centred for the peer, whose solver stops early otherwise.
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    rng = np.random.default_rng(0)
    spoilt = rng.uniform(size=len(y)) < share
    y = np.where(spoilt, y + rng.choice([-1, 3], size=len(y)) * 1000.0, y)
    # Far outliers make the objective large, and a millionth of it with it.
    model = make("regression", "huber", alpha=alpha, tol=1e-10).fit(X, y)
    peer = HuberRegressor(epsilon=1.345, alpha=0, tol=1e-10, max_iter=10_000)
    if alpha:
        # The penalty in its units depends on sigma, which is where ours is found.
        peer.set_params(alpha=alpha * len(y) / (model.delta_ / 1.345))
    peer.fit(X, y)
    assert model.converged_
    assert_allclose(model.delta_, 1.345 * peer.scale_, rtol=1e-3)
    assert_allclose(model.predict(X), peer.predict(X), atol=1e-3 * model.delta_)
    if share:
        # What outliers do to the predictions is small beside what they do to a mean.
        moved = {}
        for loss in ("huber", "squared_error"):
            fits = (make("regression", loss).fit(X[rows], y[rows]) for rows in (~spoilt, ...))
            clean, spoilt_fit = (fit.predict(X) for fit in fits)
            moved[loss] = np.abs(clean - spoilt_fit).max()
        assert moved["huber"] < 0.2 * moved["squared_error"]
