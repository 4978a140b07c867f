"""
6. Stochastic gradient descent: batches and noise
=================================================

A step needs no more than an estimate of the gradient. Stochastic gradient descent takes it from a
few rows, the batch. Its steps are cheap and noisy: with 4 rows per batch, the path staggers down
and then keeps walking around the optimum. The larger the batch, the smaller is this cloud.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_lossopt import GradientRegressor, trace
from sklearn_lossopt.plotting import LossCurveDisplay, OptimizerPathDisplay

X, y = load_diabetes(return_X_y=True)
X = scale(X[:, [2, 8]])
models = {
    f"batch of {size}": GradientRegressor(
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=size,
        random_state=0,
        precondition=False,
        schedule="constant",
        tol=0,
        max_iter=2 if size < 442 else 40,
    )
    for size in (4, 32, 442)
}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
OptimizerPathDisplay.from_estimators(models, X, y, ax=left, path_kwargs={"lw": 0.7})
traces = {name: trace(model, X, y) for name, model in models.items()}
LossCurveDisplay.from_traces(traces, against="update", ax=right)
right.set_xlim(0, 60)
plt.show()
