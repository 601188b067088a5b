"""How long an inference on a USB Accelerator may take, from a network's size: a rough estimate with its error.

``ms = a + b * GMACs + c * (MB of parameters beyond the 8 MB on the chip)``: a fixed cost, the arithmetic, and the
parameters that travel with each inference.  Fitted on the ten published times of ``benchmarks/latency_fit.py``, which
prints these numbers.
"""
from __future__ import annotations

from typing import NamedTuple

__all__ = ["Estimate", "ON_CHIP_BYTES", "estimate"]

ON_CHIP_BYTES = 8_000_000       # "about 8 MB" by Coral's documentation
_FIXED_MS = 1.455
_MS_PER_GMAC = 1.914
_MS_PER_MB = 0.992
# Each published time predicted from the nine others: half of them are missed by less than this share …
TYPICAL_ERROR = 0.34
# … and all lie between these multiples of the truth.
LOWEST, HIGHEST = 0.33, 2.01


class Estimate(NamedTuple):
    """Time of one inference on a USB Accelerator on USB 3, in ms."""

    ms: float
    low: float      # if the estimate is as far off as it was at worst
    high: float


def estimate(macs: int, parameter_bytes: int) -> Estimate:
    """:param macs: multiply-accumulate operations of one inference"""
    beyond = max(0, parameter_bytes - ON_CHIP_BYTES)
    ms = _FIXED_MS + _MS_PER_GMAC * macs / 1e9 + _MS_PER_MB * beyond / 1e6
    return Estimate(ms, ms / HIGHEST, ms / LOWEST)
