"""Why does my Coral not work?  Checks from Python to the chip, each with cause, evidence and the command that mends it.

Every check is a function of its own; :func:`examine` runs them in order.  What could crash or hang (the driver) runs in
a supervised child process.
"""
from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Union

import numpy as np

from .. import arguments, edgetpu
from ..edgetpu import AcceleratorRecord, System, list_devices, narrow_user_land, reasons, sensible
from ..engine import advice, load_engine
from ..errors import CoralClassifyError, DeviceError, EngineNotFound
from ..supervision import shared_paths
from .finding import Check
from .trials import attempt, classify_on_cpu

__all__ = ["examine"]

_USB2 = 480             # Mbit/s


class Findings(NamedTuple):
    """All of them, and the answer."""

    checks: List[Check]
    works: bool         # a classification on the TPU, or on the CPU where that was asked for, gave an answer


def examine(model: Union[str, Path, None] = None, device: str = "auto", system: Optional[System] = None) -> Findings:
    """Run all checks.

    :param model: path of a compiled model (or of its twin) to try; None: one that is at hand
    :param device: "auto", "cpu" (an accelerator is not wanted), or one by name
    :param system: where to look; None: this machine.  On another one's files, nothing is opened.
    """
    if model is not None:
        arguments.file("model", model)
    arguments.text("device", device)
    if device not in ("auto", "cpu"):
        edgetpu.match(device, [])
    here = system is None
    if system is not None:
        arguments.instance("system", system, System)
    system = system or System()
    checks = list(_python(system)) + list(_engine()) + list(_pycoral())
    if device == "cpu":
        return _finish(checks, [classify_on_cpu(model)])
    checks += list(_library(system))
    devices = list_devices(system)
    checks += list(_bus(devices, device, system))
    shared = shared_paths() if here else []
    for record in devices:
        checks += list(_device(record, record.path in shared))
    checks += list(_temperature(system))
    wanted = edgetpu.match(device, [edgetpu.Device(one.type, one.index, one.path) for one in devices])
    through_owner = any(one.path in shared for one in wanted) or bool(shared) and not devices
    return _finish(checks, list(attempt(model, device, devices, through_owner)) if here else [])


def _finish(checks: List[Check], trial: List[Check]) -> Findings:
    works = any(check.name == "classification" and check.status != "problem" for check in trial)
    return Findings(checks + trial, works)


def _python(system: System) -> Iterator[Check]:
    machine = platform.machine()
    board = system.board()
    bits = 64 if sys.maxsize > 1 << 32 else 32
    evidence = "%s, %s%s" % (sys.executable, machine, ", " + board if board else "")
    said = "Python %s, %d bit%s" % (platform.python_version(), bits,
                                    " on a 64-bit kernel" if narrow_user_land(machine) else "")
    to_get = advice(sys.version_info[:2], bits, machine)
    if to_get.startswith("pip "):
        yield Check("python", "ok", said, evidence)
    else:
        reason, _, command = to_get.partition(": ")
        yield Check("python", "warning", "%s: %s" % (said, reason), evidence, command)
    page = _page_size()
    if board and "Raspberry Pi 5" in board and page != 4096 and system.pci_chips():
        yield Check("page size", "problem",
                    "the Edge TPU's PCIe driver needs pages of 4096 bytes; this kernel has %d" % page, board,
                    "echo kernel=kernel8.img | sudo tee -a /boot/firmware/config.txt, then restart")


def _page_size() -> int:
    return int(os.sysconf("SC_PAGE_SIZE")) if hasattr(os, "sysconf") else 4096


def _engine() -> Iterator[Check]:
    numpy = "NumPy %s" % np.__version__
    try:
        engine = load_engine()
    except EngineNotFound as exc:
        command = "pip install 'numpy<2'" if "NumPy" in str(exc) else advice()
        yield Check("engine", "problem", str(exc), numpy, command)
    except CoralClassifyError as exc:
        yield Check("engine", "problem", str(exc), numpy, "unset CORAL_CLASSIFY_ENGINE")
    else:
        yield Check("engine", "ok", "%s %s" % engine[:2], numpy)


