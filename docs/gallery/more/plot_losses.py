"""
The shapes of the losses
========================

Losses of numbers depend on the residual. The quadratic ones grow fastest. The others are linear far
from 0: their derivatives, on the right, are bounded, so outliers have little influence.
"""

import matplotlib.pyplot as plt

from sklearn_lossopt.plotting import LossDisplay

names = ["squared_error", "squared_epsilon_insensitive", "huber", "log_cosh"]
LossDisplay.from_losses([*names, "absolute_error", "epsilon_insensitive"])
plt.show()

# %%
# Losses of two classes depend on the margin. All push up small margins. Those that are flat from
# some margin on ignore the rows beyond it.

names = ["log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron", "exponential"]
LossDisplay.from_losses(names)
plt.show()
