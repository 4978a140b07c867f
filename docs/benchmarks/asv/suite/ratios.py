"""The benchmarks that asv follows; ``run.py`` beside this folder makes them.

Each is a process of its own: asv imports NumPy, which reads the number of threads once.
"""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "run.py"


class Ratio:
    """Our time over that of scikit-learn; asv reads the attributes."""

    params = ("ridge", "logistic", "epoch", "hinge", "network", "search")
    param_names = ("work",)
    unit = "of the peer's time"
    timeout = 600

    def track_ratio(self, work):
        done = subprocess.run(
            [sys.executable, SCRIPT, work], check=True, capture_output=True, text=True
        )
        return float(done.stdout)
