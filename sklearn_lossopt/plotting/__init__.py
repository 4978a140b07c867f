"""Displays of fitted estimators and searches, drawn with matplotlib.

A display holds the numbers of a plot. Its class methods take them from estimators or searches,
and `plot` draws them. Only the methods that draw import matplotlib.
Imports: `_component`, `_trace`, `losses`, `_compat`.
Read first: `_loss_curve.py`.
"""

from sklearn_lossopt.plotting._loss_curve import LossCurveDisplay
from sklearn_lossopt.plotting._search import SearchDisplay

__all__ = ["LossCurveDisplay", "SearchDisplay"]
