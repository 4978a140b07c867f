"""Floor 0: the compiled engine. Knows arrays, not scikit-learn.

The training loop exists once for each processor level; the best one that runs here is loaded.
The environment variable ``SKLEARN_LOSSOPT_CPU_LEVEL`` (1 or 3) lowers the choice.
"""

import importlib
import importlib.metadata
import os

_MODULES = {3: "_train_v3", 1: "_train_baseline"}


def _compiled(name):
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        return None


def _load():
    cpu = _compiled("_cpu")
    if cpu is None:
        # Python started in a source checkout finds the sources before the installed package;
        # the compiled modules are beside the latter.
        try:
            installed = importlib.metadata.distribution("sklearn-lossopt")
        except importlib.metadata.PackageNotFoundError:
            pass
        else:
            __path__.append(str(installed.locate_file("sklearn_lossopt/_engine")))
            cpu = _compiled("_cpu")
    if cpu is not None:
        allowed = min(cpu.level(), int(os.environ.get("SKLEARN_LOSSOPT_CPU_LEVEL", 3)))
        for level, name in _MODULES.items():
            module = _compiled(name) if level <= allowed else None
            if module is not None:
                return module
    raise ImportError(
        "The compiled engine of sklearn_lossopt is missing. Install the package with "
        "'pip install .' from its source directory (a C compiler is needed)."
    )


_train = _load()
Trainer = _train.Trainer
ACTIVATION_KERNELS = _train.ACTIVATION_KERNELS
LOSS_KERNELS = _train.LOSS_KERNELS
STEP_KERNELS = _train.STEP_KERNELS
column_moments = _train.column_moments
run_bank = _train.run_bank

__all__ = [
    "ACTIVATION_KERNELS",
    "LOSS_KERNELS",
    "STEP_KERNELS",
    "Trainer",
    "column_moments",
    "run_bank",
]
