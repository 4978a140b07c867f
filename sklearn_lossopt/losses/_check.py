"""A check of a loss on a few rows, for all that estimators rely on."""

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from sklearn_lossopt.losses._base import Loss
from sklearn_lossopt.losses._probe import Probe

# Number of rows that are drawn.
ROWS = 64

# Domains of the targets of regression losses, the widest first.
DOMAINS = {
    "any number": lambda rng, shape: 3 * rng.normal(size=shape),
    "at least 0": lambda rng, shape: rng.poisson(2.0, size=shape).astype(np.float64),
    "greater than 0": lambda rng, shape: rng.gamma(2.0, size=shape) + 0.1,
    "between 0 and 1": lambda rng, shape: rng.uniform(0.05, 0.95, size=shape),
}


def check_loss(
    loss: str | Loss,
    *,
    n_outputs: int | Sequence[int] = (1, 3),
    y: ArrayLike | None = None,
    raw: ArrayLike | None = None,
    random_state: int = 0,
) -> dict[str, Any]:
    """Try a loss as estimators use it, and raise an error if something is wrong with it.

    The check covers

    - the shapes of values and gradient, and that they are finite;
    - the gradient, which must be the derivative of the value by finite differences;
    - rows, which must not depend on each other, columns, which must add up, and the arguments,
      which must stay unchanged;
    - float32 and large raw predictions;
    - jumps of the gradient, which the class must declare, and what the class states about its
      breakpoints and its curvature;
    - copies by ``clone`` and ``pickle``.

    Parameters
    ----------
    loss : Loss or str
        A loss of your own, or a registered one.
    n_outputs : int or sequence of int, default=(1, 3)
        Numbers of raw predictions per row. With several, a regression loss gets as many targets;
        a classification loss gets the class index, or columns of -1 and +1 if ``joint`` is False.
        Ignored if ``y`` or ``raw`` is given.
    y : ndarray of shape (n,) or (n, k), default=None
        Targets to check with. By default they are drawn from the widest domain that the loss
        accepts.
    raw : ndarray of shape (n,) or (n, k), default=None
        Raw predictions to check with. By default they are drawn with a standard deviation of 3.
    random_state : int, default=0
        Seed of the random targets and raw predictions.

    Returns
    -------
    facts : dict
        "targets": the domain of the targets. "convex": whether no row's loss was found to bend
        downwards; a loss may do so, but then training can end in a local minimum. "smooth":
        whether no jump of the gradient was found.

    Raises
    ------
    ValueError
        If something is wrong. The message names the loss, the row, the claim, the finding and a
        remedy.
    NotImplementedError
        If the loss has no formula.

    Examples
    --------
    >>> from sklearn_lossopt.losses import check_loss
    >>> check_loss("poisson")
    {'targets': 'at least 0', 'convex': True, 'smooth': True}
    """
    if isinstance(loss, Loss):
        _check_copies(loss)
    loss = Loss.resolve(loss)
    if not (loss.regression or loss.classification):
        raise ValueError(
            f"{type(loss).__name__} is a loss for neither numbers nor classes. Subclass "
            "RegressionLoss or ClassificationLoss instead of Loss."
        )
    # A fit finds the number that "auto" stands for. Any scale serves here.
    loss = loss._prepared(lambda epsilon: 1.0)
    rng = np.random.default_rng(random_state)
    facts = {"targets": [], "convex": True, "smooth": True}
    for domain, targets, scores in _cases(loss, n_outputs, y, raw, rng):
        probe = Probe(loss, targets, scores)
        probe.check_gradient()
        probe.check_rows(rng)
        probe.check_columns()
        probe.check_float32()
        if raw is None:
            probe.check_far()
        convex, smooth = probe.follow_lines(rng)
        probe.check_facts()
        facts["convex"] &= convex
        facts["smooth"] &= smooth
        if domain not in facts["targets"]:
            facts["targets"].append(domain)
    return facts | {"targets": "; ".join(facts["targets"])}


def _check_copies(loss):
    """Check copies: searches clone a loss, and an estimator's pickle holds it."""
    name = type(loss).__name__
    try:
        copied = clone(loss)
    except Exception as error:
        raise ValueError(
            f"{name} cannot be cloned: {error}. Its __init__ should store each argument, "
            "unchanged, under the argument's own name, and do nothing else."
        ) from error
    try:
        pickled = pickle.loads(pickle.dumps(loss))
    except Exception as error:
        raise ValueError(
            f"{name} cannot be pickled: {error}. Define the class at the top level of a module, "
            "and keep no lambdas or open files in it."
        ) from error
    for other, how in ((copied, "cloned"), (pickled, "pickled")):
        if other.get_params() != loss.get_params():
            raise ValueError(
                f"{name} changes when it is {how}: {loss.get_params()} becomes "
                f"{other.get_params()}. Its __init__ should store each argument unchanged."
            )


def _cases(loss, n_outputs, y, raw, rng):
    """Pairs of targets and raw predictions to try, and the targets' domain in words."""
    if y is None and raw is None:
        for k in np.atleast_1d(n_outputs):
            shape = (ROWS,) if k == 1 else (ROWS, int(k))
            domain, targets = _draw_targets(loss, shape, rng)
            yield domain, targets, _draw_scores(targets, shape, rng)
        return
    if raw is not None:
        raw = np.array(raw, np.float64)
        shape = raw.shape
    else:
        targets = np.asarray(y)
        shape = targets.shape
        codes = targets.ndim == 1 and not loss.regression and not np.isin(targets, (-1, 1)).all()
        if codes:
            shape = (len(targets), max(2, int(targets.max()) + 1))
    domain = "those given"
    if y is None:
        domain, y = _draw_targets(loss, shape, rng)
    y = np.asarray(y)
    index = not loss.regression and len(shape) == 2 and y.ndim == 1
    y = y.astype(np.intp if index else np.float64)
    yield domain, y, _draw_scores(y, shape, rng) if raw is None else raw


def _draw_targets(loss, shape, rng):
    if not loss.regression:
        if len(shape) == 2 and loss.joint:
            return "class indices", rng.integers(shape[1], size=shape[0]).astype(np.intp)
        return "-1 and 1", rng.choice([-1.0, 1.0], size=shape)
    for domain, draw in DOMAINS.items():
        y = draw(rng, shape)
        try:
            loss._check_target(y.reshape(len(y), -1))
        except ValueError:
            continue
        return domain, y
    raise ValueError(
        f"{type(loss).__name__} refuses all targets tried ({', '.join(DOMAINS)}). Pass y, and raw "
        "if it matters, to check it with targets that it takes."
    )


def _draw_scores(y, shape, rng):
    """Raw predictions. Some are 0, as at the start of training, and some equal the target."""
    raw = 3 * rng.normal(size=shape)
    raw[:4] = 0.0
    if y.shape == shape:
        raw[4:8] = y[4:8]
    return raw
