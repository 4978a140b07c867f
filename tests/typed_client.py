"""A user's program, for type checkers: what they must know, and what they must object to.

`mypy --strict` objects to a `type: ignore` where there is nothing to ignore.
"""

from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
from numpy.typing import NDArray

from sklearn_lossopt import (
    GradientClassifier,
    GradientHalvingSearchCV,
    GradientRegressor,
    GradientSearchCV,
    Trace,
    skops_types,
    trace,
)
from sklearn_lossopt.losses import Huber, LogLoss, Loss, RegressionLoss, check_loss, registry
from sklearn_lossopt.optimizers import Adam, Averaged, Optimizer
from sklearn_lossopt.schedules import Schedule, WarmUp

Array = NDArray[Any]
FloatArray = NDArray[np.floating[Any]]


class Cauchy(RegressionLoss):
    """A loss of the user's."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def loss_gradient(self, y: Array, raw: Array) -> tuple[Array, Array]:
        r = (raw - y) / self.scale
        return np.log1p(r**2), 2 * r / (1 + r**2) / self.scale


class Signs(Optimizer):
    """An optimizer of the user's."""

    n_slots = 1

    def step(
        self,
        parameters: NDArray[np.float64],
        gradient: NDArray[np.float64],
        state: NDArray[np.float64],
        t: int,
        learning_rate: float,
    ) -> None:
        state += gradient
        parameters -= learning_rate * np.sign(state[0])


class Halves(Schedule):
    """A schedule of the user's."""

    def __call__(self, step: Array, steps_per_epoch: int, max_iter: int) -> Array:
        return 0.5 ** (step // steps_per_epoch)


def estimators() -> None:
    """Fits, predictions and what they leave."""
    X = np.arange(40.0).reshape(20, 2) % 7
    y = X @ [1.0, 2.0]
    model = GradientRegressor(Huber(delta="auto"), Adam(beta_1=0.8), schedule=WarmUp("cosine"))
    assert_type(model.fit(X, y), GradientRegressor)
    assert_type(model.partial_fit(X, y), GradientRegressor)
    assert_type(model.set_params(alpha=0.1), GradientRegressor)
    assert_type(model.predict([[1.0, 2.0]]), FloatArray)
    assert_type(model.loss_curve_, FloatArray)
    assert_type(model.converged_, bool)
    assert_type(model.n_iter_, int)
    own = GradientRegressor(Cauchy(scale=2.0), Signs(), schedule=Halves(), learning_rate=0.1, tol=0)
    own.fit(X, y, X_val=X, y_val=y)

    labels = np.where(y > 9, "much", "little")
    classifier = GradientClassifier("log_loss", class_weight={"much": 2}, random_state=0)
    assert_type(classifier.fit(X, labels, sample_weight=y + 1), GradientClassifier)
    assert_type(classifier.predict(X), Array)
    assert_type(classifier.predict_proba(X), FloatArray)
    assert_type(classifier.decision_function(X), FloatArray)
    assert_type(classifier.classes_, Array)

    found = trace(model, X, y, every="epoch")
    assert_type(found, Trace)
    assert_type(found.objective, FloatArray)
    assert_type(found.evaluate([1.0, 2.0], 0.0), float)

    grid = {"optimizer": ["sgd", "adam"], "alpha": np.logspace(-4, 0, 3)}
    search = GradientSearchCV(classifier, grid, scoring="accuracy", cv=3)
    assert_type(search.fit(X, labels), GradientSearchCV)
    assert_type(search.best_params_, dict[str, Any])
    GradientHalvingSearchCV(classifier, grid, factor=2, max_epochs=8, cv=3).fit(X, labels)


def components() -> None:
    """Registries and checks."""
    assert_type(registry(), dict[str, type[Loss]])
    assert_type(Loss.resolve("huber"), Loss)
    assert_type(check_loss(LogLoss(), n_outputs=1), dict[str, Any])
    assert_type(Averaged(Adam(), start=10).n_slots, int)
    assert_type(Halves()(np.arange(3.0), 1, 3), Array)
    assert_type(skops_types(), list[str])


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy.sparse import csr_array  # type: ignore[import-untyped, unused-ignore]

    from sklearn_lossopt.plotting import LossCurveDisplay, LossDisplay

    def displays(model: GradientRegressor, rows: csr_array) -> None:
        """What displays return."""
        assert_type(LossDisplay.from_losses(["huber", Cauchy()]), LossDisplay)
        display = LossCurveDisplay.from_estimators({"model": model}, yscale="log")
        assert_type(display, LossCurveDisplay)
        assert_type(display.ax_, Axes)
        model.predict(rows)

    def mistakes(model: GradientRegressor, X: Array, y: Array) -> None:
        """What a type checker must find."""
        GradientRegressor(alpha="much")  # type: ignore[arg-type]
        GradientRegressor(max_iter=1.5)  # type: ignore[arg-type]
        GradientRegressor(momentum=0.9)  # type: ignore[call-arg]
        GradientRegressor("huber", "adam", (3,))  # type: ignore[call-arg]
        GradientClassifier(precondition="yes")  # type: ignore[arg-type]
        Adam(beta1=0.9)  # type: ignore[call-arg]
        Huber(delta="automatic")  # type: ignore[arg-type]
        model.fit(X)  # type: ignore[call-arg]
        model.fit(X, y, y)
        model.fit(X, y, None, X, y)  # type: ignore[call-arg]
        model.fit(X, len)  # type: ignore[arg-type]
        trace(model, X, y, every="day")  # type: ignore[arg-type]
        GradientSearchCV(model, n_iter=0.5)  # type: ignore[arg-type]


if __name__ == "__main__":
    estimators()
    components()
