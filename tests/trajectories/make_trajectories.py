"""Record what torch.optim does, so that the tests can follow it without torch.

Run ``python tests/trajectories/make_trajectories.py`` with torch 2.13 to write
``trajectories.npz`` beside this file. It holds the data, the list of cases (JSON) and, for each
case, the parameters after each epoch of ``EPOCHS``, shape (records, k, d + 1), the intercept last.
Nothing but torch computes a gradient or an update here.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

EPOCHS = (1, 2, 3, 6, 12, 25)
ALPHA = 0.05
BATCH = 16

# problem: data, loss, loss parameters
PROBLEMS = {
    "squared_error": ("diabetes", "squared_error", {}),
    "squared_error_2_outputs": ("diabetes_2_outputs", "squared_error", {}),
    "huber": ("diabetes", "huber", {"delta": 1.35}),
    "huber_raw_units": ("diabetes_raw_units", "huber", {"delta": 40.0}),
    "log_loss_binary": ("breast_cancer", "log_loss", {}),
    "log_loss_3_classes": ("iris", "log_loss", {}),
    "hinge_binary": ("breast_cancer", "hinge", {}),
    "hinge_3_classes": ("iris", "hinge", {}),
}

# label: our name, our parameters, learning rate, torch class, torch parameters; "weight_decay" is
# given to torch's weights alone
OPTIMIZERS = {
    "gradient_descent": ("gradient_descent", {}, 0.1, "SGD", {}),
    "sgd": ("sgd", {}, 0.05, "SGD", {}),
    "momentum": ("momentum", {}, 0.02, "SGD", {"momentum": 0.9}),
    "momentum_0.5": ("momentum", {"momentum": 0.5}, 0.05, "SGD", {"momentum": 0.5}),
    "nesterov": ("nesterov", {}, 0.02, "SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("rmsprop", {}, 0.02, "RMSprop", {"alpha": 0.9}),
    "rmsprop_momentum": (
        "rmsprop", {"momentum": 0.5}, 0.01, "RMSprop", {"alpha": 0.9, "momentum": 0.5},
    ),
    "rmsprop_centered": (
        "rmsprop", {"centered": True, "rho": 0.95}, 0.01, "RMSprop",
        {"alpha": 0.95, "centered": True},
    ),
    "adam": ("adam", {}, 0.05, "Adam", {}),
    # amsgrad differs from adam only once beta_2 forgets
    "adam_amsgrad": (
        "adam", {"amsgrad": True, "beta_2": 0.8}, 0.05, "Adam",
        {"amsgrad": True, "betas": (0.9, 0.8)},
    ),
    "amsgrad": ("amsgrad", {"beta_2": 0.7}, 0.05, "Adam", {"amsgrad": True, "betas": (0.9, 0.7)}),
    "adamw": ("adamw", {}, 0.05, "AdamW", {"weight_decay": 0.01}),
    "adamw_amsgrad": (
        "adamw", {"weight_decay": 0.5, "beta_1": 0.7, "beta_2": 0.8, "amsgrad": True}, 0.05,
        "AdamW", {"weight_decay": 0.5, "betas": (0.7, 0.8), "amsgrad": True},
    ),
    "nadam": ("nadam", {}, 0.02, "NAdam", {}),
    "nadam_other": (
        "nadam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "momentum_decay": 0.1}, 0.03,
        "NAdam", {"betas": (0.8, 0.95), "eps": 1e-3, "momentum_decay": 0.1},
    ),
    "radam": ("radam", {}, 0.05, "RAdam", {}),
    "radam_other": (
        "radam", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}, 0.03,
        "RAdam", {"betas": (0.7, 0.9), "eps": 1e-3},
    ),
    "adamax": ("adamax", {}, 0.05, "Adamax", {}),
    "adamax_other": (
        "adamax", {"beta_1": 0.7, "beta_2": 0.8, "epsilon": 1e-2}, 0.05,
        "Adamax", {"betas": (0.7, 0.8), "eps": 1e-2},
    ),
    "adagrad": ("adagrad", {}, 0.1, "Adagrad", {}),
    "adagrad_other": (
        "adagrad", {"epsilon": 0.1, "initial_accumulator_value": 0.5}, 0.2,
        "Adagrad", {"eps": 0.1, "initial_accumulator_value": 0.5},
    ),
    "adadelta": ("adadelta", {}, 1.0, "Adadelta", {}),
    "adadelta_other": (
        "adadelta", {"rho": 0.8, "epsilon": 1e-4}, 0.5, "Adadelta", {"rho": 0.8, "eps": 1e-4},
    ),
}  # fmt: skip


def datasets():
    """Small real data, standardised on all rows so that no gradient of the subset is a mere 0.

    An exact 0 would be rounding noise in floating point, which rmsprop and adam blow up to a step.
    """
    rng = np.random.default_rng(0)

    def subset(X, y, n=61):
        rows = rng.permutation(len(X))[:n]
        return ((X - X.mean(axis=0)) / X.std(axis=0))[rows], y[rows]

    X, y = subset(*load_diabetes(return_X_y=True, scaled=False))
    cancer = load_breast_cancer()
    return {
        "diabetes": (X, y / 77),
        "diabetes_2_outputs": (X[:, :6], np.column_stack([y / 77, X[:, 8] + 0.3])),
        "diabetes_raw_units": (X, y),
        "breast_cancer": subset(cancer.data[:, :8], cancer.target),
        "iris": subset(*load_iris(return_X_y=True)),
    }


def torch_loss(name, parameters, y, raw):
    """Per-row loss from torch's own functions; raw has shape (n, k)."""
    if name == "squared_error":
        return F.mse_loss(raw, y.reshape(raw.shape), reduction="none").sum(1) / 2
    if name == "huber":
        return F.huber_loss(raw[:, 0], y, reduction="none", **parameters)
    if name == "log_loss" and raw.shape[1] > 1:
        return F.cross_entropy(raw, y, reduction="none")
    if name == "log_loss":
        return F.binary_cross_entropy_with_logits(raw[:, 0], y.to(raw.dtype), reduction="none")
    # y > 0 is the binary problem's positive class; relu's derivative at 0 is 0, as ours
    positive = (y > 0)[:, None] if raw.shape[1] == 1 else F.one_hot(y, raw.shape[1]) > 0
    return F.relu(1 - torch.where(positive, raw, -raw)).sum(1)


