"""A fitted model: its parameters, its attributes, and predictions with them."""

from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_lossopt._compat import available_if
from sklearn_lossopt._preconditioning.network import forward
from sklearn_lossopt._typing import Array, FloatArray
from sklearn_lossopt.losses import Loss

# Scores whose classes are found at once: several passes over them find them in the cache.
CACHED_SCORES = 20_000

# Fitted attributes of the one kind of model and of the other.
LINEAR = ("coef_", "intercept_")
NETWORK = ("coefs_", "intercepts_", "n_layers_", "n_outputs_", "_activation", "_flat")
# Fitted attributes that not every fit sets.
OPTIONAL = ("delta_", "validation_curve_", "best_iter_", "estimators_")
# Fitted attributes whose names do not end as those of scikit-learn do.
PRIVATE = ("_loss", "_optimizer", "_state", "_stream", "_activation", "_flat")


class FittedParameters(NamedTuple):
    """A model's parameters in the units of X.

    A linear model has an array (k, d) of coefficients and one (k,) of intercepts, a network lists
    of its layers' arrays, (n_in, n_out) and (n_out,).
    """

    coef: np.ndarray | list
    intercept: np.ndarray | list

    @classmethod
    def of(cls, estimator):
        """Those of an estimator; None where it is not fitted."""
        if hasattr(estimator, "coefs_"):
            return cls(estimator.coefs_, estimator.intercepts_)
        if hasattr(estimator, "coef_"):
            dense = np.atleast_2d(dense_coef(estimator.coef_, estimator.intercept_))
            return cls(dense, np.atleast_1d(estimator.intercept_))
        return None

    @classmethod
    def each(cls, estimator):
        """Those of the models whose raw predictions a fitted estimator averages: of several
        networks, which have an axis of members in front, one for each; else of the only model."""
        found = cls.of(estimator)
        if np.ndim(found.coef[0]) < 3:
            return [found]
        return [
            cls([layer[i] for layer in found.coef], [layer[i] for layer in found.intercept])
            for i in range(len(found.coef[0]))
        ]

    @classmethod
    def zeros(cls, widths, dtype):
        """Those of a model that always predicts 0; ``widths`` is as below."""
        shapes = list(pairwise(widths))
        if len(shapes) == 1:
            return cls(np.zeros(shapes[0][::-1], dtype), np.zeros(widths[1], dtype))
        coefs = [np.zeros(shape, dtype) for shape in shapes]
        return cls(coefs, [np.zeros(width, dtype) for width in widths[1:]])

    @property
    def widths(self):
        """The numbers of features, of each hidden layer's units and of outputs."""
        if isinstance(self.coef, list):
            return [self.coef[0].shape[0], *(coef.shape[1] for coef in self.coef)]
        return list(self.coef.shape[::-1])

    @property
    def dtype(self):
        return self.coef[0].dtype

    def attributes(self, architecture, encoding):
        """The fitted attributes that hold them.

        Parameters
        ----------
        architecture : Architecture or None
            None for a linear model.
        encoding : TargetEncoding
        """
        if architecture is None:
            coef, intercept = (self.coef[0], self.intercept[0]) if encoding.flat else self
            return {"coef_": coef, "intercept_": intercept, **encoding.attributes}
        return {
            "coefs_": self.coef, "intercepts_": self.intercept, "n_layers_": len(self.coef) + 1,
            "n_outputs_": encoding.n_outputs, "_activation": architecture.activation,
            "_flat": encoding.flat, **encoding.attributes,
        }  # fmt: skip


def layer_widths(architecture, d, n_outputs):
    """What ``FittedParameters.widths`` of a model are; ``architecture`` is None if it is linear."""
    return [d, n_outputs] if architecture is None else architecture.widths(d, n_outputs)


def fitted_attributes(loss, settings, objective, encoding, validated, result):
    """The fitted attributes of a FitResult; ``loss`` is the estimator's, that of the objective has
    a number for each "auto"."""
    parameters = FittedParameters(result.coef, result.intercept)
    found = {
        "_loss": loss,
        "_optimizer": settings.optimizer,
        "_state": result.state,
        "_stream": result.stream,
        "n_iter_": result.n_iter,
        "t_": result.state.updates,
        "loss_curve_": np.array(result.loss_curve),
        "learning_rate_": result.learning_rate,
        "converged_": result.converged,
        **parameters.attributes(settings.network, encoding),
    }
    if hasattr(loss, "delta"):
        found["delta_"] = objective.loss.delta
    if validated:
        found["validation_curve_"] = np.array(result.validation_curve)
        found["best_iter_"] = result.best_iter
    return found


def untrained_attributes(loss, settings, objective, encoding):
    """The fitted attributes of a stream of which no row has been trained on yet."""
    widths = layer_widths(settings.network, objective.d, objective.n_outputs)
    parameters = FittedParameters.zeros(widths, objective.model_dtype)
    return {
        "_loss": loss, "_stream": None, "n_iter_": 0, "t_": 0, "loss_curve_": np.empty(0),
        "converged_": False, **parameters.attributes(settings.network, encoding),
    }  # fmt: skip


def dense_coef(coef, intercept):
    """A ``coef_`` as an ndarray of the dimensions that it had before it was made sparse."""
    if not sparse.issparse(coef):
        return coef
    dense = coef.toarray()
    return dense[0] if np.ndim(intercept) == 0 else dense


def is_linear(estimator):
    """For ``available_if``: whether the estimator has, or will have, a ``coef_``."""
    if hasattr(estimator, "coefs_") or (
        not hasattr(estimator, "coef_") and np.size(estimator.hidden_layer_sizes)
    ):
        raise AttributeError(
            f"{type(estimator).__name__} with hidden layers has no coef_ to convert."
        )
    return True


