r"""The minimum of a quadratic model with an l1 norm.

.. math:: \tfrac{1}{2} (u - v)' H (u - v) + g' (u - v) + \sum_j t_j |u_j|

over u, H positive semi-definite, t >= 0. Its slope is :math:`s = g + H (u - v)`. Two methods take
turns. Each lowers the model with every step, so that there is no cycle.

*Sweeps* move one coordinate at a time to its minimum,
:math:`u_j \leftarrow S(H_{jj} u_j - s_j, t_j) / H_{jj}` with :math:`S(z, t) = \operatorname{sign}(z)
\max(|z| - t, 0)`, and s with it (Friedman, Hastie and Tibshirani 2010). They find most of the zeros
at next to no cost, but crawl where columns are correlated.

*Feature-sign search* (Lee et al. 2007) goes on from there. With the signs of the coefficients
given, the minimum is one linear system. A step goes to its solution without the coefficients whose
sign it would change, or along the way there to the lowest point. One Cholesky factor serves from
step to step, as far as its rows belong to the same coefficients. When the coefficients have settled,
zeros whose slope is beyond their bounds enter: the best ones by a step each, later one by one, with
the settled ones moving along. A column that is a combination of others to rounding has no row in
the factor: it always moves like the latter, until a coefficient has become 0, or once as far as a
curvature that is no more than rounding lets it (the proximal point method).

References
----------
Friedman, J., Hastie, T. and Tibshirani, R. (2010). Regularization paths for generalized linear
models via coordinate descent. Journal of Statistical Software 33(1).

Lee, H., Battle, A., Raina, R. and Ng, A. Y. (2007). Efficient sparse coding algorithms. Advances
in Neural Information Processing Systems 19, 801-808.
"""

import numpy as np

from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._plan cimport SignProblem


def sign_search(const double[:, ::1] H, const double[::1] diagonal, const double[::1] threshold,
                start, gradient, Py_ssize_t steps):
    """Minimise the model from ``start``.

    Parameters
    ----------
    H : ndarray of shape (d, d), C-ordered
        Symmetric.
    diagonal : ndarray of shape (d,)
        What counts as the diagonal of H. A coordinate without curvature stays where it is.
    threshold : ndarray of shape (d,)
        The penalty of each absolute value: 0 for intercepts, infinite for coordinates that are
        held.
    start, gradient : ndarray of shape (d,)
        v and g.
    steps : int
        Of feature-sign search, at most.

    Returns
    -------
    u : ndarray of shape (d,)
    left : float
        An estimate of how far above its minimum the model is.
    ended : bool
        Whether the steps were enough.
    curvature : ndarray of shape (d,)
        The diagonal; of coefficients that are not 0, what the coefficients before them in the factor
        leave of it, and of combinations of other columns a part that is no more than its rounding.
    """
    cdef SignProblem p
    u, slope = np.array(start, dtype=np.float64), np.array(gradient, dtype=np.float64)
    cdef Py_ssize_t d = len(u)
    if d == 0:
        return u, 0.0, True, np.empty(0)
    if H.shape[0] != d or H.shape[1] != d or diagonal.shape[0] != d or threshold.shape[0] != d:
        raise ValueError("shapes do not agree")
    curvature = np.empty(d)
    cdef double[::1] u_view = u, slope_view = slope, curvature_view = curvature
    cdef double[:, ::1] factor = np.empty((d, d)), room = np.empty((6, d))
    cdef Py_ssize_t[:, ::1] order = np.empty((3, d), np.intp)
    p.d, p.most_steps = d, steps
    p.H, p.diagonal, p.threshold = &H[0, 0], &diagonal[0], &threshold[0]
    p.u, p.slope, p.factor = &u_view[0], &slope_view[0], &factor[0, 0]
    p.curvature = &curvature_view[0]
    p.room, p.order = &room[0, 0], &order[0, 0]
    with nogil:
        level.sign_search(&p)
    return u, p.left, p.ended, curvature
