"""Time the fit of rows in blocks beside dask-ml's solvers: CPU, passes and the gap that is left.

The problem is the log loss of two classes without a penalty, on raw columns, whose sizes span four
orders of magnitude, and on the same standardised. All fits run on Dask's synchronous scheduler in
this process, so that its CPU time is that of everything. A pass is one computation of Dask. The gap
is the mean log loss above that of a fit with tol=1e-12, over that. A solver that raises an error
says which. It needs dask-ml, which is not among the extras. ::

    python run.py
    python run.py --rows 200000 --solvers newton lbfgs
"""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

del sys.path[0]  # where Dask would take the folder of sparse benchmarks for a package that it knows

import dask
import dask.array as da
import numpy as np
from dask.callbacks import Callback

from sklearn_lossopt.dask import DaskGradientClassifier

COLUMNS, BLOCK = 30, 50_000


class Passes(Callback):
    """Counts computations."""

    def __init__(self):
        super().__init__(start=self._count)
        self.count = 0

    def _count(self, graph):
        self.count += 1


def problem(rows, raw):
    """Blocks in memory, and the arrays that they are of."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, COLUMNS))
    y = (X @ (rng.normal(size=COLUMNS) / 2) + rng.logistic(size=rows) > 0).astype(int)
    if raw:
        X = X * 10 ** rng.uniform(-2, 2, COLUMNS) + rng.normal(size=COLUMNS)
    return da.from_array(X, chunks=(BLOCK, COLUMNS)), da.from_array(y, chunks=BLOCK), X, y


def peer(solver):
    """dask-ml's estimator, as good as without a penalty."""
    from dask_ml.linear_model import LogisticRegression

    return LogisticRegression(solver=solver, C=1e10)


def mean_loss(model, X, y):
    raw = X @ np.ravel(model.coef_) + np.ravel(model.intercept_)[0]
    return float(np.mean(np.logaddexp(0, np.where(y == 1, -raw, raw))))


def measure(make, X, y, rounds):
    """The least CPU seconds of some fits, the passes of one, and the last model or its error."""
    seconds, passes, model = [], 0, None
    for _ in range(rounds):
        model = make()
        with Passes() as counter:
            try:
                seconds.append(_harness.timed(lambda model=model: model.fit(X, y)))
            except Exception as error:
                return None, 0, error
        passes = counter.count
    return min(seconds), passes, model


def report(rows, solvers, rounds):
    """Lines of the page."""
    yield from _harness.opening(
        "Rows in blocks beside dask-ml",
        "CPU seconds on Dask's synchronous scheduler; a pass is one computation of Dask; the gap "
        "is the mean log loss above its minimum, over that.",
        f"Dask {dask.__version__}, dask-ml {version('dask-ml')}, dask-glm {version('dask-glm')}",
    )
    for raw in (True, False):
        X, y, rows_in_memory, labels = problem(rows, raw)
        best = DaskGradientClassifier(alpha=0, tol=1e-12, random_state=0).fit(X, y)
        least = mean_loss(best, rows_in_memory, labels)
        kind = "raw columns" if raw else "standardised columns"
        yield f"## {rows:,} x {COLUMNS}, {kind}"
        yield ""
        yield from _harness.head("fit", "CPU s", "passes", "gap", "times the first")
        makers = {"DaskGradientClassifier": lambda: DaskGradientClassifier(alpha=0, random_state=0)}
        makers |= {f"dask-ml, {name}": (lambda name=name: peer(name)) for name in solvers}
        first = None
        for name, make in makers.items():
            seconds, passes, model = measure(make, X, y, rounds)
            if seconds is None:
                yield _harness.row(name, "", "", f"{type(model).__name__}: {model}"[:80], "")
                continue
            first = first or seconds
            gap = (mean_loss(model, rows_in_memory, labels) - least) / least
            cells = f"{seconds:.2f}", passes, f"{gap:.1e}", f"{seconds / first:.1f}"
            yield _harness.row(name, *cells)
        yield ""


def main():
    parser = _harness.parser(__doc__, script=__file__, rounds=2)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--solvers", nargs="+", default=["newton", "lbfgs", "admm"])
    options = parser.parse_args()
    with dask.config.set(scheduler="synchronous"):
        lines = report(options.rows, options.solvers, options.rounds)
        _harness.publish(lines, options.out)


if __name__ == "__main__":
    main()
