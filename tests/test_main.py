"""The main job: what it prints, and its options."""

import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import SGDRegressor

from sklearn_lossopt import GradientRegressor, __main__, losses
from sklearn_lossopt._comparison import Task, optimizers


@pytest.fixture
def small(monkeypatch):
    """One small data set and three optimizers."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.abs(X @ [1.0, 2.0]) + 1
    task = Task("small", "regression", X, y, GradientRegressor, SGDRegressor)
    monkeypatch.setattr(__main__, "tasks", lambda: [task])
    monkeypatch.setattr(__main__, "optimizers", lambda loss: ["adam", "sgd", "averaged"])
    return task


def test_prints_a_line_for_each_loss(small, capsys):
    assert __main__.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [name for name, loss in losses.registry().items() if loss.regression]
    start = lines.index("small, 40 rows, 2 columns")
    assert [line.split()[0] for line in lines[start + 1 :][: len(names)]] == names
    for line in lines[start + 1 :][: len(names)]:
        assert line.split()[-1] == "3/3"
    assert "--all" in lines[-1]
    # Notes and headings besides, and as many losses for two kinds of classes.
    classes = sum(loss.classification for loss in losses.registry().values())
    assert len(lines) + 2 * (classes + 1) <= 60
    assert max(map(len, lines)) <= 110


def test_all_prints_a_line_for_each_fit(small, capsys):
    assert __main__.main(["--all"]) == 0
    out = capsys.readouterr().out
    for optimizer in ("adam", "sgd", "averaged"):
        assert out.count(f"\n  {optimizer} ") == sum(
            loss.regression for loss in losses.registry().values()
        )
    assert "Ridge" in out and "small: 40 rows" in out


def test_all_optimizers_are_compared():
    smooth, kinked = (set(optimizers(losses.registry()[name]())) for name in ("huber", "hinge"))
    assert smooth - kinked == {"lbfgs"} and {"gradient_descent", "adam", "averaged"} <= kinked


def test_the_best_of_ours_is_as_low_as_the_best_of_theirs(small):
    summary = __main__.report(small, counts := Counter(), show=False)
    (ridge,) = (line.split() for line in summary if line.startswith("  squared_error"))
    assert ridge[1] == "Ridge" and float(ridge[4]) == pytest.approx(float(ridge[2]), rel=1e-5)
    assert all(who in ("scikit-learn", "sklearn_lossopt") for who, _ in counts)


def test_plot_writes_a_picture(tmp_path, capsys):
    path = tmp_path / "losses.png"
    assert __main__.main(["--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG") and str(path) in capsys.readouterr().out


def test_plot_without_matplotlib(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["--plot", str(tmp_path / "x.png")])
    assert stopped.value.code == 2 and "sklearn-lossopt[plot]" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["--help"])
    assert stopped.value.code == 0 and "--plot FILE" in capsys.readouterr().out
