"""Exceptions of the package."""


class DivergenceError(ValueError):
    """The objective grew or became infinite during training, and no model was fitted.

    The message names the epoch, the objective, the learning rate and the remedy.
    """
