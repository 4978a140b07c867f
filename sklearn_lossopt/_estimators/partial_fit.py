"""One chunk of a stream for ``partial_fit``: what is checked, and what training goes on from."""

import numpy as np
from scipy import sparse

from sklearn_lossopt._blas import ONE_BLAS_THREAD
from sklearn_lossopt._streaming.chunk import advance
from sklearn_lossopt._streaming.statistics import Stream
from sklearn_lossopt._training.state import State, altered
from sklearn_lossopt.optimizers import Optimizer


def takes_chunks(estimator):
    """For ``available_if``: whether an estimator's parameters leave it ``partial_fit``."""
    if estimator.early_stopping:
        raise AttributeError(
            "early_stopping=True needs all rows, which partial_fit never sees. Set "
            "early_stopping=False, and stop calling it when a score of your own gets worse."
        )
    try:
        optimizer = Optimizer.resolve(estimator.optimizer)
    except (TypeError, ValueError):
        return True  # and the call says what is wrong
    if optimizer.minimize is not None:
        raise AttributeError(
            f"optimizer={estimator.optimizer!r} looks for the minimum of all rows, which "
            "partial_fit never sees. Use one that steps, such as 'sgd' or 'adam'."
        )
    if optimizer._has_average and np.size(estimator.hidden_layer_sizes):
        raise AttributeError(
            f"optimizer={estimator.optimizer!r} has a mean, which partial_fit keeps for linear "
            "models only. With hidden layers use another, such as 'adam'."
        )
    return True


def check_chunk_parameters(estimator):
    """Raise where a parameter needs all rows of the stream at once."""
    if getattr(estimator, "class_weight", None) == "balanced":
        raise ValueError(
            "class_weight='balanced' is not known to partial_fit, which cannot count rows that "
            "are still to come. Pass class_weight=dict(zip(classes, "
            "sklearn.utils.compute_class_weight('balanced', classes=classes, y=sample))) with "
            "a sample of all labels."
        )


def cast(X, dtype):
    """The rows of a chunk in the float type of the model."""
    if X.dtype == dtype:
        return X
    X = X.astype(dtype)
    if not np.isfinite(X.data if sparse.issparse(X) else X).all():
        raise ValueError(
            "X is too large for float32, the type of the model. Start the stream with float64 rows."
        )
    return X


def train_chunk(objective, weight, settings, seed, stream, start, last_state, memory):
    """One pass over a chunk.

    Parameters
    ----------
    objective : Objective
        Of the chunk, without weights.
    weight : ndarray or None
    settings : Settings
    seed : int
        For a stream that begins.
    stream : Stream or None
        Of the calls before.
    start : FittedParameters or None
        The model so far.
    last_state : State or None
        That of the last call, whose counts go on.
    memory : State or None
        The same if the optimizer can go on from its memory too.

    Returns
    -------
    result : FitResult
    """
    state = State.fresh(
        objective, settings.optimizer, seed if last_state is None else last_state.seed,
        settings.network,
    )  # fmt: skip
    state.fingerprint = b"" if settings.precondition is False else b"stream"
    if last_state is not None:
        state = altered(
            state, epoch=last_state.epoch, updates=last_state.updates, curve=last_state.curve,
            ahead=last_state.ahead,
        )  # fmt: skip
        if memory is not None and memory.fingerprint == state.fingerprint:
            state = altered(
                state, slots=memory.slots, steps=memory.steps, raw_iterate=memory.raw_iterate
            )
    stream = Stream(state) if stream is None else altered(stream, state=state)
    with ONE_BLAS_THREAD:
        return advance(objective, weight, settings, stream, start)
