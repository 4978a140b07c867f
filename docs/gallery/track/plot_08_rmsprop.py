"""
8. RMSprop
==========

RMSprop gives each coefficient a rate of its own: it divides the gradient by the root of a running
mean of its square. Steep directions get short steps, and flat ones get long steps. So all
coefficients move at about the same pace, whatever the units of their columns are.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_regression

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

X, y = make_regression(200, 2, noise=5, random_state=4)
X = X * [1.0, 6.0]


def textbook(optimizer, rate):
    return GradientRegressor(
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=200,
        precondition=False,
        schedule="constant",
        tol=0,
        max_iter=100,
    )


models = {
    "sgd": textbook("sgd", 0.04),
    "rmsprop": textbook("rmsprop", 0.6),
    "adagrad": textbook("adagrad", 8.0),
}
OptimizerPathDisplay.from_estimators(models, X, y)
plt.show()
