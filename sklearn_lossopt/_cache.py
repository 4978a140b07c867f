"""Results kept for others that ask the same."""

from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

BY_VALUE = {int, float, str, bytes, bool, type}


class Cache:
    """Results by what they were made of.

    Models that are trained on the same rows share one: what follows from the rows, or from the
    rows and a loss, is found once. What is kept must not be changed by those who get it.
    """

    def __init__(self):
        self._kept, self._used = {}, WeakValueDictionary()
        # What objects in use were made of, so that no other object can have the same identity.
        self._made_of = WeakKeyDictionary()

    def __call__(self, name, parts, make):
        """The result of ``make()``, which depends on nothing but ``parts``.

        Parameters
        ----------
        name : str
        parts : tuple
            Numbers, strings, types, and tuples and dicts of these count by value; arrays and all
            other objects by identity, for which they are kept alive.
        make : callable
        """
        key = name, _named(tuple(parts))
        if key not in self._kept:
            self._kept[key] = make(), parts
        return self._kept[key][0]

    def while_used(self, name, parts, make):
        """The same for an object that is let go with the last one who holds it."""
        key = name, _named(tuple(parts))
        found = self._used.get(key)
        if found is None:
            found = self._used[key] = make()
            self._made_of[found] = parts
        return found


def _named(part):
    kind = type(part)
    if kind is tuple:
        return tuple([_named(each) for each in part])
    if kind in BY_VALUE:
        # 1, 1.0 and True are equal.
        return kind, part
    if isinstance(part, np.generic):
        return kind, part.item()
    if kind is dict:
        return kind, _named(tuple(part.items()))
    return id(part)
