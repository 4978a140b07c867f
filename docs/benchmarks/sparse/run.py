"""Time fits on sparse rows beside scikit-learn's.

The rows are 20,000 generated documents: words by Zipf's law, some of which depend on the class,
hashed into 100,000 features with alternating signs and scaled to length 1, as ``HashingVectorizer``
does; about 100 numbers per row. A ratio is the second competitor's processor time over the first
one's in the same round, so above 1 the first is the faster. ::

    python run.py                                # everything, writes results.md
    python run.py --dtypes float64 --rounds 5 --out -
"""

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from sklearn_lossopt import GradientClassifier

ROWS, FEATURES, WORDS, LENGTH, EPOCHS = 20_000, 100_000, 300_000, 150, 5
ALPHA = 1e-4
RATES = {"sgd": 0.5, "adam": 0.01}
# adam's automatic step size is too large for a constant schedule here, and raises DivergenceError.
PRECONDITIONED_RATES = {"sgd": "auto", "adam": 1e-4}
LOSSES = {
    "log_loss": lambda margin: np.logaddexp(0, -margin),
    "hinge": lambda margin: np.maximum(0, 1 - margin),
    "squared_hinge": lambda margin: np.maximum(0, 1 - margin) ** 2,
}


def documents(seed=0):
    """Return hashed documents of two classes, and the classes."""
    rng = np.random.default_rng(seed)
    shares = 1 / (np.arange(WORDS) + 2.7) ** 1.1
    cumulated = np.cumsum(shares / shares.sum())
    word = np.minimum(np.searchsorted(cumulated, rng.random((ROWS, LENGTH))), WORDS - 1)
    y = rng.integers(2, size=ROWS)
    # A tenth of the words of class 1 are replaced, each always by the same other one.
    other = rng.permutation(WORDS)
    swapped = (rng.random((ROWS, LENGTH)) < 0.1) & (y[:, None] == 1)
    word = np.where(swapped, other[word], word)
    # One label in fifty is wrong.
    y ^= rng.random(ROWS) < 0.02
    hashed, sign = rng.integers(FEATURES, size=WORDS), rng.choice([-1.0, 1.0], size=WORDS)
    # SGDClassifier takes indices of 32 bits only.
    indices, indptr = hashed[word].ravel(), LENGTH * np.arange(ROWS + 1)
    X = sparse.csr_array(
        (sign[word].ravel(), indices.astype(np.int32), indptr.astype(np.int32)), (ROWS, FEATURES)
    )
    X.sum_duplicates()
    X.eliminate_zeros()
    return normalize(X), y


def ours(optimizer, batch_size, mode, epochs=EPOCHS):
    """Return our classifier for exactly so many epochs of the log loss."""
    textbook = mode == "textbook"
    return GradientClassifier(
        optimizer=optimizer,
        batch_size=batch_size,
        alpha=ALPHA,
        schedule="constant",
        tol=0,
        max_iter=epochs,
        random_state=0,
        precondition=False if textbook else "auto",
        learning_rate=(RATES if textbook else PRECONDITIONED_RATES)[optimizer],
    )


def epochs(X, y, options):
    """Compare equal numbers of epochs."""
    peer = SGDClassifier("log_loss", alpha=ALPHA, tol=None, max_iter=EPOCHS, random_state=0)
    for dtype in options.dtypes:
        rows = X.astype(dtype)
        for mode in ("textbook", "defaults' preconditioning"):
            one, sgd, adam = ours("sgd", 1, mode), ours("sgd", 64, mode), ours("adam", 64, mode)
            for first, second, *names in [
                (one, peer, "sgd, batch 1", "SGDClassifier"),
                (sgd, peer, "sgd, batch 64", "SGDClassifier"),
                (sgd, adam, "sgd, batch 64", "adam, batch 64"),
            ]:
                seconds = _harness.in_turn(
                    lambda model=first, rows=rows: model.fit(rows, y),
                    lambda model=second, rows=rows: model.fit(rows, y),
                    rounds=options.rounds,
                )
                speed = EPOCHS / np.median(seconds, axis=0)
                yield _harness.row(
                    dtype, mode, *names, *(f"{each:.1f}" for each in speed),
                    _harness.spread(seconds[:, 1] / seconds[:, 0]),
                )  # fmt: skip


def objective(model, loss, X, y):
    """F, whichever estimator it was minimised by."""
    margin = (2 * y - 1) * (X @ model.coef_.ravel() + np.ravel(model.intercept_)[0])
    return LOSSES[loss](margin).mean() + ALPHA / 2 * (model.coef_**2).sum()


def whole_fits(X, y, options):
    """Fit to convergence with everybody's own defaults, the penalty being equal."""
    C = 1 / (ROWS * ALPHA)
    peers = {
        "log_loss": [LogisticRegression(C=C), SGDClassifier("log_loss", alpha=ALPHA)],
        "hinge": [
            LinearSVC(loss="hinge", C=C, random_state=0),
            SGDClassifier("hinge", alpha=ALPHA, random_state=0),
        ],
        "squared_hinge": [
            LinearSVC(C=C, random_state=0),
            SGDClassifier("squared_hinge", alpha=ALPHA, random_state=0),
        ],
    }
    for loss, others in peers.items():
        mine = [
            GradientClassifier(loss, optimizer, alpha=ALPHA, random_state=0)
            for optimizer in ("adam", "sgd")
        ]
        seconds = {}
        for _ in range(options.fits):
            for model in (*mine, *others):
                start = time.process_time()
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", ConvergenceWarning)
                    model.fit(X, y)
                seconds.setdefault(model, []).append(time.process_time() - start)
                model.warned_ = bool(caught)
        reached = {model: objective(model, loss, X, y) for model in seconds}
        best = min(reached.values())
        for model, times in seconds.items():
            name = type(model).__name__
            if model in mine:
                name += f", {model.optimizer}, converged: {model.converged_}"
            yield _harness.row(
                loss, f"{name}{' †' if model.warned_ else ''}", np.max(model.n_iter_),
                f"{np.median(times):.2f}", f"{reached[model]:.8f}",
                f"{reached[model] / best - 1:.1e}",
            )  # fmt: skip


def report(options):
    """Yield the lines of results.md."""
    X, y = documents()
    yield from _harness.opening(
        "Sparse rows",
        f"{ROWS:,} generated documents, {FEATURES:,} features, {np.diff(X.indptr).mean():.0f} "
        f"numbers per row on average, two classes, alpha = {ALPHA:g}.",
    )
    yield from (
        "## Equal epochs",
        "",
        f"Log loss, whole fits of {EPOCHS} epochs, median of {options.rounds} alternated rounds. "
        "Times are processor times. The ratio is the second one's over the first one's in the same "
        "round, with quartiles: above 1, the first is faster. SGDClassifier has `tol=None` and "
        "batches of one row.",
        "",
        *_harness.head(
            "dtype", "mode", "first", "second", "first, epochs/s", "second, epochs/s", "ratio"
        ),
    )
    yield from epochs(X, y, options)
    yield from (
        "",
        "## Whole fits",
        "",
        f"Everybody's defaults but for the penalty; medians of {options.fits} fits. F is our "
        "objective; the last column is F over the lowest F in the table of that loss, less 1. "
        "LinearSVC also penalises its intercept. † warned that it had not converged.",
        "",
        *_harness.head(
            "loss", "estimator", "epochs or iterations", "processor seconds", "F", "above the best"
        ),
    )
    yield from whole_fits(X, y, options)


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, rounds=7)
    parser.add_argument("--dtypes", nargs="+", default=["float64", "float32"])
    parser.add_argument("--fits", type=int, default=3)
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
