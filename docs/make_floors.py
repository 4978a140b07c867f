"""The picture of the package's floors in architecture.md, drawn from the imports.

python docs/make_floors.py          # rewrite the picture
python docs/make_floors.py --check  # exit 1 where it is out of date
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sklearn_lossopt"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- floors -->\n", "<!-- end of floors -->\n"
WIDTH = 18


def room(path):
    """The folder or file, directly in the package, that a path lies in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path):
    """Names of the package's modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn_lossopt"):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def imports():
    """The rooms that each room imports, without the public `__init__` and `__main__`."""
    rooms = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    found = {name: set() for name in rooms}
    for path in PACKAGE.rglob("*.py"):
        if room(path) in rooms:
            names = {name.split(".")[1] for name in imported_modules(path)}
            found[room(path)] |= (names & rooms) - {room(path)}
    return found


def floors(found):
    """The rooms from the ground up: each stands on the lowest floor that its imports allow."""
    heights = {}
    while len(heights) < len(found):
        ready = [name for name in found if name not in heights and found[name] <= heights.keys()]
        if not ready:
            raise SystemExit(f"a circle of imports among {sorted(found.keys() - heights.keys())}")
        for name in ready:
            heights[name] = 1 + max((heights[other] for other in found[name]), default=-1)
    return [
        sorted(name for name, height in heights.items() if height == floor)
        for floor in range(1 + max(heights.values()))
    ]


def picture():
    """The floors as text, the top one first, with what each room imports."""
    found = imports()
    lines = ["```text"]
    for number, names in reversed(list(enumerate(floors(found)))):
        for place, name in enumerate(names):
            below = " ".join(sorted(found[name])) or "-"
            lines.append(f"{number if place == 0 else '':>2}  {name:<{WIDTH}} imports  {below}")
    return "\n".join([*lines, "```\n"])


def main(check):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = before + BEGIN + picture() + END + after
    if check and new != text:
        raise SystemExit("docs/architecture.md: run python docs/make_floors.py")
    PAGE.write_text(new)


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
