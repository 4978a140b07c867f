"""Time the package beside scikit-learn and PyTorch doing the same work.

Each pair of competitors runs in turn. A ratio is the peer's time over ours in the same round, so
above 1 ours is the faster one; its median and quartiles over the rounds are reported. Examples::

    python run.py                                     # everything, writes results.md
    python run.py --sections epochs --losses log_loss --dtypes float64 --out -
    python run.py --profile small                     # where a 2,000 x 20 fit's fixed cost goes
"""

import argparse
import contextlib
import itertools
import subprocess
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from profiling import PROFILES, profile
from sklearn import datasets, linear_model, svm
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses

ALPHA = 1e-4
RATE = 0.01
DELTA = 1.35
SMALL, LARGE = (2_000, 20), (200_000, 50)
# Epochs compared on each size: short runs show the fixed cost of a fit, long ones the loop's.
EPOCHS = {SMALL: (5, 20, 100), LARGE: (5,)}
# Ratios that log_loss must reach in textbook mode: (optimizer, size, dtype).
TARGETS = {
    ("sgd", LARGE, "float64"): 2.0,
    ("sgd", SMALL, "float64"): 4.0,
    ("adam", LARGE, "float64"): 4.0,
    ("adam", LARGE, "float32"): 6.0,
    ("adam", SMALL, "float64"): 10.0,
}
# At most twice LogisticRegression's time on iris.
TARGET_IRIS = 0.5
# Peak memory of a fit: at most 1.1 times the array plus 50 MB, the array included.
TARGET_MEMORY = 0.1, 50e6
MODES = {
    "textbook": {"precondition": False, "learning_rate": RATE},
    "preconditioned": {"precondition": "auto", "learning_rate": "auto"},
}


def alternate(ours, peer, options):
    """Return the seconds of every round of ours and of the peer, (rounds, 2)."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    return _harness.in_turn(ours, peer, rounds=options.rounds, budget=options.budget, clock=clock)


def ratio_cells(seconds, target=None):
    """Return the cells of the ratio with its quartiles and number of rounds, and of the target."""
    ratio = seconds[:, 1] / seconds[:, 0]
    text = _harness.spread(ratio).removesuffix(")")
    return f"{text}; {len(ratio)})", _harness.verdict(np.median(ratio), target)


# --------------------------------------------------------------------------------------- data


def synthetic(size, dtype, regression=False, seed=0):
    """Return standardised features and noisy targets of a linear model."""
    n, d = size
    rng = np.random.default_rng(seed)
    X = np.empty(size)
    rng.standard_normal(out=X)
    raw = X @ rng.standard_normal(d) / np.sqrt(d) + 0.5 * rng.standard_normal(n)
    return X.astype(dtype, copy=False), raw.astype(dtype) if regression else (raw > 0).astype(int)


def real(name):
    """Return the raw features and the targets of a data set that scikit-learn ships."""
    options = {"scaled": False} if name == "diabetes" else {}
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True, **options)
    return np.ascontiguousarray(X, dtype=np.float64), y


# -------------------------------------------------------------------------------- equal epochs


def sgd_peer(loss, epochs):
    """Return scikit-learn's stochastic gradient descent for exactly so many epochs."""
    shared = {"loss": loss, "alpha": ALPHA, "tol": None, "max_iter": epochs, "random_state": 0}
    if loss == "log_loss":
        return linear_model.SGDClassifier(**shared)
    # Its default, "invscaling", would take a power at every step that ours does not.
    return linear_model.SGDRegressor(**shared, epsilon=DELTA, learning_rate="constant", eta0=RATE)


def ours_for(loss, optimizer, epochs, batch_size, mode):
    """Return our estimator for exactly so many epochs."""
    estimator = GradientClassifier if loss == "log_loss" else GradientRegressor
    return estimator(
        loss=losses.Huber(delta=DELTA) if loss == "huber" else loss,
        optimizer=optimizer,
        alpha=ALPHA,
        schedule="constant",
        batch_size=batch_size,
        max_iter=epochs,
        tol=0,
        random_state=0,
        **MODES[mode],
    )


