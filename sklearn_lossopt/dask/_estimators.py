"""DaskGradientRegressor and DaskGradientClassifier."""

from copy import deepcopy
from functools import partial

import numpy as np
from dask.base import is_dask_collection
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_lossopt._compat import fit_context
from sklearn_lossopt._estimators.classifier import GradientClassifier
from sklearn_lossopt._estimators.labels import announced_classes
from sklearn_lossopt._estimators.partial_fit import takes_chunks
from sklearn_lossopt._estimators.prediction import has_probabilities
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt._estimators.rollback import all_or_nothing
from sklearn_lossopt._partitions.fitting import fit_blocks
from sklearn_lossopt._partitions.scoring import count_right, sum_squares, sum_targets
from sklearn_lossopt.dask._collections import check_rows, is_frame, lazily, to_blocks


def train_on_block(model, block, **options):
    """A copy of a model, trained further on one more Block; the same where that is empty."""
    if block.rows == 0:
        return model
    return deepcopy(model).partial_fit(
        block.X, block.y, sample_weight=block.weight, **options
    )  # fmt: skip


def predict_block(X, model, method):
    """What a model's method predicts for the rows of one block."""
    if X.shape[0] == 0:
        return getattr(model, method)(np.zeros((1, model.n_features_in_)))[:0]
    return getattr(model, method)(X)


class DaskModelMixin:
    """What the two estimators make of Dask's collections.

    A kind is made of a plain estimator, which is the next base, and of its class as ``_plain``.
    """

    _plain: type

    def to_local(self):
        """The plain estimator with the same parameters and fitted attributes.

        Returns
        -------
        model : GradientRegressor or GradientClassifier
            For data in memory; it knows nothing of Dask.
        """
        model = object.__new__(self._plain)
        vars(model).update(vars(self))
        return model

    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the model to all rows.

        Parameters
        ----------
        X : dask.array or dask.dataframe of shape (n_samples, n_features)
            Training data, of known or unknown chunk sizes. Blocks of arrays may be sparse
            matrices of SciPy. float32 is kept, everything else becomes float64.
        y : dask.array, series or dask.dataframe of shape (n_samples,) or (n_samples, n_outputs)
            Targets, or the labels of a classifier, numbers or strings, in blocks like those of X.
        sample_weight : dask.array or series of shape (n_samples,), default=None
            Weights of the rows, at least 0; rows of weight 0 are left out.
        X_val : dask.array or dask.dataframe of shape (n_validation, n_features), default=None
            Validation data, which ``validation_curve_`` is measured on.
        y_val : dask.array, series or dask.dataframe, default=None
            Its targets, or its labels, all of which y has.
        sample_weight_val : dask.array or series of shape (n_validation,), default=None
            Its weights.

        Returns
        -------
        self : DaskGradientRegressor or DaskGradientClassifier
            The fitted estimator.

        Raises
        ------
        TypeError
            If X or y are no collections of Dask.
        ValueError
            If a parameter or the data are invalid; nothing is changed then. Blocks are named by
            their numbers.
        DivergenceError
            If training diverges; nothing is changed then.
        """
        plain = self._plain.__name__
        blocks = to_blocks(X, y, sample_weight, plain)
        given = X_val is not None, y_val is not None
        if any(given) != all(given) or (sample_weight_val is not None and not all(given)):
            raise ValueError("X_val and y_val belong together, and sample_weight_val to both.")
        validation = None
        if all(given):
            validation = to_blocks(X_val, y_val, sample_weight_val, plain, "_val")
        return fit_blocks(self, blocks, validation)

    def _partial_fit_blocks(self, X, y, sample_weight, **options):
        blocks = to_blocks(X, y, sample_weight, self._plain.__name__)
        model = blocks.fold(partial(train_on_block, **options), self.to_local())
        vars(self).update(vars(model))
        return self

    def _lazily(self, method, X):
        """What the plain estimator's method predicts; lazily for a collection."""
        check_is_fitted(self)
        model = self.to_local()
        if not is_dask_collection(X):
            return getattr(model, method)(X)
        check_rows(X, self._plain.__name__)
        if is_frame(X):
            dtype = np.result_type(*X.dtypes)
            # The names are those of all blocks.
            probe = getattr(model, method)(X._meta_nonempty.iloc[:1])
        else:
            if X.shape[1] != self.n_features_in_:
                raise ValueError(
                    f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input."
                )
            vars(model).pop("feature_names_in_", None)
            dtype = X.dtype if X.dtype.kind in "biuf" else np.float64
            probe = getattr(model, method)(np.zeros((1, self.n_features_in_), dtype))
        return lazily(partial(predict_block, model=model, method=method), X, probe)

    def predict(self, X):
        """Predict.

        Parameters
        ----------
        X : dask.array or dask.dataframe of shape (n_samples, n_features)
            Data. An array of NumPy is predicted at once, as by the plain estimator.

        Returns
        -------
        y : dask.array of shape (n_samples,) or (n_samples, n_outputs)
            Lazy; each block is predicted where it is.
        """
        return self._lazily("predict", X)


