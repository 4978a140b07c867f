"""Weights that predict, where training moves others. Floor 2."""

from contextlib import contextmanager


class IterateAverage:
    """The model of a run whose optimizer predicts from other parameters than it moves.

    For other optimizers nothing here does anything.

    Parameters
    ----------
    run : Fit

    Attributes
    ----------
    moving : tuple of ndarray, or None
        The weights that training moves and their coordinates, as of the last look at those that
        predict; None where they are the same.
    """

    def __init__(self, run):
        self.run, self.raw_iterate = run, None
        self.exists = run.settings.optimizer._has_average

    def take_up(self, raw_iterate):
        """Go on from the weights that training last moved, if the run's are still what they made
        of them; a mean of others is forgotten."""
        if not self.exists:
            return
        run, same = self.run, False
        given = self._both()
        if raw_iterate is not None:
            self._place(raw_iterate)
            with self.predicting():
                same = (run.weights == given[0]).all()
        if not same:
            self._place(given)
            run.state.slots[...] = 0
            run.state.steps[...] = 0

    def copy(self):
        return self.raw_iterate and tuple(array.copy() for array in self.raw_iterate)

    def begin(self):
        """Take note from now on of what training moves; returns whether it has to be."""
        if self.exists:
            self.raw_iterate = self._both()
        return self.exists

    @contextmanager
    def predicting(self):
        """The weights that predict, in place of those that training moves."""
        if not self.exists:
            yield
            return
        run, before = self.run, self._both()
        if self.raw_iterate is not None:
            for array, now in zip(self.raw_iterate, before, strict=True):
                array[...] = now
        for parameters, state in run.preconditioner.parts(run.state.slots):
            parameters[...] = run.settings.optimizer._prediction(
                parameters, state, int(run.state.steps[0])
            )
        run.preconditioner.to_weights()
        try:
            yield
        finally:
            self._place(before)

    def end(self):
        """Stay with the weights that predict."""
        with self.predicting():
            after = self._both()
        self._place(after)

    def _both(self):
        return self.run.weights.copy(), self.run.preconditioner.coordinates.copy()

    def _place(self, both):
        # In this order: without a metric they are one array.
        self.run.weights[...], self.run.preconditioner.coordinates[...] = both
