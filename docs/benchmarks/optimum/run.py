"""Fit default estimators on raw data and measure how far from the optimum they stop.

Every problem of the catalogue is fitted by each optimizer with its defaults and, in turn within
the same process, by scikit-learn's estimators of the same objective. F is computed here in float64
from ``coef_`` and ``intercept_`` and compared with the certified optimum of ``reference.py``:

    gap = (F - F*) / (F0 - F*),      F0 the best constant model.

On the few problems where a constant is optimal, F0 - F* is replaced by F0. Examples::

    python run.py --split dev --optimizer adam nesterov --loss huber --out rows.csv
    python run.py --split dev --limit 40 --no-peers
    python run.py --read rows.csv               # only the tables, from an earlier run
"""

import csv
import hashlib
import importlib
import signal
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
import pandas as pd
from datasets import BINARY, CATALOGUE, MULTICLASS, REGRESSION
from reference import (
    ALPHA,
    HUBER_EPSILON,
    QUANTILE,
    data_hash,
    load_cache,
    losses_of,
    objective,
    verdict,
)
from sklearn import linear_model, svm
from sklearn.exceptions import ConvergenceWarning

OPTIMIZERS = (
    "gradient_descent sgd momentum nesterov rmsprop adam amsgrad adamw nadam radam adamax adagrad "
    "adadelta lion lbfgs"
).split()
GROUPS = (
    "squared_error",
    "huber",
    "poisson",
    "log_loss binary",
    "log_loss softmax",
    "squared_hinge",
    "hinge",
    "absolute_error",
    "quantile",
)
SMOOTH = GROUPS[:6]
# One-row-one-fit columns of the CSV file.
COLUMNS = (
    "data split real task loss group method ours gap F F0 optimum trivial ms epochs updates "
    "converged honest other_warnings exception n d k"
).split()


class Timeout(Exception):
    """A fit took longer than allowed."""


# ------------------------------------------------------------------------------------ methods


def our_methods(package, optimizers, loss, task, delta):
    """Return {optimizer: function that makes an unfitted estimator with its defaults}."""
    module = importlib.import_module(package)
    losses = importlib.import_module(f"{package}.losses")
    name = "GradientRegressor" if task == REGRESSION else "GradientClassifier"
    if loss == "huber":
        loss = losses.Huber(delta=delta)
    elif loss == "quantile":
        loss = losses.Quantile(quantile=QUANTILE)
    estimator = getattr(module, name)
    return {
        optimizer: lambda optimizer=optimizer: estimator(
            loss=loss, optimizer=optimizer, alpha=ALPHA, random_state=0
        )
        for optimizer in optimizers
    }