def has_probabilities(estimator):
    """For ``available_if``: whether the loss defines probabilities."""
    loss = getattr(estimator, "_loss", None) or Loss.resolve(estimator.loss)
    if not loss.has_proba:
        raise AttributeError(
            f"predict_proba is not available with loss={estimator.loss!r}, whose raw predictions "
            "are not log-odds. Use loss='log_loss', or sklearn.calibration.CalibratedClassifierCV."
        )
    return True


def top_classes(scores):
    """The class (n,) of the highest score in each row (n, k).

    Margin losses can tie exactly: scores that differ by rounding go to the first class.
    """
    found = np.zeros(len(scores), np.intp)
    count = max(1, CACHED_SCORES // scores.shape[1])
    for start in range(0, len(scores), count):
        part = slice(start, start + count)
        # By class: reductions of short rows are slow.
        columns = np.ascontiguousarray(scores[part].T)
        least = columns.max(axis=0)
        size = np.maximum(least, -columns.min(axis=0))
        least -= np.finfo(scores.dtype).eps ** 0.75 * size
        for j in range(len(columns) - 1, -1, -1):
            found[part][columns[j] >= least] = j
    return found


@dataclass
class CheckedRows:
    """Rows that the methods that predict take as X without a check, since one was made before."""

    X: np.ndarray | sparse.spmatrix


class FittedModelMixin:
    """What a fitted model is and does: its attributes, raw predictions, and coefficients dense or
    sparse.

    The estimator has the parameters ``hidden_layer_sizes``, ``n_members`` and ``random_state``, and
    sets the attributes declared here: the first two for a linear model, the others for a network.
    """

    hidden_layer_sizes: Any
    n_members: int
    random_state: Any
    coef_: FloatArray | Any  # a csr_matrix after sparsify
    intercept_: FloatArray | Any  # a float for one target
    coefs_: list[FloatArray]
    intercepts_: list[FloatArray]
    n_layers_: int
    n_outputs_: int
    n_features_in_: int
    feature_names_in_: Array
    n_iter_: int
    t_: int
    loss_curve_: FloatArray
    validation_curve_: FloatArray
    best_iter_: int
    learning_rate_: float
    converged_: bool
    delta_: float | FloatArray
    _activation: str
    _flat: bool  # whether raw predictions have one dimension

    def _fitted(self):
        """All fitted attributes, by name."""
        return {
            name: value for name, value in vars(self).items()
            if name in PRIVATE or (name.endswith("_") and not name.startswith("_"))
        }  # fmt: skip

    def _become(self, attributes):
        """Have these fitted attributes and no others."""
        for name in self._fitted():
            del vars(self)[name]
        vars(self).update(attributes)

    def _forget_fit(self, architecture):
        """Drop fitted attributes that the next fit may not set: a model is linear or a network."""
        for name in (*OPTIONAL, *(NETWORK if architecture is None else LINEAR)):
            vars(self).pop(name, None)

    def _as_fitted(self, attributes, nameless=False):
        """A copy with these fitted attributes; ``nameless`` where it is to take X as an array."""
        model = copy(self)
        vars(model).update(attributes)
        if nameless:
            vars(model).pop("feature_names_in_", None)
        return model

    def _member(self, seed, before=None):
        """The estimator of one member, which goes on from the fitted ``before``."""
        member = copy(self)
        # What was given to the constructor, or set by its user: no callbacks, and no model.
        vars(member).clear()
        vars(member).update(
            {
                name: value for name, value in vars(self).items()
                if not (name.startswith("_") or name.endswith("_"))
            },
            n_members=1, random_state=seed,
        )  # fmt: skip
        if before is not None:
            member._become(before._fitted())
        return member

    def _check_rows(self, X):
        """Rows to predict for, the same for all models of these features."""
        check_is_fitted(self)
        # The check adds all numbers up, which may overflow both ways.
        with np.errstate(invalid="ignore"):
            return CheckedRows(
                validate_data(
                    self, X, dtype=[np.float64, np.float32], accept_sparse="csr", reset=False
                )
            )

    def _raw_predict(self, X):
        """Raw predictions, (n,) for one output and (n, k) for more."""
        X = X.X if isinstance(X, CheckedRows) else self._check_rows(X).X
        if hasattr(self, "coefs_"):
            models = FittedParameters.each(self)
            raws = (forward(X, *model, self._activation) for model in models)
            raw = next(raws)
            if len(models) > 1:
                # One after the other, and small enough that the sum cannot overflow.
                raw = sum((other / len(models) for other in raws), raw / len(models))
            return raw[:, 0] if self._flat else raw
        raw = safe_sparse_dot(X, self.coef_.T, dense_output=True)
        if np.ndim(self.intercept_) == 0:
            # A sparse coef_ has two dimensions.
            raw = raw.reshape(-1)
        return raw + self.intercept_

    @available_if(is_linear)
    def sparsify(self) -> Self:
        """Convert ``coef_`` to a CSR matrix, always of shape (n_outputs, n_features).

        Predictions are the same, up to rounding. With mostly zeros, which ``l1_ratio`` brings, it
        takes less memory; with less than half of them, more.

        Returns
        -------
        self : estimator
            With ``coef_`` converted in place.
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_matrix(self.coef_)
        return self

    @available_if(is_linear)
    def densify(self) -> Self:
        """Convert a sparse ``coef_`` back to an ndarray.

        Returns
        -------
        self : estimator
            With ``coef_`` converted in place.
        """
        check_is_fitted(self)
        self.coef_ = dense_coef(self.coef_, self.intercept_)
        return self
