"""Displays of losses, paths, coefficients, schedules and lift: the numbers that they draw."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from catalogue import POSITIVE_TARGETS
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.linear_model import Lasso, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses, trace
from sklearn_lossopt.losses import Huber, RegressionLoss
from sklearn_lossopt.plotting import (
    CoefficientPathDisplay,
    LiftDisplay,
    LossDisplay,
    OptimizerPathDisplay,
    ScheduleDisplay,
    coef_table,
)

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) * [1.0, 2.0, 10.0]
    return X, X @ [3.0, -1.0, 0.02] + 1 + rng.normal(size=80)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# -- losses ---------------------------------------------------------------------------------


def test_shapes_of_regression_losses():
    names = ["squared_error", "huber", "absolute_error", "poisson"]
    display = LossDisplay.from_losses(names)
    r = display.at
    delta = 1.345
    with np.errstate(divide="ignore", invalid="ignore"):
        poisson = np.where(r < 1, -np.log(1 - r) + (1 - r) - 1, np.nan)
    expected = [
        r**2 / 2,
        np.where(abs(r) <= delta, r**2 / 2, delta * abs(r) - delta**2 / 2),
        abs(r),
        poisson,
    ]
    np.testing.assert_allclose(display.value, expected, atol=1e-12)
    for line, value in zip(display.lines_, expected, strict=True):
        np.testing.assert_allclose(line.get_ydata(), value, atol=1e-12)
    assert labels(display.derivative_ax_) == ["squared_error", "Huber(delta=1.345)", *names[2:]]
    assert "Residual" in display.ax_.get_xlabel()


def test_shapes_of_margin_losses():
    display = LossDisplay.from_losses({"a": "hinge", "b": "log_loss", "c": "squared_error"})
    m = display.at
    expected = [np.maximum(0, 1 - m), np.log1p(np.exp(-m)), (1 - m) ** 2 / 2]
    np.testing.assert_allclose(display.value, expected, atol=1e-12)
    assert display.kind == "classification" and display.name == ["a", "b", "c"]
    assert "Margin" in display.ax_.get_xlabel()


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_derivatives_are_slopes_of_what_is_drawn(kind):
    names = [name for name, loss in losses.registry().items() if getattr(loss, kind)]
    display = LossDisplay.from_losses(names, kind=kind)
    for name, value, slope in zip(names, display.value, display.derivative, strict=True):
        # Not at breakpoints, and not where the slope of a deviance grows without bounds.
        by_differences, at = np.gradient(value, display.at), display.at
        steady = np.abs(np.gradient(by_differences, at)) < 20
        steady &= np.isfinite(value) & np.isfinite(by_differences)
        if name in POSITIVE_TARGETS:
            steady &= at < 0.5
        assert steady.sum() > 300
        np.testing.assert_allclose(by_differences[steady], slope[steady], rtol=0.02, atol=0.05)


class Cubic(RegressionLoss):
    """A user's own."""

    def loss_gradient(self, y, raw):
        return abs(raw - y) ** 3, 3 * (raw - y) * abs(raw - y)


def test_losses_of_a_users_own():
    display = LossDisplay.from_losses([Cubic(), Huber(delta=0.5)], limits=(-1, 2), derivative=False)
    np.testing.assert_allclose(display.value[0], abs(display.at) ** 3)
    assert display.at[[0, -1]].tolist() == [-1, 2] and display.derivative_ax_ is None
    assert display.name == ["Cubic()", "Huber(delta=0.5)"] and display.derivative_lines_ == []


