"""Fits driven one by one, or many on one stream of batches.

The protocol. A fit is a generator. It yields ``Epochs``, a request: so many epochs at these rates,
from the next one on. Who drives the fit has them trained, in one piece or in several, and resumes
the generator when none are left. When the fit ends, the generator returns its result or raises.

Everything else is done by the fit itself between two requests: evaluations, corrections, the
decision to stop, callbacks. It keeps no time and knows of no other fit. So between two requests,
or between two pieces of one, its driver may

- leave it where it is, for as long as it likes, and train others;
- train it in one call of the engine with others whose requests name the same ``stream``;
- ask what it holds (``Epochs.nbytes``) and whether it has diverged (``Epochs.divergence``);
- end it, by closing the generator.

The result is the same in each case, bit for bit. There are two drivers: ``alone``, for one fit, and
``Bank``. ``together`` takes the one that suits.
"""

import math
import time
import traceback
from collections import defaultdict
from functools import partial

import numpy as np

from sklearn_lossopt._blas import ONE_BLAS_THREAD
from sklearn_lossopt._engine import look_for_stop, run_bank
from sklearn_lossopt._training.threads import available_threads, side_by_side

# What the fits of a bank hold of their own, at most, before others have to wait.
WAVE_BYTES = 2**28
# Numbers of rows times parameters from which epochs are worth a thread: some milliseconds.
THREAD_WORK = 2**21


class Epochs:
    """What a fit yields: a request to train its next epochs.

    Parameters
    ----------
    iterate : Iterate
        What is to be trained.
    made : int
        Epochs that the fit has made before.
    count : int
        Epochs wanted.
    rates : ndarray of shape (1,) or (updates,)
        Their learning rates.
    fit_nbytes : callable
        Says what the fit holds, besides what it shares.
    divergence : callable
        Returns the error of the fit if it ended now; None if it has not diverged.

    Attributes
    ----------
    done : int
        Epochs trained; less than ``count`` where a value was not finite.
    history : ndarray of shape (count,)
        See ``_engine.Trainer.run``.
    """

    def __init__(self, iterate, made, count, rates, fit_nbytes, divergence):
        self.iterate, self.count, self.rates = iterate, count, rates
        self.fit_nbytes, self.divergence = fit_nbytes, divergence
        self.earlier = iterate.state.epoch
        self.first = self.earlier + made
        self.history, self.done, self.broken = np.empty(count), 0, False
        self.steps = 0 if len(rates) == 1 else len(rates) // count

    @property
    def next(self):
        """The number of the next epoch, those of earlier fits included."""
        return self.first + self.done

    @property
    def made(self):
        """Epochs that the fit has made since it began."""
        return self.next - self.earlier

    @property
    def left(self):
        return 0 if self.broken else self.count - self.done

    @property
    def stream(self):
        """What names the batches; None for epochs that are trained alone."""
        iterate, trainer = self.iterate, self.iterate.trainer
        if not trainer.shares_batches():
            return None
        objective, preconditioner = iterate.objective, iterate.preconditioner
        # One cache has made them for all that share them.
        arrays = (
            objective.X,
            objective.target,
            objective.weight,
            objective.sample_indices,
            preconditioner.shift,
            preconditioner.scale,
        )
        return (
            *map(id, arrays),
            objective.target_kind,
            objective.n_outputs,
            objective.fit_intercept,
            trainer.batch_size,
            trainer.chunk,
            iterate.shuffle,
            iterate.state.seed,
            preconditioner.network is None,
        )

    def nbytes(self, metrics):
        """Bytes of the fit, of the rates, of what the epochs will add to its curve, and of the
        metric unless the set ``metrics`` has it already, to which it is added."""
        size = self.fit_nbytes() + self.rates.nbytes + 48 * self.count
        metric = self.iterate.preconditioner.shared
        if metric is None or metric in metrics:
            return size
        metrics.add(metric)
        return size + metric.nbytes

    def may_have_thread(self, count):
        """Whether the next ``count`` epochs are long enough for a thread, on rows that are here,
        and call nothing that a user wrote, who may not expect several calls at once."""
        objective, size = self.iterate.objective, self.iterate.weights.size
        long = count * objective.n * size >= THREAD_WORK
        return long and not objective.in_partitions and self.iterate.is_compiled

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

    def train(self, count=None, after_update=None):
        """Train them, or the next ``count`` of them, alone; ``after_update`` is called after each
        update."""
        if count is None:
            count = self.left
        if count:
            run = self.iterate.trainer.run
            self.take(run(self.next, count, *self.piece(count), after_update), count)


