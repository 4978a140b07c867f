"""Time default fits of smooth losses beside scikit-learn's estimators of the same objectives.

Softmax has five classes. Peers have their own defaults and, as far as they have the parameter, our
penalty. Both objectives are compared with that of a fit with tol=1e-12. HuberRegressor estimates
its scale in the objective itself, another one than ours: no gap is given there. ::

    python smooth.py
    python smooth.py --rounds 5 --sizes 150x4x1 --losses log_loss
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn.linear_model import HuberRegressor, LogisticRegression, PoissonRegressor, Ridge

from sklearn_lossopt import GradientClassifier, GradientRegressor

SIZES = "150x4x1", "2000x20x1", "20000x50x1", "20000x50x10", "200x5000x1"
LOSSES = "squared_error", "log_loss", "softmax", "poisson", "huber"
CLASSES = 5
ALPHA = 1e-4


def make_data(loss, n, d, k):
    """Columns of different means and spreads, and targets (n,) or (n, k) that the loss is for."""
    rng, k = np.random.default_rng(0), CLASSES if loss == "softmax" else k
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    z = (X - X.mean(axis=0)) @ rng.normal(size=(d, k)) / np.sqrt(d)
    if loss == "log_loss":
        return X, (z[:, 0] + rng.logistic(size=n) > 0).astype(int)
    if loss == "softmax":
        return X, (2 * z + rng.gumbel(size=z.shape)).argmax(axis=1)
    if loss == "poisson":
        return X, rng.poisson(np.exp(0.3 * z[:, 0])).astype(float)
    noise = rng.standard_t(2, size=(n, k)) if loss == "huber" else rng.normal(size=(n, k))
    return X, (z + noise if k > 1 else (z + noise)[:, 0])


def estimators(loss, n):
    """Our estimator and scikit-learn's."""
    if loss in ("log_loss", "softmax"):
        ours = GradientClassifier("log_loss", alpha=ALPHA, random_state=0)
        return ours, LogisticRegression(C=1 / (n * ALPHA))
    peers = {
        "squared_error": Ridge(alpha=n * ALPHA, solver="cholesky"),
        "poisson": PoissonRegressor(alpha=ALPHA),
        "huber": HuberRegressor(alpha=n * ALPHA),
    }
    return GradientRegressor(loss, alpha=ALPHA, random_state=0), peers[loss]


def objective(model, loss, X, y):
    """The objective of a fitted model."""
    coef = np.atleast_2d(model.coef_)
    z = X @ coef.T + model.intercept_
    z = z if loss == "softmax" else z.reshape(y.shape)
    value = {
        "squared_error": lambda: 0.5 * (y - z) ** 2,
        "log_loss": lambda: np.logaddexp(0, -(2 * y - 1) * z),
        "softmax": lambda: np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y],
        "poisson": lambda: np.exp(z) - y * z,
    }[loss]()
    return value.sum() / len(y) + 0.5 * ALPHA * np.sum(coef**2)


def compare(loss, n, d, k, rounds):
    """A line of the table."""
    X, y = make_data(loss, n, d, k)
    ours, peer = estimators(loss, n)
    seconds = _harness.in_turn(
        lambda: ours.fit(X, y), lambda: peer.fit(X, y), rounds=rounds, budget=1.0
    )
    gaps = "", ""
    if loss != "huber":
        best = estimators(loss, n)[0].set_params(tol=1e-12, max_iter=1000)
        least = objective(fitted(best, X, y), loss, X, y)
        gaps = [f"{objective(model, loss, X, y) / least - 1:.1e}" for model in (ours, peer)]
    middle = np.median(seconds, axis=0)
    return _harness.row(
        f"{n:,} x {d}" + (f", {k} outputs" if k > 1 else ""), loss, type(peer).__name__,
        *map(_harness.duration, middle), _harness.spread(seconds[:, 1] / seconds[:, 0]), *gaps,
    )  # fmt: skip


def fitted(model, X, y):
    """The model, fitted without a warning that a tolerance is out of reach."""
    _harness.timed(lambda: model.fit(X, y))
    return model


def report(options):
    yield from _harness.beside_peers("smooth losses")
    for size in options.sizes:
        n, d, k = map(int, size.split("x"))
        for loss in options.losses:
            if k == 1 or loss == "squared_error":
                yield compare(loss, n, d, k, options.rounds)


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, out="smooth.md", rounds=7)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="rows x columns x outputs")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
