"""
5. Gradient descent: the learning rate
======================================

Gradient descent takes steps against the gradient. The learning rate is the length of a step for
each unit of slope. Too small, and it hardly moves; too large, and every step overshoots more than
the one before. ``trace`` records each step, also of a fit that diverges.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_lossopt import GradientRegressor, trace
from sklearn_lossopt.plotting import LossCurveDisplay, OptimizerPathDisplay

X, y = load_diabetes(return_X_y=True)
X = scale(X[:, [2, 8]])


def descent(rate):
    return GradientRegressor(
        optimizer="gradient_descent",
        learning_rate=rate,
        precondition=False,
        schedule="constant",
        tol=0,
        max_iter=25,
    )


rates = {"too small": 0.01, "right": 0.5, "too large": 1.5}
models = {f"{rate}, {name}": descent(rate) for name, rate in rates.items()}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
OptimizerPathDisplay.from_estimators(models, X, y, ax=left)
traces = {name: trace(model, X, y) for name, model in models.items()}
LossCurveDisplay.from_traces(traces, yscale="log", ax=right)
plt.show()

# %%
# With ``learning_rate="auto"``, the default, the rate follows from the curvature of the data.

print(GradientRegressor(optimizer="gradient_descent").fit(X, y).learning_rate_)
