"""Classify pictures on Coral boards: EfficientNet-EdgeTPU and other quantized ``.tflite`` classifiers
on the Edge TPU, with a CPU fallback.

Importing this package imports no engine and opens no device; names load on first use (PEP 562).
"""
from __future__ import annotations

from .doors import on_first_use

TYPE_CHECKING = False       # as checkers know it; typing itself would delay the moment from which Ctrl-C is one line
if TYPE_CHECKING:
    from typing import List

__version__ = "0.1.0"

# public name -> module that defines it
_NAMES = {
    "Classifier": "classifier",
    "list_devices": "edgetpu",
    "AcceleratorRecord": "edgetpu",
    "Pool": "pool",
    "Result": "types",
    "Prediction": "types",
    "Preprocessing": "types",
    "Session": "types",
    "TensorSpec": "types",
    "Quantization": "types",
    "CoralClassifyError": "errors",
    "UsageError": "errors",
    "ModelError": "errors",
    "LabelsError": "errors",
    "ImageError": "errors",
    "EngineError": "errors",
    "EngineNotFound": "errors",
    "DeviceError": "errors",
    "DeviceLost": "errors",
    "DeadlineExceeded": "errors",
    "CameraError": "errors",
    "ExtraNotFound": "errors",
    "SessionClosed": "errors",
    "ZooError": "errors",
}

__all__ = ["__version__"] + list(_NAMES)


__getattr__ = on_first_use(__name__, _NAMES)


def __dir__() -> List[str]:
    return sorted(__all__)
