"""Networks on rows in blocks beside the plain fit, at equal epochs: their losses.

Two real tables of ``benchmarks/optimum`` (install its ``requirements.txt``), in random order and in
float32; targets that are numbers are divided by their standard deviation. The loss is the mean of
the log loss, or of half the squared error, without the penalty; of the rows trained on, and of all
others. Blocks are in this process: what is measured does not depend on the engine. ::

    python networks.py
    python networks.py --tables magic --seeds 3 --blocks 16
"""

import sys
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from sklearn.metrics import log_loss

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt._partitions import networks
from sklearn_lossopt._partitions.fitting import fit_blocks
from sklearn_lossopt._partitions.protocol import ListPartitions
from sklearn_lossopt._partitions.rows import Block

CATALOGUE = _harness.sibling("optimum", "datasets").CATALOGUE
MOST_ROWS, EPOCHS, UNITS = 20_000, 50, 64


def split(table):
    """Rows to train on, and all others."""
    X, y = table.load()
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order].astype(np.float32), y[order]
    if table.task == "regression":
        y = (y / y.std()).astype(np.float32)
    size = min(int(0.8 * len(y)), MOST_ROWS)
    return (X[:size], y[:size]), (X[size:], y[size:])


def mean_loss(model, X, y):
    if hasattr(model, "classes_"):
        return log_loss(y, model.predict_proba(X), labels=model.classes_)
    return float(np.mean((model.predict(X) - y) ** 2) / 2)


def fit(table, X, y, blocks, seed):
    """A network fitted plainly for no blocks, or to so many."""
    kind = GradientRegressor if table.task == "regression" else GradientClassifier
    model = kind(hidden_layer_sizes=UNITS, max_iter=EPOCHS, random_state=seed)
    if not blocks:
        return model.fit(X, y)
    parts = np.array_split(np.arange(len(y)), blocks)
    held = ListPartitions.of([Block(i, X[part], y[part]) for i, part in enumerate(parts)])
    return fit_blocks(model, held, sample_entries=5000)


def report(tables, counts, seeds):
    """Lines of the page."""
    yield from _harness.opening(
        "Networks on rows in blocks",
        f"Mean losses of {UNITS} units after {EPOCHS} epochs, means of {seeds} seeds.",
    )
    for name in tables:
        table = CATALOGUE[name]
        train, rest = split(table)
        yield f"## {name}, {len(train[1]):,} rows"
        yield ""
        yield from _harness.head("blocks", "outer step", "these rows", "other rows")
        for blocks in (0, *counts):
            for outer in (networks.OUTER_MOMENTUM, 0) if blocks > networks.ROUNDS else (0,):
                with patch.object(networks, "OUTER_MOMENTUM", outer):
                    models = [fit(table, *train, blocks, seed) for seed in range(seeds)]
                cells = [np.mean([mean_loss(m, *data) for m in models]) for data in (train, rest)]
                said = "yes" if outer else "no"
                yield _harness.row(blocks or "plain fit", said, *(f"{x:.4f}" for x in cells))
        yield ""


def main():
    parser = _harness.parser(__doc__, script=__file__, out="networks.md")
    parser.add_argument("--tables", nargs="+", default=["letter", "diamonds"])
    parser.add_argument("--blocks", nargs="+", type=int, default=[8, 16, 40, 160])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    _harness.publish(report(options.tables, options.blocks, options.seeds), options.out)


if __name__ == "__main__":
    main()
