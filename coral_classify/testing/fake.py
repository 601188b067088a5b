"""Fakes for your tests: they obey the contract of the real session, without an engine or a board."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from .. import arguments
from ..types import Quantization, Session, TensorSpec, filled

__all__ = ["FakeSession"]


class FakeSession(Session):
    """A session that answers with a function of the input tensors.

    :param answer: called with a tensor for each input; gives the (1, classes) array in the output dtype, or a tuple
        with an array for each output.  Without it, class 0 wins
    :param input, output: a spec, or several; the output's follows from *answer* if it is left out
    :param verbs: name -> function, for :meth:`Session.call`
    :raises UsageError: for what cannot be meant

    >>> session = FakeSession(lambda tensor: np.array([[0, 200, 40, 16]], np.uint8))
    >>> session.run(np.zeros((1, 224, 224, 3), np.uint8))
    array([[  0, 200,  40,  16]], dtype=uint8)
    """

    def __init__(
        self,
        answer: Optional[Callable[..., Any]] = None,
        *,
        input: Union[TensorSpec, Sequence[TensorSpec], None] = None,
        output: Union[TensorSpec, Sequence[TensorSpec], None] = None,
        device: str = "cpu",
        verbs: Optional[Dict[str, Callable[..., Any]]] = None,
    ) -> None:
        self._answer = _first_wins if answer is None else arguments.callback("answer", answer)
        self._verbs = dict(arguments.instance("verbs", {} if verbs is None else verbs, dict))
        arguments.text("device", device)
        specs = _specs("input", TensorSpec((1, 224, 224, 3), np.dtype(np.uint8), Quantization(1 / 128, 128))
                       if input is None else input)
        if output is None:
            output = [TensorSpec(array.shape, np.dtype(np.uint8), Quantization(1 / 256, 0))
                      for array in self._answers([np.zeros(spec.shape, spec.dtype) for spec in specs])]
        self.runs = 0
        super().__init__(specs, _specs("output", output), device=device)

    def _answers(self, tensors: "Sequence[np.ndarray[Any, Any]]") -> "Tuple[np.ndarray[Any, Any], ...]":
        answers = self._answer(*tensors)
        return tuple(np.asarray(one) for one in (answers if isinstance(answers, tuple) else (answers,)))

    def _run(self, tensor: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        self.runs += 1
        answer = self._answer(tensor)
        return np.array(answer[0] if isinstance(answer, tuple) else answer, self.output.dtype).reshape(
            self.output.shape)

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        self.runs += 1
        return filled(into, [np.array(one, spec.dtype).reshape(spec.shape)
                             for one, spec in zip(self._answers(tensors), self.outputs)])

    def _call(self, verb: str, plain: Dict[str, Any]) -> Any:
        return self._verbs[verb](**plain) if verb in self._verbs else super()._call(verb, plain)

    def _close(self) -> None:
        pass


def _first_wins(*tensors: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return np.array([[255, 0, 0, 0]], np.uint8)


def _specs(name: str, value: Any) -> List[TensorSpec]:
    if isinstance(value, TensorSpec):
        return [value]
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, TensorSpec) for one in value):
        raise arguments.wrong(name, "a TensorSpec, or a list of some", value)
    return list(value)
