"""n_members: each member is what its seed makes alone, and the estimator averages them."""

import pickle
import re
import threading

import joblib
import numpy as np
import pytest
from catalogue import ESTIMATORS, TEXTBOOK, make, make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from test_together import assert_same
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_lossopt import (
    DivergenceError,
    GradientHalvingSearchCV,
    GradientRegressor,
    GradientSearchCV,
    skops_types,
    trace,
)
from sklearn_lossopt._blas import ONE_BLAS_THREAD
from sklearn_lossopt._compat import has_callbacks
from sklearn_lossopt._training import bank, threads
from sklearn_lossopt.losses import RegressionLoss
from sklearn_lossopt.plotting import CoefficientPathDisplay, LossCurveDisplay
from sklearn_lossopt.search._joint_fit import JointFit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_task = pytest.mark.parametrize("task", ESTIMATORS)


def callbacks():
    """The tests of callbacks, whose recorder serves here; skips where scikit-learn has none."""
    return pytest.importorskip("test_callbacks")


NETWORK = {"hidden_layer_sizes": (5, 3), "max_iter": 6}
STOPPED = {"early_stopping": True, "n_iter_no_change": 2}
KINDS = {
    "linear": {},
    "linear, own rows": STOPPED,
    "linear, fixed schedule": TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 4},
    "huber": {"loss": "huber"},
    "network": NETWORK,
    "network, own rows": NETWORK | STOPPED | {"max_iter": 30},
    "network, scores": NETWORK | STOPPED | {"scoring": None, "n_iter_no_change": 1},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


class Plain(RegressionLoss):
    """A user's squared error."""

    def loss_gradient(self, y, raw):
        return (raw - y) ** 2 / 2, raw - y


def blas():
    return [each for each in threadpool_info() if each["user_api"] == "blas"]


def data(task, kind="", dtype=float):
    """Rows, targets of two outputs or three classes for networks, and weights."""
    X, y = make_data(task, n=80, n_targets=2 if "network" in kind else 1)
    return X.astype(dtype), y, np.random.default_rng(0).integers(3, size=len(y)).astype(float)


def raw(model, X):
    """Raw predictions (n, k); the losses here have no link in regression."""
    predict = getattr(model, "decision_function", model.predict)
    return predict(X).reshape(X.shape[0], -1)


