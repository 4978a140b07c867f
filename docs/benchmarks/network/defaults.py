"""Default networks beside scikit-learn's, on raw tables: held-out scores, paired.

The tables are those of ``benchmarks/optimum`` (install its ``requirements.txt``), as they come. All
have one hidden layer of 100 units, the default of ``MLPRegressor`` and ``MLPClassifier``, and every
other parameter at its default. Scores are R^2 (at least -1) and accuracy on a quarter of the rows,
of the same splits for all. Examples::

    python defaults.py                      # everything, writes defaults.md
    python defaults.py --split dev --out -  # the tables that defaults were chosen on
"""

import os

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import argparse
import datetime
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "optimum"))
from datasets import CATALOGUE

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


def tables(split):
    """Real tables of some size, in the order of their names."""
    for name, entry in sorted(CATALOGUE.items()):
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


def main():
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", default="all", choices=["all", "dev", "held-out"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--out", default=str(FOLDER / "defaults.md"))
    arguments = parser.parse_args()
    names = ["ours", "mlp_scaled", "mlp_raw", "mlp_both_scaled"]
    lines = [
        "| table | task | rows x columns | ours | scaled MLP | raw MLP | X and y scaled MLP | "
        "beside scaled | beside raw | seconds, ours / scaled |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    counts = {name: {} for name in names[1:]}
    for name, entry, X, y in tables(arguments.split):
        scores, seconds = measure(entry, X, y, names, arguments.splits)
        others = [rival for rival in scores if rival != "ours"]
        said = {rival: verdict(scores["ours"], scores[rival]) for rival in others}
        for rival, word in said.items():
            counts[rival][word] = counts[rival].get(word, 0) + 1
        cells = [f"{scores[rival].mean():.3f}" if rival in scores else "" for rival in names]
        lines.append(
            f"| {name} ({entry.split}) | {entry.task} | {X.shape[0]} x {X.shape[1]} | "
            + " | ".join(cells)
            + f" | {said['mlp_scaled']} | {said['mlp_raw']} | "
            f"{seconds['ours']:.1f} / {seconds['mlp_scaled']:.1f} |"
        )
        print(lines[-1], flush=True)
    total = {rival: f"{rival}: {found}" for rival, found in counts.items()}
    head = [
        "# Default networks beside scikit-learn's",
        "",
        f"Written by `defaults.py` on {datetime.date.today()}, scikit-learn {sklearn.__version__}, "
        f"{arguments.splits} splits. Ours beside:",
        "",
        *(f"- {text}" for text in total.values()),
        "",
    ]
    text = "\n".join([*head, *lines]) + "\n"
    if arguments.out == "-":
        print(text)
    else:
        Path(arguments.out).write_text(text)


if __name__ == "__main__":
    main()
