"""Textbook mode follows torch.optim and the NumPy twin, epoch by epoch.

The torch runs are recorded in ``trajectories/trajectories.npz``; the script beside it wrote them.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from cover import pairwise
from numpy.testing import assert_allclose
from reference import one_vs_rest, textbook_fit

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses, optimizers

RECORDED = np.load(Path(__file__).parent / "trajectories" / "trajectories.npz")
CASES = json.loads(str(RECORDED["cases"]))
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


def textbook(
    estimator, loss, optimizer, learning_rate, alpha, epochs, batch_size,
    loss_params=None, optimizer_params=None, **others,
):  # fmt: skip
    """An estimator in textbook mode; components as strings unless they have parameters."""
    if optimizer != "gradient_descent":
        others["batch_size"] = batch_size
    return estimator(
        losses.registry()[loss](**loss_params) if loss_params else loss,
        optimizers.registry()[optimizer](**optimizer_params) if optimizer_params else optimizer,
        learning_rate=learning_rate,
        alpha=alpha,
        max_iter=epochs,
        precondition=False,
        schedule="constant",
        shuffle=False,
        tol=0,
        **others,
    )


def parameters(model, y):
    """coef_ and intercept_ as one array (k, d + 1), once their shapes are those of scikit-learn."""
    d = model.n_features_in_
    if isinstance(model, GradientRegressor):
        assert model.coef_.shape == (d,) if y.ndim == 1 else (y.shape[1], d)
        assert np.shape(model.intercept_) == y.shape[1:]
    else:
        k = len(model.classes_) if len(model.classes_) > 2 else 1
        assert model.coef_.shape == (k, d) and model.intercept_.shape == (k,)
    return np.column_stack([np.atleast_2d(model.coef_), np.ravel(model.intercept_)])


def relative_error(actual, expected):
    return np.max(np.abs(actual - expected) / np.maximum(1, np.abs(expected)))


# In float32 one case in three: 3 has no divisor in common with the numbers of weights and batches.
@pytest.mark.parametrize(
    "case, dtype",
    [(case, "float64") for case in CASES] + [(case, "float32") for case in CASES[::3]],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_follows_torch(case, dtype):
    X = RECORDED["X_" + case["data"]].astype(dtype)
    y = RECORDED["y_" + case["data"]]
    regression = y.dtype.kind == "f"
    recorded = list(zip(case["epochs"], RECORDED[f"{dtype}/{case['name']}"], strict=True))
    # The last epoch, which an error in any would reach, and of the earlier ones another each case.
    for epochs, expected in (recorded[CASES.index(case) % (len(recorded) - 1)], recorded[-1]):
        model = textbook(
            GradientRegressor if regression else GradientClassifier,
            case["loss"],
            case["optimizer"],
            case["learning_rate"],
            case["alpha"],
            epochs,
            case["batch_size"] or len(X),
            case["loss_params"],
            case["optimizer_params"],
        )
        model.fit(
            X,
            y.astype(dtype) if regression else y,
            sample_weight=RECORDED["weight"] if case["weighted"] else None,
        )
        actual = parameters(model, y)
        assert model.coef_.dtype == dtype
        assert relative_error(actual, expected) < TOLERANCE[dtype], f"epoch {epochs}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_twin_follows_torch(case):
    y, loss = RECORDED["y_" + case["data"]], case["loss"]
    if y.dtype.kind == "i":
        if y.max() == 1:
            y = 2.0 * y - 1
        elif loss == "log_loss":
            loss = "softmax"
        else:
            y = one_vs_rest(y, 3)
    twin = textbook_fit(
        RECORDED["X_" + case["data"]], y, loss, case["optimizer"], case["learning_rate"],
        case["alpha"], epochs=case["epochs"][-1], batch_size=case["batch_size"],
        sample_weight=RECORDED["weight"] if case["weighted"] else None,
        loss_params=case["loss_params"], optimizer_params=case["optimizer_params"],
    )  # fmt: skip
    actual = np.concatenate([twin.coef, twin.intercept[..., None]], axis=2)
    expected = RECORDED["float64/" + case["name"]]
    assert relative_error(actual[np.array(case["epochs"]) - 1], expected) < 1e-12


# Ranges to draw every hyper-parameter from: no defaults, and wide enough apart that swapping two
# parameters of a kernel shows.
LOSS_RANGES = {
    "squared_error": {},
    "huber": {"delta": (0.2, 0.9)},
    "absolute_error": {},
    "quantile": {"quantile": (0.1, 0.9)},
    "epsilon_insensitive": {"epsilon": (0.0, 0.9)},
    "squared_epsilon_insensitive": {"epsilon": (0.0, 0.9)},
    "log_cosh": {},
    "poisson": {},
    "gamma": {},
    "tweedie": {"power": (1.1, 1.9)},
    "log_loss": {},
    "hinge": {},
    "squared_hinge": {},
    "modified_huber": {},
    "perceptron": {},
    "exponential": {},
}
OPTIMIZER_RANGES = {
    "gradient_descent": {},
    "sgd": {},
    "momentum": {"momentum": (0.3, 0.8), "nesterov": (False, True)},
    "nesterov": {},
    "rmsprop": {
        "rho": (0.6, 0.8),
        "epsilon": (1e-3, 1e-1),
        "momentum": (0.2, 0.5),
        "centered": (False, True),
    },
    "adam": {
        "beta_1": (0.4, 0.6),
        "beta_2": (0.7, 0.95),
        "epsilon": (1e-3, 1e-1),
        "amsgrad": (False, True),
    },
    "amsgrad": {"beta_1": (0.4, 0.6), "beta_2": (0.7, 0.95), "epsilon": (1e-3, 1e-1)},
    "adamw": {
        "beta_1": (0.4, 0.6),
        "beta_2": (0.7, 0.95),
        "epsilon": (1e-3, 1e-1),
        "weight_decay": (0.5, 2.0),
        "amsgrad": (False, True),
    },
    "nadam": {
        "beta_1": (0.4, 0.6),
        "beta_2": (0.7, 0.95),
        "epsilon": (1e-3, 1e-1),
        "momentum_decay": (0.05, 0.5),
    },
    # with beta_2 below 2/3 its mean is never long enough to be used
    "radam": {"beta_1": (0.4, 0.6), "beta_2": (0.8, 0.95), "epsilon": (1e-3, 1e-1)},
    "adamax": {"beta_1": (0.4, 0.6), "beta_2": (0.7, 0.95), "epsilon": (1e-2, 1e-1)},
    "adagrad": {"epsilon": (1e-2, 1.0), "initial_accumulator_value": (0.1, 1.0)},
    "adadelta": {"rho": (0.5, 0.9), "epsilon": (1e-4, 1e-2)},
    "lion": {"beta_1": (0.4, 0.6), "beta_2": (0.7, 0.95), "weight_decay": (0.5, 2.0)},
    "averaged": {"optimizer": ("sgd", "nadam"), "start": (0, 9), "power": (0.0, 2.5)},
    "schedule_free_sgd": {"momentum": (0.0, 0.95), "warmup_steps": (0, 30), "r": (0.0, 1.5)},
    "schedule_free_adamw": {
        "beta_1": (0.0, 0.95),
        "beta_2": (0.7, 0.95),
        "epsilon": (1e-3, 1e-1),
        "weight_decay": (0.5, 2.0),
        "warmup_steps": (0, 30),
        "r": (0.0, 1.5),
    },
}


def draw(ranges, rng):
    return {
        name: (
            float(rng.uniform(low, high)) if isinstance(low, float)
            else [low, high][rng.integers(2)] if isinstance(low, bool | str)
            else int(rng.integers(low, high + 1))
        )
        for name, (low, high) in ranges.items()
    }  # fmt: skip


def make_problem(target, rng, n=37, d=5):
    """Rows, what the estimator is given as y, and what the twin is given."""
    X = rng.normal(size=(n, d)) + rng.normal(size=d)
    score = X @ rng.normal(size=(d, 3)) + rng.normal(size=(n, 3))
    if target.startswith("positive"):
        # small enough for the exponential of a log link, with rows of exactly 0 if wanted
        score = np.exp(score / (2 * score.std()))
        if target == "positive_or_0":
            score[rng.random(score.shape) < 0.2] = 0
        return X, score, score
    if target == "one_output":
        return X, score[:, 0], score[:, 0]
    if target == "outputs":
        return X, score, score
    if target == "binary":
        y = (score[:, 0] > np.quantile(score[:, 0], 0.4)).astype(int)
        return X, np.array(["no", "yes"])[y], 2.0 * y - 1
    y = score.argmax(axis=1)
    y[:3] = 0, 1, 2
    return X, np.array([7, 11, 30])[y], y if target == "softmax" else one_vs_rest(y, 3)


# losses of a positive mean, and their targets
LOG = {
    "poisson": ["positive_or_0", "positive_outputs"],
    "gamma": ["positive_outputs"],
    "tweedie": ["positive_or_0", "positive_outputs"],
}
PROBLEMS = [
    *itertools.product(
        [name for name, loss in losses.registry().items() if loss.regression and name not in LOG],
        ["one_output", "outputs"],
    ),
    *((name, target) for name, targets in LOG.items() for target in targets),
    *itertools.product(
        [name for name, loss in losses.registry().items() if loss.classification],
        ["binary", "one_vs_rest"],
    ),
    ("log_loss", "softmax"),
]
PROBLEMS.remove(("log_loss", "one_vs_rest"))


@pairwise(
    "loss, target, optimizer",
    [(*problem, optimizer) for problem in PROBLEMS for optimizer in OPTIMIZER_RANGES],
    batch_size=[1, 7, 36, 50],
)
def test_follows_the_twin(loss, target, optimizer, batch_size, request):
    # the seed is the test's own, so that a failure repeats alone
    rng = np.random.default_rng(list(request.node.name.encode()))
    X, y, twin_y = make_problem(target, rng)
    weight = rng.gamma(2, size=len(X)) if rng.random() < 0.7 else None
    if weight is not None:
        weight[rng.choice(np.arange(3, len(X)), size=4, replace=False)] = 0
    settings = {
        "learning_rate": float(rng.uniform(0.002, 0.01)),
        "alpha": float(rng.uniform(0, 0.3)) if rng.random() < 0.7 else 0.0,
        "epochs": int(rng.integers(1, 9)),
        "batch_size": batch_size,
        "fit_intercept": bool(rng.random() < 0.7),
        "loss_params": draw(LOSS_RANGES[loss], rng),
        "optimizer_params": draw(OPTIMIZER_RANGES[optimizer], rng),
    }
    regression = y.dtype.kind == "f"
    model = textbook(
        GradientRegressor if regression else GradientClassifier, loss, optimizer, **settings
    ).fit(X, y, sample_weight=weight)
    expected = textbook_fit(
        X,
        twin_y,
        "softmax" if target == "softmax" else loss,
        optimizer,
        sample_weight=weight,
        **settings,
    )

    assert relative_error(np.atleast_2d(model.coef_), expected.coef[-1]) < 1e-10
    assert relative_error(np.ravel(model.intercept_), expected.intercept[-1]) < 1e-10
    # the running mean of the loss, plus the penalty somewhere between the epoch's start and end
    low, high = (expected.running_loss[:, None] + expected.penalty_range).T
    assert (low - 1e-10 <= model.loss_curve_).all() and (model.loss_curve_ <= high + 1e-10).all()
    kept = len(X) if weight is None else np.count_nonzero(weight)
    steps = 1 if optimizer == "gradient_descent" else -(-kept // batch_size)
    assert model.n_iter_ == settings["epochs"]
    assert model.t_ == settings["epochs"] * steps


@pytest.mark.parametrize("family, ranges", [(losses, LOSS_RANGES), (optimizers, OPTIMIZER_RANGES)])
def test_the_draws_cover_every_parameter(family, ranges):
    # A method that minimises by itself has other truths to be held to.
    registry = {
        name: found
        for name, found in family.registry().items()
        if getattr(found, "minimize", None) is None
    }
    assert set(registry) <= set(ranges)
    for name, component in registry.items():
        assert set(component().get_params()) == set(ranges[name])


@pytest.mark.parametrize(
    "optimizer, name",
    [(optimizer, name) for optimizer, ranges in OPTIMIZER_RANGES.items() for name in ranges],
)
def test_every_optimizer_parameter_matters(optimizer, name):
    """One parameter changed alone moves the model, and exactly as it moves the twin."""
    rng = np.random.default_rng(0)
    X, y, _ = make_problem("one_output", rng)
    # the others at the low end, not at their defaults: amsgrad shows only if beta_2 forgets
    lows = {other: low for other, (low, _) in OPTIMIZER_RANGES[optimizer].items()}
    coefs = []
    for value in OPTIMIZER_RANGES[optimizer][name]:
        settings = {
            "learning_rate": 0.02,
            "alpha": 0.1,
            "epochs": 5,
            "batch_size": 10,
            "optimizer_params": lows | {name: value},
        }
        model = textbook(GradientRegressor, "squared_error", optimizer, **settings).fit(X, y)
        twin = textbook_fit(X, y, "squared_error", optimizer, **settings)
        assert_allclose(model.coef_, twin.coef[-1, 0], rtol=1e-10)
        coefs.append(model.coef_)
    assert np.max(np.abs(coefs[0] - coefs[1])) > 1e-5


def test_class_weight_multiplies_sample_weight():
    rng = np.random.default_rng(0)
    X, y, twin_y = make_problem("binary", rng)
    weight = rng.gamma(2, size=len(X))
    settings = {"learning_rate": 0.05, "alpha": 0.1, "epochs": 5, "batch_size": 8}
    model = textbook(
        GradientClassifier, "log_loss", "sgd", class_weight={"no": 0.5, "yes": 3}, **settings
    ).fit(X, y, sample_weight=weight)
    weight *= np.where(y == "yes", 3, 0.5)
    twin = textbook_fit(X, twin_y, "log_loss", "sgd", sample_weight=weight, **settings)
    assert_allclose(model.coef_, twin.coef[-1], rtol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 6, 8])
def test_a_shuffled_epoch_visits_every_row_once(batch_size):
    # On the identity matrix every row moves a coefficient of its own, so the order cannot matter;
    # 48 rows, so that no batch is short.
    y = np.random.default_rng(0).normal(size=48)
    model = GradientRegressor(
        "squared_error", "sgd", learning_rate=0.3 * batch_size, alpha=0, batch_size=batch_size,
        max_iter=4, tol=0, precondition=False, schedule="constant", fit_intercept=False,
        random_state=3,
    ).fit(np.eye(48), y)  # fmt: skip
    assert_allclose(model.coef_, y * (1 - 0.7**4), rtol=1e-12)
