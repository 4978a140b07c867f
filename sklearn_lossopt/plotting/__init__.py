"""Displays of fitted estimators and searches, drawn with matplotlib. Floor 4."""

from sklearn_lossopt.plotting._loss_curve import LossCurveDisplay
from sklearn_lossopt.plotting._search import SearchDisplay

__all__ = ["LossCurveDisplay", "SearchDisplay"]
