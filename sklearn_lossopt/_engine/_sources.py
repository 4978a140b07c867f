"""The fingerprint of the engine's sources, which the compiled engine carries.

The build writes it into a header: ``python _sources.py HEADER``.
"""

import hashlib
import sys
from pathlib import Path

SUFFIXES = {".cpp", ".hpp", ".pxd", ".pyx"}


def fingerprint():
    """Hash the sources beside this file; None where there are none, as in an installation."""
    found = hashlib.sha256()
    paths = [path for path in Path(__file__).parent.iterdir() if path.suffix in SUFFIXES]
    for path in sorted(paths):
        found.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()[:16] if paths else None


if __name__ == "__main__":
    header, text = Path(sys.argv[1]), f'#define LOSSOPT_FINGERPRINT "{fingerprint()}"\n'
    # A new date would have everything built that depends on it.
    if not header.exists() or header.read_text() != text:
        header.write_text(text)
