"""scikit-learn's conformance suite, all of it in one test: to collect its checks takes longer than
to run them."""

from unittest import SkipTest

from sklearn.utils.estimator_checks import estimator_checks_generator


def failed_checks(estimator, only=None):
    """What an estimator does not pass of all checks, or of those of some names, with the errors by
    name; a check that is skipped is one."""
    found, count = {}, 0
    for each, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        if only is not None and name not in only:
            continue
        count += 1
        try:
            check(each)
        except (Exception, SkipTest) as error:
            found[name] = error
    assert count > (40 if only is None else len(only) / 2)
    return found