def by_hand(model, X):
    """Those of a relu network by NumPy, from ``coefs_`` with an axis of members."""
    found = []
    for i in range(model.n_members):
        hidden = X
        for layer, (w, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
            hidden = (np.maximum(hidden, 0) if layer else hidden) @ w[i] + b[i]
        found.append(hidden)
    return np.mean(found, axis=0)


@each_task
@each_kind
def test_members_are_separate_fits_and_the_model_is_their_mean(task, kind):
    X, y, weight = data(task, kind)
    model = make(task, n_members=3, **KINDS[kind]).fit(X, y, weight)
    members = model.estimators_
    drawn = check_random_state(0).randint(2**31, size=2).tolist()
    assert [member.random_state for member in members] == [0, *drawn]
    assert_same(members[0], clone(model).set_params(n_members=1).fit(X, y, weight))
    for member in members:
        assert member.n_members == 1 and type(member) is type(model)
        assert_same(member, clone(member).fit(X, y, weight))
    assert_allclose(raw(model, X), np.mean([raw(member, X) for member in members], axis=0))
    if "network" in kind:
        assert not hasattr(model, "coef_")
        assert model.coefs_[0].shape == (3, 4, 5) and model.intercepts_[-1].shape[0] == 3
        assert_allclose(raw(model, X), by_hand(model, X))
        assert len({member.coefs_[0][0, 0] for member in members}) == 3
    else:
        for name in ("coef_", "intercept_"):
            each = [getattr(member, name) for member in members]
            assert np.shape(getattr(model, name)) == np.shape(each[0])
            assert_allclose(getattr(model, name), np.mean(each, axis=0), rtol=1e-14)
    assert not hasattr(model, "_state") and model.n_features_in_ == 4


@each_task
@each_kind
def test_fitted_attributes(task, kind):
    X, y, _ = data(task, kind)
    model = make(task, n_members=3, **KINDS[kind]).fit(X, y)
    members = model.estimators_
    if "own rows" in kind:
        assert model.best_iter_ == model.validation_curve_.argmin() + 1
    if "scores" in kind:
        assert model.best_iter_ == model.validation_curve_.argmax() + 1
    for name in ("n_iter_", "t_"):
        assert getattr(model, name) == max(getattr(member, name) for member in members)
    assert model.converged_ is all(member.converged_ for member in members)
    for name in ("learning_rate_", "delta_"):
        if hasattr(members[0], name):
            each = [float(np.ravel(getattr(member, name))[0]) for member in members]
            assert np.ravel(getattr(model, name))[0] == sorted(each)[1]
    for name in ("loss_curve_", "validation_curve_"):
        assert hasattr(model, name) == hasattr(members[0], name)
        if hasattr(model, name):
            curves = [getattr(member, name) for member in members]
            assert len(getattr(model, name)) == model.n_iter_
            wanted = [
                np.mean([curve[min(epoch, len(curve) - 1)] for curve in curves])
                for epoch in range(model.n_iter_)
            ]
            assert_allclose(getattr(model, name), wanted, rtol=1e-14)


def test_linear_members_at_the_optimum_are_alike_and_their_mean_is_as_good():
    X, y, _ = data("regression")
    model = GradientRegressor(n_members=3, random_state=0).fit(X, y)
    coefs = [member.coef_ for member in model.estimators_]
    assert model.converged_
    assert_allclose(coefs, np.tile(coefs[0], (3, 1)), rtol=1e-3)
    # F is convex: that of the mean is at most the mean.
    f = np.mean((y - model.predict(X)) ** 2) / 2 + model.alpha / 2 * model.coef_ @ model.coef_
    assert f <= model.loss_curve_[-1] * (1 + 1e-12)
    one = clone(model).set_params(n_members=1).fit(X, y)
    assert f <= one.loss_curve_[-1] * (1 + 1e-6)


def test_each_member_has_its_own_rows_for_validation_or_those_that_are_passed():
    X, y, _ = data("regression")
    seen = {}

    def score(model, X, y):
        seen.setdefault(model.random_state, X.tobytes())
        return model.score(X, y)

    model = GradientRegressor(n_members=3, random_state=0, scoring=score, **STOPPED)
    model.fit(X, y)
    assert len(seen) == len(set(seen.values())) == 3
    seen.clear()
    model.fit(X, y, X_val=X[:9], y_val=y[:9])
    assert set(seen.values()) == {X[:9].tobytes()} and len(seen) == 3


def test_probabilities_are_those_of_the_mean():
    X, y, _ = data("classification")
    model = make("classification", n_members=3, **NETWORK).fit(X, y)
    z = np.mean([member.decision_function(X) for member in model.estimators_], axis=0)
    assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-z)))
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    assert_array_equal(model.predict(X), model.classes_[(z > 0).astype(int)])
    hinge = clone(model).set_params(loss="hinge").fit(X, y)
    assert not hasattr(hinge, "predict_proba")
    assert CalibratedClassifierCV(hinge, cv=2).fit(X, y).score(X, y) > 0.5


def test_a_log_link_makes_the_geometric_mean():
    X, y = make_data("regression", "poisson")
    model = make("regression", "poisson", n_members=3, **NETWORK).fit(X, y)
    each = [member.predict(X) for member in model.estimators_]
    assert_allclose(model.predict(X), np.exp(np.mean(np.log(each), axis=0)))


@each_task
@pytest.mark.parametrize("kind", ["linear, own rows", "network"])
def test_kinds_of_rows(task, kind):
    X, y, _ = data(task, kind)
    model = make(task, n_members=2, **KINDS[kind])
    rows = sparse.csr_array(np.where(X > 0, X, 0))
    assert_allclose(raw(model.fit(rows, y), rows), raw(model, rows.toarray()))
    for member in model.estimators_:
        assert_same(member, clone(member).fit(rows, y))
    single = model.fit(X.astype(np.float32), y)
    parameters = [*single.coefs_, *single.intercepts_] if "network" in kind else [single.coef_]
    assert {array.dtype for array in parameters} == {np.dtype(np.float32)}
    assert raw(single, X.astype(np.float32)).dtype == np.float32


