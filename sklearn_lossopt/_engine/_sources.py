"""The fingerprint of the engine's sources, which the compiled engine carries.

The build writes it into a header: ``python _sources.py HEADER DEPFILE``.
"""

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SUFFIXES = {".cpp", ".hpp", ".pxd", ".pyx"}


def sources():
    """The engine's sources beside this file; none in an installation."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in SUFFIXES)


def fingerprint():
    """Hash the sources."""
    found = hashlib.sha256()
    for path in sources():
        found.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()[:16]


if __name__ == "__main__":
    header, depfile = map(Path, sys.argv[1:])
    text = f'#define LOSSOPT_FINGERPRINT "{fingerprint()}"\n'
    # A new date would have everything built that depends on it.
    if not header.exists() or header.read_text() != text:
        header.write_text(text)
    # The folder's own date changes with a file that is added or removed.
    names = [str(path).replace(" ", "\\ ") for path in [FOLDER, *sources()]]
    depfile.write_text(f"{header}: {' '.join(names)}\n")
