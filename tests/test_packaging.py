"""What is installed: every module, the compiled engine, the type marker, one version.

Run as a script with a wheel's path, it makes the same checks of that wheel (``.ci/run`` does).
"""

import importlib.machinery
import importlib.metadata
import re
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "sklearn_lossopt"
COMPILED = {"_cpu", "_train_baseline"}


def check_contents(files):
    """Assert that ``files``, paths below site-packages, are the package and nothing else."""
    files = {PurePosixPath(file) for file in files if ".dist-info/" not in str(file)}
    strangers = [str(file) for file in files if file.parts[0] != SOURCE.name]
    assert not strangers, f"installed outside the package: {strangers}"
    wanted = {
        PurePosixPath(path.relative_to(ROOT).as_posix())
        for path in [*SOURCE.rglob("*.py"), SOURCE / "py.typed"]
    }
    assert not wanted - files, f"not installed: {sorted(map(str, wanted - files))}"
    compiled = {file for file in files if file.suffix in {".so", ".pyd"}}
    assert {file.parent for file in compiled} == {PurePosixPath(SOURCE.name, "_engine")}
    assert {file.name.partition(".")[0] for file in compiled} >= COMPILED
    rest = sorted(map(str, files - wanted - compiled))
    assert not rest, f"installed without need: {rest}"


def version():
    """The version as the package's source states it."""
    return re.search(r'^__version__ = "(.+)"$', (SOURCE / "__init__.py").read_text(), re.M)[1]


@pytest.fixture(scope="module")
def distribution():
    return importlib.metadata.distribution("sklearn-lossopt")


def test_installed_files(distribution):
    files = distribution.files
    if not any(file.name.startswith("_cpu.") for file in files):
        pytest.skip("an editable installation has no files of its own")
    check_contents(file.as_posix() for file in files if file.suffix != ".pyc")


def test_compiled_modules_lie_inside_the_package():
    import sklearn_lossopt._engine as engine

    module = Path(engine._train.__file__)
    assert module.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    assert module.parent.name == "_engine"
    assert engine.Trainer.__module__ == engine._train.__name__
    assert engine._train.__name__.startswith("sklearn_lossopt._engine._train_")


def test_one_version(distribution):
    import sklearn_lossopt

    assert distribution.version == sklearn_lossopt.__version__ == version()
    for name in ("pyproject.toml", "meson.build"):
        assert version() not in (ROOT / name).read_text()


def test_run_time_dependencies(distribution):
    needed = [line for line in distribution.requires if "extra ==" not in line]
    names = {re.match(r"[\w-]+", line)[0] for line in needed}
    assert names == {"numpy", "scipy", "scikit-learn"}


def test_root_holds_what_it_should():
    files = {"pyproject.toml", "meson.build", "README.md", "LICENSE"}
    folders = {SOURCE.name, "tests", "docs"}
    # Left by builds, and ignored by git.
    left_over = {"build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - left_over == files | folders


if __name__ == "__main__":
    for wheel in sys.argv[1:]:
        name = Path(wheel).name
        assert name.split("-")[1] == version(), name
        with zipfile.ZipFile(wheel) as archive:
            check_contents(file for file in archive.namelist() if not file.endswith("/"))
        print(f"{name}: complete")
