"""Default networks beside what else is used for tables: scores, ranks, log loss, processor time.

The tables are those of ``benchmarks/optimum`` (install its ``requirements.txt``; ``lightgbm`` is
left out where it is missing), as they come, with categories as columns of zeros and ones. A third
of them was untouched while the defaults were chosen. Ours have default parameters and one of four
architectures; "recipe" is the user guide's, a ``PiecewiseLinearEncoder`` beside the columns and 100
units. "wide recipe" has 256, as the guide advises from some 4,000 rows on, and runs if it is named.
Examples::

    python tables.py                              # everything, writes tables.md; some hours
    python tables.py --rows 500 --splits 1 --out -
    python tables.py --tables iris wine --methods "(100,)" linear --cache /tmp/found.json
    python tables.py --rows 8000 --splits 1 --tables letter magic weather diamonds \\
        --methods "wide recipe" HGB --out tables_large.md
"""

import json
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt.preprocessing import PiecewiseLinearEncoder

CATALOGUE = _harness.sibling("optimum", "datasets").CATALOGUE
ARCHITECTURES = (100,), (64, 64), (128, 128), (128, 128, 128)
RECIPES = {"recipe": (100,), "wide recipe": (256,)}
OURS = [*map(str, ARCHITECTURES), "recipe"]
PEERS = ["scaled MLP", "linear", "HGB", "LightGBM"]
# Fewer rows to train on say little, and so do tables on which nothing beats a constant by more.
LEAST_ROWS, LEAST_GAIN = 100, 0.03
MOST_TEST_ROWS = 2000


def estimator(method, task, seed):
    """A method for a task; None where a package is missing."""
    regression = task == "regression"
    if method in (*OURS, *RECIPES):
        hidden = RECIPES.get(method) or ARCHITECTURES[OURS.index(method)]
        ours = GradientRegressor if regression else GradientClassifier
        model = ours(hidden_layer_sizes=hidden, random_state=seed)
        if method not in RECIPES:
            return model
        return make_pipeline(make_union("passthrough", PiecewiseLinearEncoder()), model)
    if method == "scaled MLP":
        mlp = MLPRegressor if regression else MLPClassifier
        return make_pipeline(StandardScaler(), mlp(random_state=seed))
    if method == "linear":
        linear = RidgeCV(np.logspace(-3, 3, 7)) if regression else LogisticRegression(max_iter=1000)
        return make_pipeline(StandardScaler(), linear)
    if method == "HGB":
        trees = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
        return trees(random_state=seed)
    try:
        import lightgbm
    except ImportError:
        return None
    trees = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
    return trees(random_state=seed, n_jobs=1, verbose=-1)


def tables(split, names=None):
    """Real tables of some size, in the order of their names."""
    for name, entry in sorted(CATALOGUE.items()):
        chosen = name in names if names else entry.real and split in ("all", entry.split)
        if chosen and len(entry.load()[0]) >= LEAST_ROWS / 0.75:
            yield name, entry


def parts(entry, rows, seed):
    """Rows to train on and to test with, and their targets."""
    X, y = entry.load()
    size = min(rows, int(0.75 * len(X)))
    rare = entry.task == "regression" or np.bincount(y).min() < 2
    return train_test_split(
        X, y, train_size=size, test_size=min(MOST_TEST_ROWS, len(X) - size), random_state=seed,
        stratify=None if rare else y,
    )  # fmt: skip


def measure(entry, method, rows, seed):
    """Score, that of a constant, log loss or None, and seconds of processor time for the fit."""
    X, X_test, y, y_test = parts(entry, rows, seed)
    model = estimator(method, entry.task, seed)
    if model is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        model.fit(X, y)
        seconds = time.process_time() - start
        score = max(-1.0, model.score(X_test, y_test))
        if entry.task == "regression":
            constant = 1 - np.mean((y_test - y.mean()) ** 2) / np.var(y_test)
            return score, constant, None, seconds
        # A class that only the test rows have counts as one of next to no probability.
        p = np.full((len(y_test), 1 + max(y.max(), y_test.max())), 1e-7)
        p[:, model.classes_] = np.clip(model.predict_proba(X_test), 1e-7, 1)
        loss = log_loss(y_test, p / p.sum(axis=1, keepdims=True), labels=np.arange(p.shape[1]))
        return score, np.mean(y_test == np.bincount(y).argmax()), loss, seconds