def _pycoral() -> Iterator[Check]:
    """Google's PyCoral is welcome; the package of that name on the index is another project."""
    try:
        found = importlib.util.find_spec("pycoral")
    except (ImportError, ValueError):
        return
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        return
    if any(os.path.exists(os.path.join(folder, "utils", "edgetpu.py")) for folder in folders):
        yield Check("pycoral", "ok", "Google's PyCoral is installed; coral_classify does not need it", folders[0])
    else:
        yield Check("pycoral", "warning",
                    "the installed package pycoral is not Google's PyCoral, but another project of that name",
                    folders[0], "pip uninstall pycoral")


def _library(system: System) -> Iterator[Check]:
    name = edgetpu.library_name()
    try:
        version = edgetpu.version()
    except DeviceError as exc:
        command = {"no-library": "sudo apt install libedgetpu1-std", "no-libusb": "sudo apt install libusb-1.0-0"}
        yield Check("driver", "problem", str(exc), exc.evidence,
                    command.get(exc.cause, "sudo apt install --reinstall libedgetpu1-std"))
        return
    variant = system.clock_variant()
    evidence = "%s%s" % (system.locate(name) or name, ", package libedgetpu1-" + variant if variant else "")
    if variant == "max":
        yield Check("driver", "warning", "libedgetpu %s at the maximum clock: the stick gets hot, keep the air around "
                    "it below 25 °C" % version, evidence, "sudo apt install libedgetpu1-std")
    else:
        yield Check("driver", "ok", "libedgetpu %s" % version, evidence)


def _bus(devices: List[AcceleratorRecord], wanted: str, system: System) -> Iterator[Check]:
    if devices:
        yield Check("accelerator", "ok", "attached: %s" % ", ".join(record.name for record in devices),
                    ", ".join(record.path for record in devices))
        return
    error = reasons.absent(wanted, [], system)
    command = "sudo apt install gasket-dkms" if error.cause == "no-pcie-driver" else reasons.where_to_look(wanted)
    yield Check("accelerator", "problem", str(error), error.evidence, command)


def _device(record: AcceleratorRecord, shared: bool) -> Iterator[Check]:
    allow = reasons.ALLOW_PCIE if record.type == "pci" else reasons.ALLOW_USB
    if shared:
        yield Check("shared", "ok", "%s is in use by the owner that shares it" % record.name,
                    "coral-classify share --status tells for whom")
    elif record.state == "no permission":
        yield Check("permission", "problem", "this user may not open %s" % record.name, record.note, allow)
    elif record.state == "busy":
        yield Check("busy", "warning", "%s is open in another process" % record.name, record.note,
                    "end that process, or name another device with --device")
    elif record.state == "lost":
        yield Check("chip", "problem", "%s does not answer" % record.name, record.note, "sudo reboot")
    elif record.state == "not initialised":
        yield Check("firmware", "ok", "%s has not taken the driver's download yet; its first opening takes about 4 s"
                    % record.name, record.path)
    if record.link_speed is not None and record.link_speed <= _USB2:
        yield Check("link", "warning", "%s hangs on USB 2: expect 10 ms for MobileNet v2, not 2.5" % record.name,
                    "%d Mbit/s" % record.link_speed, "use a USB 3 port (blue) and the cable that came with it")
    elif record.link_speed is not None:
        yield Check("link", "ok", "%s hangs on USB 3" % record.name, "%d Mbit/s" % record.link_speed)


def _temperature(system: System) -> Iterator[Check]:
    for chip in system.pci_chips():
        if chip.temperature is None or not sensible(chip.temperature):
            continue
        reached = [trip for trip in chip.trip_points if chip.temperature >= trip]
        evidence = "trip points at %s °C" % ", ".join("%.0f" % trip for trip in chip.trip_points)
        if reached:
            yield Check("temperature", "warning",
                        "%s is at %.1f °C and lowers its clock" % (chip.path, chip.temperature), evidence,
                        "give it air, or a heat sink")
        else:
            yield Check("temperature", "ok", "%s is at %.1f °C" % (chip.path, chip.temperature), evidence)
