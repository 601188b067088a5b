"""Small ``.tflite`` files for tests: a classifier of mean colour (classes red, green, blue), plain or "compiled", in
any dtype and quantization, with or without TFLite metadata; and a network of several tensors.  Pure Python; no engine.

The plain one is a single AVERAGE_POOL_2D over the whole picture, so every engine runs it and its answer can be
computed by hand: output = mean of the stored input values of each channel.
"""
from __future__ import annotations

import io
import struct
import zipfile
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

__all__ = ["Numbers", "Scalar", "TYPES", "Table", "colours", "flatbuffer", "metadata", "several", "tensor"]

TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}
_SIZES = {"int8": 1, "uint8": 1, "int32": 4, "uint32": 4, "int64": 8, "float32": 4}
_FORMATS = {"int8": "b", "uint8": "B", "int32": "i", "uint32": "I", "int64": "q", "float32": "f"}


class Scalar(NamedTuple):
    kind: str
    value: Any


class Numbers(NamedTuple):
    kind: str
    values: Sequence[Any]


class Table(NamedTuple):
    fields: Dict[int, Any]      # field number -> Scalar, str, Numbers, Table or list of Table


def flatbuffer(table: Table, identifier: bytes) -> bytes:
    """Front to back: a table, then what it points to; offsets are filled in when the child is written."""
    out = bytearray(b"\0\0\0\0" + identifier)
    struct.pack_into("<I", out, 0, _write(out, table))
    return bytes(out)


def _align(out: bytearray, size: int, extra: int = 0) -> None:
    while (len(out) + extra) % size:
        out.append(0)


def _write(out: bytearray, table: Table) -> int:
    count = max(table.fields, default=-1) + 1
    places: Dict[int, int] = {}
    offset = 4
    for number, value in sorted(table.fields.items()):
        size = _SIZES[value.kind] if isinstance(value, Scalar) else 4
        offset += -offset % size
        places[number] = offset
        offset += size
    _align(out, 2)
    _align(out, 8, extra=4 + 2 * count)
    vtable = len(out)
    out += struct.pack("<HH", 4 + 2 * count, offset)
    for number in range(count):
        out += struct.pack("<H", places.get(number, 0))
    start = len(out)
    out += struct.pack("<i", start - vtable) + b"\0" * (offset - 4)
    for number, value in sorted(table.fields.items()):
        position = start + places[number]
        if isinstance(value, Scalar):
            struct.pack_into("<" + _FORMATS[value.kind], out, position, value.value)
        else:
            struct.pack_into("<I", out, position, _child(out, value) - position)
    return start


def _child(out: bytearray, value: Any) -> int:
    if isinstance(value, Table):
        return _write(out, value)
    if isinstance(value, str):
        text = value.encode("utf-8")
        _align(out, 4)
        start = len(out)
        out += struct.pack("<I", len(text)) + text + b"\0"
        return start
    if isinstance(value, Numbers):
        _align(out, 16, extra=4)        # TFLite wants weight buffers at multiples of 16
        start = len(out)
        out += struct.pack("<I%d%s" % (len(value.values), _FORMATS[value.kind]), len(value.values), *value.values)
        return start
    _align(out, 4)
    start = len(out)
    out += struct.pack("<I", len(value)) + b"\0" * (4 * len(value))
    for i, item in enumerate(value):
        position = start + 4 + 4 * i
        struct.pack_into("<I", out, position, _child(out, item) - position)
    return start


def tensor(name: str, shape: Sequence[int], dtype: str, scale: float, zero_point: int, buffer: int = 0) -> Table:
    fields: Dict[int, Any] = {0: Numbers("int32", shape), 1: Scalar("int8", TYPES[dtype]),
                              2: Scalar("uint32", buffer), 3: name}
    if scale:
        fields[4] = Table({2: Numbers("float32", [scale]), 3: Numbers("int64", [zero_point])})
    return Table(fields)


def metadata(labels: Optional[str], normalization: Optional[Tuple[Sequence[float], Sequence[float]]]) -> bytes:
    """A TFLite metadata buffer (``M001``) that names the label file *labels* and declares (means, stds)."""
    input_tensor: Dict[int, Any] = {0: "image"}
    if normalization:
        options = Table({0: Numbers("float32", normalization[0]), 1: Numbers("float32", normalization[1])})
        input_tensor[4] = [Table({0: Scalar("uint8", 1), 1: options})]
    output_tensor: Dict[int, Any] = {0: "probability"}
    if labels:
        output_tensor[6] = [Table({0: labels, 2: Scalar("int8", 2)})]
    graph = Table({2: [Table(input_tensor)], 3: [Table(output_tensor)]})
    return flatbuffer(Table({0: "colours", 3: [graph]}), b"M001")


