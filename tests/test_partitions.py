"""Rows in partitions end where the plain fit of the same rows ends: at the optimum of all."""

import inspect
import re
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from catalogue import ESTIMATORS, PAIRS, combine, make_data
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.svm import LinearSVC, LinearSVR

from sklearn_lossopt import GradientClassifier, GradientRegressor, losses
from sklearn_lossopt._partitions import side_by_side
from sklearn_lossopt._partitions.fitting import fit_blocks
from sklearn_lossopt._partitions.protocol import FAN_IN, ListPartitions, tree_sum
from sklearn_lossopt._partitions.rows import Block

# Rows of the sample in these tests, a fraction of all.
SAMPLE_ROWS = 400


def cut(X, y, weight=None, sizes=5, seed=0):
    """Blocks of unequal sizes, an empty one among them."""
    ends = np.sort(np.random.default_rng(seed).integers(0, len(y), sizes - 1))
    ends = [0, *ends, *ends[-1:], len(y)]
    parts = [slice(a, b) for a, b in pairwise(ends)]
    return ListPartitions.of(
        [Block(i, X[p], y[p], None if weight is None else weight[p]) for i, p in enumerate(parts)]
    )


def fit(model, X, y, weight=None, *, sizes=5, rows=SAMPLE_ROWS, **options):
    """The model fitted to partitions with a sample of so many rows."""
    entries = rows * (1 + (X.nnz / len(y) if sparse.issparse(X) else X.shape[1]))
    return fit_blocks(model, cut(X, y, weight, sizes), sample_entries=int(entries), **options)


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes over all partitions, by the function that they apply."""
    counts, collect = Counter(), ListPartitions.collect

    def counted(self, function, *shared):
        counts[function.__name__] += 1
        return collect(self, function, *shared)

    monkeypatch.setattr(ListPartitions, "collect", counted)
    return counts


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(("task", "loss"), PAIRS)
def test_every_loss_ends_at_the_optimum_of_the_plain_fit(task, loss, optimizer, passes):
    if not combine(loss, optimizer):
        pytest.skip("needs a smooth loss")
    X, y = make_data(task, loss, n=2400)
    X = X * [1e-2, 1, 1e2, 1] + 3
    weight = np.random.default_rng(1).exponential(size=len(y))
    parameters = {"loss": loss, "optimizer": optimizer, "random_state": 0}
    plain = ESTIMATORS[task](**parameters).fit(X, y, weight)
    passes.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = fit(ESTIMATORS[task](**parameters), X, y, weight)
    found = losses.Loss.resolve(loss)
    if not found.learns_at_optimum:
        # No optimum is looked for, and none is promised.
        assert not model.converged_ and "even sample" in str(caught[0].message)
        return
    assert plain.converged_ and model.converged_ and not caught
    assert model.loss_curve_[-1] <= plain.loss_curve_[-1] * (1 + 1e-6)
    assert model.loss_curve_[-1] >= plain.loss_curve_[-1] * (1 - 1e-6)
    assert model.n_iter_ == len(model.loss_curve_)
    if hasattr(plain, "delta_"):
        assert model.delta_ == pytest.approx(plain.delta_, rel=1e-9)
    # Facts, encoding, the sample; Huber's scale has a sample of its own.
    assert sum(passes.values()) <= (16 if found.smooth else 80)


def cases():
    """Data and parameters of every other kind."""
    X, y = make_data("classification", n=2400, n_targets=2)
    numbers = make_data("regression", n=2400, n_targets=2)
    one = make_data("regression", n=2400)
    two = make_data("classification", n=2400)
    rng = np.random.default_rng(2)
    rows = sparse.random(2400, 60, density=0.05, random_state=rng, format="csr")
    labels = (rows @ rng.normal(size=60) + rng.logistic(size=2400) > 0).astype(int)
    rare = np.zeros(2400, int)
    rare[rng.choice(2400, 12, replace=False)] = 1
    wide = sparse.random(1500, 900, density=0.02, random_state=rng, format="csr")
    l1 = {"alpha": 0.02, "l1_ratio": 0.7}
    return {
        "softmax": (GradientClassifier(), X, y),
        "one-vs-rest": (GradientClassifier("squared_hinge"), X, y),
        "class weights": (GradientClassifier(class_weight={0: 3, 1: 1, 2: 0.5}), X, y),
        "balanced": (GradientClassifier(class_weight="balanced"), X, y),
        "targets": (GradientRegressor(), *numbers),
        "targets, huber": (GradientRegressor("huber"), *numbers),
        "no intercept": (GradientRegressor(fit_intercept=False), *one),
        "no penalty": (GradientClassifier(alpha=0), *two),
        "float32": (GradientClassifier(), two[0].astype(np.float32), two[1]),
        "l1": (GradientRegressor(**l1), *one),
        "l1, absolute error": (GradientRegressor("absolute_error", **l1), *one),
        "l1, softmax": (GradientClassifier(**l1), X, y),
        "sparse": (GradientClassifier(), rows, labels),
        "sparse, hinge": (GradientClassifier("hinge", alpha=1e-2), rows, labels),
        "sparse, l1": (GradientClassifier(alpha=1e-3, l1_ratio=0.9), rows, labels),
        "wide": (GradientRegressor(alpha=1e-2), wide, wide @ rng.normal(size=900)),
        "rare class": (GradientClassifier(), two[0], rare),
        "strings": (GradientClassifier(), two[0], np.array(["no", "longer"])[two[1]]),
    }  # fmt: skip


@pytest.mark.parametrize("name", cases())
def test_every_kind_of_problem_ends_at_the_optimum_of_the_plain_fit(name):
    model, X, y = cases()[name]
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    plain = type(model)(**model.set_params(random_state=0).get_params()).fit(X, y, weight)
    fit(model, X, y, weight, rows=700 if name == "wide" else SAMPLE_ROWS)
    assert plain.converged_ and model.converged_
    before = plain.loss_curve_[-1]
    assert abs(model.loss_curve_[-1] - before) <= 1e-6 * before
    assert model.coef_.dtype == plain.coef_.dtype and model.coef_.shape == plain.coef_.shape
    if model.l1_ratio > 0:
        assert np.array_equal(model.coef_ == 0, plain.coef_ == 0)


def test_optimum_is_that_of_scikit_learn():
    X, y = make_data("regression", n=2400)
    n, tight = len(y), {"tol": 1e-12, "random_state": 0}
    ridge = fit(GradientRegressor(alpha=0.1, **tight), X, y)
    np.testing.assert_allclose(ridge.coef_, Ridge(alpha=0.1 * n).fit(X, y).coef_, rtol=1e-6)
    net = fit(GradientRegressor(alpha=0.1, l1_ratio=0.5, **tight), X, y)
    known = ElasticNet(alpha=0.1, l1_ratio=0.5, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(net.coef_, known.coef_, rtol=1e-4, atol=1e-7)
    X, y = make_data("classification", n=2400)
    model = fit(GradientClassifier(alpha=0.1, **tight), X, y)
    known = LogisticRegression(C=1 / (0.1 * n), tol=1e-10, solver="newton-cholesky").fit(X, y)
    np.testing.assert_allclose(model.coef_, known.coef_, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ("log_loss", "dense"),
        ("log_loss", "sparse"),
        ("squared_error", "dense"),
        ("absolute_error", "dense"),
    ],
)
def test_columns_that_depend_on_each_other_have_the_smallest_coefficients(loss, kind):
    task = "classification" if loss == "log_loss" else "regression"
    X, y = make_data(task, n=2400)
    X = np.column_stack([X, X[:, 0] + X[:, 1], 3 * X[:, 2], np.full(len(X), 2.0)])
    # In the sample alone this column depends on others too.
    X = np.column_stack([X, np.where(np.arange(len(X)) % 601 == 600, 5.0, 0.0)])
    model = ESTIMATORS[task](loss, alpha=0, random_state=0)
    fit(model, sparse.csr_array(X) if kind == "sparse" else X, y)
    coef, centred = np.ravel(model.coef_), X - X.mean(axis=0)
    smallest = np.linalg.pinv(centred, rcond=1e-10) @ (centred @ coef)
    assert model.converged_ and coef[-1] != 0
    np.testing.assert_allclose(coef, smallest, rtol=1e-6, atol=1e-9)


def test_smooth_losses_take_few_passes_on_raw_columns(passes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 12)) * 10 ** rng.uniform(-3, 3, 12) + 100
    y = (X - 100) @ (rng.normal(size=12) / X.std(axis=0)) + rng.logistic(size=20_000) > 0
    model = fit(GradientClassifier(random_state=0), X, y, sizes=9, rows=4000)
    assert model.converged_
    preparations = {"gather_facts", "encode", "take_rows"}
    assert sum(n for name, n in passes.items() if name not in preparations) <= 7


@pytest.mark.parametrize("n_classes", [2, 3])
def test_looks_of_losses_with_kinks_know_the_objective(n_classes, passes):
    """F where steps end takes no pass of its own: one is made at the start alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 5))
    y = (X @ rng.normal(size=(5, n_classes)) + rng.logistic(size=(6000, n_classes))).argmax(axis=1)
    model = fit(GradientClassifier("hinge", alpha=1e-3, random_state=0), X, y, sizes=9, rows=1000)
    signs = np.where(y[:, None] == np.arange(n_classes), 1, -1)[:, -len(model.coef_) :]
    loss = np.maximum(0, 1 - signs * (X @ model.coef_.T + model.intercept_)).sum(axis=1)
    expected = loss.mean() + 0.5e-3 * np.sum(model.coef_**2)
    assert model.converged_ and passes["replace_duals"] > 1 and passes["mean_loss"] == 1
    np.testing.assert_allclose(model.loss_curve_[-1], expected, rtol=1e-12)


