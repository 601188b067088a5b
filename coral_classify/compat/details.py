"""What a TFLite interpreter tells of its tensors, made the same for both runtimes; and its words for wrong tensors.

Knows the dictionaries of ``get_input_details`` and NumPy; no runtime is imported here.
"""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import numpy as np

__all__ = ["Details", "Layout", "NOT_ALLOCATED", "NOT_READY", "TENSOR_IS_NULL", "alike", "checked", "from_plain",
           "layout_of", "mirrored", "to_plain"]

NOT_READY = "Invoke called on model that is not ready."
NOT_ALLOCATED = "Cannot set tensor: Tensor is unallocated. Try calling allocate_tensors() first"
TENSOR_IS_NULL = "Tensor data is null. Run allocate_tensors() first"

Details = Dict[str, Any]


class Layout(NamedTuple):
    """The tensors of a model."""

    inputs: List[Details]
    outputs: List[Details]
    signatures: Dict[str, Any]  # key -> {"inputs": {name: index}, "outputs": {name: index}}


def alike(details: Details) -> Details:
    """Details of a tensor with what both runtimes tell, in arrays of their own.

    Newer ones add "block_size" to the quantization parameters.
    """
    parameters = details["quantization_parameters"]
    scale, zero_point = details["quantization"]
    return {
        "name": str(details["name"]),
        "index": int(details["index"]),
        "shape": np.array(details["shape"], np.int32),
        "shape_signature": np.array(details["shape_signature"], np.int32),
        "dtype": details["dtype"],
        "quantization": (float(scale), int(zero_point)),
        "quantization_parameters": {
            "scales": np.array(parameters["scales"], np.float32),
            "zero_points": np.array(parameters["zero_points"], np.int32),
            "quantized_dimension": int(parameters["quantized_dimension"]),
        },
        "sparsity_parameters": dict(details["sparsity_parameters"]),
    }


def layout_of(interpreter: Any) -> Layout:
    """Of a runtime's interpreter."""
    return Layout([alike(one) for one in interpreter.get_input_details()],
                  [alike(one) for one in interpreter.get_output_details()],
                  dict(getattr(interpreter, "_get_full_signature_list", dict)()))    # none before 2.7


def to_plain(details: Details) -> Details:
    """Details in types that travel as JSON."""
    parameters = details["quantization_parameters"]
    return dict(details, shape=details["shape"].tolist(), shape_signature=details["shape_signature"].tolist(),
                dtype=np.dtype(details["dtype"]).name, quantization=list(details["quantization"]),
                quantization_parameters=dict(parameters, scales=parameters["scales"].tolist(),
                                             zero_points=parameters["zero_points"].tolist()),
                sparsity_parameters={})


def from_plain(plain: Details) -> Details:
    return alike(dict(plain, dtype=np.dtype(plain["dtype"]).type))


def mirrored(details: Details) -> bool:
    """Whether a tensor can be kept in an array of ours; one of strings cannot."""
    return bool(np.issubdtype(details["dtype"], np.number) or details["dtype"] is np.bool_)


def checked(value: Any, details: Details, shape: Any) -> "np.ndarray[Any, Any]":
    """*value* as an array that fits the tensor.

    :param shape: the tensor's shape at present
    :raises ValueError: as the runtimes do, in their words
    """
    array = np.asarray(value)
    index = details["index"]
    if array.dtype != details["dtype"]:
        raise ValueError("Cannot set tensor: Got value of type %s but expected type %s for input %d, name: %s "
                         % (_type(array.dtype), _type(np.dtype(details["dtype"])), index, details["name"]))
    if array.ndim != len(shape):
        raise ValueError("Cannot set tensor: Dimension mismatch. Got %d but expected %d for input %d."
                         % (array.ndim, len(shape), index))
    for axis, (got, expected) in enumerate(zip(array.shape, shape)):
        if got != expected:
            raise ValueError("Cannot set tensor: Dimension mismatch. Got %d but expected %d for dimension %d of "
                             "input %d." % (got, expected, axis, index))
    return array


def _type(dtype: "np.dtype[Any]") -> str:
    return {"float64": "FLOAT64", "bool": "BOOL"}.get(dtype.name, dtype.name.upper())
