"""The Open Inference Protocol, version 2, as its client speaks it: requests out of tensors, tensors out of answers that
may be anything.

Knows JSON and NumPy; no connection.  Facts: https://github.com/kserve/open-inference-protocol (inference_rest.md); of
the binary form, Triton's extension_binary_data.md.
"""
from __future__ import annotations

import json
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..types import Quantization, TensorSpec

__all__ = ["HEADER", "Described", "Nonsense", "differs", "parsed", "question", "received", "sentence"]

HEADER = "Inference-Header-Content-Length"
_DTYPES = {"BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
           "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32",
           "FP64": "float64"}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_QUOTED = 200       # characters of a stranger's text in a message


class Nonsense(Exception):
    """An answer that is none."""


class Described(NamedTuple):
    """A tensor as the server describes it."""

    name: str
    datatype: str
    shape: Tuple[int, ...]                      # -1: any
    quantization: Optional[Quantization]        # None: the server does not say

    @classmethod
    def all_of(cls, record: Dict[str, Any], kind: str) -> "List[Described]":
        """The ``inputs`` or ``outputs`` of a model's metadata.

        :raises Nonsense: if there are none
        """
        try:
            return [cls(str(one["name"]), str(one["datatype"]), tuple(_whole(extent) for extent in one["shape"]),
                        _quantization(one.get("parameters"))) for one in record[kind]]
        except (KeyError, TypeError, ValueError):
            raise Nonsense("its description of the model has no %s" % kind) from None

    def __str__(self) -> str:
        return "%s %s" % (self.datatype, list(self.shape))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError
    return value


def _quantization(parameters: Any) -> Optional[Quantization]:
    if not isinstance(parameters, dict) or "scale" not in parameters or "zero_point" not in parameters:
        return None
    return Quantization(float(parameters["scale"]), _whole(parameters["zero_point"]))


def differs(mine: Sequence[TensorSpec], its: Sequence[Described], what: str) -> Optional[str]:
    """In what the tensors of a model differ from those that a server describes; None: in nothing.

    :param what: "input" or "output"
    """
    if len(mine) != len(its):
        return "has %d %ss, and the file %d" % (len(its), what, len(mine))
    for spec, told in zip(mine, its):
        same = _NAMES[spec.dtype.name] == told.datatype and _fits(spec.shape, told.shape)
        if not same:
            return "has as %s %s, and the file %s %s" % (what, told, _NAMES[spec.dtype.name], list(spec.shape))
        scale, zero_point = spec.quantization
        if told.quantization is not None and not (
                zero_point == told.quantization.zero_point
                and math.isclose(scale, told.quantization.scale, rel_tol=1e-3)):    # a compiler rounds a little
            return "has an %s of scale %g and zero point %d, and the file %g and %d" % (
                (what,) + told.quantization + spec.quantization)
    return None


def _fits(shape: Sequence[int], told: Sequence[int]) -> bool:
    """A classifier's (1, N) is (1, 1, 1, N) to some."""
    if len(shape) != len(told):
        shape, told = [extent for extent in shape if extent != 1], [extent for extent in told if extent != 1]
    return len(shape) == len(told) and all(theirs in (-1, extent) for extent, theirs in zip(shape, told))


def question(specs: Sequence[TensorSpec], inputs: Sequence[Described], outputs: Sequence[Described]) -> bytes:
    """The JSON part of a request; the tensors' bytes follow it, in their order."""
    return json.dumps({
        "inputs": [{"name": told.name, "datatype": told.datatype, "shape": list(spec.shape),
                    "parameters": {"binary_data_size": _size(spec)}} for spec, told in zip(specs, inputs)],
        "outputs": [{"name": told.name, "parameters": {"binary_data": True}} for told in outputs]}).encode("ascii")


def _size(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape, dtype=np.int64)) * int(spec.dtype.itemsize)


def parsed(text: bytes) -> Dict[str, Any]:
    """:raises Nonsense: if it is no JSON object"""
    try:
        record = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise Nonsense("its answer is no JSON object but %s" % _quoted(text))
    return record


def received(body: bytes, header: Optional[str], specs: Sequence[TensorSpec], outputs: Sequence[Described],
             ) -> "Tuple[Dict[str, Any], List[np.ndarray[Any, Any]]]":
    """The JSON of an answer, and its tensors in the order of *outputs*: copies.

    :param header: the response's ``Inference-Header-Content-Length``
    :raises Nonsense: if a byte of it is not as it was asked for
    """
    if header is None:
        parsed(body)
        raise Nonsense("its answer has no %s: it does not speak the protocol's binary form" % HEADER)
    if not header.isdigit() or len(header) > 9 or int(header) > len(body):
        raise Nonsense("its answer's %s is %s, of %d bytes" % (HEADER, _quoted(header.encode()), len(body)))
    record, rest = parsed(body[:int(header)]), memoryview(body)[int(header):]
    expected = {told.name: spec for told, spec in zip(outputs, specs)}
    found: "Dict[str, np.ndarray[Any, Any]]" = {}
    try:
        for one in record["outputs"]:
            name, spec = one["name"], expected[one["name"]]
            size = _whole(one["parameters"]["binary_data_size"])
            if one["datatype"] != _NAMES[spec.dtype.name] or not _fits(spec.shape, one["shape"]) \
                    or size != _size(spec) or size > len(rest) or name in found:
                raise ValueError
            found[name] = np.frombuffer(rest[:size], spec.dtype.newbyteorder("<")).astype(spec.dtype).reshape(
                spec.shape)
            rest = rest[size:]
    except (KeyError, TypeError, ValueError):
        raise Nonsense("its answer has other tensors than the model") from None
    if len(rest) or len(found) != len(expected):
        raise Nonsense("its answer has other tensors than the model")
    return record, [found[told.name] for told in outputs]


def sentence(body: bytes) -> str:
    """What a refusal says of itself; empty if it says nothing that is for people."""
    try:
        text = parsed(body).get("error")
    except Nonsense:
        return ""
    return _quoted(text.encode("utf-8", "replace")) if isinstance(text, str) else ""


def _quoted(text: bytes) -> str:
    words = " ".join(text[:4 * _QUOTED].decode("utf-8", "replace").split())
    plain = "".join(letter if letter.isprintable() else "?" for letter in words)
    return plain if len(plain) <= _QUOTED else plain[:_QUOTED] + "..."
