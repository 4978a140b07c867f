"""Lift charts: observed against predicted means, by the size of the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length

from sklearn_lossopt._compat import check_sample_weight
from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._typing import MatrixLike
from sklearn_lossopt.plotting._legends import write_legend
from sklearn_lossopt.plotting._shared import Style, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class LiftDisplay:
    """Observed and predicted means in bins of equal weight, from low predictions to high ones.

    For positive targets: claims, counts, costs. A model that separates well has a steep curve, and
    a calibrated one has both curves in the same place. Rows are sorted by their prediction and cut
    where the weights reach equal shares; a row across a cut counts in both bins, by its shares.

    Parameters
    ----------
    observed, predicted : array-like of shape (n_bins,)
        The weighted means of targets and predictions in each bin.
    name : str, default=None
        Label of the predictions.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure with the axes.
    observed_line_, predicted_line_ : matplotlib Line2D
        The two curves.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt.plotting import LiftDisplay
    >>> y_pred = np.array([1.0, 4.0, 2.0, 3.0])
    >>> display = LiftDisplay.from_predictions([0.0, 6.0, 1.0, 5.0], y_pred, n_bins=2)
    >>> display.observed, display.predicted
    (array([0.5, 5.5]), array([1.5, 3.5]))
    """

    ax_: Axes
    figure_: Figure
    observed_line_: Line2D
    predicted_line_: Line2D

    def __init__(
        self, *, observed: ArrayLike, predicted: ArrayLike, name: str | None = None
    ) -> None:
        self.observed = observed
        self.predicted = predicted
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        name: str | None = None,
        ax: Axes | None = None,
        curve_kwargs: Style | None = None,
    ) -> Self:
        """Predict and draw.

        Parameters
        ----------
        estimator : estimator
            A fitted regressor.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data; preferably not the training data.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, such as exposures.
        n_bins : int, default=10
            Number of bins.
        name : str, default=None
            Label; the name of the class if None.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict, default=None
            Arguments of ``Axes.plot`` for both curves.

        Returns
        -------
        display : LiftDisplay
            The display, drawn.
        """
        return cls.from_predictions(
            y, estimator.predict(X), sample_weight=sample_weight, n_bins=n_bins,
            name=name or labels_of([estimator])[0], ax=ax, curve_kwargs=curve_kwargs,
        )  # fmt: skip

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_bins: int = 10,
        name: str | None = None,
        ax: Axes | None = None,
        curve_kwargs: Style | None = None,
    ) -> Self:
        """Draw predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            Targets and predictions.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, such as exposures.
        n_bins : int, default=10
            Number of bins.
        name : str, default=None
            Label of the predictions.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict, default=None
            Arguments of ``Axes.plot`` for both curves.

        Returns
        -------
        display : LiftDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_predictions")
        y_true, y_pred = (np.asarray(y, dtype=np.float64) for y in (y_true, y_pred))
        check_consistent_length(y_true, y_pred)
        if y_true.ndim != 1 or y_true.shape != y_pred.shape:
            raise ValueError(
                "y_true and y_pred must have one number per row. Their shapes are "
                f"{y_true.shape} and {y_pred.shape}."
            )
        weight = check_sample_weight(sample_weight, y_true, ensure_non_negative=True)
        if not 1 <= n_bins <= len(y_true):
            raise ValueError(f"n_bins must be from 1 to {len(y_true)} rows. Got {n_bins!r}.")
        observed, predicted = _means(y_true, y_pred, weight, n_bins)
        display = cls(observed=observed, predicted=predicted, name=name)
        return display.plot(ax, curve_kwargs=curve_kwargs)

    def plot(self, ax: Axes | None = None, *, curve_kwargs: Style | None = None) -> Self:
        """Draw the two curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict, default=None
            Arguments of ``Axes.plot`` for both curves.

        Returns
        -------
        display : LiftDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        bins = np.arange(1, len(self.observed) + 1)
        given, label = curve_kwargs or {}, "predicted"
        label = label if self.name is None else f"{label}, {self.name}"
        (self.observed_line_,) = self.ax_.plot(
            bins, self.observed, **({"marker": "o", "label": "observed"} | given)
        )
        (self.predicted_line_,) = self.ax_.plot(
            bins, self.predicted, **({"marker": "x", "ls": "--", "label": label} | given)
        )
        self.ax_.set(xlabel="Bin of equal weight, by prediction", ylabel="Mean of the target")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        write_legend(self.ax_)
        return self


def _means(y_true, y_pred, weight, n_bins):
    """Means of both in bins of equal weight: differences of the running sums at the cuts.

    Rows with equal predictions have no order: each counts as their mean.
    """
    values, place = np.unique(y_pred, return_inverse=True)
    mass = np.bincount(place, weight)
    ends = np.concatenate([[0.0], np.cumsum(mass)])
    cuts = np.linspace(0, ends[-1], n_bins + 1)
    return tuple(
        np.diff(np.interp(cuts, ends, np.concatenate([[0.0], np.cumsum(sums)]))) * n_bins / ends[-1]
        for sums in (np.bincount(place, weight * y_true), mass * values)
    )
