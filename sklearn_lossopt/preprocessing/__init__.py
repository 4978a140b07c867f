"""Transformers of numeric columns, which make networks and linear models fit for raw tables.

They are scikit-learn transformers that any estimator can follow.
Imports: `_compat`, `_component`, `_doc_link`, `_quantiles`.
Read first: `_encoder.py`.
"""

from sklearn_lossopt.preprocessing._encoder import PiecewiseLinearEncoder
from sklearn_lossopt.preprocessing._scaler import SmoothClipScaler

__all__ = ["PiecewiseLinearEncoder", "SmoothClipScaler"]
