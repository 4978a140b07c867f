"""Rows that do not determine the coefficients, or hardly: the smallest of those as good.

That is what comes as alpha goes to 0, what ``LinearRegression`` returns for the squared error, and
what any loss has once its rows are taken to as many coordinates as they have directions.
"""

import pickle
import warnings

import numpy as np
import pytest
from catalogue import ESTIMATORS, POSITIVE_TARGETS, make
from numpy.testing import assert_allclose, assert_array_equal
from reference import LOSSES
from scipy import sparse
from scipy.optimize import linprog, minimize
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import PolynomialFeatures
from sklearn.svm import SVC

from sklearn_lossopt import GradientClassifier, GradientRegressor, GradientSearchCV
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._solvers.equivalent_rows import equivalent
from sklearn_lossopt._solvers.null_space import NullSpace
from sklearn_lossopt.losses import Huber, SquaredError

SMOOTH = {
    "regression": ["squared_error", "huber", "log_cosh", "poisson", "gamma", "tweedie"],
    "classification": ["log_loss", "squared_hinge", "modified_huber", "exponential"],
}
KINKED = {"regression": ["absolute_error", "quantile"], "classification": ["hinge"]}
SMOOTH_PAIRS = [(task, loss) for task, names in SMOOTH.items() for loss in names]
KINKED_PAIRS = [(task, loss) for task, names in KINKED.items() for loss in names]
KINDS = {
    "dense": np.asarray,
    "sparse": sparse.csr_array,
    "float32": lambda X: X.astype(np.float32),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def dependent(n=150, seed=0):
    """Ten columns of mixed sizes with four directions: copies, sums, a constant."""
    rng = np.random.default_rng(seed)
    Z = np.round(rng.normal(size=(n, 4)), 2) * [1, 2, 8, 0.5]
    # Sums of multiples of powers of 2 are exact in float32 too.
    Z = np.round(Z * 64) / 64
    X = np.c_[Z, Z[:, :2], Z.sum(axis=1), Z[:, 0] - 2 * Z[:, 3], 4 * Z[:, 2], np.full(n, 0.1)]
    return X, rng


def targets(task, loss, X, rng):
    score = X @ np.linspace(-1, 1, X.shape[1])
    score = (score - score.mean()) / score.std() + rng.normal(size=len(X))
    if task == "classification":
        return (score > 0).astype(int)
    return np.exp(0.5 * score) if loss in POSITIVE_TARGETS else score


def span(X, s):
    """Orthonormal directions (r, d) of the rows less their mean."""
    _, sizes, axes = np.linalg.svd(X[s > 0] - X[s > 0].mean(axis=0), full_matrices=False)
    return axes[sizes > 1e-10 * sizes[0]]


def smallest(X, y, loss, s=None, **params):
    """Coefficients and intercept of the smallest minimiser, found in the directions of the rows."""
    s = np.ones(len(X)) if s is None else s
    V = span(X, s)
    Z = np.c_[X @ V.T, np.ones(len(X))]
    size = Z.std(axis=0) + (Z.std(axis=0) == 0)
    y = 2 * y - 1.0 if y.dtype == int else y

    def value(u):
        losses, slope = LOSSES[loss](y, Z @ (u / size), **params)
        return np.average(losses, weights=s), (s * slope / s.sum()) @ Z / size

    found = minimize(value, np.zeros(Z.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9})
    u = found.x / size
    return u[:-1] @ V, u[-1], found.fun


def outside(coef, X):
    """The share of coefficients (k, d) that no row's prediction shows."""
    V = span(X, np.ones(len(X)))
    return np.linalg.norm(coef - coef @ V.T @ V) / np.linalg.norm(coef)


def options(loss):
    return {"loss": Huber(delta=1.0)} if loss == "huber" else {"loss": loss}


def params(loss):
    return {"delta": 1.0} if loss == "huber" else {}


@each_kind
@pytest.mark.parametrize("task, loss", SMOOTH_PAIRS)
def test_dependent_columns_have_the_smallest_coefficients(task, loss, kind):
    X, rng = dependent()
    y = targets(task, loss, X, rng)
    coef, intercept, _ = smallest(X, y, loss, **params(loss))
    for optimizer in ("adam", "sgd", "lbfgs", "gradient_descent"):
        model = ESTIMATORS[task](**options(loss), optimizer=optimizer, alpha=0, random_state=0)
        model.fit(KINDS[kind](X), y)
        assert model.converged_
        accuracy = 2e-3 if kind == "float32" else 2e-4
        assert_allclose(model.coef_.ravel(), coef, atol=accuracy * np.abs(coef).max())
        assert_allclose(model.intercept_, intercept, atol=10 * accuracy)
        assert outside(model.coef_.reshape(1, -1), X) < (1e-5 if kind == "float32" else 1e-10)


@each_kind
@pytest.mark.parametrize("task, loss", KINKED_PAIRS)
def test_dependent_columns_of_a_loss_with_kinks(task, loss, kind):
    X, rng = dependent(80)
    y = targets(task, loss, X, rng)
    best = linear_program(X, y, loss)
    for optimizer in ("adam", "sgd", "gradient_descent"):
        model = make(task, loss, optimizer, alpha=0).fit(KINDS[kind](X), y)
        assert model.converged_
        assert best * (1 - 1e-6) <= model.loss_curve_[-1] <= best * (1 + 2e-6)
        assert outside(model.coef_.reshape(1, -1), X) < (1e-5 if kind == "float32" else 1e-9)


def linear_program(X, y, loss):
    """The least mean loss of a linear model."""
    n, d = X.shape
    Z = np.c_[X, np.ones(n)]
    if loss == "hinge":
        sign = 2 * y - 1
        A, b = np.c_[-sign[:, None] * Z, -np.eye(n)], -np.ones(n)
        cost = np.r_[np.zeros(d + 1), np.ones(n) / n]
    else:
        # Above and below at half their size each.
        A, b = np.r_[np.c_[Z, -np.eye(n)], np.c_[-Z, -np.eye(n)]], np.r_[y, -y]
        cost = np.r_[np.zeros(d + 1), np.full(n, {"quantile": 0.5}.get(loss, 1.0) / n)]
    bounds = [(None, None)] * (d + 1) + [(0, None)] * n
    return linprog(cost, A_ub=A, b_ub=b, bounds=bounds).fun


@pytest.mark.parametrize("optimizer", ["rmsprop", "lion", "adagrad", "nesterov", "adamax"])
def test_other_optimizers_do_not_walk_along_null_directions(optimizer):
    X, rng = dependent()
    y = targets("regression", "squared_error", X, rng)
    expected = LinearRegression().fit(X, y)
    for precondition in ("auto", "scale", "whiten"):
        model = make("regression", "squared_error", optimizer, alpha=0, precondition=precondition)
        model.set_params(max_iter=30).fit(X, y)
        assert outside(model.coef_[None], X) < 1e-10
        if model.converged_:
            assert_allclose(model.coef_, expected.coef_, rtol=1e-3, atol=1e-3)


def test_a_schedule_of_ones_own_leaves_no_null_directions():
    X, rng = dependent()
    y = targets("regression", "squared_error", X, rng)
    model = make("regression", "squared_error", "adam", alpha=0, schedule="cosine", max_iter=20)
    assert outside(model.set_params(tol=0).fit(X, y).coef_[None], X) < 1e-10


@pytest.mark.parametrize("n", [3, 30])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_a_penalty_that_is_lost_beside_the_curvature_steers_no_step(optimizer, n):
    """With a log link the curvature grows with y; only the intercept does besides."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 1)) @ [[1.0, 0.0, 1.0]]
    y = np.exp(0.2 * X[:, 0]) + rng.random(n)
    for size in (1e50, 1e150):
        model = GradientRegressor(
            "poisson", optimizer, schedule="warm_up", max_iter=3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, size * y)
        assert_allclose(model.coef_, model.coef_[0] * np.array([1.0, 0.0, 1.0]), rtol=1e-6)
        assert np.all(model.loss_curve_ < 10 * size)


def test_directions_have_no_unit():
    W, directions = np.array([[1.0, 2.0, 3.0]]), np.array([[1e5], [-1e4], [0.0]])
    tiny, plain = (NullSpace(directions, np.array([s, s, 1.0])) for s in (1e-152, 1.0))
    assert_allclose(tiny.remove(W), plain.remove(W))


def test_equal_columns_share():
    x = np.random.default_rng(0).normal(size=(100, 1))
    for kind in KINDS.values():
        model = GradientRegressor(alpha=0, random_state=0).fit(kind(np.repeat(x, 4, 1)), x[:, 0])
        assert_allclose(model.coef_, 0.25, rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "absolute_error"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_one_hot_columns_that_agree_in_the_rows_trained_on(loss, kind):
    rng = np.random.default_rng(0)
    c = np.r_[np.arange(20), rng.integers(0, 20, 280)]
    d = c.copy()
    d[-5:] = (c[-5:] + 1) % 20
    X, y = np.c_[np.eye(20)[c], np.eye(20)[d]], 1.0 + c / 5
    model = make("regression", loss, alpha=0).fit(KINDS[kind](X[:-5]), y[:-5])
    # Of each column half the effect of its level, whatever the other says.
    raw, raw_odd = (np.log, np.exp) if loss == "poisson" else (np.asarray, np.asarray)
    expected = raw_odd(0.5 * (raw(1.0 + c[-5:] / 5) + raw(1.0 + d[-5:] / 5)))
    assert_allclose(model.predict(KINDS[kind](X[-5:])), expected, rtol=1e-5)
    assert_allclose(model.predict(KINDS[kind](X[:-5])), y[:-5], rtol=1e-5)
    assert abs(model.coef_.reshape(2, 20).sum(axis=1)).max() < 1e-5


def test_one_hot_columns_of_a_classifier():
    rng = np.random.default_rng(0)
    c = rng.integers(0, 5, 400)
    X, y = np.eye(5)[c], (rng.random(400) < 0.2 + 0.1 * c).astype(int)
    share = np.array([y[c == level].mean() for level in range(5)])
    logits = np.log(share / (1 - share))
    for kind in KINDS.values():
        model = GradientClassifier(alpha=0, random_state=0).fit(kind(X), y)
        assert_allclose(model.coef_[0], logits - logits.mean(), atol=1e-3)
        assert_allclose(model.intercept_, logits.mean(), atol=1e-3)


@each_kind
@pytest.mark.parametrize("loss", [*SMOOTH["regression"], "absolute_error"])
def test_fewer_rows_than_columns_are_met_by_the_smallest_coefficients(loss, kind):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 90))
    X[:, 40:] *= rng.random((30, 50)) < 0.2
    y = targets("regression", loss, X, rng)
    raw = np.log(y) if loss in POSITIVE_TARGETS else y
    coef = np.linalg.pinv(X - X.mean(axis=0)) @ raw
    for optimizer in ("adam", "sgd", "lbfgs", "gradient_descent"):
        if optimizer == "lbfgs" and loss == "absolute_error":
            continue
        model = ESTIMATORS["regression"](**options(loss), optimizer=optimizer, alpha=0)
        model.set_params(random_state=0).fit(KINDS[kind](X), y)
        assert model.converged_
        # Deviances are flat near 0: what is left of them is the square of what coefficients miss.
        assert_allclose(model.coef_, coef, atol=3e-3 * np.abs(coef).max())
        assert outside(model.coef_[None], X) < (1e-6 if kind == "float32" else 1e-12)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)], ids=["long", "wide"])
@each_kind
def test_weights_and_rows_without_any(kind, shape):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(shape[0], 6)) @ rng.normal(size=(6, shape[1]))
    y, s = rng.normal(size=shape[0]), rng.integers(0, 3, shape[0]) * 1.0
    expected = LinearRegression().fit(X[s > 0], y[s > 0], sample_weight=s[s > 0])
    for optimizer in ("adam", "lbfgs"):
        model = make("regression", "squared_error", optimizer, alpha=0)
        model.fit(KINDS[kind](X), y, sample_weight=s)
        assert_allclose(model.coef_, expected.coef_, rtol=1e-3, atol=1e-5)
    coef, _, _ = smallest(X, y, "log_cosh", s)
    model = make("regression", "log_cosh", alpha=0).fit(KINDS[kind](X), y, sample_weight=s)
    assert_allclose(model.coef_, coef, atol=1e-3 * np.abs(coef).max())


@pytest.mark.parametrize("shape", [(60, 12), (12, 60)], ids=["long", "wide"])
@each_kind
def test_without_an_intercept(kind, shape):
    rng = np.random.default_rng(3)
    X = 1 + rng.normal(size=(shape[0], 5)) @ rng.normal(size=(5, shape[1]))
    Y = rng.normal(size=(shape[0], 2))
    model = make("regression", "squared_error", alpha=0, fit_intercept=False)
    model.fit(KINDS[kind](X), Y)
    expected = np.linalg.lstsq(X, Y, rcond=1e-6)[0].T
    assert_allclose(model.coef_, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert_array_equal(model.intercept_, 0)


@each_kind
def test_softmax_weights_have_a_mean_of_zero_over_classes(kind):
    X, rng = dependent(300)
    score = X[:, :4] @ rng.normal(size=(4, 3)) / 4 + rng.gumbel(size=(300, 3))
    y = score.argmax(axis=1)
    V = span(X, np.ones(300))
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(X @ V.T, y)
    coef = (peer.coef_ - peer.coef_.mean(axis=0)) @ V
    for optimizer in ("adam", "sgd", "lbfgs"):
        model = make("classification", "log_loss", optimizer, alpha=0).fit(KINDS[kind](X), y)
        assert model.converged_
        assert_allclose(model.coef_, coef, atol=5e-3 * np.abs(coef).max())
        assert abs(model.coef_.mean(axis=0)).max() < 1e-6
        assert abs(model.intercept_.mean()) < 1e-6


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_start_beside_the_span_of_the_rows(kind):
    X, rng = dependent()
    for rows in (X, rng.normal(size=(20, 50))):
        y = rng.normal(size=len(rows))
        model = make("regression", "squared_error", alpha=0, warm_start=True)
        model.fit(KINDS[kind](rows), y)
        expected = model.coef_
        # Far along directions that no row has.
        V = span(rows, np.ones(len(rows)))
        step = rng.normal(size=rows.shape[1])
        model.coef_ = model.coef_ + 1000 * (step - step @ V.T @ V)
        model.fit(KINDS[kind](rows), y)
        assert_allclose(model.coef_, expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [1e-12, 1e-10])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_tiny_penalty_leads_to_the_same(alpha, kind):
    X, rng = dependent()
    for rows in (X, rng.normal(size=(30, 60))):
        y = targets("regression", "squared_error", rows, rng)
        for optimizer in ("adam", "sgd", "lbfgs"):
            model = make("regression", "squared_error", optimizer, alpha=alpha)
            model.fit(KINDS[kind](rows), y)
            assert model.converged_
            assert_allclose(model.coef_, LinearRegression().fit(rows, y).coef_, atol=1e-5)


@pytest.mark.parametrize("alpha", [0, 1e-12, 1e-4])
def test_nearly_dependent_columns_reach_the_optimum(alpha):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X = PolynomialFeatures(3, include_bias=False).fit_transform(X)
    centred = X - X.mean(axis=0)
    size = centred.std(axis=0)
    rows = [centred / size / np.sqrt(len(X)), np.diag(np.sqrt(alpha) / size)]
    A, b = np.vstack(rows), np.r_[(y - y.mean()) / np.sqrt(len(X)), np.zeros(len(size))]
    best = 0.5 * np.sum((A @ np.linalg.lstsq(A, b, rcond=1e-13)[0] - b) ** 2)
    for optimizer in ("adam", "sgd", "lbfgs"):
        model = make("regression", "squared_error", optimizer, alpha=alpha).fit(X, y)
        value = 0.5 * np.mean((model.predict(X) - y) ** 2) + alpha / 2 * model.coef_ @ model.coef_
        assert model.converged_
        assert value <= best * (1 + 1e-6)
        assert_allclose(value, model.loss_curve_[-1], rtol=1e-6)


# -- wide rows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 36_000))
    score = X[:, :30].sum(axis=1)
    return X, score + rng.normal(size=120), np.digitize(score, [-4, 4])


def test_wide_rows_are_certified(wide):
    X, y, c = wide
    alpha = 1e-3
    model = GradientRegressor(alpha=alpha, random_state=0).fit(X, y)
    ridge = Ridge(alpha * len(X)).fit(X, y)
    assert model.converged_
    assert_allclose(model.coef_, ridge.coef_, atol=1e-6 * np.abs(ridge.coef_).max())

    model = GradientClassifier("hinge", alpha=alpha, random_state=0).fit(X, c == 1)
    peer = SVC(C=1 / (alpha * len(X)), kernel="linear", tol=1e-8).fit(X, c == 1)
    sign = 2.0 * (c == 1) - 1
    hinge = np.maximum(0, 1 - sign * peer.decision_function(X)).mean()
    assert model.converged_
    assert model.loss_curve_[-1] <= (hinge + alpha / 2 * (peer.coef_**2).sum()) * (1 + 1e-5)

    model = GradientClassifier(alpha=alpha, random_state=0).fit(X, c)
    peer = LogisticRegression(C=1 / (alpha * len(X)), tol=1e-8, max_iter=1000).fit(X, c)
    probability = peer.predict_proba(X)[np.arange(len(c)), c]
    best = -np.log(probability).mean() + alpha / 2 * (peer.coef_**2).sum()
    assert model.converged_
    assert model.loss_curve_[-1] <= best * (1 + 1e-6)


def test_wide_rows_of_float32_and_their_held_out_rows(wide):
    X, y, _ = wide
    X, y = X[:, :3000].astype(np.float32), y
    model = make("regression", "squared_error", early_stopping=True, max_iter=20)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    at_end = 0.5 * np.mean((model.predict(X[80:]) - y[80:]) ** 2)
    assert_allclose(model.validation_curve_[model.best_iter_ - 1], at_end, rtol=1e-4)
    assert model.coef_.dtype == np.float32


@pytest.mark.parametrize("scales", [1.0, np.r_[1e7, 1e-4, np.ones(398)]], ids=["even", "mixed"])
@pytest.mark.parametrize("alpha", [0, 1e-4])
def test_wide_rows_of_mixed_scales(scales, alpha):
    """Small singular values are not lost in the squares of large ones."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 400)) * scales, rng.normal(size=50)
    model = GradientRegressor(alpha=alpha, random_state=0).fit(X, y)
    centred = X - X.mean(axis=0)
    U, sizes, V = np.linalg.svd(centred, full_matrices=False)
    U, sizes, V = U[:, :-1], sizes[:-1], V[:-1]
    coef = (U.T @ y * sizes / (sizes**2 + alpha * 50)) @ V
    assert model.converged_
    assert_allclose(model.predict(X), centred @ coef + y.mean(), atol=1e-6)
    assert_allclose(model.coef_, coef, atol=1e-7 * np.abs(coef).max())


def test_equivalent_rows_keep_predictions_and_norms():
    rng = np.random.default_rng(0)
    lengths = 10.0 ** rng.integers(-6, 6, size=(40, 1))
    for X in (rng.normal(size=(40, 300)), lengths * rng.normal(size=(40, 300)), np.ones((3, 9))):
        y = rng.normal(size=(len(X), 1))
        whole = Objective(X, y, "values", None, None, 1, SquaredError(), 1e-4, 0.0, True)
        found, (change,) = equivalent(whole)
        v, b = rng.normal(size=(2, found.d)), rng.normal(size=2)
        coef, intercept = change.to_user(v, b)
        expected = v @ found.X.T + b[:, None]
        sizes = np.abs(v) @ np.abs(found.X).T + 1
        assert (np.abs(coef @ X.T + intercept[:, None] - expected) < 1e-8 * sizes).all()
        if np.ptp(X):
            assert_allclose(np.linalg.norm(coef, axis=1), np.linalg.norm(v, axis=1), rtol=1e-5)
            again, _ = change.from_user(coef, intercept)
            assert_allclose(again, v, rtol=1e-3, atol=1e-3)


def test_wide_searches_report_what_separate_fits_give():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 150)), rng.normal(size=60)
    base, folds = GradientRegressor(random_state=0), KFold(3)
    search = GradientSearchCV(base, {"alpha": [0, 1e-6, 0.1]}, cv=folds).fit(X, y)
    for candidate, alpha in enumerate([0, 1e-6, 0.1]):
        for fold, (train, test) in enumerate(folds.split(X)):
            model = GradientRegressor(alpha=alpha, random_state=0).fit(X[train], y[train])
            score = search.cv_results_[f"split{fold}_test_score"][candidate]
            assert_allclose(score, model.score(X[test], y[test]), rtol=1e-10)


