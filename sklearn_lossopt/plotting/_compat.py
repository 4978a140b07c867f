"""The private name of scikit-learn that displays need."""

from sklearn.utils._plotting import _validate_score_name as score_label

__all__ = ["score_label"]
