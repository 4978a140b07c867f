"""GradientSearchCV: the results of GridSearchCV, its interface, and what candidates share."""

import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from catalogue import OPTIMIZERS, PAIRS, combine, make, make_data, settable
from conformance import failed_checks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import confusion_matrix, make_scorer, mean_pinball_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_lossopt import (
    DivergenceError,
    GradientClassifier,
    GradientRegressor,
    GradientSearchCV,
)
from sklearn_lossopt.losses import Huber, Quantile
from sklearn_lossopt.search._scores import CandidateScorer

TASKS = ("regression", "classification")
each_task = pytest.mark.parametrize("task", TASKS)
X_REG, Y_REG = make_data("regression", n=80)
X_CLF, Y_CLF = make_data("classification", n=80, n_targets=2)


def quick(task="regression", **parameters):
    """An estimator of a few epochs."""
    return make(task, **{"max_iter": 4, "tol": 0, **parameters})


def rows_of(task):
    return (X_REG, Y_REG) if task == "regression" else (X_CLF, Y_CLF)


def same_results(found, expected, rtol=1e-9, scale=None):
    """The columns of cv_results_, in their order, with their types and masks, times apart."""
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert type(found[name]) is type(column), name
        if name == "params":
            assert found[name] == column
        elif name.startswith("param_"):
            assert found[name].dtype == column.dtype
            assert_array_equal(np.ma.getmaskarray(found[name]), np.ma.getmaskarray(column))
            assert list(found[name].compressed()) == list(column.compressed())
        elif "time" in name:
            assert found[name].dtype == column.dtype and (found[name] >= 0).all()
        elif not name.startswith("std_"):
            assert found[name].dtype == column.dtype
            assert_allclose(found[name], column, rtol=rtol, atol=rtol, err_msg=name)


def fit_both(estimator, grid, X, y, fit=None, **parameters):
    """Our search and scikit-learn's."""
    ours = GradientSearchCV(estimator, grid, **parameters).fit(X, y, **(fit or {}))
    return ours, GridSearchCV(estimator, grid, **parameters).fit(X, y, **(fit or {}))


# -- the same numbers -----------------------------------------------------------------------


def parameters_of(model, X, y):
    """A scorer: every coefficient, in units of the greatest."""
    flat = [*getattr(model, "coefs_", []), *getattr(model, "intercepts_", [])]
    flat = flat or [model.coef_, model.intercept_]
    values = np.concatenate([np.ravel(part) for part in flat])
    values = values / (np.abs(values).max() or 1.0)
    return {f"w{number}": value for number, value in enumerate(values)}


def random_grid(task, rng):
    """Every loss of a task and every optimizer once at least, with settings drawn at random."""
    names = [loss for found, loss in PAIRS if found == task]
    deck = []
    while len(deck) < max(len(names), len(OPTIMIZERS)):
        deck += list(rng.permutation(names))
    used = set()
    for optimizer, loss in zip(rng.permutation(OPTIMIZERS), deck, strict=False):
        loss = loss if combine(loss, optimizer) else {
            "regression": "squared_error", "classification": "log_loss"
        }[task]  # fmt: skip
        used.add((str(loss), str(optimizer)))
    for loss in set(names) - {loss for loss, _ in used}:
        used.add((loss, "adam"))
    for loss, optimizer in sorted(used):
        drawn = {
            "alpha": float(rng.choice([1e-4, 0.1])),
            "l1_ratio": 0.0 if optimizer == "lbfgs" else float(rng.choice([0.0, 0.5])),
            "fit_intercept": bool(rng.random() < 0.8),
            "precondition": [False, "scale", "auto"][rng.integers(3)],
            "max_iter": int(rng.integers(1, 5)),
            "tol": float(rng.choice([0.0, 1e-6])),
            "early_stopping": bool(rng.random() < 0.2),
            **settable(
                optimizer,
                learning_rate=["auto", 1e-3][rng.integers(2)],
                schedule=["auto", "constant", "cosine"][rng.integers(3)],
                batch_size=["auto", 8][rng.integers(2)],
            ),
        }
        yield {"loss": [loss], "optimizer": [optimizer], **{k: [v] for k, v in drawn.items()}}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", ["dense", "weights", "sparse", "pipeline"])
