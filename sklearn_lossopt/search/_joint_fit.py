"""Many estimators fitted to the same rows, in one bank."""

from dataclasses import dataclass
from functools import partial

from sklearn import config_context

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.base import BaseGradientEstimator
from sklearn_lossopt._estimators.callbacks import SnapshotRecorder
from sklearn_lossopt._estimators.members import EstimatorFit
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
        self.fits = {
            i: EstimatorFit(
                estimator, X, y, weight, validation, cache, partial(SnapshotRecorder, pauses)
            )
            for i, estimator in self.estimators.items()
        }
        self.bank = Bank(
            {
                (i, number): _restoring(member, training)
                for i, fit in self.fits.items()
                for number, (member, training) in enumerate(
                    zip(fit.members, fit.trainings, strict=True)
                )
            }
        )

    def __iter__(self):
        """Fit all to their end; yields the place and the CandidateFit of each as it ends.

        The bank trains as many at once as memory allows. The others begin once those before them
        have been yielded.
        """
        while self.estimators:
            self._advance(None)
            for i in list(self.estimators):
                found = [self.bank.results.get(key, self) for key in self._keys(i)]
                if self not in found or any(isinstance(each, Exception) for each in found):
                    yield i, self._ended(i)

    def pause(self, epochs):
        """Train all until they have made so many epochs; yields place and CandidateFit of each.

        A fit that has not ended is yielded as a copy of its estimator, fitted so far. If it would
        be a divergence were it to end here, the copy comes with that error, and training may go on.
        An optimizer that minimises by itself cannot pause: its fit runs to its end at the first
        pause. It is yielded as it was after so many epochs, until there are no more of them.
        """
        self._advance(epochs)
        for i in list(self.estimators):
            fit, keys = self.fits[i], self._keys(i)
            ended = [
                key in self.bank.results and observer.made <= epochs
                for key, observer in zip(keys, fit.observers, strict=True)
            ]
            failed = [
                key for key, over in zip(keys, ended, strict=True)
                if over and isinstance(self.bank.results[key], Exception)
            ]  # fmt: skip
            if all(ended) or failed:
                yield i, self._ended(i)
                continue
            members = [
                member if over else member._as_fitted(observer.found.pop(epochs))
                for member, observer, over in zip(fit.members, fit.observers, ended, strict=True)
            ]
            diverged = [error for error in map(self.bank.divergence, keys) if error is not None]
            error = diverged[0] if diverged else None
            yield i, CandidateFit(fit.model(members), error, None, self._seconds(i))

    def drop(self, i):
        """Train the estimator in this place no further."""
        for key in self._keys(i):
            self.bank.drop(key)
        del self.estimators[i], self.fits[i]

    def _keys(self, i):
        """What the bank knows an estimator's members by."""
        return [(i, number) for number in range(len(self.fits[i].members))]

    def _seconds(self, i):
        return sum(self.bank.seconds[key] for key in self._keys(i))

    def _advance(self, until):
        with config_context(skip_parameter_validation=True):
            self.bank.advance(until)

    def _ended(self, i):
        """How the fit of an estimator went: all its members have ended, or one has failed."""
        results = [self.bank.results.get(key) for key in self._keys(i)]
        failed = [result for result in results if isinstance(result, Exception)]
        error, estimator, seconds = next(iter(failed), None), self.estimators[i], self._seconds(i)
        warning = self.fits[i].conclude(results) if error is None else None
        self.drop(i)
        return CandidateFit(estimator, error, warning, seconds)


def _restoring(member, training):
    """The Epochs of a member's fit, which leaves it as it was where it fails."""
    with restored(member):
        return (yield from training)
