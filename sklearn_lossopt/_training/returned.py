"""The model that a fit returns, as the user has it: whether it still is what training measured."""

import numpy as np

from sklearn_lossopt._solvers.certificate import sum_losses
from sklearn_lossopt._solvers.null_space import smallest

# Digits of predictions that are lost beside the tolerance before the model is measured itself.
SMALL = 0.1


def measured(given, iterate, convergence, make_result):
    """The fit's result and F there, the latter None where it is what training measured.

    Training has rows less what their columns have in common, or in other coordinates. Rows as they
    are may hide in the rounding of an intercept, or of terms that cancel, what coefficients have
    gained: light rows and columns that hardly vary let these become as large as they like. Where
    such rounding could matter, F is measured on the rows as they are. Where it does, the smallest
    of the weights that predict nearly the same is tried.

    Parameters
    ----------
    given : Objective
        On the user's rows.
    iterate : Iterate
        At the weights that are returned.
    convergence : Convergence
    make_result : callable
        Maps weights to a FitResult.
    """
    result = make_result(iterate.weights)
    preconditioner = iterate.preconditioner
    moved = preconditioner.shift is not None or preconditioner.changes
    if preconditioner.network is not None or given.in_partitions or not moved:
        return result, None
    value = iterate.evaluate()
    if not np.isfinite(result.coef).all() or not np.isfinite(result.intercept).all():
        # To be refused.
        return result, None
    if not _may_differ(given, preconditioner, convergence.target(value), result):
        return result, None
    reached = _objective(given, result)
    if reached - value <= convergence.rounding(value):
        return result, reached
    before = iterate.weights.copy()
    weights = smallest(iterate.objective, preconditioner.shift, before.astype(np.float64))
    iterate.weights[...] = weights
    other = make_result(iterate.weights)
    found = _objective(given, other)
    if found < reached:
        return other, found
    iterate.weights[...] = before
    return result, reached


def _may_differ(given, preconditioner, wanted, result):
    """Whether rounding of the terms of a prediction may cost F a part of the gap that is wanted,
    or other coordinates could, in which a penalty is what it was to their accuracy."""
    if preconditioner.changes:
        return True
    terms = np.abs(result.coef.astype(np.float64)) @ given.column_sizes()
    size = np.max(terms + np.abs(result.intercept), initial=0.0)
    unit = 1.0 if given.loss._has_link else preconditioner.hessian.y_scale
    cost = np.finfo(given.model_dtype).eps * size / unit * preconditioner.loss_scale
    return not cost <= SMALL * wanted


def _objective(given, result):
    """F of a result on the user's rows."""
    W = np.column_stack([result.coef, result.intercept]).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        (losses,) = given.total(sum_losses, None, W)
        value = float(losses.sum()) + given.penalty(W[:, :-1])
    return value if np.isfinite(value) else np.inf