# Seeds --------------------------------------------------------------------------------------------


def test_members_do_not_depend_on_their_number():
    X, y, _ = data("regression")
    few, many = (make("regression", n_members=n, **NETWORK).fit(X, y) for n in (2, 4))
    for member, other in zip(few.estimators_, many.estimators_, strict=False):
        assert_same(member, other)


@pytest.mark.parametrize("kind", ["linear", "network", "network, own rows"])
def test_members_in_threads_are_the_same(kind, monkeypatch):
    X, y, weight = data("regression", kind)
    model = GradientRegressor(n_members=5, random_state=0, **KINDS[kind])
    monkeypatch.setattr(bank, "available_threads", lambda: 1)
    expected = clone(model).fit(X, y, weight)
    used, piece = set(), bank.train_together
    monkeypatch.setattr(bank, "available_threads", lambda: 3)
    monkeypatch.setattr(bank, "THREAD_WORK", 0)
    monkeypatch.setattr(
        bank, "train_together", lambda *args: used.add(threading.current_thread()) or piece(*args)
    )
    found = model.fit(X, y, weight)
    assert used and threading.main_thread() not in used
    for a, b in zip(expected.estimators_, found.estimators_, strict=True):
        assert_same(a, b)
    # What a user wrote is not called by several threads.
    used.clear()
    clone(model).set_params(loss=Plain()).fit(X, y[:, 0] if y.ndim == 2 else y, weight)
    assert used == {threading.main_thread()}


def test_threads_are_those_of_blas_and_one_within_fits():
    with threadpool_limits(2, user_api="blas"):
        several = min(max(each["num_threads"] for each in blas()), joblib.cpu_count())
        assert threads.available_threads() == several
        with ONE_BLAS_THREAD:
            assert threads.available_threads() == 1
    assert threads.side_by_side([threading.get_ident] * 3, 1) == [threading.get_ident()] * 3


def test_the_first_error_in_a_thread_ends_the_others():
    X, y, _ = data("regression")
    endless = clone(GradientRegressor(random_state=0, **TEXTBOOK)).set_params(max_iter=10**9, tol=0)

    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        threads.side_by_side([lambda: endless.fit(X, y), fail], 2)
    assert not hasattr(endless, "coef_")


def test_random_state_as_an_instance_and_none():
    X, y, _ = data("regression")
    model = make("regression", n_members=2, **NETWORK)
    generator, alone = np.random.RandomState(3), np.random.RandomState(3)
    first = clone(model).set_params(random_state=generator).fit(X, y)
    one = clone(model).set_params(n_members=1, random_state=alone).fit(X, y)
    assert_same(first.estimators_[0], one)
    # One number is drawn, as of one member.
    assert generator.randint(2**31) == alone.randint(2**31)
    again = clone(model).set_params(random_state=None)
    seeds = [[m.random_state for m in again.fit(X, y).estimators_] for _ in range(2)]
    assert len({*seeds[0], *seeds[1]}) == 4


# Later calls --------------------------------------------------------------------------------------


@each_task
@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (5,)}])
def test_streams(task, settings):
    X, y, weight = data(task, "network")
    labels = {"classes": np.unique(y)} if task == "classification" else {}
    model, after_fit = (make(task, n_members=2, max_iter=3, **settings) for _ in range(2))
    for part in (slice(30), slice(30, 50), slice(50, 80)):
        model.partial_fit(X[part], y[part], sample_weight=weight[part], **labels)
    for member in model.estimators_:
        other = clone(member)
        for part in (slice(30), slice(30, 50), slice(50, 80)):
            other.partial_fit(X[part], y[part], sample_weight=weight[part], **labels)
        assert_same(member, other)
    assert_allclose(raw(model, X), np.mean([raw(m, X) for m in model.estimators_], axis=0))
    if not settings:
        # They begin at zero and keep the order of the rows.
        assert_array_equal(*(member.coef_ for member in model.estimators_))
    after_fit.fit(X, y)
    members = [clone(member).fit(X, y).partial_fit(X, y) for member in after_fit.estimators_]
    for member, other in zip(after_fit.partial_fit(X, y).estimators_, members, strict=True):
        assert_same(member, other)
    assert after_fit.n_iter_ == members[0].n_iter_