def alone(training, watch=None):
    """Drive one fit, a generator of Epochs, to its end; returns what it returns.

    Parameters
    ----------
    training : generator of Epochs
    watch : callable or None
        Gets Epochs before they are trained; returns what to call after each update, or None.
    """
    with ONE_BLAS_THREAD:
        while True:
            look_for_stop()
            try:
                epochs = next(training)
            except StopIteration as end:
                return end.value
            epochs.train(after_update=watch and watch(epochs))


def together(fits):
    """Drive fits that stand or fall together, generators of Epochs, to their ends, in threads
    where there are some.

    Returns
    -------
    results : list
        What each returns.

    Raises
    ------
    Exception
        What the first to fail raises; the others are given up.
    """
    if len(fits) == 1:
        return [alone(fits[0])]
    bank = Bank(dict(enumerate(fits)), until_failure=True, n_threads=available_threads())
    while len(bank.results) < len(fits):
        bank.advance()
        if bank.failure is not None:
            raise bank.failure
    return [bank.results[key] for key in range(len(fits))]


class Bank:
    """Fits driven side by side, in waves that take up to ``WAVE_BYTES`` together.

    Parameters
    ----------
    fits : dict
        Generators of Epochs, by any key.
    until_failure : bool, default=False
        Whether to train no further once a fit has failed.
    n_threads : int, default=1
        How many streams to train on at a time.

    Attributes
    ----------
    results : dict
        What the fits that have ended have returned, or the exceptions they raised.
    failure : Exception or None
        The first that was raised, if it is to end the training of all.
    seconds : dict
        The time that each took; of what was done for several at once, its share.
    """

    def __init__(self, fits, until_failure=False, n_threads=1):
        self.fits, self.results, self.failure = fits, {}, None
        self.until_failure, self.n_threads = until_failure, n_threads
        self.waiting = list(reversed(fits))
        # What the fits want that have begun and not ended, and on which streams.
        self.wanted, self.streams = {}, {}
        self.seconds = dict.fromkeys(fits, 0.0)

    def advance(self, until=None):
        """Train a wave until all of it has ended; or all fits, until they have made ``until``
        epochs."""
        # Threads of a search have no settings of their caller's.
        with ONE_BLAS_THREAD, np.errstate(all="ignore"):
            self._begin(math.inf if until is not None else WAVE_BYTES)
            while True:
                look_for_stop()
                for key in [key for key, epochs in self.wanted.items() if not epochs.left]:
                    self._resume(key)
                ready = {
                    key: epochs for key, epochs in self.wanted.items()
                    if until is None or epochs.made < until
                }  # fmt: skip
                if not ready or self.failure is not None:
                    return
                self._train(ready, until)

    def drop(self, key):
        """Forget a fit, which may have ended; if not, it is trained no further."""
        self.wanted.pop(key, None)
        self.results.pop(key, None)
        if key in self.waiting:
            self.waiting.remove(key)
        self.fits.pop(key).close()

    def divergence(self, key):
        """The error of a fit if it ended where it is; None if it has not diverged or has ended."""
        return self.wanted[key].divergence() if key in self.wanted else None

    def _begin(self, most):
        """Begin fits that wait, as long as those that have begun take less than ``most``."""
        metrics = set()
        size = sum(epochs.nbytes(metrics) for epochs in self.wanted.values())
        while self.waiting and size < most and self.failure is None:
            key = self.waiting.pop()
            if self._resume(key):
                size += self.wanted[key].nbytes(metrics)

    def _resume(self, key):
        """Resume a fit; returns whether it wants more epochs."""
        start = time.perf_counter()
        try:
            epochs = self.wanted[key] = next(self.fits[key])
        except StopIteration as end:
            self.results[key] = end.value
        except Exception as error:
            # What is kept is the error, not what its fit held.
            traceback.clear_frames(error.__traceback__)
            self.results[key] = error
            self.failure = error if self.until_failure else None
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
        calls, long = [], True
        for keys in groups.values():
            members = [ready[key] for key in keys]
            count = min(epochs.left for epochs in members)
            if until is not None:
                count = min(count, *(until - epochs.made for epochs in members))
            long = long and members[0].may_have_thread(count)
            calls.append(partial(train_together, members, first, count))
        found = side_by_side(calls, self.n_threads if long else 1)
        for keys, seconds in zip(groups.values(), found, strict=True):
            for key in keys:
                self.seconds[key] += seconds / len(keys)


def train_together(members, first, count):
    """Train the next ``count`` epochs of several fits, all of one stream; returns the seconds that
    it took."""
    start = time.perf_counter()
    if len(members) == 1:
        members[0].train(count)
        return time.perf_counter() - start
    rates, histories = zip(*(epochs.piece(count) for epochs in members), strict=True)
    trainers = [epochs.iterate.trainer for epochs in members]
    done = run_bank(trainers, first, count, list(rates), list(histories))
    for epochs, n_done in zip(members, done, strict=True):
        epochs.take(n_done, count)
    return time.perf_counter() - start
