"""Loss curves of fitted estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._trace import Trace
from sklearn_lossopt._typing import Array
from sklearn_lossopt.plotting._curves import (
    has_running_means,
    loss_curve,
    loss_of,
    show_others,
    suboptimality,
    validation_curve,
)
from sklearn_lossopt.plotting._legends import cycled, write_legend
from sklearn_lossopt.plotting._shared import (
    Estimators,
    Style,
    Styles,
    check_positive,
    check_scale,
    labels_of,
    last_step,
    named,
    one_each,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# matplotlib's axes overflow where numbers end.
HUGE = 1e200
# Abscissas of traces, and their labels.
AGAINST = {"epoch": "Epoch", "update": "Update", "seconds": "Seconds"}


class LossCurveDisplay:
    """Loss curves of one or several fits.

    ``from_estimator`` and ``from_estimators`` make one. The training curve is an estimator's
    ``loss_curve_``, one value per epoch. The validation curve is ``validation_curve_``, a loss
    unless the estimator has another ``scoring``, or ``validation_scores_``, the scores of
    scikit-learn's multi-layer perceptrons.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,), or list of these
        Training curves.
    validation_curve : array-like of shape (n_epochs,), list of these or None, default=None
        Validation curves; in a list, None for a fit without one.
    best_iter : int, list of int or None, default=None
        The epoch, from 1, whose parameters a fit kept; the validation curve has a mark there.
    name : str or list of str, default=None
        Labels of the curves.
    reference : float or list of float, default=None
        A value, such as the optimum, to subtract from the training curves: one for all, or one
        for each.
    validation_kind : {"loss", "score"}, default="loss"
        The kind of the validation curves. Losses share the axis of the training curves unless
        there is a reference; scores have an axis of their own.
    abscissa : array-like of shape (n_points,), list of these or None, default=None
        Abscissas of the training curves; None means epochs 1, 2 and so on. A curve that begins at
        0, the start, has a mark there.
    abscissa_name : str, default="Epoch"
        Label of the abscissa.
    panel : list of str or None, default=None
        The loss of each curve. Different losses have panels of their own, unless ``plot`` gets an
        ``ax``.
    loss_name : str, default="Loss"
        Label of the losses' axis.
    diverged : list of bool or None, default=None
        Which fits diverged. Their curves leave the axes, which fit the other curves.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the training curves; of panels the first.
    axes_ : list of matplotlib Axes
        The panels, one for each loss.
    validation_ax_ : matplotlib Axes or None
        Axes with the validation curves: ``ax_``, or a twin of it with an axis on the right.
    figure_ : matplotlib Figure
        Figure with the axes.
    lines_ : list of matplotlib Line2D
        Training curves.
    validation_lines_ : list of matplotlib Line2D or None
        Validation curves, one entry per training curve; None for a fit without one.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores against the number of training rows.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.plotting import LossCurveDisplay
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> model = GradientRegressor(optimizer="sgd", random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)
    >>> len(display.lines_[0].get_xdata()) == model.n_iter_
    True
    """

    ax_: Axes
    axes_: list[Axes]
    validation_ax_: Axes | None
    figure_: Figure
    lines_: list[Line2D]
    validation_lines_: list[Line2D | None]

    def __init__(
        self, *, loss_curve: ArrayLike | Sequence[ArrayLike],
        validation_curve: ArrayLike | Sequence[ArrayLike | None] | None = None,
        best_iter: int | Sequence[int | None] | None = None,
        name: str | Sequence[str] | None = None,
        reference: float | Sequence[float | None] | None = None,
        validation_kind: Literal["loss", "score"] = "loss",
        abscissa: ArrayLike | Sequence[ArrayLike | None] | None = None,
        abscissa_name: str = "Epoch", panel: Sequence[str] | None = None, loss_name: str = "Loss",
        diverged: Sequence[bool] | None = None,
    ) -> None:  # fmt: skip
        self.loss_curve = loss_curve
        self.validation_curve = validation_curve
        self.best_iter = best_iter
        self.name = name
        self.reference = reference
        self.validation_kind = validation_kind
        self.abscissa = abscissa
        self.abscissa_name = abscissa_name
        self.panel = panel
        self.loss_name = loss_name
        self.diverged = diverged

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Axes | None = None, name: str | None = None,
        validation: bool | Literal["loss", "score"] = True, yscale: str | None = None,
        reference: float | None = None, curve_kwargs: Style | None = None,
    ) -> Self:  # fmt: skip
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator with ``loss_curve_``, or a pipeline that ends in one.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        name : str, default=None
            Label; if None, the name of the class, or of the class of a pipeline's last step.
        validation : bool or {"loss", "score"}, default=True
            Whether to draw the validation curve, and its kind. With True, ``scoring`` decides the
            kind of ``validation_curve_``, and ``validation_scores_`` are scores.
        yscale : str, default=None
            Scale of the loss axis, such as "log" or "linear". None means "log" if there is a
            reference, and otherwise leaves the axis unchanged.
        reference : float, default=None
            Value to subtract from the training curve, such as the optimum. Differences below
            the rounding error of the reference are drawn at that error.
        curve_kwargs : dict, default=None
            Arguments of ``Axes.plot`` for the training curve.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        return cls._from(
            [estimator],
            [name or labels_of([estimator])[0]],
            validation,
            reference,
            dict(ax=ax, yscale=yscale, curve_kwargs=curve_kwargs),
        )

    @classmethod
    def from_estimators(
        cls, estimators: Estimators, *, ax: Axes | None = None,
        validation: bool | Literal["loss", "score"] = True, yscale: str | None = None,
        reference: float | Sequence[float] | None = None, curve_kwargs: Styles | None = None,
    ) -> Self:  # fmt: skip
        """Draw the curves of several fitted estimators, with one plot for each loss.

        Parameters
        ----------
        estimators : dict of str to estimator, or list of estimators
            Fitted estimators with ``loss_curve_``, or pipelines that end in one. The labels of a
            list are the classes and, within a class, the parameters that differ.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        validation : bool or {"loss", "score"}, default=True
            Whether to draw validation curves, and their kind. With True, ``scoring`` decides the
            kind of ``validation_curve_``, and ``validation_scores_`` are scores.
        yscale : str, default=None
            Scale of the loss axis, such as "log" or "linear". None means "log" if there is a
            reference, and otherwise leaves the axis unchanged.
        reference : float or list of float, default=None
            Value to subtract from the training curves: one for all, or one for each.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the training curves, for all or for each.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        names, estimators = named("estimators", estimators)
        return cls._from(
            estimators,
            names,
            validation,
            reference,
            dict(ax=ax, yscale=yscale, curve_kwargs=curve_kwargs),
        )

    @classmethod
    def from_traces(
        cls, traces: dict[str, Any] | Sequence[Trace], *,
        against: Literal["epoch", "update", "seconds"] = "epoch", ax: Axes | None = None,
        yscale: str | None = None, reference: float | Sequence[float] | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:  # fmt: skip
        """Draw the objective along traces, from the start on.

        Parameters
        ----------
        traces : dict of str to Trace, or list of Trace
            What ``sklearn_lossopt.trace`` returns.
        against : {"epoch", "update", "seconds"}, default="epoch"
            The abscissa.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        yscale : str, default=None
            Scale of the loss axis, such as "log" or "linear". None means "log" if there is a
            reference, and otherwise leaves the axis unchanged.
        reference : float or list of float, default=None
            Value to subtract, such as the optimum: one for all, or one for each.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_traces")
        if against not in AGAINST:
            raise ValueError(f"against must be one of {list(AGAINST)}. Got {against!r} instead.")
        if not isinstance(traces, dict):
            traces = list(traces)
            names = labels_of([found.estimator for found in traces])
        else:
            names, traces = list(traces), list(traces.values())
        if not traces:
            raise ValueError("traces is empty: there is nothing to draw.")
        display = cls(
            loss_curve=[np.where(t.objective < HUGE, t.objective, np.nan) for t in traces],
            abscissa=[getattr(found, against) for found in traces],
            abscissa_name=AGAINST[against],
            panel=[loss_of(found.estimator) for found in traces],
            name=names,
            reference=reference,
            loss_name="Objective F",
            diverged=[found.error is not None for found in traces],
        )
        return display.plot(ax, yscale=yscale, curve_kwargs=curve_kwargs)

    @classmethod
    def _from(cls, estimators, names, validation, reference, drawing):
        require_matplotlib(f"{cls.__name__}.from_estimator")
        if validation not in (True, False, "loss", "score"):
            raise ValueError(
                f"validation must be True, False, 'loss' or 'score'. Got {validation!r} instead."
            )
        fits = [last_step(estimator) for estimator in estimators]
        curves = [loss_curve(fit) for fit in fits]
        found = [validation_curve(fit) if validation else (None, None) for fit in fits]
        kinds = {kind for curve, kind in found if curve is not None}
        if validation in ("loss", "score"):
            kinds = {validation}
        if len(kinds) > 1:
            raise ValueError(
                "Some estimators have validation losses, and others validation scores. "
                "Draw them apart, or pass validation=False."
            )
        display = cls(
            loss_curve=curves,
            validation_curve=[curve for curve, _ in found],
            best_iter=[getattr(fit, "best_iter_", None) for fit in fits],
            name=names,
            reference=reference,
            validation_kind=kinds.pop() if kinds else "loss",
            panel=[loss_of(fit) for fit in fits],
            loss_name="Loss (running means)" if any(map(has_running_means, fits)) else "Loss",
        )
        return display.plot(**drawing)

    def plot(
        self, ax: Axes | Sequence[Axes] | Array | None = None, *,
        name: str | Sequence[str] | None = None, yscale: str | None = None,
        curve_kwargs: Styles | None = None, validation_kwargs: Styles | None = None,
    ) -> Self:  # fmt: skip
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        name : str or list of str, default=None
            Labels; the display's own if None.
        yscale : str, default=None
            Scale of the loss axis, such as "log" or "linear". None means "log" if there is a
            reference, and otherwise leaves the axis unchanged.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the training curves, for all or for each.
        validation_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the validation curves, which are dashed by default and
            have the colour of the training curve.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        curves = self._training_curves()
        n = len(curves)
        validation = one_each("validation_curve", _as_list(self.validation_curve), n)
        best = one_each("best_iter", self.best_iter, n)
        names = one_each("name", self.name if name is None else name, n)
        diverged = one_each("diverged", self.diverged, n)
        names = [
            f"{name or 'fit'} (diverges)" if gone else name
            for name, gone in zip(names, diverged, strict=True)
        ]
        styles = cycled("curve_kwargs", curve_kwargs, n)
        validation_styles = one_each("validation_kwargs", validation_kwargs, n)
        check_scale("yscale", yscale)
        if yscale is None and self.reference is not None:
            yscale = "log"
        shown = [curve for curve in validation if curve is not None]
        shared = self.validation_kind == "loss" and self.reference is None
        if yscale == "log":
            check_positive(curves + (shown if shared else []))

        panels = one_each("panel", self.panel if ax is None else None, n)
        # A curve of an unknown loss goes with the first.
        titles = list(dict.fromkeys(title for title in panels if title is not None)) or [None]
        if ax is None:
            size = (6.4, 4.8) if len(titles) == 1 else (6.4, 1 + 2.6 * len(titles))
            ax = plt.subplots(
                len(titles), 1, sharex=True, squeeze=False, figsize=size, layout="constrained"
            )[1][:, 0]
        self.axes_ = list(np.ravel(ax))
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        twins = self.axes_ if shared or not shown else [one.twinx() for one in self.axes_]
        self.validation_ax_ = twins[0] if shown else None
        self.lines_, self.validation_lines_ = [], []
        at = one_each("abscissa", _as_list(self.abscissa), n)
        for r, curve in enumerate(curves):
            place = 0 if panels[r] is None else titles.index(panels[r])
            line = _draw(self.axes_[place], at[r], curve, {"label": names[r]}, styles[r])
            self.lines_.append(line)
            self.validation_lines_.append(None)
            if validation[r] is not None:
                label = "validation" if names[r] is None else f"{names[r]}, validation"
                given = {"color": line.get_color(), "linestyle": "--", "label": label}
                # 0 is the starting point, which is not on the curve.
                if best[r] is not None and 1 <= best[r] <= len(validation[r]):
                    given |= {"marker": "o", "markevery": [best[r] - 1]}
                self.validation_lines_[r] = _draw(
                    twins[place], None, validation[r], given, validation_styles[r]
                )
        self._label_axes(yscale, twins, titles)
        for ax in self.axes_ if self.diverged and any(self.diverged) else ():
            show_others(ax, [(line, diverged[r]) for r, line in enumerate(self.lines_)])
        return self

    def _training_curves(self):
        """The training curves minus their references."""
        curves = [np.asarray(curve, dtype=np.float64) for curve in _as_list(self.loss_curve)]
        references = one_each("reference", self.reference, len(curves))
        return [
            curve if reference is None else suboptimality(curve, float(reference))
            for curve, reference in zip(curves, references, strict=True)
        ]

    def _label_axes(self, yscale, twins, titles):
        ylabel = self.loss_name if self.reference is None else "Loss above the reference"
        self.axes_[-1].set_xlabel(self.abscissa_name)
        drawn = [line for line in (*self.lines_, *self.validation_lines_) if line is not None]
        for ax, twin, title in zip(self.axes_, twins, titles, strict=True):
            ax.set_ylabel(ylabel)
            if len(titles) > 1:
                ax.set_title(title)
            if yscale is not None:
                ax.set_yscale(yscale)
            if ax.get_xscale() == "linear" and self.abscissa_name != AGAINST["seconds"]:
                # Epochs are whole numbers.
                ax.xaxis.get_major_locator().set_params(integer=True)
            if twin is not ax:
                twin.set_ylabel(f"Validation {self.validation_kind}")
            # The labels that matplotlib makes begin with an underscore.
            entries = [
                line for line in drawn
                if line.axes in (ax, twin) and not line.get_label().startswith("_")
            ]  # fmt: skip
            if entries:
                # The twin is drawn last, and its curves would cover a legend of the other axes.
                write_legend(twin, handles=entries)


def _as_list(curves):
    """One curve or a list of curves, as a list."""
    if curves is None:
        return [None]
    several = any(curve is None or np.ndim(curve) for curve in curves)
    return list(curves) if several else [curves]


def _draw(ax, at, curve, given, style):
    """Draw one line, with one point per epoch unless it is said where the points are."""
    if len(curve) == 1:
        # A line through one point is not visible.
        given = {"marker": "o", **given}
    if at is None:
        at = np.arange(1, len(curve) + 1)
    elif at[0] == 0:
        given = {"marker": "o", "markevery": [0], **given}
    return ax.plot(at, curve, **styled(given, style))[0]
