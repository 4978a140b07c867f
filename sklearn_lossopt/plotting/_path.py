"""The paths of optimizers over the contours of the objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._trace import trace
from sklearn_lossopt._typing import MatrixLike
from sklearn_lossopt.plotting._legends import (
    LABEL_WIDTH,
    cycled,
    with_legend,
    wrapped,
    write_legend,
)
from sklearn_lossopt.plotting._shared import Estimators, Style, Styles, named, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# What defines the objective that estimators minimise.
OBJECTIVE = (
    "loss", "alpha", "l1_ratio", "fit_intercept", "class_weight", "hidden_layer_sizes",
    "early_stopping",
)  # fmt: skip
# What an estimator of the optimum has instead of the settings whose path is drawn.
TO_THE_OPTIMUM = {
    "optimizer": "adam", "learning_rate": "auto", "schedule": "auto", "batch_size": "auto",
    "precondition": "auto", "max_iter": 1000, "tol": 1e-10, "verbose": 0, "random_state": 0,
}  # fmt: skip
N_LEVELS = 12
# Points of the grid a side, by what the other parameters do.
N_GRID = {"fixed": 80, "free": 40}


class OptimizerPathDisplay:
    """Paths of optimizers over two parameters, on the contours of the objective F.

    ``from_estimators`` makes one. The contours are those of F with all other parameters at the
    optimum, or of the smallest F that the other parameters allow. With two parameters in all, a
    path's height is that of the contours. With more, a path is a projection: its F is above the
    contours of free parameters. Contours are evenly spaced in the logarithm of F - F*.

    Parameters
    ----------
    first, second : list of array-like of shape (n_points,)
        The two parameters along each path, the start first.
    objective : list of array-like of shape (n_points,)
        F along each path.
    name : list of str
        The paths' labels.
    first_grid, second_grid : array-like of shape (n_first,), (n_second,)
        Where F was evaluated.
    surface : array-like of shape (n_second, n_first)
        F there.
    optimum : tuple of float
        The two parameters at the optimum, and F.
    diverged : list of bool
        Whether the fit diverged.
    parameter_names : tuple of str
        Labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure with the axes.
    contours_ : matplotlib QuadContourSet
        The contours.
    lines_ : list of matplotlib Line2D
        The paths.
    start_, optimum_ : matplotlib Line2D
        Marks at the start of the first path and at the optimum.

    See Also
    --------
    sklearn_lossopt.trace : The numbers of one path.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.plotting import OptimizerPathDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> textbook = dict(precondition=False, schedule="constant", tol=0, max_iter=20)
    >>> estimators = {
    ...     name: GradientRegressor(optimizer=name, learning_rate=rate, random_state=0, **textbook)
    ...     for name, rate in {"sgd": 50.0, "adam": 50.0}.items()
    ... }
    >>> display = OptimizerPathDisplay.from_estimators(estimators, X[:, [2, 8]], y)
    >>> display.name, display.parameter_names
    (['sgd', 'adam'], ('coef_[0]', 'coef_[1]'))
    """

    ax_: Axes
    figure_: Figure
    contours_: QuadContourSet
    lines_: list[Line2D]
    start_: Line2D
    optimum_: Line2D

    def __init__(
        self,
        *,
        first: Sequence[ArrayLike],
        second: Sequence[ArrayLike],
        objective: Sequence[ArrayLike],
        name: Sequence[str],
        first_grid: ArrayLike,
        second_grid: ArrayLike,
        surface: ArrayLike,
        optimum: tuple[float, float],
        diverged: Sequence[bool],
        parameter_names: tuple[str, str],
    ) -> None:
        self.first = first
        self.second = second
        self.objective = objective
        self.name = name
        self.first_grid = first_grid
        self.second_grid = second_grid
        self.surface = surface
        self.optimum = optimum
        self.diverged = diverged
        self.parameter_names = parameter_names

    @classmethod
    def from_estimators(
        cls,
        estimators: Estimators,
        X: MatrixLike,
        y: ArrayLike,
        *,
        features: Sequence[int | str] = (0, 1),
        others: Literal["fixed", "free"] = "fixed",
        every: Literal["update", "epoch"] = "update",
        sample_weight: ArrayLike | None = None,
        n_grid: int | None = None,
        ax: Axes | None = None,
        contour_kwargs: Style | None = None,
        path_kwargs: Styles | None = None,
    ) -> Self:
        """Fit clones of estimators, record their paths and draw them.

        Parameters
        ----------
        estimators : dict of str to estimator, or list of estimators
            ``GradientRegressor`` or ``GradientClassifier``, linear, with one output, and all with
            the same objective. They may differ in how they minimise it. Pipelines that end in them
            must have the same transformers.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Targets.
        features : tuple of two, each an int, a str or "intercept", default=(0, 1)
            The parameters to draw: coefficients by the number or the name of their feature, or
            the intercept.
        others : {"fixed", "free"}, default="fixed"
            What the contours assume of all other parameters: they stay at the optimum, or they go
            to where F is smallest for each pair of the two. The latter takes one minimisation per
            point and needs a smooth loss. Fixed parameters show a cut through the valley. Free ones
            show how far a path is from the best that its two parameters allow.
        every : {"update", "epoch"}, default="update"
            Whether a path has a point for each update or for each epoch.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        n_grid : int, default=None
            Contours come from n_grid x n_grid values of F; None means 80, and 40 for ``"free"``.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        contour_kwargs : dict, default=None
            Arguments of ``Axes.contour``.
        path_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the paths, for all or for each.

        Returns
        -------
        display : OptimizerPathDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_estimators")
        if others not in N_GRID:
            raise ValueError(f"others must be one of {list(N_GRID)}. Got {others!r} instead.")
        names, estimators = named("estimators", estimators)
        last = [_last(estimator) for estimator in estimators]
        _check_same_objective(last, names)
        if len(features) != 2 or features[0] == features[1]:
            raise ValueError(f"features must be two different parameters. Got {features!r}.")
        traces = [trace(model, X, y, sample_weight, every=every) for model in estimators]
        best = _at_optimum(estimators[0])
        best = trace(best, X, y, sample_weight, every="epoch")
        lowest = int(np.argmin(best.objective))
        if np.ndim(best.intercept[lowest]) > 1 or np.size(best.intercept[lowest]) > 1:
            raise ValueError("Paths are drawn of models with one output.")
        coef, intercept = np.ravel(best.coef[lowest]), float(np.ravel(best.intercept[lowest])[0])
        places = [_place(feature, traces[0].estimator, X, len(coef)) for feature in features]
        paths = [[_along(found, place) for place in places] for found in traces]
        optimum = [intercept if p == "intercept" else float(coef[p]) for p in places]
        diverged = [found.error is not None for found in traces]
        n_grid = N_GRID[others] if n_grid is None else n_grid
        grids = [
            np.linspace(*_box([path[i] for path in paths], diverged, optimum[i]), n_grid)
            for i in range(2)
        ]
        surface = best.plane(places, *grids, coef, intercept, others)
        display = cls(
            first=[path[0] for path in paths],
            second=[path[1] for path in paths],
            objective=[found.objective for found in traces],
            name=names,
            first_grid=grids[0],
            second_grid=grids[1],
            surface=surface,
            optimum=(*optimum, float(best.objective[lowest])),
            diverged=diverged,
            parameter_names=tuple(map(_parameter_name, features)),
        )
        return display.plot(ax, contour_kwargs=contour_kwargs, path_kwargs=path_kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        contour_kwargs: Style | None = None,
        path_kwargs: Styles | None = None,
    ) -> Self:
        """Draw contours and paths.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        contour_kwargs : dict, default=None
            Arguments of ``Axes.contour``.
        path_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the paths, for all or for each. A path that diverges
            ends with its first point outside of the axes.

        Returns
        -------
        display : OptimizerPathDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        styles = cycled("path_kwargs", path_kwargs, len(self.name))
        lost = zip(self.name, self.diverged, strict=True)
        names = [f"{name} (diverges)" if gone else name for name, gone in lost]
        self.ax_, place = with_legend(ax, [*names, "start", "optimum"])
        self.figure_ = self.ax_.figure
        surface, lowest = np.asarray(self.surface), self.optimum[2]
        above = np.where(np.isfinite(surface), surface, np.nan) - lowest
        top = np.nanmax(above)
        above = np.maximum(above, 1e-12 * top)
        given = {"colors": "grey", "linewidths": 0.6, "alpha": 0.8}
        if not {"levels"} & set(contour_kwargs or {}):
            # Evenly spaced from the height of the grid's cells next to the optimum.
            smallest = max(np.nanquantile(above, 0.002), 1e-6 * top)
            given["levels"] = np.geomspace(smallest, top, N_LEVELS)
        if "cmap" in (contour_kwargs or {}):
            del given["colors"]
        given |= contour_kwargs or {}
        self.contours_ = self.ax_.contour(self.first_grid, self.second_grid, above, **given)
        self.lines_ = []
        for r, name in enumerate(names):
            x, y = np.asarray(self.first[r]), np.asarray(self.second[r])
            if self.diverged[r]:
                end = self._leaves(x, y)
                x, y = x[:end], y[:end]
            given = {"label": name, "marker": ".", "markersize": 4, "linewidth": 1.2}
            self.lines_ += self.ax_.plot(x, y, **styled(given, styles[r]))
        (self.start_,) = self.ax_.plot(
            self.first[0][0], self.second[0][0], "o", color="black", label="start", zorder=3
        )
        (self.optimum_,) = self.ax_.plot(
            *self.optimum[:2], "*", color="black", markersize=12, label="optimum", zorder=3
        )
        self.ax_.set(
            xlim=(self.first_grid[0], self.first_grid[-1]),
            ylim=(self.second_grid[0], self.second_grid[-1]),
            xlabel=wrapped(self.parameter_names[0], LABEL_WIDTH),
            ylabel=wrapped(self.parameter_names[1], LABEL_WIDTH),
        )  # fmt: skip
        write_legend(self.ax_, **place)
        return self

    def _leaves(self, x, y):
        """The number of points up to the first one outside of the axes, that included."""
        inside = (x >= self.first_grid[0]) & (x <= self.first_grid[-1])
        inside &= (y >= self.second_grid[0]) & (y <= self.second_grid[-1])
        return len(x) if inside.all() else int(np.argmin(inside)) + 1


def _last(estimator):
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _check_same_objective(estimators, names):
    """Raise if estimators minimise different functions, or another than a linear model's."""
    known = [estimator.get_params(deep=False) for estimator in estimators]
    for name, params in zip(names, known, strict=True):
        for key in OBJECTIVE:
            if repr(params.get(key)) != repr(known[0].get(key)):
                raise ValueError(
                    f"{name} has {key}={params.get(key)!r}, and {names[0]} has "
                    f"{known[0].get(key)!r}: they minimise different functions, and have no "
                    "contours in common."
                )
    if np.size(known[0].get("hidden_layer_sizes", ())):
        raise ValueError("Paths are drawn of linear models: leave hidden_layer_sizes=().")


