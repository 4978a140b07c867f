"""Fitted models as ONNX graphs: importing this module registers converters with skl2onnx.

From then on, ``skl2onnx.to_onnx`` takes both estimators, both searches and the transformers of
``sklearn_lossopt.preprocessing``, alone and as a step of a scikit-learn pipeline. A graph turns raw
predictions into predictions by the link that the loss states. It computes in the precision that the
model itself would use for the same input.

Examples
--------
>>> import numpy as np
>>> import sklearn_lossopt.onnx
>>> from skl2onnx import to_onnx
>>> from sklearn_lossopt import GradientClassifier
>>> X = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
>>> model = GradientClassifier("hinge").fit(X, ["no", "no", "yes"])
>>> graph = to_onnx(model, X[:1], options={"zipmap": False}).graph
>>> [output.name for output in graph.output]
['label', 'probabilities']
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.special import erfcx
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_lossopt._estimators.classifier import GradientClassifier
from sklearn_lossopt._estimators.prediction import FittedParameters
from sklearn_lossopt._estimators.regressor import GradientRegressor
from sklearn_lossopt._extras import missing_extra
from sklearn_lossopt._typing import Array
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.losses._links import Clipped, Identity, Log, Logistic
from sklearn_lossopt.preprocessing import PiecewiseLinearEncoder, SmoothClipScaler
from sklearn_lossopt.preprocessing._scaler import FARTHEST
from sklearn_lossopt.search import GradientHalvingSearchCV, GradientSearchCV

try:
    from onnx import TensorProto
    from onnx.helper import np_dtype_to_tensor_dtype
    from onnx.numpy_helper import from_array
    from skl2onnx import update_registered_converter
    from skl2onnx._parse import (
        _parse_sklearn_classifier,
        parse_sklearn,
        update_registered_parser,
    )
    from skl2onnx.common.data_types import (
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
        guess_proto_type,
        guess_tensor_type,
    )
    from skl2onnx.common.utils_classifier import get_label_classes
except ImportError as _error:
    raise missing_extra("sklearn_lossopt.onnx", "skl2onnx", "onnx") from _error

__all__: list[str] = []

# Reductions took their axes as an attribute before these versions.
AXES_ARE_INPUTS = {"ReduceSum": 13, "ReduceMax": 18}
OLDEST_OPSET = 13


class Graph:
    """The part of an ONNX graph that one model becomes.

    Methods that add nodes return the name of their output. Inputs are names, or numbers that become
    constants of the graph's precision.
    """

    scope: Any
    container: Any
    dtype: np.dtype[Any]

    def __init__(self, scope: Any, container: Any, dtype: DTypeLike) -> None:
        if container.target_opset < OLDEST_OPSET:
            raise ValueError(
                f"target_opset={container.target_opset} is too old for sklearn_lossopt: it must be "
                f"at least {OLDEST_OPSET}."
            )
        self.scope, self.container, self.dtype = scope, container, np.dtype(dtype)

    def constant(self, values: Array | list[str]) -> str:
        """An array or a list of strings, in its own type."""
        name = self.scope.get_unique_variable_name("constant")
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values)
            kind = np_dtype_to_tensor_dtype(values.dtype)
            self.container.add_initializer(name, kind, values.shape, from_array(values))
        else:
            text = [value.encode("utf-8") for value in values]
            self.container.add_initializer(name, TensorProto.STRING, [len(text)], text)
        return name

    def add(
        self, kind: str, *inputs: str | ArrayLike, output: str | None = None, **attributes: Any
    ) -> str:
        """One node."""
        names = [
            given if isinstance(given, str) else self.constant(np.asarray(given, self.dtype))
            for given in inputs
        ]
        output = output or self.scope.get_unique_variable_name(kind.lower())
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, names, [output], name=name, **attributes)
        return output

    def reduce(self, kind: str, x: str) -> str:
        """A reduction over the columns of x (n, k), which stay as one."""
        if self.container.target_opset < AXES_ARE_INPUTS[kind]:
            return self.add(kind, x, axes=[1], keepdims=1)
        return self.add(kind, x, self.constant(np.array([1])), keepdims=1)

    def cast(self, x: str, kind: int, output: str | None = None) -> str:
        """x in another type, given as ONNX numbers it."""
        return self.add("Cast", x, to=kind, output=output)


# Hidden units -------------------------------------------------------------------------------------


def logistic(g: Graph, x: str) -> str:
    return g.add("Reciprocal", g.add("Add", g.add("Exp", g.add("Neg", x)), 1))


@cache
def normal_tail() -> Array:
    """The polynomial P in t = (u - 3.75) / (u + 3.75) with erfcx(u) = P(t) / (1 + 2 u), from the
    highest power down. t maps all u >= 0 to [-1, 1] (Schonfelder 1978)."""

    def smooth(t):
        u = 3.75 * (1 + t) / (1 - t)
        return erfcx(u) * (1 + 2 * u)

    series = np.polynomial.chebyshev.chebinterpolate(smooth, 26)
    return np.polynomial.chebyshev.cheb2poly(series)[::-1]


def normal(g: Graph, x: str) -> str:
    """The normal distribution function; there is no runtime with an error function of doubles."""
    u = g.add("Mul", g.add("Abs", x), np.sqrt(0.5))
    t = g.add("Div", g.add("Sub", u, 3.75), g.add("Add", u, 3.75))
    first, *others = normal_tail()
    series = g.add("Add", g.add("Mul", t, first), others[0])
    for coefficient in others[1:]:
        series = g.add("Add", g.add("Mul", t, series), coefficient)
    small = g.add("Exp", g.add("Neg", g.add("Mul", u, u)))
    ratio = g.add("Div", series, g.add("Add", g.add("Add", u, u), 1))
    tail = g.add("Mul", g.add("Mul", small, ratio), 0.5)
    return g.add("Where", g.add("Less", x, 0), tail, g.add("Sub", 1, tail))


# By the names that the engine has for them.
ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda g, x: x,
    "relu": lambda g, x: g.add("Max", x, 0),
    "leaky_relu": lambda g, x: g.add("Max", x, g.add("Mul", x, 0.01)),
    "tanh": lambda g, x: g.add("Tanh", x),
    "logistic": logistic,
    "silu": lambda g, x: g.add("Mul", x, logistic(g, x)),
    "gelu": lambda g, x: g.add("Mul", x, normal(g, x)),
}


# Predictions --------------------------------------------------------------------------------------


def raw_predictions(g: Graph, x: str, model: Any) -> str:
    """Raw predictions (n, k): the mean of those of the members."""
    first, *others = FittedParameters.each(model)
    if not isinstance(first.coef, list):
        return g.add("Add", g.add("MatMul", x, first.coef.T), first.intercept)
    if model._activation not in ACTIVATIONS:
        raise ValueError(f"activation={model._activation!r} has no form in ONNX yet.")
    activate = ACTIVATIONS[model._activation]
    if not others:
        return network(g, x, first, activate)
    share, total = 1 / (1 + len(others)), None
    for member in (first, *others):
        # Each is divided by their number before they are added up, as the estimator does it.
        raw = g.add("Mul", network(g, x, member, activate), share)
        total = raw if total is None else g.add("Add", total, raw)
    return total


def network(g: Graph, x: str, parameters: Any, activate: Callable[[Graph, str], str]) -> str:
    """Raw predictions (n, k) of one network."""
    for layer, (w, b) in enumerate(zip(*parameters, strict=True)):
        x = x if layer == 0 else activate(g, x)
        x = g.add("Add", g.add("MatMul", x, w), b)
    return x


def log_expit(g: Graph, x: str) -> str:
    """The logarithm of 1 / (1 + exp(-x)), without overflow."""
    rest = g.add("Log", g.add("Add", g.add("Exp", g.add("Neg", g.add("Abs", x))), 1))
    return g.add("Sub", g.add("Min", x, 0), rest)


def logistic_probabilities(g: Graph, raw: str, n_classes: int, link: Any, joint: bool) -> str:
    raw = g.add("Mul", raw, link.slope)
    if n_classes == 2:
        return g.add("Concat", logistic(g, g.add("Neg", raw)), logistic(g, raw), axis=1)
    return g.add("Softmax", raw if joint else log_expit(g, raw), axis=1)


def clipped_probabilities(g: Graph, raw: str, n_classes: int, link: Any, joint: bool) -> str:
    p = g.add("Mul", g.add("Add", g.add("Min", g.add("Max", raw, -1), 1), 1), 0.5)
    if n_classes == 2:
        return g.add("Concat", g.add("Sub", 1, p), p, axis=1)
    total = g.reduce("ReduceSum", p)
    some = g.add("Greater", total, 0)
    share = g.add("Div", p, g.add("Where", some, total, 1))
    return g.add("Where", some, share, 1 / n_classes)


# By what a loss states as `_link` and as `_probability_link`.
LINKS: dict[Any, Callable[..., str]] = {
    Identity: lambda g, raw: raw,
    Log: lambda g, raw: g.add("Exp", raw),
}
PROBABILITY_LINKS: dict[Any, Callable[..., str]] = {
    Logistic: logistic_probabilities,
    Clipped: clipped_probabilities,
}


def known_form(
    table: dict[Any, Callable[..., str]], loss: Loss, link: Any, method: str, remedy: str
) -> Callable[..., str]:
    """The entry of a table for a loss's link, or an error that says what to do without one."""
    if type(link) not in table:
        raise ValueError(
            f"loss={loss!r} cannot be converted to ONNX: only its method {method}() knows what "
            f"raw predictions mean. {remedy}"
        )
    return table[type(link)]


