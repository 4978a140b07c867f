"""The configurations that the tests run over, read from the registries.

A registered loss, optimizer or schedule is tested; only a loss whose targets have a domain of
their own needs a line here.
"""

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses, optimizers, schedules

ESTIMATORS = {"regression": GradientRegressor, "classification": GradientClassifier}

# Exactly the textbook iterates, whatever they lead to.
TEXTBOOK = {"precondition": False, "schedule": "constant", "tol": 0}


def spellings(family):
    """Every string that a family takes, and the canonical name that it stands for."""
    return {
        spelling: name
        for name, component in family.registry().items()
        for spelling in (name, *component.aliases)
    }


def meanings(family):
    """The strings that differ in more than spelling: names, and aliases that set a parameter."""
    return [
        spelling
        for name, component in family.registry().items()
        for spelling in (name, *(alias for alias, given in component.aliases.items() if given))
    ]


def takes(task, loss):
    """Whether the estimator for a task takes a loss, given as a string."""
    return getattr(losses.registry()[spellings(losses)[loss]], task)


def optimizer_of(name):
    """The optimizer that a string stands for."""
    return optimizers.Optimizer.resolve(name)


def combine(loss, optimizer):
    """Whether an optimizer, given as a string, can minimise a loss, given as one."""
    smooth = losses.registry()[spellings(losses)[loss]].smooth
    return smooth or not optimizer_of(optimizer).needs_smooth


def settable(optimizer, **parameters):
    """Of an estimator's parameters, those that are not refused with an optimizer."""
    found, refused = optimizer_of(optimizer), set()
    if found.full_batch:
        refused |= {"batch_size"}
    if found.minimize is not None:
        refused |= {"learning_rate", "schedule"}
    return {name: value for name, value in parameters.items() if name not in refused}


OPTIMIZERS = meanings(optimizers)
# Those that make steps at a learning rate, rather than look for the minimum by themselves.
STEPPING = [name for name in OPTIMIZERS if optimizer_of(name).minimize is None]
SCHEDULES = meanings(schedules)
# (task, loss) of every estimator with every loss that it takes
PAIRS = [(task, loss) for task in ESTIMATORS for loss in meanings(losses) if takes(task, loss)]
# (task, loss, optimizer), all that go together
TRIPLES = [
    (*pair, optimizer) for pair in PAIRS for optimizer in OPTIMIZERS if combine(pair[1], optimizer)
]
# Of these, every loss with one optimizer, and every optimizer with a loss of each kind (one output,
# joint and one-vs-rest columns): for what no pair of them can break if none alone does.
COVER = [
    (task, loss, optimizer)
    for task, loss, optimizer in TRIPLES
    if optimizer == "adam" or loss in ("log_loss", "hinge") or (task, loss) == PAIRS[0]
]


# Losses of a log link, whose targets are positive.
POSITIVE_TARGETS = {"poisson", "gamma", "tweedie"}


def real_data(task):
    """Raw, unscaled data sets that scikit-learn ships, and the score to expect of a fit."""
    if task == "regression":
        return {"diabetes": (*load_diabetes(return_X_y=True, scaled=False), 0.49)}
    return {
        "breast_cancer": (*load_breast_cancer(return_X_y=True), 0.94),
        "wine": (*load_wine(return_X_y=True), 0.97),
    }


def make_data(task, loss=None, *, n=60, d=4, n_targets=1, seed=0):
    """Unscaled rows; a target with noise (n,), targets (n, n_targets) or n_targets + 1 labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 3, size=d) + rng.normal(size=d)
    score = X @ rng.normal(size=(d, max(2, n_targets + 1))) + rng.normal(size=(n, 1))
    if task == "regression":
        if loss in POSITIVE_TARGETS:
            score = np.exp(score / score.std())
        return X, score[:, 0] if n_targets == 1 else score[:, :n_targets]
    y = score.argmax(axis=1) if n_targets > 1 else (score[:, 0] > np.median(score[:, 0]))
    y = y.astype(int)
    y[: n_targets + 1] = np.arange(n_targets + 1)
    return X, y


def make(task, loss=None, optimizer="adam", **parameters):
    """An estimator with a fixed seed."""
    estimator = ESTIMATORS[task](optimizer=optimizer, random_state=0)
    if loss is not None:
        estimator.set_params(loss=loss)
    return estimator.set_params(**parameters)


def fit_seed(model, seed, X, y):
    """A function that worker processes can import."""
    return clone(model).set_params(random_state=seed).fit(X, y)


def same_model(a, b):
    """Whether two fitted estimators are equal bit for bit."""
    return (
        a.coef_.dtype == b.coef_.dtype
        and np.array_equal(a.coef_, b.coef_)
        and np.array_equal(a.intercept_, b.intercept_)
        and np.array_equal(a.loss_curve_, b.loss_curve_)
        and (a.n_iter_, a.t_, a.converged_, a.learning_rate_)
        == (b.n_iter_, b.t_, b.converged_, b.learning_rate_)
    )
