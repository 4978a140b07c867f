"""Fits of many estimators on the same rows. Floor 3."""

from dataclasses import dataclass

from sklearn import config_context

from sklearn_lossopt._bank import Bank
from sklearn_lossopt._base import BaseGradientEstimator
from sklearn_lossopt._calls import restored
from sklearn_lossopt._memo import Memo

VALIDATION = ("X_val", "y_val", "sample_weight_val")


@dataclass
class Fit:
    """What became of one of them."""

    estimator: BaseGradientEstimator
    error: Exception | None  # the estimator is as it was before, then
    warning: str | None  # of convergence
    seconds: float


def fit_together(estimators, X, y, params):
    """Fit estimators, each as its own ``fit`` would, but that callbacks are not told.

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
    bank = bank_of(estimators, X, y, params)
    with config_context(skip_parameter_validation=True):
        bank.advance()
    return [fit_of(bank, i, estimator) for i, estimator in enumerate(estimators)]


def bank_of(estimators, X, y, params):
    """A Bank of fits, named by their places in the list."""
    memo, params = Memo(), dict(params)
    weight = params.pop("sample_weight", None)
    validation = tuple(params.pop(name, None) for name in VALIDATION)
    if params:
        raise TypeError(f"fit takes no parameter {next(iter(params))!r}.")
    return Bank({
        i: _fitting(estimator, X, y, weight, validation, memo)
        for i, estimator in enumerate(estimators)
    })


def fit_of(bank, i, estimator):
    """The Fit of a training that has ended."""
    result = bank.results[i]
    failed = isinstance(result, Exception)
    return Fit(
        estimator, result if failed else None, None if failed else result, bank.seconds[i]
    )


def _fitting(estimator, *given):
    estimator._validate_params()
    with restored(estimator):
        return (yield from estimator._fitting(*given))
