"""Gradient-based scikit-learn estimators: any loss with any optimizer, compiled."""

from sklearn_lossopt import losses, optimizers, plotting, preprocessing, schedules
from sklearn_lossopt._estimators.classifier import GradientClassifier
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._skops import skops_types
from sklearn_lossopt._trace import Trace, trace
from sklearn_lossopt.search import GradientHalvingSearchCV, GradientSearchCV

__version__ = "0.1.0"

__all__ = [
    "DivergenceError",
    "GradientClassifier",
    "GradientHalvingSearchCV",
    "GradientRegressor",
    "GradientSearchCV",
    "Trace",
    "losses",
    "optimizers",
    "plotting",
    "preprocessing",
    "schedules",
    "skops_types",
    "trace",
]
