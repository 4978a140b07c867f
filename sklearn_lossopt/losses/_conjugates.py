"""Losses as maxima over a dual variable, for solvers and certificates.

A convex loss of one raw prediction z is a sum of pieces

.. math:: f(z - c) = \\max_{l \\le t \\le h} \\; t (z - c) - \\phi(t)

with a convex :math:`\\phi`, the piece's conjugate up to t c. Where t is the derivative of f the
maximum is reached; what any other t falls short of f by bounds how far z is from where t would be
optimal, which is what duality gaps are made of.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class DualForm:
    """The pieces of a loss.

    Parameters
    ----------
    pieces : list of (c, low, high)
        Each an array in y's shape; ends may be infinite. No two pieces bend in the same place.
    conjugate : Quadratic or Entropy
        That of every piece.
    """

    pieces: list
    conjugate: object

    def gap(self, raw, dual):
        """How far each dual falls short of the loss at ``raw``; infinite outside the domain."""
        total, rest = np.zeros(np.shape(raw)), dual
        for c, low, high in self.pieces:
            part = np.clip(rest, low, high)
            rest = rest - part
            total += self.conjugate.gap(raw - c, part, low, high)
        size = np.maximum(np.abs(dual), 1e-300)
        return np.where(np.abs(rest) <= 1e-12 * size, total, np.inf)


class Quadratic:
    """phi(t) = q t^2 / 2: the piece has the curvature 1 / q between its bounds."""

    def __init__(self, q):
        self.q = q

    def dual(self, u, center, width, low, high):
        """The t that maximises t u - phi(t) - width (t - center)^2 / 2."""
        return np.clip((u + width * center) / (width + self.q), low, high)

    def slope(self, dual, width, low, high):
        """The derivative of ``dual`` with respect to u."""
        return ((dual > low) & (dual < high)) / (width + self.q)

    def gap(self, u, dual, low, high):
        best = np.clip(u / self.q, low, high)
        return (best - dual) * (u - 0.5 * self.q * (best + dual))


class Entropy:
    """phi(t) = ((1 + t) log(1 + t) + (1 - t) log(1 - t)) / 2, the conjugate of log cosh."""

    def dual(self, u, center, width, low, high):
        # t = tanh(s) with s + width tanh(s) = a: the left side rises, and bends downwards.
        a = np.asarray(u + width * center, dtype=np.float64)
        size = np.abs(a).ravel()
        s = np.maximum(size - width, np.arctanh(np.minimum(size / (1 + width), 1 - 1e-15)))
        s = np.minimum(s, size)
        # Where tanh is 1 to rounding, that is the solution.
        index = np.flatnonzero(size - width < 20)
        for _ in range(50):
            start, end = s[index], size[index]
            t = np.tanh(start)
            step = (start + width * t - end) / (1 + width * (1 - t * t))
            # It approaches from below, after one step that can be too long.
            s[index] = np.clip(start - step, 0.0, end)
            index = index[np.abs(step) > 1e-7 * (1 + start)]
            if len(index) == 0:
                break
        return np.copysign(np.tanh(s).reshape(a.shape), a)

    def slope(self, dual, width, low, high):
        curvature = (1 - dual) * (1 + dual)
        return curvature / (1 + width * curvature)

    def gap(self, u, dual, low, high):
        inside = np.abs(dual) < 1
        t = np.where(inside, dual, 0.0)
        s = np.arctanh(t)
        gap = log_cosh(u) - log_cosh(s) - t * (u - s)
        # At the ends of the domain phi is log 2.
        end = log_cosh(u) + np.log(2) - dual * u
        return np.maximum(np.where(inside, gap, end), 0.0)


def log_cosh(u):
    size = np.abs(u)
    return size + np.log1p(np.exp(-2 * size)) - np.log(2)


def relative_entropy(q, p):
    """q log(q / p) - q + p for q >= 0 and p > 0, to full accuracy where they are close."""
    # Below that, exponentials are clamped in the engine and are 0 here.
    p, q = np.maximum(p, 1e-290), np.where(q > 1e-290, q, 0.0)
    with np.errstate(all="ignore"):
        t = (q - p) / p
        gap = np.where(q > 0, p * ((1 + t) * np.log1p(t) - t), p)
        finite = np.isfinite(gap)
        if not finite.all():
            # 1 + t overflows, or p is 0.
            far = np.where(q > 0, q * (np.log(q) - np.log(p)) - q + p, p)
            gap = np.where(finite, gap, far)
    return np.where(np.isnan(gap), np.inf, np.maximum(gap, 0.0))
