"""Time a step of a network beside scikit-learn's and PyTorch's, on one BLAS thread.

Squared error, ReLU, Adam, the same batches for all; processor time, which other processes do not
lengthen. The competitors run in turn in one process; a
ratio is the peer's time over ours in the same round, and its median and quartiles over the rounds
are reported. Beside them the time of a step's matrix products alone. Examples::

    python run.py                     # everything, writes results.md
    python run.py --rounds 3 --out -
"""

import os

for _name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import argparse
import datetime
import platform
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import sklearn
import torch
from scipy.linalg.blas import dgemm, sgemm
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from sklearn_lossopt import GradientRegressor

FOLDER = Path(__file__).resolve().parent
ROWS, COLUMNS, EPOCHS = 20_000, 50, 3
# hidden layers, batch size, ratios to reach beside scikit-learn and PyTorch
CASES = (((64,), 32, 8.0, 12.0), ((64,), 200, 3.0, 3.0), ((256, 256), 200, 1.3, 1.3))


def ours(X, y, hidden, batch):
    """Seconds of EPOCHS epochs."""
    model = GradientRegressor(
        hidden_layer_sizes=hidden, learning_rate=1e-3, schedule="constant", precondition=False,
        batch_size=batch, max_iter=EPOCHS, tol=0, random_state=0,
    )  # fmt: skip
    start = time.process_time()
    model.fit(X, y)
    return time.process_time() - start


def scikit_learn(X, y, hidden, batch):
    """Seconds of EPOCHS epochs."""
    model = MLPRegressor(
        hidden_layer_sizes=hidden, batch_size=batch, max_iter=EPOCHS, tol=0, random_state=0
    )
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return time.process_time() - start


def pytorch(X, y, hidden, batch):
    """Seconds of EPOCHS epochs of eager steps, the rows in tensors beforehand."""
    rows, targets = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    torch.manual_seed(0)
    layers = []
    for n_in, n_out in pairwise((X.shape[1], *hidden, 1)):
        layers += [torch.nn.Linear(n_in, n_out, dtype=rows.dtype), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
    start = time.process_time()
    for _ in range(EPOCHS):
        for part in torch.randperm(len(rows)).split(batch):
            adam.zero_grad()
            loss = 0.5 * (network(rows[part]) - targets[part]).square().mean()
            loss.backward()
            adam.step()
    return time.process_time() - start


def products(X, y, hidden, batch):
    """Seconds of the epochs' matrix products: two a layer and one more between layers."""
    gemm = dgemm if X.dtype == np.float64 else sgemm
    calls = []
    for layer, (n_in, n_out) in enumerate(pairwise((X.shape[1], *hidden))):
        a, w, d = (
            np.ones(shape, X.dtype, order="F")
            for shape in ((n_in, batch), (n_in, n_out), (n_out, batch))
        )
        out = [np.zeros(shape, X.dtype, order="F") for shape in (d.shape, w.shape, a.shape)]
        calls.append(lambda w=w, a=a, c=out[0]: gemm(1, w, a, 0, c, trans_a=1, overwrite_c=1))
        calls.append(lambda a=a, d=d, c=out[1]: gemm(1, a, d, 0, c, trans_b=1, overwrite_c=1))
        if layer:
            calls.append(lambda w=w, d=d, c=out[2]: gemm(1, w, d, 0, c, overwrite_c=1))
    start = time.process_time()
    for _ in range(EPOCHS * (len(X) // batch)):
        for call in calls:
            call()
    return time.process_time() - start


def quartiles(values):
    """Median and quartiles as text."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.1f} ({low:.1f} - {high:.1f})"


def main():
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", default=str(FOLDER / "results.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    lines = [
        "| hidden | batch | dtype | us a step | products alone | beside MLPRegressor | wanted | "
        "beside PyTorch | wanted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for hidden, batch, *wanted in CASES:
        for dtype in (np.float64, np.float32):
            X = rng.normal(size=(ROWS, COLUMNS)).astype(dtype)
            y = np.sin(X[:, 0]) + X[:, 1].astype(dtype)
            times = []
            for _ in range(arguments.rounds + 1):
                times.append(
                    [run(X, y, hidden, batch) for run in (ours, scikit_learn, pytorch, products)]
                )
            times = np.array(times[1:])
            steps = EPOCHS * ROWS / batch
            ratios = times / times[:, :1]
            lines.append(
                f"| {hidden} | {batch} | {np.dtype(dtype).name} | "
                f"{np.median(times[:, 0]) / steps * 1e6:.0f} | "
                f"{np.median(times[:, 3]) / steps * 1e6:.0f} | {quartiles(ratios[:, 1])} | "
                f"{wanted[0]} | {quartiles(ratios[:, 2])} | {wanted[1]} |"
            )
            print(lines[-1], flush=True)
    head = [
        "# A network's step beside scikit-learn's and PyTorch's",
        "",
        f"Written by `run.py` on {datetime.date.today()}: {ROWS} x {COLUMNS}, Adam, ReLU, squared "
        f"error, one thread; {platform.processor() or platform.machine()}, Python "
        f"{platform.python_version()}, scikit-learn {sklearn.__version__}, PyTorch "
        f"{torch.__version__}. Median and quartiles of {arguments.rounds} rounds.",
        "",
    ]
    text = "\n".join([*head, *lines]) + "\n"
    if arguments.out == "-":
        print(text)
    else:
        Path(arguments.out).write_text(text)


if __name__ == "__main__":
    main()
