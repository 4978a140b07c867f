"""What the two estimators share to train on a stream of chunks. Floor 3."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sklearn_lossopt._base import ONE_BLAS_THREAD
from sklearn_lossopt._stream import Stream, advance
from sklearn_lossopt._training import State


class TakesChunks:
    """One pass over one chunk a call, going on from the calls before."""

    def _chunk_settings(self, loss):
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True is not known to partial_fit, which never sees all rows. Set "
                "early_stopping=False, and stop calling it when a score of your own gets worse."
            )
        if getattr(self, "class_weight", None) == "balanced":
            raise ValueError(
                "class_weight='balanced' is not known to partial_fit, which cannot count rows that "
                "are still to come. Pass class_weight=dict(zip(classes, "
                "sklearn.utils.compute_class_weight('balanced', classes=classes, y=sample))) with "
                "a sample of all labels."
            )
        settings = self._settings(loss)
        if settings.optimizer.minimize is not None:
            raise ValueError(
                f"optimizer={self.optimizer!r} minimises the objective of all rows, which "
                "partial_fit never sees. Use one that makes steps, such as 'adam'."
            )
        return settings

    def _validate_chunk(self, X, y, **check):
        """The chunk as the model's features and, from the second call on, of its dtype."""
        started = hasattr(self, "coef_")
        X, y = self._validate(X, y, reset=not started, **check)
        if started and X.dtype != self.coef_.dtype:
            with np.errstate(over="ignore"):
                X = X.astype(self.coef_.dtype)
            if not np.isfinite(X.data if sparse.issparse(X) else X).all():
                raise ValueError(
                    "X is too large for float32, the type of the model. Start the stream with "
                    "float64 rows."
                )
        return X, y

    def _train_chunk(
        self, data, target_kind, n_outputs, loss, settings, shape, factors=None
    ):
        """One pass over a chunk, and the fitted attributes; arguments as of ``_train``."""
        data = data.times(factors)
        if data.rows is not None and len(data.rows) == 0:
            return self._untouched(data.X, n_outputs, loss, shape)
        problem = self._problem(replace(data, weight=None), target_kind, n_outputs, loss)
        start = before = None
        seed, stream = data.seed, getattr(self, "_stream", None)
        if getattr(self, "t_", 0) > 0:
            before, seed = self._state, self._state.seed
            start = np.atleast_2d(self._dense_coef()), np.atleast_1d(self.intercept_)
        state = State.fresh(problem, settings.optimizer, seed)
        state.space = b"" if self.precondition is False else b"stream"
        if before is not None:
            state = replace(
                state, epoch=before.epoch, updates=before.updates, curve=list(before.curve)
            )
            memory = self._memory(settings.optimizer, data.X.dtype)
            if memory is not None and memory.space == state.space:
                state = replace(state, slots=memory.slots, steps=memory.steps)
        stream = Stream(state) if stream is None else replace(stream, state=state)
        with ONE_BLAS_THREAD:
            outcome = advance(problem, data.weight, settings, stream, start)
        outcome.n_iter = getattr(self, "n_iter_", 0) + 1
        outcome.loss_curve = np.append(getattr(self, "loss_curve_", []), outcome.loss_curve)
        for name in ("delta_", "validation_curve_", "best_iter_"):
            vars(self).pop(name, None)
        vars(self).update(self._attributes(problem, loss, settings, False, shape, outcome))
        return self

    def _untouched(self, X, n_outputs, loss, shape):
        """The model as it is; before the first row, that of zeros."""
        if not hasattr(self, "coef_"):
            zeros = np.zeros((n_outputs, X.shape[1]), X.dtype), np.zeros(n_outputs, X.dtype)
            self._loss, self._stream = loss, None
            self.n_iter_ = self.t_ = 0
            self.loss_curve_, self.converged_ = np.empty(0), False
            vars(self).update(shape(*zeros))
        return self
