"""The shapes of losses, and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._typing import Array
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.plotting._legends import BESIDE, cycled, height, with_legend, write_legend
from sklearn_lossopt.plotting._results import component_label
from sklearn_lossopt.plotting._shared import Styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Of each kind: where it is drawn by default, and the label of the abscissa.
KINDS = {
    "regression": ((-3.0, 3.0), "Residual, target - prediction"),
    "classification": ((-2.5, 2.5), "Margin, y · raw prediction"),
}


class LossDisplay:
    """Losses and their derivatives, side by side.

    ``from_losses`` makes one. A regression loss is a function of the residual, target minus
    prediction; a classification loss is one of the margin, y times the raw prediction. Losses with
    a log link, such as ``"poisson"``, are drawn for a target of 1, and so below a residual of 1.

    Parameters
    ----------
    at : array-like of shape (n_points,)
        Residuals or margins.
    value : list of array-like of shape (n_points,)
        The value of each loss; NaN where it is not defined.
    derivative : list of array-like of shape (n_points,)
        The derivative of each, as drawn: by the residual or the margin.
    name : list of str
        Labels of the curves.
    kind : {"regression", "classification"}
        What ``at`` means.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the values.
    derivative_ax_ : matplotlib Axes or None
        Axes with the derivatives.
    figure_ : matplotlib Figure
        Figure with the axes.
    lines_, derivative_lines_ : list of matplotlib Line2D
        The curves of each; the second is empty without derivatives.

    See Also
    --------
    sklearn_lossopt.losses.check_loss : Checks a loss of your own.

    Examples
    --------
    >>> from sklearn_lossopt.plotting import LossDisplay
    >>> display = LossDisplay.from_losses(["squared_error", "huber", "absolute_error"])
    >>> display.name
    ['squared_error', 'Huber(delta=1.345)', 'absolute_error']
    """

    ax_: Axes
    derivative_ax_: Axes | None
    figure_: Figure
    lines_: list[Line2D]
    derivative_lines_: list[Line2D]

    def __init__(
        self,
        *,
        at: ArrayLike,
        value: Sequence[ArrayLike],
        derivative: Sequence[ArrayLike],
        name: Sequence[str],
        kind: Literal["regression", "classification"] = "regression",
    ) -> None:
        self.at = at
        self.value = value
        self.derivative = derivative
        self.name = name
        self.kind = kind

    @classmethod
    def from_losses(
        cls,
        losses: Sequence[str | Loss] | dict[str, Any],
        *,
        kind: Literal["regression", "classification"] | None = None,
        limits: tuple[float, float] | None = None,
        derivative: bool = True,
        ax: Axes | Sequence[Axes] | Array | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Draw losses.

        Parameters
        ----------
        losses : list of (str or Loss), or dict of str to these
            Names or objects, your own included. ``Huber(delta="auto")`` is drawn for residuals
            of scale 1, with delta = 1.345.
        kind : {"regression", "classification"}, default=None
            Which part a loss plays that has both. None means classification if one of the losses
            is for classification alone.
        limits : tuple of (float, float), default=None
            The least and the greatest residual or margin; (-3, 3) or (-2.5, 2.5) if None.
        derivative : bool, default=True
            Whether to draw derivatives, on axes of their own.
        ax : matplotlib Axes, or array-like of two, default=None
            Axes to draw on: for the values, or for values and derivatives. New ones if None.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all losses or for each.

        Returns
        -------
        display : LossDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_losses")
        given = losses if isinstance(losses, dict) else dict.fromkeys(map(_hashable, losses))
        found = [_resolved(loss) for loss in (losses.values() if given is losses else losses)]
        if not found:
            raise ValueError("losses is empty: there is nothing to draw.")
        names = list(losses) if given is losses else [component_label(loss)[1] for loss in found]
        kind = _kind(found, names, kind)
        low, high = KINDS[kind][0] if limits is None else limits
        if not low < high:
            raise ValueError(f"limits must be two ascending numbers. Got {limits!r} instead.")
        # 0 and 1, where losses have kinks, are among the points of the default limits.
        at = np.linspace(low, high, 601)
        curves = [_curve(loss, at, kind) for loss in found]
        values, slopes = map(list, zip(*curves, strict=True))
        display = cls(at=at, value=values, derivative=slopes, name=names, kind=kind)
        return display.plot(ax, derivative=derivative, curve_kwargs=curve_kwargs)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | Array | None = None,
        *,
        derivative: bool = True,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two, default=None
            Axes to draw on: for the values, or for values and derivatives. New ones if None.
        derivative : bool, default=True
            Whether to draw derivatives, which need axes of their own: with one ``ax`` there are
            none.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all losses or for each.

        Returns
        -------
        display : LossDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        styles = cycled("curve_kwargs", curve_kwargs, len(self.value))
        if ax is None and derivative:
            size = 11, max(4, height(self.name))
            ax, place = plt.subplots(1, 2, figsize=size, layout="constrained")[1], BESIDE
        else:
            ax, place = with_legend(ax, self.name)
        axes = [ax] if np.ndim(ax) == 0 else list(np.ravel(ax))
        if len(axes) > 2:
            raise ValueError(f"ax must be one or two Axes. Got {len(axes)}.")
        self.ax_ = axes[0]
        self.derivative_ax_ = axes[1] if derivative and len(axes) == 2 else None
        self.figure_ = self.ax_.figure
        self.lines_, self.derivative_lines_ = [], []
        for r, name in enumerate(self.name):
            given = styled({"label": name}, styles[r])
            self.lines_ += self.ax_.plot(self.at, self.value[r], **given)
            if self.derivative_ax_ is not None:
                given["color"] = self.lines_[-1].get_color()
                self.derivative_lines_ += self.derivative_ax_.plot(
                    self.at, self.derivative[r], **given
                )
        label = KINDS[self.kind][1]
        self.ax_.set(xlabel=label, ylabel="Loss", ylim=_limits(self.value))
        if self.derivative_ax_ is not None:
            variable = "residual" if self.kind == "regression" else "margin"
            self.derivative_ax_.set(
                xlabel=label, ylabel=f"Derivative by the {variable}", ylim=_limits(self.derivative)
            )
        write_legend(self.derivative_ax_ or self.ax_, **place)
        return self


def _hashable(loss):
    return loss if isinstance(loss, str) else id(loss)


def _resolved(loss):
    """A Loss with a number for each "auto"."""
    return Loss.resolve(loss)._prepared(lambda factor: 1.0)


def _kind(losses, names, kind):
    """The part that all the losses play; ValueError where there is none."""
    if kind is None:
        kind = "classification" if not all(loss.regression for loss in losses) else "regression"
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)} or None. Got {kind!r} instead.")
    for loss, name in zip(losses, names, strict=True):
        if not getattr(loss, kind):
            raise ValueError(f"{name} is not a {kind} loss. Draw the two kinds apart.")
    return kind


def _curve(loss, at, kind):
    """The loss and its derivative at residuals or margins."""
    if kind == "classification":
        value, gradient = loss.loss_gradient(np.ones(len(at)), at)
        return np.asarray(value), np.asarray(gradient)
    if not loss._has_link:
        value, gradient = loss.loss_gradient(np.zeros(len(at)), -at)
        return np.asarray(value), -np.asarray(gradient)
    # A log link: predictions are positive, and targets too.
    value, slope = np.full(len(at), np.nan), np.full(len(at), np.nan)
    reached = at < 1
    prediction = 1 - at[reached]
    value[reached], gradient = loss.loss_gradient(np.ones(len(prediction)), np.log(prediction))
    slope[reached] = -gradient / prediction
    return value, slope


def _limits(curves):
    """Limits that show all curves but those that grow much faster than the others."""
    finite = [curve[np.isfinite(curve)] for curve in map(np.asarray, curves)]
    low = min(float(curve.min()) for curve in finite)
    tops = [float(curve.max()) for curve in finite]
    bottoms = [float(curve.min()) for curve in finite]
    high = min(max(tops), 3 * float(np.median(tops)) or max(tops))
    low = max(min(bottoms), 3 * float(np.median(bottoms)) if np.median(bottoms) < 0 else low)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
