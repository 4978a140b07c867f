"""The scale of residuals, for Huber's loss."""

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE, conjugate_gradients, squares, whitener
from sklearn_lossopt._solvers.equivalent_rows import equivalent
from sklearn_lossopt._solvers.newton import HessianModel
from sklearn_lossopt._solvers.proximal_newton import QuadraticModel, minimise, thresholds

# Numbers in the rows that the scale is estimated from: it takes many passes over them.
MAX_SCALE_ENTRIES = 500_000


def residual_scale(objective, epsilon):
    r"""The scale of the residuals that Huber's criterion estimates with the coefficients.

    Minimises :math:`\sigma + \operatorname{mean} \sigma \rho_\epsilon(r / \sigma)` over
    coefficients and :math:`\sigma` together, as ``HuberRegressor`` does, with
    :math:`\rho_\epsilon(u) = u^2` up to epsilon and :math:`2 \epsilon |u| - \epsilon^2` beyond.

    References
    ----------
    Huber, P. J. and Ronchetti, E. M. (2009). Robust Statistics, 2nd ed., section 7.7. Wiley.
    """
    return objective.cached(
        "residual scale", (epsilon, objective.l2, objective.l1),
        lambda: _residual_scale(objective, epsilon),
    )  # fmt: skip


def _residual_scale(objective, epsilon):
    objective, _ = equivalent(objective)
    shift = objective.moments()[0] if objective.fit_intercept and not objective.sparse else None
    hessian = HessianModel(objective, shift, MAX_SCALE_ENTRIES)
    y = hessian.sample[1].astype(np.float64)
    least = 0.01 * objective.y_scale()
    scales = [_scale(hessian, column, epsilon, least) for column in y.T]
    return np.array(scales) if objective.n_outputs > 1 else scales[0]


def _scale(hessian, y, epsilon, least):
    """The scale of one output's residuals, at least ``least``."""
    x, _, weight = hessian.sample
    objective = hessian.objective
    weight, l2, l1 = weight[:, 0], objective.l2, objective.l1
    share = weight / weight.sum()
    wide = x.shape[1] > MATRIX_SIZE
    x_squares = squares(x) if wide else None
    w = np.zeros(x.shape[1])
    w[-1] = np.median(y) if objective.fit_intercept else 0.0

    def scale_of(r):
        # The mean of min(r / sigma, epsilon)^2 falls with sigma; it is 1 at the minimum.
        squares = r**2
        # From the middle: outliers may be any size larger.
        sigma = max(1.4826 * float(np.median(np.abs(r))), least)
        for _ in range(200):
            inner = squares <= (epsilon * sigma) ** 2
            outside = epsilon**2 * (1 - share @ inner)
            if outside < 1:
                before, sigma = sigma, np.sqrt(share @ (squares * inner) / (1 - outside))
                if abs(sigma - before) <= 1e-13 * sigma:
                    break
            else:
                sigma *= 0.5
            if sigma <= least:
                break
        return max(sigma, least)

    def criterion(w, delta):
        size = np.abs(y - x @ w)
        clipped = np.minimum(size, delta)
        value = share @ (clipped * (size - 0.5 * clipped)) + 0.5 * l2 * w[:-1] @ w[:-1]
        return value + l1 * np.abs(w[:-1]).sum()

    def step(w, delta, newton):
        r = y - x @ w
        size = np.maximum(np.abs(r), 1e-300)
        # Reweighted least squares never overshoots; Newton's weights are exact near the end.
        h = (size <= delta).astype(float) if newton else np.minimum(1.0, delta / size)
        g = (share * np.clip(r, -delta, delta)) @ x
        g[:-1] -= l2 * w[:-1]
        if l1 > 0:
            model = QuadraticModel(x, share[:, None], h[:, None].__mul__, 1, l2)
            return minimise(model, w, -g, thresholds(objective))[0]
        if wide:
            h *= share
            diagonal = h @ x_squares
            diagonal[:-1] += l2
            diagonal[diagonal == 0] = 1.0

            def product(v):
                out = (h * (x @ v)) @ x
                out[:-1] += l2 * v[:-1]
                return out

            return w + conjugate_gradients(product, lambda v: v / diagonal, g, 1e-4, 500)[0]
        T, _ = whitener(hessian.matrix(h))
        return w + T @ (T.T @ g)

    sigma = scale_of(y - x @ w)
    for _ in range(100):
        delta = epsilon * sigma
        moved = step(w, delta, newton=True)
        if not criterion(moved, delta) < criterion(w, delta):
            moved = step(w, delta, newton=False)
        w, before = moved, sigma
        sigma = scale_of(y - x @ w)
        if sigma == least or abs(sigma - before) <= 1e-11 * sigma:
            break
    return sigma
