"""GradientClassifier."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin

from sklearn_lossopt._compat import StrOptions, available_if, fit_context
from sklearn_lossopt._estimators.base import BaseGradientEstimator
from sklearn_lossopt._estimators.data import RowSet
from sklearn_lossopt._estimators.labels import (
    LabelEncoding,
    announced_classes,
    find_classes,
    resolve_class_weight,
)
from sklearn_lossopt._estimators.partial_fit import takes_chunks
from sklearn_lossopt._estimators.prediction import has_probabilities, top_classes
from sklearn_lossopt._estimators.rollback import all_or_nothing
from sklearn_lossopt._estimators.validation_data import GivenValidation
from sklearn_lossopt._typing import Array, Auto, FloatArray, MatrixLike, RandomState
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer
from sklearn_lossopt.schedules import Schedule

__all__ = ["GradientClassifier"]


class GradientClassifier(ClassifierMixin, BaseGradientEstimator):
    r"""A linear classifier or a network, with any loss, trained by any gradient method.

    Minimises over coefficients w and intercept b

    .. math::

        F(w, b) = \frac{\sum_i s_i \, \ell(y_i, x_i \cdot w + b)}{\sum_i s_i}
            + \alpha \left( \frac{1 - \rho}{2} \|w\|_2^2 + \rho \|w\|_1 \right)

    with s the sample weight times the class weight. It is the objective of ``SGDClassifier``; with
    ``loss="log_loss"`` that of ``LogisticRegression`` with C = 1 / (n alpha). With more than two
    classes, "log_loss" is the softmax cross-entropy of all classes, and a margin loss such as
    "hinge" is the sum of one-vs-rest problems. Either way, one pass over the data trains all
    columns.

    With ``hidden_layer_sizes`` the model is a multilayer perceptron: raw predictions are not
    :math:`x \cdot w + b` but :math:`W_L a_{L-1} + b_L`, with :math:`a_l = f(W_l a_{l-1} + b_l)` for
    an activation f and :math:`a_0 = x`.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        A name or an object of ``sklearn_lossopt.losses``: "log_loss" ("cross_entropy",
        "binary_cross_entropy", "categorical_cross_entropy"), "hinge", "squared_hinge",
        "modified_huber", "perceptron", "exponential", and on y = +-1 "squared_error" ("mse",
        "mean_squared_error") and "huber"; or an object.
    optimizer : str or Optimizer, default="adam"
        A name or an object of ``sklearn_lossopt.optimizers``: "gradient_descent" ("gd"), "sgd",
        "momentum", "nesterov", "rmsprop", "adam", "amsgrad", "adamw", "nadam", "radam",
        "adamax", "adagrad", "adadelta", "lion", "averaged" ("asgd"), "schedule_free_sgd"
        ("schedule_free"), "schedule_free_adamw" and, for smooth losses, "lbfgs"; or an object such
        as ``Adam(beta_1=0.8)``.
    hidden_layer_sizes : int or sequence of int, default=()
        Number of units in each hidden layer; () is a linear model. A network's penalty is on the
        weights of all layers. Unless ``precondition=False``, it is in the units of training:
        standardised features, and the loss divided by its typical size.
    activation : str, default="relu"
        The function of the hidden units: "relu", "leaky_relu", "gelu", "silu", "tanh", "logistic",
        "identity". Initial weights follow He et al. (2015) for the first four, and Glorot and
        Bengio (2010) for the others.
    dropout : float or "auto", default="auto"
        Share of hidden units, in [0, 1), that each update leaves out at random; the others are
        scaled up to make up for it. "auto" is 0.25 if all hidden layers have 32 units or more, but
        0 for full batches and with ``precondition=False``.
    weight_decay : float or "auto", default="auto"
        What shrinks a network's weights besides the penalty, at least 0: before each update
        they are multiplied by 1 minus ``weight_decay`` times its step size, in the units that
        networks are trained in (Loshchilov and Hutter 2019). "auto" is 2 for one hidden layer,
        6 for two and 54 / L^2 for L > 2, divided by the step size and the number of updates
        that ``schedule="auto"`` makes: 0.2 for "adam", one layer and up to 4096 rows. With one
        layer it grows with the columns of levels and bins per row. It is 0 where dropout is by
        default, for optimizers with a decay of their own, with means of iterates or a line search,
        and in ``partial_fit``.
    alpha : float, default=1e-4
        Strength of the penalty, at least 0. For linear models it is in the coordinates of X,
        whatever ``precondition`` is.
    l1_ratio : float, default=0.0
        Share :math:`\rho` of the penalty's strength that is an L1 norm, in [0, 1]. Above 0, steps
        are proximal, coefficients become exactly zero, and preconditioning only scales.
    fit_intercept : bool, default=True
        Whether to fit an intercept; it is not penalised.
    learning_rate : float or "auto", default="auto"
        Step size, greater than 0. "auto" takes it from the curvature of the loss and the data, see
        ``learning_rate_``. With ``precondition`` on, a number is in preconditioned units, in which
        the curvature of the objective is about 1; with ``precondition=False`` it is in the units of
        X and y. With hidden layers, "auto" depends only on the optimizer: 0.003 for "adam".
    schedule : str or Schedule, default="auto"
        How the step size changes. "auto" follows the objective after each epoch. "constant",
        "invscaling", "exponential", "cosine", "one_cycle", "plateau", "warm_up", or an object of
        ``sklearn_lossopt.schedules``, multiply it by a factor that follows a rule. With hidden
        layers, "auto" is half a cosine over 2000 updates or 100 epochs, whichever is more, but at
        most 1000 epochs; with three hidden layers or more, over half of that. It never exceeds
        ``max_iter``. All of these epochs run. With momentum, one epoch of warm-up comes first.
    batch_size : int or "auto", default="auto"
        Rows per update. "auto" is a sixteenth of the rows, at least 64 and at most 256, and grows
        when the objective stops falling if the schedule is "auto" too; in ``partial_fit`` it is 64.
        With hidden layers it is a 32nd of the rows, at least 16 and at most 128; with 64 rows or
        fewer it is all of them. Cannot be set with "gradient_descent" and "lbfgs", which use all
        rows.
    max_iter : int, default=1000
        The greatest number of epochs (passes over the data).
    tol : float, default=1e-6
        Training ends when the estimated distance of the objective to its optimum is below ``tol``
        times the objective. With 0, exactly ``max_iter`` epochs run.
    n_iter_no_change : int, default=5
        Training ends after so many epochs without an improvement. With ``early_stopping``, an
        improvement is one of the validation loss or score by ``tol`` times its best value. Without,
        it is one of the objective by ``tol`` times its value, under a schedule other than "auto" or
        with "lbfgs" and hidden layers.
    early_stopping : bool, default=False
        Whether validation ends training. The model is then that of the best epoch. Validation uses
        the data passed to ``fit`` or, if there are none, rows set aside; also with ``tol=0``.
    validation_fraction : float, default=0.1
        Share of the rows, by their weight and of each class alike, that ``early_stopping`` sets
        aside, in (0, 1). Equal rows stay together, unless there are more than ten of each.
    scoring : "loss", str, callable or None, default="loss"
        What validation measures. "loss" is the mean loss with weights as in F. A str names a scorer
        of scikit-learn, a callable has the signature ``scorer(estimator, X, y)``, and None is the
        method ``score``.
    precondition : {"auto", "whiten", "scale"} or False, default="auto"
        Change of variables in which the optimizer works. "whiten" decorrelates the features in the
        metric of the curvature, "scale" scales each one, False leaves them alone (textbook iterates
        from zero); "auto" whitens dense X with fewer features than 800 and than 16 times the batch
        size. The minimiser is the same. With hidden layers, "auto" and "scale" standardise the
        features (sparse ones are only scaled) and divide y by its typical size; ``coefs_`` and
        ``intercepts_`` still apply to X and y as they are.
    shuffle : bool, default=True
        Whether each epoch visits the rows in a new order.
    n_members : int, default=1
        How many models to fit, at least 1, whose raw predictions are averaged. Each has a seed of
        its own: for its start, its order of the rows and, with ``early_stopping``, the rows set
        aside. The first is the model that 1 gives. See Notes.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with the sample weights; "balanced" makes them
        inversely proportional to the classes' (weighted) frequencies.
    warm_start : bool, default=False
        Whether ``fit`` continues from the coefficients of the last fit. Under a fixed schedule it
        also continues the optimizer's state, unless data or settings changed its coordinates: k
        epochs and k more are then 2k epochs.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of the rows; an int makes fits reproducible bit for bit. It is the seed of
        the first member, from which those of the others are drawn.
    verbose : int, default=0
        1 prints a line after each epoch and, during a long one, every five seconds; 2 adds the
        batch size and the seconds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients, in the units of X; one row for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts; zeros without one.
    coefs_ : list of ndarray of shape (n_in, n_out)
        With hidden layers, instead of ``coef_``: each layer's weights, for X as it is.
    intercepts_ : list of ndarray of shape (n_out,)
        With hidden layers, instead of ``intercept_``. In these two, arrays of several members have
        an axis of members in front.
    estimators_ : list of GradientClassifier
        Only with ``n_members`` above 1: the fitted members, each with ``n_members=1`` and its seed
        as ``random_state``.
    n_layers_, n_outputs_ : int
        With hidden layers: their number plus 2, and the number of outputs.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had string names.
    n_iter_ : int
        Epochs run, and calls of ``partial_fit`` since.
    t_ : int
        Updates made, including those of the calls that this one continued.
    loss_curve_ : ndarray of shape (n_iter_,)
        F at the end of each epoch; with ``tol=0`` and a fixed schedule, its running mean over the
        epoch's batches, as for a chunk of ``partial_fit``.
    validation_curve_ : ndarray of shape (n_iter_,)
        Only with validation data: after each epoch, the mean loss of its rows, or the score if
        ``scoring`` is not "loss".
    best_iter_ : int
        Only with validation data: the epoch, counted from 1, at which the validation curve is
        best. With ``early_stopping``, the model is that of this epoch; of several members, each is
        that of its own.
    learning_rate_ : float
        The learning rate in use: the number that "auto" became.
    converged_ : bool
        Whether the estimated distance of F to its optimum is below ``tol`` times F.
    delta_ : float or ndarray of shape (n_outputs,)
        Only with ``loss="huber"``: where the loss turns linear.

    See Also
    --------
    GradientRegressor : The same for numbers.
    sklearn.linear_model.LogisticRegression : Second-order solvers for the log loss.

    Notes
    -----
    *Members.* Member i is, bit for bit, what ``clone(model.estimators_[i]).fit(X, y)`` gives. What
    is predicted follows from the mean of raw predictions, probabilities too: they are not the mean
    of the members'. ``coef_`` and ``intercept_`` are the means of the members'.
    ``n_iter_`` and ``t_`` are the largest of the members', ``loss_curve_`` and
    ``validation_curve_`` the means of theirs, where one that has ended stays at its last value,
    ``learning_rate_`` and ``delta_`` the medians; ``converged_`` says whether all have converged.
    Linear members that have are the same up to the tolerance, unless ``early_stopping`` gives each
    other rows. ``partial_fit`` and warm starts go on from ``estimators_``; a warm start with more
    of them fits the new ones from the start.

    References
    ----------
    Bottou, L., Curtis, F. E. and Nocedal, J. (2018). Optimization methods for large-scale machine
    learning. SIAM Review 60(2), 223-311.

    Glorot, X. and Bengio, Y. (2010). Understanding the difficulty of training deep feedforward
    neural networks. AISTATS.

    Hansen, L. K. and Salamon, P. (1990). Neural network ensembles. IEEE Transactions on Pattern
    Analysis and Machine Intelligence 12(10), 993-1001.

    He, K., Zhang, X., Ren, S. and Sun, J. (2015). Delving deep into rectifiers. ICCV.

    Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR.

    Srivastava, N. et al. (2014). Dropout: a simple way to prevent neural networks from overfitting.
    Journal of Machine Learning Research 15, 1929-1958.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_lossopt import GradientClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = GradientClassifier(loss="log_loss", optimizer="adam", random_state=0).fit(X, y)
    >>> print(model.score(X, y) > 0.95)
    True
    """

    _task = "classification"
    _other = "GradientRegressor"
    _target_checks: dict = {}
    classes_: Array
    _parameter_constraints: dict = {
        **BaseGradientEstimator._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self, loss: str | Loss = "log_loss", optimizer: str | Optimizer = "adam", *,
        hidden_layer_sizes: int | Sequence[int] = (), activation: str = "relu",
        dropout: float | Auto = "auto", weight_decay: float | Auto = "auto", alpha: float = 1e-4,
        l1_ratio: float = 0.0, fit_intercept: bool = True, learning_rate: float | Auto = "auto",
        schedule: str | Schedule = "auto", batch_size: int | Auto = "auto", max_iter: int = 1000,
        tol: float = 1e-6, n_iter_no_change: int = 5, early_stopping: bool = False,
        validation_fraction: float = 0.1, scoring: str | Callable[..., Any] | None = "loss",
        precondition: Literal["auto", "whiten", "scale", False] = "auto", shuffle: bool = True,
        n_members: int = 1, class_weight: dict[Any, Any] | Literal["balanced"] | None = None,
        warm_start: bool = False, random_state: RandomState = None, verbose: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(
            loss, optimizer, hidden_layer_sizes=hidden_layer_sizes, activation=activation,
            dropout=dropout, weight_decay=weight_decay, alpha=alpha, l1_ratio=l1_ratio,
            fit_intercept=fit_intercept, learning_rate=learning_rate, schedule=schedule,
            batch_size=batch_size, max_iter=max_iter, tol=tol, n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping, validation_fraction=validation_fraction,
            scoring=scoring, precondition=precondition, shuffle=shuffle, n_members=n_members,
            warm_start=warm_start, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *,
        X_val: MatrixLike | None = None, y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; float32 is kept, everything else becomes float64. Of sparse formats,
            CSR is used as it is; others are converted to it.
        y : array-like of shape (n_samples,)
            Labels, numbers or strings, of at least two classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, at least 0; rows of weight 0 are left out.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Validation data, which ``validation_curve_`` is measured on. A ``Pipeline`` transforms
            it like X with ``transform_input=["X_val"]``.
        y_val : array-like of shape (n_validation,), default=None
            Its labels, all of which y has.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Its weights.

        Returns
        -------
        self : GradientClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are invalid; nothing is changed then.
        DivergenceError
            If training diverges; nothing is changed then.
        """
        return self._fit(X, y, sample_weight, GivenValidation(X_val, y_val, sample_weight_val))

    def _encode(self, X, y, weight, sample_indices, loss, cache, classes=None):
        if classes is None:
            parts = y, sample_indices
            classes = cache("labels", parts, lambda: find_classes(y, sample_indices))
            encoding = LabelEncoding(classes, X.dtype, loss.joint)
            target, codes = cache("codes", (y, classes), lambda: encoding.encode(y))
        else:
            encoding = LabelEncoding(classes, X.dtype, loss.joint)
            target, codes = encoding.encode_announced(y, sample_indices)
        return RowSet(X, y, target, codes, weight, sample_indices), encoding

    def _class_weights(self, rows, encoding, cache):
        classes, given = encoding.classes, self.class_weight
        parts = given, classes, rows.codes, rows.weight, rows.sample_indices
        return cache("class weights", parts, lambda: resolve_class_weight(given, rows, classes))

    @available_if(takes_chunks)
    @all_or_nothing
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on one more chunk of a stream: one pass over its rows, in their order.

        The optimizer's memory, the schedule and the statistics behind the preconditioning go on
        from the last call, or from ``fit``. With ``precondition=False``, a number for
        ``learning_rate`` and ``schedule="constant"``, chunks whose lengths are multiples of
        ``batch_size`` are trained on as if they were one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The chunk; later ones are converted to the first one's float type.
        y : array-like of shape (n_samples,)
            Labels, some of ``classes``.
        classes : array-like of shape (n_classes,), default=None
            All labels that may come in any call; needed in the first one.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, at least 0. They count relative to the mean weight, with class
            weights, of all rows so far. Rows of weight 0 are left out, and a chunk of such rows
            changes nothing.

        Returns
        -------
        self : GradientClassifier
            The estimator, trained further.

        Raises
        ------
        ValueError
            If a parameter or the data are invalid; nothing is changed then.
        DivergenceError
            If training diverges; nothing is changed then.
        """
        classes = announced_classes(getattr(self, "classes_", None), classes)
        return self._partial_fit(X, y, sample_weight, classes)

    def decision_function(self, X: MatrixLike) -> FloatArray:
        """Raw predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, positive where ``classes_[1]`` is predicted.
        """
        raw = self._raw_predict(X)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, X: MatrixLike) -> Array:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The label with the highest score.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(np.intp)]
        return self.classes_[top_classes(scores)]

    @available_if(has_probabilities)
    def predict_proba(self, X: MatrixLike) -> FloatArray:
        """Probabilities of the classes; only for losses that define them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; rows sum to 1.
        """
        scores = self.decision_function(X)
        return self._loss._probabilities(scores)

    @available_if(has_probabilities)
    def predict_log_proba(self, X: MatrixLike) -> FloatArray:
        """Logarithms of the probabilities, exact where these round to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        scores = self.decision_function(X)
        return self._loss._log_probabilities(scores)
