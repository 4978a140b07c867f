"""Files of skops: loaded with the types that are listed, a model predicts and trains as before."""

import numpy as np
import pytest
from catalogue import COVER, PAIRS, SCHEDULES, STEPPING, make, make_data
from cover import pairwise
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lossopt import GradientSearchCV, preprocessing, skops_types
from sklearn_lossopt.losses import RegressionLoss
from sklearn_lossopt.schedules import Schedule

skops = pytest.importorskip("skops.io")
TRUSTED = skops_types()
# The others train on the whole of their data only.
STREAMING = [name for name in STEPPING if hasattr(make("regression", None, name), "partial_fit")]


def through_a_file(model):
    return skops.loads(skops.dumps(model), trusted=TRUSTED)


@pytest.mark.parametrize("task, loss, optimizer", COVER)
def test_a_fit(task, loss, optimizer):
    X, y = make_data(task, loss)
    model = make(task, loss, optimizer, max_iter=5, tol=0).fit(X, y)
    assert_array_equal(through_a_file(model).predict(X), model.predict(X))


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule(schedule, objects):
    X, y = make_data("regression")
    given = Schedule.resolve(schedule) if objects and schedule != "auto" else schedule
    model = make("regression", schedule=given, max_iter=5, tol=0, warm_start=True).fit(X, y)
    again = through_a_file(model)
    assert_array_equal(again.fit(X, y).coef_, model.fit(X, y).coef_)


TEXTBOOK = {"precondition": False, "learning_rate": 1e-3, "schedule": "constant"}


@pairwise(
    "task, loss", PAIRS, optimizer=STREAMING, hidden=[(), (3,)],
    given=[{}, TEXTBOOK, {"schedule": "plateau"}, {"precondition": "whiten"}, {"l1_ratio": 0.5}],
    calls=[1, 3],
)  # fmt: skip
def test_a_stream_goes_on(task, loss, optimizer, hidden, given, calls):
    X, y = make_data(task, loss)
    X /= 10  # textbook steps diverge on larger rows
    if hidden and given.get("precondition") == "whiten":
        given = {}
    model = make(task, loss, optimizer, hidden_layer_sizes=hidden, **given)
    if not hasattr(model, "partial_fit"):
        pytest.skip("the optimizer does not train on chunks with these parameters")
    classes = {"classes": np.unique(y)} if task == "classification" else {}
    for _ in range(calls):
        model.partial_fit(X, y, **classes)
    again = through_a_file(model)
    assert_array_equal(again.predict(X), model.predict(X))
    assert_array_equal(again.partial_fit(X, y).predict(X), model.partial_fit(X, y).predict(X))


def test_the_best_model_of_a_search():
    X, y = make_data("regression")
    model = make_pipeline(StandardScaler(), make("regression"))
    search = GradientSearchCV(model, {"gradientregressor__alpha": [0.1, 0.01]}, cv=2).fit(X, y)
    assert_array_equal(through_a_file(search.best_estimator_).predict(X), search.predict(X))


@pytest.mark.parametrize("name", preprocessing.__all__)
def test_a_transformer(name):
    X, y = make_data("regression")
    model = make_pipeline(getattr(preprocessing, name)(), make("regression")).fit(X, y)
    assert_array_equal(through_a_file(model).predict(X), model.predict(X))


def test_what_else_a_model_holds():
    X, y = make_data("classification", n_targets=2)
    labels = np.array(["a", "b", "c"])[y]
    model = make("classification", early_stopping=True, l1_ratio=0.5, alpha=0.1)
    model.set_params(random_state=np.random.RandomState(0), class_weight={"a": 2.0, "b": 1, "c": 1})
    model.fit(X, labels).sparsify()
    assert_array_equal(through_a_file(model).predict(X), model.predict(X))


class Own(RegressionLoss):
    """A user's class, which nothing in this package trusts."""

    def loss_gradient(self, y, raw):
        return (raw - y) ** 2, 2 * (raw - y)


def test_own_types_are_not_trusted_by_themselves():
    X, y = make_data("regression")
    saved = skops.dumps(make("regression", Own(), max_iter=5, tol=0).fit(X, y))
    own = f"{Own.__module__}.Own"
    assert set(skops.get_untrusted_types(data=saved)) - set(TRUSTED) == {own}
    with pytest.raises(skops.exceptions.UntrustedTypesFoundException, match="Own"):
        skops.loads(saved, trusted=TRUSTED)
    skops.loads(saved, trusted=[*TRUSTED, own])


def test_only_types_of_this_package_are_listed():
    types = [name for name in TRUSTED if not name.startswith("sklearn_lossopt.")]
    assert types == ["scipy.sparse._csr.csr_matrix"]


def test_mlflow_keeps_a_model_as_skops(tmp_path):
    mlflow = pytest.importorskip("mlflow.sklearn")
    X, y = make_data("regression")
    model = make("regression", "huber").fit(X, y)
    mlflow.save_model(
        model, tmp_path / "model", serialization_format="skops",
        skops_trusted_types=skops_types(), pip_requirements=["sklearn-lossopt"],
    )  # fmt: skip
    assert_array_equal(mlflow.load_model(str(tmp_path / "model")).predict(X), model.predict(X))
