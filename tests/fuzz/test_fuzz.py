"""Some hundreds of drawn cases, always the same ones; `python tests/fuzz` runs more."""

from fuzz.cases import cases
from fuzz.oracles import check
from hypothesis import HealthCheck, Phase, given, settings

CASES = 300


@settings(
    max_examples=CASES, derandomize=True, database=None, deadline=None,
    phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(cases())
def test_no_case_breaks_a_promise(case):
    failures, _ = check(case)
    assert not failures, failures
