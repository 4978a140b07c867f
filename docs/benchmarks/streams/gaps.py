"""How close a few passes of `partial_fit` come to the optimum, on raw data.

    python docs/benchmarks/streams/gaps.py
    python docs/benchmarks/streams/gaps.py --data diabetes wine --optimizers sgd adam

The gap is (F - F*) / (F0 - F*): 1 for the best constant, 0 at the optimum of the training data,
which a default `fit` finds. Rows come in random order once; every pass has the same order. Beside
it are scikit-learn's SGD estimators on the same chunks, with their default step sizes, as the data
are and behind a StandardScaler that is fitted on all rows.
"""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn import datasets
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor

CHUNKS = (100, 1000)
PASSES = (1, 3, 10)
OPTIMIZERS = ("sgd", "momentum", "adam", "rmsprop", "adagrad", "lion")


def wild(n=20_000, d=54, seed=0):
    """Columns of scales 1e-3 to 1e4 with large means, correlated, some of them 0 or 1."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))
    X[:, d // 2 :] = X[:, d // 2 :] > rng.uniform(0, 4, size=d - d // 2)
    score = X @ rng.normal(size=d) / 5 + rng.normal(size=n)
    scales = 10 ** rng.uniform(-3, 4, size=d)
    return X * scales + scales * rng.normal(size=d) * 3, score


def drifting(n=10_000, d=20, seed=0):
    """Rows whose means move by 20 standard deviations over the stream."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + np.linspace(0, 1, n)[:, None] * rng.normal(size=d) * 20
    return X, X @ rng.normal(size=d) / 20 + rng.normal(size=n)


def load():
    """Name: (task, X, y), in random order but for the drift."""
    sets = {
        "diabetes": ("r", *datasets.load_diabetes(return_X_y=True, scaled=False)),
        "breast_cancer": ("c", *datasets.load_breast_cancer(return_X_y=True)),
        "wine": ("c", *datasets.load_wine(return_X_y=True)),
        "digits": ("c", *datasets.load_digits(return_X_y=True)),
        "friedman": ("r", *datasets.make_friedman1(5000, noise=1.0, random_state=0)),
    }
    X, score = wild()
    sets["wild"] = "r", X, 1000 * score + 5000
    sets["wild, classes"] = "c", X, np.digitize(score, np.quantile(score, [0.5, 0.9]))
    sets["wild, two classes"] = "c", X, score > np.quantile(score, 0.7)
    rng = np.random.default_rng(0)
    for name, (task, X, y) in sets.items():
        order = rng.permutation(len(X))
        sets[name] = task, X[order], y[order]
    X, y = drifting()
    sets["drifting"] = "r", X, y
    sets["drifting, classes"] = "c", X, y > np.median(y)
    return sets


def objective(model, loss, X, y):
    """F of any linear estimator, by the package's own loss."""
    coef, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    with np.errstate(all="ignore"):
        raw = X @ coef.T + intercept
        if len(coef) == 1:
            raw = raw[:, 0]
        value = loss.loss_gradient(y, raw)[0].mean() + 0.5e-4 * np.sum(coef**2)
    return value


def targets(model, loss, y):
    if not hasattr(model, "classes_"):
        return y
    code = np.searchsorted(model.classes_, y)
    if len(model.classes_) == 2:
        return np.where(code > 0, 1.0, -1.0)
    if loss.joint:
        return code
    return np.where(code[:, None] == np.arange(len(model.classes_)), 1.0, -1.0)


def gap_of(model, best, loss, X, y, code, bounds):
    low, high = bounds
    value = objective(model, loss, X, code)
    return (value - low) / (high - low) if np.isfinite(value) else np.inf


def stream(model, X, y, size, extra):
    """Gaps of a model after the passes asked for."""
    for number in range(1, max(PASSES) + 1):
        for start in range(0, len(X), size):
            part = slice(start, start + size)
            model.partial_fit(X[part], y[part], **extra)
        if number in PASSES:
            yield model


def sgd(peer, loss):
    if loss == "absolute_error":
        return peer(loss="epsilon_insensitive", epsilon=0.0, alpha=1e-4)
    return peer(loss=loss, alpha=1e-4)


def rows(task, X, y, losses, optimizers, chunks=CHUNKS, **settings):
    """(loss, who, chunk, [gap a pass]) of each contender."""
    cls, peer = (
        (GradientRegressor, SGDRegressor) if task == "r" else (GradientClassifier, SGDClassifier)
    )
    extra = {} if task == "r" else {"classes": np.unique(y)}
    for loss_name in losses:
        best = cls(loss_name, tol=1e-8, max_iter=300, random_state=0).fit(X, y)
        loss = best._loss._prepared(lambda eps, best=best: best.delta_ / eps)
        code = targets(best, loss, y)
        zero = cls(loss_name, max_iter=1, random_state=0).fit(X[:, :1] * 0, y)
        zero.coef_ = np.zeros_like(best.coef_)
        bounds = objective(best, loss, X, code), objective(zero, loss, X, code)
        chosen = loss.set_params(delta=float(loss.delta)) if loss_name == "huber" else loss_name
        for size in chunks:
            for optimizer in optimizers:
                model = cls(chosen, optimizer, random_state=0, **settings)
                gaps = [
                    gap_of(m, best, loss, X, y, code, bounds)
                    for m in stream(model, X, y, size, extra)
                ]
                yield loss_name, optimizer, size, gaps
            if settings:
                continue
            name = "squared_error" if loss_name == "huber" else loss_name
            for label, Z in (("SGD raw", X), ("SGD scaled", StandardScaler().fit_transform(X))):
                if loss_name == "huber" or len(getattr(best, "classes_", ())) > 2:
                    continue
                gaps = []
                try:
                    for m in stream(sgd(peer, name), Z, y, size, extra):
                        gaps.append(gap_of(m, best, loss, Z, y, code, bounds))
                except ValueError:
                    gaps = [np.inf] * len(PASSES)
                yield loss_name, label, size, gaps


def report(options):
    yield from _harness.opening(
        "How close a few passes of partial_fit come to the optimum",
        "The gap is (F - F*) / (F0 - F*).",
    )
    yield from _harness.head("data", "loss", "who", "chunk", *(f"{p} passes" for p in PASSES))
    for name, (task, X, y) in load().items():
        if options.data and name not in options.data:
            continue
        losses = ("squared_error", "huber", "absolute_error")
        if task == "c":
            losses = ("log_loss", "hinge")
        for loss, who, size, gaps in rows(task, X, y, losses, options.optimizers):
            yield _harness.row(name, loss, who, size, *(f"{gap:.2g}" for gap in gaps))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = _harness.parser(__doc__)
    parser.add_argument("--data", nargs="+", help="names of data sets; default all")
    parser.add_argument("--optimizers", nargs="+", default=OPTIMIZERS)
    _harness.publish(report(parser.parse_args()))
