"""What the two estimators share. `_fitting` is a fit from the top, `_partial_fit` a chunk's."""

import functools
import math
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._compat import (
    CallbackSupportMixin,
    Interval,
    Options,
    StrOptions,
    check_parameters,
)
from sklearn_lossopt._component import as_objects
from sklearn_lossopt._doc_link import DocLinkMixin
from sklearn_lossopt._engine import ACTIVATION_KERNELS
from sklearn_lossopt._estimators.data import (
    TrainingData,
    canonical,
    check_target,
    check_weight,
    is_plain,
    select,
)
from sklearn_lossopt._estimators.members import EstimatorFit, train_members
from sklearn_lossopt._estimators.parameters import resolve_loss, resolve_scorer, resolve_settings
from sklearn_lossopt._estimators.partial_fit import cast, check_chunk_parameters, train_chunk
from sklearn_lossopt._estimators.prediction import (
    FittedModelMixin,
    FittedParameters,
    fitted_attributes,
    layer_widths,
    untrained_attributes,
)
from sklearn_lossopt._estimators.validation_data import (
    class_weighted_validation,
    score_function,
    split_validation,
)
from sklearn_lossopt._exceptions import warn_user
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._solvers.huber_scale import residual_scale
from sklearn_lossopt._training.bank import together
from sklearn_lossopt._training.monitor import Validation
from sklearn_lossopt._training.run import train
from sklearn_lossopt._training.state import State, altered
from sklearn_lossopt._typing import Auto, RandomState
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Schedule

# What validation of X sets.
FEATURES = "n_features_in_", "feature_names_in_"


