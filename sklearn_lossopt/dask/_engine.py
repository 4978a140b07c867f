"""Functions over partitions on Dask, by the scheduler that is in force."""

from uuid import uuid4

import dask
import numpy as np
from dask.base import get_scheduler
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

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


def merged(parts):
    """The tasks of a list of Delayed, a dict. Most of them share one graph."""
    tasks = {}
    for graph in {id(part.dask): part.dask for part in parts}.values():
        tasks.update(graph)
    return tasks


class DaskPartitions(Partitions):
    """Partitions of Dask.

    With a client, what ``map`` makes stays with the workers; a lost one costs a recomputation. On
    the schedulers of one machine it is made again in each pass: memory holds a few partitions.

    Tasks are written down as they are: a Delayed for each would cost more than many a task.

    Parameters
    ----------
    keys : list
        Of the partitions among the tasks.
    tasks : dict
    """

    def __init__(self, keys, tasks):
        self.keys, self.tasks = keys, tasks

    @classmethod
    def made(cls, make, *lists):
        """Partitions ``make(i, *each)`` of the i-th of each list of Delayed or None."""
        name = f"{make.__name__.lower()}-{uuid4().hex}"
        tasks = merged([part for parts in lists for part in parts if part is not None])
        keys = [(name, i) for i in range(len(lists[0]))]
        for key, *each in zip(keys, *lists, strict=True):
            taken = (None if part is None else part.key for part in each)
            tasks[key] = (make, key[1], *taken)
        return cls(keys, tasks)

    def __len__(self):
        return len(self.keys)

    def _apply(self, function, shared):
        """The same partitions with a function applied to each, by tasks alone."""
        # One task holds what is shared, and workers pass it on to one another.
        held = dask.delayed((function, shared), traverse=False)
        name = f"{function.__name__}-{uuid4().hex}"
        keys = [(name, i) for i in range(len(self))]
        pairs = zip(keys, self.keys, strict=True)
        own = {key: (apply, part, held.key) for key, part in pairs}
        return DaskPartitions(keys, {**self.tasks, **dict(held.dask), **own})

    def _delayed(self, keys):
        graph = HighLevelGraph({"tasks": self.tasks}, {"tasks": set()})
        return [Delayed(key, graph, layer="tasks") for key in keys]

    def map(self, function, *shared):
        made = self._apply(function, shared)
        if not has_client():
            return made
        return DaskPartitions(made.keys, merged(dask.persist(*made._delayed(made.keys))))

    def collect(self, function, *shared):
        made = self._apply(function, shared)
        return list(dask.compute(*made._delayed(made.keys)))

    def select(self, positions):
        return DaskPartitions([self.keys[i] for i in positions], self.tasks)

    def sum(self, function, *shared):
        made = self._apply(function, shared)
        name, first = f"add-{uuid4().hex}", len(made.tasks)

        def added(keys):
            key = name, len(made.tasks) - first
            made.tasks[key] = (add, keys)
            return key

        (total,) = made._delayed([tree_sum(made.keys, added)])
        return total.compute()

    def fold(self, function, state, *shared):
        held = dask.delayed((function, shared), traverse=False)
        state = dask.delayed(state, traverse=False)
        tasks = {**self.tasks, **dict(held.dask), **dict(state.dask)}
        key, name = state.key, f"{getattr(function, '__name__', 'fold')}-{uuid4().hex}"
        for i, part in enumerate(self.keys):
            tasks[name, i] = (apply_in_turn, key, part, held.key)
            key = name, i
        (end,) = DaskPartitions([], tasks)._delayed([key])
        return end.compute()
