"""Which TFLite runtime is published for a machine, in one line to paste.  Imports none, and looks at nothing.

As the publishers' wheels stand: ai-edge-litert for Python 3.9 and newer on 64-bit Linux, macOS and (3.10) Windows;
tflite-runtime for Python 3.7 to 3.11 on Linux, also on 32-bit ARM, built for NumPy 1.  ``setup.py`` asks for the same.
"""
from __future__ import annotations

import platform
import sys
from typing import Tuple

__all__ = ["advice"]

_64_BIT = "install a 64-bit system image"


def advice(python: Tuple[int, int] = sys.version_info[:2], bits: int = 64 if sys.maxsize > 1 << 32 else 32,
           machine: str = "") -> str:
    """How to come by a runtime here: a pip command, or what else it takes.

    :param machine: as ``platform.machine()`` tells it, which for a 32-bit system on a 64-bit kernel is the kernel's
    """
    machine = machine or platform.machine()
    old = "pip install 'numpy<2' tflite-runtime"
    if bits == 64:
        return "pip install ai-edge-litert" if python >= (3, 9) else old
    if not machine.startswith("arm") and machine not in ("aarch64", "arm64"):
        return "no TFLite runtime is published for 32-bit %s: %s" % (machine, _64_BIT)
    if python >= (3, 12):
        return ("no TFLite runtime is published for Python %d.%d on 32-bit ARM: take Python 3.9 to 3.11, or %s"
                % (python + (_64_BIT,)))
    return old