def scores_or_probabilities(g: Graph, raw: str, model: Any, raw_scores: bool) -> str:
    """Numbers (n, n_classes): probabilities where the loss has them, or the decision function,
    which for two classes is that of each."""
    loss, n_classes = model._loss, len(model.classes_)
    if raw_scores or not loss.has_proba:
        return raw if n_classes > 2 else g.add("Concat", g.add("Neg", raw), raw, axis=1)
    form = known_form(
        PROBABILITY_LINKS, loss, loss._probability_link, "_probabilities",
        "State them in place of it where they are those of another loss, such as "
        "`_probability_link = LogLoss._probability_link`, or convert the decision function with "
        "options={'raw_scores': True}.",
    )  # fmt: skip
    return form(g, raw, n_classes, loss._probability_link, loss.joint)


def predicted_class(g: Graph, raw: str) -> str:
    """The indices (n,) that ``GradientClassifier.predict`` finds, ties included."""
    top, size = g.reduce("ReduceMax", raw), g.reduce("ReduceMax", g.add("Abs", raw))
    rounding = g.add("Mul", size, np.finfo(g.dtype).eps ** 0.75)
    best = g.add("GreaterOrEqual", raw, g.add("Sub", top, rounding))
    return g.add("ArgMax", g.cast(best, TensorProto.FLOAT), axis=1, keepdims=0)


