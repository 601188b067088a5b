"""A runtime's interpreter in this process, on the CPU: no driver is in reach that could take the process along.

Inputs and outputs lie in arrays of ours, which are copied in and out around each inference (150 kB take some 10 µs).
So views of them stay valid for ever, where the runtime forbids to keep one.
"""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np

from ..engine import open_interpreter
from .details import Details, Layout, alike, layout_of

__all__ = ["Arrays", "LocalHost"]

Arrays = Dict[int, "np.ndarray[Any, Any]"]


class LocalHost:
    """One of the two homes of an interpreter; :class:`coral_classify.compat.remote.RemoteHost` is the other.

    :param arguments: as :func:`coral_classify.engine.open_interpreter` takes them
    :raises Exception: whatever the runtime raises
    """

    device = "cpu"

    def __init__(self, **arguments: Any) -> None:
        self._delegate: Any = None
        self._runtime = open_interpreter(**arguments)

    def layout(self) -> Layout:
        return layout_of(self._runtime)

    def tensor_details(self, subgraph_index: int = 0) -> List[Details]:
        more = (subgraph_index,) if subgraph_index else ()
        return [alike(one) for one in self._runtime.get_tensor_details(*more)]

    def allocate(self) -> None:
        self._runtime.allocate_tensors()

    def resize(self, index: int, shape: Any, strict: bool) -> None:
        self._runtime.resize_tensor_input(index, shape, strict=strict)

    def memory(self, inputs: List[Details], outputs: List[Details]) -> Tuple[List[Any], List[Any]]:
        """Arrays for inputs and outputs, filled with zeros."""
        made = [[np.zeros(tuple(one["shape"]), one["dtype"]) for one in some] for some in (inputs, outputs)]
        return made[0], made[1]

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """One inference; an output whose shape the model decides anew gets a new array.

        :raises RuntimeError, ValueError: as the runtime does
        """
        runtime = self._runtime
        for index, array in inputs.items():
            runtime.set_tensor(index, array)
        runtime.invoke()
        for index, array in outputs.items():
            view = runtime.tensor(index)()
            if view.shape == array.shape:
                array[...] = view
            else:
                outputs[index] = np.array(view)
            del view    # the runtime refuses to run while somebody has one

    def read(self, index: int, subgraph_index: int = 0) -> "np.ndarray[Any, Any]":
        """A copy of any tensor."""
        more = (subgraph_index,) if subgraph_index else ()
        array: "np.ndarray[Any, Any]" = self._runtime.get_tensor(index, *more)
        return array

    def write(self, index: int, value: Any) -> None:
        self._runtime.set_tensor(index, value)

    def reset_variables(self) -> None:
        self._runtime.reset_all_variables()

    def run_signature(self, interpreter: Any, key: str, signature: Any, inputs: Dict[str, Any]) -> Dict[str, Any]:
        """By the runtime's own runner: a signature may live in any subgraph, and its inputs may change their shapes."""
        answers: Dict[str, Any] = self._runtime.get_signature_runner(key)(**inputs)
        interpreter.take_over(self.read)
        return answers

    def signature_details(self, interpreter: Any, key: str, signature: Any, kind: str) -> Dict[str, Any]:
        runner = self._runtime.get_signature_runner(key)
        told = runner.get_input_details() if kind == "inputs" else runner.get_output_details()
        return {name: alike(one) for name, one in told.items()}

    def keep(self, delegate: Any) -> None:
        """Close this delegate after the interpreter, with :meth:`close`."""
        self._delegate = delegate

    def close(self) -> None:
        runtime, self._runtime = self._runtime, None
        if self._delegate is not None:
            vars(runtime).clear()
            self._delegate.close()
            self._delegate = None
