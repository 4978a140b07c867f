"""Fits on rows that lie in partitions: what is needed of all rows is a sum over them.

Read first: ``protocol.py``, what an engine that runs functions over partitions has to offer; then
``fitting.py``, a fit from the top.

Imports: ``_estimators`` and all below. It knows no engine; ``dask`` has one.
"""
