"""Default networks beside scikit-learn's, on raw tables: held-out scores, paired.

The tables are those of ``benchmarks/optimum`` (install its ``requirements.txt``), as they come. All
have one hidden layer of 100 units, the default of ``MLPRegressor`` and ``MLPClassifier``, and every
other parameter at its default. Scores are R^2 (at least -1) and accuracy on a quarter of the rows,
of the same splits for all. Examples::

    python defaults.py                      # everything, writes defaults.md
    python defaults.py --split dev --out -  # the tables that defaults were chosen on
    python defaults.py --tables iris --splits 1 --out -
"""

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor

CATALOGUE = _harness.sibling("optimum", "datasets").CATALOGUE
ROWS = 100, 3000  # fewer are left out, more are thinned
HIDDEN = (100,)
# What a difference of mean scores has to be to count as better or worse, besides two standard
# errors of the paired differences.
MARGIN = 0.005


def rivals(task, seed, **parameters):
    """Name and estimator of all, ours first."""
    if task == "regression":
        ours, theirs = GradientRegressor, MLPRegressor
    else:
        ours, theirs = GradientClassifier, MLPClassifier
    mlp = theirs(hidden_layer_sizes=HIDDEN, random_state=seed)
    scaled = make_pipeline(StandardScaler(), mlp)
    out = {
        "ours": ours(hidden_layer_sizes=HIDDEN, random_state=seed, **parameters),
        "mlp_scaled": scaled,
        "mlp_raw": mlp,
    }
    if task == "regression":
        out["mlp_both_scaled"] = TransformedTargetRegressor(scaled, transformer=StandardScaler())
    return out


def tables(split, names=None):
    """Real tables of some size, in the order of their names."""
    for name, entry in sorted(CATALOGUE.items()):
        if names is not None and name not in names:
            continue
        if entry.real and split in ("all", entry.split):
            X, y = entry.load()
            if len(X) >= ROWS[0]:
                step = -(-len(X) // ROWS[1])
                yield name, entry, X[::step], y[::step]


def measure(entry, X, y, names, n_splits, **parameters):
    """Scores (n_splits,) and seconds of the rivals in names."""
    scores, seconds = {name: [] for name in names}, dict.fromkeys(names, 0.0)
    for seed in range(n_splits):
        stratify = None if entry.task == "regression" or np.bincount(y).min() < 2 else y
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, random_state=seed, stratify=stratify
        )
        found = rivals(entry.task, seed, **parameters)
        for name in names:
            if name not in found:
                continue
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    score = found[name].fit(X_train, y_train).score(X_test, y_test)
                except ValueError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    score = -1.0
            seconds[name] += time.perf_counter() - start
            scores[name].append(max(-1.0, score))
    return {name: np.array(values) for name, values in scores.items() if values}, seconds


def verdict(ours, theirs):
    """'better', 'worse' or 'equal'."""
    d = ours - theirs
    noise = 2 * d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else 0.0
    if abs(d.mean()) <= max(MARGIN, noise):
        return "equal"
    return "better" if d.mean() > 0 else "worse"


def report(options):
    """Yield the lines of defaults.md."""
    names = ["ours", "mlp_scaled", "mlp_raw", "mlp_both_scaled"]
    yield from _harness.opening(
        "Default networks beside scikit-learn's",
        f"{options.splits} splits, up to {ROWS[1]:,} rows of each table, a quarter of them for "
        f'testing. "Equal" is a difference of at most {MARGIN} or of two standard errors of the '
        "paired differences.",
    )
    yield from _harness.head(
        "table", "task", "rows x columns", "ours", "scaled MLP", "raw MLP", "X and y scaled MLP",
        "beside scaled", "beside raw", "seconds, ours / scaled",
    )  # fmt: skip
    counts = {name: {} for name in names[1:]}
    for name, entry, X, y in tables(options.split, options.tables):
        scores, seconds = measure(entry, X, y, names, options.splits)
        said = {
            rival: verdict(scores["ours"], scores[rival]) for rival in names[1:] if rival in scores
        }
        for rival, word in said.items():
            counts[rival][word] = counts[rival].get(word, 0) + 1
        yield _harness.row(
            f"{name} ({entry.split})",
            entry.task,
            f"{X.shape[0]} x {X.shape[1]}",
            *(f"{scores[rival].mean():.3f}" if rival in scores else "" for rival in names),
            said["mlp_scaled"],
            said["mlp_raw"],
            f"{seconds['ours']:.1f} / {seconds['mlp_scaled']:.1f}",
        )
    yield ""
    yield from (f"- Ours beside {rival}: {found}" for rival, found in counts.items())


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, out="defaults.md")
    parser.add_argument("--split", default="all", choices=["all", "dev", "held-out"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--tables", nargs="+", help="names of the catalogue; default all")
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
