"""Fits on a memory-mapped array that is larger than what they may hold: memory and time.

    python docs/benchmarks/streams/run.py
    python docs/benchmarks/streams/run.py --size 0.1 --directory /tmp

Writes a float64 array of so many GB, maps it, and fits. Each fit runs in a process of its own;
"memory" is the most that it held besides pages of the file: RssAnon of /proc (Linux).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np

from sklearn_lossopt import GradientClassifier

COLUMNS = 50
TEXTBOOK = {
    "precondition": False, "schedule": "constant", "learning_rate": 0.01, "tol": 0, "max_iter": 3,
}  # fmt: skip
CASES = {
    "fit, default settings": {"max_iter": 10},
    "fit, default settings, shuffle=False": {"max_iter": 10, "shuffle": False},
    "fit, textbook, 3 epochs": TEXTBOOK,
    "partial_fit, default settings, chunks of 100,000 rows": None,
}


def write(path, n):
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(n, COLUMNS))
    rng = np.random.default_rng(0)
    y = np.empty(n, np.int8)
    for start in range(0, n, 100_000):
        part = rng.standard_normal((min(100_000, n - start), COLUMNS))
        score = part @ np.linspace(-0.3, 0.3, COLUMNS) + rng.logistic(size=len(part))
        y[start : start + len(part)] = score > 0
        X[start : start + len(part)] = part * np.logspace(-2, 3, COLUMNS) + 10
    X.flush()
    np.save(path.with_name("y.npy"), y)


def anonymous():
    """Bytes held besides pages of files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon here")


def measure(directory, name):
    """Most memory during one case, by a thread that looks, and its time."""
    X = np.load(Path(directory) / "X.npy", mmap_mode="r")
    y = np.load(Path(directory) / "y.npy")
    GradientClassifier(max_iter=2, tol=0).fit(X[:1000], y[:1000])
    before, most, done = anonymous(), [0], Event()

    def look():
        while not done.wait(0.01):
            most[0] = max(most[0], anonymous() - before)

    watcher = Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    model = GradientClassifier(random_state=0)
    if CASES[name] is None:
        for first in range(0, len(X), 100_000):
            part = slice(first, first + 100_000)
            model.partial_fit(X[part], y[part], classes=[0, 1])
    else:
        model.set_params(**CASES[name]).fit(X, y)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    score = model.score(X[:100_000], y[:100_000])
    cells = name, model.n_iter_, f"{seconds:.0f} s", f"{most[0] / 1e6:.0f} MB", f"{score:.4f}"
    print(_harness.row(*cells))


def report(options):
    yield from _harness.opening(
        "Memory of streams", f"{options.size:g} GB, {COLUMNS} columns; times are rough."
    )
    yield from _harness.head("", "epochs or calls", "time", "memory", "accuracy")
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        write(Path(directory) / "X.npy", int(options.size * 1e9 / 8 / COLUMNS))
        for name in CASES:
            command = [sys.executable, __file__, "--case", directory, name]
            yield subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout[:-1]


if __name__ == "__main__":
    parser = _harness.parser(__doc__)
    parser.add_argument("--size", type=float, default=5.0, help="GB; default 5")
    parser.add_argument("--directory", help="where the file is; default the system's for such")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        measure(*options.case)
    else:
        _harness.publish(report(options))
