"""Fits of many estimators on the same rows. Floor 3."""

import time
import warnings
from dataclasses import dataclass

from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt._base import BaseGradientEstimator


@dataclass
class Fit:
    """What became of one of them."""

    estimator: BaseGradientEstimator
    error: Exception | None  # the estimator is as it was before, then
    warning: str | None  # of convergence
    seconds: float


def fit_together(estimators, X, y, params):
    """Fit estimators, each as its own ``fit`` would.

    Parameters
    ----------
    estimators : list of GradientRegressor or of GradientClassifier
        Fitted in place.
    X, y : array-like
        As for ``fit``.
    params : dict
        Other parameters of ``fit``.

    Returns
    -------
    fits : list of Fit
    """
    fits = []
    for estimator in estimators:
        start, error, text = time.perf_counter(), None, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            try:
                estimator.fit(X, y, **params)
            except Exception as raised:
                error = raised
        for warning in caught:
            if issubclass(warning.category, ConvergenceWarning):
                text = str(warning.message)
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        fits.append(Fit(estimator, error, text, time.perf_counter() - start))
    return fits
