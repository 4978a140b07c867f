"""Time losses written in NumPy beside the built-in ones of the same formula.

Textbook mode, 100,000 x 50, float64, adam, batches of 256. A ratio is the NumPy loss's processor
time over the built-in's in the same round. ::

    python run.py            # writes results.md
    python run.py --out -    # prints it
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy.special import expit

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt.losses import ClassificationLoss, Huber, RegressionLoss, check_loss

ROWS, COLUMNS, BATCH, EPOCHS = 100_000, 50, 256, 5
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


def of_the_loss_alone(loss, y, raw):
    """Call the loss as an epoch does."""
    for first in range(0, ROWS, BATCH):
        loss.loss_gradient(y[first : first + BATCH], raw[first : first + BATCH])


def measure(estimator, own, built_in, X, y, rounds):
    """Return seconds per round and epoch of the built-in, of ours and of our loss's code alone."""
    check_loss(own, n_outputs=1)
    theirs, ours = (estimator(loss, **SETTINGS).fit(X, y) for loss in (built_in, own))
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)
    target = 2.0 * y - 1 if estimator is GradientClassifier else y
    raw = X @ ours.coef_.ravel()
    seconds = _harness.in_turn(
        lambda: theirs.fit(X, y),
        lambda: ours.fit(X, y),
        lambda: of_the_loss_alone(own, target, raw),
        rounds=rounds,
        clock=time.process_time,
    )
    return seconds / [EPOCHS, EPOCHS, 1]


def report(options):
    """Yield the lines of results.md."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    score = X @ rng.normal(size=COLUMNS) / 3 + rng.normal(size=ROWS)
    yield from _harness.opening(
        "What a loss in NumPy costs",
        f"{ROWS:,} x {COLUMNS}, float64, adam, batches of {BATCH}, textbook mode, whole fits of "
        f"{EPOCHS} epochs. The two run alternately, {options.rounds} rounds; the ratio is the "
        "NumPy loss's processor time over the built-in's in the same round, its median in bold, "
        f"then the quartiles. It is to be at most {LIMIT:g}.",
    )
    yield from _harness.head(
        "loss", "built-in, ns per row", "in NumPy, ns per row", "of which its own code",
        "ratio (quartiles)", "",
    )  # fmt: skip
    for name, (estimator, own, built_in) in PAIRS.items():
        y = (score > 0).astype(int) if estimator is GradientClassifier else score
        seconds = measure(estimator, own, built_in, X, y, options.rounds)
        ratio = seconds[:, 1] / seconds[:, 0]
        yield _harness.row(
            name,
            *(f"{1e9 * s / ROWS:.0f}" for s in np.median(seconds, axis=0)),
            _harness.spread(ratio),
            "reached" if np.median(ratio) <= LIMIT else "**missed**",
        )


if __name__ == "__main__":
    options = _harness.parser(__doc__, script=__file__, rounds=11).parse_args()
    _harness.publish(report(options), options.out)
