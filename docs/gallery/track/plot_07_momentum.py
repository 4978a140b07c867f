"""
7. Momentum
===========

In a long, narrow valley gradient descent is slow: the rate must be small for the steep walls, and
is then too small for the flat floor. Momentum adds up the gradients of past steps. Those across the
valley cancel, and those along it add up. Nesterov's form looks ahead before it steps.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_regression

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

# The second column is six times the first: a valley 36 times as long as wide.
X, y = make_regression(200, 2, noise=5, coef=False, random_state=4)
X = X * [1.0, 6.0]


def textbook(optimizer, rate):
    return GradientRegressor(
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=200,
        precondition=False,
        schedule="constant",
        tol=0,
        max_iter=60,
    )


models = {
    "sgd": textbook("sgd", 0.04),
    "momentum": textbook("momentum", 0.01),
    "nesterov": textbook("nesterov", 0.01),
}
OptimizerPathDisplay.from_estimators(models, X, y)
plt.show()
