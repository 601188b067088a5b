"""A simulated Edge TPU driver for your tests: real processes that crash, hang and lose their stick, without a board.

Knows how to build ``edgetpu.c`` (its head lists everything that it can do) and how to steer it.  It stands in for
libedgetpu below everything else, so that what your program does on a lost stick is what it would do on a real one.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

from .. import arguments
from ..errors import EngineNotFound, UsageError
from .small_models import colours

__all__ = ["SimulatedDriver", "build_driver", "write_pair"]

_HERE = Path(__file__).resolve().parent
_DEVICES = ("usb", "pci", "dfu", "busy", "denied", "gone", "leaves", "slow", "broken", "corrupt")
_FAULTS = ("abort", "stall", "overflow", "segv", "hang", "unplug", "open-abort", "open-hang", "open-fail", "trial-segv")


def build_driver(library: Union[str, Path]) -> Path:
    """Compile the simulated libedgetpu with ``cc``, or with the compiler that the environment names in ``CC``.

    :param library: the file to write
    :raises EngineNotFound: without a C compiler
    :raises UsageError: where the package is not a folder (it lies in a zip file), or the compiler refuses
    """
    compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")
    if compiler is None:
        raise EngineNotFound("no C compiler to build the simulated libedgetpu with; try: sudo apt install gcc")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_HERE / "edgetpu.c"),
                           "-lpthread"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode:
        raise UsageError("the simulated libedgetpu cannot be built: %s" % done.stdout.strip())
    return Path(library)


def write_pair(folder: Union[str, Path], *, labels: Sequence[str] = ("red", "green", "blue")) -> Path:
    """A small "compiled" classifier of mean colour and its CPU twin, 8 x 8 pixels, one class a channel.

    :returns: the path of the compiled one, ``colours_edgetpu.tflite``
    """
    arguments.file("folder", folder, "the path of a folder")
    names = arguments.texts("labels", labels)
    for name, compiled in (("colours.tflite", False), ("colours_edgetpu.tflite", True)):
        (Path(folder) / name).write_bytes(colours(compiled=compiled, labels=list(names)))
    return Path(folder) / "colours_edgetpu.tflite"


class SimulatedDriver:
    """Simulated accelerators for this process and those that it starts, within a ``with`` block.

    What is not told otherwise answers as :func:`write_pair`'s models do: the mean of each channel.  Steers by
    environment variables, so one at a time.

    :param devices: what is attached, in the driver's order: "usb", "usb,usb", "pci", "dfu" (a stick before its first
        use), ""; or what does not open: "busy", "denied", "gone", "leaves", "slow", "broken", "corrupt"
    :param faults: "KIND:N,…": in the N-th inference "abort", "stall", "overflow", "segv", "hang", "unplug"; in the N-th
        opening "open-abort", "open-hang", "open-fail"; "KIND:*" every time
    :param invoke_ms: how long an inference takes
    :param twin: a plain model whose answers are given instead, for a compiled file of your own
    :raises UsageError: for a device or a fault that it does not know
    :raises EngineNotFound: without a C compiler
    """

    def __init__(self, devices: str = "usb", *, faults: str = "", invoke_ms: float = 0.0,
                 twin: Union[str, Path, None] = None) -> None:
        devices = _devices(devices)
        if not isinstance(faults, str) or (faults and not all(
                re.match(r"(%s):(\d+|\*)$" % "|".join(_FAULTS), one) for one in faults.split(","))):
            raise arguments.wrong("faults", 'like "abort:2,hang:7"; known are %s' % ", ".join(_FAULTS), faults)
        if arguments.number("invoke_ms", invoke_ms) < 0:
            raise arguments.wrong("invoke_ms", "a number of at least 0", invoke_ms)
        if twin is not None:
            arguments.file("twin", twin)
        self._folder = Path(tempfile.mkdtemp(prefix="coral_classify-simulated-"))
        self._before: Dict[str, Optional[str]] = {}
        try:
            library = build_driver(self._folder / "libedgetpu.so.1")
        except BaseException:
            shutil.rmtree(str(self._folder), ignore_errors=True)
            raise
        self.environment = {    # for a program that your test starts itself
            "CORAL_CLASSIFY_LIBEDGETPU": str(library),
            "SIM_STATE": str(self._folder),
            "SIM_FAULTS": faults,
            "SIM_INVOKE_MS": "%g" % float(invoke_ms),
            "SIM_PYTHON": sys.executable,
            "SIM_TWIN_SCRIPT": str(_HERE / "twin.py"),
        }
        if twin is not None:
            self.environment["SIM_TWIN"] = str(twin)
        self.attach(devices)

    def attach(self, devices: str) -> None:
        """Have these *devices* attached from now on, and no others."""
        part = self._folder / "devices.part"
        part.write_text(_devices(devices), encoding="ascii")
        os.replace(str(part), str(self._folder / "devices"))

    def pull(self) -> None:
        """Pull every stick: the process that uses one dies at its next inference, as with the real driver."""
        self.attach("")

    @property
    def inferences(self) -> int:
        """How many were begun, in all processes."""
        return self._number("invokes")

    @property
    def openings(self) -> int:
        """How often a device was opened, or tried to be."""
        return self._number("opens")

    def _number(self, name: str) -> int:
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def __enter__(self) -> "SimulatedDriver":
        for name, value in self.environment.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value
        return self

    def __exit__(self, *exc: Any) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(str(self._folder), ignore_errors=True)


def _devices(devices: str) -> str:
    # "usb@PATH" is one at a port of its own.
    if not isinstance(devices, str) or not all(one.partition("@")[0] in _DEVICES for one in devices.split(",") if one):
        raise arguments.wrong("devices", "some of %s, with commas" % ", ".join(_DEVICES), devices)
    return devices
