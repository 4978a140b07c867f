"""The side of the estimators that scikit-learn sees.

Parameters, checks of the data, labels, weights, validation rows, callbacks, members, predictions
and ``partial_fit``. Training itself is below.
Imports: _streaming, _training, _preconditioning, _solvers, components, _engine.
Read first: base.py, whose ``_fitting`` is a fit from the top.
"""