def test_loss_display_refuses(closed_figures):
    with pytest.raises(ValueError, match="hinge is not a regression loss"):
        LossDisplay.from_losses(["hinge"], kind="regression")
    with pytest.raises(ValueError, match="absolute_error is not a classification loss"):
        LossDisplay.from_losses(["hinge", "absolute_error"])
    with pytest.raises(ValueError, match=r"kind must be one of.*'ranking'"):
        LossDisplay.from_losses(["hinge"], kind="ranking")
    with pytest.raises(ValueError, match="two ascending numbers"):
        LossDisplay.from_losses(["hinge"], limits=(1, 0))
    with pytest.raises(ValueError, match="losses is empty"):
        LossDisplay.from_losses([])
    axes = closed_figures.subplots(1, 2)[1]
    display = LossDisplay.from_losses(["hinge"], ax=axes)
    assert display.ax_ is axes[0] and display.derivative_ax_ is axes[1]


# -- paths ----------------------------------------------------------------------------------

TEXTBOOK = dict(precondition=False, schedule="constant", tol=0, max_iter=10, random_state=0)


def textbook(optimizer, rate, **parameters):
    return GradientRegressor(
        optimizer=optimizer, learning_rate=rate, **(TEXTBOOK | parameters), alpha=0.1
    )


def test_paths_are_traces_on_the_contours_of_the_objective(data):
    X, y = data[0][:, :2], data[1]
    estimators = {"gd": textbook("gradient_descent", 0.1), "adam": textbook("adam", 0.3)}
    display = OptimizerPathDisplay.from_estimators(estimators, X, y, n_grid=7)
    for r, model in enumerate(estimators.values()):
        steps = trace(model, X, y)
        np.testing.assert_array_equal(display.first[r], steps.coef[:, 0])
        np.testing.assert_array_equal(display.lines_[r].get_ydata(), steps.coef[:, 1])
        np.testing.assert_array_equal(display.objective[r], steps.objective)
    ridge = Ridge(alpha=0.1 * 80).fit(X, y)
    np.testing.assert_allclose(display.optimum[:2], ridge.coef_, rtol=1e-4)
    for r, second in enumerate(display.second_grid):
        for c, first in enumerate(display.first_grid):
            residual = y - X @ [first, second] - ridge.intercept_
            value = np.mean(residual**2) / 2 + 0.05 * (first**2 + second**2)
            assert display.surface[r, c] == pytest.approx(value, rel=1e-5)
    assert display.surface.min() >= display.optimum[2]
    assert labels(display.ax_) == ["gd", "adam", "start", "optimum"]
    assert display.start_.get_xydata().tolist() == [[0.0, 0.0]]
    levels = np.diff(np.log(display.contours_.levels))
    np.testing.assert_allclose(levels, levels[0])


def test_a_diverging_path_is_drawn_until_it_leaves(data):
    X, y = data[0][:, :2], data[1]
    estimators = [textbook("sgd", 0.1), textbook("sgd", 2.0, batch_size=80, max_iter=30)]
    display = OptimizerPathDisplay.from_estimators(estimators, X, y)
    assert display.diverged == [False, True]
    line = display.lines_[1].get_xydata()
    assert 1 < len(line) < len(display.first[1])
    (left, right), (bottom, top) = display.ax_.get_xlim(), display.ax_.get_ylim()
    inside = (line >= [left, bottom]).all(axis=1) & (line <= [right, top]).all(axis=1)
    assert inside[:-1].all() and not inside[-1]
    assert labels(display.ax_)[1].endswith("(diverges)")
    # Where all diverge there is still something to see.
    alone = OptimizerPathDisplay.from_estimators([estimators[1]], X, y)
    assert len(alone.lines_[0].get_xdata()) > 1


def test_paths_over_named_features_and_the_intercept(data):
    X = pd.DataFrame(data[0], columns=["a", "b", "c"])
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), textbook("sgd", 0.1))
    display = OptimizerPathDisplay.from_estimators(
        {"sgd": model}, X, data[1], features=("intercept", "c"), every="epoch"
    )
    steps = trace(model, X, data[1], every="epoch")
    np.testing.assert_array_equal(display.first[0], steps.intercept)
    np.testing.assert_array_equal(display.second[0], steps.coef[:, 2])
    assert display.parameter_names == ("intercept_", "coefficient of c")


