"""The objective of a case in float64, and better points than the fitted one, if there are any.

A point with a lower objective proves that a model which says that it converged has not. So nothing
here needs to be exact: whatever is found is evaluated by the formulas of ``reference.py``.
"""

import warnings
from copy import copy

import numpy as np
import reference
from scipy.optimize import minimize


def targets_of(model, y):
    """What the formulas take as y, (n, k) or the class index, and whether it is the latter."""
    if not hasattr(model, "classes_"):
        return np.asarray(y, float).reshape(len(y), -1), False
    index = np.searchsorted(model.classes_, y)
    k = len(model.classes_)
    if k == 2:
        return (2.0 * index - 1)[:, None], False
    if model.loss == "log_loss":
        return index, True
    return reference.one_vs_rest(index, k), False


KINKED = {
    "absolute_error", "quantile", "epsilon_insensitive", "hinge", "perceptron", "huber",
    "modified_huber", "squared_hinge", "squared_epsilon_insensitive",
}  # fmt: skip
NODES = np.linspace(-1, 1, 17)
BLURS = (0.1, 1e-2, 1e-3, 1e-4, 0.0)


def log_cosh(y, raw):
    """The twin's, whose value has terms that cancel, and near 0 its series."""
    value, slope = reference.log_cosh(y, raw)
    r = raw - y
    near = np.abs(r).max(axis=1) < 1e-3
    return np.where(near, (r**2 / 2 - r**4 / 12).sum(axis=1), value), slope


class Objective:
    """F of a linear model on given rows.

    Parameters
    ----------
    model : estimator
        Fitted; says which loss, penalty and classes.
    X, y, weight : ndarray
        Rows in float64.
    """

    def __init__(self, model, X, y, weight):
        kept = np.ones(len(y), bool) if weight is None else weight > 0
        self.X = np.asarray(X, float)[kept]
        self.y, self.joint = targets_of(model, y)
        self.y = self.y[kept]
        weight = np.ones(len(self.X)) if weight is None else np.array(weight, float)[kept]
        if getattr(model, "class_weight", None) == "balanced":
            codes = np.searchsorted(model.classes_, np.asarray(y)[kept])
            for code in np.unique(codes):
                weight[codes == code] /= weight[codes == code].max()
                weight[codes == code] /= weight[codes == code].sum()
        weight = weight / weight.max()
        # Rows whose share underflows are no rows.
        kept = weight > 0
        self.X, self.y, weight = self.X[kept], self.y[kept], weight[kept]
        self.share = weight / weight.sum()
        self.alpha, self.l1_ratio = model.alpha, model.l1_ratio
        self.intercept = model.fit_intercept
        name = model.loss if isinstance(model.loss, str) else type(model.loss).name
        parameters = {} if isinstance(model.loss, str) else model.loss.get_params()
        if hasattr(model, "delta_"):
            parameters = {"delta": model.delta_}
        self.loss = reference.LOSSES["softmax" if self.joint else name]
        if name == "log_cosh":
            self.loss = log_cosh
        self.parameters = parameters
        self.classes = hasattr(model, "classes_")
        self.log_link = name in ("poisson", "gamma", "tweedie")
        self.kinked = name in KINKED or self.l1_ratio > 0
        self.k = len(model.classes_) if self.joint else self.y.shape[1]

    def __call__(self, coef, intercept):
        """F at coef (k, d) and intercept (k,)."""
        return self.with_gradient(coef, intercept)[0]

    def with_gradient(self, coef, intercept, blur=0.0):
        """F, and a subgradient with respect to coef and intercept.

        With a blur the loss is its mean over predictions that far to both sides, which rounds its
        kinks off.
        """
        with np.errstate(all="ignore"):
            raw = self.X @ coef.T + intercept
            shifts = blur * NODES if blur else [0.0]
            value, slope = 0.0, 0.0
            for shift in shifts:
                part = self.loss(self.y, raw + shift, **self.parameters)
                value = value + part[0] / len(shifts)
                slope = slope + part[1].reshape(raw.shape) / len(shifts)
            slope = slope * self.share[:, None]
            ridge, lasso = self.alpha * (1 - self.l1_ratio), self.alpha * self.l1_ratio
            # The sum of a square that overflows times a penalty of 0 is 0.
            penalty = (ridge / 2 * np.sum(coef**2) if ridge else 0.0) + (
                lasso * np.abs(coef).sum() if lasso else 0.0
            )
            slopes = slope.T @ self.X + ridge * coef + lasso * np.sign(coef)
            return self.share @ value + penalty, slopes, slope.sum(axis=0) * self.intercept

    def rounding(self, coef, intercept, dtype):
        """What rounding of the predictions may make of F."""
        with np.errstate(all="ignore"):
            raw = np.abs(self.X) @ np.abs(coef.T) + np.abs(intercept)
            # At a kink rounding decides on which side of it a row is.
            at, off = self.X @ coef.T + intercept, 4 * np.finfo(dtype).eps * raw
            slopes = (self.loss(self.y, z, **self.parameters)[1] for z in (at - off, at + off))
            slope = np.maximum(*(np.abs(each.reshape(raw.shape)) for each in slopes))
            moved = self.share @ (slope * raw)
            if self.log_link:
                # Of terms that cancel.
                moved = moved + self.share @ (self.y * (1 + np.abs(np.log(self.y))))
            # Of F itself, in units of the losses of a model that predicts 0; where these are 0, as
            # the perceptron's, of the predictions.
            size = np.max(self.loss(self.y, np.zeros(raw.shape), **self.parameters)[0])
            size = size if size > 0 or not self.classes else float(np.max(raw))
            size = max(
                size,
                float(self.share @ np.abs(self.y).reshape(len(self.y), -1).mean(axis=1)) * 1e-12,
            )
            return 4 * np.finfo(dtype).eps * (moved.sum() + np.nan_to_num(size, posinf=0.0))