def test_wide_models_go_on_as_streams_and_pickle():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 80)), rng.normal(size=30)
    model = GradientRegressor(random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    again.partial_fit(X, y)
    assert np.isfinite(again.coef_).all()


def test_many_columns_without_a_penalty():
    """Beyond what is decomposed, least squares find the smallest coefficients."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((3000, 2500), density=0.004, random_state=rng, format="csr")
    y = X @ rng.normal(size=2500) + 0.1 * rng.normal(size=3000)
    model = GradientRegressor(alpha=0, random_state=0).fit(X, y)
    expected = LinearRegression(tol=1e-12).fit(X, y)
    assert model.converged_
    assert_allclose(model.predict(X), expected.predict(X), atol=1e-2)
    assert np.linalg.norm(model.coef_) <= np.linalg.norm(expected.coef_) * 1.01


# -- sparse columns far from 0 -------------------------------------------------------------------


@pytest.mark.parametrize("span, unit", [(86_400, 1), (3600, 1), (60, 1e3), (1, 1e3)])
@pytest.mark.parametrize("zeros", [0, 2])
def test_sparse_columns_far_from_zero_are_as_good_as_dense_ones(span, unit, zeros):
    rng = np.random.default_rng(0)
    n = 600
    c = rng.integers(0, 5, n)
    time = (1.7e9 + rng.random(n) * span) * unit
    y = c % 3 + 2 * (time / unit - 1.7e9) / span + 0.1 * rng.normal(size=n)
    X = np.c_[np.eye(5)[c], time, np.full(n, 7.0)]
    X[:zeros, 6] = 0
    sparse_X = sparse.csr_array(X)
    before = sparse_X.copy()
    s = rng.integers(0, 3, n)
    for model, target in (
        (GradientRegressor(random_state=0), y),
        (GradientRegressor("huber", random_state=0), y),
        (GradientRegressor("absolute_error", random_state=0), y),
        (GradientRegressor(l1_ratio=0.5, random_state=0), y),
        (GradientClassifier(random_state=0), y > 1.5),
        (GradientClassifier(random_state=0), c % 3),
    ):
        for weight in (None, s):
            found = model.fit(sparse_X, target, sample_weight=weight)
            assert found.converged_
            reached = found.loss_curve_[-1], found.predict(sparse_X)
            model.fit(X, target, sample_weight=weight)
            assert_allclose(reached[0], model.loss_curve_[-1], rtol=1e-5)
            if target is y:
                assert_allclose(reached[1], model.predict(X), atol=0.02)
    assert_array_equal(before.data, sparse_X.data)
    assert_array_equal(before.indices, sparse_X.indices)


def test_held_out_rows_of_sparse_columns_far_from_zero():
    rng = np.random.default_rng(0)
    X = sparse.csr_array(np.c_[rng.normal(size=300), 1e9 + rng.random(300)])
    y = X.toarray()[:, 1] - 1e9 + 0.1 * rng.normal(size=300)
    model = make("regression", "squared_error", early_stopping=True, max_iter=20)
    model.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    at_end = 0.5 * np.mean((model.predict(X[200:]) - y[200:]) ** 2)
    assert_allclose(model.validation_curve_[model.best_iter_ - 1], at_end, rtol=1e-4)
    assert at_end < 0.02


def test_textbook_mode_is_left_alone():
    """Without preconditioning rows and steps stay what they are."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 40)), rng.normal(size=20)
    model = GradientRegressor(
        optimizer="gradient_descent", alpha=0, precondition=False, schedule="constant", tol=0,
        learning_rate=0.01, max_iter=3,
    ).fit(X, y)  # fmt: skip
    w, b = np.zeros(40), 0.0
    for _ in range(3):
        r = X @ w + b - y
        w, b = w - 0.01 * r @ X / 20, b - 0.01 * r.mean()
    assert_allclose(model.coef_, w, rtol=1e-9)
    assert_allclose(model.intercept_, b, rtol=1e-9)


def test_softmax_with_an_l1_penalty_ends():
    """All intercepts moved alike change nothing: the search for signs stays off that direction."""
    rng = np.random.default_rng(0)
    for n, d, k in ((21, 2, 3), (30, 2, 5), (60, 6, 4)):
        X = rng.normal(size=(n, d))
        y = np.arange(n) % k
        for dtype in (np.float32, np.float64):
            for ratio in (0.5, 1.0):
                for kind in (np.asarray, sparse.csr_array):
                    model = make("classification", "log_loss", alpha=1e-3, l1_ratio=ratio)
                    with warnings.catch_warnings():
                        warnings.simplefilter("error", ConvergenceWarning)
                        model.fit(kind(X.astype(dtype)), y)
                    assert model.converged_ and model.n_iter_ < 30


@pytest.mark.parametrize("loss", ["squared_error", "squared_hinge"])
def test_rows_that_weigh_next_to_nothing_hide_no_direction(loss):
    """Two rows have all of the weight but rounding, and are met exactly; others, lighter by up to
    300 orders of magnitude, are all that some columns vary in."""
    for seed in (0, 1, 7, 13, 17, 34, 42):
        rng = np.random.default_rng(seed)
        X = np.clip(np.round(rng.normal(size=(20, 8))), -3, 3)
        weight = 10.0 ** -rng.uniform(20, 300, size=20)
        weight[:2] = 0.8, 0.2
        y, order = np.arange(20) % 2, rng.permutation(20)
        task = "regression" if loss == "squared_error" else "classification"
        model = ESTIMATORS[task](loss, alpha=0, precondition="whiten", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X[order], y[order], weight[order])
        if loss == "squared_error":
            losses = (model.predict(X) - y) ** 2 / 2
        else:
            losses = np.maximum(0, 1 - (2 * y - 1) * model.decision_function(X)) ** 2
        value = weight @ losses
        assert not model.converged_ or value < 1e-9
        assert_allclose(model.loss_curve_[-1], value, rtol=1e-3, atol=1e-12)
