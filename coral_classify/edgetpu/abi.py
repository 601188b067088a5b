"""Make a delegate of an old libedgetpu fit a newer TFLite runtime.

Two C structs grew at their ends after TF 2.5: ``TfLiteDelegate`` (48 bytes then; 32 where pointers have 4) and
``TfLiteRegistration`` (64 bytes; 32), handed over BY VALUE in ``ReplaceNodeSubsetsWithDelegateKernels``.  A newer
runtime reads what lies behind the old ones, and crashes.  So the runtime gets a zero-padded copy of the delegate whose
``Prepare`` routes that one call of the context through a function which zero-pads the registration.  Field order:
the public header ``tensorflow/lite/core/c/common.h``.

How the struct travels is the machine's own: x86-64 copies it onto the stack, and what follows it goes into registers;
AArch64 passes the address of a copy, which ctypes does as well.  32-bit ARM (AAPCS) spreads its words over registers
and stack, and what follows it comes after it: there, sizes must be known, see :class:`_Spread`.

Proven on x86-64.  Both ARMs were run under emulation only (``make test-arm``).
"""
from __future__ import annotations

import ctypes
import platform
import re
import sys
import threading
from typing import Any, Callable, Union

__all__ = ["padded", "PaddedDelegate"]

_NEW_SIZE = 128             # bytes of zeros are plenty for every known header
_REPLACE_SLOT = 8           # the 9th pointer-sized member of TfLiteContext

_PREPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Registration(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint64 * (_NEW_SIZE // 8))]


class _Whole:
    """64-bit machines: the struct is one argument, and its size moves no other."""

    old_registration = 64   # bytes, TF 2.5: 4 functions, profiling_string, builtin_code, custom_name, version
    old_delegate = 48       # bytes, TF 2.5: data, 4 functions, flags
    # The old library pushes 64 bytes; what follows them on the stack is garbage, and is not looked at.
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _Registration, ctypes.c_void_p, ctypes.c_void_p)

    def routed(self, target: int, owner: int) -> Any:
        """A function that pads, and goes on to *target*.  Keep a reference: C holds only the address."""
        replace = self.kind(target)

        def on_replace(context: Any, registration: Any, nodes: Any, owner: Any) -> int:
            clean = _Registration()
            ctypes.memmove(ctypes.byref(clean), ctypes.byref(registration), self.old_registration)
            return int(replace(context, clean, nodes, owner))

        return self.kind(on_replace)


class _Spread:
    """32-bit ARM: the struct's words are arguments like any other, with one left out before a struct of 64-bit members.

    Which layout the library speaks shows in the call: its last argument is the delegate, and known.  Which one the
    runtime expects, only its version tells.

    :param runtime: name and version of the TFLite runtime: "tflite-runtime 2.14.0"
    """

    old_registration = 32
    old_delegate = 32
    # From which runtime on a registration has how many words, and whether the first register is left out before it:
    # registration_external came, then async_kernel, then inplace_operator (64 bits).  Measured: from 2.9 to 2.14 two
    # registrations lie 64, 72, 72, 72, 80 and 88 bytes apart in the 64-bit runtimes.
    layouts = (((2, 14), 12, 1), ((2, 13), 10, 0), ((2, 10), 9, 0), ((0, 0), 8, 0))
    most = 16               # words after the context, in the longest of these calls
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *[ctypes.c_uint32] * most)

    def __init__(self, runtime: str) -> None:
        found = re.search(r"(\d+)\.(\d+)", runtime)
        version = (int(found.group(1)), int(found.group(2))) if found else (99, 0)
        self.size, self.left_out = next(layout[1:] for layout in self.layouts if version >= layout[0])

    def routed(self, target: int, owner: int) -> Any:
        count = self.left_out + self.size + 2
        replace = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *[ctypes.c_uint32] * count)(target)

        def on_replace(context: Any, *words: int) -> int:
            try:
                refitted = self.refitted(words, owner)
            except ValueError:
                return 1    # kTfLiteError: the runtime then refuses the model, in words
            return int(replace(context, *refitted))

        return self.kind(on_replace)

    def refitted(self, words: "tuple[int, ...]", owner: int) -> "tuple[int, ...]":
        """The arguments after the context, as the runtime expects them.

        :param words: as the library gave them, and what happens to lie behind them on the stack
        :param owner: the delegate, which is the last of them
        """
        for _, size, left_out in reversed(self.layouts):
            if words[left_out + size + 1] == owner:
                break
        else:
            raise ValueError("no known layout of TfLiteRegistration")
        base = words[left_out:left_out + self.old_registration // 4]
        zeros = (0,) * (self.size - len(base))
        return (0,) * self.left_out + base + zeros + words[left_out + size:left_out + size + 2]


class PaddedDelegate:
    """The padded copy; keep it as long as an interpreter may use it."""

    def __init__(self, original: int, calls: Union[_Whole, _Spread]) -> None:
        self._calls = calls
        self._memory = ctypes.create_string_buffer(_NEW_SIZE)
        ctypes.memmove(self._memory, original, calls.old_delegate)
        self._words = (ctypes.c_size_t * (_NEW_SIZE // ctypes.sizeof(ctypes.c_size_t))).from_buffer(self._memory)
        self._original_prepare = _PREPARE(self._words[1])
        self._lock = threading.Lock()
        self._prepare: Callable[..., int] = _PREPARE(self._on_prepare)      # keep a reference: C holds only the address
        self._words[1] = ctypes.cast(self._prepare, ctypes.c_void_p).value or 0

    @property
    def address(self) -> int:
        return ctypes.addressof(self._memory)

    def _on_prepare(self, context: "int | None", delegate: "int | None") -> int:
        slots = (ctypes.c_size_t * (_REPLACE_SLOT + 1)).from_address(context or 0)
        target = slots[_REPLACE_SLOT]
        callback = self._calls.routed(target, delegate or 0)
        with self._lock:
            slots[_REPLACE_SLOT] = ctypes.cast(callback, ctypes.c_void_p).value or 0
            try:
                # The library stores this pointer in its nodes; the runtime compares it with the padded one.
                return int(self._original_prepare(context, delegate))
            finally:
                slots[_REPLACE_SLOT] = target


class _Unpadded:
    """Machines whose calling convention nobody has looked at; the delegate goes on as it is."""

    def __init__(self, original: int) -> None:
        self.address = original


def padded(original: int, runtime: str = "") -> Union[PaddedDelegate, _Unpadded]:
    """A delegate that every supported runtime may read, made of one that libedgetpu gave.

    Safe for libraries built for newer headers too: libedgetpu leaves the members that came later at zero.

    :param runtime: name and version of the TFLite runtime; "": the newest
    """
    machine = platform.machine()
    if sys.maxsize > 1 << 32 and machine in ("x86_64", "AMD64", "aarch64", "arm64"):
        return PaddedDelegate(original, _Whole())
    # A 32-bit system on a 64-bit kernel says aarch64.
    if sys.maxsize < 1 << 32 and (machine.startswith("arm") or machine == "aarch64"):
        return PaddedDelegate(original, _Spread(runtime))
    return _Unpadded(original)
