"""Losses: what is minimised. Floor 1."""

from sklearn_lossopt.losses._base import ClassificationLoss, Loss, RegressionLoss
from sklearn_lossopt.losses._check import check_loss
from sklearn_lossopt.losses._classification import *
from sklearn_lossopt.losses._classification import __all__ as _classification
from sklearn_lossopt.losses._deviance import *
from sklearn_lossopt.losses._deviance import __all__ as _deviance
from sklearn_lossopt.losses._regression import *
from sklearn_lossopt.losses._regression import __all__ as _regression

registry = Loss.registry

__all__ = ["ClassificationLoss", "Loss", "RegressionLoss", "check_loss", "registry"]
__all__ += _classification + _deviance + _regression
