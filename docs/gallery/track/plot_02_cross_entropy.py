"""
2. Cross-entropy
================

A class is 0 or 1, and the model gives the probability of a 1. Cross-entropy, ``"log_loss"``, is
minus the logarithm of the probability that the model gave to the true class. Confident mistakes
cost most.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from sklearn_lossopt import GradientClassifier
from sklearn_lossopt.plotting import LossDisplay

X, y = load_breast_cancer(return_X_y=True)
radius = X[:, [0]]
model = GradientClassifier("log_loss").fit(radius, y)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
grid = np.linspace(radius.min(), radius.max(), 200)[:, None]
left.scatter(radius, y, s=8, color="grey", alpha=0.4)
left.plot(grid, model.predict_proba(grid)[:, 1])
left.set(xlabel="mean radius of the cells", ylabel="probability of a benign tumour")
LossDisplay.from_losses(["log_loss"], ax=right)
plt.show()
