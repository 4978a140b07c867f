"""The members of an estimator, whose raw predictions it averages: how they are fitted and what they
come to together.

An estimator of one member is that member. One of several has them as ``estimators_``; each is an
estimator of one member, with a seed of its own, and is what its own ``fit`` would make of it.
"""

from itertools import zip_longest

import numpy as np

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.callbacks import CallbackReporter, MembersReporter
from sklearn_lossopt._estimators.parameters import resolve_scorer
from sklearn_lossopt._estimators.prediction import FittedParameters, dense_coef

# What a model is, rather than how it came to be: the same for all members, or combined below.
LARGEST = "n_iter_", "t_"
MEDIAN = "learning_rate_", "delta_"
MEAN_CURVE = "loss_curve_", "validation_curve_"
MEAN = "coef_", "intercept_"
STACKED = "coefs_", "intercepts_"
# What only a member can go on from.
OWN = "_optimizer", "_state", "_stream"


def member_seeds(first, count):
    """The seeds of so many members: that of the first, and numbers drawn from it for the others,
    the same ones whatever ``count`` is."""
    return [first, *np.random.RandomState(first).randint(2**31, size=count - 1).tolist()]


def earlier_members(estimator):
    """The fitted members of an estimator; none before its first fit."""
    if hasattr(estimator, "estimators_"):
        return estimator.estimators_
    return [] if FittedParameters.of(estimator) is None else [estimator]


def make_members(estimator, cache, earlier, seeds=None):
    """The estimators to train as members, of which the first go on from the ``earlier`` ones.

    Parameters
    ----------
    estimator : BaseGradientEstimator
    cache : Cache
        Gives all estimators that share it the same seed, where any will do.
    earlier : list of BaseGradientEstimator
    seeds : list of int or None
        None for those that follow from ``random_state``.

    Returns
    -------
    members : list of BaseGradientEstimator
        The estimator itself, if it is to have one member.
    """
    count = estimator.n_members
    if count == 1:
        if earlier and earlier[0] is not estimator:
            estimator._become(earlier[0]._fitted())
        return [estimator]
    seeds = seeds or member_seeds(estimator._seed(cache), count)
    pairs = zip_longest(seeds, earlier[:count])
    return [estimator._member(seed, before) for seed, before in pairs]


def combined(members):
    """The fitted attributes of an estimator with these fitted members."""
    each = [member._fitted() for member in members]
    for attributes in each:
        if "coef_" in attributes:
            attributes["coef_"] = dense_coef(attributes["coef_"], attributes["intercept_"])
    found = {name: value for name, value in each[0].items() if name not in OWN}

    def combine(names, how):
        for name in set(names) & set(found):
            found[name] = how([attributes[name] for attributes in each])

    combine(LARGEST, max)
    combine(MEDIAN, _median)
    combine(MEAN_CURVE, _mean_curve)
    combine(MEAN, lambda arrays: np.mean(arrays, axis=0))
    combine(STACKED, lambda models: [np.stack(layers) for layers in zip(*models, strict=True)])
    combine(["converged_"], all)
    if "best_iter_" in found:
        sign = 1 if resolve_scorer(members[0]) is None else -1
        cost = sign * found["validation_curve_"]
        found["best_iter_"] = int(np.where(np.isnan(cost), np.inf, cost).argmin()) + 1
    return found | {"estimators_": members}


def _median(values):
    # Of equal numbers it is exactly theirs.
    found = np.median(values, axis=0)
    return float(found) if np.ndim(found) == 0 else found


def _mean_curve(curves):
    """The mean of curves of which the shorter ones stay at their last value."""
    length = max(map(len, curves))
    return np.mean([np.pad(curve, (0, length - len(curve)), "edge") for curve in curves], axis=0)


class EstimatorFit:
    """The fit of an estimator: those of its members.

    Parameters
    ----------
    estimator : BaseGradientEstimator
        It has the fitted attributes once ``conclude`` has been called.
    X, y, weight : array-like
    validation : GivenValidation
    cache : Cache
    observers : callable or None
        Makes what is told of a member's fit, in place of callbacks.

    Attributes
    ----------
    members : list of BaseGradientEstimator
    trainings : list of generator
        Of the Epochs to train, one for each member.
    observers : list
        What is told of each.
    """

    def __init__(self, estimator, X, y, weight, validation, cache, observers=None):
        self.estimator, self.parent = estimator, None
        earlier = earlier_members(estimator) if estimator.warm_start else []
        self.members = make_members(estimator, cache, earlier)
        several = len(self.members) > 1
        if observers is not None:
            self.observers = [observers() for _ in self.members]
        else:
            if several:
                # What callbacks see is of this fit.
                estimator._become({})
                self.parent = MembersReporter(estimator, X, weight)
            self.observers = [
                CallbackReporter(member, X, weight, self.parent, number)
                for number, member in enumerate(self.members)
            ]
        self.trainings = [
            member._fitting(
                X, y, weight, validation, cache, observer, f"member {number}  " if several else ""
            )
            for number, (member, observer) in enumerate(
                zip(self.members, self.observers, strict=True)
            )
        ]

    def model(self, members):
        """The estimator with these fitted copies of its members, as a copy."""
        if len(members) == 1:
            return members[0]
        return self.estimator._as_fitted(combined(members))

    def conclude(self, warnings):
        """All members are fitted, with these warnings of convergence, or None; returns the
        estimator's."""
        if len(self.members) == 1:
            return warnings[0]
        self.estimator._become(combined(self.members))
        if self.parent is not None:
            self.parent.end_fit()
        found = [warning for warning in warnings if warning]
        if not found:
            return None
        return f"{len(found)} of {len(warnings)} members have not converged. The first: {found[0]}"


def train_members(estimator, train):
    """Have ``train`` train each member of an estimator further, once; for ``partial_fit``."""
    earlier, count = earlier_members(estimator), estimator.n_members
    if earlier and len(earlier) != count:
        raise ValueError(
            f"n_members={count} does not go on from a model of n_members={len(earlier)}. "
            "Use fit to start anew."
        )
    seeds = [member.random_state for member in earlier]
    members = make_members(estimator, Cache(), earlier, seeds)
    for member in members:
        train(member)
    if count > 1:
        estimator._become(combined(members))
