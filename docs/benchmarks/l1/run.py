"""Time the L1 penalty beside scikit-learn's solvers, to the same objective.

Each problem's optimum is that of a fit with tol=1e-10. For the default fit and for the peer at
tolerances from loose to tight, the time of the first whose objective is within 1e-6 of it is
printed; the peer gives up after 20,000 iterations (saga: 5,000). ::

    python run.py
    python run.py --problems "breast cancer, raw"
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _harness
import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sklearn_lossopt import GradientClassifier, GradientRegressor

ACCURACY = 1e-6


def wide(n=100, d=5000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X, X[:, :10] @ rng.normal(size=10) * 3 + rng.normal(size=n)


def polynomial(X, y, degree):
    return PolynomialFeatures(degree, include_bias=False).fit_transform(X), y


def standardised(X, y):
    return StandardScaler().fit_transform(X), y


DIABETES = load_diabetes(return_X_y=True, scaled=False)
CANCER = load_breast_cancer(return_X_y=True)
PROBLEMS = {
    "diabetes, cubic, raw": (*polynomial(*DIABETES, 3), 0.1, 1.0),
    "diabetes, cubic, scaled": (*standardised(*polynomial(*DIABETES, 3)), 0.1, 1.0),
    "wide, 100 x 5,000": (*wide(), 0.1, 0.9),
    "breast cancer, raw": (*CANCER, 0.01, 1.0),
    "breast cancer, scaled": (*standardised(*CANCER), 0.001, 1.0),
    "digits, scaled": (*standardised(*load_digits(return_X_y=True)), 0.002, 1.0),
}


def objective(model, X, y, alpha, l1_ratio):
    coef = np.atleast_2d(model.coef_)
    raw = X @ coef.T + model.intercept_
    if hasattr(model, "classes_"):
        code = np.searchsorted(model.classes_, y)
        if raw.shape[1] == 1:
            raw = np.column_stack([np.zeros(len(y)), raw[:, 0]])
        value = logsumexp(raw, axis=1) - raw[np.arange(len(y)), code]
    else:
        value = (y - raw[:, 0]) ** 2 / 2
    return value.mean() + alpha * (
        (1 - l1_ratio) / 2 * np.sum(coef**2) + l1_ratio * np.abs(coef).sum()
    )


def estimators(X, y, alpha, l1_ratio):
    """Return our estimator and scikit-learn's of the same objective."""
    if y.dtype.kind == "i":
        peer = LogisticRegression(
            solver="saga", C=1 / (len(y) * alpha), l1_ratio=l1_ratio, max_iter=5000, random_state=0
        )
        return GradientClassifier(alpha=alpha, l1_ratio=l1_ratio, random_state=0), peer
    peer = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, max_iter=20_000)
    return GradientRegressor(alpha=alpha, l1_ratio=l1_ratio, random_state=0), peer


def compare(name, X, y, alpha, l1_ratio, rounds):
    """Return a problem's line of the table."""
    problem = X, y, alpha, l1_ratio
    ours, peer = estimators(*problem)
    best = objective(ours.set_params(tol=1e-10).fit(X, y), *problem)
    ours.set_params(tol=1e-6)
    seconds = _harness.in_turn(lambda: ours.fit(X, y), rounds=rounds).min()
    excess = objective(ours, *problem) / best - 1
    for tol in 10.0 ** -np.arange(2, 11):
        took = _harness.timed(lambda tol=tol: peer.set_params(tol=tol).fit(X, y))
        behind = objective(peer, *problem) / best - 1
        if behind <= ACCURACY or np.max(peer.n_iter_) >= peer.max_iter:
            break
    return _harness.row(
        name, f"{seconds:.3f}", f"{excess:.1e}", f"{took:.3f}", f"{behind:.1e}",
        f"{np.count_nonzero(ours.coef_)} of {ours.coef_.size}",
    )  # fmt: skip


def report(options):
    yield from _harness.opening(
        "The L1 penalty beside scikit-learn's solvers",
        "Processor seconds to within 1e-6 of the optimum, or of giving up.",
    )
    yield from _harness.head("problem", "ours, s", "excess", "peer, s", "excess", "coefficients")
    for name in options.problems:
        yield compare(name, *PROBLEMS[name], options.rounds)


if __name__ == "__main__":
    parser = _harness.parser(__doc__, rounds=3)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    _harness.publish(report(parser.parse_args()))
