"""
3. Huber: what outliers do
==========================

The squared error of an outlier is huge, so it pulls the line towards itself. The absolute error
grows only in proportion to the distance. Huber's loss is the squared error for small residuals, and
grows like the absolute error for large ones. It is smooth, and outliers hardly move the line.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_regression

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import LossDisplay

X, y = make_regression(80, 1, noise=10, bias=20, random_state=0)
y[np.argsort(X[:, 0])[-8:]] -= 250

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.scatter(X, y, s=10, color="grey")
for loss in ["squared_error", "huber", "absolute_error"]:
    model = GradientRegressor(loss).fit(X, y)
    left.plot(X, model.predict(X), label=f"{loss}: slope {model.coef_[0]:.0f}")
left.legend()
LossDisplay.from_losses(["squared_error", "huber", "absolute_error"], ax=right)
plt.show()
