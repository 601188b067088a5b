"""What the worker process opens for :class:`coral_classify.compat.remote.RemoteHost`: a runtime's interpreter, whole.

Verbs beyond the tensors: "layout", "details", "tensor".  The last output is not the model's: a number drawn when the
interpreter was opened, so that the parent sees which life answered.
"""
from __future__ import annotations

import base64
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .. import edgetpu
from ..engine import open_interpreter
from ..errors import EngineError, ModelError, UsageError
from ..types import Quantization, Session, TensorSpec, filled
from .details import Details, alike, layout_of, mirrored, to_plain

__all__ = ["HousedInterpreter", "open_housed"]

_MOST_BYTES = 8 << 20       # of a tensor that travels in a frame


def open_housed(description: Dict[str, Any]) -> "HousedInterpreter":
    """:param description: model, device, threads, options, shapes; see :mod:`coral_classify.compat.remote`"""
    edgetpu.talk()      # what the driver says while it opens reaches the parent
    delegate = None
    if description["device"] != "cpu":
        delegate = edgetpu.open_delegate(description["device"], edgetpu.Options(**description["options"]))
    return HousedInterpreter(description, delegate)


class HousedInterpreter(Session):
    """A session over every tensor of a model.

    :raises EngineError: if the runtime refuses the model
    :raises ModelError: for one with tensors of text
    """

    def __init__(self, description: Dict[str, Any], delegate: Optional[edgetpu.Delegate]) -> None:
        self._model = description["model"]
        self._delegate = delegate
        self._interpreter: Any = None
        self._life = np.array([1 + int.from_bytes(os.urandom(7), "big")], np.int64)
        try:
            self._interpreter = open_interpreter(
                model_path=self._model, num_threads=description["threads"],
                experimental_delegates=[delegate] if delegate else None)
            for number, shape in description["shapes"].items():
                place = self._interpreter.get_input_details()[int(number)]["index"]
                self._interpreter.resize_tensor_input(place, shape)
            self._interpreter.allocate_tensors()
            layout = layout_of(self._interpreter)
        except (RuntimeError, ValueError) as exc:
            self._release()
            raise EngineError(str(exc) or type(exc).__name__) from None
        if not all(mirrored(one) for one in layout.inputs + layout.outputs):
            self._release()
            raise ModelError("model %s: has tensors of text, which no worker process can share" % self._model)
        self._layout = layout
        life = TensorSpec((1,), np.dtype(np.int64), Quantization(0.0, 0))
        super().__init__([_spec(one) for one in layout.inputs], [_spec(one) for one in layout.outputs] + [life],
                         device=delegate.device if delegate else "cpu")
        if delegate:
            edgetpu.close_at_exit(self)

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        try:
            for one, tensor in zip(self._layout.inputs, tensors):
                self._interpreter.set_tensor(one["index"], tensor)
            self._interpreter.invoke()
            outputs = [self._interpreter.tensor(one["index"])() for one in self._layout.outputs]
        except (RuntimeError, ValueError) as exc:
            raise EngineError(str(exc)) from exc
        for one, output in zip(self._layout.outputs, outputs):
            if output.shape != tuple(one["shape"]):     # no fault of the device's: it is told in an orderly way
                raise UsageError("output %r has the shape %s now, and had %s; outputs that change their shape cannot "
                                 "be shared with a worker process" % (one["name"], output.shape, tuple(one["shape"])))
        if into is None:
            return tuple(np.array(output) for output in outputs) + (self._life.copy(),)
        return filled(into, [*outputs, self._life])

    def _call(self, verb: str, plain: Dict[str, Any]) -> Any:
        if verb == "layout":
            return {"inputs": _plain(self._layout.inputs), "outputs": _plain(self._layout.outputs),
                    "signatures": self._layout.signatures, "stateful": self._stateful()}
        more = (plain["subgraph"],) if plain.get("subgraph") else ()
        try:
            if verb == "details":
                return _plain([alike(one) for one in self._interpreter.get_tensor_details(*more)])
            if verb == "tensor":
                return self._tensor(plain["index"], more, plain["life"])
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        return super()._call(verb, plain)

    def _tensor(self, index: int, more: Tuple[int, ...], life: int) -> Dict[str, Any]:
        if life not in (0, int(self._life[0])):
            raise EngineError("what the latest inference left inside the model was lost with the process that held it; "
                              "call invoke() again before tensor %d is read" % index)
        array = np.asarray(self._interpreter.get_tensor(index, *more))
        if array.dtype.kind not in "biufc" or array.nbytes > _MOST_BYTES:
            raise UsageError("tensor %d (%s %s) cannot be read from a worker process"
                             % (index, array.dtype, array.shape))
        return {"dtype": array.dtype.name, "shape": list(array.shape),
                "content": base64.b64encode(array.tobytes()).decode("ascii")}

    def _stateful(self) -> bool:
        """Whether it keeps something from one inference to the next, by its operators."""
        tell = getattr(self._interpreter, "_get_ops_details", list)     # runtimes before 2.3 have it not
        return any(one["op_name"] in ("VAR_HANDLE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "SVDF", "RNN")
                   for one in tell())

    def _close(self) -> None:
        self._release()

    def _release(self) -> None:
        # The interpreter first, then its delegate: the other way round it touches freed memory.
        interpreter, self._interpreter = self._interpreter, None
        if interpreter is not None:
            vars(interpreter).clear()   # emptied, not only dropped: a traceback may hold it
        if self._delegate is not None:
            self._delegate.close()
            self._delegate = None


def _spec(details: Details) -> TensorSpec:
    return TensorSpec(tuple(int(extent) for extent in details["shape"]), np.dtype(details["dtype"]),
                      Quantization(*details["quantization"]))


def _plain(details: List[Details]) -> List[Details]:
    return [to_plain(one) for one in details]