def equal_epochs(options):
    """Yield the table beside SGDClassifier and SGDRegressor, epoch for epoch."""
    yield from _harness.head(
        "loss", "rows x features", "dtype", "ours", "mode", "epochs", "ours, ns per row",
        "SGD peer, ns per row", "ratio (quartiles; rounds)", "target",
    )  # fmt: skip
    work = ("sgd", 1), ("adam", 64)
    for loss, size, dtype in itertools.product(options.losses, EPOCHS, options.dtypes):
        X, y = synthetic(size, dtype, regression=loss != "log_loss")
        for (optimizer, batch_size), mode in itertools.product(work, options.modes):
            target = None
            if loss == "log_loss" and mode == "textbook":
                target = TARGETS.get((optimizer, size, dtype))
            label = loss, shape(size), dtype, f"{optimizer}, batch {batch_size}", mode
            medians = {}
            for epochs in EPOCHS[size]:
                ours = ours_for(loss, optimizer, epochs, batch_size, mode)
                peer = sgd_peer(loss, epochs)
                seconds = alternate(
                    lambda X=X, y=y, ours=ours: ours.fit(X, y),
                    lambda X=X, y=y, peer=peer: peer.fit(X, y),
                    options,
                )
                medians[epochs] = np.median(seconds, axis=0)
                cells = ratio_cells(seconds, target)
                yield _harness.row(
                    *label, epochs, *per_row(medians[epochs] / (epochs * size[0])), *cells
                )
            if len(medians) > 1:
                low, high = min(medians), max(medians)
                slope = (medians[high] - medians[low]) / ((high - low) * size[0])
                epochs, ratio = f"{low} to {high}, the difference", f"{slope[1] / slope[0]:.2f}"
                yield _harness.row(*label, epochs, *per_row(slope), ratio, "")


def per_row(seconds):
    """Return the cells of ours and of the peer."""
    return [f"{each * 1e9:.0f}" for each in seconds]


def shape(size):
    return f"{size[0]:,} x {size[1]}"


# ------------------------------------------------------------------------------------- PyTorch


def torch_adam(X, y, epochs, batch_size, fused, shuffle=True):
    """Train binary logistic regression as one would write it in PyTorch.

    Returns
    -------
    ndarray of shape (n_features + 1,)
        Coefficients and the intercept.
    """
    import torch

    X, y = torch.from_numpy(X), torch.from_numpy(y.astype(X.dtype))
    model = torch.nn.Linear(X.shape[1], 1, dtype=X.dtype)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    # The intercept is not penalised, as in ours.
    groups = [{"params": [model.weight], "weight_decay": ALPHA}, {"params": [model.bias]}]
    optimizer = torch.optim.Adam(groups, lr=RATE, fused=fused or None)
    loss = torch.nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        order = torch.randperm(len(X)) if shuffle else torch.arange(len(X))
        for batch in order.split(batch_size):
            optimizer.zero_grad()
            loss(model(X[batch])[:, 0], y[batch]).backward()
            optimizer.step()
    return np.append(model.weight.detach().numpy(), model.bias.detach().numpy())


