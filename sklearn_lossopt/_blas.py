"""BLAS held at one thread while fits run, in this process and after a fork."""

import os
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


def allowed_threads():
    """How many threads BLAS may take now; 1 where that is not known, and while a fit runs."""
    libraries = threadpool_controller().lib_controllers
    return max([1, *(each.num_threads for each in libraries if each.user_api == "blas")])


class _OneBlasThread:
    """Holds BLAS at one thread while any fit runs.

    OpenBLAS has one number of threads for the whole process. Of fits that overlap in several
    Python threads, the first to end would otherwise restore it for the others, whose results
    would then depend on it.

    A child process has only the thread that forked: fits of other threads do not go on in it. So
    the lock is free when a process forks, and the child counts the fits of that one thread.
    """

    def __init__(self):
        self._lock = Lock()
        self._fits = 0
        self._first = None
        self._mine = local()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._begin_child,
            )

    def __enter__(self):
        with self._lock:
            if self._fits == 0 and allowed_threads() == 1:
                # As the user, or a worker process, has it already: to change nothing takes a tenth
                # of a small fit.
                self._limits().append(None)
                return
            limit = threadpool_controller().limit(limits=1, user_api="blas")
            self._limits().append(limit)
            if self._fits == 0:
                self._first = limit
            self._fits += 1

    def __exit__(self, *error):
        with self._lock:
            limit = self._limits().pop()
            if limit is None:
                return
            self._fits -= 1
            if limit is not self._first:
                # Changes something only where the number belongs to the Python thread.
                limit.restore_original_limits()
            if self._fits == 0:
                self._restore()

    def _limits(self):
        """The limits of this thread's fits: a callback may fit another estimator inside a fit."""
        if not hasattr(self._mine, "limits"):
            self._mine.limits = []
        return self._mine.limits

    def _restore(self):
        _release()
        self._first.restore_original_limits()
        _release()

    def _begin_child(self):
        held = [limit for limit in self._limits() if limit is not None]
        fits, self._fits = self._fits, len(held)
        if fits and not self._fits:
            self._restore()
        self._lock.release()


ONE_BLAS_THREAD = _OneBlasThread()
