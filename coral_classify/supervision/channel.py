"""The wire between a process and its worker: small frames over a socket pair.  Input tensors lie in memory that both
share (:mod:`coral_classify.supervision.tensors`); a frame hands over its descriptor, another names the tensors in it.

Both ends use this module.  It knows sockets and NumPy, and nothing of models, policies or devices.
Small outputs travel in the frames: a worker that is late or mad can spoil none but its own.  Large ones, and those that
somebody keeps views of, lie in shared memory, too.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import errors
from ..types import Quantization, TensorSpec
from .tensors import Layout, Place

__all__ = [
    "OPEN",
    "READY",
    "TAKE",
    "DROP",
    "RUN",
    "DONE",
    "FAILED",
    "CALL",
    "QUIT",
    "Frame",
    "Wire",
    "places_to_payload",
    "places_from_payload",
    "layout_to_payload",
    "layout_from_payload",
    "outputs_to_payload",
    "outputs_from_payload",
    "spec_to_json",
    "spec_from_json",
    "error_to_json",
    "error_from_json",
]

# OPEN a session; it is READY, and so again, with another device, where an owner has moved it.  TAKE memory with
# tensors (its descriptor travels along), DROP it.  RUN on some of these tensors; that is DONE (with the outputs, or
# with nothing where RUN named tensors for them, too), or FAILED (as may be OPEN).  CALL for something else; DONE with
# that, or FAILED.  QUIT.
OPEN, READY, TAKE, DROP, RUN, DONE, FAILED, CALL, QUIT = range(1, 10)

_HEADER = struct.Struct("<IIQ")  # kind, length of the payload in bytes, number of the request or memory
_PLACE = struct.Struct("<QII")  # number of the memory, slot in it, position in the slot's set
_LONGEST_PAYLOAD = 1 << 24
_MOST_DESCRIPTORS = 16  # that wait for their frame
_CHUNK = 8192  # bytes to receive at a time: a frame with the scores of a thousand classes
_SPACE = socket.CMSG_SPACE(array.array("i").itemsize) if hasattr(socket, "CMSG_SPACE") else 0


class Frame(NamedTuple):
    """One message: what it is, which request or memory it is about, and a payload (often empty)."""

    kind: int
    number: int
    payload: bytes
    descriptor: int = -1  # of the memory, with TAKE; the receiver closes it


class Wire:
    """One end of the socket pair.

    :raises EOFError: from both methods when the other end is gone, or sends what is no frame
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._arrived = bytearray()  # and not yet given out
        self._descriptors: Deque[int] = deque()  # that came with TAKE frames, in their order

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, kind: int, number: int = 0, payload: bytes = b"", descriptor: Optional[int] = None) -> None:
        """Send one frame.  A parent's frames are far smaller than the socket's buffer: it does not block."""
        frame = _HEADER.pack(kind, len(payload), number) + payload
        try:
            if descriptor is not None:
                rights = array.array("i", [descriptor])
                sent = self._socket.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                frame = frame[sent:]
            self._socket.sendall(frame)
        except (OSError, ValueError) as exc:
            raise EOFError("the other end is gone") from exc

    def receive(self, timeout_s: Optional[float] = None) -> Frame:
        """The next frame.

        :raises socket.timeout: if it does not come within *timeout_s* (None: wait for ever)
        """
        if self._socket.gettimeout() != timeout_s:
            self._socket.settimeout(timeout_s)
        while True:
            frame = self._next()
            if frame is not None:
                return frame
            self._fill()

    def _next(self) -> Optional[Frame]:
        """The first frame of what has arrived, if it is whole."""
        if len(self._arrived) < _HEADER.size:
            return None
        kind, length, number = _HEADER.unpack_from(self._arrived)
        if not OPEN <= kind <= QUIT or length > _LONGEST_PAYLOAD:
            raise EOFError("the other end sent what is no frame")
        end = _HEADER.size + length
        if len(self._arrived) < end:
            return None
        payload = bytes(self._arrived[_HEADER.size:end])
        del self._arrived[:end]
        if kind == TAKE and not self._descriptors:
            raise EOFError("the other end sent memory without a descriptor")
        return Frame(kind, number, payload, self._descriptors.popleft() if kind == TAKE else -1)

    def _fill(self) -> None:
        try:
            chunk, ancillary, _, _ = self._socket.recvmsg(_CHUNK, _SPACE)
        except socket.timeout:
            raise
        except (OSError, ValueError) as exc:
            raise EOFError("the other end is gone") from exc
        if not chunk:
            raise EOFError("the other end is gone")
        self._arrived += chunk
        for _, _, data in ancillary:
            rights = array.array("i")
            rights.frombytes(data)
            self._descriptors.extend(rights)
        if len(self._descriptors) > _MOST_DESCRIPTORS:
            raise EOFError("the other end sent more descriptors than frames")

    def hang_up(self) -> None:
        """End a ``receive`` that waits in another thread, whoever else holds the other end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())


def places_to_payload(places: Sequence[Place]) -> bytes:
    """Where the tensors of a RUN lie: a place for each input, and then for each output or for none."""
    if len(places) == 1:
        return _PLACE.pack(*places[0])
    return b"".join([_PLACE.pack(*place) for place in places])


def places_from_payload(payload: bytes) -> List[Place]:
    return list(_PLACE.iter_unpack(payload))


def layout_to_payload(layout: Layout) -> bytes:
    """What lies in the memory of a TAKE."""
    specs = [spec_to_json(spec) for spec in layout.specs]
    return json.dumps({"specs": specs, "slots": layout.slots}).encode("ascii")


def layout_from_payload(payload: bytes) -> Layout:
    record = json.loads(payload.decode("ascii"))
    return Layout(tuple(spec_from_json(spec) for spec in record["specs"]), int(record["slots"]))


def outputs_to_payload(outputs: "Sequence[np.ndarray[Any, Any]]") -> bytes:
    return b"".join([output.tobytes() for output in outputs])


def outputs_from_payload(payload: bytes, specs: Sequence[TensorSpec]) -> "List[np.ndarray[Any, Any]]":
    """The output tensors that came with DONE.

    :raises EOFError: if they have not the sizes of *specs*
    """
    outputs: "List[np.ndarray[Any, Any]]" = []
    buffer = bytearray(payload)  # the caller's to write to
    begin = 0
    try:
        for spec in specs:
            output: "np.ndarray[Any, Any]" = np.ndarray(spec.shape, spec.dtype, buffer, begin)
            outputs.append(output.copy() if begin else output)  # aligned
            begin += output.nbytes
    except (TypeError, ValueError) as exc:
        raise EOFError("the other end sent an output of another size") from exc
    if begin != len(payload):
        raise EOFError("the other end sent an output of another size")
    return outputs


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
