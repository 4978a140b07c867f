"""Losses, dual variables and duality gaps of rows, and their sums: the functions that
``Objective.total`` adds up over all rows, and what they are made of."""

import numpy as np


def sum_losses(loss, joint, x, y, share, weights):
    """Sums over rows for ``Objective.total``: the losses at the weights, of each output."""
    return ((share * row_losses(loss, y, x.predict(weights), joint)[0]).sum(axis=0),)


def sum_gaps(loss, joint, x, y, share, weights, direction):
    """The same of the losses, of the duality gaps that a direction promises, and of the duals times
    the rows."""
    value, dual, gap = row_gaps(loss, y, x.predict(weights), x.predict(direction), joint)
    return (share * value).sum(axis=0), (share * gap).sum(axis=0), x.pull(dual * share)


def sum_sizes(loss, joint, x, y, share, weights, direction):
    """The same of the sizes of the terms that add up to duals times rows."""
    x = x.array()
    raw = x @ weights.T
    dual = np.abs(row_gaps(loss, y, raw, x @ direction.T, joint)[1])
    # Predictions are rounded too: where rows are met exactly, duals are that alone.
    dual += 0.01 * loss._curvature(y, raw) * (abs(x) @ np.abs(weights).T)
    return ((dual * share).T @ abs(x),)


def sum_curved_moments(loss, joint, x, y, share, weights):
    """The same of the columns' squares (k, d) and of the rows (k, d + 1), times the curvature."""
    h = loss._curvature(y, x.predict(weights)) * share
    return np.stack([x.column_squares(each) for each in h.T.copy()]), x.pull(h)


def sum_curvature(loss, joint, x, y, share, weights, constant, floor):
    """The same of the curvature, a matrix for each output; one for all where it is ``constant``."""
    if constant is None:
        h = np.maximum(loss._curvature(y, x.predict(weights)), floor)
    else:
        h = np.full(share.shape, constant)
    return tuple(x.grams(h * share))


def row_losses(loss, y, raw, joint):
    """Losses and derivatives (n, k); of a joint loss the first column has all of the loss."""
    if not joint and all(loss._of_output(r) is loss for r in range(raw.shape[1])):
        # One loss of all numbers.
        flat = np.ascontiguousarray(y, np.float64).ravel(), raw.ravel()
        parts = loss.loss_gradient(*flat)
        return tuple(np.asarray(part, np.float64).reshape(raw.shape) for part in parts)
    value, gradient = np.zeros(raw.shape), np.empty(raw.shape)
    if joint:
        value[:, 0], gradient[...] = loss.loss_gradient(y, raw)
        return value, gradient
    for r in range(raw.shape[1]):
        value[:, r], gradient[:, r] = loss._of_output(r).loss_gradient(
            np.ascontiguousarray(y[:, r], np.float64), np.ascontiguousarray(raw[:, r])
        )
    return value, gradient


def row_gaps(loss, y, raw, moved, joint):
    """For each row and output: the loss, the dual variable of a change of the raw prediction, and
    by how much that dual falls short of the loss. Of a joint loss the first column has all."""
    k = raw.shape[1]
    value, gradient = row_losses(loss, y, raw, joint)
    dual = gradient + loss._curvature_operator(y, raw)(moved)
    if not joint and loss._dual_form(y) is not None:
        dual = np.clip(dual, *loss._dual_domain(y))
    gap = loss._fenchel_gap(y, raw, dual)
    if gap is None and not joint:
        gap = inverted_gap(loss, y, raw, dual, moved, value, gradient)
    if gap is None:
        gap = 0.5 * ((dual - gradient) * moved).sum(axis=1)
    if gap.ndim == 1:
        gap = np.column_stack([gap, np.zeros((len(gap), k - 1))])
    return value, dual, gap


def inverted_gap(loss, y, raw, dual, moved, value, gradient):
    """The same for a loss without a formula for its conjugate: the raw prediction where the dual
    is the derivative is looked for. Where the loss is not convex, its quadratic model's."""
    gap = np.empty(raw.shape)
    for r in range(raw.shape[1]):
        one, target = loss._of_output(r), np.ascontiguousarray(y[:, r], np.float64)
        start, wanted = raw[:, r], dual[:, r]
        z = start + moved[:, r]
        for _ in range(20):
            there, slope = one.loss_gradient(target, z)
            miss = wanted - slope
            h = one._curvature(target[:, None], z[:, None])[:, 0]
            # What is missed changes the gap by its square; less than the slope's rounding is none.
            rounding = 1e-13 * (np.abs(wanted) + h * (1 + np.abs(z)))
            done = np.abs(miss) <= 1e-3 * np.abs(wanted - gradient[:, r]) + rounding
            if done.all():
                break
            limit = 2 * np.abs(moved[:, r]) + 1e-8
            step = np.where(h > 0, miss / np.where(h > 0, h, 1), 0)
            z = z + np.where(done, 0, np.clip(step, -limit, limit))
        found = value[:, r] - there - wanted * (start - z)
        model = 0.5 * np.abs((wanted - gradient[:, r]) * moved[:, r])
        tiny = 1e-12 * (np.abs(value[:, r]) + np.abs(there))
        found = np.where(found < -tiny, model, np.maximum(found, 0))
        gap[:, r] = np.where(done, found, np.inf)
    return gap
