"""
9. Adam, and all five on one landscape
======================================

Adam combines the momentum of page 7 with the rates of page 8, and corrects the first steps. Here
gradient descent, SGD, momentum, RMSprop and Adam make 80 steps each from the same start. Gradient
descent drops to the floor of the valley and creeps along it, and SGD does the same with noise.
Momentum swings across the floor and is fast along it. RMSprop moves both coefficients at about the
same pace. Adam starts like RMSprop, swings like momentum, and ends nearest to the optimum.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_regression

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

X, y = make_regression(200, 2, noise=5, random_state=4)
X = X * [1.0, 6.0]

textbook = dict(precondition=False, schedule="constant", tol=0, batch_size=40, max_iter=16)
rates = {"gradient_descent": 0.04, "sgd": 0.02, "momentum": 0.005, "rmsprop": 0.6, "adam": 2.0}
models = {n: GradientRegressor(optimizer=n, learning_rate=r, **textbook) for n, r in rates.items()}
models["gradient_descent"].set_params(batch_size="auto", max_iter=80)  # as many steps, of all rows
OptimizerPathDisplay.from_estimators(models, X, y)
plt.show()
