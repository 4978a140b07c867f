"""What the package raises, and how it warns."""

import sys
import warnings

# Packages whose lines a warning does not point at: this one, and those that call fit for a user.
INNER = {"sklearn_lossopt", "sklearn", "joblib"}


class DivergenceError(ValueError):
    """The objective grew or became infinite during training, and no model was fitted.

    The message names the epoch, the objective, the learning rate and the remedy.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_lossopt import DivergenceError, GradientRegressor
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> textbook = dict(precondition=False, learning_rate=0.1, schedule="constant")
    >>> try:
    ...     GradientRegressor(optimizer="sgd", **textbook).fit(X, y)
    ... except DivergenceError:
    ...     print("Scale the columns, or lower the learning rate.")
    Scale the columns, or lower the learning rate.
    """


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn of the line in the user's code that has led here.

    ``skip_file_prefixes`` of ``warnings.warn`` does the same from Python 3.12 on.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in INNER:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
