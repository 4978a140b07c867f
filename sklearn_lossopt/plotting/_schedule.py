"""Learning rates by epoch, and the objective that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._trace import trace
from sklearn_lossopt._typing import Array, MatrixLike
from sklearn_lossopt.plotting._legends import cycled, write_legend
from sklearn_lossopt.plotting._results import component_label
from sklearn_lossopt.plotting._shared import Estimators, Styles, check_scale, named, styled
from sklearn_lossopt.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class ScheduleDisplay:
    """The learning rate by epoch and, after fits, the objective F below it.

    ``from_schedules`` draws the rules alone. ``from_estimators`` fits estimators, and draws the
    rates that they used and the F that they reached.

    Parameters
    ----------
    epoch : list of array-like of shape (n_points,)
        Epochs made at the points of each curve.
    learning_rate : list of array-like of shape (n_points,)
        The learning rates there.
    objective : list of array-like of shape (n_points,), default=None
        F there; None if nothing was fitted.
    name : list of str
        The curves' labels.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the learning rates.
    objective_ax_ : matplotlib Axes or None
        Axes with F.
    figure_ : matplotlib Figure
        Figure with the axes.
    lines_, objective_lines_ : list of matplotlib Line2D
        The curves; the second is empty where nothing was fitted.

    Examples
    --------
    >>> from sklearn_lossopt.plotting import ScheduleDisplay
    >>> display = ScheduleDisplay.from_schedules(["constant", "cosine"], max_iter=10)
    >>> display.learning_rate[1][[0, 50]].round(3)
    array([1. , 0.5])
    """

    ax_: Axes
    objective_ax_: Axes | None
    figure_: Figure
    lines_: list[Line2D]
    objective_lines_: list[Line2D]

    def __init__(
        self,
        *,
        epoch: Sequence[ArrayLike],
        learning_rate: Sequence[ArrayLike],
        objective: Sequence[ArrayLike] | None = None,
        name: Sequence[str],
    ) -> None:
        self.epoch = epoch
        self.learning_rate = learning_rate
        self.objective = objective
        self.name = name

    @classmethod
    def from_schedules(
        cls,
        schedules: Sequence[str | Schedule] | dict[str, Any],
        *,
        learning_rate: float = 1.0,
        max_iter: int = 100,
        steps_per_epoch: int = 10,
        ax: Axes | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Draw schedules without fits.

        Parameters
        ----------
        schedules : list of (str or Schedule), or dict of str to these
            Names or objects. A schedule that reacts to the objective needs fits: see
            ``from_estimators``.
        learning_rate : float, default=1.0
            The learning rate that the factors multiply.
        max_iter : int, default=100
            Epochs.
        steps_per_epoch : int, default=10
            Updates per epoch.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : ScheduleDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_schedules")
        given = list(schedules.values() if isinstance(schedules, dict) else schedules)
        if not given:
            raise ValueError("schedules is empty: there is nothing to draw.")
        found = [Schedule.resolve(schedule) for schedule in given]
        names = [component_label(schedule)[1] for schedule in found]
        names = list(schedules) if isinstance(schedules, dict) else names
        for name, schedule in zip(names, found, strict=True):
            if schedule.reacts:
                raise ValueError(
                    f"{name} depends on the objective. Draw a fit: ScheduleDisplay.from_estimators."
                )
        steps = np.arange(max_iter * steps_per_epoch, dtype=np.float64)
        rates = [learning_rate * found_(steps, steps_per_epoch, max_iter) for found_ in found]
        display = cls(epoch=[steps / steps_per_epoch] * len(found), learning_rate=rates, name=names)
        return display.plot(ax, curve_kwargs=curve_kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Estimators,
        X: MatrixLike,
        y: ArrayLike,
        *,
        every: Literal["update", "epoch"] = "epoch",
        sample_weight: ArrayLike | None = None,
        ax: Sequence[Axes] | Array | None = None,
        yscale: str | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Fit clones of estimators; draw their learning rates and objectives.

        Parameters
        ----------
        estimators : dict of str to estimator, or list of estimators
            ``GradientRegressor``, ``GradientClassifier`` or pipelines that end in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        every : {"update", "epoch"}, default="epoch"
            Whether a curve has a point for each update or for each epoch.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        ax : array-like of two matplotlib Axes, default=None
            For the rates and for F; a new figure if None.
        yscale : str, default=None
            Scale of the axis of F, such as "log" or "linear"; None leaves it unchanged.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : ScheduleDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_estimators")
        names, estimators = named("estimators", estimators)
        traces = [trace(model, X, y, sample_weight, every=every) for model in estimators]
        display = cls(
            epoch=[found.epoch for found in traces],
            learning_rate=[found.learning_rate for found in traces],
            objective=[found.objective for found in traces],
            name=names,
        )
        return display.plot(ax, yscale=yscale, curve_kwargs=curve_kwargs)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | Array | None = None,
        *,
        yscale: str | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two, default=None
            For the rates, or for rates and F; a new figure if None.
        yscale : str, default=None
            Scale of the axis of F, such as "log" or "linear"; None leaves it unchanged.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : ScheduleDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        check_scale("yscale", yscale)
        fitted = self.objective is not None
        if ax is None:
            size = (6.4, 6.4) if fitted else (6.4, 4.0)
            ax = plt.subplots(
                1 + fitted, 1, sharex=True, squeeze=False, figsize=size, layout="constrained"
            )[1][:, 0]
        axes = list(np.ravel(ax))
        if len(axes) > 1 + fitted:
            raise ValueError(f"ax has {len(axes)} Axes for {1 + fitted}.")
        self.ax_, self.figure_ = axes[0], axes[0].figure
        self.objective_ax_ = axes[1] if len(axes) == 2 else None
        styles = cycled("curve_kwargs", curve_kwargs, len(self.name))
        self.lines_, self.objective_lines_ = [], []
        for r, name in enumerate(self.name):
            given = styled({"label": name}, styles[r])
            self.lines_ += self.ax_.plot(self.epoch[r], self.learning_rate[r], **given)
            if self.objective_ax_ is not None:
                given["color"] = self.lines_[-1].get_color()
                value = np.asarray(self.objective[r])
                self.objective_lines_ += self.objective_ax_.plot(self.epoch[r], value, **given)
        self.ax_.set_ylabel("Learning rate")
        if self.objective_ax_ is not None:
            self.objective_ax_.set_ylabel("Objective F")
            if yscale is not None:
                self.objective_ax_.set_yscale(yscale)
        axes[-1].set_xlabel("Epoch")
        write_legend(self.ax_)
        return self
