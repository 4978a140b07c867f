"""What training asks of a change of variables."""

from typing import Protocol, runtime_checkable

import numpy as np

from sklearn_lossopt._objective import Objective
from sklearn_lossopt._solvers.newton import HessianModel


@runtime_checkable
class Preconditioner(Protocol):
    """Weights in training, the coordinates that the optimizer steps, and the user's coefficients.

    Three forms of one model. *Coefficients* are for rows and targets as the user has them.
    *Weights* are what the engine evaluates, for rows that it shifts. *Coordinates* u are what the
    optimizer steps; a linear model has weights w = T u with a metric T, a network steps its weights
    themselves.

    Attributes
    ----------
    objective : Objective
        What is to be minimised, in the units of training.
    weights : ndarray
        Updated in place by training.
    coordinates : ndarray
        The same array as ``weights`` where T is the identity.
    shift : ndarray of shape (d,) or None
        What is subtracted from every row; None for sparse rows, which would be dense then.
    scale : ndarray of shape (d,) or None
        What shifted columns are multiplied with.
    metric : ndarray or None
        T, see ``_engine.Trainer``.
    shared : Metric or None
        The holder of ``metric``, where other fits may hold it too.
    loss_scale : float
        A typical size of the loss, by which the objective is divided for the optimizer.
    network : tuple or None
        A network's layers, for ``_engine.Trainer``; None for a linear model.
    hessian : HessianModel or None
        Second-order information. None where there is none: no certificate then, and no learning
        rate from the curvature. Otherwise ``bound``, ``set_metric`` and ``smoothness_and_noise``
        of ``LinearPreconditioner`` are there too.
    null : NullSpace or None
        Directions that no row's prediction shows, which coefficients have no part in.
    leaves_directions : bool
        Whether weights may have such parts that are not known.
    """

    objective: Objective
    weights: np.ndarray
    coordinates: np.ndarray
    shift: np.ndarray | None
    scale: np.ndarray | None
    metric: np.ndarray | None
    shared: object | None
    loss_scale: float
    network: tuple | None
    hessian: HessianModel | None
    null: object | None
    leaves_directions: bool

    def apply(self, objective):
        """An objective on other rows, which the weights are for as they are."""

    def to_coordinates(self):
        """Recompute the coordinates from the weights."""

    def to_weights(self):
        """Recompute the weights from the coordinates."""

    def parts(self, slots):
        """The vectors that the optimizer steps one by one, each with its part of ``slots``."""

    def unshift(self, weights):
        """Coefficients and intercepts, float64, that weights stand for."""

    def rounded(self, coef, intercept):
        """Both in the type of the model."""

    def fingerprint(self):
        """Bytes that tell these coordinates from others; empty for those of X."""
