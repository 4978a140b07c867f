"""The encoder and the scaler: their formulas, quantiles of repeated rows, and inverses."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from conformance import failed_checks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler

from sklearn_lossopt import GradientRegressor
from sklearn_lossopt.preprocessing import PiecewiseLinearEncoder, SmoothClipScaler

KINDS = {
    "encoder": PiecewiseLinearEncoder(),
    "encoder, two bins": PiecewiseLinearEncoder(2),
    "encoder, linear": PiecewiseLinearEncoder(extrapolation="linear"),
    "scaler": SmoothClipScaler(),
    "scaler, narrow": SmoothClipScaler(limit=1, quantile_range=(10, 60)),
}
each_kind = pytest.mark.parametrize("transformer", KINDS.values(), ids=KINDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def table(n=200, dtype=np.float64, seed=0):
    """Columns of every kind: any numbers, far from 0, few values, mostly zeros, 0/1, constant."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=n), rng.lognormal(8, 2, size=n), 1e6 + rng.normal(size=n),
        rng.integers(0, 5, size=n), np.where(rng.random(n) < 0.7, 0, rng.gamma(1, size=n)),
        rng.random(n) < 0.02, np.full(n, 7.5),
    ]  # fmt: skip
    return np.column_stack(columns).astype(dtype)


@each_kind
def test_conforms_to_scikit_learn(transformer, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    assert failed_checks(transformer) == {}


# The encoder --------------------------------------------------------------------------------------


def encoding(x, edges, linear):
    """The formula of Gorishniy et al. (2022), number by number."""
    last = len(edges) - 2
    out = []
    for t, (low, high) in enumerate(pairwise(edges)):
        if x < low and not (linear and t == 0):
            out.append(0.0)
        elif x >= high and not (linear and t == last):
            out.append(1.0)
        else:
            out.append((x - low) / (high - low))
    return out


@each_dtype
@pytest.mark.parametrize("extrapolation", ["constant", "linear"])
def test_encoder_has_the_formula_of_the_paper(extrapolation, dtype):
    X = table(dtype=dtype)
    encoder = PiecewiseLinearEncoder(extrapolation=extrapolation).fit(X)
    rows = np.vstack([X[:50], X[:50] * 1.5, X[:50] - 3]).astype(dtype)
    found = encoder.transform(rows)
    assert found.dtype == dtype and encoder.bin_edges_[0].dtype == dtype
    linear = extrapolation == "linear"
    expected = [
        [e for x, edges in zip(row, encoder.bin_edges_, strict=True)
         for e in (encoding(x, edges, linear) if len(edges) > 1 else [0.0])]
        for row in rows.astype(float)
    ]  # fmt: skip
    assert_allclose(found, expected, rtol=10 * np.finfo(dtype).eps, atol=1e-15)
    if not linear:
        assert found.min() == 0 and found.max() == 1
    assert_allclose(np.ptp(encoder.transform(X), axis=0)[:-1], 1, rtol=1e-6)


@pytest.mark.parametrize("n_bins", [1, 2, 5, 8, 40])
def test_bins_are_of_equal_frequency(n_bins):
    X = np.random.default_rng(0).normal(size=(1000, 1))
    edges = PiecewiseLinearEncoder(n_bins).fit(X).bin_edges_[0]
    counts = np.histogram(X, edges)[0]
    assert len(counts) == n_bins and np.ptp(counts) <= 2
    assert edges[0] == X.min() and edges[-1] == X.max()


def test_columns_of_few_values_and_of_frequent_ones():
    rng = np.random.default_rng(0)
    few, binary, constant = np.arange(300) % 9, np.arange(300) % 2, np.full(300, -3.0)
    zeros = np.where(np.arange(300) < 240, 0, rng.gamma(1, size=300))
    encoder = PiecewiseLinearEncoder().fit(np.column_stack([few, binary, constant, zeros]))
    assert_array_equal(encoder.bin_edges_[0], np.arange(9))
    assert_array_equal(encoder.bin_edges_[1], [0, 1])
    assert_array_equal(encoder.bin_edges_[2], [-3])
    # Zero is an edge, and the others cut the rest into equal parts.
    edges = encoder.bin_edges_[3]
    assert len(edges) == 9 and edges[0] == 0
    assert np.ptp(np.histogram(zeros[zeros > 0], edges[1:])[0]) <= 2
    found = encoder.transform([[3, 1, -3, 0], [20, 0, 5, 0]])
    assert_array_equal(found[:, :8], [[1, 1, 1, 0, 0, 0, 0, 0], [1] * 8])
    assert_array_equal(found[:, 8:10], [[1, 0], [0, 0]])


@pytest.mark.parametrize("seed", range(40))
def test_any_column_of_more_values_than_edges_has_all_bins(seed):
    rng = np.random.default_rng(seed)
    x = np.round(rng.standard_t(1, size=300) * 10 ** rng.uniform(-1, 2), rng.integers(0, 3))
    x[: rng.integers(0, 200)] = x[0]
    n_bins = rng.integers(1, 20)
    edges = PiecewiseLinearEncoder(n_bins).fit(x[:, None]).bin_edges_[0]
    assert len(edges) == min(n_bins + 1, len(np.unique(x)))
    assert (np.diff(edges) > 0).all() and np.isin(edges, x).all()
    assert edges[0] == x.min() and edges[-1] == x.max()


def test_a_linear_model_behind_the_encoder_is_any_function_of_that_kind():
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, size=(500, 2))
    encoder = PiecewiseLinearEncoder(4).fit(X)
    knots = [
        np.interp(x, e, rng.normal(size=5)) for x, e in zip(X.T, encoder.bin_edges_, strict=True)
    ]
    y = np.sum(knots, axis=0)
    model = make_pipeline(encoder, GradientRegressor(alpha=0, tol=1e-12)).fit(X, y)
    assert_allclose(model.predict(X), y, atol=1e-6)
    assert Ridge(alpha=1e-6).fit(X, y).score(X, y) < 0.5


