"""How Sphinx builds the site: ``sphinx-build -W -b html docs build/html``, see contributing.md."""

import re
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

from sphinx_gallery.sorting import ExplicitOrder

import sklearn_lossopt
from sklearn_lossopt import losses, optimizers, plotting, preprocessing, schedules

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
API = {
    "Estimators": (sklearn_lossopt, "``sklearn_lossopt``"),
    "Losses": (losses, "``sklearn_lossopt.losses``"),
    "Optimizers": (optimizers, "``sklearn_lossopt.optimizers``"),
    "Schedules": (schedules, "``sklearn_lossopt.schedules``"),
    "Preprocessing": (preprocessing, "``sklearn_lossopt.preprocessing``"),
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
    "header_links_before_dropdown": 4,
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
    """Pictures, each in a frame that scrolls where the page is narrower than they can be read, and
    numbers in tables, such as 1e-06, that do not break at their sign."""
    body = context.get("body")
    if body:
        picture = r'<img(?![^>]*thumb)[^>]*src="[^"]*_images/[^>]*>'
        body = re.sub(picture, r'<span class="picture">\g<0></span>', body)
        context["body"] = re.sub(r"(<td><p>[^<]*\de)-(?=\d)", r"\1&#8209;", body)


def in_place(app, what, name, found, options, lines):
    """Docstrings, of scikit-learn too, on a site that has no glossary of scikit-learn's and in
    which a name that ends with an underscore is no link."""
    for i, line in enumerate(lines):
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
