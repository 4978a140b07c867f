"""Searches over parameters that train their candidates together.

Candidates of one fold share its rows and train side by side in one bank, each to the model that
its own ``fit`` would give. Halving pauses that training and goes on with the best.
Imports: _estimators, _training.bank, and scikit-learn's searches.
Read first: _search.py.
"""

from sklearn_lossopt.search._halving import GradientHalvingSearchCV
from sklearn_lossopt.search._search import GradientSearchCV

__all__ = ["GradientHalvingSearchCV", "GradientSearchCV"]
