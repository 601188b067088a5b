"""What any ``.tflite`` holds: operators, and how many would run on an Edge TPU; parameters, MACs, on-chip memory, the
oldest runtime it needs, an estimated latency.  Reads the file; needs no engine.

Field and operator numbers are those of the public schema ``tensorflow/lite/schema/schema.fbs``; what the Edge TPU
compiler maps is from Coral's documentation "TensorFlow models on the Edge TPU".
"""
from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..errors import ModelError
from .flatbuffer import Table, root
from .latency import ON_CHIP_BYTES, TYPICAL_ERROR, Estimate, estimate
from .modelfile import EDGETPU_OP, mapped, twin_path
from .schema import CUSTOM, operator_name

__all__ = ["Report", "inspect"]

_MAPPED = {
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS", "FULLY_CONNECTED",
    "L2_NORMALIZATION", "LOGISTIC", "LSTM", "MAX_POOL_2D", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PRELU",
    "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SQUARED_DIFFERENCE", "SQUEEZE",
    "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
}
_QUANTIZED = {2, 3, 4, 9}       # TensorType: int32 (biases, indices), uint8, int64 (indices), int8
_ELEMENT_LIMIT = 1 << 40        # of a shape; a damaged file must not make numbers of a thousand digits


class Report(NamedTuple):
    """What a model file holds."""

    operators: Dict[str, int]               # how many of each, in the order of their first use
    on_edgetpu: Optional[int]               # how many of them would run there; None: the file is compiled already
    stops_at: Optional[str]                 # why not all do
    parameters: Optional[int]               # None: they are inside the compiled package
    parameter_bytes: int
    macs: Optional[int]                     # multiply-accumulates of an inference
    runtime: Optional[str]                  # oldest TFLite runtime, from the metadata
    edgetpu_runtime: Optional[int]          # oldest Edge TPU runtime, from the compiled package
    latency: Optional[Estimate]

    def to_dict(self) -> Dict[str, Any]:
        return dict(self._asdict(), latency=self.latency._asdict() if self.latency else None)

    def described(self) -> Dict[str, str]:
        """Short texts for people."""
        total = sum(self.operators.values())
        said = {"operators": "%d: %s" % (total, ", ".join("%d %s" % (n, name) for name, n in self.operators.items()))}
        if self.on_edgetpu is None:
            said["on Edge TPU"] = "compiled: %d package, %d operators left to the CPU" % (
                self.operators.get(EDGETPU_OP, 0), total - self.operators.get(EDGETPU_OP, 0))
        else:
            said["on Edge TPU"] = "%d of %d operators would run there%s" % (
                self.on_edgetpu, total, "; " + self.stops_at if self.stops_at else "")
        if self.parameters is not None:
            said["parameters"] = "%.2f million" % (self.parameters / 1e6)
        said["memory"] = "%.2f MB of parameters; the chip has about %.0f MB" % (
            self.parameter_bytes / 1e6, ON_CHIP_BYTES / 1e6)
        if self.macs is not None:
            said["MACs"] = "%.0f million" % (self.macs / 1e6)
        if self.runtime:
            said["TFLite runtime"] = "%s or newer" % self.runtime
        if self.edgetpu_runtime is not None:
            said["Edge TPU runtime"] = "%d or newer" % self.edgetpu_runtime
        if self.latency:
            said["estimate"] = (
                "about %.1f ms on a USB Accelerator (half of such estimates are within %.0f %%; at worst %.1f to %.1f)"
                % (self.latency.ms, 100 * TYPICAL_ERROR, self.latency.low, self.latency.high))
        return said


class _Tensor(NamedTuple):
    shape: Tuple[int, ...]
    kind: int           # TensorType
    size: int           # bytes of constant data; 0 for what is computed
    dynamic: bool

    @property
    def elements(self) -> int:
        product = 1
        for n in self.shape:
            product = min(product * max(0, n), _ELEMENT_LIMIT)
        return product


def inspect(path: Union[str, "os.PathLike[str]"]) -> Report:
    """Read one model file, of whatever task.

    :raises ModelError: missing, empty, damaged, or not a ``.tflite``
    """
    path = Path(path)
    report = mapped(path, lambda buffer, *_: _parse(buffer))
    twin = twin_path(path)
    if report.macs is None and twin != path and twin.is_file():
        # What the compiler hid inside its package is plain to see in the file that it compiled.
        plain = inspect(twin)
        report = report._replace(parameters=plain.parameters, parameter_bytes=plain.parameter_bytes, macs=plain.macs,
                                 latency=plain.latency)
    return report


