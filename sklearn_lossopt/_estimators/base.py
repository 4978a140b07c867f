"""What the two estimators share. Floor 3."""

import functools
import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._compat import (
    Interval,
    Options,
    StrOptions,
    check_sample_weight,
)
from sklearn_lossopt._component import as_objects
from sklearn_lossopt._estimators.callbacks import CallbackReporter
from sklearn_lossopt._estimators.prediction import CONSTRAINTS, HasLayers
from sklearn_lossopt._estimators.validation_data import HoldsOut, canonical
from sklearn_lossopt._objective import Objective
from sklearn_lossopt._preconditioning.network import NetworkFit
from sklearn_lossopt._solvers.huber_scale import residual_scale
from sklearn_lossopt._training.bank import alone
from sklearn_lossopt._training.run import train
from sklearn_lossopt._training.state import Settings
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Schedule

# What validation of X sets.
FEATURES = "n_features_in_", "feature_names_in_"


def _shares(data):
    """Weights of mean 1 in the type of X."""
    # By the largest first: their sum cannot overflow then, nor can they vanish in float32.
    used = data.weight if data.rows is None else data.weight[data.rows]
    largest = used.max()
    with np.errstate(over="ignore"):  # in rows not used
        weight = data.weight / largest
        weight /= np.mean(used / largest)
        return weight.astype(data.X.dtype, copy=False)


