"""
Counts, costs and exposure
==========================

Poisson, Gamma and Tweedie losses have a log link: predictions are positive, and effects multiply.
Claims of contracts that ran for different times are fitted as claims per year, y / exposure, with
the exposures as sample weights. That is the same as an offset of log(exposure).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_regression
from sklearn.model_selection import train_test_split

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import LiftDisplay

X, score = make_regression(6000, 5, n_informative=3, random_state=0)
rng = np.random.default_rng(0)
exposure = rng.uniform(0.1, 2, len(X))
rate = 0.4 * np.exp(score / score.std() / 2)
claims = rng.poisson(rate * exposure)
X_train, X_test, y, y_test, weight, weight_test = train_test_split(
    X, claims / exposure, exposure, random_state=0
)
models = {
    loss: GradientRegressor(loss).fit(X_train, y, sample_weight=weight)
    for loss in ("poisson", "squared_error")
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (loss, model) in zip(axes, models.items(), strict=True):
    LiftDisplay.from_estimator(model, X_test, y_test, sample_weight=weight_test, name=loss, ax=ax)
plt.show()

# %%
# The cost of a claim is positive: the Gamma loss fits the mean cost of a contract's claims, with
# their number as weights. The total cost of a contract is zero for most and positive for some.
# Tweedie losses are made for such targets.

size = 300 * np.exp(X[:, 0] / 3)
cost = np.array([rng.gamma(2, s, n).sum() for s, n in zip(size, claims, strict=True)])
some = claims > 0
data = {
    "gamma": (X[some], cost[some] / claims[some], claims[some]),
    "tweedie": (X, cost / exposure, exposure),
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, (loss, (rows, target, weight)) in zip(axes, data.items(), strict=True):
    model = GradientRegressor(loss).fit(rows, target, sample_weight=weight)
    LiftDisplay.from_estimator(model, rows, target, sample_weight=weight, name=loss, ax=ax)
plt.show()
