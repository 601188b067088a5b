"""What the system's files say of Coral devices: sysfs, /dev, /proc, below a root folder.

Reads only; opens no device and loads no driver.  Sources of the paths and ids: the kernel's sysfs layout, Coral's
udev rules (``1a6e:089a`` before the driver's firmware download, ``18d1:9302`` after it) and its apex driver.
"""
from __future__ import annotations

import glob
import os
import re
import sys
from typing import Callable, List, NamedTuple, Optional

__all__ = ["Holder", "PciChip", "System", "UsbStick", "narrow_user_land"]

DFU_ID = "1a6e:089a"
READY_ID = "18d1:9302"
_PCI_ID = ("0x1ac1", "0x089a")
_LIBRARY_FOLDERS = ("/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64")


class Holder(NamedTuple):
    """A process that has a device node open."""

    pid: int
    name: str


class UsbStick(NamedTuple):
    """A USB Accelerator, as the bus shows it."""

    path: str                       # /sys/bus/usb/devices/2-1
    usb_id: str                     # DFU_ID or READY_ID
    node: str                       # /dev/bus/usb/002/003
    link_speed: Optional[int]       # Mbit/s: 480 is USB 2, 5000 is USB 3

    @property
    def initialised(self) -> bool:
        return self.usb_id == READY_ID


class PciChip(NamedTuple):
    """An Edge TPU on PCIe, with or without a node of the apex driver."""

    path: str                       # /dev/apex_0; without a node: /sys/bus/pci/devices/0000:01:00.0
    node: Optional[str]
    temperature: Optional[float]    # °C, as the driver gives it: nonsense where the device is lost
    trip_points: List[float]        # °C at which the driver lowers the clock


