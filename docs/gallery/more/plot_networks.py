"""
Networks: activations and depth
===============================

With ``hidden_layer_sizes`` the same estimators are neural networks. The activation decides what
pieces make up the boundary, and depth how freely they combine.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay

from sklearn_lossopt import GradientClassifier

X, y = make_moons(200, noise=0.25, random_state=0)
figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
for row, hidden in zip(axes, [(8,), (16, 16, 16)], strict=True):
    for ax, activation in zip(row, ["relu", "tanh", "gelu"], strict=True):
        model = GradientClassifier(
            hidden_layer_sizes=hidden, activation=activation, random_state=0
        ).fit(X, y)
        DecisionBoundaryDisplay.from_estimator(
            model, X, response_method="predict_proba", ax=ax, cmap="coolwarm", alpha=0.7
        )
        ax.scatter(*X.T, c=y, s=8, cmap="coolwarm", edgecolors="black", linewidths=0.3)
        ax.set_title(f"{activation}, {hidden}")
plt.show()
