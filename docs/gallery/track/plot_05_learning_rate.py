"""
5. Gradient descent: the learning rate
======================================

Gradient descent takes steps against the gradient. The length of a step is the learning rate times
the slope. If the rate is too small, the fit hardly moves. If it is too large, every step overshoots
more than the one before. ``trace`` records each step, also of a fit that diverges.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_lossopt import GradientRegressor, trace
from sklearn_lossopt.plotting import LossCurveDisplay, OptimizerPathDisplay

X, y = load_diabetes(return_X_y=True)
X = scale(X[:, [2, 4]])

textbook = dict(precondition=False, schedule="constant", tol=0, max_iter=25)
rates = {"0.01, too small": 0.01, "0.5, right": 0.5, "1.7, too large": 1.7}
descent = GradientRegressor(optimizer="gradient_descent", **textbook)
models = {name: clone(descent).set_params(learning_rate=rate) for name, rate in rates.items()}
OptimizerPathDisplay.from_estimators(models, X, y)
plt.show()

# %%
# The objective after each step:

traces = {name: trace(model, X, y) for name, model in models.items()}
LossCurveDisplay.from_traces(traces, yscale="log")
plt.show()

# %%
# With ``learning_rate="auto"``, the default, the rate follows from the curvature of the data.

print(GradientRegressor(optimizer="gradient_descent").fit(X, y).learning_rate_)
