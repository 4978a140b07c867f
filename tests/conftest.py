import os

import pytest

# Before scipy is imported: scikit-learn's array API checks would be skipped without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# No test opens a window.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def closed_figures():
    """matplotlib's pyplot; figures of one test do not reach the next."""
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")
