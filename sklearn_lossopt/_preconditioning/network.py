"""Multilayer perceptrons: their layers, the units that they are trained in, defaults. Floor 2."""

import math
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from sklearn_lossopt._engine import ACTIVATION_KERNELS
from sklearn_lossopt._streaming.chunk import ChunkFit
from sklearn_lossopt._training.run import Fit
from sklearn_lossopt.schedules import Constant, Cosine, OneCycle

# Rows that a prediction takes through all layers at once.
BLOCK_ROWS = 4096
# Activations that leave half of their inputs' variance (He et al. 2015); of the others, Glorot and
# Bengio (2010).
HALVING = {"relu", "leaky_relu", "gelu", "silu"}

# Learning rates by optimizer, in the units that networks are trained in.
RATES = {
    "gradient_descent": 0.1, "sgd": 0.03, "momentum": 0.01, "rmsprop": 0.003, "adam": 0.003,
    "amsgrad": 0.003, "adamw": 0.003, "nadam": 0.003, "radam": 0.003, "adamax": 0.006,
    "adagrad": 0.03, "adadelta": 1.0, "lion": 0.0005, "schedule_free_sgd": 0.1,
    "schedule_free_adamw": 0.01,
}  # fmt: skip
OTHER_RATE = 0.003
# Epochs of schedule="auto": as many as make about so many updates, within these bounds.
UPDATES = 2000
EPOCHS = (100, 1000)
# dropout="auto", and the narrowest layer that can spare units.
DROPOUT, SPARE = 0.25, 32
# Updates of a stream after which the rate begins to fall, as 1 / sqrt(t).
SLOW = 1000
# Of an optimizer that looks for the minimum by itself.
ITERATIONS = 200
# Rows up to which a batch has all of them: weights then equal repeated rows.
SMALL = 64


