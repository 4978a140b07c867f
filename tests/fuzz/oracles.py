"""What must hold of every case, whatever its data."""

import pickle
import re
import signal
import traceback
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from fuzz.cases import SPARSE, make_data, make_model, value
from fuzz.optimum import Objective, best_constant, improvement
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_lossopt import DivergenceError

# What a refusal may name.
NAMED = re.compile(
    r"\b(X|y|[Ss]amples?|sample_weight|weights?|class_weight|classes|class|labels?|targets?|"
    r"features?|alpha|l1_ratio|learning_rate|schedule|optimizer|loss|delta|epsilon|quantile|power|"
    r"batch_size|max_iter|tol|early_stopping|validation_fraction|precondition|hidden_layer_sizes|"
    r"activation)\b"
)
CHUNKS = 3
LEARNT = "coef_ intercept_ coefs_ intercepts_ t_ n_iter_ loss_curve_ classes_".split()


class TimeLimit(BaseException):
    """A case takes too long. Not an Exception, so that nobody takes it for one of the fit's."""


@contextmanager
def time_limit(seconds):
    """Raise TimeLimit in the main thread after some seconds of processor time."""

    def give_up(signum, frame):
        raise TimeLimit

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Failures(list):
    """Pairs of a kind, by which failures are counted, and a text; each kind once."""

    def add(self, kind, text=""):
        if kind not in dict(self):
            self.append((kind, str(text)[:300]))


def place(error):
    """The package's line at which an exception was raised or passed through last."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "sklearn_lossopt" in frame.filename:
            return f"{Path(frame.filename).name}:{frame.name}"
    return "outside"


def check(case, seconds=20.0):
    """The failures of a case, and the type of the error that refused it, if one did.

    Parameters
    ----------
    case : dict
    seconds : float
        Limit of processor time.

    Returns
    -------
    failures : list of tuple (kind, text)
    refusal : str or None
    """
    failures = Failures()
    try:
        with time_limit(seconds):
            refused = judge(case, failures)
    except TimeLimit as error:
        if place(error) != "outside":
            failures.add(f"hang in {place(error)}", f"no result in {seconds:g} s")
        refused = None
    return list(failures), refused


def judge(case, failures):
    """Run a case and add what is wrong with it."""
    X, y, weight, plain = make_data(case)
    model = make_model(case)
    before = [image(part) for part in (X, y, weight)]
    with recorded(failures, "fit"):
        refused = called(case, model, X, y, weight, failures)
    if before != [image(part) for part in (X, y, weight)]:
        failures.add("data are changed")
    if refused:
        return refused
    finite(case, model, X, weight, first_row(case, len(y)), failures)
    with recorded(failures, "again"):
        repeated(case, model, X, y, weight, plain, failures)
    if value(case, "hidden_layer_sizes") == () and not failures:
        optimal(case, model, plain, y, weight, failures)
    return None


def image(part):
    """The bytes of data, whatever their kind."""
    if sparse.issparse(part):
        return pickle.dumps(part.tocoo().data), pickle.dumps(part.tocoo().coords)
    if part is not None and part.dtype == object:
        return pickle.dumps(part.tolist())
    return None if part is None else part.tobytes()


@contextmanager
def recorded(failures, when):
    """Add what is warned of, but for ConvergenceWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        if not issubclass(each.category, ConvergenceWarning):
            name = Path(each.filename).name
            failures.add(f"{each.category.__name__} in {name}: {each.message}"[:120], when)


def called(case, model, X, y, weight, failures):
    """Call as the case says; what refused it, if anything did."""
    for call in calls(case, model, X, y, weight):
        before = held(model)
        try:
            call()
        except Exception as error:
            if held(model) != before:
                failures.add("a failed call changes the model", error)
            return refusal(case, error, failures)
    return None


def calls(case, model, X, y, weight):
    """The calls of a case, in order."""
    if value(case, "call") == "partial_fit":
        X = X.tocsr() if sparse.issparse(X) else X
        given = {"classes": np.unique(y)} if hasattr(model, "class_weight") else {}
        size = chunk_size(len(y))
        for start in range(0, len(y), size):
            part = slice(start, start + size)
            chunk = None if weight is None else weight[part]
            yield partial(partial_fit, model, X[part], y[part], sample_weight=chunk, **given)
        return
    yield partial(model.fit, X, y, sample_weight=weight)
    if value(case, "call") == "warm_start":
        model.set_params(warm_start=True)
        yield partial(model.fit, X, y, sample_weight=weight)
        model.set_params(warm_start=False)


