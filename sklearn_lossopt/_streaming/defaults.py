"""Learning rates on a stream: what "auto" stands for where no objective of all rows is known."""

import math

import numpy as np

# Under schedule="auto" rates fall as 1 / (1 + t / t0), with t0 this many times the curvature that a
# batch shows, so that the rate ends as t0 / t whatever it started from.
DECAY = 4.0
# A falling rate may start higher than one that has to end a fit; where rates follow from the
# curvature they are as high as they can be. Over d columns, steps of one size add up to its root
# of d.
GAIN, GAIN_COLUMNS = 10.0, 16
# Updates of a network's stream after which the rate begins to fall, as 1 / sqrt(t).
SLOW = 1000


def initial_rate(optimizer, smoothness, noise, d, automatic):
    """The number that learning_rate="auto" stands for, of a linear model.

    Parameters
    ----------
    optimizer : Optimizer
    smoothness, noise : float
        See ``Optimizer._auto_rate``.
    d : int
        Number of columns.
    automatic : bool
        Whether the rate falls from there.
    """
    rate = optimizer._auto_rate(smoothness, noise)
    follows = rate != optimizer._auto_rate(2 * smoothness, 2 * noise)
    if follows or not automatic:
        return rate
    return rate * max(1.0, GAIN * min(1.0, math.sqrt(GAIN_COLUMNS / (d + 1))))


def linear_decay(step, smoothness, noise, top):
    """Factors of the rates of updates, numbered from 0, of a linear model; ``top`` is the first."""
    return top / (1 + step / (DECAY * (smoothness + noise)))


def network_decay(step):
    """The same of a network."""
    return 1 / np.sqrt(1 + step / SLOW)
