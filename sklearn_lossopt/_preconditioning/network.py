"""Multilayer perceptrons: their layers, and the units that they are trained in."""

import math
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import chain, pairwise

import numpy as np

from sklearn_lossopt._engine import ACTIVATION_KERNELS

# Rows that a prediction takes through all layers at once.
FORWARD_BLOCK_ROWS = 4096
# What sums of weights and squares may be off by, relatively.
ROUNDING = 1e-6
# A mean loss that is more than this times that of a typical target is one of outliers.
OUTLYING = 100.0
# Activations that leave half of their inputs' variance (He et al. 2015); of the others, Glorot and
# Bengio (2010).
HALVING = {"relu", "leaky_relu", "gelu", "silu"}


@dataclass(frozen=True)
class Architecture:
    """Hidden layers, as the estimators' parameters say."""

    hidden: tuple
    activation: str
    dropout: float | None  # None: "auto"
    weight_decay: float | None  # None: "auto"

    def widths(self, d, k):
        """The numbers of units from the d columns to the k outputs."""
        return [d, *self.hidden, k]

    def size(self, d, k):
        """Number of parameters."""
        return sum((a + 1) * b for a, b in pairwise(self.widths(d, k)))

    def __post_init__(self):
        for width in self.hidden:
            if isinstance(width, bool) or not isinstance(width, (int, np.integer)) or width < 1:
                raise ValueError(
                    f"hidden_layer_sizes={self.hidden!r} must hold integers that are at least 1, "
                    "such as (64, 32); () is a linear model."
                )


def forward(X, coefs, intercepts, activation):
    """Raw predictions (n, k), by blocks of rows."""
    activate = ACTIVATION_KERNELS[activation]
    dtype = np.result_type(X.dtype, coefs[0].dtype)
    raw = np.empty((X.shape[0], coefs[-1].shape[1]), dtype)
    for start in range(0, X.shape[0], FORWARD_BLOCK_ROWS):
        part = slice(start, start + FORWARD_BLOCK_ROWS)
        a = X[part]
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            a = np.ascontiguousarray(a @ coef + intercept, dtype=dtype)
            activate(a)
        raw[part] = a @ coefs[-1] + intercepts[-1]
    return raw


def raw_predictions(architecture, coef, intercept, rows):
    """Those of a model with the parameters of a FitResult; ``architecture`` is None if it is
    linear."""
    if architecture is None:
        return rows @ coef.T + intercept
    return forward(rows, coef, intercept, architecture.activation)


def predicts_finite(objective, architecture, coef, intercept):
    """Whether such a model has finite parameters, and finite predictions for all rows."""
    raw_of = partial(raw_predictions, architecture, coef, intercept)
    parts = (coef, intercept) if architecture is None else chain(coef, intercept)
    finite = all(np.isfinite(part).all() for part in parts)
    return finite and objective.predicts_finite(raw_of)


def standardisation(objective, statistics):
    """What columns are shifted by, or None, and what they are multiplied with."""
    dtype = objective.X.dtype
    shift = mean = None
    if statistics is not None:
        mean, square = statistics.mean, statistics.variance
    elif objective.fit_intercept and not objective.sparse:
        mean, square = objective.moments()
    else:
        square = objective.raw_moment()
    if mean is None:
        mean = np.zeros(objective.d)
    else:
        shift = mean.astype(dtype)
    spread = np.sqrt(square)
    # A column that does not vary beyond rounding says nothing, and is to stay without effect.
    constant = spread <= 10 * np.finfo(dtype).eps * np.abs(mean)
    spread[constant | has_units(objective, statistics)] = 1.0
    return shift, np.where(constant, 0.0, 1 / spread).astype(dtype)


def has_units(objective, statistics=None):
    """Whether each column is one that scaling would spoil: numbers in [0, 1], at least half of them
    0 or 1, wider than half of it, such as categories and what a PiecewiseLinearEncoder makes.

    Scaling would make a spike of 31 standard deviations of a level that one row in 1,000 has.
    """
    if statistics is None:
        return objective.cached("has units", (), lambda: _has_units(objective, None))
    return _has_units(objective, statistics)


def _has_units(objective, statistics):
    if statistics is not None and (objective.sparse or statistics.mean is None):
        # A stream of sparse rows, or without an intercept, knows squares alone.
        return np.zeros(objective.d, bool)
    if objective.sparse:
        return np.all(objective.each(only_ones), axis=0)
    if statistics is None:
        mean, variance = objective.moments()
    else:
        mean, variance = statistics.mean, statistics.variance
    # No number between 0 and 1 varies more, and none but 0 and 1 varies as much.
    most = mean * (1 - mean)
    candidates = (most > 0) & (variance <= (1 + ROUNDING) * most)
    if statistics is not None:
        # A stream's numbers are gone: only 0 and 1 are recognised.
        return candidates & (variance >= (1 - ROUNDING) * most)
    columns = np.flatnonzero(candidates)
    if len(columns):
        least, greatest, ends, mass = zip(*objective.each(count_ends, columns), strict=True)
        low, high = np.min(least, axis=0), np.max(greatest, axis=0)
        inside = (low >= 0) & (high <= 1) & (high - low > 0.5)
        candidates[columns] = inside & (sum(ends) >= 0.5 * (1 - ROUNDING) * sum(mass))
    return candidates