@pytest.mark.parametrize("outliers", [False, True])
def test_a_step_that_keeps_its_promise_proves_what_a_pass_would(outliers, passes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 6))
    if outliers:
        # The sample is every fifth row: these, whose curvature is five times that of all rows.
        X[::5] *= 100
    y = X @ rng.normal(size=6) + rng.normal(size=20_000) * (1 + np.abs(X[:, 0]))
    model = GradientRegressor("squared_error", alpha=0, fit_intercept=False, random_state=0)
    fit_blocks(model, ListPartitions.of([Block(0, X, y)]), sample_entries=4000 * 7)
    best = np.mean((y - X @ np.linalg.lstsq(X, y)[0]) ** 2) / 2
    found = np.mean((y - model.predict(X)) ** 2) / 2
    assert model.converged_ and (passes["sum_over_blocks"] > 0) == outliers
    assert best * (1 - 1e-12) <= found <= best * (1 + 1e-6)


@pytest.mark.parametrize(("task", "loss"), PAIRS)
def test_every_smooth_loss_takes_ten_passes_at_most_on_raw_columns(task, loss, passes):
    if not losses.Loss.resolve(loss).smooth:
        pytest.skip("corrections of losses with kinks take more")
    X, y = make_data(task, loss, n=10_000)
    rng = np.random.default_rng(0)
    X = np.column_stack([X, rng.normal(size=(len(X), 8))]) * 10 ** rng.uniform(-3, 3, 12) + 100
    model = fit(ESTIMATORS[task](loss, random_state=0), X, y, sizes=9, rows=4000)
    preparations = {"gather_facts", "encode", "take_rows"}
    assert model.converged_
    assert sum(n for name, n in passes.items() if name not in preparations) <= 10


