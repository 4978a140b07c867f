"""What the transformers share: numeric columns with missing values, and weighted rows."""

from abc import ABCMeta, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sklearn_lossopt._compat import check_sample_weight, fit_context
from sklearn_lossopt._doc_link import DocLinkMixin

ARRAYS = {"dtype": (np.float64, np.float32), "ensure_all_finite": "allow-nan"}


class ColumnwiseTransformer(
    DocLinkMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Base of transformers that learn from the present values of one column at a time.

    Missing values (NaN) take no part in ``fit`` and stay missing. A subclass says what it learns
    of the columns, and has a formula in both directions.
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn from the columns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN is a missing value.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights, at least 0: a whole weight counts as so many rows.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If the distance between a column's values is more than the type of X can hold.
        """
        X = validate_data(self, X, **ARRAYS)
        weight = np.ones(len(X))
        if sample_weight is not None:
            weight = check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True,
                allow_all_zero_weights=False,
            )  # fmt: skip
        columns = []
        for place, column in enumerate(X.T):
            used = ~np.isnan(column) & (weight > 0)
            columns.append((column[used], weight[used]))
            check_width(column[used], place)
        self._learn(columns, X.dtype)
        return self

    @abstractmethod
    def _learn(self, columns, dtype):
        """Set the fitted attributes, in a type, from the present values of each column and their
        weights; there may be none."""

    @abstractmethod
    def _forward(self, X):
        """What a valid X becomes."""

    @abstractmethod
    def _backward(self, X):
        """The columns that what a valid X is was made of."""

    def transform(self, X):
        """Transform the columns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN is a missing value.

        Returns
        -------
        X_out : ndarray of shape (n_samples, n_features_out)
            Of the type of X, float32 or float64; NaN where X is NaN.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **ARRAYS)
        with np.errstate(over="ignore"):
            return self._forward(X).astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Find the columns that were transformed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Transformed columns.

        Returns
        -------
        X_out : ndarray of shape (n_samples, n_features_in)
            What ``transform`` makes X of, up to rounding.
        """
        check_is_fitted(self)
        X = check_array(X, **ARRAYS)
        expected = len(self.get_feature_names_out())
        if X.shape[1] != expected:
            raise ValueError(
                f"X has {X.shape[1]} columns, but {type(self).__name__} makes {expected}: pass "
                "what transform returned."
            )
        return self._backward(X).astype(X.dtype, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def check_width(values, place):
    """Refuse a column whose width overflows."""
    if len(values) and values.max() / 2 - values.min() / 2 > np.finfo(values.dtype).max / 2:
        raise ValueError(
            f"Column {place} of X has values from {values.min():.3g} to {values.max():.3g}, whose "
            f"distance is more than {values.dtype} can hold: divide the column by a constant first."
        )
