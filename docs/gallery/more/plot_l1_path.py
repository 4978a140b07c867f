"""
The path of an L1 penalty
=========================

The larger ``alpha`` is, the fewer coefficients are left. ``SelectFromModel`` keeps the columns
whose coefficients are not zero if its threshold is just above 0: its default is the mean size of
the coefficients.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.feature_selection import SelectFromModel

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.plotting import CoefficientPathDisplay, coef_table

X, y = load_diabetes(return_X_y=True, as_frame=True)
model = GradientRegressor(l1_ratio=1.0, random_state=0)
CoefficientPathDisplay.from_estimator(model, X, y, alphas=np.geomspace(1e-3, 3, 40))
plt.show()

# %%
# The coefficients of one fit, in the units of X:

model.set_params(alpha=0.1).fit(X, y)
print(coef_table(model))

# %%

selected = SelectFromModel(model, threshold=1e-10, prefit=True)
print(selected.get_support().sum(), "columns of", X.shape[1])
