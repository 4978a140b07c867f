"""Certified optima of the benchmark's objectives.

For a loss l, rows (x_i, y_i) and a penalty alpha on the coefficients in the user's own units,

    F(w, b) = mean_i l(y_i, x_i.w + b) + alpha / 2 |w|^2,

summed over one-vs-rest columns where a margin loss meets more than two classes. The module finds
F* = min F twice as carefully as anything that is judged by it:

* smooth losses: Newton's method with a line search; each system is solved through a QR
  factorisation of the weighted rows, never through X'HX;
* softmax: the same with the full Hessian of all classes, in whitened coordinates;
* piecewise linear losses: a primal-dual interior point method.

The certificate is always a duality gap, F minus the value of a feasible dual point, which bounds
F - F* with no assumption but float rounding.

Features are centred and divided by sqrt(var + alpha) first, which is an exact change of variables.
A result whose certificate is above ``ACCEPT`` times F0 - F* is refused, where F0 belongs to the
best constant model. Results live in ``references.json`` beside this file; run the file to fill in
those that are missing.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
from datasets import BINARY, CATALOGUE, MULTICLASS, REGRESSION
from scipy.linalg import cho_factor, cho_solve, qr, solve_triangular
from scipy.optimize import brentq
from scipy.special import expit, log_softmax, softmax, xlogy

ALPHA = 1e-4
QUANTILE = 0.9
HUBER_EPSILON = 1.345
ACCEPT = 1e-8
# Below this share of F0 there is nothing to gain over a constant, and a relative gap is noise.
TRIVIAL = 1e-9
CACHE = Path(__file__).with_name("references.json")

LOSSES = {
    REGRESSION: ("squared_error", "huber", "absolute_error", "quantile"),
    BINARY: ("log_loss", "squared_hinge", "hinge"),
    MULTICLASS: ("log_loss", "squared_hinge", "hinge"),
}


class Uncertified(ArithmeticError):
    """The certificate of a computed optimum is too wide to judge others by it."""


def losses_of(entry):
    """Return the losses that apply to a data set of the catalogue."""
    return LOSSES[entry.task] + (("poisson",) if entry.counts else ())


def data_hash(X, y):
    """Return a short digest of the data."""
    digest = hashlib.sha256(np.ascontiguousarray(X).tobytes())
    digest.update(np.ascontiguousarray(y).tobytes())
    return digest.hexdigest()[:16]


# ------------------------------------------------------------------------------ the objective


def loss_values(loss, y, raw, delta=None):
    """Return the loss of every row.

    Parameters
    ----------
    loss : str
        Name of the loss.
    y : ndarray of shape (n,)
        Targets; class codes 0..K-1 in classification.
    raw : ndarray of shape (n,) or (n, K)
        Linear predictions.
    delta : float, optional
        Huber's threshold, in units of y.

    Returns
    -------
    ndarray of shape (n,)
    """
    if loss == "squared_error":
        return 0.5 * (y - raw) ** 2
    if loss == "huber":
        size = np.abs(y - raw)
        return np.where(size <= delta, 0.5 * size**2, delta * size - 0.5 * delta**2)
    if loss == "absolute_error":
        return np.abs(y - raw)
    if loss == "quantile":
        residual = y - raw
        return np.where(residual > 0, QUANTILE, QUANTILE - 1) * residual
    if loss == "poisson":
        return xlogy(y, y) - y * raw - y + np.exp(raw)
    if loss == "log_loss":
        if raw.ndim == 1:
            return np.logaddexp(0.0, np.where(y == 1, -raw, raw))
        return -log_softmax(raw, axis=1)[np.arange(len(y)), y]
    if raw.ndim == 1:
        signs = np.where(y == 1, 1.0, -1.0)
    else:
        signs = np.where(y[:, None] == np.arange(raw.shape[1]), 1.0, -1.0)
    slack = np.maximum(0.0, 1.0 - signs * raw)
    if loss == "squared_hinge":
        slack = slack**2
    elif loss != "hinge":
        raise ValueError(f"unknown loss {loss!r}")
    return slack if raw.ndim == 1 else slack.sum(axis=1)


def objective(loss, X, y, coef, intercept, delta=None, alpha=ALPHA):
    """Return F in float64 at the coefficients of a fitted estimator, in its own units."""
    coef = np.asarray(coef, dtype=np.float64)
    intercept = np.asarray(intercept, dtype=np.float64)
    if coef.ndim == 2 and len(coef) == 1:
        coef = coef[0]
    if coef.ndim == 1:
        raw = X @ coef + intercept.ravel()[0]
    else:
        raw = X @ coef.T + intercept
    with np.errstate(over="ignore", invalid="ignore"):
        return float(loss_values(loss, y, raw, delta).mean() + 0.5 * alpha * np.sum(coef**2))


def constant_objective(loss, y, delta=None):
    """Return F0, the objective of the best constant model."""
    n = len(y)
    if loss == "huber":

        def slope(b):
            return np.clip(b - y, -delta, delta).sum()

        low, high = y.min() - 1e-9, y.max() + 1e-9
        constant = brentq(slope, low, high, xtol=1e-300, rtol=1e-15) if low < high else low
    elif loss == "squared_error":
        constant = y.mean()
    elif loss == "absolute_error":
        constant = np.median(y)
    elif loss == "quantile":
        constant = np.quantile(y, QUANTILE, method="inverted_cdf")
    elif loss == "poisson":
        constant = np.log(y.mean())
    else:
        shares = np.bincount(y) / n
        if loss == "log_loss":
            return float(-xlogy(shares, shares).sum())
        if len(shares) == 2:
            shares = shares[1:]
        if loss == "hinge":
            return float(2 * np.minimum(shares, 1 - shares).sum())
        return float(4 * (shares * (1 - shares)).sum())
    return float(loss_values(loss, y, np.full(n, constant), delta).mean())


# ------------------------------------------------------------------------------ smooth losses


def _derivatives(loss, y, raw, delta):
    """Return first and second derivatives with respect to the raw prediction (y = +-1)."""
    if loss == "squared_error":
        return raw - y, np.ones_like(y)
    if loss == "huber":
        return np.clip(raw - y, -delta, delta), (np.abs(raw - y) <= delta).astype(float)
    if loss == "poisson":
        mean = np.exp(raw)
        return mean - y, mean
    if loss == "log_loss":
        p = expit(-y * raw)
        return -y * p, p * (1 - p)
    slack = np.maximum(0.0, 1.0 - y * raw)
    return -2 * y * slack, 2.0 * (slack > 0)


def _standardise(X, alpha, weight=None):
    """Return centred and scaled features, the penalty of their coefficients, centre and scale."""
    weight = np.full(len(X), 1 / len(X)) if weight is None else weight / weight.sum()
    centre = weight @ X
    # A second pass removes what the rounding of a large mean leaves behind.
    centre += weight @ (X - centre)
    centred = X - centre
    scale = np.sqrt(weight @ centred**2 + alpha)
    return centred / scale, alpha / scale**2, centre, scale


def _solve_smooth(loss, X, y, alpha, delta=None):
    """Minimise a smooth loss on raw features; return (value, gap).

    One outlying value can spoil the centre and the scale for all rows that still have curvature
    at the optimum, so that they are taken again with the curvatures there as weights.
    """
    Z, penalty, centre, scale = _standardise(X, alpha)
    best = _newton(loss, Z, y, penalty, delta)
    for _ in range(4):
        u, c, value, gap = best
        if gap <= 1e-12 * value:
            break
        weight = np.maximum(_derivatives(loss, y, Z @ u + c, delta)[1], 1e-300)
        Z, penalty, new_centre, new_scale = _standardise(X, alpha, weight)
        start = u / scale * new_scale, c + (new_centre - centre) @ (u / scale)
        centre, scale = new_centre, new_scale
        again = _newton(loss, Z, y, penalty, delta, start)
        if again[3] >= gap:
            break
        best = again
    return best[2:]


def _conjugate(loss, y, slope, delta):
    """Return the conjugate of the loss at a slope in raw (one a row), infinite off its domain."""
    if loss == "squared_error":
        return 0.5 * slope**2 + slope * y
    if loss == "huber":
        inside = np.abs(slope) <= delta * (1 + 1e-15)
        return np.where(inside, 0.5 * slope**2 + slope * y, np.inf)
    if loss == "poisson":
        mean = slope + y
        return np.where(mean >= 0, xlogy(mean, np.abs(mean)) - mean - xlogy(y, y) + y, np.inf)
    if loss == "log_loss":
        p = -y * slope
        inside = (p >= 0) & (p <= 1)
        return np.where(inside, xlogy(p, np.abs(p)) + xlogy(1 - p, np.abs(1 - p)), np.inf)
    return np.where(y * slope <= 0, slope * y + 0.25 * slope**2, np.inf)


def _newton(loss, Z, y, penalty, delta=None, start=None, max_iter=500, bound=True):
    """Minimise a smooth loss of one column of predictions.

    Every iterate also gives a dual point: the slopes that the quadratic model predicts after the
    step satisfy the dual's linear constraints exactly, so their dual value bounds the minimum from
    below. A Newton decrement alone can be fooled: with one huge outlier in a feature, that row's
    vanishing curvature hides a direction in which the loss still falls a long way.

    Returns
    -------
    u, c : coefficients of Z and constant
    value : float
        The objective.
    gap : float
        Its distance from the best dual value; nan without ``bound``.
    """
    n, d = Z.shape
    codes = (y > 0).astype(int) if loss in ("log_loss", "squared_hinge") else y
    Z1 = np.column_stack([Z, np.ones(n)])
    P = np.append(penalty, 0.0)
    # Extended precision where a tiny penalty would blow up the rounding of Z'slope.
    exact = np.longdouble if Z1.size <= 3e5 or penalty.min() < 1e-15 else np.float64
    long_Z1 = Z1.astype(exact, copy=False) if bound else None

    def evaluate(w):
        with np.errstate(over="ignore"):
            values = loss_values(loss, codes, Z1 @ w, delta)
            return values.mean() + 0.5 * (P * w**2).sum()

    def dual_value(w, g, h, R, step):
        change = step.copy()
        for _ in range(3):
            slope = (g + h * (Z1 @ change)).astype(exact)
            rest = (slope @ long_Z1) / n + P * (w + change)
            change -= _normal_solve(R, rest.astype(np.float64))
        slope = (g + h * (Z1 @ change)).astype(exact)
        new = w + change
        rest = (slope @ long_Z1) / n + P * new
        conjugate = _conjugate(loss, y, slope.astype(np.float64), delta).mean()
        pull = (rest[:d] - penalty * new[:d]).astype(np.float64)
        return -conjugate - 0.5 * (pull**2 / penalty).sum() - abs(float(rest[d]) * new[d])

    w = np.zeros(d + 1)
    if start is not None:
        w[:d], w[d] = start
    elif loss == "poisson":
        w[d] = np.log(y.mean())
    value = evaluate(w)
    best, best_dual = (w, value), -np.inf
    quiet, length = 0, 1.0
    for _ in range(max_iter):
        raw = Z1 @ w
        g, h = _derivatives(loss, y, raw, delta)
        # Where too few rows are within delta, Newton's model is useless but the weights of
        # iteratively reweighted least squares still majorise the loss.
        majorised = loss == "huber" and (length < 0.1 or not h.any())
        if majorised:
            h = delta / np.maximum(delta, np.abs(raw - y))
        gradient = g @ Z1 / n + P * w
        floored = np.maximum(h, 1e-24 * h.max() + 1e-300)
        rows = np.zeros((n + d, d + 1))
        rows[:n] = np.sqrt(floored / n)[:, None] * Z1
        rows[n:, :d][np.diag_indices(d)] = np.sqrt(penalty)
        R = qr(rows, mode="r", overwrite_a=True, check_finite=False)[0][: d + 1]
        half = solve_triangular(R, gradient, trans="T", check_finite=False)
        decrement = 0.5 * half @ half
        step = -solve_triangular(R, half, check_finite=False)
        dual = best_dual
        if bound and decrement < 1e-3 * abs(value) + 1e-300:
            dual = dual_value(w, g, h, R, step)
        quiet += 1
        if value < best[1] * (1 - 1e-14) or dual > best_dual + 1e-15 * abs(best[1]):
            quiet = 0
        if value <= best[1]:
            best = w, value
        best_dual = max(best_dual, dual)
        small = best[1] - best_dual if bound else decrement
        if not majorised and (small <= 1e-15 * abs(value) or quiet >= 8):
            break
        length = 1.0
        for _ in range(60):
            trial = w + length * step
            trial_value = evaluate(trial)
            if trial_value <= value - 0.2 * length * decrement:
                break
            # Near the minimum rounding hides any decrease, and the full step is right.
            if length == 1.0 and decrement < 1e-11 * abs(value):
                break
            length *= 0.5
        else:
            break
        w, value = trial, trial_value
    w, value = best
    return w[:d], w[d], value, value - best_dual if bound else np.nan


def _softmax(Z, y, penalty, max_iter=300):
    """Minimise the softmax cross-entropy; return (value, gap) as ``_newton`` does."""
    n, d = Z.shape
    k = y.max() + 1
    target = np.eye(k)[y]
    # Whitening keeps the Cholesky factor of the d k x d k Hessian well conditioned.
    rows = np.vstack([Z / np.sqrt(n), np.diag(np.sqrt(penalty))])
    R = qr(rows, mode="r", overwrite_a=True)[0][:d]
    V = solve_triangular(R, Z.T, trans="T").T
    V1 = np.column_stack([V, np.ones(n)])
    root = solve_triangular(R, np.diag(np.sqrt(penalty)), trans="T")
    P = np.zeros((d + 1, d + 1))
    P[:d, :d] = root @ root.T
    U, c = np.zeros((d, k)), np.zeros(k)
    exact = np.longdouble if Z.size <= 2e5 or penalty.min() < 1e-15 else np.float64
    long_Z = Z.astype(exact, copy=False)

    def evaluate(U, c):
        return loss_values("log_loss", y, Z @ U + c).mean() + 0.5 * (penalty @ U**2).sum()

    value = evaluate(U, c)
    best_value, best_dual, quiet = value, -np.inf, 0
    for _ in range(max_iter):
        p = softmax(Z @ U + c, axis=1)
        residual = p - target
        H = np.empty((k, d + 1, k, d + 1))
        for a in range(k):
            for b in range(a, k):
                weight = p[:, a] * ((a == b) - p[:, b]) / n
                block = V1.T @ (weight[:, None] * V1)
                if a == b:
                    block += P
                H[a, :, b] = block
                H[b, :, a] = block.T
        # A shift of all intercepts changes nothing, so its curvature may be anything.
        H[:, d, :, d] += 1.0 / k
        H = H.reshape(k * (d + 1), k * (d + 1))
        size = np.sqrt(np.diag(H))
        H /= size[:, None]
        H /= size
        jitter = 1e-15
        while True:
            try:
                factor = cho_factor(H + jitter * np.eye(len(H)), lower=True)
                break
            except np.linalg.LinAlgError:
                jitter *= 10

        def newton_step(slope, U, factor=factor, H=H, size=size):
            """Return the change of (U, c) that the model asks for, and its decrement."""
            rest = np.asarray(long_Z.T @ slope.astype(exact)) / n + penalty[:, None] * U
            rest = rest.astype(np.float64)
            G = np.vstack([solve_triangular(R, rest, trans="T"), slope.mean(axis=0)])
            g = G.T.ravel() / size
            step = -cho_solve(factor, g)
            step -= cho_solve(factor, H @ step + g)
            decrement = -0.5 * g @ step
            step = (step / size).reshape(k, d + 1).T
            return solve_triangular(R, step[:d]), step[d], decrement

        change, shift, decrement = newton_step(residual, U)
        dual = best_dual
        if decrement < 1e-3 * value:
            U2, c2 = U + change, c + shift
            for repeat in range(4):
                move = Z @ (U2 - U) + (c2 - c)
                slope = residual + p * (move - (p * move).sum(axis=1, keepdims=True))
                if repeat < 3:
                    more, more_shift, _ = newton_step(slope, U2)
                    U2, c2 = U2 + more, c2 + more_shift
            q = slope + target
            if q.min() >= 0:
                pull = (long_Z.T @ slope.astype(exact) / n).astype(np.float64)
                dual = -xlogy(q, q).sum(axis=1).mean()
                dual -= 0.5 * (pull**2 / penalty[:, None]).sum()
                dual -= np.abs(slope.mean(axis=0) * (c2 - c2.mean())).sum()
        quiet += 1
        if value < best_value * (1 - 1e-14) or dual > best_dual + 1e-15 * best_value:
            quiet = 0
        best_value, best_dual = min(best_value, value), max(best_dual, dual)
        if best_value - best_dual <= 1e-15 * value or quiet >= 6:
            break
        length = 1.0
        for _ in range(60):
            trial = U + length * change, c + length * shift
            trial_value = evaluate(*trial)
            if trial_value <= value - 0.2 * length * decrement:
                break
            if length == 1.0 and decrement < 1e-11 * abs(value):
                break
            length *= 0.5
        else:
            break
        (U, c), value = trial, trial_value
    return best_value, best_value - best_dual


# -------------------------------------------------------------------- piecewise linear losses


def _interior_point(A, c, up, down, penalty, max_iter=200):
    """Minimise mean(up * max(0, e) + down * max(0, -e)) + sum(penalty * u^2) / 2, e = c - A(u, b).

    The dual point theta lies in [-down, up]; it maximises
    mean(theta * c) - sum((A'theta / n)_j^2 / penalty_j) / 2 with A_b'theta = 0.

    Parameters
    ----------
    A : ndarray of shape (n, d + 1)
        Rows; the last column belongs to the unpenalised constant.
    c : ndarray of shape (n,)
        Offsets.
    up, down : float
        Slopes on both sides of the kink.
    penalty : ndarray of shape (d,)
        Curvatures of the penalty.
    max_iter : int
        Iterations; about thirty are usual.

    Returns
    -------
    value, gap : float
        The best objective and its distance from the best dual value.
    """
    n, d1 = A.shape
    d = d1 - 1
    P = np.append(n * penalty, 0.0)
    beta = np.zeros(d1)
    theta = np.full(n, 0.5 * (up - down))
    e = c - A @ beta
    u = np.maximum(e, 0) + 1.0
    v = np.maximum(-e, 0) + 1.0
    best_value, best_dual = np.inf, -np.inf
    rows = np.empty((n + d1, d1))
    quiet = 0
    polish = penalty.min() < 1e-15 and A.size < 1e6
    for _ in range(max_iter):
        e = c - A @ beta
        value = (up * np.maximum(e, 0) + down * np.maximum(-e, 0)).mean()
        value += 0.5 * (penalty * beta[:d] ** 2).sum()
        dual = _dual_value(theta, A, c, up, down, penalty)
        if polish:
            dual = max(
                dual,
                _dual_value(*_polish(theta, beta, A, up, down, penalty), c, up, down, penalty),
            )
        if value < best_value * (1 - 1e-12) or dual > best_dual + 1e-12 * abs(best_dual):
            quiet = 0
        else:
            quiet += 1
        best_value, best_dual = min(best_value, value), max(best_dual, dual)
        if best_value - best_dual <= 1e-13 * best_value or quiet >= 15:
            break
        lu, lv = up - theta, down + theta
        primal = e - u + v
        gradient = P * beta - A.T @ theta
        mu = (u @ lu + v @ lv) / (2 * n)
        W = 1.0 / (u / lu + v / lv)
        rows[:n] = np.sqrt(W)[:, None] * A
        rows[n:] = np.diag(np.sqrt(P + 1e-18 * n))
        R = qr(rows, mode="r", check_finite=False)[0][:d1]

        def solve(rhs, R=R, W=W):
            x = _normal_solve(R, rhs)
            for _ in range(2):
                x += _normal_solve(R, rhs - P * x - A.T @ (W * (A @ x)))
            return x

        def direction(ru, rv, W=W, lu=lu, lv=lv, u=u, v=v, primal=primal, gradient=gradient):
            rho = primal - ru / lu + rv / lv
            d_beta = solve(A.T @ (W * rho) - gradient)
            d_theta = W * (rho - A @ d_beta)
            return d_beta, d_theta, (ru + u * d_theta) / lu, (rv - v * d_theta) / lv

        d_beta, d_theta, du, dv = direction(-u * lu, -v * lv)
        length = _longest((u, du), (v, dv), (lu, -d_theta), (lv, d_theta))
        after = (u + length * du) @ (lu - length * d_theta) + (v + length * dv) @ (
            lv + length * d_theta
        )
        sigma = (after / (2 * n * mu)) ** 3
        d_beta, d_theta, du, dv = direction(
            sigma * mu - u * lu + du * d_theta, sigma * mu - v * lv - dv * d_theta
        )
        length = _longest((u, du), (v, dv), (lu, -d_theta), (lv, d_theta))
        length = min(1.0, 0.995 * length) if length < 1 else 1.0
        beta = beta + length * d_beta
        theta = theta + length * d_theta
        u, v = u + length * du, v + length * dv
        tiny = 1e-300
        u, v = np.maximum(u, tiny), np.maximum(v, tiny)
        margin = 1e-15 * (up + down)
        theta = np.clip(theta, -down + margin, up - margin)
        if not np.isfinite(beta).all():
            break
    return best_value, best_value - best_dual


def _normal_solve(R, rhs):
    return solve_triangular(
        R, solve_triangular(R, rhs, trans="T", check_finite=False), check_finite=False
    )


def _longest(*pairs):
    """Return the largest step in [0, 1] that keeps every x + step * dx nonnegative."""
    longest = 1.0
    for x, dx in pairs:
        falling = dx < 0
        if falling.any():
            longest = min(longest, float((-x[falling] / dx[falling]).min()))
    return longest


def _polish(theta, beta, A, up, down, penalty):
    """Move a dual point so that A'theta / n = penalty * beta beyond double precision.

    Where a penalty is as small as 1e-26 (a feature of scale 1e11), the rounding of A'theta alone
    would cost the dual value more than the gap asked for.
    """
    n = len(theta)
    room = np.minimum(up - theta, down + theta)
    rows = np.vstack([np.sqrt(room)[:, None] * A, 1e-12 * np.eye(A.shape[1])])
    R = qr(rows, mode="r")[0][: A.shape[1]]
    long_A, theta = A.astype(np.longdouble), theta.astype(np.longdouble)
    goal = np.append(n * penalty * beta[:-1], 0.0)
    for _ in range(3):
        rest = (goal - long_A.T @ theta).astype(np.float64)
        theta = theta + (room * (A @ _normal_solve(R, rest))).astype(np.longdouble)
    return np.clip(theta, np.longdouble(-down), np.longdouble(up)), long_A


def _dual_value(theta, A, c, up, down, penalty):
    """Return the dual objective of theta after making it exactly feasible."""
    n = len(theta)
    signs = A[:, -1]
    room = np.minimum(up - theta, down + theta)
    excess = signs @ theta
    for _ in range(2):
        total = room.sum()
        if total <= 0 or abs(excess) > total:
            return -np.inf
        theta = theta - signs * room * (excess / total)
        theta = np.clip(theta, -down, up)
        excess = signs @ theta
    pull = A[:, :-1].T @ theta / n
    return float((theta @ c) / n - 0.5 * (pull**2 / penalty).sum())


# ---------------------------------------------------------------------------------- front door


def _huber_delta(Z, y, penalty):
    """Return the threshold at which HuberRegressor's joint estimate of the scale would arrive."""
    u, b, _, _ = _newton("squared_error", Z, y, penalty, bound=False)
    residual = np.abs(y - Z @ u - b)
    sigma = 1.4826 * np.median(residual)
    # Many identical targets would otherwise shrink it to nothing, and huber to absolute_error.
    floor = 0.03 * y.std()
    for _ in range(60):
        sigma = max(sigma, floor)
        delta = HUBER_EPSILON * sigma
        u, b, _, _ = _newton("huber", Z, y, penalty, delta, (u, b), bound=False)
        residual = np.abs(y - Z @ u - b)

        def excess(log_sigma, residual=residual):
            scaled = np.minimum((residual / np.exp(log_sigma)) ** 2, HUBER_EPSILON**2)
            return scaled.mean() - 1.0

        low, high = np.log(floor), np.log(max(residual.max(), floor) * 2)
        new = floor if excess(low) <= 0 else np.exp(brentq(excess, low, high, xtol=1e-12))
        close = abs(new - sigma) <= 1e-8 * sigma
        sigma = new
        if close:
            break
    return float(f"{HUBER_EPSILON * max(sigma, floor):.6g}")


def solve(loss, X, y, alpha=ALPHA):
    """Find the optimum of one problem.

    Parameters
    ----------
    loss : str
        Name of the loss.
    X : ndarray of shape (n, d)
        Raw features.
    y : ndarray of shape (n,)
        Targets or class codes.
    alpha : float
        Penalty.

    Returns
    -------
    dict
        ``F0`` (best constant), ``F`` (optimum), ``certificate`` (bound of F minus the true
        minimum), ``n``, ``d``, ``k`` (columns of a softmax) and, for huber, ``delta``.
    """
    Z, penalty = _standardise(X, alpha)[:2]
    n, d = X.shape
    delta, k, scale = None, 1, 1.0
    classes = 0 if loss not in ("log_loss", "squared_hinge", "hinge") else int(y.max()) + 1
    if loss == "log_loss" and classes > 2:
        k = classes
        value, gap = _softmax(Z, y, penalty)
    elif classes:
        k = 1 if classes == 2 else classes
        value = gap = 0.0
        for code in range(1, 2) if classes == 2 else range(classes):
            signs = np.where(y == code, 1.0, -1.0)
            if loss == "hinge":
                A = signs[:, None] * np.column_stack([Z, np.ones(n)])
                part = _interior_point(A, np.ones(n), 1.0, 0.0, penalty)
            else:
                part = _solve_smooth(loss, X, signs, alpha)
            value, gap = value + part[0], gap + part[1]
    elif loss == "poisson":
        value, gap = _solve_smooth(loss, X, y, alpha)
    elif loss in ("squared_error", "huber"):
        spread = y.std()
        target = (y - y.mean()) / spread
        scale = spread**2
        if loss == "huber":
            delta = float(f"{spread * _huber_delta(Z, target, penalty):.6g}")
        value, gap = _solve_smooth(loss, X, target, alpha, delta and delta / spread)
    else:
        scale = y.std()
        target = (y - np.median(y)) / scale
        up, down = (1.0, 1.0) if loss == "absolute_error" else (QUANTILE, 1 - QUANTILE)
        A = np.column_stack([Z, np.ones(n)])
        value, gap = _interior_point(A, target, up, down, penalty * scale)
    result = {
        "F0": constant_objective(loss, y, delta),
        "F": float(value * scale),
        "certificate": float(gap * scale),
        "n": n,
        "d": d,
        "k": k,
    }
    if delta is not None:
        result["delta"] = delta
    return result


def verdict(result):
    """Return "certified", "trivial" (a constant is optimal) or "refused"."""
    gain = result["F0"] - result["F"]
    if gain <= TRIVIAL * result["F0"]:
        return "trivial" if result["certificate"] <= TRIVIAL * result["F0"] else "refused"
    return "certified" if abs(result["certificate"]) <= ACCEPT * gain else "refused"


def load_cache():
    """Return the stored results, by "data set|loss"."""
    return json.loads(CACHE.read_text()) if CACHE.exists() else {}


def save_cache(cache):
    """Store results, one a line so that a change reads well in a diff."""
    lines = [f"{json.dumps(key)}: {json.dumps(cache[key])}" for key in sorted(cache)]
    CACHE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def reference(name, loss, cache=None):
    """Return the certified optimum of a catalogue problem, from the cache if the data agree.

    Raises
    ------
    Uncertified
        If the certificate is too wide or a constant is optimal.
    """
    cache = load_cache() if cache is None else cache
    X, y = CATALOGUE[name].load()
    digest = data_hash(X, y)
    key = f"{name}|{loss}"
    if cache.get(key, {}).get("data") != digest:
        cache[key] = {"data": digest} | solve(loss, X, y)
    result = cache[key]
    judged = verdict(result)
    if judged != "certified":
        gain = result["F0"] - result["F"]
        raise Uncertified(f"{key}: {judged}, certificate {result['certificate']:.1e} of {gain:.1e}")
    return result


def main():
    """Fill in what is missing from the cache and list what was refused."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--loss", nargs="*", help="only these losses")
    parser.add_argument("--data", nargs="*", help="only these data sets")
    parser.add_argument("--again", action="store_true", help="recompute what is cached")
    options = parser.parse_args()
    cache = load_cache()
    for entry in CATALOGUE.values():
        if options.data and entry.name not in options.data:
            continue
        for loss in losses_of(entry):
            if options.loss and loss not in options.loss:
                continue
            key = f"{entry.name}|{loss}"
            if options.again:
                cache.pop(key, None)
            known = key in cache
            start = time.perf_counter()
            note = ""
            try:
                reference(entry.name, loss, cache)
            except Uncertified as error:
                note = str(error)
            seconds = time.perf_counter() - start
            if note or not known:
                row = cache[key]
                print(
                    f"{key:55s} F0 {row['F0']:.4e} F* {row['F']:.6e} certificate "
                    f"{row['certificate'] / max(row['F0'] - row['F'], 1e-300):.0e} of the gain, "
                    f"{seconds:.1f} s {note}",
                    flush=True,
                )
            if not known:
                save_cache(cache)
    for loss in dict.fromkeys(loss for kinds in LOSSES.values() for loss in (*kinds, "poisson")):
        found = [verdict(row) for key, row in cache.items() if key.endswith("|" + loss)]
        print(loss, {kind: found.count(kind) for kind in sorted(set(found))})


if __name__ == "__main__":
    main()
