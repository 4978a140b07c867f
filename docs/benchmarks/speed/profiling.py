"""Where the fixed cost of one small fit goes."""

import cProfile
import pstats
import time
import warnings
from pathlib import Path

import _harness
import numpy as np
import sklearn
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt import GradientClassifier

PROFILES = ("small", "iris")
TEXTBOOK = {"precondition": False, "learning_rate": 0.01, "schedule": "constant", "tol": 0}


def contestants(name):
    """Return {label: function of max_iter that makes an estimator}."""
    found = {
        "ours, sgd, batch 1, textbook": lambda e: GradientClassifier(
            optimizer="sgd", batch_size=1, max_iter=e, random_state=0, **TEXTBOOK
        ),
        "ours, adam, batch 64, textbook": lambda e: GradientClassifier(
            batch_size=64, max_iter=e, random_state=0, **TEXTBOOK
        ),
        "ours, adam, batch 64, preconditioned": lambda e: GradientClassifier(
            batch_size=64, max_iter=e, random_state=0, schedule="constant", tol=0
        ),
        "SGDClassifier": lambda e: linear_model.SGDClassifier(
            loss="log_loss", tol=None, max_iter=e, random_state=0
        ),
    }
    if name == "iris":
        # One-vs-rest peers do k times the epochs, so that whole fits are compared instead.
        del found["SGDClassifier"]
        found["ours, defaults"] = lambda e: GradientClassifier(random_state=0)
        found["LogisticRegression"] = lambda e: linear_model.LogisticRegression()
    return found


def undisturbed(makers, X, y):
    """Yield the table of the cost of one epoch, the slope, and what validation takes."""
    yield from _harness.head(
        "fit", "1 epoch, µs", "each further epoch, µs", "fixed, µs", "parameter checks, µs",
        "finiteness checks, µs",
    )  # fmt: skip
    for label, make in makers.items():
        one, many = make(1), make(21)

        def under(one=one, **config):
            with sklearn.config_context(**config):
                one.fit(X, y)

        seconds = _harness.in_turn(
            under,
            lambda many=many: many.fit(X, y),
            lambda under=under: under(skip_parameter_validation=True),
            lambda under=under: under(assume_finite=True),
            rounds=60,
            clock=time.perf_counter,
        )
        plain, longer, unchecked, infinite = 1e6 * np.median(seconds, axis=0)
        slope = (longer - plain) / 20
        cells = plain, slope, plain - slope, plain - unchecked, plain - infinite
        yield _harness.row(label, *(f"{cell:.0f}" for cell in cells))


def place(key):
    """Return a short name of a profiled function."""
    path, line, function = key
    return function if path == "~" else f"{Path(path).name}:{line} {function}"


def profiled(estimator, X, y, repeats=100, limit=45):
    """Yield the table of the calls that take the most time below one fit."""
    recorder = cProfile.Profile()
    estimator.fit(X, y)
    recorder.enable()
    for _ in range(repeats):
        estimator.fit(X, y)
    recorder.disable()
    stats = pstats.Stats(recorder).stats
    ranked = sorted(stats.items(), key=lambda item: -item[1][3])[:limit]
    yield from _harness.head("call", "calls per fit", "µs per fit, with what it calls", "own")
    for key, (_, calls, own, total, _) in ranked:
        yield _harness.row(
            f"`{place(key)}`", f"{calls / repeats:g}",
            *(f"{each / repeats * 1e6:.0f}" for each in (total, own)),
        )  # fmt: skip


def profile(name, synthetic, real):
    """Yield the lines of a report on the fixed cost of a fit.

    Parameters
    ----------
    name : {"small", "iris"}
        2,000 x 20 in float64, or iris.
    synthetic, real : callable
        Makers of data.
    """
    X, y = real("iris") if name == "iris" else synthetic((2_000, 20), "float64")
    makers = contestants(name)
    yield from _harness.opening(f"Fixed cost of a fit on {X.shape[0]:,} x {X.shape[1]}", "")
    yield from undisturbed(makers, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for label, make in makers.items():
            if label.startswith("ours"):
                title = f"## {label}, max_iter=1, profiled (slower than undisturbed)"
                yield from ("", title, "")
                yield from profiled(make(1), X, y)