@each_task
def test_every_loss_and_optimizer_as_in_grid_search(task, form):
    rng = np.random.default_rng([TASKS.index(task), len(form)])
    # Positive targets, which all losses take.
    X, y = make_data(task, "poisson", n=60, n_targets=1 if task == "regression" else 2)
    grid, fit, estimator = list(random_grid(task, rng)), {}, make(task)
    if form == "sparse":
        X = sparse.csr_array(X * (rng.random(X.shape) < 0.5))
    if form == "weights":
        weight = rng.integers(0, 4, len(y)) + (y != y[-1])  # every label stays
        fit = {"sample_weight": weight.astype(float)}
    if form == "pipeline":
        estimator = Pipeline([("scaler", StandardScaler()), ("model", estimator)])
        grid = [{f"model__{name}": value for name, value in part.items()} for part in grid]
        for part in grid:
            part["scaler"] = ["passthrough", MinMaxScaler()]
    covered = {value for part in grid for values in part.values() for value in map(str, values)}
    assert set(OPTIMIZERS) <= covered
    assert {loss for found, loss in PAIRS if found == task} <= covered

    def scorer(model, X, y, sample_weight=None):
        weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
        last = model[-1] if form == "pipeline" else model
        return {"own": model.score(X, y, **weighted), **parameters_of(last, X, y)}

    with warnings.catch_warnings():
        # Of both alike: rates that diverge.
        warnings.simplefilter("ignore", FitFailedWarning)
        warnings.simplefilter("ignore", UserWarning)
        ours, theirs = fit_both(estimator, grid, X, y, fit, cv=2, refit=False, scoring=scorer)
        plain = GradientSearchCV(estimator, grid, cv=2, refit=False).fit(X, y, **fit)
    same_results(ours.cv_results_, theirs.cv_results_, rtol=1e-10)
    for name in ("split0_test_", "split1_test_", "mean_test_", "rank_test_"):
        assert_allclose(
            plain.cv_results_[f"{name}score"], theirs.cv_results_[f"{name}own"], rtol=1e-9,
            err_msg=name,
        )  # fmt: skip


@each_task
def test_hidden_layers_as_in_grid_search(task):
    X, y = rows_of(task)
    grid = {"hidden_layer_sizes": [(), (4,), [3, 2]], "activation": ["relu", "tanh"],
            "optimizer": ["adam", "sgd"]}  # fmt: skip
    ours, theirs = fit_both(
        quick(task), grid, X, y, cv=2, refit=False, scoring=parameters_of, error_score="raise"
    )
    same_results(ours.cv_results_, theirs.cv_results_, rtol=1e-10)


@pytest.mark.parametrize("scoring", [
    "neg_mean_absolute_error", ["r2", "neg_mean_squared_error"],
    {"own": make_scorer(mean_pinball_loss, alpha=0.2, greater_is_better=False), "r2": "r2"},
    lambda model, X, y: -float(np.abs(model.predict(X) - y).max()),
], ids=["name", "list", "dict", "callable"])  # fmt: skip
@pytest.mark.parametrize("piped", [False, True])
def test_scoring_as_in_grid_search(scoring, piped):
    estimator, grid = quick(), {"alpha": [0.1, 1.0], "loss": ["huber", "absolute_error"]}
    if piped:
        estimator = Pipeline([("pca", PCA(3, random_state=0)), ("model", estimator)])
        grid = {f"model__{name}": values for name, values in grid.items()}
        grid["pca__n_components"] = [2, 3]
    refit = "r2" if isinstance(scoring, list | dict) else True
    ours, theirs = fit_both(
        estimator, grid, X_REG, Y_REG, cv=3, scoring=scoring, refit=refit, return_train_score=True
    )
    same_results(ours.cv_results_, theirs.cv_results_)
    assert ours.best_params_ == theirs.best_params_ and ours.best_index_ == theirs.best_index_
    assert ours.multimetric_ == theirs.multimetric_ == isinstance(scoring, list | dict)
    assert ours.n_splits_ == 3
    assert_allclose(ours.best_score_, theirs.best_score_)
    assert_allclose(ours.predict(X_REG), theirs.predict(X_REG))
    assert_allclose(ours.score(X_REG, Y_REG), theirs.score(X_REG, Y_REG))
    assert ours.scorer_.__class__ is theirs.scorer_.__class__


@pytest.mark.parametrize("labels", [
    lambda y: y, lambda y: y.astype(float), lambda y: np.array(["a", "b", "c"])[y],
    lambda y: np.array(["a", "b", "c"], dtype=object)[y], lambda y: pd.Series(y > 0),
], ids=["int", "float", "str", "object", "bool series"])  # fmt: skip
@pytest.mark.parametrize("weight", [None, int, float])
def test_own_accuracy_is_the_estimators_score(labels, weight):
    y = labels(Y_CLF)
    model = quick("classification").fit(X_CLF, y)
    params = {} if weight is None else {"sample_weight": np.arange(80).astype(weight)}
    judge = CandidateScorer(scorer_of(model), "raise", X_CLF, y, params)
    assert judge.quick
    assert judge(model, model) == model.score(X_CLF, y, **params)
    assert judge.checked is not None


