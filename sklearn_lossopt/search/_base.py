"""What the searches share."""

import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.parallel import Parallel, delayed

from sklearn_lossopt._compat import Interval, fit_context, has_callbacks
from sklearn_lossopt._doc_link import DocLinkMixin
from sklearn_lossopt._engine import StopFlag, Stopped
from sklearn_lossopt._estimators.callbacks import callback_kwargs
from sklearn_lossopt._estimators.rollback import all_or_nothing
from sklearn_lossopt._exceptions import DivergenceError, warn_user
from sklearn_lossopt._typing import Array, RandomState, Splitter
from sklearn_lossopt.search._candidates import sort_out
from sklearn_lossopt.search._compat import (
    BaseSearchCV,
    MultimetricScorer,
    check_method_params,
    insert_error_scores,
    propagates_callbacks,
    warn_or_raise_about_fit_failures,
)
from sklearn_lossopt.search._folds import SearchSpec, Split

FITTED = (
    "best_estimator_", "best_index_", "best_params_", "best_score_", "feature_names_in_",
    "refit_time_",
)  # fmt: skip
# Values to search by the names of parameters; what candidates are scored by.
Grid: TypeAlias = dict[str, Any] | list[dict[str, Any]]
Scoring: TypeAlias = str | Callable[..., Any] | list[str] | tuple[str, ...] | dict[str, Any]


@dataclass
class Stoppable:
    """A call whose training hears a flag; it returns None where that has stopped it."""

    flag: StopFlag
    task: Callable  # scikit-learn's wrapper takes over attributes, and has a ``function``

    def __call__(self, *arguments):
        try:
            with self.flag.heard():
                return self.task(*arguments)
        except Stopped:
            return None


