"""What the displays draw: data, labels, scales; and what they refuse."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor, trace
from sklearn_lossopt.plotting import LossCurveDisplay

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("closed_figures")


class Recorded(BaseEstimator):
    """An estimator whose fit only takes over curves."""

    def __init__(self, curve=(3.0, 2.0, 1.5), validation=None, best=None, scores=None):
        self.curve = curve
        self.validation = validation
        self.best = best
        self.scores = scores

    def fit(self):
        self.loss_curve_ = list(self.curve)
        if self.validation is not None:
            self.validation_curve_ = np.array(self.validation)
            self.best_iter_ = self.best
        self.validation_scores_ = self.scores
        return self


def recorded(*args, **kwargs):
    return Recorded(*args, **kwargs).fit()


def texts(display):
    legend = (display.validation_ax_ or display.ax_).get_legend()
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(scope="module")
def data():
    return make_regression(120, 4, noise=3.0, random_state=0)


def test_curve_of_a_fit(data):
    model = GradientRegressor(random_state=0).fit(*data)
    display = LossCurveDisplay.from_estimator(model)
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, model.n_iter_ + 1))
    np.testing.assert_array_equal(line.get_ydata(), model.loss_curve_)
    assert display.ax_.get_xlabel() == "Epoch"
    assert display.ax_.get_ylabel() == "Loss"
    assert display.ax_.get_yscale() == "linear"
    assert display.figure_ is display.ax_.figure
    assert display.validation_lines_ == [None]
    assert display.validation_ax_ is None
    assert texts(display) == ["GradientRegressor"]


def test_validation_loss_and_best_epoch():
    model = recorded(validation=[3.5, 2.5, 2.6], best=2)
    display = LossCurveDisplay.from_estimator(model, name="mine")
    (line,), (dashed,) = display.lines_, display.validation_lines_
    np.testing.assert_array_equal(dashed.get_ydata(), [3.5, 2.5, 2.6])
    assert dashed.axes is line.axes is display.validation_ax_
    assert dashed.get_color() == line.get_color()
    assert (line.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    # Markers stand where best_iter_ points: on the second epoch.
    assert (dashed.get_marker(), dashed.get_markevery()) == ("o", [1])
    assert texts(display) == ["mine", "mine, validation"]


def test_validation_can_be_left_out():
    display = LossCurveDisplay.from_estimator(recorded(validation=[3.0] * 3), validation=False)
    assert display.validation_lines_ == [None]
    assert len(display.ax_.lines) == 1


@pytest.mark.parametrize("best", [None, 0, 4])
def test_no_mark_without_a_best_epoch_on_the_curve(best):
    display = LossCurveDisplay.from_estimator(recorded(validation=[3.0, 2.0, 2.0], best=best))
    assert display.validation_lines_[0].get_markevery() is None


def test_scores_have_an_axis_of_their_own():
    model = recorded(scores=[0.1, 0.5, 0.4])
    display = LossCurveDisplay.from_estimator(model)
    assert display.validation_ax_ is not display.ax_
    assert display.validation_ax_.get_ylabel() == "Validation score"
    np.testing.assert_array_equal(display.validation_lines_[0].get_ydata(), [0.1, 0.5, 0.4])
    assert len(texts(display)) == 2


def test_validation_curve_that_holds_scores():
    model = recorded(validation=[0.1, 0.5, 0.4])
    display = LossCurveDisplay.from_estimator(model, validation="score")
    assert display.validation_ax_.get_ylabel() == "Validation score"


@pytest.mark.parametrize(
    "scoring, label",
    [
        ("loss", None),
        ("r2", "Validation score"),
        (None, "Validation score"),
    ],
)
def test_what_the_curve_holds_is_what_scoring_says(data, scoring, label):
    model = GradientRegressor(early_stopping=True, scoring=scoring, random_state=0).fit(*data)
    display = LossCurveDisplay.from_estimator(model)
    assert display.validation_kind == ("loss" if scoring == "loss" else "score")
    apart = display.validation_ax_ is not display.ax_
    assert apart == (label is not None)
    if apart:
        assert display.validation_ax_.get_ylabel() == label
    np.testing.assert_array_equal(display.validation_lines_[0].get_ydata(), model.validation_curve_)


def test_multi_layer_perceptron(data):
    model = MLPRegressor(early_stopping=True, max_iter=10, tol=1.0, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(*data)
    display = LossCurveDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(
        display.validation_lines_[0].get_ydata(), model.validation_scores_
    )


def test_pipeline_stands_for_its_last_step(data):
    inner = make_pipeline(StandardScaler(), GradientRegressor(random_state=0))
    model = make_pipeline(StandardScaler(), inner).fit(*data)
    display = LossCurveDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), inner[-1].loss_curve_)
    assert texts(display) == ["GradientRegressor"]


def test_reference_is_the_optimum(data):
    X, y = data
    alpha = 1e-2
    ridge = Ridge(alpha=alpha * len(y), tol=1e-12).fit(X, y)
    optimum = 0.5 * np.mean((ridge.predict(X) - y) ** 2) + 0.5 * alpha * np.sum(ridge.coef_**2)
    model = GradientRegressor(alpha=alpha, random_state=0).fit(X, y)
    display = LossCurveDisplay.from_estimator(model, reference=optimum)
    gaps = display.lines_[0].get_ydata()
    rounding = np.finfo(float).eps * optimum
    np.testing.assert_allclose(gaps, np.maximum(model.loss_curve_ - optimum, rounding))
    assert (gaps > 0).all()
    assert gaps[-1] < 1e-6 * optimum
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_ylabel() == "Loss above the reference"


def test_gaps_below_rounding_are_drawn_at_it():
    display = LossCurveDisplay.from_estimator(recorded([4.0, 2.0, 2.0 - 1e-12]), reference=2.0)
    eps = np.finfo(float).eps
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [2.0, 2 * eps, 2 * eps])


def test_reference_of_zero():
    display = LossCurveDisplay.from_estimator(recorded([4.0, 0.0]), reference=0.0)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [4.0, 4 * np.finfo(float).eps])


def test_validation_is_not_measured_from_the_reference():
    model = recorded(validation=[3.5, 2.5, 2.6])
    display = LossCurveDisplay.from_estimator(model, reference=1.0)
    np.testing.assert_array_equal(display.validation_lines_[0].get_ydata(), [3.5, 2.5, 2.6])
    assert display.validation_ax_ is not display.ax_
    assert display.validation_ax_.get_ylabel() == "Validation loss"


@pytest.mark.parametrize("yscale", [None, "linear", "log", "symlog"])
def test_scale(yscale):
    display = LossCurveDisplay.from_estimator(recorded(), yscale=yscale)
    assert display.ax_.get_yscale() == (yscale or "linear")


def test_scale_of_given_axes_is_left_alone(closed_figures):
    figure, ax = closed_figures.subplots()
    ax.set_yscale("log")
    display = LossCurveDisplay.from_estimator(recorded(), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_yscale() == "log"


def test_epochs_are_whole_numbers():
    display = LossCurveDisplay.from_estimator(recorded([2.0, 1.0]))
    ticks = display.ax_.get_xticks()
    assert (ticks == np.round(ticks)).all()


def test_one_epoch_is_visible():
    display = LossCurveDisplay.from_estimator(recorded([2.0]))
    assert display.lines_[0].get_marker() == "o"


def test_several_by_name():
    models = {"a": recorded([2.0, 1.0]), "b": recorded([3.0, 2.0, 1.0], validation=[4.0, 3.0, 2.0])}
    display = LossCurveDisplay.from_estimators(models, reference=[0.5, 1.0])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1.5, 0.5])
    np.testing.assert_array_equal(display.lines_[1].get_ydata()[:2], [2.0, 1.0])
    assert display.validation_lines_[0] is None
    assert texts(display) == ["a", "b", "b, validation"]
    first, second = (line.get_color() for line in display.lines_)
    assert first != second == display.validation_lines_[1].get_color()


def test_labels_of_a_list():
    alike = [recorded([2.0, 1.0]), recorded([2.0, 1.5]), recorded([2.0, 1.5])]
    display = LossCurveDisplay.from_estimators(alike)
    assert texts(display) == [f"curve={model.curve!r}" for model in alike]
    mixed = [recorded(), GradientRegressor(max_iter=2, tol=0, schedule="constant")]
    mixed[1].fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 3.0])
    assert texts(LossCurveDisplay.from_estimators(mixed)) == ["Recorded", "GradientRegressor"]


def test_styles_in_any_spelling():
    styles = [{"c": "red"}, {"color": "blue", "lw": 3}]
    display = LossCurveDisplay.from_estimators(
        [recorded(validation=[3.0] * 3), recorded([1.0])], curve_kwargs=styles
    )
    assert [line.get_color() for line in display.lines_] == ["red", "blue"]
    assert display.lines_[1].get_linewidth() == 3
    assert display.validation_lines_[0].get_color() == "red"
    display.plot(validation_kwargs={"ls": ":"})
    assert display.validation_lines_[0].get_linestyle() == ":"


@pytest.mark.parametrize("curve", [[2.0, 1.0], np.array([2.0, 1.0]), [[2.0, 1.0]]])
def test_from_numbers(curve):
    display = LossCurveDisplay(loss_curve=curve, validation_curve=curve, best_iter=2)
    assert display.plot() is display
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [2.0, 1.0])
    np.testing.assert_array_equal(display.validation_lines_[0].get_ydata(), [2.0, 1.0])
    assert texts(display) == ["validation"]
    assert texts(display.plot(name="other")) == ["other", "other, validation"]


def test_parameters_are_attributes():
    given = dict(
        loss_curve=[2.0, 1.0],
        validation_curve=None,
        best_iter=1,
        name="n",
        reference=0.0,
        validation_kind="score",
        abscissa=[0.0, 1.0],
        abscissa_name="Seconds",
        panel=["huber"],
        loss_name="Objective F",
        diverged=[False],
    )
    assert vars(LossCurveDisplay(**given)) == given


@pytest.mark.parametrize(
    "estimator, error, message",
    [
        (GradientRegressor(), NotFittedError, "not fitted"),
        (make_pipeline(StandardScaler(), GradientRegressor()), NotFittedError, "not fitted"),
        (Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), ValueError, "Ridge has no loss_curve_"),
        (recorded([]), ValueError, "one number an epoch"),
    ],
)
def test_estimators_without_a_curve(estimator, error, message):
    with pytest.raises(error, match=message):
        LossCurveDisplay.from_estimator(estimator)


@pytest.mark.parametrize(
    "estimators, given, message",
    [
        ([recorded()], {"reference": 1.6}, r"=1\.6 lies above the minimum of a curve, 1\.5"),
        ([recorded()], {"reference": np.nan}, "must be finite"),
        ([recorded([1.0, -2.0])], {"yscale": "log"}, "reach -2"),
        ([recorded()], {"yscale": "lin"}, "yscale must be one of .*'log'.* Got 'lin'"),
        ([recorded()], {"validation": "accuracy"}, "validation must be"),
        ([], {}, "nothing to draw"),
        ([recorded()] * 3, {"reference": [1.0, 1.0]}, "reference has 2 entries for 3 curves"),
        ([recorded(scores=[0.1] * 3), recorded(validation=[3.0] * 3)], {}, "Draw them apart"),
    ],
)
def test_errors(estimators, given, message, closed_figures):
    with pytest.raises(ValueError, match=message):
        LossCurveDisplay.from_estimators(estimators, **given)
    # What cannot be drawn leaves no empty figure.
    assert not closed_figures.get_fignums()


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display\.from_estimator requires matplotlib"):
        LossCurveDisplay.from_estimator(recorded())
    with pytest.raises(ImportError, match=r"Display\.plot requires matplotlib"):
        LossCurveDisplay(loss_curve=[1.0]).plot()


def test_matplotlib_is_imported_only_to_draw():
    code = (
        "import sys, sklearn_lossopt, sklearn_lossopt.plotting\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_traces_begin_with_the_start(data):
    traces = {
        name: trace(GradientRegressor(optimizer=name, random_state=0), *data, every="epoch")
        for name in ("sgd", "adam")
    }
    for against, label in {"epoch": "Epoch", "update": "Update", "seconds": "Seconds"}.items():
        display = LossCurveDisplay.from_traces(traces, against=against)
        assert display.ax_.get_xlabel() == label and display.ax_.get_ylabel() == "Objective F"
        for line, found in zip(display.lines_, traces.values(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), getattr(found, against))
            np.testing.assert_array_equal(line.get_ydata(), found.objective)
            assert line.get_markevery() == [0] and line.get_xdata()[0] == 0
            assert (np.diff(found.seconds) > 0).all()
    assert texts(display) == ["sgd", "adam"]
    listed = LossCurveDisplay.from_traces(traces.values())
    assert texts(listed) == ["optimizer='sgd'", "optimizer='adam'"]
    with pytest.raises(ValueError, match=r"against must be one of.*'time'"):
        LossCurveDisplay.from_traces(traces, against="time")
    with pytest.raises(ValueError, match="traces is empty"):
        LossCurveDisplay.from_traces({})


def test_a_diverged_trace_ends_where_it_overflows(data):
    model = GradientRegressor(
        "poisson", "sgd", learning_rate=1e4, precondition=False, schedule="constant", max_iter=5
    )
    found = trace(model, data[0], np.abs(data[1]))
    assert found.error is not None and not np.isfinite(found.objective[-1])
    (line,) = LossCurveDisplay.from_traces([found], yscale="log").lines_
    drawn = np.isfinite(line.get_ydata())
    np.testing.assert_array_equal(line.get_ydata()[drawn], found.objective[drawn])
    assert not drawn[-1]


@pytest.mark.parametrize("yscale", ["linear", "log"])
@pytest.mark.parametrize("rate", [1e3, 1e9])
def test_a_diverging_curve_leaves_axes_that_show_the_others(data, rate, yscale):
    models = {
        name: GradientRegressor(
            optimizer="gradient_descent", learning_rate=rate, schedule="constant", tol=0,
            max_iter=20, precondition=False,
        )
        for name, rate in {"settles": 1e-3, "leaves": rate}.items()
    }  # fmt: skip
    traces = {name: trace(model, *data) for name, model in models.items()}
    assert [found.error is not None for found in traces.values()] == [False, True]
    display = LossCurveDisplay.from_traces(traces, yscale=yscale)
    assert texts(display) == ["settles", "leaves (diverges)"]
    display.figure_.canvas.draw()
    low, high = display.ax_.get_ylim()
    kept = traces["settles"].objective
    assert low < kept.min() and kept.max() < high < 20 * kept.max()
    assert np.nanmax(display.lines_[1].get_ydata()) > high
    # Where all diverge, their starts are shown.
    alone = LossCurveDisplay.from_traces({"leaves": traces["leaves"]}, yscale=yscale)
    alone.figure_.canvas.draw()
    low, high = alone.ax_.get_ylim()
    assert low < traces["leaves"].objective[0] < high


def test_losses_of_different_kinds_have_panels_of_their_own(data, closed_figures):
    losses = ["squared_error", "huber", "squared_error"]
    models = [
        GradientRegressor(loss, random_state=seed).fit(*data) for seed, loss in enumerate(losses)
    ]
    display = LossCurveDisplay.from_estimators(dict(zip("abc", models, strict=True)))
    assert [ax.get_title() for ax in display.axes_] == ["squared_error", "huber"]
    assert [display.axes_.index(line.axes) for line in display.lines_] == [0, 1, 0]
    assert display.ax_ is display.axes_[0] and display.axes_[1].get_xlabel() == "Epoch"
    # On given axes all are drawn as they are.
    ax = closed_figures.subplots()[1]
    display = LossCurveDisplay.from_estimators(models, ax=ax)
    assert display.axes_ == [ax] and len(ax.lines) == 3


def test_panels_have_their_own_validation_curves(data):
    models = [
        GradientRegressor(loss, early_stopping=True, random_state=0).fit(*data)
        for loss in ("squared_error", "huber")
    ]
    display = LossCurveDisplay.from_estimators(models, reference=0.0)
    training, validation = zip(*zip(display.lines_, display.validation_lines_, strict=True),
                               strict=True)  # fmt: skip
    assert len({line.axes for line in (*training, *validation)}) == 4
    assert display.validation_ax_ is validation[0].axes


def test_the_axis_says_where_curves_are_running_means(data):
    fixed = dict(schedule="constant", learning_rate=0.01, random_state=0)
    classes = data[0], (data[1] > 0).astype(int)
    means = [
        GradientRegressor(tol=0, max_iter=3, **fixed).fit(*data),
        GradientClassifier(hidden_layer_sizes=(4,), max_iter=3).fit(*classes),
    ]
    values = [
        GradientRegressor(random_state=0).fit(*data),
        GradientRegressor(tol=0, max_iter=3, **{**fixed, "schedule": "plateau"}).fit(*data),
        GradientRegressor(optimizer="averaged", tol=0, max_iter=3, **fixed).fit(*data),
        GradientRegressor(optimizer="lbfgs", hidden_layer_sizes=(4,), max_iter=3, tol=0).fit(*data),
        recorded(),
    ]
    for model in means:
        label = LossCurveDisplay.from_estimator(model).ax_.get_ylabel()
        assert label == "Loss (running means)"
    for model in values:
        assert LossCurveDisplay.from_estimator(model).ax_.get_ylabel() == "Loss"
    # The rule is that of the fit: what the label calls F is F.
    for model in (*means[:1], *values[:3]):
        exact = trace(model, *data, every="epoch").objective[-1]
        is_mean = model in means
        assert (abs(model.loss_curve_[-1] - exact) > 1e-9 * exact) == is_mean
