"""
10. The same five against epochs and against time
=================================================

An epoch visits every row once. Small batches make many steps per epoch, so SGD gains most from the
first epochs. Against seconds the picture is a different one. The curves are distances to the
optimum, on a logarithmic axis.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_classification

from sklearn_lossopt import GradientClassifier, trace
from sklearn_lossopt.plotting import LossCurveDisplay

X, y = make_classification(20000, 30, n_informative=10, class_sep=0.6, random_state=0)
textbook = dict(precondition=False, schedule="constant", tol=0, max_iter=20, random_state=0)
rates = {"gradient_descent": 0.2, "sgd": 0.02, "momentum": 0.002, "rmsprop": 0.001, "adam": 0.001}
traces = {}
for name, rate in rates.items():
    model = GradientClassifier(optimizer=name, learning_rate=rate, alpha=0.01, **textbook)
    traces[name] = trace(model, X, y, every="epoch")
optimum = GradientClassifier(alpha=0.01, tol=1e-10).fit(X, y).loss_curve_[-1]
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
for ax, against in zip(axes, ["epoch", "seconds"], strict=True):
    LossCurveDisplay.from_traces(traces, against=against, reference=optimum, ax=ax)
plt.show()

# %%
# None of this has to be tuned. By default the package measures the data, picks the rate, whitens
# the columns and says whether it has reached the optimum:

model = GradientClassifier(alpha=0.01, random_state=0).fit(X, y)
gap = model.loss_curve_[-1] - optimum
print(f"{model.n_iter_} epochs, at the optimum: {model.converged_}, distance {gap:.0e}")
