"""Types that the annotations of several modules share."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SparseMatrix(Protocol):
    """A sparse array or matrix of SciPy, of any format."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def tocsr(self, copy: bool = False) -> Any: ...


class DataFrame(Protocol):
    """A data frame, of pandas or Polars for instance."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def columns(self) -> Any: ...


class Splitter(Protocol):
    """What cuts rows into folds, as the classes of ``sklearn.model_selection`` do."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any: ...

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int: ...


# An array of any type, and one of float32 or float64.
Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
# Rows of features.
MatrixLike: TypeAlias = ArrayLike | SparseMatrix | DataFrame
RandomState: TypeAlias = int | np.random.RandomState | None
Auto: TypeAlias = Literal["auto"]
# What a decorator returns as it takes it, for whoever calls it.
Method = TypeVar("Method", bound=Callable[..., Any])
