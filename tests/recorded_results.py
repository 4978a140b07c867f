"""What the package computes, recorded and compared: the proof of a refactoring.

    python tests/recorded_results.py write FILE     # before a change
    python tests/recorded_results.py compare FILE   # after it: every number equal, bit for bit
    python tests/recorded_results.py compare FILE 20    # every 20th case, in some seconds

The cover has every loss with every optimizer, and every schedule, kind of rows, penalty, network,
stream and search at least once. Numbers depend on the processor: write and compare on one machine.
"""

import pickle
import sys
import time
import warnings
from itertools import islice

import numpy as np
from catalogue import PAIRS, SCHEDULES, STEPPING, TRIPLES, make, make_data, real_data, settable
from scipy import sparse

from sklearn_lossopt import GradientClassifier, GradientRegressor, GradientSearchCV
from sklearn_lossopt._engine import ACTIVATION_KERNELS
from sklearn_lossopt.search import GradientHalvingSearchCV

FITTED = (
    "coef_", "intercept_", "coefs_", "intercepts_", "n_iter_", "t_", "loss_curve_",
    "validation_curve_", "best_iter_", "learning_rate_", "converged_", "delta_", "classes_",
)  # fmt: skip
TEXTBOOK = {"precondition": False, "schedule": "constant", "tol": 0, "max_iter": 4}
FEW = ("gradient_descent", "sgd", "nesterov", "rmsprop", "adam", "lbfgs")


def fitted(model, X):
    """The fitted attributes, and predictions of the model and of what its pickle holds."""
    found = {name: getattr(model, name) for name in FITTED if hasattr(model, name)}
    method = "decision_function" if hasattr(model, "decision_function") else "predict"
    found["predicted"] = getattr(model, method)(X)
    again = getattr(pickle.loads(pickle.dumps(model)), method)(X)
    assert np.array_equal(again, found["predicted"])
    return found


def data_for(task, loss, kind, n_targets=1):
    X, y = make_data(task, loss, n=90, d=5, n_targets=n_targets)
    if kind == "float32":
        return X.astype(np.float32), y
    if kind == "sparse":
        X = np.where(np.abs(X) < np.median(np.abs(X)), 0, X)
        return sparse.csr_array(X), y
    if kind == "wide":
        rng = np.random.default_rng(1)
        return np.hstack([X, rng.normal(size=(90, 120))]), y
    if kind == "sparse wide":
        rng = np.random.default_rng(1)
        more = sparse.random_array((90, 900), density=0.02, rng=rng)
        return sparse.csr_array(sparse.hstack([sparse.csr_array(X), more])), y
    return X, y


def plain_fits():
    for task, loss, optimizer in TRIPLES:
        for kind in ("dense", "float32"):
            yield task, loss, optimizer, kind, {}
        yield task, loss, optimizer, "sparse", {"max_iter": 50}
        settings = settable(optimizer, learning_rate=0.01, batch_size=8, **TEXTBOOK)
        yield task, loss, optimizer, "dense", settings
        yield task, loss, optimizer, "sparse", settings
        yield task, loss, optimizer, "sparse wide", settings
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


def networks():
    base = {"hidden_layer_sizes": (8, 6), "max_iter": 12}
    for task, loss in PAIRS:
        for optimizer in ("sgd", "adam", "lbfgs", "averaged"):
            if optimizer == "lbfgs" and loss in (
                "hinge",
                "perceptron",
                "absolute_error",
                "quantile",
                "epsilon_insensitive",
            ):
                continue
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
    for place in (plain_fits, networks):
        for task, loss, optimizer, kind, given in place():
            for n_targets in (1, 3) if optimizer in FEW else (1,):

                def run(
                    task=task,
                    loss=loss,
                    optimizer=optimizer,
                    kind=kind,
                    given=given,
                    n_targets=n_targets,
                ):
                    X, y = data_for(task, loss, kind, n_targets)
                    return fitted(make(task, loss, optimizer, **given).fit(X, y), X)

                yield f"fit {task} {loss} {optimizer} {kind} {n_targets} {given}", run


