"""Base classes of losses."""

from typing import Any

import numpy as np

from sklearn_lossopt._component import Component
from sklearn_lossopt._engine import LOSS_KERNELS
from sklearn_lossopt._quantiles import median_and_quantile, weighted_median, weighted_quantile
from sklearn_lossopt._typing import Array
from sklearn_lossopt.losses._links import Identity, Link, ProbabilityLink
from sklearn_lossopt.losses._statistics import piecewise_linear_constant, root_constant

# What a loss states about its formula besides the gradient. Certificates rest on these facts, so a
# class with another formula does not inherit them.
FACTS = (
    "_breakpoints", "_conjugate", "_conjugate_inside", "_constant", "_constant_curvature",
    "_convex", "_curvature", "_curvature_bound", "_curvature_operator", "_dual_domain",
    "_dual_form", "_fenchel_gap", "_gap_radius", "_loss_scale", "_trust_radius", "_y_scale",
    "shift_invariant",
)  # fmt: skip


def _key(value):
    """A parameter as part of a key: an array, such as a number for each output, as a tuple."""
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


# What is typical of targets is no less than this part of the largest, of rows that weigh next to
# nothing: squares of squares in units of it are numbers.
LEAST_SIZE = 1e-75


class Loss(Component, family="loss"):
    """Base of all losses; subclass ``RegressionLoss`` or ``ClassificationLoss`` for your own.

    A registered loss has a compiled kernel of the same name. A user's loss overrides
    ``loss_gradient`` in NumPy, and the engine calls it once per batch.
    """

    # Whether GradientRegressor / GradientClassifier accept the loss.
    regression = False
    classification = False
    # Whether the derivative is continuous.
    smooth = True
    # With more than two classes: one softmax-like loss of all columns, or one-vs-rest columns.
    joint = False
    # Whether raw predictions become class probabilities.
    has_proba = False
    # Whether a joint loss stays the same when one number is added to all of a row's predictions.
    shift_invariant = False
    # Whether the minimiser of the objective is a useful model: see Perceptron.
    learns_at_optimum = True
    # The second derivative, where it is one number for all rows, columns and raw predictions: one
    # factor of the Hessian then serves every output and every step.
    _constant_curvature: float | None = None
    # Whether a row's loss is known to be convex in its raw predictions.
    _convex = False
    # How far each of a row's raw predictions may move, by t, for t' l'' t to bound the Fenchel gap
    # of the dual l' + l'' t; 0 where that is not known.
    _gap_radius = 0.0
    # How raw predictions become predictions on the scale of y; None if only `_predict` knows.
    _link: Link | None = Identity()
    # How they become class probabilities; None if only `_probabilities` knows, or nothing does.
    _probability_link: ProbabilityLink | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A method of another formula does not have the link that a base class states.
        for method, link in (("_predict", "_link"), ("_probabilities", "_probability_link")):
            if method in vars(cls) and link not in vars(cls):
                setattr(cls, link, None)
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
        """Name of the compiled kernel, or the Python method of a class that overrides it."""
        return self.loss_gradient if self._is_custom() else self._compiled(n_outputs)

    def _is_custom(self):
        return type(self).loss_gradient is not Loss.loss_gradient

    def _compiled(self, n_outputs):
        return self.name

    def loss_gradient(self, y: Array, raw: Array) -> tuple[Array, Array]:
        """Loss and derivative of each row.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
            Targets. A regression loss takes numbers, a classification loss -1 or +1. A joint
            loss of k columns takes class indices 0 ... k - 1, of shape (n,).
        raw : ndarray of shape (n,) or (n, k)
            Raw predictions: the outputs of the model before any link.

        Returns
        -------
        value : ndarray of shape (n,)
            Loss of each row, summed over its columns.
        gradient : ndarray of raw's shape
            Derivative of the row's loss with respect to ``raw``.

        Raises
        ------
        NotImplementedError
            If the class has neither a compiled kernel nor an override.
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
        # One row of numbers per output.
        parts = [kernel(y[:, c], raw[:, c], row[c]) for c in range(raw.shape[1])]
        return sum(value for value, _ in parts), np.stack([g for _, g in parts], axis=1)

    def _prepared(self, residual_scale):
        """The loss with all its parameters as numbers.

        ``residual_scale(epsilon)`` estimates the scale of the residuals from the data.
        """
        return self

    def _check_target(self, y):
        """Raise ValueError if y (n, k) is outside the loss's domain."""

    def _check_total(self, y):
        """Raise ValueError if all targets of a fit together, y (n, k), have no finite optimum.

        Chunks of a stream and validation rows need not pass.
        """
        with np.errstate(over="ignore"):
            if not np.isfinite(np.einsum("i...->...", np.abs(y))).all():
                raise ValueError("y is too large: its sum overflows. Divide y by a constant first.")

    def _predict(self, raw):
        """The prediction on the scale of y: the inverse of the link."""
        return self._link.inverse(raw)

    @property
    def _has_link(self):
        """Whether raw predictions have other units than y."""
        return not isinstance(self._link, Identity)

    def _identity(self):
        """A key that is equal for losses that are the same function."""
        return type(self), *((name, _key(value)) for name, value in sorted(vars(self).items()))

    # Facts that the default settings, the solvers and the certificates use. `y_scale` is a typical
    # size of the targets.

    def _y_scale(self, y, weight=None):
        """A robust scale of y (n, k), in units of y.

        It is 1.4826 times the median absolute deviation. If half of the targets are nearly equal,
        it is a mean deviation.
        """
        distance = np.abs(y - weighted_median(y, weight)).ravel()
        if weight is not None:
            weight = np.repeat(weight, y.shape[1])
        median, wide = median_and_quantile(distance, weight, 0.95)
        y_scale = 1.4826 * median
        if y_scale <= 1e-3 * wide:
            near = np.average(np.minimum(distance, wide), weights=weight)
            y_scale = near or np.average(distance, weights=weight)
        return float(y_scale)

    def _curvature_bound(self, y_scale, n_outputs=1):
        """An upper bound of the second derivative, or a typical size if there is no bound.

        None means that it has to be measured, see ``Objective.curvature_bound``.
        """
        return None if self._is_custom() else 1.0

    def _loss_scale(self, y_scale):
        """A typical size of the loss."""
        return 1.0

    def _trust_radius(self, y_scale):
        """The distance a raw prediction can move before the curvature changes."""
        return y_scale

    def _curvature(self, y, raw):
        """Second derivative of each row's loss with respect to each raw prediction.

        It has raw's shape (n, k). None means that the loss has no useful second derivative.
        A user's smooth loss gets central differences of its gradient.
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
        """A function from a direction to the gradient's derivative along it, in raw's shape."""
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
        """The pieces of a piecewise linear loss, None for other losses.

        A list of (breakpoint c, slope below, slope above), each in y's shape. The loss is the
        sum of max(below (z - c), above (z - c)) over the list, up to a constant.
        """
        return None

    def _dual_domain(self, y, n_outputs=1):
        """Closed bounds of the derivative with respect to each raw prediction.

        Two float64 arrays, low and high, of the shape of the raw predictions: y's shape, or
        (n, n_outputs) for a joint loss. The conjugate is infinite outside of them.
        """
        breakpoints = self._breakpoints(y)
        if breakpoints is None:
            return np.full(y.shape, -np.inf), np.full(y.shape, np.inf)
        return sum(low for _, low, _ in breakpoints), sum(high for _, _, high in breakpoints)

    def _conjugate(self, y, dual):
        r"""The convex conjugate :math:`\ell^*(y, \theta) = \sup_z \theta z - \ell(y, z)`.

        Float64 in y's shape, infinite outside the dual domain; None if it is not known. By weak
        duality, an objective with weights s of sum 1 is nowhere less than
        :math:`-\sum_i s_i \ell^*(y_i, \theta_i)` minus the conjugate of the penalty at
        :math:`-\sum_i s_i \theta_i x_i`, if :math:`\sum_i s_i \theta_i = 0`.
        """
        y, dual = np.asarray(y, np.float64), np.asarray(dual, np.float64)
        low, high = self._dual_domain(y)
        inside = (low <= dual) & (dual <= high)
        # 0 is in the domain of every loss that is bounded below.
        value = self._conjugate_inside(y, np.where(inside, dual, 0.0))
        return None if value is None else np.where(inside, value, np.inf)

    def _conjugate_inside(self, y, dual):
        r"""The conjugate in the dual domain, of float64 arrays of one shape.

        For a piecewise linear loss, :math:`\theta z - \ell(y, z)` is concave and piecewise linear
        in z with the same breakpoints, so it has its greatest value at one of them.
        """
        breakpoints = self._breakpoints(y)
        if breakpoints is None:
            return None
        flat = np.ravel(y)
        values = [
            dual * c - self.loss_gradient(flat, np.ravel(c))[0].reshape(y.shape)
            for c, _, _ in breakpoints
        ]
        return np.max(values, axis=0)

    def _dual_form(self, y):
        """The loss as a ``DualForm``, if its derivative is bounded or it has flat parts; None for
        other losses. With it a smooth loss can be minimised where no row has curvature."""
        return None

    def _fenchel_gap(self, y, raw, dual):
        """The loss at ``raw`` plus the conjugate at ``dual`` less their product, without the
        cancellation of that sum.

        Of raw's shape, or (n,) for a joint loss. It is 0 where dual is the derivative at raw, and
        infinite outside the dual domain. None where it is not known.
        """
        form = self._dual_form(y)
        return None if form is None else form.gap(raw, dual)

    def _of_output(self, output):
        """The loss of one of several outputs by itself."""
        return self

    def _constant(self, y, weight):
        """The raw prediction of the best constant model, for each column of y (n, k)."""
        raise NotImplementedError


def raw_spread(loss, y, constant, weight):
    """By how much raw predictions of y (n, k) differ, for each column: Newton's step of each row
    from the best constant (k,), as a root mean square.

    For a log link it is the coefficient of variation of y. It is at most the trust radius, which
    also stands for what cannot be measured.
    """
    most = np.full(y.shape[1], float(loss._trust_radius(loss._y_scale(y, weight))))
    raw = np.tile(np.asarray(constant, np.float64), (len(y), 1))
    with np.errstate(all="ignore"):
        h = loss._curvature(y, raw)
        if h is None:
            return most
        given = (y, raw) if y.shape[1] > 1 else (y[:, 0], raw[:, 0])
        slope = loss.loss_gradient(*given)[1].reshape(raw.shape)
        step = slope / np.average(h, axis=0, weights=weight)
        spread = np.sqrt(np.average(step**2, axis=0, weights=weight))
    # Less is the rounding of equal targets.
    return np.where(spread > 1e-12, np.minimum(spread, most), most)


def measured_curvature(loss, y, raw, weight, y_scale):
    """Nearly the largest second derivative of a loss at raw predictions (n, k).

    A loss without a second derivative is treated as if each jump of its slope were spread over
    ``y_scale``.
    """
    h = loss._curvature(y, raw)
    if h is None:
        given = (y, raw) if raw.shape[1] > 1 else (y.reshape(-1), raw[:, 0])
        h = np.abs(loss.loss_gradient(*given)[1]).reshape(raw.shape) / y_scale
    h = np.where(np.isfinite(h), h, 0)
    # The outputs of a joint loss add to each other's curvature. Softmax at most doubles it.
    joint = 2.0 if y.ndim < raw.ndim else 1.0
    return joint * float(weighted_quantile(h, weight, 0.95).max() or h.max()) or 1.0


def _has_formula(base):
    return issubclass(base, Loss) and (
        base.name is not None or base.loss_gradient is not Loss.loss_gradient
    )


class RegressionLoss(Loss):
    """Base of losses with a number as target.

    A loss of your own defines ``loss_gradient`` for targets y and raw predictions of one shape.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lossopt import GradientRegressor
    >>> from sklearn_lossopt.losses import RegressionLoss
    >>> class Quartic(RegressionLoss):
    ...     def loss_gradient(self, y, raw):
    ...         return (raw - y) ** 4, 4 * (raw - y) ** 3
    >>> X, y = np.arange(8.0)[:, None], np.arange(8.0) ** 2
    >>> model = GradientRegressor(Quartic(), random_state=0).fit(X, y)
    >>> print(model.coef_.round(1))
    [7.]
    """

    regression = True

    def _constant(self, y, weight):
        breakpoints = self._breakpoints(y)
        if breakpoints is None:
            return root_constant(self, y, weight)
        return piecewise_linear_constant(breakpoints, weight)


class ClassificationLoss(Loss):
    """Base of losses with a class as target.

    Two classes are y = -1 and +1. With more classes, ``raw`` has one column per class and y is the
    class index. If the class attribute ``joint`` is False, each column is a one-vs-rest problem
    with y = -1 or +1 instead.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> from sklearn_lossopt.losses import ClassificationLoss
    >>> class Savage(ClassificationLoss):
    ...     def loss_gradient(self, y, raw):
    ...         p = 1 / (1 + np.exp(y * raw))
    ...         return p**2, -2 * y * p**2 * (1 - p)
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(Savage(), random_state=0).fit(X, y)
    >>> print(model.score(X, y) > 0.95)
    True
    """

    classification = True
    joint = True

    def _y_scale(self, y, weight=None):
        return 1.0

    def _constant(self, y, weight):
        return np.zeros(y.shape[1])

    def _probabilities(self, raw):
        """Class probabilities (n, n_classes) from raw (n,) or (n, n_classes)."""
        if self._probability_link is None:
            raise NotImplementedError
        return self._probability_link.probabilities(raw, self.joint)

    def _log_probabilities(self, raw):
        """Logarithms of the class probabilities, in the same shapes."""
        if self._probability_link is not None:
            return self._probability_link.log_probabilities(raw, self.joint)
        with np.errstate(divide="ignore"):
            return np.log(self._probabilities(raw))


def typical_size(loss, y, weight):
    """A typical size of targets (n, k), greater than 0: their scale, unless it is rounding."""
    scale, eps = float(loss._y_scale(y, weight)), np.finfo(np.float64).eps
    largest = float(max(y.max(), -y.min()))
    if scale > eps * largest:
        return scale
    size = float(np.average(np.abs(y).mean(axis=1), weights=weight))
    size = scale if scale > eps * size else size or 1.0
    return max(size, LEAST_SIZE * largest)
