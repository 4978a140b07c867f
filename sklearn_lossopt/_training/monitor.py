"""What happens between epochs besides training: validation, callbacks, lines. Floor 2."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from threading import Event, Thread

import numpy as np

from sklearn_lossopt._engine import Trainer
from sklearn_lossopt._objective import Objective
from sklearn_lossopt.optimizers import SGD

# After so many seconds without a line, one says how far the epoch is.
PATIENCE = 5.0


@dataclass
class Validation:
    """What a run is judged by after each epoch, besides its objective: the mean loss of
    ``objective``, or ``score``, a function of an FitResult that is the larger, the better."""

    stop: bool  # whether training ends by it, and goes back to the best epoch
    objective: Objective | None = None
    score: Callable | None = None


class MeanLoss:
    """The weighted mean loss of a problem's rows, as a function of weights in coordinates that
    training takes place in."""

    def __init__(self, objective, preconditioner):
        self.weights = np.zeros_like(preconditioner.weights)
        # Without a penalty; never stepped.
        model = replace(objective, l2=0.0, l1=0.0).model(SGD())
        self.trainer = Trainer(
            objective.X,
            objective.target,
            objective.target_kind,
            objective.weight,
            objective.rows,
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
    """Looks at a run at the beginning and end of each epoch.

    Parameters
    ----------
    run : Fit
    validation : Validation or None
    observer : object or None
        Told of epochs by ``begin(outcome)`` and ``end(outcome)``, whose argument makes the
        FitResult of a fit that stopped there; ``end`` returns whether to stop.

    Attributes
    ----------
    active : bool
        Whether there is anything to do; where not, many epochs can run at once.
    stopping : bool
        Whether the validation decides when to stop.
    stopped : bool
        Whether validation or ``observer`` has asked to end the run.
    curve : list of float
        The validation loss or score after each epoch.
    best_iter : int or None
        The epoch with the best of them, counted from 1.
    """

    def __init__(self, run, validation, observer):
        self.run, self.validation, self.observer = run, validation, observer
        self.lines = Lines(run) if run.settings.verbose else None
        self.active = not (validation is None and observer is None and self.lines is None)
        self.stopping = validation is not None and validation.stop
        self.stopped = False
        self.curve, self.best_iter, self.saved = [], None, None
        # The weights that were validated last.
        self.judged = None
        self.best = self.reference = math.inf
        self.since = 0
        self.mean_loss = None
        if validation is not None and validation.score is None:
            self.mean_loss = MeanLoss(validation.objective, run.preconditioner)

    @property
    def nbytes(self):
        """Of what judges the run, and of the best epoch's state."""
        size = 0 if self.mean_loss is None else self.mean_loss.trainer.nbytes
        if self.validation is not None:
            size += self.run.weights.nbytes
        if self.stopping:
            size += sum([array.nbytes for array in self._state(self.run.weights)])
        return size

    def begin(self, weights):
        """An epoch begins; ``weights`` are the best that training has found."""
        if self.lines is not None:
            self.lines.begin()
        if self.observer is not None:
            self.observer.begin(partial(self.run.result, self._returned(weights)))

    def end(self, weights, rate):
        """An epoch has ended, and its objective is in the run's curve; returns whether to stop."""
        if self.validation is not None:
            self._validate(weights)
        if self.lines is not None:
            self.lines.end(rate, self.curve)
        if self.observer is not None and self.observer.end(
            partial(self.run.result, self._returned(weights))
        ):
            self.stopped = True
        return self.stopped

    def finish(self, certain=False):
        """Go back to the best epoch if validation decides; returns its number, or the last's.

        ``certain`` says that there was nothing more to train.
        """
        run, last = self.run, len(self.run.curve)
        if self.saved is None:
            return self.ended
        for array, saved in zip(self._state(run.weights), self.saved, strict=True):
            array[...] = saved
        if self.best_iter < last and not (self.stopped or certain or run.settings.tol == 0):
            run.warning = (
                f"Validation had not stopped training after max_iter={run.settings.max_iter} "
                f"epochs; it was best after epoch {self.best_iter}. Increase max_iter."
            )
        return self.best_iter

    @property
    def ended(self):
        """The epoch that a fit which ended now would go back to."""
        return len(self.run.curve) if self.saved is None else self.best_iter

    def _returned(self, weights):
        """What a fit that ended now would return."""
        return self.saved[-1] if self.saved is not None else weights

    def _state(self, weights):
        """All arrays that an epoch moves; weights last, which coordinates may be the same as."""
        run = self.run
        raw_iterate = run.mean.raw_iterate or ()
        return (
            run.preconditioner.coordinates,
            run.state.slots,
            run.state.steps,
            *raw_iterate,
            weights,
        )

    def _validate(self, weights):
        settings = self.run.settings
        if self.judged is not None and np.array_equal(weights, self.judged):
            # An epoch that changed nothing is no evidence against going on.
            self.curve.append(self.curve[-1])
            return
        self.judged = weights.copy()
        if self.mean_loss is not None:
            value = self.mean_loss(weights)
            cost = math.inf if math.isnan(value) else value
        else:
            value = self.validation.score(self.run.result(weights))
            cost = -value
        self.curve.append(value)
        if self.best_iter is None or cost < self.best:
            self.best, self.best_iter = cost, len(self.curve)
            if self.stopping:
                self.saved = [array.copy() for array in self._state(weights)]
        # Against the value that counting started from: slow progress adds up.
        self.since += 1
        enough = settings.tol * abs(self.reference) if math.isfinite(self.reference) else 0.0
        if cost < self.reference - enough:
            self.reference, self.since = cost, 0
        if self.stopping and self.since >= settings.n_iter_no_change:
            self.stopped = True


class Lines:
    """Prints a line an epoch, and one now and then while an epoch takes long."""

    def __init__(self, run):
        self.run = run
        self.start = self.last = self.began = time.monotonic()
        self.steps = 0
        self.over = Event()

    def __enter__(self):
        self.thread = Thread(target=self._tick, daemon=True)
        self.thread.start()

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()

    def begin(self):
        self.began = time.monotonic()
        self.steps = int(self.run.state.steps[0])

    def end(self, rate, validation):
        run, now = self.run, time.monotonic()
        parts = [f"epoch {len(run.curve):4d}  objective {run.curve[-1]:.8g}"]
        if validation:
            parts.append(f"validation {validation[-1]:.6g}")
        parts.append(f"rate {rate:.3g}")
        if run.settings.verbose > 1:
            parts.append(f"batch {run.trainer.batch_size}")
            parts.append(f"{now - self.began:.2g} s")
        if now - self.start > PATIENCE:
            parts.append(self._left(now, len(run.curve)))
        self._print("  ".join(parts), now)

    def _tick(self):
        while not self.over.wait(max(0.01, self.last + PATIENCE - time.monotonic())):
            now = time.monotonic()
            if now - self.last < PATIENCE:
                continue
            run, done = self.run, len(self.run.curve)
            updates = int(run.state.steps[0]) - self.steps
            share = updates * run.trainer.batch_size / run.objective.n
            share = min(1.0, max(0.0, share))
            line = f"epoch {done + 1:4d}  {share:.0%} done  {self._left(now, done + share)}"
            self._print(line, now)

    def _left(self, now, done):
        spent = now - self.start
        text = f"{_duration(spent)} so far"
        if done > 0:
            left = spent / done * (self.run.settings.max_iter - done)
            text += f", at most {_duration(left)} left"
        return text

    def _print(self, line, now):
        self.last = now
        print(line, flush=True)


def _duration(seconds):
    """Seconds, minutes or hours, whichever is readable."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
