"""scikit-learn's callbacks: what they are told, that they change nothing, that they can stop a fit;
and the lines that ``verbose`` prints."""

import copy
import pickle
import re
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from catalogue import ESTIMATORS, TEXTBOOK, make, make_data, same_model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import DivergenceError, GradientRegressor, _engine, _objective
from sklearn_lossopt._training import progress
from sklearn_lossopt.losses import RegressionLoss

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has them since 1.9")
ProgressBar, ScoringMonitor = callback.ProgressBar, callback.ScoringMonitor

each_task = pytest.mark.parametrize("task", ESTIMATORS)
quietly = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {
    "auto": {},
    "auto, kinks": {"loss": {"regression": "absolute_error", "classification": "hinge"}},
    "auto, no coordinates": {"precondition": False, "batch_size": 7, "max_iter": 12},
    "its own scale": {"loss": {"regression": "huber", "classification": "huber"}},
    "constant": {"schedule": "constant", "max_iter": 12},
    "textbook": TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 7, "max_iter": 12},
    "plateau": {"schedule": "plateau", "max_iter": 12, "tol": 0},
    "minimising": {"optimizer": "lbfgs", "max_iter": 12, "tol": 0},
    "averaged": {"optimizer": "averaged", "schedule": "constant", "max_iter": 12},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "schedule": "constant"},
    "early stopping, auto": {"early_stopping": True, "n_iter_no_change": 2, "scoring": None},
}
each_setting = pytest.mark.parametrize("name", SETTINGS)


def configured(task, name):
    settings = dict(SETTINGS[name])
    if "loss" in settings:
        settings["loss"] = settings["loss"][task]
    return make(task, **settings)


class Record:
    """Takes note of all that it is told."""

    def __init__(self, stop_after=None, fail_after=None):
        self.stop_after, self.fail_after = stop_after, fail_after
        self.events, self.models, self.data = [], [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.note("begin", context, (X, y, metadata), fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.note("end", context, (X, y, metadata), fitted_estimator)
        if context.task_name == "epoch":
            if context.task_id + 1 == self.fail_after:
                raise KeyError("the callback failed")
            return context.task_id + 1 == self.stop_after

    def note(self, event, context, data, model):
        self.events.append((event, context.task_name, context.task_id))
        self.data.append(data)
        self.models.append(model)

    def epochs(self, event):
        """The models at the beginning or the end of each epoch."""
        told = [entry for entry in self.events if isinstance(entry, tuple)]
        return [
            model
            for entry, model in zip(told, self.models, strict=True)
            if entry[:2] == (event, "epoch")
        ]


class Silent:
    """Wants to know nothing."""

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context): ...


# What they are told -------------------------------------------------------------------------------


@quietly
@each_task
@each_setting
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_callbacks_change_nothing(task, name, dtype):
    X, y = make_data(task, n=120, n_targets=2)
    X = X.astype(dtype)
    plain = configured(task, name).fit(X, y)
    record = Record()
    watched = configured(task, name).set_callbacks(record, Silent()).fit(X, y)
    assert same_model(watched, plain)
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}
    each = range(plain.n_iter_)
    assert record.events == [
        "setup", ("begin", "fit", 0),
        *[(event, "epoch", epoch) for epoch in each for event in ("begin", "end")],
        ("end", "fit", 0), "teardown",
    ]  # fmt: skip


@quietly
@each_task
@each_setting
def test_the_model_after_an_epoch_is_that_of_a_fit_that_ends_there(task, name):
    X, y = make_data(task, n=120, n_targets=2)
    record = Record()
    model = configured(task, name).set_callbacks(record).fit(X, y)
    ends = record.epochs("end")
    assert len(ends) == model.n_iter_
    for epoch, seen in enumerate(ends, start=1):
        short = configured(task, name).set_params(max_iter=epoch).fit(X, y)
        assert_array_equal(seen.coef_, short.coef_)
        assert_array_equal(seen.intercept_, short.intercept_)
        assert_array_equal(seen.predict(X), short.predict(X))
        assert_array_equal(seen.loss_curve_, short.loss_curve_)
        assert (seen.n_iter_, seen.t_) == (short.n_iter_, short.t_)
        assert vars(seen).keys() - {"_callback_fit_ctx", "_skl_callbacks_to_teardown"} == (
            vars(short).keys() | {"_skl_callbacks"}
        )
    for begun, ended in zip(record.epochs("begin")[1:], ends, strict=False):
        assert_array_equal(begun.coef_, ended.coef_)