@pytest.mark.parametrize("target", [
    Y_REG, Y_REG.astype(np.float32), np.round(Y_REG).astype(int), np.c_[Y_REG, np.ones(80)],
    np.ones(80),
], ids=["float64", "float32", "int", "two", "constant"])  # fmt: skip
@pytest.mark.parametrize("weight", [None, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_own_r2_is_the_estimators_score(target, weight, dtype):
    X = X_REG.astype(dtype)
    params = {} if weight is None else {"sample_weight": np.arange(80).astype(weight)}
    for optimizer in ("adam", "sgd"):
        model = quick(optimizer=optimizer).fit(X, target)
        judge = CandidateScorer(scorer_of(model), "raise", X, target, params)
        assert judge.quick
        assert judge(model, model) == model.score(X, target, **params)
        assert judge.checked is not None


def scorer_of(model):
    return GradientSearchCV(model, {})._get_scorers()[0]


def test_odd_test_rows_are_scored_by_the_estimator():
    model = quick("classification").fit(X_CLF, Y_CLF)
    for y, text in ((Y_CLF + 0.5, "continuous"), (np.where(Y_CLF == 0, np.nan, 1), "NaN")):
        with pytest.raises(ValueError, match=text):
            CandidateScorer(scorer_of(model), "raise", X_CLF, y, {})(model, model)
    model = quick().fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="5 features"):
        CandidateScorer(scorer_of(model), "raise", np.ones((80, 5)), Y_REG, {})(model, model)
    with pytest.raises((ValueError, ZeroDivisionError), match=r"[Ww]eights"):
        CandidateScorer(scorer_of(model), "raise", X_REG, Y_REG, {"sample_weight": np.zeros(80)})(
            model, model
        )


# -- what is shared -------------------------------------------------------------------------


class Counting(TransformerMixin, BaseEstimator):
    """Doubles X, and counts."""

    fits = transforms = 0

    def __init__(self, factor=2.0):
        self.factor = factor

    def fit(self, X, y=None, sample_weight=None):
        type(self).fits += 1
        self.weighted_ = sample_weight is not None
        return self

    def transform(self, X):
        type(self).transforms += 1
        return self.factor * X


@pytest.mark.parametrize("scoring", [None, "r2", ["r2", "neg_max_error"]])
def test_transformers_are_fitted_once_a_fold_and_setting(scoring):
    Counting.fits = Counting.transforms = 0
    pipe = Pipeline([("counting", Counting()), ("model", quick())])
    grid = {"model__alpha": [0.1, 1.0, 10.0], "counting__factor": [1.0, 2.0],
            "model__optimizer": ["adam", "sgd"]}  # fmt: skip
    GradientSearchCV(pipe, grid, cv=3, refit=False, scoring=scoring).fit(X_REG, Y_REG)
    assert Counting.fits == 3 * 2
    assert Counting.transforms == 3 * 2 * 2


def test_pipelines_with_memory_replaced_steps_and_fit_parameters(tmp_path):
    weight = np.random.default_rng(0).uniform(size=80)
    pipe = Pipeline(
        [("first", Counting()), ("second", None), ("model", quick())], memory=str(tmp_path)
    )
    grid = [
        {"first": [Counting(3.0), "passthrough", StandardScaler()], "model__alpha": [0.1, 1.0]},
        {"second": [PCA(2)], "model": [quick(loss="huber"), quick(optimizer="sgd")]},
        {"model": [Ridge(), GradientClassifier()], "model__alpha": [0.1]},
        {"steps": [[("scaler", MinMaxScaler()), ("model", quick())]]},
        {"steps": [[("model", quick())]]},
    ]
    fit = {"model__sample_weight": weight}
    y = np.round(Y_REG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = GradientSearchCV(pipe, grid, cv=3, refit=False).fit(X_REG, y, **fit)
        theirs = GridSearchCV(pipe, grid, cv=3, refit=False).fit(X_REG, y, **fit)
    for name in ("mean_test_score", "rank_test_score"):
        assert_allclose(ours.cv_results_[name], theirs.cv_results_[name])
    for name, column in theirs.cv_results_.items():
        if name.startswith("param_"):
            assert list(map(repr, ours.cv_results_[name])) == list(map(repr, column))
    # Neither the grid nor the pipeline is fitted.
    assert not hasattr(grid[0]["first"][2], "mean_") and not hasattr(pipe[-1], "coef_")
    assert not hasattr(grid[1]["model"][0], "coef_")


def test_metadata_routing_as_in_grid_search():
    weight = np.random.default_rng(0).uniform(size=80)
    with config_context(enable_metadata_routing=True):
        for asked in (True, False):
            # Steps so long that it matters after which epoch training ends.
            model = quick(
                optimizer="sgd", max_iter=6, precondition=False, learning_rate=0.05,
                schedule="constant", batch_size=8,
            ).set_fit_request(sample_weight=True, X_val=True, y_val=True)  # fmt: skip
            model.set_score_request(sample_weight=True)
            scaler = StandardScaler().set_fit_request(sample_weight=asked)
            pipe = Pipeline([("scaler", scaler), ("model", model)], transform_input=["X_val"])
            fit = {"sample_weight": weight, "X_val": X_REG[:30], "y_val": Y_REG[:30]}
            grid = {"model__alpha": [0.1, 1.0], "model__early_stopping": [True, False]}
            if asked:  # then by the scaler too, so that one of the steps takes them
                grid["model"] = [model, clone(model).set_fit_request(sample_weight=False)]
            found = [
                search(pipe, grid, cv=3, error_score="raise").fit(X_REG, Y_REG, **fit)
                for search in (GradientSearchCV, GridSearchCV)
            ]
            scores = [search.cv_results_["mean_test_score"] for search in found]
            assert_allclose(*scores, rtol=1e-10)
            assert abs(scores[0][2] - scores[0][3]) > 1e-3  # X_val matters
            if asked:  # and the weights
                assert abs(scores[0][0] - scores[0][4]) > 1e-3
        grouped = GradientSearchCV(
            quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
            {"alpha": [0.1]}, cv=GroupKFold(3),
        ).fit(X_REG, Y_REG, sample_weight=weight, groups=np.arange(80) % 5)  # fmt: skip
        assert grouped.n_splits_ == 3
        with pytest.raises(TypeError, match="spam"):
            grouped.fit(X_REG, Y_REG, spam=1)


def test_other_estimators_are_searched_too():
    class Doubled(GradientRegressor):
        """With a ``fit`` of its own."""

        def fit(self, X, y, sample_weight=None):
            return super().fit(X, 2 * y, sample_weight)

    target = TransformedTargetRegressor(quick(), func=np.sinh, inverse_func=np.arcsinh)
    for estimator, grid in (
        (Ridge(), {"alpha": [0.1, 10.0]}),
        (Doubled(max_iter=3, tol=0, random_state=0), {"alpha": [0.1, 10.0]}),
        (target, {"regressor__alpha": [0.1, 10.0], "regressor__loss": ["huber"]}),
        (GradientSearchCV(quick(), {"alpha": [0.1, 1.0]}, cv=2), {"estimator__tol": [0, 1e-2]}),
        (make_pipeline(make_pipeline(StandardScaler(), quick())), {"pipeline": [quick(), Ridge()]}),
    ):
        ours, theirs = (
            search(estimator, grid, cv=2).fit(X_REG, np.clip(Y_REG, -5, 5))
            for search in (GradientSearchCV, GridSearchCV)
        )
        assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
        assert_allclose(ours.predict(X_REG), theirs.predict(X_REG))


def test_subclasses_are_trained_together_and_score_as_they_do():
    class Strict(GradientRegressor):
        """With a ``predict`` of its own."""

        def predict(self, X):
            return super().predict(np.asarray(X)) + 1

    ours, theirs = fit_both(
        Strict(max_iter=3, tol=0, random_state=0), {"alpha": [0.1, 1.0]}, X_REG, Y_REG
    )
    same_results(ours.cv_results_, theirs.cv_results_)


def test_states_of_random_numbers_start_anew_for_each_fit():
    state = np.random.RandomState(3)
    grid = {"random_state": [state, 0, 1], "optimizer": ["sgd", "adam"]}
    ours, theirs = fit_both(quick(batch_size=8), grid, X_REG, Y_REG, cv=2)
    for name in ("mean_test_score", "split0_test_score"):
        assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], rtol=1e-9)
    assert state.randint(100) == np.random.RandomState(3).randint(100)