class BaseGradientEstimator(HasLayers, HoldsOut, CallbackSupportMixin, BaseEstimator):
    """Parameters, validation and training common to regressor and classifier."""

    _parameter_constraints: dict = {
        # Checked by Component.resolve, whose message lists the known names.
        "loss": "no_validation",
        "optimizer": "no_validation",
        **CONSTRAINTS,
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
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _component_families = {"loss": Loss, "optimizer": Optimizer, "schedule": Schedule}

    def __init__(
        self,
        loss,
        optimizer,
        *,
        hidden_layer_sizes,
        activation,
        dropout,
        alpha,
        l1_ratio,
        fit_intercept,
        learning_rate,
        schedule,
        batch_size,
        max_iter,
        tol,
        n_iter_no_change,
        early_stopping,
        validation_fraction,
        scoring,
        precondition,
        shuffle,
        warm_start,
        random_state,
        verbose,
    ):
        self.loss = loss
        self.optimizer = optimizer
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    @functools.cache
    def _get_param_names(cls):
        # Cloning and validation ask for it many times, and it inspects the signature.
        return super()._get_param_names()

    def set_params(self, **params):
        """Set parameters, those of components included.

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

    # -- parameters -------------------------------------------------------------------------

    def _resolve_loss(self):
        loss = Loss.resolve(self.loss, accepts=lambda found: getattr(found, self._task))
        if not getattr(loss, self._task):
            known = sorted(
                name for name, (found, _) in Loss._names.items() if getattr(found, self._task)
            )
            raise ValueError(
                f"loss={self.loss!r} is not a {self._task} loss; {type(self).__name__} takes "
                f"{', '.join(map(repr, known))}. Use {self._other} for it."
            )
        return loss

    def _check_smooth(self, loss, optimizer):
        """Raise where the optimizer cannot minimise the objective for its kinks."""
        if not optimizer.needs_smooth:
            return
        if not loss.smooth:
            smooth = sorted(
                name for name, found in Loss.registry().items()
                if getattr(found, self._task) and found.smooth
            )  # fmt: skip
            raise ValueError(
                f"optimizer={self.optimizer!r} needs a loss without kinks, which "
                f"loss={self.loss!r} has. Use another optimizer, such as 'adam', or one of the "
                f"losses {', '.join(map(repr, smooth))}."
            )
        if self.l1_ratio > 0 and self.alpha > 0:
            raise ValueError(
                f"optimizer={self.optimizer!r} needs a penalty without kinks, which "
                f"l1_ratio={self.l1_ratio!r} with loss={self.loss!r} has. Use l1_ratio=0, or "
                "another optimizer, such as 'adam', which takes proximal steps."
            )

    def _check_unused(self, optimizer):
        """Raise where a parameter is set that the optimizer does not know."""
        if optimizer.minimize is None:
            return
        for name in ("learning_rate", "schedule"):
            value = getattr(self, name)
            if not (isinstance(value, str) and value == "auto"):
                raise ValueError(
                    f"{name}={value!r} cannot be set with optimizer={self.optimizer!r}, which "
                    f"finds the length of its steps by a line search. Leave {name}='auto', or use "
                    "another optimizer, such as 'nesterov'."
                )

    def _settings(self, loss):
        self._scorer()  # raises if there is none
        optimizer = Optimizer.resolve(self.optimizer)
        automatic = isinstance(self.schedule, str) and self.schedule == "auto"
        schedule = None if automatic else Schedule.resolve(self.schedule, also=("auto",))
        if optimizer.full_batch and self.batch_size != "auto":
            raise ValueError(
                f"batch_size={self.batch_size!r} cannot be set with optimizer="
                f"{self.optimizer!r}, which always uses all rows. Leave batch_size='auto', or "
                f"use optimizer='sgd' for mini-batches."
            )
        self._check_unused(optimizer)
        self._check_smooth(loss, optimizer)
        if self.precondition == "whiten" and self.l1_ratio > 0 and self.alpha > 0:
            raise ValueError(
                f"precondition='whiten' mixes the features, which l1_ratio={self.l1_ratio!r} "
                "cannot be split over. Use precondition='scale' or 'auto', or l1_ratio=0."
            )
        return Settings(
            optimizer=optimizer,
            schedule=schedule,
            learning_rate=None if self.learning_rate == "auto" else float(self.learning_rate),
            batch_size=None if self.batch_size == "auto" else int(self.batch_size),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            precondition=self.precondition,
            shuffle=self.shuffle,
            verbose=int(self.verbose),
            network=self._architecture(optimizer),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # -- data -------------------------------------------------------------------------------

    def _validate(self, X, y, **check):
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            order="C",
            accept_sparse="csr",
            ensure_min_samples=1,
            **check,
        )
        self._check_sparse(X)
        return canonical(X) if sparse.issparse(X) else X, y

    def _check_sparse(self, X):
        if self.precondition == "whiten" and sparse.issparse(X):
            raise ValueError(
                "precondition='whiten' would make sparse X dense. Use precondition='scale' or "
                "'auto'."
            )

    @staticmethod
    def _used_rows(sample_weight, X, may_be_none=False):
        """Checked weights, and the rows whose weight is not zero; None for all."""
        if sample_weight is None:
            return None, None
        weight = check_sample_weight(
            sample_weight,
            X,
            dtype=np.float64,
            ensure_non_negative=True,
            allow_all_zero_weights=may_be_none,
        )
        rows = np.flatnonzero(weight).astype(np.uint32)
        return weight, None if len(rows) == X.shape[0] else rows

    def _same_rows(self, X, y, cache, **check):
        """X and y valid, as ``_validate`` makes them once for all that share the memo."""

        def validate():
            valid = self._validate(X, y, **check)
            return *valid, {name: value for name, value in vars(self).items() if name in FEATURES}

        X, y, features = cache("rows", (X, y, type(self)), validate)
        for name in FEATURES:
            vars(self).pop(name, None)
        vars(self).update(features)
        self._check_sparse(X)
        return X, y

    # -- training ---------------------------------------------------------------------------

    def _fit(self, *given):
        warning = alone(self._fitting(*given))
        if warning:
            # The caller of fit, past the wrappers around it.
            warnings.warn(warning, ConvergenceWarning, stacklevel=5)
        return self

    def _fitting(self, X, y, sample_weight, validation, cache=None, observer=None):
        """Fit: a generator of the epochs to train, see ``_bank``.

        Parameters
        ----------
        X, y, sample_weight : array-like
        validation : tuple
            ``X_val``, ``y_val`` and ``sample_weight_val``.
        cache : Cache or None
            Shared with other estimators that are fitted to the very same objects.
        observer : object or None
            Told of the fit in place of callbacks: of what makes ``attributes`` of an FitResult, and
            by ``begin`` and ``end`` of epochs, see ``Monitor``.

        Returns
        -------
        warning : str or None
            Of convergence.
        """
        loss = self._resolve_loss()
        settings = self._settings(loss)
        cache = cache or Cache()
        prepared = self._prepare(X, y, sample_weight, validation, loss, cache)
        observer = observer or CallbackReporter(self, X, prepared[0].y, sample_weight)
        return (yield from self._train(*prepared, loss, settings, cache, observer))

    def _train(
        self,
        data,
        held,
        class_weights,
        target_kind,
        n_outputs,
        shape,
        loss,
        settings,
        cache,
        observer,
    ):
        """Train, and set the fitted attributes.

        Parameters
        ----------
        data, held : Data
            The rows to train on and, or None, those to validate on.
        class_weights : ndarray or None
            Weights of the classes.
        target_kind : str
        n_outputs : int
        shape : callable
            Makes an estimator's own attributes of coefficients (k, d) and intercepts (k,).
        loss : Loss
        settings : Settings
        cache : Cache
        observer : object
        """
        weighted = cache(
            "factors",
            (data.weight, data.rows, data.code, class_weights),
            lambda: data.times(class_weights),
        )
        data = replace(data, weight=weighted.weight, rows=weighted.rows)
        objective = self._objective(data, target_kind, n_outputs, loss, cache)
        start = state = None
        network = settings.network
        if self.warm_start and network is not None:
            start = self._network_start(network.widths(data.X.shape[1], n_outputs))
        elif self.warm_start and hasattr(self, "coef_"):
            start = self._model()
            if start[0].shape != (n_outputs, data.X.shape[1]):
                start = None
        if start is not None:
            state = self._memory(settings.optimizer, data.X.dtype)
        attributes = partial(self._attributes, objective, loss, settings, held is not None, shape)
        for name in ("delta_", "validation_curve_", "best_iter_"):
            vars(self).pop(name, None)
        observer.begin_fit(attributes, settings.max_iter)
        objective.loss = loss._prepared(partial(residual_scale, objective))
        validation = None
        if held is not None:
            validation = self._validation(held, class_weights, attributes, objective)
        result = yield from train(
            objective, settings, data.seed, start, state, validation,
            observer if observer.wants_epochs else None, None if network is None else NetworkFit,
        )  # fmt: skip
        vars(self).update(attributes(result))
        self._forget_other_kind(network)
        observer.end_fit()
        return result.warning

    def _attributes(self, objective, loss, settings, validated, shape, result):
        """The fitted attributes of an FitResult."""
        found = {
            "_loss": loss,
            "_optimizer": settings.optimizer,
            "_state": result.state,
            "_stream": result.stream,
            "n_iter_": result.n_iter,
            "t_": result.state.updates,
            "loss_curve_": np.array(result.loss_curve),
            "learning_rate_": result.learning_rate,
            "converged_": result.converged,
            **self._parameters(result.coef, result.intercept, settings.network, shape),
        }
        if hasattr(loss, "delta"):
            found["delta_"] = objective.loss.delta
        if validated:
            found["validation_curve_"] = np.array(result.validation_curve)
            found["best_iter_"] = result.best_iter
        return found

    def _objective(self, data, target_kind, n_outputs, loss, cache=None):
        cache = cache or Cache()
        weight = data.weight
        if weight is not None:
            weight = cache("shares", (weight, data.rows, data.X), lambda: _shares(data))
        return Objective(
            data.X,
            data.target,
            target_kind,
            weight,
            data.rows,
            n_outputs,
            loss,
            l2=float(self.alpha * (1 - self.l1_ratio)),
            l1=float(self.alpha * self.l1_ratio),
            fit_intercept=self.fit_intercept,
            cache=cache,
        )

    def _seed(self, cache):
        """Seeds the order of the rows and the choice of those for validation. Where it may be
        any, all that share the memo have the same."""
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        if self.warm_start and hasattr(self, "_state"):
            # No row that was trained on is validated with later.
            return self._state.seed
        draw = partial(check_random_state(self.random_state).randint, 2**31)
        return int(cache("seed", (), draw) if self.random_state is None else draw())

    def _memory(self, optimizer, dtype):
        """The last fit's optimizer state, if the same optimizer can go on from it."""
        if self._state.slots.dtype != dtype:
            return None
        before = self._optimizer
        same = type(before) is type(optimizer) and before.get_params() == optimizer.get_params()
        return self._state if same else None
