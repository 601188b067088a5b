"""``pycoral.adapters.common``: the input and output tensors of an interpreter.

Pure: takes whatever behaves like a TFLite ``Interpreter``, ours or a runtime's.
"""
from __future__ import annotations

from typing import Any, Callable, Tuple

import numpy as np

__all__ = ["input_details", "input_size", "input_tensor", "output_tensor", "set_input", "set_resized_input"]


def output_tensor(interpreter: Any, i: int) -> "np.ndarray[Any, Any]":
    """A view of the output tensor number *i*."""
    index = interpreter.get_output_details()[i]["index"]
    view: "np.ndarray[Any, Any]" = interpreter.tensor(index)()
    return view


def input_details(interpreter: Any, key: str) -> Any:
    """One of the details of the first input: "shape", "dtype", "quantization", …"""
    return interpreter.get_input_details()[0][key]


def input_size(interpreter: Any) -> Tuple[int, int]:
    """(width, height) of a model that takes pictures."""
    _, height, width, _ = input_details(interpreter, "shape")
    return width, height


def input_tensor(interpreter: Any) -> "np.ndarray[Any, Any]":
    """A view of the first input, without its batch: (height, width, channels); what is written to it is the input."""
    view: "np.ndarray[Any, Any]" = interpreter.tensor(input_details(interpreter, "index"))()
    first: "np.ndarray[Any, Any]" = view[0]
    return first


def set_input(interpreter: Any, data: Any) -> None:
    """Copy a picture of the model's size, (height, width, channels) or a PIL image, into the first input."""
    input_tensor(interpreter)[:, :] = data


def set_resized_input(
    interpreter: Any, size: Tuple[int, int], resize: Callable[[Tuple[int, int]], Any]
) -> Tuple[Any, Tuple[float, float]]:
    """Fit a picture of this size into the first input, at its upper left, the rest black; its proportions stay.

    :param size: (width, height) of the picture
    :param resize: (width, height) -> the picture in that size
    :returns: what *resize* gave, and the factor of both axes
    """
    tensor = input_tensor(interpreter)
    tensor.fill(0)
    rows, columns, channels = tensor.shape
    factor = min(columns / size[0], rows / size[1])
    width, height = int(size[0] * factor), int(size[1] * factor)
    resized = resize((width, height))
    tensor[:height, :width] = np.reshape(resized, (height, width, channels))
    return resized, (factor, factor)
