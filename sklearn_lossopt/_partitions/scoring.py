"""What scores are made of: sums over blocks, by pure functions of one Block."""

import numpy as np


def _parts(block):
    """Targets (n, k), or labels (n, 1), and weights (n,)."""
    y = np.asarray(block.y)
    weight = np.ones(len(y)) if block.weight is None else np.asarray(block.weight, np.float64)
    return y.reshape(len(y), -1), weight


def sum_targets(block):
    """The sum of the weights, and of the weighted targets (k,)."""
    if block.rows == 0:
        return None
    y, weight = _parts(block)
    return weight.sum(), weight @ y.astype(np.float64)


def sum_squares(block, model, mean):
    """Weighted sums of squares (k,) of what a model's predictions leave, and about the mean."""
    if block.rows == 0:
        return None
    y, weight = _parts(block)
    predicted = model.predict(block.X).reshape(y.shape)
    return weight @ (y - predicted) ** 2, weight @ (y - mean) ** 2


def count_right(block, model):
    """The sum of the weights, and of those of the rows whose label a model predicts."""
    if block.rows == 0:
        return None
    y, weight = _parts(block)
    return weight.sum(), weight @ (model.predict(block.X) == y[:, 0])
