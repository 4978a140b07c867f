"""
Schedules
=========

A schedule changes the learning rate during training: large steps first, then small ones to settle.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import ScheduleDisplay

ScheduleDisplay.from_schedules(["constant", "invscaling", "exponential", "cosine", "one_cycle"])
plt.show()

# %%
# What they do to SGD: at a constant rate the objective stays noisy. Its axis shows only the lowest
# part. ``"plateau"`` lowers the rate when the objective stops falling.

X, y = load_diabetes(return_X_y=True)
models = {
    name: GradientRegressor(
        optimizer="sgd",
        schedule=name,
        learning_rate=0.05,
        batch_size=8,
        random_state=0,
        precondition=False,
        tol=0,
        max_iter=30,
    )
    for name in ("constant", "invscaling", "cosine", "plateau")
}
display = ScheduleDisplay.from_estimators(models, scale(X), y)
display.objective_ax_.set_ylim(1400, 1800)
plt.show()
