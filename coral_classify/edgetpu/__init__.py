"""The accelerator and its driver: libedgetpu through ctypes, what the system's files show of a device, and why one does
not open.

Knows the driver's C functions and structs, sysfs and /proc.  Knows nothing of models, engines, pictures or processes
that may die: whoever opens a device here takes the driver's crashes along.
May use: doors, errors, arguments, types.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
from .naming import Device, match
from .options import Options

if TYPE_CHECKING:
    from . import reasons
    from .devices import AcceleratorRecord, is_listed, list_devices, listed, sensible
    from .driver import (
        Delegate,
        check_library,
        close_at_exit,
        driver_devices,
        library,
        library_name,
        open_delegate,
        talk,
        version,
    )
    from .system import System, narrow_user_land
    from .words import being_opened, worth_quoting

__all__ = ["AcceleratorRecord", "Delegate", "Device", "Options", "System", "being_opened", "check_library",
           "close_at_exit", "driver_devices", "is_listed", "library", "library_name", "list_devices", "listed",
           "match", "narrow_user_land", "open_delegate", "reasons", "sensible", "talk", "version", "worth_quoting"]

# A classification on the CPU lists no devices, and loads no driver.
__getattr__ = on_first_use(__name__, dict(
    {"System": "system", "narrow_user_land": "system", "being_opened": "words", "worth_quoting": "words",
     "reasons": "reasons"},
    **dict.fromkeys(["AcceleratorRecord", "is_listed", "list_devices", "listed", "sensible"], "devices"),
    **dict.fromkeys(["Delegate", "check_library", "close_at_exit", "driver_devices", "library",
                     "library_name", "open_delegate", "talk", "version"], "driver")))
