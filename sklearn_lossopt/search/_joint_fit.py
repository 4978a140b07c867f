"""JointFit of many estimators on the same rows. Floor 3."""

from copy import copy
from dataclasses import dataclass

from sklearn import config_context

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.base import BaseGradientEstimator
from sklearn_lossopt._estimators.callbacks import SnapshotRecorder
from sklearn_lossopt._estimators.rollback import restored
from sklearn_lossopt._training.bank import Bank

VALIDATION = ("X_val", "y_val", "sample_weight_val")


@dataclass
class Fit:
    """What became of one of them."""

    estimator: BaseGradientEstimator
    error: Exception | None  # the estimator is as it was before, then
    warning: str | None  # of convergence
    seconds: float


class JointFit:
    """JointFit of estimators on the same rows, each what its own ``fit`` would make of it, but that
    callbacks are not told, and that all with ``random_state=None`` draw one seed.

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
        validation = tuple(params.pop(name, None) for name in VALIDATION)
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
        """Fit them to their end; yields the place and the Fit of each, as they end. Those that
        are too many to be trained at once begin when others have been taken."""
        while self.estimators:
            self._advance(None)
            for i in list(self.bank.results):
                yield i, self._ended(i)

    def pause(self, epochs):
        """Train all until they have made so many epochs; yields the place and the Fit of each.
        The estimators of those that have not ended are copies, fitted as far as they are. What
        minimises by itself cannot pause: it goes on to its end at the first pause, and is yielded
        as it was after so many epochs until they are those of its end. One whose fit would have
        diverged if it ended there has that error, and may be trained on."""
        self._advance(epochs)
        for i, estimator in list(self.estimators.items()):
            recorder = self.recorders[i]
            if i in self.bank.results and recorder.made <= epochs:
                yield i, self._ended(i)
            else:
                model = copy(estimator)
                vars(model).update(recorder.found.pop(epochs))
                yield i, Fit(model, self.bank.divergence(i), None, self.bank.seconds[i])

    def drop(self, i):
        """Train one no further."""
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
        return Fit(
            self.estimators.pop(i),
            result if failed else None,
            None if failed else result,
            self.bank.seconds[i],
        )


def _fitting(estimator, *given):
    with restored(estimator):
        return (yield from estimator._fitting(*given))
