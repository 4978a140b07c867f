"""Piecewise linear encoding: a column becomes how far each of its bins is filled."""

from numbers import Integral
from typing import NamedTuple

import numpy as np

from sklearn_lossopt._compat import Interval, StrOptions
from sklearn_lossopt._quantiles import column_quantile
from sklearn_lossopt.preprocessing._columns import ColumnwiseTransformer


class Bins(NamedTuple):
    """The bins of all columns, one after the other; arrays (n_features_out,)."""

    column: np.ndarray  # that the bin is of
    lower: np.ndarray  # its lower edge
    width: np.ndarray
    least: np.ndarray  # that its filling can be
    most: np.ndarray


class PiecewiseLinearEncoder(ColumnwiseTransformer):
    r"""Encode each column by how far its values fill bins of equal frequency.

    The edges :math:`b_0 < b_1 < \dots < b_T` of a column's bins are values that it has in the
    training rows, its least and its greatest among them. A value x becomes T numbers,

    .. math::

        e_t(x) = \min\left(1, \max\left(0, \frac{x - b_{t-1}}{b_t - b_{t-1}}\right)\right),
        \quad t = 1, \dots, T,

    1 in the bins below it, 0 in those above, and in its own bin the share of the way to the upper
    edge. Any function of x that is linear between the edges is a linear function of these
    numbers: a linear model behind the encoder is an additive model of linear splines, and a network
    need not learn steps and waves of a column from the column itself.

    Parameters
    ----------
    n_bins : int, default=8
        Bins of a column, at least 1. A column of at most ``n_bins + 1`` values has an edge at each
        of them, and so a column of zeros and ones stays as it is. A constant column becomes a
        column of zeros.
    extrapolation : {"constant", "linear"}, default="constant"
        What values outside the range of the training rows become. "constant": what the nearest
        edge becomes, so that all numbers are in [0, 1]. "linear": the first number of a column goes
        on below 0 and its last one beyond 1, as in the paper.

    Attributes
    ----------
    bin_edges_ : list of ndarray
        Edges of each column, increasing: at most ``n_bins + 1``, one for a constant column.
    n_features_in_ : int
        Number of columns seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if they are all strings.

    See Also
    --------
    SmoothClipScaler : One number for each column.
    sklearn.preprocessing.SplineTransformer : Splines of any degree, in which most numbers are 0.
    sklearn.preprocessing.KBinsDiscretizer : Bins that keep no order within.

    Notes
    -----
    A value that has at least the share of the rows that a bin should have, such as the zeros of a
    column that is mostly zero, is an edge by itself. The other edges are quantiles of the rest of
    the rows. So every column of more than ``n_bins + 1`` values has exactly ``n_bins`` bins.

    A missing value (NaN) becomes NaN in all bins: impute before, or after, where the mean of a
    bin's filling is another fair guess. A column without any value becomes NaN.

    Half of the numbers are not 0, so that a sparse matrix would take more memory than the array
    that is returned. Sparse X is refused.

    References
    ----------
    Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
    Learning", NeurIPS 2022.

    Examples
    --------
    >>> from sklearn_lossopt.preprocessing import PiecewiseLinearEncoder
    >>> encoder = PiecewiseLinearEncoder(n_bins=3).fit([[0.0], [1.0], [2.0], [4.0], [5.0], [9.0]])
    >>> encoder.bin_edges_
    [array([0., 1., 4., 9.])]
    >>> encoder.transform([[0.5], [4.0], [6.5]])
    array([[0.5, 0. , 0. ],
           [1. , 1. , 0. ],
           [1. , 1. , 0.5]])

    A wave, which no straight line follows:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> X = np.linspace(0, 9, 200)[:, None]
    >>> y = np.sin(X[:, 0])
    >>> splines = make_pipeline(PiecewiseLinearEncoder(), LinearRegression())
    >>> [round(model.fit(X, y).score(X, y), 2) for model in (LinearRegression(), splines)]
    [0.0, 1.0]
    """

    _parameter_constraints: dict = {
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "extrapolation": [StrOptions({"constant", "linear"})],
    }

    def __init__(self, n_bins=8, *, extrapolation="constant"):
        self.n_bins = n_bins
        self.extrapolation = extrapolation

    def _learn(self, columns, dtype):
        self.bin_edges_ = [bin_edges(*column, self.n_bins).astype(dtype) for column in columns]

    def _bins(self):
        """The Bins of all columns."""
        edges = self.bin_edges_
        counts = [max(1, len(found) - 1) for found in edges]
        starts = np.cumsum([0, *counts[:-1]])
        constant = np.repeat([len(found) == 1 for found in edges], counts)
        lower = np.concatenate([found if len(found) == 1 else found[:-1] for found in edges])
        width = np.concatenate([np.ones_like(e) if len(e) == 1 else np.diff(e) for e in edges])
        least, most = np.zeros_like(lower), np.where(constant, 0, 1).astype(lower.dtype)
        if self.extrapolation == "linear":
            ends = starts + np.array(counts) - 1
            least[starts] = np.where(constant[starts], 0, -np.inf)
            most[ends] = np.where(constant[ends], 0, np.inf)
        return Bins(np.repeat(np.arange(len(edges)), counts), lower, width, least, most)

    def _forward(self, X):
        bins = self._bins()
        filling = (X[:, bins.column] - bins.lower) / bins.width
        return np.clip(filling, bins.least, bins.most, out=filling)

    def _backward(self, X):
        bins = self._bins()
        starts = np.flatnonzero(np.diff(bins.column, prepend=-1))
        return bins.lower[starts] + np.add.reduceat(X * bins.width, starts, axis=1)

    def get_feature_names_out(self, input_features=None):
        """Names of the encoded columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns; those that ``fit`` saw if None, or else "x0", "x1" and so on.

        Returns
        -------
        names : ndarray of str
            "<column>_bin_0", "<column>_bin_1" and so on for each column.
        """
        names = super().get_feature_names_out(input_features)
        return np.array(
            [
                f"{name}_bin_{place}"
                for name, edges in zip(names, self.bin_edges_, strict=True)
                for place in range(max(1, len(edges) - 1))
            ],
            dtype=object,
        )


def bin_edges(values, weight, n_bins):
    """At most n_bins + 1 values of a column, increasing, with about equal weight between them."""
    distinct, place = np.unique(values, return_inverse=True)
    if len(distinct) == 0:
        return np.array([np.nan])
    if len(distinct) <= n_bins + 1:
        return distinct
    weight = np.bincount(place, weight)
    edges, rest, room = [], np.ones(len(distinct), bool), n_bins + 1
    # An edge for each value that would fill a bin, until none of what is left does.
    while (heavy := rest & (weight * (room - 1) >= weight[rest].sum())).any():
        edges.append(distinct[heavy])
        rest &= ~heavy
        room -= heavy.sum()
    levels = np.linspace(0, 1, room)
    edges.append(column_quantile(distinct[rest], weight[rest], levels))
    # Rounding of the shares may find a value twice.
    return np.unique(np.concatenate(edges))
