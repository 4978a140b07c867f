"""Time GradientSearchCV beside GridSearchCV.

Competitors are our search in one thread and in two, GridSearchCV over our estimator and over
SGDClassifier, both with ``n_jobs=1``, all on the same folds. A ratio is a competitor's time over
our search's in the same round, so above 1 ours is the faster one. In one thread times are processor
times, in two they are wall clock. ::

    python run.py                                    # everything, writes results.md
    python run.py --sections epochs --sizes middle --epochs 5 --out -
"""

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy import sparse
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientSearchCV

SIZES = {"small": (2_000, 20), "middle": (10_000, 30), "large": (100_000, 50)}
FOLDS = 5
LOSSES = ["log_loss", "hinge", "squared_hinge", "modified_huber"]
OPTIMIZERS = ["sgd", "momentum", "rmsprop", "adagrad", "adam"]
RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
ALPHAS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
# Numbers of epochs, and how many of the folds the peers' time is measured on and scaled from.
EPOCHS = {
    "small": {1: 5, 5: 5, 20: 3, 100: 1},
    "middle": {1: 5, 5: 3, 20: 2, 100: 1},
    "large": {1: 1, 5: 1},
}
# Of the largest, our search trains on fewer folds too.
OUR_FOLDS = {"large": 1}
MODES = {"textbook": False, "preconditioned": "auto"}
GOALS = {"GridSearchCV": 20, "SGDClassifier": 30}


def rows(size, seed=0):
    """Return standard normal rows, and classes by a noisy linear score."""
    n, d = SIZES[size]
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    raw = X @ rng.standard_normal(d) / np.sqrt(d) + 0.5 * rng.standard_normal(n)
    return X, (raw > 0).astype(int)


def documents(n=5_000, d=5_000, stored=60, seed=0):
    """Return sparse rows of length 1, and classes that some of the columns decide."""
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.integers(d, size=(n, stored)), axis=1).astype(np.int32)
    data = np.full(n * stored, stored**-0.5)
    # SGDClassifier takes indices of 32 bits only.
    indptr = np.arange(0, n * stored + 1, stored, dtype=np.int32)
    X = sparse.csr_array((data, indices.ravel(), indptr), (n, d))
    X.sum_duplicates()
    score = X @ rng.standard_normal(d)
    return X, (score > np.median(score)).astype(int)


def grid(rates=None, **more):
    """Return our 100 candidates."""
    varied = {"learning_rate": RATES} if rates is None else rates
    return {"loss": LOSSES, "optimizer": OPTIMIZERS, **varied, **more}


def part(space):
    """Return some candidates of a grid of three parameters: each pair of settings of the first
    two once, with the third's in turn, so that all settings are as frequent as in the grid."""
    (first, a), (second, b), (third, c) = space.items()
    return [
        {first: [a[i]], second: [b[j]], third: [c[(i + j) % len(c)]]}
        for i in range(len(a)) for j in range(len(b))
    ]  # fmt: skip


def of_sgd_classifier():
    """Return the grid of SGDClassifier, as large as ours."""
    return {"loss": LOSSES, "alpha": ALPHAS, "eta0": [0.001, 0.003, 0.01, 0.03, 0.1]}


def both_clocks():
    """Return the processor's and the wall clock."""
    return np.array([time.process_time(), time.perf_counter()])


def check(ours, theirs, n_splits, n_test):
    """Raise AssertionError where a candidate's scores differ by more than one row."""
    found = {str(sorted(p.items())): i for i, p in enumerate(ours["params"])}
    for i, params in enumerate(theirs["params"]):
        j = found[str(sorted(params.items()))]
        for k in range(n_splits):
            name = f"split{k}_test_score"
            assert abs(ours[name][j] - theirs[name][i]) <= 1.01 / n_test, (params, k)


