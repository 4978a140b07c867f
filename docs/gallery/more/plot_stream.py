"""
A stream
========

``partial_fit`` takes one chunk after another and never sees a row twice. The model comes close to
that of ``fit`` on all rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_regression

from sklearn_lossopt import GradientRegressor

X, y = make_regression(5000, 20, noise=20, random_state=0)
X = X * 10.0 ** (np.arange(20) % 4)  # columns in different units
whole = GradientRegressor(random_state=0).fit(X, y)
stream, scores = GradientRegressor(random_state=0), []
for start in range(0, 5000, 100):
    stream.partial_fit(X[start : start + 100], y[start : start + 100])
    scores.append(stream.score(X, y))
rows = range(100, 5001, 100)
plt.plot(rows, scores, label="partial_fit, so far")
plt.axhline(whole.score(X, y), color="grey", ls="--", label="fit, all rows")
plt.gca().set(xlabel="rows seen", ylabel="R² on all rows", ylim=(scores[2], None))
plt.legend()
plt.show()
