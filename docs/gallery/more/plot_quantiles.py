"""
A band of quantiles
===================

The pinball loss fits a quantile instead of the mean. Two quantiles make a band for 80% of the rows,
which is wide where the targets vary much.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.losses import Quantile

X, y = load_diabetes(return_X_y=True)
bmi = X[:, [2]]
grid = np.linspace(bmi.min(), bmi.max(), 200)[:, None]
plt.scatter(bmi, y, s=8, color="grey")
curves = {}
for q in (0.1, 0.5, 0.9):
    loss = Quantile(q)
    model = make_pipeline(SplineTransformer(n_knots=4), GradientRegressor(loss, alpha=1e-6))
    curves[q] = model.fit(bmi, y).predict(grid)
    print(f"below the {q:.0%} curve: {np.mean(y < model.predict(bmi)):.0%} of the rows")
plt.fill_between(grid[:, 0], curves[0.1], curves[0.9], alpha=0.2, label="10% to 90%")
plt.plot(grid, curves[0.5], label="median")
plt.gca().set(xlabel="body mass index", ylabel="progress")
plt.legend()
plt.show()
