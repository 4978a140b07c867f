"""What the package computes, recorded and compared: the proof of a refactoring.

    python tests/recorded_results.py write FILE         # before a change
    python tests/recorded_results.py compare FILE       # after it: every number equal, to the bit
    python tests/recorded_results.py compare FILE 20    # one case in 20, in some seconds

The cover has every loss with every optimizer, and every schedule, kind of rows, penalty, network,
stream and search at least once. Numbers depend on the processor: write and compare on one machine.
"""

import argparse
import pickle
import time
import warnings
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from catalogue import (
    ESTIMATORS,
    PAIRS,
    SCHEDULES,
    STEPPING,
    TEXTBOOK,
    TRIPLES,
    combine,
    make,
    make_data,
    real_data,
    settable,
)
from scipy import sparse

from sklearn_lossopt import GradientSearchCV
from sklearn_lossopt._engine import ACTIVATION_KERNELS
from sklearn_lossopt.search import GradientHalvingSearchCV

FITTED = (
    "coef_", "intercept_", "coefs_", "intercepts_", "n_iter_", "t_", "loss_curve_",
    "validation_curve_", "best_iter_", "learning_rate_", "converged_", "delta_", "classes_",
)  # fmt: skip
FEW = ("gradient_descent", "sgd", "nesterov", "rmsprop", "adam", "lbfgs")


# The cases ----------------------------------------------------------------------------------------


def settings_of_linear_fits():
    """Yield (task, loss, optimizer, kind of rows, parameters)."""
    for task, loss, optimizer in TRIPLES:
        for kind in ("dense", "float32"):
            yield task, loss, optimizer, kind, {}
        yield task, loss, optimizer, "sparse", {"max_iter": 50}
        settings = settable(optimizer, learning_rate=0.01, batch_size=8, **TEXTBOOK, max_iter=4)
        for kind in ("dense", "sparse", "sparse wide"):
            yield task, loss, optimizer, kind, settings
    for task, loss in PAIRS:
        for schedule in SCHEDULES:
            for optimizer in ("sgd", "adam"):
                for precondition in ("whiten", False):
                    given = {"schedule": schedule, "precondition": precondition, "max_iter": 20}
                    yield task, loss, optimizer, "dense", {**given, "learning_rate": 0.01}
        for optimizer in ("sgd", "adam"):
            for ratio in (0.5, 1.0):
                given = {"l1_ratio": ratio, "alpha": 0.01, "max_iter": 100}
                yield task, loss, optimizer, "dense", given
                yield task, loss, optimizer, "sparse", given
            yield task, loss, optimizer, "dense", {"fit_intercept": False}
            yield task, loss, optimizer, "dense", {"early_stopping": True}
            yield task, loss, optimizer, "dense", {"precondition": "scale", "max_iter": 50}
            yield task, loss, optimizer, "dense", {"batch_size": 1, "max_iter": 5, "tol": 0}
        yield task, loss, "adam", "wide", {"max_iter": 50}
        yield task, loss, "adam", "sparse wide", {"max_iter": 20}


def settings_of_networks():
    """Yield (task, loss, optimizer, kind of rows, parameters)."""
    base = {"hidden_layer_sizes": (8, 6), "max_iter": 12}
    for task, loss in PAIRS:
        for optimizer in ("sgd", "adam", "lbfgs", "averaged"):
            if combine(loss, optimizer):
                yield task, loss, optimizer, "dense", base
        yield task, loss, "adam", "sparse", base
        yield task, loss, "adam", "dense", {**base, "hidden_layer_sizes": (40,), "dropout": 0.3}
    for optimizer in STEPPING:
        yield "regression", "huber", optimizer, "float32", {**base, "precondition": False}
    for activation in ACTIVATION_KERNELS:
        yield "classification", "log_loss", "adam", "dense", {**base, "activation": activation}
    for schedule in SCHEDULES:
        yield "classification", "log_loss", "adam", "dense", {**base, "schedule": schedule}
    yield "classification", "log_loss", "adam", "dense", {**base, "early_stopping": True}


def fits():
    """Yield the name of each case of `fit` and a function that runs it."""
    for setting in chain(settings_of_linear_fits(), settings_of_networks()):
        task, loss, optimizer, kind, given = setting
        for n_targets in (1, 3) if optimizer in FEW else (1,):
            name = f"fit {task} {loss} {optimizer} {kind} {n_targets} {given}"
            yield name, partial(fit, *setting, n_targets)


def others():
    """Yield the name of each other case and a function that runs it."""
    for task, loss in PAIRS:
        for optimizer in STEPPING:
            name = f"stream {task} {loss} {optimizer}"
            yield name, partial(stream, task, loss, optimizer)
        for kind in ("sparse", "float32"):
            name = f"stream {task} {loss} {kind}"
            yield name, partial(stream, task, loss, "adam", kind, n_targets=2)
        name = f"stream of a network {task} {loss}"
        yield name, partial(stream, task, loss, "adam", hidden_layer_sizes=(7,))
        yield f"weights {task} {loss}", partial(weights, task, loss)
        yield f"warm start {task} {loss}", partial(warm_start, task, loss)
        for data in real_data(task):
            for optimizer in FEW:
                yield f"{data} {loss} {optimizer}", partial(raw_table, task, loss, optimizer, data)
    for task in ESTIMATORS:
        for kind in (GradientSearchCV, GradientHalvingSearchCV):
            yield f"search {task} {kind.__name__}", partial(search, task, kind)


