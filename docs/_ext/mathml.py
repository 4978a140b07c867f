"""A Sphinx extension: formulas become MathML when the site is built, which browsers draw."""

import re
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert

SPACE = "http://www.w3.org/1998/Math/MathML"
BARS = "|\N{DOUBLE VERTICAL LINE}"
SIGNS = "-+\N{MINUS SIGN}"
CLOSING = set(")]}")
ROWS = ("math", "mrow", "mtd", "mstyle", "msqrt")

ElementTree.register_namespace("", SPACE)


def mathml(text, display="inline"):
    """A formula as MathML.

    Parameters
    ----------
    text : str
        The formula in LaTeX.
    display : {"inline", "block"}, default="inline"

    Returns
    -------
    markup : str
    """
    # Two commands that the converter does not know.
    text = text.replace("{aligned}", "{align*}").replace(r"\arg\min", r"\operatorname{argmin}")
    root = ElementTree.fromstring(convert(text, display=display))
    fence(root)
    for row in list(root.iter()):
        if row.tag.split("}")[-1] in ROWS:
            sign(row)
            part(row)
    return ElementTree.tostring(root, encoding="unicode")


def fence(root):
    """Say which vertical bars open and which close: browsers space them as relations otherwise."""
    is_open = dict.fromkeys(BARS, False)
    for item in root.iter(f"{{{SPACE}}}mo"):
        if item.text in is_open:
            is_open[item.text] = not is_open[item.text]
            item.set("form", "prefix" if is_open[item.text] else "postfix")


def sign(row):
    """A sign after a bracket or another operator stands before its number, without a gap."""
    before = None
    for item in row:
        after_number = before is not None and (
            not is_operator(before) or before.text in CLOSING or before.get("form") == "postfix"
        )
        if is_operator(item) and item.text in SIGNS and not after_number:
            item.set("form", "prefix")
        before = item


def part(row):
    """Set the names of functions, such as log, apart from what they stand next to."""
    before = None
    for item in list(row):
        if is_function(item):
            item.tag = f"{{{SPACE}}}mi"
        after_name = before is not None and is_function(before) and item.text != "("
        before_name = before is not None and is_function(item) and not is_operator(before)
        if after_name or before_name:
            row.insert(list(row).index(item), thin())
        before = item


def is_operator(item):
    """Whether an element is an operator, a bracket or a comma."""
    return item.tag == f"{{{SPACE}}}mo"


def is_function(item):
    """Whether an element is the name of a function."""
    return item.tag.endswith(("}mi", "}mo")) and bool(re.fullmatch("[a-z]{2,}", item.text or ""))


def thin():
    """A thin space."""
    return ElementTree.Element(f"{{{SPACE}}}mspace", width="0.17em")


def inline(translator, node):
    """Write a formula in a line.

    Parameters
    ----------
    translator : sphinx.writers.html5.HTML5Translator
    node : docutils.nodes.Node
    """
    translator.body.append(mathml(node.astext()))
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
    translator.body.append(f'<div class="formula">{mathml(text, "block")}</div>\n')
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