def _at_optimum(estimator):
    """A clone whose settings lead to the optimum, whatever those of the original do."""
    best = clone(estimator)
    _last(best).set_params(**TO_THE_OPTIMUM)
    return best


def _place(feature, model, X, n_features):
    """The number of a coefficient, or "intercept"."""
    if isinstance(feature, str) and feature != "intercept":
        known = list(getattr(model, "feature_names_in_", getattr(X, "columns", ())))
        if feature not in known:
            raise ValueError(
                f"features has {feature!r}, which is no feature's name; known are {known} and "
                "'intercept'."
            )
        return known.index(feature)
    if feature != "intercept" and not 0 <= feature < n_features:
        raise ValueError(f"features has {feature!r}, but X has {n_features} columns.")
    return feature


def _parameter_name(feature):
    if feature == "intercept":
        return "intercept_"
    return f"coef_[{feature}]" if not isinstance(feature, str) else f"coefficient of {feature}"


def _along(found, place):
    """One parameter along a trace."""
    n = len(found.update)
    if place == "intercept":
        return np.reshape(found.intercept, (n, -1))[:, 0]
    return np.reshape(found.coef, (n, -1))[:, place]


def _box(paths, diverged, optimum):
    """Limits of an axis: all paths that do not diverge, the starts and the optimum."""
    shown = [optimum, *(path[0] for path in paths)]
    for path, lost in zip(paths, diverged, strict=True):
        if not lost:
            shown += [path.min(), path.max()]
    low, high = min(shown), max(shown)
    if low == high:
        low, high = low - 1.0, high + 1.0
    if all(diverged):
        # Room for what a path does before it leaves.
        low, high = 2 * low - high, 2 * high - low
    margin = 0.12 * (high - low)
    return low - margin, high + margin