def peer_methods(loss, task, n, d, k, delta):
    """Return the scikit-learn estimators whose objective is that of the loss, or nearly.

    QuantileRegressor penalises the 1-norm, so it is run without a penalty; LinearSVC penalises its
    intercept. SVC and QuantileRegressor are left out where they would take minutes.
    """
    sgd = dict(alpha=ALPHA, random_state=0)
    strength = 1 / (n * ALPHA)
    if loss == "squared_error":
        return {
            "Ridge (cholesky)": lambda: linear_model.Ridge(alpha=n * ALPHA),
            "Ridge (svd)": lambda: linear_model.Ridge(alpha=n * ALPHA, solver="svd"),
            "SGDRegressor": lambda: linear_model.SGDRegressor(**sgd),
        }
    if loss == "huber":
        # At the optimum HuberRegressor's own scale is delta / epsilon, which is how delta was
        # chosen, and then both objectives have the same minimiser.
        options = dict(epsilon=HUBER_EPSILON, alpha=ALPHA * n * HUBER_EPSILON / delta)
        return {
            "HuberRegressor": lambda: linear_model.HuberRegressor(**options),
            "HuberRegressor (10000 iterations)": lambda: linear_model.HuberRegressor(
                **options, max_iter=10_000
            ),
            "SGDRegressor": lambda: linear_model.SGDRegressor(loss="huber", epsilon=delta, **sgd),
        }
    if loss in ("absolute_error", "quantile"):
        level = 0.5 if loss == "absolute_error" else QUANTILE
        peers = {}
        if n * d <= 60_000 and n <= 3000:
            peers["QuantileRegressor"] = lambda: linear_model.QuantileRegressor(
                quantile=level, alpha=0.0
            )
        if loss == "absolute_error":
            peers["SGDRegressor"] = lambda: linear_model.SGDRegressor(
                loss="epsilon_insensitive", epsilon=0.0, **sgd
            )
        return peers
    if loss == "poisson":
        return {
            f"PoissonRegressor ({solver})": lambda solver=solver: linear_model.PoissonRegressor(
                alpha=ALPHA, solver=solver
            )
            for solver in ("newton-cholesky", "lbfgs")
        }
    if loss == "log_loss":
        logistic = linear_model.LogisticRegression
        peers = {
            "LogisticRegression (lbfgs)": lambda: logistic(C=strength),
            "LogisticRegression (lbfgs, 10000 iterations, tol 1e-6)": lambda: logistic(
                C=strength, max_iter=10_000, tol=1e-6
            ),
        }
        if k * (d + 1) <= 3000:
            peers["LogisticRegression (newton-cholesky)"] = lambda: logistic(
                C=strength, solver="newton-cholesky"
            )
        if task == BINARY:
            peers["SGDClassifier"] = lambda: linear_model.SGDClassifier(loss="log_loss", **sgd)
        return peers
    peers = {
        "LinearSVC": lambda: svm.LinearSVC(loss=loss, C=strength, random_state=0),
        "SGDClassifier": lambda: linear_model.SGDClassifier(loss=loss, **sgd),
    }
    if loss == "hinge" and task == BINARY and n <= 1000:
        peers["SVC (linear kernel)"] = lambda: svm.SVC(
            kernel="linear", C=strength, max_iter=100_000
        )
    return peers


# ---------------------------------------------------------------------------------- measuring


def _give_up(signum, frame):
    raise Timeout


def fit(make, X, y, timeout):
    """Fit once and return (estimator or None, seconds, warnings, text of an exception)."""
    problem = ""
    estimator = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(timeout)
        start = time.perf_counter()
        try:
            estimator.fit(X, y)
        except Timeout:
            problem = f"no result in {timeout} s"
        except Exception as error:  # the benchmark counts whatever goes wrong
            problem = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
        finally:
            seconds = time.perf_counter() - start
            signal.alarm(0)
    return (None if problem else estimator), seconds, caught, problem


def _epochs(estimator):
    epochs = getattr(estimator, "n_iter_", None)
    return np.nan if epochs is None else float(np.max(epochs))


def measure(entry, loss, result, methods, *, repeats, timeout):
    """Fit all methods in turn, ``repeats`` times, and return one row each with the median time.

    Parameters
    ----------
    entry : DataSet
        The data.
    loss : str
        Name of the loss.
    result : dict
        The certified optimum.
    methods : dict of str to (bool, callable)
        Whether the method is ours, and the function that makes the estimator.
    repeats : int
        Fits a method.
    timeout : int
        Seconds after which a fit counts as failed.
    """
    X, y = entry.load()
    trivial = verdict(result) == "trivial"
    group = loss
    if loss == "log_loss":
        group += " softmax" if entry.task == MULTICLASS else " binary"
    rows, times = {}, {name: [] for name in methods}
    for _ in range(repeats):
        for name, (ours, make) in methods.items():
            if rows.get(name, {}).get("exception"):
                continue
            estimator, seconds, caught, exception = fit(make, X, y, timeout)
            times[name].append(seconds)
            value = np.inf
            if estimator is not None:
                value = objective(
                    loss, X, y, estimator.coef_, estimator.intercept_, result.get("delta")
                )
                value = value if np.isfinite(value) else np.inf
            scale = result["F0"] if trivial else result["F0"] - result["F"]
            other = [w for w in caught if not issubclass(w.category, ConvergenceWarning)]
            rows[name] = {
                "data": entry.name,
                "split": entry.split,
                "real": entry.real,
                "task": entry.task,
                "loss": loss,
                "group": group,
                "method": name,
                "ours": ours,
                "gap": (value - result["F"]) / scale,
                "F": value,
                "F0": result["F0"],
                "optimum": result["F"],
                "trivial": trivial,
                "epochs": np.nan if estimator is None else _epochs(estimator),
                "updates": getattr(estimator, "t_", np.nan),
                "converged": bool(getattr(estimator, "converged_", not (caught or exception))),
                "honest": len(caught) - len(other),
                "other_warnings": "; ".join(
                    sorted({f"{w.category.__name__}: {w.message}"[:160] for w in other})
                ),
                "exception": exception,
                "n": result["n"],
                "d": result["d"],
                "k": 1 if entry.task != MULTICLASS else int(y.max()) + 1,
            }
    for name, row in rows.items():
        row["ms"] = 1e3 * float(np.median(times[name]))
    return list(rows.values())