def test_components_parameters_and_candidates_of_components():
    grid = [
        {"loss__delta": [0.5, 2.0], "loss": ["huber"]},
        {"optimizer__beta_1": [0.5, 0.9], "optimizer": ["adam"]},
        {"loss": [Quantile(0.3), Huber(1.0)]},
    ]
    # Before convergence, where all of them matter.
    ours, theirs = fit_both(quick(schedule="constant"), grid, X_REG, Y_REG, cv=2)
    assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-9
    )
    assert len(set(ours.cv_results_["mean_test_score"])) == 6
    assert ours.estimator.optimizer == "adam"


def test_loss_curves_are_those_of_the_fits():
    grid = {"max_iter": [2, 5], "loss": ["squared_error", "huber"]}
    cv = KFold(3)
    search = GradientSearchCV(quick(), grid, cv=cv).fit(X_REG, Y_REG)
    assert [len(curves) for curves in search.loss_curves_] == [3] * 4
    for params, curves in zip(search.cv_results_["params"], search.loss_curves_, strict=True):
        for (train, _), curve in zip(cv.split(X_REG), curves, strict=True):
            model = quick(**params).fit(X_REG[train], Y_REG[train])
            assert_allclose(curve, model.loss_curve_, rtol=1e-10)
    search = GradientSearchCV(Pipeline([("model", Ridge())]), {"model": [Ridge(), quick()]}, cv=2)
    curves = search.fit(X_REG, Y_REG).loss_curves_
    assert curves[0] == [None, None] and [len(curve) for curve in curves[1]] == [4, 4]


