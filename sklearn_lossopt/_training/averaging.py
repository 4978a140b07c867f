"""Optimizers that predict from an average: other weights than those that they step."""

from contextlib import contextmanager


class IterateAverage:
    """The model of a fit whose optimizer predicts from other parameters than it steps.

    Polyak averages and schedule-free methods do. For all other optimizers nothing here has an
    effect.

    Parameters
    ----------
    iterate : Iterate

    Attributes
    ----------
    exists : bool
        Whether the optimizer is one of these.
    raw_iterate : tuple of ndarray, or None
        The weights that the optimizer steps and their coordinates, as of the last look at the
        average. None where nobody asked to remember them.
    """

    def __init__(self, iterate):
        self.iterate, self.raw_iterate = iterate, None
        self.exists = iterate.optimizer._has_average

    @property
    def nbytes(self):
        if not self.exists:
            return 0
        return self.iterate.weights.nbytes + self.iterate.preconditioner.coordinates.nbytes

    def resume(self, raw_iterate):
        """Go on from the weights that an earlier fit stepped last, if their average is the model
        that this fit starts from. Otherwise forget the average."""
        if not self.exists:
            return
        iterate, same = self.iterate, False
        given = self._both()
        if raw_iterate is not None:
            self._place(raw_iterate)
            with self.predicting():
                same = (iterate.weights == given[0]).all()
        if not same:
            self._place(given)
            iterate.state.forget()

    def copy(self):
        """A copy of ``raw_iterate``."""
        return self.raw_iterate and tuple(array.copy() for array in self.raw_iterate)

    def begin(self):
        """Remember the raw iterate from now on; returns whether there is an average."""
        if self.exists:
            self.raw_iterate = self._both()
        return self.exists

    @contextmanager
    def predicting(self):
        """Put the average in place of the weights that the optimizer steps, for a while."""
        if not self.exists:
            yield
            return
        iterate, before = self.iterate, self._both()
        preconditioner, state = iterate.preconditioner, iterate.state
        if self.raw_iterate is not None:
            for array, now in zip(self.raw_iterate, before, strict=True):
                array[...] = now
        for parameters, memory in preconditioner.parts(state.slots):
            parameters[...] = iterate.optimizer._prediction(parameters, memory, int(state.steps[0]))
        preconditioner.to_weights()
        try:
            yield
        finally:
            self._place(before)

    def end(self):
        """Put the average in place of the weights that the optimizer steps, for good."""
        with self.predicting():
            after = self._both()
        self._place(after)

    def _both(self):
        return self.iterate.weights.copy(), self.iterate.preconditioner.coordinates.copy()

    def _place(self, both):
        # In this order: without a metric they are one array.
        self.iterate.weights[...], self.iterate.preconditioner.coordinates[...] = both
