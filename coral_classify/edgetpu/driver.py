"""libedgetpu through ctypes: find it, list devices, open a delegate.

Never through the runtimes' ``load_delegate``: that holds the GIL for up to 25 s and hides every reason.
"""
from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import sys
import threading
import weakref
from typing import Any, Iterator, List, Optional, Union

from ..errors import DeviceError
from . import reasons, words
from .abi import padded
from .naming import Device, match
from .options import Options
from .system import PciChip, System, UsbStick

__all__ = ["Delegate", "check_library", "close_at_exit", "driver_devices", "in_system", "library",
           "library_name", "open_delegate", "talk", "version"]

_NAMES = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}
_TYPES = {0: "pci", 1: "usb"}       # enum edgetpu_device_type


class _DeviceStruct(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("path", ctypes.c_char_p)]


_ERROR_REPORTER = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
# No driver known calls it; one that did would crash at a null pointer.
_REPORT_NOTHING = _ERROR_REPORTER(lambda message: None)
_libraries: "dict[str, ctypes.CDLL]" = {}
_library_lock = threading.Lock()


def library_name() -> str:
    """``CORAL_CLASSIFY_LIBEDGETPU``, else the platform's name of the library."""
    return os.environ.get("CORAL_CLASSIFY_LIBEDGETPU") or _NAMES.get(sys.platform, "libedgetpu.so.1")


def library() -> "ctypes.CDLL":
    """The driver's library, loaded once.

    :raises DeviceError: (cause "no-library", "no-libusb", "old-system" or "broken-library")
    """
    name = library_name()
    with _library_lock:
        if name not in _libraries:
            _libraries[name] = _load(name)
        return _libraries[name]


def _load(name: str) -> "ctypes.CDLL":
    try:
        lib = ctypes.CDLL(name)
        lib.edgetpu_list_devices.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
        lib.edgetpu_list_devices.restype = ctypes.POINTER(_DeviceStruct)
        lib.edgetpu_free_devices.argtypes = [ctypes.POINTER(_DeviceStruct)]
        lib.edgetpu_free_devices.restype = None
        lib.edgetpu_verbosity.argtypes = [ctypes.c_int]
        lib.edgetpu_verbosity.restype = None
        lib.edgetpu_version.argtypes = []
        lib.edgetpu_version.restype = ctypes.c_char_p
        lib.tflite_plugin_create_delegate.argtypes = [
            ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t, _ERROR_REPORTER]
        lib.tflite_plugin_create_delegate.restype = ctypes.c_void_p
        lib.tflite_plugin_destroy_delegate.argtypes = [ctypes.c_void_p]
        lib.tflite_plugin_destroy_delegate.restype = None
    except (OSError, AttributeError) as exc:
        raise reasons.no_library(str(exc)) from exc
    return lib


def check_library() -> None:
    """Find the driver's library without loading it, where that can be told from the file system.

    :raises DeviceError: if there is none
    """
    if System().locate(library_name()) is None:
        library()       # the loader has the last word


def version() -> str:
    """The driver's own version text, which names the runtime version that compiled models ask for.

    :raises DeviceError: if the library cannot be loaded
    """
    return str((library().edgetpu_version() or b"").decode("utf-8", "replace"))


def driver_devices() -> List[Device]:
    """Every accelerator that the driver sees, in its order; opens nothing.

    :raises DeviceError: if the library cannot be loaded
    """
    lib = library()
    count = ctypes.c_size_t(0)
    records = lib.edgetpu_list_devices(ctypes.byref(count))
    try:
        seen = {"usb": 0, "pci": 0}
        devices = []
        for i in range(count.value):
            kind = _TYPES.get(records[i].type)
            if kind is None:
                continue
            devices.append(Device(kind, seen[kind], (records[i].path or b"").decode("utf-8", "replace")))
            seen[kind] += 1
        return devices
    finally:
        if records:
            lib.edgetpu_free_devices(records)


