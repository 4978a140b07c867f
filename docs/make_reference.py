"""Write ``reference.md`` from the docstrings and the registries of the installed package.

Run it as ``python docs/make_reference.py`` after a docstring has changed; a test compares.
"""

import ast
import inspect
import re
from pathlib import Path

from numpydoc.docscrape import NumpyDocString

import sklearn_lossopt
from sklearn_lossopt import losses, optimizers, plotting, preprocessing, schedules
from sklearn_lossopt._component import Component

TARGET = Path(__file__).with_name("reference.md")
HEAD = """\
# Reference

Written by `docs/make_reference.py` from the docstrings; change those, not this page.
"""
FAMILIES = {
    "Losses": (
        losses,
        "Module `sklearn_lossopt.losses`. An estimator takes the name, or a configured object.",
    ),
    "Optimizers": (
        optimizers,
        "Module `sklearn_lossopt.optimizers`. The learning rate belongs to the estimator.",
    ),
    "Schedules": (
        schedules,
        "Module `sklearn_lossopt.schedules`. A schedule is a factor of the learning rate.",
    ),
}


def markdown(lines):
    """reStructuredText of the docstrings as Markdown.

    Parameters
    ----------
    lines : list of str

    Returns
    -------
    text : str
    """
    out, formula = [], None
    for line in [*lines, ""]:
        if formula is not None and (not line.strip() or line.startswith("    ")):
            formula.append(line[4:].rstrip())
            continue
        if formula is not None:
            out += fenced(formula)
            formula = None
        if line.startswith(".. math::"):
            formula = [line.removeprefix(".. math::").strip()]
            continue
        line = re.sub(r"``([^`]+)``", r"`\1`", line)
        out.append(re.sub(r":math:`([^`]*)`", r"$`\1`$", line))
    if formula is not None:
        out += fenced(formula)
    return "\n".join(out).strip()


def fenced(formula):
    """A display formula for Markdown; several lines are aligned at their ampersands."""
    formula = [line for line in formula if line]
    if any("\\\\" in line for line in formula) and r"\begin" not in " ".join(formula):
        formula = [r"\begin{aligned}", *formula, r"\end{aligned}"]
    return ["", "```math", *formula, "```", ""]


def listed(parameters):
    """Parameters or attributes as a Markdown list."""
    lines = []
    for found in parameters:
        text = " ".join(markdown(found.desc).split())
        lines.append(f"- `{found.name}` ({found.type}): {text}" if found.type else f"- {text}")
    return lines


def bare_signature(function, skip=0):
    """A signature without its types, which the lists of parameters state in words.

    Parameters
    ----------
    function : callable
    skip : int, default=0
        Number of parameters to leave out, from the first on.

    Returns
    -------
    signature : inspect.Signature
    """
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return inspect.Signature(
        [found.replace(annotation=inspect.Parameter.empty) for found in parameters]
    )


def method(owner, name):
    """A method's signature, summary and parameters."""
    doc = NumpyDocString(inspect.getdoc(getattr(owner, name)))
    bound = isinstance(inspect.getattr_static(owner, name), classmethod)
    # With the star before what is keyword-only.
    shown = str(bare_signature(getattr(owner, name), skip=0 if bound else 1))[1:-1]
    label = f"({shown})" if name == "__call__" else f".{name}({shown})"
    lines = [f"**`{label}`** {' '.join(markdown(doc['Summary']).split())}", ""]
    return [*lines, *listed(doc["Parameters"]), *returned(doc), ""]


def returned(doc):
    """What is returned, as lines of a list."""
    for found in doc["Returns"]:
        text = " ".join(markdown(found.desc).split())
        yield f"- returns `{found.name}` ({found.type})" + (f": {text}" if text else "")


def function_section(name, function):
    """A function: signature, description, parameters and what it returns."""
    doc = NumpyDocString(inspect.getdoc(function))
    lines = [f"### {name}", "", f"```python\n{name}{bare_signature(function)}\n```", ""]
    lines += [markdown([*doc["Summary"], "", *doc["Extended Summary"]]), ""]
    lines += ["Parameters:", ""] if doc["Parameters"] else []
    return [*lines, *listed(doc["Parameters"]), *returned(doc), ""]


def methods(cls):
    """Names of the methods to document: an estimator's, and what a base class asks for.

    Parameters
    ----------
    cls : type

    Returns
    -------
    names : list of str
    """
    names = []
    for name in dir(cls):
        public = name == "__call__" or not name.startswith("_")
        found = inspect.getattr_static(cls, name)
        # What available_if or classmethod wraps.
        function = getattr(found, "fn", getattr(found, "__func__", found))
        ours = (getattr(function, "__module__", None) or "").startswith("sklearn_lossopt")
        if public and ours and inspect.isfunction(function):
            if issubclass(cls, Component) and name not in vars(cls):
                continue
            names.append(name)
    return names


