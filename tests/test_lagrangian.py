"""The compiled outer step of the augmented Lagrangian against a twin in NumPy."""

import numpy as np
import pytest
from scipy import linalg, optimize, sparse

from sklearn_lossopt import GradientClassifier, GradientRegressor
from sklearn_lossopt._engine import Lagrangian, Rows, StopFlag, Stopped
from sklearn_lossopt._linalg import conjugate_gradients
from sklearn_lossopt._solvers.augmented_lagrangian import fenchel_gaps
from sklearn_lossopt.losses._conjugates import Entropy, Quadratic

WIDTH, RAW_SCALE, MOST = 0.5, 2.0, 30


class Breakpoints:
    """phi = 0, as the conjugates of smooth losses are written."""

    def dual(self, u, center, width, low, high):
        return np.clip(u / width + center, low, high)

    def gap(self, u, dual, low, high):
        return fenchel_gaps(u, low, high, dual)


def bend(conjugate, dual, width, low, high):
    """The derivative of ``dual`` with respect to u."""
    if isinstance(conjugate, Entropy):
        curvature = 1 - dual**2
        return curvature / (1 + width * curvature)
    return ((dual > low) & (dual < high)) / (width + getattr(conjugate, "q", 0.0))


class Twin:
    """Outer steps on a matrix A of all rows and unit rows, scaled."""

    def __init__(self, A, n, share, pieces, conjugate, penalty, most_dense):
        self.A, self.share, self.penalty = A, share, penalty
        self.c, self.low, self.high = pieces
        self.parts = (slice(0, n), conjugate), (slice(n, None), Breakpoints())
        middle = 0.5 * (self.low + self.high)
        self.theta = np.where(np.isfinite(middle), middle, 0.0)
        self.ridge, self.least_ridge, self.accuracy = 1e-4, 1e-14, 0.05
        self.most_dense, self.n = most_dense, n

    def each(self, function, *arrays):
        """``function(conjugate, *arrays)`` of the rows and of the unit rows."""
        arrays = [*arrays, self.low, self.high]
        found = [function(kind, *(a[:, at] for a in arrays)) for at, kind in self.parts]
        return np.concatenate(found, axis=1)

    def dual(self, z):
        u = z - self.c
        return self.each(
            lambda kind, u, t, *ends: kind.dual(u, t, self.width, *ends), u, self.theta
        )

    def gap(self, z, dual):
        gaps = self.each(lambda kind, u, t, *ends: kind.gap(u, t, *ends), z - self.c, dual)
        return self.share @ gaps.sum(axis=0)

    def matrix(self, dual):
        bends = self.each(lambda kind, t, *ends: bend(kind, t, self.width, *ends), dual)
        return (self.A.T * (self.share * bends.sum(axis=0))) @ self.A

    def direction(self, g, H):
        ridge = self.ridge / self.width
        if len(g) > self.most_dense:
            return self.iterative(g, H, ridge)
        factor = linalg.cho_factor(H + np.diag(self.penalty + ridge))
        direction = -linalg.cho_solve(factor, g)
        second = linalg.cho_solve(factor, ridge * direction)
        third = linalg.cho_solve(factor, ridge * second)
        left = max(1 - (g @ third) / (g @ second), 1e-10) if g @ second < 0 else 1.0
        return direction, 0.5 * (-g @ direction + max(-g @ second, 0.0) / left)

    def iterative(self, g, H, ridge):
        H = H + np.diag(self.penalty + ridge)
        diagonal = np.diagonal(H)
        direction, _ = conjugate_gradients(
            lambda v: H @ v, lambda v: v / diagonal, -g, self.accuracy, 1000
        )
        r, least = g + H @ direction, self.penalty + ridge
        least[-1] = diagonal[-1]
        decrement, rest = -0.5 * g @ direction, 0.5 * r @ (r / least)
        if rest > decrement:
            self.accuracy = max(0.1 * self.accuracy, 1e-9)
        return direction, decrement + rest

    def infeasibility(self, z, g, dual):
        r = np.abs(z - self.c) * (self.low < self.high)
        far = 100 * (RAW_SCALE + self.share[: self.n] @ r.sum(axis=0)[: self.n])
        u = np.minimum(np.abs(g), far * self.penalty) / np.where(self.penalty > 0, self.penalty, 1)
        u = np.where(self.penalty > 0, u, far)
        unit = self.share[: self.n] @ np.abs(dual.sum(axis=0)[: self.n])
        return np.sum(u * np.abs(g) - 0.5 * self.penalty * u**2), 1e-13 * unit * far

    def length(self, z, q, v, direction):
        def slope(t):
            moved = self.dual(z + t * q).sum(axis=0) @ (self.share * q)
            return moved + (self.penalty * (v + t * direction)) @ direction

        low, high, f_low, f_high = 0.0, 1.0, slope(0.0), slope(1.0)
        if not f_low < 0:
            return 1.0
        tolerance = 1e-3 * abs(f_low)
        while f_high < 0 and high < 1e6:
            low, f_low, high = high, f_high, 4 * high
            f_high = slope(high)
        if f_high <= 0:
            return high
        for _ in range(30):
            middle = low - f_low * (high - low) / (f_high - f_low)
            middle = min(max(middle, low + 0.05 * (high - low)), high - 0.05 * (high - low))
            f = slope(middle)
            if abs(f) <= tolerance:
                return middle
            if f < 0:
                low, f_low = middle, f
            else:
                high, f_high = middle, f
        return 0.5 * (low + high)

    def step(self, v, width, rest, tol):
        self.width, self.count, z, found, moved = width, 0, self.A @ v, np.inf, True
        while True:
            if moved:
                dual = self.dual(z)
                g = (self.share * dual.sum(axis=0)) @ self.A + self.penalty * v
                gap, (missing, rounding) = self.gap(z, dual), self.infeasibility(z, g, dual)
                if missing <= max(rest * max(gap, tol), rounding):
                    found = gap + missing
                    break
            if self.count == MOST:
                break
            self.count += 1
            direction, decrement = self.direction(g, self.matrix(dual))
            moved = self.ridge <= self.least_ridge or decrement > 0.03 * rest * max(gap, tol)
            if not moved:
                self.ridge = max(self.least_ridge, 1e-3 * self.ridge)
                continue
            q = self.A @ direction
            length = self.length(z, q, v, direction)
            z, v = z + length * q, v + length * direction
            if length > 0.5:
                self.ridge = max(0.1 * self.ridge, self.least_ridge)
            elif length < 0.1:
                self.ridge = max(min(10 * self.ridge, 1e-2), self.least_ridge)
        self.theta = self.dual(z)
        return v, found, self.count


