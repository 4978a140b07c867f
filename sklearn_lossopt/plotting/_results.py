"""The results of a search as a table of two parameters: the best candidate of each pair."""

import inspect
from contextlib import suppress
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_lossopt._component import Component
from sklearn_lossopt.plotting._shared import last_step

# The value of a parameter that its owner does not have.
_ABSENT = object()


class Results:
    """The candidates of a fitted search, with their parameters, scores and loss curves.

    Parameters
    ----------
    search : BaseSearchCV
        A fitted search, or a pipeline that ends in one.
    metric : str or None
        The metric to rank by; None means the only one, or the one of ``refit``.
    """

    def __init__(self, search, metric=None):
        search = last_step(search)
        if not (hasattr(search, "estimator") and hasattr(search, "cv")):
            raise TypeError(
                f"search must be a fitted search such as GridSearchCV. Got {search!r} instead."
            )
        check_is_fitted(search, "cv_results_")
        self.kind = type(search).__name__
        self.params = search.cv_results_["params"]
        self.curves = getattr(search, "loss_curves_", None)
        self.metric, self.score_name = _metric(search, metric)
        self.score = np.asarray(search.cv_results_[f"mean_test_{self.metric}"], dtype=np.float64)
        deviation = search.cv_results_.get(f"std_test_{self.metric}")
        self.deviation = None if deviation is None else np.asarray(deviation, dtype=np.float64)
        # A candidate of a halving search has a row per iteration.
        self.iteration = np.asarray(search.cv_results_.get("iter", np.zeros(len(self.params))))
        self._own = search.estimator.get_params()
        self._prefix = _prefix(search.estimator)
        self._families = getattr(last_step(search.estimator), "_component_families", {})

    def varied(self, names):
        """Whether the search set any of these parameters."""
        return any(
            path == name or path.startswith(f"{name}__")
            for name in map(self._path, names)
            for params in self.params
            for path in params
        )

    def table(self, y, x):
        """The best candidate of each pair of settings.

        Parameters
        ----------
        y, x : list of str
            Names of the parameters of the rows and of the columns.

        Returns
        -------
        table : dict
            Arguments of ``SearchDisplay``.
        """
        row, y_values = self._settings(y)
        column, x_values = self._settings(x)
        shape = len(y_values), len(x_values)
        best = np.full(shape, -1)
        tried = np.zeros(shape, dtype=bool)
        for c in range(len(self.params)):
            cell = row[c], column[c]
            if -1 in cell:
                continue
            tried[cell] = True
            if np.isfinite(self.score[c]) and self._is_better(c, best[cell]):
                best[cell] = c
        table = {
            "score": np.where(best >= 0, self.score[best], np.nan),
            "failed": tried & (best < 0),
            "x_values": x_values,
            "y_values": y_values,
            "x_name": self._short(x),
            "y_name": self._short(y),
            "score_name": self.score_name,
        }
        if self.deviation is not None:
            table["spread"] = np.where(best >= 0, self.deviation[best], np.nan)
        if self.curves is not None:
            table["loss_curves"] = [
                [None if c < 0 else list(self.curves[c]) for c in cells] for cells in best
            ]
        return table

    def _is_better(self, c, best):
        """Whether candidate ``c`` got further in halving than ``best``, or scored higher."""
        return best < 0 or (
            (self.iteration[c], self.score[c]) > (self.iteration[best], self.score[best])
        )

    def _settings(self, names):
        """The index of each candidate's setting of these parameters, or -1, and the settings.

        Numbers are in ascending order, other settings in order of appearance.
        """
        columns = [[self._setting(name, params) for params in self.params] for name in names]
        keys, ranks, shown = [], [], []
        for column in columns:
            keys.append([key for key, _ in column])
            known = {key: value for key, value in column if key is not _ABSENT}
            ranks.append({key: r for r, key in enumerate(sorted(known, key=_order(known)))})
            shown.append(dict(zip(known, setting_labels(known.values()), strict=True)))
        whole = list(zip(*keys, strict=True))
        found = sorted(
            {key for key in whole if _ABSENT not in key},
            key=lambda key: [rank[part] for rank, part in zip(ranks, key, strict=True)],
        )
        if not found:
            raise ValueError(self._unknown(names))
        place = {key: r for r, key in enumerate(found)}
        if len(names) == 1:
            known = dict(columns[0])
            values = [known[key] for (key,) in found]
        else:
            values = [
                ", ".join(label[part] for label, part in zip(shown, key, strict=True))
                for key in found
            ]
        return [place.get(key, -1) for key in whole], values

    def _setting(self, name, params):
        """A candidate's setting of a parameter: a key for comparisons, and a number or label."""
        path = self._path(name)
        inside = f"{path}__"
        value = self._value(path, params)
        # The label of a component leaves out its parameters that were searched.
        searched = {
            key.removeprefix(inside).partition("__")[0] for key in params if key.startswith(inside)
        }
        if value is _ABSENT:
            return _ABSENT, None
        if isinstance(value, Component):
            return component_label(value, searched)
        value = value.item() if isinstance(value, np.generic) else value
        if is_number(value):
            return float(value), value
        label = value if isinstance(value, str) else getattr(value, "__name__", repr(value))
        return label, label

    def _value(self, path, params):
        """A candidate's value of a parameter, or that of the search's estimator."""
        # The parameters of a replaced step no longer apply.
        replaced = tuple(f"{name}__" for name in params)
        parts = path.split("__")
        for n in range(len(parts), 0, -1):
            head, rest = "__".join(parts[:n]), "__".join(parts[n:])
            if head in params:
                value = params[head]
            elif head in self._own and not head.startswith(replaced):
                value = self._own[head]
            else:
                continue
            family = self._families.get(head.removeprefix(self._prefix))
            if family is not None and isinstance(value, str):
                # Candidates with an unknown name have failed.
                with suppress(ValueError):
                    value = family.resolve(value)
            if not rest:
                return value
            known = value.get_params() if isinstance(value, BaseEstimator) else {}
            return known.get(rest, _ABSENT)
        return _ABSENT

    def _path(self, name):
        """The full name of a parameter, with the last step's prefix if that step has it."""
        head = name.partition("__")[0]
        known = {*self._own, *(path for params in self.params for path in params)}
        return self._prefix + name if self._prefix + head in known or head not in known else name

    def _short(self, names):
        return ", ".join(name.removeprefix(self._prefix) for name in names)

    def searched(self):
        """The names of the parameters that the search set, for messages."""
        names = {path.removeprefix(self._prefix): None for params in self.params for path in params}
        return ", ".join(map(repr, names)) or "none"

    def _unknown(self, names):
        what = " with ".join(map(repr, names))
        return (
            f"No candidate of the {self.kind} has a parameter {what}. "
            f"It searched: {self.searched()}."
        )


