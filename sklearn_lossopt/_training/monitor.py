"""What happens at the beginning and end of each epoch: validation, callbacks, printed lines."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sklearn_lossopt._objective import Objective
from sklearn_lossopt._training.progress import ProgressPrinter
from sklearn_lossopt._training.state import altered
from sklearn_lossopt.optimizers import SGD


@dataclass
class Validation:
    """What a fit is judged by after each epoch, besides its objective: the mean loss of
    ``objective``, or ``score``, a function of a FitResult that is the larger, the better."""

    stop: bool  # whether training ends by it, and goes back to the best epoch
    objective: Objective | None = None
    score: Callable | None = None


class MeanLoss:
    """The weighted mean loss of an objective's rows, as a function of weights in the coordinates
    that training takes place in."""

    def __init__(self, objective, preconditioner):
        self.weights = np.zeros_like(preconditioner.weights)
        # Without a penalty; never stepped.
        model = replace(objective, l2=0.0, l1=0.0).model(SGD())
        self.trainer = objective.trainer(
            preconditioner.shift,
            self.weights,
            model,
            np.zeros((1, self.weights.size), self.weights.dtype),
            np.zeros(1, np.int64),
            batch_size=1,
            shuffle=False,
            seed=0,
            network=preconditioner.network,
        )

    def __call__(self, weights):
        self.weights[...] = weights
        return self.trainer.evaluate()


class Monitor:
    """Looks at a fit at the beginning and end of each epoch.

    Parameters
    ----------
    settings : Settings
    iterate : Iterate
    average : IterateAverage
    curve : list of float
        F after each epoch so far.
    make_result : callable
        Makes a FitResult of weights, without what validation has found.
    validation : Validation or None
    observer : object or None
        Told of epochs by ``begin(result)`` and ``end(result)``, whose argument makes the
        FitResult of a fit that stopped there; ``end`` returns whether to stop.

    Attributes
    ----------
    active : bool
        Whether there is anything to do; where not, many epochs can run at once.
    stopping : bool
        Whether the validation decides when to stop.
    stopped : bool
        Whether validation or ``observer`` has asked to end the fit.
    validation_curve : list of float
        The validation loss or score after each epoch.
    best_iter : int or None
        The epoch with the best of them, counted from 1.
    """

    def __init__(self, settings, iterate, average, curve, make_result, validation, observer):
        self.settings, self.iterate, self.average, self.curve = settings, iterate, average, curve
        self.make_result, self.validation, self.observer = make_result, validation, observer
        self.progress = ProgressPrinter(settings, iterate, curve) if settings.verbose else None
        self.active = not (validation is None and observer is None and self.progress is None)
        self.stopping = validation is not None and validation.stop
        self.stopped = False
        self.validation_curve, self.best_iter, self.saved = [], None, None
        # The weights that were validated last.
        self.judged = None
        self.best = self.reference = math.inf
        self.since = 0
        self.mean_loss = None
        if validation is not None and validation.score is None:
            preconditioner = iterate.preconditioner
            self.mean_loss = MeanLoss(preconditioner.apply(validation.objective), preconditioner)

    @property
    def nbytes(self):
        """Of what judges the fit, and of the best epoch's arrays."""
        size = 0 if self.mean_loss is None else self.mean_loss.trainer.nbytes
        if self.validation is not None:
            size += self.iterate.weights.nbytes
        if self.stopping:
            size += sum([array.nbytes for array in self._arrays(self.iterate.weights)])
        return size

    @property
    def returned(self):
        """The epoch whose weights a fit that ended now would return."""
        return len(self.curve) if self.saved is None else self.best_iter

    def begin(self, weights):
        """An epoch begins; ``weights`` are the best that training has found."""
        if self.progress is not None:
            self.progress.begin()
        if self.observer is not None:
            self.observer.begin(partial(self.result, self._best(weights)))

    def end(self, weights, rate):
        """An epoch has ended, and its objective is on the curve; returns whether to stop."""
        if self.validation is not None:
            self._validate(weights)
        if self.progress is not None:
            self.progress.end(rate, self.validation_curve)
        if self.observer is not None and self.observer.end(
            partial(self.result, self._best(weights))
        ):
            self.stopped = True
        return self.stopped

    def finish(self):
        """Go back to the best epoch if validation decides; returns its number, or the last's."""
        if self.saved is not None:
            arrays = self._arrays(self.iterate.weights)
            for array, saved in zip(arrays, self.saved, strict=True):
                array[...] = saved
        return self.returned

    def result(self, weights):
        """The FitResult of a fit that ended now with these weights."""
        return altered(
            self.make_result(weights),
            validation_curve=list(self.validation_curve),
            best_iter=self.best_iter,
        )

    def _best(self, weights):
        """What a fit that ended now would return."""
        return self.saved[-1] if self.saved is not None else weights

    def _arrays(self, weights):
        """All arrays that an epoch moves; weights last, which coordinates may be the same as."""
        return *self.iterate.arrays, *(self.average.raw_iterate or ()), weights

    def _validate(self, weights):
        settings, curve = self.settings, self.validation_curve
        if self.judged is not None and np.array_equal(weights, self.judged):
            # An epoch that changed nothing is no evidence against going on.
            curve.append(curve[-1])
            return
        self.judged = weights.copy()
        if self.mean_loss is not None:
            value = self.mean_loss(weights)
            cost = math.inf if math.isnan(value) else value
        else:
            value = self.validation.score(self.result(weights))
            cost = -value
        curve.append(value)
        if self.best_iter is None or cost < self.best:
            self.best, self.best_iter = cost, len(curve)
            if self.stopping:
                self.saved = [array.copy() for array in self._arrays(weights)]
        # Against the value that counting started from: slow progress adds up.
        self.since += 1
        enough = settings.tol * abs(self.reference) if math.isfinite(self.reference) else 0.0
        if cost < self.reference - enough:
            self.reference, self.since = cost, 0
        if self.stopping and self.since >= settings.n_iter_no_change:
            self.stopped = True
