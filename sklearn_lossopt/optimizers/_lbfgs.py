"""Quasi-Newton methods."""

from collections.abc import Callable
from numbers import Integral

from scipy.optimize import minimize

from sklearn_lossopt._compat import Interval
from sklearn_lossopt._typing import Array
from sklearn_lossopt.optimizers._base import Optimizer

__all__ = ["LBFGS"]


class LBFGS(Optimizer, name="lbfgs"):
    r"""L-BFGS: a quasi-Newton method that learns the Hessian from its last steps; smooth losses.

    .. math::

        w \leftarrow w - \eta H \nabla F(w)

    where :math:`H` is the BFGS approximation of the inverse Hessian from the last ``memory`` pairs
    of steps and changes of the gradient. A line search, which first tries 1, finds :math:`\eta`.
    The method is SciPy's L-BFGS-B without bounds, on the objective of all rows, which the compiled
    engine evaluates. With ``precondition=False`` its iterates are those of
    ``scipy.optimize.minimize(method="L-BFGS-B", options={"maxcor": memory})`` from zero.

    ``n_iter_``, ``t_`` and ``max_iter`` count iterations. An iteration takes one pass over the
    data, or a few if the line search needs them. There is no learning rate, schedule or batch:
    ``learning_rate``, ``schedule`` and ``batch_size`` must be "auto". The loss must be smooth and
    ``l1_ratio`` 0. A warm start begins at the last weights with an empty memory.

    Once F falls by less than ``tol`` times F, the Newton decrement estimates the distance to the
    optimum, and iterations end if it is below ``tol`` times F. They also end if rounding hides any
    further progress. ``tol=0`` estimates nothing and makes up to ``max_iter`` iterations. With
    ``precondition`` "auto" or "whiten", up to five Newton steps then add the last digits; together
    they count as one iteration. They are also tried after 100 iterations, after 200 more and so
    on, mostly if ``precondition`` could not whiten. All other steps are those of L-BFGS.

    Nothing estimates the distance to an optimum of hidden layers: iterations end when
    ``n_iter_no_change`` of them have lowered F by less than ``tol`` times F. Long runs can overfit:
    a small ``max_iter``, or ``early_stopping``, is then better.

    Parameters
    ----------
    memory : int, default=10
        Number of pairs of steps and changes of the gradient that are kept, at least 1.

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

    def __init__(self, memory: int = 10) -> None:
        self.memory = memory

    def minimize(
        self,
        objective: Callable[[Array], tuple[float, Array]],
        start: Array,
        max_iter: int,
        after: Callable[[Array, float], object],
    ) -> None:
        """Minimise a function of a vector.

        Parameters
        ----------
        objective : callable
            Takes a vector, returns the value and the gradient.
        start : ndarray of shape (n_parameters,)
            The starting point.
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
