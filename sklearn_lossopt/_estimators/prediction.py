"""A fitted model's parameters: coefficients, or the layers of a network. Floor 3."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_lossopt._compat import Interval, StrOptions
from sklearn_lossopt._engine import ACTIVATION_KERNELS
from sklearn_lossopt._preconditioning.network import Architecture, forward

CONSTRAINTS = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATION_KERNELS))],
    "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
}
# Fitted attributes of the one kind of model and of the other.
LINEAR = ("coef_", "intercept_")
NETWORK = ("coefs_", "intercepts_", "n_layers_", "n_outputs_", "_activation", "_flat")


def is_linear(estimator):
    """For ``available_if``: whether the estimator has, or will have, a ``coef_``."""
    if hasattr(estimator, "coefs_") or (
        not hasattr(estimator, "coef_") and np.size(estimator.hidden_layer_sizes)
    ):
        raise AttributeError(
            f"{type(estimator).__name__} with hidden layers has no coef_ to convert."
        )
    return True


@dataclass
class CheckedRows:
    """What the methods that predict take for X too: rows that one of them would not change."""

    X: np.ndarray | sparse.spmatrix


class HasLayers:
    """The part of an estimator that has coefficients, or layers of them."""

    def _architecture(self, optimizer):
        """An Architecture; None for a linear model."""
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        if not hidden:
            return None
        if self.precondition == "whiten":
            raise ValueError(
                "precondition='whiten' is for linear models. With hidden layers use 'auto' or "
                "'scale', which standardise the features, or False."
            )
        dropout = None if self.dropout == "auto" else float(self.dropout)
        if optimizer.minimize is not None and dropout:
            raise ValueError(
                f"optimizer={self.optimizer!r} minimises one fixed objective, which dropout="
                f"{self.dropout!r} changes at random. Use dropout=0, or another optimizer."
            )
        return Architecture(tuple(hidden), self.activation, dropout)

    def _model(self):
        """Coefficients (k, d) and intercepts (k,), or lists of the layers' ones."""
        if hasattr(self, "coefs_"):
            return self.coefs_, self.intercepts_
        return np.atleast_2d(self._dense_coef()), np.atleast_1d(self.intercept_)

    def _network_start(self, widths):
        """The last fit's layers, if they have these widths."""
        if not hasattr(self, "coefs_"):
            return None
        found = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        return (self.coefs_, self.intercepts_) if found == widths else None

    @staticmethod
    def _parameters(coef, intercept, architecture, shape):
        """The attributes that hold a model's parameters; ``shape`` makes those of a linear one."""
        if architecture is None:
            return shape(coef, intercept)
        k = coef[-1].shape[1]
        others = shape(np.zeros((k, 1)), np.zeros(k))
        flat, _ = others.pop("coef_").ndim == 1, others.pop("intercept_")
        return {
            "coefs_": coef, "intercepts_": intercept, "n_layers_": len(coef) + 1, "n_outputs_": k,
            "_activation": architecture.activation, "_flat": flat, **others,
        }  # fmt: skip

    def _forget_other_kind(self, architecture):
        """A model is linear or a network: another that the last fit was is gone."""
        for name in NETWORK if architecture is None else LINEAR:
            vars(self).pop(name, None)

    def _checked(self, X):
        """Rows to predict for, the same for all models of these features."""
        check_is_fitted(self)
        return CheckedRows(
            validate_data(self, X, dtype=[np.float64, np.float32], accept_sparse="csr", reset=False)
        )

    def _raw_predict(self, X):
        """Raw predictions, (n,) for one output and (n, k) for more."""
        X = X.X if isinstance(X, CheckedRows) else self._checked(X).X
        if hasattr(self, "coefs_"):
            raw = forward(X, self.coefs_, self.intercepts_, self._activation)
            return raw[:, 0] if self._flat else raw
        raw = safe_sparse_dot(X, self.coef_.T, dense_output=True)
        if np.ndim(self.intercept_) == 0:
            # A sparse coef_ has two dimensions.
            raw = raw.reshape(-1)
        return raw + self.intercept_

    # -- sparse coefficients ----------------------------------------------------------------

    def _dense_coef(self):
        if not sparse.issparse(self.coef_):
            return self.coef_
        dense = self.coef_.toarray()
        return dense[0] if np.ndim(self.intercept_) == 0 else dense

    @available_if(is_linear)
    def sparsify(self):
        """Keep ``coef_`` as a CSR matrix, (n_outputs, n_features) whatever its shape was.

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
    def densify(self):
        """Turn a ``coef_`` that ``sparsify`` made sparse back into an ndarray.

        Returns
        -------
        self : estimator
            With ``coef_`` converted in place.
        """
        check_is_fitted(self)
        self.coef_ = self._dense_coef()
        return self
