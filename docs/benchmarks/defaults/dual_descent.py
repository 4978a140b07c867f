"""Time default fits of the hinge loss on sparse rows beside LinearSVC's.

Two data sets: texts, words by Zipf's law, some of which depend on the class, with tf-idf weights;
and rows of some 50 normal numbers that a plane separates. Everybody fits in turn. ``--before``
also fits once with the augmented Lagrangian alone, which takes minutes on separable rows. ::

    python dual_descent.py --before texts separable       # writes results.md
    python dual_descent.py --rounds 1 --out -
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.svm import LinearSVC

from sklearn_lossopt import GradientClassifier
from sklearn_lossopt._training import corrections

ALPHA = 1e-4


def csr(numbers, columns, lengths, width):
    """Rows as LinearSVC takes them: with indices of 32 bits."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    X = sparse.csr_array((numbers, columns.astype(np.int32), starts), (len(lengths), width))
    X.sum_duplicates()
    return X


def texts(rng, n=10_000, words=30_000):
    """tf-idf of documents of two classes, and the classes, 3 % of which are wrong."""
    shares = 1 / np.arange(1.0, words + 1)
    lengths = rng.lognormal(4.5, 0.6, n).astype(int) + 5
    y = rng.integers(2, size=n)
    drawn = rng.choice(words, size=lengths.sum(), p=shares / shares.sum())
    # A topic has 400 words of its own, of which 3 % of a document are made.
    topical = np.flatnonzero(rng.random(len(drawn)) < 0.03)
    own = 100 + 400 * np.repeat(y, lengths)[topical]
    drawn[topical] = own + rng.integers(400, size=len(topical))
    counts = csr(np.ones(len(drawn)), drawn, lengths, words)
    X = sparse.csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(counts))
    return X, y ^ (rng.random(n) < 0.03)


def separable(rng, n=20_000, d=100_000, numbers=50):
    """Rows on both sides of a plane through 0."""
    lengths = np.full(n, numbers)
    X = csr(rng.normal(size=n * numbers), rng.integers(d, size=n * numbers), lengths, d)
    return X, (X @ rng.normal(size=d) > 0).astype(int)


def objective(model, X, y):
    """F, whichever estimator it was minimised by."""
    margin = (2 * y - 1) * (X @ model.coef_.ravel() + np.ravel(model.intercept_)[0])
    return np.maximum(0, 1 - margin).mean() + ALPHA / 2 * (model.coef_**2).sum()


def without_descent(model, X, y):
    """The seconds of a fit that begins with the augmented Lagrangian."""
    found = corrections.descends
    corrections.descends = lambda objective: False
    try:
        return _harness.timed(lambda: model.fit(X, y))
    finally:
        corrections.descends = found


def table(X, y, options, before):
    """Yield the rows of a table: everybody's seconds and how far they have come; ``before`` asks
    for the augmented Lagrangian too."""
    C = 1 / (len(y) * ALPHA)
    models = {"GradientClassifier": GradientClassifier("hinge", alpha=ALPHA, random_state=0)}
    for tol in (1e-4, 1e-6):
        models[f"LinearSVC, tol={tol:g}"] = LinearSVC(
            loss="hinge", C=C, tol=tol, max_iter=100_000, random_state=0
        )
    fits = [lambda model=model: model.fit(X, y) for model in models.values()]
    seconds = np.median(_harness.in_turn(*fits, rounds=options.rounds), axis=0).tolist()
    if before:
        name = "GradientClassifier, augmented Lagrangian alone"
        models[name] = GradientClassifier("hinge", alpha=ALPHA, random_state=0)
        seconds.append(without_descent(models[name], X, y))
    reached = [objective(model, X, y) for model in models.values()]
    for (name, model), took, value in zip(models.items(), seconds, reached, strict=True):
        converged = getattr(model, "converged_", "")
        above = f"{value / min(reached) - 1:.1e}"
        yield _harness.row(name, f"{took:.2f}", f"{value:.9f}", above, converged)


def report(options):
    """Yield the lines of results.md."""
    yield from _harness.opening(
        "Hinge loss on sparse rows",
        f"alpha = {ALPHA:g}, defaults otherwise. Processor seconds, medians of {options.rounds} "
        "alternated rounds. F is our objective, and the column beside it F over the lowest F in "
        "the table, less 1. LinearSVC also penalises its intercept.",
    )
    for title, make in (("Texts", texts), ("Separable rows", separable)):
        X, y = make(np.random.default_rng(0))
        per_row = X.nnz / len(y)
        yield from (
            f"## {title}", "", f"{len(y):,} x {X.shape[1]:,}, {per_row:.0f} numbers a row.", "",
        )  # fmt: skip
        yield from _harness.head(
            "estimator", "processor seconds", "F", "above the best", "converged_"
        )
        yield from table(X, y, options, make.__name__ in options.before)
        yield ""


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, rounds=5)
    parser.add_argument("--before", nargs="+", default=[], choices=["texts", "separable"])
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
