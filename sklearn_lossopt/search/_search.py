"""GradientSearchCV. Floor 4."""

import time
import warnings
from copy import deepcopy
from numbers import Integral

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.parallel import Parallel, delayed

from sklearn_lossopt._calls import all_or_nothing
from sklearn_lossopt._compat import (
    BaseSearchCV,
    Interval,
    MultimetricScorer,
    check_method_params,
    fit_context,
    hands_callbacks_on,
    has_callbacks,
    insert_error_scores,
    warn_or_raise_about_fit_failures,
)
from sklearn_lossopt._exceptions import DivergenceError
from sklearn_lossopt.search._candidates import sort_out
from sklearn_lossopt.search._folds import Rules, Split, evaluate_alone, evaluate_group

FITTED = (
    "best_estimator_", "best_index_", "best_params_", "best_score_", "feature_names_in_",
    "refit_time_",
)  # fmt: skip


class GradientSearchCV(BaseSearchCV):
    r"""Cross-validated search that trains its candidates together.

    It finds what ``GridSearchCV`` or ``RandomizedSearchCV`` find, sooner: losses, optimizers,
    learning rates and penalties are searched on one copy of each fold's rows, which is checked,
    centred and decomposed once instead of once a candidate.

    With P the candidates, K the folds and S the score, it maximises

    .. math::

        \bar S(p) = \frac 1 K \sum_{k=1}^K S\bigl(\hat w_p(T_k), V_k\bigr), \qquad p \in P

    where :math:`\hat w_p(T_k)` is what ``fit`` with the parameters p makes of the training rows
    :math:`T_k`, and :math:`V_k` are the rows left out (Stone, 1974).

    Parameters
    ----------
    estimator : estimator
        A ``GradientRegressor`` or ``GradientClassifier``, or a ``Pipeline`` that ends in one. All
        others can be searched too, but their candidates are fitted one by one.
    param_grid : dict or list of dict, default=None
        Values to try of each parameter, such as ``{"loss": ["huber"], "alpha": [0.1, 1.0]}``: all
        combinations, or with ``n_iter`` random ones. Components' parameters are those behind two
        underscores: ``optimizer__beta_1``.
    param_distributions : dict or list of dict, default=None
        The same under the name that ``RandomizedSearchCV`` has for it: distributions with a method
        ``rvs``, or lists of values. Give either this or ``param_grid``.
    n_iter : int or None, default=None
        Candidates to draw, at least 1; None takes all combinations of a grid.
    scoring : str, callable, list, tuple or dict, default=None
        What to judge the models by, as for ``GridSearchCV``; None is the method ``score``.
    cv : int, splitter or iterable, default=None
        The folds; None is five of them.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all rows. With several scores, the name of the one
        that decides; a callable gets ``cv_results_`` and returns ``best_index_``.
    n_jobs : int or None, default=None
        Folds at a time; where there are more jobs than folds, parts of the candidates too. Jobs
        are threads, since training holds no lock of Python's; ``joblib.parallel_config`` with
        another backend, such as "loky" or "dask", makes them processes or sends them to a cluster.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores of the training rows.
    error_score : "raise" or float, default=nan
        Score of a fit that failed or diverged; "raise" raises the error.
    verbose : int, default=0
        1 prints the number of fits; 2 each fit when its fold is done, 3 its scores too.
    random_state : int, RandomState instance or None, default=None
        Seeds the drawing of candidates.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        Parameters, times, scores and ranks of the candidates, in the columns of ``GridSearchCV``.
        A fit's time is its part of the time that its candidates trained together.
    loss_curves_ : list of list of ndarray
        For each candidate and split the ``loss_curve_`` of the fit; None where it failed or has
        none.
    best_estimator_ : estimator
        The best candidate, fitted to all rows; only with ``refit``.
    best_score_ : float
        Its mean score; not with a callable ``refit``.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its place in ``cv_results_``.
    scorer_ : callable or dict
        The scorer, or one for each name.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds of the last fit to all rows; only with ``refit``.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray
        The labels, if it is a classifier's search; only with ``refit``.
    n_features_in_ : int
        Number of features; only with ``refit``.
    feature_names_in_ : ndarray of str
        Names of the features, where X had string names; only with ``refit``.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : The same results, one fit after the other.
    sklearn.model_selection.RandomizedSearchCV : The same for random candidates.

    Notes
    -----
    *What is shared.* Candidates of one fold share its rows, checked and copied once, and whatever
    training computes of the rows alone. In a pipeline the transformers are fitted once for each of
    their own settings and each fold. What draws random numbers with ``random_state=None``,
    transformers and models, then draws the same ones for all candidates of a fold. Values of
    parameters are not copied for each fit if they are strings, numbers or components of this
    package.

    *What is equal.* Each model is the one that a separate fit with its ``random_state`` gives, to
    the last bit, and its score is computed as ``score`` computes it.

    *What is not trained together.* Other estimators, subclasses with a ``fit`` of their own, and
    all candidates if callbacks are set on the estimator or passed down to it, such as
    ``ProgressBar()`` (``ProgressBar(max_propagation_depth=0)`` is not).

    *Memory.* A running job holds a copy of its fold's rows, in a pipeline also the transformed
    ones, and the models in training; one that has ended is scored and dropped.

    Diverged fits are counted in one ``FitFailedWarning``, those that stopped short of the tolerance
    in one ``ConvergenceWarning``.

    References
    ----------
    Stone, M. (1974). Cross-validatory choice and assessment of statistical predictions. Journal of
    the Royal Statistical Society B 36(2), 111-147.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import GradientRegressor, GradientSearchCV
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> grid = {"loss": ["squared_error", "huber"], "alpha": [1e-3, 1e-1, 10.0]}
    >>> search = GradientSearchCV(GradientRegressor(random_state=0), grid).fit(X, y)
    >>> len(search.cv_results_["params"])
    6
    >>> print(search.best_params_["alpha"] < 10, search.best_score_ > 0.45)
    True True
    """

    _parameter_constraints: dict = {
        **BaseSearchCV._parameter_constraints,
        "param_grid": [dict, list, None],
        "param_distributions": [dict, list, None],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    _parameter_constraints.pop("pre_dispatch")

    def __init__(
        self,
        estimator,
        param_grid=None,
        *,
        param_distributions=None,
        n_iter=None,
        scoring=None,
        cv=None,
        refit=True,
        n_jobs=None,
        return_train_score=False,
        error_score=np.nan,
        verbose=0,
        random_state=None,
    ):
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Those of targets too, which scikit-learn's searches leave out.
        tags.target_tags = deepcopy(get_tags(self.estimator).target_tags)
        return tags

    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
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
        self : GradientSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter is invalid, or if all fits fail; nothing is changed then.
        DivergenceError
            If all fits diverge, or one with ``error_score="raise"``; nothing is changed then.
        """
        settings = self._settings()
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: "
                f"estimator={self.estimator!r} learns from it. Pass y."
            )
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        weight = params.get("sample_weight")
        metadata = None if weight is None else {"sample_weight": weight}
        task = dict(estimator=self, X=X, y=y, metadata=metadata)
        root = self._init_callback_context(max_subtasks=1 + (self.refit is not False))
        root.call_on_fit_task_begin(**task)
        splits = self._splits(X, y, routed.splitter.split)
        rules = Rules(
            scorers, routed.estimator.fit, routed.scorer.score, self.return_train_score,
            self.error_score, self.verbose, settings, self.n_splits_,
            self if has_callbacks(self) else None,
        )  # fmt: skip
        out = self._evaluate(X, y, splits, rules, root)
        self.loss_curves_ = self._curves(out)
        self._report(out)
        if callable(self.scoring):
            insert_error_scores(out, self.error_score)
        results = self._format_results(settings, self.n_splits_, out)
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

    def _settings(self):
        """Parameters of the candidates."""
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
            settings = ParameterSampler(space, self.n_iter, random_state=self.random_state)
            return list(settings)
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
        self._checked_cv_orig = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = self._checked_cv_orig.get_n_splits(X, y, **params)
        splits = list(self._checked_cv_orig.split(X, y, **params))
        if len(splits) != self.n_splits_:
            raise ValueError(
                f"cv.split and cv.get_n_splits return inconsistent results. Expected "
                f"{self.n_splits_} splits, got {len(splits)}"
            )
        return [Split(number, *rows) for number, rows in enumerate(splits)]

    def _evaluate(self, X, y, splits, rules, root):
        """Results of all fits, those of a candidate one after the other."""
        n, k = len(rules.settings), len(splits)
        if n * k == 0:
            raise ValueError(
                f"No fits were performed: {n} candidates and {k} splits. Was the CV iterator "
                "empty? Were there no candidates?"
            )
        if self.verbose > 0:
            print(f"Fitting {k} folds for each of {n} candidates, totalling {n * k} fits")
        context = root.subcontext(
            task_name="search", max_subtasks=n * k, sequential_subtasks=False
        ).call_on_fit_task_begin(estimator=self)
        # Made here, since a context must not change while another task pickles it.
        contexts = [
            context.subcontext(task_name="candidate-split-evaluation", task_id=number)
            for number in range(n * k)
        ]
        base = clone(self.estimator)
        together = y is not None and not hands_callbacks_on(self, context)
        groups, alone = sort_out(base, rules.settings, together)
        n_parts = -(-effective_n_jobs(self.n_jobs) // max(1, len(groups) * k + len(alone) * k))
        tasks, places = [], []
        for split in splits:
            for part in (part for group in groups for part in group.parts(n_parts)):
                places.append([found.number * k + split.number for found in part.candidates])
                watched = [contexts[place] for place in places[-1]] if rules.search else []
                tasks.append(delayed(evaluate_group)(part, X, y, split, rules, watched))
            for number in alone:
                place = number * k + split.number
                places.append([place])
                tasks.append(
                    delayed(evaluate_alone)(base, number, X, y, split, rules, contexts[place])
                )
        out = [None] * (n * k)
        found = Parallel(n_jobs=self.n_jobs, prefer="threads")(tasks)
        for numbers, results in zip(places, found, strict=True):
            for place, result in zip(numbers, results, strict=True):
                out[place] = result
        context.call_on_fit_task_end(estimator=self)
        return out

    # -- results ----------------------------------------------------------------------------

    def _curves(self, out):
        curves = [result.pop("loss_curve") for result in out]
        k = self.n_splits_
        return [curves[start : start + k] for start in range(0, len(out), k)]

    def _report(self, out):
        """Warn of fits that failed, diverged or stopped early; raise if all failed."""
        divergences = [result.pop("divergence") for result in out]
        diverged = [text for text in divergences if text is not None]
        stopped = [text for result in out if (text := result.pop("warning")) is not None]
        if len(diverged) == len(out):
            raise DivergenceError(f"All {len(out)} fits diverged. The first: {diverged[0]}")
        others = out
        if any(result["fit_error"] is None for result in out):
            kept = zip(out, divergences, strict=True)
            others = [result if text is None else {"fit_error": None} for result, text in kept]
        warn_or_raise_about_fit_failures(others, self.error_score)
        if diverged:
            warnings.warn(
                f"{len(diverged)} of {len(out)} fits diverged; their scores are "
                f"error_score={self.error_score}. The first: {diverged[0]}",
                FitFailedWarning,
                stacklevel=5,
            )
        if stopped:
            warnings.warn(
                f"{len(stopped)} of {len(out)} fits stopped short of their tolerance. The first: "
                f"{stopped[0]}",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _choose(self, results, first, refit_metric):
        """Find the best candidate."""
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