def run(X, y, weight, loss, loss_parameters, optimizer, batch_size, dtype):
    """Train a linear layer from zero, the rows in order, and return it after EPOCHS."""
    _, _, learning_rate, torch_name, torch_parameters = optimizer
    keep = weight > 0
    X, y, s = (torch.tensor(a[keep]) for a in (X, y, weight))
    X, s = X.to(dtype), s.to(dtype)
    y = y.to(dtype) if y.is_floating_point() else y
    k = y.shape[1] if y.ndim == 2 else 3 if not y.is_floating_point() and y.max() > 1 else 1
    layer = torch.nn.Linear(X.shape[1], k, dtype=dtype)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    groups = [{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}]
    steps = getattr(torch.optim, torch_name)(groups, learning_rate, **torch_parameters)
    records = []
    for epoch in range(1, max(EPOCHS) + 1):
        for rows in torch.arange(len(X)).split(batch_size or len(X)):
            steps.zero_grad()
            value = torch_loss(loss, loss_parameters, y[rows], layer(X[rows]))
            penalty = ALPHA / 2 * layer.weight.square().sum()
            ((s[rows] / s.mean() * value).mean() + penalty).backward()
            steps.step()
        if epoch in EPOCHS:
            both = torch.column_stack([layer.weight, layer.bias])
            records.append(both.detach().numpy().copy())
    return np.array(records)


def main():
    """Record every problem x optimizer x weights x batches x dtype."""
    torch.set_num_threads(1)
    # NAdam keeps a product in this type, whatever the type of the parameters.
    torch.set_default_dtype(torch.float64)
    data = datasets()
    rng = np.random.default_rng(1)
    weight = rng.gamma(2.0, size=61).round(3)
    weight[[3, 20, 21]] = 0.0  # dropped before anything else
    arrays = {"weight": weight}
    for name, (X, y) in data.items():
        arrays[f"X_{name}"], arrays[f"y_{name}"] = X, y
    cases = []
    for problem, label, weighted, batch in itertools.product(
        PROBLEMS, OPTIMIZERS, (False, True), (None, BATCH)
    ):
        if label == "gradient_descent" and batch:
            continue
        data_name, loss, loss_parameters = PROBLEMS[problem]
        optimizer = OPTIMIZERS[label]
        X, y = data[data_name]
        s = weight if weighted else np.ones(len(X))
        double, single = (
            run(X, y, s, loss, loss_parameters, optimizer, batch, dtype)
            for dtype in (torch.float64, torch.float32)
        )
        weights = "weighted" if weighted else "unweighted"
        name = f"{problem}-{label}-{weights}-batch_{batch or 'all'}"
        # a float32 run that rounding steers elsewhere would say nothing about an implementation
        drift = np.max(np.abs(single - double) / np.maximum(1, np.abs(double)))
        assert np.isfinite(double).all() and drift < 2e-5, (name, drift)
        arrays[f"float64/{name}"], arrays[f"float32/{name}"] = double, single
        cases.append(
            {
                "name": name,
                "data": data_name,
                "loss": loss,
                "loss_params": loss_parameters,
                "optimizer": optimizer[0],
                "optimizer_params": optimizer[1],
                "learning_rate": optimizer[2],
                "alpha": ALPHA,
                "weighted": weighted,
                "batch_size": batch,
                "epochs": EPOCHS,
            }
        )
    arrays["cases"] = np.array(json.dumps(cases))
    np.savez_compressed(Path(__file__).with_name("trajectories.npz"), **arrays)
    print(f"{len(cases)} cases in two dtypes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
