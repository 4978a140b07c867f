"""Memory does not grow from fit to fit."""

import gc
import os
from pathlib import Path

import pytest
from catalogue import make, make_data
from scipy import sparse

STATM = Path("/proc/self/statm")
# Fits after which memory is first looked at: pools of the allocator have filled by then.
FIRST, LAST = 200, 1000
MOST = 1_000_000


def resident():
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not STATM.exists(), reason="reads /proc")
@pytest.mark.parametrize("kind", ["dense", "sparse", "network", "stream"])
def test_memory_after_a_thousand_fits_is_that_after_two_hundred(kind):
    X, y = make_data("classification", n=40)
    X = sparse.csr_array(X) if kind == "sparse" else X
    hidden = (5,) if kind == "network" else ()
    model = make("classification", "log_loss", max_iter=3, tol=0, hidden_layer_sizes=hidden)
    for number in range(LAST):
        if kind == "stream":
            model.partial_fit(X, y, classes=[0, 1])
        else:
            model.fit(X, y)
        if number == FIRST:
            before = resident()
    assert resident() - before < MOST
