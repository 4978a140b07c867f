"""The rows that a fit validates on, passed to it or set aside, and how they judge it."""

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from sklearn_lossopt._estimators.data import RowSet, canonical, check_weight, select
from sklearn_lossopt._estimators.validation_split import set_aside
from sklearn_lossopt._training.state import altered

IN_A_PIPELINE = (
    "If this is a step of a Pipeline: it transforms X alone. Make it with "
    "transform_input=['X_val'], enable metadata routing, and call set_fit_request(X_val=True, "
    "y_val=True) on this step; then pass X_val and y_val to the pipeline."
)


class GivenValidation(NamedTuple):
    """Validation data as ``fit`` gets them."""

    X_val: object = None
    y_val: object = None
    sample_weight_val: object = None


@contextmanager
def naming(name):
    """Errors inside name the parameter that they are about."""
    try:
        yield
    except ValueError as error:
        if name in str(error):
            raise
        raise ValueError(f"{name}: {error}") from error


def split_validation(estimator, rows, encoding, given, seed, loss, cache):
    """Split the validation rows off, or take those that were passed to ``fit``.

    Parameters
    ----------
    estimator : BaseGradientEstimator
        Its parameters say whether and how to validate.
    rows : RowSet
        All rows passed as X.
    encoding : TargetEncoding
    given : GivenValidation
    seed : int
    loss : Loss
    cache : Cache
        Finds the split once for all estimators that share it.

    Returns
    -------
    training : RowSet
    validation : RowSet or None
    """
    parts = rows.X, rows.y, rows.weight, rows.sample_indices, seed, estimator.early_stopping
    if any(value is not None for value in given):
        # The loss checks what it is given.
        parts = *parts, *given, *loss._identity()

        def split():
            return rows.sample_indices, _check_given(estimator, rows, encoding, given, loss)
    else:
        parts = *parts, estimator.validation_fraction

        def split():
            if estimator.early_stopping:
                return _set_aside(rows, estimator.validation_fraction, seed)
            return rows.sample_indices, None

    sample_indices, validation = cache("validation", parts, split)
    return altered(rows, sample_indices=sample_indices), validation


def _set_aside(rows, fraction, seed):
    kept, chosen = set_aside(rows.X, rows.codes, rows.weight, rows.sample_indices, fraction, seed)
    if len(chosen) == 0:
        raise ValueError(
            f"early_stopping=True needs rows for validation, but of n_samples="
            f"{len(kept)} all are alike{'' if rows.codes is None else ' in each class'}. "
            "Pass X_val and y_val, or set early_stopping=False."
        )
    return kept, replace(rows, sample_indices=chosen)


def _check_given(estimator, rows, encoding, given, loss):
    """The RowSet of validation data that were passed to ``fit``."""
    X_val, y_val, weight = given
    if X_val is None and y_val is None:
        raise ValueError("sample_weight_val is passed, but X_val and y_val are not. Pass them too.")
    if X_val is None or y_val is None:
        name, other = ("X_val", "y_val") if X_val is None else ("y_val", "X_val")
        raise ValueError(f"{other} is passed, but {name} is not. Pass both or neither.")
    with naming("X_val"):
        X = check_array(
            X_val, dtype=rows.X.dtype, order="C", accept_sparse="csr", input_name="X_val"
        )
        if sparse.issparse(rows.X):
            X = sparse.csr_array(X)
        elif sparse.issparse(X):
            X = X.toarray()
        X = canonical(X)
        try:
            # The names and the number of the features.
            validate_data(estimator, X_val, reset=False, skip_check_array=True)
        except ValueError as error:
            raise ValueError(f"X_val: {str(error).strip()}\n{IN_A_PIPELINE}") from None
    with naming("y_val"):
        if rows.codes is not None:
            y_val = column_or_1d(y_val, warn=True)
        y = check_array(y_val, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        if rows.codes is None and y.dtype.kind == "O":
            y = y.astype(np.float64)
        check_consistent_length(X, y)
    with naming("sample_weight_val"):
        weight, sample_indices = check_weight(weight, X)
    with naming("y_val"):
        target, codes = encoding.encode_validation(y, sample_indices)
        loss._check_target(select(target, sample_indices))
    return RowSet(X, y, target, codes, weight, sample_indices)


def class_weighted_validation(estimator, rows, class_weights, cache):
    """Validation rows to measure the loss on, weighted like those to train on."""
    weighted = rows.class_weighted(class_weights, cache)
    if weighted.sample_indices is not None and len(weighted.sample_indices) == 0:
        raise ValueError(
            f"class_weight={estimator.class_weight!r} gives all rows for validation a weight of 0. "
            "Pass X_val and y_val with other classes, or use another scoring than 'loss'."
        )
    return weighted


def score_function(estimator, scorer, rows, attributes, cache):
    """A function of a FitResult: the score of its model on the validation rows.

    Parameters
    ----------
    estimator : BaseGradientEstimator
    scorer : callable
    rows : RowSet
        The validation rows.
    attributes : callable
        Makes the fitted attributes of a FitResult.
    cache : Cache
    """

    def select_rows():
        weight = rows.weight
        weight = {} if weight is None else {"sample_weight": select(weight, rows.sample_indices)}
        return select(rows.X, rows.sample_indices), select(rows.y, rows.sample_indices), weight

    X, y, weight = cache("validation to score", (rows,), select_rows)

    def score(result):
        value = scorer(estimator._as_fitted(attributes(result), nameless=True), X, y, **weight)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            raise ValueError(
                f"scoring={estimator.scoring!r} returned {value!r} for the {len(y)} validation "
                f"rows after epoch {result.n_iter}. Validate with more rows "
                "(validation_fraction, X_val), or with scoring='loss'."
            )
        return number

    return score