def others():
    for task, loss in PAIRS:
        for optimizer in STEPPING:
            yield (
                f"stream {task} {loss} {optimizer}",
                lambda a=task, b=loss, c=optimizer: stream(make(a, b, c), *data_for(a, b, "dense")),
            )
        for kind in ("sparse", "float32"):
            yield (
                f"stream {task} {loss} {kind}",
                lambda a=task, b=loss, c=kind: stream(make(a, b, "adam"), *data_for(a, b, c, 2)),
            )
        yield (
            f"stream of a network {task} {loss}",
            lambda a=task, b=loss: stream(
                make(a, b, "adam", hidden_layer_sizes=(7,)), *data_for(a, b, "dense")
            ),
        )
        yield f"weights {task} {loss}", lambda a=task, b=loss: weighted(a, b)
        yield f"warm start {task} {loss}", lambda a=task, b=loss: warm(a, b)
        for name in real_data(task):
            for optimizer in FEW:
                yield (
                    f"{name} {loss} {optimizer}",
                    lambda a=task, b=loss, c=optimizer, n=name: real(a, b, c, n),
                )
    for task in ("regression", "classification"):
        for kind in (GradientSearchCV, GradientHalvingSearchCV):
            yield f"search {task} {kind.__name__}", lambda a=task, k=kind: search(a, k)


def stream(model, X, y):
    classes = {} if isinstance(model, GradientRegressor) else {"classes": np.unique(y)}
    for start in (0, 30, 50, 60):
        model = pickle.loads(pickle.dumps(model))
        model.partial_fit(X[start : start + 30], y[start : start + 30], **classes)
    return fitted(model, X)


def weighted(task, loss):
    X, y = data_for(task, loss, "dense")
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    model = make(task, loss, "adam")
    model.fit(
        X[:60], y[:60], weight[:60], X_val=X[60:], y_val=y[60:], sample_weight_val=weight[60:]
    )
    return fitted(model, X)


def warm(task, loss):
    X, y = data_for(task, loss, "dense")
    model = make(
        task,
        loss,
        "momentum",
        warm_start=True,
        max_iter=3,
        schedule="cosine",
        learning_rate=0.01,
        tol=0,
    )
    model.fit(X, y)
    return fitted(pickle.loads(pickle.dumps(model)).set_params(max_iter=4).fit(X, y), X)


def real(task, loss, optimizer, name):
    X, y, _ = real_data(task)[name]
    return fitted(make(task, loss, optimizer, max_iter=60).fit(X, y), X)


def search(task, kind):
    X, y = data_for(task, None, "dense", 1)
    model = GradientRegressor if task == "regression" else GradientClassifier
    loss = ["squared_error", "huber"] if task == "regression" else ["log_loss", "hinge"]
    grid = {
        "loss": loss,
        "optimizer": ["sgd", "adam"],
        "alpha": [1e-4, 1e-2, 1],
        "learning_rate": ["auto", 0.01],
    }
    found = kind(model(random_state=0, max_iter=27), grid, cv=3).fit(X, y)
    scores = {
        name: values
        for name, values in found.cv_results_.items()
        if "time" not in name and name.startswith(("mean", "split", "rank"))
    }
    return {**scores, "best": repr(found.best_params_), **fitted(found.best_estimator_, X)}


def results(step=1):
    """What each case gives, and the warnings and errors on the way, by name."""
    found = {}
    for cases in (fits, others):
        for name, run in islice(cases(), None, None, step):
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
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        nan = a.dtype.kind == "f"
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=nan)
    return type(a) is type(b) and (a == b or (a != a and b != b))


def differences(before, after):
    """Lines that name what is not the same."""
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


def main(command, path, step=1):
    start = time.perf_counter()
    found = results(int(step))
    seconds = time.perf_counter() - start
    if command == "write":
        with open(path, "wb") as file:
            pickle.dump(found, file)
        print(f"{len(found)} results in {seconds:.0f} s")
        return 0
    with open(path, "rb") as file:
        before = pickle.load(file)
    lines = list(differences(before, found))
    print(*lines[:40], sep="\n")
    print(f"{len(lines)} differences in {len(found)} results, {seconds:.0f} s")
    return 1 if lines else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("write", "compare"):
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
