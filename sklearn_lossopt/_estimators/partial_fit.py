"""What the two estimators share to train on a stream of chunks. Floor 3."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import sparse

from sklearn_lossopt._blas import ONE_BLAS_THREAD
from sklearn_lossopt._streaming.chunk import advance
from sklearn_lossopt._streaming.statistics import Stream
from sklearn_lossopt._training.state import State
from sklearn_lossopt.optimizers import Optimizer


def takes_chunks(estimator):
    """Whether an estimator's settings leave it ``partial_fit``."""
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


class TakesChunks:
    """One pass over one chunk a call, going on from the calls before."""

    def _chunk_settings(self, loss):
        if getattr(self, "class_weight", None) == "balanced":
            raise ValueError(
                "class_weight='balanced' is not known to partial_fit, which cannot count rows that "
                "are still to come. Pass class_weight=dict(zip(classes, "
                "sklearn.utils.compute_class_weight('balanced', classes=classes, y=sample))) with "
                "a sample of all labels."
            )
        return self._settings(loss)

    def _validate_chunk(self, X, y, **check):
        """The chunk as the model's features and, from the second call on, of its dtype."""
        started = hasattr(self, "coef_") or hasattr(self, "coefs_")
        X, y = self._validate(X, y, reset=not started, **check)
        dtype = self._model()[0][0].dtype if started else X.dtype
        if X.dtype != dtype:
            with np.errstate(over="ignore"):
                X = X.astype(dtype)
            if not np.isfinite(X.data if sparse.issparse(X) else X).all():
                raise ValueError(
                    "X is too large for float32, the type of the model. Start the stream with "
                    "float64 rows."
                )
        return X, y

    def _train_chunk(self, data, target_kind, n_outputs, loss, settings, shape, class_weights=None):
        """One pass over a chunk, and the fitted attributes; arguments as of ``_train``."""
        data = data.times(class_weights)
        if data.rows is not None and len(data.rows) == 0:
            return self._untouched(data.X, n_outputs, loss, settings, shape)
        objective = self._objective(replace(data, weight=None), target_kind, n_outputs, loss)
        start = before = None
        seed, stream = data.seed, getattr(self, "_stream", None)
        if getattr(self, "t_", 0) > 0:
            before, seed = self._state, self._state.seed
            start = self._known_start(objective, settings.network)
        state = State.fresh(objective, settings.optimizer, seed, settings.network)
        state.fingerprint = b"" if self.precondition is False else b"stream"
        if before is not None:
            state = replace(state, epoch=before.epoch, updates=before.updates, curve=before.curve)
            memory = self._memory(settings.optimizer, data.X.dtype)
            if memory is not None and memory.fingerprint == state.fingerprint:
                state = replace(
                    state, slots=memory.slots, steps=memory.steps, raw_iterate=memory.raw_iterate
                )
        stream = Stream(state) if stream is None else replace(stream, state=state)
        with ONE_BLAS_THREAD:
            result = advance(objective, data.weight, settings, stream, start)
        result.n_iter = getattr(self, "n_iter_", 0) + 1
        curve = getattr(self, "loss_curve_", np.empty(0))
        result.loss_curve = result.stream.curve(curve, result.loss_curve[0])
        for name in ("delta_", "validation_curve_", "best_iter_"):
            vars(self).pop(name, None)
        vars(self).update(self._attributes(objective, loss, settings, False, shape, result))
        return self

    def _known_start(self, objective, network):
        """The model so far, which must be of the same kind and shape as the next call's."""
        start, d, k = self._model(), objective.d, objective.n_outputs
        if network is not None:
            start = self._network_start(network.widths(d, k))
        if start is None or (network is None and hasattr(self, "coefs_")):
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} does not go on from a model of "
                "other layers. Use fit to start anew."
            )
        return start

    def _untouched(self, X, n_outputs, loss, settings, shape):
        """The model as it is; before the first row, that of zeros."""
        if not (hasattr(self, "coef_") or hasattr(self, "coefs_")):
            widths = [X.shape[1], n_outputs]
            if settings.network is not None:
                widths = settings.network.widths(*widths)
            zeros = [np.zeros(pair, X.dtype) for pair in pairwise(widths)]
            none = [np.zeros(width, X.dtype) for width in widths[1:]]
            if settings.network is None:
                zeros, none = zeros[0].T, none[0]
            self._loss, self._stream = loss, None
            self.n_iter_ = self.t_ = 0
            self.loss_curve_, self.converged_ = np.empty(0), False
            vars(self).update(self._parameters(zeros, none, settings.network, shape))
        return self
