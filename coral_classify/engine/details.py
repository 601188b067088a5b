"""How a runtime describes a tensor -> our records, and plain types; checked against what a model's file declares."""
from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from ..errors import ModelError
from ..modelfiles import ModelFile
from ..types import Quantization, TensorSpec

__all__ = ["check_classifier", "plain", "spec"]


def spec(details: Dict[str, Any]) -> TensorSpec:
    """:raises ModelError: for a tensor of text"""
    dtype = np.dtype(details["dtype"])
    if dtype.kind not in "biufc":
        raise ModelError("the tensor %r holds text; numbers are supported" % (details["name"],))
    scale, zero_point = details["quantization"]
    return TensorSpec(tuple(int(extent) for extent in details["shape"]), dtype,
                      Quantization(float(scale), int(zero_point)))


def plain(details: Dict[str, Any]) -> Dict[str, Any]:
    """The description in types that JSON knows."""
    record: Dict[str, Any] = {"name": str(details["name"]), "index": int(details["index"]),
                              "dtype": np.dtype(details["dtype"]).name}
    for name in ("shape", "shape_signature"):
        record[name] = np.asarray(details.get(name, details["shape"])).tolist()
    record["quantization"] = [float(details["quantization"][0]), int(details["quantization"][1])]
    parameters = details.get("quantization_parameters", {})
    record["quantization_parameters"] = {name: np.asarray(value).tolist() for name, value in parameters.items()}
    return record


def check_classifier(inputs: List[Dict[str, Any]], outputs: List[Dict[str, Any]], model: ModelFile) -> None:
    """:raises ModelError: if the runtime finds other tensors in it than the file declares"""
    if len(inputs) != 1 or len(outputs) != 1:
        raise _damaged("the engine sees %d inputs and %d outputs, the file one of each"
                       % (len(inputs), len(outputs)))
    _check(inputs[0], model.input, "input")
    _check(outputs[0], model.output, "output")


def _damaged(what: str) -> ModelError:
    return ModelError("%s; it is damaged, or another tool is to export it" % what)


def _check(found: Dict[str, Any], declared: TensorSpec, role: str) -> None:
    """But for dimensions of 1."""
    shape, dtype = tuple(int(n) for n in found["shape"]), np.dtype(found["dtype"])
    scale, zero_point = found["quantization"]
    if [n for n in shape if n != 1] != [n for n in declared.shape if n != 1] or dtype != declared.dtype:
        # A size that depends on the picture is only known afterwards; the session looks then.
        if not (role == "output" and dtype == declared.dtype and -1 in found["shape_signature"]):
            raise _damaged("its %s is %s %s when it runs, but the file says %s %s" % (
                role, dtype, shape, declared.dtype, declared.shape))
    if (scale, zero_point) != declared.quantization:
        raise _damaged("its %s has scale %g and zero point %d when it runs, but the file says %g and %d" % (
            role, scale, zero_point, declared.quantization.scale, declared.quantization.zero_point))