class DaskGradientRegressor(DaskModelMixin, GradientRegressor):
    """GradientRegressor on Dask's arrays and frames.

    Ends at the optimum of all rows, whichever worker has them. The parameters are those of
    ``GradientRegressor``; "Notes" says what some of them steer here.

    Attributes
    ----------
    coef_, intercept_, n_features_in_, feature_names_in_, converged_, delta_ : object
        As of ``GradientRegressor``.
    n_iter_ : int
        Corrections made, each of a few passes over all rows; epochs of networks, and where all rows
        are few enough to be trained on at once.
    loss_curve_ : ndarray of shape (n_iter_,)
        F on all rows after each of them.
    validation_curve_, best_iter_ : object
        With ``X_val`` or ``early_stopping``, as of ``GradientRegressor``, after each correction or
        epoch.

    See Also
    --------
    GradientRegressor : The same on data in memory.

    Notes
    -----
    The optimizer, schedule, learning rate, batch size and preconditioning train on an even sample
    of the rows, at whose optimum passes over all rows begin. ``max_iter`` and ``tol`` hold for
    both. Networks are trained by them in local passes over the blocks, with up to 8 means an epoch.
    ``early_stopping`` without ``X_val`` sets whole blocks aside. The scheduler is the one in force:
    a ``distributed.Client``, whose workers keep their blocks, or threads of one machine, which read
    them in each pass and hold a few at a time.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt.dask import DaskGradientRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X, y = da.from_array(X, chunks=(100, 10)), da.from_array(y, chunks=100)
    >>> model = DaskGradientRegressor(loss="huber", random_state=0).fit(X, y)
    >>> print(model.converged_, model.predict(X).chunks)
    True ((100, 100, 100, 100, 42),)
    """

    _plain = GradientRegressor
    _other = "DaskGradientClassifier"

    @available_if(takes_chunks)
    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train on the blocks one after the other, in order, each as one chunk of a stream.

        Parameters
        ----------
        X, y, sample_weight : dask collections
            As for ``fit``. The model goes from block to block, so that no two are trained on at a
            time.

        Returns
        -------
        self : DaskGradientRegressor
            The estimator, trained further as by ``GradientRegressor.partial_fit``.
        """
        return self._partial_fit_blocks(X, y, sample_weight)

    def score(self, X, y, sample_weight=None):
        """The coefficient of determination, the mean of those of several targets.

        Parameters
        ----------
        X, y, sample_weight : dask collections
            As for ``fit``.

        Returns
        -------
        score : float
            At most 1, which is a perfect prediction.
        """
        model = self.to_local()
        if not is_dask_collection(X):
            return model.score(X, y, sample_weight)
        blocks = to_blocks(X, y, sample_weight, self._plain.__name__)
        mass, total = blocks.sum(sum_targets)
        left, spread = blocks.sum(sum_squares, model, total / mass)
        alike = np.where(left == 0, 1.0, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.mean(np.where(spread > 0, 1 - left / spread, alike)))


class DaskGradientClassifier(DaskModelMixin, GradientClassifier):
    """GradientClassifier on Dask's arrays and frames.

    Ends at the optimum of all rows, whichever worker has them. The parameters are those of
    ``GradientClassifier``; "Notes" says what some of them steer here.

    Attributes
    ----------
    classes_, coef_, intercept_, n_features_in_, feature_names_in_, converged_ : object
        As of ``GradientClassifier``.
    n_iter_ : int
        Corrections made, each of a few passes over all rows; epochs of networks, and where all rows
        are few enough to be trained on at once.
    loss_curve_ : ndarray of shape (n_iter_,)
        F on all rows after each of them.
    validation_curve_, best_iter_ : object
        With ``X_val`` or ``early_stopping``, as of ``GradientClassifier``, after each correction or
        epoch.

    See Also
    --------
    GradientClassifier : The same on data in memory.

    Notes
    -----
    As for ``DaskGradientRegressor``. The classes are those of all rows: a block may lack some.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_lossopt.dask import DaskGradientClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> X, y = da.from_array(X, chunks=(60, 13)), da.from_array(y, chunks=60)
    >>> model = DaskGradientClassifier(random_state=0).fit(X, y)
    >>> print(model.converged_, model.score(X, y) > 0.95)
    True True
    """

    _plain = GradientClassifier
    _other = "DaskGradientRegressor"

    @available_if(takes_chunks)
    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train on the blocks one after the other, in order, each as one chunk of a stream.

        Parameters
        ----------
        X, y, sample_weight : dask collections
            As for ``fit``. The model goes from block to block, so that no two are trained on at a
            time.
        classes : array-like of shape (n_classes,), default=None
            All labels that may come in any call; needed in the first one.

        Returns
        -------
        self : DaskGradientClassifier
            The estimator, trained further as by ``GradientClassifier.partial_fit``.
        """
        classes = announced_classes(getattr(self, "classes_", None), classes)
        return self._partial_fit_blocks(X, y, sample_weight, classes=classes)

    def decision_function(self, X):
        """Raw predictions.

        Parameters
        ----------
        X : dask.array or dask.dataframe of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : dask.array of shape (n_samples,) or (n_samples, n_classes)
            Lazy.
        """
        return self._lazily("decision_function", X)

    @available_if(has_probabilities)
    def predict_proba(self, X):
        """Probabilities of the classes; only for losses that define them.

        Parameters
        ----------
        X : dask.array or dask.dataframe of shape (n_samples, n_features)
            Data.

        Returns
        -------
        p : dask.array of shape (n_samples, n_classes)
            Lazy, in the order of ``classes_``.
        """
        return self._lazily("predict_proba", X)

    @available_if(has_probabilities)
    def predict_log_proba(self, X):
        """Logarithms of the probabilities.

        Parameters
        ----------
        X : dask.array or dask.dataframe of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_p : dask.array of shape (n_samples, n_classes)
            Lazy, in the order of ``classes_``.
        """
        return self._lazily("predict_log_proba", X)

    def score(self, X, y, sample_weight=None):
        """The share of rows that are predicted right.

        Parameters
        ----------
        X, y, sample_weight : dask collections
            As for ``fit``.

        Returns
        -------
        score : float
            In [0, 1].
        """
        model = self.to_local()
        if not is_dask_collection(X):
            return model.score(X, y, sample_weight)
        mass, right = to_blocks(X, y, sample_weight, self._plain.__name__).sum(count_right, model)
        return float(right / mass)
