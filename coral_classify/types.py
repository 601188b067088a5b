"""The immutable records that cross borders, and the one border that matters: :class:`Session`.

Knows NumPy, and nothing of files, pictures, engines or devices.
"""
from __future__ import annotations

import abc
import os
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import SessionClosed, UsageError

__all__ = ["Quantization", "TensorSpec", "Prediction", "Preprocessing", "Result", "Answer", "Wanted", "Ready",
           "Inferred", "Session", "filled"]


class Quantization(NamedTuple):
    """``real = scale * (stored - zero_point)``; a scale of 0 means "not quantized"."""

    scale: float
    zero_point: int


class TensorSpec(NamedTuple):
    """What a model expects, or gives, at one tensor."""

    shape: Tuple[int, ...]      # batch first; of a classifier: (1, height, width, 3) or (1, classes)
    dtype: "np.dtype[Any]"      # of a classifier: uint8, int8 or float32
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
    frame_age_ms: Optional[float] = None    # of a camera's picture, when it was answered
    changed: Optional[bool] = None          # of a camera: from here on the answer is another one
    skipped: Optional[int] = None           # of a camera: its pictures since the one before that nobody looked at
    frame: Any = None                       # of a camera, if asked for: (height, width, 3) uint8, or a path

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
        if self.frame_age_ms is not None:
            record["frame_age_ms"] = round(self.frame_age_ms, 3)
            record["changed"] = self.changed
            record["skipped"] = self.skipped
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

    A session has any number of inputs and outputs, of any shape and dtype; a classifier is the case of one and one.
    A subclass calls ``super().__init__`` with its specs and implements ``_run`` (one and one) or ``_run_all`` (any),
    and ``_close``.  All methods may be called from any thread; calls are serialised.
    """

    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    input: TensorSpec       # the first
    output: TensorSpec

    def __init__(
        self,
        inputs: Union[TensorSpec, Sequence[TensorSpec]],
        outputs: Union[TensorSpec, Sequence[TensorSpec]],
        *,
        device: str,
    ) -> None:
        """
        :param inputs, outputs: a spec, or several in the order in which the model declares them
        :raises ValueError: without any
        """
        if type(self)._run is Session._run and type(self)._run_all is Session._run_all:
            raise TypeError("%s implements neither _run nor _run_all" % type(self).__name__)
        self.inputs = (inputs,) if isinstance(inputs, TensorSpec) else tuple(inputs)
        self.outputs = (outputs,) if isinstance(outputs, TensorSpec) else tuple(outputs)
        if not self.inputs or not self.outputs:
            raise ValueError("a session has at least one input and one output, got %d and %d"
                             % (len(self.inputs), len(self.outputs)))
        self.input = self.inputs[0]
        self.output = self.outputs[0]
        self.device = device
        self._lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()

    def run(self, tensor: "np.ndarray[Any, Any]",
            then: "Optional[np.ndarray[Any, Any]]" = None) -> "np.ndarray[Any, Any]":
        """Run a model of one input and one output once.

        :param tensor: shape and dtype of ``input``
        :param then: the tensor of the next ``run``, if that is known already: a session in another process need not
            wait for it then.  Its content must not change before its own ``run``; it may be left out in the end.
        :returns: raw output in shape and dtype of ``output``, (1, classes) of a classifier; a copy that stays valid
        :raises ValueError: if shape or dtype differ from ``input``, or the model has several inputs or outputs
        :raises SessionClosed: after ``close()``, or in a process forked from the session's own
        """
        if tensor.shape != self.input.shape or tensor.dtype != self.input.dtype:
            raise ValueError(
                "the model takes %s %s, got %s %s"
                % (self.input.dtype, self.input.shape, tensor.dtype, tensor.shape)
            )
        if len(self.inputs) + len(self.outputs) != 2:
            raise ValueError("the model has %d inputs and %d outputs; use run_all"
                             % (len(self.inputs), len(self.outputs)))
        # A lock that another thread held during fork() stays locked in the child: look first.
        self._check_process()
        with self._lock:
            if self._closed:
                raise SessionClosed("this session is closed; make a new Classifier")
            return self._run(tensor) if then is None else self._run_before(tensor, then)

    def run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]" = None,
        *,
        into: "Optional[Sequence[np.ndarray[Any, Any]]]" = None,
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        """Run once, whatever the model takes and gives.

        :param tensors: one for each of ``inputs``, in their order
        :param then: the tensors of the next call, if they are known already; see :meth:`run`
        :param into: arrays for each of ``outputs`` to be filled, so that views of them show the latest answer;
            those of :meth:`output_sets` are filled without a copy.  After an error their content is anybody's guess.
        :returns: one array for each of ``outputs``: *into*, or copies that stay valid
        :raises ValueError: if number, shape or dtype differ from ``inputs`` or ``outputs``
        :raises SessionClosed: as :meth:`run`
        """
        tensors = _fitting(tensors, self.inputs, "takes", "input")
        if then is not None:
            then = _fitting(then, self.inputs, "takes", "input")
        if into is not None:
            into = _fitting(into, self.outputs, "gives", "output")
        self._check_process()
        with self._lock:
            if self._closed:
                raise SessionClosed("this session is closed; make a new one")
            return self._run_all(tensors, then, into)

    def call(self, verb: str, **plain: Any) -> Any:
        """Ask for what this kind of session offers beyond its tensors.

        Such a call asks and does not change: a session in another process may be opened anew at any time, and would
        not know of it.

        :param verb: what is asked; see the session's own description
        :param plain: its arguments, of types that JSON knows; and so is the answer
        :raises UsageError: if there is no such thing here
        :raises SessionClosed: as :meth:`run`
        """
        self._check_process()
        with self._lock:
            if self._closed:
                raise SessionClosed("this session is closed; make a new one")
            return self._call(verb, plain)

    def input_tensors(self, count: int) -> "List[np.ndarray[Any, Any]]":
        """Tensors to be filled for :meth:`run`, in memory from which this session takes them without a copy.

        They go when nobody holds them any more, and not with the session.

        :raises ValueError: if the model has several inputs: see :meth:`input_sets`
        """
        if len(self.inputs) != 1:
            raise ValueError("the model has %d inputs; use input_sets" % len(self.inputs))
        return [tensor for (tensor,) in self.input_sets(count)]

    def input_sets(self, count: int) -> "List[Tuple[np.ndarray[Any, Any], ...]]":
        """Sets of tensors, one for each of ``inputs``, to be filled for :meth:`run_all`; as :meth:`input_tensors`."""
        return [tuple(np.zeros(spec.shape, spec.dtype) for spec in self.inputs) for _ in range(count)]

    def output_sets(self, count: int) -> "List[Tuple[np.ndarray[Any, Any], ...]]":
        """Sets of tensors, one for each of ``outputs``, that :meth:`run_all` fills without a copy."""
        return [tuple(np.zeros(spec.shape, spec.dtype) for spec in self.outputs) for _ in range(count)]

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
    def reason(self) -> Optional[str]:
        """Why it is not the wanted device that would answer now; None if it is."""
        return None

    @property
    def closed(self) -> bool:
        return self._closed

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise SessionClosed(
                "this session belongs to process %d and cannot be used after a fork (process %d); "
                "make the Classifier in the process that uses it" % (self._pid, os.getpid())
            )

    # ---- for subclasses: all under the lock, with checked tensors

    def _run(self, tensor: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """The work of :meth:`run`."""
        return self._run_all((tensor,), None, None)[0]

    def _run_before(self, tensor: "np.ndarray[Any, Any]", then: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """``_run``, where it helps to know the next tensor."""
        return self._run(tensor)

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        """The work of :meth:`run_all`; with *into*, see :func:`filled`."""
        return filled(into, (self._run(tensors[0]),))

    def _call(self, verb: str, plain: Dict[str, Any]) -> Any:
        """The work of :meth:`call`."""
        raise UsageError("a %s offers nothing named %r" % (type(self).__name__, verb))

    @abc.abstractmethod
    def _close(self) -> None:
        """The work of :meth:`close`, called once."""

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def filled(
    into: "Optional[Sequence[np.ndarray[Any, Any]]]", outputs: "Sequence[np.ndarray[Any, Any]]"
) -> "Tuple[np.ndarray[Any, Any], ...]":
    """*into* with the content of *outputs*; the outputs themselves without it."""
    if into is None:
        return tuple(outputs)
    for place, output in zip(into, outputs):
        place[...] = output
    return tuple(into)


def _fitting(
    tensors: "Sequence[np.ndarray[Any, Any]]", specs: Sequence[TensorSpec], does: str, what: str
) -> "Tuple[np.ndarray[Any, Any], ...]":
    """:raises ValueError: if they are not what the model takes or gives"""
    tensors = tuple(tensors)
    if len(tensors) != len(specs):
        raise ValueError("the model %s %d tensors, got %d" % (does, len(specs), len(tensors)))
    for number, (tensor, spec) in enumerate(zip(tensors, specs)):
        if tensor.shape != spec.shape or tensor.dtype != spec.dtype:
            raise ValueError("the model %s %s %s at %s %d, got %s %s" % (
                does, spec.dtype, spec.shape, what, number, tensor.dtype, tensor.shape))
    return tensors
