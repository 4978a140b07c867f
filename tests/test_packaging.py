"""What is installed: every module, the compiled engine, the type marker, one version.

Run as a script with the path of a wheel, or of the site-packages of another environment, it makes
the same checks there (``.ci/run`` does).
"""

import ast
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "sklearn_lossopt"
COMPILED = {path.stem for path in (SOURCE / "_engine").glob("*.pyx")}


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
    assert {file.name.partition(".")[0] for file in compiled} == COMPILED
    rest = sorted(map(str, files - wanted - compiled))
    assert not rest, f"installed without need: {rest}"


def version():
    """The version as the package's source states it."""
    return re.search(r'^__version__ = "(.+)"$', (SOURCE / "__init__.py").read_text(), re.M)[1]


@pytest.fixture(scope="module")
def distribution():
    return importlib.metadata.distribution("sklearn-lossopt")


def test_installed_files(distribution):
    if not any(file.name.startswith("_kernels.") for file in distribution.files):
        pytest.skip("an editable installation has no files of its own")
    check_contents(packaged(Path(distribution.locate_file(""))))


def test_compiled_modules_lie_inside_the_package():
    import sklearn_lossopt._engine as engine

    assert engine.Trainer.__module__ == "sklearn_lossopt._engine._trainer"
    for name in COMPILED:
        file = Path(importlib.import_module(f"sklearn_lossopt._engine.{name}").__file__)
        assert file.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


def test_one_version(distribution):
    import sklearn_lossopt

    assert distribution.version == sklearn_lossopt.__version__ == version()
    for name in ("pyproject.toml", "meson.build"):
        assert version() not in (ROOT / name).read_text()


def test_run_time_dependencies(distribution):
    needed = [line for line in distribution.requires if "extra ==" not in line]
    names = {re.match(r"[\w-]+", line)[0] for line in needed}
    assert names == {"numpy", "scipy", "scikit-learn"}


def needed_extras():
    """The extras that errors name: (package, extra) of each call of ``missing_extra``."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "missing_extra":
                yield tuple(argument.value for argument in node.args[1:])


def test_errors_name_extras_that_bring_what_they_say(distribution):
    needed = set(needed_extras())
    assert {extra for _, extra in needed} == {"dask", "onnx", "plot"}
    brought = {
        (re.match(r"[\w-]+", line)[0], re.search(r"extra == [\"'](\w+)", line)[1])
        for line in distribution.requires
        if "extra ==" in line
    }
    assert needed <= brought
    assert {extra for _, extra in brought} == {"dask", "docs", "onnx", "plot", "progress", "test"}


def test_missing_packages_are_named_with_their_extra(monkeypatch):
    from sklearn_lossopt.plotting import LossDisplay

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"requires matplotlib.*'sklearn-lossopt\[plot\]'"):
        LossDisplay.from_losses(["huber"])
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.delitem(sys.modules, "sklearn_lossopt.onnx", raising=False)
    with pytest.raises(ImportError, match=r"onnx requires .*'sklearn-lossopt\[onnx\]'"):
        importlib.import_module("sklearn_lossopt.onnx")
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.delitem(sys.modules, "sklearn_lossopt.dask", raising=False)
    with pytest.raises(ImportError, match=r"dask requires dask.*'sklearn-lossopt\[dask\]'"):
        importlib.import_module("sklearn_lossopt.dask")


def test_importing_the_package_imports_no_optional_one():
    optional = ["dask", "matplotlib", "onnx", "polars", "skl2onnx", "skops"]
    code = f"import sys, sklearn_lossopt; assert not sys.modules.keys() & {optional}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_root_holds_what_it_should():
    files = {"pyproject.toml", "meson.build", "README.md", "LICENSE"}
    folders = {SOURCE.name, "tests", "docs"}
    # Left by builds, and ignored by git.
    left_over = {"build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - left_over == files | folders


# Checkouts ----------------------------------------------------------------------------------------


def python(*arguments, folder, program=sys.executable, **environment):
    return subprocess.run(
        [program, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the package is built from."""
    folder = tmp_path / "checkout"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE, folder / SOURCE.name, ignore=skip)
    for name in ("pyproject.toml", "meson.build", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_a_checkout_runs_only_with_an_engine_built_from_its_sources(checkout, distribution):
    if not any(file.name.startswith("_kernels.") for file in distribution.files):
        pytest.skip("an editable installation finds its own sources first")
    show = "import sklearn_lossopt; print(sklearn_lossopt.__file__)"
    same = python("-c", show, folder=checkout)
    assert same.returncode == 0 and str(checkout) in same.stdout, same.stderr
    with (checkout / SOURCE.name / "_engine" / "_losses.cpp").open("a") as file:
        file.write("/* changed */")
    other = python("-c", show, folder=checkout)
    assert other.returncode != 0
    assert "ImportError: The compiled engine at" in other.stderr
    assert "was built from other sources" in other.stderr and "pip install ." in other.stderr


def editable_environment(folder):
    """An environment that sees what is installed here, but for the package itself."""
    venv.create(folder, with_pip=False)
    program = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
                  folder=folder, program=program).stdout.strip()  # fmt: skip
    here = Path(importlib.metadata.distribution("numpy").locate_file(""))
    Path(site, "here.pth").write_text(f"{here}\n")
    return program


@pytest.mark.slow
def test_an_editable_installation_rebuilds_on_import(checkout, tmp_path):
    for name in ("mesonpy", "mesonbuild", "ninja", "Cython", "pip"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the build needs {name}")
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        pytest.skip("the build needs a C++ compiler")
    program = editable_environment(tmp_path / "venv")
    # Scripts of the build tools are where this Python's are.
    path = os.pathsep.join(
        [str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    made = python(
        "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index",
        "--ignore-installed", "-Csetup-args=-Doptimization=0", "-e", ".",
        folder=checkout, program=program, PATH=path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr

    show = """
import sklearn_lossopt
from sklearn_lossopt._engine import CPU_LEVEL, LOSS_KERNELS
print(sklearn_lossopt.__file__, CPU_LEVEL, "again" in LOSS_KERNELS)
try:
    from sklearn_lossopt.new_folder import new_module
    print(new_module.found)
except ImportError:
    pass
"""

    def seen(level="3"):
        done = python("-c", show, folder=tmp_path, program=program, SKLEARN_LOSSOPT_CPU_LEVEL=level)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    package = checkout / SOURCE.name
    assert seen("1") == [str(package / "__init__.py"), "baseline", "False"]
    level = seen()[1]
    # A new folder, and a kernel.
    (package / "new_folder").mkdir()
    (package / "new_folder" / "__init__.py").touch()
    (package / "new_folder" / "new_module.py").write_text("found = True")
    losses = package / "_engine" / "_losses.cpp"
    last = '    elementwise<Exponential>("exponential"),\n'
    text = losses.read_text()
    assert text.count(last) == 1
    losses.write_text(text.replace(last, last + last.replace("exponential", "again")))
    assert seen() == [str(package / "__init__.py"), level, "True", "True"]
    assert seen("1")[1:] == ["baseline", "True", "True"]


def packaged(path):
    """The files of the package in a wheel or in a folder that it is installed in."""
    if path.suffix == ".whl":
        assert path.name.split("-")[1] == version(), path.name
        with zipfile.ZipFile(path) as archive:
            return [file for file in archive.namelist() if not file.endswith("/")]
    (found,) = importlib.metadata.distributions(name="sklearn-lossopt", path=[str(path)])
    assert found.version == version(), found.version
    return [file.as_posix() for file in found.files if file.suffix != ".pyc"]


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        check_contents(packaged(path))
        print(f"{path.name}: complete")
