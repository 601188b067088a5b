"""How a registration travels on 32-bit ARM: as every library gives its words, and as every runtime wants them."""
from __future__ import annotations

import pytest

from coral_classify.edgetpu.abi import _Spread

OWNER, NODES, GARBAGE = 0xDE1E6A7E, 0x0DE5, 0xABABABAB
BASE = tuple(range(1, 9))       # the eight words of TF 2.5
# The arguments after the context: which runtime's headers, and the words as that compiler lays them out (AAPCS).
CALLS = {
    "2.5": BASE + (NODES, OWNER),
    "2.10": BASE + (0, NODES, OWNER),
    "2.13": BASE + (0, 0, NODES, OWNER),
    "2.14": (GARBAGE,) + BASE + (0, 0, 0, 0, NODES, OWNER),     # 64-bit members: the odd register is left out
}


@pytest.mark.parametrize("runtime", sorted(CALLS))
@pytest.mark.parametrize("library", sorted(CALLS))
def test_a_call_is_refitted_from_any_library_to_any_runtime(library, runtime):
    words = CALLS[library] + (GARBAGE,) * (_Spread.most - len(CALLS[library]))
    given = _Spread("tflite-runtime %s.0" % runtime).refitted(words, OWNER)
    wanted = CALLS[runtime]
    assert len(given) == len(wanted)
    assert [a for a, b in zip(given, wanted) if b != GARBAGE] == [b for b in wanted if b != GARBAGE]


@pytest.mark.parametrize("runtime, size", [
    ("2.9.1", 8), ("2.12.0", 9), ("2.13.0", 10), ("2.14.0", 12), ("2.20", 12), ("", 12)])
def test_the_runtime_s_version_tells_its_layout(runtime, size):
    assert _Spread(runtime).size == size


def test_a_call_that_nobody_knows_is_no_guess():
    with pytest.raises(ValueError, match="no known layout"):
        _Spread("2.14").refitted((GARBAGE,) * _Spread.most, OWNER)
