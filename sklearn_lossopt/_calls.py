"""What surrounds a call of fit: callbacks, and the old model should it fail. Floor 3."""

from contextlib import contextmanager
from functools import wraps


@contextmanager
def restored(estimator):
    """Leave the estimator as it was where something fails; validation alone would already have
    replaced ``n_features_in_`` and ``feature_names_in_``."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def all_or_nothing(method):
    """A method that leaves the estimator as it was when it fails."""

    @wraps(method)
    def guarded(self, *args, **kwargs):
        with restored(self):
            return method(self, *args, **kwargs)

    return guarded


class Tasks:
    """Tells callbacks of epochs, which are subtasks of the fit.

    Parameters
    ----------
    root : CallbackContext
        That of the fit.
    task : dict
        What callbacks are told of the data.
    attributes : callable
        Makes fitted attributes of an Outcome.
    """

    def __init__(self, root, task, attributes):
        self.root, self.task, self.attributes = root, task, attributes

    def begin(self, outcome):
        self.context = self.root.subcontext(task_name="epoch")
        self.context.call_on_fit_task_begin(**self._told(outcome))

    def end(self, outcome):
        """Returns whether a callback asks for the end of the fit."""
        return self.context.call_on_fit_task_end(**self._told(outcome))

    def _told(self, outcome):
        # A function, which is called only for a callback that wants the fitted estimator.
        return {**self.task, "reconstruction_attributes": lambda: self.attributes(outcome())}