@pytest.mark.parametrize("sizes", [1, 2, 40])
@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_partitions_of_any_sizes_end_at_one_optimum(loss, sizes):
    X, y = make_data("classification", n=2400)
    model = fit(GradientClassifier(loss, random_state=0), X, y, sizes=sizes)
    plain = GradientClassifier(loss, random_state=0).fit(X, y)
    assert model.converged_
    assert model.loss_curve_[-1] == pytest.approx(plain.loss_curve_[-1], rel=1e-6)


def test_few_rows_are_fitted_at_once_and_equal_the_plain_fit():
    X, y = make_data("classification", n=300)
    model = fit(GradientClassifier(random_state=0), X, y, rows=300)
    plain = GradientClassifier(random_state=0).fit(X, y)
    assert np.array_equal(model.coef_, plain.coef_) and model.n_iter_ == plain.n_iter_


def test_tree_sum_adds_neighbours_in_order():
    assert tree_sum([f"{i}" for i in range(20)]) == "".join(map(str, range(20)))
    parts = [np.float64(0.1) * i for i in range(FAN_IN + 1)]
    assert tree_sum(parts) == sum(parts[1:FAN_IN], parts[0]) + parts[-1]
    assert tree_sum([None, (1, 2), None, (3, 4)]) == (4, 6)
    assert tree_sum([None, None]) is None


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_rows_far_from_those_of_the_sample_do_not_keep_it_from_the_optimum(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2400, 4))
    y = rng.poisson(np.exp(X @ [0.5, -0.5, 0.3, 0.1])) + (loss == "gamma") * 0.5
    X[[77, 1201, 1999]] *= 3000  # predictions of the sample's model overflow for them
    plain = GradientRegressor(loss, random_state=0).fit(X, y)
    model = fit(GradientRegressor(loss, random_state=0), X, y)
    assert plain.converged_ and model.converged_
    assert model.loss_curve_[-1] == pytest.approx(plain.loss_curve_[-1], rel=1e-6)