class BaseGradientEstimator(
    FittedModelMixin, DocLinkMixin, CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta
):
    """Parameters, validation and training common to regressor and classifier.

    A kind of estimator is made of the three attributes declared first and of two methods, `_encode`
    and `_class_weights`.
    """

    _task: str  # "regression" or "classification", which a Loss has as an attribute too
    _other: str  # the estimator of the other task
    _target_checks: dict  # options of validate_data for y
    # What a fit leaves to later calls, besides the attributes of the model.
    _loss: Loss
    _optimizer: Optimizer
    _state: State

    _parameter_constraints: dict = {
        # Checked by Component.resolve, whose message lists the known names.
        "loss": "no_validation",
        "optimizer": "no_validation",
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATION_KERNELS))],
        "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "schedule": "no_validation",
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "scoring": [str, callable, None],
        "precondition": [StrOptions({"auto", "whiten", "scale"}), Options(bool, {False})],
        "shuffle": ["boolean"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _component_families = {"loss": Loss, "optimizer": Optimizer, "schedule": Schedule}

    def __init__(
        self, loss: str | Loss, optimizer: str | Optimizer, *,
        hidden_layer_sizes: int | Sequence[int], activation: str, dropout: float | Auto,
        weight_decay: float | Auto,
        alpha: float, l1_ratio: float, fit_intercept: bool, learning_rate: float | Auto,
        schedule: str | Schedule, batch_size: int | Auto, max_iter: int, tol: float,
        n_iter_no_change: int, early_stopping: bool, validation_fraction: float,
        scoring: str | Callable[..., Any] | None,
        precondition: Literal["auto", "whiten", "scale", False], shuffle: bool, n_members: int,
        warm_start: bool, random_state: RandomState, verbose: int,
    ) -> None:  # fmt: skip
        self.loss = loss
        self.optimizer = optimizer
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.precondition = precondition
        self.shuffle = shuffle
        self.n_members = n_members
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    @functools.cache
    def _get_param_names(cls):
        # Cloning and validation ask for it many times, and it inspects the signature.
        return super()._get_param_names()

    def _validate_params(self):
        check_parameters(self)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, including those of components.

        A component given as a string is first replaced by its object where one of its own
        parameters is set, so that ``optimizer__beta_1`` can be searched with ``optimizer="adam"``.

        Parameters
        ----------
        **params : dict
            Such as ``alpha=0.1`` or ``optimizer__beta_1=0.8``.

        Returns
        -------
        self : estimator
        """
        params = as_objects(self, self._component_families, params)
        return super().set_params(**params)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # -- what kinds of estimators differ in ---------------------------------------------------

    @abstractmethod
    def _encode(self, X, y, weight, sample_indices, loss, cache, classes=None):
        """Encode targets.

        Parameters
        ----------
        X, y : ndarray or csr_array, ndarray
            Valid.
        weight, sample_indices : ndarray or None
            The weights, and the indices of those that are not 0; see RowSet.
        loss : Loss
        cache : Cache
        classes : ndarray or None
            The labels announced of a stream.

        Returns
        -------
        rows : RowSet
        encoding : TargetEncoding
        """

    def _in_training_type(self, X, y, sample_indices, cache):
        """X in the type that its model is trained in, where that is not the model's own."""
        return X

    @abstractmethod
    def _class_weights(self, rows, encoding, cache):
        """The weight of each class in the rows to train on, as an ndarray; or None."""

    # -- fit ----------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight, validation):
        fit = EstimatorFit(self, X, y, sample_weight, validation, Cache())
        warning = fit.conclude(together(fit.trainings))
        if warning:
            warn_user(warning, ConvergenceWarning)
        return self

    def _fitting(self, X, y, sample_weight, validation, cache, observer, name=""):
        """Fit one model: a generator of the Epochs to train, see ``_training.bank``.

        Parameters
        ----------
        X, y, sample_weight : array-like
        validation : GivenValidation
        cache : Cache
            Shared with other estimators that are fitted to the very same objects.
        observer : object
            Told of the fit, see CallbackReporter.
        name : str, default=""
            Begins the lines that are printed of the fit.

        Returns
        -------
        warning : str or None
            Of convergence.
        """
        loss = resolve_loss(self)
        settings = resolve_settings(self, loss)
        settings.name = name

        data = self._training_data(X, y, sample_weight, validation, loss, cache)
        objective = self._objective(data.rows, data.encoding, loss, cache)
        prepared = loss._prepared(partial(residual_scale, objective))
        if prepared is not loss:
            objective = replace(objective, loss=prepared)
        start = self._start(objective, settings) if self.warm_start else None
        state = None if start is None else self._memory(settings.optimizer, objective.X.dtype)
        self._forget_fit(settings.network)

        validated = data.validation is not None
        attributes = partial(fitted_attributes, loss, settings, objective, data.encoding, validated)
        observer.begin_fit(attributes, objective, settings.max_iter, data.rows.y)
        result = yield from train(
            objective, settings, data.seed, start, state,
            self._validation(data, objective, attributes) if validated else None,
            observer if observer.wants_epochs else None,
        )  # fmt: skip
        vars(self).update(attributes(result))
        observer.end_fit()
        return result.warning

    # -- data -------------------------------------------------------------------------------

    def _training_data(self, X, y, sample_weight, validation, loss, cache):
        """Check the data of a fit and encode them; returns TrainingData."""
        X, y = self._shared_rows(X, y, cache)
        weight, used = cache("used", (sample_weight, X), lambda: check_weight(sample_weight, X))
        model_dtype, X = X.dtype, self._in_training_type(X, y, used, cache)
        rows, encoding = self._encode(X, y, weight, used, loss, cache)
        rows.model_dtype = model_dtype
        checked = rows.target, used, *loss._identity()
        cache("checked target", checked, lambda: check_target(loss, select(rows.target, used)))
        seed = self._seed(cache)
        rows, held_out = split_validation(self, rows, encoding, validation, seed, loss, cache)
        class_weights = self._class_weights(rows, encoding, cache)
        parts = rows.weight, rows.sample_indices, rows.codes, class_weights
        weighted = cache("class-weighted", parts, lambda: rows.class_weighted(class_weights, cache))
        rows = altered(rows, weight=weighted.weight, sample_indices=weighted.sample_indices)
        if held_out is not None and class_weights is not None and resolve_scorer(self) is None:
            held_out = cache(
                "class-weighted validation", (held_out, class_weights),
                lambda: class_weighted_validation(self, held_out, class_weights, cache),
            )  # fmt: skip
        return TrainingData(rows, held_out, encoding, seed)

    def _shared_rows(self, X, y, cache):
        """X and y valid, made so once for all estimators that share the cache."""

        def validate():
            valid = self._validate(X, y)
            return *valid, {name: value for name, value in vars(self).items() if name in FEATURES}

        X, y, features = cache("rows", (X, y, type(self)), validate)
        for name in FEATURES:
            vars(self).pop(name, None)
        vars(self).update(features)
        self._check_sparse(X)
        return X, y

    def _validate(self, X, y, reset=True):
        if (reset or not hasattr(self, "feature_names_in_")) and is_plain(
            X, y, None if reset else self.n_features_in_, "multi_output" in self._target_checks
        ):
            # Chunks are many, and data may be small.
            if reset:
                vars(self).pop("feature_names_in_", None)
                self.n_features_in_ = X.shape[1]
            return X, y
        X, y = validate_data(
            self, X, y, reset=reset, dtype=[np.float64, np.float32], order="C",
            accept_sparse="csr", **self._target_checks,
        )  # fmt: skip
        self._check_sparse(X)
        return canonical(X), y

    def _check_sparse(self, X):
        if self.precondition == "whiten" and sparse.issparse(X):
            raise ValueError(
                "precondition='whiten' would make sparse X dense. Use precondition='scale' or "
                "'auto'."
            )

    def _seed(self, cache):
        """Seeds the order of the rows and the choice of those for validation. Where any seed will
        do, all estimators that share the cache have the same."""
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        first = getattr(self, "estimators_", [self])[0]
        if self.warm_start and hasattr(first, "_state"):
            # No row that was trained on is validated with later.
            return first._state.seed
        draw = partial(check_random_state(self.random_state).randint, 2**31)
        return int(cache("seed", (), draw) if self.random_state is None else draw())

    def _objective(self, rows, encoding, loss, cache):
        weight = rows.weight
        if weight is not None:
            parts = weight, rows.sample_indices, rows.X
            weight = cache("relative weights", parts, rows.relative_weights)
        return Objective(
            rows.X, rows.target, encoding.target_kind, weight, rows.sample_indices,
            encoding.n_outputs, loss, l2=float(self.alpha * (1 - self.l1_ratio)),
            l1=float(self.alpha * self.l1_ratio), fit_intercept=self.fit_intercept, cache=cache,
            model_dtype=rows.model_dtype,
        )  # fmt: skip

    def _validation(self, data, objective, attributes):
        """The Validation that judges a fit after each epoch."""
        scorer = resolve_scorer(self)
        if scorer is None:
            judged = self._objective(
                data.validation, data.encoding, objective.loss, objective.cache
            )
            return Validation(self.early_stopping, objective=judged)
        score = score_function(self, scorer, data.validation, attributes, objective.cache)
        return Validation(self.early_stopping, score=score)

    # -- what a fit goes on from, and leaves ----------------------------------------------------

    def _start(self, objective, settings):
        """The last fit's FittedParameters, if the next model has parameters of the same shapes."""
        start = FittedParameters.of(self)
        widths = layer_widths(settings.network, objective.d, objective.n_outputs)
        return start if start is not None and start.widths == widths else None

    def _memory(self, optimizer, dtype):
        """The last fit's State, if the same optimizer can go on from it."""
        state = getattr(self, "_state", None)  # not there before the first row of a stream
        if state is None or state.slots.dtype != dtype:
            return None
        before = self._optimizer
        same = type(before) is type(optimizer) and before.get_params() == optimizer.get_params()
        return state if same else None

    # -- partial_fit ----------------------------------------------------------------------------

    def _partial_fit(self, X, y, sample_weight, classes=None):
        """One pass over a chunk; ``classes`` are the labels announced of the stream."""
        train_members(self, lambda member: member._chunk_fit(X, y, sample_weight, classes))
        return self

    def _chunk_fit(self, X, y, sample_weight, classes):
        """The same for one model."""
        loss = resolve_loss(self)
        check_chunk_parameters(self)
        settings, cache = resolve_settings(self, loss), Cache()

        before = FittedParameters.of(self)
        X, y = self._validate(X, y, reset=before is None)
        X = X if before is None else cast(X, before.dtype)
        weight, used = check_weight(sample_weight, X, allow_all_zero=True)
        model_dtype, state = X.dtype, getattr(self, "_state", None)
        if state is None:
            X = self._in_training_type(X, y, used, cache)
        else:
            X = X.astype(state.slots.dtype, copy=False)
        rows, encoding = self._encode(X, y, weight, used, loss, cache, classes)
        rows = replace(rows, model_dtype=model_dtype)
        loss._check_target(select(rows.target, used))
        seed = self._seed(cache)
        if before is not None:
            known = (
                np.shape(self.intercept_)
                if hasattr(self, "intercept_")
                else (() if self._flat else (self.n_outputs_,))
            )
            if math.prod(known) != encoding.n_outputs:
                raise ValueError(
                    f"y of shape {y.shape} has not the outputs of earlier calls: the model's "
                    f"have shape {known}. Use fit to start anew."
                )
            if encoding.flat == bool(known):
                # As the first call's y was, (n,) or (n, 1).
                encoding = replace(encoding, flat=not known)
        rows = rows.class_weighted(self._class_weights(rows, encoding, cache), cache)
        objective = self._objective(replace(rows, weight=None), encoding, loss, cache)

        if objective.n == 0:
            if before is None:
                vars(self).update(untrained_attributes(loss, settings, objective, encoding))
            return
        start = last_state = memory = None
        if getattr(self, "t_", 0) > 0:
            start = self._start(objective, settings)
            if start is None:
                raise ValueError(
                    f"hidden_layer_sizes={self.hidden_layer_sizes!r} does not go on from a model "
                    "of other layers. Use fit to start anew."
                )
            last_state, memory = self._state, self._memory(settings.optimizer, X.dtype)
        result = train_chunk(
            objective, rows.weight, settings, seed, getattr(self, "_stream", None), start,
            last_state, memory,
        )  # fmt: skip
        result = replace(
            result,
            n_iter=getattr(self, "n_iter_", 0) + 1,
            loss_curve=result.stream.curve(
                getattr(self, "loss_curve_", np.empty(0)), result.loss_curve[0]
            ),
        )
        self._forget_fit(settings.network)
        vars(self).update(fitted_attributes(loss, settings, objective, encoding, False, result))