def test_path_of_a_classifier_over_sparse_rows(data):
    X, y = sparse.csr_array(data[0]), data[1] > 0
    model = GradientClassifier("hinge", "adam", random_state=0)
    display = OptimizerPathDisplay.from_estimators({"adam": model}, X, y, n_grid=5)
    steps = trace(model, X, y)
    np.testing.assert_array_equal(display.second[0], steps.coef[:, 0, 1])


def test_contours_with_the_other_parameters_free(data):
    """Other columns explain what the two that are given leave of y."""
    X, y, weight = *data, np.arange(80) % 3 + 0.5
    shares = weight / weight.sum()
    cases = [
        ((0, 2), dict(alpha=0.1), lambda: Ridge(alpha=0.1 * weight.sum())),
        ((0, 2), dict(alpha=0.4, l1_ratio=1.0), lambda: Lasso(alpha=0.4, tol=1e-12)),
        (
            ("intercept", 1),
            dict(alpha=0.1),
            lambda: Ridge(alpha=0.1 * weight.sum(), fit_intercept=False),
        ),
    ]
    for features, params, other in cases:
        model = textbook("sgd", 0.1).set_params(**params)
        draw = OptimizerPathDisplay.from_estimators
        display = draw(
            [model], X, y, features=features, others="free", n_grid=4, sample_weight=weight
        )
        given = np.column_stack([X, np.ones(80)])
        given = given[:, [3 if f == "intercept" else f for f in features]]
        rest = np.delete(X, [f for f in features if f != "intercept"], axis=1)
        ratio, alpha = params.get("l1_ratio", 0), params["alpha"]

        def penalty(w, ratio=ratio, alpha=alpha):
            return alpha * ((1 - ratio) / 2 * np.sum(np.square(w)) + ratio * np.abs(w).sum())

        for r, second in enumerate(display.second_grid):
            for c, first in enumerate(display.first_grid):
                left = y - given @ [first, second]
                fit = other().fit(rest, left, sample_weight=weight)
                value = shares @ (left - fit.predict(rest)) ** 2 / 2 + penalty(fit.coef_)
                value += penalty([second] if features[0] == "intercept" else [first, second])
                assert display.surface[r, c] == pytest.approx(value, rel=1e-8)
        assert display.surface.min() >= display.optimum[2] * (1 - 1e-9)
        # Points of a path lie above the least that their two parameters allow.
        steps = trace(model, X, y, weight)
        fixed = draw([model], X, y, features=features, n_grid=4, sample_weight=weight)
        assert (fixed.surface >= display.surface * (1 - 1e-9)).all()
        np.testing.assert_array_equal(display.objective[0], steps.objective)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge"])
def test_free_parameters_of_a_classifier(data, loss):
    X, y = data[0], np.where(data[1] > 0, 1.0, -1.0)
    model = GradientClassifier(loss, alpha=0.01, random_state=0)
    display = OptimizerPathDisplay.from_estimators([model], X, y, others="free", n_grid=3)

    def objective(free, first, second):
        w = np.array([first, second, free[0]])
        z = y * (X @ w + free[1])
        value = np.log1p(np.exp(-z)) if loss == "log_loss" else np.maximum(0, 1 - z) ** 2
        return value.mean() + 0.005 * w @ w

    for r, second in enumerate(display.second_grid):
        for c, first in enumerate(display.first_grid):
            least = minimize(objective, np.zeros(2), (first, second), tol=1e-9).fun
            assert display.surface[r, c] == pytest.approx(least, rel=1e-7)
    sparse_rows = OptimizerPathDisplay.from_estimators(
        [model], sparse.csr_array(X), y, others="free", n_grid=3
    )
    found = trace(model, X, y).plane(
        (0, 1), sparse_rows.first_grid, sparse_rows.second_grid, np.zeros(3), 0.0, others="free"
    )
    np.testing.assert_allclose(sparse_rows.surface, found, rtol=1e-7)


