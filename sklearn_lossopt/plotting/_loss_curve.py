"""Loss curves of fitted estimators."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_lossopt.plotting._compat import check_matplotlib_support
from sklearn_lossopt.plotting._shared import check_positive, last_step, one_each, styled

# A curve may lie this far below its reference, relative to it: both are rounded sums.
_BELOW = 1e-8


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

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the training curves.
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

    def __init__(
        self,
        *,
        loss_curve,
        validation_curve=None,
        best_iter=None,
        name=None,
        reference=None,
        validation_kind="loss",
    ):
        self.loss_curve = loss_curve
        self.validation_curve = validation_curve
        self.best_iter = best_iter
        self.name = name
        self.reference = reference
        self.validation_kind = validation_kind

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        ax=None,
        name=None,
        validation=True,
        log_scale=None,
        reference=None,
        curve_kwargs=None,
    ):
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
        log_scale : bool, default=None
            Whether the loss axis is logarithmic. None means yes if there is a reference, and
            otherwise leaves the axis unchanged.
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
            [name or _labels([estimator])[0]],
            validation,
            reference,
            dict(ax=ax, log_scale=log_scale, curve_kwargs=curve_kwargs),
        )

    @classmethod
    def from_estimators(
        cls,
        estimators,
        *,
        ax=None,
        validation=True,
        log_scale=None,
        reference=None,
        curve_kwargs=None,
    ):
        """Draw the curves of several fitted estimators into one plot.

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
        log_scale : bool, default=None
            Whether the loss axis is logarithmic. None means yes if there is a reference, and
            otherwise leaves the axis unchanged.
        reference : float or list of float, default=None
            Value to subtract from the training curves: one for all, or one for each.
        curve_kwargs : dict or list of dict, default=None
            Arguments of ``Axes.plot`` for the training curves, for all or for each.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        if isinstance(estimators, dict):
            names, estimators = list(estimators), list(estimators.values())
        else:
            estimators = list(estimators)
            names = _labels(estimators)
        if not estimators:
            raise ValueError("estimators is empty: there is nothing to draw.")
        return cls._from(
            estimators,
            names,
            validation,
            reference,
            dict(ax=ax, log_scale=log_scale, curve_kwargs=curve_kwargs),
        )

    @classmethod
    def _from(cls, estimators, names, validation, reference, drawing):
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if validation not in (True, False, "loss", "score"):
            raise ValueError(
                f"validation must be True, False, 'loss' or 'score'. Got {validation!r} instead."
            )
        fits = [last_step(estimator) for estimator in estimators]
        curves = [_loss_curve(fit) for fit in fits]
        found = [_validation_curve(fit) if validation else (None, None) for fit in fits]
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
        )
        return display.plot(**drawing)

    def plot(
        self, ax=None, *, name=None, log_scale=None, curve_kwargs=None, validation_kwargs=None
    ):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; a new figure if None.
        name : str or list of str, default=None
            Labels; the display's own if None.
        log_scale : bool, default=None
            Whether the loss axis is logarithmic. None means yes if there is a reference, and
            otherwise leaves the axis unchanged.
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
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        curves = self._training_curves()
        n = len(curves)
        validation = one_each("validation_curve", _as_list(self.validation_curve), n)
        best = one_each("best_iter", self.best_iter, n)
        names = one_each("name", self.name if name is None else name, n)
        styles = one_each("curve_kwargs", curve_kwargs, n)
        validation_styles = one_each("validation_kwargs", validation_kwargs, n)
        if log_scale is None and self.reference is not None:
            log_scale = True
        shown = [curve for curve in validation if curve is not None]
        shared = self.validation_kind == "loss" and self.reference is None
        if log_scale:
            check_positive(curves + (shown if shared else []))

        self.ax_ = plt.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.validation_ax_ = None
        if shown:
            self.validation_ax_ = self.ax_ if shared else self.ax_.twinx()
        self.lines_, self.validation_lines_ = [], []
        for r, curve in enumerate(curves):
            line = _draw(self.ax_, curve, {"label": names[r]}, styles[r])
            self.lines_.append(line)
            self.validation_lines_.append(None)
            if validation[r] is not None:
                label = "validation" if names[r] is None else f"{names[r]}, validation"
                given = {"color": line.get_color(), "linestyle": "--", "label": label}
                # 0 is the starting point, which is not on the curve.
                if best[r] is not None and 1 <= best[r] <= len(validation[r]):
                    given |= {"marker": "o", "markevery": [best[r] - 1]}
                self.validation_lines_[r] = _draw(
                    self.validation_ax_, validation[r], given, validation_styles[r]
                )
        self._label_axes(log_scale, shared)
        return self

    def _training_curves(self):
        """The training curves minus their references."""
        curves = [np.asarray(curve, dtype=np.float64) for curve in _as_list(self.loss_curve)]
        references = one_each("reference", self.reference, len(curves))
        return [
            curve if reference is None else _suboptimality(curve, float(reference))
            for curve, reference in zip(curves, references, strict=True)
        ]

    def _label_axes(self, log_scale, shared):
        ylabel = "Loss" if self.reference is None else "Loss above the reference"
        self.ax_.set(xlabel="Epoch", ylabel=ylabel)
        if log_scale is not None:
            self.ax_.set_yscale("log" if log_scale else "linear")
        if self.ax_.get_xscale() == "linear":
            # Epochs are whole numbers.
            self.ax_.xaxis.get_major_locator().set_params(integer=True)
        if self.validation_ax_ is not None and not shared:
            self.validation_ax_.set_ylabel(f"Validation {self.validation_kind}")
        drawn = [line for line in (*self.lines_, *self.validation_lines_) if line is not None]
        # The labels that matplotlib makes begin with an underscore.
        named = [line for line in drawn if not line.get_label().startswith("_")]
        if named:
            # The twin is drawn last, and its curves would cover a legend of the other axes.
            (self.validation_ax_ or self.ax_).legend(handles=named)


