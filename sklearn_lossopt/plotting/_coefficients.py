"""Coefficients by the strength of the penalty, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt._typing import MatrixLike
from sklearn_lossopt.plotting._legends import with_legend, write_legend
from sklearn_lossopt.plotting._shared import Styles, last_step, one_each, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Curves that get a label of their own; others are named by their largest coefficients.
MOST_LABELS = 12


class CoefficientPathDisplay:
    """Coefficients of a linear model against ``alpha``, the strength of its penalty.

    ``from_estimator`` fits the models, ``from_estimators`` takes fitted ones, and ``from_search``
    draws the alphas that a search tried. Coefficients are in the units of X, or ``standardized``:
    each is multiplied by the standard deviation of its column, which makes them comparable.

    Parameters
    ----------
    alpha : array-like of shape (n_alphas,)
        The penalties, ascending.
    coef : array-like of shape (n_alphas, n_features)
        The coefficients.
    feature_names : list of str
        Labels of the features.
    best_alpha : float, default=None
        The best alpha of a search, marked by a vertical line.
    standardized : bool, default=False
        Whether ``coef`` is standardised; this changes the label only.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure with the axes.
    lines_ : list of matplotlib Line2D
        A curve for each feature.
    best_line_ : matplotlib Line2D or None
        The line at ``best_alpha``.

    See Also
    --------
    coef_table : The coefficients of one fit by the names of the features.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.plotting import CoefficientPathDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = GradientRegressor(l1_ratio=1.0, random_state=0)
    >>> display = CoefficientPathDisplay.from_estimator(model, X, y, alphas=[0.01, 0.1, 1, 2.2])
    >>> (display.coef != 0).sum(axis=1)
    array([10,  7,  3,  0])
    """

    ax_: Axes
    figure_: Figure
    lines_: list[Line2D]
    best_line_: Line2D | None

    def __init__(
        self,
        *,
        alpha: ArrayLike,
        coef: ArrayLike,
        feature_names: Sequence[str],
        best_alpha: float | None = None,
        standardized: bool = False,
    ) -> None:
        self.alpha = alpha
        self.coef = coef
        self.feature_names = feature_names
        self.best_alpha = best_alpha
        self.standardized = standardized

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike,
        *,
        alphas: ArrayLike,
        standardized: bool = True,
        ax: Axes | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Fit a clone for each alpha and draw the coefficients.

        Parameters
        ----------
        estimator : estimator or Pipeline
            An estimator with a parameter ``alpha`` and a ``coef_`` of one output, or a pipeline
            that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Targets.
        alphas : array-like of shape (n_alphas,)
            The penalties.
        standardized : bool, default=True
            Whether to multiply coefficients by the standard deviations of their columns.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : CoefficientPathDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        display = cls._fitted(estimator, X, y, alphas, standardized, None)
        return display.plot(ax, curve_kwargs=curve_kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Sequence[BaseEstimator],
        *,
        ax: Axes | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Draw the coefficients of fitted estimators, in the units of X.

        Parameters
        ----------
        estimators : list of estimator or Pipeline
            Fitted estimators with ``alpha`` and a ``coef_`` of one output, or pipelines that end in
            one.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : CoefficientPathDisplay
            The display, drawn.
        """
        require_matplotlib(f"{cls.__name__}.from_estimators")
        estimators = list(estimators)
        if not estimators:
            raise ValueError("estimators is empty: there is nothing to draw.")
        return cls._of(estimators, None, None).plot(ax, curve_kwargs=curve_kwargs)

    @classmethod
    def from_search(
        cls,
        search: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike,
        *,
        standardized: bool = True,
        ax: Axes | None = None,
        curve_kwargs: Styles | None = None,
    ) -> Self:
        """Fit the best candidate of a search with each alpha that it tried; draw the coefficients.

        Parameters
        ----------
        search : BaseSearchCV
            A fitted search over ``alpha``, with ``refit``.
        X, y : array-like
            The data that it was fitted on.
        standardized : bool, default=True
            Whether to multiply coefficients by the standard deviations of their columns.
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : CoefficientPathDisplay
            The display, drawn, with a line at the best alpha.
        """
        require_matplotlib(f"{cls.__name__}.from_search")
        check_is_fitted(search, "best_estimator_")
        name = _alpha_of(search.best_estimator_)
        alphas = sorted({params[name] for params in search.cv_results_["params"] if name in params})
        if not alphas:
            raise ValueError(f"The {type(search).__name__} did not search {name!r}.")
        best = search.best_params_[name]
        display = cls._fitted(search.best_estimator_, X, y, alphas, standardized, best)
        return display.plot(ax, curve_kwargs=curve_kwargs)

    @classmethod
    def _fitted(cls, estimator, X, y, alphas, standardized, best):
        name = _alpha_of(estimator)
        fits = [clone(estimator).set_params(**{name: alpha}).fit(X, y) for alpha in alphas]
        return cls._of(fits, _deviations(fits[0], X) if standardized else None, best)

    @classmethod
    def _of(cls, fits, scale, best):
        rows = [_one_output(fit) for fit in fits]
        alphas = np.array([last_step(fit).alpha for fit in fits], dtype=np.float64)
        order = np.argsort(alphas, kind="stable")
        coef = np.array(rows)[order]
        return cls(
            alpha=alphas[order],
            coef=coef if scale is None else coef * scale,
            feature_names=_feature_names(fits[0], coef.shape[1]),
            best_alpha=best,
            standardized=scale is not None,
        )

    def plot(self, ax: Axes | None = None, *, curve_kwargs: Styles | None = None) -> Self:
        """Draw the coefficients.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot``, for all curves or for each.

        Returns
        -------
        display : CoefficientPathDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        coef = np.asarray(self.coef)
        styles = one_each("curve_kwargs", curve_kwargs, coef.shape[1])
        largest = set(np.argsort(-np.abs(coef).max(axis=0))[:MOST_LABELS])
        ax, place = with_legend(ax, [self.feature_names[j] for j in largest])
        self.ax_, self.figure_ = ax, ax.figure
        colors = plt.get_cmap("tab20" if coef.shape[1] > 10 else "tab10")
        self.lines_ = []
        for j, name in enumerate(self.feature_names):
            given = {"label": name if j in largest else f"_{name}", "color": colors(j % 20)}
            if len(coef) == 1:
                # A line through one point is not visible.
                given["marker"] = "o"
            self.lines_ += ax.plot(self.alpha, coef[:, j], **styled(given, styles[j]))
        ax.axhline(0, color="grey", linewidth=0.6)
        self.best_line_ = None
        if self.best_alpha is not None:
            self.best_line_ = ax.axvline(self.best_alpha, color="grey", ls="--", label="best alpha")
        unit = "Coefficient times its column's deviation" if self.standardized else "Coefficient"
        ax.set(xlabel="alpha", ylabel=unit)
        ax.set_xscale("log" if np.min(self.alpha) > 0 else "symlog")
        write_legend(ax, **place)
        return self


def coef_table(estimator: BaseEstimator, feature_names: Sequence[str] | None = None) -> Any:
    """The coefficients of a fitted linear model by the names of its features.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A fitted estimator with ``coef_``, or a pipeline that ends in one; the names are then those
        of the transformed columns.
    feature_names : list of str, default=None
        The names. None means the names of the columns of X or, if they have none, x0, x1 and so on.

    Returns
    -------
    table : pandas.DataFrame, or dict of str to ndarray
        A row for each feature, sorted by the size of its coefficients, and last the intercept. It
        has a column "coefficient", or one for each class or target. Without pandas it is a dict,
        whose first entry "feature" has the names.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.plotting import coef_table
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> table = coef_table(GradientRegressor(random_state=0).fit(X[["bmi", "bp"]], y))
    >>> list(table.index)
    ['bmi', 'bp', 'intercept']
    """
    model = last_step(estimator)
    check_is_fitted(estimator)
    coef = _coef(model)
    names = list(feature_names) if feature_names is not None else None
    names = names or _feature_names(estimator, coef.shape[1])
    if len(names) != coef.shape[1]:
        raise ValueError(
            f"feature_names has {len(names)} entries for {coef.shape[1]} coefficients."
        )
    order = np.argsort(-np.abs(coef).max(axis=0), kind="stable")
    rows = np.vstack([coef.T[order], np.reshape(np.broadcast_to(model.intercept_, len(coef)), -1)])
    index = [names[j] for j in order] + ["intercept"]
    columns = ["coefficient"]
    if len(coef) > 1:
        columns = list(getattr(model, "classes_", [f"target {k}" for k in range(len(coef))]))
    try:
        import pandas as pd
    except ImportError:
        return {"feature": np.array(index), **dict(zip(map(str, columns), rows.T, strict=True))}
    return pd.DataFrame(rows, pd.Index(index, name="feature"), columns)


def _alpha_of(estimator):
    """The name of ``alpha`` in an estimator or a pipeline."""
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    if "alpha" not in estimator.get_params(deep=False):
        raise ValueError(f"{type(estimator).__name__} has no parameter alpha.")
    return f"{prefix}alpha"


def _coef(model):
    """``coef_`` as a dense array (n_outputs, n_features)."""
    if not hasattr(model, "coef_"):
        raise ValueError(f"{type(model).__name__} has no coef_: only linear models have one.")
    coef = model.coef_
    return np.atleast_2d(coef.toarray() if hasattr(coef, "toarray") else coef)


def _one_output(estimator):
    coef = _coef(last_step(estimator))
    if len(coef) > 1:
        raise ValueError(
            f"coef_ has {len(coef)} rows, one for each class or target; a path is drawn of one."
        )
    return coef[0]


def _feature_names(estimator, n):
    """Names of the features that the last step was fitted on."""
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        return list(map(str, estimator[:-1].get_feature_names_out()))
    known = getattr(last_step(estimator), "feature_names_in_", None)
    return [f"x{j}" for j in range(n)] if known is None else list(map(str, known))


def _deviations(fitted, X):
    """The standard deviation of each column that the last step was fitted on."""
    if isinstance(fitted, Pipeline) and len(fitted) > 1:
        X = fitted[:-1].transform(X)
    if hasattr(X, "toarray"):
        mean = np.asarray(X.mean(axis=0)).ravel()
        return np.sqrt(np.maximum(np.asarray(X.multiply(X).mean(axis=0)).ravel() - mean**2, 0))
    return np.asarray(X, dtype=np.float64).std(axis=0)