def compare(X, y, options, model, space, peer=None, our_folds=FOLDS, peer_folds=FOLDS):
    """Time our search and its peers.

    Parameters
    ----------
    X, y : array-like
    options : argparse.Namespace
    model : estimator
    space : dict
        A grid of three parameters.
    peer : tuple (estimator, dict) or None
        Another estimator and its grid.
    our_folds, peer_folds : int
        Of FOLDS folds, those that are trained on; times are scaled to all.

    Returns
    -------
    list of str
        The cells of a table's row.
    """
    splits = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X, y))
    settings = dict(refit=False, error_score="raise")
    searches, scale = {}, {}
    for jobs in (1, 2):
        searches[f"ours, {jobs}"] = GradientSearchCV(
            model, space, cv=splits[:our_folds], n_jobs=jobs, **settings
        )
        scale[f"ours, {jobs}"] = FOLDS / our_folds
    for name, pair in {"GridSearchCV": (model, space), "SGDClassifier": peer}.items():
        if pair is None:
            continue
        few = part(pair[1])
        searches[name] = GridSearchCV(pair[0], few, cv=splits[:peer_folds], n_jobs=1, **settings)
        scale[name] = FOLDS / peer_folds * len(ParameterGrid(pair[1])) / len(few)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = _harness.in_turn(
            *(lambda search=search: search.fit(X, y) for search in searches.values()),
            rounds=options.rounds,
            clock=both_clocks,
        )
    check(
        searches["ours, 1"].cv_results_, searches["GridSearchCV"].cv_results_,
        min(our_folds, peer_folds), len(splits[0][1]),
    )  # fmt: skip
    found = {name: scale[name] * seconds[:, i].T for i, name in enumerate(searches)}
    cells = [f"{np.median(found[f'ours, {jobs}'][jobs - 1]):.3g}" for jobs in (1, 2)]
    for name in GOALS:
        if name not in found:
            cells += ["", "", ""]
            continue
        cells.append(f"{np.median(found[name][0]):.3g}")
        for jobs in (1, 2):
            clock = jobs - 1
            ratios = found[name][clock] / found[f"ours, {jobs}"][clock]
            cells.append(_harness.spread(ratios, 1))
    return cells


HEAD = (
    "ours, s", "ours, 2 threads, s", "GridSearchCV, s", "ratio", "ratio, 2 threads",
    "SGDClassifier, s", "ratio", "ratio, 2 threads",
)  # fmt: skip


def table(*names):
    return ["", *_harness.head(*names, *HEAD)]


def fixed(epochs, **settings):
    """Return our classifier for exactly so many epochs."""
    return GradientClassifier(
        schedule="constant", tol=0, max_iter=epochs, random_state=0, **settings
    )


def sgd_classifier(epochs):
    """Return SGDClassifier for as many, and its grid."""
    model = SGDClassifier(learning_rate="constant", tol=None, max_iter=epochs, random_state=0)
    return model, of_sgd_classifier()


# ------------------------------------------------------------------------------------ sections


def equal_epochs(options):
    yield from (
        "## Equal epochs",
        "",
        f"{len(LOSSES)} losses, {len(OPTIMIZERS)} optimizers and {len(RATES)} learning rates; "
        "of SGDClassifier the same losses, 5 alphas and 5 learning rates. "
        "`schedule=\"constant\"`, `tol=0`, and SGDClassifier's `learning_rate=\"constant\"`, "
        "`tol=None`, whose batches have one row. Textbook is `precondition=False`.",
        *table("rows", "mode", "epochs"),
    )  # fmt: skip
    for size in options.sizes:
        X, y = rows(size)
        for mode in options.modes:
            for epochs, folds in EPOCHS[size].items():
                if options.epochs and epochs not in options.epochs:
                    continue
                cells = compare(
                    X, y, options, fixed(epochs, precondition=MODES[mode]), grid(),
                    sgd_classifier(epochs), OUR_FOLDS.get(size, FOLDS), folds,
                )  # fmt: skip
                yield _harness.row(shape(X), mode, epochs, *cells)


