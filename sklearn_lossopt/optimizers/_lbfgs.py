"""Quasi-Newton methods."""

from numbers import Integral

from scipy.optimize import minimize

from sklearn_lossopt._compat import Interval
from sklearn_lossopt.optimizers._base import Optimizer

__all__ = ["LBFGS"]


class LBFGS(Optimizer, name="lbfgs"):
    r"""L-BFGS: Newton's method with a curvature learnt from the last few steps, for smooth losses.

    .. math::

        w \leftarrow w - \eta H \nabla F(w)

    where :math:`H` is the BFGS approximation of the inverse Hessian that the last ``memory`` pairs
    of steps and changes of the gradient define, and :math:`\eta` is found by a line search, which
    first tries 1. It is SciPy's L-BFGS-B without bounds, on the objective of all rows as the
    compiled engine evaluates it. With ``precondition=False`` its iterates are those of
    ``scipy.optimize.minimize(method="L-BFGS-B", options={"maxcor": memory})`` from zero.

    An epoch is an iteration; ``n_iter_``, ``t_`` and ``max_iter`` count iterations, each of which
    takes one pass over the data or, where the line search goes on, a few. There is no learning
    rate, schedule or batch: ``learning_rate``, ``schedule`` and ``batch_size`` must be "auto". The
    loss must be smooth and ``l1_ratio`` 0. A warm start begins at the last weights with an empty
    memory.

    Iterations end where Newton's decrement, measured once F falls by less than ``tol`` times F,
    puts the distance to the optimum below that; and, whatever ``tol`` is, where rounding hides any
    further progress. ``tol=0`` leaves it at that: up to ``max_iter`` iterations, nothing is
    estimated. With ``precondition`` "auto" or "whiten", up to five of the Newton steps that such
    estimates are made from then add the last digits. They are also tried after 100 iterations,
    200 more and so on, should the end take that long: mostly where ``precondition`` could not
    whiten. Together they count as an iteration. All other steps are L-BFGS's own.

    Parameters
    ----------
    memory : int, default=10
        Pairs of steps and changes of the gradient that are kept, at least 1.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientClassifier(optimizer="lbfgs").fit(X, y)
    >>> print(model.converged_, model.score(X, y) > 0.95)
    True True

    References
    ----------
    Liu, D. C. and Nocedal, J. (1989). On the limited memory BFGS method for large scale
    optimization. Mathematical Programming 45, 503-528.

    Zhu, C., Byrd, R. H., Lu, P. and Nocedal, J. (1997). Algorithm 778: L-BFGS-B, Fortran
    subroutines for large-scale bound-constrained optimization. ACM Transactions on Mathematical
    Software 23(4), 550-560.
    """

    _parameter_constraints = {"memory": [Interval(Integral, 1, None, closed="left")]}
    full_batch = True
    needs_smooth = True

    def __init__(self, memory=10):
        self.memory = memory

    def minimize(self, objective, start, max_iter, after):
        """Minimise a function of a vector.

        Parameters
        ----------
        objective : callable
            Takes a vector, returns the value and the gradient.
        start : ndarray of shape (n_parameters,)
            Where to begin.
        max_iter : int
            The greatest number of iterations.
        after : callable
            Called with the vector and its value after every iteration; a true result ends the
            run.
        """

        def callback(intermediate_result):
            if after(intermediate_result.x, float(intermediate_result.fun)):
                raise StopIteration

        minimize(
            objective, start, jac=True, method="L-BFGS-B", callback=callback,
            options={
                "maxcor": self.memory, "maxiter": max_iter, "maxfun": 1000 * max_iter,
                "ftol": 0.0, "gtol": 0.0,
            },
        )  # fmt: skip
