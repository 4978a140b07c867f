"""scikit-learn's conformance suite, all of it in one test: to collect its checks takes longer than
to run them."""

from unittest import SkipTest

from sklearn.utils.estimator_checks import estimator_checks_generator


def failed_checks(estimator, without=()):
    """What an estimator does not pass, with the errors by name; a check that is skipped is one."""
    found, count = {}, 0
    for each, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        count += 1
        if name in without:
            continue
        try:
            check(each)
        except (Exception, SkipTest) as error:
            found[name] = error
    assert count > 40
    return found
