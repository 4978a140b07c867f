"""Parametrisations that are smaller than a product and prove as much.

A fault that shows with one value of one parameter, or with one value of each of two, shows in a
pairwise cover: every two values of two parameters meet in at least one case.
"""

from itertools import combinations, product

import pytest


def pairs_of(case):
    """The pairs of values, each with its parameter's place, that a case has."""
    return set(combinations(enumerate(map(repr, case)), 2))


def pairwise_cases(base, extra):
    """Cases that have every case of ``base`` and in which every two values meet.

    Parameters
    ----------
    base : list of tuple
        Values of parameters that go together in these combinations only.
    extra : list of list
        Values of parameters that go with everything.

    Returns
    -------
    list of tuple
        The values of ``base`` followed by one of each list of ``extra``.
    """
    possible = list(product(*extra))
    wanted = {pair for row in base for more in possible for pair in pairs_of((*row, *more))}
    cases = []

    def add(row):
        """Add the case of a row that has the most pairs which no case has yet."""
        best = max(possible, key=lambda more: len(wanted & pairs_of((*row, *more))))
        possible.append(possible.pop(possible.index(best)))  # of equal ones, the longest unused
        cases.append((*row, *best))
        wanted.difference_update(pairs_of(cases[-1]))

    for row in base:
        add(row)
    for row in base:
        while any(wanted & pairs_of((*row, *more)) for more in possible):
            add(row)
    return cases


def pairwise(names, base, **extra):
    """Parametrize a test by all of ``base`` and a pairwise cover of what goes with everything.

    >>> @pairwise("loss, optimizer", [("hinge", "sgd"), ("hinge", "adam")], dtype=["f4", "f8"])
    ... def test(loss, optimizer, dtype): ...
    """
    rows = [row if isinstance(row, tuple) and "," in names else (row,) for row in base]
    return pytest.mark.parametrize(
        ", ".join([names, *extra]), pairwise_cases(rows, list(extra.values()))
    )
