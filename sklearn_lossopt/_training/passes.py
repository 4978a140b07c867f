"""Training on rows that no epoch visits: corrections, each of a few passes over all rows."""

import numpy as np

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
        value, constant = iterate.evaluate(gradient=True), iterate.objective.best_constant()
        if not value <= iterate.objective.mean_loss(constant):
            self._start_at_better(iterate, value, constant)
        super().__init__(iterate, convergence, settings, rate, make_corrector)
        if self.corrector is not None and iterate.objective.loss.smooth:
            self.corrector.trust_curvature()

    def _start_at_better(self, iterate, value, constant):
        """Start at the best constant model if F is less there: rows that the sample lacks may lie
        so far from it that predictions for them overflow behind a link."""
        start, model = iterate.weights.copy(), np.zeros(iterate.weights.shape)
        model[:, -1] = constant
        iterate.restart(model)
        if not iterate.evaluate(gradient=True) < value:
            iterate.restart(start)
            iterate.evaluate(gradient=True)

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
