"""Exceptions of the package. Floor 0."""


class DivergenceError(ValueError):
    """Training diverged: the objective grew or stopped being finite, and no model was fitted.

    The message names the epoch, the objective, the learning rate and the remedy.
    """