# What skl2onnx calls ------------------------------------------------------------------------------


def features(scope: Any, operator: Any, container: Any, dtype: Any) -> tuple[Graph, str]:
    """The graph to add to, and the columns (n, d) in the precision that a model of a type has for
    such inputs."""
    given = [FloatTensorType if type(x.type) is FloatTensorType else None for x in operator.inputs]
    g = Graph(scope, container, np.result_type(np.float64 if None in given else np.float32, dtype))
    kind = np_dtype_to_tensor_dtype(g.dtype)
    columns = [g.cast(x.full_name, kind) for x in operator.inputs]
    return g, columns[0] if len(columns) == 1 else g.add("Concat", *columns, axis=1)


def begin(scope: Any, operator: Any, container: Any) -> tuple[Graph, str]:
    """The graph to add to, and raw predictions (n, k)."""
    model = operator.raw_operator
    g, x = features(scope, operator, container, FittedParameters.each(model)[0].dtype)
    return g, raw_predictions(g, x, model)


def regressor_shapes(operator: Any) -> None:
    n, model = check_inputs(operator), operator.raw_operator
    kind = type(guess_tensor_type(operator.inputs[0].type))
    operator.outputs[0].set_type(kind([n, FittedParameters.each(model)[0].widths[-1]]))


def convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    loss = operator.raw_operator._loss
    form = known_form(
        LINKS, loss, loss._link, "_predict",
        "State the link in place of it where it is that of another loss, such as "
        "`_link = Poisson._link`.",
    )  # fmt: skip
    g, raw = begin(scope, operator, container)
    output = operator.outputs[0]
    g.cast(form(g, raw), guess_proto_type(output.type), output=output.full_name)


def classifier_shapes(operator: Any) -> None:
    n = check_inputs(operator)
    classes = get_label_classes(operator.scope_inst, operator.raw_operator)
    kind = StringTensorType if classes.dtype.kind in "OUT" else Int64TensorType
    operator.outputs[0].set_type(kind([n]))
    operator.outputs[1].type.shape = [n, len(classes)]


def convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    g, raw = begin(scope, operator, container)
    label, numbers = operator.outputs
    # Converters of other estimators tell the one, parsers the other.
    raw_scores = any(
        place.get_options(model, dict(raw_scores=False))["raw_scores"]
        for place in (scope, container)
    )
    found = scores_or_probabilities(g, raw, model, raw_scores)
    g.cast(found, guess_proto_type(numbers.type), output=numbers.full_name)
    if len(model.classes_) == 2:
        positive = g.cast(g.add("Greater", raw, 0), TensorProto.INT64)
        index = g.add("Reshape", positive, g.constant(np.array([-1])))
    else:
        index = predicted_class(g, raw)
    classes = get_label_classes(scope, model)
    if type(label.type) is StringTensorType:
        labels = g.constant([str(found) for found in classes])
    else:
        labels = g.constant(classes.astype(np.int64))
    g.add("Gather", labels, index, output=label.full_name)


def clip(g: Graph, x: str, least: Any, most: Any) -> str:
    """x between bounds; NaN stays."""
    return g.add("Min", g.add("Max", x, least), most)


def encode(g: Graph, x: str, model: Any) -> str:
    """What a PiecewiseLinearEncoder makes of columns (n, d)."""
    bins = model._bins()
    x = g.add("Gather", x, g.constant(bins.column.astype(np.int64)), axis=1)
    filling = g.add("Div", g.add("Sub", x, bins.lower), bins.width)
    return clip(g, filling, bins.least, bins.most)


def smooth_clip(g: Graph, x: str, model: Any) -> str:
    """What a SmoothClipScaler makes of columns (n, d)."""
    scale = model.scale_ * model.scale_.dtype.type(model.limit)
    u = clip(g, g.add("Div", g.add("Sub", x, model.center_), scale), -FARTHEST, FARTHEST)
    root = g.add("Sqrt", g.add("Add", g.add("Mul", u, u), 1))
    return g.add("Mul", g.add("Div", u, root), model.limit)


# By class: what makes its columns, and the attribute whose type they are computed in.
TRANSFORMERS: dict[type, tuple[Callable[[Graph, str, Any], str], Callable[[Any], Any]]] = {
    PiecewiseLinearEncoder: (encode, lambda model: np.result_type(*model.bin_edges_)),
    SmoothClipScaler: (smooth_clip, lambda model: model.scale_.dtype),
}


def transformer_shapes(operator: Any) -> None:
    n, model = check_inputs(operator), operator.raw_operator
    kind = type(guess_tensor_type(operator.inputs[0].type))
    operator.outputs[0].set_type(kind([n, len(model.get_feature_names_out())]))


def convert_transformer(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    form, dtype = TRANSFORMERS[type(model)]
    g, x = features(scope, operator, container, dtype(model))
    output = operator.outputs[0]
    g.cast(form(g, x, model), guess_proto_type(output.type), output=output.full_name)


def check_inputs(operator: Any) -> int | None:
    """The number of rows, if it is fixed, of a fitted model's inputs."""
    check_is_fitted(operator.raw_operator)
    for x in operator.inputs:
        if isinstance(x.type, StringTensorType):
            raise ValueError(
                f"{type(operator.raw_operator).__name__} takes numbers, but the input "
                f"{x.raw_name!r} is text. Encode it in a step of the pipeline before."
            )
    return operator.inputs[0].get_first_dimension()


def parse_classifier(scope: Any, model: Any, inputs: Any, custom_parsers: Any | None = None) -> Any:
    """skl2onnx's own parser, which finds labels only in a fitted model."""
    check_is_fitted(model)
    return _parse_sklearn_classifier(scope, model, inputs, custom_parsers=custom_parsers)


def parse_search(scope: Any, model: Any, inputs: Any, custom_parsers: Any | None = None) -> Any:
    """A search is its best model, whose last step has the options of the search."""
    check_is_fitted(model)
    last = model.best_estimator_
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    scope.add_options(id(last), (scope.options or {}).get(id(model), {}))
    return parse_sklearn(scope, model.best_estimator_, inputs, custom_parsers=custom_parsers)


CLASSIFIER_OPTIONS: dict[str, list[Any]] = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def register() -> None:
    """Tell skl2onnx of the converters; importing the module does it."""
    update_registered_converter(
        GradientRegressor, "SklearnLossoptRegressor", regressor_shapes, convert_regressor
    )
    update_registered_converter(
        GradientClassifier, "SklearnLossoptClassifier", classifier_shapes, convert_classifier,
        parser=parse_classifier, options=CLASSIFIER_OPTIONS,
    )  # fmt: skip
    for transformer in TRANSFORMERS:
        name = f"SklearnLossopt{transformer.__name__}"
        update_registered_converter(transformer, name, transformer_shapes, convert_transformer)
    for search in (GradientSearchCV, GradientHalvingSearchCV):
        update_registered_parser(search, parse_search)


register()