def test_nothing_is_free_where_two_parameters_are_all(data):
    models = [textbook("sgd", 0.1, fit_intercept=False)]
    draw = OptimizerPathDisplay.from_estimators
    free = draw(models, data[0][:, :2], data[1], others="free", n_grid=5)
    fixed = draw(models, data[0][:, :2], data[1], n_grid=5)
    np.testing.assert_allclose(free.surface, fixed.surface, rtol=1e-12)


def test_free_parameters_are_refused(data, closed_figures):
    draw = OptimizerPathDisplay.from_estimators
    with pytest.raises(ValueError, match=r"smooth loss, and 'absolute_error' has kinks"):
        draw([GradientRegressor("absolute_error")], *data, others="free")
    with pytest.raises(ValueError, match=r"others must be one of \['fixed', 'free'\]. Got 'best'"):
        draw([GradientRegressor()], *data, others="best")
    with pytest.raises(ValueError, match=r"others must be one of .* Got 'best'"):
        trace(GradientRegressor(), *data).plane((0, 1), [0], [0], np.zeros(3), 0, others="best")
    assert not closed_figures.get_fignums()


def test_paths_of_one_objective_only(data):
    draw = OptimizerPathDisplay.from_estimators
    with pytest.raises(ValueError, match=r"alpha=1, and a has 0\.1"):
        draw({"a": textbook("sgd", 0.1), "b": textbook("sgd", 0.1).set_params(alpha=1)}, *data)
    with pytest.raises(ValueError, match="linear models"):
        draw([GradientRegressor(hidden_layer_sizes=(3,))], *data)
    with pytest.raises(ValueError, match="one output"):
        draw([GradientClassifier(random_state=0)], data[0], np.arange(80) % 3)
    for features, message in [
        ((0, 0), "two different"), ((0, 5), "3 columns"), ((0, "z"), "no feature's name"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            draw([textbook("sgd", 0.1)], *data, features=features)
    with pytest.raises(ValueError, match="estimators is empty"):
        draw({}, *data)


# -- coefficients ---------------------------------------------------------------------------


def test_coefficients_by_alpha(data):
    X, y = pd.DataFrame(data[0], columns=["a", "b", "c"]), data[1]
    model, alphas = GradientRegressor(random_state=0), [10.0, 0.1, 1.0]
    display = CoefficientPathDisplay.from_estimator(model, X, y, alphas=alphas)
    expected = [Ridge(alpha=80 * alpha).fit(X, y).coef_ for alpha in sorted(alphas)]
    np.testing.assert_array_equal(display.alpha, sorted(alphas))
    np.testing.assert_allclose(display.coef, expected * np.std(data[0], axis=0), rtol=1e-3)
    assert labels(display.ax_) == display.feature_names == ["a", "b", "c"]
    assert "deviation" in display.ax_.get_ylabel()
    fits = [clone(model).set_params(alpha=alpha).fit(X, y) for alpha in alphas]
    raw = CoefficientPathDisplay.from_estimators(fits)
    np.testing.assert_allclose(raw.coef * np.std(data[0], axis=0), display.coef)
    scaled = make_pipeline(StandardScaler(), Ridge())
    piped = CoefficientPathDisplay.from_estimator(scaled, X, y, alphas=[1.0])
    np.testing.assert_allclose(piped.coef[0], scaled.fit(X, y)[-1].coef_)
    sparse_rows = CoefficientPathDisplay.from_estimator(
        model, sparse.csr_array(data[0]), y, alphas=alphas
    )
    np.testing.assert_allclose(sparse_rows.coef, display.coef, rtol=1e-3)


def test_coefficients_of_a_search(data):
    pipeline = make_pipeline(StandardScaler(), GradientRegressor(random_state=0))
    grid = {"gradientregressor__alpha": [1.0, 1e-3], "gradientregressor__l1_ratio": [0.0, 0.5]}
    search = GridSearchCV(pipeline, grid).fit(*data)
    display = CoefficientPathDisplay.from_search(search, *data)
    np.testing.assert_array_equal(display.alpha, [1e-3, 1.0])
    best = search.best_params_["gradientregressor__alpha"]
    assert display.best_alpha == best and set(display.best_line_.get_xdata()) == {best}
    row = display.coef[list(display.alpha).index(best)]
    np.testing.assert_allclose(row, search.best_estimator_[-1].coef_)
    assert len(display.lines_) == 3 == len(labels(display.ax_)) - 1
    other = GridSearchCV(Ridge(), {"fit_intercept": [True]}).fit(*data)
    with pytest.raises(ValueError, match="did not search 'alpha'"):
        CoefficientPathDisplay.from_search(other, *data)


def test_coefficient_table(data, monkeypatch):
    X, y = pd.DataFrame(data[0], columns=["a", "b", "c"]), data[1]
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(X, y)
    table = coef_table(pipeline)
    coef = pipeline[-1].coef_
    order = np.argsort(-abs(coef))
    assert list(table.index) == [*np.array(["a", "b", "c"])[order], "intercept"]
    np.testing.assert_array_equal(table["coefficient"][:3], coef[order])
    assert table["coefficient"]["intercept"] == pipeline[-1].intercept_
    classifier = GradientClassifier(random_state=0).fit(data[0], np.array(list("xyz" * 26 + "xy")))
    table = coef_table(classifier, feature_names=["p", "q", "r"])
    assert list(table.columns) == ["x", "y", "z"]
    np.testing.assert_array_equal(table.loc["q"], classifier.coef_[:, 1])
    np.testing.assert_array_equal(table.loc["intercept"], classifier.intercept_)
    model = GradientRegressor(l1_ratio=0.5).fit(*data).sparsify()
    with monkeypatch.context() as without:
        without.setitem(__import__("sys").modules, "pandas", None)
        plain = coef_table(model)
    assert set(plain["feature"]) == {"x0", "x1", "x2", "intercept"}
    with pytest.raises(ValueError, match="2 entries for 3"):
        coef_table(pipeline, ["a", "b"])
    with pytest.raises(ValueError, match="only linear models"):
        coef_table(GradientRegressor(hidden_layer_sizes=(3,), max_iter=2).fit(*data))


# -- schedules ------------------------------------------------------------------------------


def test_schedules_by_their_formulas():
    given = {"a": "constant", "b": "cosine", "c": "invscaling"}
    display = ScheduleDisplay.from_schedules(
        given, learning_rate=2.0, max_iter=5, steps_per_epoch=4
    )
    step = np.arange(20)
    np.testing.assert_array_equal(display.epoch[0], step / 4)
    np.testing.assert_allclose(display.learning_rate[0], 2.0)
    np.testing.assert_allclose(display.learning_rate[1], 1 + np.cos(np.pi * step / 20), atol=1e-12)
    np.testing.assert_allclose(display.lines_[2].get_ydata(), 2 / np.sqrt(step + 1))
    assert display.objective_ax_ is None and labels(display.ax_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="plateau depends on the objective"):
        ScheduleDisplay.from_schedules(["plateau"])


def test_schedules_of_fits(data):
    models = [textbook("sgd", 0.01).set_params(schedule=name) for name in ("cosine", "plateau")]
    display = ScheduleDisplay.from_estimators(models, *data, yscale="log")
    for r, model in enumerate(models):
        steps = trace(model, *data, every="epoch")
        np.testing.assert_array_equal(display.lines_[r].get_ydata(), steps.learning_rate)
        np.testing.assert_array_equal(display.objective_lines_[r].get_ydata(), steps.objective)
    assert display.objective_ax_.get_yscale() == "log"
    assert labels(display.ax_) == ["schedule='cosine'", "schedule='plateau'"]


# -- lift -----------------------------------------------------------------------------------


def test_lift_in_bins_of_equal_weight():
    rng = np.random.default_rng(1)
    y, prediction, weight = rng.gamma(2, size=40), rng.permutation(40) + 1.0, rng.integers(1, 4, 40)
    display = LiftDisplay.from_predictions(y, prediction, sample_weight=weight, n_bins=4)
    # Weights as repeated rows, which cuts then fall between.
    n = 4 * weight.sum()
    order = np.argsort(prediction)
    for found, values in ((display.observed, y), (display.predicted, prediction)):
        repeated = np.repeat(values[order], 4 * weight[order])
        np.testing.assert_allclose(found, repeated.reshape(4, n // 4).mean(axis=1))
    np.testing.assert_array_equal(display.observed_line_.get_ydata(), display.observed)


def test_lift_of_a_calibrated_model(data):
    X, y = data[0], np.abs(data[1])
    model = PoissonRegressor(alpha=0).fit(X, y)
    display = LiftDisplay.from_estimator(model, X, y, n_bins=5)
    # The means of a Poisson model with an intercept agree.
    assert np.mean(display.observed) == pytest.approx(np.mean(display.predicted), rel=1e-4)
    assert (np.diff(display.predicted) > 0).all()
    assert labels(display.ax_) == ["observed", "predicted, PoissonRegressor"]
    constant = LiftDisplay.from_predictions(y, np.ones(80), n_bins=3)
    np.testing.assert_allclose(constant.observed, y.mean())
    with pytest.raises(ValueError, match="n_bins must be from 1 to 80"):
        LiftDisplay.from_estimator(model, X, y, n_bins=81)
    with pytest.raises(ValueError, match="one number per row"):
        LiftDisplay.from_predictions(np.ones((4, 2)), np.ones((4, 2)))


# -- long names, many curves, few points ----------------------------------------------------


def test_legends_and_labels_break_long_names(data):
    names = ["an estimator whose name says a lot about its many parameters", "x" * 90, "short"]
    X = pd.DataFrame(
        data[0], columns=["c" * 70, "a column of a name of some fifty letters or more", "b"]
    )
    display = OptimizerPathDisplay.from_estimators(
        {name: textbook("adam", 0.1) for name in names}, X, data[1], features=tuple(X.columns[:2])
    )
    assert [line.get_label() for line in display.lines_] == names
    for text, name in zip(labels(display.ax_), names, strict=False):
        assert max(map(len, text.split("\n"))) <= 40
        assert text.replace("\n", "").replace(" ", "") == name.replace(" ", "")
    for label in (display.ax_.get_xlabel(), display.ax_.get_ylabel()):
        assert max(map(len, label.split("\n"))) <= 48
    # The legend is beside the axes, within the figure, and leaves them room.
    display.figure_.canvas.draw()
    axes, legend = (
        part.get_window_extent().transformed(display.figure_.transFigure.inverted())
        for part in (display.ax_, display.ax_.get_legend())
    )
    assert axes.width > 0.35 and legend.x0 >= axes.x1 and legend.x1 <= 1 and legend.y0 >= 0


def test_more_than_ten_curves_have_colours_of_their_own():
    given = {f"{q:.2f}": losses.Quantile(q) for q in np.linspace(0.1, 0.9, 14)}
    display = LossDisplay.from_losses(given)
    assert len({line.get_color() for line in display.lines_}) == 14
    display = ScheduleDisplay.from_schedules(dict.fromkeys(given, "cosine"))
    assert len({line.get_color() for line in display.lines_}) == 14


def test_one_alpha_is_seen(data):
    model = GradientRegressor(random_state=0)
    display = CoefficientPathDisplay.from_estimator(model, *data, alphas=[1.0])
    assert [line.get_marker() for line in display.lines_] == ["o"] * 3
