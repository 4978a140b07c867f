"""Base classes of losses."""

import numpy as np

from sklearn_lossopt._component import Component
from sklearn_lossopt._engine import LOSS_KERNELS

# What a loss says of its formula beside the gradient. Certificates rest on it, so that a class
# with another formula does not inherit it.
FACTS = (
    "_breakpoints", "_constant", "_curvature", "_curvature_bound", "_curvature_operator",
    "_dual_form", "_fenchel_gap", "_loss_scale", "_trust_radius", "_y_scale", "shift_invariant",
)  # fmt: skip


class Loss(Component, family="loss"):
    """Base of all losses; subclass ``RegressionLoss`` or ``ClassificationLoss`` for your own.

    A registered loss has a compiled kernel of its own name. A user's loss overrides
    ``loss_gradient`` instead, in NumPy; the engine then calls it once a batch.
    """

    # Whether GradientRegressor / GradientClassifier accept the loss.
    regression = False
    classification = False
    # A smooth loss has a continuous derivative.
    smooth = True
    # With more than two classes: one softmax-like loss of all columns, or one-vs-rest columns.
    joint = False
    has_proba = False
    # Whether adding the same number to all of a row's raw predictions leaves a joint loss alone.
    shift_invariant = False
    # Whether the minimiser of the objective is worth having: see Perceptron.
    learns_at_optimum = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        owner = next(base for base in cls.__mro__ if "loss_gradient" in vars(base))
        above = cls.__mro__[cls.__mro__.index(owner) + 1 :]
        replaced = [i for i, base in enumerate(above) if _has_formula(base)]
        if not replaced:
            return
        generic = (RegressionLoss, ClassificationLoss, Loss)
        for fact in FACTS:
            bases = [base for base in cls.__mro__ if fact in vars(base)]
            if bases[0] in above[replaced[0] :] and bases[0] not in generic:
                known = next(base for base in bases if base in generic)
                setattr(cls, fact, vars(known)[fact])

    def _kernel(self, n_outputs):
        """The compiled kernel's name, or the Python method where the class overrides it."""
        return self.loss_gradient if self._is_custom() else self._compiled(n_outputs)

    def _is_custom(self):
        return type(self).loss_gradient is not Loss.loss_gradient

    def _compiled(self, n_outputs):
        return self.name

    def loss_gradient(self, y, raw):
        """Loss and derivative of each row.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
            Targets: numbers for a regression loss; -1 or +1 for a classification loss, or class
            indices 0 ... k - 1, shape (n,), if the loss is joint and ``raw`` has k columns.
        raw : ndarray of shape (n,) or (n, k)
            Raw predictions (the linear model's outputs).

        Returns
        -------
        value : ndarray of shape (n,)
            Loss of each row, summed over its columns.
        gradient : ndarray of raw's shape
            Derivative of the row's loss with respect to ``raw``.
        """
        if self.name is None:
            raise NotImplementedError(f"{type(self).__name__} must override loss_gradient().")
        raw = np.asarray(raw)
        if raw.dtype not in (np.float32, np.float64):
            raw = raw.astype(np.float64)
        kernel = LOSS_KERNELS[self._compiled(1 if raw.ndim == 1 else raw.shape[1])]
        y, row = np.asarray(y), np.array(self._kernel_row())
        if row.ndim == 1:
            return kernel(y, raw, row)
        # One row of numbers an output.
        parts = [kernel(y[:, c], raw[:, c], row[c]) for c in range(raw.shape[1])]
        return sum(value for value, _ in parts), np.stack([g for _, g in parts], axis=1)

    def _prepared(self, residual_scale):
        """The loss to train with; ``residual_scale(epsilon)`` estimates a scale from the data."""
        return self

    def _check_target(self, y):
        """Raise ValueError where y is outside the loss's domain."""

    def _predict(self, raw):
        """The prediction on the scale of y: the inverse of the link."""
        return raw

    def _identity(self):
        """What is the same for losses that are the same function."""
        return type(self), *sorted(vars(self).items())

    # What the default settings need to know of a loss. `y_scale` is a typical size of the targets.

    def _y_scale(self, y, weight=None):
        """A robust scale of y (n, k): 1.4826 times its median absolute deviation, or a mean
        deviation where half of the targets are nearly equal."""
        distance = np.abs(y - weighted_median(y, weight)).reshape(-1, 1)
        if weight is not None:
            weight = np.repeat(weight, y.shape[1])
        y_scale = 1.4826 * weighted_median(distance, weight)[0]
        wide = weighted_quantile(distance, weight, 0.95)[0]
        if y_scale <= 1e-3 * wide:
            distance = distance[:, 0]
            near = np.average(np.minimum(distance, wide), weights=weight)
            y_scale = near or np.average(distance, weights=weight)
        return float(y_scale)

    def _curvature_bound(self, y_scale, n_outputs=1):
        """An upper bound of the second derivative; for a loss without one, a typical size.

        None where it has to be measured, see ``Objective.curvature_bound``.
        """
        return None if self._is_custom() else 1.0

    def _loss_scale(self, y_scale):
        """A typical size of the loss."""
        return 1.0

    def _trust_radius(self, y_scale):
        """How far a raw prediction may move before the curvature is another."""
        return y_scale

    def _curvature(self, y, raw):
        """Second derivative of each row's loss with respect to each raw prediction, in raw's
        shape (n, k); None where it is no guide.

        For a user's smooth loss, central differences of its gradient.
        """
        if not (self.smooth and self._is_custom()):
            return None
        along = self._curvature_operator(y, raw)
        out = np.empty(raw.shape)
        for r in range(raw.shape[1]):
            unit = np.zeros(raw.shape)
            unit[:, r] = 1.0
            out[:, r] = along(unit)[:, r]
        return np.maximum(out, 0.0)

    def _curvature_operator(self, y, raw):
        """The function that maps a direction to the gradient's derivative along it, both in
        raw's shape (n, k)."""
        if not self._is_custom():
            return self._curvature(y, raw).__mul__
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]

        def gradient(z):
            return self.loss_gradient(y, z[:, 0] if z.shape[1] == 1 else z)[1].reshape(z.shape)

        def product(direction):
            size = np.maximum(np.abs(direction).max(axis=1, keepdims=True), 1e-300)
            h = 1e-5 * np.maximum(1.0, np.abs(raw).max(axis=1, keepdims=True)) / size
            return (gradient(raw + h * direction) - gradient(raw - h * direction)) / (2 * h)

        return product

    def _breakpoints(self, y):
        """A piecewise linear loss as a sum of kinks: a list of (where, slope below, slope above),
        each in y's shape; None for other losses."""
        return None

    def _dual_form(self, y):
        """The loss as a ``DualForm``, if it has derivatives in a bounded range or flat parts;
        None for other losses. With it such a loss can be minimised where no row has curvature."""
        return None

    def _fenchel_gap(self, y, raw, dual):
        """The loss at ``raw`` plus its conjugate at ``dual`` less their product, (n, k), or (n,)
        for a joint loss: 0 where dual is the derivative at raw, infinite where it is none
        anywhere. None where that is not known. Certificates of the optimum rest on it."""
        form = self._dual_form(y)
        return None if form is None else form.gap(raw, dual)

    def _of_output(self, output):
        """The loss of one of several outputs by itself."""
        return self

    def _constant(self, y, weight):
        """The raw prediction of the best constant model for each column of y (n, k)."""
        raise NotImplementedError


