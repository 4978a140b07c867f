"""The documentation is true: examples run, docstrings match signatures, tables match registries."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import types
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sklearn_lossopt
from sklearn_lossopt import losses, optimizers, plotting, preprocessing, schedules
from sklearn_lossopt._compat import CALLBACKS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").glob("*.md"))]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# What numpydoc finds and we do not mind: where the summary starts and how long it is, examples
# ahead of references, named return values, and that not everything needs an example or See Also.
IGNORED = {"GL01", "GL02", "GL07", "SS05", "SS06", "ES01", "RT02", "RT03", "SA01", "SA04", "EX01"}


def modules():
    """Every module of the package but ``__main__`` and the compiled ones."""
    found = [sklearn_lossopt]
    for module in pkgutil.walk_packages(sklearn_lossopt.__path__, "sklearn_lossopt."):
        if module.name.startswith("sklearn_lossopt._engine.") or module.name.endswith("__main__"):
            continue
        try:
            found.append(importlib.import_module(module.name))
        except ImportError as error:
            if "sklearn-lossopt[" not in str(error):  # an extra that is not installed
                raise
    return found


def public_classes():
    """Public classes by their full public name."""
    found = {}
    for module in (sklearn_lossopt, losses, optimizers, schedules, preprocessing, plotting):
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)):
                found[f"{module.__name__}.{name}"] = getattr(module, name)
    return found


def public_methods():
    """Full names of the public methods that the package itself defines; an override may do
    without a docstring of its own."""
    found, seen = [], set()
    for prefix, cls in public_classes().items():
        for name in dir(cls):
            static = inspect.getattr_static(cls, name)
            # What available_if or classmethod wraps.
            function = getattr(static, "fn", getattr(static, "__func__", static))
            ours = (getattr(function, "__module__", None) or "").startswith("sklearn_lossopt")
            public = not name.startswith("_") or (name == "__call__" and name in vars(cls))
            documented = getattr(function, "__doc__", None) or not inspect.getdoc(
                getattr(super(cls, cls), name, None)
            )
            new = inspect.isfunction(function) and function not in seen
            if ours and public and documented and new:
                seen.add(function)
                found.append(f"{prefix}.{name}")
    return found


def public_functions():
    """Public functions by their full public name."""
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (sklearn_lossopt, losses, optimizers, schedules, preprocessing, plotting)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    }


CLASSES = public_classes()
FUNCTIONS = public_functions()
METHODS = public_methods()
DOCTESTS = [
    test
    for module in modules()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module)
    if test.examples
]


def run(test):
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    output = []
    runner.run(test, out=output.append, clear_globs=False)
    assert runner.failures == 0, "".join(output)


@pytest.mark.parametrize("test", DOCTESTS, ids=lambda test: test.name)
def test_examples_of_docstrings(test):
    run(test)


def blocks(page, language):
    """The code blocks of a page in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_pages(page, monkeypatch):
    found = blocks(page, "pycon")
    # An example outside a block would never run.
    assert page.read_text(encoding="utf-8").count(">>> ") == "\n".join(found).count(">>> ")
    examples = "\n".join(text for text in found if CALLBACKS or "sklearn.callback" not in text)
    test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
    # A page is a module, so that what it defines can be pickled.
    module = types.ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    test.globs = vars(module)
    run(test)


# What a page shows of the engine, and where it is found.
SOURCES = {
    "add_a_loss.md": ("_losses.cpp", "_regression.py"),
    "add_an_optimizer.md": ("_optimizers.cpp", "_momentum.py"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_pages_quote_the_source(name):
    """Blocks that do not run are excerpts; a line of three dots stands for what is left out."""
    package = ROOT / "sklearn_lossopt"
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (*package.rglob("*.cpp"), *package.rglob("*.py"))
        if path.name in SOURCES[name]
    )
    quoted = blocks(ROOT / "docs" / name, "cpp") + blocks(ROOT / "docs" / name, "python")
    assert len(quoted) >= 2
    for block in quoted:
        for part in re.split(r"^ *\.\.\.\n", block, flags=re.M):
            assert part.strip("\n") in source, part


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_documented(name):
    check(name)
    named = getattr(CLASSES[name], "name", None) is not None
    sections = inspect.getdoc(CLASSES[name])
    if named or hasattr(CLASSES[name], "fit"):
        assert "Examples\n--------" in sections
        assert "References\n----------" in sections or ".schedules." in name


@pytest.mark.parametrize("name", [*METHODS, *FUNCTIONS])
def test_methods_are_documented(name):
    check(name)


def check(name):
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"] if code not in IGNORED]
    assert not errors, f"{name}: {errors}"


def load_script():
    spec = importlib.util.spec_from_file_location(
        "make_reference", ROOT / "docs" / "make_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_is_up_to_date():
    script = load_script()
    assert script.TARGET.read_text(encoding="utf-8") == script.render(), (
        "run: python docs/make_reference.py"
    )


def test_every_public_name_is_in_the_reference():
    text = ROOT.joinpath("docs", "reference.md").read_text(encoding="utf-8")
    for name in (*CLASSES, *FUNCTIONS):
        assert f"### {name.rpartition('.')[2]}\n" in text
    for module in (losses, optimizers, schedules):
        assert f"`{module.__name__}`" in text
        for name, found in module.registry().items():
            for spelling in (name, *found.aliases):
                assert f"`{spelling}`" in text


def table(heading):
    """Rows of the README's table whose first column has this heading."""
    lines = ROOT.joinpath("README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def code(cell):
    return set(re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize(
    "heading, family", [("loss", losses), ("optimizer", optimizers)], ids=["losses", "optimizers"]
)
def test_readme_lists_the_registry(heading, family):
    rows = table(heading)
    assert set().union(*(code(row[0]) for row in rows)) == set(family.registry())
    for row in rows:
        names = code(row[0])
        aliases = {alias for name in names for alias in family.registry()[name].aliases}
        options = {text for text in code(row[1]) if "=" in text}
        assert code(row[1]) - options == aliases


def test_readme_lists_the_parts_that_losses_play():
    for names, _, tasks, _ in table("loss"):
        for name in code(names):
            found = losses.registry()[name]
            assert ("numbers" in tasks, "classes" in tasks) == (
                found.regression,
                found.classification,
            )


def test_estimators_name_every_loss_and_optimizer():
    for estimator, part in [
        ("GradientRegressor", "regression"),
        ("GradientClassifier", "classification"),
    ]:
        doc = inspect.getdoc(getattr(sklearn_lossopt, estimator)).partition("Attributes\n")[0]
        spellings = [
            spelling
            for name, found in {**losses.registry(), **optimizers.registry()}.items()
            if getattr(found, part, True)
            for spelling in (name, *found.aliases)
        ]
        missing = [spelling for spelling in spellings if f'"{spelling}"' not in doc]
        assert not missing, f"{estimator}'s docstring does not name {missing}"


def test_links_of_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_in_the_contents_of_the_site():
    docs = ROOT / "docs"
    listed = set()
    for page in docs.glob("*.md"):
        for contents in re.findall(r"^```{toctree}\n(.*?)^```$", page.read_text(), re.M | re.S):
            for line in contents.splitlines():
                entry = re.sub(r".*<(.*)>", r"\1", line.strip())
                if entry and not entry.startswith(":"):
                    listed |= set(docs.glob(f"{entry}.md"))
    pages = {page for page in docs.rglob("*.md") if not {"auto_gallery", "api"} & {*page.parts}}
    assert pages - listed == {docs / "index.md"}
