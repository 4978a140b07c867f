"""Scores against one parameter: curves, bands, what lies beyond the axes, and failures."""

import numpy as np

from sklearn_lossopt.plotting._legends import cycled, with_legend, write_legend
from sklearn_lossopt.plotting._results import is_number, setting_labels
from sklearn_lossopt.plotting._scales import limits_of
from sklearn_lossopt.plotting._shared import check_scale, styled


def draw_sensitivity(
    table,
    ax,
    shown,
    failed,
    spread,
    label,
    negate,
    xscale=None,
    curve_kwargs=None,
    band_kwargs=None,
):
    """Draw a SearchDisplay's table as curves.

    Parameters
    ----------
    table : SearchDisplay
        With the settings and their names.
    ax : matplotlib Axes or None
        A new figure if None.
    shown : ndarray of shape (n_rows, n_columns)
        The scores as they are shown.
    failed : ndarray of bool, of the same shape
        Cells in which all candidates failed.
    spread : ndarray of the same shape, or None
        Standard deviations.
    label : str
        Name of the scores.
    negate : bool
        Whether low scores are good ones, as shown.
    xscale, curve_kwargs, band_kwargs
        See ``SearchDisplay.plot``.

    Returns
    -------
    drawn : dict
        Attributes of the display.
    """
    numbers = [c for c, value in enumerate(table.x_values) if is_number(value)]
    others = [c for c in range(len(table.x_values)) if c not in numbers]
    at, xscale = _abscissa(table, numbers, xscale)
    names = setting_labels(table.y_values)
    styles = cycled("curve_kwargs", curve_kwargs, len(names))
    levels = [table.x_values[c] for c in others]
    ax, place = with_legend(ax, [table.y_name or "", *names, *levels])
    dashes = dict(zip(others, ["--", ":", "-."] * len(others), strict=False))
    lines, levels, bands = [], [], []
    for r, name in enumerate(names):
        # A failed cell leaves a gap in the curve, a cell that was not searched does not.
        tried = failed[r, numbers] | np.isfinite(shown[r, numbers])
        given = styled({"marker": "o", "label": name}, styles[r])
        lines += ax.plot(at[tried], shown[r, numbers][tried], **given)
        color = lines[-1].get_color()
        levels.append(
            {
                table.x_values[c]: ax.axhline(shown[r, c], color=color, ls=dashes[c], lw=1.2)
                for c in others
                if np.isfinite(shown[r, c])
            }
        )
        bands.append(None)
        if spread is not None:
            middle, half = shown[r, numbers][tried], spread[r, numbers][tried]
            given = {"color": color, "alpha": 0.12, "linewidth": 0} | (band_kwargs or {})
            bands[-1] = ax.fill_between(at[tried], middle - half, middle + half, **given)
    ax.set(ylabel=label, xscale=xscale)
    limits, extend = limits_of(shown, negate)
    if extend != "neither":
        margin = 0.05 * (limits["vmax"] - limits["vmin"])
        ax.set_ylim(limits["vmin"] - margin, limits["vmax"] + margin)
        _mark_beyond(ax, lines)
    rug = _rug(ax, lines, at, failed[:, numbers])
    rug.set_xlabel(table.x_name)
    _legend(ax, lines, [(table.x_values[c], dashes[c]) for c in others], table.y_name, place)
    return {
        "ax_": ax,
        "lines_": lines,
        "level_lines_": levels,
        "rug_ax_": None if rug is ax else rug,
        "bands_": None if spread is None else bands,
    }


def _abscissa(table, numbers, xscale):
    """The settings that are numbers, and the scale of their axis."""
    if not numbers:
        raise ValueError(
            f"None of the settings of {table.x_name} is a number: {table.x_values}. Draw "
            "kind='heatmap', or pass another x."
        )
    check_scale("xscale", xscale)
    at = np.array([table.x_values[c] for c in numbers], dtype=np.float64)
    if xscale is None:
        xscale = "log" if (at > 0).all() else "linear"
    if xscale == "log" and not (at > 0).all():
        raise ValueError(
            f"A logarithmic axis needs positive numbers, and {table.x_name} has {at.min():g}. "
            "Pass xscale='linear'."
        )
    return at, xscale


def _mark_beyond(ax, lines):
    """Triangles on the edges, where curves have points beyond them."""
    low, high = ax.get_ylim()
    for r, line in enumerate(lines):
        x, y = line.get_data()
        # Those of several curves stand one above the other.
        inside = 0.03 * r
        for beyond, height, marker in ((y < low, inside, "v"), (y > high, 1 - inside, "^")):
            if beyond.any():
                ax.plot(
                    x[beyond],
                    np.full(beyond.sum(), height),
                    marker,
                    color=line.get_color(),
                    transform=ax.get_xaxis_transform(),
                    clip_on=False,
                    label="_beyond",
                )


def _rug(ax, lines, at, failed):
    """Axes below with a cross for each failure; the axes themselves if there is none."""
    if not failed.any():
        return ax
    height = 0.05 * (1 + failed.any(axis=1).sum())
    rug = ax.inset_axes([0, -height - 0.02, 1, height], sharex=ax)
    rows = np.flatnonzero(failed.any(axis=1))
    for place, r in enumerate(rows):
        rug.plot(at[failed[r]], np.full(failed[r].sum(), -place), "x", color=lines[r].get_color())
    rug.set(yticks=[(1 - len(rows)) / 2], yticklabels=["failed"], ylim=(-len(rows), 1))
    rug.tick_params("y", length=0)
    ax.tick_params("x", which="both", labelbottom=False)
    return rug


def _legend(ax, lines, levels, title, place):
    import matplotlib.pyplot as plt

    notes = [plt.Line2D([], [], color="grey", ls=ls, lw=1.2, label=name) for name, ls in levels]
    write_legend(ax, handles=[*lines, *notes], title=title, **place)
