"""The objective over two parameters, minimised over all others."""

import numpy as np
from scipy.optimize import minimize

from sklearn_lossopt._engine import whitener
from sklearn_lossopt._linalg import MATRIX_SIZE, extended, gram, scale_rows, squares

# Of L-BFGS for one point, which begins at the minimum of the point before it.
OPTIONS = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-12, "maxcor": 20}


class Profile:
    """The minimum of an objective of one output where some of its parameters are given.

    L-BFGS finds the other parameters, in variables in which their columns are uncorrelated. With
    an l1 penalty the columns are only brought to one scale, and each coefficient is the difference
    of two variables that are not negative.

    Parameters
    ----------
    objective : Objective
        With a smooth loss.
    places : list of int
        The parameters that are given: columns, or the number of columns for the intercept.
    """

    def __init__(self, objective, places):
        self.objective, self.d = objective, objective.d
        index = objective.subsample(objective.n)
        rows = extended(objective.X[index], 1.0)
        self.places = places
        self.free = np.setdiff1d(np.arange(self.d + objective.fit_intercept), places)
        self.given, self.rows = rows[:, places], rows[:, self.free]
        self.y = objective.targets(index).reshape(-1)
        weight = np.ones(len(self.y)) if objective.weight is None else objective.weight[index]
        self.share = weight / weight.sum()
        penalised = self.free < self.d
        self.l2, self.l1 = objective.l2 * penalised, objective.l1 * penalised

    def surface(self, first, second, start):
        """The minimum of F at each pair of given values.

        Parameters
        ----------
        first, second : array-like of shape (n_first,), (n_second,)
            The values of the two parameters that are given.
        start : ndarray of shape (d + 1,)
            Coefficients and intercept that the first search begins at.

        Returns
        -------
        objective : ndarray of shape (n_second, n_first)
        """
        found, w = np.empty((len(second), len(first))), start[self.free]
        for r in range(len(second)):
            self._choose_variables(np.array([first[0 if r % 2 == 0 else -1], second[r]]), w)
            # To and fro: each point is next to the one before it.
            for c in range(len(first))[:: 1 if r % 2 == 0 else -1]:
                found[r, c], w = self._minimum(np.array([first[c], second[r]]), w)
        return found

    def _choose_variables(self, values, w):
        """Variables in which F has a curvature of about 1 at these parameters."""
        raw = self.given @ values + self.rows @ w
        with np.errstate(all="ignore"):
            h = self.objective.loss._curvature(self.y[:, None], raw[:, None])
        h = np.ones(len(raw)) if h is None or not np.isfinite(h).all() else np.reshape(h, -1)
        h = self.share * np.maximum(h, 1e-3 * (self.share @ h) or 1.0)
        if self.objective.l1 or len(self.free) > MATRIX_SIZE:
            size = np.sqrt(squares(self.rows).T @ h + self.l2)
            self.scale = 1 / np.where(size > 0, size, 1.0)
            self.basis = self.inverse = None
        else:
            scaled = scale_rows(self.rows, np.sqrt(h))
            self.basis, self.inverse = whitener(gram(scaled, scaled) + np.diag(self.l2))

    def _minimum(self, values, w):
        """F's minimum where the given parameters have these values, and the others there."""
        raw, penalised = self.given @ values, np.less(self.places, self.d) * values
        fixed = self.objective.penalty(penalised)
        if not len(self.free):
            return self._smooth(w, raw)[0] + fixed, w
        # In variables of curvature 1, the square of a gradient is what F can fall by.
        options = OPTIONS | {"gtol": 1e-6 * np.sqrt(abs(self._smooth(w, raw)[0]) or 1.0)}
        if not self.objective.l1:
            result = minimize(
                self._in_variables, self._variables(w), (raw,), "L-BFGS-B", jac=True,
                options=options,
            )  # fmt: skip
            return result.fun + fixed, self._parameters(result.x)
        u = w / self.scale
        # The intercept has no penalty, and no negative part.
        bounds = [(0 if l1 else None, None) for l1 in self.l1]
        bounds += [(0, None if l1 else 0) for l1 in self.l1]
        parts = np.append(np.where(self.l1, np.maximum(u, 0), u), np.maximum(-u, 0) * (self.l1 > 0))
        result = minimize(
            self._in_parts, parts, (raw,), "L-BFGS-B", jac=True, bounds=bounds, options=options
        )
        positive, negative = np.split(result.x, 2)
        return result.fun + fixed, self.scale * (positive - negative)

    def _variables(self, w):
        return w / self.scale if self.basis is None else self.inverse @ w

    def _parameters(self, u):
        return u * self.scale if self.basis is None else self.basis @ u

    def _smooth(self, w, raw):
        """The mean loss and the l2 penalty of free parameters, and the gradient."""
        with np.errstate(all="ignore"):
            value, slope = self.objective.loss.loss_gradient(self.y, raw + self.rows @ w)
            total = self.share @ value + 0.5 * np.sum(self.l2 * w**2)
            return float(total), self.rows.T @ (self.share * slope) + self.l2 * w

    def _in_variables(self, u, raw):
        value, gradient = self._smooth(self._parameters(u), raw)
        return value, gradient * self.scale if self.basis is None else gradient @ self.basis

    def _in_parts(self, parts, raw):
        positive, negative = np.split(parts, 2)
        value, gradient = self._smooth(self.scale * (positive - negative), raw)
        slope, cost = gradient * self.scale, self.l1 * self.scale
        return value + cost @ (positive + negative), np.append(cost + slope, cost - slope)