def weighted_quantile(y, weight, level):
    """The quantile of each column of y (n, k), an observed value; shape (k,)."""
    # Rounded weights are to be as good as repeated rows, where a share is the level to rounding.
    level *= 1 - 1e-6
    if weight is None:
        return np.quantile(y, level, axis=0, method="inverted_cdf")
    out = np.empty(y.shape[1])
    for column in range(y.shape[1]):
        order = np.argsort(y[:, column])
        share = np.cumsum(weight[order], dtype=np.float64)
        at = np.searchsorted(share, level * share[-1])
        out[column] = y[order[min(at, len(y) - 1)], column]
    return out


def weighted_median(y, weight):
    """The median of each column of y (n, k), halfway between two middle values; shape (k,)."""
    if weight is None:
        return np.median(y, axis=0)
    return 0.5 * sum(weighted_quantile(y, weight, level) for level in (0.5, 0.5 + 1e-6))


def measured_curvature(loss, y, raw, weight, y_scale):
    """Nearly the largest second derivative of a loss at raw predictions (n, k); for a loss
    without one, as if each of its jumps took ``y_scale``."""
    h = loss._curvature(y, raw)
    if h is None:
        given = (y, raw) if raw.shape[1] > 1 else (y.reshape(-1), raw[:, 0])
        h = np.abs(loss.loss_gradient(*given)[1]).reshape(raw.shape) / y_scale
    h = np.where(np.isfinite(h), h, 0)
    # The outputs of a joint loss add to each other's curvature: twice, for softmax.
    joint = 2.0 if y.ndim < raw.ndim else 1.0
    return joint * float(weighted_quantile(h, weight, 0.95).max() or h.max()) or 1.0


