"""Scaling that outliers do not stretch, and that brings them close."""

from numbers import Real

import numpy as np

from sklearn_lossopt._component import POSITIVE
from sklearn_lossopt._quantiles import column_quantile
from sklearn_lossopt.preprocessing._columns import ColumnwiseTransformer

# Of z / limit; from far below it on the result is the limit itself, and its square is a float32.
FARTHEST = 1e9


class SmoothClipScaler(ColumnwiseTransformer):
    r"""Scale columns by their quartiles, and draw what is far from the median smoothly closer.

    A value x becomes

    .. math::

        f(x) = \frac{z}{\sqrt{1 + (z / c)^2}}, \qquad z = \frac{x - m}{s},

    where m is the column's median, s the distance between its quartiles and c the ``limit``. Values
    around the median are scaled alone; far ones approach -c and c and keep their order. Networks
    and linear models are then not led by a few rows.

    Parameters
    ----------
    limit : float, default=3.0
        The number c, greater than 0, that no result exceeds in size.
    quantile_range : tuple of two floats, default=(25.0, 75.0)
        The quantiles whose distance is s, in percent: 0 <= low < high <= 100.

    Attributes
    ----------
    center_ : ndarray of shape (n_features_in_,)
        Median of each column, a value that it has.
    scale_ : ndarray of shape (n_features_in_,)
        What each column is divided by, greater than 0.
    n_features_in_ : int
        Number of columns seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if they are all strings.

    See Also
    --------
    PiecewiseLinearEncoder : Several numbers for each column, for what is not linear in it.
    sklearn.preprocessing.RobustScaler : The same scaling with no limit.

    Notes
    -----
    Where the quartiles are equal, s is half the distance between the least and the greatest value:
    a column of zeros and few ones becomes 0 and 1.66, however few they are (``StandardScaler``
    makes 31 of one row in 1,000). A constant column has s = 1 and becomes zeros.

    Missing values (NaN) take no part in m and s, and stay missing. Sparse X is refused, as to
    subtract medians would make it dense. ``inverse_transform`` takes f back, with
    :math:`z = f / \sqrt{1 - (f / c)^2}`; values so far away that f rounds to the limit do not come
    back.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted
    Trees on Tabular Data", NeurIPS 2024.

    Examples
    --------
    >>> from sklearn_lossopt.preprocessing import SmoothClipScaler
    >>> scaler = SmoothClipScaler()
    >>> scaler.fit_transform([[1.0], [2.0], [3.0], [4.0], [1000.0]]).round(2).ravel()
    array([-0.95, -0.49,  0.  ,  0.49,  3.  ])
    >>> scaler.center_, scaler.scale_
    (array([3.]), array([2.]))
    """

    _parameter_constraints: dict = {"limit": POSITIVE, "quantile_range": [tuple, list]}

    def __init__(self, *, limit=3.0, quantile_range=(25.0, 75.0)):
        self.limit = limit
        self.quantile_range = quantile_range

    def _learn(self, columns, dtype):
        low, high = check_range(self.quantile_range)
        found = np.array([center_and_scale(*column, low, high) for column in columns])
        self.center_, self.scale_ = found.T.astype(dtype)

    def _forward(self, X):
        # In units of the limit.
        u = (X - self.center_) / (self.scale_ * X.dtype.type(self.limit))
        u = np.clip(u, -FARTHEST, FARTHEST, out=u)
        u /= np.sqrt(1 + u**2)
        u *= self.limit
        return u

    def _backward(self, X):
        inside = np.nextafter(X.dtype.type(1), X.dtype.type(0))
        u = np.clip(X / X.dtype.type(self.limit), -inside, inside)
        # The difference of squares without cancellation.
        z = self.limit * u / np.sqrt((1 - u) * (1 + u))
        return self.center_ + z * self.scale_


def check_range(quantile_range):
    """The two levels, between 0 and 1."""
    valid = len(quantile_range) == 2 and all(isinstance(level, Real) for level in quantile_range)
    if not valid or not 0 <= quantile_range[0] < quantile_range[1] <= 100:
        raise ValueError(
            f"quantile_range={quantile_range!r} must be two numbers with 0 <= low < high <= 100, "
            "such as (25.0, 75.0)."
        )
    return quantile_range[0] / 100, quantile_range[1] / 100


def center_and_scale(values, weight, low, high):
    """The median of a column, and a spread of it that is not 0."""
    if len(values) == 0:
        return np.nan, np.nan
    first, median, last = column_quantile(values, weight, [low, 0.5, high])
    scale = last - first if last > first else (values.max() - values.min()) / 2
    return median, scale if scale > 0 else 1.0
