"""The best weights that a fit has found so far."""


class Incumbent:
    """The best weights so far and their objective.

    Parameters
    ----------
    iterate : Iterate
    value : float
        The objective at the iterate's weights, which are the first incumbent.

    Attributes
    ----------
    weights : ndarray
        A copy, changed by ``keep`` only.
    """

    def __init__(self, iterate, value):
        self.iterate, self.value = iterate, value
        self.weights = iterate.weights.copy()

    @property
    def nbytes(self):
        return self.weights.nbytes

    def keep(self, value):
        """The iterate is the best so far; ``value`` is its objective."""
        self.value = value
        self.weights[...] = self.iterate.weights

    def place(self):
        """Move the iterate's weights here, and leave its coordinates and memory alone."""
        self.iterate.weights[...] = self.weights

    def restore(self):
        """Take the iterate back here, with an empty optimizer memory."""
        self.iterate.restart(self.weights)
