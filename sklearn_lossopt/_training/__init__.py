"""The fit of one model: defaults, loop, four strategies, corrections, convergence.

A fit is a generator of the epochs that it wants trained, so that many fits can share one stream of
batches; ``bank.py`` writes that protocol down.

Imports: ``_preconditioning`` and what is below it.
Read first: ``run.py``, then ``loop.py``.
"""
