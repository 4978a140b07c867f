"""The training loop, and the interface of the strategies that steer it."""

from contextlib import nullcontext

import numpy as np

from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt._training.bank import Epochs

# A fit that ends this many times above its start has diverged.
DIVERGED = 10.0
# Bytes of a fit's objects besides its arrays.
OBJECT_BYTES = 12_000


def trainer(objective, preconditioner, optimizer, state, batch_size, shuffle):
    """The compiled trainer of an objective, which goes on from ``state`` and moves it, and the
    preconditioner's weights, in place."""
    return objective.trainer(
        preconditioner.shift,
        preconditioner.weights,
        objective.model(optimizer, preconditioner.loss_scale),
        state.slots,
        state.steps,
        metric=preconditioner.metric,
        coordinates=preconditioner.coordinates,
        intercept=objective.fit_intercept,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=state.seed,
        network=preconditioner.network,
    )


def remedy(settings):
    """What to do about a fit that has diverged."""
    if settings.not_auto:
        return (
            "Use a smaller learning_rate, or learning_rate='auto' with schedule='auto' and "
            "precondition='auto', which also copes with unscaled features."
        )
    return (
        "Use a smaller learning_rate or alpha, or divide X, y and sample_weight by constants where "
        "their values are extreme."
    )


def far_above(value, start):
    """Whether an objective is so far above its start, which a user's loss may put below 0, that
    training has diverged."""
    return value > start + (DIVERGED - 1) * abs(start)


def diverged(epoch, value, start, rate, settings):
    """The error of a fit whose objective was ``value`` after an epoch."""
    return DivergenceError(
        f"Training diverged: the objective was {value:.3g} after epoch {epoch} "
        f"({start:.3g} at the start) with learning_rate={rate:.3g}. {remedy(settings)}"
    )


def infinite_predictions(objective, when, rate, settings):
    """The error of a fit that ended with infinite predictions."""
    dtype = objective.model_dtype
    if dtype == np.float32:
        # F is finite, and so was the model in float64.
        return ValueError(
            f"X and y are too extreme for a model in float32: its numbers overflow {when}. Pass X "
            "as float64, or divide X and y by constants."
        )
    return DivergenceError(
        f"Training diverged: the model predicts infinite numbers {when} with learning_rate="
        f"{rate:.3g}. {remedy(settings)}"
    )


class Strategy:
    """How a fit goes from epoch to epoch: what the training loop asks of it.

    Before epochs the loop takes their learning rates from ``rates``. After them it has the model
    evaluated by ``evaluate`` and lets ``after`` decide what to make of the value. ``finish`` leaves
    the iterate where the fit ends. Subclasses define ``rates`` and ``after``.

    Parameters
    ----------
    iterate : Iterate
    incumbent : Incumbent or None
        What the fit returns; None where that is the iterate itself.
    corrector : object or None
        What estimates the gap on the way, see ``corrections``.

    Attributes
    ----------
    epochs_at_once : int
        Epochs that the strategy does not want to look at one by one.
    drives_itself : bool
        Whether the strategy makes passes of its own: ``run`` then takes the place of the loop, and
        calls what the loop does at the beginning and end of an epoch.
    exhausted : bool
        Whether a strategy that ends has nothing more to try, whatever the tolerance.
    """

    epochs_at_once = 1
    drives_itself = exhausted = False

    def __init__(self, iterate, incumbent=None, corrector=None):
        self.iterate, self.incumbent, self.corrector = iterate, incumbent, corrector

    @property
    def weights(self):
        """What a fit that ended now would return."""
        return self.iterate.weights if self.incumbent is None else self.incumbent.weights

    @property
    def nbytes(self):
        """What the strategy holds of its own between epochs."""
        parts = self.incumbent, self.corrector
        return sum(part.nbytes for part in parts if part is not None)

    def rates(self, epoch, count):
        """The learning rates of the next ``count`` epochs, ``epoch`` being made: one for each
        update, or one for all."""
        raise NotImplementedError

    def predicting(self):
        """A context in which the iterate has the weights that are judged."""
        return nullcontext()

    def evaluate(self, mean, rate):
        """F after an epoch; ``mean`` is its running mean over the epoch's batches, and ``rate`` the
        last learning rate."""
        return self.iterate.evaluate()

    def after(self, epoch, value):
        """Judge an epoch by the value of F.

        Parameters
        ----------
        epoch : int
            The epoch's number in this fit, counted from 1.
        value : float

        Returns
        -------
        accepted : float
            The objective that belongs on the curve.
        done : bool
            Whether to stop.
        """
        raise NotImplementedError

    def finish(self, curve):
        """Leave the iterate at the weights that the fit returns; ``curve`` has F after each epoch,
        and may be corrected."""
        if self.incumbent is not None:
            self.incumbent.place()

    def check(self, curve, returned):
        """Raise if a fit has diverged that ends now with the weights of epoch ``returned``."""


class TrainingLoop:
    """Epochs of one fit: begin, train, evaluate, judge, end, again.

    Parameters
    ----------
    iterate : Iterate
    strategy : Strategy
    monitor : Monitor
    curve : list of float
        F after each epoch, appended to.
    max_iter : int
    """

    def __init__(self, iterate, strategy, monitor, curve, max_iter):
        self.iterate, self.strategy, self.monitor = iterate, strategy, monitor
        self.curve, self.max_iter = curve, max_iter

    def run(self):
        """Train: a generator of the Epochs to be trained."""
        strategy, iterate, curve = self.strategy, self.iterate, self.curve
        if strategy.drives_itself:
            strategy.run(self.begin_epoch, self.end_epoch)
            return
        at_once = 1 if self.monitor.active else strategy.epochs_at_once
        done = stopped = False
        while len(curve) < self.max_iter and not (done or stopped):
            with strategy.predicting():
                self.begin_epoch()
            count = min(at_once, self.max_iter - len(curve))
            rates = strategy.rates(len(curve), count)
            epochs = Epochs(iterate, len(curve), count, rates, self.nbytes, self.divergence)
            yield epochs
            *means, last = epochs.history[: epochs.done]
            # A Python float: one of NumPy would turn float32 arrays into float64.
            rate = float(rates[-1])
            updates = epochs.done * iterate.updates_per_epoch
            with strategy.predicting():
                value = strategy.evaluate(last, rate)
                accepted, done = strategy.after(len(curve) + epochs.done, value)
                stopped = self.end_epoch([*means, accepted], updates, rate)

    def begin_epoch(self):
        """An epoch begins."""
        self.monitor.begin(self.strategy.weights)

    def end_epoch(self, values, updates, rate):
        """Note epochs by their values of F and their updates; returns whether to stop."""
        self.curve.extend(values)
        self.iterate.state.count_updates(updates)
        return self.monitor.end(self.strategy.weights, rate)

    def nbytes(self):
        """About what the fit holds between epochs, in bytes, besides what it shares."""
        parts = self.iterate, self.strategy, self.monitor
        return OBJECT_BYTES + sum(part.nbytes for part in parts)

    def divergence(self):
        """The error of the fit if it ended now; None if it has not diverged."""
        try:
            self.strategy.check(self.curve, self.monitor.returned)
        except DivergenceError as error:
            return error
        return None