PIECES = {
    "hinge": lambda y: [(np.sign(y), np.where(y > 0, -1.0, 0.0), np.where(y > 0, 0.0, 1.0))],
    "quantile": lambda y: [(y, np.full(len(y), -0.8), np.full(len(y), 0.2))],
    "tube": lambda y: [
        (y - 0.3, np.full(len(y), -1.0), np.zeros(len(y))),
        (y + 0.3, np.zeros(len(y)), np.ones(len(y))),
    ],
    "squared": lambda y: [(y, np.zeros(len(y)), np.full(len(y), np.inf))],
}
# Rows, pieces, conjugate, and what else is asked for.
CASES = {
    "dense": (np.float64, "quantile", None, {"shift"}),
    "float32": (np.float32, "hinge", None, {"sample", "weight"}),
    "sparse": ("csr", "hinge", None, {"sample"}),
    "two pieces": (np.float64, "tube", None, {"weight", "no intercept"}),
    "l1": (np.float64, "quantile", None, {"shift", "l1"}),
    "sparse l1": ("csr", "tube", None, {"l1"}),
    "null space": (np.float64, "quantile", None, {"null", "shift"}),
    "no matrix": (np.float64, "hinge", None, {"iterative", "shift"}),
    "no matrix, l1": ("csr", "quantile", None, {"iterative", "l1"}),
    "quadratic": (np.float64, "squared", Quadratic(0.5), {"l1"}),
    "entropy": (np.float64, "quantile", Entropy(), set()),
}


