"""Many estimators fitted to the same rows, in one bank."""

from dataclasses import dataclass

from sklearn import config_context

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.base import BaseGradientEstimator
from sklearn_lossopt._estimators.callbacks import SnapshotRecorder
from sklearn_lossopt._estimators.rollback import restored
from sklearn_lossopt._estimators.validation_data import GivenValidation
from sklearn_lossopt._training.bank import Bank


@dataclass
class CandidateFit:
    """How the fit of one estimator went."""

    estimator: BaseGradientEstimator
    error: Exception | None  # the estimator is then as it was before
    warning: str | None  # of convergence
    seconds: float


class JointFit:
    """Fits estimators to the same rows. Each becomes what its own ``fit`` would make of it.

    Two things differ: callbacks are not told, and all estimators with ``random_state=None`` draw
    one seed. An estimator is known by its place, the number in which it was passed.

    Parameters
    ----------
    estimators : iterable of GradientRegressor or of GradientClassifier
        Fitted in place. Their parameters are valid.
    X, y : array-like
        As for ``fit``.
    params : dict
        Other parameters of ``fit``.
    pauses : tuple of int, default=()
        The epochs that ``pause`` will be called with, in ascending order.
    """

    def __init__(self, estimators, X, y, params, pauses=()):
        cache, params = Cache(), dict(params)
        weight = params.pop("sample_weight", None)
        validation = GivenValidation(*(params.pop(name, None) for name in GivenValidation._fields))
        if params:
            raise TypeError(f"fit takes no parameter {next(iter(params))!r}.")
        self.estimators = dict(enumerate(estimators))
        self.recorders = {i: SnapshotRecorder(pauses) for i in self.estimators}
        self.bank = Bank(
            {
                i: _fitting(estimator, X, y, weight, validation, cache, self.recorders[i])
                for i, estimator in self.estimators.items()
            }
        )

    def __iter__(self):
        """Fit all to their end; yields the place and the CandidateFit of each as it ends.

        The bank trains as many at once as memory allows. The others begin once those before them
        have been yielded.
        """
        while self.estimators:
            self._advance(None)
            for i in list(self.bank.results):
                yield i, self._ended(i)

    def pause(self, epochs):
        """Train all until they have made so many epochs; yields place and CandidateFit of each.

        A fit that has not ended is yielded as a copy of its estimator, fitted so far. If it would
        be a divergence were it to end here, the copy comes with that error, and training may go on.
        An optimizer that minimises by itself cannot pause: its fit runs to its end at the first
        pause. It is yielded as it was after so many epochs, until there are no more of them.
        """
        self._advance(epochs)
        for i, estimator in list(self.estimators.items()):
            recorder = self.recorders[i]
            if i in self.bank.results and recorder.made <= epochs:
                yield i, self._ended(i)
            else:
                model = estimator._as_fitted(recorder.found.pop(epochs))
                yield i, CandidateFit(model, self.bank.divergence(i), None, self.bank.seconds[i])

    def drop(self, i):
        """Train the estimator in this place no further."""
        if i in self.bank.results:
            del self.bank.results[i]
        else:
            self.bank.drop(i)
        del self.estimators[i]

    def _advance(self, until):
        with config_context(skip_parameter_validation=True):
            self.bank.advance(until)

    def _ended(self, i):
        result = self.bank.results.pop(i)
        failed = isinstance(result, Exception)
        return CandidateFit(
            self.estimators.pop(i),
            result if failed else None,
            None if failed else result,
            self.bank.seconds[i],
        )


def _fitting(estimator, *given):
    """The Epochs of one estimator's fit, which leaves it as it was where it fails."""
    with restored(estimator):
        return (yield from estimator._fitting(*given))
