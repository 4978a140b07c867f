"""The fits that ``python -m sklearn_lossopt`` compares: ours and scikit-learn's, of each loss."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from sklearn_lossopt._estimators.classifier import GradientClassifier
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer

ALPHA = 1e-4
# Objectives with a smaller relative difference are shown as equal.
SAME = 1e-7

# scikit-learn's estimator for each loss, with the same objective on n rows.
PEERS = {
    ("regression", "squared_error"): lambda n, loss: Ridge(alpha=ALPHA * n),
    # At its optimum the scale is delta / epsilon, and the minimiser is that of our objective.
    ("regression", "huber"): lambda n, loss: HuberRegressor(
        epsilon=1.345, alpha=ALPHA * n * 1.345 / loss.delta
    ),
    ("regression", "absolute_error"): lambda n, loss: QuantileRegressor(alpha=0),
    ("regression", "quantile"): lambda n, loss: QuantileRegressor(quantile=loss.quantile, alpha=0),
    ("regression", "epsilon_insensitive"): lambda n, loss: LinearSVR(
        epsilon=loss.epsilon, C=1 / (ALPHA * n), random_state=0
    ),
    ("regression", "squared_epsilon_insensitive"): lambda n, loss: LinearSVR(
        epsilon=loss.epsilon, C=1 / (ALPHA * n), loss="squared_epsilon_insensitive", random_state=0
    ),
    ("regression", "poisson"): lambda n, loss: PoissonRegressor(alpha=ALPHA),
    ("regression", "gamma"): lambda n, loss: GammaRegressor(alpha=ALPHA),
    ("regression", "tweedie"): lambda n, loss: TweedieRegressor(power=loss.power, alpha=ALPHA),
    ("classification", "squared_error"): lambda n, loss: RidgeClassifier(alpha=ALPHA * n),
    ("classification", "log_loss"): lambda n, loss: LogisticRegression(C=1 / (ALPHA * n)),
    ("classification", "hinge"): lambda n, loss: LinearSVC(
        loss="hinge", C=1 / (ALPHA * n), random_state=0
    ),
    ("classification", "squared_hinge"): lambda n, loss: LinearSVC(
        C=1 / (ALPHA * n), random_state=0
    ),
}
# Estimators with a slightly different objective, whatever their parameters are.
OTHER_OBJECTIVE = (LinearSVC, LinearSVR, QuantileRegressor)
COLUMNS = "{:<23} {:>11} {:>10} {:>8} {:>6} {:>7}  {}"
HEADER = COLUMNS.format(
    "fitted by", "objective", "above best", "score", "epochs", "ms", "converged"
)


@dataclass
class Task:
    """A data set, our estimator for it, and scikit-learn's SGD estimator."""

    name: str
    kind: str
    X: np.ndarray
    y: np.ndarray
    estimator: type
    sgd: type

    def objective(self, loss: Loss, coef: ArrayLike, intercept: ArrayLike) -> float:
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
    warnings: list[str]

    def above(self, best: float) -> float:
        """The objective's distance from the lowest, relative to that.

        Parameters
        ----------
        best : float
            The lowest objective of its block.

        Returns
        -------
        above : float
        """
        # The lowest objective can be 0.
        return (self.objective - best) / max(abs(best), 1e-9)

    def line(self, best: float) -> str:
        """The line as text.

        Parameters
        ----------
        best : float
            The lowest objective of its block.

        Returns
        -------
        line : str
            Aligned with ``HEADER``.
        """
        above = self.above(best)
        return COLUMNS.format(
            "  " + self.label,
            f"{self.objective:.6g}",
            "-" if above < SAME else f"{above:.1e}",
            f"{self.score:.4f}" if abs(self.score) < 100 else f"{self.score:.1e}",
            self.epochs,
            f"{1e3 * self.seconds:.1f}",
            "yes" if self.converged else "no",
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


def optimizers(loss):
    """The documented names of optimizers with different update rules.

    Parameters
    ----------
    loss : Loss
        If it is not smooth, optimizers that need a smooth loss are left out.

    Returns
    -------
    names : list of str
        Canonical names, and the aliases that set a parameter ("nesterov").
    """
    names = []
    for name, found in Optimizer.registry().items():
        if found().needs_smooth and not loss.smooth:
            continue
        names += [name, *(alias for alias, arguments in found.aliases.items() if arguments)]
    return names


def timed_fit(model, X, y):
    """Fit a model and record the time and the warnings.

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


def with_numbers(task, name):
    """A loss with default parameters, including those that a fit finds.

    Parameters
    ----------
    task : Task
    name : str

    Returns
    -------
    loss : Loss
    """
    loss = Loss.resolve(name)
    if getattr(loss, "delta", None) == "auto":
        model = task.estimator(name, alpha=ALPHA, random_state=0)
        timed_fit(model, task.X, task.y)
        loss.set_params(delta=model.delta_)
    return loss


def our_row(task, loss, optimizer):
    """Fit one of our estimators.

    Parameters
    ----------
    task : Task
    loss : Loss
        With numbers, for the objective. The fit gets its name only.
    optimizer : str

    Returns
    -------
    row : Row
    """
    model = task.estimator(loss.name, optimizer, alpha=ALPHA, random_state=0)
    seconds, caught = timed_fit(model, task.X, task.y)
    return Row(
        optimizer,
        task.objective(loss, model.coef_, model.intercept_),
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
        model = PEERS[task.kind, loss.name](len(task.X), loss)
        star = " *" if isinstance(model, OTHER_OBJECTIVE) else ""
        found.append((type(model).__name__ + star, model))
    if loss.name in task.sgd.loss_functions:
        sgd = task.sgd(loss=loss.name, alpha=ALPHA, random_state=0)
        # The parameter of SGD* for the loss, whatever its name in our loss is.
        number = getattr(loss, "epsilon", getattr(loss, "delta", None))
        if isinstance(number, float):
            sgd.set_params(epsilon=number)
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
    try:
        seconds, caught = timed_fit(model, task.X, task.y)
    except ValueError:
        # SGD* raises it if a number overflows.
        return Row(label, np.inf, np.nan, "-", np.nan, False, ["ValueError"])
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
