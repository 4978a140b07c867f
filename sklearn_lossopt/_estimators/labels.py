"""Class labels: their encoding, their checks and the weights of the classes."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from sklearn_lossopt._estimators.data import TargetEncoding, select

# Labels that are encoded at once: bounds the memory that encoding takes.
LABELS_AT_ONCE = 1_000_000


@dataclass
class LabelEncoding(TargetEncoding):
    """Labels as +-1 where there are two classes, as class indices where there are more."""

    classes: np.ndarray  # sorted
    dtype: np.dtype  # that of X
    joint: bool  # whether the loss takes all classes together

    flat = False

    @property
    def target_kind(self):
        if len(self.classes) == 2:
            return "values"
        return "class" if self.joint else "one_vs_rest"

    @property
    def n_outputs(self):
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def attributes(self):
        return {"classes_": self.classes}

    def encode(self, y):
        """Targets, and class indices; of more than two classes they are the targets, as floats."""
        two = len(self.classes) == 2
        codes = np.empty(len(y), np.int8 if two else self.dtype)
        for start in range(0, len(y), LABELS_AT_ONCE):
            part = slice(start, start + LABELS_AT_ONCE)
            codes[part] = class_codes(self.classes, y[part])
        if not two:
            return codes, codes
        target = codes[:, None].astype(self.dtype)
        target *= 2
        target -= 1
        return target, codes

    def encode_validation(self, y, sample_indices):
        unknown = sorted(
            set(select(y, sample_indices).tolist()) - set(self.classes.tolist()), key=repr
        )
        if unknown:
            raise ValueError(
                f"y_val holds {_some(unknown)}, which y does not. Its labels are "
                f"{_some_of(self.classes)}."
            )
        return self.encode(self._known(y, sample_indices))

    def encode_announced(self, y, sample_indices):
        """The same for a chunk of a stream, whose labels were announced in its first call."""
        if sample_indices is None and y.dtype == self.classes.dtype and y.dtype.kind in "biu":
            at = np.searchsorted(self.classes, y)
            if (self.classes[np.minimum(at, len(self.classes) - 1)] == y).all():
                return self.encode_known(y, None)  # before slower checks of the same
        if y.dtype.kind not in "biu":
            check_classification_targets(y)
        found = distinct(select(y, sample_indices))
        alike = (found.dtype.kind in "biuf") == (self.classes.dtype.kind in "biuf")
        unknown = np.setdiff1d(found, self.classes) if alike else found
        if len(unknown):
            raise ValueError(
                f"y holds {_some(unknown.tolist())}, which classes does not: "
                f"{_some_of(self.classes)}. "
                "Pass all labels of the stream as classes in the first call of partial_fit."
            )
        return self.encode_known(y, sample_indices)

    def encode_known(self, y, sample_indices):
        """The same for labels that have been looked at before."""
        return self.encode(self._known(y, sample_indices))

    def _known(self, y, sample_indices):
        """Labels with the first class in rows that are not used, which may hold any label."""
        if sample_indices is None:
            return y.astype(self.classes.dtype, copy=False)
        # Without the dtype longer labels than the first would be cut off.
        known = np.full(len(y), self.classes[0], self.classes.dtype)
        known[sample_indices] = y[sample_indices]
        return known


def distinct(y):
    """The sorted distinct labels of an array (n,)."""
    if y.dtype.kind in "iu" and len(y):
        low, high = y.min(), y.max()
        if int(high) - int(low) < len(y):
            # Whole numbers that lie together are ticked off.
            seen = np.zeros(int(high) - int(low) + 1, bool)
            seen[np.subtract(y, low, dtype=np.int64 if y.dtype.kind == "i" else y.dtype)] = True
            return np.flatnonzero(seen).astype(y.dtype) + low
    return np.unique(y)


def class_codes(classes, y):
    """Which of the sorted classes each label is."""
    return y == classes[1] if len(classes) == 2 else np.searchsorted(classes, y)


def _some(labels):
    return ", ".join(map(repr, labels[:5]))


def _some_of(classes):
    return f"{_some(classes.tolist())}{', ...' if len(classes) > 5 else ''}"


def find_classes(y, sample_indices):
    """Sorted labels of the rows that are used."""
    if y.dtype.kind not in "biu":
        check_classification_targets(y)
    classes = distinct(select(y, sample_indices))
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class only, {classes[0]!r}, in the rows of positive sample_weight; "
            "a classifier needs samples of at least two classes."
        )
    return classes


def _same_labels(classes, known):
    """Whether an array, or a list of one type, has just the known labels in their order."""
    if isinstance(classes, list | tuple) and len(set(map(type, classes))) == 1:
        classes = np.asarray(classes)
    if not (isinstance(classes, np.ndarray) and classes.shape == known.shape):
        return False
    return classes.dtype.kind == known.dtype.kind and bool((classes == known).all())


def announced_classes(known, classes):
    """The labels of a whole stream, by scikit-learn's rules for first and later calls.

    Parameters
    ----------
    known : ndarray or None
        ``classes_`` of earlier calls.
    classes : array-like or None
        As given to this call.
    """
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return known
    if known is not None and _same_labels(classes, known):
        return known  # before slower checks of the same
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


def resolve_class_weight(class_weight, rows, classes):
    """The weight of each class in these rows, or None."""
    if class_weight is None:
        return None
    codes = select(rows.codes, rows.sample_indices).astype(np.intp)
    if class_weight == "balanced":
        weight = None if rows.weight is None else select(rows.weight, rows.sample_indices)
        counts = np.bincount(codes, weights=weight, minlength=len(classes))
        with np.errstate(over="ignore", divide="ignore"):
            class_weights = counts.sum() / (len(classes) * counts)
        small = classes[~np.isfinite(class_weights)].tolist()
        if len(small):
            raise ValueError(
                f"sample_weight of {_some(small)} is too small beside the others' for "
                "class_weight='balanced', which overflows. Make the weights more alike."
            )
        return class_weights
    if isinstance(class_weight, dict):
        known = classes.tolist()
        others = [label for label in class_weight if label not in known]
        missing = [label for label in known if label not in class_weight]
        if others and missing:
            raise ValueError(
                f"class_weight={class_weight!r} names {_some(others)}, the label of no row whose "
                f"sample_weight is above 0, while {_some(missing)} are not in class_weight. "
                f"The labels are {_some_of(classes)}: name those, or no others."
            )
    class_weights = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    if not (
        np.isfinite(class_weights).all() and (class_weights >= 0).all() and class_weights.any()
    ):
        raise ValueError(
            f"class_weight={class_weight!r} must hold finite numbers that are at least 0, one of "
            "them positive."
        )
    return class_weights
