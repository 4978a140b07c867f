"""GradientSearchCV."""

from sklearn.base import clone

from sklearn_lossopt.search._base import GradientSearch
from sklearn_lossopt.search._folds import evaluate_alone, evaluate_group


class GradientSearchCV(GradientSearch):
    r"""Cross-validated search that trains its candidates together.

    It finds what ``GridSearchCV`` or ``RandomizedSearchCV`` find, in less time. All losses,
    optimizers, learning rates and penalties share one copy of each fold's rows. This copy is
    checked, centred and decomposed once instead of once per candidate.

    With P the candidates, K the folds and S the score, it maximises

    .. math::

        \bar S(p) = \frac 1 K \sum_{k=1}^K S\bigl(\hat w_p(T_k), V_k\bigr), \qquad p \in P

    where :math:`\hat w_p(T_k)` is the model that ``fit`` with the parameters p finds on the
    training rows :math:`T_k`, and :math:`V_k` are the rows left out (Stone, 1974).

    Parameters
    ----------
    estimator : estimator
        A ``GradientRegressor`` or ``GradientClassifier``, or a ``Pipeline`` that ends in one. Other
        estimators can be searched too, but their candidates are fitted one by one.
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
        The score of the models, as for ``GridSearchCV``; None is the method ``score``.
    cv : int, splitter or iterable, default=None
        The folds; None is five of them.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all rows. With several scores, the name of the one
        that decides; a callable gets ``cv_results_`` and returns ``best_index_``.
    n_jobs : int or None, default=None
        Number of folds at a time; with more jobs than folds, parts of the candidates too. Jobs are
        threads, because training does not hold Python's lock. ``joblib.parallel_config`` with
        another backend, such as "loky" or "dask", makes them processes or sends them to a cluster.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores of the training rows.
    error_score : "raise" or float, default=nan
        Score of a fit that failed or diverged; "raise" raises the error.
    verbose : int, default=0
        1 prints the number of fits; 2 each fit when its fold is done; 3 its scores too.
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
    *What is shared.* Candidates of one fold share its rows, which are checked and
    copied once, and all that training computes from the rows alone. In a pipeline, the transformers
    are fitted once for each of their own settings and each fold. Transformers and models with
    ``random_state=None`` therefore draw the same random numbers for all candidates of a fold.
    Values of parameters are not copied for each fit if they are strings, numbers or components of
    this package.

    *What is equal.* Each model is bit for bit the one of a separate fit with its ``random_state``,
    and its score is the result of ``score``.

    *What is not trained together.* Other estimators, and subclasses with a ``fit`` of their own,
    are fitted one by one. So are all candidates if a callback reaches the estimator, as
    ``ProgressBar()`` does and ``ProgressBar(max_propagation_depth=0)`` does not.

    *Memory.* With J jobs at a time and rows of :math:`|X|` bytes, a search needs at most about

    .. math::

        J \bigl(c |X| + 0.1 |X| + 50\ \mathrm{MB} + \min(m r, 256\ \mathrm{MB} + r)\bigr)

    beyond its input. This is the sum of a fold's rows (c = 1, or c = 2 in a pipeline, for the
    transformed ones), the other memory of one fit, and the m models in training, of r bytes each.
    For a linear model with k outputs, d features and an optimizer that keeps s numbers per
    coefficient, r is about :math:`8 k (d + 1)(s + 8) + 2^{18} + 2048 k`, including one block of at
    most 256 kB of rows; with ``schedule="auto"`` and d < 800 :math:`32 k (d + 1)^2` more, or for
    each kink of the loss :math:`33 k n`. Models beyond the 256 MB begin when the others have been
    scored and dropped, which changes no result. The user guide lists the other parts of r.

    One ``FitFailedWarning`` counts the fits that diverged, and one ``ConvergenceWarning`` those
    that stopped above their tolerance.

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

    def _evaluate(self, X, y, splits, spec, root):
        n, k = len(spec.candidate_params), len(splits)
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
        groups, alone = self._sort_out(y, spec, root)
        parts = self._parts(groups, k, len(alone))
        tasks, places = [], []
        for split in splits:
            for part in parts:
                places.append([found.number * k + split.number for found in part.candidates])
                watched = [contexts[place] for place in places[-1]] if spec.search else []
                tasks.append((evaluate_group, (part, X, y, split, spec, watched)))
            for number in alone:
                place = number * k + split.number
                places.append([place])
                arguments = base, number, X, y, split, spec, contexts[place]
                tasks.append((evaluate_alone, arguments))
        out = [None] * (n * k)
        found = self._in_parallel(tasks, prefer="threads")
        for numbers, results in zip(places, found, strict=True):
            for place, result in zip(numbers, results, strict=True):
                out[place] = result
        context.call_on_fit_task_end(estimator=self)
        return range(n), out, None
