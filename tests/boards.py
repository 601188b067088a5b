"""Machines laid out as files: what sysfs, /dev and /proc show on the boards."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

from coral_classify.edgetpu.system import System

READY = ("18d1", "9302")
DFU = ("1a6e", "089a")
PI4, PI5 = "Raspberry Pi 4 Model B Rev 1.2\0", "Raspberry Pi 5 Model B Rev 1.0\0"
DEV_BOARD = "Freescale i.MX8MQ Phanbell\0"


def lay(root: Path, files: Dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stick(root: Path, port: str = "2-1", ids=READY, speed: int = 5000, bus: int = 2, number: int = 3,
          node: bool = True) -> str:
    """A USB Accelerator; returns its node."""
    folder = "/sys/bus/usb/devices/%s/" % port
    lay(root, {folder + "idVendor": ids[0] + "\n", folder + "idProduct": ids[1] + "\n",
               folder + "speed": "%d\n" % speed, folder + "busnum": "%d\n" % bus, folder + "devnum": "%d\n" % number,
               # The hub that it hangs on, and an interface, which has no ids.
               "/sys/bus/usb/devices/usb2/idVendor": "1d6b\n", "/sys/bus/usb/devices/usb2/idProduct": "0003\n",
               "/sys/bus/usb/devices/%s:1.0/bInterfaceNumber" % port: "00\n"})
    path = "/dev/bus/usb/%03d/%03d" % (bus, number)
    if node:
        lay(root, {path: ""})
    return path


def pcie(root: Path, number: int = 0, node: bool = True, temp: str = "45250", driver: bool = True) -> str:
    """An Edge TPU on PCIe; returns the path of its node."""
    card = "/sys/bus/pci/devices/0000:0%d:00.0/" % (number + 1)
    lay(root, {card + "vendor": "0x1ac1\n", card + "device": "0x089a\n"})
    if driver:
        lay(root, {"/sys/module/apex/refcnt": "0\n", "/sys/module/gasket/refcnt": "1\n"})
    path = "/dev/apex_%d" % number
    if node:
        folder = "/sys/class/apex/apex_%d/" % number
        lay(root, {path: "", folder + "temp": temp + "\n", folder + "trip_point0_temp": "85000\n",
                   folder + "trip_point1_temp": "90000\n", folder + "trip_point2_temp": "95000\n"})
    return path


def process(root: Path, pid: int, name: str, node: str) -> None:
    """A process that has *node* open."""
    lay(root, {"/proc/%d/comm" % pid: name + "\n"})
    folder = root / "proc" / str(pid) / "fd"
    folder.mkdir()
    os.symlink("/dev/null", str(folder / "0"))
    os.symlink(node, str(folder / "7"))


def machine(root: Path, *, allowed: bool = True) -> System:
    return System(str(root), access=lambda path, mode: allowed)
