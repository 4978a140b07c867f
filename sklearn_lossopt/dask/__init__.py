"""The estimators on Dask's collections: one fit on many machines, or on rows beyond memory.

Read first: ``_estimators.py``, then ``_engine.py``, which runs functions over partitions on the
scheduler that is in force.

Imports: ``_partitions``, ``_estimators`` and all below. Nothing imports it: who wants it, asks
for it.
"""

from sklearn_lossopt._extras import require_dask

require_dask("sklearn_lossopt.dask")

from sklearn_lossopt.dask._estimators import (  # noqa: E402
    DaskGradientClassifier,
    DaskGradientRegressor,
)

__all__ = ["DaskGradientClassifier", "DaskGradientRegressor"]