# -- failures -------------------------------------------------------------------------------


def test_diverged_fits_are_counted_in_one_warning():
    diverging = {"learning_rate": [1e-3, 1e4], "precondition": [False], "optimizer": ["sgd"],
                 "schedule": ["constant"]}  # fmt: skip
    search = GradientSearchCV(quick(max_iter=50), diverging, cv=4, error_score=-5.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X_REG, Y_REG)
    (warning,) = caught
    assert warning.category is FitFailedWarning and warning.filename == __file__
    assert re.search(r"4 of 8 fits diverged.*error_score=-5.0.*learning_rate", str(warning.message))
    assert search.cv_results_["mean_test_score"][1] == -5.0 and search.best_index_ == 0
    assert search.loss_curves_[1] == [None] * 4
    with pytest.raises(DivergenceError, match="diverged"):
        clone(search).set_params(error_score="raise").fit(X_REG, Y_REG)
    before = vars(search).copy()
    search.param_grid = {**diverging, "learning_rate": [1e4]}
    with pytest.raises(DivergenceError, match="All 4 fits diverged"):
        search.fit(X_REG, Y_REG)
    assert vars(search).keys() == before.keys()
    assert search.best_estimator_ is before["best_estimator_"]


def test_fits_short_of_the_tolerance_are_counted_in_one_warning():
    search = GradientSearchCV(
        quick(tol=1e-12, max_iter=1, precondition=False), {"optimizer": ["sgd", "lbfgs"]}, cv=3,
        refit=False,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X_REG, Y_REG)
    (warning,) = caught
    assert warning.category is ConvergenceWarning and warning.filename == __file__
    assert re.search(r"\d of 6 fits stopped short.*max_iter", str(warning.message))
    with pytest.warns(ConvergenceWarning) as caught:
        search.set_params(refit=True).fit(X_REG, Y_REG)
    assert len(caught) == 2  # the last fit has one of its own


@pytest.mark.parametrize("piped", [False, True])
def test_failed_fits(piped):
    estimator, grid = quick(), {"alpha": [0.1, -1.0, 1.0]}
    if piped:
        estimator, grid = make_pipeline(PCA(), quick()), {"pca__n_components": [2, 1000, 3]}
    ours = GradientSearchCV(estimator, grid, cv=3, error_score=0.0)
    with pytest.warns(FitFailedWarning, match=r"(?s)3 fits failed out of a total of 9.*0\.0"):
        ours.fit(X_REG, Y_REG)
    assert_array_equal([ours.cv_results_[f"split{k}_test_score"][1] for k in range(3)], np.zeros(3))
    with pytest.warns(Warning) as caught:
        ours.set_params(error_score=np.nan).fit(X_REG, Y_REG)
    assert {warning.category for warning in caught} == {FitFailedWarning, UserWarning}
    assert np.isnan(ours.cv_results_["mean_test_score"][1])
    assert ours.cv_results_["rank_test_score"][1] == 3
    with pytest.warns(FitFailedWarning):
        ours.set_params(scoring=lambda model, X, y: {"one": 1.0}, refit=False, error_score=0.1).fit(
            X_REG, Y_REG
        )
    assert_allclose(ours.cv_results_["mean_test_one"], [1, 0.1, 1])
    with pytest.warns(FitFailedWarning):
        ours.set_params(scoring=["r2", "neg_max_error"]).fit(X_REG, Y_REG)
    assert_allclose(ours.cv_results_["split0_test_r2"][1], 0.1)
    with pytest.raises(ValueError, match=r"alpha|n_components"):
        ours.set_params(error_score="raise").fit(X_REG, Y_REG)
    (name,) = grid
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        GradientSearchCV(estimator, {name: grid[name][1:2]}, cv=3).fit(X_REG, Y_REG)


