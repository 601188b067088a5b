"""What a ``.tflite`` file says of itself: shapes, quantization, the Edge TPU's custom op, embedded labels
and normalization.  Reads the file; needs no engine.

Field numbers are those of the public schemas ``tensorflow/lite/schema/schema.fbs`` and
``tensorflow_lite_support/metadata/metadata_schema.fbs``.
"""
from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Tuple, TypeVar, Union

import numpy as np

from ..errors import ModelError
from ..reading import open_regular, read_all, why
from ..types import Quantization, TensorSpec
from . import kinds
from .flatbuffer import Table, root
from .labels import parse_labels
from .pins import blob_id, is_pinned

__all__ = ["ModelFile", "NetworkFile", "TYPES", "compiled_path", "is_compiled", "mapped", "read_model", "read_network",
           "twin_path"]

EDGETPU_OP = "edgetpu-custom-op"
# TensorType of the schema -> NumPy; other types are no input or output of an image classifier.
TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8",
           10: "float64"}
_METADATA_NAME = "TFLITE_METADATA"
_NORMALIZATION_OPTIONS = 1          # in the union ProcessUnitOptions
_AXIS_LABELS = 2                    # AssociatedFileType.TENSOR_AXIS_LABELS
_LABELS_LIMIT = 16 << 20            # bytes of an embedded label file, against zip bombs


Read = TypeVar("Read")


class ModelFile(NamedTuple):
    """One image classifier on disk."""

    path: Path
    input: TensorSpec                                   # (1, height, width, 3)
    output: TensorSpec                                  # (1, classes), squeezed if the file has (1, 1, 1, N)
    compiled: bool                                      # holds edgetpu-custom-op: runs only on an Edge TPU
    labels: Optional[Tuple[str, ...]]                   # from the metadata
    normalization: Optional[Tuple[Tuple[float, ...], Tuple[float, ...]]]    # (means, stds) from the metadata
    size: int                                           # bytes
    last: Optional[str] = None                          # the operator that gives the output its meaning
    content_id: str = ""                                # git's id of the whole file

    @property
    def features(self) -> Optional[str]:
        """Why this looks like features for other networks, where nobody names classes; None if it does not."""
        return kinds.features(self.output, self.last)


class NetworkFile(NamedTuple):
    """Any network on disk, whatever its inputs and outputs are; the engine tells them."""

    path: Path
    compiled: bool      # as of ModelFile


def twin_path(path: Path) -> Path:
    """The CPU twin of a compiled file: ``X_edgetpu.tflite`` -> ``X.tflite``.

    Also of one that was compiled together with others: ``X_cocompiled_with_Y_edgetpu.tflite`` -> ``X.tflite``.
    """
    stem = path.stem
    if stem.endswith("_edgetpu"):
        stem = stem[:-len("_edgetpu")].partition("_cocompiled_with_")[0] or stem
    return path.with_name(stem + path.suffix)


def compiled_path(path: Path) -> Path:
    """The compiled sibling of a plain file: ``X.tflite`` -> ``X_edgetpu.tflite``."""
    return path.with_name(path.stem + "_edgetpu" + path.suffix)


def read_model(path: Union[str, "os.PathLike[str]"]) -> ModelFile:
    """Read and check one model file.

    :raises ModelError: missing, empty, truncated, not a ``.tflite``, or not an image classifier
    """
    return mapped(Path(path), _parse)


def read_network(path: Union[str, "os.PathLike[str]"]) -> NetworkFile:
    """Read and check the file of any network, classifier or not.

    :raises ModelError: missing, empty, truncated, or not a ``.tflite``
    """
    return mapped(Path(path), _parse_network)


def is_compiled(content: bytes) -> bool:
    """Whether the content of a ``.tflite`` holds an operator of the Edge TPU; False for what is no ``.tflite``."""
    try:
        return content[4:8] == b"TFL3" and _is_compiled(root(content, b"TFL3"))
    except ModelError:
        return False


def mapped(path: Path, parse: Callable[[Any, Path, int], Read]) -> Read:
    """What *parse* makes of a file's content, its path and its size in bytes; every error names the file.

    :raises ModelError: missing, empty, unreadable, or what *parse* raises
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelError("the file is empty; copy or download it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                return parse(buffer, path, size)
    except ModelError as exc:
        raise ModelError("model %s: %s" % (path, exc)) from exc
    except FileNotFoundError as exc:
        raise ModelError("model %s: no such file" % path) from exc
    except OSError as exc:
        raise ModelError("model %s: %s" % (path, why(exc))) from exc
    except ValueError as exc:       # a name that cannot be one
        raise ModelError("model %s: cannot be read: %s" % (path, exc)) from exc


def _parse_network(buffer: Any, path: Path, size: int) -> NetworkFile:
    model, _, _ = _model_and_graph(buffer)
    return NetworkFile(path, _is_compiled(model))


def _model_and_graph(buffer: Any) -> Tuple[Table, Table, str]:
    """The model, its first graph, and git's id of the content."""
    if bytes(buffer[4:8]) != b"TFL3":
        raise ModelError("not a TFLite model (no TFL3 mark at byte 4); give a .tflite file")
    model = root(buffer, b"TFL3")
    content_id = blob_id(len(buffer), [buffer])
    if not is_pinned(content_id):   # a known file is sound, and to look through it takes ten times as long
        from . import structure

        structure.check(model, buffer)
    graphs = list(model.tables(2))
    if not graphs:
        raise ModelError("holds no graph; it is truncated or damaged")
    return model, graphs[0], content_id


