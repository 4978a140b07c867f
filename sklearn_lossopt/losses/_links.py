"""Links: what a raw prediction says about a mean or a probability.

A loss states them as ``_link`` and ``_probability_link``. Predictions and probabilities follow from
these, and so does what other tools make of a model.
"""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax


class Link:
    """A function whose inverse turns raw predictions into predictions on the scale of y."""

    def inverse(self, raw):
        """Predictions, in raw's shape."""
        raise NotImplementedError


class Identity(Link):
    """Raw predictions are predictions."""

    def inverse(self, raw):
        return raw


class Log(Link):
    """Raw predictions are logarithms of predictions."""

    @np.errstate(over="ignore")
    def inverse(self, raw):
        return np.exp(raw)


class ProbabilityLink(Link):
    """Raw predictions stand for the probability of the class +1, or of each of several classes."""

    def probabilities(self, raw, joint):
        """Class probabilities (n, n_classes).

        Parameters
        ----------
        raw : ndarray of shape (n,) or (n, n_classes)
        joint : bool
            Whether the columns belong to one problem of all classes; if not, each is a one-vs-rest
            problem, and their probabilities are normalised to sum to 1.
        """
        raise NotImplementedError

    def log_probabilities(self, raw, joint):
        """Their logarithms."""
        with np.errstate(divide="ignore"):
            return np.log(self.probabilities(raw, joint))


class Logistic(ProbabilityLink):
    r"""Raw predictions are log-odds over ``slope``: :math:`P(y = 1) = 1 / (1 + e^{-s z})`.

    Joint columns are logarithms of probabilities up to a constant (softmax).
    """

    def __init__(self, slope=1):
        self.slope = slope

    def inverse(self, raw):
        return expit(self.slope * raw)

    def _logits(self, raw, joint):
        return self.slope * raw if joint else log_expit(self.slope * raw)

    def probabilities(self, raw, joint):
        if raw.ndim == 2:
            return softmax(self._logits(raw, joint), axis=1)
        return np.column_stack([self.inverse(-raw), self.inverse(raw)])

    def log_probabilities(self, raw, joint):
        if raw.ndim == 2:
            return log_softmax(self._logits(raw, joint), axis=1)
        return np.column_stack([log_expit(-self.slope * raw), log_expit(self.slope * raw)])


class Clipped(ProbabilityLink):
    """Raw predictions are 2 P(y = 1) - 1, and beyond [-1, 1] as certain as at its ends."""

    def inverse(self, raw):
        return (np.clip(raw, -1, 1) + 1) / 2

    def probabilities(self, raw, joint):
        p = self.inverse(raw)
        if p.ndim == 1:
            return np.column_stack([1 - p, p])
        total = p.sum(axis=1, keepdims=True)
        return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1])
