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

# From the top floor down. A file imports from floors below its own, and from its own folder.
FLOORS = [
    ("__init__", "__main__"),
    ("_comparison",),
    ("plotting", "onnx", "_skops", "dask"),
    ("search", "_trace", "_partitions"),
    ("_estimators",),
    ("_streaming",),
    ("_training",),
    ("_preconditioning",),
    ("_solvers",),
    ("_objective",),
    ("losses", "optimizers", "schedules", "preprocessing"),
    ("_component", "_rows"),
    ("_engine",),
    ("_blas",),
    ("_linalg", "_quantiles", "_cache", "_compat", "_doc_link", "_exceptions", "_extras"),
    ("_typing",),
]
FILE_LINES = 450
FUNCTION_LINES = 70


def room(module):
    """The folder or file of the package that a dotted name, or a path, lies in."""
    if isinstance(module, Path):
        module = ".".join(("", *module.relative_to(PACKAGE).with_suffix("").parts))
    return [*module.split("."), "__init__"][1]


def floor(name):
    """The number of a room's floor, counted from the ground."""
    for number, rooms in enumerate(reversed(FLOORS)):
        if name in rooms:
            return number
    raise AssertionError(f"{name} has no floor: add it to FLOORS")


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
def test_imports_only_from_its_own_folder_and_from_floors_below(path):
    here = room(path)
    for imported in imports(path):
        if imported.partition(".")[0] == "sklearn_lossopt" and room(imported) != here:
            there = room(imported)
            assert floor(there) < floor(here), f"{here} imports {there}, which is not below it"


def test_every_folder_says_what_it_is_for():
    for folder in PACKAGE.iterdir():
        if (folder / "__init__.py").exists():
            text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
            assert "Read first:" in text and "Imports:" in text, folder.name


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


def test_contributing_names_every_test_file_and_benchmark():
    text = ROOT.joinpath("docs", "contributing.md").read_text(encoding="utf-8")
    names = [f"`{path.name}`" for path in ROOT.joinpath("tests").glob("test_*.py")]
    names += [f"`{path.parent.name}/" for path in ROOT.glob("docs/benchmarks/*/*.py")]
    assert not [name for name in names if name not in text]


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
