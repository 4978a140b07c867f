r"""Dual coordinate descent for losses whose conjugate is known.

A loss is a sum over pieces of :math:`\max_{l \le t \le h} t (z - c) - q t^2 / 2`. With shares s of
the rows, :math:`z_i = w x_i + b` and a penalty :math:`\lambda |w|^2 / 2`, F is the maximum over the
pieces' duals :math:`\theta` of

.. math:: \sum_i s_i \bigl(\theta_i (z_i - c_i) - q \theta_i^2 / 2\bigr)
    + \tfrac{\lambda}{2} |w|^2 ,

and its minimum over w is reached at :math:`w = -\sum_i s_i \theta_i x_i / \lambda`. The free
intercept asks for :math:`S = \sum_i s_i \theta_i = 0`. A proximal term
:math:`\rho (b - b_k)^2 / 2` turns that constraint into :math:`b = b_k - S / \rho`, and
:math:`b_k \leftarrow b_k - S / \rho` moves the proximal point (Rockafellar 1976). The dual is then
free but for its bounds. Along one :math:`\theta_i` it has the slope
:math:`s_i (z_i - c_i - q \theta_i)` and the curvature
:math:`s_i (q + s_i |x_i|^2 / \lambda + s_i / \rho)`, so that its maximum is at

.. math:: \theta_i \leftarrow \operatorname{clip}\Bigl(\theta_i
    + \frac{z_i - c_i - q \theta_i}{q + s_i (|x_i|^2 / \lambda + 1 / \rho)}, \; l_i, h_i\Bigr),

with w and b moving along. With q = 0:

- hinge, y = 1: c = 1, l = -1, h = 0; y = -1: c = -1, l = 0, h = 1. With
  :math:`a = s |\theta|` this is Hsieh and others' :math:`a \leftarrow \operatorname{clip}(a -
  (y z - 1) / (|x|^2 / \lambda), 0, s)`.
- absolute error: c = y, l = -1, h = 1.
- quantile q: c = y, l = -q, h = 1 - q.
- epsilon-insensitive: two pieces, c = y - epsilon with l = -1, h = 0, and c = y + epsilon with
  l = 0, h = 1.

A squared loss with slope 2 u beyond c has q = 1/2 and one infinite bound.

Rows come in a new random order in each sweep. A row whose duals lie at their bounds, with slopes
that push them outwards by more than the worst violation of the sweep before, rests until the next
call (Hsieh et al. 2008, section 3.2).

References
----------
Hsieh, C.-J., Chang, K.-W., Lin, C.-J., Keerthi, S. S. and Sundararajan, S. (2008). A dual
coordinate descent method for large-scale linear SVM. ICML 25.

Shalev-Shwartz, S. and Zhang, T. (2013). Stochastic dual coordinate ascent methods for regularized
loss minimization. Journal of Machine Learning Research 14, 567-599.

Rockafellar, R. T. (1976). Augmented Lagrangians and applications of the proximal point algorithm
in convex programming. Mathematics of Operations Research 1(2), 97-116.
"""

import numpy as np

from libc.stdint cimport uint32_t

from sklearn_lossopt._engine._kernels cimport level
from sklearn_lossopt._engine._plan cimport DualProblem
from sklearn_lossopt._engine._rows cimport Rows, address


cdef class DualDescent:
    """The dual variables of one output, the model that they stand for, and sweeps over them.

    Parameters
    ----------
    X : C-ordered ndarray of shape (n_rows, d), float32 or float64, or CSR
        Read as it lies.
    sample_indices : ndarray of uint32 or None
        The n rows used; None for all.
    shift : ndarray of shape (d,) or None
        What dense columns are less; None for sparse rows.
    share : ndarray of shape (n,), float64
        Weights of the rows used, of sum 1.
    pieces : tuple of ndarray of shape (m, n), float64
        c, low and high.
    curvature : float
        q in the formulas above; 0 for breakpoints.
    l2 : float
        Greater than 0.
    intercept : float or None
        Where b starts; None for no intercept.
    seed : int

    Attributes
    ----------
    theta : ndarray of shape (m, n)
    w : ndarray of shape (d,)
    b : float
    size : float
        Numbers in all rows used, the intercept's included: the work of one sweep.
    """

    cdef DualProblem problem
    cdef readonly object theta, w
    cdef Rows rows
    cdef list keep
    cdef object share, active

    def __init__(self, X, sample_indices, shift, share, pieces, double curvature, double l2,
                 intercept, seed):
        cdef DualProblem* p = &self.problem
        self.keep, self.rows = [], Rows(X, sample_indices, shift)
        p.rows = self.rows.used
        self.share = share
        p.share = self.doubles(share)
        c, low, high = pieces
        p.pieces = len(c)
        p.c, p.low, p.high = self.doubles(c), self.doubles(low), self.doubles(high)
        p.curvature, p.l2 = curvature, l2
        p.inverse_rho = 0.0 if intercept is None else 1 / l2
        p.b = 0.0 if intercept is None else intercept
        p.seed = seed
        self.theta, self.w = np.clip(0.0, low, high), np.zeros(p.rows.d)
        p.theta, p.w = self.doubles(self.theta), self.doubles(self.w)
        square, self.active = np.empty(p.rows.n), np.empty(p.rows.n, np.uint32)
        p.square = self.doubles(square)
        p.active = <uint32_t*> address(self.active, np.uint32, self.keep)
        with nogil:
            level.dual_squares(p, <double*> p.square)
        self.renew()

    cdef double* doubles(self, array) except? NULL:
        return <double*> address(array, np.float64, self.keep)

    @property
    def b(self):
        return self.problem.b

    @property
    def size(self):
        return self.rows.size

    def sweeps(self, double work):
        """Sweep until about ``work`` numbers of rows have been read, or the worst violation is a
        tenth of what it was; returns how many have been. All rows take part in the first
        sweep."""
        cdef DualProblem* p = &self.problem
        cdef double done
        self.active[...] = np.arange(p.rows.n, dtype=np.uint32)
        p.n_active, p.limit = p.rows.n, np.inf
        with nogil:
            done = level.dual_sweeps(p, work)
        return done

    def renew(self):
        """Form w and the duals' sum anew: sweeps add up their rounding."""
        cdef DualProblem* p = &self.problem
        a = self.share * self.theta.sum(axis=0)
        p.sum = a.sum()
        self.w[...] = self.pull(a)
        self.w /= -p.l2

    def predict(self):
        """Raw predictions (n,)."""
        z = np.empty(self.problem.rows.n)
        cdef double[::1] out = z
        with nogil:
            level.dual_predict(&self.problem, &out[0])
        return z

    def pull(self, a):
        """The sum (d,) of the rows times a (n,)."""
        found = np.zeros(self.problem.rows.d + 1)
        cdef double[::1] out = found
        cdef const double[::1] factors = a
        with nogil:
            level.dual_pull(&self.problem, &factors[0], &out[0])
        return found[:-1]
