"""
Why preconditioning
===================

Raw columns have units, and correlated columns make valleys. ``precondition="whiten"`` trains in
variables in which the landscape is round, and returns the model in the units of X. The minimum is
the same, and a few steps reach it. ``"scale"`` only evens out the units.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import OptimizerPathDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True)
X = X[["s1", "s2"]] * [1.0, 3.0]  # two cholesterol values, which go together
models = {
    f"precondition={how!r}": GradientRegressor(
        optimizer="gradient_descent",
        learning_rate=rate,
        precondition=how,
        schedule="constant",
        alpha=1e-6,
        tol=0,
        max_iter=30,
    )
    for how, rate in [(False, 60.0), ("scale", 0.9), ("whiten", 0.9)]
}
OptimizerPathDisplay.from_estimators(models, X, y, features=("s1", "s2"))
plt.show()