# The scaler ---------------------------------------------------------------------------------------


@each_dtype
def test_scaler_is_a_robust_one_with_a_limit(dtype):
    X = table(n=201, dtype=dtype)[:, :5]
    z = RobustScaler().fit_transform(X.astype(float))
    found = SmoothClipScaler().fit_transform(X)
    assert found.dtype == dtype
    # The quartiles of 201 rows are values that the columns have.
    assert_allclose(found[:, :4], (z / np.sqrt(1 + (z / 3) ** 2))[:, :4], rtol=1e-4, atol=1e-5)
    assert np.abs(found).max() <= 3
    order = np.argsort(X[:, 1])
    assert (np.diff(found[order, 1]) >= 0).all()


def test_columns_without_a_distance_between_quartiles():
    n = 1000
    rare = np.arange(n) < 1
    X = np.column_stack([rare, np.arange(n) % 2, np.full(n, 5.0), 1 - rare])
    scaler = SmoothClipScaler().fit(X)
    assert_array_equal(scaler.scale_, [0.5, 1, 1, 0.5])
    found = scaler.transform(X)
    bound = 2 / np.sqrt(1 + 4 / 9)
    assert_allclose([found[0, 0], found[1, 0], found[0, 3]], [bound, 0, -bound])
    assert_array_equal(found[:, 2], 0)


@pytest.mark.parametrize("given", [(25,), (75, 25), (-1, 50), ("a", 50), (10, 101)])
def test_a_range_that_is_none(given):
    with pytest.raises(ValueError, match=r"quantile_range=.* must be two numbers"):
        SmoothClipScaler(quantile_range=given).fit(table())


