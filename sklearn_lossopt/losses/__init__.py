"""Losses: functions of a target and a raw prediction, of which the objective is the mean.

A class holds the name, the formula, the parameters and the facts that solvers and certificates
use. The engine holds the compiled kernel of the same name; `check_loss` checks a user's class.
Imports: `_component`, `_engine`, `_compat`.
Read first: `_base.py`, then `_regression.py`.
"""

from collections.abc import Callable

from sklearn_lossopt.losses._base import ClassificationLoss, Loss, RegressionLoss
from sklearn_lossopt.losses._check import check_loss
from sklearn_lossopt.losses._classification import *
from sklearn_lossopt.losses._classification import __all__ as _classification
from sklearn_lossopt.losses._deviance import *
from sklearn_lossopt.losses._deviance import __all__ as _deviance
from sklearn_lossopt.losses._regression import *
from sklearn_lossopt.losses._regression import __all__ as _regression

registry: Callable[[], dict[str, type[Loss]]] = Loss.registry

__all__ = ["ClassificationLoss", "Loss", "RegressionLoss", "check_loss", "registry"]
__all__ += _classification + _deviance + _regression
