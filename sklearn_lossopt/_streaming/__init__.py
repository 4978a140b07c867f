"""Training on a stream of chunks: one pass over each, and what is known of all rows before it.

A ``Stream`` goes from call to call: counts, running statistics, the optimizer's memory. It is
replaced by each call, not changed, so that a failed call leaves the model as it was.

Imports: ``_training``, ``_preconditioning``, ``_solvers`` and what lies below them.
Read first: chunk.py
"""