def defaults(options):
    yield from (
        "## Defaults",
        "",
        "Everybody's own defaults, which is `schedule=\"auto\"` and `tol=1e-6` of ours and "
        "`tol=1e-3` of SGDClassifier: the same losses, our 5 optimizers and 5 alphas, "
        "SGDClassifier's 5 alphas and 5 `l1_ratio` (which has no effect and takes the same time).",
        *table("rows"),
    )  # fmt: skip
    for size in options.sizes:
        if size == "large":
            continue
        X, y = rows(size)
        other = {"loss": LOSSES, "alpha": ALPHAS, "l1_ratio": [0.1, 0.2, 0.3, 0.4, 0.5]}
        cells = compare(
            X, y, options, GradientClassifier(random_state=0), grid({"alpha": ALPHAS}),
            (SGDClassifier(random_state=0), other), peer_folds=1,
            our_folds=FOLDS if size == "small" else 1,
        )  # fmt: skip
        yield _harness.row(shape(X), *cells)


def layers(options):
    yield from (
        "## Hidden layers",
        "",
        "`hidden_layer_sizes=(32,)`, 20 epochs at constant rates, our 5 optimizers, 5 learning "
        "rates and alpha 1e-4: 25 candidates.",
        *table("rows", "mode"),
    )
    for size in options.sizes:
        if size == "large":
            continue
        X, y = rows(size)
        for mode in options.modes:
            model = fixed(20, hidden_layer_sizes=(32,), precondition=MODES[mode])
            space = {"alpha": [1e-4], "optimizer": OPTIMIZERS, "learning_rate": RATES}
            cells = compare(
                X, y, options, model, space, peer_folds=1, our_folds=5 if size == "small" else 1
            )
            yield _harness.row(shape(X), mode, *cells)


def sparse_rows(options):
    X, y = documents()
    yield from (
        "## Sparse rows",
        "",
        f"{X.nnz / X.shape[0]:.0f} numbers a row; the grids of equal epochs, textbook mode. Sparse "
        "rows are read by each candidate, so that a search saves what surrounds training.",
        *table("rows", "epochs"),
    )
    cells = compare(X, y, options, fixed(5, precondition=False), grid(), sgd_classifier(5), 1, 1)
    yield _harness.row(shape(X), 5, *cells)


def pipelines(options):
    X, y = rows("middle")
    model = make_pipeline(StandardScaler(), fixed(5, precondition=False))
    other, space = sgd_classifier(5)
    yield from (
        "## A pipeline",
        "",
        "`make_pipeline(StandardScaler(), ...)`, the grids of equal epochs, textbook mode.",
        *table("rows", "epochs"),
    )
    cells = compare(
        10 + 3 * X, y, options, model,
        {f"gradientclassifier__{name}": values for name, values in grid().items()},
        (
            make_pipeline(StandardScaler(), other),
            {f"sgdclassifier__{name}": values for name, values in space.items()},
        ),
        peer_folds=3,
    )  # fmt: skip
    yield _harness.row(shape(X), 5, *cells)


def shape(X):
    return f"{X.shape[0]:,} x {X.shape[1]:,}"


SECTIONS = {
    "epochs": equal_epochs, "defaults": defaults, "layers": layers, "sparse": sparse_rows,
    "pipeline": pipelines,
}  # fmt: skip


def report(options):
    """Yield the lines of results.md."""
    yield from _harness.opening(
        "Searches",
        f"float64, {FOLDS} folds, 100 candidates where not stated otherwise, `refit=False`, scored "
        "by accuracy.",
        f"medians of {options.rounds} alternated rounds; ratios, with quartiles, are a peer's time "
        "over our search's in the same round: above 1, ours is faster. Processor times where all "
        "have one thread; wall clock for the ratios of our search in two threads, beside which the "
        "peers have one still.",
        "peers are timed on one candidate in five, of which all losses, optimizers and rates have "
        "their share, and on one to five of the folds, scaled to all; ours on all candidates, and "
        "on one of the folds, scaled, for 100,000 rows, sparse rows, and where 10,000 rows have "
        "defaults or hidden layers.",
        "each candidate's scores were the same as those of GridSearchCV over our estimator.",
        f"goals: {GOALS['GridSearchCV']} beside GridSearchCV over our estimator and "
        f"{GOALS['SGDClassifier']} beside SGDClassifier, on 10,000 x 30.",
    )
    for name in options.sections:
        yield from SECTIONS[name](options)
        yield ""


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, rounds=7)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--epochs", nargs="+", type=int, help="of equal epochs; default all")
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
