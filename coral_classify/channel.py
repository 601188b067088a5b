"""The wire between a process and its worker: small frames over a socket pair, tensors in shared memory.

Both ends use this module.  It knows sockets, memory and NumPy, and nothing of models, policies or devices.
The shared memory never has a name in a file system, so that no kind of death can leave it behind.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import tempfile
from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from . import errors
from .types import Quantization, TensorSpec

__all__ = [
    "OPEN",
    "READY",
    "RUN",
    "DONE",
    "FAILED",
    "QUIT",
    "Frame",
    "Wire",
    "Area",
    "make_memory",
    "spec_to_json",
    "spec_from_json",
    "error_to_json",
    "error_from_json",
]

OPEN, READY, RUN, DONE, FAILED, QUIT = range(1, 7)

_HEADER = struct.Struct("<IIQ")  # kind, length of the payload in bytes, number of the request
_LONGEST_PAYLOAD = 1 << 20
_ALIGNMENT = 4096


class Frame(NamedTuple):
    """One message: what it is, which request it belongs to, and a JSON payload (often empty)."""

    kind: int
    number: int
    payload: bytes


class Wire:
    """One end of the socket pair.

    :raises EOFError: from both methods when the other end is gone, or sends what is no frame
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._header = bytearray(_HEADER.size)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, kind: int, number: int = 0, payload: bytes = b"") -> None:
        """Send one frame.  Frames are far smaller than the socket's buffer: this does not block."""
        try:
            self._socket.sendall(_HEADER.pack(kind, len(payload), number) + payload)
        except (OSError, ValueError) as exc:
            raise EOFError("the other end is gone") from exc

    def receive(self, timeout_s: Optional[float] = None) -> Frame:
        """The next frame.

        :raises socket.timeout: if it does not come within *timeout_s* (None: wait for ever)
        """
        if self._socket.gettimeout() != timeout_s:
            self._socket.settimeout(timeout_s)
        self._fill(self._header)
        kind, length, number = _HEADER.unpack(self._header)
        if not OPEN <= kind <= QUIT or length > _LONGEST_PAYLOAD:
            raise EOFError("the other end sent what is no frame")
        payload = b""
        if length:
            body = bytearray(length)
            self._fill(body)
            payload = bytes(body)
        return Frame(kind, number, payload)

    def _fill(self, buffer: bytearray) -> None:
        view = memoryview(buffer)
        while view:
            try:
                got = self._socket.recv_into(view)
            except socket.timeout:
                raise
            except (OSError, ValueError) as exc:
                raise EOFError("the other end is gone") from exc
            if not got:
                raise EOFError("the other end is gone")
            view = view[got:]

    def hang_up(self) -> None:
        """End a ``receive`` that waits in another thread, whoever else holds the other end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()


def make_memory() -> int:
    """A file descriptor of anonymous memory that a child can inherit.  It never had a name."""
    # os.memfd_create came with Python 3.8 and exists on Linux only.  Its pages are not bounded by the size
    # of /dev/shm, which containers keep at 64 MB.
    create = getattr(os, "memfd_create", None)
    if create is not None:
        try:
            return int(create("coral_classify"))
        except OSError:  # a kernel or a seccomp filter without it
            pass
    folder = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryFile(prefix="coral_classify-", dir=folder) as file:  # O_TMPFILE: no name
        return os.dup(file.fileno())


class Area:
    """One input and one output tensor in memory that two processes share.

    :param descriptor: of the memory; stays the caller's
    :param create: True on the side that gives it its size
    """

    def __init__(self, descriptor: int, input: TensorSpec, output: TensorSpec, *, create: bool) -> None:
        input_bytes = _bytes_of(input)
        offset = -(-input_bytes // _ALIGNMENT) * _ALIGNMENT
        size = offset + max(1, _bytes_of(output))
        if create:
            os.ftruncate(descriptor, size)
            if hasattr(os, "posix_fallocate"):
                # Else a full /dev/shm would show as SIGBUS at the first picture, not as an error here.
                os.posix_fallocate(descriptor, 0, size)
        self._map = mmap.mmap(descriptor, size)
        self.input: "np.ndarray[Any, Any]" = np.ndarray(input.shape, input.dtype, self._map, 0)
        self.output: "np.ndarray[Any, Any]" = np.ndarray(output.shape, output.dtype, self._map, offset)

    def close(self) -> None:
        """Unmap.  The arrays must not be used afterwards."""
        del self.input, self.output
        try:
            self._map.close()
        except BufferError:  # a view is still held elsewhere: it goes with that view
            pass


def _bytes_of(spec: TensorSpec) -> int:
    size = int(spec.dtype.itemsize)
    for extent in spec.shape:
        size *= int(extent)
    return size


def spec_to_json(spec: TensorSpec) -> Dict[str, Any]:
    return {
        "shape": [int(extent) for extent in spec.shape],
        "dtype": spec.dtype.name,
        "scale": float(spec.quantization.scale),
        "zero_point": int(spec.quantization.zero_point),
    }


def spec_from_json(record: Dict[str, Any]) -> TensorSpec:
    return TensorSpec(
        tuple(record["shape"]),
        np.dtype(record["dtype"]),
        Quantization(record["scale"], record["zero_point"]),
    )


def error_to_json(exc: BaseException) -> bytes:
    """An exception as a payload; long texts are cut."""
    record = {"type": type(exc).__name__, "message": (str(exc) or type(exc).__name__)[:8192]}
    if isinstance(exc, errors.DeviceError):
        record["cause"] = exc.cause
        record["evidence"] = exc.evidence[:65536]
    return json.dumps(record).encode("ascii")


def error_from_json(payload: bytes) -> Exception:
    """The exception as it was if this package defines it, else an :class:`EngineError` with its type."""
    record = json.loads(payload.decode("ascii"))
    name, message = record["type"], record["message"]
    kind = getattr(errors, name, None) if name in errors.__all__ else None
    if kind is None:
        text = message if message == name else "%s: %s" % (name, message)
        return errors.EngineError("the worker process reports %s" % text)
    if issubclass(kind, errors.DeviceError):
        device_error: Exception = kind(message, cause=record["cause"], evidence=record["evidence"])
        return device_error
    plain: Exception = kind(message)
    return plain
