"""Displays of losses, fits and searches, drawn with matplotlib.

A display holds the numbers of a plot. Its class methods take them from estimators or searches,
and `plot` draws them. Only the methods that draw import matplotlib.
Imports: `_component`, `_estimators`, `_trace`, `losses`, `optimizers`, `schedules`, `_compat`.
Read first: `_loss_curve.py`.
"""

from sklearn_lossopt.plotting._coefficients import CoefficientPathDisplay, coef_table
from sklearn_lossopt.plotting._lift import LiftDisplay
from sklearn_lossopt.plotting._loss import LossDisplay
from sklearn_lossopt.plotting._loss_curve import LossCurveDisplay
from sklearn_lossopt.plotting._path import OptimizerPathDisplay
from sklearn_lossopt.plotting._schedule import ScheduleDisplay
from sklearn_lossopt.plotting._search import SearchDisplay

__all__ = [
    "CoefficientPathDisplay",
    "LiftDisplay",
    "LossCurveDisplay",
    "LossDisplay",
    "OptimizerPathDisplay",
    "ScheduleDisplay",
    "SearchDisplay",
    "coef_table",
]