def _metric(search, metric):
    """The name of a metric in ``cv_results_``, and its name in labels."""
    prefix = "mean_test_"
    known = [key.removeprefix(prefix) for key in search.cv_results_ if key.startswith(prefix)]
    if metric is None:
        if len(known) == 1:
            metric = known[0]
        elif isinstance(search.refit, str):
            metric = search.refit
        else:
            raise ValueError(
                f"{type(search).__name__} has several metrics and refit names none: pass metric, "
                f"one of {known}."
            )
    if metric not in known:
        raise ValueError(f"metric={metric!r} was not computed by the search, only {known}.")
    if metric != "score":
        return metric, metric
    scoring = search.scoring
    if scoring is None:
        return metric, _default_score(last_step(search.estimator))
    return metric, scoring if isinstance(scoring, str) else getattr(scoring, "__name__", None)


def _default_score(estimator):
    """The name of what an estimator's ``score`` returns; None if it is its own."""
    method = getattr(type(estimator), "score", None)
    known = {RegressorMixin.score: "r2", ClassifierMixin.score: "accuracy"}
    return known.get(method)


def _prefix(estimator):
    """The prefix of the last step's parameters."""
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    return prefix


def _order(known):
    """A sorting key for settings: numbers come first, and the others keep their order."""
    return lambda key: (0, known[key]) if is_number(known[key]) else (1, 0)


def is_number(value):
    """Whether a setting is a number and not a bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def component_label(component, searched=()):
    """A component's key and label, without the parameters that were searched."""
    params = component.get_params(deep=False)
    kept = {name: repr(value) for name, value in params.items() if name not in searched}
    key = (type(component), tuple(kept.items()))
    defaults = inspect.signature(type(component)).parameters
    changed = {name: params[name] for name in kept if kept[name] != repr(defaults[name].default)}
    # A user's subclass inherits the name.
    registered = component.registry().get(component.name) is type(component)
    if registered and not changed:
        return key, component.name
    for alias, arguments in component.aliases.items() if registered else ():
        if changed == arguments:
            return key, alias
    given = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    return key, f"{type(component).__name__}({given})"


def setting_labels(values):
    """Labels of settings: strings as they are, and numbers short if they stay distinct."""
    values = list(values)
    short = [f"{value:.3g}" if is_number(value) else str(value) for value in values]
    return short if len(set(short)) == len(set(values)) else [str(value) for value in values]
