"""The solvers of all outputs of a loss with kinks, which step side by side."""

from contextlib import suppress

import numpy as np

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._partitions.lagrangian import PartitionedLagrangian
from sklearn_lossopt._partitions.looks import View, begin_duals, look, replace_duals
from sklearn_lossopt._partitions.wide_lagrangian import WideLagrangian
from sklearn_lossopt._solvers.scaled_rows import ScaledRows

# Numbers in the matrices that one pass adds up, at most.
MAX_MATRIX_NUMBERS = 4_000_000
# Where columns are too many for a matrix: solvers that share a pass, and numbers in the rows that
# it brings to all of them, at most.
WIDE_SOLVERS, MAX_NEAR_ENTRIES = 4, 16_000_000


class SideBySide:
    """The augmented Lagrangians of all outputs, which share their passes and their partitions.

    Parameters
    ----------
    objective : PartitionedObjective
    shift : ndarray of shape (d,) or None
    weights : ndarray of shape (k, d + 1)
        The start.
    null : NullSpace or None
        Directions that no row has any part in, for steps to stay out of.

    Attributes
    ----------
    solvers : list of PartitionedLagrangian
        One of each output.
    """

    def __init__(self, objective, shift, weights, null):
        rows, size = ScaledRows(objective.sample, shift), weights.shape[1]
        wide = size > MATRIX_SIZE
        # Solvers that step at a time: what their passes bring is held by this process.
        self.group = WIDE_SOLVERS if wide else max(1, MAX_MATRIX_NUMBERS // size**2)
        starts = enumerate(weights.astype(np.float64))
        kind, last = PartitionedLagrangian, null
        if wide:
            kind, last = WideLagrangian, MAX_NEAR_ENTRIES / min(self.group, len(weights))
        self.solvers = [kind(objective, rows, *start, last) for start in starts]
        self.objective, self.view = objective, View(objective.problem, shift)
        self.duals = objective.partitions.map(begin_duals, self.view)

    def step(self, going):
        """One outer step of some of the solvers, given as (solver, gap that is wanted of it)."""
        for start in range(0, len(going), self.group):
            self._step(going[start : start + self.group])

    def _step(self, going):
        under_way = [(solver.stepping(wanted), None) for solver, wanted in going]
        while under_way:
            asking = []
            for stepping, found in under_way:
                with suppress(StopIteration):  # this one has arrived
                    asking.append((stepping, stepping.send(found)))
            looks = [each for _, each in asking]
            found = self.duals.sum(look, self.view, looks) if looks else ()
            pairs = zip(asking, found, strict=True)
            under_way = [(stepping, each) for (stepping, _), each in pairs]
        ends = [solver.end for solver, _ in going]
        self.duals = self.duals.map(replace_duals, self.view, ends)
        if all(solver.end is not None for solver in self.solvers):
            # What is asked next is F where they are.
            weights = np.stack([solver.weights for solver in self.solvers])
            self.objective.note_loss(weights, sum(solver.value for solver in self.solvers))
