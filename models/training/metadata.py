"""TFLite metadata: labels and normalization inside the ``.tflite``, so that other tools read them too.

Field numbers: ``metadata_schema.fbs`` of TFLite Support.  The metadata is a FlatBuffer in a buffer of the model,
the label file a zip archive behind the model.
"""
from __future__ import annotations

import io
import zipfile
from typing import Any, Dict, List, Union

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

_NORMALIZATION_OPTIONS, _IMAGE_PROPERTIES = 1, 2    # members of the unions ProcessUnitOptions, ContentProperties
_RGB, _AXIS_LABELS = 1, 2

Field = Union[str, int, List[float], Dict[int, Any], List[Dict[int, Any]]]


def add_metadata(content: bytes, name: str, labels: List[str], labels_file: str) -> bytes:
    """*content* of a ``.tflite`` with uint8 input and output -> the same with metadata and the label file."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    image: Dict[int, Any] = {
        0: "image", 1: "RGB picture; raw pixels, 0 to 255",
        3: {0: _IMAGE_PROPERTIES, 1: {0: _RGB}},
        4: [{0: _NORMALIZATION_OPTIONS, 1: {0: [128.0], 1: [128.0]}}],
        5: {0: [0.9921875], 1: [-1.0]},
    }
    scores: Dict[int, Any] = {0: "probability", 5: {0: [1.0], 1: [0.0]}, 6: [{0: labels_file, 2: _AXIS_LABELS}]}
    described: Dict[int, Any] = {0: name, 3: [{2: [image], 3: [scores]}], 5: "Apache-2.0", 7: "1.0.0"}
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, described), file_identifier=b"M001")
    buffer = schema.BufferT()
    buffer.data = bytearray(builder.Output())
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [m for m in model.metadata or [] if m.name != entry.name] + [entry]
    packed = flatbuffers.Builder(len(content) + 4096)
    packed.Finish(model.Pack(packed), file_identifier=b"TFL3")
    archive = io.BytesIO(bytes(packed.Output()))
    with zipfile.ZipFile(archive, "a") as file:
        # A fixed date: the same weights give the same bytes.
        file.writestr(zipfile.ZipInfo(labels_file, (2026, 1, 1, 0, 0, 0)), "\n".join(labels) + "\n")
    return archive.getvalue()


def _table(builder: flatbuffers.Builder, fields: Dict[int, Any]) -> int:
    children = {number: _child(builder, value) for number, value in fields.items() if not isinstance(value, int)}
    builder.StartObject(max(fields) + 1)
    for number, value in fields.items():
        if isinstance(value, int):
            builder.PrependInt8Slot(number, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, children[number], 0)
    return int(builder.EndObject())


def _child(builder: flatbuffers.Builder, value: Field) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, dict):
        return _table(builder, value)
    assert isinstance(value, list)
    if isinstance(value[0], float):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
    else:
        offsets = [_table(builder, item) for item in value]     # type: ignore[arg-type]
        builder.StartVector(4, len(value), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
