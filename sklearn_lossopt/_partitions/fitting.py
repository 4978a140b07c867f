"""A fit on partitions, from the top: facts, a sample and its optimum, then the optimum of all."""

from dataclasses import replace
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.callbacks import CallbackReporter
from sklearn_lossopt._estimators.parameters import resolve_loss, resolve_scorer, resolve_settings
from sklearn_lossopt._estimators.prediction import fitted_attributes
from sklearn_lossopt._exceptions import warn_user
from sklearn_lossopt._objective import MAX_SAMPLE_ENTRIES, Objective
from sklearn_lossopt._partitions.networks import NetworkObjective, count_used
from sklearn_lossopt._partitions.objective import PartitionedObjective, Problem
from sklearn_lossopt._partitions.rows import encode, take_rows
from sklearn_lossopt._partitions.survey import survey, survey_validation
from sklearn_lossopt._solvers.huber_scale import MAX_SCALE_ENTRIES, residual_scale
from sklearn_lossopt._training.bank import alone
from sklearn_lossopt._training.monitor import Validation
from sklearn_lossopt._training.run import train
from sklearn_lossopt._training.state import State
from sklearn_lossopt.optimizers import LBFGS

# Rows of each class in the sample, if there are so many.
LEAST_OF_CLASS = 500


def fit_blocks(estimator, blocks, validation=None, sample_entries=MAX_SAMPLE_ENTRIES):
    """Fit an estimator on rows in partitions, in place.

    The optimum of an even sample of the rows is found as that of any data; passes over all
    partitions go on from there. Rows that are few enough are all of the sample, and one fit is all.

    Parameters
    ----------
    estimator : GradientRegressor or GradientClassifier
    blocks : Partitions of Block
    validation : Partitions of Block, default=None
        What ``validation_curve_`` is measured on after each correction. None with
        ``early_stopping`` is a share ``validation_fraction`` of the blocks, chosen at random.
    sample_entries : int
        Numbers in the rows of the sample, at most.

    Returns
    -------
    estimator
        Fitted.
    """
    loss = resolve_loss(estimator)
    settings = resolve_settings(estimator, loss)
    _check_parameters(estimator)
    with np.errstate(all="ignore"):
        return _fit_blocks(estimator, blocks, validation, loss, settings, sample_entries)


def _fit_blocks(estimator, blocks, validation, loss, settings, sample_entries):
    if validation is None and estimator.early_stopping:
        blocks, validation = _hold_out(estimator, blocks)
    fit = PartitionedFit(estimator, blocks, validation, loss, settings, sample_entries)
    warning = alone(fit.run())
    if warning:
        warn_user(warning, ConvergenceWarning)
    return estimator


def _check_parameters(estimator):
    """Raise where a parameter asks for what partitions do not have."""
    if estimator.n_members > 1:
        raise ValueError(
            f"n_members={estimator.n_members}: partitions train one model at a time. Use "
            "n_members=1."
        )
    if resolve_scorer(estimator) is not None:
        raise ValueError(
            f"scoring={estimator.scoring!r} needs all validation rows at once. Use scoring='loss', "
            "which is a sum over their partitions."
        )


def _hold_out(estimator, blocks):
    """Blocks to train on, and others to validate with."""
    count = len(blocks)
    if count < 2:
        raise ValueError(
            "early_stopping=True sets blocks aside, but X has one only. Pass X_val and y_val, or "
            "rechunk X."
        )
    size = min(count - 1, max(1, round(estimator.validation_fraction * count)))
    order = np.random.default_rng(estimator._seed(Cache())).permutation(count)
    return blocks.select(np.sort(order[size:])), blocks.select(np.sort(order[:size]))


def bare(estimator):
    """A plain copy with the same parameters and nothing else, to send to partitions."""
    kind = getattr(estimator, "_plain", type(estimator))
    return kind(**estimator.get_params(deep=False))