@quietly
@each_task
def test_a_model_seen_is_a_model_of_its_own(task):
    """To train it further disturbs nothing."""
    X, y = make_data(task, n=120)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "warm_start": True, "max_iter": 6}

    class Train(Silent):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            copied = copy.copy(fitted_estimator).set_callbacks()
            copied.set_params(max_iter=2).fit(X, y)

    watched = make(task, **settings).set_callbacks(Train()).fit(X, y)
    assert same_model(watched, make(task, **settings).fit(X, y))
    watched.set_callbacks()
    assert same_model(watched.fit(X, y), make(task, **settings).fit(X, y).fit(X, y))


@each_task
def test_the_data_told_are_those_passed(task):
    X, y = make_data(task)
    frame = pd.DataFrame(X, columns=list("abcd"))
    if task == "classification":
        y = np.array(["no", "yes"])[y]
    weight = np.arange(len(X)) % 3.0
    record = Record()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of names of features
        make(task).set_callbacks(record).fit(frame, y, weight, X_val=frame, y_val=y)
    for told, labels, metadata in record.data:
        assert told is frame
        assert_array_equal(labels, y)
        assert metadata == {"sample_weight": weight}
    for seen in record.models[1:-1]:
        assert_array_equal(seen.predict(frame), seen.predict(frame))
    unweighted = Record()
    make(task).set_callbacks(unweighted).fit(X, y)
    assert all(metadata is None for _, _, metadata in unweighted.data)


def test_nothing_of_an_earlier_fit_is_in_a_model_seen():
    X, y = make_data("regression")
    record = Record()
    model = make("regression", "huber").fit(X, y, X_val=X, y_val=y)
    model.set_params(loss="squared_error").set_callbacks(record).fit(X, y)
    for seen in record.epochs("end"):
        assert not {"delta_", "validation_curve_", "best_iter_"} & vars(seen).keys()


# The end of a fit ---------------------------------------------------------------------------------