def test_failed_scores():
    def odd(model, X, y):
        if model.alpha == 1.0:
            raise RuntimeError("no score")
        return 2.0

    search = GradientSearchCV(quick(), {"alpha": [0.1, 1.0]}, cv=2, scoring=odd, error_score=-1)
    with pytest.warns(UserWarning, match="Scoring failed"):
        search.fit(X_REG, Y_REG)
    assert_array_equal(search.cv_results_["mean_test_score"], [2.0, -1.0])
    with pytest.raises(RuntimeError, match="no score"):
        search.set_params(error_score="raise").fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="must return a number"):
        GradientSearchCV(quick(), {"alpha": [1]}, scoring=lambda *given: "a").fit(X_REG, Y_REG)


# -- the interface --------------------------------------------------------------------------


def test_grid_or_distributions():
    flat = {"alpha": stats.uniform(), "loss": ["huber", "squared_error"]}
    for given in ({"param_grid": flat}, {"param_distributions": flat}):
        ours = GradientSearchCV(quick(), **given, n_iter=5, cv=2, random_state=3).fit(X_REG, Y_REG)
        theirs = RandomizedSearchCV(quick(), flat, n_iter=5, cv=2, random_state=3)
        same_results(ours.cv_results_, theirs.fit(X_REG, Y_REG).cv_results_)
    for given, text in (
        ({}, "param_grid=None; param_distributions=None.*Pass"),
        ({"param_grid": {}, "param_distributions": {}}, "exactly one"),
        ({"param_grid": flat}, "alpha=.*n_iter=None.*Set n_iter"),
        ({"param_distributions": {"alpha": [1.0]}}, "n_iter=None.*param_distributions.*set n_iter"),
        ({"param_grid": {"alpha": [1.0]}, "n_iter": 0}, "n_iter.*Got 0"),
        ({"param_grid": {"alpha": []}}, "alpha"),
        ({"param_grid": {"spam": [1]}}, "Invalid parameter 'spam'"),
        ({"param_grid": {"alpha": [1.0]}, "cv": []}, "No fits were performed|at least one"),
    ):
        with pytest.raises(ValueError, match=text):
            GradientSearchCV(quick(), **given).fit(X_REG, Y_REG)
    with pytest.raises(TypeError, match="alpha"):
        GradientSearchCV(quick(), {"alpha": 1.0}).fit(X_REG, Y_REG)
    one = GradientSearchCV(quick(), {}, cv=2).fit(X_REG, Y_REG)
    assert one.best_params_ == {} and one.cv_results_["params"] == [{}]


def test_refit_variants():
    grid = {"alpha": [10.0, 1.0, 0.1]}
    search = GradientSearchCV(quick(), grid, cv=2).fit(X_REG, Y_REG)
    assert_allclose(
        search.best_estimator_.coef_, quick(**search.best_params_).fit(X_REG, Y_REG).coef_
    )
    assert search.refit_time_ > 0 and search.n_features_in_ == 4
    search.set_params(refit=False).fit(X_REG, Y_REG)
    for name in ("best_estimator_", "refit_time_", "predict", "n_features_in_"):
        assert not hasattr(search, name)
    assert search.best_params_ == {"alpha": grid["alpha"][search.best_index_]}
    search.set_params(refit=lambda results: 1).fit(X_REG, Y_REG)
    assert search.best_params_ == {"alpha": 1.0} and not hasattr(search, "best_score_")
    for refit, error in ((lambda results: 3, IndexError), (lambda results: "a", TypeError)):
        with pytest.raises(error, match="best_index_"):
            search.set_params(refit=refit).fit(X_REG, Y_REG)
    assert search.best_index_ == 1
    several = GradientSearchCV(quick(), grid, cv=2, scoring=["r2", "neg_max_error"])
    for refit in (True, "accuracy"):
        with pytest.raises(ValueError, match="multi-metric"):
            several.set_params(refit=refit).fit(X_REG, Y_REG)
    several.set_params(refit=False).fit(X_REG, Y_REG)
    assert not hasattr(several, "best_index_")
    named = several.set_params(refit="neg_max_error").fit(X_REG, Y_REG)
    assert named.score(X_REG, Y_REG) == -np.abs(named.predict(X_REG) - Y_REG).max()


def test_methods_of_the_best_estimator():
    search = GradientSearchCV(quick("classification"), {"loss": ["log_loss"]}, cv=2)
    assert hasattr(search, "predict_proba") and not hasattr(search, "classes_")
    search.fit(X_CLF, Y_CLF)
    best = search.best_estimator_
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert_array_equal(getattr(search, name)(X_CLF), getattr(best, name)(X_CLF))
    assert_array_equal(search.classes_, np.unique(Y_CLF))
    hinge = GradientSearchCV(quick("classification", loss="hinge"), {"alpha": [1.0]}, cv=2)
    assert not hasattr(hinge.fit(X_CLF, Y_CLF), "predict_proba")
    assert not hasattr(search, "transform")