def colours(
    *,
    size: Tuple[int, int] = (8, 8),
    dtype: str = "uint8",
    scale: float = 1 / 255,
    zero_point: int = 0,
    compiled: bool = False,
    maximum: bool = False,
    inputs: int = 1,
    channels: int = 3,
    labels: Optional[Sequence[str]] = None,
    normalization: Optional[Tuple[Sequence[float], Sequence[float]]] = None,
) -> bytes:
    """The file: input (1, height, width, *channels*), output (1, 1, 1, *channels*) of the same quantization.

    :param size: (width, height)
    :param maximum: the maximum of each channel instead of its mean: another network with the same shapes
    :param compiled: the same shapes with the one operator ``edgetpu-custom-op``
    """
    width, height = size
    tensors = [tensor("image%d" % i, (1, height, width, channels), dtype, scale, zero_point) for i in range(inputs)]
    tensors.append(tensor("scores", (1, 1, 1, channels), dtype, scale, zero_point))
    if compiled:
        code = Table({0: Scalar("int8", 32), 1: "edgetpu-custom-op", 3: Scalar("int32", 32)})
        operator = Table({1: Numbers("int32", [0]), 2: Numbers("int32", [inputs]), 5: Numbers("uint8", b"package")})
    else:
        kind = 17 if maximum else 1     # MAX_POOL_2D, AVERAGE_POOL_2D
        code = Table({0: Scalar("int8", kind), 2: Scalar("int32", 2 if dtype == "int8" else 1),
                      3: Scalar("int32", kind)})
        pool = Table({0: Scalar("int8", 1), 1: Scalar("int32", 1), 2: Scalar("int32", 1),
                      3: Scalar("int32", width), 4: Scalar("int32", height)})
        operator = Table({1: Numbers("int32", [0]), 2: Numbers("int32", [inputs]), 3: Scalar("uint8", 5), 4: pool})
    graph = Table({0: tensors, 1: Numbers("int32", list(range(inputs))), 2: Numbers("int32", [inputs]),
                   3: [operator], 4: "main"})
    buffers: List[Table] = [Table({})]
    fields: Dict[int, Any] = {0: Scalar("uint32", 3), 1: [code], 2: [graph], 3: "colours", 4: buffers}
    if labels or normalization:
        buffers.append(Table({0: Numbers("uint8", metadata("labels.txt" if labels else None, normalization))}))
        fields[6] = [Table({0: "TFLITE_METADATA", 1: Scalar("uint32", 1)})]
    content = flatbuffer(Table(fields), b"TFL3")
    if labels:
        archive = io.BytesIO(content)
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr("labels.txt", "\n".join(labels) + "\n")
        content = archive.getvalue()
    return content


def several(*, rows: int = 4, compiled: bool = False) -> bytes:
    """A network of three inputs and three outputs, each its own shape and dtype:

    picture uint8 (1, 8, 8, 3) -> means (1, 1, 1, 3), by the accelerator if *compiled*; whole int32 (*rows*, 25) ->
    itself doubled; real float32 (5,) -> the same without what is negative.
    """
    shapes = {"picture": (1, 8, 8, 3), "whole": (rows, 25), "real": (5,), "means": (1, 1, 1, 3), "doubled": (rows, 25),
              "rectified": (5,)}
    dtypes = ["uint8", "int32", "float32"] * 2
    tensors = [tensor(name, shape, dtype, 1 / 255 if dtype == "uint8" else 0.0, 0)
               for (name, shape), dtype in zip(shapes.items(), dtypes)]
    if compiled:
        first = Table({0: Scalar("int8", 32), 1: "edgetpu-custom-op", 3: Scalar("int32", 32)})
        means = Table({0: Scalar("uint32", 0), 1: Numbers("int32", [0]), 2: Numbers("int32", [3]),
                       5: Numbers("uint8", b"package")})
    else:
        first = Table({0: Scalar("int8", 1), 2: Scalar("int32", 1), 3: Scalar("int32", 1)})
        pool = Table({0: Scalar("int8", 1), 1: Scalar("int32", 1), 2: Scalar("int32", 1), 3: Scalar("int32", 8),
                      4: Scalar("int32", 8)})
        means = Table({0: Scalar("uint32", 0), 1: Numbers("int32", [0]), 2: Numbers("int32", [3]),
                       3: Scalar("uint8", 5), 4: pool})
    add = Table({0: Scalar("int8", 0), 2: Scalar("int32", 1), 3: Scalar("int32", 0)})
    relu = Table({0: Scalar("int8", 19), 2: Scalar("int32", 1), 3: Scalar("int32", 19)})
    doubled = Table({0: Scalar("uint32", 1), 1: Numbers("int32", [1, 1]), 2: Numbers("int32", [4]),
                     3: Scalar("uint8", 11), 4: Table({0: Scalar("int8", 0)})})
    rectified = Table({0: Scalar("uint32", 2), 1: Numbers("int32", [2]), 2: Numbers("int32", [5])})
    graph = Table({0: tensors, 1: Numbers("int32", [0, 1, 2]), 2: Numbers("int32", [3, 4, 5]),
                   3: [means, doubled, rectified], 4: "main"})
    return flatbuffer(Table({0: Scalar("uint32", 3), 1: [first, add, relu], 2: [graph], 3: "several",
                             4: [Table({})]}), b"TFL3")
