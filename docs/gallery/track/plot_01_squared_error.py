"""
1. Mean squared error
=====================

A straight line is fitted to the progress of diabetes by the body mass index. Every pair of a slope
and an intercept has a mean squared error. The pairs make a landscape, and the fit is its lowest
point. The other pages show other landscapes, and ways down.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

X, y = load_diabetes(return_X_y=True)
x = scale(X[:, [2]])
model = GradientRegressor("squared_error", alpha=0).fit(x, y)

ax = plt.subplots(layout="constrained")[1]
ax.scatter(x, y, s=8, color="grey")
ax.axline((0, model.intercept_), slope=model.coef_[0], color="C0")
ax.set(xlabel="body mass index, standardised", ylabel="progress")
plt.show()

# %%
# The same line is the star in this landscape of all lines. Gradient descent starts at the line
# y = 0 and walks downhill.

textbook = dict(precondition=False, schedule="constant", tol=0, max_iter=30)
steps = GradientRegressor(optimizer="gradient_descent", learning_rate=0.2, alpha=0, **textbook)
display = OptimizerPathDisplay.from_estimators([steps], x, y, features=(0, "intercept"))
display.ax_.set(xlabel="slope", ylabel="intercept")
plt.show()
