"""The estimators on Dask: a cluster of two processes, threads, and what they give back."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from catalogue import make_data
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_lossopt import GradientClassifier
from sklearn_lossopt._partitions import fitting
from sklearn_lossopt._partitions.protocol import ListPartitions
from sklearn_lossopt._partitions.rows import Block

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")
distributed = pytest.importorskip("distributed")
from sklearn_lossopt.dask import DaskGradientClassifier, DaskGradientRegressor  # noqa: E402
from sklearn_lossopt.dask._engine import DaskPartitions  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


# Processes of their own come first: the cluster is not up yet, and takes no time from them.

OUT_OF_CORE = """
    import resource
    import numpy as np
    import dask, dask.array as da
    from sklearn_lossopt._partitions import fitting
    from sklearn_lossopt.dask import DaskGradientClassifier

    fitting.fit_blocks.__defaults__ = None, 200_000
    size, count, columns = 20_000, 32, 10

    def rows(block_info=None):
        start = block_info[None]["array-location"][0][0]
        return np.random.default_rng(start).random((size, columns))

    def labels(X):
        noise = np.random.default_rng(0).logistic(size=len(X))
        return (X @ np.linspace(-3, 3, columns) + noise > 0).astype(int)

    X = da.map_blocks(rows, chunks=((size,) * count, (columns,)), dtype=float)
    y = X.map_blocks(labels, drop_axis=1, dtype=int)
    with dask.config.set(scheduler="threads", num_workers=1):
        # What is imported and allocated once.
        DaskGradientClassifier(random_state=0).fit(X[: 2 * size], y[: 2 * size])
        status = dict(line.split(":") for line in open("/proc/self/status"))
        limit = int(status["VmData"].split()[0]) * 1024 + X.nbytes // 4
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        model = DaskGradientClassifier(random_state=0).fit(X, y)
        try:
            X.compute()
        except MemoryError:
            print(model.converged_)
"""


def run(code):
    """What a process of its own prints."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_array_of_four_times_the_memory_is_fitted_on_threads():
    assert run(OUT_OF_CORE) == "True"


WITHOUT_DASK = """
    import sys, sklearn_lossopt
    assert "dask" not in sys.modules
    sys.modules["dask"] = None
    try:
        import sklearn_lossopt.dask
    except ImportError as error:
        print(error)
"""


def test_without_dask_the_error_names_the_extra():
    assert "pip install 'sklearn-lossopt[dask]'" in run(WITHOUT_DASK)


