"""What SearchDisplay reads from a search and draws, against pandas on ``cv_results_``."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import SGDRegressor
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor, GradientSearchCV
from sklearn_lossopt.losses import Huber, Quantile, SquaredError
from sklearn_lossopt.optimizers import Adam, Averaged, Momentum
from sklearn_lossopt.plotting import LossCurveDisplay, SearchDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


class Made(BaseEstimator):
    """A search whose results are given."""

    def __init__(self, estimator=None, cv=None, refit=True, scoring=None):
        self.estimator = GradientRegressor() if estimator is None else estimator
        self.cv = cv
        self.refit = refit
        self.scoring = scoring

    def fit(self, params, score, curves=None, **columns):
        scores = score if isinstance(score, dict) else {"score": score}
        self.cv_results_ = {"params": list(params), **columns}
        self.cv_results_ |= {f"mean_test_{name}": np.array(s) for name, s in scores.items()}
        if curves is not None:
            self.loss_curves_ = curves
        return self


def made(params, score, *args, **given):
    columns = {name: given.pop(name) for name in ("curves", "iter") if name in given}
    return Made(*args, **given).fit(params, score, **columns)


def drawn_texts(display):
    return [[text and text.get_text() for text in row] for row in display.text_]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


@pytest.fixture(scope="module")
def data():
    return make_regression(60, 3, noise=5.0, random_state=0)


@pytest.fixture(scope="module")
def search(data):
    grid = {
        "loss": ["mse", Huber(delta=2), "quantile"],
        "optimizer": ["sgd", Adam(beta_1=0.8)],
        "learning_rate": [1.0, 1e-3, "auto", 0.1],
        "alpha": [1e-3, 1.0],
    }
    model = GradientRegressor(max_iter=3, tol=0, schedule="constant", random_state=0)
    found = GradientSearchCV(model, grid, cv=2, refit=False, scoring="neg_mean_absolute_error")
    found.fit(*data)
    # As if some had ended early.
    random = np.random.default_rng(0)
    found.loss_curves_ = [
        [curve[: random.integers(1, 4)] for curve in curves] for curves in found.loss_curves_
    ]
    return found


def best_by(search, *names, metric="score"):
    """The best mean score of each combination of settings, by pandas."""
    frame = pd.DataFrame(
        {name: [str(params[name]) for params in search.cv_results_["params"]] for name in names}
    )
    frame["score"] = search.cv_results_[f"mean_test_{metric}"]
    return frame.groupby(list(names))["score"].max()


def test_heat_map_is_the_best_of_each_pair(search):
    display = SearchDisplay.from_search(search)
    best = best_by(search, "loss", "optimizer")
    rows, columns = ["mse", "Huber(delta=2)", "quantile"], ["sgd", "Adam(beta_1=0.8)"]
    wanted = [[best[row, column] for column in columns] for row in rows]
    np.testing.assert_array_equal(display.score, wanted)
    np.testing.assert_array_equal(display.im_.get_array(), wanted)
    assert ticks(display.ax_.yaxis) == ["squared_error", "Huber(delta=2)", "quantile"]
    assert ticks(display.ax_.xaxis) == columns
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("optimizer", "loss")
    texts = drawn_texts(display)
    np.testing.assert_allclose(np.array(texts, dtype=float), wanted, rtol=0, atol=0.051)
    bold = [text.get_text() for text in display.text_.flat if text.get_weight() == "bold"]
    row, column = best.idxmax()
    assert bold == [texts[rows.index(row)][columns.index(column)]]
    assert display.figure_.axes[1].get_ylabel() == "Negative mean absolute error"
    assert display.lines_ is display.bands_ is display.level_lines_ is None


def test_heat_map_with_the_opposite_sign(search):
    display = SearchDisplay.from_search(search, negate_score=True, values_format=".1f")
    np.testing.assert_array_equal(display.im_.get_array(), -display.score)
    assert drawn_texts(display) == [[f"{-value:.1f}" for value in row] for row in display.score]
    assert display.figure_.axes[1].get_ylabel() == "Mean absolute error"
    (bold,) = [text for text in display.text_.flat if text.get_weight() == "bold"]
    assert bold.get_text() == f"{-display.score.max():.1f}"


def test_any_two_parameters(search):
    display = SearchDisplay.from_search(search, x="learning_rate", y="alpha")
    best = best_by(search, "alpha", "learning_rate")
    # Numbers in ascending order, then the rest.
    assert display.x_values == [1e-3, 0.1, 1.0, "auto"]
    assert display.y_values == [1e-3, 1.0]
    wanted = [
        [best[str(row), str(column)] for column in display.x_values] for row in display.y_values
    ]
    np.testing.assert_array_equal(display.score, wanted)
    assert ticks(display.ax_.xaxis) == ["0.001", "0.1", "1", "auto"]


def test_several_parameters_combined(search):
    display = SearchDisplay.from_search(search, x="alpha", y=["loss", "optimizer"])
    best = best_by(search, "loss", "optimizer", "alpha")
    rows = [
        (loss, optimizer)
        for loss in ("mse", "Huber(delta=2)", "quantile")
        for optimizer in ("sgd", "Adam(beta_1=0.8)")
    ]
    wanted = [[best[(*row, alpha)] for alpha in ("0.001", "1.0")] for row in rows]
    np.testing.assert_array_equal(display.score, wanted)
    assert display.y_values[0] == "squared_error, sgd"
    assert display.y_values[3] == "Huber(delta=2), Adam(beta_1=0.8)"
    assert display.ax_.get_ylabel() == "loss, optimizer"


def test_sensitivity(search):
    display = SearchDisplay.from_search(search, kind="sensitivity")
    best = best_by(search, "optimizer", "learning_rate")
    names = ["sgd", "Adam(beta_1=0.8)"]
    for name, line, levels in zip(names, display.lines_, display.level_lines_, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1e-3, 0.1, 1.0])
        np.testing.assert_array_equal(
            line.get_ydata(), [best[name, rate] for rate in ("0.001", "0.1", "1.0")]
        )
        assert list(levels) == ["auto"]
        assert set(levels["auto"].get_ydata()) == {best[name, "auto"]}
        assert levels["auto"].get_color() == line.get_color()
        assert levels["auto"].get_linestyle() == "--"
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "learning_rate"
    assert display.ax_.get_ylabel() == "Negative mean absolute error"
    assert legend(display) == [*names, "auto"]
    assert display.im_ is display.text_ is None and len(display.bands_) == 2


def test_loss_curves_of_the_best_candidate_of_each_optimizer(search):
    display = SearchDisplay.from_search(search, kind="loss_curves")
    results = search.cv_results_
    for r, optimizer in enumerate(["sgd", "Adam(beta_1=0.8)"]):
        mine = [str(params["optimizer"]) == optimizer for params in results["params"]]
        best = np.argmax(np.where(mine, results["mean_test_score"], -np.inf))
        curves = pd.concat(map(pd.Series, search.loss_curves_[best]), axis=1).ffill()
        line, band = display.lines_[r], display.bands_[r].get_paths()[0].vertices
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(curves) + 1))
        np.testing.assert_allclose(line.get_ydata(), curves.mean(axis=1), rtol=1e-14)
        for epoch, row in enumerate(curves.to_numpy(), 1):
            inside = band[band[:, 0] == epoch, 1]
            assert (inside.min(), inside.max()) == (row.min(), row.max())
        loss = str(results["params"][best]["loss"]).replace("mse", "squared_error")
        assert legend(display)[r] == f"{optimizer}, {loss}"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Epoch", "Loss")
    assert display.ax_.get_yscale() == "linear"


def test_loss_curves_are_drawn_as_by_loss_curve_display(search):
    display = SearchDisplay.from_search(search, kind="loss_curves", yscale="log")
    lines = [line.get_ydata() for line in display.lines_]
    other = LossCurveDisplay(loss_curve=lines).plot(yscale="log")
    assert display.ax_.get_yscale() == other.ax_.get_yscale() == "log"
    for line, twin in zip(display.lines_, other.lines_, strict=True):
        assert line.get_color() == twin.get_color()
        assert line.get_linestyle() == twin.get_linestyle()


def test_one_display_draws_every_kind(search, closed_figures):
    display = SearchDisplay.from_search(search, x="learning_rate", y="optimizer")
    figure, axes = closed_figures.subplots(1, 3)
    for ax, kind in zip(axes, ("heatmap", "sensitivity", "loss_curves"), strict=True):
        assert display.plot(ax, kind=kind) is display
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert (display.im_ is not None) == (kind == "heatmap")
        assert (display.lines_ is not None) == (kind != "heatmap")
    assert display.plot().im_ is not None


def test_pipeline_and_metrics():
    X, y = make_classification(80, 4, random_state=0)
    model = make_pipeline(StandardScaler(), GradientClassifier(max_iter=2, tol=0))
    spaces = {
        "gradientclassifier__optimizer": ["sgd", "adam"],
        "gradientclassifier__loss": ["log_loss", "hinge"],
        "standardscaler": [StandardScaler(), MinMaxScaler()],
    }
    search = RandomizedSearchCV(
        model,
        spaces,
        n_iter=8,
        cv=2,
        random_state=0,
        scoring=["accuracy", "f1"],
        refit="f1",
    ).fit(X, y)
    names = "gradientclassifier__loss", "gradientclassifier__optimizer"
    for metric, used in [(None, "f1"), ("accuracy", "accuracy")]:
        display = SearchDisplay.from_search(search, metric=metric)
        best = best_by(search, *names, metric=used)
        wanted = [[best[row, column] for column in display.x_values] for row in display.y_values]
        np.testing.assert_array_equal(display.score, wanted)
        assert display.score_name == used
    assert set(display.x_values) == {"sgd", "adam"}
    assert (display.x_name, display.y_name) == ("optimizer", "loss")
    # With the prefix, of another step, and of a step that the candidates replace.
    full = SearchDisplay.from_search(search, x=names[1], y="standardscaler")
    assert set(full.y_values) == {"StandardScaler()", "MinMaxScaler()"}
    assert full.x_name == "optimizer"
    inner = SearchDisplay.from_search(search, y="standardscaler__clip")
    assert inner.y_values == ["False"]
    with pytest.raises(ValueError, match="metric='r2' was not computed by the search, only"):
        SearchDisplay.from_search(search, metric="r2")
    search.refit = False
    with pytest.raises(ValueError, match=r"several metrics.*\['accuracy', 'f1'\]"):
        SearchDisplay.from_search(search)


def test_halving_counts_the_last_iteration(data):
    X, y = np.tile(data[0], (4, 1)), np.tile(data[1], 4)
    model = GradientRegressor(max_iter=2, tol=0, schedule="constant", random_state=0)
    grid = {"optimizer": ["sgd", "adam"], "learning_rate": [1e-3, 1e-2, 0.1, 0.5]}
    search = HalvingGridSearchCV(model, grid, cv=2, factor=2, min_resources=30, random_state=0)
    search.fit(X, y)
    display = SearchDisplay.from_search(search, kind="sensitivity")
    frame = pd.DataFrame(search.cv_results_["params"])
    frame["score"] = search.cv_results_["mean_test_score"]
    frame["iter"] = search.cv_results_["iter"]
    last = frame.sort_values("iter").groupby(["optimizer", "learning_rate"])["score"].last()
    for r, optimizer in enumerate(display.y_values):
        np.testing.assert_array_equal(display.score[r], last[optimizer])


def test_halving_prefers_who_got_further():
    params = [{"loss": "huber", "alpha": a} for a in (0.1, 0.2, 0.3, 0.1)]
    search = made(params, [0.7, 0.9, np.nan, 0.5], iter=np.array([0, 0, 0, 1]))
    np.testing.assert_array_equal(SearchDisplay.from_search(search).score, [[0.5]])


@pytest.mark.parametrize(
    "params, rows, columns",
    [
        ([{"loss": "mae"}, {"loss": "huber"}], ["absolute_error", "huber"], ["Adam(beta_1=0.8)"]),
        (
            [{"optimizer": "gd"}, {"optimizer": "asgd"}],
            ["Huber(delta=2)"],
            ["gradient_descent", "averaged"],
        ),
    ],
)
def test_what_was_not_searched_is_the_estimators_own(params, rows, columns):
    model = GradientRegressor(loss=Huber(delta=2), optimizer=Adam(beta_1=0.8))
    display = SearchDisplay.from_search(made(params, [1.0, 2.0], model))
    assert (display.y_values, display.x_values) == (rows, columns)
    assert sorted(display.score.ravel()) == [1.0, 2.0]


class Mine(SquaredError):
    """A subclass, which inherits the name but is not what that stands for."""


@pytest.mark.parametrize(
    "name, value, label",
    [
        ("loss", SquaredError(), "squared_error"),
        ("loss", Quantile(quantile=0.9), "Quantile(quantile=0.9)"),
        ("loss", Mine(), "Mine()"),
        ("loss", "unheard_of", "unheard_of"),
        ("optimizer", Momentum(nesterov=True), "nesterov"),
        ("optimizer", "nesterov", "nesterov"),
        ("optimizer", Averaged(optimizer=Adam(beta_1=0.8)), "Averaged(optimizer=Adam(beta_1=0.8))"),
        ("schedule", None, "None"),
        ("shuffle", np.False_, "False"),
        ("batch_size", np.int64(32), 32),
        ("hidden_layer_sizes", (8, 4), "(8, 4)"),
        ("scoring", len, "len"),
    ],
)
def test_labels(name, value, label):
    search = made([{name: value, "alpha": a} for a in (0.1, 0.2)], [1.0, 2.0])
    display = SearchDisplay.from_search(search, x="alpha", y=name)
    assert display.y_values == [label]
    assert ticks(display.ax_.yaxis) == [str(label)]


def test_spellings_of_one_setting_share_a_cell():
    losses = ["huber", Huber(), Huber(delta=2), clone(Huber(delta=2))]
    search = made([{"loss": loss} for loss in losses], [1.0, 4.0, 3.0, 2.0])
    display = SearchDisplay.from_search(search)
    assert display.y_values == ["huber", "Huber(delta=2)"]
    np.testing.assert_array_equal(display.score, [[4.0], [3.0]])


def test_parameters_inside_of_components():
    params = [
        {"loss": "huber", "loss__delta": 1.0},
        {"loss": "huber", "loss__delta": 3.0},
        {"loss": Huber(delta=2.0)},
        {"loss": "mse"},
    ]
    search = made(params, [1.0, 2.0, 3.0, 4.0], GradientRegressor(loss=Huber(delta=9.0)))
    # Those that were searched are among what the best is taken over.
    display = SearchDisplay.from_search(search)
    assert display.y_values == ["huber", "Huber(delta=2.0)", "squared_error"]
    np.testing.assert_array_equal(display.score, [[2.0], [3.0], [4.0]])
    # Candidates without the parameter have no place.
    display = SearchDisplay.from_search(search, x="loss__delta", y="alpha", kind="sensitivity")
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1.0, 3.0, 2.0])


def test_failed_and_missing_cells():
    params = [
        {"loss": loss, "optimizer": optimizer}
        for loss, optimizer in [
            ("huber", "sgd"),
            ("huber", "adam"),
            ("quantile", "adam"),
            ("quantile", "adam"),
        ]
    ]
    search = made(params, [0.5, np.nan, np.nan, 0.25])
    display = SearchDisplay.from_search(search)
    np.testing.assert_array_equal(display.score, [[0.5, np.nan], [np.nan, 0.25]])
    np.testing.assert_array_equal(display.failed, [[False, True], [False, False]])
    assert drawn_texts(display) == [["0.500", "failed"], [None, "0.250"]]
    (hatched,) = display.ax_.patches
    assert hatched.get_xy() == (0.5, -0.5)


def test_all_failed():
    search = made([{"loss": "huber"}] * 2, [np.nan] * 2, curves=[[None], [None]])
    assert drawn_texts(SearchDisplay.from_search(search)) == [["failed"]]
    with pytest.raises(ValueError, match="all fits failed"):
        SearchDisplay.from_search(search, kind="loss_curves")


def test_failed_rates_are_crosses_and_gaps_are_bridged():
    params = [
        {"optimizer": o, "learning_rate": r}
        for o, r in [
            ("sgd", 0.1),
            ("sgd", 1.0),
            ("sgd", 10.0),
            ("adam", 0.1),
            ("adam", 10.0),
        ]
    ]
    display = SearchDisplay.from_search(
        made(params, [1.0, np.nan, np.nan, 2.0, 3.0]), kind="sensitivity"
    )
    sgd, adam = display.lines_
    np.testing.assert_array_equal(sgd.get_ydata(), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(adam.get_xdata(), [0.1, 10.0])
    # On axes of their own, not at a score.
    (crosses,) = [line for line in display.rug_ax_.lines if line.get_marker() == "x"]
    assert display.rug_ax_.get_position().y1 <= display.ax_.get_position().y0
    assert [text.get_text() for text in display.rug_ax_.get_yticklabels()] == ["failed"]
    assert display.rug_ax_.get_xlabel() == "learning_rate"
    np.testing.assert_array_equal(crosses.get_xdata(), [1.0, 10.0])
    assert crosses.get_color() == sgd.get_color()
    assert legend(display) == ["sgd", "adam"]


def test_scale_of_rates_with_zero():
    search = made([{"alpha": a} for a in (0.0, 0.1)], [1.0, 2.0])
    display = SearchDisplay.from_search(search, kind="sensitivity", x="alpha")
    assert display.ax_.get_xscale() == "linear"
    with pytest.raises(ValueError, match="positive numbers, and alpha has 0"):
        SearchDisplay.from_search(search, kind="sensitivity", x="alpha", xscale="log")


def test_failed_splits_and_rows_have_no_curve():
    params = [{"optimizer": o} for o in ("sgd", "adam", "rmsprop")]
    curves = [[np.array([2.0, 1.0]), None], [None, None], [np.array([3.0]), np.array([5.0, 1.0])]]
    search = made(params, [1.0, np.nan, 2.0], curves=curves)
    display = SearchDisplay.from_search(search, kind="loss_curves")
    first, none, last = display.lines_
    np.testing.assert_array_equal(first.get_ydata(), [2.0, 1.0])
    np.testing.assert_array_equal(last.get_ydata(), [4.0, 2.0])
    assert none is display.bands_[1] is None
    # One loss only: nothing to tell apart.
    assert legend(display) == ["sgd", "rmsprop"]


def test_scores_far_off_share_a_colour():
    score = [[1.0, 0.9, 0.8, -1e6]]
    display = SearchDisplay(score=score, x_values=[*"abcd"], y_values=["y"]).plot()
    # Median 0.85, best 1.
    np.testing.assert_allclose(display.im_.get_clim(), (0.85 - 3 * 0.15, 1.0))
    assert drawn_texts(display)[0][3] == "-1000000.000"
    display.plot(negate_score=True)
    np.testing.assert_allclose(display.im_.get_clim(), (-1.0, -0.4))
    display.plot(image_kwargs={"vmin": -2.0, "vmax": 2.0, "cmap": "magma"})
    assert display.im_.get_clim() == (-2.0, 2.0)
    assert display.im_.get_cmap().name == "magma"
    display.x_values = [0.1, 1.0, 10.0, 100.0]
    low, high = display.plot(kind="sensitivity").ax_.get_ylim()
    assert 0.3 < low < 0.4 and 1.0 < high < 1.1


@pytest.mark.parametrize(
    "score, text",
    [
        (0.95678, "0.957"),
        (-44.25, "-44.2"),
        (3025.4, "3025"),
        (0.0, "0.00"),
        (1.234e-9, "1.23e-09"),
    ],
)
def test_digits(score, text):
    display = SearchDisplay(score=[[score]], x_values=["x"], y_values=["y"]).plot()
    assert drawn_texts(display) == [[text]]


def test_numbers_that_three_digits_do_not_tell_apart():
    display = SearchDisplay(score=[[1.0, 2.0]], x_values=[0.12341, 0.12342], y_values=["y"]).plot()
    assert ticks(display.ax_.xaxis) == ["0.12341", "0.12342"]


def test_styles(search):
    display = SearchDisplay.from_search(search, text_kwargs={"size": 5}, colorbar=False)
    assert {text.get_size() for text in display.text_.flat} == {5}
    assert display.figure_.axes == [display.ax_]
    styles = [{"c": "red"}, {"color": "blue", "lw": 3}]
    display = SearchDisplay.from_search(search, kind="sensitivity", curve_kwargs=styles)
    assert [line.get_color() for line in display.lines_] == ["red", "blue"]
    display = SearchDisplay.from_search(
        search, kind="loss_curves", curve_kwargs=styles, band_kwargs={"alpha": 0.5}
    )
    assert [line.get_linewidth() for line in display.lines_][1] == 3
    assert [band.get_alpha() for band in display.bands_] == [0.5, 0.5]
    many = SearchDisplay(score=np.eye(12), x_values=range(1, 13), y_values=[*"abcdefghijkl"])
    assert len({line.get_color() for line in many.plot(kind="sensitivity").lines_}) == 12


def test_parameters_are_attributes():
    given = dict(
        score=[[1.0]],
        x_values=["x"],
        y_values=["y"],
        x_name="a",
        y_name="b",
        failed=[[False]],
        score_name="r2",
        spread=[[0.1]],
        loss_curves=[[[[1.0]]]],
        kind="sensitivity",
    )
    assert vars(SearchDisplay(**given)) == given


@pytest.mark.parametrize(
    "given, message",
    [
        ({"kind": "bars"}, "kind must be one of .*'heatmap'.* Got 'bars'"),
        ({"x": "momentum"}, "No candidate of the Made has a parameter 'momentum'.*'loss', 'alpha'"),
        ({"x": "loss"}, "must be different parameters"),
        ({"x": []}, "x must name one or several parameters"),
        ({"y": 3}, "y must name one or several parameters"),
        ({"x": "optimizer", "y": "tol"}, "did not search 'tol' or 'optimizer'.*'loss', 'alpha'"),
        ({"kind": "sensitivity"}, "did not search 'learning_rate'"),
        ({"kind": "sensitivity", "x": "loss"}, "None of the settings of loss is a number"),
        ({"kind": "loss_curves"}, "Made has no loss_curves_: .*GradientSearchCV"),
        ({"xscale": "log"}, "xscale is no argument of kind='heatmap'"),
        ({"kind": "sensitivity", "x": "alpha", "xscale": "lin"}, "xscale must be one of .*'log'"),
        ({"kind": "sensitivity", "x": "alpha", "colorbar": True}, "colorbar is no argument"),
        ({"kind": "sensitivity", "x": "alpha", "curve_kwargs": [{}] * 3}, "3 entries for 1 curves"),
        ({"metric": "r2"}, "metric='r2' was not computed"),
    ],
)
def test_errors(given, message, closed_figures):
    search = made([{"loss": "huber", "alpha": 0.1}, {"loss": "mse", "alpha": 1.0}], [1.0, 2.0])
    with pytest.raises(ValueError, match=message):
        SearchDisplay.from_search(search, **given)
    # What cannot be drawn leaves no empty figure.
    assert not closed_figures.get_fignums()


def test_curves_that_are_not_positive(closed_figures):
    search = made([{"loss": "huber"}], [1.0], curves=[[[1.0, -1.0], [5.0, 5.0]]])
    with pytest.raises(ValueError, match="reach -1"):
        SearchDisplay.from_search(search, kind="loss_curves", yscale="log")
    assert not closed_figures.get_fignums()


def test_searches_that_are_none_or_not_fitted():
    with pytest.raises(NotFittedError, match="GridSearchCV instance is not fitted"):
        SearchDisplay.from_search(GridSearchCV(GradientRegressor(), {"alpha": [1.0]}))
    with pytest.raises(TypeError, match=r"a fitted search such as GridSearchCV.*SGDRegressor"):
        SearchDisplay.from_search(SGDRegressor())


def test_tables_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \(1, 2\), but there are 1 y_values and 1 x_"):
        SearchDisplay(score=[[1.0, 2.0]], x_values=["a"], y_values=["b"]).plot()


def test_without_matplotlib(monkeypatch, search):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"SearchDisplay\.from_search requires matplotlib"):
        SearchDisplay.from_search(search)
    with pytest.raises(ImportError, match=r"SearchDisplay\.plot requires matplotlib"):
        SearchDisplay(score=[[1.0]], x_values=["x"], y_values=["y"]).plot()


def test_scores_beyond_the_axes_are_marked():
    rates = [1e-4, 1e-3, 1e-2, 1e-1]
    params = [{"optimizer": "sgd", "learning_rate": rate} for rate in rates]
    scores = [-50.0, 0.8, 0.9, 0.85]
    display = SearchDisplay.from_search(made(params, scores), kind="sensitivity")
    low = display.ax_.get_ylim()[0]
    assert scores[0] < low < min(scores[1:])
    (mark,) = [line for line in display.ax_.lines if line.get_marker() == "v"]
    np.testing.assert_array_equal(mark.get_xdata(), [1e-4])
    assert mark.get_color() == display.lines_[0].get_color() and display.rug_ax_ is None
    errors = SearchDisplay.from_search(made(params, scores), kind="sensitivity", negate_score=True)
    assert [line for line in errors.ax_.lines if line.get_marker() == "^"]


def test_bands_are_deviations_over_the_folds():
    X, y = make_regression(60, 3, noise=5.0, random_state=0)
    grid = {"alpha": [1e-3, 1.0, 10.0], "optimizer": ["sgd", "adam"]}
    search = GridSearchCV(GradientRegressor(random_state=0), grid, cv=3).fit(X, y)
    display = SearchDisplay.from_search(search, kind="sensitivity", x="alpha")
    frame = pd.DataFrame(search.cv_results_)
    wide = frame.pivot(index="param_optimizer", columns="param_alpha", values="std_test_score")
    np.testing.assert_array_equal(display.spread, wide.loc[display.y_values, display.x_values])
    for r, band in enumerate(display.bands_):
        vertices = band.get_paths()[0].vertices
        for c, alpha in enumerate(display.x_values):
            there = vertices[np.isclose(vertices[:, 0], alpha), 1]
            middle, half = display.score[r, c], display.spread[r, c]
            assert there.min() == pytest.approx(middle - half)
            assert there.max() == pytest.approx(middle + half)


def test_the_colour_bar_names_the_default_score():
    for estimator, name, label in [
        (GradientRegressor(), "r2", "R2"), (GradientClassifier(), "accuracy", "Accuracy"),
    ]:  # fmt: skip
        params = [{"optimizer": "sgd", "loss": loss} for loss in ("a", "b")]
        display = SearchDisplay.from_search(made(params, [1.0, 2.0], estimator))
        assert display.score_name == name
        assert display.figure_.axes[-1].get_ylabel() == label


def test_equal_cells_say_why():
    params = [
        {"loss": loss, "optimizer": optimizer}
        for loss in ("squared_error", "huber") for optimizer in ("sgd", "adam")
    ]  # fmt: skip
    same = SearchDisplay.from_search(made(params, [0.51, 0.51, 0.48, 0.47]))
    assert same.note_.get_text() == "equal numbers: one optimum, whatever the optimizer"
    turned = SearchDisplay.from_search(
        made(params, [0.51, 0.51, 0.48, 0.47]), x="loss", y="optimizer"
    )
    assert turned.note_.get_text() == same.note_.get_text()
    assert SearchDisplay.from_search(made(params, [0.51, 0.52, 0.48, 0.47])).note_ is None
    # Equal scores of different losses are no one optimum.
    assert SearchDisplay.from_search(made(params, [0.51, 0.52, 0.51, 0.53])).note_ is None