class GradientSearch(DocLinkMixin, BaseSearchCV):
    """Base of the searches that train candidates together; they differ in ``_evaluate``."""

    _parameter_constraints: dict = {
        **BaseSearchCV._parameter_constraints,
        "param_grid": [dict, list, None],
        "param_distributions": [dict, list, None],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    _parameter_constraints.pop("pre_dispatch")

    cv_results_: dict[str, Any]
    loss_curves_: list[list[Array | None]]
    best_estimator_: Any
    best_score_: float
    best_params_: dict[str, Any]
    best_index_: int
    scorer_: Callable[..., Any] | dict[str, Any]
    n_splits_: int
    refit_time_: float
    multimetric_: bool
    feature_names_in_: Array

    def __init__(
        self,
        estimator: BaseEstimator,
        param_grid: Grid | None = None,
        *,
        param_distributions: Grid | None = None,
        n_iter: int | None = None,
        scoring: Scoring | None = None,
        cv: int | Splitter | Iterable[Any] | None = None,
        refit: bool | str | Callable[..., Any] = True,
        n_jobs: int | None = None,
        return_train_score: bool = False,
        error_score: float | Literal["raise"] = np.nan,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.param_grid = param_grid
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.scoring = scoring
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs
        self.return_train_score = return_train_score
        self.error_score = error_score
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Those of targets too, which scikit-learn's searches leave out.
        tags.target_tags = deepcopy(get_tags(self.estimator).target_tags)
        return tags

    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: ArrayLike | None = None, **params: Any) -> Self:
        """Search, and fit the best candidate to all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, of every kind that the estimator takes.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets.
        **params : dict of str to object
            Other parameters of the estimator's ``fit``, the scorer and the splitter, such as
            ``sample_weight`` and ``groups``; those of ``n_samples`` rows are split like X.

        Returns
        -------
        self : GradientSearchCV or GradientHalvingSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter is invalid, or if all fits fail; nothing is changed then.
        DivergenceError
            If all fits diverge, or one with ``error_score="raise"``; nothing is changed then.
        """
        candidates = self._candidate_params()
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: "
                f"estimator={self.estimator!r} learns from it. Pass y."
            )
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        task = callback_kwargs(self, X, y, params.get("sample_weight"))
        root = self._init_callback_context(max_subtasks=1 + (self.refit is not False))
        root.call_on_fit_task_begin(**task)
        splits = self._splits(X, y, routed.splitter.split)
        if not (candidates and splits):
            raise ValueError(
                f"No fits were performed: {len(candidates)} candidates and {len(splits)} splits. "
                "Was the CV iterator empty? Were there no candidates?"
            )
        spec = SearchSpec(
            scorers, routed.estimator.fit, routed.scorer.score, self.return_train_score,
            self.error_score, self.verbose, candidates, self.n_splits_,
            self if has_callbacks(self) else None,
        )  # fmt: skip
        rows, out, more = self._evaluate(X, y, splits, spec, root)
        self.loss_curves_ = self._curves(out)
        self._report(rows, out)
        if callable(self.scoring):
            insert_error_scores(out, self.error_score)
        params = [candidates[number] for number in rows]
        results = self._format_results(params, self.n_splits_, out, more)
        for name in FITTED:
            vars(self).pop(name, None)
        self._choose(results, out[0]["test_scores"], refit_metric)
        if self.refit:
            self._refit(routed.estimator.fit, root, task)
        several = isinstance(scorers, MultimetricScorer)
        self.scorer_ = scorers._scorers if several else scorers
        self.cv_results_ = results
        root.call_on_fit_task_end(**task)
        return self

    # -- candidates and folds ---------------------------------------------------------------

    def _candidate_params(self):
        """The parameters of each candidate."""
        given = {"param_grid": self.param_grid, "param_distributions": self.param_distributions}
        known = {name: value for name, value in given.items() if value is not None}
        if len(known) != 1:
            raise ValueError(
                "; ".join(f"{name}={value!r}" for name, value in given.items())
                + ": exactly one of the two must be given. Pass a grid as param_grid, or "
                "param_distributions with n_iter."
            )
        ((name, space),) = known.items()
        if self.n_iter is not None:
            return list(ParameterSampler(space, self.n_iter, random_state=self.random_state))
        for part in space if isinstance(space, list) else [space]:
            for parameter, values in part.items() if isinstance(part, dict) else ():
                if hasattr(values, "rvs"):
                    raise ValueError(
                        f"{name} has a distribution, {parameter}={values!r}, which n_iter=None "
                        "cannot try all values of. Set n_iter to the number of candidates to draw."
                    )
        if name == "param_distributions":
            raise ValueError(
                f"n_iter=None with param_distributions={space!r}: set n_iter to the number of "
                "candidates to draw, or pass param_grid to try all combinations."
            )
        return list(ParameterGrid(space))

    def _splits(self, X, y, params):
        """The folds, one Split each."""
        self._checked_cv_orig = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = self._checked_cv_orig.get_n_splits(X, y, **params)
        splits = list(self._checked_cv_orig.split(X, y, **params))
        if len(splits) != self.n_splits_:
            raise ValueError(
                f"cv.split and cv.get_n_splits return inconsistent results. Expected "
                f"{self.n_splits_} splits, got {len(splits)}"
            )
        return [Split(number, *rows) for number, rows in enumerate(splits)]

    def _sort_out(self, y, spec, root):
        """Groups of candidates to train together, and the numbers of all others."""
        together = y is not None and not propagates_callbacks(self, root)
        return sort_out(clone(self.estimator), spec.candidate_params, together)

    def _parts(self, groups, n_splits, n_others=0):
        """The groups, cut into parts where there are more jobs than groups and folds."""
        n_tasks = n_splits * (len(groups) + n_others)
        n_parts = -(-effective_n_jobs(self.n_jobs) // max(1, n_tasks))
        return [part for group in groups for part in group.parts(n_parts)]

    def _in_parallel(self, calls, **preferences):
        """The results of calls, pairs of a function and its arguments, made by ``n_jobs`` at a
        time. If one raises, or the user interrupts, threads that run the others end."""
        flag = StopFlag()
        try:
            return Parallel(n_jobs=self.n_jobs, **preferences)(
                delayed(Stoppable(flag, function))(*arguments) for function, arguments in calls
            )
        except BaseException:
            flag.set()
            raise

    def _evaluate(self, X, y, splits, spec, root):
        """Fit and score all candidates on all splits.

        Parameters
        ----------
        X, y : array-like
        splits : list of Split
        spec : SearchSpec
        root : CallbackContext

        Returns
        -------
        rows : sequence of int
            The number of the candidate in each row of ``cv_results_``.
        out : list of dict
            The results of all fits, row by row.
        more : dict or None
            More columns of ``cv_results_``.
        """
        raise NotImplementedError

    # -- results ----------------------------------------------------------------------------

    def _curves(self, out):
        """``loss_curves_``, taken out of the results."""
        curves = [result.pop("loss_curve") for result in out]
        k = self.n_splits_
        return [curves[start : start + k] for start in range(0, len(out), k)]

    def _raise_if_all_failed(self, out):
        if any(result["fit_error"] is None for result in out):
            return
        diverged = [text for result in out if (text := result["divergence"]) is not None]
        if len(diverged) == len(out):
            raise DivergenceError(f"All {len(out)} fits diverged. The first: {diverged[0]}")
        warn_or_raise_about_fit_failures(out, self.error_score)

    def _report(self, rows, out):
        """Warn of fits that failed, diverged or stopped early; raise if all failed."""
        self._raise_if_all_failed(out)
        texts = [(result.pop("divergence"), result.pop("warning")) for result in out]
        k, last = self.n_splits_, {number: row for row, number in enumerate(rows)}
        # A fit that is in several rows counts once.
        fits = [row * k + split for row in last.values() for split in range(k)]
        diverged = [text for text, _ in map(texts.__getitem__, fits) if text is not None]
        stopped = [text for _, text in map(texts.__getitem__, fits) if text is not None]
        others = [out[fit] if texts[fit][0] is None else {"fit_error": None} for fit in fits]
        warn_or_raise_about_fit_failures(others, self.error_score)
        if diverged:
            warn_user(
                f"{len(diverged)} of {len(fits)} fits diverged; their scores are "
                f"error_score={self.error_score}. The first: {diverged[0]}",
                FitFailedWarning,
            )
        if stopped:
            warn_user(
                f"{len(stopped)} of {len(fits)} fits stopped short of their tolerance. The first: "
                f"{stopped[0]}",
                ConvergenceWarning,
            )

    def _choose(self, results, first, refit_metric):
        """Set what is known of the best candidate; ``first`` are the scores of any fit."""
        self.multimetric_ = isinstance(first, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(first)
            refit_metric = self.refit
        if not self.refit and self.multimetric_:
            return
        self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]

    def _refit(self, params, root, task):
        """Fit the best candidate to all rows."""
        self.best_estimator_ = clone(self.estimator).set_params(
            **clone(self.best_params_, safe=False)
        )
        context = root.subcontext(task_name="refit-with-best-params")
        with context.propagate_callback_context(self.best_estimator_):
            context.call_on_fit_task_begin(**task)
            start = time.perf_counter()
            given = (task["X"],) if task["y"] is None else (task["X"], task["y"])
            self.best_estimator_.fit(*given, **params)
            self.refit_time_ = time.perf_counter() - start
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
        context.call_on_fit_task_end(**task)
