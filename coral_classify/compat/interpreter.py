"""``tflite_runtime.interpreter`` and ``ai_edge_litert.interpreter``: an ``Interpreter`` that survives the driver.

A model compiled for the Edge TPU lives in a supervised process (:mod:`coral_classify.compat.remote`), any other in
this one (:mod:`coral_classify.compat.local`): on the CPU no driver is in reach, and a pipe would cost time for nothing.
What a program sees is the same: its tensors lie in arrays that belong to this object, so views of them stay valid
across inferences, and an inference that was lost is done again with the same inputs.
"""
from __future__ import annotations

import enum
import operator
import os
import weakref
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from .delegate import Delegate, load_delegate
from .details import NOT_ALLOCATED, NOT_READY, TENSOR_IS_NULL, Details, checked, mirrored
from .homes import home_for
from .signatures import SignatureRunner

__all__ = ["Delegate", "Interpreter", "OpResolverType", "SignatureRunner", "interpreter_of", "load_delegate"]

_by_handle: "weakref.WeakValueDictionary[int, Interpreter]" = weakref.WeakValueDictionary()


class OpResolverType(enum.Enum):
    """The runtime's choices of kernels."""

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


class Interpreter:
    """The runtimes' interpreter, by its public methods.

    :param model_path: of a ``.tflite``
    :param model_content: the bytes of one
    :param experimental_delegates: from :func:`load_delegate`
    :param num_threads: on the CPU; None: as many as the runtime thinks right
    :param more: further options of the installed runtime, for a model on the CPU
    :raises ValueError, RuntimeError: as the runtimes do, in their words
    """

    def __init__(self, model_path: Any = None, model_content: Optional[bytes] = None,
                 experimental_delegates: Optional[List[Any]] = None, num_threads: Optional[int] = None,
                 experimental_op_resolver_type: OpResolverType = OpResolverType.AUTO,
                 experimental_preserve_all_tensors: bool = False, **more: Any) -> None:
        if not model_path and not model_content:
            raise ValueError("`model_path` or `model_content` must be specified.")
        if model_path and model_content:
            raise ValueError("Can't both provide `model_path` and `model_content`")
        if num_threads is not None:
            if not isinstance(num_threads, int):
                raise ValueError("type of num_threads should be int")
            if num_threads < 1:
                raise ValueError("num_threads should >= 1")
        if model_path:
            model_path = os.fspath(model_path)
            if not os.path.exists(model_path):
                raise ValueError("Could not open '%s'." % model_path)
        more["num_threads"] = num_threads
        more["experimental_preserve_all_tensors"] = experimental_preserve_all_tensors or None
        self._ready = False
        self._arrays: "Dict[int, np.ndarray[Any, Any]]" = {}    # of inputs and outputs, once allocated
        self._delegates = list(experimental_delegates or [])
        self._home = home_for(model_path, model_content, self._delegates, more, experimental_op_resolver_type.name)
        self._describe()
        _by_handle[id(self)] = self

    def _describe(self) -> None:
        self._inputs, self._outputs, self._signatures = self._home.layout()
        self._details = {one["index"]: one for one in self._inputs + self._outputs if mirrored(one)}

    # ---- memory

    def allocate_tensors(self) -> None:
        if self._ready:
            return
        self._home.allocate()
        self._take_shapes()
        self._ready = True

    def _take_shapes(self) -> None:
        """Arrays for inputs and outputs; one that still fits stays, and with it the views that a program has."""
        self._describe()
        kept = self._arrays
        inputs, outputs = ([one for one in some if mirrored(one)] for some in (self._inputs, self._outputs))
        fresh: "Dict[int, np.ndarray[Any, Any]]" = {}
        for details, arrays in zip((inputs, outputs), self._home.memory(inputs, outputs)):
            for one, array in zip(details, arrays):
                fresh.setdefault(one["index"], array)
        self._arrays = {}
        for index, array in fresh.items():
            old = kept.get(index)
            fits = old is not None and old.shape == array.shape and old.dtype == array.dtype
            self._arrays[index] = old if fits and old is not None else array
        self._run_inputs = {one["index"]: self._arrays[one["index"]] for one in inputs}
        self._run_outputs = {one["index"]: self._arrays[one["index"]] for one in outputs}

    def take_over(self, read: "Callable[[int], np.ndarray[Any, Any]]") -> None:
        """Have the home's tensors in the arrays here, after it ran by itself; not a runtime's."""
        try:
            self._take_shapes()
            for index, array in self._arrays.items():
                array[...] = read(index)
            self._ready = True
        except ValueError:      # it ran another subgraph: this one is as unready as it was
            pass

    def resize_tensor_input(self, input_index: int, tensor_size: Any, strict: bool = False) -> None:
        self._home.resize(operator.index(input_index), tensor_size, strict)
        self._ready = False
        self._describe()

    def set_tensor(self, tensor_index: int, value: Any) -> None:
        index = operator.index(tensor_index)
        if index not in self._details:
            self._home.write(index, value)
            return
        array = self._arrays.get(index)
        shape = self._details[index]["shape"] if array is None or not self._ready else array.shape
        value = checked(value, self._details[index], shape)
        if array is None or not self._ready:
            raise ValueError(NOT_ALLOCATED)
        array[...] = value

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> "np.ndarray[Any, Any]":
        """A copy of a tensor."""
        if subgraph_index:
            return self._home.read(operator.index(tensor_index), operator.index(subgraph_index))
        return np.array(self._view(operator.index(tensor_index)))

    def tensor(self, tensor_index: int) -> "Callable[[], np.ndarray[Any, Any]]":
        """A function that gives a view of an input or output (a copy of any other tensor).

        The view stays valid: other than the runtimes', it may be kept across :meth:`invoke`.
        """
        index = operator.index(tensor_index)
        return lambda: self._view(index).view(np.ndarray)

    def _view(self, index: int) -> "np.ndarray[Any, Any]":
        if index not in self._details:
            return self._home.read(index)
        if index not in self._arrays or not self._ready:
            raise ValueError(TENSOR_IS_NULL)
        return self._arrays[index]

    # ---- work

    def invoke(self) -> None:
        """Run once.

        :raises RuntimeError: before :meth:`allocate_tensors`; and if the device was lost and nobody can stand in
        """
        self.check_ready()
        self._home.run(self._run_inputs, self._run_outputs)
        self._arrays.update(self._run_outputs)

    def check_ready(self) -> None:
        """:raises RuntimeError: before :meth:`allocate_tensors`; not a runtime's"""
        if not self._ready:
            raise RuntimeError(NOT_READY)

    def reset_all_variables(self) -> None:
        self._home.reset_variables()

    # ---- what it tells

    def get_input_details(self) -> List[Details]:
        return [dict(one) for one in self._inputs]

    def get_output_details(self) -> List[Details]:
        return [dict(one) for one in self._outputs]

    def get_tensor_details(self, subgraph_index: int = 0) -> List[Details]:
        return self._home.tensor_details(operator.index(subgraph_index))

    def get_signature_list(self) -> Dict[str, Any]:
        return {key: {"inputs": list(one["inputs"]), "outputs": list(one["outputs"])}
                for key, one in self._signatures.items()}

    def _get_full_signature_list(self) -> Dict[str, Any]:
        return {key: {kind: dict(names) for kind, names in one.items()} for key, one in self._signatures.items()}

    def get_signature_runner(self, signature_key: Optional[str] = None) -> SignatureRunner:
        """A callable that takes the inputs by name and gives the outputs by name.

        :raises ValueError: for a signature that the model has not got
        """
        if signature_key is None:
            if len(self._signatures) != 1:
                raise ValueError("SignatureDef signature_key is None and model has %d Signatures. None is only allowed "
                                 "when the model has 1 SignatureDef" % len(self._signatures))
            (signature_key,) = self._signatures
        if signature_key not in self._signatures:
            raise ValueError('Invalid signature_key provided: "%s".' % signature_key)
        return SignatureRunner(self, signature_key)

    def _native_handle(self) -> int:
        """A token for :mod:`coral_classify.compat.edgetpu_utils`; there is no address that could be used."""
        return id(self)

    @property
    def device(self) -> str:
        """Who ran the latest inference: "cpu", "usb:0", …; not a runtime's."""
        return str(self._home.device)

    def close(self) -> None:
        """Give the device back before this object goes; not a runtime's."""
        self._ready = False
        self._home.close()


def interpreter_of(handle: int) -> Interpreter:
    """The interpreter with this native handle.

    :raises ValueError: if there is none
    """
    found = _by_handle.get(handle)
    if found is None:
        raise ValueError("%r is no handle of an interpreter that coral_classify.compat has made" % (handle,))
    return found
