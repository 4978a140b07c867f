"""What must not get slower: processor time of ours over that of scikit-learn, in one thread.

asv follows these ratios over commits. Ours and the peer run in turn, so that a machine that slows
down changes no ratio; each is the median over the rounds. ::

    python run.py logistic
    python run.py logistic --size 500 --rounds 1
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from sklearn_lossopt import GradientClassifier, GradientRegressor, GradientSearchCV


def rows(n, d):
    """Standard normal rows, and classes by a noisy linear score."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, (X @ rng.standard_normal(d) + rng.logistic(size=n) > 0).astype(int)


def ridge(n):
    """A default fit of the squared error beside ``Ridge``."""
    X, y = rows(n, 50)
    y = y + X[:, 0]
    ours, theirs = GradientRegressor(alpha=1e-4, random_state=0), Ridge(alpha=1e-4 * n)
    return lambda: ours.fit(X, y), lambda: theirs.fit(X, y)


def logistic(n):
    """A default fit of the log loss beside ``LogisticRegression``."""
    X, y = rows(n, 50)
    ours, theirs = GradientClassifier(alpha=1e-4, random_state=0), LogisticRegression(C=1e4 / n)
    return lambda: ours.fit(X, y), lambda: theirs.fit(X, y)


def epoch(n):
    """Epochs of plain SGD beside ``SGDClassifier``."""
    X, y = rows(n, 50)
    ours = GradientClassifier(
        "log_loss", "sgd", batch_size=1, schedule="constant", learning_rate=1e-3, tol=0,
        precondition=False, max_iter=5, random_state=0,
    )  # fmt: skip
    theirs = SGDClassifier(
        "log_loss", learning_rate="constant", eta0=1e-3, tol=None, max_iter=5, random_state=0
    )
    return lambda: ours.fit(X, y), lambda: theirs.fit(X, y)


def hinge(n):
    """A fit of the hinge loss on sparse rows beside ``LinearSVC``."""
    rng = np.random.default_rng(0)
    X = sparse.random(n, 2000, density=0.01, format="csr", random_state=rng)
    y = (np.asarray(X[:, :1000].sum(axis=1) - X[:, 1000:].sum(axis=1)) > 0).astype(int)
    ours = GradientClassifier("hinge", alpha=1e-4, random_state=0)
    theirs = LinearSVC(C=1e4 / n, loss="hinge", random_state=0, max_iter=20_000)
    return lambda: ours.fit(X, y), lambda: theirs.fit(X, y)


def network(n):
    """Epochs of a network beside ``MLPClassifier``."""
    X, y = rows(n, 50)
    ours = GradientClassifier(
        hidden_layer_sizes=(64,), batch_size=128, schedule="constant", tol=0, max_iter=5,
        random_state=0,
    )  # fmt: skip
    theirs = MLPClassifier((64,), batch_size=128, max_iter=5, n_iter_no_change=5, random_state=0)
    return lambda: ours.fit(X, y), lambda: theirs.fit(X, y)


def search(n):
    """A search beside ``GridSearchCV`` of the same estimator."""
    X, y = rows(n, 20)
    model = GradientClassifier(
        precondition=False, learning_rate=1e-2, schedule="constant", tol=0, max_iter=5,
        random_state=0,
    )  # fmt: skip
    grid = {"optimizer": ["sgd", "adam"], "alpha": np.logspace(-5, -1, 8)}
    ours = GradientSearchCV(model, grid, cv=3, refit=False)
    theirs = GridSearchCV(model, grid, cv=3, refit=False)
    return lambda: ours.fit(X, y), lambda: theirs.fit(X, y)


def measured(work, n, rounds):
    """Our time over the peer's, the median over the rounds."""
    ours, theirs = _harness.in_turn(*work(n), rounds=rounds).T
    return float(np.median(ours / theirs))


# Each with the number of rows.
WORK = {
    "ridge": (ridge, 20_000), "logistic": (logistic, 20_000), "epoch": (epoch, 20_000),
    "hinge": (hinge, 4_000), "network": (network, 4_000), "search": (search, 4_000),
}  # fmt: skip


def main():
    parser = _harness.parser(__doc__, rounds=5)
    parser.add_argument("names", nargs="+", choices=WORK)
    parser.add_argument("--size", type=int, help="rows, in place of those of the work")
    given = parser.parse_args()
    for name in given.names:
        work, n = WORK[name]
        print(measured(work, given.size or n, given.rounds))


if __name__ == "__main__":
    main()