def _loss_curve(estimator):
    """A fitted estimator's training curve."""
    name = type(estimator).__name__
    check_is_fitted(estimator)
    curve = getattr(estimator, "loss_curve_", None)
    if curve is None:
        raise ValueError(
            f"{name} has no loss_curve_: LossCurveDisplay draws estimators that record the loss "
            "of each epoch."
        )
    curve = np.asarray(curve, dtype=np.float64)
    if curve.ndim != 1 or len(curve) == 0:
        raise ValueError(
            f"loss_curve_ of {name} must hold one number an epoch. Its shape is {curve.shape}."
        )
    return curve


def _validation_curve(estimator):
    """A fitted estimator's validation curve and its kind; (None, None) without one."""
    scoring = getattr(estimator, "scoring", "loss")
    own = "loss" if isinstance(scoring, str) and scoring == "loss" else "score"
    for attribute, kind in (("validation_curve_", own), ("validation_scores_", "score")):
        curve = getattr(estimator, attribute, None)
        if curve is not None and len(curve):
            return np.asarray(curve, dtype=np.float64), kind
    return None, None


def _labels(estimators):
    """A label for each estimator: its class and the parameters that differ within the class."""
    fits = [last_step(estimator) for estimator in estimators]
    mixed = len({type(fit) for fit in fits}) > 1
    found = []
    for fit in fits:
        alike = [other.get_params(deep=False) for other in fits if type(other) is type(fit)]
        parts = [
            f"{key}={value!r}"
            for key, value in fit.get_params(deep=False).items()
            if any(repr(other[key]) != repr(value) for other in alike)
        ]
        if mixed or not parts:
            parts.insert(0, type(fit).__name__)
        found.append(", ".join(parts))
    return found


def _suboptimality(curve, reference):
    """A curve minus its reference, at least the rounding error."""
    if not np.isfinite(reference):
        raise ValueError(f"reference must be finite. Got {reference!r} instead.")
    size = abs(reference) or float(np.nanmax(np.abs(curve)))
    lowest = float(np.nanmin(curve))
    if lowest < reference - _BELOW * size:
        raise ValueError(
            f"reference={reference:.10g} lies above the minimum of a curve, {lowest:.10g}, and is "
            "no optimum of that objective. Is it another loss or alpha, or not converged?"
        )
    return np.maximum(curve - reference, np.finfo(np.float64).eps * size)


def _as_list(curves):
    """One curve or a list of curves, as a list."""
    if curves is None:
        return [None]
    several = any(curve is None or np.ndim(curve) for curve in curves)
    return list(curves) if several else [curves]


def _draw(ax, curve, given, style):
    """Draw one line with one point per epoch."""
    if len(curve) == 1:
        # A line through one point is not visible.
        given = {"marker": "o", **given}
    return ax.plot(np.arange(1, len(curve) + 1), curve, **styled(given, style))[0]
