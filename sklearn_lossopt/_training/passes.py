"""Training on rows that no epoch visits: corrections, each of a few passes over all rows."""

from sklearn_lossopt._training.minimize import WholeObjective

# Corrections in a row that may change next to nothing.
MAX_IDLE = 5


class Passes(WholeObjective):
    """Corrections alone, from a start near the optimum, which the optimum of a sample of the rows
    is; then, where they have not arrived, the rounds of a method that minimises the objective by
    its gradients.

    The parameters are those of ``WholeObjective``.
    """

    def __init__(self, iterate, convergence, settings, rate, make_corrector):
        # The first correction starts here: one pass for the value and the gradient.
        iterate.evaluate(gradient=True)
        super().__init__(iterate, convergence, settings, rate, make_corrector)
        if self.corrector is not None and iterate.objective.loss.smooth:
            self.corrector.trust_curvature()

    @property
    def differentiable(self):
        """Whether F has a gradient everywhere."""
        objective = self.iterate.objective
        return objective.loss.smooth and objective.l1 == 0

    def run(self, begin_epoch, end_epoch):
        if self.corrector is not None:
            self._make_corrections(begin_epoch, end_epoch)
            if self.convergence.reached(self.incumbent.value):
                return
        if self.differentiable:
            super().run(begin_epoch, end_epoch)
        elif self.iterations == 0:
            begin_epoch()
            end_epoch([self.incumbent.value], 1, self.rate)

    def _make_corrections(self, begin_epoch, end_epoch):
        """Correct until the optimum is certified, or nothing more comes of it."""
        incumbent, convergence, idle = self.incumbent, self.convergence, 0
        while self.iterations < self.settings.max_iter and not self.stopped and idle < MAX_IDLE:
            begin_epoch()
            best, gap = incumbent.value, convergence.gap
            self.corrector.step()
            self.iterations += 1
            self.stopped = end_epoch([incumbent.value], 1, self.rate)
            value = incumbent.value
            if convergence.reached(value):
                return
            fell = best - value > 1e-3 * convergence.target(value)
            idle = 0 if fell or convergence.gap < 0.9 * gap else idle + 1
