"""The tree of errors.  Everything this package raises on purpose hangs on one root.

::

    CoralClassifyError
    ├── UsageError          an argument that cannot be meant (also a ValueError)
    ├── ModelError          the model file is missing, broken or not a classifier
    ├── LabelsError         the label file is missing, broken or does not fit the model
    ├── ImageError          one input is not a picture that can be read
    ├── EngineError         the TFLite runtime failed
    │   └── EngineNotFound  no TFLite runtime that works here
    ├── DeviceError         the Edge TPU is absent, refused, or cannot run this model
    │   ├── DeviceLost      it was there, and went away or crashed
    │   └── DeadlineExceeded  it did not answer in time
    ├── CameraError         a camera is absent, does not open, or went away
    ├── SessionClosed       used after close(), or in a forked child
    └── ZooError            a named model is unknown, or could not be brought here

A message says what failed, with which value, then the next step.
"""
from __future__ import annotations

__all__ = [
    "CoralClassifyError", "UsageError", "ModelError", "LabelsError", "ImageError", "EngineError",
    "EngineNotFound", "DeviceError", "DeviceLost", "DeadlineExceeded", "CameraError", "ExtraNotFound",
    "SessionClosed", "ZooError",
]


class CoralClassifyError(Exception):
    """Root of all errors of this package."""


class UsageError(CoralClassifyError, ValueError):
    """An argument is outside what is allowed."""


class ModelError(CoralClassifyError):
    """The model file is missing, broken, or not an image classifier."""


class LabelsError(CoralClassifyError):
    """The label file is missing, broken, or does not fit the model."""


class ImageError(CoralClassifyError):
    """This input is not a picture that can be read."""


class EngineError(CoralClassifyError):
    """The TFLite runtime failed."""


class EngineNotFound(EngineError):
    """No TFLite runtime that works on this Python."""


class DeviceError(CoralClassifyError):
    """The Edge TPU is absent, refused, or cannot run this model.

    ``cause`` is a short code (see :mod:`coral_classify.edgetpu.driver`), ``evidence`` the facts behind it.
    """

    def __init__(self, message: str, *, cause: str = "unknown", evidence: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.evidence = evidence


class DeviceLost(DeviceError):
    """The device, or the process that held it, went away during work."""


class DeadlineExceeded(DeviceError):
    """The device did not answer within its deadline."""


class CameraError(CoralClassifyError):
    """A camera, or another source of moving pictures, is absent, does not open, or went away."""


class ExtraNotFound(CoralClassifyError, ImportError):
    """What was asked for needs an extra of the package that is not installed here; the message says which."""


class SessionClosed(CoralClassifyError):
    """A session was used after ``close()`` or in a forked child process."""


class ZooError(CoralClassifyError):
    """A named model is unknown, or could not be downloaded or verified."""