@dataclass(frozen=True)
class Architecture:
    """Hidden layers, as the estimators' parameters say."""

    hidden: tuple
    activation: str
    dropout: float | None  # None: "auto"

    def widths(self, d, k):
        return [d, *self.hidden, k]

    def with_dropout(self, textbook):
        """With a number for "auto": none for ``textbook`` iterates."""
        if self.dropout is not None:
            return self
        return replace(self, dropout=0.0 if textbook or min(self.hidden) < SPARE else DROPOUT)

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
    for start in range(0, X.shape[0], BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        a = X[part]
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            a = np.ascontiguousarray(a @ coef + intercept, dtype=dtype)
            activate(a)
        raw[part] = a @ coefs[-1] + intercepts[-1]
    return raw


class NetworkPreconditioner:
    """Parameters of a network as one flat array, and the units in which it is trained.

    With preconditioning, columns of X are standardised (scaled alone where X is sparse or there
    are no intercepts), and raw predictions are in a typical size of the targets around the best
    constant one. Both are linear, so that ``unshift`` takes them into the outer layers.

    Parameters
    ----------
    objective : Objective
    precondition : str or False
    architecture : Architecture
    seed : int
    start : tuple of lists (coefs, intercepts) or None
        For rows as they are; otherwise drawn.
    statistics : Statistics or None
        See ``LinearPreconditioner``.

    Attributes
    ----------
    weights : ndarray of shape (size,)
        See ``_engine.Trainer``; updated in place by training.
    shift : ndarray of shape (d,) or None
    network : tuple
        For ``_engine.Trainer``.
    loss_scale : float
        A typical size of the loss; the penalty is multiplied by it.
    """

    metric = shared = null = None
    leaves_directions = False

    def __init__(self, objective, precondition, architecture, seed, start, statistics=None):
        self.objective = objective
        dtype, k = objective.X.dtype, objective.n_outputs
        self.widths = architecture.widths(objective.d, k)
        self.shift = self.scale = self.output = None
        self.loss_scale = 1.0
        if precondition is not False:
            self.shift, self.scale = objective.cached(
                "standard", (statistics,), lambda: self._standard(statistics)
            )
            self._measure_targets(statistics)
        self.network = (
            self.widths,
            architecture.activation,
            float(architecture.dropout),
            self.scale,
            self.output,
        )
        self.weights = self.coordinates = np.zeros(architecture.size(objective.d, k), dtype)
        if start is None:
            self._draw(architecture, np.random.default_rng([seed, 1]))
        else:
            self._unfold(*start)

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
        """The vectors that the optimizer steps one by one, each with its state: one a layer."""
        flat, end, parts = slots.reshape(-1), 0, []
        for layer in self.layers(self.coordinates):
            begin, end = end, end + len(slots) * layer.size
            parts.append((layer.reshape(-1), flat[begin:end].reshape(len(slots), -1)))
        return parts

    def to_coordinates(self):
        """The optimizer works on the weights themselves."""

    to_weights = to_coordinates

    # -- units ------------------------------------------------------------------------------

    def _standard(self, statistics):
        """What columns are shifted by, or None, and what they are multiplied with."""
        objective, dtype = self.objective, self.objective.X.dtype
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
        spread[constant] = 1.0
        return shift, np.where(constant, 0.0, 1 / spread).astype(dtype)

    def _measure_targets(self, statistics):
        objective = self.objective
        loss, k = objective.loss, objective.n_outputs
        constant = objective.best_constant()
        y_scale = objective.y_scale() if statistics is None else statistics.y_scale
        trust_radius = loss._trust_radius(y_scale)
        if statistics is not None and not math.isfinite(trust_radius):
            trust_radius = y_scale
        elif not math.isfinite(trust_radius):
            # A loss without a scale of its own: twice its mean is a variance.
            y_scale = trust_radius = math.sqrt(2 * objective.mean_loss(constant) / k) or 1.0
        self.loss_scale = objective.loss_scale(y_scale)
        self.output = np.column_stack([constant, np.full(k, float(trust_radius))])

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
        """Coefficients and intercepts in the type of X."""
        dtype = self.weights.dtype
        return tuple([np.ascontiguousarray(a, dtype=dtype) for a in part] for part in parts)

    def _unfold(self, coefs, intercepts):
        layers = [
            np.column_stack([coef.T, intercept]).astype(np.float64)
            for coef, intercept in zip(coefs, intercepts, strict=True)
        ]
        if self.output is not None:
            layers[-1][:, -1] -= self.output[:, 0]
            layers[-1] /= self.output[:, 1:]
        if self.shift is not None:
            layers[0][:, -1] += layers[0][:, :-1] @ self.shift.astype(np.float64)
        if self.scale is not None:
            scale = self.scale.astype(np.float64)
            layers[0][:, :-1] *= np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        for view, layer in zip(self.layers(self.weights), layers, strict=True):
            view[...] = layer

    def _draw(self, architecture, random):
        """Weights that keep the variance of activations; biases of hidden layers that spread the
        kinks of their units over the inputs."""
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


def in_training_units(objective, units):
    """The problem with its penalty in the same units as the loss."""
    return replace(
        objective, l2=objective.l2 * units.loss_scale, l1=objective.l1 * units.loss_scale
    )


def auto_rate(optimizer):
    """The learning rate that "auto" stands for."""
    optimizer = getattr(optimizer, "_inner", optimizer)
    return RATES.get(optimizer._kernel_name or optimizer.name, OTHER_RATE)


class NetworkFit(Fit):
    """A fit of a network: epochs under a fixed schedule, no claim about the optimum."""

    def __init__(self, objective, settings, seed, *others):
        self.automatic = settings.schedule is None
        if self.automatic:
            self.objective, self.settings = objective, settings
            epochs = min(settings.max_iter, self._epochs())
            # A mean of the iterates does what a falling rate does.
            schedule = Constant() if settings.optimizer._has_average else Cosine()
            if type(settings.optimizer)._kernel_name == "momentum" and epochs > 1:
                schedule = OneCycle(warm_up=1 / epochs, start=0.0, floor=0.0)
            settings = replace(settings, schedule=schedule, max_iter=epochs, tol=0.0)
        self.seed = seed
        super().__init__(objective, settings, seed, *others)
        self.earlier = self.state.updates

    # -- what a run of a linear model has otherwise -----------------------------------------

    def _place(self, start):
        settings = self.settings
        certain = settings.precondition is False or self.batch_size >= self.objective.n
        certain = certain or settings.optimizer.minimize is not None
        architecture = settings.network.with_dropout(certain)
        preconditioner = NetworkPreconditioner(
            self.objective, self.settings.precondition, architecture, self.seed, start
        )
        self.objective = in_training_units(self.objective, preconditioner)
        return preconditioner

    def _auto_rate(self):
        return auto_rate(self.settings.optimizer)

    def _batch_size(self):
        n = self.objective.n
        if self.settings.batch_size is None and not self.settings.optimizer.full_batch:
            return n if n <= SMALL else max(16, min(128, n // 32))
        return super()._batch_size()

    def _rates(self, schedule, epoch, count, per_epoch):
        if not self.automatic:
            return super()._rates(schedule, epoch, count, per_epoch)
        # A schedule of our choice begins anew with each fit.
        step = self.state.updates - self.earlier + np.arange(count * per_epoch, dtype=np.float64)
        return self.rate * schedule(step, per_epoch, self.settings.max_iter)

    def _epochs(self):
        if self.settings.optimizer.minimize is not None:
            return ITERATIONS
        epochs = UPDATES * self._batch_size() // self.objective.n
        return max(EPOCHS[0], min(EPOCHS[1], epochs))

    def newton(self, floor):
        """There is no estimate of the distance to an optimum."""

    def _corrector(self):
        return None

    def _certify(self, value):
        return False

    def _result(self, weights):
        return self.preconditioner.unshift(weights)


class NetworkChunkFit(ChunkFit):
    """One chunk's pass of a network."""

    def _place(self, start, statistics):
        settings, seed = self.settings, self.stream.state.seed
        self.automatic = False
        if settings.learning_rate is None:
            self.settings = replace(settings, learning_rate=auto_rate(settings.optimizer))
        architecture = settings.network.with_dropout(settings.precondition is False)
        preconditioner = NetworkPreconditioner(
            self.objective, settings.precondition, architecture, seed, start, statistics
        )
        self.objective = in_training_units(self.objective, preconditioner)
        return preconditioner

    def _rates(self):
        if self.settings.schedule is not None:
            return super()._rates()
        rate = self.settings.learning_rate
        step = self.stream.state.updates + np.arange(self.per_call, dtype=np.float64)
        return rate / np.sqrt(1 + step / SLOW), rate
