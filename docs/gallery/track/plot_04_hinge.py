"""
4. Hinge and the other losses of the margin
===========================================

The margin is y times the raw prediction, with y = -1 or +1. It is positive where the prediction is
right. The hinge loss of support vector machines is 0 beyond a margin of 1, so only the rows near
the boundary, or on its wrong side, decide where it lies. The derivatives on the right show how hard
each loss pushes: the exponential loss pushes large mistakes hardest.
"""

import matplotlib.pyplot as plt

from sklearn_lossopt.plotting import LossDisplay

LossDisplay.from_losses(["hinge", "log_loss", "squared_hinge", "exponential", "perceptron"])
plt.show()

# %%
# On two overlapping clouds the boundaries differ little, and the raw predictions a lot.

import numpy as np
from sklearn.datasets import make_blobs

from sklearn_lossopt import GradientClassifier

X, y = make_blobs(120, centers=[[-1, -1], [1.2, 1]], random_state=3)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained", sharey=True)
a, b = np.meshgrid(np.linspace(-4, 4, 120), np.linspace(-4, 4, 120))
for ax, loss in zip(axes, ["hinge", "log_loss", "exponential"], strict=True):
    model = GradientClassifier(loss).fit(X, y)
    raw = model.decision_function(np.c_[a.ravel(), b.ravel()]).reshape(a.shape)
    ax.contour(a, b, raw, levels=[-1, 0, 1], colors="black", linestyles=["--", "-", "--"])
    ax.scatter(*X.T, c=y, s=10, cmap="coolwarm")
    ax.set_title(loss)
plt.show()