def test_a_chunk_that_fails_or_that_is_empty_changes_nothing():
    X, y, _ = data("regression")
    model = make("regression", n_members=2, hidden_layer_sizes=(5,), tol=0).partial_fit(X, y)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="n_members=3 does not go on from a model of n_members=2"):
        model.set_params(n_members=3).partial_fit(X, y)
    model.set_params(n_members=2, learning_rate=1e200)
    with pytest.raises(DivergenceError):
        model.partial_fit(X, y)
    model.set_params(learning_rate="auto").partial_fit(X, y, np.zeros(len(y)))
    for member, other in zip(
        (model, *model.estimators_),
        (pickle.loads(before), *pickle.loads(before).estimators_),
        strict=True,
    ):
        assert_array_equal(member.predict(X), other.predict(X))
        assert (member.t_, member.n_iter_) == (other.t_, other.n_iter_)
    new = make("regression", n_members=2).partial_fit(X, y, np.zeros(len(y)))
    assert_array_equal(new.predict(X), np.zeros(len(y)))
    assert_same(new.partial_fit(X, y).estimators_[0], make("regression").partial_fit(X, y))


@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (5,)}])
def test_a_warm_start_goes_on_with_each_member(settings):
    X, y, _ = data("regression")
    settings = settings | {"schedule": "constant", "tol": 0, "warm_start": True, "max_iter": 3}
    model = make("regression", n_members=2, **settings).fit(X, y)
    earlier = model.estimators_
    model.fit(X, y)
    assert_same_parameters(
        model,
        make(
            "regression",
            n_members=2,
            **settings,
        ),
        X,
        y,
        epochs=6,
    )
    assert [member.t_ for member in earlier] == [model.t_ // 2] * 2
    # More of them: the new one is fitted from the start.
    grown = model.set_params(n_members=3).fit(X, y).estimators_
    assert_same(grown[2], clone(grown[2]).fit(X, y))
    assert [member.t_ / grown[2].t_ for member in grown] == [3, 3, 1]
    # One: the first goes on; two again: it is the first.
    lone = model.set_params(n_members=1).fit(X, y)
    assert not hasattr(lone, "estimators_") and lone.t_ == 4 * grown[2].t_
    twice = model.set_params(n_members=2).fit(X, y)
    assert [member.t_ / grown[2].t_ for member in twice.estimators_] == [5, 1]
    assert not hasattr(twice.set_params(warm_start=False, n_members=1).fit(X, y), "estimators_")


def assert_same_parameters(model, other, X, y, epochs):
    other.set_params(max_iter=epochs).fit(X, y)
    for member, wanted in zip(model.estimators_, other.estimators_, strict=True):
        assert_array_equal(member.predict(X), wanted.predict(X))
        assert member.t_ == wanted.t_


def test_a_warm_start_without_a_number_validates_on_the_rows_of_before():
    X, y, _ = data("regression")
    model = GradientRegressor(n_members=2, warm_start=True, **STOPPED).fit(X, y)
    seeds = [member.random_state for member in model.estimators_]
    assert [member.random_state for member in model.fit(X, y).estimators_] == seeds


# Errors and warnings ------------------------------------------------------------------------------


@each_task
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None])
def test_what_is_no_number_of_members(task, value):
    # Before any work: the data would not do either.
    message = re.escape(f"The 'n_members' parameter of {ESTIMATORS[task].__name__} must be an int")
    with pytest.raises(ValueError, match=message):
        make(task, n_members=value).fit(None, None)


