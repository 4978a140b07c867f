"""
1. Mean squared error
=====================

A straight line is fitted to the progress of diabetes by the body mass index. Every pair of a slope
and an intercept has a mean squared error. The pairs make a landscape, and the fit is its lowest
point. All else in these pages is about other landscapes, and about ways down.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

X, y = load_diabetes(return_X_y=True)
x = scale(X[:, [2]])
model = GradientRegressor("squared_error", alpha=0).fit(x, y)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.scatter(x, y, s=8, color="grey")
left.axline((0, model.intercept_), slope=model.coef_[0], color="C0")
left.set(xlabel="body mass index, standardised", ylabel="progress", title="the fit")

# %%
# The same line is the star on the right. The path is that of gradient descent, which starts at the
# line y = 0 and walks downhill.

steps = GradientRegressor(
    "squared_error",
    "gradient_descent",
    alpha=0,
    learning_rate=0.2,
    precondition=False,
    schedule="constant",
    tol=0,
    max_iter=30,
)
OptimizerPathDisplay.from_estimators(
    {"gradient descent": steps}, x, y, features=(0, "intercept"), ax=right
)
right.set(xlabel="slope", ylabel="intercept", title="the landscape")
plt.show()