@each_dtype
def test_extreme_values(dtype):
    info = np.finfo(dtype)
    X = np.array([0, 1, 2, 3, info.max / 2, -info.max / 2, info.tiny], dtype)[:, None]
    with np.errstate(all="raise", under="ignore"):
        for transformer in (SmoothClipScaler(), PiecewiseLinearEncoder(1)):
            assert np.isfinite(transformer.fit_transform(X)).all()
            moderate = transformer.fit(np.arange(9.0, dtype=dtype)[:, None])
            found = moderate.transform(2 * X)
            assert np.isfinite(found).all() and found.dtype == dtype
            assert_array_equal(found[4:6, 0], [getattr(transformer, "limit", 1), found.min()])
            with pytest.raises(ValueError, match=r"Column 0 of X has .* divide the column"):
                transformer.fit(2 * X)


# Both ---------------------------------------------------------------------------------------------


@each_kind
@each_dtype
def test_inverse(transformer, dtype):
    X = table(dtype=dtype)
    transformer = clone(transformer).fit(X)
    again = transformer.inverse_transform(transformer.transform(X))
    assert again.dtype == dtype
    usual = np.abs(X - np.median(X, axis=0)) < 1e3 * (1 + np.ptp(np.quantile(X, [0.25, 0.75], 0)))
    tolerance = 1e-8 if dtype == np.float64 else 1e-3
    assert_allclose(again[usual], X[usual], rtol=tolerance, atol=tolerance)
    with pytest.raises(ValueError, match=r"columns, but .* makes"):
        transformer.inverse_transform(X[:, :2])


@each_kind
def test_weights_count_as_rows(transformer):
    X = table()
    weight = np.random.default_rng(1).integers(0, 4, size=len(X))
    found = clone(transformer).fit(X, sample_weight=weight / 7).transform(X)
    assert_array_equal(found, clone(transformer).fit(np.repeat(X, weight, axis=0)).transform(X))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        clone(transformer).fit(X, sample_weight=-np.ones(len(X)))


@each_kind
def test_missing_values_take_no_part_and_stay(transformer):
    X = table()
    holes = X.copy()
    holes[::3, 0] = holes[1::5, 3] = np.nan
    fitted = clone(transformer).fit(holes)
    found = fitted.transform(holes)
    assert_array_equal(np.isnan(fitted.inverse_transform(found)), np.isnan(holes))
    for column in (0, 3):
        present = ~np.isnan(holes[:, column])
        alone = clone(transformer).fit(X[present][:, [column]])
        names = [name.startswith(f"x{column}") for name in fitted.get_feature_names_out()]
        assert_array_equal(found[present][:, names], alone.transform(X[present][:, [column]]))
    empty = clone(transformer).fit(np.full((5, 1), np.nan))
    assert np.isnan(empty.transform([[1.0]])).all()


def test_names_frames_and_a_pipeline():
    X = table()
    frame = pd.DataFrame(X[:, [0, 3, 5]], columns=["size", "rooms", "garden"])
    frame["kind"] = np.where(X[:, 3] > 2, "flat", "house")
    numbers = ["size", "rooms", "garden"]
    encoder = PiecewiseLinearEncoder(2).set_output(transform="pandas").fit(frame[numbers])
    expected = ["size_bin_0", "size_bin_1", "rooms_bin_0", "rooms_bin_1", "garden_bin_0"]
    assert list(encoder.transform(frame[numbers]).columns) == expected
    scaler = SmoothClipScaler().fit(frame[numbers])
    assert_array_equal(scaler.get_feature_names_out(), numbers)
    columns = make_column_transformer(
        (OneHotEncoder(), ["kind"]), (PiecewiseLinearEncoder(), numbers)
    )
    y = np.abs(frame["size"]) + (frame["kind"] == "flat")
    model = make_pipeline(columns, GradientRegressor(hidden_layer_sizes=8, random_state=0))
    assert model.fit(frame, y).score(frame, y) > 0.9


@each_kind
def test_sparse_columns_are_refused(transformer):
    with pytest.raises(TypeError, match="toarray"):
        clone(transformer).fit(sparse.csr_array(table()))
