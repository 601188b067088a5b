"""``pycoral.pipeline.pipelined_model_runner``: a model in segments, each on a device of its own, a thread a segment.

What goes from one segment to the next are tensors by name.
"""
from __future__ import annotations

import operator
import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Set

import numpy as np

from .interpreter import Interpreter

__all__ = ["PipelinedModelRunner"]

Tensors = Dict[str, "np.ndarray[Any, Any]"]


class _Queue:
    """Tensors between two segments; None is the last of them."""

    def __init__(self) -> None:
        self.most = 0       # how many may wait; 0: any number
        self._items: Deque[Optional[Tensors]] = deque()
        self._changed = threading.Condition()
        self._ended = False

    def put(self, item: Optional[Tensors]) -> None:
        with self._changed:
            while item is not None and self.most and len(self._items) >= self.most and not self._ended:
                self._changed.wait()
            if item is None:
                self._ended = True
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Optional[Tensors]:
        with self._changed:
            while not self._items:
                self._changed.wait()
            if self._items[0] is None:      # stays for whoever comes next
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def limit(self, most: int) -> None:
        with self._changed:
            self.most = most
            self._changed.notify_all()


class PipelinedModelRunner:
    """Runs segments one after the other, all of them at a time.

    :param interpreters: one for each segment, allocated
    :raises ValueError: without any, or if a segment takes what none before it gives
    """

    def __init__(self, interpreters: List[Any]) -> None:
        self._queues: List[_Queue] = []
        if not interpreters:
            raise ValueError("At least one interpreter expected")
        known: Set[str] = {one["name"] for one in interpreters[0].get_input_details()}
        for number, interpreter in enumerate(interpreters):
            if not {one["name"] for one in interpreter.get_input_details()} <= known:
                raise ValueError("Interpreter %d can not get its input tensors" % number)
            known |= {one["name"] for one in interpreter.get_output_details()}
        self._interpreters = interpreters
        self._types = {one["name"]: one["dtype"] for one in interpreters[0].get_input_details()}
        self._on = True
        self._state = _State()
        self._queues = [_Queue() for _ in range(len(interpreters) + 1)]
        for number, interpreter in enumerate(interpreters):
            threading.Thread(target=_segment, name="coral-segment-%d" % number, daemon=True, args=(
                number, interpreter, self._queues[number], self._queues[number + 1],
                interpreter is interpreters[-1], self._state)).start()

    def set_input_queue_size(self, size: int) -> None:
        """How many requests may wait for each segment; more block ``push``.  0: any number."""
        for queue in self._queues[:-1]:
            queue.limit(_size(size))

    def set_output_queue_size(self, size: int) -> None:
        """How many answers may wait for ``pop``."""
        self._queues[-1].limit(_size(size))

    def push(self, input_tensors: Tensors) -> None:
        """Have these inputs run, by name; an empty dict ends the pipeline.

        :raises ValueError: for other inputs than the model takes
        :raises RuntimeError: after the end, or after an error of a segment
        """
        if input_tensors and len(input_tensors) != len(self._types):
            raise ValueError("Expected input of length %d, but got %d" % (len(self._types), len(input_tensors)))
        for name, tensor in input_tensors.items():
            if not isinstance(tensor, np.ndarray) or tensor.dtype != self._types[name]:
                raise ValueError("Input should be a list of numpy array of type %s" % (self._types[name],))
        if self._state.error:
            raise RuntimeError(self._state.error)
        if not self._on:
            raise RuntimeError("Pipeline was turned off before.")
        if not input_tensors:
            self._on = False
        self._queues[0].put({name: np.array(tensor) for name, tensor in input_tensors.items()} or None)

    def pop(self) -> Optional[Tensors]:
        """The outputs of the oldest request, by name; waits for them.  None after the end.

        :raises RuntimeError: if a segment failed
        """
        answer = self._queues[-1].get()
        if answer is None and self._state.error:
            self._on = False
            raise RuntimeError(self._state.error)
        return answer

    def interpreters(self) -> List[Any]:
        return self._interpreters

    def __del__(self) -> None:
        for queue in self._queues:      # ends the threads, and whoever waits
            queue.put(None)


def _size(value: int) -> int:
    size = operator.index(value)
    if size < 0:
        raise TypeError("a queue size is a number of at least 0, got %d" % size)
    return size


class _State:
    """What the segments share with the runner, which they must not keep alive."""

    error = ""


def _segment(number: int, interpreter: Any, inputs: _Queue, outputs: _Queue, last: bool, state: _State) -> None:
    """The thread of one segment.  What later segments may need goes on with its outputs."""
    while True:
        tensors = inputs.get()
        if tensors is None or state.error:
            break
        try:
            if isinstance(interpreter, Interpreter):
                interpreter.check_ready()
            for one in interpreter.get_input_details():
                interpreter.set_tensor(one["index"], tensors[one["name"]].reshape(one["shape"]))
            interpreter.invoke()
            results = {one["name"]: interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()}
        except Exception as exc:
            state.error = "Segment %d runner error: %s" % (number, exc)
            inputs.put(None)        # whoever waits to push finds the error
            break
        outputs.put(results if last else dict(tensors, **results))
    outputs.put(None)
