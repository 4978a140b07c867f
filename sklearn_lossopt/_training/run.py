"""The fit of one model, from its defaults to its result."""

from contextlib import nullcontext
from functools import partial
from itertools import chain

import numpy as np

from sklearn_lossopt._preconditioning.linear import LinearPreconditioner
from sklearn_lossopt._preconditioning.network import (
    NetworkPreconditioner,
    has_units,
    predicts_finite,
)
from sklearn_lossopt._solvers.null_space import smallest
from sklearn_lossopt._training import defaults
from sklearn_lossopt._training.auto_schedule import AutoSchedule
from sklearn_lossopt._training.averaging import IterateAverage
from sklearn_lossopt._training.convergence import Convergence
from sklearn_lossopt._training.corrections import make_corrector
from sklearn_lossopt._training.fixed_schedule import FixedSchedule
from sklearn_lossopt._training.iterate import Iterate
from sklearn_lossopt._training.loop import TrainingLoop, infinite_predictions, trainer
from sklearn_lossopt._training.minimize import WholeObjective
from sklearn_lossopt._training.monitor import Monitor
from sklearn_lossopt._training.passes import Passes
from sklearn_lossopt._training.pocket import Pocket
from sklearn_lossopt._training.returned import measured
from sklearn_lossopt._training.state import FitResult, State, altered

# Epochs that a fit which corrections have taken to the optimum is worth to a stream, at least.
AT_OPTIMUM = 3


def train(objective, settings, seed, start=None, state=None, validation=None, observer=None):
    """Fit one model: a generator of the Epochs to train, see ``bank``.

    Parameters
    ----------
    objective : Objective
    settings : Settings
    seed : int
        Seeds the order of the rows.
    start : tuple of ndarray (k, d), (k,), or None
        Coefficients and intercepts to start from.
    state : State or None
        An earlier call's, to go on with its optimizer memory and counts.
    validation : Validation or None
    observer : object or None
        Told of every epoch, see Monitor.

    Returns
    -------
    result : FitResult

    Raises
    ------
    DivergenceError
        If the objective stops being finite or ends far above its start.
    """
    anew = settings.schedule is None
    settings = defaults.with_schedule(objective, settings)
    batch_size = defaults.batch_size(objective, settings)

    given = objective
    stops = validation is not None and validation.stop
    preconditioner = make_preconditioner(objective, settings, batch_size, seed, start, stops)
    objective = preconditioner.objective
    state = resume(objective, settings, preconditioner, seed, start, state)
    rate = defaults.learning_rate(settings, preconditioner, batch_size)
    stepper = trainer(
        objective, preconditioner, settings.optimizer, state, batch_size, settings.shuffle
    )
    iterate = Iterate(objective, settings, preconditioner, state, stepper)
    average = IterateAverage(iterate)
    average.resume(state.raw_iterate)

    curve, convergence = [], Convergence(iterate, settings)
    make_result = partial(fit_result, settings, iterate, average, rate, curve)
    monitor = Monitor(settings, iterate, average, curve, make_result, validation, observer)
    with monitor.progress or nullcontext():
        strategy = choose_strategy(
            settings, iterate, average, convergence, rate, monitor.stopping, anew
        )
        loop = TrainingLoop(iterate, strategy, monitor, curve, settings.max_iter)
        yield from loop.run()
        converged = conclude(loop, convergence)

    take_smallest(iterate, convergence, curve)
    result, reached = measured(given, iterate, convergence, monitor.result)
    if not predicts_finite(given, settings.network, result.coef, result.intercept):
        when = f"after epoch {len(curve)}, at an objective of {curve[-1]:.3g},"
        raise infinite_predictions(given, when, rate, settings)
    if reached is not None and settings.tol > 0 and monitor.returned == len(curve):
        converged = convergence.survives_rounding(reached, curve[-1], converged)
        curve[-1] = reached
    if converged and settings.schedule is None:
        spared = AT_OPTIMUM * iterate.updates_per_epoch - result.state.updates
        result = altered(result, state=altered(result.state, ahead=max(0, spared)))
    return altered(result, converged=converged, loss_curve=curve, warning=convergence.warning)


def make_preconditioner(objective, settings, batch_size, seed, start, stops=False):
    """The coordinates to train in, with the weights at the start."""
    if settings.network is None:
        # A rule for the rate, or validation, may end a fit anywhere.
        path_matters = stops or (settings.schedule is not None and not settings.optimizer.minimize)
        return LinearPreconditioner(
            objective, settings.precondition, batch_size, start, path_matters=path_matters
        )
    textbook = settings.precondition is False or batch_size >= objective.n
    textbook = textbook or settings.optimizer.minimize is not None
    encoded = 0 if textbook else np.count_nonzero(has_units(objective))
    architecture = defaults.with_regularisation(
        settings, textbook, objective.n, batch_size, encoded
    )
    return NetworkPreconditioner(objective, settings.precondition, architecture, seed, start)


