"""What loss curves are made of: the curves of fitted estimators, and what they measure."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_lossopt._estimators.base import BaseGradientEstimator
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Schedule

# A curve may lie this far below its reference, relative to it: both are rounded sums.
_BELOW = 1e-8


def loss_curve(estimator):
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


def validation_curve(estimator):
    """A fitted estimator's validation curve and its kind; (None, None) without one."""
    scoring = getattr(estimator, "scoring", "loss")
    own = "loss" if isinstance(scoring, str) and scoring == "loss" else "score"
    for attribute, kind in (("validation_curve_", own), ("validation_scores_", "score")):
        curve = getattr(estimator, attribute, None)
        if curve is not None and len(curve):
            return np.asarray(curve, dtype=np.float64), kind
    return None, None


def suboptimality(curve, reference):
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


def loss_of(estimator):
    """What the curve of an estimator measures, for the title of a panel."""
    loss = getattr(estimator, "loss", None)
    return None if loss is None else loss if isinstance(loss, str) else repr(loss)


def has_running_means(estimator):
    """Whether ``loss_curve_`` has the mean over each epoch's batches, with dropout where there is
    some, rather than F at the end of the epoch."""
    if not isinstance(estimator, BaseGradientEstimator):
        return False
    optimizer = Optimizer.resolve(estimator.optimizer)
    if optimizer.minimize is not None or optimizer._has_average:
        return False
    automatic = isinstance(estimator.schedule, str) and estimator.schedule == "auto"
    if automatic:
        # Networks: a rule that needs no objective.
        return bool(np.size(estimator.hidden_layer_sizes))
    return estimator.tol == 0 and not Schedule.resolve(estimator.schedule).reacts


def show_others(ax, lines):
    """Limits of an axis by the curves that do not diverge, and by where the others start.

    Parameters
    ----------
    ax : matplotlib Axes
    lines : list of (Line2D, bool)
        Curves, on these axes or others, and whether they diverge.
    """
    shown = [
        line.get_ydata()[: 1 if diverges else None] for line, diverges in lines if line.axes is ax
    ]
    shown = np.concatenate(shown) if shown else np.array([])
    shown = shown[np.isfinite(shown)]
    if not len(shown):
        return
    low, high = shown.min(), shown.max()
    # Room above for what a curve does before it leaves.
    if ax.get_yscale() == "log":
        ax.set_ylim(low / (10 * high / low) ** 0.05, 10 * high)
    else:
        room = (high - low) or abs(high) or 1.0
        ax.set_ylim(low - 0.05 * room, high + 0.5 * room)
