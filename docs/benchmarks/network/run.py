"""Time a step of a network beside scikit-learn's and PyTorch's.

Squared error, ReLU, Adam, the same batches for all. A ratio is the peer's processor time over ours
in the same round. Beside them the time of a step's matrix products alone. Examples::

    python run.py                     # everything, writes results.md
    python run.py --rounds 3 --cases 1 --out -
"""

import sys
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy.linalg.blas import dgemm, sgemm
from sklearn.neural_network import MLPRegressor

from sklearn_lossopt import GradientRegressor

try:
    import torch
except ImportError:
    torch = None

ROWS, COLUMNS, EPOCHS = 20_000, 50, 3
# hidden layers, batch size, ratios to reach beside scikit-learn and PyTorch
CASES = (((64,), 32, 8.0, 12.0), ((64,), 200, 3.0, 3.0), ((256, 256), 200, 1.3, 1.3))


def ours(X, y, hidden, batch):
    """Return a function that trains for EPOCHS epochs."""
    model = GradientRegressor(
        hidden_layer_sizes=hidden, learning_rate=1e-3, schedule="constant", precondition=False,
        batch_size=batch, max_iter=EPOCHS, tol=0, random_state=0,
    )  # fmt: skip
    return lambda: model.fit(X, y)


def scikit_learn(X, y, hidden, batch):
    """Return a function that trains for EPOCHS epochs."""
    model = MLPRegressor(
        hidden_layer_sizes=hidden, batch_size=batch, max_iter=EPOCHS, tol=0, random_state=0
    )
    return lambda: model.fit(X, y)


def pytorch(X, y, hidden, batch):
    """Return a function that trains for EPOCHS epochs of eager steps, the rows in tensors."""
    torch.set_num_threads(_harness.THREADS)
    torch.manual_seed(0)
    rows, targets = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    layers = []
    for n_in, n_out in pairwise((X.shape[1], *hidden, 1)):
        layers += [torch.nn.Linear(n_in, n_out, dtype=rows.dtype), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)

    def train():
        for _ in range(EPOCHS):
            for part in torch.randperm(len(rows)).split(batch):
                adam.zero_grad()
                loss = 0.5 * (network(rows[part]) - targets[part]).square().mean()
                loss.backward()
                adam.step()

    return train


def products(X, y, hidden, batch):
    """Return a function that does the epochs' matrix products: two per layer, one between two."""
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

    def multiply():
        for _ in range(EPOCHS * (len(X) // batch)):
            for call in calls:
                call()

    return multiply


def report(options):
    """Yield the lines of results.md."""
    yield from _harness.opening(
        "A network's step beside scikit-learn's and PyTorch's",
        f"{ROWS:,} x {COLUMNS}, Adam, ReLU, squared error. Median and quartiles of "
        f"{options.rounds} rounds; processor times.",
    )
    yield from _harness.head(
        "hidden", "batch", "dtype", "µs per step", "products alone", "beside MLPRegressor",
        "wanted", "beside PyTorch", "wanted",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    makers = [ours, products, scikit_learn, *([pytorch] if torch else [])]
    for hidden, batch, *wanted in CASES[: options.cases]:
        for dtype in (np.float64, np.float32):
            X = rng.normal(size=(ROWS, COLUMNS)).astype(dtype)
            y = np.sin(X[:, 0]) + X[:, 1].astype(dtype)
            work = [make(X, y, hidden, batch) for make in makers]
            seconds = _harness.in_turn(*work, rounds=options.rounds)
            step = np.median(seconds, axis=0) / (EPOCHS * ROWS / batch) * 1e6
            cells = [_harness.spread(seconds[:, i] / seconds[:, 0], 1) for i in range(2, len(work))]
            cells += ["no torch"] * (2 - len(cells))
            yield _harness.row(
                hidden, batch, np.dtype(dtype).name, *(f"{each:.0f}" for each in step[:2]),
                cells[0], wanted[0], cells[1], wanted[1],
            )  # fmt: skip


if __name__ == "__main__":
    parser = _harness.parser(__doc__, script=__file__, rounds=7)
    parser.add_argument("--cases", type=int, default=len(CASES), help="only the first so many")
    options = parser.parse_args()
    _harness.publish(report(options), options.out)
