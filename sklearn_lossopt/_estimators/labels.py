"""Labels, their codes and their weights. Floor 3."""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels

# Labels encoded at once: bounds the memory that encoding takes.
LABELS_AT_ONCE = 1_000_000


def labels(y, rows):
    """Sorted labels of the rows used."""
    if y.dtype.kind not in "biu":
        check_classification_targets(y)
    classes = np.unique(y if rows is None else y[rows])
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class only, {classes[0]!r}, in the rows of positive sample_weight; "
            "a classifier needs samples of at least two classes."
        )
    return classes


def encode(y, classes, dtype):
    """Targets, +-1 for two classes, and class indices as floats, which more have as targets."""
    code = np.empty(len(y), dtype)
    for start in range(0, len(y), LABELS_AT_ONCE):
        part = slice(start, start + LABELS_AT_ONCE)
        code[part] = np.searchsorted(classes, y[part])
    return (2 * code - 1)[:, None] if len(classes) == 2 else code, code


def encode_known(y, rows, classes, dtype):
    """The same for labels y_val, all of which must be known."""
    rows = slice(None) if rows is None else rows
    unknown = sorted(set(y[rows].tolist()) - set(classes.tolist()), key=repr)
    if len(unknown):
        raise ValueError(
            f"y_val holds {', '.join(map(repr, unknown[:5]))}, which y does not. Its "
            f"labels are {', '.join(map(repr, classes[:5].tolist()))}"
            f"{', ...' if len(classes) > 5 else ''}."
        )
    known = np.full(len(y), classes[0])
    known[rows] = y[rows]
    return encode(known, classes, dtype)


def resolve_class_weight(class_weight, classes, data):
    """Weights of the classes, or None."""
    if class_weight is None:
        return None
    used = slice(None) if data.rows is None else data.rows
    index = data.code[used].astype(np.intp)
    if class_weight == "balanced":
        weight = None if data.weight is None else data.weight[used]
        counts = np.bincount(index, weights=weight, minlength=len(classes))
        return counts.sum() / (len(classes) * counts)
    class_weights = compute_class_weight(class_weight, classes=classes, y=classes[index])
    if not (
        np.isfinite(class_weights).all() and (class_weights >= 0).all() and class_weights.any()
    ):
        raise ValueError(
            f"class_weight={class_weight!r} must hold finite numbers that are at least 0, one of "
            "them positive."
        )
    return class_weights


def known_classes(estimator, classes):
    """The labels of a whole stream, by scikit-learn's rules for first and later calls."""
    known = getattr(estimator, "classes_", None)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return known
    given = unique_labels(classes)
    if known is not None:
        if not np.array_equal(known, given):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{known!r}"
            )
        return known
    if len(given) < 2:
        raise ValueError(
            f"classes={classes!r} holds one class only; a classifier needs at least two."
        )
    return given


def check_labels(y, rows, classes):
    """Labels of which all are known; ValueError if a row used has one that was not announced."""
    if y.dtype.kind not in "biu":
        check_classification_targets(y)
    found = np.unique(y if rows is None else y[rows])
    alike = (found.dtype.kind in "biuf") == (classes.dtype.kind in "biuf")
    unknown = np.setdiff1d(found, classes) if alike else found
    if len(unknown):
        raise ValueError(
            f"y holds {', '.join(map(repr, unknown[:5].tolist()))}, which classes does not: "
            f"{', '.join(map(repr, classes[:5].tolist()))}{', ...' if len(classes) > 5 else ''}. "
            "Pass all labels of the stream as classes in the first call of partial_fit."
        )
    if rows is None:
        return y
    known = np.full(len(y), classes[0])
    known[rows] = y[rows]
    return known
