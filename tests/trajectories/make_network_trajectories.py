"""Record what torch's layers and optimizers do, so that the tests can follow networks without it.

Run ``python tests/trajectories/make_network_trajectories.py`` with torch 2.13 to write
``network_trajectories.npz`` beside this file: data, initial weights, the list of cases (JSON) and,
for each case, all layers' parameters as one array after each epoch of ``EPOCHS``, a layer's rows
(weights, then bias) one after the other. Nothing but torch computes a gradient or an update here.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from make_trajectories import OPTIMIZERS, datasets, torch_loss

EPOCHS = (2, 10)
ROWS, BATCH, ALPHA = 60, 12, 0.02

ACTIVATIONS = {
    "relu": torch.nn.ReLU(),
    "tanh": torch.nn.Tanh(),
    "gelu": torch.nn.GELU(),
    "silu": torch.nn.SiLU(),
    "logistic": torch.nn.Sigmoid(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "identity": torch.nn.Identity(),
}
# problem: data, loss, loss parameters, outputs
PROBLEMS = {
    "squared_error": ("diabetes", "squared_error", {}, 1),
    "squared_error_2_outputs": ("diabetes_2_outputs", "squared_error", {}, 2),
    "huber": ("diabetes", "huber", {"delta": 0.8}, 1),
    "log_loss_binary": ("breast_cancer", "log_loss", {}, 1),
    "log_loss_3_classes": ("iris", "log_loss", {}, 3),
}
HIDDEN = ((5,), (4, 3))


def cases():
    """Every activation and depth with two optimizers; every optimizer with one of them."""
    full = itertools.product(PROBLEMS, ACTIVATIONS, HIDDEN, ("nesterov", "adam"))
    rest = itertools.product(PROBLEMS, ("tanh",), HIDDEN[1:], OPTIMIZERS)
    return list(dict.fromkeys([*full, *rest]))


def split(flat, widths):
    """Each layer's (n_out, n_in + 1) of parameters in one array."""
    sizes = [b * (a + 1) for a, b in itertools.pairwise(widths)]
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(b, -1) for part, b in zip(parts, widths[1:], strict=True)]


def run(X, y, start, activation, loss, loss_parameters, optimizer, batch):
    """Train from ``start``, the rows in order, and return the parameters after EPOCHS."""
    _, _, learning_rate, torch_name, torch_parameters = optimizer
    X = torch.tensor(X)
    y = torch.tensor(y)
    layers = []
    for weights in start:
        layer = torch.nn.Linear(weights.shape[1] - 1, weights.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weights[:, :-1]))
            layer.bias.copy_(torch.tensor(weights[:, -1]))
        layers += [layer, ACTIVATIONS[activation]]
    network = torch.nn.Sequential(*layers[:-1])
    linear = layers[::2]
    groups = [
        {"params": [layer.weight for layer in linear]},
        {"params": [layer.bias for layer in linear], "weight_decay": 0.0},
    ]
    steps = getattr(torch.optim, torch_name)(groups, learning_rate, **torch_parameters)
    records = []
    for epoch in range(1, max(EPOCHS) + 1):
        for rows in torch.arange(len(X)).split(batch):
            steps.zero_grad()
            value = torch_loss(loss, loss_parameters, y[rows], network(X[rows])).mean()
            penalty = ALPHA / 2 * sum(layer.weight.square().sum() for layer in linear)
            (value + penalty).backward()
            steps.step()
        if epoch in EPOCHS:
            both = [torch.column_stack([layer.weight, layer.bias]).ravel() for layer in linear]
            records.append(torch.cat(both).detach().numpy().copy())
    return np.array(records)


def main():
    """Record all cases."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    data = {name: (X[:ROWS, :5], y[:ROWS]) for name, (X, y) in datasets().items()}
    rng = np.random.default_rng(2)
    arrays = {}
    for name, (X, y) in data.items():
        arrays[f"X_{name}"], arrays[f"y_{name}"] = X, y
    listed = []
    for problem, activation, hidden, label in cases():
        data_name, loss, loss_parameters, k = PROBLEMS[problem]
        X, y = data[data_name]
        name = f"{problem}-{activation}-{'x'.join(map(str, hidden))}-{label}"
        widths = [X.shape[1], *hidden, k]
        start = [rng.normal(size=(b, a + 1)) / np.sqrt(a) for a, b in itertools.pairwise(widths)]
        drawn = "start/" + "x".join(map(str, widths))
        if drawn in arrays:
            start = split(arrays[drawn], widths)
        batch = len(X) if label == "gradient_descent" else BATCH
        optimizer = OPTIMIZERS[label]
        record = run(X, y, start, activation, loss, loss_parameters, optimizer, batch)
        assert np.isfinite(record).all(), name
        arrays[drawn] = np.concatenate([layer.ravel() for layer in start])
        arrays[f"end/{name}"] = record
        listed.append(
            {
                "name": name,
                "data": data_name,
                "loss": loss,
                "loss_params": loss_parameters,
                "widths": widths,
                "activation": activation,
                "optimizer": optimizer[0],
                "optimizer_params": optimizer[1],
                "learning_rate": optimizer[2],
                "alpha": ALPHA,
                "batch_size": BATCH,
                "epochs": EPOCHS,
            }
        )
    arrays["cases"] = np.array(json.dumps(listed))
    np.savez_compressed(Path(__file__).with_name("network_trajectories.npz"), **arrays)
    print(f"{len(listed)} cases, torch {torch.__version__}")


if __name__ == "__main__":
    main()