def _parse(buffer: Any) -> Report:
    if bytes(buffer[4:8]) != b"TFL3":
        raise ModelError("not a TFLite model (no TFL3 mark at byte 4); give a .tflite file")
    model = root(buffer, b"TFL3")
    codes = [_operator_name(code) for code in model.tables(1)]
    graphs = list(model.tables(2))
    if not graphs:
        raise ModelError("holds no graph; it is truncated or damaged")
    buffers = list(model.tables(4))
    tensors = [_tensor(table, buffers) for table in graphs[0].tables(0)]
    steps = []
    for operator in graphs[0].tables(3):
        code = operator.scalar(0, "uint32")
        if code >= len(codes):
            raise ModelError("names an operator that it does not hold; it is truncated or damaged")
        inputs, outputs = (_known(operator.numbers(number, "int32"), tensors) for number in (1, 2))
        steps.append((codes[code], inputs, outputs))
    compiled = EDGETPU_OP in codes
    package_size, edgetpu_runtime = _package(graphs[0], codes, buffer) if compiled else (0, None)
    constants = [tensor for tensor in tensors if tensor.size]
    parameters = sum(tensor.elements for tensor in constants)
    size = package_size if compiled else sum(tensor.size for tensor in constants)
    macs = sum(_macs(*step) for step in steps)
    mapped, stop = (None, None) if compiled else _mapped(steps)
    whole = mapped is not None and mapped >= 0.9 * len(steps) and steps
    return Report(
        operators=dict(Counter(name for name, _, _ in steps)), on_edgetpu=mapped, stops_at=stop,
        parameters=None if compiled else parameters, parameter_bytes=size, macs=None if compiled else macs,
        runtime=_runtime(model, buffers, buffer), edgetpu_runtime=edgetpu_runtime,
        latency=estimate(macs, size) if whole else None)


def _operator_name(code: Table) -> str:
    # Newer files keep the number in another field, where it may be larger than 127.
    number = max(code.scalar(0, "int8"), code.scalar(3, "int32"))
    if number == CUSTOM:
        return code.string(1) or "custom"
    return operator_name(number)


def _tensor(table: Table, buffers: List[Table]) -> _Tensor:
    place = table.scalar(2, "uint32")
    size = buffers[place].span(0)[1] if place < len(buffers) else 0
    signature = table.numbers(7, "int32")
    shape = table.numbers(0, "int32")
    return _Tensor(shape, table.scalar(1, "int8"), size, any(n < 0 for n in signature + shape))


def _known(numbers: Tuple[int, ...], tensors: List[_Tensor]) -> List[_Tensor]:
    """The tensors of these numbers; -1 stands for one that is left out."""
    if any(n >= len(tensors) for n in numbers):
        raise ModelError("names a tensor that it does not hold; it is truncated or damaged")
    return [tensors[n] for n in numbers if n >= 0]


def _macs(name: str, inputs: List[_Tensor], outputs: List[_Tensor]) -> int:
    if len(inputs) < 2 or not outputs:
        return 0
    weights, output = inputs[1], outputs[0]
    if name == "CONV_2D" and len(weights.shape) == 4:           # (out, height, width, in)
        return output.elements * weights.elements // max(1, weights.shape[0])
    if name == "DEPTHWISE_CONV_2D" and len(weights.shape) == 4:     # (1, height, width, out)
        return output.elements * weights.shape[1] * weights.shape[2]
    if name == "FULLY_CONNECTED":
        return weights.elements * max(1, output.elements // max(1, weights.shape[0] if weights.shape else 1))
    if name == "TRANSPOSE_CONV" and len(inputs) > 2:            # output shape, weights, input
        return inputs[2].elements * weights.elements // max(1, weights.shape[-1] if weights.shape else 1)
    return 0


def _mapped(steps: "List[Tuple[str, List[_Tensor], List[_Tensor]]]") -> Tuple[int, Optional[str]]:
    """How many operators run on the Edge TPU: those before the first that cannot.  The compiler makes one package."""
    for number, (name, inputs, outputs) in enumerate(steps):
        wrong = None
        if name not in _MAPPED:
            wrong = "the compiler does not map it"
        elif any(tensor.kind not in _QUANTIZED for tensor in inputs + outputs):
            wrong = "it is not quantized to 8 bits"
        elif any(tensor.dynamic for tensor in inputs + outputs):
            wrong = "its size is not fixed"
        if wrong:
            return number, "%s (number %d) and what follows run on the CPU: %s" % (name, number + 1, wrong)
    return len(steps), None


def _package(graph: Table, codes: List[str], buffer: Any) -> Tuple[int, Optional[int]]:
    """Size of the compiled package, and the oldest Edge TPU runtime that takes it.

    The package is a FlatBuffer with the mark "DWN1" whose first field is that number: ``executable.fbs`` of libedgetpu.
    """
    for operator in graph.tables(3):
        code = operator.scalar(0, "uint32")
        if code < len(codes) and codes[code] == EDGETPU_OP:
            start, length = operator.span(5)
            if start < 0:
                return 0, None
            content = bytes(buffer[start:start + length])
            mark = content.find(b"DWN1")
            if mark < 4:
                return length, None
            try:
                return length, int(root(content[mark - 4:], b"DWN1").scalar(0, "int32"))
            except ModelError:
                return length, None
    return 0, None


def _runtime(model: Table, buffers: List[Table], buffer: Any) -> Optional[str]:
    for entry in model.tables(6):
        place = entry.scalar(1, "uint32")
        if entry.string(0) == "min_runtime_version" and place < len(buffers):
            start, length = buffers[place].span(0)
            return bytes(buffer[start:start + min(length, 64)]).decode("ascii", "replace").strip("\0 ") or None
    return None
