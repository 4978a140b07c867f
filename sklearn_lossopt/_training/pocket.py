"""The pocket algorithm, for losses whose minimiser learns nothing."""

import math

import numpy as np

from sklearn_lossopt._training.incumbent import Incumbent
from sklearn_lossopt._training.loop import Strategy, diverged


class Pocket(Strategy):
    """Epochs at one learning rate, of which the weights with the fewest wrong rows are kept.

    Training ends when no row is on the wrong side, or when their share has not fallen for a while.

    Parameters
    ----------
    iterate : Iterate
    average : IterateAverage
    settings : Settings
    rate : float

    References
    ----------
    Gallant, S. I. (1990). Perceptron-based learning algorithms. IEEE Transactions on Neural
    Networks 1(2), 179-191.
    """

    # The objective does not say whether there is more to learn.
    exhausted = True

    def __init__(self, iterate, average, settings, rate):
        super().__init__(iterate, Incumbent(iterate, math.inf))
        self.average, self.settings, self.rate = average, settings, rate
        self.fewest, self.since = math.inf, 0
        self.start = iterate.first_value()

    def rates(self, epoch, count):
        return np.array([self.rate])

    def predicting(self):
        return self.average.predicting()

    def after(self, epoch, value):
        x, y, weight = self.iterate.preconditioner.hessian.sample
        wrong = float(np.sum(weight * (y * (x @ self.iterate.weights.T) <= 0)))
        self.since += 1
        if not math.isfinite(value):
            wrong = math.inf
        if wrong < self.fewest:
            self.fewest, self.since = wrong, 0
            self.incumbent.keep(value)
        settings = self.settings
        waited = self.since >= 4 * settings.n_iter_no_change
        return value, settings.tol > 0 and (wrong == 0 or waited)

    def finish(self, curve):
        super().finish(curve)
        if self.fewest == math.inf:
            raise diverged(len(curve), curve[-1], self.start, self.rate, self.settings)
        curve[-1] = self.incumbent.value
