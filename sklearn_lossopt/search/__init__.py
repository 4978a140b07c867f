"""Searches over parameters that train their candidates together."""

from sklearn_lossopt.search._halving import GradientHalvingSearchCV
from sklearn_lossopt.search._search import GradientSearchCV

__all__ = ["GradientHalvingSearchCV", "GradientSearchCV"]