def test_callable_with_several_scores():
    def counts(model, X, y):
        table = confusion_matrix(y, model.predict(X))
        return {"first": table[0, 0], "last": table[-1, -1]}

    search = GradientSearchCV(
        quick("classification"), {"alpha": [0.1, 1.0]}, scoring=counts, refit="last", cv=2
    ).fit(X_CLF, Y_CLF)
    assert search.multimetric_ and "mean_test_first" in search.cv_results_
    assert search.score(X_CLF, Y_CLF) == counts(search, X_CLF, Y_CLF)["last"]
    with pytest.raises(ValueError, match="multi-metric"):
        search.set_params(refit="middle").fit(X_CLF, Y_CLF)


def test_nested_cloned_pickled_and_repeated():
    search = GradientSearchCV(quick(), {"alpha": [0.1, 1.0]}, cv=2)
    expected = cross_val_score(GridSearchCV(quick(), {"alpha": [0.1, 1.0]}, cv=2), X_REG, Y_REG)
    assert_allclose(cross_val_score(search, X_REG, Y_REG), expected)
    again = clone(search).fit(X_REG, Y_REG)
    assert not hasattr(clone(again), "best_params_")
    back = pickle.loads(pickle.dumps(again))
    assert_array_equal(back.predict(X_REG), again.predict(X_REG))
    assert_array_equal(
        search.fit(X_REG, Y_REG).cv_results_["mean_test_score"],
        again.cv_results_["mean_test_score"],
    )


def test_kinds_of_input():
    grid, expected = {"alpha": [0.1, 1.0]}, None
    frame = pd.DataFrame(X_REG, columns=list("abcd"))
    for X, y in (
        (X_REG, Y_REG), (X_REG.tolist(), Y_REG.tolist()), (frame, pd.Series(Y_REG)),
        (np.asfortranarray(X_REG), Y_REG),
    ):  # fmt: skip
        for estimator, prefix in (
            (quick(precondition="scale"), ""),
            (Pipeline([("none", "passthrough"), ("m", quick(precondition="scale"))]), "m__"),
        ):
            named = {prefix + name: values for name, values in grid.items()}
            search = GradientSearchCV(estimator, named, cv=2).fit(X, y)
            if expected is None:
                expected = search.cv_results_["mean_test_score"]
            assert_allclose(search.cv_results_["mean_test_score"], expected)
            if not prefix:
                assert hasattr(search, "feature_names_in_") == (X is frame)
    search = GradientSearchCV(quick(), grid, cv=3).fit(frame, Y_REG)
    assert list(search.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        search.fit(X_REG, Y_REG[:-1])
    with pytest.raises(ValueError, match="requires y"):
        GradientSearchCV(quick(), grid).fit(X_REG)


def test_splitters_and_groups():
    grid, groups = {"alpha": [0.1, 1.0]}, np.arange(80) % 4
    search = GradientSearchCV(quick(), grid, cv=GroupKFold(4))
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        search.fit(X_REG, Y_REG)
    assert search.fit(X_REG, Y_REG, groups=groups).n_splits_ == 4
    # An iterator that can be read once; folds of random rows; masks.
    once = KFold(3).split(X_REG)
    whole = GradientSearchCV(quick(), grid, cv=KFold(3)).fit(X_REG, Y_REG)
    parts = GradientSearchCV(quick(), grid, cv=once).fit(X_REG, Y_REG)
    every = np.arange(80)
    masks = [tuple(np.isin(every, rows) for rows in split) for split in KFold(3).split(X_REG)]
    masked = GradientSearchCV(quick(), grid, cv=masks).fit(X_REG, Y_REG)
    for found in (parts, masked):
        assert_array_equal(
            found.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"]
        )
    # All candidates see the same random folds.
    same = GradientSearchCV(
        quick(), [{"alpha": [0.1]}] * 2, cv=ShuffleSplit(2, random_state=np.random.RandomState(0))
    ).fit(X_REG, Y_REG)
    assert len(set(same.cv_results_["mean_test_score"])) == 1


def test_verbose(capsys):
    GradientSearchCV(quick(), {"alpha": [0.5, 1.0]}, cv=2, verbose=3).fit(X_REG, Y_REG)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Fitting 2 folds for each of 2 candidates, totalling 4 fits"
    assert len(lines) == 5
    assert re.match(r"\[CV 1/2\] END alpha=0.5; score=-?\d\.\d{3} total time= +\d", lines[1])


class Recording:
    """A callback that keeps the names of tasks, and for whom they are told."""

    def __init__(self):
        self.begun, self.ended, self.of, self.active = [], [], set(), 0

    def setup(self, estimator, context):
        self.active += 1

    def teardown(self, estimator, context):
        self.active -= 1

    def on_fit_task_begin(self, estimator, context, *, metadata):
        self.begun.append((context.task_name, metadata is not None))
        self.of.add(type(estimator).__name__)

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)


