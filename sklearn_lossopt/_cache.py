"""Results kept for others that ask the same."""

from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

BY_VALUE = {int, float, str, bytes, bool, type, type(None)}


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
        key = name, _named(parts)
        if key not in self._kept:
            self._kept[key] = make(), parts
        return self._kept[key][0]

    def while_used(self, name, parts, make):
        """The same for an object that is let go with the last one who holds it."""
        key = name, _named(parts)
        found = self._used.get(key)
        if found is None:
            found = self._used[key] = make()
            self._made_of[found] = parts
        return found


def _named(parts):
    """A key of parts: of each its type and its value, as 1, 1.0 and True are equal, or its
    identity, which is a number and no type."""
    key = []
    for part in parts:
        kind = type(part)
        if kind in BY_VALUE:
            key += kind, part
        elif kind is np.ndarray:
            key.append(id(part))
        elif kind is tuple:
            key.append(_named(part))
        elif kind is dict:
            key += kind, _named(part.items())
        elif isinstance(part, np.generic):
            key += kind, part.item()
        else:
            key.append(id(part))
    return tuple(key)


class lazy_property:
    """An attribute that is made when it is first asked for.

    Unlike ``functools.cached_property`` before Python 3.12, it takes no lock: that one is shared
    by all instances, so that fits would wait for one another, and is held for ever in a child
    process that is forked meanwhile.
    """

    def __init__(self, make):
        self.make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        value = vars(instance)[self.name] = self.make(instance)
        return value
