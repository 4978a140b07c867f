"""The change of variables that training works in, for linear models and for networks.

Optimizers step coordinates in which the objective is well scaled; models are told in the user's own
units. ``protocol.py`` says what training asks of either kind.

Imports: ``_solvers`` (curvature measured on the rows) and what is below it.
Read first: ``protocol.py``, then ``linear.py``.
"""
