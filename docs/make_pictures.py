"""Draw the two pictures of the README and of the site's first page, from pages of the gallery.

Run it as ``python docs/make_pictures.py`` after such a page has changed.
"""

import runpy
from pathlib import Path
from unittest.mock import patch

import matplotlib

HERE = Path(__file__).resolve().parent
# Each picture is the first one of a page.
PICTURES = {
    "optimizers": "track/plot_09_adam.py",
    "losses": "track/plot_03_huber.py",
}


def draw(name, folder=HERE / "pictures"):
    """Draw one picture.

    Parameters
    ----------
    name : str
        A key of ``PICTURES``.
    folder : Path, default=docs/pictures
        Where to write it.

    Returns
    -------
    path : Path
        The file.
    """
    import matplotlib.pyplot as plt

    path = Path(folder) / f"{name}.png"
    plt.close("all")
    with patch.object(plt, "show"):
        runpy.run_path(str(HERE / "gallery" / PICTURES[name]))
    figure = plt.figure(plt.get_fignums()[0])
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close("all")
    return path


if __name__ == "__main__":
    matplotlib.use("Agg")
    for name in PICTURES:
        print(draw(name))
