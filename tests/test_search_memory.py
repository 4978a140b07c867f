"""What a search holds: runs are counted, wait where they would be too many, and leave nothing."""

import gc
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from sklearn_lossopt import GradientClassifier, GradientSearchCV
from sklearn_lossopt._blas import ONE_BLAS_THREAD
from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.callbacks import SnapshotRecorder
from sklearn_lossopt._estimators.validation_data import GivenValidation
from sklearn_lossopt._training import bank

TEXTBOOK = {"precondition": False, "schedule": "constant", "learning_rate": 1e-4, "tol": 0}
CONSTANT = {"schedule": "constant", "learning_rate": 1e-3, "tol": 0}


def rows(n, d, classes=2, stored=None):
    """Rows, of which ``stored`` numbers are not zero, and noisy classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    if stored is not None:
        X *= rng.random(size=X.shape) < stored / d
    score = X[:, 0] + rng.normal(size=n)
    y = np.searchsorted(np.linspace(-1.5, 1.5, classes - 1) if classes > 2 else [0], score)
    return X if stored is None else sparse.csr_array(X), y


@pytest.fixture
def traced():
    """The bytes that Python and NumPy have allocated now and at most since the last call."""
    gc.collect()
    tracemalloc.start()

    def look():
        now, most = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        return now, most

    yield look
    tracemalloc.stop()


def trained(training, epochs):
    """The epochs that a training asks for after the first, at most so many of which are made."""
    wanted = next(training)
    for _ in range(epochs):
        wanted.train(min(2, wanted.left))
        if wanted.left:
            break
        wanted = next(training)
    return wanted


HELD = {
    "textbook": (2000, 10, 2, None, TEXTBOOK),
    "textbook, wide": (500, 1000, 10, None, TEXTBOOK),
    "schedule with rates": (2000, 20, 2, None, {
        "schedule": "cosine", "learning_rate": 1e-3, "tol": 0, "max_iter": 200,
    }),
    "whitened": (2000, 200, 2, None, CONSTANT),
    "mean of iterates": (2000, 500, 2, None, {**TEXTBOOK, "optimizer": "schedule_free_adamw"}),
    "early stopping": (2000, 500, 3, None, {**TEXTBOOK, "early_stopping": True}),
    "early stopping, scored": (2000, 500, 2, None, {
        **TEXTBOOK, "early_stopping": True, "scoring": "accuracy",
    }),
    "newton": (2000, 150, 2, None, {"tol": 0}),
    "newton, classes": (2000, 150, 3, None, {"tol": 0}),
    "newton, l1": (2000, 150, 2, None, {"l1_ratio": 0.5, "tol": 0}),
    "kinks": (20_000, 10, 2, None, {"loss": "hinge"}),
    "kinks, classes": (4000, 100, 3, None, {"loss": "hinge"}),
    "kinks, l1": (4000, 100, 2, None, {"loss": "hinge", "l1_ratio": 0.5}),
    "network": (2000, 100, 3, None, {"hidden_layer_sizes": (64, 32)}),
    "network, textbook": (2000, 500, 2, None, {**TEXTBOOK, "hidden_layer_sizes": (32,)}),
    "sparse, textbook": (4000, 1000, 2, 20, TEXTBOOK),
    "sparse, lazy": (4000, 2000, 3, 20, {**CONSTANT, "batch_size": 16}),
    "sparse, newton": (4000, 500, 2, 20, {"tol": 0}),
    "sparse, kinks": (4000, 500, 2, 20, {"loss": "hinge"}),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD)
def test_what_a_run_holds_is_counted(case, traced):
    n, d, classes, stored, settings = HELD[case]
    X, y = rows(n, d, classes, stored)
    memo = Cache()

    def training():
        model = GradientClassifier(random_state=0, **{"max_iter": 50, "tol": 1e-13, **settings})
        return model._fitting(X, y, None, GivenValidation(), memo, SnapshotRecorder())

    with ONE_BLAS_THREAD:
        # What runs share is there before the second begins.
        first = training()
        others = trained(first, 4)
        gc.collect()
        before, _ = traced()
        second = training()
        epochs = trained(second, 4)
        gc.collect()
        held = traced()[0] - before
    assert epochs.iterate.trainer is not others.iterate.trainer
    counted = epochs.nbytes({others.iterate.preconditioner.shared})
    assert 0.8 * held <= counted <= 1.4 * held, (counted, held)


def grid_search(X, y, grid, **settings):
    model = GradientClassifier(random_state=0, max_iter=4, **settings)
    return GradientSearchCV(model, grid, cv=3, refit=False).fit(X, y)


MANY = {
    # A grid, and about what each of its runs holds of its own.
    "textbook": (
        rows(300, 400, 10), TEXTBOOK,
        {"optimizer": ["sgd", "adam"], "alpha": np.logspace(-5, 0, 30)},
    ),
    "whitened, a metric for each alpha": (
        rows(600, 200), {**CONSTANT, "precondition": "whiten"}, {"alpha": np.logspace(-5, 0, 60)},
    ),
    "newton": (rows(600, 150), {"tol": 1e-13}, {"alpha": np.logspace(-5, 0, 30)}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*fits stopped short")
@pytest.mark.parametrize("case", MANY)
def test_runs_that_would_be_too_many_wait(case, traced, monkeypatch):
    (X, y), settings, grid = MANY[case]
    grid_search(X[:100], y[:100], {"alpha": [0.1]}, **settings)
    peaks, found = [], []
    for budget in (2**28, 2**22):
        monkeypatch.setattr(bank, "WAVE_BYTES", budget)
        before, _ = traced()
        found.append(grid_search(X, y, grid, **settings))
        peaks.append(traced()[1] - before)
    scores = [[search.cv_results_[f"split{i}_test_score"] for i in range(3)] for search in found]
    np.testing.assert_array_equal(*scores)
    assert len(np.unique(scores[0])) > 3
    curves = [np.concatenate([c for each in s.loss_curves_ for c in each]) for s in found]
    np.testing.assert_array_equal(*curves)
    # A fold's rows, their float64 sample, what one fit needs for a while, the budget, and the run
    # that exceeded it.
    d, k = X.shape[1], len(np.unique(y))
    rest = 5 * X.nbytes + 8 * 10 * k * (d + 1) + 6 * 8 * (d + 1) ** 2 + 2e6
    assert peaks[1] < 2**22 + rest
    assert peaks[0] > 2**22 + rest


@pytest.mark.filterwarnings("ignore:.*fits stopped short")
@pytest.mark.parametrize("settings", [
    TEXTBOOK, CONSTANT, {}, {"loss": "hinge"}, {"hidden_layer_sizes": (8,)},
])  # fmt: skip
def test_a_fold_leaves_nothing_for_the_garbage_collector(settings, traced):
    X, y = rows(2000, 60)
    grid = {"alpha": [1e-3, 1e-1], "random_state": [0, 1]}
    grid_search(X[:100], y[:100], grid, **settings)
    gc.collect()
    gc.disable()
    try:
        before, _ = traced()
        search = grid_search(X, y, grid, **settings)
        left = traced()[0] - before
    finally:
        gc.enable()
    assert left < 0.1 * X.nbytes, left
    assert len(search.cv_results_["params"]) == 4
