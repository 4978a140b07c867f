"""Legends beside new axes, colours of many curves, and long names."""

from textwrap import fill

from sklearn_lossopt.plotting._shared import one_each, styled

# Letters in a line of a legend, and of the label of an axis.
LEGEND_WIDTH, LABEL_WIDTH = 40, 48
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}


def with_legend(ax, labels):
    """Axes, and where their legend goes: beside them if they are new, so that it hides nothing.

    Parameters
    ----------
    ax : matplotlib Axes or None
        A new figure if None.
    labels : list of str
        What the legend will hold: new figures are high enough for it.

    Returns
    -------
    ax : matplotlib Axes
    place : dict
        Arguments of ``Axes.legend``.
    """
    if ax is not None:
        return ax, {}
    import matplotlib.pyplot as plt

    size = 7.6, max(4.8, height(labels))
    return plt.subplots(figsize=size, layout="constrained")[1], BESIDE


def height(labels):
    """The height of a legend, in inches."""
    lines = sum(1 + wrapped(str(label), LEGEND_WIDTH).count("\n") for label in labels)
    return 0.7 + 0.22 * lines


def wrapped(text, width):
    """A name in lines of at most ``width`` letters."""
    return fill(text, width, break_on_hyphens=False) or text


def write_legend(ax, **given):
    """``ax.legend`` with long names in several lines."""
    legend = ax.legend(**given)
    for text in legend.get_texts():
        text.set_text(wrapped(text.get_text(), LEGEND_WIDTH))
    return legend


def cycled(name, given, n):
    """A style for each of n curves; more than ten get a longer cycle of colours."""
    styles = one_each(name, given, n)
    if n <= 10:
        return styles
    from matplotlib import colormaps

    return [styled({"color": colormaps["tab20"](r % 20)}, style) for r, style in enumerate(styles)]
