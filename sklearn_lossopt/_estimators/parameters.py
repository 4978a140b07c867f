"""What an estimator's parameters say, resolved and checked. All of it happens before the data."""

import numpy as np
from sklearn.metrics import check_scoring

from sklearn_lossopt._preconditioning.network import Architecture
from sklearn_lossopt._training.state import Settings
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Schedule


def resolve_loss(estimator):
    """The Loss that ``loss`` stands for, one for the estimator's task."""
    task = estimator._task
    loss = Loss.resolve(estimator.loss, accepts=lambda found: getattr(found, task))
    if not getattr(loss, task):
        known = sorted(name for name, (found, _) in Loss._names.items() if getattr(found, task))
        raise ValueError(
            f"loss={estimator.loss!r} is not a {task} loss; {type(estimator).__name__} takes "
            f"{', '.join(map(repr, known))}. Use {estimator._other} for it."
        )
    return loss


def resolve_scorer(estimator):
    """The function that ``scoring`` stands for; None for the loss."""
    if isinstance(estimator.scoring, str) and estimator.scoring == "loss":
        return None
    try:
        return check_scoring(estimator, estimator.scoring)
    except ValueError as error:
        raise ValueError(f"scoring must be 'loss' or a scorer. {error}") from None


def resolve_settings(estimator, loss):
    """The Settings of a fit; ValueError where two parameters exclude each other."""
    resolve_scorer(estimator)
    optimizer = Optimizer.resolve(estimator.optimizer)
    automatic = isinstance(estimator.schedule, str) and estimator.schedule == "auto"
    schedule = None if automatic else Schedule.resolve(estimator.schedule, also=("auto",))
    if optimizer.full_batch and estimator.batch_size != "auto":
        raise ValueError(
            f"batch_size={estimator.batch_size!r} cannot be set with optimizer="
            f"{estimator.optimizer!r}, which always uses all rows. Leave batch_size='auto', or "
            f"use optimizer='sgd' for mini-batches."
        )
    _check_line_search(estimator, optimizer)
    _check_smooth(estimator, loss, optimizer)
    if estimator.precondition == "whiten" and estimator.l1_ratio > 0 and estimator.alpha > 0:
        raise ValueError(
            f"precondition='whiten' mixes the features, which l1_ratio={estimator.l1_ratio!r} "
            "cannot be split over. Use precondition='scale' or 'auto', or l1_ratio=0."
        )
    rate, batch_size = estimator.learning_rate, estimator.batch_size
    return Settings(
        task=estimator._task,
        optimizer=optimizer,
        schedule=schedule,
        learning_rate=None if rate == "auto" else float(rate),
        batch_size=None if batch_size == "auto" else int(batch_size),
        max_iter=estimator.max_iter,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        precondition=estimator.precondition,
        shuffle=estimator.shuffle,
        verbose=int(estimator.verbose),
        network=_architecture(estimator, optimizer),
    )


def _check_line_search(estimator, optimizer):
    """Raise where a step size is set of an optimizer that finds its own."""
    if optimizer.minimize is None:
        return
    for name in ("learning_rate", "schedule"):
        value = getattr(estimator, name)
        if not (isinstance(value, str) and value == "auto"):
            raise ValueError(
                f"{name}={value!r} cannot be set with optimizer={estimator.optimizer!r}, which "
                f"finds the length of its steps by a line search. Leave {name}='auto', or use "
                "another optimizer, such as 'nesterov'."
            )


def _check_smooth(estimator, loss, optimizer):
    """Raise where the objective is non-smooth and the optimizer cannot minimise it."""
    if not optimizer.needs_smooth:
        return
    if not loss.smooth:
        smooth = sorted(
            name for name, found in Loss.registry().items()
            if getattr(found, estimator._task) and found.smooth
        )  # fmt: skip
        raise ValueError(
            f"optimizer={estimator.optimizer!r} needs a loss without kinks, which "
            f"loss={estimator.loss!r} has. Use another optimizer, such as 'adam', or one of the "
            f"losses {', '.join(map(repr, smooth))}."
        )
    if estimator.l1_ratio > 0 and estimator.alpha > 0:
        raise ValueError(
            f"optimizer={estimator.optimizer!r} needs a penalty without kinks, which "
            f"l1_ratio={estimator.l1_ratio!r} with loss={estimator.loss!r} has. Use l1_ratio=0, or "
            "another optimizer, such as 'adam', which takes proximal steps."
        )


def _architecture(estimator, optimizer):
    """An Architecture; None for a linear model."""
    hidden = np.atleast_1d(np.asarray(estimator.hidden_layer_sizes, dtype=object)).tolist()
    if not hidden:
        return None
    if estimator.precondition == "whiten":
        raise ValueError(
            "precondition='whiten' is for linear models. With hidden layers use 'auto' or "
            "'scale', which standardise the features, or False."
        )
    dropout = None if estimator.dropout == "auto" else float(estimator.dropout)
    decay = None if estimator.weight_decay == "auto" else float(estimator.weight_decay)
    if optimizer.minimize is not None and dropout:
        raise ValueError(
            f"optimizer={estimator.optimizer!r} minimises one fixed objective, which dropout="
            f"{estimator.dropout!r} changes at random. Use dropout=0, or another optimizer."
        )
    if decay and not optimizer._takes_weight_decay:
        own = hasattr(optimizer, "weight_decay")
        raise ValueError(
            f"weight_decay={estimator.weight_decay!r} cannot be set with optimizer="
            f"{estimator.optimizer!r}, which "
            + ("has a weight_decay of its own" if own else "makes no steps from shrunken weights")
            + ". Leave weight_decay='auto', which is 0 for it."
        )
    return Architecture(tuple(hidden), estimator.activation, dropout, decay)
