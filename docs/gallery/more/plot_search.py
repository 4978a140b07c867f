"""
Searches
========

``GradientSearchCV`` trains the candidates of a fold together. Which loss, optimizer and learning
rate suit the data?
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer

from sklearn_lossopt import GradientClassifier, GradientHalvingSearchCV, GradientSearchCV
from sklearn_lossopt.plotting import SearchDisplay

X, y = load_breast_cancer(return_X_y=True)
model = GradientClassifier(max_iter=30, tol=0, schedule="constant", random_state=0)
grid = {
    "loss": ["log_loss", "hinge", "squared_hinge", "exponential"],
    "optimizer": ["sgd", "momentum", "rmsprop", "adam"],
    "learning_rate": [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
}
# Some rates are too large: fits that fail are part of the picture.
warnings.simplefilter("ignore")
search = GradientSearchCV(model, grid, cv=3, error_score=float("nan")).fit(X, y)
SearchDisplay.from_search(search)
plt.show()

# %%
# How much the learning rate matters. ``"auto"`` would need no search.

SearchDisplay.from_search(search, kind="sensitivity")
plt.show()

# %%
# Successive halving trains all candidates for a few epochs, keeps the best and trains only these
# further.

halving = GradientHalvingSearchCV(model, grid, cv=3, random_state=0).fit(X, y)
print(halving.best_params_, round(halving.best_score_, 3))
SearchDisplay.from_search(halving, kind="loss_curves")
plt.show()