def problem(kind, name, conjugate, asked, n=601, d=7):
    """The engine's problem, its twin and what they start from."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.7) * 10.0 ** np.arange(-3, d - 3)
    if "null" in asked:
        X[:, -1] = X[:, 1] - 2 * X[:, 2]
    y = X @ (0.3 * 10.0 ** -np.arange(-3, d - 3)) + rng.standard_t(3, n)
    shift = X.mean(axis=0) + 1e-4 if "shift" in asked else None
    used = np.arange(1, n, 2, dtype=np.uint32) if "sample" in asked else None
    held = sparse.csr_array(X) if kind == "csr" else X.astype(kind)
    A = X.astype(np.float32) if kind == np.float32 else X
    A = A[slice(None) if used is None else used].astype(float) - (0 if shift is None else shift)
    share = rng.uniform(0, 2, len(A)) if "weight" in asked else np.ones(len(A))
    share /= share.sum()
    last = float("no intercept" not in asked)
    A = np.column_stack([A, np.full(len(A), last)])
    scale = 1 / np.sqrt(np.maximum(share @ A**2, 1e-300) if last else np.ones(d + 1))
    A, null = A * scale, None
    if "null" in asked:
        null = np.zeros((1, d + 1))
        null[0, [1, 2, -2]] = np.array([1, -2, -1]) / scale[[1, 2, -2]]
        null /= np.linalg.norm(null)
        A -= (A @ null.T) @ null
    pieces = PIECES[name](y if used is None else y[used])
    if "l1" in asked:
        A = np.vstack([A, np.eye(d + 1)[:-1]])
        share = np.append(share, np.full(d, 0.02))
        units = [np.tile([0.0, -1.0 * (k == 0), 1.0 * (k == 0)], (d, 1)).T for k in range(2)]
        pieces = [
            tuple(np.append(*both) for both in zip(piece, unit, strict=True))
            for piece, unit in zip(pieces, units, strict=False)
        ]
    pieces = tuple(np.stack(part) for part in zip(*pieces, strict=True))
    if isinstance(conjugate, Entropy):
        pieces = pieces[0], np.full_like(pieces[1], -1.0), np.full_like(pieces[2], 1.0)
    penalty = np.append(np.full(d, 1e-3), 1.0 - last)
    most = 3 if "iterative" in asked else 100
    known = ("none", 0.0) if conjugate is None else (conjugate.kind, conjugate.q)
    engine = Lagrangian(
        Rows(held, used, shift), last, scale, null, share, pieces, known, penalty, RAW_SCALE, most
    )
    n_rows = len(A) - d * ("l1" in asked)
    twin = Twin(A, n_rows, share, pieces, conjugate or Breakpoints(), penalty, most)
    return engine, twin


@pytest.mark.parametrize("case", CASES)
def test_outer_steps_follow_the_twin(case):
    engine, twin = problem(*CASES[case])
    v, width, smooth = np.zeros(8), WIDTH, CASES[case][2] is not None
    before, gaps = np.zeros(engine.on.shape, bool), []
    for number in range(4):
        found, gap, count = engine.step(v, width, 0.3, 1e-9, MOST)
        expected, gap_there, count_there = twin.step(v, width, 0.3, 1e-9)
        # Steps end before rounding: sums in another order leave them a little elsewhere.
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max(), rtol=0)
        np.testing.assert_allclose(engine.theta, twin.theta, atol=1e-5)
        # The gap has what is left of the gradient, divided by a small penalty.
        np.testing.assert_allclose(gap, gap_there, rtol=1e-2, atol=1e-7)
        assert count == count_there
        slack = np.nan_to_num(1e-6 * (twin.high - twin.low))
        on = (engine.theta > twin.low + slack) & (engine.theta < twin.high - slack)
        if smooth:
            on[:, : twin.n] = False
        np.testing.assert_array_equal(engine.on, on)
        assert engine.changed == (not np.array_equal(on, before))
        # A step that starts where the last one ended goes on with what that has left: where
        # rounding does not decide when conjugate gradients end, nor where flat parts are left.
        goes_on = number != 1 and not smooth and "iterative" not in CASES[case][3]
        v = found if goes_on else expected
        before, width = engine.on.copy(), 0.3 * width
        gaps.append(gap)
    assert gaps[-1] < max(0.1 * gaps[0], 1e-4)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("case", ["dense", "sparse l1", "two pieces"])
def test_what_a_step_leaves_is_that_of_its_end(case, far):
    """Where predictions have come a long way, their rounding stays behind."""
    (going, _), (anew, _) = problem(*CASES[case]), problem(*CASES[case])
    v, width = np.full(8, 1e8 if far else 0.0), WIDTH
    for _ in range(1 if far else 3):
        v, _, count = going.step(v, width, 0.3, 1e-9, MOST)
        width *= 0.3
        assert count > 1
    anew.theta[...] = going.theta
    # No Newton step: the gap at v.
    found = [each.step(v, width, 1e300, 1.0, 0)[1] for each in (going, anew)]
    assert 0 < found[0] < np.inf
    assert found[0] == found[1] if far else abs(found[0] / found[1] - 1) < 1e-9
    np.testing.assert_allclose(going.theta, anew.theta, atol=0.0 if far else 1e-9)


def least_mean(X, y, q):
    """The least mean quantile loss, by linear programming."""
    n, d = X.shape
    equations = np.hstack([X, np.ones((n, 1)), np.eye(n), -np.eye(n)])
    costs = np.concatenate([np.zeros(d + 1), np.full(n, q / n), np.full(n, (1 - q) / n)])
    bounds = [(None, None)] * (d + 1) + [(0, None)] * (2 * n)
    found = optimize.linprog(costs, A_eq=equations, b_eq=y, bounds=bounds)
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("wanted", [1e-2, 1.0, 1e2])
def test_a_gap_is_stated_beyond_the_reach_of_curvature(wanted):
    """One target is a million widths away. Near the others curvature says that next to nothing is
    left, for a gap wanted that is large beside the width."""
    stated = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(60, 8)), rng.normal(size=60)
        y[0] = 1e6
        pieces = tuple(part[None] for part in (y, np.full(60, -0.98), np.full(60, 0.02)))
        engine = Lagrangian(
            Rows(X, None, None), 1.0, np.ones(9), None, np.full(60, 1 / 60), pieces,
            ("none", 0.0), np.zeros(9), RAW_SCALE, 100,
        )  # fmt: skip
        v, least = np.zeros(9), least_mean(X, y, 0.98)
        for _ in range(10):
            v, gap, _ = engine.step(v, WIDTH, 0.3, wanted, MOST)
            r = y - X @ v[:-1] - v[-1]
            value = np.mean(np.maximum(0.98 * r, -0.02 * r))
            assert value - least <= gap + 1e-9 * least
            stated += gap < wanted
    assert stated > 20


def test_steps_repeat_to_the_last_bit():
    found = []
    for _ in range(2):
        engine, _ = problem(*CASES["two pieces"])
        found.append(engine.step(np.zeros(8), WIDTH, 0.3, 1e-9, MOST))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]


def test_a_stop_is_heard_within_a_step():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 40))
    y = X.sum(axis=1) + rng.normal(size=len(X))
    flag = StopFlag()
    pieces = tuple(np.stack(part) for part in zip(*PIECES["quantile"](y), strict=True))
    engine = Lagrangian(
        Rows(X, None, None), 1.0, np.ones(41), None, np.full(len(X), 1 / len(X)), pieces,
        ("none", 0.0), np.full(41, 1e-6), RAW_SCALE, 100,
    )  # fmt: skip
    with flag.heard():
        flag.set()
        with pytest.raises(Stopped):
            engine.step(np.zeros(41), 1e-3, 0.3, 1e-9, MOST)


def test_shapes_that_do_not_agree_are_refused():
    engine, _ = problem(*CASES["dense"])
    with pytest.raises(ValueError, match="shapes do not agree"):
        engine.step(np.zeros(7), WIDTH, 0.3, 1e-9, MOST)
    rows, numbers = Rows(np.zeros((3, 2)), None, None), np.ones(3)
    for share in (np.ones(2), np.ones(6)):
        pieces = (np.zeros((1, len(share))),) * 3
        with pytest.raises(ValueError, match="shapes do not agree"):
            Lagrangian(rows, 1.0, numbers, None, share, pieces, ("none", 0.0), numbers, WIDTH, 100)
    with pytest.raises(ValueError, match="shapes do not agree"):
        rows.column_squares(np.ones(2))


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_fits_do_not_depend_on_how_rows_are_kept(l1_ratio):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 6)).astype(np.float32).astype(np.float64)
    y = X[:, 0] + rng.normal(size=500)
    for model in (
        GradientClassifier("hinge", alpha=0.01, l1_ratio=l1_ratio, tol=1e-9, random_state=0),
        GradientRegressor("quantile", alpha=0.01, l1_ratio=l1_ratio, tol=1e-9, random_state=0),
    ):
        target = y > 0 if isinstance(model, GradientClassifier) else y
        dense = model.fit(X, target).coef_.copy()
        np.testing.assert_allclose(model.fit(sparse.csr_array(X), target).coef_, dense, atol=1e-4)
