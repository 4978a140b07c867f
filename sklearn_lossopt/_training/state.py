"""What training takes, goes on from and returns."""

from dataclasses import dataclass, field

import numpy as np

from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Schedule


def altered(instance, **fields):
    """``dataclasses.replace`` for a class that derives nothing from its fields, in less time."""
    other = object.__new__(type(instance))
    vars(other).update(vars(instance), **fields)
    return other


@dataclass
class Settings:
    """How to train: the estimator's parameters, resolved and checked."""

    task: str  # "regression" or "classification"
    optimizer: Optimizer
    schedule: Schedule | None  # None: react to the objective
    learning_rate: float | None  # None: from the curvature
    batch_size: int | None
    max_iter: int
    tol: float
    n_iter_no_change: int
    precondition: str | bool
    shuffle: bool
    verbose: int
    network: object = None  # an Architecture; None for a linear model
    schedule_is_auto: bool = False  # whether the schedule is what "auto" stands for
    name: str = ""  # begins the lines that are printed

    @property
    def not_auto(self):
        """The parameters that steer steps and are not left to the package."""
        # Columns of a network are standardised, whatever the preconditioning is called.
        best = ("auto", "whiten") if self.network is None else ("auto", "whiten", "scale")
        given = {
            "learning_rate": self.learning_rate is not None,
            "schedule": self.schedule is not None and not self.schedule_is_auto,
            "precondition": self.precondition not in best,
        }
        return [name for name, own in given.items() if own]


@dataclass
class State:
    """What a later call needs to go on: optimizer memory, counts, seed, coordinates.

    Parameters
    ----------
    seed : int
        Seeds the order of the rows.
    slots : ndarray of shape (n_slots, n_parameters)
        The optimizer's memory.
    steps : ndarray of shape (1,)
        The optimizer's count of its steps.
    epoch, updates : int
        Epochs and updates of all calls so far.
    ahead : int
        Updates that corrections have spared a fit that ended at the optimum: falling rates of a
        stream that goes on from there begin as if they had been made.
    curve : list of float
        F after each epoch.
    raw_iterate : tuple of ndarray, or None
        Weights and coordinates that training moves, where the model has other weights.
    fingerprint : bytes
        Names the coordinates that the memory belongs to, see ``Preconditioner``.
    position : tuple of ndarray, or None
        Weights and coordinates at the end. Coefficients in the units of X give them back only up
        to rounding. None without preconditioning.
    """

    seed: int
    slots: np.ndarray
    steps: np.ndarray
    epoch: int = 0
    updates: int = 0
    ahead: int = 0
    curve: list = field(default_factory=list)
    raw_iterate: tuple | None = None
    fingerprint: bytes = b""
    position: tuple | None = None

    @classmethod
    def fresh(cls, objective, optimizer, seed, network=None):
        """The state before the first update."""
        k, d = objective.n_outputs, objective.d
        size = k * (d + 1) if network is None else network.size(d, k)
        slots = np.zeros((max(1, optimizer.n_slots), size), objective.X.dtype)
        return cls(seed, slots, np.zeros(1, np.int64))

    def count_updates(self, count):
        """Note that so many updates were made."""
        self.updates += count

    def forget(self):
        """Empty the optimizer's memory, in place."""
        self.slots[...] = 0
        self.steps[...] = 0


@dataclass
class FitResult:
    """What a fit found. Weights are in the user's own coordinates, of networks one array per
    layer."""

    coef: np.ndarray
    intercept: np.ndarray
    state: State
    n_iter: int
    learning_rate: float
    converged: bool
    loss_curve: list = field(default_factory=list)
    warning: str | None = None
    validation_curve: list = field(default_factory=list)
    best_iter: int | None = None
    stream: object = None  # of partial_fit
