"""Time losses written in NumPy beside the built-in ones of the same formula.

Textbook mode, 100,000 x 50, float64, adam, batches of 256, one BLAS thread. The two run alternately
in one process; the ratio is the NumPy loss's time over the built-in's in the same round. ::

    python run.py            # writes results.md
    python run.py --out -    # prints it
"""

import os

# Thread pools read these when NumPy and SciPy load their libraries.
for _name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import argparse
import datetime
import platform
import time
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.special import expit

import sklearn_lossopt
from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt.losses import ClassificationLoss, Huber, RegressionLoss, check_loss

ROWS, COLUMNS, BATCH, EPOCHS, ROUNDS = 100_000, 50, 256, 5, 11
LIMIT = 2.0
SETTINGS = dict(
    optimizer="adam",
    learning_rate=0.01,
    batch_size=BATCH,
    max_iter=EPOCHS,
    tol=0,
    precondition=False,
    schedule="constant",
    random_state=0,
)
TARGET = Path(__file__).with_name("results.md")


class NumpySquaredError(RegressionLoss):
    def loss_gradient(self, y, raw):
        r = raw - y
        return 0.5 * r * r, r


class NumpyHuber(RegressionLoss):
    def loss_gradient(self, y, raw):
        r = raw - y
        clipped = np.clip(r, -1.0, 1.0)
        return clipped * (r - 0.5 * clipped), clipped


class NumpyLogLoss(ClassificationLoss):
    joint = False

    def loss_gradient(self, y, raw):
        margin = y * raw
        return np.logaddexp(0.0, -margin), -y * expit(-margin)


PAIRS = {
    "squared_error": (GradientRegressor, NumpySquaredError(), "squared_error"),
    "huber, delta=1": (GradientRegressor, NumpyHuber(), Huber(delta=1.0)),
    "log_loss, two classes": (GradientClassifier, NumpyLogLoss(), "log_loss"),
}


def seconds(model, X, y):
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def of_the_loss_alone(loss, y, raw):
    """Seconds that an epoch's calls of the loss take by themselves."""
    start = time.perf_counter()
    for first in range(0, ROWS, BATCH):
        loss.loss_gradient(y[first : first + BATCH], raw[first : first + BATCH])
    return time.perf_counter() - start


def measure(estimator, own, built_in, X, y, rounds):
    """Return seconds an epoch of both and of the loss's own code, and the ratios."""
    check_loss(own, n_outputs=1)
    models = [estimator(loss, **SETTINGS) for loss in (own, built_in)]
    for model in models:
        model.fit(X, y)
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, rtol=1e-6, atol=1e-9)
    times = np.array([[seconds(model, X, y) for model in models] for _ in range(rounds)]) / EPOCHS
    target = 2.0 * y - 1 if estimator is GradientClassifier else y
    alone = np.median([of_the_loss_alone(own, target, X @ models[0].coef_.ravel())
                       for _ in range(rounds)])  # fmt: skip
    return *np.median(times, axis=0), alone, times[:, 0] / times[:, 1]


def render(rounds):
    """Measure everything; return the page."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    score = X @ rng.normal(size=COLUMNS) / 3 + rng.normal(size=ROWS)
    lines = [
        "# What a loss in NumPy costs",
        "",
        f"Written by `run.py`; do not edit. {ROWS:,} x {COLUMNS}, float64, adam, batches of "
        f"{BATCH}, textbook mode, whole fits of {EPOCHS} epochs. The two run alternately, "
        f"{rounds} rounds; the ratio is the NumPy loss's time over the built-in's in the same "
        f"round, its median in bold, then the quartiles. It is to be at most {LIMIT:g}.",
        "",
        f"- {datetime.date.today()}; {platform.system()} {platform.machine()}; Python "
        f"{platform.python_version()}; numpy {np.__version__}; scipy {scipy.__version__}; "
        f"scikit-learn {sklearn.__version__}; sklearn-lossopt {sklearn_lossopt.__version__}",
        f"- one BLAS thread; load average {os.getloadavg()[0]:.2f} before",
        "",
        "| loss | built-in, ns a row | in NumPy, ns a row | of which its own code | ratio "
        "(quartiles) | |",
        "|---|---|---|---|---|---|",
    ]
    for name, (estimator, own, built_in) in PAIRS.items():
        y = (score > 0).astype(int) if estimator is GradientClassifier else score
        theirs, ours, alone, ratio = measure(estimator, own, built_in, X, y, rounds)
        low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
        row = [name, *(f"{1e9 * s / ROWS:.0f}" for s in (ours, theirs, alone))]
        row.append(f"**{middle:.2f}** ({low:.2f} to {high:.2f})")
        row.append("reached" if middle <= LIMIT else "**missed**")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", default=str(TARGET), help="a file, or - to print")
    arguments = parser.parse_args()
    page = render(arguments.rounds)
    if arguments.out == "-":
        print(page, end="")
    else:
        Path(arguments.out).write_text(page, encoding="utf-8")
