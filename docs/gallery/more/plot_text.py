"""
Text
====

Which data set is a line about? The documents are the lines of the descriptions of scikit-learn's
data sets. Words make a sparse matrix, which is never made dense.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_lossopt import GradientClassifier
from sklearn_lossopt.plotting import coef_table

loaders = [load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine]
pairs = [
    (line, load.__name__.removeprefix("load_"))
    for load in loaders
    for line in load().DESCR.splitlines()
    if len(line.split()) > 3
]
lines, names = map(list, zip(*pairs, strict=True))
model = make_pipeline(TfidfVectorizer(), GradientClassifier("log_loss", random_state=0))
predicted = cross_val_predict(model, lines, names, cv=5)
ax = plt.subplots(layout="constrained")[1]
ConfusionMatrixDisplay.from_predictions(names, predicted, xticks_rotation=30, ax=ax)
plt.show()

# %%
# The words with the largest coefficients:

print(coef_table(model.fit(lines, names)).head(8).round(1))
