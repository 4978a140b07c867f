"""Time fits and searches with an L1 penalty beside scikit-learn's coordinate descent.

Single fits are compared with ElasticNet at its own tolerance and at the loosest one that comes as
close to the optimum as ours does, to 1e-9 of it; searches over twenty penalties and five folds with
LassoCV over the same penalties. ::

    python l1.py
    python l1.py --rounds 1 --sizes 2000x20 --out -
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn.linear_model import ElasticNet, LassoCV

from sklearn_lossopt import GradientRegressor, GradientSearchCV

# Rows, columns and what all columns have in common.
SIZES = {
    "150x4": (150, 4, 0.0),
    "2000x20": (2000, 20, 0.0),
    "2000x100": (2000, 100, 0.5),
    "20000x50": (20_000, 50, 0.0),
    "1000x300": (1000, 300, 0.5),
    "100x5000": (100, 5000, 0.0),
}
# Wide rows have no matrix that a search could share, and take minutes.
SEARCHED = 4
PENALTY, PENALTIES, FOLDS = 0.05, 20, 5


def make_data(n, d, common):
    rng = np.random.default_rng(0)
    X = np.sqrt(1 - common) * rng.normal(size=(n, d)) + np.sqrt(common) * rng.normal(size=(n, 1))
    X = X * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    used = min(8, d)
    return X, X[:, :used] @ rng.normal(size=used) + rng.normal(size=n)


def largest_penalty(X, y):
    """The penalty from which on all coefficients are 0."""
    return float(np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y))


def objective(model, X, y, alpha):
    return np.mean((y - model.predict(X)) ** 2) / 2 + alpha * np.abs(model.coef_).sum()


def fit_line(name, rounds):
    """Single fits: a line of the table."""
    X, y = make_data(*SIZES[name])
    alpha = PENALTY * largest_penalty(X, y)
    ours = GradientRegressor(alpha=alpha, l1_ratio=1.0, random_state=0).fit(X, y)
    value = objective(ours, X, y, alpha)
    peer = ElasticNet(alpha=alpha, l1_ratio=1.0)
    tight = ElasticNet(alpha=alpha, l1_ratio=1.0, max_iter=100_000)
    for tol in 10.0 ** -np.arange(4, 12):
        _harness.timed(lambda tol=tol: tight.set_params(tol=tol).fit(X, y))
        if objective(tight, X, y, alpha) <= value * (1 + 1e-9):
            break
    seconds = _harness.in_turn(
        lambda: ours.fit(X, y), lambda: peer.fit(X, y), lambda: tight.fit(X, y),
        rounds=rounds, budget=1.0,
    )  # fmt: skip
    middle = np.median(seconds, axis=0)
    above = objective(peer, X, y, alpha) / value - 1
    return _harness.row(
        name.replace("x", " x "), *map(_harness.duration, middle), f"{above:.0e}",
        *(_harness.spread(seconds[:, k] / seconds[:, 0]) for k in (1, 2)),
        f"{np.count_nonzero(ours.coef_)} of {ours.coef_.size}",
    )  # fmt: skip


def path_line(name, rounds):
    """Searches: a line of the table."""
    X, y = make_data(*SIZES[name])
    grid = largest_penalty(X, y) * np.logspace(0, -3, PENALTIES)
    ours = GradientSearchCV(
        GradientRegressor(l1_ratio=1.0, random_state=0), {"alpha": grid}, cv=FOLDS
    )
    peer = LassoCV(alphas=grid, cv=FOLDS)
    seconds = _harness.in_turn(lambda: ours.fit(X, y), lambda: peer.fit(X, y), rounds=rounds)
    return _harness.row(
        name.replace("x", " x "), *map(_harness.duration, np.median(seconds, axis=0)),
        _harness.spread(seconds[:, 1] / seconds[:, 0]),
        f"{ours.best_params_['alpha']:.3g}", f"{peer.alpha_:.3g}",
    )  # fmt: skip


def report(options):
    yield from _harness.opening(
        "Fits with an L1 penalty beside scikit-learn's",
        "Processor time, medians; ratios are the peer's time over ours, with quartiles over the "
        "rounds. ElasticNet with its default tolerance ends above our optimum by the part that is "
        "given; the tight one does not.",
    )
    peers = "ElasticNet", "tight", "above"
    yield from _harness.head("data", "ours", *peers, "ratio", "ratio, tight", "coefficients")
    for name in options.sizes:
        yield fit_line(name, options.rounds)
    yield f"\nSearches over {PENALTIES} penalties and {FOLDS} folds:\n"
    yield from _harness.head("data", "ours", "LassoCV", "ratio", "our penalty", "its penalty")
    for name in [name for name in options.sizes if name in list(SIZES)[:SEARCHED]]:
        yield path_line(name, options.rounds)


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, out="l1.md", rounds=5)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
