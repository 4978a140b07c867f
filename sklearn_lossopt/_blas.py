"""BLAS held at one thread."""

from threading import Lock, local

from sklearn_lossopt._compat import release_blas, threadpool_controller


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
                release_blas()
                self._first.restore_original_limits()
                release_blas()


ONE_BLAS_THREAD = _OneBlasThread()
