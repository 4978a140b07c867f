"""BLAS held at one thread."""

from functools import cache
from threading import Lock, local

from threadpoolctl import ThreadpoolController

# Made by the first fit: looking for the libraries takes milliseconds.
threadpool_controller = cache(ThreadpoolController)


def _release():
    """Let any Python thread change the number of BLAS threads; threadpoolctl 3.8 lets only the
    one do it that did it first."""
    for library in threadpool_controller().lib_controllers:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


class _OneBlasThread:
    """Holds BLAS at one thread while any fit runs.

    OpenBLAS has one number of threads for the whole process. Of fits that overlap in several
    Python threads, the first to end would otherwise restore it for the others, whose results
    would then depend on it.
    """

    def __init__(self):
        self._lock = Lock()
        self._fits = 0
        self._mine = local()

    def __enter__(self):
        with self._lock:
            limit = self._mine.limit = threadpool_controller().limit(limits=1, user_api="blas")
            if self._fits == 0:
                self._first = limit
            self._fits += 1

    def __exit__(self, *error):
        with self._lock:
            self._fits -= 1
            if self._mine.limit is not self._first:
                # Changes something only where the number belongs to the Python thread.
                self._mine.limit.restore_original_limits()
            if self._fits == 0:
                _release()
                self._first.restore_original_limits()
                _release()


ONE_BLAS_THREAD = _OneBlasThread()
