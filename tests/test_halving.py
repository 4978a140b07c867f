"""GradientHalvingSearchCV: survivors that train on, who they are, and what that spares."""

import pickle
import re
import warnings
import zlib
from itertools import pairwise
from math import ceil

import joblib
import numpy as np
import pytest
from catalogue import ESTIMATORS, make_data
from conformance import failed_checks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, HalvingGridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from test_search import Counting, Recording, quick
from test_together import KINDS, drawn

from sklearn_lossopt import (
    DivergenceError,
    GradientClassifier,
    GradientHalvingSearchCV,
    GradientRegressor,
    GradientSearchCV,
)
from sklearn_lossopt._training import bank
from sklearn_lossopt.plotting import SearchDisplay
from sklearn_lossopt.search._halving import rungs

X, Y = make_data("regression", n=80)
RATES = {"learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1]}


def slow(**parameters):
    """An estimator that makes all its epochs, each as if max_iter did not exist."""
    return quick(**{"max_iter": 9, "schedule": "constant", "precondition": "scale", **parameters})


def rows_of(search, iteration):
    return np.flatnonzero(search.cv_results_["iter"] == iteration)


def bits(model):
    """A number that a change of any bit of the coefficients changes."""
    parts = [*getattr(model, "coefs_", []), *getattr(model, "intercepts_", [])]
    parts = parts or [model.coef_, model.intercept_]
    return zlib.crc32(b"".join((np.asarray(part) + 0.0).tobytes() for part in parts))


# -- survivors train on ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["plain", "weights", "sparse", "network", "early stopping"])
@pytest.mark.parametrize("task", ESTIMATORS)
def test_survivors_are_models_trained_uninterrupted(task, kind):
    """To the last bit, for losses, optimizers and schedules drawn from all."""
    rng = np.random.default_rng([2, len(kind), len(task)])
    # Positive targets, which all losses take.
    X, y = make_data(task, "gamma" if task == "regression" else None, n=80, d=5)
    fit = {"sample_weight": rng.uniform(size=80)} if kind == "weights" else {}
    if kind == "sparse":
        X = sparse.csr_array(np.where(rng.random(X.shape) < 0.5, X, 0))
    models = drawn(task, rng, 20, **KINDS[kind])
    scoring = lambda model, X, y: {"own": model.score(X, y), "bits": bits(model[-1])}  # noqa: E731
    # Each candidate is an estimator of its own.
    grid = {"model": models}
    pipe = Pipeline([("model", models[0])])
    given = {"cv": KFold(2), "scoring": scoring, "refit": "own"}
    halving = GradientHalvingSearchCV(pipe, grid, factor=1.5, min_epochs=1, **given).fit(X, y, **{
        f"model__{name}": value for name, value in fit.items()
    })  # fmt: skip
    longest = max(model.max_iter for model in models)
    assert halving.n_resources_[-1] == longest and halving.n_iterations_ >= 3
    whole = GradientSearchCV(pipe, grid, **given).fit(X, y, **{
        f"model__{name}": value for name, value in fit.items()
    })  # fmt: skip
    number = {id(model): i for i, model in enumerate(models)}
    found, expected, continued = halving.cv_results_, whole.cv_results_, 0
    for row, params in enumerate(found["params"]):
        i, epochs = number[id(params["model"])], found["n_resources"][row]
        for split, curve in enumerate(halving.loss_curves_[row]):
            full = whole.loss_curves_[i][split]
            if curve is None:
                continue
            if found["iter"][row] == halving.n_iterations_ - 1:
                assert_array_equal(curve, full)
                for name in ("own", "bits"):
                    name = f"split{split}_test_{name}"
                    assert found[name][row] == expected[name][i]
                continued += full is not None and len(full) > halving.n_resources_[0]
            elif full is not None and kind != "early stopping":
                assert len(curve) == min(epochs, len(full))
                assert_array_equal(curve[:-1], full[: len(curve) - 1])
    assert continued >= 2


def test_iterations_are_those_of_halving_that_fits_anew():
    """Where max_iter does not change an epoch, scikit-learn's search finds the same."""
    for estimator, prefix in ((slow(), ""), (make_pipeline(StandardScaler(), slow()),
                                             "gradientregressor__")):  # fmt: skip
        grid = {f"{prefix}learning_rate": RATES["learning_rate"],
                f"{prefix}loss": ["squared_error", "huber"]}  # fmt: skip
        given = {"cv": KFold(3), "factor": 3, "return_train_score": True}
        ours = GradientHalvingSearchCV(estimator, grid, min_epochs=1, **given).fit(X, Y)
        theirs = HalvingGridSearchCV(
            estimator, grid, resource=f"{prefix}max_iter", max_resources=9, **given
        ).fit(X, Y)
        for name in ("n_resources_", "n_candidates_", "n_iterations_"):
            assert getattr(ours, name) == getattr(theirs, name)
        found, expected = ours.cv_results_, theirs.cv_results_
        assert list(found)[:2] == ["iter", "n_resources"]
        assert set(found) == set(expected) - {f"param_{prefix}max_iter"}

        keys, wanted = (
            [(int(i), *(params[name] for name in sorted(grid)))
             for i, params in zip(results["iter"], results["params"], strict=True)]
            for results in (found, expected)
        )  # fmt: skip
        assert sorted(keys) == sorted(wanted)
        order = list(map(wanted.index, keys))
        for name, column in found.items():
            if "_test_" in name or "_train_" in name or name == "n_resources":
                assert column.dtype == expected[name].dtype
                assert_allclose(column, expected[name][order], rtol=1e-10, err_msg=name)
        assert ours.best_params_.items() <= theirs.best_params_.items()
        assert_allclose(ours.best_score_, theirs.best_score_)
        assert_allclose(ours.predict(X), theirs.predict(X))


def test_a_schedule_counts_its_own_epochs():
    search = GradientHalvingSearchCV(slow(schedule="cosine"), RATES, cv=2).fit(X, Y)
    (train, test), _ = KFold(2).split(X)
    model = clone(search.best_estimator_).fit(X[train], Y[train])
    assert search.cv_results_["split0_test_score"][search.best_index_] == model.score(
        X[test], Y[test]
    )
    assert search.best_estimator_.n_iter_ == 9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_cannot_pause_is_scored_as_it_was():
    grid = {"optimizer": ["lbfgs", "adam"], "alpha": [1e-3, 0.1], "hidden_layer_sizes": [(), (3,)]}
    cv = KFold(2)
    search = GradientHalvingSearchCV(
        quick(max_iter=12, precondition="scale"), grid, factor=2, min_epochs=1, cv=cv,
        scoring=lambda model, X, y: 1.0 if model.optimizer == "lbfgs" else 0.0,
        refit=lambda results: 0,
    ).fit(X, Y)  # fmt: skip
    assert search.n_resources_ == [1, 3, 6, 12] and search.n_candidates_ == [8, 4, 2, 1]
    for row, params in enumerate(search.cv_results_["params"][:14]):
        if params["optimizer"] == "lbfgs":
            epochs = search.cv_results_["n_resources"][row]
            for (train, _), curve in zip(cv.split(X), search.loss_curves_[row], strict=True):
                model = quick(**params, max_iter=epochs, precondition="scale")
                assert_array_equal(curve, model.fit(X[train], Y[train]).loss_curve_)


# -- what is trained ------------------------------------------------------------------------


@pytest.mark.parametrize("n, factor, least, most, expected", [
    (9, 3, 1, 90, [10, 30, 90]), (8, 3, 1, 90, [30, 90]), (100, 3, 1, 100, [1, 3, 11, 33, 100]),
    (100, 3, 4, 100, [11, 33, 100]), (243, 3, 1, 243, [1, 3, 9, 27, 81, 243]), (1, 3, 1, 7, [7]),
    (1000, 10, 1, 1, [1]), (2, 2, 5, 10, [5, 10]), (2, 2, 6, 10, [10]),
    (4, 1.5, 2, 9, [2, 4, 6, 9]),
])  # fmt: skip
def test_epochs_of_the_iterations(n, factor, least, most, expected):
    assert rungs(n, factor, least, most) == expected


@pytest.mark.parametrize("factor, least, most", [
    (3, "auto", "auto"), (2, 1, "auto"), (2.5, "auto", 6), (10, 1, "auto"),
])  # fmt: skip
def test_no_epoch_is_trained_twice_or_for_nothing(factor, least, most, monkeypatch):
    made = []
    take = bank.Epochs.take
    monkeypatch.setattr(
        bank.Epochs, "take", lambda self, done, count: made.append(done) or take(self, done, count)
    )
    search = GradientHalvingSearchCV(
        slow(max_iter=18), {"alpha": [0.0, 0.1], **RATES}, cv=3, refit=False, factor=factor,
        min_epochs=least, max_epochs=most,
    ).fit(X, Y)  # fmt: skip
    n, r = search.n_candidates_, search.n_resources_
    assert n[0] == 14 and r[-1] == (18 if most == "auto" else most)
    assert r[0] >= (min(3, r[-1] // factor) if least == "auto" else least)
    assert all(b == ceil(a / factor) for a, b in pairwise(n))
    # Halving promises so many.
    assert sum(made) == 3 * np.dot(n, np.diff([0, *r])) < 3 * 14 * 18
    results = search.cv_results_
    assert_array_equal(results["iter"], np.repeat(np.arange(len(n)), n))
    assert_array_equal(results["n_resources"], np.repeat(r, n))
    for row, curves in enumerate(search.loss_curves_):
        assert [len(curve) for curve in curves] == [results["n_resources"][row]] * 3


def test_those_that_have_ended_are_not_scored_again():
    calls = []

    def scoring(model, X, y):
        calls.append(model.max_iter)
        return -float(model.max_iter)

    search = GradientHalvingSearchCV(
        slow(), {"max_iter": [1, 2, 5, 9, 9, 9, 9, 9]}, factor=2, min_epochs=1, cv=2,
        scoring=scoring,
    ).fit(X, Y)  # fmt: skip
    assert search.n_resources_ == [1, 2, 4, 9] and search.n_candidates_ == [8, 4, 2, 1]
    assert sorted(calls) == sorted(2 * [1, 2, 2, 5, 5, *5 * [9], 9])
    assert search.best_params_ == {"max_iter": 1} and search.best_estimator_.n_iter_ == 1
    assert search.cv_results_["mean_fit_time"][-1] == 0
    assert [len(curve) for curve in search.loss_curves_[-1]] == [1, 1]


@pytest.mark.parametrize("scoring", [None, ["r2", "neg_max_error"]])
def test_transformers_are_fitted_once_a_fold_and_setting(scoring):
    Counting.fits = Counting.transforms = 0
    pipe = Pipeline([("counting", Counting()), ("model", slow())])
    grid = {"model__alpha": [0.1, 1.0, 10.0], "counting__factor": [1.0, 2.0]}
    search = GradientHalvingSearchCV(
        pipe, grid, factor=2, min_epochs=1, cv=3, scoring=scoring, refit="r2"
    ).fit(X, Y)
    assert Counting.fits == 3 * 2 + 1 and search.n_iterations_ == 3


# -- who goes on ----------------------------------------------------------------------------


def survivors(scores, failing=(), **parameters):
    """Places of the candidates in each iteration, of given scores."""
    grid = {"alpha": [-1.0 - i if i in failing else 1.0 + i for i in range(len(scores))]}
    search = GradientHalvingSearchCV(
        slow(),
        grid,
        cv=2,
        scoring=lambda model, X, y: scores[int(model.alpha) - 1],
        **{"factor": 2, "min_epochs": 1, "refit": False, **parameters},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, Y)
    place = [int(abs(params["alpha"])) - 1 for params in search.cv_results_["params"]]
    found = [[place[row] for row in rows_of(search, i)] for i in range(search.n_iterations_)]
    return found, place[search.best_index_]


def test_the_best_go_on():
    nan, inf = np.nan, np.inf
    assert survivors([1, 5, 2, 7, 3, 9, 4, 8]) == ([list(range(8)), [1, 3, 5, 7], [5, 7], [5]], 5)
    # Of equal ones the first.
    assert survivors([1, 3, 3, 3, 3]) == ([[0, 1, 2, 3, 4], [1, 2, 3], [1, 2]], 1)
    # Scores that are no numbers last, and only if there is room.
    assert survivors([nan, 1, nan, -inf]) == ([[0, 1, 2, 3], [1, 3], [1]], 1)
    assert survivors([nan, nan, nan, 0]) == ([[0, 1, 2, 3], [0, 3], [3]], 3)
    assert survivors([nan] * 4) == ([[0, 1, 2, 3], [0, 1], [0]], 0)
    # What failed is out, whatever its score, even if fewer remain.
    given = {"failing": {0, 2, 3}, "error_score": 9.0}
    assert survivors([1, 2, 3, 4, 5, 6], **given)[0] == [list(range(6)), [1, 4, 5], [4, 5]]
    assert survivors([1, 2, 3, 4, 5, 6], failing={0, 1, 2, 4})[0] == [list(range(6)), [3, 5], [5]]
    assert survivors([1, 2, 3, 4], failing={0, 1, 2}) == ([[0, 1, 2, 3], [3], [3]], 3)


def test_the_best_is_of_the_last_iteration():
    """Even where one that had trained for less had a better score."""
    scoring = lambda model, X, y: model.alpha - model.n_iter_  # noqa: E731
    search = GradientHalvingSearchCV(slow(), {"alpha": [1.0, 2.0, 3.0]}, cv=2, scoring=scoring)
    search.fit(X, Y)
    assert search.best_index_ == 3 and search.best_params_ == {"alpha": 3.0}
    assert search.best_score_ == 3.0 - 9.0 < search.cv_results_["mean_test_score"][0]
    assert_array_equal(search.best_estimator_.coef_, slow(alpha=3.0).fit(X, Y).coef_)
    assert search.refit_time_ > 0 and search.n_features_in_ == 4
    search.set_params(refit=lambda results: 1).fit(X, Y)
    assert search.best_params_ == {"alpha": 2.0} and not hasattr(search, "best_score_")
    search.set_params(refit=False).fit(X, Y)
    assert search.best_params_ == {"alpha": 3.0} and not hasattr(search, "best_estimator_")


def test_one_of_several_scores_decides():
    def scoring(model, X, y):
        return {"up": model.alpha, "down": -model.alpha}

    grid = {"alpha": [1.0, 2.0, 3.0]}
    for refit, best in (("up", 3.0), ("down", 1.0)):
        search = GradientHalvingSearchCV(slow(), grid, cv=2, scoring=scoring, refit=refit)
        search.fit(X, Y)
        assert search.best_params_ == {"alpha": best} and search.multimetric_
    named = clone(search).set_params(scoring=["r2", "neg_max_error"], refit="r2").fit(X, Y)
    assert_array_equal(named.cv_results_["iter"], [0, 0, 0, 1])
    for given in (scoring, ["up", "down"], ["r2", "neg_max_error"]):
        for refit in (False, True, "middle", lambda results: 0):
            with pytest.raises(ValueError, match=r"refit|up"):
                search.set_params(scoring=given, refit=refit).fit(X, Y)
    with pytest.raises(ValueError, match=r"refit=False.*one of 'r2', 'neg_max_error'"):
        search.set_params(scoring=["r2", "neg_max_error"], refit=False).fit(X, Y)


# -- failures -------------------------------------------------------------------------------

DIVERGING = {"optimizer": "sgd", "precondition": False, "max_iter": 27}


def test_diverged_fits_are_out_and_counted_once():
    grid = {"learning_rate": [1e4, 1e-4, 1e-3, 2e-4, 1e5]}
    search = GradientHalvingSearchCV(
        slow(**DIVERGING, batch_size=8), grid, cv=2, error_score=7.0, factor=2
    )
    with pytest.warns(FitFailedWarning) as caught:
        search.fit(X, Y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert re.search(r"4 of 10 fits diverged", str(caught[0].message))
    assert search.n_candidates_ == [5, 3, 2]
    assert search.best_params_["learning_rate"] in (1e-4, 1e-3, 2e-4)
    with pytest.raises(DivergenceError, match="diverged"):
        clone(search).set_params(error_score="raise").fit(X, Y)
    before = vars(search).copy()
    search.param_grid = {"learning_rate": [1e4, 1e5]}
    with pytest.raises(DivergenceError, match="All 4 fits diverged"):
        search.fit(X, Y)
    assert vars(search).keys() == before.keys()
    assert search.best_estimator_ is before["best_estimator_"]


def test_survivors_that_all_fail():
    """A rate at which one direction grows that the objective has hardly any of at first."""
    model = slow(**DIVERGING, batch_size=80)
    largest = np.linalg.eigvalsh(np.cov(X.T, bias=True))[-1]
    grid = {"learning_rate": [2.1 / largest], "alpha": [1e-3, 1e-4]}
    every = np.arange(80)
    search = GradientHalvingSearchCV(model, grid, cv=[(every, every)] * 3, factor=2)
    with pytest.raises(DivergenceError, match="All 3 fits diverged"):
        search.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search.set_params(max_epochs=13, refit=False).fit(X, Y)
    assert search.n_resources_ == [6, 13]


def test_fits_short_of_the_tolerance_are_counted_once():
    search = GradientHalvingSearchCV(
        quick(tol=1e-12, precondition=False), {"max_iter": [1, 2], "optimizer": ["adam", "sgd"]},
        cv=3, refit=False, factor=2,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning, match=r"^\d+ of 12 fits stopped short") as caught:
        search.fit(X, Y)
    assert len(caught) == 1 and search.n_iterations_ == 2


def test_transformers_that_fail():
    pipe = make_pipeline(StandardScaler(), slow())
    grid = {"standardscaler__with_mean": [False, "a", True], "gradientregressor__alpha": [0.1, 1.0]}
    search = GradientHalvingSearchCV(pipe, grid, cv=2, factor=2)
    with pytest.warns(FitFailedWarning, match="4 fits failed out of a total of 12"):
        search.fit(X, Y)
    assert [params["standardscaler__with_mean"] for params in search.cv_results_["params"]].count(
        "a"
    ) == 2


def test_errors():
    class Doubled(GradientRegressor):
        """With a ``fit`` of its own."""

        def fit(self, X, y, sample_weight=None):
            return super().fit(X, 2 * y, sample_weight)

    grid = {"alpha": [0.1, 1.0]}
    pipe = Pipeline([("model", slow())])
    for given, text in (
        ({"estimator": Ridge()}, r"candidate 0, \{'alpha': 0.1\}.*Ridge\(\), cannot.*, or use"),
        ({"estimator": Doubled()}, "cannot pause.*GradientSearchCV"),
        ({"estimator": pipe, "param_grid": {"model": [slow(), Ridge()]}}, "candidate 1.*Ridge"),
        ({"factor": 1}, "factor.*Got 1"),
        ({"min_epochs": 0}, "min_epochs.*Got 0"),
        ({"max_epochs": 2.5}, "max_epochs.*Got 2.5"),
        ({"max_epochs": 10}, "max_epochs=10.*max_iter=9.*Leave"),
        ({"min_epochs": 10}, "min_epochs=10.*9 epochs.*max_epochs='auto'.*Lower"),
        ({"min_epochs": 5, "max_epochs": 4}, "min_epochs=5.*max_epochs=4"),
        ({"cv": []}, "No fits were performed|at least one"),
        ({"param_grid": {"spam": [1]}}, "Invalid parameter 'spam'"),
        ({"param_grid": {"max_iter": ["a", 0]}}, "All the 10 fits failed"),
    ):
        search = GradientHalvingSearchCV(**{"estimator": slow(), "param_grid": grid, **given})
        with pytest.raises(ValueError, match=text):
            search.fit(X, Y)
        assert not [name for name in vars(search) if name.endswith("_")]
    with pytest.raises(ValueError, match="requires y"):
        GradientHalvingSearchCV(slow(), grid).fit(X)


def test_callbacks_that_follow_each_fit_are_refused():
    ProgressBar = pytest.importorskip("sklearn.callback").ProgressBar
    grid = {"alpha": [0.1, 1.0]}
    for search, text in (
        (GradientHalvingSearchCV(slow().set_callbacks(ProgressBar()), grid), "without callbacks"),
        (
            GradientHalvingSearchCV(slow(), grid).set_callbacks(ProgressBar()),
            "max_propagation_depth=0",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            search.fit(X, Y)
        assert not [name for name in vars(search) if name.endswith("_")]


# -- the interface --------------------------------------------------------------------------


def test_random_candidates_weights_and_groups():
    space, weight = {"alpha": stats.uniform()}, np.random.default_rng(0).uniform(size=80)
    given = {"param_distributions": space, "n_iter": 9, "cv": GroupKFold(3), "random_state": 3}
    with config_context(enable_metadata_routing=True):
        model = slow().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found, whole = (
            search(model, **given).fit(X, Y, sample_weight=weight, groups=np.arange(80) % 5)
            for search in (GradientHalvingSearchCV, GradientSearchCV)
        )
    assert found.n_candidates_ == [9, 3] and found.n_resources_ == [3, 9]
    place = whole.cv_results_["params"].index(found.best_params_)
    assert found.best_score_ == whole.cv_results_["mean_test_score"][place]


def test_nested_cloned_pickled_and_repeated():
    search = GradientHalvingSearchCV(slow(), RATES, cv=2)
    assert np.isfinite(cross_val_score(search, X, Y)).all()
    again = clone(search.set_params(factor=2, min_epochs=1)).fit(X, Y)
    assert again.n_candidates_ == [7, 4, 2] and not hasattr(clone(again), "n_candidates_")
    back = pickle.loads(pickle.dumps(again))
    assert_array_equal(back.predict(X), again.predict(X))
    scores = search.fit(X, Y).cv_results_["mean_test_score"]
    assert_array_equal(scores, again.cv_results_["mean_test_score"])
    again.set_params(factor=3).fit(X, Y)
    assert again.n_candidates_ == [7, 3]


@pytest.mark.parametrize("n_jobs, backend", [(2, "threading"), (7, "threading"), (2, "loky")])
def test_jobs_are_threads(n_jobs, backend):
    pipe = Pipeline([("scaler", StandardScaler()), ("model", slow())])
    grid = {"model__alpha": [0.1, 1.0, 2.0], "scaler": [StandardScaler(), "passthrough"]}
    search = GradientHalvingSearchCV(pipe, grid, cv=2, factor=2)
    expected = clone(search).fit(X, Y)
    with joblib.parallel_config(backend=backend, n_jobs=n_jobs):
        search.fit(X, Y)
    for name in ("iter", "split0_test_score", "split1_test_score"):
        assert_array_equal(search.cv_results_[name], expected.cv_results_[name])


def test_verbose_and_callbacks(capsys):
    ProgressBar = pytest.importorskip("sklearn.callback").ProgressBar
    callback = Recording()
    search = GradientHalvingSearchCV(slow(), {"alpha": [0.5, 1.0, 2.0]}, cv=2, verbose=3)
    search.set_callbacks(callback, ProgressBar(max_propagation_depth=0))
    search.fit(X, Y, sample_weight=np.ones(80))
    lines = [line for line in capsys.readouterr().out.splitlines() if line[:2] in ("It", "[C")]
    assert [line for line in lines if line.startswith("It")] == [
        "Iteration 0: 3 candidates, 3 epochs, 2 folds",
        "Iteration 1: 1 candidates, 9 epochs, 2 folds",
    ]
    assert len(lines) == 2 + 6 + 2
    assert re.match(r"\[CV 1/2\] END alpha=0.5; score=-?\d\.\d{3} total time= +\d", lines[1])
    names = sorted(callback.ended)
    assert names == sorted(name for name, _ in callback.begun)
    assert {name: names.count(name) for name in names} == {
        "candidate-split-evaluation": 8, "fit": 1, "halving-iteration": 2,
        "refit-with-best-params": 1, "search": 1,
    }  # fmt: skip


def test_display_shows_how_far_each_came():
    search = GradientHalvingSearchCV(
        slow(), {"optimizer": ["adam", "sgd", "lion"], "loss": ["huber"]}, cv=2
    ).fit(X, Y)  # fmt: skip
    display = SearchDisplay.from_search(search)
    assert search.best_score_ in display.score


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [GradientRegressor, GradientClassifier])
def test_a_halving_search_conforms_to_scikit_learn(kind):
    search = GradientHalvingSearchCV(
        kind(max_iter=50, random_state=0), {"alpha": [0.1, 1.0]}, cv=2, factor=2, min_epochs=5,
        error_score="raise",
    )  # fmt: skip
    assert failed_checks(search) == {}
