"""Scores and loss curves of a search over losses and optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._typing import Array
from sklearn_lossopt.plotting._compat import score_label
from sklearn_lossopt.plotting._legends import cycled, with_legend, write_legend
from sklearn_lossopt.plotting._loss_curve import LossCurveDisplay
from sklearn_lossopt.plotting._results import Results, setting_labels
from sklearn_lossopt.plotting._scales import ink, limits_of, number_format
from sklearn_lossopt.plotting._sensitivity import draw_sensitivity
from sklearn_lossopt.plotting._shared import Style, Styles, check_positive, check_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

# Of each kind of plot: the parameters of its rows and columns, and the arguments of `plot`.
HEATMAP = {"negate_score", "values_format", "colorbar", "image_kwargs", "text_kwargs"}
_KINDS = {
    "heatmap": ("loss", "optimizer", HEATMAP),
    "sensitivity": (
        "optimizer", "learning_rate", {"negate_score", "xscale", "curve_kwargs", "band_kwargs"},
    ),
    "loss_curves": ("optimizer", "loss", {"yscale", "curve_kwargs", "band_kwargs"}),
}  # fmt: skip
# Parameters that change the way to the optimum, and not where it is.
_WAYS = {"optimizer", "learning_rate", "schedule", "batch_size", "precondition", "shuffle"}
_ONE_OPTIMUM = "equal numbers: one optimum, whatever the {}"


class SearchDisplay:
    """Scores and loss curves of a search over losses, optimizers or other parameters.

    ``from_search`` makes one. It holds a table with a cell for each pair of settings of two
    parameters. A cell has the score and the loss curves of the best candidate with both settings,
    whatever its other parameters are. There are three kinds of plot.

    - ``"heatmap"``: the table, with the best score in bold. Where optimizers have equal scores, a
      note says why: they have reached the same optimum.
    - ``"sensitivity"``: a curve per row over the numeric settings of the columns, with a band of
      one standard deviation over the folds. Any other setting, such as ``"auto"``, is a horizontal
      line. A triangle on an edge is a score beyond it. A cross on the rug below is a number at
      which all fits failed.
    - ``"loss_curves"``: the training curves of the best candidate of each row: their mean over the
      splits, and a band from the lowest to the highest. A fit that ended before others keeps its
      last value. Losses have different units, and so the label of a curve names its column.

    Parameters
    ----------
    score : array-like of shape (n_rows, n_columns)
        Score of the best candidate of each cell, higher is better; NaN without a candidate.
    x_values : list of str or float
        Settings of the columns.
    y_values : list of str or float
        Settings of the rows.
    x_name : str, default=None
        Name of the columns' parameter.
    y_name : str, default=None
        Name of the rows' parameter.
    failed : array-like of bool of shape (n_rows, n_columns), default=None
        Cells in which all candidates failed. Other cells without a score were not searched. None
        means that all cells without a score failed.
    score_name : str, default=None
        Name of the metric, such as ``"neg_mean_absolute_error"``.
    spread : array-like of shape (n_rows, n_columns), default=None
        Standard deviation of each score over the folds.
    loss_curves : list of list of list of array-like, default=None
        For each cell the curves of its best candidate, one per split; None for a cell without a
        candidate and for a split with a failed fit.
    kind : {"heatmap", "sensitivity", "loss_curves"}, default="heatmap"
        The kind of plot that ``plot`` draws by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure with the axes.
    im_ : matplotlib AxesImage or None
        The heat map.
    text_ : ndarray of matplotlib Text of shape (n_rows, n_columns) or None
        The heat map's annotations; None in cells that were not searched.
    lines_ : list of matplotlib Line2D or None
        The curve of each row; among loss curves, None for a row without one.
    level_lines_ : list of dict of str to matplotlib Line2D, or None
        For each row the horizontal lines of the settings that are not numbers.
    bands_ : list of matplotlib PolyCollection or None
        The band of each curve, None for a row without one.
    note_ : matplotlib Text or None
        Why numbers of a heat map are equal.
    rug_ax_ : matplotlib Axes or None
        The rug of failures below sensitivities.

    See Also
    --------
    LossCurveDisplay : Loss curves of fitted estimators.
    sklearn.model_selection.ValidationCurveDisplay : Scores against one parameter.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.losses import Huber
    >>> from sklearn_lossopt.plotting import SearchDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> grid = {
    ...     "loss": ["squared_error", Huber(delta=50)],
    ...     "optimizer": ["sgd", "adam"],
    ...     "alpha": [1e-4, 1e-2],
    ... }
    >>> search = GridSearchCV(GradientRegressor(random_state=0), grid, cv=3).fit(X, y)
    >>> display = SearchDisplay.from_search(search)
    >>> display.y_values, display.x_values
    (['squared_error', 'Huber(delta=50)'], ['sgd', 'adam'])
    >>> bool(display.score.max() == search.best_score_)
    True
    """

    ax_: Axes
    figure_: Figure
    im_: AxesImage | None
    text_: Array | None
    lines_: list[Line2D | None] | None
    level_lines_: list[dict[str, Line2D]] | None
    bands_: list[PolyCollection | None] | None
    note_: Text | None
    rug_ax_: Axes | None

    def __init__(
        self,
        *,
        score: ArrayLike,
        x_values: Sequence[str | float],
        y_values: Sequence[str | float],
        x_name: str | None = None,
        y_name: str | None = None,
        failed: ArrayLike | None = None,
        score_name: str | None = None,
        spread: ArrayLike | None = None,
        loss_curves: Sequence[Sequence[Sequence[ArrayLike | None] | None]] | None = None,
        kind: Literal["heatmap", "sensitivity", "loss_curves"] = "heatmap",
    ) -> None:
        self.score = score
        self.x_values = x_values
        self.y_values = y_values
        self.x_name = x_name
        self.y_name = y_name
        self.failed = failed
        self.score_name = score_name
        self.spread = spread
        self.loss_curves = loss_curves
        self.kind = kind

    @classmethod
    def from_search(
        cls,
        search: BaseEstimator,
        *,
        kind: Literal["heatmap", "sensitivity", "loss_curves"] = "heatmap",
        x: str | Sequence[str] | None = None,
        y: str | Sequence[str] | None = None,
        metric: str | None = None,
        ax: Axes | None = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Draw the results of a fitted search.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or another search with ``cv_results_``
            A fitted search over ``GradientRegressor``, ``GradientClassifier`` or a pipeline that
            ends in one. In a halving search, the last iteration of a candidate counts, and in a
            cell the candidates that got furthest.
        kind : {"heatmap", "sensitivity", "loss_curves"}, default="heatmap"
            The kind of plot. Loss curves need a search with ``loss_curves_``: ``GradientSearchCV``.
        x : str or list of str, default=None
            Parameter of the columns, or several parameters to combine. None means ``"optimizer"``
            for heat maps, ``"learning_rate"`` for sensitivities and ``"loss"`` for loss curves.
            Parameters of the last step need no prefix. A parameter that was not searched has the
            estimator's setting.
        y : str or list of str, default=None
            Parameter of the rows, in the same way. None means ``"loss"`` for heat maps and
            ``"optimizer"`` for the other kinds.
        metric : str, default=None
            Metric to rank by in a search with several; None means that of ``refit``.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        **plot_kwargs : dict
            Further arguments of ``plot``.

        Returns
        -------
        display : SearchDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_search")
        rows, columns, _ = _of_kind(kind, plot_kwargs)
        rows, columns = _names("y", y, rows), _names("x", x, columns)
        if set(rows) & set(columns):
            raise ValueError(f"x={x!r} and y={y!r} must be different parameters.")
        results = Results(search, metric)
        if kind == "loss_curves":
            _check_curves(results.curves, results.kind)
        elif not results.varied(columns if kind == "sensitivity" else rows + columns):
            asked = columns if kind == "sensitivity" else rows + columns
            raise ValueError(
                f"The {results.kind} did not search {' or '.join(map(repr, asked))}, and there is "
                f"nothing to compare. Pass x and y; it searched: {results.searched()}."
            )
        display = cls(**results.table(rows, columns), kind=kind)
        return display.plot(ax, **plot_kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["heatmap", "sensitivity", "loss_curves"] | None = None,
        negate_score: bool | None = None,
        xscale: str | None = None,
        yscale: str | None = None,
        values_format: str | None = None,
        colorbar: bool | None = None,
        image_kwargs: Style | None = None,
        text_kwargs: Style | None = None,
        curve_kwargs: Styles | None = None,
        band_kwargs: Style | None = None,
    ) -> Self:
        """Draw the table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        kind : {"heatmap", "sensitivity", "loss_curves"}, default=None
            The kind of plot; the display's own if None.
        negate_score : bool, default=None
            Whether to show scores with the opposite sign, as errors of a metric that begins with
            ``neg_``. None means False.
        xscale : str, default=None
            Scale of the parameter's axis in sensitivities, such as "log" or "linear". None means
            "log" if all numbers are positive.
        yscale : str, default=None
            Scale of the loss axis of loss curves, such as "log"; None leaves it unchanged.
        values_format : str, default=None
            Format specification of a heat map's numbers. None gives three digits to the number of
            median size, and the same number of decimal places to all.
        colorbar : bool, default=None
            Whether a heat map has a colour bar; None means True.
        image_kwargs : dict, default=None
            Arguments of ``Axes.imshow``. Without ``vmin`` and ``vmax``, the lowest scores share one
            colour: those three times as far below the median as the best score is above.
        text_kwargs : dict, default=None
            Arguments of ``Axes.text`` for a heat map's numbers.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the curves, for all or for each row.
        band_kwargs : dict, default=None
            Arguments of ``Axes.fill_between`` for the bands.

        Returns
        -------
        display : SearchDisplay
            The display itself.
        """
        given = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "ax", "kind") and value is not None
        }
        require_matplotlib(f"{type(self).__name__}.plot")
        kind = self.kind if kind is None else kind
        _of_kind(kind, given)
        self._check_shapes()
        optional = "im_", "text_", "note_", "lines_", "level_lines_", "bands_", "rug_ax_"
        drawn = dict.fromkeys(optional)
        draw = {
            "heatmap": self._draw_heatmap,
            "sensitivity": self._draw_sensitivity,
            "loss_curves": self._draw_loss_curves,
        }[kind]
        drawn |= draw(ax, **given)
        vars(self).update(drawn)
        self.figure_ = self.ax_.figure
        return self

    def _check_shapes(self):
        shape = np.shape(self.score)
        wanted = len(self.y_values), len(self.x_values)
        if shape != wanted or 0 in shape:
            raise ValueError(
                f"score has the shape {shape}, but there are {wanted[0]} y_values and "
                f"{wanted[1]} x_values."
            )

    def _scores(self, negate):
        """The scores as shown, the cells that failed, and the name of the scores."""
        score = np.asarray(self.score, dtype=np.float64)
        failed = np.isnan(score) if self.failed is None else np.asarray(self.failed, dtype=bool)
        return (-score if negate else score), failed, score_label(None, self.score_name, negate)

    def _draw_heatmap(
        self,
        ax,
        negate_score=False,
        values_format=None,
        colorbar=True,
        image_kwargs=None,
        text_kwargs=None,
    ):
        import matplotlib.pyplot as plt

        shown, failed, label = self._scores(negate_score)
        labels = setting_labels(self.x_values), setting_labels(self.y_values)
        limits, extend = limits_of(shown, negate_score)
        if ax is None:
            size = max(6.4, 3 + 0.75 * len(labels[0])), max(4.8, 1.8 + 0.4 * len(labels[1]))
            ax = plt.subplots(figsize=size, layout="constrained")[1]
        style = {"cmap": "viridis_r" if negate_score else "viridis", "aspect": "auto"}
        if not {"norm", "vmin", "vmax"} & set(image_kwargs or {}):
            style |= limits
        else:
            extend = "neither"
        image = ax.imshow(shown, **(style | (image_kwargs or {})))
        best = np.nanargmax(self.score) if np.isfinite(self.score).any() else -1
        texts = np.full(shown.shape, None, dtype=object)
        written = number_format(shown, values_format)
        for r, cell in enumerate(np.ndindex(shown.shape)):
            given = {"ha": "center", "va": "center"}
            if np.isfinite(shown[cell]):
                given["color"] = ink(image, shown[cell])
                given["weight"] = "bold" if r == best else "normal"
            elif failed[cell]:
                given |= {"color": "dimgrey", "style": "italic"}
                place = cell[1] - 0.5, cell[0] - 0.5
                style = {"facecolor": "whitesmoke", "edgecolor": "lightgrey", "hatch": "//"}
                ax.add_patch(plt.Rectangle(place, 1, 1, linewidth=0, **style))
            else:
                continue
            text = written(shown[cell]) if np.isfinite(shown[cell]) else "failed"
            texts[cell] = ax.text(cell[1], cell[0], text, **(given | (text_kwargs or {})))
        ax.set(xlabel=self.x_name, ylabel=self.y_name)
        ax.set_xticks(range(len(labels[0])), labels[0])
        ax.set_yticks(range(len(labels[1])), labels[1])
        if max(map(len, labels[0])) > 8 or len(labels[0]) > 8:
            ax.tick_params("x", rotation=45)
            plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
        if colorbar:
            ax.figure.colorbar(image, ax=ax, label=label, extend=extend)
        return {"ax_": ax, "im_": image, "text_": texts, "note_": self._note(ax, texts)}

    def _note(self, ax, texts):
        """Say why numbers are equal, where all that differs is the way to them."""
        written = np.vectorize(lambda text: text and text.get_text(), otypes=[object])(texts)
        for name, table in ((self.x_name, written), (self.y_name, written.T)):
            rows = [[text for text in row if text not in (None, "failed")] for row in table]
            equal = any(len(row) > 1 and len(set(row)) == 1 for row in rows)
            if name in _WAYS and equal:
                return ax.set_title(_ONE_OPTIMUM.format(name.replace("_", " ")), fontsize="small")
        return None

    def _draw_sensitivity(self, ax, negate_score=False, **given):
        shown, failed, label = self._scores(negate_score)
        spread = None if self.spread is None else np.asarray(self.spread, dtype=np.float64)
        return draw_sensitivity(self, ax, shown, failed, spread, label, negate_score, **given)

    def _draw_loss_curves(self, ax, yscale=None, curve_kwargs=None, band_kwargs=None):
        _check_curves(self.loss_curves, "The display")
        score = np.asarray(self.score, dtype=np.float64)
        names = setting_labels(self.y_values), setting_labels(self.x_values)
        drawn, labels, spreads = [], [], []
        for r in np.flatnonzero(np.isfinite(score).any(axis=1)):
            c = int(np.nanargmax(score[r]))
            curves = [curve for curve in self.loss_curves[r][c] if curve is not None]
            if curves:
                drawn.append(r)
                labels.append(names[0][r] + (f", {names[1][c]}" if len(names[1]) > 1 else ""))
                spreads.append(_spread(curves))
        if not drawn:
            raise ValueError("There is no loss curve to draw: all fits failed.")
        check_scale("yscale", yscale)
        if yscale == "log":
            check_positive([low for _, low, _ in spreads])
        styles = cycled("curve_kwargs", curve_kwargs, len(score))
        curves = LossCurveDisplay(loss_curve=[mean for mean, _, _ in spreads], name=labels)
        ax, place = with_legend(ax, [self.y_name or "", *labels])
        curves.plot(ax, yscale=yscale, curve_kwargs=[styles[r] for r in drawn])
        title = [self.y_name, self.x_name if len(names[1]) > 1 else None]
        write_legend(ax, handles=curves.lines_, title=", ".join(filter(None, title)), **place)
        lines, bands = [None] * len(score), [None] * len(score)
        for r, line, (_, low, high) in zip(drawn, curves.lines_, spreads, strict=True):
            given = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0} | (band_kwargs or {})
            lines[r] = line
            bands[r] = ax.fill_between(line.get_xdata(), low, high, **given)
        return {"ax_": ax, "lines_": lines, "bands_": bands}


def _of_kind(kind, given):
    """The entry of ``_KINDS`` for a kind; ValueError if an argument is not one of its own."""
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {list(_KINDS)}. Got {kind!r} instead.")
    known = {name for _, _, names in _KINDS.values() for name in names}
    stray = [name for name in given if name in known - _KINDS[kind][2]]
    if stray:
        raise ValueError(f"{stray[0]} is no argument of kind={kind!r}.")
    return _KINDS[kind]


def _names(argument, given, default):
    given = default if given is None else given
    names = [given] if isinstance(given, str) else given
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not names or not known:
        raise ValueError(f"{argument} must name one or several parameters. Got {given!r} instead.")
    return list(names)


def _check_curves(curves, owner):
    if curves is None:
        raise ValueError(
            f"{owner} has no loss_curves_: search with sklearn_lossopt.GradientSearchCV, which "
            "keeps the loss curves of all fits."
        )


def _spread(curves):
    """Mean, minimum and maximum of curves; a shorter curve keeps its last value."""
    n = max(map(len, curves))
    filled = np.array([np.pad(curve, (0, n - len(curve)), mode="edge") for curve in curves])
    return filled.mean(axis=0), filled.min(axis=0), filled.max(axis=0)
