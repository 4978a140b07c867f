r"""One outer step of the augmented Lagrangian.

A loss is a sum of terms :math:`f(z - c) = \max_{l \le t \le h} t (z - c) - \phi(t)`; breakpoints
have :math:`\phi = 0`. With centres :math:`\theta` and a width :math:`\sigma`,

.. math:: e(z) = \max_{l \le t \le h} \; t (z - c) - \phi(t) - \tfrac{\sigma}{2} (t - \theta)^2

is smooth, with t as its derivative. A step minimises the penalised mean of e by semismooth Newton
steps and then takes the t of all terms as the next centres. ``_solvers/augmented_lagrangian.py`` has
the sources.

One Newton step reads the rows once, and a few of them twice. Raw predictions, slopes and the sum of
rows times them stay for the next step, where that starts at the same point. A Newton step forms slopes, curvatures and gaps of
a block of rows at a time, and adds the rows whose slope has changed to the gradient and those with
curvature to the matrix while they are in the cache. LAPACK solves for the direction; above a number
of columns conjugate gradients do, on the rows with curvature. One pass over all rows gives what the
direction moves raw predictions by. The line search then needs no rows. A multiple of the identity,
the ridge, keeps the matrix regular while few rows have curvature. It falls while whole steps succeed,
and where the decrement is small with it. The matrix is formed once for all ridges tried at a point.
The problem counts as solved where the gradient is so small that the duals bound the optimum.
"""

import numpy as np

from libc.stdint cimport uint32_t
from libcpp cimport bool as cbool

from scipy.linalg.cython_blas cimport dsyrk
from scipy.linalg.cython_lapack cimport dpotrf, dpotrs

from sklearn_lossopt._engine._custom cimport host
from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._plan cimport (
    CONJUGATE_ENTROPY,
    CONJUGATE_NONE,
    CONJUGATE_QUADRATIC,
    LagrangianProblem,
    Lapack,
    lagrangian_kept,
    lagrangian_room,
)
from sklearn_lossopt._engine._rows cimport Rows, address

cdef extern from "_blas.hpp" namespace "lossopt" nogil:
    void add_gram(...) noexcept
    cbool cholesky_factor(...) noexcept
    void cholesky_solution(...) noexcept


cdef void syrk(Py_ssize_t n, Py_ssize_t k, const double* A, double* C) noexcept nogil:
    add_gram(dsyrk, n, k, 1.0, A, C)


cdef cbool factorise(Py_ssize_t n, double* A) noexcept nogil:
    return cholesky_factor(dpotrf, n, A)


cdef void solve(Py_ssize_t n, const double* factor, double* b) noexcept nogil:
    cholesky_solution(dpotrs, n, factor, b)


lapack.syrk, lapack.factorise, lapack.solve = syrk, factorise, solve

CONJUGATES = {
    "none": CONJUGATE_NONE, "quadratic": CONJUGATE_QUADRATIC, "entropy": CONJUGATE_ENTROPY
}


cdef class Lagrangian:
    """The terms of one output, their dual variables, and outer steps.

    Rows are extended by a column of ``last`` and multiplied by ``scale``; coefficients belong to
    these. Unit rows, which predict one coefficient each, follow the n rows: their terms are those
    of an l1 penalty, breakpoints at 0.

    Parameters
    ----------
    rows : Rows
    last : float
    scale : ndarray of shape (d + 1,), float64
    null : ndarray of shape (q, d + 1) or None
        Directions that are taken out of the scaled rows.
    share : ndarray of shape (m,), float64
        Weights of the n rows and of the unit rows.
    pieces : tuple of ndarray of shape (k, m), float64
        c, low and high.
    conjugate : tuple of (str, float)
        What phi is for terms of the n rows: "none", "quadratic", as q t^2 / 2 with the number for
        q, or "entropy", that of log cosh.
    penalty : ndarray of shape (d + 1,), float64
        Second derivatives of the penalty.
    raw_scale : float
        A typical size of raw predictions.
    most_dense : int
        The most coefficients for which the curvature matrix is formed.

    Attributes
    ----------
    theta : ndarray of shape (k, m)
        The duals, in their bounds; in the middle of them at the beginning.
    on : ndarray of shape (k, m), bool
        Which duals the last step has left inside of their bounds.
    changed : bool
        Whether it has changed which.
    """

    cdef LagrangianProblem problem
    cdef Rows rows
    cdef readonly object theta, on
    cdef list keep

    def __init__(self, Rows rows, double last, scale, null, share, pieces, conjugate, penalty,
                 double raw_scale, Py_ssize_t most_dense):
        cdef LagrangianProblem* p = &self.problem
        self.rows, self.keep = rows, []
        p.rows, p.last, p.numbers = rows.used, last, rows.size
        p.size = rows.used.d + 1
        m = len(share)
        p.units = m - rows.used.n
        c, low, high = pieces
        p.pieces = len(c)
        kind, q = conjugate
        p.conjugate, p.q = CONJUGATES[kind], q
        size, shape = (p.size,), (p.pieces, m)
        p.share = self.doubles(share, (m,))
        p.c, p.low, p.high = (
            self.doubles(c, shape), self.doubles(low, shape), self.doubles(high, shape))
        p.scale, p.penalty = self.doubles(scale, size), self.doubles(penalty, size)
        if null is not None and len(null):
            p.n_null = len(null)
            p.null = self.doubles(null, (p.n_null, p.size))
        if not 0 <= p.units <= rows.used.d:
            raise ValueError("shapes do not agree")
        p.dense = p.size <= most_dense
        p.raw_scale = raw_scale
        p.ridge, p.least_ridge, p.accuracy = 1e-4, 1e-14, 0.05
        middle = 0.5 * (low + high)
        self.theta = np.where(np.isfinite(middle), middle, 0.0)
        self.on = np.zeros(shape, bool)
        p.theta = self.doubles(self.theta, shape)
        p.on = <cbool*> address(self.on, bool, self.keep)
        count = lagrangian_kept(p)
        p.kept = self.doubles(np.zeros(count), (count,))
        p.host, p.lapack = &host, &lapack

    cdef double* doubles(self, array, shape) except? NULL:
        if array.shape != shape:
            raise ValueError("shapes do not agree")
        return <double*> address(array, np.float64, self.keep)

    @property
    def changed(self):
        return self.problem.changed

    def step(self, start, double width, double rest, double tol, Py_ssize_t most):
        """Minimise the smooth problem from ``start``, then replace its duals.

        Parameters
        ----------
        start : ndarray of shape (d + 1,)
        width : float
        rest : float
            Of the gap, by how much the duals may miss the best lower bound.
        tol : float
            The gap that is wanted; a smaller one counts as this.
        most : int
            Newton steps, at most.

        Returns
        -------
        v : ndarray of shape (d + 1,)
        gap : float
            The duality gap, plus what the duals may miss; infinite where the steps were not enough.
        count : int
            Newton steps taken.
        """
        cdef LagrangianProblem* p = &self.problem
        v = np.array(start, dtype=np.float64)
        if v.shape != (p.size,):
            raise ValueError("shapes do not agree")
        cdef double[::1] v_view = v, room = np.empty(lagrangian_room(p))
        cdef uint32_t[::1] active = np.empty(1 if p.dense else p.rows.n + p.units, np.uint32)
        p.v, p.room, p.active = &v_view[0], &room[0], &active[0]
        p.width, p.rest, p.tolerance, p.most = width, rest, tol, most
        with nogil:
            level.lagrangian_step(p)
        return v, p.gap, p.count
