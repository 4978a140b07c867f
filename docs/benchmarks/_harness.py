"""What the benchmarks share: threads, arguments, timing in turn, tables and reports.

A script in a folder beside this file begins with ::

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import _harness  # before NumPy, whose libraries read the number of threads

Competitors run in turn in one process, so that a machine that slows down slows all of them. A ratio
is formed within a round; a table shows the median and the quartiles over the rounds.
"""

import os
import sys

if "numpy" in sys.modules:
    raise ImportError("import _harness before NumPy, which reads the number of threads once")
THREADS = 1
for _name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = str(THREADS)

import argparse
import datetime
import gc
import importlib
import platform
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt._engine import Trainer

LONGEST = 51  # rounds of work that is short


def parser(doc, *, script=None, out="results.md", rounds=None):
    """Return an argument parser with the script's docstring and the options that all have.

    Parameters
    ----------
    doc : str
        The script's docstring.
    script : str or None
        The script's ``__file__``, for a script that writes a report: it gets ``--out``.
    out : str
        Name of the report in the script's folder.
    rounds : int or None
        Default of ``--rounds``, for a script that has rounds.
    """
    found = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if script is not None:
        target = str(Path(script).with_name(out))
        found.add_argument("--out", default=target, help="the report's file; - for none")
    if rounds is not None:
        found.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    return found


def sibling(folder, module):
    """Import a module of another benchmark's folder."""
    sys.path.insert(0, str(Path(__file__).with_name(folder)))
    return importlib.import_module(module)


# Timing -------------------------------------------------------------------------------------------


def timed(work, clock=time.process_time):
    """Return the seconds that one call takes, with the garbage collector off as in timeit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        gc.disable()
        start = clock()
        work()
        seconds = clock() - start
        gc.enable()
    return seconds


def in_turn(*work, rounds, budget=0.0, clock=time.process_time):
    """Run competitors in turn, after a round that does not count.

    Parameters
    ----------
    *work : callable
        Called without arguments.
    rounds : int
        Least number of rounds.
    budget : float
        Short work goes on for so many seconds.
    clock : callable
        What is read before and after; processor time is not lengthened by other processes.

    Returns
    -------
    ndarray of shape (rounds, len(work))
        Seconds.
    """
    for call in work:
        timed(call, clock)
    gc.collect()
    found, begin = [], time.perf_counter()
    while len(found) < rounds or (len(found) < LONGEST and time.perf_counter() - begin < budget):
        found.append([timed(call, clock) for call in work])
    return np.array(found)


# Tables -------------------------------------------------------------------------------------------


def spread(ratios, digits=2):
    """Return the median of the rounds' ratios and their quartiles as text."""
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"**{middle:.{digits}f}** ({low:.{digits}f} to {high:.{digits}f})"


def verdict(reached, goal):
    """Return the text of a cell that says what was asked and whether it was reached."""
    if goal is None:
        return ""
    return f"{goal:g} {'reached' if reached >= goal else '**missed**'}"


def duration(seconds):
    """Return seconds as text with a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.0f} µs"


def row(*cells):
    """Return a line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*columns):
    """Return the two lines that a Markdown table begins with."""
    return [row(*columns), "|" + " --- |" * len(columns)]


# Reports ------------------------------------------------------------------------------------------


def load():
    """Return the one-minute load average, which says how quiet the machine is."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "?"


def machine():
    """Return the facts of machine and software that a figure depends on, as Markdown lines."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = lines[0].partition(":")[2].strip() if lines else processor
    versions = [f"Python {platform.python_version()}"]
    for name in ("sklearn-lossopt", "scikit-learn", "numpy", "scipy", "torch"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    return [
        f"- {datetime.date.today()}; {processor}, {os.cpu_count()} cores; {platform.system()}",
        f"- {'; '.join(versions)}; engine {Trainer.__module__.rpartition('.')[2]}",
        f"- {THREADS} thread for BLAS and OpenMP; load average {load()} before",
    ]


def opening(title, text, *remarks):
    """Return the lines that a report begins with."""
    script = Path(sys.argv[0]).name
    return [
        f"# {title}", "", f"Written by `{script}`; do not edit. {text}", "",
        *machine(), *(f"- {remark}" for remark in remarks), "",
    ]  # fmt: skip


def beside_peers(losses):
    """Return the lines that a report on default fits beside scikit-learn's begins with."""
    title = f"Default fits of {losses} beside scikit-learn's estimators"
    text = (
        "Processor time, medians; the ratio is the peer's time over ours, with quartiles over the "
        "rounds; the gap is how far F lies above the optimum, as a part of it."
    )
    columns = "data", "loss", "peer", "ours", "peer's", "ratio", "our gap", "its gap"
    return [*opening(title, text), *head(*columns)]


def publish(lines, out="-"):
    """Print the lines of a report as they come, and write them to a file unless it is ``-``."""
    start, found = time.perf_counter(), []

    for line in lines:
        print(line, flush=True)
        found.append(line)
    took = f"Took {(time.perf_counter() - start) / 60:.1f} minutes; load average {load()} after."
    print("", took, sep="\n")
    if out != "-":
        text = "\n".join(found).rstrip()
        Path(out).write_text(f"{text}\n\n{took}\n", encoding="utf-8")
