"""``edgetpu.basic.basic_engine``: the engine of the API before PyCoral, over an ``Interpreter``."""
from __future__ import annotations

import operator
import time
from typing import Any, Optional, Tuple

import numpy as np

from .edgetpu_utils import list_edge_tpus, make_interpreter, run_inference

__all__ = ["BasicEngine"]


class BasicEngine:
    """One model; flat arrays in, flat real numbers out.

    :param model_path: compiled for the Edge TPU or not
    :param device_path: as ``edgetpu.basic.edgetpu_utils.ListEdgeTpuPaths`` gives it
    :raises RuntimeError: if model or device cannot be opened
    """

    def __init__(self, model_path: str, device_path: Optional[str] = None) -> None:
        self._model_path = model_path
        self._device_path = device_path or ""
        try:
            self._interpreter = make_interpreter(model_path, device=_device(device_path))
            self._interpreter.allocate_tensors()
        except (OSError, ValueError) as exc:
            raise RuntimeError(str(exc)) from exc
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()
        self._raw = np.zeros(self.total_output_array_size(), np.float32)
        self._ms = -1.0

    def run_inference(self, input: Any, size: Optional[int] = None) -> Tuple[float, "np.ndarray[Any, Any]"]:
        """Run once.

        :param input: bytes, a flat uint8 array, (``ctypes.c_void_p``, size) or a ``Gst.Buffer``
        :param size: how much of it to take; None: all
        :returns: milliseconds, and all outputs as real numbers one after the other: (n,) float32
        """
        if size is not None and not isinstance(input, tuple):
            input = input[:operator.index(size)]
        if isinstance(input, np.ndarray):
            input = np.ascontiguousarray(input)
        started = time.perf_counter()
        run_inference(self._interpreter, input)
        self._ms = (time.perf_counter() - started) * 1000.0
        self._raw = np.concatenate([self._real(one) for one in self._outputs])
        return self._ms, self._raw

    def _real(self, details: Any) -> "np.ndarray[Any, Any]":
        raw = self._interpreter.get_tensor(details["index"]).ravel()
        scale, zero_point = details["quantization"]
        if scale and np.issubdtype(raw.dtype, np.integer):
            raw = scale * (raw.astype(np.float32) - zero_point)
        real: "np.ndarray[Any, Any]" = raw.astype(np.float32)
        return real

    def get_input_tensor_shape(self) -> "np.ndarray[Any, Any]":
        return np.array(self._input["shape"], np.int32)

    def get_all_output_tensors_sizes(self) -> "np.ndarray[Any, Any]":
        return np.array([int(np.prod(one["shape"])) for one in self._outputs], np.int64)

    def get_num_of_output_tensors(self) -> int:
        return len(self._outputs)

    def get_output_tensor_size(self, index: int) -> int:
        return int(self.get_all_output_tensors_sizes()[index])

    def total_output_array_size(self) -> int:
        return int(self.get_all_output_tensors_sizes().sum())

    def required_input_array_size(self) -> int:
        return int(np.prod(self._input["shape"]))

    def get_inference_time(self) -> float:
        """Of the latest inference, in milliseconds; -1 before the first."""
        return self._ms

    def get_raw_output(self) -> "np.ndarray[Any, Any]":
        return self._raw

    def model_path(self) -> str:
        return self._model_path

    def device_path(self) -> str:
        """The path of the accelerator; of the one in use, where none was asked for."""
        if self._device_path:
            return self._device_path
        for record, name in _named():
            if name == self._interpreter.device:
                return str(record["path"])
        return ""

    RunInference = run_inference


def _named() -> "list[Tuple[Any, str]]":
    """The accelerators, each with its name in the grammar of devices."""
    seen = {"usb": 0, "pci": 0}
    named = []
    for record in list_edge_tpus():
        named.append((record, "%s:%d" % (record["type"], seen[record["type"]])))
        seen[record["type"]] += 1
    return named


def _device(path: Optional[str]) -> Optional[str]:
    """The name of the accelerator with this path.

    :raises ValueError: if there is none
    """
    if not path:
        return None
    for record, name in _named():
        if record["path"] == path:
            return name
    raise ValueError("Path %s does not map to an Edge TPU device." % path)


