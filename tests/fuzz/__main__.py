"""Fuzz the estimators and report each kind of failure with a line that repeats it.

    python tests/fuzz --cases 20000 --seed 1 --jobs 2
    python tests/fuzz --case '{"task": "regression", "loss": "huber", "optimizer": "adam"}'

Each case runs in a process that may crash or hang. Failing cases are made smaller: each setting
goes back to its simplest value if the failure stays.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")
sys.path[0] = str(Path(__file__).resolve().parents[1])

from fuzz.cases import CHOICES, draw, legal
from fuzz.oracles import check
from fuzz.workers import Worker, run_all

SMALLER = 40  # runs that making a case smaller may take
SHOWN = 3  # cases that are shown of each kind of failure, the first of them made smaller


def smaller(case, kind, worker):
    """A case with fewer settings that fails in the same way."""
    names = sorted(case.keys() & CHOICES.keys(), key=list(CHOICES).index)
    for name in names[:SMALLER]:
        tried = legal({key: value for key, value in case.items() if key != name})
        if any(found == kind for found, _ in worker.run(tried)[0]):
            case = tried
    return case


def report(failures, refusals, total, seconds):
    """Print kinds of failures, most frequent first, with their smallest cases."""
    worker = Worker(seconds)
    print(f"\n{total} cases, {len(failures)} kinds of failures")
    for kind, examples in sorted(failures.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(examples)} x {kind}")
        shortest = sorted(examples, key=lambda example: len(example[0]))[:SHOWN]
        for number, (case, text) in enumerate(shortest):
            case = case if number else smaller(case, kind, worker)
            print(f"    python tests/fuzz --case '{json.dumps(case)}'\n        {text}", flush=True)
    worker.process.terminate()
    print("\nrefused:")
    for refusal, count in refusals.most_common(40):
        print(f"    {count} x {refusal}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seconds", type=float, default=20.0, help="of processor time per case")
    parser.add_argument("--case", type=json.loads, help="only this one, in this process")
    options = parser.parse_args()
    if options.case:
        found, refusal = check(options.case, options.seconds)
        print(*(f"{kind}: {text}" for kind, text in found), sep="\n")
        print("refused:" if refusal else "accepted", refusal or "")
        return bool(found)
    failures, refusals = defaultdict(list), Counter()
    todo = draw(options.cases, options.seed)
    for case, found, refusal in run_all(todo, options.jobs, options.seconds):
        refusals[refusal] += refusal is not None
        for kind, text in found:
            if kind not in failures:
                print(f"{kind}: {text}\n    {json.dumps(case)}", flush=True)
            failures[kind].append((case, text))
    report(failures, +refusals, len(todo), options.seconds)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
