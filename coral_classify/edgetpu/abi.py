"""Make a delegate of an old libedgetpu fit a newer TFLite runtime.

Two C structs grew at their ends after TF 2.5: ``TfLiteDelegate`` (48 bytes then) and ``TfLiteRegistration``
(64 bytes then, handed over BY VALUE in ``ReplaceNodeSubsetsWithDelegateKernels``).  A newer runtime reads what
lies behind the old ones, and crashes.  So the runtime gets a zero-padded copy of the delegate whose ``Prepare``
routes that one call of the context through a function which zero-pads the registration.  Field order:
the public header ``tensorflow/lite/core/c/common.h``.

Proven on x86-64 only.  AArch64 passes such a struct by reference to a copy, which ctypes does as well; that was
not tried on hardware.
"""
from __future__ import annotations

import ctypes
import platform
import threading
from typing import Any, Optional, Union

__all__ = ["padded", "PaddedDelegate"]

_OLD_REGISTRATION = 64      # bytes, TF 2.5: 4 functions, profiling_string, builtin_code, custom_name, version
_NEW_SIZE = 128             # bytes of zeros are plenty for every known header
_REPLACE_SLOT = 8           # the 9th pointer-sized member of TfLiteContext

_PREPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Registration(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint64 * (_NEW_SIZE // 8))]


# The old library pushes 64 bytes; what follows them on the stack is garbage, and is not looked at.
_REPLACE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _Registration, ctypes.c_void_p, ctypes.c_void_p)


class PaddedDelegate:
    """The padded copy; keep it as long as an interpreter may use it."""

    def __init__(self, original: int) -> None:
        self._original = original
        self._memory = ctypes.create_string_buffer(_NEW_SIZE)
        ctypes.memmove(self._memory, original, 48)
        self._words = (ctypes.c_uint64 * (_NEW_SIZE // 8)).from_buffer(self._memory)
        self._original_prepare = _PREPARE(self._words[1])
        self._lock = threading.Lock()
        self._prepare = _PREPARE(self._on_prepare)      # keep a reference: C holds only the address
        self._words[1] = ctypes.cast(self._prepare, ctypes.c_void_p).value or 0

    @property
    def address(self) -> int:
        return ctypes.addressof(self._memory)

    def _on_prepare(self, context: Optional[int], delegate: Optional[int]) -> int:
        slots = (ctypes.c_uint64 * (_REPLACE_SLOT + 1)).from_address(context or 0)
        target = slots[_REPLACE_SLOT]
        replace = _REPLACE(target)

        def on_replace(context: Optional[int], registration: Any, nodes: Optional[int], owner: Optional[int]) -> int:
            clean = _Registration()
            ctypes.memmove(ctypes.byref(clean), ctypes.byref(registration), _OLD_REGISTRATION)
            return int(replace(context, clean, nodes, owner))

        callback = _REPLACE(on_replace)
        with self._lock:
            slots[_REPLACE_SLOT] = ctypes.cast(callback, ctypes.c_void_p).value or 0
            try:
                # The library stores this pointer in its nodes; the runtime compares it with the padded one.
                return int(self._original_prepare(context, delegate))
            finally:
                slots[_REPLACE_SLOT] = target


class _Unpadded:
    """32-bit systems pass the structs in another way; the delegate goes on as it is."""

    def __init__(self, original: int) -> None:
        self.address = original


def padded(original: int) -> Union[PaddedDelegate, _Unpadded]:
    """A delegate that every supported runtime may read, made of one that libedgetpu gave.

    Safe for libraries built for newer headers too: libedgetpu leaves the members that came later at zero.
    """
    if ctypes.sizeof(ctypes.c_void_p) == 8 and platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64"):
        return PaddedDelegate(original)
    return _Unpadded(original)