@pytest.mark.parametrize("n_members", [1, 3])
def test_a_fit_that_fails_changes_nothing(n_members):
    X, y, _ = data("regression")
    model = make("regression", n_members=n_members, **NETWORK).fit(X, y)
    before = dict(vars(model))
    model.set_params(learning_rate=1e200, schedule="constant")
    with pytest.raises(DivergenceError):
        model.fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    assert vars(model) == before | {"learning_rate": 1e200, "schedule": "constant"}


def test_the_first_error_of_a_member_ends_the_others():
    X, y, _ = data("regression")
    calls = []

    def score(model, X, y):
        calls.append(model.random_state)
        raise RuntimeError("broken")

    model = make("regression", n_members=3, scoring=score, **STOPPED)
    with pytest.raises(RuntimeError, match="broken"):
        model.fit(X, y)
    assert len(calls) == len(set(calls))


def test_warnings_are_one():
    X, y, _ = data("regression")
    model = make("regression", n_members=3, max_iter=2, precondition=False)
    with pytest.warns(ConvergenceWarning, match="3 of 3 members have not converged") as caught:
        model.fit(X, y)
    assert len(caught) == 1


# Searches -----------------------------------------------------------------------------------------


def candidates(task, **settings):
    settings = {"schedule": "constant", "tol": 0, "max_iter": 6, "random_state": 0} | settings
    return [
        ESTIMATORS[task](n_members=n, learning_rate=rate, **settings)
        for n in (1, 3) for rate in (0.001, 0.01)
    ]  # fmt: skip


@each_task
@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (4,)}, STOPPED])
def test_candidates_are_separate_fits(task, settings):
    X, y, weight = data(task)
    models = candidates(task, **settings)
    fits = dict(JointFit(map(clone, models), X, y, {"sample_weight": weight}))
    for i, model in enumerate(models):
        wanted = clone(model).fit(X, y, weight)
        for found, member in zip(members(fits[i].estimator), members(wanted), strict=True):
            assert_same(found, member)
        assert_array_equal(raw(fits[i].estimator, X), raw(wanted, X))
        assert fits[i].error is None and fits[i].seconds > 0


def members(model):
    return getattr(model, "estimators_", [model])


@pytest.mark.parametrize("together", [bank.WAVE_BYTES, 1])
def test_a_member_that_diverges_fails_its_candidate_alone(together, monkeypatch):
    # With one fit at a time its other members have not begun.
    monkeypatch.setattr(bank, "WAVE_BYTES", together)
    X, y, _ = data("regression")
    models = candidates("regression", hidden_layer_sizes=(4,))
    models[3].set_params(learning_rate=1e200)
    fits = dict(JointFit(map(clone, models), X, y, {}))
    assert [fit.error is None for fit in fits.values()] == [True, True, True, False]
    assert isinstance(fits[3].error, DivergenceError) and not hasattr(fits[3].estimator, "t_")


def test_searches():
    X, y, _ = data("regression")
    model = GradientRegressor(
        hidden_layer_sizes=(4,), schedule="constant", tol=0, max_iter=18, random_state=0
    )
    grid = {"n_members": [1, 3], "learning_rate": [1e-4, 1e-3, 1e-2], "early_stopping": [False]}
    found = GradientSearchCV(model, grid, cv=2).fit(X, y)
    for params, *scores in zip(
        found.cv_results_["params"],
        *(found.cv_results_[f"split{split}_test_score"] for split in range(2)),
        strict=True,
    ):
        for score, (train, test) in zip(scores, found_splits(X), strict=True):
            alone = clone(model).set_params(**params).fit(X[train], y[train])
            assert score == alone.score(X[test], y[test])
    halved = GradientHalvingSearchCV(model, grid, cv=2, min_epochs=2).fit(X, y)
    assert halved.n_resources_ == [6, 18]
    for row in range(len(halved.cv_results_["params"])):
        params = halved.cv_results_["params"][row]
        # The model paused after so many epochs is the one that ends there.
        epochs = halved.n_resources_[halved.cv_results_["iter"][row]]
        for split, (train, test) in enumerate(found_splits(X)):
            alone = clone(model).set_params(**params, max_iter=epochs).fit(X[train], y[train])
            score = halved.cv_results_[f"split{split}_test_score"][row]
            assert score == alone.score(X[test], y[test])
    assert isinstance(halved.best_estimator_, GradientRegressor)