def chunk_size(n):
    """The rows of a stream's call."""
    return -(-n // CHUNKS)


def first_row(case, n):
    """The first row that a model must predict finite numbers for. A stream no longer has the rows
    of the calls before its last one."""
    if value(case, "call") != "partial_fit":
        return 0
    return range(0, n, chunk_size(n))[-1]


def partial_fit(model, *chunk, **given):
    """One call, if the settings allow it."""
    if not hasattr(model, "partial_fit"):
        raise NotImplementedError("no partial_fit with these settings")
    model.partial_fit(*chunk, **given)


def held(model):
    """What a model holds, to compare."""
    state = vars(model)
    return set(state), pickle.dumps([state.get(name) for name in LEARNT])


def automatic(case):
    """Whether learning rates follow from the data. Others may lead out of all bounds."""
    return value(case, "learning_rate") == "auto" and value(case, "schedule") == "auto"


def refusal(case, error, failures):
    """What an error says, without its numbers; improper ones are failures."""
    if isinstance(error, DivergenceError):
        # Networks, and numbers at the ends of their type, may diverge. The advice must be left.
        # Networks and streams without preconditioning do, as a textbook's.
        hidden = value(case, "hidden_layer_sizes") != ()
        auto = automatic(case)
        steered = hidden or value(case, "call") == "partial_fit"
        auto = auto and (value(case, "precondition") is not False or not steered)
        extreme = {"huge", "tiny", "denormal", "extreme"} & {
            value(case, name) for name in ("columns", "y", "weight")
        }
        excused = extreme or hidden
        if auto and not (excused and "'auto'" not in str(error)):
            failures.add(f"divergence with automatic rates: {case['loss']}", error)
        return "DivergenceError"
    kind = type(error).__name__
    if isinstance(error, ValueError | TypeError):
        if not NAMED.search(str(error)) or "internal" in str(error):
            failures.add(f"{kind} names nothing, {place(error)}", error)
    elif not isinstance(error, NotImplementedError):
        failures.add(f"{kind} in {place(error)}", error)
    return f"{kind}: {re.sub(r'[0-9][0-9.e+-]*', '#', str(error))[:70]}"


def outputs(model, X):
    """What a model says of rows."""
    found = [np.asarray(model.predict(X))]
    for name in ("decision_function", "predict_proba"):
        if hasattr(model, name):
            found.append(np.asarray(getattr(model, name)(X)))
    return found


def numbers(model):
    """The fitted parameters."""
    if hasattr(model, "coefs_"):
        return [*model.coefs_, *model.intercepts_]
    return [np.asarray(model.coef_), np.asarray(model.intercept_)]


def parameters(model):
    """Those of a linear model: coef (k, d) and intercept (k,)."""
    coef = np.atleast_2d(np.asarray(model.coef_, float))
    return coef, np.atleast_1d(np.asarray(model.intercept_, float)) + np.zeros(len(coef))


def finite(case, model, X, weight, first, failures):
    """Parameters, curve and predictions from the row ``first`` on are numbers, and a copy predicts
    the same."""
    if not all(np.isfinite(part).all() for part in numbers(model)):
        failures.add("parameters are not finite")
    # F overflows on the way where rates are the user's, and is infinite then.
    curve = model.loss_curve_ if automatic(case) else model.loss_curve_[-1:]
    if not np.isfinite(curve).all():
        failures.add("loss_curve_ is not finite", model.loss_curve_[-3:])
    if (np.asarray(model.loss_curve_) < 0).any():
        failures.add("loss_curve_ below zero", model.loss_curve_.min())
    try:
        with recorded(failures, "predict"):
            found = outputs(model, X)
            copied = outputs(pickle.loads(pickle.dumps(model)), X)
    except Exception as error:
        failures.add(f"predict: {type(error).__name__} in {place(error)}", error)
        return
    used = np.full(X.shape[0], True) if weight is None else weight > 0
    used[:first] = False
    for part in found:
        if part.dtype.kind == "f" and not np.isfinite(part[used]).all():
            failures.add("predictions on training rows are not finite")
    if not all(map(np.array_equal, found, copied)):
        failures.add("a pickle predicts otherwise")


def repeated(case, model, X, y, weight, plain, failures):
    """The same from the same rows again, and from plain ones."""
    layout = value(case, "layout")
    other = make_model(case)
    rows = X if layout in (*SPARSE, "C") else np.ascontiguousarray(plain)
    if called(case, other, rows, y, weight, failures) is not None:
        failures.add(f"refused the second time or as plain rows, layout {layout}")
        return
    what = "the same call" if rows is X else f"layout {layout}"
    if not all(map(np.array_equal, numbers(other), numbers(model))):
        failures.add(f"another model from {what}")
    if layout not in SPARSE or failures or value(case, "call") != "fit":
        return
    dense = clone(model)
    refused = called(case, dense, np.asarray(X.todense()), y, weight, failures)
    # Steps are taken in coordinates in which dense rows have other lengths.
    if refused is not None:
        if automatic(case) or refused != "DivergenceError":
            failures.add("sparse is fitted, dense is not", refused)
        return
    if model.converged_ and dense.converged_ and "hidden_layer_sizes" not in case:
        low, high = sorted([model.loss_curve_[-1], dense.loss_curve_[-1]])
        # Both fits estimate the scale of their own residuals.
        share = 2e-2 if hasattr(model, "delta_") else 1e-3
        rounding = 1e-6 if model.coef_.dtype == np.float32 else 1e-9
        rounding *= 1 + abs(low)
        for each in (model, dense):
            objective = Objective(each, np.asarray(plain, float), y, weight)
            rounding += 10 * objective.rounding(*parameters(each), each.coef_.dtype)
        # What an optimum is worth is measured from the constant, as in `optimal`.
        if high - low > share * max(low, best_constant(objective) - low) + rounding:
            failures.add("sparse and dense converge to different objectives", (low, high))


def optimal(case, model, plain, y, weight, failures):
    """No worse than a constant, F is what the curve says, and nothing is far below if converged."""
    if value(case, "early_stopping") or value(case, "call") == "partial_fit":
        return
    with np.errstate(all="ignore"):
        plain = np.asarray(plain, float)
        if plain.astype(model.coef_.dtype).size and not np.isfinite(plain).all():
            return
    objective = Objective(model, plain, y, weight)
    coef, intercept = parameters(model)
    reached = objective(coef, intercept)
    if not np.isfinite(reached) and value(case, "weight") == "extreme":
        # A loss that overflows, of a row that weighs next to nothing.
        return
    if not np.isfinite(reached):
        failures.add("F at the model is not finite", reached)
        return
    dtype = model.coef_.dtype
    rounding = objective.rounding(coef, intercept, dtype) + 10 * np.finfo(dtype).eps * abs(reached)
    rounding += float(np.finfo(dtype).tiny)
    said = model.loss_curve_[-1]
    if value(case, "tol") > 0 and abs(said - reached) > 1e-6 * abs(reached) + 10 * rounding:
        failures.add("loss_curve_ ends with another value than F", (said, reached))
    constant = best_constant(objective)
    defaults = not {"learning_rate", "schedule", "max_iter", "tol", "precondition"} & case.keys()
    if case["loss"] == "perceptron":
        return
    slack = max(1e-6, value(case, "tol")) * abs(constant) + 10 * rounding
    if (model.converged_ or defaults) and reached > constant + slack:
        failures.add("worse than the best constant", (reached, constant))
        return
    if model.converged_:
        best, where = improvement(objective, [(coef, intercept)])
        rounding += objective.rounding(*where, dtype) if where else 0.0
        allowed = max(1e-3 * (constant - best), 10 * value(case, "tol") * abs(reached))
        if reached - best > allowed + 10 * rounding:
            kind = "smooth" if not objective.kinked else "non-smooth"
            gap = (reached - best) / max(constant - best, 1e-300)
            failures.add(
                f"converged_ far from the optimum, {kind}, {case['loss']}",
                f"F {reached:.6g}, found {best:.6g}, constant {constant:.6g}: gap {gap:.1e}",
            )