def as_string(cls, quote="`"):
    """The names by which estimators know a registered component.

    Parameters
    ----------
    cls : type
        The component's class.
    quote : str, default="`"
        What stands around a name.

    Returns
    -------
    text : str
    """
    known = [f"{quote}{cls.name}{quote}"]
    for alias, given in cls.aliases.items():
        note = ", ".join(f"{key}={value}" for key, value in given.items())
        known.append(f"{quote}{alias}{quote}" + (f" ({note})" if note else ""))
    return f"As a string: {', '.join(known)}."


def section(name, cls, with_methods):
    """A class: signature, description, parameters, attributes and methods."""
    doc = NumpyDocString(inspect.getdoc(cls))
    lines = [f"### {name}", "", f"```python\n{name}{signature(cls)}\n```", ""]
    if getattr(cls, "name", None):
        lines += [as_string(cls), ""]
    lines += [markdown([*doc["Summary"], "", *doc["Extended Summary"]]), ""]
    for title in ("Parameters", "Attributes"):
        if doc[title]:
            lines += [f"{title}:", "", *listed(doc[title]), ""]
    if with_methods:
        for found in methods(cls):
            lines += method(cls, found)
    return lines


def signature(cls):
    """A constructor's arguments, on several lines if they are many."""
    if issubclass(cls, Exception):
        return ""
    text = str(bare_signature(cls)) if cls.__init__ is not object.__init__ else "()"
    text = text.replace("'", '"')  # as ruff writes the page's code
    if len(text) < 80:
        return text
    return "(\n    " + text[1:-1].replace(", ", ",\n    ") + ",\n)"


def parsed(name):
    """A module of the package, read without an import, which needs an extra."""
    path = Path(sklearn_lossopt.__file__).parent / name
    return ast.parse(path.read_text(encoding="utf-8"))


def dask_sections():
    """The estimators of ``sklearn_lossopt.dask``: what their docstrings say besides the plain
    ones', and their own methods."""
    lines = ["## Dask", "", "Module `sklearn_lossopt.dask`. It needs Dask.", ""]
    for node in parsed("dask/_estimators.py").body:
        if not isinstance(node, ast.ClassDef):
            continue
        doc = NumpyDocString(ast.get_docstring(node))
        text = [*doc["Summary"], "", *doc["Extended Summary"]]
        name = node.name
        if name.endswith("Mixin"):
            name, text = "Both estimators", ["What both do."]
        lines += [f"### {name}", "", markdown(text), ""]
        if doc["Attributes"]:
            lines += ["Attributes:", "", *listed(doc["Attributes"]), ""]
        lines += [markdown(doc["Notes"]), ""]
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                inner = NumpyDocString(ast.get_docstring(member))
                shown = ast.unparse(member.args).removeprefix("self, ").removeprefix("self")
                summary = " ".join(markdown(inner["Summary"]).split())
                lines += [f"**`.{member.name}({shown})`** {summary}", ""]
                lines += [*listed(inner["Parameters"]), *returned(inner), ""]
    return lines


def render():
    """The page.

    Returns
    -------
    text : str
    """
    lines = [HEAD, "## Estimators", ""]
    public = {name: getattr(sklearn_lossopt, name) for name in sklearn_lossopt.__all__}
    classes = {name: found for name, found in public.items() if inspect.isclass(found)}
    for name in sorted(classes, key=lambda name: (issubclass(classes[name], Exception), name)):
        lines += section(name, classes[name], with_methods=True)
    for name, found in public.items():
        if inspect.isfunction(found):
            lines += function_section(name, found)
    for title, (module, text) in FAMILIES.items():
        lines += [f"## {title}", "", text, ""]
        lines += ["`registry()` returns the known names and their classes.", ""]
        names = [name for name in module.__all__ if inspect.isclass(getattr(module, name))]
        # Base classes, which are for subclassing and have no name of their own, come last.
        names.sort(key=lambda name: (getattr(module, name).name is None, name))
        for name in names:
            found = getattr(module, name)
            lines += section(name, found, with_methods=found.name is None)
        for name in module.__all__:
            if inspect.isfunction(getattr(module, name)):
                lines += function_section(name, getattr(module, name))
    lines += ["## Preprocessing", "", "Module `sklearn_lossopt.preprocessing`.", ""]
    for name in preprocessing.__all__:
        lines += section(name, getattr(preprocessing, name), with_methods=True)
    lines += ["## Displays", "", "Module `sklearn_lossopt.plotting`. They need matplotlib.", ""]
    for name in plotting.__all__:
        found = getattr(plotting, name)
        if inspect.isfunction(found):
            lines += function_section(name, found)
        else:
            lines += section(name, found, with_methods=True)
    lines += dask_sections()
    doc = NumpyDocString(ast.get_docstring(parsed("onnx.py")))
    lines += ["## ONNX", "", "Module `sklearn_lossopt.onnx`. It needs skl2onnx.", ""]
    lines += [markdown([*doc["Summary"], "", *doc["Extended Summary"]]), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
