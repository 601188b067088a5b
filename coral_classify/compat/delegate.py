"""``load_delegate`` with libedgetpu: which device a program wants, checked at once and opened by nobody yet.

The driver is opened where it may fall: in the worker process that an ``Interpreter`` with this delegate starts.  What
can be known before (no library, no such device, a wrong option) is an error here, in the words of the runtime.
"""
from __future__ import annotations

import logging
import os
import re
from typing import Any, Dict, Optional

from .. import edgetpu
from ..errors import DeviceError, UsageError
from ..supervision import owner_is_there

__all__ = ["Delegate", "load_delegate", "on_cpu"]

_log = logging.getLogger("coral_classify.compat")
_LIBRARY = re.compile(r"(lib)?edgetpu[^/\\]*\.(so[.\d]*|dylib|dll)$", re.IGNORECASE)
_OPTIONS = {"device": "device", "performance": "performance", "usb.alwaysdfu": "usb_always_dfu",
            "usb.maxbulkinqueuelength": "usb_max_bulk_in_queue_length"}


def on_cpu() -> bool:
    """Whether programs are to run on the CPU twin: ``CORAL_CLASSIFY_COMPAT=cpu``."""
    return os.environ.get("CORAL_CLASSIFY_COMPAT", "").lower() == "cpu"


class Delegate:
    """What a program holds instead of a driver: the wish for a device.

    :param library: as the program names it
    :param options: libedgetpu's: "device", "Performance", "Usb.AlwaysDfu", "Usb.MaxBulkInQueueLength"
    :raises OSError: without the library
    :raises ValueError: if no such device is attached, or an option cannot be meant
    """

    def __init__(self, library: str, options: Optional[Dict[Any, Any]] = None) -> None:
        self.library = str(library)
        self._opened: Optional[edgetpu.Delegate] = None
        self.cpu = on_cpu()
        told = {str(key).lower(): str(value) for key, value in (options or {}).items()}
        unknown = sorted(set(told) - set(_OPTIONS))
        if unknown:
            raise self.failed("unknown option %s" % ", ".join(unknown))
        self.device = told.get("device") or "auto"
        self.options: Dict[str, Any] = {}
        if "performance" in told:
            self.options["performance"] = told["performance"].lower()
        if "usb.alwaysdfu" in told:
            self.options["usb_always_dfu"] = told["usb.alwaysdfu"].lower() in ("true", "1")
        try:
            if "usb.maxbulkinqueuelength" in told:
                self.options["usb_max_bulk_in_queue_length"] = int(told["usb.maxbulkinqueuelength"])
            edgetpu.Options(**self.options).check()
            edgetpu.match(self.device, [])
        except (UsageError, ValueError) as exc:
            raise self.failed(str(exc)) from exc
        # Whoever goes to an owner of shared accelerators needs no driver and sees no device.
        if not self.cpu and not owner_is_there():
            self._find()

    def _find(self) -> None:
        if os.path.basename(self.library) != self.library:
            # A library of the program's own choice; the workers find it by this.
            os.environ.setdefault("CORAL_CLASSIFY_LIBEDGETPU", self.library)
        try:
            listed = edgetpu.driver_devices()
        except DeviceError as exc:
            raise OSError("%s\n%s" % (exc.__cause__ or exc, exc)) from exc
        if not edgetpu.match(self.device, listed):
            names = ", ".join(device.name for device in listed)
            raise self.failed("no Edge TPU answers to %r; attached: %s" % (self.device, names or "none"))

    def _get_native_delegate_pointer(self) -> int:
        """For a runtime's own ``Interpreter``, which knows no worker: the driver in this process, as it always was.

        :raises ValueError: if it cannot be opened
        """
        if self.cpu:
            raise self.failed("on the CPU only coral_classify's Interpreter finds the twin of a model; use --ours")
        if self._opened is None:
            _log.warning("%s is opened in this process, where nobody watches over it; --ours would", self.device)
            try:
                self._opened = edgetpu.open_delegate(self.device, edgetpu.Options(**self.options))
            except DeviceError as exc:
                way = "; an owner shares it: --ours goes through that" if owner_is_there() else ""
                raise self.failed("%s%s" % (exc, way)) from exc
        return self._opened._get_native_delegate_pointer()

    def failed(self, reason: object) -> ValueError:
        """The error of the runtimes, which give no reason, with one."""
        return ValueError("Failed to load delegate from %s\n%s" % (self.library, reason))


def load_delegate(library: str, options: Optional[Dict[Any, Any]] = None) -> Any:
    """A delegate for ``Interpreter(experimental_delegates=[…])``.

    :param library: libedgetpu; any other library goes to the runtime as it is
    :raises OSError: without the library
    :raises ValueError: if it cannot be loaded
    """
    if _LIBRARY.match(os.path.basename(str(library))):
        return Delegate(library, options)
    from ..engine import open_plugin

    return open_plugin(library, options)
