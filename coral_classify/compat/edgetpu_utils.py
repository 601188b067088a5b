"""``pycoral.utils.edgetpu``: interpreters by device, and inferences on raw memory.

``handle`` is what ``Interpreter._native_handle()`` gives; programs only pass it on.  Here it is a token, and
``supports_dmabuf`` says no: callers map the buffer themselves then.
"""
from __future__ import annotations

import ctypes
import errno
import mmap
import operator
import sys
from typing import Any, Dict, List, Optional

import numpy as np

from .. import edgetpu
from ..errors import DeviceError
from ..supervision import ask_status, owner_is_there
from .delegate import Delegate
from .interpreter import Interpreter, interpreter_of

__all__ = ["get_runtime_version", "invoke_with_bytes", "invoke_with_dmabuffer", "invoke_with_membuffer",
           "list_edge_tpus", "load_edgetpu_delegate", "make_interpreter", "run_inference", "set_verbosity",
           "supports_dmabuf"]

_LIBRARIES = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}


def load_edgetpu_delegate(options: Optional[Dict[str, Any]] = None) -> Any:
    """:raises ValueError, OSError: as :class:`coral_classify.compat.delegate.Delegate`"""
    return Delegate(_LIBRARIES.get(sys.platform, "libedgetpu.so.1"), options or {})


def make_interpreter(model_path_or_content: Any, device: Optional[str] = None, delegate: Any = None) -> Interpreter:
    """An interpreter on an Edge TPU.

    :param model_path_or_content: path, or bytes; compiled for the Edge TPU or not
    :param device: None, ":N", "usb", "usb:N", "pci", "pci:N"
    :param delegate: from :func:`load_edgetpu_delegate`; wins over *device*
    :raises ValueError: if the delegate or the model cannot be loaded
    """
    delegate = delegate or load_edgetpu_delegate({"device": device} if device else {})
    if isinstance(model_path_or_content, bytes):
        return Interpreter(model_content=model_path_or_content, experimental_delegates=[delegate])
    return Interpreter(model_path=model_path_or_content, experimental_delegates=[delegate])


def list_edge_tpus() -> List[Dict[str, str]]:
    """A record of "type" ("usb" or "pci") and "path" for each; where there is no driver, those of an owner, or none."""
    try:
        return [{"type": one.type, "path": one.path} for one in edgetpu.driver_devices()]
    except DeviceError:
        shared = _owner().get("devices", [])
        return [{"type": one["type"], "path": one["path"]} for one in shared if one["present"] and one["path"]]


def get_runtime_version() -> str:
    """What libedgetpu says of itself: ``BuildLabel(…), RuntimeVersion(14)``; where there is none, that of an owner."""
    try:
        return edgetpu.version()
    except DeviceError:
        told = str(_owner().get("driver", ""))
        if not told:
            raise
        return told


def _owner() -> Dict[str, Any]:
    """What the owner of shared accelerators tells of itself; nothing where there is none."""
    try:
        return ask_status() if owner_is_there() else {}
    except DeviceError:
        return {}


def set_verbosity(verbosity: int) -> bool:
    """How much libedgetpu writes in this process, 0 to 10; the workers' words go to the log."""
    level = operator.index(verbosity)
    if not 0 <= level <= 10:
        return False
    edgetpu.library().edgetpu_verbosity(level)
    return True


def supports_dmabuf(handle: int) -> bool:
    """No: the memory would have to be handed on to another process."""
    operator.index(handle)
    return False


def invoke_with_bytes(handle: int, input_data: bytes) -> None:
    """Run on these bytes, which are the first input.

    :raises RuntimeError: if they are too few, or the interpreter is not ready
    """
    if not isinstance(input_data, bytes):
        raise TypeError("input_data must be bytes, got %s" % type(input_data).__name__)
    _invoke(interpreter_of(handle), np.frombuffer(input_data, np.uint8))


def invoke_with_membuffer(handle: int, buffer: int, size: int) -> None:
    """Run on the *size* bytes at this address.

    :raises RuntimeError: as :func:`invoke_with_bytes`
    :raises ValueError: if no memory lies there
    """
    interpreter = interpreter_of(handle)
    _invoke(interpreter, _at(buffer, size))


def invoke_with_dmabuffer(handle: int, dma_fd: int, size: int) -> None:
    """:raises RuntimeError: always; see :func:`supports_dmabuf`"""
    operator.index(dma_fd), operator.index(size)
    interpreter_of(handle).check_ready()
    raise RuntimeError("DMA buffers cannot be handed to the process that holds the Edge TPU; map the buffer and use "
                       "invoke_with_membuffer")


def _invoke(interpreter: Any, content: "np.ndarray[Any, Any]") -> None:
    """
    :param interpreter: ours, or a runtime's
    :param content: uint8, (bytes,)
    """
    if isinstance(interpreter, Interpreter):
        interpreter.check_ready()
    details = interpreter.get_input_details()[0]
    dtype = np.dtype(details["dtype"])
    size = int(np.prod(details["shape"])) * dtype.itemsize
    if content.size < size:
        raise RuntimeError("Input buffer (%d) has fewer entries than model input tensor (%d)." % (content.size, size))
    interpreter.set_tensor(details["index"], content[:size].view(dtype).reshape(details["shape"]))
    interpreter.invoke()


def run_inference(interpreter: Any, input_data: Any) -> None:
    """Run on a raw first input: bytes, a flat uint8 array, (``ctypes.c_void_p``, size) or a ``Gst.Buffer``.

    :param interpreter: ours, or a runtime's
    :raises ValueError: if it is too short
    :raises TypeError: for anything else
    """
    if isinstance(input_data, bytes):
        content = np.frombuffer(input_data, np.uint8)
    elif isinstance(input_data, np.ndarray):
        content = np.ascontiguousarray(input_data)
    elif _is_memory(input_data):
        content = _at(input_data[0].value or 0, input_data[1])
    elif type(input_data).__module__.startswith("gi.") and hasattr(input_data, "extract_dup"):
        content = np.frombuffer(bytes(input_data.extract_dup(0, input_data.get_size())), np.uint8)
    else:
        raise TypeError("input data type is not supported.")
    expected = int(np.prod(interpreter.get_input_details()[0]["shape"]))
    if len(content) < expected:
        raise ValueError("input size=%d, expected=%d." % (len(content), expected))
    _invoke(interpreter, content.view(np.uint8).ravel())


def _at(address: int, size: int) -> "np.ndarray[Any, Any]":
    """The bytes at an address, as they lie there.

    :raises ValueError: where this process has no memory, reading which would end it
    """
    start, count = operator.index(address), operator.index(size)
    highest = 1 << (8 * ctypes.sizeof(ctypes.c_void_p) - 1)
    if count < 0 or start <= 0 or start + count > highest or not _is_mapped(start, count):
        raise ValueError("no %d bytes of memory lie at %#x" % (count, start))
    return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(start))


def _is_mapped(start: int, count: int) -> bool:
    """Whether all of it is memory of this process; where the system cannot be asked, that is believed."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).msync
    except (AttributeError, OSError, TypeError):        # not on Windows
        return True
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    if ask(ctypes.c_void_p(first), ctypes.c_size_t(start + count - first), 1) == 0:    # MS_ASYNC: nothing is written
        return True
    return ctypes.get_errno() != errno.ENOMEM


def _is_memory(data: Any) -> bool:
    return (isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], ctypes.c_void_p)
            and isinstance(data[1], (int, np.integer)))