def test_a_fit_that_ends_too_early_says_so():
    X, y = make_data("classification", n=2400)
    with pytest.warns(ConvergenceWarning, match="Increase max_iter"):
        model = fit(GradientClassifier("hinge", max_iter=1, random_state=0), X, y)
    assert model.n_iter_ == 1 and not model.converged_


def test_warm_start_goes_on_from_the_last_fit(passes):
    X, y = make_data("classification", n=2400)
    model = fit(GradientClassifier(random_state=0, warm_start=True), X, y)
    before = sum(passes.values())
    fit(model, X, y)
    assert model.converged_ and sum(passes.values()) - before < before


def test_validation_curve_is_the_mean_loss_of_the_validation_rows():
    X, y = make_data("classification", n=2400)
    rest = cut(X[2000:], y[2000:], sizes=3)
    model = fit(GradientClassifier(random_state=0), X[:2000], y[:2000], validation=rest)
    p = model.predict_proba(X[2000:])[np.arange(400), y[2000:]]
    assert model.validation_curve_[-1] == pytest.approx(-np.log(p).mean(), rel=1e-9)
    assert len(model.validation_curve_) == model.n_iter_
    model = fit(GradientClassifier(random_state=0, early_stopping=True), X, y, sizes=8)
    assert 1 <= model.best_iter_ <= model.n_iter_


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_targets_of_one_column_give_the_shapes_of_the_plain_fit(loss):
    X, y = make_data("regression", "poisson", n=600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = GradientRegressor(loss, random_state=0).fit(X, y[:, None])
        model = fit(GradientRegressor(loss, random_state=0), X, y[:, None], rows=200)
    assert model.coef_.shape == plain.coef_.shape
    assert np.shape(model.intercept_) == np.shape(plain.intercept_)


def test_a_fit_goes_on_as_a_stream():
    X, y = make_data("regression", n=2400)
    model = fit(GradientRegressor(random_state=0), X, y)
    score = model.score(X, y)
    model.partial_fit(X[:300], y[:300])
    assert model.score(X, y) == pytest.approx(score, abs=1e-3)


def broken(change):
    """Blocks of which one is changed by ``change(block)``."""
    X, y = make_data("classification", n=90)
    blocks = [Block(i, X[i : i + 30].copy(), y[i : i + 30].copy()) for i in (0, 30, 60)]
    for number, block in enumerate(blocks):
        block.number = number
    change(blocks[1])
    return ListPartitions.of(blocks)


def with_nan(block):
    block.X[3, 1] = np.nan


def with_fewer_columns(block):
    block.X = block.X[:, :2]


def with_fewer_rows(block):
    block.y = block.y[:-1]


def with_two_columns_of_y(block):
    block.y = np.zeros((30, 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_nan, "block 1 of the data: .*NaN"),
        (with_fewer_columns, "block 1 of X has 2 columns, but block 0 has 4"),
        (with_fewer_rows, "block 1 of the data: .*inconsistent"),
        (with_two_columns_of_y, "block 1 of the data: "),
    ],
)
def test_errors_name_the_block(change, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        fit_blocks(GradientClassifier(), broken(change))


def test_errors_of_what_partitions_have_together():
    X, y = make_data("classification", n=90)
    with pytest.raises(ValueError, match="one class only"):
        fit_blocks(GradientClassifier(), cut(X, np.zeros(90)))
    with pytest.raises(ValueError, match=r"block 0 of y.*gamma"):
        fit_blocks(GradientRegressor("gamma"), cut(X, -np.ones(90)))
    with pytest.raises(ValueError, match="n_members=1"):
        fit_blocks(GradientClassifier(hidden_layer_sizes=5, n_members=2), cut(X, y))
    with pytest.raises(ValueError, match="scoring='loss'"):
        fit_blocks(GradientClassifier(scoring="accuracy"), cut(X, y))
    with pytest.raises(ValueError, match="all of its blocks are empty"):
        fit_blocks(GradientClassifier(), ListPartitions.of([Block(0, X[:0], y[:0])]))
    with pytest.raises(ValueError, match="one only"):
        one = ListPartitions.of([Block(0, X, y)])
        fit_blocks(GradientClassifier(early_stopping=True), one)
    others = ListPartitions.of([Block(0, X, y + 1)])
    with pytest.raises(ValueError, match="y_val holds 2"):
        fit_blocks(GradientClassifier(), cut(X, y), others)


def test_a_block_of_one_class_is_no_error():
    X, y = make_data("classification", n=600)
    order = np.argsort(y)
    model = fit(GradientClassifier(random_state=0), X[order], y[order], rows=200)
    plain = GradientClassifier(random_state=0).fit(X, y)
    assert model.loss_curve_[-1] == pytest.approx(plain.loss_curve_[-1], rel=1e-6)


def wide_problem(kind):
    """A kinked loss on 820 columns: the model, X, y, the optimum of scikit-learn and F."""
    rng, n, d = np.random.default_rng(0), 1200, 820
    X = sparse.random(n, d, density=0.01, random_state=rng, format="csr")
    y = X @ rng.normal(size=d) + 0.3 * rng.normal(size=n)
    X = X.toarray() if kind == "dense" else X
    common, tight = {"fit_intercept": False}, {"C": 100 / n, "tol": 1e-9, "max_iter": 10**6}
    if kind == "two breakpoints":
        loss = losses.EpsilonInsensitive(0.1)
        model = GradientRegressor(loss, alpha=1e-2, random_state=0, **common)
        known = LinearSVR(epsilon=0.1, **common, **tight).fit(X, y)
    else:
        y = (y > 0).astype(int)
        model = GradientClassifier("hinge", alpha=1e-2, random_state=0, **common)
        known = LinearSVC(loss="hinge", **common, **tight).fit(X, y)

    def F(coef):
        raw = X @ np.ravel(coef)
        margin = np.abs(y - raw) - 0.1 if kind == "two breakpoints" else 1 - (2 * y - 1) * raw
        return np.maximum(0, margin).mean() + 0.5e-2 * np.sum(np.square(coef))

    return model, X, y, known, F


@pytest.mark.parametrize(
    ("kind", "entries", "most"),
    [("sparse", 1e9, 30), ("dense", 1e9, 40), ("two breakpoints", 1e9, 40), ("sparse", 2000, 60)],
)
def test_kinked_losses_on_many_columns_end_at_the_optimum(kind, entries, most, passes, monkeypatch):
    # With few entries not all rows that are needed come to this process at first.
    monkeypatch.setattr(side_by_side, "MAX_NEAR_ENTRIES", entries)
    model, X, y, known, F = wide_problem(kind)
    fit(model, X, y, rows=300)
    assert model.converged_ and F(model.coef_) == pytest.approx(F(known.coef_), rel=2e-6)
    assert model.loss_curve_[-1] == pytest.approx(F(model.coef_), rel=1e-9)
    assert sum(passes.values()) <= most


def test_nothing_is_promised_where_too_many_rows_bend_to_be_brought(monkeypatch):
    monkeypatch.setattr(side_by_side, "MAX_NEAR_ENTRIES", 2 * 821)
    model, X, y, known, F = wide_problem("dense")
    model.set_params(max_iter=2)
    with pytest.warns(ConvergenceWarning, match="above tolerance"):
        fit(model, X, y, rows=300)
    assert not model.converged_ and F(model.coef_) > F(known.coef_)


def test_an_l1_penalty_of_kinked_losses_on_many_columns_promises_nothing():
    rng = np.random.default_rng(0)
    X = sparse.random(1200, 900, density=0.02, random_state=rng, format="csr")
    y = (X @ rng.normal(size=900) > 0).astype(int)
    with pytest.warns(ConvergenceWarning, match="sample of the rows.*l1_ratio=0"):
        model = fit(GradientClassifier("hinge", l1_ratio=0.5, random_state=0), X, y)
    assert not model.converged_


def test_outputs_of_kinked_losses_share_their_passes(passes, monkeypatch):
    X, y = make_data("classification", n=2400, n_targets=2)
    together = fit(GradientClassifier("hinge", random_state=0), X, y)
    shared = passes["look"]
    passes.clear()
    monkeypatch.setattr(side_by_side, "MAX_MATRIX_NUMBERS", 1)
    alone = fit(GradientClassifier("hinge", random_state=0), X, y)
    assert together.converged_
    np.testing.assert_allclose(together.coef_, alone.coef_, rtol=1e-6)
    assert shared < 0.6 * passes["look"]


def test_functions_that_are_sent_to_partitions_are_importable():
    from sklearn_lossopt._partitions import looks, networks, objective, rows, scoring

    for module in (looks, networks, objective, rows, scoring):
        for name, found in vars(module).items():
            if inspect.isfunction(found) and found.__module__ == module.__name__:
                assert found.__qualname__ == name


class StandInRDD:
    """What the adapter on the page asks of an RDD of Spark, on lists; collects out of order."""

    context = property(lambda self: self)

    def __init__(self, pairs):
        self.pairs = list(pairs)

    def broadcast(self, value):
        return SimpleNamespace(value=value)

    def mapPartitionsWithIndex(self, function):
        return StandInRDD(pair for i, part in self.pairs for pair in function(i, iter(part)))

    def mapValues(self, function):
        return StandInRDD((key, function(value)) for key, value in self.pairs)

    def filter(self, wanted):
        return StandInRDD(filter(wanted, self.pairs))

    def persist(self):
        return self

    def count(self):
        return len(self.pairs)

    def collect(self):
        return self.pairs[::-1]


def test_the_adapter_on_the_page_gives_the_same_bits(monkeypatch):
    page = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
    (code,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    scope = {}
    exec(code, scope)
    monkeypatch.setattr(fit_blocks, "__defaults__", (None, 2000))
    X, y = make_data("classification", n=2400)
    rows = list(zip(X.tolist(), y.tolist(), strict=True))
    parts = [rows[:900], rows[900:1000], rows[1000:]]
    model = GradientClassifier("hinge", random_state=0)
    scope["fit_on_spark"](
        model, StandInRDD(enumerate(parts)), lambda rows: map(np.array, zip(*rows, strict=True))
    )
    blocks = [
        Block(i, X[s], y[s]) for i, s in enumerate((np.s_[:900], np.s_[900:1000], np.s_[1000:]))
    ]
    same = fit_blocks(GradientClassifier("hinge", random_state=0), ListPartitions.of(blocks))
    assert model.converged_ and np.array_equal(model.coef_, same.coef_)
    spark = scope["SparkPartitions"](StandInRDD(enumerate("abc")))
    assert spark.fold(lambda state, part: state + part, "") == "abc"