@each_task
@each_setting
@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_callback_ends_the_fit(task, name, stop_after):
    X, y = make_data(task, n=120, n_targets=2)
    record = Record(stop_after)

    def unfinished():
        model = configured(task, name)
        # A squared error is at its optimum after one epoch.
        default = model.get_params()["loss"] == "squared_error"
        return model.set_params(loss="log_cosh") if default else model

    with warnings.catch_warnings():
        # That the run is short is no surprise.
        warnings.simplefilter("error", ConvergenceWarning)
        model = unfinished().set_callbacks(record).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == stop_after and not model.converged_
    assert record.events[-2:] == [("end", "fit", 0), "teardown"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        short = unfinished().set_params(max_iter=stop_after).fit(X, y)
    assert_array_equal(model.coef_, short.coef_)
    assert_array_equal(model.intercept_, short.intercept_)


def test_a_callback_ends_a_perceptron():
    X, y = make_data("classification", n=200, n_targets=2)
    record = Record(3)
    model = make("classification", "perceptron").set_callbacks(record).fit(X, y)
    assert model.n_iter_ == 3
    assert_array_equal(record.epochs("end")[-1].coef_, model.coef_)


FAILING = {
    "the callback": ({}, KeyError),
    "divergence": (TEXTBOOK | {"learning_rate": 1e9, "tol": 1e-3}, DivergenceError),
    "a warning": ({"max_iter": 1, "precondition": False}, ConvergenceWarning),
}


@each_task
@pytest.mark.parametrize("case", FAILING)
def test_a_failed_fit_takes_its_callbacks_down(task, case):
    X, y = make_data(task)
    settings, error = FAILING[case]
    record = Record(fail_after=1 if case == "the callback" else None)
    model = make(task, **settings).set_callbacks(record)
    before = vars(model).copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(error):
            model.fit(X, y)
    assert record.events[0] == "setup" and record.events[-1] == "teardown"
    assert vars(model) == before


def test_bad_data_start_no_callbacks():
    record = Record()
    with pytest.raises(ValueError):
        make("regression").set_callbacks(record).fit([[np.nan]], [1.0])
    assert record.events == []


def test_only_callbacks_are_callbacks():
    with pytest.raises(TypeError, match="FitCallback"):
        make("regression").set_callbacks("progress")


def count_runs(monkeypatch):
    runs = []

    class Counting(_engine.Trainer):
        def run(self, first, count, *rest):
            runs.append(count)
            return super().run(first, count, *rest)

    monkeypatch.setattr(_objective, "Trainer", Counting)
    return runs


def test_many_epochs_at_once_unless_somebody_looks(monkeypatch, capsys):
    runs = count_runs(monkeypatch)
    X, y = make_data("regression")
    model = make("regression", **TEXTBOOK | {"learning_rate": 1e-3, "max_iter": 500})
    model.fit(X, y)
    assert runs == [500]
    for watched, given in [
        (clone(model).set_callbacks(Silent()), {}),
        (clone(model).set_params(verbose=1), {}),
        (clone(model), {"X_val": X, "y_val": y}),
        (clone(model).set_params(schedule="plateau"), {}),
    ]:
        runs.clear()
        watched.fit(X, y, **given)
        assert runs == [1] * 500
    runs.clear()
    model.set_callbacks(Silent()).set_callbacks().fit(X, y)
    assert runs == [500]


# scikit-learn's own callbacks ---------------------------------------------------------------------


@each_task
def test_a_progress_bar(task, capsys):
    pytest.importorskip("rich")
    X, y = make_data(task)
    # Of other tests, such as a pool's.
    before = set(threading.enumerate())
    model = make(task).set_callbacks(ProgressBar()).fit(X, y)
    out = capsys.readouterr().out
    assert f"{type(model).__name__} - fit" in out and "100%" in out
    diverging = TEXTBOOK | {"learning_rate": 1e9, "tol": 1e-3}
    with pytest.raises(DivergenceError):
        model.set_params(**diverging).fit(X, y)
    # Such a thread would keep the interpreter from ending.
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)


@each_task
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_scoring_monitor(task, early_stopping):
    X, y = make_data(task, n=100)
    if task == "classification":
        y = np.array(["no", "yes"])[y]
    frame, weight = pd.DataFrame(X, columns=list("abcd")), np.arange(100) % 3.0
    names = ["accuracy", "neg_log_loss"]
    if task == "regression":
        names = ["r2", "neg_mean_absolute_error"]
    monitor = ScoringMonitor(scoring=names)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = make(task, early_stopping=early_stopping).set_callbacks(monitor)
        model.fit(frame, y, sample_weight=weight)
    rows = monitor.get_logs().data
    epochs = [row for row in rows if row["task_name"] == "epoch"]
    (root,) = [row for row in rows if row["task_name"] == "fit"]
    assert [row["task_id"] for row in epochs] == list(range(model.n_iter_))
    assert root[names[0]] == model.score(frame, y, weight)
    assert epochs[-1][names[1]] == root[names[1]]


