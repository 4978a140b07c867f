"""Rows that an estimator trains on, and those it holds out to validate with. Floor 3."""

import math
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from sklearn.metrics import check_scoring
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from sklearn_lossopt._compat import check_y
from sklearn_lossopt._estimators.validation_split import set_aside
from sklearn_lossopt._training.monitor import Validation


@contextmanager
def naming(name):
    """Errors inside name the parameter that they are about."""
    try:
        yield
    except ValueError as error:
        if name in str(error):
            raise
        raise ValueError(f"{name}: {error}") from error


def canonical(X):
    """Sparse X as the engine takes it."""
    if X.nnz and not 0 <= X.indices.min() <= X.indices.max() < X.shape[1]:
        raise ValueError(
            f"X has column indices from {X.indices.min()} to {X.indices.max()}, but "
            f"{X.shape[1]} columns. Build it anew from its data."
        )
    if not X.has_canonical_format:
        # Numbers stored twice for one place are to be added; not in the caller's X.
        X = X.copy()
        X.sum_duplicates()
    return sparse.csr_array(X)


@dataclass
class Data:
    """Rows to train on or to validate with."""

    X: np.ndarray | sparse.csr_array
    y: np.ndarray  # as the user knows it
    target: np.ndarray  # as a Objective does
    code: np.ndarray | None  # class indices, if they are classes
    weight: np.ndarray | None
    rows: np.ndarray | None  # those used; None for all
    seed: int = 0

    def times(self, class_weights):
        """With weights multiplied by those of the classes."""
        if class_weights is None:
            return self
        weight = np.ones(len(self.y)) if self.weight is None else self.weight.copy()
        used = slice(None) if self.rows is None else self.rows
        weight[used] *= class_weights[self.code[used].astype(np.intp)]
        # Weights of rows not used, such as those for validation, stay.
        rows = np.arange(len(weight), dtype=np.uint32)[used]
        rows = rows[weight[used] > 0]
        return replace(self, weight=weight, rows=None if len(rows) == len(weight) else rows)


class HoldsOut:
    """The part of an estimator that validates its training."""

    def _hold_out(self, data, validation, encode):
        """Split the rows for validation off, or take those that were passed to fit.

        Parameters
        ----------
        data : Data
            All rows passed as X.
        validation : tuple
            ``X_val``, ``y_val`` and ``sample_weight_val`` as given to ``fit``.
        encode : callable
            Makes ``Data.target`` and ``Data.code`` of a valid y and the rows used.

        Returns
        -------
        rows : ndarray or None
            Those to train on; None for all.
        held : Data or None
        """
        X_val, y_val, weight = validation
        given = {"X_val": X_val, "y_val": y_val}
        if X_val is None and y_val is None:
            if weight is not None:
                raise ValueError(
                    "sample_weight_val is passed, but X_val and y_val are not. Pass them too."
                )
            return self._set_aside(data) if self.early_stopping else (data.rows, None)
        for name, value in given.items():
            if value is None:
                (other,) = given.keys() - {name}
                raise ValueError(f"{other} is passed, but {name} is not. Pass both or neither.")
        with naming("X_val"):
            array = check_array(
                X_val, dtype=data.X.dtype, order="C", accept_sparse="csr", input_name="X_val"
            )
            if sparse.issparse(data.X):
                array = canonical(sparse.csr_array(array))
            elif sparse.issparse(array):
                array = array.toarray()
            # The names and the number of the features.
            validate_data(self, X_val, reset=False, skip_check_array=True)
        with naming("y_val"):
            numeric = self._task == "regression"
            y_val = check_y(y_val, multi_output=numeric, y_numeric=numeric)
            check_consistent_length(array, y_val)
        with naming("sample_weight_val"):
            weight, rows = self._used_rows(weight, array)
        with naming("y_val"):
            return data.rows, Data(array, y_val, *encode(y_val, rows), weight, rows)

    def _held(self, data, validation, encode, loss, cache):
        """What ``_hold_out`` returns, found once for all that share the memo."""
        parts = data.X, data.y, data.weight, data.rows, data.seed, self.early_stopping
        if any(given is not None for given in validation):
            # The loss checks what it is given.
            parts = *parts, *validation, *loss._identity()
        else:
            parts = *parts, self.validation_fraction
        return cache("held", parts, lambda: self._hold_out(data, validation, encode))

    def _set_aside(self, data):
        kept, rows = set_aside(
            data.X, data.code, data.weight, data.rows, self.validation_fraction, data.seed
        )
        if len(rows) == 0:
            raise ValueError(
                f"early_stopping=True needs rows for validation, but of n_samples="
                f"{len(kept)} all are alike{'' if data.code is None else ' in each class'}. "
                "Pass X_val and y_val, or set early_stopping=False."
            )
        return kept, replace(data, rows=rows)

    def _scorer(self):
        """The function that ``scoring`` stands for; None for the loss."""
        if isinstance(self.scoring, str) and self.scoring == "loss":
            return None
        try:
            return check_scoring(self, self.scoring)
        except ValueError as error:
            raise ValueError(f"scoring must be 'loss' or a scorer. {error}") from None

    def _validation(self, held, class_weights, attributes, objective):
        """How rows held out judge a fit of a problem."""
        scorer = self._scorer()
        if scorer is not None:
            return Validation(
                self.early_stopping, score=self._score(scorer, held, attributes, objective.cache)
            )
        cache = objective.cache
        held = cache("held with factors", (held, class_weights), lambda: held.times(class_weights))
        if held.rows is not None and len(held.rows) == 0:
            raise ValueError(
                f"class_weight={self.class_weight!r} gives all rows for validation a weight of 0. "
                "Pass X_val and y_val with other classes, or use another scoring than 'loss'."
            )
        judged = self._objective(
            held, objective.target_kind, objective.n_outputs, objective.loss, cache
        )
        return Validation(self.early_stopping, objective=judged)

    def _score(self, scorer, held, attributes, cache):
        """A function of an FitResult: the score of the model on the rows held out."""
        rows = slice(None) if held.rows is None else held.rows
        X, y, weight = cache(
            "held for scoring",
            (held,),
            lambda: (
                held.X[rows],
                held.y[rows],
                {} if held.weight is None else {"sample_weight": held.weight[rows]},
            ),
        )

        def score(result):
            model = copy(self)
            vars(model).update(attributes(result))
            # The rows are an array, without names.
            vars(model).pop("feature_names_in_", None)
            value = scorer(model, X, y, **weight)
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if math.isnan(number):
                raise ValueError(
                    f"scoring={self.scoring!r} returned {value!r} for the {len(y)} validation "
                    f"rows after epoch {result.n_iter}. Validate with more rows "
                    "(validation_fraction, X_val), or with scoring='loss'."
                )
            return number

        return score
