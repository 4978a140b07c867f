"""Dask's arrays and frames: what is taken of them, their blocks, and lazy results."""

import dask
import dask.array as da
import numpy as np
from dask.base import is_dask_collection

from sklearn_lossopt._partitions.rows import Block
from sklearn_lossopt.dask._engine import DaskPartitions


def is_frame(collection):
    """Whether it is a dask.dataframe, or a series of one."""
    return is_dask_collection(collection) and hasattr(collection, "npartitions") and (
        not isinstance(collection, da.Array)
    )  # fmt: skip


def to_blocks(X, y, sample_weight, plain, suffix=""):
    """Partitions of Block of a fit's data.

    Parameters
    ----------
    X, y, sample_weight
        As given; the weights may be None.
    plain : str
        The class to use for data that are no collections.
    suffix : str
        Of the names of the three, such as "_val".
    """
    parts = [_blocks_of(check_rows(X, plain, f"X{suffix}"))]
    others = {f"y{suffix}": y, f"sample_weight{suffix}": sample_weight}
    for name, other in others.items():
        if other is None and name.startswith("sample_weight"):
            parts.append([None] * len(parts[0]))
            continue
        other = _aligned(_check_collection(other, plain, name), X, name)
        parts.append(_blocks_of(other))
        if len(parts[-1]) != len(parts[0]):
            raise ValueError(
                f"{name} has {len(parts[-1])} blocks, but X{suffix} has {len(parts[0])}. Give both "
                "the same chunks: where their sizes are known, rechunk; else make them of one "
                "collection."
            )
    return DaskPartitions.made(Block, *parts)


def check_rows(X, plain, name="X"):
    """X if it is an array of two dimensions or a frame of numbers."""
    _check_collection(X, plain, name)
    if X.ndim != 2:
        raise ValueError(f"{name} has {X.ndim} dimensions, but must have 2.")
    if is_frame(X):
        others = [column for column, kind in X.dtypes.items() if not _is_number(kind)]
        if others:
            raise ValueError(
                f"{name} has columns that are no numbers: {', '.join(map(repr, others[:5]))}. "
                "Encode them first, for instance by map_partitions with a fitted encoder, or by "
                "dask.dataframe.get_dummies of known categories."
            )
    return X


def _is_number(kind):
    return getattr(kind, "kind", "O") in "biuf"


def _check_collection(given, plain, name):
    if not is_dask_collection(given) or not hasattr(given, "ndim"):
        raise TypeError(
            f"{name} is a {type(given).__name__}, not a dask.array or a dask.dataframe. Use "
            f"{plain} for data in memory, or dask.array.from_array({name}, chunks=...)."
        )
    return given


def _aligned(other, X, name):
    """Targets or weights with the chunks of X, where the sizes of both are known."""
    if not (isinstance(X, da.Array) and isinstance(other, da.Array)):
        return other
    rows, theirs = X.chunks[0], other.chunks[0]
    if rows == theirs or np.isnan(rows).any() or np.isnan(theirs).any():
        return other
    if sum(rows) != sum(theirs):
        raise ValueError(f"{name} has {sum(theirs)} rows, but X has {sum(rows)}.")
    return other.rechunk({0: rows})


def in_row_blocks(X):
    """An array with all its columns in one block."""
    return X if X.ndim == 1 or X.numblocks[1] == 1 else X.rechunk({1: -1})


def _blocks_of(collection):
    """The blocks of rows of a collection, a list of Delayed."""
    if isinstance(collection, da.Array):
        collection = in_row_blocks(collection)
    for optimized in (True, False):
        parts = np.ravel(collection.to_delayed(optimize_graph=optimized)).tolist()
        # Optimized graphs lack the blocks that workers hold already.
        if all(part.key in part.dask for part in parts):
            break
    return parts


def lazily(function, X, probe):
    """``function`` of each block of rows of X, as an array.

    Parameters
    ----------
    function : callable
    X : dask array or frame
    probe : ndarray
        What the function returns for one row.
    """
    meta = np.empty((0,) * probe.ndim, probe.dtype)
    if isinstance(X, da.Array):
        X = in_row_blocks(X)
        chunks = X.chunks[0], *((size,) for size in probe.shape[1:])
        dropped = {"drop_axis": 1} if probe.ndim == 1 else {}
        return X.map_blocks(function, dtype=probe.dtype, chunks=chunks, meta=meta, **dropped)
    call = dask.delayed(function, traverse=False)
    shape = (np.nan, *probe.shape[1:])
    arrays = [da.from_delayed(call(part), shape, meta=meta) for part in X.to_delayed()]
    return da.concatenate(arrays, allow_unknown_chunksizes=True)
