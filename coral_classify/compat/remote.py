"""An interpreter of a compiled model, in a supervised process that may crash or hang with its driver.

Inputs and outputs lie in memory that this process and its workers share; the inputs are here whatever becomes of a
worker, so a lost inference is done again with them, on the device when it is back or on the model's CPU twin.
What cannot be made good is an error that says so: tensors inside the model, and its variables.
"""
from __future__ import annotations

import base64
import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..errors import CoralClassifyError, DeviceError
from ..supervision import DeviceHealth, Limits, SupervisedSession, owner_is_there
from .delegate import Delegate
from .details import Details, Layout, from_plain
from .local import Arrays

__all__ = ["RemoteHost"]

_FACTORY = "coral_classify.compat.housed:open_housed"


class RemoteHost:
    """One of the two homes of an interpreter; :class:`coral_classify.compat.local.LocalHost` is the other.

    :param path: of the compiled model
    :param twin: of the plain one that stands in while the device is away
    :raises ValueError: if the device cannot be opened, in the words of the runtimes
    :raises RuntimeError: if the runtime refuses the model
    """

    def __init__(self, delegate: Delegate, path: str, twin: Optional[str], threads: Optional[int]) -> None:
        self._delegate = delegate
        self._order: Dict[str, Any] = {"model": os.path.abspath(path), "device": delegate.device, "threads": threads,
                                       "options": delegate.options, "shapes": {}}
        self._twin = os.path.abspath(twin) if twin else None
        self._life = np.zeros(1, np.int64)      # who answered the latest run
        self._layout: Layout
        self._open()

    def _open(self) -> None:
        """At the owner of shared accelerators where one is; else, or where it refuses, with a driver of its own."""
        refusal: Optional[DeviceError] = None
        if owner_is_there():
            try:
                return self._open_on("shared")
            except DeviceError as exc:
                refusal = exc
        try:
            self._open_on(self._delegate.device)
        except DeviceError as exc:
            both = "%s; and without the owner: %s" % (refusal, exc)
            raise self._delegate.failed(exc if refusal is None else both) from exc

    def _open_on(self, device: str) -> None:
        twin = dict(self._order, model=self._twin, device="cpu") if self._twin else None
        run_s = _deadline_ms() / 1000.0
        # An owner that goes is looked for again soon: it is no device that could need a rest.
        health = DeviceHealth(longest_pause_s=2.0, rest_s=0.0) if device == "shared" else None
        try:
            self._session = SupervisedSession(self._order, twin=twin, device=device, health=health,
                                              limits=Limits(run_s=run_s, first_s=max(3.0 * run_s, run_s + 2.0)),
                                              factory=_FACTORY)
            told = self._session.call("layout")
        except DeviceError:
            raise
        except CoralClassifyError as exc:
            raise RuntimeError(str(exc)) from exc
        self._layout = Layout([from_plain(one) for one in told["inputs"]], [from_plain(one) for one in told["outputs"]],
                              told["signatures"])
        self._stateful = bool(told["stateful"])
        self._life[0] = 0

    @property
    def device(self) -> str:
        return self._session.device

    def layout(self) -> Layout:
        return self._layout

    def tensor_details(self, subgraph_index: int = 0) -> List[Details]:
        return [from_plain(one) for one in self._call("details", subgraph=subgraph_index)]

    def allocate(self) -> None:
        """Open it anew if an input was resized; else all is done already."""
        shapes = self._order["shapes"]
        if any(shapes[number] != self._shape_in_session(int(number)) for number in shapes):
            self._session.close()
            self._open()

    def _shape_in_session(self, number: int) -> List[int]:
        return list(self._session.inputs[number].shape)

    def resize(self, index: int, shape: Any, strict: bool) -> None:
        for number, one in enumerate(self._layout.inputs):
            if one["index"] == index:
                wanted = [int(extent) for extent in shape]
                if strict:
                    _check_strictly(one, wanted)
                self._order["shapes"][str(number)] = wanted
                one["shape"] = np.array(wanted, np.int32)
                return
        raise ValueError("tensor %d is no input" % index)

    def memory(self, inputs: List[Details], outputs: List[Details]) -> Tuple[List[Any], List[Any]]:
        """Arrays for inputs and outputs, filled with zeros."""
        return list(self._session.input_sets(1)[0]), list(self._session.output_sets(1)[0][:-1])

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """One inference, or as many as it takes.

        :raises RuntimeError: if nobody could answer; or if variables of the model were lost on the way
        """
        before = int(self._life[0])
        try:
            self._session.run_all(tuple(inputs.values()), into=(*outputs.values(), self._life))
        except CoralClassifyError as exc:
            raise RuntimeError(str(exc)) from exc
        if self._stateful and before not in (0, int(self._life[0])):
            raise RuntimeError("the variables of %s were lost with the process that held them; call "
                               "reset_all_variables() and begin anew" % self._order["model"])

    def read(self, index: int, subgraph_index: int = 0) -> "np.ndarray[Any, Any]":
        """A copy of any tensor.

        :raises RuntimeError: for one inside the model, if who computed it is gone
        """
        told = self._call("tensor", index=index, subgraph=subgraph_index, life=int(self._life[0]))
        content = base64.b64decode(told["content"])
        return np.frombuffer(bytearray(content), told["dtype"]).reshape(told["shape"])

    def write(self, index: int, value: Any) -> None:
        raise ValueError("tensor %d is no input of %s; on an Edge TPU only inputs can be set"
                         % (index, self._order["model"]))

    def reset_variables(self) -> None:
        if self._stateful:
            self._session.close()
            self._open()

    def run_signature(self, interpreter: Any, key: str, signature: Any, inputs: Dict[str, Any]) -> Dict[str, Any]:
        for name, value in inputs.items():
            shape = np.shape(value)
            index = signature["inputs"][name]
            if tuple(next(one["shape"] for one in self._layout.inputs if one["index"] == index)) != shape:
                interpreter.resize_tensor_input(index, shape)
        interpreter.allocate_tensors()
        for name, value in inputs.items():
            interpreter.set_tensor(signature["inputs"][name], value)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in signature["outputs"].items()}

    def signature_details(self, interpreter: Any, key: str, signature: Any, kind: str) -> Dict[str, Any]:
        known = {one["index"]: one for one in self._layout.inputs + self._layout.outputs}
        return {name: dict(known[index]) for name, index in signature[kind].items()}

    def close(self) -> None:
        self._session.close()

    def _call(self, verb: str, **plain: Any) -> Any:
        try:
            return self._session.call(verb, **plain)
        except ValueError as exc:       # UsageError: the runtime's own, from the worker
            raise ValueError(str(exc)) from exc
        except CoralClassifyError as exc:
            raise RuntimeError(str(exc)) from exc


def _check_strictly(details: Details, wanted: List[int]) -> None:
    """:raises RuntimeError: if an extent that the model fixes is to change"""
    for axis, (told, new) in enumerate(zip(details["shape_signature"].tolist(), wanted)):
        if told not in (-1, new):
            raise RuntimeError("Attempting to resize dimension %d of tensor %d with value %d to %d. "
                               "ResizeInputTensorStrict only allows mutating unknown dimensions identified by -1."
                               % (axis, details["index"], told, new))


def _deadline_ms() -> float:
    """For one inference: ``CORAL_CLASSIFY_DEADLINE_MS``, else ten seconds; the first gets three times as long.

    :raises ValueError: for what is no positive number
    """
    told = os.environ.get("CORAL_CLASSIFY_DEADLINE_MS") or "10000"
    try:
        deadline_ms = float(told)
        if not 0 < deadline_ms < float("inf"):
            raise ValueError
    except ValueError:
        raise ValueError("CORAL_CLASSIFY_DEADLINE_MS is %r; give a positive number of milliseconds" % told) from None
    return deadline_ms
