"""What is known of each row's loss: value, slope and curvature; breakpoints are rounded off."""

import numpy as np

from sklearn_lossopt._linalg import row_sums


class RoundedLoss:
    r"""A loss with a second derivative that is a guide, for Newton's steps.

    A smooth loss is itself. Of a piecewise linear one each breakpoint c, with slopes l and h
    beside it, is rounded off over a width s (h - l) around c:

    .. math:: \max_{l \le t \le h} \; t (z - c) - \tfrac{s}{2} \bigl(t - \tfrac{l + h}{2}\bigr)^2

    which lies below the loss by at most s (h - l)² / 8 (Nesterov 2005).

    Parameters
    ----------
    loss : Loss
    width : float
        s; 0 for the loss itself, with a slope at a breakpoint that is one of its own.

    References
    ----------
    Nesterov, Yu. (2005). Smooth minimization of non-smooth functions. Mathematical Programming
    103, 127-152.
    """

    def __init__(self, loss, width):
        self.loss, self.width = loss, width

    def value_and_slope(self, y, raw):
        """Of each row, in the shapes (n,) and (n, k)."""
        if self.loss.smooth or not self.width:
            one = raw.shape[1] == 1
            given = (y.reshape(-1), raw[:, 0]) if one else (y, raw)
            with np.errstate(all="ignore"):
                value, slope = self.loss.loss_gradient(*given)
            return np.asarray(value, np.float64), np.asarray(slope, np.float64).reshape(raw.shape)
        value = slope = 0.0
        for at, low, high in self.loss._breakpoints(y):
            r, middle = raw - at, 0.5 * (low + high)
            t = r / self.width
            t += middle
            t = np.minimum(np.maximum(t, low), high)
            slope = slope + t
            middle -= t
            value = value + (t * r - 0.5 * self.width * middle**2)
        return row_sums(value), slope

    def curvature(self, y, raw):
        """Second derivatives (n, k)."""
        if self.loss.smooth:
            with np.errstate(all="ignore"):
                return np.asarray(self.loss._curvature(y, raw), np.float64)
        h = np.zeros(raw.shape)
        for at, low, high in self.loss._breakpoints(y):
            h += np.abs(raw - at) * 2 < self.width * (high - low)
        return h / self.width

    def distance(self, y, raw):
        """The median distance of rows from their nearest breakpoint."""
        nearest = np.min([np.abs(raw - at) for at, _, _ in self.loss._breakpoints(y)], axis=0)
        return float(np.median(nearest))
