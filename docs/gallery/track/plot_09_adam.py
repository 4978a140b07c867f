"""
9. Adam, and all five on one landscape
======================================

Adam is both: the momentum of page 7 and the rates of page 8, with a correction for the first steps.
Gradient descent, SGD, momentum, RMSprop and Adam start from the same place here.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_regression

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

X, y = make_regression(200, 2, noise=5, random_state=4)
X = X * [1.0, 6.0]
rates = {"gradient_descent": 0.04, "sgd": 0.02, "momentum": 0.01, "rmsprop": 0.6, "adam": 2.0}
models = {
    name: GradientRegressor(
        optimizer=name,
        learning_rate=rate,
        batch_size=20 if name == "sgd" else "auto",
        precondition=False,
        schedule="constant",
        tol=0,
        max_iter=8,
        random_state=0,
    )
    for name, rate in rates.items()
}
for name in ("gradient_descent", "momentum", "rmsprop", "adam"):
    models[name].set_params(max_iter=80)
    if name != "gradient_descent":
        models[name].set_params(batch_size=200)
OptimizerPathDisplay.from_estimators(models, X, y, ax=plt.subplots(figsize=(8, 5))[1])
plt.show()
