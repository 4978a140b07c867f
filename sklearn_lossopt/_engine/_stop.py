"""What Ctrl-C is to the main thread: a flag that ends training in other threads.

Python handles signals in its main thread alone. Who trains in several threads has them hear a flag,
and sets it when there is no more use for what they train.
"""

from contextlib import contextmanager
from threading import local

_thread = local()


class Stopped(BaseException):
    """Training has ended because a StopFlag was set: no error of a fit, and so no Exception."""


class StopFlag:
    """A flag that the epochs of some threads look at, within long ones too.

    Attributes
    ----------
    is_set : bool
        Whether they are to end.
    """

    def __init__(self):
        self.is_set = False

    def set(self):
        """Have all training that hears the flag end, by ``Stopped``, as soon as it looks."""
        self.is_set = True

    @contextmanager
    def heard(self):
        """A context in which what this thread trains hears the flag."""
        before = getattr(_thread, "flag", None)
        _thread.flag = self
        try:
            look_for_stop()
            yield
        finally:
            _thread.flag = before


def look_for_stop():
    """Raise ``Stopped`` if the flag that this thread hears is set."""
    flag = getattr(_thread, "flag", None)
    if flag is not None and flag.is_set:
        raise Stopped
