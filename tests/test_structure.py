"""The floors of the package, the size of its parts, and one name for each kernel."""

import ast
from pathlib import Path

import pytest

from sklearn_lossopt._engine import LOSS_KERNELS, STEP_KERNELS
from sklearn_lossopt.losses import Loss
from sklearn_lossopt.optimizers import Optimizer

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sklearn_lossopt"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module imports only from floors below its own, or from its own. The first match counts.
FLOORS = [
    ("sklearn_lossopt._engine", 0),
    ("sklearn_lossopt._exceptions", 0),
    ("sklearn_lossopt._linear_algebra", 0),
    ("sklearn_lossopt._compat", 0),
    ("sklearn_lossopt._memo", 0),
    ("sklearn_lossopt._component", 1),
    ("sklearn_lossopt.losses", 1),
    ("sklearn_lossopt.optimizers", 1),
    ("sklearn_lossopt.schedules", 1),
    ("sklearn_lossopt._problem", 2),
    ("sklearn_lossopt._rows", 2),
    ("sklearn_lossopt._proximal", 2),
    ("sklearn_lossopt._sparse_newton", 2),
    ("sklearn_lossopt._coordinates", 2),
    ("sklearn_lossopt._pace", 2),
    ("sklearn_lossopt._mean", 2),
    ("sklearn_lossopt._quasi_newton", 2),
    ("sklearn_lossopt._scale", 2),
    ("sklearn_lossopt._validation", 2),
    ("sklearn_lossopt._monitor", 2),
    ("sklearn_lossopt._state", 2),
    ("sklearn_lossopt._bank", 2),
    ("sklearn_lossopt._training", 2),
    ("sklearn_lossopt._network", 2),
    ("sklearn_lossopt._moments", 2),
    ("sklearn_lossopt._stream", 2),
    ("sklearn_lossopt._holdout", 3),
    ("sklearn_lossopt._labels", 3),
    ("sklearn_lossopt._layers", 3),
    ("sklearn_lossopt._calls", 3),
    ("sklearn_lossopt._base", 3),
    ("sklearn_lossopt._chunks", 3),
    ("sklearn_lossopt._together", 3),
    ("sklearn_lossopt.regressor", 3),
    ("sklearn_lossopt.classifier", 3),
    ("sklearn_lossopt.search", 4),
    ("sklearn_lossopt.plotting", 4),
    ("sklearn_lossopt.callbacks", 4),
    ("sklearn_lossopt.__main__", 4),
    ("sklearn_lossopt", 5),
]
FILE_LINES = 450
FUNCTION_LINES = 70


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(name):
    for prefix, number in FLOORS[:-1]:
        if name == prefix or name.startswith(prefix + "."):
            return number
    assert name == "sklearn_lossopt", f"{name} has no floor: add it to FLOORS"
    return FLOORS[-1][1]


def imports(path):
    """Names of the modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are absolute"
            for alias in node.names:
                # `from package import module` imports the module.
                inner = ROOT / Path(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def by_name(paths):
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in paths]


@pytest.mark.parametrize("path", by_name(FILES))
def test_imports_only_from_floors_below(path):
    name = module_name(path)
    for imported in imports(path):
        if imported.partition(".")[0] == "sklearn_lossopt":
            assert floor(imported) <= floor(name), f"{name} imports {imported}, a floor above it"


def test_engine_and_exceptions_do_not_know_scikit_learn():
    for path in [*PACKAGE.joinpath("_engine").rglob("*.py"), PACKAGE / "_exceptions.py"]:
        assert not [name for name in imports(path) if name.partition(".")[0] == "sklearn"]
    for path in PACKAGE.joinpath("_engine").glob("*.p[yx]*"):
        lines = path.read_text().splitlines()
        assert not [line for line in lines if "sklearn." in line and "import" in line]


def private_names(path):
    """Names below scikit-learn that a file imports and that are not public."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package == "sklearn" and any(part.startswith("_") for part in parts):
                yield name


@pytest.mark.parametrize("path", by_name(FILES))
def test_private_names_of_scikit_learn_only_in_compat(path):
    if path.name != "_compat.py":
        assert not list(private_names(path))


@pytest.mark.parametrize("path", by_name(FILES))
def test_length_of_files(path):
    assert len(path.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("path", by_name(FILES))
def test_length_of_functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


def test_every_loss_has_its_kernels_and_every_kernel_its_loss():
    used = set()
    for name, found in Loss.registry().items():
        for n_outputs in (1, 3):
            kernel = found()._kernel(n_outputs)
            if isinstance(kernel, str):
                assert kernel in LOSS_KERNELS, f"{name} has no kernel {kernel!r}"
                used.add(kernel)
        assert callable(kernel) or name in LOSS_KERNELS
    assert used == set(LOSS_KERNELS)


def test_every_optimizer_has_its_kernel_and_every_kernel_its_optimizer():
    used = set()
    for name, found in Optimizer.registry().items():
        kernel = found()._kernel()
        if isinstance(kernel, str):
            assert kernel in STEP_KERNELS, f"{name} has no kernel {kernel!r}"
            used.add(kernel)
    assert used == set(STEP_KERNELS)


@pytest.mark.parametrize("family", [Loss, Optimizer], ids=["losses", "optimizers"])
def test_kernel_parameters_are_constructor_parameters(family):
    for found in family.registry().values():
        # What "auto" stands for is found by a fit.
        numbers = {name: 1.0 for name, value in found().get_params().items() if value == "auto"}
        component = found(**numbers)
        assert set(component._kernel_params) <= set(component.get_params()), found.__name__
        assert set(component._parameter_constraints) == set(component.get_params())
        assert len(component._kernel_row()) >= len(component._kernel_params)
        assert all(isinstance(number, float) for number in component._kernel_row())
