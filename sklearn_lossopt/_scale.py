"""The scale of residuals, for Huber's loss. Floor 2."""

import numpy as np

from sklearn_lossopt._problem import Curvature, whitener

# Numbers in the rows that the scale is estimated from: it takes many passes over them.
SAMPLE_SIZE = 500_000


def residual_scale(problem, epsilon):
    r"""The scale of the residuals that Huber's criterion estimates with the coefficients.

    Minimises :math:`\sigma + \operatorname{mean} \sigma \rho_\epsilon(r / \sigma)` over
    coefficients and :math:`\sigma` together, as ``HuberRegressor`` does, with
    :math:`\rho_\epsilon(u) = u^2` up to epsilon and :math:`2 \epsilon |u| - \epsilon^2` beyond.

    References
    ----------
    Huber, P. J. and Ronchetti, E. M. (2009). Robust Statistics, 2nd ed., section 7.7. Wiley.
    """
    shift = problem.moments()[0] if problem.fit_intercept else None
    curvature = Curvature(problem, shift, SAMPLE_SIZE)
    x, y, weight = curvature.sample
    y = y.astype(np.float64)
    share = weight / weight.sum() / y.shape[1]
    least = 0.01 * problem.unit()
    W = np.zeros((y.shape[1], x.shape[1]))
    W[:, -1] = np.median(y, axis=0) if problem.fit_intercept else 0.0

    def scale_of(r):
        # The share of min(r / sigma, epsilon)^2 falls with sigma; it is 1 at the minimum.
        squares = r**2
        sigma = np.sqrt(np.sum(share * squares))
        for _ in range(200):
            inner = squares <= (epsilon * sigma) ** 2
            outside = epsilon**2 * (1 - np.sum(share * inner))
            if not outside < 1:
                sigma = 0.5 * sigma
            else:
                new = np.sqrt(np.sum(share * squares * inner) / (1 - outside))
                if abs(new - sigma) <= 1e-13 * sigma:
                    break
                sigma = new
            if sigma <= least:
                return least
        return max(sigma, least)

    def objective(W, delta):
        size = np.abs(y - x @ W.T)
        clipped = np.minimum(size, delta)
        penalty = 0.5 * problem.alpha * np.sum(W[:, :-1] ** 2) / y.shape[1]
        return np.sum(share * clipped * (size - 0.5 * clipped)) + penalty

    def step(W, delta, newton):
        r = y - x @ W.T
        size = np.maximum(np.abs(r), 1e-300)
        # Reweighted least squares never overshoots; Newton's weights are exact near the end.
        h = (size <= delta).astype(float) if newton else np.minimum(1.0, delta / size)
        moved = W.copy()
        for c in range(len(W)):
            g = x.T @ (weight[:, 0] * np.clip(r[:, c], -delta, delta)) / len(x)
            g[:-1] -= problem.alpha * W[c, :-1]
            T, _ = whitener(curvature.matrix(h[:, c]))
            moved[c] += T @ (T.T @ g)
        return moved

    sigma = scale_of(y - x @ W.T)
    for _ in range(100):
        delta = epsilon * sigma
        value = objective(W, delta)
        moved = step(W, delta, newton=True)
        if not objective(moved, delta) < value:
            moved = step(W, delta, newton=False)
        W, before = moved, sigma
        sigma = scale_of(y - x @ W.T)
        if abs(sigma - before) <= 1e-11 * sigma:
            break
    return sigma