def found_splits(X):
    half = len(X) // 2
    rows = np.arange(len(X))
    return [(rows[half:], rows[:half]), (rows[:half], rows[half:])]


def test_members_that_cannot_pause_are_recorded():
    X, y, _ = data("regression")
    model = make("regression", None, "lbfgs", n_members=2, **NETWORK, tol=0)
    joint = JointFit([clone(model)], X, y, {}, pauses=(2, 4))
    for epochs in (2, 4):
        (_, fit), *_ = joint.pause(epochs)
        for found in fit.estimator.estimators_:
            wanted = clone(found).set_params(max_iter=epochs).fit(X, y)
            assert_array_equal(found.predict(X), wanted.predict(X))
    ((_, fit),) = joint
    for found, wanted in zip(fit.estimator.estimators_, model.fit(X, y).estimators_, strict=True):
        assert_same(found, wanted)


@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (4,)}])
def test_members_train_one_after_the_other_where_memory_is_short(settings, monkeypatch):
    X, y, _ = data("regression")
    model = make("regression", n_members=3, max_iter=5, **settings).fit(X, y)
    monkeypatch.setattr(bank, "WAVE_BYTES", 1)
    fits = dict(JointFit([clone(model), clone(model)], X, y, {}))
    for each in (clone(model).fit(X, y), fits[0].estimator, fits[1].estimator):
        for found, wanted in zip(each.estimators_, model.estimators_, strict=True):
            assert_same(found, wanted)


def test_a_pause_where_some_members_have_ended():
    X, y, _ = data("regression")
    settings = {"n_members": 3, "random_state": 0, **STOPPED, "schedule": "constant"}
    models = [GradientRegressor(**settings), GradientRegressor(**settings | {"optimizer": "sgd"})]
    wanted = [clone(model).fit(X, y) for model in models]
    ends = [member.n_iter_ for member in wanted[0].estimators_]
    assert min(ends) < max(ends)
    joint = JointFit(map(clone, models), X, y, {}, pauses=(min(ends),))
    paused = dict(joint.pause(min(ends)))[0].estimator
    for member, end, last in zip(paused.estimators_, ends, wanted[0].estimators_, strict=True):
        assert member.n_iter_ == min(ends)
        assert (end > min(ends)) or np.array_equal(member.coef_, last.coef_)
    for i, fit in joint:
        for found, member in zip(fit.estimator.estimators_, wanted[i].estimators_, strict=True):
            assert_same(found, member)


# Who looks at a fit -------------------------------------------------------------------------------


def test_callbacks_are_told_of_each_member():
    X, y, _ = data("regression")
    plain = make("regression", n_members=2, **NETWORK).fit(X, y)
    record, monitor = callbacks().Record(), callbacks().ScoringMonitor(scoring="r2")
    model = clone(plain).fit(X, y).set_callbacks(record, monitor).fit(X, y)
    for found, member in zip(model.estimators_, plain.estimators_, strict=True):
        assert_same(found, member)
        assert not has_callbacks(found)
    assert record.events[:2] == ["setup", ("begin", "fit", 0)]
    assert record.events[-2:] == [("end", "fit", 0), "teardown"]
    for event in ("begin", "end"):
        for number in range(2):
            assert record.events.count((event, "member", number)) == 1
        assert [record.events.count((event, "epoch", epoch)) for epoch in range(6)] == [2] * 6
    # What an epoch's end has led to is the member so far.
    last = record.epochs("end")[-2:]
    for found, member in zip(last, plain.estimators_, strict=True):
        assert_array_equal(found.predict(X), member.predict(X))
        assert found.get_params() == member.get_params()
        assert not hasattr(found, "estimators_")


