"""The compiled engine: epochs over the rows, gradients, kernels.

``_trainer`` is what Python sees; ``_plan.hpp`` says what the C++ loops take, ``_epochs.hpp`` what
an epoch is. The loops exist once for each processor level, of which the best that runs here is
taken; the environment variable ``SKLEARN_LOSSOPT_CPU_LEVEL`` (1 or 3) lowers the choice.
Imports: NumPy and, for its BLAS, SciPy; nothing of this package or of scikit-learn.
Read first: ``_trainer.pyx``.
"""

import importlib
import importlib.metadata

from sklearn_lossopt._engine._sources import fingerprint, sources

REMEDY = "Install the package with 'pip install .' from its source directory"


def _load():
    name = f"{__name__}._kernels"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    # Python started in a source checkout finds the sources before the installed package; the
    # compiled modules are beside the latter.
    try:
        installed = importlib.metadata.distribution("sklearn-lossopt")
        __path__.append(str(installed.locate_file("sklearn_lossopt/_engine")))
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"The compiled engine of sklearn_lossopt is missing. {REMEDY} (a C++ compiler is "
            "needed)."
        ) from error


_kernels = _load()
if sources() and fingerprint() != _kernels.FINGERPRINT:
    raise ImportError(
        f"The compiled engine at {_kernels.__file__} was built from other sources than those at "
        f"{__path__[0]}. {REMEDY}, or run Python outside of that directory."
    )

from sklearn_lossopt._engine._dual_descent import DualDescent  # noqa: E402
from sklearn_lossopt._engine._extended_rows import RowProducts  # noqa: E402
from sklearn_lossopt._engine._interior_point import interior_point  # noqa: E402
from sklearn_lossopt._engine._kernels import (  # noqa: E402
    ACTIVATION_KERNELS,
    CPU_LEVEL,
    LOSS_KERNELS,
    STEP_KERNELS,
)
from sklearn_lossopt._engine._lagrangian import Lagrangian  # noqa: E402
from sklearn_lossopt._engine._moments import column_moments  # noqa: E402
from sklearn_lossopt._engine._rows import Rows  # noqa: E402
from sklearn_lossopt._engine._sign_search import sign_search  # noqa: E402
from sklearn_lossopt._engine._stop import StopFlag, Stopped, look_for_stop  # noqa: E402
from sklearn_lossopt._engine._trainer import Trainer, run_bank  # noqa: E402
from sklearn_lossopt._engine._whitener import singular, whitener  # noqa: E402

__all__ = [
    "ACTIVATION_KERNELS",
    "CPU_LEVEL",
    "LOSS_KERNELS",
    "STEP_KERNELS",
    "DualDescent",
    "Lagrangian",
    "RowProducts",
    "Rows",
    "StopFlag",
    "Stopped",
    "Trainer",
    "column_moments",
    "interior_point",
    "look_for_stop",
    "run_bank",
    "sign_search",
    "singular",
    "whitener",
]