def problems(options, cache):
    """Yield (entry, loss, certified result) of the problems asked for."""
    chosen = []
    for entry in CATALOGUE.values():
        if options.split not in ("all", entry.split):
            continue
        if options.data and entry.name not in options.data:
            continue
        for loss in losses_of(entry):
            result = cache.get(f"{entry.name}|{loss}")
            if options.loss and loss not in options.loss:
                continue
            if options.task and entry.task not in options.task:
                continue
            if result is None:
                print(f"no reference for {entry.name} {loss}: run reference.py first")
            elif verdict(result) == "refused":
                print(f"no certified optimum for {entry.name} {loss}: left out")
            elif result["n"] * result["d"] <= options.max_size:
                chosen.append((entry, loss, result))
    if options.limit:
        chosen.sort(key=lambda item: hashlib.sha256(f"{item[0].name}{item[1]}".encode()).digest())
        names = {entry.name: place for place, entry in enumerate(CATALOGUE.values())}
        chosen = sorted(chosen[: options.limit], key=lambda item: names[item[0].name])
    return chosen


def warm_up(package, optimizers):
    """Fit everything once on a toy, so that imports and first calls are not timed."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    makers = list(our_methods(package, optimizers, "huber", REGRESSION, 1.0).values())
    makers += our_methods(package, optimizers, "log_loss", BINARY, None).values()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for make in makers:
            try:
                make().fit(X, X[:, 0] > 0)
            except Exception as error:  # it will be counted where it matters
                print(f"warm-up: {type(error).__name__}: {error}")
        for loss, task in (("squared_error", REGRESSION), ("log_loss", BINARY), ("hinge", BINARY)):
            for make in peer_methods(loss, task, 60, 3, 1, 1.0).values():
                make().fit(X, X[:, 0] > 0)


def run(options):
    """Measure everything and return a frame with one row a fit."""
    cache = load_cache()
    chosen = problems(options, cache)
    print(f"{len(chosen)} problems, {len(options.optimizer)} optimizers", flush=True)
    handle = open(options.out, "w", newline="") if options.out else None
    writer = csv.DictWriter(handle, COLUMNS) if handle else None
    if writer:
        writer.writeheader()
    warm_up(options.package, options.optimizer)
    rows = []
    start = time.perf_counter()
    for number, (entry, loss, result) in enumerate(chosen):
        X, y = entry.load()
        if cache[f"{entry.name}|{loss}"]["data"] != data_hash(X, y):
            print(f"{entry.name}: the data are not those of the reference, run reference.py again")
            continue
        k = int(y.max()) + 1 if entry.task == MULTICLASS else 1
        methods = {}
        if options.peers:
            peers = peer_methods(loss, entry.task, *X.shape, k, result.get("delta"))
            methods |= {name: (False, make) for name, make in peers.items()}
        ours = our_methods(
            options.package, options.optimizer, loss, entry.task, result.get("delta")
        )
        methods |= {name: (True, make) for name, make in ours.items()}
        new = measure(
            entry, loss, result, methods, repeats=options.repeats, timeout=options.timeout
        )
        rows += new
        if writer:
            writer.writerows(new)
            handle.flush()
        if options.verbose:
            worst = max((row for row in new if row["ours"]), key=lambda row: row["gap"])
            print(
                f"[{time.perf_counter() - start:6.0f} s] {number + 1}/{len(chosen)} {entry.name} "
                f"{loss}: worst gap {worst['gap']:.1e} ({worst['method']})",
                flush=True,
            )
    if handle:
        handle.close()
    return pd.DataFrame(rows, columns=COLUMNS)


# ---------------------------------------------------------------------------------- reporting


def _baseline(rows):
    """Return the time of the fastest scikit-learn estimator that reaches 1e-4, by problem.

    Ridge's SVD solver does not count: a direct method for one loss is no measure of an iterative
    one for all.
    """
    peers = rows[~rows.ours & (rows.gap <= 1e-4) & ~rows.method.str.startswith("Ridge (svd")]
    return peers.groupby(["data", "loss"]).ms.min()


def summarise(rows, baseline, by=("group", "method")):
    """Return one row of figures for each group of fits."""
    table = []
    for keys, part in rows.groupby(list(by), sort=False):
        ratio = part.set_index(["data", "loss"]).ms / baseline
        ratio = ratio.dropna()
        failed = part.exception.fillna("") != ""
        finished = part[~failed]
        table.append(
            dict(zip(by, keys, strict=True))
            | {
                "problems": len(part),
                "<=1e-2": f"{(part.gap <= 1e-2).mean():.3f}",
                "<=1e-4": f"{(part.gap <= 1e-4).mean():.3f}",
                "<=1e-6": f"{(part.gap <= 1e-6).mean():.3f}",
                "worse than constant": int((part.F > part.F0 * (1 + 1e-9) + 1e-300).sum()),
                "converged_ but > 1e-3": int((finished.converged & (finished.gap > 1e-3)).sum()),
                "not converged": int((~finished.converged).sum()),
                "Convergence-Warnings": int((part.honest > 0).sum()),
                "other warnings": int((part.other_warnings.fillna("") != "").sum()),
                "exceptions": int(failed.sum()),
                "epochs p50": f"{finished.epochs.median():.0f}",
                "p90": f"{finished.epochs.quantile(0.9):.0f}",
                "ms p50": f"{part.ms.median():.2f}",
                "ms p90": f"{part.ms.quantile(0.9):.1f}",
                "time / peer p50": f"{ratio.median():.2f} ({len(ratio)})" if len(ratio) else "-",
                "time / peer p90": f"{ratio.quantile(0.9):.1f}" if len(ratio) else "-",
            }
        )
    return pd.DataFrame(table)


def markdown(table):
    """Return a frame as a Markdown table."""
    rows = (_harness.row(*row) for row in table.itertuples(index=False))
    return "\n".join([*_harness.head(*table.columns), *rows])


def report(rows):
    """Return the whole report as Markdown."""
    rows = rows.copy()
    rows["converged"] = rows.converged.astype(str) == "True"
    rows["ours"] = rows.ours.astype(str) == "True"
    rows["group"] = pd.Categorical(rows.group, [g for g in GROUPS if g in set(rows.group)])
    rows = rows.sort_values("group", kind="stable")
    rows["group"] = rows.group.astype(str)
    rows["kind"] = np.where(rows.group.isin(SMOOTH), "smooth", "non-smooth")
    ours, peers = rows[rows.ours], rows[~rows.ours]
    baseline = _baseline(rows)
    fastest = (
        peers[(peers.gap <= 1e-4) & ~peers.method.str.startswith("Ridge (svd")]
        .sort_values("ms")
        .groupby(["data", "loss"])
        .head(1)
    )
    problems = rows.drop_duplicates(["data", "loss"])
    parts = [
        "# How far from the optimum default fits end on raw data",
        f"{len(problems)} problems over {problems.data.nunique()} data sets "
        f"({problems[problems.real.astype(str) == 'True'].data.nunique()} real), split "
        f"{', '.join(sorted(problems.split.unique()))}; alpha {ALPHA}. The gap is "
        "(F - F*) / (F0 - F*). *time / peer* is the ratio to the fastest scikit-learn estimator "
        "that reaches 1e-4 on the same problem (how many such problems in brackets).",
        "\n".join(_harness.machine()),
        "## All losses of a kind",
        markdown(summarise(ours, baseline, ("kind", "method"))),
        "## By loss",
        markdown(summarise(ours, baseline)),
    ]
    if len(peers):
        parts += [
            "## scikit-learn",
            markdown(summarise(peers, baseline)),
            "The fastest of them on each problem, among those that reach 1e-4:",
            markdown(
                pd.DataFrame(
                    [
                        {
                            "group": group,
                            "problems": len(part),
                            "ms p50": f"{part.ms.median():.2f}",
                            "ms p90": f"{part.ms.quantile(0.9):.1f}",
                            "most often": part.method.mode().iloc[0],
                        }
                        for group, part in fastest.groupby("group", sort=False)
                    ]
                )
            ),
        ]
    unsolved = ours[ours.gap > 1e-4].sort_values(["group", "data", "method"])
    parts.append(f"## Not solved to 1e-4 ({len(unsolved)} fits)")
    lines = []
    for (group, data), part in unsolved.groupby(["group", "data"], sort=False):
        size = part.iloc[0]
        listed = ", ".join(
            f"{row.method} {row.gap:.0e}{' (converged_)' if row.converged else ''}"
            for row in part.itertuples()
        )
        lines.append(f"- {group}, {data} (n={size.n}, d={size.d}, k={size.k}): {listed}")
    parts.append("\n".join(lines) or "None.")
    failed = ours.exception.fillna("") != ""
    for title, part, column in (
        ("Exceptions", ours[failed], "exception"),
        (
            "Warnings other than ConvergenceWarning",
            ours[ours.other_warnings.fillna("") != ""],
            "other_warnings",
        ),
        ("converged_ but gap > 1e-3", ours[ours.converged & (ours.gap > 1e-3)], "gap"),
        (
            "Worse than a constant",
            ours[~failed & (ours.F > ours.F0 * (1 + 1e-9) + 1e-300)],
            "gap",
        ),
        ("Below the reference, which must be wrong", rows[rows.gap < -1e-7], "gap"),
    ):
        parts.append(f"## {title} ({len(part)})")
        lines = []
        for (group, data), cell in part.groupby(["group", "data"], sort=False):
            found = dict(zip(cell.method, cell[column], strict=True))
            if column == "gap":
                found = ", ".join(f"{method} {gap:.0e}" for method, gap in found.items())
            else:
                texts = {text: [m for m in found if found[m] == text] for text in found.values()}
                found = "; ".join(f"{', '.join(m)}: {text}" for text, m in texts.items())
            lines.append(f"- {group}, {data}: {found}")
        parts.append("\n".join(lines) or "None.")
    return "\n\n".join(parts) + "\n"


def main():
    """Run the benchmark from the command line."""
    parser = _harness.parser(__doc__)
    parser.add_argument("--split", choices=("dev", "held-out", "all"), default="dev")
    parser.add_argument("--optimizer", nargs="*", default=OPTIMIZERS)
    parser.add_argument("--loss", nargs="*")
    parser.add_argument("--task", nargs="*")
    parser.add_argument("--data", nargs="*")
    parser.add_argument("--limit", type=int, help="a fixed sample of so many problems")
    parser.add_argument("--max-size", type=float, default=np.inf, help="largest n * d")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--repeats", type=int, default=1, help="fits per method; median time")
    parser.add_argument("--timeout", type=int, default=60, help="seconds per fit")
    parser.add_argument("--out", help="write one CSV row per fit")
    parser.add_argument("--markdown", help="write the report there too")
    parser.add_argument("--read", help="report on the CSV file of an earlier run")
    parser.add_argument("--package", default="sklearn_lossopt")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    rows = pd.read_csv(options.read) if options.read else run(options)
    text = report(rows)
    print(text)
    if options.markdown:
        with open(options.markdown, "w") as handle:
            handle.write(text)


if __name__ == "__main__":
    main()
