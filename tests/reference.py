"""Plain NumPy twins of the losses, the optimizers and the textbook fit.

Written from the formulas, never from the package, so that agreement means something. Nothing here
is fast, and nothing here may import ``sklearn_lossopt``.

A loss maps ``(y, raw)`` to its per-row value and its gradient with respect to ``raw``. With k
columns, losses that work column by column take ``y`` of raw's shape and their value is the sum over
the columns; ``softmax`` takes the class index. An optimizer maps ``(theta, gradient, state,
learning_rate)`` to the next ``theta`` and keeps what it must remember in the dict ``state``.

To add one: write the function, add it to ``LOSSES`` or ``OPTIMIZERS``.
"""

from dataclasses import dataclass

import numpy as np

# Losses ------------------------------------------------------------------------------------------


def squared_error(y, raw):
    """Half the squared residual."""
    return _rows((y - raw) ** 2 / 2), raw - y


def huber(y, raw, delta):
    """Quadratic up to ``delta``, linear beyond."""
    size = np.abs(y - raw)
    near = size <= delta
    value = np.where(near, np.where(near, size, 0) ** 2 / 2, delta * size - delta**2 / 2)
    return _rows(value), np.where(near, raw - y, delta * np.sign(raw - y))


def log_loss(y, raw):
    """Binary cross-entropy of the margin, y = +-1."""
    margin = y * raw
    return _rows(np.logaddexp(0, -margin)), -y * np.exp(-np.logaddexp(0, margin))


def softmax(y, raw):
    """Cross-entropy of the softmax of k columns, y the class index."""
    rows = np.arange(len(y))
    shifted = raw - raw.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    gradient = np.exp(shifted - log_total[:, None])
    gradient[rows, y] -= 1
    return log_total - shifted[rows, y], gradient


def hinge(y, raw):
    """Hinge of the margin, y = +-1; the subgradient at the kink is 0."""
    margin = y * raw
    return _rows(np.maximum(0, 1 - margin)), np.where(margin < 1, -y, 0 * y)


def _rows(value):
    return value if value.ndim == 1 else value.sum(axis=1)


LOSSES = {
    "squared_error": squared_error,
    "huber": huber,
    "log_loss": log_loss,
    "softmax": softmax,
    "hinge": hinge,
}


def one_vs_rest(index, n_classes):
    """+1 in the column of the row's class, -1 elsewhere."""
    return np.where(np.asarray(index)[:, None] == np.arange(n_classes), 1.0, -1.0)


# Optimizers, with the update rules of torch.optim -------------------------------------------------


def sgd(theta, gradient, state, learning_rate):
    """Plain step against the gradient."""
    return theta - learning_rate * gradient


def momentum(theta, gradient, state, learning_rate, momentum=0.9, nesterov=False):
    """Heavy ball, v = momentum v + g, or its Nesterov form."""
    v = state["v"] = momentum * state.get("v", 0.0) + gradient
    return theta - learning_rate * (gradient + momentum * v if nesterov else v)


def nesterov(theta, gradient, state, learning_rate, momentum=0.9):
    """Nesterov's accelerated gradient."""
    v = state["v"] = momentum * state.get("v", 0.0) + gradient
    return theta - learning_rate * (gradient + momentum * v)


def rmsprop(
    theta, gradient, state, learning_rate, rho=0.9, epsilon=1e-8, momentum=0.0, centered=False
):
    """Gradient over its running root mean square; epsilon is added outside the root."""
    square = state["square"] = rho * state.get("square", 0.0) + (1 - rho) * gradient**2
    if centered:
        mean = state["mean"] = rho * state.get("mean", 0.0) + (1 - rho) * gradient
        square = square - mean**2
    v = state["v"] = momentum * state.get("v", 0.0) + gradient / (np.sqrt(square) + epsilon)
    return theta - learning_rate * v


