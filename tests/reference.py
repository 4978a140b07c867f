"""Plain NumPy twins of the losses, the optimizers and the textbook fit.

Written from the formulas, never from the package, so that agreement means something. Nothing here
is fast, and nothing here may import ``sklearn_lossopt``.

A loss maps ``(y, raw)`` to its per-row value and its gradient with respect to ``raw``. With k
columns, losses that work column by column take ``y`` of raw's shape and their value is the sum over
the columns; ``softmax`` takes the class index. An optimizer maps ``(theta, gradient, state,
learning_rate)`` to the next ``theta`` and keeps what it must remember in the dict ``state``; where
the model is not ``theta``, it is ``state["prediction"]``.

To add one: write the function, add it to ``LOSSES`` or ``OPTIMIZERS``.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import poch, xlogy

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
    """Hinge of the margin, y = +-1; the subgradient at the breakpoint is 0."""
    margin = y * raw
    return _rows(np.maximum(0, 1 - margin)), np.where(margin < 1, -y, 0 * y)


def absolute_error(y, raw):
    """Size of the residual; the subgradient at 0 is 0."""
    return _rows(np.abs(y - raw)), np.sign(raw - y)


def quantile(y, raw, quantile=0.5):
    """Pinball loss; the subgradient at 0 is 0."""
    value = np.maximum(quantile * (y - raw), (1 - quantile) * (raw - y))
    return _rows(value), (raw > y) * (1 - quantile) - (raw < y) * quantile


def epsilon_insensitive(y, raw, epsilon=0.1):
    """Size of the residual beyond a tube; the subgradient on its edge is 0."""
    beyond = np.abs(y - raw) > epsilon
    return _rows(np.where(beyond, np.abs(y - raw) - epsilon, 0)), beyond * np.sign(raw - y)


def squared_epsilon_insensitive(y, raw, epsilon=0.1):
    """The square of it."""
    beyond = np.maximum(0, np.abs(y - raw) - epsilon)
    return _rows(beyond**2), 2 * beyond * np.sign(raw - y)


def log_cosh(y, raw):
    """Logarithm of the hyperbolic cosine of the residual."""
    return _rows(np.logaddexp(y - raw, raw - y) - np.log(2)), np.tanh(raw - y)


def poisson(y, raw):
    """Half the unit deviance of the Poisson distribution at mean exp(raw)."""
    return _rows(xlogy(y, y) - y * raw - y + np.exp(raw)), np.exp(raw) - y


def gamma(y, raw):
    """Half the unit deviance of the gamma distribution at mean exp(raw)."""
    return _rows(raw - np.log(y) + y * np.exp(-raw) - 1), 1 - y * np.exp(-raw)


def tweedie(y, raw, power=1.5):
    """Half the unit deviance of variance mean^power, the mean being exp(raw)."""
    if power == 1:
        return poisson(y, raw)
    if power == 2:
        return gamma(y, raw)
    p = power
    ours = np.exp((2 - p) * raw) / (2 - p) - y * np.exp((1 - p) * raw) / (1 - p)
    best = y**2 / 2 if p == 0 else np.maximum(y, 0) ** (2 - p) / (1 - p) / (2 - p)
    return _rows(ours + best), np.exp((2 - p) * raw) - y * np.exp((1 - p) * raw)


def squared_hinge(y, raw):
    """The square of the hinge."""
    slack = np.maximum(0, 1 - y * raw)
    return _rows(slack**2), -2 * y * slack


def modified_huber(y, raw):
    """Squared hinge, linear below margin -1."""
    margin = y * raw
    far = margin < -1
    slack = np.where(far, 0, np.maximum(0, 1 - margin))
    return _rows(np.where(far, -4 * margin, slack**2)), np.where(far, -4 * y, -2 * y * slack)


def perceptron(y, raw):
    """Minus the margin of wrong rows; a margin of 0 counts as wrong."""
    margin = y * raw
    return _rows(np.maximum(0, -margin)), np.where(margin <= 0, -y, 0 * y)


def exponential(y, raw):
    """Exponential of minus the margin."""
    return _rows(np.exp(-y * raw)), -y * np.exp(-y * raw)


def _rows(value):
    return value if value.ndim == 1 else value.sum(axis=1)


LOSSES = {
    "squared_error": squared_error,
    "huber": huber,
    "log_loss": log_loss,
    "softmax": softmax,
    "hinge": hinge,
    "absolute_error": absolute_error,
    "quantile": quantile,
    "epsilon_insensitive": epsilon_insensitive,
    "squared_epsilon_insensitive": squared_epsilon_insensitive,
    "log_cosh": log_cosh,
    "poisson": poisson,
    "gamma": gamma,
    "tweedie": tweedie,
    "squared_hinge": squared_hinge,
    "modified_huber": modified_huber,
    "perceptron": perceptron,
    "exponential": exponential,
}


def one_vs_rest(index, n_classes):
    """+1 in the column of the row's class, -1 elsewhere."""
    return np.where(np.asarray(index)[:, None] == np.arange(n_classes), 1.0, -1.0)


