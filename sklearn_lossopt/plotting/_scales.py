"""Limits, number formats and text colours for scores."""

import numpy as np


def limits_of(shown, negate):
    """Colour limits of scores, and the side on which values lie outside of them.

    Very low scores are cut off. They would hide the differences between the others.
    """
    score = -shown[np.isfinite(shown)] if negate else shown[np.isfinite(shown)]
    if len(score) == 0:
        return {}, "neither"
    best, low = score.max(), score.min()
    lowest = np.median(score) - 3 * (best - np.median(score))
    cut = low < lowest < best
    low = lowest if cut else low
    if negate:
        return {"vmin": -best, "vmax": -low}, "max" if cut else "neither"
    return {"vmin": low, "vmax": best}, "min" if cut else "neither"


def number_format(shown, values_format):
    """A function that formats a number of a heat map."""
    if values_format is None:
        size = np.abs(shown[np.isfinite(shown)])
        size = size[size > 0]
        digits = 2 - int(np.floor(np.log10(np.median(size)))) if len(size) else 2
        values_format = f".{max(digits, 0)}f" if -2 <= digits <= 5 else ".2e"
    return lambda value: format(value, values_format)


def ink(image, value):
    """The legible text colour, black or white, on the colour of a value."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