@pytest.mark.parametrize("piped", [False, True])
def test_callbacks_see_the_tasks_of_grid_search(piped):
    pytest.importorskip("sklearn.callback")
    estimator, grid, fit = quick(), {"alpha": [0.1, 1.0]}, {"sample_weight": np.ones(80)}
    if piped:
        estimator, fit = make_pipeline(StandardScaler(), quick()), {}
        grid = {"gradientregressor__alpha": [0.1, 1.0]}
    seen = []
    for found in (GradientSearchCV, GridSearchCV):
        callback = Recording()
        found(estimator, grid, cv=2).set_callbacks(callback).fit(X_REG, Y_REG, **fit)
        assert callback.of == {found.__name__}
        seen.append((sorted(callback.begun), sorted(callback.ended)))
    assert seen[0] == seen[1] and len(seen[0][0]) == 3 + 4
    # A search that fails ends its callbacks too.
    callback = Recording()
    search = GradientSearchCV(quick(), {"alpha": [-1.0]}, cv=2).set_callbacks(callback)
    with pytest.raises(ValueError, match="alpha"):
        search.fit(X_REG, Y_REG)
    assert callback.active == 0 and len(callback.begun) == 2 + 2
    # One of the estimator, which is told of each fit and its epochs.
    callback = Recording()
    quick_one = quick().set_callbacks(callback)
    GradientSearchCV(quick_one, {"alpha": [0.1, 1.0]}, cv=2, refit=False).fit(X_REG, Y_REG)
    assert len(callback.begun) == 4 * (1 + 4)


def test_progress_bars(capsys):
    ProgressBar = pytest.importorskip("sklearn.callback").ProgressBar
    grid = {"alpha": [0.1, 1.0]}
    plain = GradientSearchCV(quick(), grid, cv=2).fit(X_REG, Y_REG)
    for bar in (ProgressBar(), ProgressBar(max_propagation_depth=0)):
        search = GradientSearchCV(quick(), grid, cv=2).set_callbacks(bar).fit(X_REG, Y_REG)
        assert_allclose(
            search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], rtol=1e-9
        )
    assert "GradientSearchCV" in capsys.readouterr().out


# -- in parallel ----------------------------------------------------------------------------


def grid_in_parallel():
    pipe = Pipeline([("scaler", StandardScaler()), ("model", quick())])
    grid = {"model__alpha": [0.1, 1.0], "model__loss": ["huber", Quantile(0.3)],
            "scaler": [StandardScaler(), "passthrough"]}  # fmt: skip
    return GradientSearchCV(pipe, [grid, {"model": [Ridge()]}], cv=2)


def same_search(found, expected):
    for name in ("split0_test_score", "mean_test_score", "rank_test_score"):
        assert_allclose(found.cv_results_[name], expected.cv_results_[name], rtol=1e-10)
    assert found.loss_curves_[-1] == [None, None]
    for mine, other in zip(found.loss_curves_[:-1], expected.loss_curves_[:-1], strict=True):
        assert_allclose(mine, other, rtol=1e-10)


@pytest.mark.parametrize("n_jobs", [2, 7, -1])
def test_threads(n_jobs):
    search = grid_in_parallel()
    expected = clone(search).fit(X_REG, Y_REG)
    same_search(search.set_params(n_jobs=n_jobs).fit(X_REG, Y_REG), expected)


def test_processes():
    search = grid_in_parallel()
    expected = clone(search).fit(X_REG, Y_REG)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        same_search(search.fit(X_REG, Y_REG), expected)


def test_dask_cluster():
    distributed = pytest.importorskip("distributed")
    search = grid_in_parallel()
    expected = clone(search).fit(X_REG, Y_REG)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        same_search(search.fit(X_REG, Y_REG), expected)


# -- conformance ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "kind, name", [(GradientRegressor, "alpha"), (GradientClassifier, "model__alpha")]
)
def test_a_search_conforms_to_scikit_learn(kind, name):
    model = kind(max_iter=100, random_state=0)
    if name == "model__alpha":
        model = Pipeline([("pca", PCA()), ("model", model)])
    search = GradientSearchCV(model, {name: [0.1, 1.0]}, cv=2, error_score="raise")
    assert failed_checks(search) == {}
