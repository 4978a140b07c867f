"""Functions over partitions on Dask, by the scheduler that is in force."""

import dask
import numpy as np
from dask.base import get_scheduler

from sklearn_lossopt._partitions.protocol import Partitions, add, tree_sum


@np.errstate(all="ignore")
def apply(part, shared):
    """``shared`` is a function and its arguments, all in one."""
    function, args = shared
    return function(part, *args)


def apply_in_turn(state, part, shared):
    """The same for ``Partitions.fold``."""
    function, args = shared
    return function(state, part, *args)


def has_client():
    """Whether a ``distributed.Client`` is the scheduler in force."""
    owner = getattr(get_scheduler(), "__self__", None)
    return owner is not None and type(owner).__module__.split(".")[0] == "distributed"


class DaskPartitions(Partitions):
    """Partitions of Dask.

    With a client, what ``map`` makes stays with the workers; a lost one costs a recomputation. On
    the schedulers of one machine it is made again in each pass: memory holds a few partitions.

    Parameters
    ----------
    parts : list of Delayed
    """

    def __init__(self, parts):
        self.parts = list(parts)

    def __len__(self):
        return len(self.parts)

    def _apply(self, function, shared):
        # One task holds what is shared, and workers pass it on to one another.
        held = dask.delayed((function, shared), traverse=False)
        return [dask.delayed(apply, traverse=False)(part, held) for part in self.parts]

    def map(self, function, *shared):
        made = self._apply(function, shared)
        return DaskPartitions(dask.persist(*made) if has_client() else made)

    def collect(self, function, *shared):
        return list(dask.compute(*self._apply(function, shared)))

    def select(self, positions):
        return DaskPartitions([self.parts[i] for i in positions])

    def sum(self, function, *shared):
        return tree_sum([*self._apply(function, shared)], dask.delayed(add)).compute()

    def fold(self, function, state, *shared):
        held = dask.delayed((function, shared), traverse=False)
        state = dask.delayed(state, traverse=False)
        for part in self.parts:
            state = dask.delayed(apply_in_turn, traverse=False)(state, part, held)
        return state.compute()