def _has_formula(base):
    return issubclass(base, Loss) and (
        base.name is not None or base.loss_gradient is not Loss.loss_gradient
    )


def bisect_constant(loss, y, weight, low, high):
    """The constant (k,) at which the mean gradient of each column of y (n, k) changes sign.

    The search starts in [low, high], which need not hold it: raw predictions can be in other
    units than y.
    """
    low, high = (np.broadcast_to(np.float64(end), y.shape[1]) for end in (low, high))
    # Column by column: a custom loss of one output expects one-dimensional arrays.
    return np.array(
        [
            _bisect(loss, np.ascontiguousarray(column, np.float64), weight, *ends)
            for column, *ends in zip(y.T, low, high, strict=True)
        ]
    )


def _bisect(loss, y, weight, low, high):
    def slope(z):
        gradient = loss.loss_gradient(y, np.full(len(y), z))[1]
        mean = np.average(gradient, weights=weight)
        # What overflows does so far from 0.
        return z if np.isnan(mean) else mean

    ends, width = (low, high), max(high - low, 1.0)
    with np.errstate(all="ignore"):
        for _ in range(60):
            if slope(low) > 0:
                low, high = low - width, low
            elif slope(high) < 0:
                low, high = high, high + width
            else:
                break
            width *= 2
        else:
            # It only falls, or only rises.
            low, high = ends
        for _ in range(100):
            middle = 0.5 * (low + high)
            if not low < middle < high or high - low <= 1e-15 * abs(middle):
                break
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 0.5 * (low + high)


class RegressionLoss(Loss):
    """Base of losses whose target is a number."""

    regression = True

    def _constant(self, y, weight):
        return bisect_constant(self, y, weight, y.min(axis=0), y.max(axis=0))


class ClassificationLoss(Loss):
    """Base of losses whose target is a class.

    Binary: y is -1 or +1. More classes: y is the class index and ``raw`` has one column a class;
    with the class attribute ``joint = False``, each column is instead a one-vs-rest problem with
    y = -1 or +1.
    """

    classification = True
    joint = True

    def _y_scale(self, y, weight=None):
        return 1.0

    def _constant(self, y, weight):
        return np.zeros(y.shape[1])

    def _probabilities(self, raw):
        """Class probabilities (n, n_classes) from raw (n,) or (n, n_classes)."""
        raise NotImplementedError

    def _log_probabilities(self, raw):
        """Their logarithms."""
        with np.errstate(divide="ignore"):
            return np.log(self._probabilities(raw))
