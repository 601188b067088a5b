"""For your tests: a fake session that obeys the contract of the real one, and a simulated Edge TPU driver.

Knows the contract, and the driver's C functions.  Needs no board; the fake needs no engine either, the simulated
driver a C compiler.
May use: doors, errors, arguments, types; engine and modelfiles in the program that answers for the simulated driver.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
from .fake import FakeSession

if TYPE_CHECKING:
    from .simulated import SimulatedDriver, build_driver, write_pair

__all__ = ["FakeSession", "SimulatedDriver", "build_driver", "write_pair"]

__getattr__ = on_first_use(__name__, dict.fromkeys(["SimulatedDriver", "build_driver", "write_pair"], "simulated"))
