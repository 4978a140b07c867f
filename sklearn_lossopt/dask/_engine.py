"""Functions over partitions on Dask, by the scheduler that is in force."""

from uuid import uuid4

import dask
import numpy as np
from dask.base import get_scheduler
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from sklearn_lossopt._partitions.protocol import Partitions, add, tree_sum


@np.errstate(all="ignore")
def apply(stages, *part):
    """A function after the other, each with its shared arguments, of what the last has made."""
    for function, shared in stages:
        part = (function(*part, *shared),)
    return part[0]


def apply_in_turn(state, stages, *part):
    """The same for ``Partitions.fold``: the last of them takes the state as well."""
    *first, (function, shared) = stages
    return function(state, apply(first, *part), *shared)


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

    Tasks are written down as they are: a Delayed for each would cost more than many a task. All
    that is done to a partition in one pass is one task.

    Parameters
    ----------
    parts : list of tuple
        What each partition is made of: keys of the tasks, and small arguments.
    tasks : dict
    stages : tuple of (function, tuple)
        What makes it of them, one after the other, with the arguments that all share.
    """

    def __init__(self, parts, tasks, stages=()):
        self.parts, self.tasks, self.stages = parts, tasks, stages

    @classmethod
    def made(cls, make, *lists):
        """Partitions ``make(i, *each)`` of the i-th of each list of Delayed or None."""
        tasks = merged([part for parts in lists for part in parts if part is not None])
        keys = [[None if part is None else part.key for part in parts] for parts in lists]
        return cls(list(zip(range(len(lists[0])), *keys, strict=True)), tasks, ((make, ()),))

    def __len__(self):
        return len(self.parts)

    def _then(self, function, shared):
        return DaskPartitions(self.parts, self.tasks, (*self.stages, (function, shared)))

    def _written(self):
        """The keys of the partitions, and all tasks."""
        # One task holds what is shared, and workers pass it on to one another.
        held = dask.delayed(self.stages, traverse=False)
        name = f"{self.stages[-1][0].__name__}-{uuid4().hex}"
        own = {(name, i): (apply, held.key, *part) for i, part in enumerate(self.parts)}
        return list(own), {**self.tasks, **dict(held.dask), **own}

    def map(self, function, *shared):
        made = self._then(function, shared)
        if not has_client():
            return made
        keys, tasks = made._written()
        kept = dask.persist(*_delayed(keys, tasks))
        return DaskPartitions([(part.key,) for part in kept], merged(kept))

    def collect(self, function, *shared):
        return list(dask.compute(*_delayed(*self._then(function, shared)._written())))

    def select(self, positions):
        return DaskPartitions([self.parts[i] for i in positions], self.tasks, self.stages)

    def sum(self, function, *shared):
        keys, tasks = self._then(function, shared)._written()
        name, first = f"add-{uuid4().hex}", len(tasks)

        def added(keys):
            key = name, len(tasks) - first
            tasks[key] = (add, keys)
            return key

        (total,) = _delayed([tree_sum(keys, added)], tasks)
        return total.compute()

    def fold(self, function, state, *shared):
        held = dask.delayed((*self.stages, (function, shared)), traverse=False)
        state = dask.delayed(state, traverse=False)
        tasks = {**self.tasks, **dict(held.dask), **dict(state.dask)}
        key, name = state.key, f"{getattr(function, '__name__', 'fold')}-{uuid4().hex}"
        for i, part in enumerate(self.parts):
            tasks[name, i] = (apply_in_turn, key, held.key, *part)
            key = name, i
        (end,) = _delayed([key], tasks)
        return end.compute()


def _delayed(keys, tasks):
    graph = HighLevelGraph({"tasks": tasks}, {"tasks": set()})
    return [Delayed(key, graph, layer="tasks") for key in keys]