def only_ones(objective):
    """Whether the numbers of sparse columns are 0 and 1."""
    X, used = objective.X, objective.sample_indices
    others = (X.data != 0) & (X.data != 1)
    if used is not None:
        counts = np.zeros(X.shape[0], bool)
        counts[used] = True
        others &= np.repeat(counts, np.diff(X.indptr))
    return np.bincount(X.indices[others], minlength=objective.d) == 0


def count_ends(objective, columns):
    """Columns' least and greatest numbers, the weight of those that are 0 or 1, and of all."""
    used, weight = objective.sample_indices, objective.weight
    n = objective.X.shape[0] if used is None else len(used)
    least, greatest, ends, mass = np.inf, -np.inf, 0.0, 0.0
    for start in range(0, n, FORWARD_BLOCK_ROWS):
        part = slice(start, start + FORWARD_BLOCK_ROWS)
        part = part if used is None else used[part]
        rows = objective.X[part][:, columns]
        share = np.ones(len(rows)) if weight is None else weight[part].astype(np.float64)
        least = np.minimum(least, rows.min(axis=0))
        greatest = np.maximum(greatest, rows.max(axis=0))
        ends = ends + share @ ((rows == 0) | (rows == 1))
        mass += share.sum()
    return least, greatest, ends, mass


def target_range(objective):
    """The least and the greatest target of each output."""
    y = objective.target[objective.subsample(objective.n)]
    return y.min(axis=0), y.max(axis=0)


def target_units(objective, statistics):
    """A typical size of the loss, and the constant and the size (k, 2) of raw predictions."""
    loss, k = objective.loss, objective.n_outputs
    constant = objective.best_constant() if statistics is None else statistics.constant
    y_scale = objective.y_scale() if statistics is None else statistics.y_scale
    with np.errstate(all="ignore"):
        small = loss._loss_scale(np.float64(y_scale)) < np.finfo(np.float64).tiny
    if small:
        raise ValueError(
            f"y is too small: the loss of its typical size, {y_scale:.3g}, underflows. Multiply y "
            "by a constant first."
        )
    if loss._has_link:
        # Where y varies little around its mean, so do its raw predictions around theirs, and the
        # loss varies by their square.
        size = objective.raw_spread(constant) if statistics is None else statistics.raw_spread
        loss_scale = objective.loss_scale(y_scale) * float(np.mean(size**2))
        return loss_scale, fixed(objective, constant, size, statistics)
    size = loss._trust_radius(y_scale)
    if statistics is not None and not math.isfinite(size):
        size = y_scale
    elif not math.isfinite(size):
        # A loss without a scale of its own: twice its mean is a variance.
        y_scale = size = math.sqrt(2 * objective.mean_loss(constant) / k) or 1.0
    elif statistics is None and objective.target_kind == "values":
        wide = size_beside_outliers(loss, y_scale, objective.mean_loss(constant) / k)
        if wide > y_scale:
            y_scale = size = wide
    output = fixed(objective, constant, np.full(k, float(size)), statistics)
    return objective.loss_scale(y_scale), output


def size_beside_outliers(loss, y_scale, mean):
    """A typical size of the targets, whose mean loss is known; where a few far away have nearly all
    of a loss whose slopes have no bound, a size of which the loss is like the mean."""

    def at(size):
        with np.errstate(all="ignore"):
            value, slope = loss._of_output(0).loss_gradient(np.zeros(1), np.full(1, float(size)))
        return float(value[0]), abs(float(slope[0]))

    if (
        not mean > OUTLYING * at(y_scale)[0]
        or not at(2e3 * y_scale)[1] > 1.5 * at(1e3 * y_scale)[1]
    ):
        return y_scale
    while at(y_scale)[0] < mean < np.inf:
        y_scale *= 2
    return y_scale


def fixed(objective, constant, size, statistics):
    """Both as columns; where all targets of an output are equal, the size is 0: nothing but the
    constant is predicted, and that without the rounding of a mean."""
    constant, size = np.array(constant, np.float64), np.array(size)
    if statistics is None and objective.target_kind == "values" and objective.fit_intercept:
        low, high = zip(*objective.each(target_range), strict=True)
        low, equal = np.min(low, axis=0), np.min(low, axis=0) == np.max(high, axis=0)
        size[equal] = 0.0
        if equal.any() and not objective.loss._has_link:
            exact = np.where(equal, low, constant)
            if objective.mean_loss(exact) <= objective.mean_loss(constant):
                constant = exact
    return np.column_stack([constant, size])


def inverse(scale):
    """1 / scale; 0 for what has no effect."""
    return np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)


