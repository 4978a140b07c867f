"""What a fuzzed case is: plain settings, drawn by hypothesis, from which data are made.

A case is a dictionary of JSON values, so that one line repeats it. What it leaves out has the first
value of its list in ``CHOICES``, which is the simplest one.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from catalogue import OPTIMIZERS, PAIRS, POSITIVE_TARGETS, SCHEDULES, combine, make, optimizer_of
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from scipy import sparse

from sklearn_lossopt import losses
from sklearn_lossopt._engine import ACTIVATION_KERNELS

COLUMNS = (
    "normal", "constant", "one constant", "zero", "duplicated", "rank one", "offset", "mixed scale",
    "huge", "tiny", "denormal", "heavy tails", "binary", "one outlier", "integers",
)  # fmt: skip
ROWS = ("different", "duplicated", "all equal")
TARGETS = (
    "linear", "noise", "exact", "all equal", "all zero", "one outlier", "offset", "huge", "tiny",
    "heavy tails", "mostly equal",
)  # fmt: skip
LABELS = ("linear", "noise", "separable", "one positive")
WEIGHTS = (
    "none", "ones", "whole", "spread", "extreme", "huge", "tiny", "one row", "denormal",
)  # fmt: skip
SPARSE = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
CHOICES = {
    "call": ("fit", "partial_fit", "warm_start"),
    "n": (20, 1, 2, 3, 7, 60),
    "d": (3, 1, 2, 8, 40),
    "n_targets": (1, 3),
    "columns": COLUMNS,
    "rows": ROWS,
    "y": TARGETS,
    "weight": WEIGHTS,
    "seed": tuple(range(1000)),
    "dtype": ("float64", "float32", "float16", "int8", "int64", "uint8", "bool", "object", ">f8"),
    "y_dtype": ("float64", "float32", "int64"),
    "layout": ("C", "F", "strided", "reversed", "read-only", "misaligned", "mapped", *SPARSE),
    "index": ("int32", "int64", "unsorted", "duplicates"),
    "alpha": (1e-4, 0.0, 1e-10, 0.1, 10.0, 1e6),
    "l1_ratio": (0.0, 0.5, 1.0),
    "fit_intercept": (True, False),
    "precondition": ("auto", "whiten", "scale", False),
    "schedule": ("auto", *(name for name in SCHEDULES if name != "auto")),
    "learning_rate": ("auto", 1e-3, 0.1, 10.0),
    "batch_size": ("auto", 1, 7, 10**6),
    "max_iter": (1000, 1, 20),
    "tol": (1e-6, 0.0, 1e-3, 1e-10),
    "early_stopping": (False, True),
    "shuffle": (True, False),
    "hidden_layer_sizes": ((), (8,), (4, 3)),
    "activation": ("relu", *(name for name in ACTIVATION_KERNELS if name != "relu")),
    "class_weight": (None, "balanced"),
    "loss_parameter": (None, "low", "high"),
}
PARAMETERS = (
    "alpha", "l1_ratio", "fit_intercept", "precondition", "schedule", "learning_rate",
    "batch_size", "max_iter", "tol", "early_stopping", "shuffle", "hidden_layer_sizes",
    "activation", "class_weight",
)  # fmt: skip
# How often a setting is its simplest value: most at once would leave nothing of the data.
SIMPLE = {
    "call": 0.8, "layout": 0.4, "dtype": 0.6, "y_dtype": 0.8, "weight": 0.5, "alpha": 0.4,
    "l1_ratio": 0.75, "precondition": 0.75, "schedule": 0.85, "learning_rate": 0.85,
    "batch_size": 0.8, "max_iter": 0.85, "tol": 0.8, "early_stopping": 0.9, "shuffle": 0.9,
    "hidden_layer_sizes": 0.88, "class_weight": 0.9, "n_targets": 0.7, "rows": 0.8,
}  # fmt: skip
LOSS_PARAMETERS = {
    "huber": ("delta", 1e-3, 1e3),
    "quantile": ("quantile", 0.02, 0.95),
    "epsilon_insensitive": ("epsilon", 0.0, 10.0),
    "squared_epsilon_insensitive": ("epsilon", 0.0, 10.0),
    "tweedie": ("power", 1.05, 1.95),
}


@st.composite
def cases(draw):
    """A strategy of cases."""
    task, loss = draw(st.sampled_from(PAIRS))
    optimizer = draw(st.sampled_from([name for name in OPTIMIZERS if combine(loss, name)]))
    case = {"task": task, "loss": loss, "optimizer": optimizer}
    for name, choices in CHOICES.items():
        if task == "classification" and name == "y":
            choices = LABELS
        if name == "class_weight" and task == "regression":
            continue
        if draw(st.sampled_from(range(100))) >= 100 * SIMPLE.get(name, 0):
            value = draw(st.sampled_from(choices))
            if value != choices[0]:
                case[name] = value
    return legal(case)


def draw(number, start):
    """Different cases, always the same ones for the same start."""
    found, block = {}, 0
    while len(found) < number:
        # In few examples at a time: hypothesis would go on to vary those that it has drawn.
        @seed(start * 10**6 + block)
        @settings(
            max_examples=5, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases())
        def collect(case):
            found.setdefault(json.dumps(case, sort_keys=True), case)

        collect()
        block += 1
    return list(found.values())[:number]


def legal(case):
    """The case without what the documentation says does not go together."""
    optimizer = optimizer_of(case["optimizer"])
    dropped = set()
    if optimizer.full_batch:
        dropped |= {"batch_size"}
    if optimizer.minimize is not None:
        dropped |= {"learning_rate", "schedule"}
    if optimizer.minimize is not None and case.get("call") == "partial_fit":
        dropped |= {"call"}
    if case.get("call") == "partial_fit":
        dropped |= {"early_stopping", "class_weight"}
        if case.get("schedule") not in (None, "constant", "invscaling", "exponential"):
            dropped |= {"schedule"}
    if "hidden_layer_sizes" not in case:
        dropped |= {"activation"}
    else:
        dropped |= {"l1_ratio"}
    if case.get("layout") not in SPARSE:
        dropped |= {"index"}
    elif case.get("precondition") == "whiten":
        dropped |= {"precondition"}
    if case.get("n", 20) < 4:
        dropped |= {"early_stopping"}
    if case["loss"] not in LOSS_PARAMETERS:
        dropped |= {"loss_parameter"}
    kept = {name: value for name, value in case.items() if name not in dropped}
    if kept.get("tol") == 0 and "max_iter" not in kept:
        kept["max_iter"] = 20  # all of them are made
    return kept


def value(case, name):
    """A setting of a case."""
    return case.get(name, CHOICES[name][0])


# Data ---------------------------------------------------------------------------------------------


def make_columns(case, rng):
    """X in float64, C-ordered."""
    n, d = value(case, "n"), value(case, "d")
    X = rng.normal(size=(n, d))
    kind = value(case, "columns")
    if kind == "constant":
        X[:] = rng.normal(size=d) * 7
    elif kind == "one constant":
        X[:, 0] = 7.3
    elif kind == "zero":
        X[:] = 0
    elif kind == "duplicated":
        X[:] = X[:, :1]
    elif kind == "rank one":
        X = X[:, :1] * rng.normal(size=d)
    elif kind == "offset":
        X = X + 10 ** rng.uniform(3, 8) * rng.choice([-1, 1], size=d)
    elif kind == "mixed scale":
        X = X * 10.0 ** rng.integers(-12, 13, size=d)
    elif kind in ("huge", "tiny", "denormal"):
        X = X * {"huge": 1e150, "tiny": 1e-150, "denormal": 1e-310}[kind]
    elif kind == "heavy tails":
        X = rng.standard_t(1, size=(n, d))
    elif kind == "binary":
        X = 1.0 * (X > 0.7)
    elif kind == "one outlier":
        X[0] *= 1e8
    elif kind == "integers":
        X = np.round(3 * X)
    kind = value(case, "rows")
    if kind == "duplicated":
        X = X[rng.integers(max(1, n // 4), size=n)]
    elif kind == "all equal":
        X = np.repeat(X[:1], n, axis=0)
    if value(case, "layout") in SPARSE:
        X = np.where(rng.random(X.shape) < 0.6, 0, X)
    return X


def make_targets(case, X, rng):
    """Targets (n,) or (n, 3), or labels."""
    n, columns = value(case, "n"), value(case, "n_targets")
    scale = np.abs(X).max(axis=0)
    Z = X / np.where(scale > 0, scale, 1)
    Z = Z - Z.mean(axis=0)
    score = Z @ rng.normal(size=(X.shape[1], columns + 1))
    noise = rng.normal(size=score.shape)
    if case["task"] == "classification":
        kind = case.get("y", "linear")
        if kind == "one positive":
            y = (np.arange(n) == rng.integers(n)).astype(int)
        else:
            score = {"linear": score + 0.5 * noise, "noise": noise, "separable": score}[kind]
            y = score.argmax(axis=1)
        y[: min(n, columns + 1)] = np.arange(columns + 1)[:n]
        return y
    score, noise = score[:, :columns], noise[:, :columns]
    kind = value(case, "y")
    y = noise if kind == "noise" else score if kind == "exact" else score + 0.5 * noise
    if case["loss"] in POSITIVE_TARGETS:
        y = np.exp(y / max(1.0, np.abs(y).max()))
    if kind == "all equal":
        y[:] = 3.7
    elif kind == "all zero" and case["loss"] not in POSITIVE_TARGETS:
        y[:] = 0
    elif kind == "one outlier":
        y[0] *= 1e8
    elif kind == "offset":
        y += 1e6
    elif kind in ("huge", "tiny"):
        y *= 1e150 if kind == "huge" else 1e-150
    elif kind == "heavy tails":
        y = np.abs(rng.standard_t(1, size=y.shape)) + 1e-3
    elif kind == "mostly equal":
        y[rng.random(len(y)) < 0.9] = y[0]
    if value(case, "y_dtype") == "int64":
        y = np.clip(np.round(y), -(2.0**53), 2.0**53)
        y = np.maximum(y, 1) if case["loss"] in POSITIVE_TARGETS else y
    y = cast(y, value(case, "y_dtype"))
    return y[:, 0] if columns == 1 else y


def make_weight(case, rng):
    """Weights (n,) or None."""
    n, kind = value(case, "n"), value(case, "weight")
    made = {
        "none": lambda: None,
        "ones": lambda: np.ones(n),
        "whole": lambda: rng.integers(0, 4, size=n),
        "spread": lambda: 10.0 ** rng.uniform(-6, 6, size=n),
        "extreme": lambda: 10.0 ** rng.uniform(-300, 300, size=n),
        "huge": lambda: np.full(n, 1e300),
        "tiny": lambda: np.full(n, 1e-300),
        "one row": lambda: 1.0 * (np.arange(n) == n // 2),
        "denormal": lambda: np.full(n, 5e-324),
    }
    return made[kind]()


def cast(X, dtype):
    """X in another type, as far as that can hold it."""
    if dtype == "object":
        return X.astype(object)
    if np.dtype(dtype).kind in "iub":
        limit = 1 if dtype == "bool" else np.iinfo(dtype).max
        low = 0 if dtype in ("bool", "uint8") else -limit
        return np.clip(np.round(X), low, min(limit, 2**53)).astype(dtype)
    limit = float(np.finfo(dtype).max)
    return np.clip(X, -limit, limit).astype(dtype)


def laid_out(X, layout, index, rng):
    """X in a memory layout or a sparse format, and what its memory belongs to."""
    if layout in SPARSE:
        return sparse_rows(X, layout, index, rng)
    if layout == "F":
        return np.asfortranarray(X)
    if layout == "strided":
        return np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2]
    if layout == "reversed":
        return np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    if layout == "misaligned" and X.dtype != object:
        memory = np.zeros(X.nbytes + 1, np.uint8)
        made = np.frombuffer(memory.data, X.dtype, X.size, offset=1).reshape(X.shape)
        made[...] = X
        return made
    if layout == "mapped" and X.dtype != object:
        path = Path(tempfile.mkdtemp()) / "X.npy"
        np.save(path, X)
        mapped = np.load(path, mmap_mode="r")
        path.unlink()
        path.parent.rmdir()
        return mapped
    if layout == "read-only":
        X = X.copy()
        X.flags.writeable = False
    return X


def sparse_rows(X, layout, index, rng):
    """A sparse array of a format, with indices of a kind."""
    if X.dtype == object or (X.dtype.kind == "f" and X.dtype.itemsize == 2):
        X = X.astype(float)
    made = sparse.csr_array(X.astype(X.dtype.newbyteorder("=")))
    if layout not in ("csr", "csc"):
        return made.asformat(layout)
    made = made.asformat(layout)
    if index == "int64":
        made.indices, made.indptr = made.indices.astype(np.int64), made.indptr.astype(np.int64)
    elif index == "unsorted":
        for start, stop in zip(made.indptr[:-1], made.indptr[1:], strict=True):
            order = start + rng.permutation(stop - start)
            made.indices[start:stop] = made.indices[order]
            made.data[start:stop] = made.data[order]
        made.has_sorted_indices = False
    elif index == "duplicates" and made.data.dtype.kind == "f":
        made = type(made)(
            (np.repeat(made.data / 2, 2), np.repeat(made.indices, 2), 2 * made.indptr), made.shape
        )
    return made


def make_data(case):
    """X, y and the weights of a case, and X as a plain array."""
    rng = np.random.default_rng(value(case, "seed"))
    X = make_columns(case, rng)
    y = make_targets(case, X, rng)
    weight = make_weight(case, rng)
    plain = cast(X, value(case, "dtype"))
    return laid_out(plain, value(case, "layout"), value(case, "index"), rng), y, weight, plain


def make_model(case):
    """The unfitted estimator of a case."""
    loss = case["loss"]
    if "loss_parameter" in case:
        name, low, high = LOSS_PARAMETERS[loss]
        number = {"low": low, "high": high}[case["loss_parameter"]]
        loss = losses.Loss.resolve(loss).set_params(**{name: number})
    given = {name: case[name] for name in PARAMETERS if name in case}
    if "hidden_layer_sizes" in given:
        given["hidden_layer_sizes"] = tuple(given["hidden_layer_sizes"])
    return make(case["task"], loss, case["optimizer"], **given)