def results(options):
    """Means over the splits (score, constant, log loss, seconds) by table and method."""
    cache = Path(options.cache) if options.cache else None
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    found = {}
    for name, entry in tables(options.split, options.tables):
        for method in options.methods:
            each = []
            for seed in range(options.splits):
                key = f"{name} {method} {options.rows} {seed}"
                if key not in known:
                    known[key] = measure(entry, method, options.rows, seed)
                    if cache:
                        cache.write_text(json.dumps(known))
                each.append(known[key])
            if None not in each:
                columns = zip(*each, strict=True)
                means = [None if None in column else np.mean(column) for column in columns]
                found.setdefault(name, {})[method] = means
        print(name, file=sys.stderr, flush=True)
    return found


def normalised(by_method):
    """Scores of a table's methods between those of a constant, 0, and of the best peer, 1; None if
    no peer is better than a constant by some margin."""
    constant = next(iter(by_method.values()))[1]
    best = max((by_method[peer][0] for peer in PEERS if peer in by_method), default=constant)
    if best - constant < LEAST_GAIN:
        return None
    return {m: max(0.0, (v[0] - constant) / (best - constant)) for m, v in by_method.items()}


def ranks(scores):
    """The place of each method, 1 for the best, the mean of places for equal scores."""
    values = np.array([*scores.values()])
    places = [
        1 + np.sum(values > value) + (np.sum(values == value) - 1) / 2 for value in values
    ]  # fmt: skip
    return dict(zip(scores, places, strict=True))


def summary(found, names):
    """Lines of a table with the means over some tables."""
    scores = {n: s for n in names if (s := normalised(found[n])) is not None}
    yield from _harness.head(
        "method", "normalised score", "median", "worst", "rank", "log loss", "seconds of a fit",
        "worse than the scaled MLP by .003",
    )  # fmt: skip
    places = [ranks(each) for each in scores.values()]
    for method in found[names[0]]:
        own = [each[method] for each in scores.values()]
        losses = [found[n][method][2] for n in scores if found[n][method][2] is not None]
        seconds = np.mean([found[n][method][3] for n in names])
        worse = [
            found[n][method][0] < found[n]["scaled MLP"][0] - 0.003
            for n in names if "scaled MLP" in found[n]
        ]  # fmt: skip
        yield _harness.row(
            f"`{method}`", f"{np.mean(own):.3f}", f"{np.median(own):.3f}", f"{np.min(own):.2f}",
            f"{np.mean([place[method] for place in places]):.2f}",
            f"{np.mean(losses):.3f}" if losses else "", f"{seconds:.2f}", sum(worse),
        )  # fmt: skip


def report(options):
    """Yield the lines of tables.md."""
    yield from _harness.opening(
        "Default networks on tables",
        f"{options.splits} splits, up to {options.rows:,} rows to train on. Scores are R^2 (at "
        "least -1) and accuracy; normalised, 0 is a constant and 1 the best of the peers.",
        *(["only the tables that were named with --tables"] if options.tables else []),
        *(["results may come from the cache of an earlier call"] if options.cache else []),
    )
    found = results(options)
    for split in ("dev", "held-out"):
        names = [name for name in found if CATALOGUE[name].split == split]
        if names:
            told = [name for name in names if normalised(found[name]) is not None]
            yield from (f"## {split}: {len(names)} tables, {len(told)} of them normalised", "")
            yield from summary(found, names)
            yield ""
    methods = list(next(iter(found.values())))
    yield from ("## Each table", "")
    yield from _harness.head("table", "task", "rows x columns", "constant", *methods)
    for name, by_method in found.items():
        entry = CATALOGUE[name]
        constant = next(iter(by_method.values()))[1]
        yield _harness.row(
            f"{name} ({entry.split})", entry.task, "{} x {}".format(*entry.load()[0].shape),
            f"{constant:.3f}", *(f"{by_method[method][0]:.3f}" for method in methods),
        )  # fmt: skip


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, out="tables.md")
    parser.add_argument("--split", default="all", choices=["all", "dev", "held-out"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000, help="to train on, at most")
    parser.add_argument("--tables", nargs="+", help="names of the catalogue; default all")
    parser.add_argument("--methods", nargs="+", default=[*OURS, *PEERS])
    parser.add_argument("--cache", help="a file that results are kept in and taken from")
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
