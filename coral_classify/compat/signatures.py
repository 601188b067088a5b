"""``SignatureRunner``: an interpreter called by the names of a signature."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

import numpy as np

if TYPE_CHECKING:
    from .interpreter import Interpreter

__all__ = ["SignatureRunner"]


class SignatureRunner:
    """Made by ``Interpreter.get_signature_runner``; calls are not to overlap."""

    def __init__(self, interpreter: "Interpreter", signature_key: str) -> None:
        self._interpreter = interpreter
        self._key = signature_key
        self._signature = interpreter._get_full_signature_list()[signature_key]

    def __call__(self, **inputs: "np.ndarray[Any, Any]") -> "Dict[str, np.ndarray[Any, Any]]":
        """Run once; inputs may have new shapes.

        :raises ValueError: for a wrong number or name of inputs
        """
        names = self._signature["inputs"]
        if len(inputs) != len(names):
            raise ValueError("Invalid number of inputs provided for running a SignatureDef, expected %s vs provided %s"
                             % (len(names), len(inputs)))
        for name in inputs:
            if name not in names:
                raise ValueError("Invalid Input name (%s) for SignatureDef" % name)
        return self._interpreter._home.run_signature(self._interpreter, self._key, self._signature, inputs)

    def get_input_details(self) -> Dict[str, Any]:
        return self._named("inputs")

    def get_output_details(self) -> Dict[str, Any]:
        return self._named("outputs")

    def _named(self, kind: str) -> Dict[str, Any]:
        return self._interpreter._home.signature_details(self._interpreter, self._key, self._signature, kind)
