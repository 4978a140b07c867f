r"""The minimum of a quadratic and piecewise linear losses of rows, by an interior point.

In extended weights w (d + 1,),

.. math:: \tfrac12 w'Pw + q'w + \sum_i s_i \sum_b \max_{l \le t \le h} \; t (x_i'w - c)

A row's slope t at a breakpoint c lies between l and h, and :math:`x_i'w - c = v - u` with u, v >= 0.
Newton's steps go to u (t - l) = v (h - t) = m, as m falls to 0. So each row is rounded off over a
width of its own, which suits it (primal-dual interior point, with the predictor and corrector of
Mehrotra 1992; for support vector machines Ferris and Munson 2002).

References
----------
Mehrotra, S. (1992). On the implementation of a primal-dual interior point method. SIAM Journal on
Optimization 2(4), 575-601.

Ferris, M. C. and Munson, T. S. (2002). Interior-point methods for massive support vector machines.
SIAM Journal on Optimization 13(3), 783-804.
"""

import numpy as np

from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._lagrangian cimport lapack
from sklearn_lossopt._engine._plan cimport InteriorProblem, interior_room
from sklearn_lossopt._engine._rows cimport address


def interior_point(x, share, pieces, quadratic, linear, start, double tol, Py_ssize_t steps):
    """The minimiser (d + 1,), found from ``start``.

    Parameters
    ----------
    x : ndarray of shape (n, d + 1), float64
    share : ndarray of shape (n,), float64
        s.
    pieces : tuple of ndarray of shape (q, n), float64
        c, low and high.
    quadratic, linear : ndarray of shape (d + 1, d + 1) and (d + 1,), float64
        P, positive semi-definite, and q.
    start : ndarray of shape (d + 1,)
    tol : float
        About the error in the objective.
    steps : int
        At most.

    Returns
    -------
    w : ndarray of shape (d + 1,)
        Where numbers are too large, the last point at which they were not.
    """
    cdef InteriorProblem p
    w, keep = np.array(start, dtype=np.float64), []
    p.n, p.size = x.shape
    p.pieces = len(pieces[0])
    wanted = {
        "share": (share, (p.n,)), "quadratic": (quadratic, (p.size, p.size)),
        "linear": (linear, (p.size,)), "start": (w, (p.size,)),
        **{name: (part, (p.pieces, p.n)) for name, part in zip(("c", "low", "high"), pieces)},
    }
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, not {shape}")
    if not p.n * p.pieces:
        raise ValueError("no breakpoints")
    p.x, p.share = <double*> address(x, np.float64, keep), <double*> address(share, np.float64, keep)
    c, low, high = pieces
    p.c, p.low = <double*> address(c, np.float64, keep), <double*> address(low, np.float64, keep)
    p.high = <double*> address(high, np.float64, keep)
    p.quadratic = <double*> address(quadratic, np.float64, keep)
    p.linear = <double*> address(linear, np.float64, keep)
    p.w = <double*> address(w, np.float64, keep)
    p.mass, p.tolerance, p.most_steps = share.sum() * p.pieces, tol, steps
    cdef double[::1] room = np.empty(interior_room(&p))
    p.room, p.lapack = &room[0], &lapack
    with nogil:
        level.interior_point(&p)
    return w
