"""Second-order methods, which know the objective and nothing of a fit.

Newton's step (``newton.py``), proximal Newton for L1 penalties, augmented Lagrangian for piecewise
linear losses, and the scale of residuals for Huber's loss.

Imports: ``_objective`` and what is below it.
Read first: ``newton.py``.
"""