class PartitionedFit:
    """One fit; the parameters are those of ``fit_blocks``, resolved."""

    def __init__(self, estimator, blocks, validation, loss, settings, sample_entries):
        self.estimator, self.loss, self.settings = estimator, loss, settings
        self.sample_entries, self.validated = sample_entries, validation is not None
        plain = bare(estimator)
        self.found = survey(blocks, plain, loss)
        self.rows = blocks.map(encode, self.found.recipe)
        self.validation = None
        if self.validated:
            recipe, size = survey_validation(validation, plain, self.found.recipe)
            self.validation = validation.map(encode, recipe), size
        self.seed = estimator._seed(Cache())

    def run(self):
        """Fit: a generator of the Epochs to train, see ``_training.bank``; returns a warning."""
        estimator, settings, n = self.estimator, self.settings, self.found.n
        problem = self._problem(self.loss, n)
        sample = self._sample(problem, self._stride(self.sample_entries))
        loss = self.loss._prepared(partial(residual_scale, self._scale_sample(problem, sample)))
        sample = replace(sample, loss=loss)
        start = self._start(sample)
        memory = None if start is None else estimator._memory(settings.optimizer, sample.X.dtype)
        estimator._forget_fit(settings.network)
        self._set_features()
        encoding = self.found.recipe.encoding
        attributes = partial(
            fitted_attributes, self.loss, settings, sample, encoding, self.validated
        )
        observer = CallbackReporter(estimator, None, None, None, 0)
        observer.begin_fit(attributes, sample, settings.max_iter, None)
        told = observer if observer.wants_epochs else None
        if settings.network is not None:
            result = yield from self._train_network(sample, start, memory, told)
        elif sample.n == n and not self.validated:
            result = yield from train(sample, settings, self.seed, start, observer=told)
        else:
            if start is None:
                quiet = replace(settings, verbose=0)
                first = yield from train(sample, quiet, self.seed)
                start = first.coef, first.intercept
            result = yield from self._pass_over_all(sample, start, told)
        vars(estimator).update(attributes(result))
        observer.end_fit()
        return result.warning

    def _pass_over_all(self, sample, start, observer):
        """Go on from a start near the optimum to that of all rows; returns the FitResult."""
        settings, n = self.settings, self.found.n
        objective = self._in_partitions(sample, self.rows, n)
        validation = self._judge(sample)
        # What steers epochs has no part in corrections.
        steps = replace(
            settings, optimizer=LBFGS(), schedule=None, learning_rate=None, batch_size=None,
            precondition="auto",
        )  # fmt: skip
        result = yield from train(
            objective, steps, self.seed, start, validation=validation, observer=observer
        )
        # A stream that goes on from here has the optimizer of the parameters.
        fresh = State.fresh(sample, settings.optimizer, self.seed)
        state = replace(
            fresh, epoch=result.state.epoch, updates=result.state.updates,
            curve=result.state.curve, fingerprint=b"corrected",
        )  # fmt: skip
        return replace(result, state=state)

    def _train_network(self, sample, start, memory, observer):
        """Train a network on all rows; returns the FitResult."""
        objective = sample
        if sample.n < self.found.n:
            sizes = dict(self.rows.collect(count_used))
            objective = self._in_partitions(
                sample, self.rows, self.found.n, NetworkObjective, sizes=sizes
            )
        validation = self._judge(sample, NetworkObjective)
        return train(objective, self.settings, self.seed, start, memory, validation, observer)

    # -- rows -------------------------------------------------------------------------------

    def _problem(self, loss, mass):
        encoding = self.found.recipe.encoding
        return Problem(
            encoding.target_kind, encoding.n_outputs, loss, self.estimator.fit_intercept,
            self.found.model_dtype, float(mass),
        )  # fmt: skip

    def _stride(self, entries):
        """That of a sample of so many numbers."""
        d = self.found.recipe.n_features
        if self.found.recipe.sparse:
            stored = self.rows.sum(count_entries)
            d = stored / self.found.n
        return max(1, self.found.n // max(1, int(entries / (d + 1))))

    def _sample(self, problem, stride):
        """The Objective of every so many rows, and of more of those in rare classes."""
        found = self.found
        least = max(1, min(LEAST_OF_CLASS, found.n // stride // len(found.counts)))
        strides = np.clip(found.counts // least, 1, stride)
        parts = [
            part for part in self.rows.collect(take_rows, found.first, strides) if part.X.shape[0]
        ]
        stack = sparse.vstack if found.recipe.sparse else np.concatenate
        X = stack([part.X for part in parts])
        X = sparse.csr_array(X) if found.recipe.sparse else np.ascontiguousarray(X)
        target = np.concatenate([part.target for part in parts])
        weight = None
        if parts[0].weight is not None:
            weight = np.concatenate([part.weight for part in parts])
            weight = weight / weight.mean(dtype=np.float64).astype(weight.dtype)
        alpha, ratio = self.estimator.alpha, self.estimator.l1_ratio
        return Objective(
            X, target, problem.target_kind, weight, None, problem.n_outputs, problem.loss,
            l2=float(alpha * (1 - ratio)), l1=float(alpha * ratio),
            fit_intercept=problem.fit_intercept, model_dtype=problem.model_dtype,
        )  # fmt: skip

    def _scale_sample(self, problem, sample):
        """The rows that a plain fit would estimate the scale of residuals from, if they are needed:
        they are to be spaced evenly among all rows."""
        if getattr(self.loss, "delta", None) != "auto" or sample.n == self.found.n:
            return sample
        return self._sample(problem, self._stride(MAX_SCALE_ENTRIES))

    def _in_partitions(self, sample, rows, n, kind=PartitionedObjective, **own):
        return kind(
            sample.X, sample.target, sample.target_kind, sample.weight, None, sample.n_outputs,
            sample.loss, sample.l2, sample.l1, sample.fit_intercept, cache=Cache(),
            model_dtype=sample.model_dtype, partitions=rows, mass=float(n),
            sample=sample, **own,
        )  # fmt: skip

    def _judge(self, sample, kind=PartitionedObjective):
        """The Validation on the rows set aside; None without any."""
        if not self.validated:
            return None
        judged = self._in_partitions(sample, *self.validation, kind)
        return Validation(self.estimator.early_stopping, objective=judged)

    # -- the estimator ------------------------------------------------------------------------

    def _start(self, sample):
        """The last fit's parameters where a warm start is asked for and they fit."""
        if not self.estimator.warm_start:
            return None
        return self.estimator._start(sample, self.settings)

    def _set_features(self):
        number, names = self.found.features
        vars(self.estimator).pop("feature_names_in_", None)
        self.estimator.n_features_in_ = number
        if names is not None:
            self.estimator.feature_names_in_ = names


def count_entries(rows):
    """Numbers that a partition's sparse rows hold."""
    return rows.X.nnz
