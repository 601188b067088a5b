"""Names of accelerators, in pycoral's grammar.  Knows no driver."""
from __future__ import annotations

import re
from typing import List, NamedTuple

from .. import arguments

__all__ = ["Device", "match"]

_GRAMMAR = re.compile(r"(?P<type>usb|pci)?(?::(?P<index>\d+))?$")


class Device(NamedTuple):
    """One accelerator as the driver lists it; nothing is opened."""

    type: str           # "usb" or "pci"
    index_in_type: int
    path: str           # /sys/bus/usb/devices/2-1, /dev/apex_0

    @property
    def name(self) -> str:
        return "%s:%d" % (self.type, self.index_in_type)


def match(device: str, devices: List[Device]) -> List[Device]:
    """The devices that a name of pycoral's grammar may mean, in the order in which to try them.

    :param device: "auto", "usb", "usb:N", "pci", "pci:N" or ":N"
    :raises UsageError: for another name

    >>> two = [Device("usb", 0, "/sys/a"), Device("usb", 1, "/sys/b")]
    >>> [d.name for d in match("usb:1", two)]
    ['usb:1']
    """
    found = _GRAMMAR.match("" if device == "auto" else device) if isinstance(device, str) else None
    if found is None or device == "":
        raise arguments.wrong("device", "auto, cpu, usb, usb:N, pci, pci:N or :N", device)
    kind, index = found.group("type"), found.group("index")
    fitting = [d for d in devices if kind in (None, d.type)]
    return fitting if index is None else fitting[int(index):int(index) + 1]
