"""Fits in forked processes, in several threads, and fits that are interrupted."""

import os
import subprocess
import sys
import textwrap

import pytest


def run(program, *, timeout=60):
    """What a program prints in a process of its own, in which it cannot hang the tests."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=timeout, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_forked_while_threads_fit_can_fit():
    hung = run("""
        import faulthandler, os, threading
        import numpy as np
        from sklearn_lossopt import GradientRegressor

        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 12))
        y = X @ rng.normal(size=12) + rng.normal(size=600)

        def fit():
            GradientRegressor(random_state=0, max_iter=60).fit(X, y)

        stop = threading.Event()

        def spin():
            while not stop.is_set():
                fit()

        threads = [threading.Thread(target=spin) for _ in range(3)]
        for thread in threads:
            thread.start()
        hung = 0
        for _ in range(12):
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(20, exit=True)
                fit()
                os._exit(0)
            hung += os.waitpid(pid, 0)[1] != 0
        stop.set()
        for thread in threads:
            thread.join()
        print(hung)
    """)
    assert hung == ["0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_blas_threads_are_the_users_after_fits_nested_fits_and_forks():
    found = run("""
        import os
        from threadpoolctl import threadpool_info, threadpool_limits
        from sklearn_lossopt._blas import ONE_BLAS_THREAD

        def threads():
            return max(each["num_threads"] for each in threadpool_info()
                       if each["user_api"] == "blas")

        import numpy, scipy.linalg
        threadpool_limits(2, "blas")
        found = [threads()]
        with ONE_BLAS_THREAD:
            found.append(threads())
            with ONE_BLAS_THREAD:
                found.append(threads())
            found.append(threads())
            pid = os.fork()
        found.append(threads())
        if pid == 0:
            os._exit(0 if found[-1] == 2 else 1)
        print(*found, os.waitpid(pid, 0)[1])
    """)
    assert found == ["2", "1", "1", "1", "2", "0"]


FITS = {
    "auto": {"tol": 0, "max_iter": 10**6},
    # Ten thousands of epochs in one call of the engine.
    "one call": {
        "optimizer": "sgd", "learning_rate": 1e-9, "schedule": "constant", "tol": 0,
        "max_iter": 10**6, "batch_size": 1,
    },
    "network": {"hidden_layer_sizes": (64,), "schedule": "constant", "tol": 0, "max_iter": 10**6},
    "lbfgs": {"hidden_layer_sizes": (64,), "optimizer": "lbfgs", "tol": 0, "max_iter": 10**6},
}  # fmt: skip


@pytest.mark.parametrize("search, settings, end", [
    ("GradientSearchCV", "auto", "interrupt"), ("GradientHalvingSearchCV", "one call", "error"),
    ("GradientSearchCV", "one call", "interrupt"), ("GradientSearchCV", "network", "error"),
    ("GradientHalvingSearchCV", "lbfgs", "interrupt"),
])  # fmt: skip
def test_threads_of_a_search_end_with_it(search, settings, end):
    """By Ctrl-C, and by the error of one fold while another trains."""
    found = run(f"""
        import signal, threading, time
        import numpy as np
        from sklearn_lossopt import GradientHalvingSearchCV, GradientRegressor, GradientSearchCV

        rng = np.random.default_rng(0)
        X = rng.normal(size=(3000, 20))
        y = X @ rng.normal(size=20) + rng.normal(size=3000)
        first, second = np.arange(1500), np.arange(1500, 3000)
        model = GradientRegressor(random_state=0, **{FITS[settings]!r})
        search = {search}(
            model, {{"alpha": [1e-4, 1e-2]}}, cv=[(first, second), (second, first)], n_jobs=2,
            error_score="raise",
        )
        if {end!r} == "error":
            y[second[7]] = np.nan
        else:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            threading.Timer(1.0, signal.raise_signal, [signal.SIGINT]).start()
        try:
            search.fit(X, y)
        except (KeyboardInterrupt, ValueError) as error:
            print(type(error).__name__)
        end = time.monotonic() + 20
        while threading.active_count() > 1 and time.monotonic() < end:
            time.sleep(0.01)
        print(end - time.monotonic() > 18)
    """)
    assert found == [{"interrupt": "KeyboardInterrupt", "error": "ValueError"}[end], "True"]


def test_threads_of_members_end_with_an_interrupt():
    found = run(f"""
        import signal, threading, time
        import numpy as np
        from sklearn_lossopt import GradientRegressor
        from sklearn_lossopt._training import bank

        rng = np.random.default_rng(0)
        X = rng.normal(size=(3000, 20))
        y = X @ rng.normal(size=20) + rng.normal(size=3000)
        bank.available_threads = lambda: 2
        model = GradientRegressor(n_members=3, random_state=0, **{FITS["network"]!r})
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Timer(1.0, signal.raise_signal, [signal.SIGINT]).start()
        try:
            model.fit(X, y)
        except KeyboardInterrupt as error:
            print(type(error).__name__, threading.active_count(), hasattr(model, "coefs_"))
    """)
    assert found == ["KeyboardInterrupt", "1", "False"]
