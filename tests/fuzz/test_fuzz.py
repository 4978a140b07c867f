"""Some hundreds of drawn cases, always the same ones; `python tests/fuzz` runs more."""

import json

import pytest
from fuzz.cases import draw
from fuzz.oracles import check

BLOCKS, EACH = 20, 10
QUICK = 3


@pytest.mark.parametrize(
    "block",
    [pytest.param(k, marks=[pytest.mark.slow] if k >= QUICK else []) for k in range(BLOCKS)],
)
def test_no_data_break_a_promise(block):
    failures = [
        f"{kind}: {text}\n    python tests/fuzz --case '{json.dumps(case)}'"
        for case in draw(EACH, block)
        for kind, text in check(case)[0]
    ]
    assert not failures, "\n".join(failures)
