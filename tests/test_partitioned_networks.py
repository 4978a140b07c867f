"""Networks on rows in partitions: the plain fit on one, close to it on many."""

import warnings

import numpy as np
import pytest
from catalogue import ESTIMATORS, make_data
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt import GradientClassifier
from sklearn_lossopt._partitions.fitting import fit_blocks
from sklearn_lossopt._partitions.protocol import ListPartitions
from sklearn_lossopt._partitions.rows import Block


def blocks(X, y, weight=None, ends=()):
    """Blocks of the rows up to each of ``ends``, and of the rest."""
    starts, ends = (0, *ends), (*ends, len(y))
    parts = [slice(*part) for part in zip(starts, ends, strict=True)]
    return ListPartitions.of(
        [Block(i, X[p], y[p], None if weight is None else weight[p]) for i, p in enumerate(parts)]
    )


def same_network(a, b):
    return all(map(np.array_equal, a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_))


def raw_units(X):
    """Columns as networks get them: raw, of 0 and 1, in [0, 1], and one that does not vary."""
    extra = X[:, 0] > 0, np.clip(X[:, 1], 0, 1) * 1.0, np.full(len(X), 0.1)
    return np.column_stack([100 * X + 7, *extra])


@pytest.mark.parametrize(
    ("task", "loss", "parameters"),
    [
        ("classification", "log_loss", {}),
        ("classification", "hinge", {"schedule": "plateau", "tol": 1e-3, "dropout": 0}),
        ("classification", "log_loss", {"optimizer": "lbfgs", "alpha": 0.01}),
        ("regression", "huber", {"optimizer": "schedule_free_adamw"}),
        ("regression", "absolute_error", {"optimizer": "gradient_descent"}),
        ("regression", "poisson", {"batch_size": 50, "shuffle": False, "l1_ratio": 0.5}),
        ("regression", "squared_error", {"precondition": False, "learning_rate": 1e-7}),
    ],
)
def test_a_network_on_one_partition_is_the_plain_fit(task, loss, parameters):
    X, y = make_data(task, loss, n=800)
    X, rest = raw_units(X), {"X_val": raw_units(X[:150] + 0.1), "y_val": y[:150]}
    parameters = {"max_iter": 4, "hidden_layer_sizes": 33, "random_state": 1, **parameters}
    made = [ESTIMATORS[task](loss, warm_start=True, **parameters) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(2):  # the second goes on
            plain, model = made
            plain.fit(X, y, **rest)
            fit_blocks(model, blocks(X, y), blocks(*rest.values()), sample_entries=700)
    assert same_network(model, plain) and model.t_ == plain.t_ and model.n_iter_ == plain.n_iter_
    assert np.array_equal(model.loss_curve_, plain.loss_curve_)
    assert np.array_equal(model.validation_curve_, plain.validation_curve_)
    assert not model.converged_ and not plain.converged_


@pytest.mark.parametrize(
    ("task", "loss", "targets"),
    [
        ("classification", "log_loss", 2),
        ("classification", "squared_hinge", 2),
        ("regression", "squared_error", 3),
        ("regression", "gamma", 1),
    ],
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_networks_have_the_units_and_the_gradient_of_all_rows(task, loss, targets, kind):
    X, y = make_data(task, loss, n=1200, n_targets=targets)
    X, order = raw_units(X), np.argsort(y.reshape(len(y), -1)[:, 0], kind="stable")
    X, y = X[order], y[order]  # partitions are anything but alike
    X = sparse.csr_array(X * (X > 8)) if kind == "sparse" else X
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    model = ESTIMATORS[task](
        loss, "gradient_descent", hidden_layer_sizes=8, max_iter=3, random_state=0
    )
    plain = clone(model).fit(X, y, weight)
    ends = 0, 7, 7, 300, 301, 650, 1100  # empty ones among them
    fit_blocks(model, blocks(X, y, weight, ends), sample_entries=700)
    for ours, theirs in zip(
        model.coefs_ + model.intercepts_, plain.coefs_ + plain.intercepts_, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_, rtol=1e-9)


def test_local_passes_come_close_to_the_plain_fit_of_a_network():
    X, y = load_digits(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    parameters = {"hidden_layer_sizes": 32, "max_iter": 30, "dropout": 0, "random_state": 0}
    plain = GradientClassifier(**parameters).fit(X, y, weight)
    for sizes, most in ((8, 1.15), (24, 1.5)):
        data = X, y, weight, np.linspace(0, len(y), sizes, endpoint=False, dtype=int)[1:]
        model = fit_blocks(GradientClassifier(**parameters), blocks(*data), sample_entries=20_000)
        assert model.loss_curve_[-1] <= most * plain.loss_curve_[-1]
        again = fit_blocks(GradientClassifier(**parameters), blocks(*data), sample_entries=30_000)
        assert same_network(model, again) and model.n_iter_ == 30
