"""Fakes for your tests: they obey the contract of the real session, without an engine or a board."""
from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from ..types import Quantization, Session, TensorSpec

__all__ = ["FakeSession"]


class FakeSession(Session):
    """A session that answers with a function of the input tensor.

    :param answer: input tensor -> (1, classes) array in the output dtype; without it, class 0 wins

    >>> session = FakeSession(lambda tensor: np.array([[0, 200, 40, 16]], np.uint8))
    >>> session.run(np.zeros((1, 224, 224, 3), np.uint8))
    array([[  0, 200,  40,  16]], dtype=uint8)
    """

    def __init__(
        self,
        answer: Optional[Callable[["np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]] = None,
        *,
        input: Optional[TensorSpec] = None,
        output: Optional[TensorSpec] = None,
        device: str = "cpu",
    ) -> None:
        self._answer = answer or (lambda tensor: np.array([[255, 0, 0, 0]], np.uint8))
        input = input or TensorSpec((1, 224, 224, 3), np.dtype(np.uint8), Quantization(1 / 128, 128))
        if output is None:
            shape = np.asarray(self._answer(np.zeros(input.shape, input.dtype))).shape
            output = TensorSpec(shape, np.dtype(np.uint8), Quantization(1 / 256, 0))
        self.runs = 0
        super().__init__(input, output, device=device)

    def _run(self, tensor: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        self.runs += 1
        return np.array(self._answer(tensor), self.output.dtype).reshape(self.output.shape)

    def _close(self) -> None:
        pass
