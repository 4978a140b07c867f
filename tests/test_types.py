"""What type checkers know of the package: a user's program under mypy, and all names by pyright."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typed_client
from sklearn.exceptions import ConvergenceWarning

import sklearn_lossopt

CLIENT = Path(__file__).with_name("typed_client.py")
# Where the package lies, installed or not.
PLACE = Path(sklearn_lossopt.__file__).parents[1]
# The share of exported names whose types must be known, in percent.
COMPLETE = 95


def run(folder, *command):
    """Run a module of this Python, which is first in the path: pyright asks it for packages."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(PLACE), "PATH": path},
    )  # fmt: skip


def test_a_users_program_runs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        typed_client.estimators()
        typed_client.components()


@pytest.mark.slow
def test_a_users_program_passes_mypy(tmp_path):
    pytest.importorskip("mypy")
    program = shutil.copy(CLIENT, tmp_path)
    done = run(tmp_path, "mypy", "--strict", program)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_pyright_knows_the_type_of_every_exported_name(tmp_path):
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("needs pyright: pip install 'pyright[nodejs]' scikit-learn-stubs")
    if not any(Path(folder, "sklearn-stubs").is_dir() for folder in sys.path):
        # A class is known only if its bases are, and scikit-learn states no types.
        pytest.skip("needs scikit-learn-stubs")
    done = run(
        tmp_path, "pyright", "--verifytypes", "sklearn_lossopt", "--ignoreexternal", "--outputjson"
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    assert Path(found["packageRootDirectory"]) == PLACE / "sklearn_lossopt"
    unknown = [
        symbol["name"] for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    ]  # fmt: skip
    assert 100 * found["completenessScore"] > COMPLETE, unknown
