"""What is asked of an engine that runs functions over partitions, and the one of this process."""

from abc import ABC, abstractmethod
from functools import partial

import numpy as np

# Results that one addition takes.
FAN_IN = 8


@np.errstate(all="ignore")
def add(parts):
    """The sum of arrays or numbers, or of tuples of them place by place, in the order given; None,
    of an empty partition, counts as nothing."""
    parts = [part for part in parts if part is not None]
    if not parts:
        return None
    first, *others = parts
    if isinstance(first, tuple):
        return tuple(add(column) for column in zip(*parts, strict=True))
    for other in others:
        first = first + other
    return first


def tree_sum(parts, add=add):
    """The sum of a list by a tree: up to ``FAN_IN`` neighbours at a time, in their order.

    The order of the additions depends on the number of parts alone, and so do the bits of the sum.
    """
    while len(parts) > 1:
        parts = [add(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    return parts[0]


class Partitions(ABC):
    """Partitions of some data, each of which a pure function may be applied to.

    An engine defines ``map`` and ``collect``; it has a ``sum`` of its own where results can be
    added up without passing through the driver, and a ``fold`` where what is folded can.
    ``shared`` arguments are sent to every worker once.
    """

    @abstractmethod
    def __len__(self):
        """The number of partitions."""

    @abstractmethod
    def map(self, function, *shared):
        """Partitions of ``function(partition, *shared)``, which stay where they are made."""

    @abstractmethod
    def collect(self, function, *shared):
        """The list of ``function(partition, *shared)``, small results in order."""

    @abstractmethod
    def select(self, positions):
        """Partitions of those at these positions alone."""

    def sum(self, function, *shared):
        """The ``tree_sum`` of ``function(partition, *shared)``."""
        return tree_sum(self.collect(function, *shared))

    @abstractmethod
    def fold(self, function, state, *shared):
        """``state = function(state, partition, *shared)`` with one after the other, in order."""


class ListPartitions(Partitions):
    """Partitions in this process.

    Parameters
    ----------
    makers : list of callable
        Each makes a partition when it is called, so that not all need be in memory.
    """

    def __init__(self, makers):
        self.makers = makers

    @classmethod
    def of(cls, parts):
        """Those that are there already."""
        return cls([partial(_itself, part) for part in parts])

    def __len__(self):
        return len(self.makers)

    def map(self, function, *shared):
        return self.of(self.collect(function, *shared))

    def collect(self, function, *shared):
        return [function(make(), *shared) for make in self.makers]

    def select(self, positions):
        return ListPartitions([self.makers[i] for i in positions])

    def fold(self, function, state, *shared):
        for make in self.makers:
            state = function(state, make(), *shared)
        return state


def _itself(part):
    return part
