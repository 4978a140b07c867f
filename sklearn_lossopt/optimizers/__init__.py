"""Optimizers: update rules that move the parameters along the gradient of a batch.

A class holds the name, the formula, the parameters and their defaults. The engine holds the
compiled kernel of the same name, and the estimator owns learning rate, schedule and batches.
Imports: `_component`, `_engine`, `_compat`.
Read first: `_base.py`, then `_momentum.py`.
"""

from collections.abc import Callable

from sklearn_lossopt.optimizers._adam import *
from sklearn_lossopt.optimizers._adam import __all__ as _adam
from sklearn_lossopt.optimizers._adaptive import *
from sklearn_lossopt.optimizers._adaptive import __all__ as _adaptive
from sklearn_lossopt.optimizers._averaging import *
from sklearn_lossopt.optimizers._averaging import __all__ as _averaging
from sklearn_lossopt.optimizers._base import Optimizer
from sklearn_lossopt.optimizers._lbfgs import *
from sklearn_lossopt.optimizers._lbfgs import __all__ as _lbfgs
from sklearn_lossopt.optimizers._momentum import *
from sklearn_lossopt.optimizers._momentum import __all__ as _momentum

registry: Callable[[], dict[str, type[Optimizer]]] = Optimizer.registry

__all__ = ["Optimizer", "registry"]
__all__ += _adam + _adaptive + _averaging + _lbfgs + _momentum