def resume(objective, settings, preconditioner, seed, start, earlier):
    """An earlier fit's state, with the exact place where it ended, if its coordinates are those
    of this fit; else a fresh one."""
    fresh = State.fresh(objective, settings.optimizer, seed, settings.network)
    fresh.fingerprint = preconditioner.fingerprint()
    if (
        earlier is None
        or earlier.fingerprint != fresh.fingerprint
        or earlier.slots.shape != fresh.slots.shape
    ):
        return fresh
    if earlier.position is not None:
        weights, coordinates = earlier.position
        ended = preconditioner.rounded(*preconditioner.unshift(weights.astype(np.float64)))
        if all(map(np.array_equal, chain(*ended), chain(*start))):
            preconditioner.weights[...], preconditioner.coordinates[...] = weights, coordinates
    return altered(
        fresh,
        slots=earlier.slots.copy(),
        steps=earlier.steps.copy(),
        epoch=earlier.epoch,
        updates=earlier.updates,
        curve=list(earlier.curve),
        raw_iterate=earlier.raw_iterate,
    )


def choose_strategy(settings, iterate, average, convergence, rate, patient, anew):
    """How the fit goes from epoch to epoch; ``patient`` and ``anew`` as for FixedSchedule."""
    if iterate.objective.in_partitions and settings.network is None:
        return Passes(iterate, convergence, settings, rate, make_corrector)
    if settings.optimizer.minimize is not None:
        return WholeObjective(iterate, convergence, settings, rate, make_corrector)
    if settings.schedule is not None:
        return FixedSchedule(iterate, average, convergence, settings, rate, patient, anew)
    if iterate.objective.loss.learns_at_optimum:
        return AutoSchedule(iterate, convergence, settings, rate, make_corrector)
    return Pocket(iterate, average, settings, rate)


def conclude(loop, convergence):
    """Leave the iterate at the weights that the fit returns; returns whether it has converged."""
    strategy, monitor, curve = loop.strategy, loop.monitor, loop.curve
    strategy.finish(curve)
    returned = monitor.finish()
    strategy.check(curve, returned)
    corrected = strategy.corrector is not None
    return convergence.conclude(curve, returned, monitor.stopped, strategy.exhausted, corrected)


def take_smallest(iterate, convergence, curve):
    """Return the smallest of the weights that predict the same, if rounding lets them predict the
    same. The curve ends with their objective, which a penalty makes lower."""
    preconditioner, tolerance = iterate.preconditioner, convergence.target
    if preconditioner.leaves_directions:
        better = smallest(iterate.objective, preconditioner.shift, iterate.weights.astype(float))
        if iterate.rise(better) <= tolerance(iterate.evaluate()):
            iterate.weights[...] = better
            preconditioner.to_coordinates()
    null = preconditioner.null
    if null is not None:
        rise = iterate.rise(null.remove(iterate.weights.astype(float)))
        if rise > tolerance(iterate.evaluate()):
            preconditioner.forget_null_space()
        elif convergence.tol > 0:
            curve[-1] = max(curve[-1] + rise, 0.0)


def fit_result(settings, iterate, average, rate, curve, weights):
    """What a fit that ended now with these weights would return."""
    state, preconditioner, W = iterate.state, iterate.preconditioner, weights.astype(np.float64)
    # Corrections leave the coordinates that the optimizer's memory belongs to.
    corrected = settings.schedule is None
    joint = iterate.objective.target_kind == "class"
    if corrected and joint and iterate.objective.loss.shift_invariant:
        # Adding a number to the intercepts of all columns changes nothing.
        W[:, -1] -= W[:, -1].mean()
    fingerprint, position = state.fingerprint, None
    if fingerprint and corrected:
        fingerprint = b"corrected"
    elif fingerprint and weights is iterate.weights:
        position = weights.copy(), preconditioner.coordinates.copy()
    state = altered(
        state,
        slots=state.slots.copy(),
        steps=state.steps.copy(),
        epoch=state.epoch + len(curve),
        curve=state.curve + curve,
        raw_iterate=average.copy(),
        fingerprint=fingerprint,
        position=position,
    )
    model = preconditioner.rounded(*preconditioner.unshift(W))
    return FitResult(*model, state, len(curve), rate, False, list(curve))