def _is_compiled(model: Table) -> bool:
    return any(code.string(1) == EDGETPU_OP for code in model.tables(1))


def _parse(buffer: Any, path: Path, size: int) -> ModelFile:
    model, graph, content_id = _model_and_graph(buffer)
    tensors = list(graph.tables(0))
    inputs, outputs = (graph.numbers(number, "int32") for number in (1, 2))
    task = kinds.other_task(model, graph)
    if task is not None:
        raise ModelError("not an image classifier: it %s" % task)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError("not an image classifier: it has %d inputs and %d outputs, one of each is needed"
                         % (len(inputs), len(outputs)))
    if not 0 <= inputs[0] < len(tensors) or not 0 <= outputs[0] < len(tensors):
        raise ModelError("names a tensor that it does not hold; it is truncated or damaged")
    labels, normalization = _metadata(model, buffer, path)
    return ModelFile(
        path=path,
        input=_input_spec(_spec(tensors[inputs[0]], "input")),
        output=_output_spec(_spec(tensors[outputs[0]], "output")),
        compiled=_is_compiled(model),
        labels=labels,
        normalization=normalization,
        size=size,
        last=kinds.last_operator(model, graph),
        content_id=content_id,
    )


def _spec(tensor: Table, role: str) -> TensorSpec:
    kind = tensor.scalar(1, "int8")
    if kind not in TYPES:
        raise ModelError("the %s has TFLite type %d; an image classifier has uint8, int8 or float32" % (role, kind))
    quantization = tensor.table(4)
    scales = quantization.numbers(2, "float32") if quantization else ()
    zero_points = quantization.numbers(3, "int64") if quantization else ()
    if len(scales) > 1:
        raise ModelError("the %s is quantized per channel; an image classifier has one scale" % role)
    scale = float(scales[0]) if scales else 0.0
    zero_point = int(zero_points[0]) if zero_points else 0
    shape = tensor.numbers(0, "int32")
    dtype = np.dtype(TYPES[kind])
    if dtype not in (np.dtype("uint8"), np.dtype("int8"), np.dtype("float32")):
        raise ModelError("the %s is %s; uint8, int8 and float32 are supported" % (role, dtype))
    if not 0.0 <= scale < float("inf"):
        raise ModelError("the %s has the impossible quantization scale %g" % (role, scale))
    return TensorSpec(tuple(int(n) for n in shape), dtype, Quantization(scale, zero_point))


def _input_spec(spec: TensorSpec) -> TensorSpec:
    shape = spec.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or shape[1] < 1 or shape[2] < 1:
        raise ModelError("not an image classifier: the input has shape %s, (1, height, width, 3) is needed"
                         % (shape,))
    return spec


def _output_spec(spec: TensorSpec) -> TensorSpec:
    classes = [n for n in spec.shape if n != 1] or [1]
    if len(classes) != 1 or classes[0] < 1 or not spec.shape:
        raise ModelError("not a classifier: the output has shape %s, (1, classes) is needed" % (spec.shape,))
    return spec._replace(shape=(1, classes[0]))


def _metadata(
    model: Table, buffer: Any, path: Path
) -> Tuple[Optional[Tuple[str, ...]], Optional[Tuple[Tuple[float, ...], Tuple[float, ...]]]]:
    """Labels and normalization of the TFLite metadata.  Broken metadata is no reason to refuse a model."""
    try:
        for entry in model.tables(6):
            if entry.string(0) != _METADATA_NAME:
                continue
            start, length = list(model.tables(4))[entry.scalar(1, "uint32")].span(0)
            if start < 0:
                return None, None
            metadata = root(bytes(buffer[start:start + length]), b"M001")
            graphs = list(metadata.tables(3))
            if graphs:
                return _labels(graphs[0], path), _normalization(graphs[0])
    except (ModelError, IndexError):
        pass
    return None, None


def _normalization(graph: Table) -> Optional[Tuple[Tuple[float, ...], Tuple[float, ...]]]:
    for tensor in graph.tables(2):
        for unit in tensor.tables(4):
            options = unit.table(1)
            if unit.scalar(0, "uint8") == _NORMALIZATION_OPTIONS and options:
                means, stds = options.numbers(0, "float32"), options.numbers(1, "float32")
                if (len(means) in (1, 3) and len(stds) in (1, 3) and min(stds) > 0
                        and all(math.isfinite(number) for number in means + stds)):
                    return tuple(means), tuple(stds)
    return None


def _labels(graph: Table, path: Path) -> Optional[Tuple[str, ...]]:
    names: List[str] = []
    for tensor in graph.tables(3):
        # A file without a locale is the default one; it goes first.
        files = sorted(tensor.tables(6), key=lambda file: file.string(3) or "")
        names += [file.string(0) or "" for file in files if file.scalar(2, "int8") == _AXIS_LABELS]
    if not names:
        return None
    import zipfile  # only files with labels inside need it

    try:
        with zipfile.ZipFile(str(path)) as archive:
            for name in names:
                with archive.open(name) as file:        # what it says of its size need not be true
                    return parse_labels(read_all(file, _LABELS_LIMIT), source="%s in %s" % (name, path))
    except Exception:   # a damaged archive raises zipfile's, zlib's and struct's errors, EOFError and more
        pass
    return None