def adam(
    theta, gradient, state, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, amsgrad=False
):
    """Adam; with ``amsgrad``, the second moment is the largest so far, not yet bias-corrected."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * gradient
    s = state["s"] = beta_2 * state.get("s", 0.0) + (1 - beta_2) * gradient**2
    if amsgrad:
        s = state["largest"] = np.maximum(state.get("largest", 0.0), s)
    root = np.sqrt(s) / (1 - beta_2**t) ** 0.5 + epsilon
    return theta - learning_rate / (1 - beta_1**t) * m / root


OPTIMIZERS = {
    "gradient_descent": sgd,
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
}


# The objective and the textbook fit ---------------------------------------------------------------


@dataclass
class Trajectory:
    """What ``textbook_fit`` saw, one entry an epoch."""

    coef: np.ndarray  # (epochs, k, d)
    intercept: np.ndarray  # (epochs, k)
    running_loss: np.ndarray  # (epochs,), mean over the rows of their loss when visited
    penalty_range: np.ndarray  # (epochs, 2), smallest and largest penalty from start to end


def penalty(coef, alpha, l1_ratio=0.0):
    """Value and (sub)gradient of the elastic-net penalty, the latter 0 where |w| has its kink."""
    value = alpha * ((1 - l1_ratio) / 2 * (coef**2).sum() + l1_ratio * np.abs(coef).sum())
    return value, alpha * ((1 - l1_ratio) * coef + l1_ratio * np.sign(coef))


def batch_objective(coef, intercept, X, y, scale, loss, loss_params, alpha, l1_ratio=0.0):
    """Mean over rows of scale_i loss_i, plus the penalty; returns value, d/dcoef, d/dintercept."""
    raw = X @ coef.T + intercept
    if y.ndim == 1 and loss != "softmax":
        raw = raw[:, 0]
    value, gradient = LOSSES[loss](y, raw, **loss_params)
    gradient = (scale * gradient.reshape(len(X), -1).T).T / len(X)
    penalty_value, penalty_gradient = penalty(coef, alpha, l1_ratio)
    return (
        (scale * value).sum() / len(X) + penalty_value,
        gradient.T @ X + penalty_gradient,
        gradient.sum(axis=0),
    )


def textbook_fit(
    X, y, loss, optimizer, learning_rate, alpha=0.0, l1_ratio=0.0, *, epochs, batch_size=None,
    sample_weight=None, fit_intercept=True, loss_params=None, optimizer_params=None,
):  # fmt: skip
    """Train a linear model from zero, the rows visited in the order given.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    y : ndarray of shape (n,) or (n, k)
        Floats or +-1, one column an output; the class index for the loss "softmax".
    loss, optimizer : str
        Names in ``LOSSES`` and ``OPTIMIZERS``; "gradient_descent" ignores ``batch_size``.
    batch_size : int or None
        Rows a step, the epoch's last step taking what is left; None for all of them.

    Returns
    -------
    Trajectory
    """
    step = OPTIMIZERS[optimizer]
    s = np.ones(len(X), X.dtype) if sample_weight is None else np.asarray(sample_weight, X.dtype)
    X, y, s = X[s > 0], y[s > 0], s[s > 0]
    scale = s / s.mean()
    n, d = X.shape
    if batch_size is None or optimizer == "gradient_descent":
        batch_size = n
    k = y.max() + 1 if loss == "softmax" else y[0].size
    theta = np.zeros((k, d + 1), X.dtype)
    state = {}
    coefs, intercepts, losses, penalties = [], [], [], []
    for _ in range(epochs):
        seen, met = 0.0, []
        for start in range(0, n, batch_size):
            batch = slice(start, start + batch_size)
            value, coef_gradient, intercept_gradient = batch_objective(
                theta[:, :d], theta[:, d], X[batch], y[batch], scale[batch],
                loss, loss_params or {}, alpha, l1_ratio,
            )  # fmt: skip
            met.append(penalty(theta[:, :d], alpha, l1_ratio)[0])
            seen += (value - met[-1]) * len(X[batch])
            gradient = np.column_stack([coef_gradient, intercept_gradient * fit_intercept])
            theta = step(theta, gradient, state, learning_rate, **(optimizer_params or {}))
        coefs.append(theta[:, :d])
        intercepts.append(theta[:, d])
        losses.append(seen / n)
        met.append(penalty(theta[:, :d], alpha, l1_ratio)[0])
        penalties.append((min(met), max(met)))
    return Trajectory(*map(np.array, (coefs, intercepts, losses, penalties)))