class Delegate:
    """An open Edge TPU, in the form that the interpreters of both runtimes take.

    It must outlive its interpreters: close them first.
    """

    def __init__(self, lib: "ctypes.CDLL", pointer: int, device: str, runtime: str) -> None:
        self.device = device
        self._lib = lib
        self._pointer = pointer
        self._padded = padded(pointer, runtime)

    def _get_native_delegate_pointer(self) -> int:
        return self._padded.address

    def close(self) -> None:
        """Give the device back.  May be called twice."""
        if self._pointer:
            self._lib.tflite_plugin_destroy_delegate(self._pointer)
            self._pointer = 0


def in_system(device: Device, system: System) -> Union[UsbStick, PciChip, None]:
    """What the system shows of a device that the driver lists; None if it shows nothing under that path."""
    shown: "List[Union[UsbStick, PciChip]]" = list(system.usb_sticks() if device.type == "usb" else system.pci_chips())
    for one in shown:
        if one.path == device.path:
            return one
    return None


def open_delegate(device: str, options: Options, system: Optional[System] = None, runtime: str = "") -> Delegate:
    """Open the first free device that *device* may mean.  Other Python threads go on meanwhile.

    :param runtime: name and version of the TFLite runtime that it is for: "tflite-runtime 2.14.0"
    :param system: where to look for reasons; None: this machine
    :raises UsageError: for an unknown device name or option
    :raises DeviceError: if the library, or a device that answers, is missing; see :mod:`coral_classify.edgetpu.reasons`
    """
    options.check()
    match(device, [])       # a wrong name is a usage error, even where no library is
    system = system or System()
    lib = library()
    with _talking(lib):
        devices = driver_devices()
        candidates = match(device, devices)
        if not candidates:
            raise reasons.absent(device, [d.name for d in devices], system)
        failures: List[DeviceError] = []
        for candidate in candidates:
            found = in_system(candidate, system)
            # The driver would try for 25 s, and then not say why.
            if found is not None and found.node and system.exists(found.node) and not system.usable(found.node):
                failures.append(reasons.no_permission(candidate.name, found.node, system))
                continue
            if _talkative:      # whoever reads this knows which device is meant by "auto", should we not come back
                os.write(2, (words.OPENING % candidate.name).encode())
            pointer = _create(lib, candidate, options)
            if pointer:
                return Delegate(lib, pointer, candidate.name, runtime)
            failures.append(reasons.not_opened(candidate.name, candidate.path, found, system))
    if len(failures) == 1:
        raise failures[0]
    raise DeviceError("; ".join(map(str, failures)), cause=failures[0].cause,
                      evidence="\n".join(failure.evidence for failure in failures))


def _create(lib: "ctypes.CDLL", device: Device, options: Options) -> Optional[int]:
    # Options are dropped without a word unless the device carries an index, so always name it.
    pairs = [("device", device.name)] + options.pairs()
    keys = (ctypes.c_char_p * len(pairs))(*(key.encode() for key, _ in pairs))
    values = (ctypes.c_char_p * len(pairs))(*(value.encode() for _, value in pairs))
    pointer: Optional[int] = lib.tflite_plugin_create_delegate(keys, values, len(pairs), _REPORT_NOTHING)
    return pointer


_talkative = False
_talking_at_once = 0    # how many open a device at the moment


def talk() -> None:
    """Let the driver explain itself on standard error while it opens: for a process whose standard error is ours."""
    global _talkative
    _talkative = True


@contextlib.contextmanager
def _talking(lib: "ctypes.CDLL") -> Iterator[None]:
    global _talking_at_once
    if not _talkative:
        yield
        return
    with _library_lock:
        _talking_at_once += 1
        lib.edgetpu_verbosity(10)
    try:
        yield
    finally:
        with _library_lock:
            _talking_at_once -= 1
            if not _talking_at_once:
                lib.edgetpu_verbosity(0)


_open_sessions: "weakref.WeakSet[Any]" = weakref.WeakSet()


def close_at_exit(session: Any) -> None:
    """Close *session* before the interpreter exits: one that is still a module global then crashes the process."""
    if not _open_sessions:
        atexit.register(_close_all)
    _open_sessions.add(session)


def _close_all() -> None:
    for session in list(_open_sessions):
        session.close()