def improvement(objective, starts):
    """The lowest F that is found from some (coef, intercept) and from 0, and where.

    Quasi-Newton steps in columns that are centred and scaled, on a loss that is blurred less and
    less where it has kinks.
    """
    X, k = objective.X, objective.k
    with np.errstate(all="ignore"):
        shift = X.mean(axis=0) if objective.intercept else np.zeros(X.shape[1])
        scale = np.abs(X - shift).max(axis=0)
        scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)

    def unpack(v):
        v = v.reshape(k, -1)
        coef = v[:, :-1] / scale
        return coef, v[:, -1] - coef @ shift

    def evaluate(v, blur):
        with np.errstate(all="ignore"):
            value, slopes, slope = objective.with_gradient(*unpack(v), blur)
            inner = (slopes - np.outer(slope, shift)) / scale
            gradient = np.column_stack([inner, slope]).ravel()
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return 1e300, np.zeros_like(v)
        return value, gradient

    best, place = np.inf, None
    blurs = [spread(objective) * blur for blur in BLURS] if objective.kinked else [0.0]
    for coef, intercept in [*starts, (np.zeros((k, X.shape[1])), np.zeros(k))]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            v = np.column_stack([coef * scale, intercept + coef @ shift]).ravel()
            if not np.isfinite(v).all():
                continue
            for blur in blurs:
                v = minimize(
                    evaluate, v, (blur,), "L-BFGS-B", jac=True,
                    options={"maxiter": 200, "ftol": 1e-15, "gtol": 0, "maxcor": 20},
                ).x  # fmt: skip
                value = objective(*unpack(v))
                if np.isfinite(value) and value < best:
                    best, place = value, unpack(v)
    return best, place


def spread(objective):
    """The size of what the loss takes: 1 for margins, else the deviation of the targets."""
    if objective.classes:
        return 1.0
    deviation = np.abs(objective.y - np.median(objective.y, axis=0))
    return float(objective.share @ deviation.max(axis=1)) or 1.0


def best_constant(objective):
    """The lowest F that is found without coefficients."""
    constant = copy(objective)
    constant.X = objective.X[:, :0]
    starts = []
    if not objective.classes:
        coef = np.zeros((objective.k, 0))
        with np.errstate(all="ignore"):
            middles = [np.median(objective.y, axis=0), objective.share @ objective.y]
        starts = [(coef, middle) for middle in middles]
        starts += [(coef, np.log(middle)) for middle in middles if (middle > 0).all()]
    if not objective.intercept:
        return objective(np.zeros((objective.k, objective.X.shape[1])), np.zeros(objective.k))
    values = [constant(*start) for start in starts] + [improvement(constant, starts)[0]]
    return min((value for value in values if np.isfinite(value)), default=np.inf)
