import os

import pytest

# Before scipy is imported: scikit-learn's array API checks would be skipped without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# No test opens a window.
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_modifyitems(items):
    """Mark as slow each case of a test whose every parameter's value an earlier case has.

    So the quick run has every value of every parameter, but few combinations.
    """
    seen = set()
    for item in items:
        values = set(values_of(item))
        if values and values <= seen:
            item.add_marker("slow")
        seen |= values


def values_of(item):
    """Yield the parameters of a case with their values, or what tells one value from others."""
    for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
        if not isinstance(value, dict):
            known = value if isinstance(value, str | float | bool) else id(value)
            yield item.path, item.originalname, name, known
            continue
        # A recorded case has a name of its own; what else it has is shared.
        for key, part in value.items():
            if key != "name" and isinstance(part, str | float | bool):
                yield item.path, item.originalname, key, part


@pytest.fixture
def closed_figures():
    """matplotlib's pyplot; figures of one test do not reach the next."""
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")
