"""A Sphinx extension: formulas become MathML when the site is built, which browsers draw."""

from docutils import nodes
from latex2mathml.converter import convert


def inline(translator, node):
    """Write a formula in a line.

    Parameters
    ----------
    translator : sphinx.writers.html5.HTML5Translator
    node : docutils.nodes.Node
    """
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display(translator, node):
    """Write a formula of its own.

    Parameters
    ----------
    translator : sphinx.writers.html5.HTML5Translator
    node : docutils.nodes.Node
    """
    text = node.astext().strip()
    if "\\\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    translator.body.append(f'<div class="formula">{convert(text, display="block")}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx.

    Parameters
    ----------
    app : sphinx.application.Sphinx

    Returns
    -------
    metadata : dict
    """
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
