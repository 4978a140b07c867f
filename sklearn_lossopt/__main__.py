"""Every loss with every optimizer on real, unscaled data, beside scikit-learn.

Run it as ``python -m sklearn_lossopt``; ``--help`` says what else it does. Losses and optimizers
come from the registries, and so a new one appears by itself.
"""

import argparse
import time
from collections import Counter
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

from sklearn_lossopt._blas import threadpool_controller
from sklearn_lossopt._comparison import (
    ALPHA,
    HEADER,
    SAME,
    Row,
    Task,
    optimizers,
    our_row,
    peer_row,
    peers,
    tasks,
    timed_fit,
    with_numbers,
)
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt._extras import require_matplotlib
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.plotting import LossDisplay, OptimizerPathDisplay

NOTES = f"""\
Every loss with every optimizer on three raw data sets of scikit-learn, all settings at defaults.
objective: mean loss + alpha/2 |w|^2, alpha={ALPHA:g}: the lowest that scikit-learn reaches, and the
           lowest of ours; worst: how far above that our worst optimizer is, - for less than 1e-7
converged: how many of our fits say that they are at the optimum
*          another objective: LinearSVC and LinearSVR penalise the intercept,
           QuantileRegressor is run without a penalty"""
NOTES_OF_ALL = """
above best: relative to the lowest objective of the block, - for less than 1e-7
converged:  what the estimator itself says; scikit-learn's, by not warning
scaled      behind a StandardScaler, so that the penalty is on scaled coefficients
ms:         wall time of one fit, one BLAS thread"""
SUMMARY = "{:<29} {:<21} {:>11} {:>7}  {:>11} {:>6} {:>6} {:>9}"
SUMMARY_HEADER = SUMMARY.format(
    "loss", "scikit-learn", "objective", "ms", "ours", "worst", "ms", "converged"
)
# Of the picture: learning rates and batch sizes of the textbook's optimizers.
PICTURED: dict[str, tuple[float, Any]] = {
    "gradient_descent": (0.15, "auto"),
    "sgd": (0.05, 8),
    "momentum": (0.05, 442),
    "rmsprop": (1.0, 442),
    "adam": (3.0, 442),
}


def report(task: Task, counts: Counter[str], show: bool) -> list[str]:
    """Fit one data set with everything.

    Parameters
    ----------
    task : Task
    counts : Counter
        Number of warnings by package and category; updated in place.
    show : bool
        Whether to print a line for each fit.

    Returns
    -------
    summary : list of str
        A line for each loss, aligned with ``SUMMARY_HEADER``.
    """
    n, d = task.X.shape
    if show:
        score = "accuracy" if task.kind == "classification" else "R2"
        print(f"\n{task.name}: {n} rows, {d} features, unscaled; score is {score} on the same rows")
        print(HEADER)
    summary = [f"{task.name}, {n} rows, {d} columns"]
    for name, found in Loss.registry().items():
        if not getattr(found, task.kind):
            continue
        loss = with_numbers(task, name)
        theirs = [peer_row(task, loss, label, model) for label, model in peers(task, loss)]
        ours = [our_row(task, loss, optimizer) for optimizer in optimizers(loss)]
        if show:
            best = min(row.objective for row in theirs + ours)
            print(name, *(row.line(best) for row in theirs + ours), sep="\n")
        for who, rows in (("scikit-learn", theirs), ("sklearn_lossopt", ours)):
            counts.update((who, category) for row in rows for category in row.warnings)
        summary.append(summarised(name, theirs, ours))
    return summary


def summarised(loss: str, theirs: list[Row], ours: list[Row]) -> str:
    """A line of the summary: the best of scikit-learn's fits of a loss, and all of ours.

    Parameters
    ----------
    loss : str
    theirs, ours : list of Row

    Returns
    -------
    line : str
    """
    peer = min(theirs, key=lambda row: row.objective, default=None)
    lowest = min(row.objective for row in ours)
    worst = max(row.above(lowest) for row in ours)
    return SUMMARY.format(
        "  " + loss,
        peer.label if peer else "",
        f"{peer.objective:.6g}" if peer else "",
        f"{1e3 * peer.seconds:.1f}" if peer else "",
        f"{lowest:.6g}",
        "-" if worst < SAME else f"{worst:.0e}",
        f"{1e3 * float(np.median([row.seconds for row in ours])):.1f}",
        f"{sum(row.converged for row in ours)}/{len(ours)}",
    )


def draw(path: str) -> None:
    """Draw the shapes of the losses, and the ways of five optimizers.

    Parameters
    ----------
    path : str
        The file to write, in a format that matplotlib knows by its ending.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, kind in zip(axes, ("regression", "classification"), strict=False):
        names = [name for name, found in Loss.registry().items() if getattr(found, kind)]
        LossDisplay.from_losses(names, kind=kind, ax=ax)
        ax.legend(fontsize="x-small")
        ax.set_title(f"{kind} losses")
    X, y = load_diabetes(return_X_y=True)
    X = X[:, [2, 8]] * [20.0, 60.0]
    models = {
        name: GradientRegressor(
            optimizer=name,
            learning_rate=rate,
            batch_size=size,
            precondition=False,
            schedule="constant",
            tol=0,
            max_iter=2 if name == "sgd" else 60,
            random_state=0,
        )
        for name, (rate, size) in PICTURED.items()
    }
    OptimizerPathDisplay.from_estimators(models, X, y, ax=axes[2])
    axes[2].set_title("five optimizers, squared error")
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    """Fit everything; print a summary, and with ``--all`` a line for each fit.

    Parameters
    ----------
    arguments : list of str, default=None
        Those of the command line if None.

    Returns
    -------
    status : int
        0, the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m sklearn_lossopt", description=__doc__)
    parser.add_argument("--all", action="store_true", help="print a line for each of the fits")
    parser.add_argument(
        "--plot", metavar="FILE", help="only draw losses and optimizers; needs matplotlib"
    )
    options = parser.parse_args(arguments)
    if options.plot:
        try:
            require_matplotlib("--plot")
        except ImportError as error:
            parser.error(str(error))
        draw(options.plot)
        print(f"The picture is in {options.plot}.")
        return 0
    start = time.perf_counter()
    counts, summary = Counter(), []
    print(NOTES + NOTES_OF_ALL if options.all else NOTES, flush=True)
    with threadpool_controller().limit(limits=1, user_api="blas"):
        for task in tasks():
            # The first call loads code and fills caches, and is not timed.
            timed_fit(task.estimator(max_iter=2), task.X, task.y)
            summary += report(task, counts, options.all)
    print("", SUMMARY_HEADER, *summary, sep="\n")
    warned = ", ".join(
        f"{count} {category} from {who}" for (who, category), count in sorted(counts.items())
    )
    print(f"\n{time.perf_counter() - start:.1f} s in all; not shown: {warned or 'no warning'}")
    if not options.all:
        print("A line for each fit: --all. A picture: --plot FILE.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
