"""What every "auto" stands for in a fit: learning rate, batch size, schedule, epochs, dropout,
weight decay.

Linear models measure their curvature and react to their objective. For networks "auto" stands for
numbers that served well.
"""

from dataclasses import dataclass, replace

from sklearn_lossopt.schedules import Constant, Cosine, OneCycle

# Learning rates of networks by optimizer, in the units that networks are trained in.
NETWORK_RATES = {
    "gradient_descent": 0.1, "sgd": 0.03, "momentum": 0.01, "rmsprop": 0.003, "adam": 0.003,
    "amsgrad": 0.003, "adamw": 0.003, "nadam": 0.003, "radam": 0.003, "adamax": 0.006,
    "adagrad": 0.03, "adadelta": 1.0, "lion": 0.0005, "schedule_free_sgd": 0.1,
    "schedule_free_adamw": 0.01,
}  # fmt: skip
OTHER_NETWORK_RATE = 0.003
# Epochs of a network: as many as make about so many updates, within these bounds.
NETWORK_UPDATES = 2000
MIN_NETWORK_EPOCHS, MAX_NETWORK_EPOCHS = 100, 1000
# Rows up to which a network's batch has all of them: weights then equal repeated rows.
MAX_FULL_BATCH_ROWS = 64
# The narrowest layer that is braked.
MIN_REGULARISED_WIDTH = 32
# Hidden layers from which on half of the epochs do.
DEEP = 3
# By this times its columns of levels and bins per row, a network of one hidden layer forgets more:
# each is one more place for noise. The product of several layers would fall to 0.
ROOM_FOR_NOISE = 6.0


@dataclass(frozen=True)
class Brake:
    """What keeps a network of some depth from fitting noise.

    Parameters
    ----------
    rate : float
        What the learning rate of the optimizer is multiplied by.
    dropout : float
        The share of units dropped.
    forgotten : float
        Weight decay times the sum of the rates, had they not fallen: how often training forgets its
        weights by a factor of e (Wang and Aitchison 2024). Half a cosine halves it.
    """

    rate: float
    dropout: float
    forgotten: float


# By task, for one hidden layer, two, and ``DEEP``. Numbers as targets are noisier than classes.
BRAKES = {
    "regression": [Brake(1, 0.25, 10.0), Brake(1, 0.25, 20.0), Brake(2 / 3, 0.15, 9.0)],
    "classification": [Brake(1, 0.25, 2.0), Brake(1, 0.25, 6.0), Brake(1, 0.25, 6.0)],
}


def brake(task, layers):
    """The Brake of a network with so many hidden layers.

    From ``DEEP`` on what is forgotten falls with the square of the layers: the product of many that
    shrink falls to 0, so that nothing but a constant is left.
    """
    found = BRAKES[task][min(layers, DEEP) - 1]
    return replace(found, forgotten=found.forgotten * min(1.0, DEEP / layers) ** 2)


def batch_size(objective, settings):
    """Rows per update."""
    n, optimizer = objective.n, settings.optimizer
    if optimizer.full_batch:
        return n
    if settings.batch_size is not None:
        return min(n, settings.batch_size)
    if settings.network is not None:
        return n if n <= MAX_FULL_BATCH_ROWS else max(16, min(128, n // 32))
    # A full batch's subgradient can point uphill where the loss is not smooth; smaller ones
    # get past such points.
    stuck = not objective.loss.smooth and objective.breakpoints == 0
    least = 16 if stuck and objective.loss.learns_at_optimum else 64
    return min(n, max(least, min(256, n // 16)))


def network_epochs(n, batch_size, layers):
    """Epochs of a network with so many hidden layers, if ``max_iter`` is no less."""
    epochs = NETWORK_UPDATES * batch_size // n
    epochs = max(MIN_NETWORK_EPOCHS, min(MAX_NETWORK_EPOCHS, epochs))
    return epochs if layers < DEEP else epochs // 2


def with_schedule(objective, settings):
    """The settings with the schedule and the number of epochs that "auto" stands for.

    Those of linear models stay as they are: without a schedule training reacts to the objective.
    """
    if settings.network is None or settings.schedule is not None:
        return settings
    optimizer = settings.optimizer
    if optimizer.minimize is not None:
        # It has no rate to schedule, and ends where F stops falling.
        return replace(settings, schedule=Constant(), schedule_is_auto=True)
    layers = len(settings.network.hidden)
    epochs = network_epochs(objective.n, batch_size(objective, settings), layers)
    epochs = min(settings.max_iter, epochs)
    # A mean of the iterates does what a falling rate does.
    schedule = Constant() if optimizer._has_average else Cosine()
    if type(optimizer)._kernel_name == "momentum" and epochs > 1:
        schedule = OneCycle(warm_up=1 / epochs, start=0.0, floor=0.0)
    return replace(settings, schedule=schedule, schedule_is_auto=True, max_iter=epochs, tol=0.0)


def learning_rate(settings, preconditioner, batch_size):
    """The first learning rate."""
    optimizer = settings.optimizer
    if optimizer.minimize is not None:
        return 1.0
    if settings.learning_rate is not None:
        return settings.learning_rate
    if settings.network is not None:
        return network_rate(settings, preconditioner)
    return optimizer._auto_rate(*preconditioner.smoothness_and_noise(batch_size))


def table_rate(settings):
    """The learning rate of a network, whatever the data."""
    optimizer = getattr(settings.optimizer, "_inner", settings.optimizer)
    rate = NETWORK_RATES.get(optimizer._kernel_name or optimizer.name, OTHER_NETWORK_RATE)
    return rate * brake(settings.task, len(settings.network.hidden)).rate


def network_rate(settings, preconditioner):
    """The learning rate of a network: no larger than the curvature of its penalty allows."""
    optimizer = getattr(settings.optimizer, "_inner", settings.optimizer)
    rate = table_rate(settings)
    curvature = preconditioner.objective.l2 / preconditioner.loss_scale
    return min(rate, optimizer._auto_rate(curvature, 0.0)) if curvature > 0 else rate


def with_regularisation(settings, textbook, n=None, batch_size=None, encoded=0):
    """The Architecture with numbers for dropout and weight decay: none for ``textbook`` iterates
    and beside a narrow layer, and no decay of a stream, whose length ``n`` is not known. Of the
    columns, ``encoded`` are levels of categories or bins."""
    architecture, optimizer = settings.network, settings.optimizer
    layers = len(architecture.hidden)
    free = textbook or min(architecture.hidden) < MIN_REGULARISED_WIDTH
    dropout, decay = architecture.dropout, architecture.weight_decay
    if dropout is None:
        dropout = 0.0 if free else brake(settings.task, layers).dropout
    if decay is None and (free or n is None or not optimizer._takes_weight_decay):
        decay = 0.0
    elif decay is None:
        rate = settings.learning_rate or table_rate(settings)
        updates = network_epochs(n, batch_size, layers) * -(-n // batch_size)
        room = ROOM_FOR_NOISE * min(1.0, encoded / n) if layers == 1 else 0.0
        decay = brake(settings.task, layers).forgotten * (1 + room) / (rate * updates)
    return replace(architecture, dropout=dropout, weight_decay=decay)
