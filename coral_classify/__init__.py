"""Classify pictures on Coral boards: EfficientNet-EdgeTPU and other quantized ``.tflite`` classifiers
on the Edge TPU, with a CPU fallback.

Importing this package imports no engine and opens no device; names load on first use (PEP 562).
"""
from __future__ import annotations

import importlib
from typing import Any, List

__version__ = "0.1.0"

# public name -> module that defines it
_NAMES = {
    "Classifier": "classifier",
    "list_devices": "devices",
    "AcceleratorRecord": "devices",
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
    "SessionClosed": "errors",
    "ZooError": "errors",
}

__all__ = ["__version__"] + list(_NAMES)


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError("module 'coral_classify' has no attribute %r" % name)
    value = getattr(importlib.import_module("." + module, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted(__all__)
