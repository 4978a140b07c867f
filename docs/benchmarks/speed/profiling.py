"""Where the fixed cost of one small fit goes."""

import cProfile
import pstats
import time
import warnings
from pathlib import Path

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


def interleaved(work, repeats=60):
    """Return the median microseconds of each of several calls, run in turn."""
    found = np.empty((repeats + 1, len(work)))
    for row in found:
        for column, call in enumerate(work):
            start = time.perf_counter()
            call()
            row[column] = time.perf_counter() - start
    return 1e6 * np.median(found[1:], axis=0)


def undisturbed(makers, X, y):
    """Return lines of Markdown: cost of one epoch, slope, and what validation takes."""
    lines = [
        "| fit | 1 epoch, µs | each further epoch, µs | fixed, µs | parameter checks, µs "
        "| finiteness checks, µs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for label, make in makers.items():
        one, many = make(1), make(21)

        def under(one=one, **config):
            with sklearn.config_context(**config):
                one.fit(X, y)

        plain, longer, unchecked, infinite = interleaved(
            [
                under,
                lambda many=many: many.fit(X, y),
                lambda under=under: under(skip_parameter_validation=True),
                lambda under=under: under(assume_finite=True),
            ]
        )
        slope = (longer - plain) / 20
        cells = plain, slope, plain - slope, plain - unchecked, plain - infinite
        lines.append(f"| {label} | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")
    return lines


def place(key):
    """Return a short name of a profiled function."""
    path, line, function = key
    return function if path == "~" else f"{Path(path).name}:{line} {function}"


def profiled(estimator, X, y, repeats=100, limit=45):
    """Return lines of Markdown: the calls that take the most time below one fit."""
    recorder = cProfile.Profile()
    estimator.fit(X, y)
    recorder.enable()
    for _ in range(repeats):
        estimator.fit(X, y)
    recorder.disable()
    stats = pstats.Stats(recorder).stats
    ranked = sorted(stats.items(), key=lambda item: -item[1][3])[:limit]
    lines = ["| call | calls a fit | µs a fit, with what it calls | own |"]
    lines.append("| --- |" + " --- |" * 3)
    for key, (_, calls, own, total, _) in ranked:
        lines.append(
            f"| `{place(key)}` | {calls / repeats:g} | {total / repeats * 1e6:.0f} "
            f"| {own / repeats * 1e6:.0f} |"
        )
    return lines


def profile(name, synthetic, real):
    """Return a report on the fixed cost of a fit, as Markdown.

    Parameters
    ----------
    name : {"small", "iris"}
        2,000 x 20 in float64, or iris.
    synthetic, real : callable
        Makers of data.

    Returns
    -------
    str
    """
    X, y = real("iris") if name == "iris" else synthetic((2_000, 20), "float64")
    makers = contestants(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parts = [f"# Fixed cost of a fit on {X.shape[0]:,} x {X.shape[1]}"]
        parts.append("\n".join(undisturbed(makers, X, y)))
        for label, make in makers.items():
            if label.startswith("ours"):
                parts.append(f"## {label}, max_iter=1, profiled (slower than undisturbed)")
                parts.append("\n".join(profiled(make(1), X, y)))
    return "\n\n".join(parts) + "\n"
