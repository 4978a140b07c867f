"""How Sphinx builds the site: ``sphinx-build -W -b html docs build/html``, see contributing.md."""

import ast
import re
import sys
import warnings
from functools import partial
from importlib import import_module
from inspect import isclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE)]

from make_reference import as_string, methods, parsed
from sphinx_gallery.sorting import ExplicitOrder

import sklearn_lossopt.dask
from sklearn_lossopt import losses, optimizers, plotting, preprocessing, schedules
from sklearn_lossopt._component import Component

project = "sklearn-lossopt"
author = copyright = "The sklearn-lossopt developers"
version = release = sklearn_lossopt.__version__

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_ext", "_templates", "gallery", "**/sg_execution_times.rst",
                    "sg_execution_times.rst"]  # fmt: skip
templates_path = ["_templates"]
default_role = "code"
suppress_warnings = ["config.cache"]

# -- pages ----------------------------------------------------------------------------------

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
# What a page on the web shows as text in a language that Pygments does not know.
highlight_language = "none"

# -- API pages ------------------------------------------------------------------------------

numpydoc_show_class_members = False
autosummary_generate = True
autodoc_typehints = "none"
# The list of a page's headings has room for a method's name, not for that of its class before it.
toc_object_entries_show_parents = "hide"
API = {
    "Estimators": (sklearn_lossopt, "``sklearn_lossopt``"),
    "Losses": (losses, "``sklearn_lossopt.losses``"),
    "Optimizers": (optimizers, "``sklearn_lossopt.optimizers``"),
    "Schedules": (schedules, "``sklearn_lossopt.schedules``"),
    "Preprocessing": (preprocessing, "``sklearn_lossopt.preprocessing``"),
    "Dask": (sklearn_lossopt.dask, "``sklearn_lossopt.dask``, which needs Dask"),
    "Displays": (plotting, "``sklearn_lossopt.plotting``"),
}

# -- gallery --------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["auto_gallery"],
    "subsection_order": ExplicitOrder(["gallery/track", "gallery/more"]),
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sklearn_lossopt",),
    "backreferences_dir": "api/backreferences",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "remove_config_comments": True,
}
# Scripts without an interactive window say so at every plt.show().
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

# -- the site -------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-lossopt"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "switcher": {"json_url": "_static/switcher.json", "version_match": version},
    "check_switcher": False,
    "navbar_align": "left",
    "navbar_end": ["version-switcher", "theme-switcher"],
    "header_links_before_dropdown": 5,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_context = {"default_mode": "auto"}
html_favicon = "_static/icon.svg"
# A page without pages below it has nothing to put into a sidebar.
html_sidebars = {"index": []} | {
    page.stem: [] for page in HERE.glob("*.md") if "{toctree}" not in page.read_text("utf-8")
}


def documented(name):
    """The methods that the page of a class describes: those that the reference lists.

    Parameters
    ----------
    name : str
        The class's full name.

    Returns
    -------
    names : str
        With commas between them.
    """
    found = public(name)
    # What all members of a family have is described once, on the page of their base class.
    registered = issubclass(found, Component) and found.name is not None
    return "" if registered else ", ".join(methods(found))


def pictured(name):
    """The pages of the gallery that use an object, or a component by one of its strings.

    Schedules are drawn by one display. Their strings on other pages are settings, or losses.

    Parameters
    ----------
    name : str
        The object's full name.

    Returns
    -------
    arguments : str
        For the directive ``minigallery``.
    """
    found, uses = public(name), [name]
    if isclass(found) and issubclass(found, Component) and found.name is not None:
        strings = {f'"{string}"' for string in (found.name, *found.aliases)}
        for script in sorted((HERE / "gallery").glob("*/plot_*.py")):
            text = script.read_text(encoding="utf-8")
            fits = ("ScheduleDisplay" in text) == issubclass(found, schedules.Schedule)
            if fits and any(string in text for string in strings):
                uses.append(script.relative_to(HERE).as_posix())
    return " ".join(uses)