def against_torch(options):
    """Yield the table beside PyTorch with the same update rule, and show that it is the same."""
    try:
        import torch
    except ImportError:
        yield "PyTorch is not installed; `pip install torch==2.13.0`."
        return
    torch.set_num_threads(_harness.THREADS)
    yield from _harness.head(
        "rows x features", "dtype", "peer", "steps", "ours, µs per step", "torch, µs per step",
        "ratio (quartiles; rounds)", "largest difference of coefficients, same order of rows",
    )  # fmt: skip
    batch_size = 64
    for size, epochs in ((SMALL, 10), ((20_000, 50), 2)):
        steps = epochs * -(-size[0] // batch_size)
        for dtype, fused in itertools.product(options.dtypes, (False, True)):
            X, y = synthetic(size, dtype)
            ours = ours_for("log_loss", "adam", epochs, batch_size, "textbook")
            ordered = ours_for("log_loss", "adam", epochs, batch_size, "textbook")
            ordered.set_params(shuffle=False).fit(X, y)
            found = np.append(ordered.coef_, ordered.intercept_)
            difference = found - torch_adam(X, y, epochs, batch_size, fused, shuffle=False)
            seconds = alternate(
                lambda X=X, y=y, ours=ours: ours.fit(X, y),
                lambda X=X, y=y, e=epochs, fused=fused: torch_adam(X, y, e, batch_size, fused),
                options,
            )
            step = np.median(seconds, axis=0) / steps * 1e6
            yield _harness.row(
                shape(size), dtype, f"torch.optim.Adam{'(fused=True)' if fused else ''}", steps,
                f"{step[0]:.2f}", f"{step[1]:.1f}", ratio_cells(seconds)[0],
                f"{np.abs(difference).max():.0e}",
            )  # fmt: skip


# ----------------------------------------------------------------------------------- full fits


def full_fit_pairs(reference):
    """Yield (data, X, y, loss, optimum, alpha, delta, peer) of the same, or nearly, objective.

    Peers have their defaults. Their objectives are sums over the rows, so that alpha = 1 / (n C).
    """
    for name in ("iris", "wine", "breast_cancer", "digits"):
        X, y = real(name)
        alpha = 1 / len(X)
        yield name, X, y, "log_loss", alpha, None, linear_model.LogisticRegression()
        for loss in ("hinge", "squared_hinge"):
            yield name, X, y, loss, alpha, None, svm.LinearSVC(loss=loss)
    X, y = real("diabetes")
    # HuberRegressor minimises over the scale too; where it settles, its alpha is ours times
    # n / scale, and ours follows from its default in a fixed point.
    alpha = 1e-4
    for _ in range(3):
        delta = reference.solve("huber", X, y, alpha)["delta"]
        alpha = 1e-4 * delta / reference.HUBER_EPSILON / len(X)
    peer = linear_model.HuberRegressor(epsilon=reference.HUBER_EPSILON)
    yield "diabetes", X, y, "huber", alpha, delta, peer


def gap_cell(estimator, reference, solved, X, y, loss, alpha):
    """Return the relative distance of a fit's objective from the optimum, marked if it warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(X, y)
    value = reference.objective(
        loss, X, y, estimator.coef_, estimator.intercept_, solved.get("delta"), alpha
    )
    gap = (value - solved["F"]) / (solved["F0"] - solved["F"])
    return f"{gap:.0e}{' †' if caught else ''}"


def full_fits(options):
    """Yield the table of whole fits on raw data, time beside the distance from the optimum."""
    reference = _harness.sibling("optimum", "reference")
    yield from _harness.head(
        "data, loss", "ours", "peer", "our time", "its time", "ratio (quartiles; rounds)",
        "our gap", "its gap", "target",
    )  # fmt: skip
    for name, X, y, loss, alpha, delta, peer in full_fit_pairs(reference):
        estimator = GradientRegressor if loss == "huber" else GradientClassifier
        solved = reference.solve(loss, X, y, alpha)
        chosen = losses.Huber(delta=delta) if delta else loss
        for optimizer in ("adam", "nesterov"):
            ours = estimator(loss=chosen, optimizer=optimizer, alpha=alpha, random_state=0)
            gaps = [gap_cell(each, reference, solved, X, y, loss, alpha) for each in (ours, peer)]
            yield fit_row(f"{name}, {loss}", optimizer, ours, peer, X, y, gaps, options)
    X, y = real("iris")
    ours, peer, gaps = GradientClassifier(), linear_model.LogisticRegression(), []
    for each, alpha in ((ours, ALPHA), (peer, 1 / len(X))):
        solved = reference.solve("log_loss", X, y, alpha)
        gaps.append(gap_cell(each, reference, solved, X, y, "log_loss", alpha))
    label = "iris, both with all defaults (alpha 1e-4 against 1/n)"
    yield fit_row(label, "adam", ours, peer, X, y, gaps, options, TARGET_IRIS)


def fit_row(label, optimizer, ours, peer, X, y, gaps, options, target=None):
    """Time one pair of whole fits and return its row of the table."""
    seconds = alternate(lambda: ours.fit(X, y), lambda: peer.fit(X, y), options)
    times = map(_harness.duration, np.median(seconds, axis=0))
    ratio, judged = ratio_cells(seconds, target)
    return _harness.row(label, optimizer, type(peer).__name__, *times, ratio, *gaps, judged)


# -------------------------------------------------------------------------------------- memory

MEMORY_SIZE = 500_000, 50
MEMORY = {
    "ours, sgd, batch 1, textbook": lambda: ours_for("log_loss", "sgd", 1, 1, "textbook"),
    "ours, adam, batch 64, textbook": lambda: ours_for("log_loss", "adam", 1, 64, "textbook"),
    "ours, all defaults": lambda: GradientClassifier(random_state=0),
    "ours, regression, all defaults": lambda: GradientRegressor(random_state=0),
    "SGDClassifier, 1 epoch": lambda: sgd_peer("log_loss", 1),
    "LogisticRegression": lambda: linear_model.LogisticRegression(),
}


def peak():
    """Return the largest resident size of this process so far, in bytes.

    A child starts with its parent's ``ru_maxrss`` on Linux, so the kernel's own mark is preferred.
    """
    try:
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_child(label):
    """Print, for one fit, the array's size and how much the peak rose above the data."""
    estimator = MEMORY[label]()
    regression = isinstance(estimator, GradientRegressor)
    # Whatever is imported or allocated once a process is not the fit's.
    estimator.fit(*synthetic((200, 5), "float64", regression))
    X, y = synthetic(MEMORY_SIZE, "float64", regression)
    with contextlib.suppress(OSError):
        # Forget the peak of making the data.
        Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    print(X.nbytes, peak() - before)


def memory(options):
    """Yield the table of the peak memory of fits in processes of their own."""
    yield from _harness.head("fit", "rise of the peak", "peak / array", "target")
    share, fixed = TARGET_MEMORY
    for label in MEMORY:
        command = [sys.executable, __file__, "--memory-child", label]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            yield _harness.row(label, "failed", done.stderr.strip().splitlines()[-1][:100], "")
            continue
        size, rise = map(int, done.stdout.split())
        judged = ""
        if label.startswith("ours"):
            judged = "reached" if rise <= share * size + fixed else "**missed**"
        yield _harness.row(label, f"{rise / 1e6:.1f} MB", f"{(size + rise) / size:.3f}", judged)


# -------------------------------------------------------------------------------------- report

SECTIONS = {
    "epochs": (
        "Equal epochs, beside SGDClassifier and SGDRegressor",
        'Standardised synthetic data. The peers are `SGDClassifier(loss="log_loss", tol=None, '
        "max_iter=epochs)` and `SGDRegressor` with a constant rate; ours runs the same number of "
        'epochs (`tol=0`, `schedule="constant"`). *Textbook* is `precondition=False, '
        'learning_rate=0.01`, *preconditioned* is `precondition="auto", '
        'learning_rate="auto"`. Times are those of whole fits; *the difference* of a long and a '
        "short fit leaves out the fixed cost of both.",
        equal_epochs,
    ),
    "torch": (
        "The same update rule, beside PyTorch",
        "Binary log loss, mini-batch Adam, batch size 64, learning rate 0.01, rows reshuffled "
        "every epoch by both.",
        against_torch,
    ),
    "fits": (
        "Whole fits on real raw data",
        "Data as scikit-learn ships them (diabetes unscaled). Peers have their defaults (for "
        "HuberRegressor epsilon=1.345), ours its defaults with alpha set to the peer's penalty. "
        "The gap is (F - F*) / (F0 - F*) in our objective, F0 the best constant model, F* "
        "certified; in the last row each is measured in its own. LinearSVC penalises its "
        "intercept too, so that its gap is not all its fault. "
        "† warned that it had not converged.",
        full_fits,
    ),
    "memory": (
        "Peak memory of a fit",
        f"{MEMORY_SIZE[0]:,} x {MEMORY_SIZE[1]} float64, C-ordered, each fit in its own process. "
        "The target is a peak of at most 1.1 times the array plus 50 MB.",
        memory,
    ),
}


def report(options):
    """Yield the lines of results.md."""
    clock = "CPU" if options.cpu_time else "wall"
    yield from _harness.opening(
        "Speed beside the peers",
        "Competitors run alternately in one process; a ratio is "
        f"the peer's {clock} time over ours in the same round (above 1: ours is faster), its "
        "median in bold, then the quartiles and the number of rounds. Compare ratios, not times.",
    )
    for name in options.sections:
        title, text, work = SECTIONS[name]
        yield from (f"## {title}", "", text, "")
        yield from work(options)
        yield ""


def main():
    """Run the benchmark from the command line."""
    parser = _harness.parser(__doc__, script=__file__, rounds=7)
    every = ("log_loss", "squared_error", "huber")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--losses", nargs="+", choices=every, default=every)
    parser.add_argument("--dtypes", nargs="+", default=("float64", "float32"))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--budget", type=float, default=1.0, help="seconds per pair of short fits")
    parser.add_argument("--cpu-time", action="store_true", help="for a machine that is not quiet")
    parser.add_argument("--profile", choices=PROFILES, help="only the fixed cost of one fit")
    parser.add_argument("--memory-child", choices=MEMORY, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_child:
        memory_child(options.memory_child)
    elif options.profile:
        _harness.publish(profile(options.profile, synthetic, real))
    else:
        _harness.publish(report(options), options.out)


if __name__ == "__main__":
    main()
