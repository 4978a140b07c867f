"""Fits on two worker processes, each on a core of its own: CPU, wall, memory, and weak scaling.

The problem is that of ``run.py``, standardised; a worker makes its own rows and keeps them. CPU is
that of a worker, the mean of them, and of this process, which is the driver and the scheduler. A
worker's memory is the largest that its process had in the fit, less what it had before, when it
held the rows. Figures are medians of rounds in which the fits take turns; dask-ml's solvers have
half of the rows, and half of the rounds.

Weak scaling gives each worker the same rows. The efficiency of two is the time of one over theirs;
both within a round. Cores are shared with whatever else runs, the driver too, so there is one by
wall and one by processor time, which is the driver's and the slower worker's: what wall would be
with a core for each. dask-ml is not among the extras. ::

    python cluster.py
    python cluster.py --rows 400000 --solvers newton --rounds 3
"""

import os
import sys
import time
from operator import getitem
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness

del sys.path[0]  # where Dask would take the folder of sparse benchmarks for a package that it knows

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster, wait
from run import COLUMNS, peer

from sklearn_lossopt.dask import DaskGradientClassifier

BLOCK = 200_000  # rows: 48 MB
STATUS = Path("/proc/self/status")
# Dask looks at what its workers do a hundred times a second, which is processor time by the clock.
QUIET = {"distributed.worker.profile.enabled": False}


def make_rows(number):
    """A block of columns and of labels."""
    coef = np.random.default_rng(0).normal(size=COLUMNS) / 2
    rng = np.random.default_rng(number + 1)
    X = rng.normal(size=(BLOCK, COLUMNS))
    return X, (X @ coef + rng.logistic(size=BLOCK) > 0).astype(int)


def pin(core):
    os.sched_setaffinity(0, {core})