class NetworkPreconditioner:
    """Parameters of a network as one flat array, and the units in which it is trained.

    With preconditioning, columns of X are standardised; where X is sparse or there are no
    intercepts they are scaled alone. Raw predictions are in a typical size of the targets around
    the best constant one. Both are linear, so that ``unshift`` takes them into the outer layers.
    The interface is that of ``Preconditioner``.

    Parameters
    ----------
    objective : Objective
    precondition : str or False
    architecture : Architecture
    seed : int
    start : tuple of lists (coefs, intercepts) or None
        Coefficients and intercepts of each layer, for rows as they are; otherwise drawn.
    statistics : Statistics or None
        See ``LinearPreconditioner``.
    """

    # A network is trained in its weights, and nothing is known of its second derivatives.
    metric = shared = hessian = null = None
    leaves_directions = False
    changes = ()

    def __init__(self, objective, precondition, architecture, seed, start, statistics=None):
        dtype, k = objective.X.dtype, objective.n_outputs
        self.widths = architecture.widths(objective.d, k)
        self.shift = self.scale = self.output = None
        self.loss_scale = 1.0
        if precondition is not False:
            self.shift, self.scale = objective.cached(
                "standard", (statistics,), lambda: standardisation(objective, statistics)
            )
            self.loss_scale, self.output = target_units(objective, statistics)
        # The penalty is multiplied by what the loss is divided by.
        self.objective = replace(
            objective, l2=objective.l2 * self.loss_scale, l1=objective.l1 * self.loss_scale
        )
        self.network = (
            self.widths,
            architecture.activation,
            float(architecture.dropout),
            float(architecture.weight_decay),
            self.scale,
            self.output,
        )
        self.weights = self.coordinates = np.zeros(architecture.size(objective.d, k), dtype)
        if start is None:
            self._draw(architecture, np.random.default_rng([seed, 1]))
        else:
            self._place(*start)

    def apply(self, objective):
        """An objective on other rows, which the weights are for as they are."""
        return objective

    def layers(self, flat):
        """Views (n_out, n_in + 1) of each layer's parameters."""
        end, views = 0, []
        for n_in, n_out in pairwise(self.widths):
            begin, end = end, end + n_out * (n_in + 1)
            views.append(flat[begin:end].reshape(n_out, n_in + 1))
        return views

    def parts(self, slots):
        """The vectors that the optimizer steps one by one, each with its state: one per layer."""
        flat, end, parts = slots.reshape(-1), 0, []
        for layer in self.layers(self.coordinates):
            begin, end = end, end + len(slots) * layer.size
            parts.append((layer.reshape(-1), flat[begin:end].reshape(len(slots), -1)))
        return parts

    def to_coordinates(self):
        """The optimizer works on the weights themselves."""

    to_weights = to_coordinates

    def fingerprint(self):
        """What tells the units from others: empty for those of X."""
        digest = blake2b(digest_size=16)
        for array in (self.shift, self.scale, self.output):
            if array is not None:
                digest.update(array.tobytes())
        return b"" if self.scale is None else digest.digest()

    def unshift(self, flat):
        """Coefficients (n_in, n_out) and intercepts of each layer, for rows and targets as they
        are, float64."""
        layers = [layer.astype(np.float64) for layer in self.layers(flat)]
        if self.scale is not None:
            layers[0][:, :-1] *= self.scale.astype(np.float64)
        if self.shift is not None:
            layers[0][:, -1] -= layers[0][:, :-1] @ self.shift.astype(np.float64)
        if self.output is not None:
            layers[-1] *= self.output[:, 1:]
            layers[-1][:, -1] += self.output[:, 0]
        return [layer[:, :-1].T for layer in layers], [layer[:, -1] for layer in layers]

    def rounded(self, *parts):
        """Coefficients and intercepts in the type of the model."""
        dtype = self.objective.model_dtype
        return tuple([np.ascontiguousarray(a, dtype=dtype) for a in part] for part in parts)

    def _place(self, coefs, intercepts):
        """Go to coefficients and intercepts for rows and targets as they are."""
        layers = [
            np.column_stack([coef.T, intercept]).astype(np.float64)
            for coef, intercept in zip(coefs, intercepts, strict=True)
        ]
        if self.output is not None:
            layers[-1][:, -1] -= self.output[:, 0]
            layers[-1] *= inverse(self.output[:, 1:])
        if self.shift is not None:
            layers[0][:, -1] += layers[0][:, :-1] @ self.shift.astype(np.float64)
        if self.scale is not None:
            layers[0][:, :-1] *= inverse(self.scale.astype(np.float64))
        for view, layer in zip(self.layers(self.weights), layers, strict=True):
            view[...] = layer

    def _draw(self, architecture, random):
        """Weights that keep the variance of activations; biases of hidden layers that spread the
        breakpoints of their units over the inputs."""
        layers = self.layers(self.weights)
        for layer in layers:
            n_out, n_in = layer.shape[0], layer.shape[1] - 1
            hidden = layer is not layers[-1]
            halving = hidden and architecture.activation in HALVING
            bound = math.sqrt(6 / n_in if halving else 6 / (n_in + n_out))
            layer[:, :-1] = random.uniform(-bound, bound, (n_out, n_in))
            if hidden and self.objective.fit_intercept:
                layer[:, -1] = random.uniform(-1, 1, n_out) / math.sqrt(n_in)
        if self.scale is not None:
            layers[0][:, :-1][:, self.scale == 0] = 0.0
