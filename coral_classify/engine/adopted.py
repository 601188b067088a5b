"""A session over an interpreter that somebody else opened: PyCoral's, a runtime's, or one of ``coral_classify.compat``.

Knows the methods that all of them have, and imports none of them.
"""
from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np

from ..errors import EngineError, ModelError
from ..types import Session, filled
from .details import spec

__all__ = ["AdoptedSession", "is_interpreter"]


def is_interpreter(thing: Any) -> bool:
    """Whether *thing* behaves like a TFLite ``Interpreter``."""
    return all(callable(getattr(thing, name, None)) for name in (
        "allocate_tensors", "invoke", "get_input_details", "get_output_details", "set_tensor", "get_tensor"))


class AdoptedSession(Session):
    """A classifier's session; to close it leaves the interpreter to its owner.

    :param interpreter: one picture in, one output with all classes out
    :raises ModelError: for another network
    :raises EngineError: if it cannot be allocated
    """

    def __init__(self, interpreter: Any) -> None:
        self._interpreter: Any = interpreter
        try:
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as exc:
            raise EngineError("the interpreter that was given cannot be used: %s" % exc) from exc
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError("not an image classifier: the interpreter has %d inputs and %d outputs, one of each is "
                             "needed" % (len(inputs), len(outputs)))
        self._places = int(inputs[0]["index"]), int(outputs[0]["index"])
        taken, given = spec(inputs[0]), spec(outputs[0])
        if len(taken.shape) != 4 or taken.shape[0] != 1 or taken.shape[3] != 3:
            raise ModelError("not an image classifier: the interpreter takes %s, (1, height, width, 3) is needed"
                             % (taken.shape,))
        classes = [extent for extent in given.shape if extent != 1] or [1]
        if len(classes) != 1:
            raise ModelError("not a classifier: the interpreter gives %s, (1, classes) is needed" % (given.shape,))
        super().__init__(taken, given._replace(shape=(1, classes[0])), device=_device(interpreter))

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        try:
            self._interpreter.set_tensor(self._places[0], tensors[0])
            self._interpreter.invoke()
            output = np.asarray(self._interpreter.get_tensor(self._places[1])).reshape(self.output.shape)
        except (RuntimeError, ValueError) as exc:
            raise EngineError("the interpreter that was given failed during an inference: %s" % exc) from exc
        self.device = _device(self._interpreter)
        return filled(into, [output])

    def _close(self) -> None:
        self._interpreter = None


def _device(interpreter: Any) -> str:
    """As ours tell it; of another one it is not known."""
    return str(getattr(interpreter, "device", "the interpreter's"))
