"""Time default fits of losses with kinks beside scikit-learn's estimators.

Peers have our penalty, and their own defaults or a tight tolerance and ten times as many
iterations. LinearSVC and LinearSVR also penalise their intercept, which shows as a gap.
QuantileRegressor has no L2 penalty, so neither side has one; where it would take minutes it is left
out. Objectives are compared with that of a fit with tol=1e-12. ::

    python kinks.py
    python kinks.py --rounds 3 --sizes 150x4 --losses hinge
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn.linear_model import QuantileRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC, LinearSVR

from sklearn_lossopt import GradientClassifier, GradientRegressor, GradientSearchCV

SIZES = "150x4", "2000x20", "20000x50"
LOSSES = "hinge", "squared_hinge", "absolute_error", "quantile", "epsilon_insensitive"
ALPHA, QUANTILE, EPSILON = 1e-4, 0.5, 0.1
# Rows of the largest data that a linear program is solved for.
MOST_ROWS = 2000
GRID = {
    "loss": ["squared_error", "absolute_error", "huber", "quantile"],
    "alpha": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
}


def make_data(loss, n, d):
    """Columns of different means and spreads, and two classes or targets with heavy tails."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    z = (X - X.mean(axis=0)) @ rng.normal(size=d) / np.sqrt(d)
    if "hinge" in loss:
        return X, (z + 0.7 * rng.normal(size=n) > 0).astype(int)
    return X, z + 0.5 * rng.standard_t(3, n)


def ours(loss, **options):
    """Our estimator."""
    kind = GradientClassifier if "hinge" in loss else GradientRegressor
    free = loss in ("absolute_error", "quantile")
    return kind(loss, alpha=0.0 if free else ALPHA, random_state=0, **options)


def peers(loss, n):
    """scikit-learn's, by name."""
    C = 1 / (n * ALPHA)
    if loss in ("absolute_error", "quantile"):
        if n <= MOST_ROWS:
            yield (
                "QuantileRegressor",
                QuantileRegressor(quantile=QUANTILE, alpha=0.0, solver="highs"),
            )
        return
    kind, options = LinearSVC, {"loss": loss, "random_state": 0}
    if loss == "epsilon_insensitive":
        kind, options = LinearSVR, options | {"epsilon": EPSILON}
    yield kind.__name__, kind(C=C, **options)
    if n <= MOST_ROWS:
        yield f"{kind.__name__}, tol=1e-6", kind(C=C, tol=1e-6, max_iter=10_000, **options)


def objective(model, loss, X, y):
    """The objective of a fitted model."""
    coef = np.ravel(model.coef_)
    z = X @ coef + np.ravel(model.intercept_)[0]
    value = {
        "hinge": lambda: np.maximum(0, 1 - (2 * y - 1) * z),
        "squared_hinge": lambda: np.maximum(0, 1 - (2 * y - 1) * z) ** 2,
        "absolute_error": lambda: np.abs(y - z),
        "quantile": lambda: np.maximum(QUANTILE * (y - z), (QUANTILE - 1) * (y - z)),
        "epsilon_insensitive": lambda: np.maximum(0, np.abs(y - z) - EPSILON),
    }[loss]()
    alpha = 0.0 if loss in ("absolute_error", "quantile") else ALPHA
    return value.mean() + 0.5 * alpha * np.sum(coef**2)


def compare(loss, n, d, rounds):
    """Lines of the table."""
    X, y = make_data(loss, n, d)
    model, others = ours(loss), dict(peers(loss, n))
    fits = [lambda each=each: each.fit(X, y) for each in (model, *others.values())]
    seconds = _harness.in_turn(*fits, rounds=rounds, budget=1.0)
    middle = np.median(seconds, axis=0)
    best = ours(loss, tol=1e-12, max_iter=1000).fit(X, y)
    least = objective(best, loss, X, y)
    gap = f"{objective(model, loss, X, y) / least - 1:.1e}"
    start = f"{n:,} x {d}", loss
    if not others:
        yield _harness.row(*start, "", _harness.duration(middle[0]), "", "", gap, "")
    for i, (name, peer) in enumerate(others.items(), 1):
        yield _harness.row(
            *start, name, *map(_harness.duration, middle[[0, i]]),
            _harness.spread(seconds[:, i] / seconds[:, 0]), gap,
            f"{objective(peer, loss, X, y) / least - 1:.1e}",
        )  # fmt: skip


def search(rounds):
    """The line of the search's table."""
    X, y = make_data("absolute_error", 2000, 20)
    model = GradientRegressor(random_state=0)
    together, apart = GradientSearchCV(model, GRID, cv=5), GridSearchCV(model, GRID, cv=5)
    seconds = _harness.in_turn(
        lambda: together.fit(X, y), lambda: apart.fit(X, y), rounds=rounds, budget=1.0
    )
    return _harness.row(
        *map(_harness.duration, np.median(seconds, axis=0)),
        _harness.spread(seconds[:, 1] / seconds[:, 0]),
    )


def report(options):
    """Yield the lines of kinks.md."""
    yield from _harness.beside_peers("losses with kinks")
    for size in options.sizes:
        n, d = map(int, size.split("x"))
        for loss in options.losses:
            yield from compare(loss, n, d, options.rounds)
    yield from ("", "## A search", "", "4 losses x 5 alphas, 5 folds of 2,000 x 20.", "")
    yield from _harness.head("GradientSearchCV", "GridSearchCV", "ratio")
    yield search(options.rounds)


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, out="kinks.md", rounds=5)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="rows x columns")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
