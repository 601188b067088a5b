"""Tensors on the wire of the Open Inference Protocol: as JSON numbers, or as bytes behind the JSON (Triton's binary
extension).

Knows NumPy and JSON.  Knows no request, no model and no device.
Facts: the protocol's "Tensor Data" and "Tensor Data Types"; of the extension, ``binary_data_size``.
"""
from __future__ import annotations

import itertools
import json
import re
from typing import Any, Dict, List, Tuple

import numpy as np

from ..errors import UsageError
from ..types import TensorSpec

__all__ = ["binary", "datatype", "numbers", "parameters", "parsed", "received", "short", "written"]

_NAMES = {"bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
          "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64"}
_LONG = re.compile(rb"[0-9]{400}")      # a number that takes Python long, and that nobody means


def datatype(spec: TensorSpec) -> str:
    """
    >>> datatype(TensorSpec((1, 4), np.dtype(np.uint8), None))
    'UINT8'
    """
    return _NAMES[spec.dtype.name]


def parsed(text: bytes) -> Dict[str, Any]:
    """A JSON object.

    :raises UsageError: if it is none
    """
    try:
        if _LONG.search(text):
            raise ValueError("a number of 400 digits")
        record = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise UsageError("the request is no JSON: %s" % (
            "it goes too deep" if isinstance(exc, RecursionError) else exc)) from None
    if not isinstance(record, dict):
        raise UsageError("the request must be a JSON object, got %s" % type(record).__name__)
    return record


def _refuse(constant: str) -> None:
    raise ValueError("%s is no number of JSON" % constant)


def numbers(data: Any, spec: TensorSpec, name: str) -> "np.ndarray[Any, Any]":
    """A tensor from a list of numbers in row-major order, flat or in lists of lists.

    :raises UsageError: if these are not the numbers of such a tensor
    """
    size = int(np.prod(spec.shape))
    wanted = "%s: data must be %d numbers of %s" % (name, size, datatype(spec))
    whole = spec.dtype.kind in "iu"
    if not isinstance(data, list):
        raise UsageError("%s, in a list" % wanted)
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise UsageError("%s, in lists of one shape" % wanted)
        data = list(itertools.chain.from_iterable(data))
    if len(data) != size:
        raise UsageError("%s, got %d" % (wanted, len(data)))
    kinds = set(map(type, data))
    if not kinds <= ({bool} if spec.dtype.kind == "b" else {int} if whole else {int, float}):
        raise UsageError("%s, got other values" % wanted)
    if whole:
        limits = np.iinfo(spec.dtype)
        if data and not limits.min <= min(data) <= max(data) <= limits.max:
            raise UsageError("%s, from %d to %d" % (wanted, limits.min, limits.max))
    with np.errstate(over="ignore"):
        try:
            tensor = np.array(data, spec.dtype)
        except OverflowError:
            raise UsageError("%s, got one that is too large" % wanted) from None
    return _finite(tensor, name).reshape(spec.shape)


def binary(data: memoryview, spec: TensorSpec, name: str) -> "np.ndarray[Any, Any]":
    """A tensor from its bytes: row-major, little-endian.  A view of them, where that is possible.

    :raises UsageError: if there are more or fewer
    """
    size = int(np.prod(spec.shape)) * spec.dtype.itemsize
    if len(data) != size:
        raise UsageError("%s: binary_data_size must be %d, got %d" % (name, size, len(data)))
    tensor = np.frombuffer(data, spec.dtype.newbyteorder("<")).reshape(spec.shape)
    return _finite(np.require(tensor, spec.dtype, ["C", "A"]), name)


def _finite(tensor: "np.ndarray[Any, Any]", name: str) -> "np.ndarray[Any, Any]":
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise UsageError("%s: every number must be finite" % name)
    return tensor


def received(tensor: Dict[str, Any], spec: TensorSpec, rest: memoryview,
             ) -> "Tuple[np.ndarray[Any, Any], memoryview]":
    """One tensor of a request, and what is left of the bytes behind the JSON.

    :param tensor: with name, shape, datatype, and data or ``parameters.binary_data_size``; the name is the model's
    :raises UsageError: if it is not what the model takes
    """
    name = tensor["name"]
    if tensor.get("datatype") != datatype(spec):
        raise UsageError("%s: datatype must be %s, got %s" % (name, datatype(spec), short(tensor.get("datatype"))))
    shape = tensor.get("shape")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape) or tuple(shape) != spec.shape:
        raise UsageError("%s: shape must be %s, got %s" % (name, list(spec.shape), short(shape)))
    size = parameters(tensor, name).get("binary_data_size")
    if size is None:
        return numbers(tensor.get("data"), spec, name), rest
    if type(size) is not int or size < 0:
        raise UsageError("%s: binary_data_size must be a number of bytes, got %s" % (name, short(size)))
    if "data" in tensor:
        raise UsageError("%s: has data and binary_data_size; give one of them" % name)
    if size > len(rest):
        raise UsageError("%s: binary_data_size is %d, and %d bytes are left" % (name, size, len(rest)))
    return binary(rest[:size], spec, name), rest[size:]


def written(tensor: "np.ndarray[Any, Any]", spec: TensorSpec, name: str, as_binary: bool,
            ) -> Tuple[Dict[str, Any], List[bytes]]:
    """A tensor of a response, and the bytes that go behind the JSON."""
    record: Dict[str, Any] = {"name": name, "datatype": datatype(spec), "shape": list(tensor.shape)}
    if not as_binary:
        return dict(record, data=tensor.ravel().tolist()), []
    content = np.ascontiguousarray(tensor, spec.dtype.newbyteorder("<")).tobytes()
    return dict(record, parameters={"binary_data_size": len(content)}), [content]


def parameters(record: Dict[str, Any], of: str) -> Dict[str, Any]:
    """:raises UsageError: if they are no JSON object"""
    found = record.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError("%s: parameters must be a JSON object, got %s" % (of, short(found)))
    return found


def short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