def public(name):
    """The object of a full name."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


autosummary_context = {"documented": documented, "pictured": pictured}


def write_api():
    """Write api/index.rst: every public name, each with a page of its own."""
    lines = ["API", "===", ""]
    for title, (module, where) in API.items():
        names = [name for name in module.__all__ if not hasattr(getattr(module, name), "__path__")]
        names = [name for name in names if getattr(module, name).__class__.__name__ != "module"]
        lines += [title, "-" * len(title), "", f"Module {where}.", ""]
        lines += [f".. currentmodule:: {module.__name__}", ""]
        lines += [".. autosummary::", "   :toctree: generated", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in sorted(names, key=str.lower)] + [""]
    lines += ["ONNX", "----", "", "Module ``sklearn_lossopt.onnx``, which needs skl2onnx.", ""]
    lines += [*ast.get_docstring(parsed("onnx.py")).splitlines(), ""]
    target = HERE / "api" / "index.rst"
    target.parent.mkdir(exist_ok=True)
    text = "\n".join(lines)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


def as_myst(app, docname, source):
    """What differs between the pages in the repository and on the site: formulas in a line are
    written with backticks there, and the README is the landing page here."""
    text = re.sub(r"\$`([^`$]+)`\$", r"$\1$", source[0])
    source[0] = text.replace("](../README.md", "](index.md")


def in_frames(app, pagename, templatename, context, doctree):
    """Pictures, each in a frame that scrolls where the page is narrower than they can be read;
    numbers in tables, such as 1e-06, that do not break at their sign; and formulas with the
    punctuation that follows them."""
    body = context.get("body")
    if body:
        title = re.sub("<[^>]+>", "", context.get("title", ""))
        body = re.sub(r'(<img[^>]*) alt="plot [^"]*"', rf'\1 alt="{title}"', body)
        body = re.sub(
            r'<img(?![^>]*thumb)[^>]*src="[^"]*_images/([^"]*)"[^>]*>', partial(framed, app), body
        )
        body = re.sub(
            r"(<math(?![^>]*block)(?:(?!</math>).)*</math>[-)\].,;:]+)",
            r'<span class="whole">\1</span>',
            body,
        )
        context["body"] = re.sub(r"(<td><p>[^<]*\de)-(?=\d)", r"\1&#8209;", body)


def framed(app, found):
    """A picture in its frame, which says whether there are several plots side by side."""
    path = next(path for path in Path(app.srcdir).glob("**/*.png") if path.name == found[1])
    width, height = (int.from_bytes(path.read_bytes()[at : at + 4]) for at in (16, 20))
    kind = "picture wide" if width > 1.8 * height else "picture"
    return f'<span class="{kind}">{found[0]}</span>'


def in_place(app, what, name, found, options, lines):
    """Docstrings, of scikit-learn too, on a site that has no glossary of scikit-learn's and in
    which a name that ends with an underscore is no link. Components say what their strings are."""
    if what == "class" and issubclass(found, Component) and found.name is not None:
        first = next(i for i, line in enumerate(lines) if line.strip())
        after = lines.index("", first)
        lines[after:after] = ["", as_string(found, "``"), ""]
    for i, line in enumerate(lines):
        if re.match(r"\s*(>>>|\.\.\. )", line):
            continue
        line = re.sub(r":obj:`([^`<]+?) <[^>]*>`", r"**\1**", line)
        line = re.sub(r":(?:term|ref):`([^`<]+?)\s*(?:<[^>]*>)?`", r"\1", line)
        lines[i] = re.sub(r"(?<![`\w])([a-z]\w*)_(?=[,)]|$)", r"\1\\_", line)


def setup(app):
    """Called by Sphinx.

    Parameters
    ----------
    app : sphinx.application.Sphinx
    """
    write_api()
    app.connect("source-read", as_myst)
    app.connect("html-page-context", in_frames)
    # After numpydoc.
    app.connect("autodoc-process-docstring", in_place, priority=900)
