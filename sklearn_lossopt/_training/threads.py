"""Calls of the engine side by side, in threads: training does not hold Python's lock."""

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import numpy as np
from joblib import cpu_count

from sklearn_lossopt._blas import ONE_BLAS_THREAD, allowed_threads
from sklearn_lossopt._engine import StopFlag, look_for_stop

# Seconds between two looks at whether who waits is to stop.
LOOK = 0.1


def available_threads():
    """How many threads a fit may have: as many as BLAS, and no more than there are processors.

    ``OMP_NUM_THREADS``, ``threadpoolctl`` and the workers of joblib set the number. It is 1 inside
    another fit, and while one runs in another thread, such as those of a search.
    """
    return min(allowed_threads(), cpu_count())


def side_by_side(calls, n_threads):
    """The results of calls, made by so many threads.

    The first to raise, or an interrupt, ends the others where they train; it is raised then.
    """
    if n_threads == 1 or len(calls) == 1:
        return [call() for call in calls]
    flag = StopFlag()

    def heard(call):
        with flag.heard(), ONE_BLAS_THREAD, np.errstate(all="ignore"):
            return call()

    with ThreadPoolExecutor(min(n_threads, len(calls))) as pool:
        futures = [pool.submit(heard, call) for call in calls]
        try:
            while True:
                done, left = wait(futures, LOOK, FIRST_EXCEPTION)
                failed = [future for future in futures if future in done and future.exception()]
                if failed:
                    raise failed[0].exception()
                if not left:
                    return [future.result() for future in futures]
                look_for_stop()
        except BaseException:
            flag.set()
            raise
