"""Every accelerator at hand and its state: what the driver lists, joined with what the system shows."""
from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Union

from .. import arguments
from ..errors import DeviceError
from . import driver
from .naming import Device, match
from .system import PciChip, System, UsbStick

__all__ = ["AcceleratorRecord", "is_listed", "list_devices", "listed", "sensible"]

_COLDEST, _HOTTEST = -40.0, 150.0       # °C; what a lost PCIe device reports lies far outside (-87.9)


@dataclass(frozen=True)
class AcceleratorRecord:
    """One Edge TPU.

    ``state`` is "ready" (this user may open it, and no process on this machine has it open), "attached" (it is there;
    whether it is free, only opening it tells: without root's rights other users' files are not seen), "not initialised"
    (a stick before its first use: it opens in about 4 s instead of 2), "no permission", "busy" (another process has it
    open), or "lost" (a PCIe chip that does not answer).
    """

    type: str                       # "usb" or "pci"
    index: int                      # among its type, as the driver counts
    path: str                       # /sys/bus/usb/devices/2-1, /dev/apex_0
    state: str
    link_speed: Optional[int]       # Mbit/s: 480 is USB 2, 5000 is USB 3; None for PCIe and where it is not shown
    temperature: Optional[float]    # °C; PCIe only
    note: str = ""                  # who holds it, say

    @property
    def name(self) -> str:
        """As ``device=`` takes it: "usb:0"."""
        return "%s:%d" % (self.type, self.index)


def list_devices(system: Optional[System] = None) -> List[AcceleratorRecord]:
    """Every accelerator, in the driver's order; opens none.

    Without the driver's library, those that the system shows, in the order of their paths.

    :param system: where to look; None: this machine
    """
    system = System() if system is None else arguments.instance("system", system, System)
    try:
        listed = driver.driver_devices()
    except DeviceError:
        listed = [Device("usb", i, stick.path) for i, stick in enumerate(system.usb_sticks())]
        listed += [Device("pci", i, chip.path) for i, chip in enumerate(system.pci_chips()) if chip.node]
    return [_record(device, driver.in_system(device, system), system) for device in listed]


def listed() -> List[str]:
    """Names of the accelerators that the driver lists; opens nothing.  Empty without the driver's library."""
    try:
        return [device.name for device in driver.driver_devices()]
    except DeviceError:
        return []


def is_listed(device: str) -> bool:
    """Whether the driver lists a device that this name may mean; opens nothing.  True where the driver cannot tell.

    :param device: "auto", "usb", "usb:N", "pci", "pci:N" or ":N"
    """
    try:
        return bool(match(device, driver.driver_devices()))
    except DeviceError:
        return True


def _record(device: Device, found: Union[UsbStick, PciChip, None], system: System) -> AcceleratorRecord:
    state, note = "attached", ""
    speed = found.link_speed if isinstance(found, UsbStick) else None
    temperature = found.temperature if isinstance(found, PciChip) else None
    if isinstance(found, UsbStick) and not found.initialised:
        state = "not initialised"
    if not sensible(temperature):
        state, note, temperature = "lost", "it reports %.1f °C" % (temperature or 0.0), None
    elif found is not None and found.node and system.exists(found.node):
        holders = system.holders(found.node)
        if not system.usable(found.node):
            state, note = "no permission", "%s: %s" % (found.node, system.group(found.node))
        elif holders:
            state = "busy"
            note = ", ".join("%s (process %d)" % (holder.name, holder.pid) for holder in holders)
        elif state == "attached" and system.sees_every_process():
            state = "ready"
    return AcceleratorRecord(device.type, device.index_in_type, device.path, state, speed, temperature, note)


def sensible(temperature: Optional[float]) -> bool:
    """Whether a chip can have this temperature, in °C; None passes."""
    return temperature is None or _COLDEST <= temperature <= _HOTTEST