def test_a_callback_ends_the_members_it_stops_and_its_errors_are_raised():
    told, bar = callbacks().Record(), callbacks().ProgressBar()
    X, y, _ = data("regression")
    model = make("regression", n_members=2, **NETWORK)
    stopped = clone(model).set_callbacks(callbacks().Record(stop_after=2)).fit(X, y)
    assert [member.n_iter_ for member in stopped.estimators_] == [2, 2]
    with pytest.raises(KeyError, match="the callback failed"):
        clone(model).set_callbacks(callbacks().Record(fail_after=2)).fit(X, y)
    search = GridSearchCV(model, {"n_members": [1, 2]}, cv=2, refit=False)
    for each in (search, make_pipeline(StandardScaler(), model)):
        each.set_callbacks(bar) if each is search else model.set_callbacks(told)
        each.fit(X, y)
    assert told.events.count(("end", "member", 1)) == 1


def test_printed_lines_say_which_member(capsys):
    X, y, _ = data("regression")
    make("regression", n_members=2, verbose=1, **NETWORK).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line[: len("member 0  epoch    1")] for line in lines] == [
        f"member {number}  epoch {epoch:4d}" for epoch in range(1, 7) for number in range(2)
    ]
    make("regression", verbose=1, **NETWORK).fit(X, y)
    assert capsys.readouterr().out.startswith("epoch    1")


@pytest.mark.parametrize("kind", ["linear, fixed schedule", "network"])
def test_a_trace_is_that_of_the_first_member(kind):
    X, y, _ = data("regression")
    model = make("regression", n_members=3, **KINDS[kind])
    found, wanted = trace(model, X, y), trace(clone(model).set_params(n_members=1), X, y)
    assert_array_equal(found.objective, wanted.objective)
    assert found.estimator.n_members == 1
    assert_same(found.estimator, model.fit(X, y).estimators_[0])


def test_displays_take_the_attributes(closed_figures):
    X, y, _ = data("regression")
    model = make("regression", n_members=3, **STOPPED).fit(X, y)
    display = LossCurveDisplay.from_estimator(model)
    assert_array_equal(display.ax_.lines[0].get_ydata(), model.loss_curve_)
    paths = CoefficientPathDisplay.from_estimator(
        model, X, y, alphas=[0.1, 1.0], standardized=False
    )
    for alpha, coef in zip([0.1, 1.0], paths.coef, strict=True):
        assert_allclose(coef, clone(model).set_params(alpha=alpha).fit(X, y).coef_)


# Files --------------------------------------------------------------------------------------------


@each_task
@pytest.mark.parametrize("kind", ["linear, own rows", "network"])
def test_files(task, kind):
    X, y, _ = data(task, kind)
    model = make(task, n_members=2, **KINDS[kind]).set_params(early_stopping=False).fit(X, y)
    copies = [pickle.loads(pickle.dumps(model))]
    skops = pytest.importorskip("skops.io")
    copies.append(skops.loads(skops.dumps(model), trusted=skops_types()))
    wanted = raw(model, X)
    model.partial_fit(X, y)
    for other in copies:
        assert_array_equal(raw(other, X), wanted)
        other.partial_fit(X, y)
        for member, same in zip(other.estimators_, model.estimators_, strict=True):
            assert_same(member, same)


@each_task
@pytest.mark.parametrize("kind", ["linear, own rows", "network"])
def test_a_graph_averages_the_members(task, kind):
    pytest.importorskip("sklearn_lossopt.onnx")
    runtime, to_onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("skl2onnx").to_onnx
    X, y, _ = data(task, kind)
    model = make(task, n_members=3, **KINDS[kind]).fit(X, y)
    options = {"zipmap": False} if task == "classification" else None
    graph = to_onnx(model, X[:1], options=options).SerializeToString()
    found = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"X": X})
    predict = getattr(model, "predict_proba", model.predict)
    assert_allclose(found[-1].reshape(predict(X).shape), predict(X), rtol=1e-10, atol=1e-14)


def test_sparsify():
    X, y, _ = data("regression")
    model = make("regression", n_members=2, l1_ratio=0.5, alpha=0.1).fit(X, y)
    wanted = model.predict(X)
    assert_allclose(model.sparsify().predict(X), wanted)
    assert_array_equal(model.densify().predict(X), wanted)
    model.estimators_[0].sparsify()
    model.partial_fit(X, y, np.zeros(len(y)))
    assert_array_equal(model.predict(X), wanted)