def forget_peak():
    """The next ``peak`` is that from now on; returns the memory of now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes("VmRSS")


def peak():
    return _kilobytes("VmHWM")


def _kilobytes(name):
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


class Workers:
    """So many worker processes with a thread each, which hold rows.

    Parameters
    ----------
    count : int
    rows : int
        Of each worker.
    """

    def __init__(self, count, rows):
        self.cluster = LocalCluster(
            n_workers=count, threads_per_worker=1, memory_limit=0, dashboard_address=None
        )
        self.client = Client(self.cluster)
        names = sorted(self.client.scheduler_info()["workers"])
        for core, name in zip(sorted(os.sched_getaffinity(0)), names, strict=False):
            self.client.run(pin, core, workers=[name])
        blocks = count * rows // BLOCK
        places = [names[i * count // blocks] for i in range(blocks)]
        held = [
            self.client.submit(make_rows, i, workers=[place], pure=False, allow_other_workers=False)
            for i, place in enumerate(places)
        ]
        wait(held)

        def whole(part, shape, dtype):
            parts = [self.client.submit(getitem, pair, part) for pair in held]
            return da.concatenate([da.from_delayed(p, shape, dtype) for p in parts])

        self.X, self.y = whole(0, (BLOCK, COLUMNS), float), whole(1, (BLOCK,), int)
        self.X, self.y = self.client.persist([self.X, self.y])
        wait([self.X, self.y])
        held.clear()

    def measure(self, make):
        """Wall, CPU of the driver, CPU of each worker, and the most memory that a worker took
        beyond what it had, in MB; and the model."""
        before = self.client.run(forget_peak)
        workers, driver, start = self.client.run(time.process_time), *_clocks()
        model = make()
        with self.client.as_current():
            model.fit(self.X, self.y)
        there = _clocks()
        after, most = self.client.run(time.process_time), self.client.run(peak)
        spent = [after[name] - workers[name] for name in workers]
        memory = max(most[name] - before[name] for name in most) / 1024
        return there[1] - start, there[0] - driver, spent, memory, model

    def mean_loss(self, model):
        raw = self.X @ np.ravel(model.coef_) + np.ravel(model.intercept_)[0]
        loss = da.logaddexp(0, da.where(self.y == 1, -raw, raw)).mean()
        return float(self.client.compute(loss).result())

    def close(self):
        self.client.close()
        self.cluster.close()


def _clocks():
    return time.process_time(), time.perf_counter()


def ours():
    return DaskGradientClassifier(alpha=0, random_state=0)


def report(rows, solvers, rounds):
    """Lines of the page."""
    yield from _harness.opening(
        "Fits on worker processes",
        f"Log loss without a penalty, {COLUMNS} columns, blocks of {BLOCK:,} rows. Each worker has "
        "a core, which the driver shares.",
        f"Dask {dask.__version__}",
    )
    one, two = Workers(1, rows), Workers(2, rows)
    yield from weak_scaling(one, two, rows, rounds)
    one.close()
    two.close()
    two = Workers(2, rows // 2)
    yield from beside_peers(two, rows // 2, solvers, max(1, rounds // 2))
    two.close()


def beside_peers(workers, rows, solvers, rounds):
    """Lines of a table of ours and of dask-ml's solvers."""
    makers = {"DaskGradientClassifier": ours}
    makers |= {f"dask-ml, {name}": (lambda name=name: peer(name)) for name in solvers}
    found, losses = {name: [] for name in makers}, {}
    workers.measure(ours)  # warms up
    for _ in range(rounds):
        for name, make in makers.items():
            *figures, model = workers.measure(make)
            losses[name] = workers.mean_loss(model)
            found[name].append(figures)
    best = workers.measure(lambda: DaskGradientClassifier(alpha=0, tol=1e-12, random_state=0))[-1]
    least = workers.mean_loss(best)
    yield f"## {2 * rows:,} rows, two workers, medians of {rounds}"
    yield ""
    yield from _harness.head(
        "fit", "wall s", "CPU s in all", "a worker", "driver", "times ours", "MB a worker", "gap"
    )
    first = None
    for name, figures in found.items():
        wall, driver, worker, memory = np.median(
            [(w, d, np.mean(s), m) for w, d, s, m in figures], axis=0
        )
        total = np.median([d + sum(s) for _, d, s, _ in figures])
        first = first or total
        gap = (losses[name] - least) / least
        cells = f"{wall:.2f}", f"{total:.2f}", f"{worker:.2f}", f"{driver:.2f}"
        yield _harness.row(name, *cells, f"{total / first:.1f}", f"{memory:.0f}", f"{gap:.1e}")
    yield ""


def weak_scaling(one, two, rows, rounds):
    """Lines of the table of the same rows for each worker."""
    found = []
    for _ in range(rounds + 1):
        found.append([workers.measure(ours)[:3] for workers in (one, two)])
    found = found[1:]  # the first warms up
    walls = np.array([[wall for wall, *_ in pair] for pair in found])
    cores = np.array([[driver + max(spent) for _, driver, spent in pair] for pair in found])
    drivers = np.array([[driver for _, driver, _ in pair] for pair in found])
    yield f"## Weak scaling, {rows:,} rows a worker, medians of {rounds}"
    yield ""
    yield from _harness.head("workers", "wall s", "driver + slower worker, CPU s", "driver, CPU s")
    for i in range(2):
        medians = (np.median(kind[:, i]) for kind in (walls, cores, drivers))
        yield _harness.row(i + 1, *(f"{value:.2f}" for value in medians))
    shares = (_harness.spread(kind[:, 0] / kind[:, 1]) for kind in (walls, cores))
    yield _harness.row("efficiency", *shares, "")
    yield ""


def main():
    parser = _harness.parser(__doc__, script=__file__, out="cluster.md", rounds=5)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of a worker")
    parser.add_argument("--solvers", nargs="+", default=["newton", "lbfgs", "admm"])
    options = parser.parse_args()
    dask.config.set(QUIET)
    _harness.publish(report(options.rows, options.solvers, options.rounds), options.out)


if __name__ == "__main__":
    main()
