"""Base classes of losses."""

import numpy as np

from sklearn_lossopt._component import Component
from sklearn_lossopt._engine import LOSS_KERNELS


class Loss(Component, family="loss"):
    """Base of all losses; subclass ``RegressionLoss`` or ``ClassificationLoss`` for your own.

    A registered loss has a compiled kernel of its own name. A user's loss overrides
    ``loss_gradient`` instead, in NumPy; the engine then calls it once a batch.
    """

    # Whether GradientRegressor / GradientClassifier accept the loss.
    regression = False
    classification = False
    # A smooth loss has a continuous derivative.
    smooth = True
    # With more than two classes: one softmax-like loss of all columns, or one-vs-rest columns.
    joint = False
    has_proba = False

    def _kernel(self, n_outputs):
        """The compiled kernel's name, or the Python method where the class overrides it."""
        if type(self).loss_gradient is not Loss.loss_gradient:
            return self.loss_gradient
        return self._compiled(n_outputs)

    def _compiled(self, n_outputs):
        return self.name

    def loss_gradient(self, y, raw):
        """Loss and derivative of each row.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
            Targets: numbers for a regression loss; -1 or +1 for a classification loss, or class
            indices 0 ... k - 1, shape (n,), if the loss is joint and ``raw`` has k columns.
        raw : ndarray of shape (n,) or (n, k)
            Raw predictions (the linear model's outputs).

        Returns
        -------
        value : ndarray of shape (n,)
            Loss of each row, summed over its columns.
        gradient : ndarray of raw's shape
            Derivative of the row's loss with respect to ``raw``.
        """
        raw = np.asarray(raw)
        if raw.dtype not in (np.float32, np.float64):
            raw = raw.astype(np.float64)
        kernel = LOSS_KERNELS[self._compiled(1 if raw.ndim == 1 else raw.shape[1])]
        return kernel(np.asarray(y), raw, np.array(self._kernel_row()))

    # What the default settings need to know of a loss. `unit` is a typical size of the target:
    # the robust scale of y in regression, 1 in classification.

    def _curvature_bound(self, unit, n_outputs=1):
        """An upper bound of the second derivative; for a loss without one, a typical size."""
        return 1.0

    def _value_unit(self, unit):
        """A typical size of the loss."""
        return 1.0

    def _curvature(self, y, raw):
        """Second derivative of each row's loss, in raw's shape; None where it is no guide."""
        return None

    def _curvature_product(self, y, raw, direction):
        """Derivative of the gradient along ``direction``, both in raw's shape (n, k)."""
        return self._curvature(y, raw) * direction

    def _constant(self, y, weight):
        """The raw prediction of the best constant model, one number for each column of y."""
        raise NotImplementedError


class RegressionLoss(Loss):
    """Base of losses whose target is a number."""

    regression = True

    def _constant(self, y, weight):
        return np.average(y, axis=0, weights=weight)


class ClassificationLoss(Loss):
    """Base of losses whose target is a class.

    Binary: y is -1 or +1. More classes: y is the class index and ``raw`` has one column a class;
    with the class attribute ``joint = False``, each column is instead a one-vs-rest problem with
    y = -1 or +1.
    """

    classification = True
    joint = True

    def _constant(self, y, weight):
        return np.zeros(y.shape[1])

    def _probabilities(self, raw):
        """Class probabilities (n, n_classes) from raw (n,) or (n, n_classes)."""
        raise NotImplementedError

    def _log_probabilities(self, raw):
        """Their logarithms."""
        return np.log(self._probabilities(raw))