@each_task
@quietly
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_in_company(task, n_jobs, capsys):
    pytest.importorskip("rich")
    X, y = make_data(task, n=100)
    model = make(task, max_iter=5)
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {f"{pipeline.steps[-1][0]}__alpha": [1e-3, 1e-1]}
    search = GridSearchCV(pipeline, grid, n_jobs=n_jobs, cv=3, error_score="raise")
    plain = clone(search).fit(X, y)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert f"{type(model).__name__} - fit" in capsys.readouterr().out
    assert_array_equal(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    assert not hasattr(search.best_estimator_[-1], "_parent_callback_ctx")
    # One of the model's own reports from each of its fits.
    monitor = ScoringMonitor(scoring=["r2" if task == "regression" else "accuracy"])
    grid = {"alpha": [1e-3, 1e-1]}
    search = GridSearchCV(model.set_callbacks(monitor), grid, n_jobs=n_jobs, cv=3)
    search.fit(X, y)
    assert sum(row["task_name"] == "fit" for row in logged(monitor)) == 7


def logged(monitor):
    logs = monitor.get_logs(select="all")
    return [row for log in (logs if isinstance(logs, list) else [logs]) for row in log.data]


@each_task
def test_clones_and_pickles_keep_their_callbacks(task):
    X, y = make_data(task)
    monitor = ScoringMonitor(scoring=["r2" if task == "regression" else "accuracy"])
    model = make(task).set_callbacks(monitor)
    assert clone(model)._skl_callbacks[0] is monitor
    for original in (model, make(task).set_callbacks(Silent()).fit(X, y)):
        again = pickle.loads(pickle.dumps(original))
        assert len(again._skl_callbacks) == 1
        assert same_model(again.fit(X, y), make(task).fit(X, y))


# Lines --------------------------------------------------------------------------------------------


LINE = r"epoch +(\d+)  objective (\S+)(?:  validation (\S+))?  rate (\S+)"


@quietly
@each_task
@pytest.mark.parametrize("schedule", ["auto", "exponential"])
@pytest.mark.parametrize("scoring", [None, "loss"])
@pytest.mark.parametrize("verbose", [1, 2])
def test_lines_say_what_the_curves_do(task, schedule, scoring, verbose, capsys):
    X, y = make_data(task)
    model = make(task, schedule=schedule, max_iter=6, scoring=scoring, batch_size=16, tol=0)
    for given in ({}, {"X_val": X, "y_val": y}):
        model.set_params(verbose=verbose).fit(X, y, **given)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 6
        for epoch, line in enumerate(lines):
            details = r"  batch (\d+)  (\S+) s" if verbose == 2 else ""
            found = re.fullmatch(LINE + details, line)
            assert int(found[1]) == epoch + 1
            assert_allclose(float(found[2]), model.loss_curve_[epoch], rtol=1e-6)
            assert (found[3] is not None) == bool(given)
            if given:
                assert_allclose(float(found[3]), model.validation_curve_[epoch], rtol=1e-4)
            if schedule == "exponential":
                # That of the epoch's last update, the fourth.
                rate = 0.95 ** (epoch + 3 / 4) * model.learning_rate_
                assert_allclose(float(found[4]), rate, rtol=1e-2)
            if verbose == 2:
                assert int(found[5]) in (16, 60) and float(found[6]) < 5


class Slow(RegressionLoss):
    """Takes a while for each batch."""

    def loss_gradient(self, y, raw):
        time.sleep(0.002)
        return 0.5 * (raw - y) ** 2, raw - y


def test_a_long_epoch_says_how_far_it_is(monkeypatch, capsys):
    X, y = make_data("regression", n=300)
    settings = TEXTBOOK | {"learning_rate": 1e-3, "batch_size": 5, "max_iter": 3}
    threads = threading.active_count()
    GradientRegressor(Slow(), **settings).fit(X, y)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(progress, "MAX_SILENT_SECONDS", 0.02)
    GradientRegressor(Slow(), verbose=1, **settings).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    left = r"\d+ s so far(?:, at most \d+ s left)?"
    epochs = [line for line in lines if "objective" in line]
    assert len(epochs) == 3
    assert all(re.fullmatch(LINE + "  " + left, line) for line in epochs)
    inside = [line for line in lines if line not in epochs]
    assert len(inside) >= 3
    shares = []
    for line in inside:
        found = re.fullmatch(r"epoch +([1-3])  (\d+)% done  " + left, line)
        shares.append((int(found[1]), int(found[2])))
    assert shares == sorted(shares) and 0 < shares[0][1] < 100
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "0 s"), (119, "119 s"), (120, "2 min"), (5400, "90 min"), (7200, "2 h"), (1e6, "278 h")],
)
def test_durations_are_readable(seconds, text):
    assert progress.format_duration(seconds) == text


def test_a_failed_fit_leaves_no_thread():
    X, y = make_data("regression")
    threads = threading.active_count()
    model = make("regression", **TEXTBOOK | {"learning_rate": 1e9, "tol": 1e-3}, verbose=1)
    with pytest.raises(DivergenceError):
        model.fit(X, y)
    assert threading.active_count() == threads
