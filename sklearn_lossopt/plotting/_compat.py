"""The private names of scikit-learn that displays need."""

from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._plotting import _validate_score_name as score_label

__all__ = ["check_matplotlib_support", "score_label"]