@pytest.fixture(scope="module")
def cluster():
    """A client of two worker processes; not the scheduler in force unless a test says so."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as found,
        distributed.Client(found, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def small_sample(monkeypatch):
    """Samples of 400 rows of 4 columns, so that small data need passes over all rows."""
    monkeypatch.setattr(fitting.fit_blocks, "__defaults__", (None, 2000))


def parted(X, y, rows=500, columns=-1):
    """Arrays of Dask."""
    return da.from_array(X, chunks=(rows, columns)), da.from_array(y, chunks=rows)


def listed(X, y, rows=500):
    """The same partitions in this process."""
    starts = range(0, len(y), rows)
    blocks = [Block(i, X[s : s + rows], y[s : s + rows]) for i, s in enumerate(starts)]
    return ListPartitions.of(blocks)


def same_bits(a, b):
    return (
        np.array_equal(a.coef_, b.coef_)
        and np.array_equal(a.intercept_, b.intercept_)
        and np.array_equal(a.loss_curve_, b.loss_curve_)
    )


def test_all_schedulers_give_the_same_bits(cluster, small_sample):
    # Its duals stay with the workers; the next test has a smooth loss.
    X, y, loss = *make_data("classification", n=1900), "hinge"
    data = parted(X, y)
    in_process = fitting.fit_blocks(GradientClassifier(loss, random_state=0), listed(X, y))
    threads = DaskGradientClassifier(loss, random_state=0).fit(*data)
    with cluster.as_current():
        workers = DaskGradientClassifier(loss, random_state=0).fit(*data)
    assert workers.converged_ and same_bits(workers, threads) and same_bits(workers, in_process)
    plain = GradientClassifier(loss, random_state=0).fit(X, y)
    assert workers.loss_curve_[-1] == pytest.approx(plain.loss_curve_[-1], rel=1e-6)


def test_blocks_that_workers_hold_are_taken_as_they_are(cluster, small_sample):
    X, y = make_data("classification", n=1900)
    lazy = parted(X, y)
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abcd")), npartitions=4)
    expected = DaskGradientClassifier(random_state=0).fit(*lazy)
    with cluster.as_current():
        held = cluster.persist(list(lazy))
        weight = da.ones(1900, chunks=500).persist()
        for data in (held, [held[0], lazy[1]], [*held, weight]):
            model = DaskGradientClassifier(random_state=0).fit(*data)
            np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-12)
        assert model.score(*held) == expected.to_local().score(X, y)
        futures = [cluster.submit(np.copy, X[s : s + 500]) for s in range(0, 1900, 500)]
        blocks = [da.from_delayed(f, (len(f.result()), 4), float) for f in futures]
        model = DaskGradientClassifier(random_state=0).fit(da.concatenate(blocks), held[1])
        assert same_bits(model, expected)
        frame, labels = frame.persist(), dd.from_pandas(pd.Series(y), npartitions=4).persist()
        assert DaskGradientClassifier(random_state=0).fit(frame, labels).converged_


def test_networks_have_the_same_bits_on_workers_and_in_this_process(cluster, small_sample):
    X, y = make_data("classification", n=1900)
    X, y, rest = X[:1600], y[:1600], (X[1600:], y[1600:])
    parameters = {"hidden_layer_sizes": 8, "max_iter": 2, "random_state": 0}
    expected = GradientClassifier(**parameters)
    fitting.fit_blocks(expected, listed(X, y, rows=90), listed(*rest))
    model, rest = DaskGradientClassifier(**parameters), parted(*rest)
    with cluster.as_current():
        model.fit(*parted(X, y, rows=90), X_val=rest[0], y_val=rest[1])
    assert all(map(np.array_equal, model.coefs_, expected.coefs_)) and model.n_iter_ == 2
    assert np.array_equal(model.validation_curve_, expected.validation_curve_)


def test_a_killed_worker_costs_no_bit(cluster, small_sample, monkeypatch):
    X, y = make_data("regression", n=1900)
    data, killed = parted(X, y), []
    expected = DaskGradientRegressor("huber", random_state=0).fit(*data)
    add_up = DaskPartitions.sum

    def kill_first(self, *args):
        if not killed:
            killed.append(next(iter(cluster.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)
        return add_up(self, *args)

    monkeypatch.setattr(DaskPartitions, "sum", kill_first)
    with cluster.as_current():
        found = DaskGradientRegressor("huber", random_state=0).fit(*data)
    assert killed and found.converged_ and same_bits(found, expected)


def test_frames_keep_their_names(small_sample):
    X, y = make_data("classification", n=2000)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=np.array(["no", "yes"])[y])
    data = dd.from_pandas(frame, npartitions=3)
    data = data[data.a < 100]  # now of unknown sizes
    columns, labels = data[list("abcd")], data["y"]
    model = DaskGradientClassifier(random_state=0).fit(columns, labels)
    assert list(model.feature_names_in_) == list("abcd") and list(model.classes_) == ["no", "yes"]
    plain = GradientClassifier(random_state=0).fit(frame[list("abcd")], frame["y"])
    assert model.loss_curve_[-1] == pytest.approx(plain.loss_curve_[-1], rel=1e-6)
    found = model.predict(columns)
    assert isinstance(found, da.Array) and np.isnan(found.shape[0])
    assert np.array_equal(found.compute(), model.to_local().predict(frame[list("abcd")]))
    assert model.score(columns, labels) == model.to_local().score(frame[list("abcd")], frame["y"])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(data[list("dcba")]).compute()


def test_unknown_chunk_sizes_and_sparse_blocks(small_sample):
    X, y = make_data("classification", n=2000)
    X, y = parted(X, y, columns=2)
    keep = X[:, 0] < np.inf
    model = DaskGradientClassifier(random_state=0).fit(X[keep], y[keep])
    known = DaskGradientClassifier(random_state=0).fit(X, y)
    assert same_bits(model, known)
    rows = X.rechunk({1: -1}).map_blocks(sparse.csr_matrix)
    found = DaskGradientClassifier(random_state=0).fit(rows, y)
    assert found.converged_
    assert found.loss_curve_[-1] == pytest.approx(known.loss_curve_[-1], rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lazy_predictions_are_those_of_the_local_model(dtype):
    X, y = make_data("classification", n=300, n_targets=2)
    X = X.astype(dtype)
    data = parted(X, y, rows=80, columns=3)
    model = DaskGradientClassifier(random_state=0).fit(*data)
    local = model.to_local()
    assert type(local) is GradientClassifier
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        found, expected = getattr(model, method)(data[0]), getattr(local, method)(X)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert found.chunks[0] == (80, 80, 80, 60) and found._meta.dtype == expected.dtype
        np.testing.assert_allclose(
            found.compute(), expected, rtol=1e-5 if dtype == np.float32 else 1e-10
        )
    assert model.score(*data) == pytest.approx(local.score(X, y))
    X, y = make_data("regression", n=300, n_targets=2)
    data, weight = parted(X, y, rows=80), da.arange(300, chunks=80)
    data = data[0], da.from_array(y, chunks=(80, 2))
    model = DaskGradientRegressor(random_state=0).fit(*data, weight)
    assert model.predict(data[0]).shape == (300, 2)
    expected = model.to_local().score(X, y, np.arange(300))
    assert model.score(*data, weight) == pytest.approx(expected, rel=1e-12)


def test_a_fitted_model_pickles_without_a_client(cluster):
    X, y = make_data("regression", n=300)
    with cluster.as_current():
        model = DaskGradientRegressor(random_state=0).fit(*parted(X, y, rows=100))
    loaded = pickle.loads(pickle.dumps(model))
    assert np.array_equal(loaded.predict(da.from_array(X)).compute(), loaded.predict(X))


def test_partial_fit_visits_the_blocks_in_order(cluster):
    X, y = make_data("classification", n=500)
    stream = GradientClassifier(random_state=0)
    for start in range(0, 500, 130):
        part = slice(start, start + 130)
        stream.partial_fit(X[part], y[part], classes=[0, 1])
    data = parted(X, y, rows=130)
    with cluster.as_current():
        model = DaskGradientClassifier(random_state=0).partial_fit(*data, classes=[0, 1])
    assert same_bits(model, stream) and model.n_iter_ == 4
    network = DaskGradientClassifier(hidden_layer_sizes=8, random_state=0)
    assert len(network.partial_fit(*data, classes=[0, 1]).coefs_) == 2


def test_validation_rows_and_a_pipeline(small_sample):
    X, y = make_data("classification", n=2000)
    train, rest = parted(X[:1500], y[:1500]), parted(X[1500:], y[1500:], rows=300)
    model = DaskGradientClassifier(random_state=0)
    model.fit(*train, X_val=rest[0], y_val=rest[1])
    p = model.to_local().predict_proba(X[1500:])[np.arange(500), y[1500:]]
    assert model.validation_curve_[-1] == pytest.approx(-np.log(p).mean(), rel=1e-9)
    steps = make_pipeline(FunctionTransformer(lambda X: X * 2), DaskGradientClassifier())
    assert isinstance(steps.fit(*train).predict(rest[0]), da.Array)


def test_errors_name_the_remedy():
    X, y = make_data("classification", n=90)
    data = parted(X, y, rows=30)
    with pytest.raises(TypeError, match="Use GradientClassifier for data in memory"):
        DaskGradientClassifier().fit(X, y)
    with pytest.raises(TypeError, match="y is a ndarray"):
        DaskGradientClassifier().fit(data[0], y)
    with pytest.raises(ValueError, match="y has 60 rows, but X has 90"):
        DaskGradientClassifier().fit(data[0], data[1][:60])
    with pytest.raises(ValueError, match="belong together"):
        DaskGradientClassifier().fit(*data, X_val=data[0])
    with pytest.raises(ValueError, match="DaskGradientClassifier for it"):
        DaskGradientRegressor("hinge").fit(*data)
    model = DaskGradientClassifier()
    with pytest.raises(NotFittedError):
        model.predict(data[0])
    with pytest.raises(ValueError, match="4 features as input"):
        model.fit(*data).predict(data[0][:, :2])
    bad = X.copy()
    bad[40, 2] = np.nan
    with pytest.raises(ValueError, match=r"(?s)block 1 of the data: .*NaN"):
        model.fit(da.from_array(bad, chunks=(30, 4)), data[1])
    assert hasattr(model, "coef_")  # the last fit's
    frame = dd.from_pandas(pd.DataFrame(X).assign(kind=pd.Categorical(y)), npartitions=2)
    with pytest.raises(ValueError, match=r"no numbers: 'kind'. Encode them"):
        DaskGradientClassifier().fit(frame, data[1])