# Optimizers, with the update rules of torch.optim; of Lion, the paper's --------------------------


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


def amsgrad(theta, gradient, state, learning_rate, **parameters):
    """Adam's AMSGrad form."""
    return adam(theta, gradient, state, learning_rate, amsgrad=True, **parameters)


def adamw(theta, gradient, state, learning_rate, weight_decay=0.01, **parameters):
    """Adam from weights that have first been shrunk, the intercepts excepted."""
    theta = theta - learning_rate * weight_decay * _weights(theta)
    return adam(theta, gradient, state, learning_rate, **parameters)


def nadam(
    theta, gradient, state, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
    momentum_decay=0.004,
):  # fmt: skip
    """Adam with Nesterov momentum, whose weight mu rises from beta_1 / 2 to beta_1."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * gradient
    s = state["s"] = beta_2 * state.get("s", 0.0) + (1 - beta_2) * gradient**2
    steps = np.arange(1, t + 2)
    mu = beta_1 * (1 - 0.96 ** (steps * momentum_decay) / 2)
    now = (1 - mu[-2]) / (1 - mu[:-1].prod()) * gradient
    ahead = mu[-1] / (1 - mu.prod()) * m
    return theta - learning_rate * (now + ahead) / (np.sqrt(s / (1 - beta_2**t)) + epsilon)


def radam(theta, gradient, state, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Adam rectified by the length of the moving average; plain momentum while that is short."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * gradient
    s = state["s"] = beta_2 * state.get("s", 0.0) + (1 - beta_2) * gradient**2
    longest = 2 / (1 - beta_2) - 1
    length = longest - 2 * t * beta_2**t / (1 - beta_2**t)
    step = learning_rate * m / (1 - beta_1**t)
    if length > 5:
        r = (length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length
        step = step * np.sqrt(r) * np.sqrt(1 - beta_2**t) / (np.sqrt(s) + epsilon)
    return theta - step


def adamax(theta, gradient, state, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Adam with a decaying maximum in place of the mean square."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * gradient
    u = state["u"] = np.maximum(beta_2 * state.get("u", 0.0), np.abs(gradient) + epsilon)
    return theta - learning_rate / (1 - beta_1**t) * m / u


def adagrad(theta, gradient, state, learning_rate, epsilon=1e-10, initial_accumulator_value=0.0):
    """Gradient over the root of the sum of its squares so far."""
    s = state["s"] = state.get("s", initial_accumulator_value) + gradient**2
    return theta - learning_rate * gradient / (np.sqrt(s) + epsilon)


def adadelta(theta, gradient, state, learning_rate, rho=0.9, epsilon=1e-6):
    """Steps scaled by the ratio of the root mean squares of steps and gradients."""
    s = state["s"] = rho * state.get("s", 0.0) + (1 - rho) * gradient**2
    u = state.get("u", 0.0)
    step = np.sqrt((u + epsilon) / (s + epsilon)) * gradient
    state["u"] = rho * u + (1 - rho) * step**2
    return theta - learning_rate * step


def lion(theta, gradient, state, learning_rate, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
    """Algorithm 2 of Chen et al. (2023); the intercepts are not decayed."""
    m = state.get("m", 0.0)
    direction = np.sign(beta_1 * m + (1 - beta_1) * gradient)
    state["m"] = beta_2 * m + (1 - beta_2) * gradient
    return theta - learning_rate * (direction + weight_decay * _weights(theta))


def averaged(
    theta, gradient, state, learning_rate, optimizer="sgd", start=0, power=0.0, step=None
):  # fmt: skip
    """Another optimizer's steps; predicts by the mean of the points after ``start`` of them.

    The i-th of them weighs Gamma(i + power) / Gamma(i), which is what the share (power + 1) /
    (m + power) of each new one comes to (Shamir and Zhang 2013, section 4)."""
    inner = state.setdefault("inner", {})
    theta = (step or OPTIMIZERS[optimizer])(theta, gradient, inner, learning_rate)
    t = state["t"] = state.get("t", 0) + 1
    points = state.setdefault("points", [])
    state["prediction"] = theta
    if t > start:
        points.append(theta)
        weights = poch(np.arange(1.0, len(points) + 1), power)
        state["prediction"] = np.average(points, axis=0, weights=weights)
    return theta


def schedule_free_sgd(
    theta, gradient, state, learning_rate, momentum=0.9, warmup_steps=0, r=0.0, threshold=0.0
):  # fmt: skip
    """Defazio et al. (2024): x as the weighted mean of all z, y between them."""
    t = state["t"] = state.get("t", 0) + 1
    rate = learning_rate * min(1, t / warmup_steps) if warmup_steps else learning_rate
    z = state["z"] = _shrunk(state.get("z", theta) - rate * gradient, rate * threshold)
    return _schedule_free_y(state, z, t, rate, momentum, r)


def schedule_free_adamw(
    theta, gradient, state, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
    weight_decay=0.0, warmup_steps=0, r=0.0, threshold=0.0,
):  # fmt: skip
    """Algorithm 1 of Defazio et al. (2024); theta is y, where also the decay is taken."""
    t = state["t"] = state.get("t", 0) + 1
    rate = learning_rate * min(1, t / warmup_steps) if warmup_steps else learning_rate
    rate *= (1 - beta_2**t) ** 0.5
    s = state["s"] = beta_2 * state.get("s", 0.0) + (1 - beta_2) * gradient**2
    root = np.sqrt(s) + epsilon
    step = gradient / root + weight_decay * _weights(theta)
    z = state["z"] = _shrunk(state.get("z", theta) - rate * step, rate / root * threshold)
    return _schedule_free_y(state, z, t, rate, beta_1, r)


def _schedule_free_y(state, z, t, rate, beta, r):
    state.setdefault("points", []).append(z)
    state["top"] = max(rate, state.get("top", 0.0))
    state.setdefault("weights", []).append(t**r * state["top"] ** 2)
    x = np.average(state["points"], axis=0, weights=state["weights"])
    state["prediction"] = x
    return (1 - beta) * z + beta * x


# Proximal steps for an l1 penalty ----------------------------------------------------------------


def _shrunk(theta, by):
    return np.sign(theta) * np.maximum(np.abs(theta) - by, 0)


def _share_of_unit_gradient(optimizer, state, before, learning_rate, parameters):
    """By how much the last step moves where the gradient has always been 1 more, the scaling of
    coordinates being what it was: memory is then 1 after the correction of its start."""
    t = state["count"]
    given = parameters.get
    if optimizer in ("gradient_descent", "sgd"):
        return learning_rate
    if optimizer in ("momentum", "nesterov"):
        mu, nesterov_ = given("momentum", 0.9), optimizer == "nesterov" or given("nesterov", False)
        past = sum(mu**i for i in range(t))
        return learning_rate * (1 + mu * past if nesterov_ else past)
    if optimizer == "rmsprop":
        mu, spread = given("momentum", 0.0), state["square"]
        if given("centered", False):
            spread = spread - state["mean"] ** 2
        past = sum(mu**i for i in range(t))
        return learning_rate * past / (np.sqrt(spread) + given("epsilon", 1e-8))
    if optimizer == "adagrad":
        return learning_rate / (np.sqrt(state["s"]) + given("epsilon", 1e-10))
    if optimizer == "adadelta":
        epsilon = given("epsilon", 1e-6)
        return learning_rate * np.sqrt((before.get("u", 0.0) + epsilon) / (state["s"] + epsilon))
    if optimizer == "adamax":
        return learning_rate / state["u"]
    beta_1, beta_2, epsilon = given("beta_1", 0.9), given("beta_2", 0.999), given("epsilon", 1e-8)
    s = state["largest"] if optimizer == "amsgrad" or given("amsgrad", False) else state["s"]
    root = np.sqrt(s / (1 - beta_2**t)) + epsilon
    if optimizer == "nadam":
        mu = beta_1 * (1 - 0.96 ** (np.arange(1, t + 2) * given("momentum_decay", 0.004)) / 2)
        now = (1 - mu[-2]) / (1 - mu[:-1].prod())
        return learning_rate * (now + mu[-1] / (1 - mu.prod()) * (1 - beta_1**t)) / root
    if optimizer == "radam":
        longest = 2 / (1 - beta_2) - 1
        length = longest - 2 * t * beta_2**t / (1 - beta_2**t)
        if length <= 5:
            return learning_rate
        r = (length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length
        return learning_rate * np.sqrt(r * (1 - beta_2**t)) / (np.sqrt(s) + epsilon)
    assert optimizer in ("adam", "amsgrad", "adamw")
    return learning_rate / root


def proximal_step(optimizer, theta, gradient, state, learning_rate, /, l1, **parameters):
    """A step of ``optimizer`` for a penalty l1 |weights|, of which ``gradient`` knows nothing."""
    threshold = l1 * _weights(np.ones_like(theta))
    if optimizer == "averaged":
        inner = partial(proximal_step, parameters.get("optimizer", "sgd"), l1=l1)
        return averaged(theta, gradient, state, learning_rate, step=inner, **parameters)
    if optimizer.startswith("schedule_free"):
        return OPTIMIZERS[optimizer](
            theta, gradient, state, learning_rate, threshold=threshold, **parameters
        )
    if optimizer == "lion":
        return _lion_against_subgradient(
            theta, gradient, state, learning_rate, threshold, **parameters
        )
    before = dict(state)
    moved = OPTIMIZERS[optimizer](theta, gradient, state, learning_rate, **parameters)
    state["count"] = state.get("count", 0) + 1
    scale = _share_of_unit_gradient(optimizer, state, before, learning_rate, parameters)
    return np.where(threshold > 0, _shrunk(moved, scale * threshold), moved)


def _lion_against_subgradient(
    theta, gradient, state, learning_rate, threshold, beta_1=0.9, beta_2=0.99, weight_decay=0.0
):
    """Lion with the sign of the smallest subgradient, stopping at 0 on its way."""
    m = state.get("m", 0.0)
    c = beta_1 * m + (1 - beta_1) * gradient
    state["m"] = beta_2 * m + (1 - beta_2) * gradient
    theta = theta - learning_rate * weight_decay * _weights(theta)
    c = np.where(theta == 0, _shrunk(c, threshold), c + threshold * np.sign(theta))
    moved = theta - learning_rate * np.sign(c)
    return np.where((threshold > 0) & (moved * theta < 0), 0.0, moved)


def _weights(theta):
    """Theta (k, d + 1) with zeros for the intercepts, its last column."""
    return theta * (np.arange(theta.shape[-1]) < theta.shape[-1] - 1)


OPTIMIZERS = {
    "gradient_descent": sgd,
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "amsgrad": amsgrad,
    "adamw": adamw,
    "nadam": nadam,
    "radam": radam,
    "adamax": adamax,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "lion": lion,
    "averaged": averaged,
    "schedule_free_sgd": schedule_free_sgd,
    "schedule_free_adamw": schedule_free_adamw,
}


# The objective and the textbook fit ---------------------------------------------------------------


@dataclass
class Trajectory:
    """What ``textbook_fit`` saw, one entry an epoch."""

    coef: np.ndarray  # (epochs, k, d)
    intercept: np.ndarray  # (epochs, k)
    # (epochs,), mean over the rows of their loss when visited; where the model is another than
    # what was visited, of its loss at the end
    running_loss: np.ndarray
    penalty_range: np.ndarray  # (epochs, 2), smallest and largest penalty from start to end


def penalty(coef, alpha, l1_ratio=0.0):
    """Value of the elastic-net penalty and gradient of its smooth part."""
    value = alpha * ((1 - l1_ratio) / 2 * (coef**2).sum() + l1_ratio * np.abs(coef).sum())
    return value, alpha * (1 - l1_ratio) * coef


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
    if alpha * l1_ratio > 0:
        step = partial(proximal_step, optimizer, l1=alpha * l1_ratio)
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
        model = state.get("prediction", theta)
        coefs.append(model[:, :d])
        intercepts.append(model[:, d])
        if "prediction" in state:
            seen, met = n * batch_objective(
                model[:, :d], model[:, d], X, y, scale, loss, loss_params or {}, 0.0
            )[0], []  # fmt: skip
        losses.append(seen / n)
        met.append(penalty(model[:, :d], alpha, l1_ratio)[0])
        penalties.append((min(met), max(met)))
    return Trajectory(*map(np.array, (coefs, intercepts, losses, penalties)))
