"""The scripts of docs/benchmarks import what is there and say what they do; their harness."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
SCRIPTS = [path for path in sorted(BENCHMARKS.glob("*/*.py")) if "__main__" in path.read_text()]


def python(code, *arguments):
    """Standard output of code in a process of its own, where NumPy is not yet imported."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scripts_import_what_is_there():
    code = """
import runpy, sys
from pathlib import Path
path = list(sys.path)
for script in sys.argv[1:]:
    sys.path[:] = [str(Path(script).parent), *path]
    print(script)
    runpy.run_path(script)
"""
    assert len(SCRIPTS) >= 10
    assert python(code, *SCRIPTS).split() == [str(script) for script in SCRIPTS]


def test_what_asv_follows_runs(monkeypatch):
    folder = BENCHMARKS / "asv"
    config = json.loads((folder / "asv.conf.json").read_text())
    monkeypatch.syspath_prepend(folder / config["benchmark_dir"])
    names = importlib.import_module("ratios").Ratio.params
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], None, '__main__')"
    )
    printed = python(code, folder / "run.py", *names, "--size", 200, "--rounds", 1)
    found = [float(text) for text in printed.split()]
    assert len(found) == len(names) and all(0 < ratio < 1000 for ratio in found)


HARNESS = """
import sys, json
sys.path.insert(0, sys.argv[1])
import _harness
import numpy as np
from threadpoolctl import threadpool_info

calls = []
seconds = _harness.in_turn(
    lambda: calls.append("a"), lambda: calls.append("b"), rounds=3, clock=iter(range(99)).__next__
)
_harness.publish(iter([*_harness.head("x", "y"), _harness.row(1, 2.5), ""]), sys.argv[2])
found = {
    "calls": "".join(calls),
    "seconds": seconds.tolist(),
    "spread": _harness.spread([1, 2, 3, 4, 5], 1),
    "verdicts": [_harness.verdict(2, 2), _harness.verdict(1.9, 2), _harness.verdict(1, None)],
    "durations": [_harness.duration(s) for s in (2.0, 0.00312, 4e-6)],
    "threads": max(library["num_threads"] for library in threadpool_info()),
}
print("FOUND" + json.dumps(found))
"""


def test_the_harness_runs_in_turn_on_one_thread_and_writes_what_it_prints(tmp_path):
    printed, _, found = python(HARNESS, BENCHMARKS, tmp_path / "report.md").rpartition("FOUND")
    found = json.loads(found)
    assert found["calls"] == "ab" * 4  # the first round does not count
    assert found["seconds"] == [[1, 1]] * 3
    assert found["spread"] == "**3.0** (2.0 to 4.0)"
    assert found["verdicts"] == ["2 reached", "2 **missed**", ""]
    assert found["durations"] == ["2 s", "3.12 ms", "4 µs"]
    assert found["threads"] == 1
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert report.startswith("| x | y |\n| --- | --- |\n| 1 | 2.5 |\n\nTook 0.0 minutes")
    assert printed.split() == report.split()


def test_the_harness_comes_before_numpy():
    """Or the number of threads would not be read."""
    code = "import sys, numpy; sys.path.insert(0, sys.argv[1]); import _harness"
    done = subprocess.run([sys.executable, "-c", code, BENCHMARKS], capture_output=True, text=True)
    assert "ImportError: import _harness before NumPy" in done.stderr
