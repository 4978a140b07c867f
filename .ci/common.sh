# What the scripts beside this one share: a copy of the checkout, and environments made afresh.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }

# A copy of the tracked and new files, as they are in the working tree.
copy_checkout() {
    mkdir "$work/clone"
    git -C "$root" -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
        (cd "$root" && tar --null --ignore-failed-read --files-from=- -cf - 2>/dev/null) |
        tar -C "$work/clone" -xf -
    cd "$work/clone"
}

# new_environment PACKAGE...: a virtual environment in $work/venv, first on PATH.
new_environment() {
    python3 -m venv "$work/venv"
    export PATH="$work/venv/bin:$PATH"
    pip install -q "$@"
}

# The package's requirements of one kind, from pyproject.toml: build, run or test.
requirements() {
    python3 - "$1" <<'PYTHON'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    found = tomllib.load(file)
kinds = {
    "build": found["build-system"]["requires"],
    "run": found["project"]["dependencies"],
    "test": found["project"]["optional-dependencies"]["test"],
}
print(*kinds[sys.argv[1]], sep="\n")
PYTHON
}
