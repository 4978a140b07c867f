"""What the facts of all partitions say together: how to encode rows, or what does not agree."""

from dataclasses import dataclass, replace

import numpy as np

from sklearn_lossopt._cache import Cache
from sklearn_lossopt._estimators.data import RowSet
from sklearn_lossopt._estimators.labels import LabelEncoding, find_classes
from sklearn_lossopt._estimators.targets import NumericEncoding
from sklearn_lossopt._partitions.rows import Recipe, gather_facts


@dataclass
class Survey:
    """All that the first pass finds.

    Attributes
    ----------
    recipe : Recipe
    model_dtype : dtype
        Of the coefficients.
    features : tuple
        See Facts.
    first : dict
        The numbers of rows used before each partition's, (c,) by its number.
    counts : ndarray of shape (c,)
        The numbers of rows used of each class; one of all for numbers.
    n : int
        The number of all rows used.
    """

    recipe: Recipe
    model_dtype: np.dtype
    features: tuple
    first: dict
    counts: np.ndarray
    n: int


def survey(blocks, estimator, loss):
    """The Survey of Partitions of Blocks, by one pass over them.

    Parameters
    ----------
    blocks : Partitions of Block
    estimator : BaseGradientEstimator
        With the parameters alone.
    loss : Loss
    """
    facts = [each for each in blocks.collect(gather_facts, estimator) if each is not None]
    if not facts:
        raise ValueError("X holds no rows: all of its blocks are empty.")
    _agree(facts)
    model_dtype = np.result_type(*(each.dtype for each in facts))
    wide = any(each.leaves_float32 for each in facts)
    dtype = np.dtype(np.float64) if wide else model_dtype
    used = [each for each in facts if each.used]
    if not used:
        raise ValueError("sample_weight is 0 in all rows. Give some a weight above 0.")
    if used[0].labels is None:
        encoding = _numeric_encoding(used, estimator, loss, dtype)
    else:
        classes = find_classes(np.concatenate([each.labels for each in used]), None)
        encoding = LabelEncoding(classes, dtype, loss.joint)
    counts, masses = _by_class(used, encoding)
    given, class_weights = getattr(estimator, "class_weight", None), None
    if given is not None:
        one_each = RowSet(None, None, None, np.arange(len(counts)), masses, None)
        class_weights = estimator._class_weights(one_each, encoding, Cache())
    n_features = facts[0].features[0]
    sparse = any(each.sparse for each in facts)
    recipe = Recipe(encoding, n_features, dtype, sparse, class_weights, None)
    recipe, counts = _weighed(recipe, facts, counts, masses)
    first = _first_rows(used, encoding, counts > 0)
    return Survey(recipe, model_dtype, facts[0].features, first, counts, int(counts.sum()))


def survey_validation(blocks, estimator, recipe):
    """The Recipe of Partitions of Blocks to validate with, and the number of their rows used.

    ``recipe`` is that of the rows to train on.
    """
    facts = [each for each in blocks.collect(gather_facts, estimator) if each is not None]
    used = [each for each in facts if each.used]
    if not used:
        raise ValueError("X_val holds no rows whose sample_weight_val is above 0.")
    _agree(facts)
    n_features = facts[0].features[0]
    if n_features != recipe.n_features:
        raise ValueError(f"X_val has {n_features} columns, but X has {recipe.n_features}.")
    for each in used:
        if each.labels is not None:
            unknown = sorted(set(each.labels.tolist()) - set(recipe.encoding.classes.tolist()))
            if unknown:
                raise ValueError(
                    f"block {each.number} of y_val holds {unknown[0]!r}, which y does not."
                )
    recipe, counts = _weighed(recipe, facts, *_by_class(used, recipe.encoding))
    return recipe, int(counts.sum())


def _weighed(recipe, facts, counts, masses):
    """The Recipe with the unit of these rows' weights, and the counts (c,) of those used."""
    class_weights = recipe.class_weights
    if class_weights is not None:
        counts, masses = np.where(class_weights > 0, counts, 0), masses * class_weights
        if not masses.sum() > 0:
            raise ValueError(
                "class_weight leaves no row with a weight above 0. Give a class that y has one."
            )
    weighted = class_weights is not None or any(each.weighted for each in facts)
    return replace(recipe, unit=float(counts.sum() / masses.sum()) if weighted else None), counts


def _agree(facts):
    """Raise where blocks have other columns, or other outputs, than the first."""
    one = facts[0]
    for other in facts[1:]:
        if other.features[0] != one.features[0]:
            raise ValueError(
                f"block {other.number} of X has {other.features[0]} columns, but block "
                f"{one.number} has {one.features[0]}. Give all blocks the same columns."
            )
        names, known = other.features[1], one.features[1]
        if (names is None) != (known is None) or (names is not None and list(names) != list(known)):
            raise ValueError(
                f"block {other.number} of X has the columns {_listed(names)}, but block "
                f"{one.number} has {_listed(known)}. Give all blocks the same, in one order."
            )
        if other.shape != one.shape:
            raise ValueError(
                f"block {other.number} of y has rows of shape {other.shape}, but block "
                f"{one.number} of shape {one.shape}."
            )


def _listed(names):
    return "without names" if names is None else ", ".join(map(repr, list(names)[:8]))


def _numeric_encoding(facts, estimator, loss, dtype):
    """The encoding of numbers, which the loss is asked about by the extremes of each block."""
    for each in facts:
        # Rows of 0 alone are no fault of a block's: the largest numbers of all stand for the rest.
        top = np.max([other.targets[1] for other in facts], axis=0)
        try:
            loss._check_target(np.vstack([each.targets, top]))
        except ValueError as error:
            raise ValueError(f"block {each.number} of y: {error}") from error
    loss._check_total(np.vstack([each.targets for each in facts]))
    shape = facts[0].shape
    if shape == (1,) and estimator._needs_positive_targets():
        shape = ()  # as the plain fit takes such targets
    return NumericEncoding(shape[0] if shape else 1, not shape, dtype)


def _by_class(facts, encoding):
    """Rows used and the sums of their weights, of each class; one of each for numbers."""
    classes = getattr(encoding, "classes", None)
    size = 1 if classes is None else len(classes)
    # By the largest weight: sums of weights could overflow.
    largest = max(each.largest.max() for each in facts)
    counts, masses = np.zeros(size, np.int64), np.zeros(size)
    for each in facts:
        codes = [0] if classes is None else np.searchsorted(classes, each.labels)
        counts[codes] += each.counts
        masses[codes] += each.masses * (each.largest / largest)
    return counts, masses * largest


def _first_rows(facts, encoding, kept):
    """``Survey.first``; ``kept`` (c,) says which classes have a weight."""
    classes, first, before = getattr(encoding, "classes", None), {}, np.zeros(len(kept), np.int64)
    for each in facts:
        first[each.number] = before.copy()
        codes = [0] if classes is None else np.searchsorted(classes, each.labels)
        before[codes] += each.counts
        before[~kept] = 0
    return first
