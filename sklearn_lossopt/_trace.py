"""The way of a fit: parameters and objective after each update or epoch."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.base import BaseGradientEstimator
from sklearn_lossopt._estimators.members import make_members
from sklearn_lossopt._estimators.validation_data import GivenValidation
from sklearn_lossopt._exceptions import DivergenceError, warn_user
from sklearn_lossopt._preconditioning.network import forward
from sklearn_lossopt._solvers.profile import Profile
from sklearn_lossopt._training.averaging import IterateAverage
from sklearn_lossopt._training.bank import alone
from sklearn_lossopt._typing import Array, FloatArray, MatrixLike

EVERY = ("update", "epoch")
OTHERS = ("fixed", "free")


class Trace:
    """The path of a fit, as ``trace`` records it; row 0 is the start.

    The parameters are in the units of X, whatever variables training works in.

    Parameters
    ----------
    recorder : Recorder
        The record of the fit.
    estimator : estimator
        The fitted estimator.
    error : DivergenceError or None
        How the fit ended.

    Attributes
    ----------
    update : ndarray of shape (n_points,), int
        Number of updates made. It does not change where something other than an update moved the
        model: a Newton step of ``schedule="auto"``, or its return to better weights.
    epoch : ndarray of shape (n_points,)
        Epochs made, with fractions: 1.5 is the middle of the second epoch.
    coef : ndarray of shape (n_points, ...), or list of these
        One ``coef_`` for each point. For a network it is a list, with one array for each of
        ``coefs_``.
    intercept : ndarray of shape (n_points, ...), or list of these
        The same for ``intercept_`` or ``intercepts_``.
    learning_rate : ndarray of shape (n_points,)
        Learning rate of the update that led to the point; at the start, of the first update. NaN
        where a line search finds the steps, as ``optimizer="lbfgs"`` does.
    seconds : ndarray of shape (n_points,)
        Time since the start, without recording and without the preparations before the first epoch.
    objective : ndarray of shape (n_points,)
        F, the mean loss of all training rows plus the penalty. Not finite where a diverging fit
        has overflowed.
    error : DivergenceError or None
        What ``fit`` raises, if it diverges.
    estimator : estimator
        The fitted clone; it has no fitted attributes if the fit diverged.

    See Also
    --------
    sklearn_lossopt.trace : Makes one.
    """

    update: Array
    epoch: FloatArray
    coef: FloatArray | Any  # a list for a network
    intercept: FloatArray | Any
    learning_rate: FloatArray
    seconds: FloatArray
    objective: FloatArray
    error: DivergenceError | None
    estimator: BaseEstimator

    def __init__(
        self, recorder: Any, estimator: BaseEstimator, error: DivergenceError | None
    ) -> None:
        updates, epochs, coefs, intercepts, rates, seconds = zip(*recorder.points, strict=True)
        self.update, self.epoch = np.array(updates), np.array(epochs)
        self.learning_rate, self.seconds = np.array(rates), np.array(seconds)
        self._objective, self._activation = recorder.objective, recorder.start.get("_activation")
        self.estimator, self.error = estimator, error
        with np.errstate(all="ignore"):
            found = [self._evaluate(*pair) for pair in zip(coefs, intercepts, strict=True)]
        self.objective = np.array(found)
        if self._activation is None:
            shapes = (np.shape(recorder.start[name]) for name in ("coef_", "intercept_"))
            self.coef, self.intercept = (
                np.reshape(part, (len(updates), *shape))
                for part, shape in zip((coefs, intercepts), shapes, strict=True)
            )
        else:
            self.coef = [np.array(layer) for layer in zip(*coefs, strict=True)]
            self.intercept = [np.array(layer) for layer in zip(*intercepts, strict=True)]

    def __repr__(self) -> str:
        name = type(self.estimator).__name__
        return f"<Trace of {name}: {len(self.update)} points, {self.update[-1]} updates>"

    def evaluate(self, coef: ArrayLike | list[Array], intercept: ArrayLike | list[Array]) -> float:
        """The objective F of other parameters, on the rows that were traced.

        Parameters
        ----------
        coef, intercept : array-like, or list of these
            In the shapes of ``coef_`` and ``intercept_``, or of ``coefs_`` and ``intercepts_``.

        Returns
        -------
        objective : float
            The mean loss plus the penalty.
        """
        if self._activation is None:
            k = self._objective.n_outputs
            coef = np.reshape(np.asarray(coef, dtype=np.float64), (k, -1))
            intercept = np.reshape(np.asarray(intercept, dtype=np.float64), k)
        return self._evaluate(coef, intercept)

    def plane(
        self,
        features: Sequence[int | str],
        first: ArrayLike,
        second: ArrayLike,
        coef: ArrayLike,
        intercept: ArrayLike,
        others: Literal["fixed", "free"] = "fixed",
    ) -> FloatArray:
        """The objective F over two parameters of a linear model of one output.

        Parameters
        ----------
        features : tuple of two, each an int or "intercept"
            The coefficients that vary, by their place, or the intercept.
        first, second : array-like of shape (n_first,), (n_second,)
            What values they take.
        coef, intercept : array-like of shape (n_features,), float
            All parameters.
        others : {"fixed", "free"}, default="fixed"
            Whether the other parameters stay where they are, or go to where F is smallest. The
            latter needs a smooth loss.

        Returns
        -------
        objective : ndarray of shape (n_second, n_first)
            F, as ``Axes.contour`` takes it.
        """
        objective = self._objective
        if others not in OTHERS:
            raise ValueError(f"others must be one of {OTHERS}. Got {others!r} instead.")
        if self._activation is not None or objective.n_outputs > 1:
            raise ValueError(
                "A plane is cut through the objective of a linear model of one output. This model "
                f"has {objective.n_outputs} outputs and "
                f"hidden_layer_sizes={self.estimator.hidden_layer_sizes!r}."
            )
        base = np.append(np.ravel(coef), intercept).astype(np.float64)
        places = [len(base) - 1 if feature == "intercept" else feature for feature in features]
        if others == "free":
            if not objective.loss.smooth:
                raise ValueError(
                    f"others='free' needs a smooth loss, and {self.estimator.loss!r} has kinks. "
                    "Pass others='fixed'."
                )
            return Profile(objective, places).surface(first, second, base)
        base[places] = 0.0
        index = objective.subsample(objective.n)
        X = objective.X[index]
        raw = X @ base[:-1] + base[-1]
        columns = [
            np.ones(len(raw)) if place == len(base) - 1 else X[:, [place]] @ np.ones(1)
            for place in places
        ]
        found = np.empty((len(second), len(first)))
        with np.errstate(all="ignore"):
            for r, c in np.ndindex(found.shape):
                base[places] = first[c], second[r]
                moved = raw + first[c] * columns[0] + second[r] * columns[1]
                found[r, c] = objective.mean_loss_of(moved[:, None], index)
                found[r, c] += objective.penalty(base[:-1])
        return found

    def _evaluate(self, coef, intercept):
        objective = self._objective
        index = objective.subsample(objective.n)
        rows = objective.X[index]
        if self._activation is None:
            coef, intercept = coef.astype(np.float64), intercept.astype(np.float64)
            raw, coefs = rows @ coef.T + intercept, [coef]
        else:
            coefs = [np.asarray(layer, dtype=np.float64) for layer in coef]
            intercepts = [np.asarray(layer, dtype=np.float64) for layer in intercept]
            raw = forward(rows, coefs, intercepts, self._activation)
        return objective.mean_loss_of(raw, index) + objective.penalty(*coefs)


class Recorder:
    """Told of a fit in place of callbacks, and of its updates; keeps a point for each.

    Parameters
    ----------
    every : {"update", "epoch"}

    Attributes
    ----------
    points : list of tuple
        Updates and epochs made, coefficients, intercepts, learning rate, seconds.
    start : dict
        The fitted attributes that a fit ending at the start would have.
    objective : Objective
        What the fit minimises.
    """

    wants_epochs = True

    def __init__(self, every: Literal["update", "epoch"]) -> None:
        self.every, self.points = every, []
        # When the fit began, later by the time that recording has taken.
        self.began = perf_counter()
        self.rates, self.made = np.array([np.nan]), 0

    def begin_fit(self, attributes, objective, max_iter, y):
        """As for CallbackReporter, like ``end_fit``, ``begin`` and ``end``."""
        self.attributes, self.objective = attributes, objective

    def end_fit(self):
        """Nothing is to be recorded."""

    def begin(self, result):
        """Record the start."""
        if not self.points:
            self.start = self.attributes(found := result())
            rate = float(self.rates[0])
            self.points.append((0, 0.0, found.coef, found.intercept, rate, 0.0))
            self.began = perf_counter()

    def end(self, result):
        """Record the model after an epoch, unless its last update has led there."""
        now = perf_counter()
        self.made += 1
        found = result()
        before, after = self.points[-1][2:4], (found.coef, found.intercept)
        if self.every == "epoch" or not _same(before, after):
            self._add(now, found.state.updates, float(self.made), *after, self.rates[-1])
        return False

    def watch(self, epochs):
        """Epochs are about to be trained, one at a time; returns what to call after an update."""
        self.rates = epochs.rates
        if self.made == 0:
            *start, _, seconds = self.points[0]
            self.points[0] = (*start, float(self.rates[0]), seconds)
        if self.every == "epoch":
            return None
        iterate = epochs.iterate
        preconditioner, average = iterate.preconditioner, IterateAverage(iterate)
        earlier, per_epoch, count = iterate.state.updates, iterate.updates_per_epoch, 0

        def after_update():
            nonlocal count
            now, count = perf_counter(), count + 1
            rate = self.rates[min(count, len(self.rates)) - 1]
            with average.predicting(), np.errstate(all="ignore"):
                weights = iterate.weights.astype(np.float64)
                model = preconditioner.rounded(*preconditioner.unshift(weights))
            self._add(now, earlier + count, self.made + count / per_epoch, *model, rate)

        return after_update

    def _add(self, now, updates, epochs, coef, intercept, rate):
        """Add a point that the fit has reached at this time."""
        seconds = now - self.began
        self.points.append((updates, epochs, coef, intercept, float(rate), seconds))
        self.began += perf_counter() - now


def _same(one, other):
    """Whether two models have the same parameters."""
    if isinstance(one[0], list):
        one, other = [*one[0], *one[1]], [*other[0], *other[1]]
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def trace(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    every: Literal["update", "epoch"] = "update",
) -> Trace:
    """Fit a clone and record its path: parameters and objective after each update or epoch.

    The fit is the one that ``estimator.fit(X, y)`` makes, with the same order of the rows, learning
    rates and stopping. Any loss, optimizer, batch size and schedule can be traced, and networks
    too. A fit that diverges is traced until it ends.

    With ``every="update"``, a point is the model that training would give if it ended after that
    update; for an optimizer that averages, it is the average. Between epochs, ``schedule="auto"``
    may take a Newton step or go back to the best weights. This is a point of its own. The last
    point is the model that ``fit`` gives, unless early stopping returns to an earlier epoch. An
    iteration of ``optimizer="lbfgs"`` counts as one update and one epoch.

    Parameters
    ----------
    estimator : GradientRegressor, GradientClassifier or Pipeline
        Not changed. The steps of a pipeline before the last are fitted first, and the parameters
        are then in the units of what they return. Of several members (``n_members``) the first is
        fitted and traced; the trace's ``estimator`` is that member.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data. Updates on sparse rows are made as on dense ones, with results equal up to
        rounding.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    every : {"update", "epoch"}, default="update"
        Whether there is a point for each update or for each epoch. Each point evaluates the
        objective on all rows.

    Returns
    -------
    trace : Trace
        With ``update``, ``epoch``, ``coef``, ``intercept``, ``learning_rate`` and ``objective``,
        arrays with one entry per point.

    Raises
    ------
    TypeError
        If the estimator is another one.
    ValueError
        If ``every`` is not known, and wherever ``fit`` raises one, apart from divergence.

    See Also
    --------
    sklearn_lossopt.plotting.OptimizerPathDisplay : Draws traces on the contours of F.

    Examples
    --------
    Two full-batch steps of gradient descent on the mean of (1 - b)^2 / 2 and (3 - b)^2 / 2:

    >>> from sklearn_lossopt import GradientRegressor, trace
    >>> model = GradientRegressor(
    ...     optimizer="gradient_descent", learning_rate=0.5, schedule="constant",
    ...     precondition=False, alpha=0, max_iter=2, tol=0,
    ... )
    >>> steps = trace(model, [[0.0], [0.0]], [1.0, 3.0])
    >>> steps.intercept
    array([0. , 1. , 1.5])
    >>> steps.objective
    array([2.5  , 1.   , 0.625])
    """
    if every not in EVERY:
        raise ValueError(f"every must be one of {EVERY}. Got {every!r} instead.")
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = clone(estimator[:-1]).fit_transform(X, y)
        estimator = estimator[-1]
    if not isinstance(estimator, BaseGradientEstimator):
        raise TypeError(
            "estimator must be a GradientRegressor, a GradientClassifier or a pipeline that ends "
            f"in one. Got {estimator!r} instead."
        )
    model, recorder, error = clone(estimator), Recorder(every), None
    model._validate_params()
    cache = Cache()
    model = make_members(model, cache, [])[0]
    fitting = model._fitting(X, y, sample_weight, GivenValidation(), cache, recorder)
    try:
        warning = alone(fitting, recorder.watch)
        if warning:
            warn_user(warning, ConvergenceWarning)
    except DivergenceError as diverged:
        if not recorder.points:
            raise
        error = diverged.with_traceback(None)
    return Trace(recorder, model, error)