# What a case computes -----------------------------------------------------------------------------


def rows(task, loss, kind="dense", n_targets=1):
    """Rows of a kind, and their targets."""
    X, y = make_data(task, loss, n=90, d=5, n_targets=n_targets)
    rng = np.random.default_rng(1)
    if kind == "float32":
        X = X.astype(np.float32)
    elif kind == "sparse":
        X = sparse.csr_array(np.where(np.abs(X) < np.median(np.abs(X)), 0, X))
    elif kind == "wide":
        X = np.hstack([X, rng.normal(size=(90, 120))])
    elif kind == "sparse wide":
        more = sparse.random_array((90, 900), density=0.02, random_state=rng)
        X = sparse.csr_array(sparse.hstack([sparse.csr_array(X), more]))
    return X, y


def outcome(model, X):
    """The fitted attributes, and predictions, which the model's pickle has to repeat."""
    found = {name: getattr(model, name) for name in FITTED if hasattr(model, name)}
    method = "decision_function" if hasattr(model, "decision_function") else "predict"
    found["predicted"] = getattr(model, method)(X)
    again = getattr(pickle.loads(pickle.dumps(model)), method)(X)
    assert np.array_equal(again, found["predicted"])
    return found


def fit(task, loss, optimizer, kind, given, n_targets):
    X, y = rows(task, loss, kind, n_targets)
    return outcome(make(task, loss, optimizer, **given).fit(X, y), X)


def stream(task, loss, optimizer, kind="dense", n_targets=1, **given):
    """Four chunks, of which two overlap, with a pickle before each."""
    X, y = rows(task, loss, kind, n_targets)
    model = make(task, loss, optimizer, **given)
    classes = {"classes": np.unique(y)} if task == "classification" else {}
    for start in (0, 30, 50, 60):
        model = pickle.loads(pickle.dumps(model))
        model.partial_fit(X[start : start + 30], y[start : start + 30], **classes)
    return outcome(model, X)


def weights(task, loss):
    """Whole weights from 0 on, of training and of validation rows."""
    X, y = rows(task, loss)
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    validation = {"X_val": X[60:], "y_val": y[60:], "sample_weight_val": weight[60:]}
    return outcome(make(task, loss).fit(X[:60], y[:60], weight[:60], **validation), X)


def warm_start(task, loss):
    X, y = rows(task, loss)
    given = {"warm_start": True, "schedule": "cosine", "learning_rate": 0.01, "tol": 0}
    model = make(task, loss, "momentum", max_iter=3, **given).fit(X, y)
    return outcome(pickle.loads(pickle.dumps(model)).set_params(max_iter=4).fit(X, y), X)


def raw_table(task, loss, optimizer, data):
    X, y, _ = real_data(task)[data]
    return outcome(make(task, loss, optimizer, max_iter=60).fit(X, y), X)


def search(task, kind):
    X, y = rows(task, None)
    grid = {
        "loss": ["squared_error", "huber"] if task == "regression" else ["log_loss", "hinge"],
        "optimizer": ["sgd", "adam"],
        "alpha": [1e-4, 1e-2, 1],
        "learning_rate": ["auto", 0.01],
    }
    found = kind(make(task, max_iter=27), grid, cv=3).fit(X, y)
    scores = {
        name: values
        for name, values in found.cv_results_.items()
        if "time" not in name and name.startswith(("mean", "split", "rank"))
    }
    return {**scores, "best": repr(found.best_params_), **outcome(found.best_estimator_, X)}


# Writing and comparing ----------------------------------------------------------------------------


def results(every=1):
    """What each case gives, and the warnings and errors on the way, by name."""
    found = {}
    for name, run in chain(islice(fits(), 0, None, every), islice(others(), 0, None, every)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = run()
            except Exception as error:
                value = {"error": f"{type(error).__name__}: {error}"}
        value["warnings"] = sorted({str(each.message) for each in caught})
        assert name not in found, name
        found[name] = value
    return found


def equal(a, b):
    """Whether two recorded values are of one type and equal; NaN equals NaN."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and (a == b or (a != a and b != b))


def differences(before, after):
    """Yield a line for each case that is not the same."""
    for name, new in after.items():
        old = before.get(name, {})
        parts = [
            part
            for part in sorted(old.keys() | new.keys())
            if part not in old or part not in new or not equal(old[part], new[part])
        ]
        if parts:
            part = "error" if "error" in parts else parts[0]
            yield f"{name}: {', '.join(parts)}: {old.get(part)!r:.200} != {new.get(part)!r:.200}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["write", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("every", type=int, nargs="?", default=1, help="only one case in so many")
    options = parser.parse_args()
    start = time.perf_counter()
    found = results(options.every)
    took = f"{len(found)} results, {time.perf_counter() - start:.0f} s"
    if options.command == "write":
        options.file.write_bytes(pickle.dumps(found))
        print(took)
        return 0
    lines = list(differences(pickle.loads(options.file.read_bytes()), found))
    print(*lines[:40], sep="\n")
    print(f"{len(lines)} differences in {took}")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
