"""Second-order steps that correct a fit between its epochs, and estimate how far it has to go."""

from sklearn_lossopt._linalg import MATRIX_SIZE
from sklearn_lossopt._training.lagrangian_corrector import (
    AugmentedLagrangianCorrector,
    descends,
    has_working_sets,
    piecewise_linear_solver,
    solvable,
)
from sklearn_lossopt._training.newton_corrector import NewtonCorrector
from sklearn_lossopt._training.smooth_corrector import SmoothCorrector


def make_corrector(iterate, incumbent, convergence, precondition):
    """The corrector for an objective, or None where there is none.

    Parameters
    ----------
    iterate : Iterate
    incumbent : Incumbent
    convergence : Convergence
    precondition : str or False
        The estimator's parameter.
    """
    objective, parts = iterate.objective, (iterate, incumbent, convergence)
    if iterate.preconditioner.hessian is None:
        return None
    if objective.loss.smooth:
        if precondition not in ("auto", "whiten") or not objective.curved:
            return None
        if objective.in_partitions:
            return NewtonCorrector(*parts)
        held = objective.l1 == 0 or objective.d <= MATRIX_SIZE
        smooth = held and solvable(objective, objective.dual_pieces)
        return (SmoothCorrector if smooth else NewtonCorrector)(*parts)
    if objective.in_partitions and not objective.loss.learns_at_optimum:
        return None
    descend = descends(objective) and not objective.in_partitions
    if precondition is False or not (descend or solvable(objective, objective.breakpoints)):
        return None
    return AugmentedLagrangianCorrector(
        *parts, piecewise_linear_solver, descend=descend, by_columns=has_working_sets(objective)
    )
