"""The types that fitted estimators are made of, for loaders that ask which types to trust."""

from scipy.sparse import csr_matrix

from sklearn_lossopt import losses, optimizers, preprocessing, schedules
from sklearn_lossopt._estimators.classifier import GradientClassifier
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt._streaming.correction import NewtonStep
from sklearn_lossopt._streaming.estimate import QuadraticSum
from sklearn_lossopt._streaming.memory import Memory
from sklearn_lossopt._streaming.moments import Moments, Sample
from sklearn_lossopt._streaming.reservoir import Reservoir
from sklearn_lossopt._streaming.statistics import Stream
from sklearn_lossopt._training.state import State

ESTIMATORS = (GradientClassifier, GradientRegressor)
# What a stream remembers, so that it goes on from a file as if it had not been there.
PARTS = (Memory, Moments, NewtonStep, QuadraticSum, Reservoir, Sample, State, Stream)


def skops_types() -> list[str]:
    """Names of the types that a saved estimator of this package may contain.

    ``skops.io.load`` makes only objects of types that it is told to trust. These are estimators,
    their losses, optimizers and schedules, the transformers, the state from which a stream
    continues, and the matrix that ``sparsify`` makes. To save a search, save its
    ``best_estimator_``.

    Returns
    -------
    names : list of str
        For the parameter ``trusted`` of ``skops.io.load`` and ``skops.io.loads``. Your own losses
        and optimizers are not among them: add ``"module.Class"`` for each that you trust.

    Examples
    --------
    >>> from sklearn_lossopt import skops_types
    >>> [name for name in skops_types() if name.endswith("Regressor")]
    ['sklearn_lossopt._estimators.regressor.GradientRegressor']
    """
    registered = [
        component
        for family in (losses, optimizers, schedules)
        for component in family.registry().values()
        if component.__module__.startswith("sklearn_lossopt.")
    ]
    transformers = [getattr(preprocessing, name) for name in preprocessing.__all__]
    types = (*ESTIMATORS, *transformers, *PARTS, *registered, csr_matrix)
    return sorted(f"{cls.__module__}.{cls.__qualname__}" for cls in types)
