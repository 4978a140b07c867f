"""A call that fails leaves the estimator as it was."""

from contextlib import contextmanager
from functools import wraps
from typing import cast

import numpy as np

from sklearn_lossopt._typing import Method


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


def all_or_nothing(method: Method) -> Method:
    """A method that leaves the estimator as it was when it fails.

    It says nothing of overflow on the way: what comes of it is refused, or a step is not taken.
    """

    @wraps(method)
    def guarded(self, *args, **kwargs):
        with restored(self), np.errstate(all="ignore"):
            return method(self, *args, **kwargs)

    return cast(Method, guarded)
