"""A fit needs a tenth of its data, and a constant, beyond the data."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from sklearn_lossopt._estimators.validation_split import set_aside

# The peak before the fit is that of a small fit, so that code and buffers of libraries are loaded.
SCRIPT = """
import resource, sys, warnings
import numpy as np
from sklearn_lossopt import GradientClassifier, GradientRegressor

warnings.simplefilter("ignore")
n, d, dtype, classes, weighted, settings = {case!r}
rng = np.random.default_rng(0)
X = np.empty((n, d), dtype)
rng.standard_normal(out=X, dtype=X.dtype)
score = X[:, 0] + 0.1 * X[:, 1]
if classes:
    model = GradientClassifier(random_state=0, **settings)
    edges = np.linspace(-1.5, 1.5, classes - 1) if classes > 2 else [0]
    y = np.searchsorted(edges, score)
    small = np.arange(1000) % classes
else:
    model = GradientRegressor(random_state=0, **settings)
    y, small = score, score[:1000]
weight = rng.uniform(0.5, 2, size=n) if weighted else None
model.fit(X[:1000], small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(X, y, sample_weight=weight)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert model.score(X[:1000], y[:1000]) > 0
print((after - before) * (1 if sys.platform == "darwin" else 1024), X.nbytes)
"""
TEXTBOOK = {
    "precondition": False, "schedule": "constant", "learning_rate": 0.01, "tol": 0, "max_iter": 2,
}  # fmt: skip
CASES = {
    "regressor, weighted": (500_000, 50, "float64", 0, True, {"max_iter": 3}),
    "binary, balanced": (
        500_000, 50, "float64", 2, True, {"class_weight": "balanced", "max_iter": 3},
    ),
    "ten classes, hinge": (500_000, 50, "float64", 10, False, {"loss": "hinge", "max_iter": 3}),
    "ten classes, textbook": (500_000, 50, "float64", 10, False, TEXTBOOK),
    "float32": (1_000_000, 50, "float32", 2, False, {"max_iter": 3}),
    "early stopping, ten classes": (
        500_000, 50, "float64", 10, True,
        {"max_iter": 3, "early_stopping": True, "class_weight": "balanced"},
    ),
    "early stopping, network": (
        2_500_000, 20, "float32", 0, False,
        {"max_iter": 1, "early_stopping": True, "hidden_layer_sizes": (2,), "batch_size": 10_000},
    ),
    "wide": (30_000, 800, "float64", 2, False, {"max_iter": 3}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_fit_needs_little_memory_besides_its_data(case):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(case=CASES[case])], env=os.environ,
        stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    increase, size = map(int, done.stdout.split())
    assert size > 190e6
    assert increase <= 0.1 * size + 50e6, f"{increase / 1e6:.0f} MB on {size / 1e6:.0f} MB"


def test_rows_are_set_aside_with_a_few_bytes_for_each():
    """Keys, a copy of them, flags and the indices returned; hashes of all rows would be more."""
    X = np.random.default_rng(0).standard_normal((300_000, 3), np.float32)
    set_aside(X[:10], None, None, None, 0.1, 0)
    tracemalloc.start()
    set_aside(X, None, None, None, 0.1, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * len(X) + 6e6


MAPPED = """
import sys
from pathlib import Path
from threading import Event, Thread
import numpy as np
from sklearn_lossopt import GradientClassifier

def anonymous():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])

path = Path(sys.argv[1])
rng = np.random.default_rng(0)
X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(150_000, 50))
for start in range(0, 150_000, 10_000):
    X[start : start + 10_000] = rng.normal(size=(10_000, 50))
X.flush()
y = (X[:, 0] + rng.normal(size=150_000) > 0).astype(np.int8)
X = np.load(path, mmap_mode="r")
model = GradientClassifier(random_state=0, **{settings!r})
model.fit(X[:1000], y[:1000])
before, most, done = anonymous(), 0, Event()

def look():
    global most
    while not done.wait(0.001):
        most = max(most, anonymous() - before)

watcher = Thread(target=look)
watcher.start()
model.fit(X, y)
done.set()
watcher.join()
assert model.score(X[:1000], y[:1000]) > 0.6
print(most, X.nbytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")
@pytest.mark.parametrize("settings", [{"max_iter": 3, "tol": 0}, TEXTBOOK])
def test_a_mapped_file_is_not_copied(settings, tmp_path):
    """Of 60 MB, what is held besides pages of the file are targets, order and the sample."""
    done = subprocess.run(
        [sys.executable, "-c", MAPPED.format(settings=settings), tmp_path / "X.npy"],
        env=os.environ, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    held, size = map(int, done.stdout.split())
    assert 0 < held < (20e6 if settings is TEXTBOOK else 45e6) < size
