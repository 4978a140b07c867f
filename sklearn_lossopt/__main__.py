"""Every loss with every optimizer on real, unscaled data, beside scikit-learn. Floor 4.

Run it as ``python -m sklearn_lossopt``. What it fits is read from the registries, so that a new
loss or optimizer appears by itself.
"""

import time
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import (
    HuberRegressor,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_lossopt.classifier import GradientClassifier
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.regressor import GradientRegressor

ALPHA = 1e-4

# The estimator that one would otherwise use, told to minimise the objective on n rows. Peers with
# a star minimise something slightly different, whatever they are told.
PEERS = {
    ("regression", "squared_error"): lambda n: ("Ridge", Ridge(alpha=ALPHA * n)),
    ("regression", "huber"): lambda n: ("HuberRegressor *", HuberRegressor(alpha=ALPHA * n)),
    ("classification", "squared_error"): lambda n: (
        "RidgeClassifier", RidgeClassifier(alpha=ALPHA * n)
    ),
    ("classification", "log_loss"): lambda n: (
        "LogisticRegression", LogisticRegression(C=1 / (ALPHA * n))
    ),
    ("classification", "hinge"): lambda n: (
        "LinearSVC *", LinearSVC(loss="hinge", C=1 / (ALPHA * n), random_state=0)
    ),
}
NOTES = (
    "* HuberRegressor also fits a scale, which moves its delta; LinearSVC penalises the intercept.",
    "  SGD*, scaled: behind a StandardScaler, so that its penalty is on the scaled coefficients.",
    "  converged: what the estimator itself says, scikit-learn's by not warning.",
)
HEADER = (
    f"{'loss':<14} {'fitted by':<22} {'objective':>11} {'above best':>10} {'score':>8} "
    f"{'epochs':>6} {'ms':>7}  converged"
)


@dataclass
class Task:
    """A data set and who fits it."""

    name: str
    kind: str
    X: np.ndarray
    y: np.ndarray
    estimator: type
    sgd: type

    def objective(self, loss, coef, intercept):
        """The documented objective at the given coefficients."""
        coef = np.atleast_2d(coef)
        raw, y = self.X @ coef.T + intercept, self.y
        if self.kind == "classification":
            if raw.shape[1] == 1:
                y = np.where(y[:, None] == 1, 1.0, -1.0)
            elif not loss.joint:
                y = np.where(y[:, None] == np.arange(raw.shape[1]), 1.0, -1.0)
        else:
            y = y[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            value, _ = loss.loss_gradient(y, raw)
            return float(np.mean(value) + 0.5 * ALPHA * np.sum(coef**2))


@dataclass
class Row:
    """One line of the table."""

    label: str
    objective: float
    score: float
    epochs: str
    seconds: float
    converged: bool
    warnings: list

    def line(self, loss, best):
        """The line as text.

        Parameters
        ----------
        loss : str
            The loss's name.
        best : float
            The lowest objective of its block.

        Returns
        -------
        line : str
            Aligned with ``HEADER``.
        """
        above = (self.objective - best) / max(abs(best), 1e-300)
        shown = "-" if above < 1e-7 else f"{above:.1e}"
        score = f"{self.score:.4f}" if abs(self.score) < 100 else f"{self.score:.1e}"
        return (
            f"{loss:<14} {self.label:<22} {self.objective:>11.6g} {shown:>10} {score:>8} "
            f"{self.epochs:>6} {1e3 * self.seconds:>7.1f}  {'yes' if self.converged else 'no'}"
        )


def tasks():
    """The data sets, raw as scikit-learn ships them.

    Returns
    -------
    tasks : list of Task
        One for regression, two for classification (two and three classes).
    """
    classifier = ("classification", GradientClassifier, SGDClassifier)
    regressor = ("regression", GradientRegressor, SGDRegressor)
    found = []
    for name, (kind, estimator, sgd), (X, y) in [
        ("diabetes", regressor, load_diabetes(return_X_y=True, scaled=False)),
        ("breast_cancer", classifier, load_breast_cancer(return_X_y=True)),
        ("wine", classifier, load_wine(return_X_y=True)),
    ]:
        found.append(Task(name, kind, X, y, estimator, sgd))
    return found


def optimizers():
    """Every documented way to name an optimizer that stands for a different update rule.

    Returns
    -------
    names : list of str
        Canonical names, and the aliases that set a parameter ("nesterov").
    """
    names = []
    for name, found in Optimizer.registry().items():
        names += [name, *(alias for alias, arguments in found.aliases.items() if arguments)]
    return names


def timed_fit(model, X, y):
    """Fit, and keep the warnings.

    Parameters
    ----------
    model : estimator
    X, y : ndarray

    Returns
    -------
    seconds : float
        Wall time of the fit.
    caught : list of str
        Names of the warnings' categories.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
    return seconds, [warning.category.__name__ for warning in caught]


def our_row(task, loss, optimizer):
    """Fit one of our estimators.

    Parameters
    ----------
    task : Task
    loss, optimizer : str

    Returns
    -------
    row : Row
    """
    model = task.estimator(loss, optimizer, alpha=ALPHA, random_state=0)
    seconds, caught = timed_fit(model, task.X, task.y)
    return Row(
        optimizer,
        task.objective(Loss.resolve(loss), model.coef_, model.intercept_),
        model.score(task.X, task.y),
        str(model.n_iter_),
        seconds,
        model.converged_,
        caught,
    )


def peers(task, loss):
    """scikit-learn's estimators for a loss, with the objective's penalty.

    Parameters
    ----------
    task : Task
    loss : Loss

    Returns
    -------
    peers : list of (str, estimator)
        Possibly empty.
    """
    found = []
    if (task.kind, loss.name) in PEERS:
        found.append(PEERS[task.kind, loss.name](len(task.X)))
    if loss.name in task.sgd.loss_functions:
        # The one extra parameter of SGD*, whatever it is called in the loss.
        options = {"epsilon": value for value in loss.get_params().values()}
        sgd = task.sgd(loss=loss.name, alpha=ALPHA, random_state=0, **options)
        found.append((task.sgd.__name__, sgd))
        found.append((f"{task.sgd.__name__}, scaled", make_pipeline(StandardScaler(), sgd)))
    return found


def peer_row(task, loss, label, model):
    """Fit one of scikit-learn's estimators and take its coefficients to the units of X.

    Parameters
    ----------
    task : Task
    loss : Loss
    label : str
    model : estimator

    Returns
    -------
    row : Row
    """
    seconds, caught = timed_fit(model, task.X, task.y)
    last = model[-1] if hasattr(model, "steps") else model
    coef, intercept = np.atleast_2d(last.coef_), np.atleast_1d(last.intercept_)
    if last is not model:
        coef = coef / model[0].scale_
        intercept = intercept - coef @ model[0].mean_
    epochs = getattr(last, "n_iter_", None)
    return Row(
        label,
        task.objective(loss, coef, intercept),
        model.score(task.X, task.y),
        "-" if epochs is None else str(int(np.max(epochs))),
        seconds,
        not caught,
        caught,
    )


def report(task, counts):
    """Print the table of one data set.

    Parameters
    ----------
    task : Task
    counts : Counter
        Warnings by who gave them and category; added to.
    """
    n, d = task.X.shape
    score = "accuracy" if task.kind == "classification" else "R2"
    print(f"{task.name}: {n} rows, {d} features, unscaled; score is {score} on the same rows")
    print(HEADER)
    for name, found in Loss.registry().items():
        if not getattr(found, task.kind):
            continue
        loss = Loss.resolve(name)
        theirs = [peer_row(task, loss, label, model) for label, model in peers(task, loss)]
        ours = [our_row(task, name, optimizer) for optimizer in optimizers()]
        best = min(row.objective for row in ours + theirs)
        for row in theirs + ours:
            print(row.line(name, best))
        for who, rows in (("scikit-learn", theirs), ("sklearn_lossopt", ours)):
            for row in rows:
                counts.update((who, category) for category in row.warnings)
    print()


def main():
    """Print all tables and a summary of the warnings.

    Returns
    -------
    status : int
        0, the exit code.
    """
    start = time.perf_counter()
    counts = Counter()
    print(f"objective = mean loss + alpha/2 |w|^2 with alpha={ALPHA:g}, default settings otherwise\n")
    for task in tasks():
        # First calls load code and fill caches, which is no part of a fit's time.
        timed_fit(task.estimator(max_iter=2), task.X, task.y)
        report(task, counts)
    print(*NOTES, sep="\n")
    for (who, category), count in sorted(counts.items()):
        print(f"  {count} {category} from {who}")
    print(f"  {time.perf_counter() - start:.1f} s in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