class System:
    """The look-ups below *root*.

    :param root: folder that holds ``sys``, ``dev``, ``proc``, ``etc``: "/", or a copy of another machine's
    :param access: tells whether this user may use a node, like ``os.access``
    """

    def __init__(self, root: str = "/", access: Callable[[str, int], bool] = os.access) -> None:
        self.root = root
        self._access = access

    def file(self, path: str) -> str:
        """Where the system's absolute *path* lies below the root."""
        return os.path.join(self.root, path.lstrip("/"))

    def exists(self, path: str) -> bool:
        return os.path.exists(self.file(path))

    def text(self, path: str) -> Optional[str]:
        """The text of a small file, stripped; None if it cannot be read."""
        try:
            with open(self.file(path), "rb") as file:
                return file.read(1 << 20).decode("utf-8", "replace").strip("\0\n ")
        except OSError:
            return None

    def paths(self, pattern: str) -> List[str]:
        """Absolute paths that match, as the system calls them, in order."""
        found = glob.glob(self.file(pattern))
        return sorted("/" + os.path.relpath(path, self.root) for path in found)

    # ---- accelerators

    def usb_sticks(self) -> List[UsbStick]:
        sticks = []
        for path in self.paths("/sys/bus/usb/devices/*"):
            usb_id = "%s:%s" % (self.text(path + "/idVendor"), self.text(path + "/idProduct"))
            if usb_id in (DFU_ID, READY_ID):
                node = "/dev/bus/usb/%03d/%03d" % (self._number(path + "/busnum") or 0,
                                                   self._number(path + "/devnum") or 0)
                speed = self._number(path + "/speed")
                sticks.append(UsbStick(path, usb_id, node, None if speed is None else int(speed)))
        return sticks

    def pci_chips(self) -> List[PciChip]:
        nodes = [path for path in self.paths("/dev/apex_*") if re.search(r"_\d+$", path)]
        chips = []
        for node in nodes:
            folder = "/sys/class/apex/" + os.path.basename(node)
            trips = [self._degrees(path) for path in self.paths(folder + "/trip_point*_temp")]
            chips.append(PciChip(node, node, self._degrees(folder + "/temp"), [t for t in trips if t is not None]))
        cards = [path for path in self.paths("/sys/bus/pci/devices/*")
                 if (self.text(path + "/vendor"), self.text(path + "/device")) == _PCI_ID]
        return chips + [PciChip(path, None, None, []) for path in cards[len(nodes):]]

    def apex_driver(self) -> bool:
        """Whether the kernel modules gasket and apex are loaded."""
        return self.exists("/sys/module/apex") and self.exists("/sys/module/gasket")

    def usable(self, node: str) -> bool:
        """Whether this user may read and write a device node."""
        return self._access(self.file(node), os.R_OK | os.W_OK)

    def group(self, node: str) -> str:
        """Owner group and mode of a node, as ``ls -l`` would tell."""
        try:
            status = os.stat(self.file(node))
        except OSError:
            return "no such node"
        for line in (self.text("/etc/group") or "").splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2] == str(status.st_gid):
                return "group %s, mode %03o" % (fields[0], status.st_mode & 0o777)
        return "group %d, mode %03o" % (status.st_gid, status.st_mode & 0o777)

    def holders(self, node: str) -> List[Holder]:
        """Other processes that have *node* open, as far as this user may see."""
        found = []
        for folder in self.paths("/proc/[0-9]*"):
            pid = int(os.path.basename(folder))
            if pid == os.getpid():
                continue
            try:
                names = os.listdir(self.file(folder + "/fd"))
            except OSError:
                continue
            for name in names:
                try:
                    held = os.readlink(self.file("%s/fd/%s" % (folder, name)))
                except OSError:
                    continue
                if held == node:
                    found.append(Holder(pid, self.text(folder + "/comm") or "?"))
                    break
        return found

    def sees_every_process(self) -> bool:
        """Whether :meth:`holders` tells of all: other users' files are root's to see."""
        folders = self.paths("/proc/[0-9]*/fd")
        return bool(folders) and all(os.access(self.file(folder), os.R_OK | os.X_OK) for folder in folders)

    # ---- the machine

    def board(self) -> Optional[str]:
        """The board's name from the device tree: "Raspberry Pi 5 Model B Rev 1.0", "Freescale i.MX8MQ Phanbell"."""
        return self.text("/proc/device-tree/model") or self.text("/sys/firmware/devicetree/base/model")

    def container(self) -> Optional[str]:
        """What tells that this is a container; None outside."""
        for path in ("/.dockerenv", "/run/.containerenv"):
            if self.exists(path):
                return path
        found = re.search(r"docker|kubepods|lxc|containerd", self.text("/proc/1/cgroup") or "")
        return "/proc/1/cgroup: " + found.group() if found else None

    def locate(self, library: str) -> Optional[str]:
        """Path of a shared library as the loader would find it; None if it is in none of the usual places."""
        if os.sep in library:
            return library if os.path.exists(library) else None
        folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
        folders += [folder + part for folder in _LIBRARY_FOLDERS for part in ("", "/*-linux-gnu*")]
        for folder in folders:
            for path in self.paths("%s/%s" % (folder, library)):
                return path
        try:
            with open(self.file("/etc/ld.so.cache"), "rb") as file:
                found = re.search(rb"\0(/[^\0]*/%s)\0" % re.escape(library.encode()), file.read())
        except OSError:
            return None
        return found.group(1).decode("utf-8", "replace") if found else None

    def clock_variant(self) -> Optional[str]:
        """Which of Coral's Debian packages brought the driver: "std" or "max"; None if neither did."""
        for variant in ("std", "max"):
            if self.paths("/var/lib/dpkg/info/libedgetpu1-%s*.list" % variant):
                return variant
        return None

    def _number(self, path: str) -> Optional[float]:
        try:
            return float(self.text(path) or "")
        except ValueError:
            return None

    def _degrees(self, path: str) -> Optional[float]:
        thousandths = self._number(path)
        return None if thousandths is None else thousandths / 1000


def narrow_user_land(machine: str) -> bool:
    """Whether this Python is a 32-bit program on a 64-bit kernel.

    :param machine: as ``platform.machine()`` tells it
    """
    return sys.maxsize < 1 << 32 and machine in ("aarch64", "arm64", "x86_64")
