"""The immutable records that cross borders, and the one border that matters: :class:`Session`.

Knows NumPy, and nothing of files, pictures, engines or devices.
"""
from __future__ import annotations

import abc
import os
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import SessionClosed

__all__ = ["Quantization", "TensorSpec", "Prediction", "Preprocessing", "Result", "Answer", "Wanted", "Ready",
           "Inferred", "Session"]


class Quantization(NamedTuple):
    """``real = scale * (stored - zero_point)``; a scale of 0 means "not quantized"."""

    scale: float
    zero_point: int


class TensorSpec(NamedTuple):
    """What a model expects, or gives, at one tensor."""

    shape: Tuple[int, ...]      # batch first: (1, height, width, 3) or (1, classes)
    dtype: "np.dtype[Any]"      # uint8, int8 or float32
    quantization: Quantization


class Prediction(NamedTuple):
    """One class that the model considers."""

    class_id: int
    label: str
    score: float        # real value of the output: a probability where the model ends in softmax


class Preprocessing(NamedTuple):
    """What was done to one picture on its way into the model."""

    source_size: Tuple[int, int]            # (width, height) as stored, before EXIF
    decoded_size: Tuple[int, int]           # (width, height) after scaled decoding
    orientation: str                        # what EXIF asked for: "none", "rotated 90", …
    region: Optional[Tuple[int, int, int, int]]  # x, y, w, h in upright source pixels
    fit: str                                # "squash", "crop", "pad"
    input_size: Tuple[int, int]             # (width, height) of the model
    mean: Union[float, Tuple[float, ...]]   # one number, or one per channel
    std: Union[float, Tuple[float, ...]]
    normalization_from: str                 # "caller", "passport …", "metadata", …
    saturated: float                        # share of stored values clipped by the quantization


class Result(NamedTuple):
    """The answer for one picture."""

    image: str
    model: str
    device: str                 # "cpu", "usb:0", "pci:0"
    device_reason: str          # why this device
    predictions: Tuple[Prediction, ...]     # best first
    preprocess_ms: float
    inference_ms: float
    error: Optional[str] = None             # message, if this picture could not be classified
    recovered: bool = False                 # True if a driver fault was survived on the way
    sure: Optional[bool] = None             # False: below the model's own "sure" threshold; None: it has none
    preprocessing: Optional[Preprocessing] = None

    def to_dict(self) -> Dict[str, Any]:
        """Plain types for JSON, in a stable order."""
        record: Dict[str, Any] = {
            "image": self.image,
            "model": self.model,
            "device": self.device,
            "device_reason": self.device_reason,
            "predictions": [p._asdict() for p in self.predictions],
            "preprocess_ms": round(self.preprocess_ms, 3),
            "inference_ms": round(self.inference_ms, 3),
            "error": self.error,
        }
        if self.recovered:
            record["recovered"] = True
        if self.sure is not None:
            record["sure"] = self.sure
        return record


class Answer(NamedTuple):
    """Who answered one ``run``, and what happened on the way."""

    device: str             # "usb:0", "cpu"
    recovered: bool         # a fault was survived since the answer before
    reason: Optional[str]   # why it was not the wanted device; None if it was


class Wanted(NamedTuple):
    """What is wanted of each picture; see :meth:`coral_classify.Classifier.classify`."""

    top_k: int                      # not more than the model has classes
    threshold: Optional[float]
    among: Optional[List[int]]      # the ids of the classes to consider, ascending; None: all
    region: Optional[Sequence[float]]
    rotate: int


class Ready(NamedTuple):
    """A picture on its way to the device."""

    tensor: "np.ndarray[Any, Any]"      # shape and dtype of the model's input
    preprocess_ms: float
    preprocessing: Preprocessing


class Inferred(NamedTuple):
    """What the device gave for it."""

    output: "np.ndarray[Any, Any]"      # (1, classes) raw
    answer: Answer
    inference_ms: float                 # other views included
    sure: Optional[bool] = None         # whether the best of all classes is to be relied on; None: not measured


class Session(abc.ABC):
    """One loaded model, ready on one device.  The CPU, the Edge TPU, the supervised child and the
    fake of :mod:`coral_classify.testing` all pass one contract test.

    A subclass calls ``super().__init__`` with its specs and implements ``_run`` and ``_close``.
    ``run`` may be called from any thread; calls are serialised.
    """

    def __init__(self, input: TensorSpec, output: TensorSpec, *, device: str) -> None:
        self.input = input
        self.output = output
        self.device = device
        self._lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()

    def run(self, tensor: "np.ndarray[Any, Any]",
            then: "Optional[np.ndarray[Any, Any]]" = None) -> "np.ndarray[Any, Any]":
        """Run once.

        :param tensor: shape and dtype of ``input``
        :param then: the tensor of the next ``run``, if that is known already: a session in another process need not
            wait for it then.  Its content must not change before its own ``run``; it may be left out in the end.
        :returns: (1, classes) raw output in the dtype of ``output``; a copy that stays valid
        :raises ValueError: if shape or dtype differ from ``input``
        :raises SessionClosed: after ``close()``, or in a process forked from the session's own
        """
        if tensor.shape != self.input.shape or tensor.dtype != self.input.dtype:
            raise ValueError(
                "the model takes %s %s, got %s %s"
                % (self.input.dtype, self.input.shape, tensor.dtype, tensor.shape)
            )
        # A lock that another thread held during fork() stays locked in the child: look first.
        self._check_process()
        with self._lock:
            if self._closed:
                raise SessionClosed("this session is closed; make a new Classifier")
            return self._run(tensor) if then is None else self._run_before(tensor, then)

    def input_tensors(self, count: int) -> "List[np.ndarray[Any, Any]]":
        """Tensors to be filled for ``run``, in memory from which this session takes them without a copy.

        They go when nobody holds them any more, and not with the session.
        """
        return [np.zeros(self.input.shape, self.input.dtype) for _ in range(count)]

    def close(self) -> None:
        """Release the model and the device.  May be called twice; waits for a run in progress."""
        if os.getpid() != self._pid:    # the parent owns the device
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self._close()

    @property
    def answer(self) -> Answer:
        """Who answered the latest ``run`` of this thread."""
        return Answer(self.device, False, None)

    @property
    def closed(self) -> bool:
        return self._closed

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise SessionClosed(
                "this session belongs to process %d and cannot be used after a fork (process %d); "
                "make the Classifier in the process that uses it" % (self._pid, os.getpid())
            )

    @abc.abstractmethod
    def _run(self, tensor: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """The work of :meth:`run`, under the lock, with a checked tensor."""

    def _run_before(self, tensor: "np.ndarray[Any, Any]", then: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """``_run``, where it helps to know the next tensor."""
        return self._run(tensor)

    @abc.abstractmethod
    def _close(self) -> None:
        """The work of :meth:`close`, called once, under the lock."""

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
