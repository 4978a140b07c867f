"""Training runs, alone or many on one stream of batches. Floor 2.

A run is a generator: it yields the epochs that it wants to be trained, and goes on when they are.
Everything between them, from evaluations to Newton's steps, it does by itself. So one and the
same run trains alone, or with others whose epochs have the same batches, or is left where it is
for a while.
"""

import math
import time
from collections import defaultdict

import numpy as np

from sklearn_lossopt._blas import ONE_BLAS_THREAD
from sklearn_lossopt._engine import run_bank

# What the runs of a bank hold of their own, at most, before others have to wait.
BYTES = 2**28


class Epochs:
    """What a run yields: epochs to train, the next of its own.

    Parameters
    ----------
    run : Fit
    count : int
    rates : ndarray of shape (1,) or (updates,)

    Attributes
    ----------
    done : int
        Epochs trained; less than ``count`` where a value was not finite.
    history : ndarray of shape (count,)
        See ``_engine.Trainer.run``.
    """

    def __init__(self, run, count, rates):
        self.run, self.count, self.rates = run, count, rates
        self.first = run.state.epoch + run.epoch
        self.history, self.done, self.broken = np.empty(count), 0, False
        self.steps = 0 if len(rates) == 1 else len(rates) // count

    @property
    def next(self):
        """The number of the next epoch."""
        return self.first + self.done

    @property
    def made(self):
        """Epochs that the run has made since it began."""
        return self.next - self.run.state.epoch

    @property
    def left(self):
        return 0 if self.broken else self.count - self.done

    @property
    def stream(self):
        """What names the batches; None for epochs that are trained alone."""
        run, preconditioner = self.run, self.run.preconditioner
        if not run.trainer.shares_batches():
            return None
        objective = run.objective
        # One memo has made them for all that share them.
        arrays = (
            objective.X,
            objective.target,
            objective.weight,
            objective.rows,
            preconditioner.shift,
            preconditioner.scale,
        )
        return (
            *map(id, arrays),
            objective.target_kind,
            objective.n_outputs,
            objective.fit_intercept,
            run.trainer.batch_size,
            run.trainer.chunk,
            run.settings.shuffle,
            run.state.seed,
            preconditioner.network is None,
        )

    def nbytes(self, metrics):
        """Of the run, of the rates, of what the epochs will add to its curve and of the metric,
        if that is not among those in the set of ``metrics``, where it is put."""
        size = self.run.nbytes + self.rates.nbytes + 48 * self.count
        metric = self.run.preconditioner.shared
        if metric is None or metric in metrics:
            return size
        metrics.add(metric)
        return size + metric.nbytes

    def piece(self, count):
        """Rates and history of the next epochs, as views."""
        begin, rates = self.done, self.rates
        if self.steps:
            rates = rates[begin * self.steps : (begin + count) * self.steps]
        return rates, self.history[begin : begin + count]

    def take(self, done, count):
        """Note that ``done`` of ``count`` epochs were trained."""
        self.done += done
        self.broken = done < count or not np.isfinite(self.history[self.done - 1])

    def train(self, count=None):
        """Train them, or the next ``count`` of them, alone."""
        if count is None:
            count = self.left
        if count:
            self.take(self.run.trainer.run(self.next, count, *self.piece(count)), count)


def alone(training):
    """Drive one training to its end; returns what it returns."""
    with ONE_BLAS_THREAD:
        while True:
            try:
                epochs = next(training)
            except StopIteration as end:
                return end.value
            epochs.train()


class Bank:
    """Trainings driven side by side, in waves of runs that take up to ``BYTES`` together.

    Parameters
    ----------
    trainings : dict
        Generators of Epochs, by any key.

    Attributes
    ----------
    results : dict
        What the trainings that have ended have returned, or the exceptions they raised.
    seconds : dict
        The time that each took; of what was done for several at once, its share.
    """

    def __init__(self, trainings):
        self.trainings, self.results = trainings, {}
        self.waiting = list(reversed(trainings))
        # Where the trainings are that have begun and not ended, and their streams.
        self.wanted, self.streams = {}, {}
        self.seconds = dict.fromkeys(trainings, 0.0)

    def advance(self, until=None):
        """Train a wave until all of it has ended; or all, until they have made ``until`` epochs."""
        with ONE_BLAS_THREAD:
            self._begin(math.inf if until is not None else BYTES)
            while True:
                for key in [key for key, epochs in self.wanted.items() if not epochs.left]:
                    self._resume(key)
                ready = {
                    key: epochs for key, epochs in self.wanted.items()
                    if until is None or epochs.made < until
                }  # fmt: skip
                if not ready:
                    return
                self._train(ready, until)

    def drop(self, key):
        """Train one no further."""
        del self.wanted[key]
        self.trainings.pop(key).close()

    def _begin(self, most):
        """Begin trainings that wait, as long as those that have begun take less than ``most``."""
        metrics = set()
        size = sum(epochs.nbytes(metrics) for epochs in self.wanted.values())
        while self.waiting and size < most:
            key = self.waiting.pop()
            if self._resume(key):
                size += self.wanted[key].nbytes(metrics)

    def _resume(self, key):
        """Let a training go on to its next epochs; returns whether there are any."""
        start = time.perf_counter()
        try:
            epochs = self.wanted[key] = next(self.trainings[key])
        except StopIteration as end:
            self.results[key] = end.value
        except Exception as error:
            self.results[key] = error
        else:
            self.streams[key] = epochs.stream
            return True
        finally:
            self.seconds[key] += time.perf_counter() - start
        self.wanted.pop(key, None)
        return False

    def _train(self, ready, until):
        """Train the epochs that come first, those of one stream together."""
        first = min(epochs.next for epochs in ready.values())
        groups = defaultdict(list)
        for key, epochs in ready.items():
            if epochs.next == first:
                stream = self.streams[key]
                groups[stream or key].append(key)
        for keys in groups.values():
            members, start = [ready[key] for key in keys], time.perf_counter()
            count = min(epochs.left for epochs in members)
            if until is not None:
                count = min(count, *(until - epochs.made for epochs in members))
            if len(members) == 1:
                members[0].train(count)
            else:
                train_together(members, first, count)
            share = (time.perf_counter() - start) / len(keys)
            for key in keys:
                self.seconds[key] += share


def train_together(members, first, count):
    """Train the next ``count`` of several runs' Epochs, all of one stream."""
    rates, histories = zip(*(epochs.piece(count) for epochs in members), strict=True)
    trainers = [epochs.run.trainer for epochs in members]
    done = run_bank(trainers, first, count, list(rates), list(histories))
    for epochs, n_done in zip(members, done, strict=True):
        epochs.take(n_done, count)
