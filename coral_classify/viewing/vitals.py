"""How warm the accelerator and the processor are."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, Optional

from .. import edgetpu
from ..errors import CoralClassifyError

__all__ = ["Vitals"]

_EVERY_S = 5.0
_ZONES = Path("/sys/class/thermal")
_HOTTEST = 150.0    # °C; a zone that says more is broken


class Vitals:
    """Temperatures, looked up now and then.

    :param zones: the folder of the kernel's thermal zones
    """

    def __init__(self, zones: Path = _ZONES) -> None:
        self._zones = zones
        self._at = float("-inf")
        self._known: Dict[str, Optional[float]] = {}

    def read(self, device: str) -> Dict[str, Optional[float]]:
        """``device_c``: of the accelerator, where its driver tells (PCIe); ``cpu_c``: of the processor; °C or None."""
        if time.monotonic() - self._at > _EVERY_S:
            self._at = time.monotonic()
            self._known = {"device_c": _accelerator(device), "cpu_c": self._processor()}
        return self._known

    def _processor(self) -> Optional[float]:
        """Of the warmest zone."""
        found = []
        for path in sorted(self._zones.glob("thermal_zone*/temp")):
            try:
                found.append(int(path.read_text()) / 1000.0)        # thousandths of a degree
            except (OSError, ValueError):
                continue
        sensible = [degrees for degrees in found if 0 < degrees < _HOTTEST]
        return round(max(sensible), 1) if sensible else None


def _accelerator(device: str) -> Optional[float]:
    if not device.startswith("pci"):
        return None
    try:
        return next((record.temperature for record in edgetpu.list_devices() if record.name == device), None)
    except CoralClassifyError:
        return None
