"""The only importer of a TFLite runtime: ai-edge-litert or tflite-runtime, whichever is installed and works.

Opens a :class:`~coral_classify.types.Session` on the CPU, or on an Edge TPU with a delegate of
:mod:`coral_classify.edgetpu.driver`.
"""
from __future__ import annotations

import importlib
import importlib.util
import os
import re
import threading
import traceback
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import arguments, edgetpu
from ..errors import EngineError, EngineNotFound, ModelError, UsageError
from ..modelfiles import ModelFile, NetworkFile
from ..types import Session, filled
from .details import check_classifier, plain, spec
from .runtimes import advice

__all__ = ["ENGINES", "Engine", "EngineSession", "load_engine", "open_interpreter", "open_plugin", "open_session",
           "usable_cores"]

# In order of preference: litert runs uint8 networks an order of magnitude faster on the CPU.
_MODULES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
ENGINES: Tuple[str, ...] = tuple(_MODULES)
_MOST_THREADS = 1024        # the runtimes crash where the system refuses them a thread

_loaded: Dict[str, "Engine"] = {}
_load_lock = threading.Lock()


class Engine(NamedTuple):
    """One TFLite runtime, imported and known to work."""

    name: str
    version: str
    interpreter: Any        # its class Interpreter


def load_engine(name: Optional[str] = None) -> Engine:
    """Import a TFLite runtime.

    :param name: "ai-edge-litert" or "tflite-runtime"; None: ``CORAL_CLASSIFY_ENGINE``, else the first that works
    :raises UsageError: for another name
    :raises EngineNotFound: if none is installed, or none works with this NumPy
    """
    name = name or os.environ.get("CORAL_CLASSIFY_ENGINE") or None
    if name is not None and name not in _MODULES:
        raise arguments.wrong("engine", "one of %s" % ", ".join(ENGINES), name)
    reasons: List[str] = []
    with _load_lock:
        for candidate in ENGINES if name is None else (name,):
            if candidate in _loaded:
                return _loaded[candidate]
            try:
                _loaded[candidate] = _import(candidate)
                return _loaded[candidate]
            except EngineNotFound as exc:
                reasons.append(str(exc))
    installed = [reason for reason in reasons if "is not installed" not in reason]
    raise EngineNotFound("no TFLite runtime works here: %s; %s" % ("; ".join(installed or reasons), advice()))


def _import(name: str) -> Engine:
    module = _MODULES[name]
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or getattr(spec.loader, "serves_programs", False):  # coral_classify.compat gives it to programs
        raise EngineNotFound("%s is not installed" % name)
    if not _works_with_numpy(name):
        # Importing it would print a page of tracebacks and fail at the first Interpreter with a SystemError.
        raise EngineNotFound("this %s was built for NumPy 1 and cannot run under NumPy %s (pip install 'numpy<2')"
                             % (name, np.__version__))
    try:
        interpreter = importlib.import_module(module + ".interpreter").Interpreter
        version = str(getattr(importlib.import_module(module), "__version__", "unknown"))
    except Exception as exc:    # a broken installation fails in many ways (ImportError, AttributeError, OSError)
        raise EngineNotFound("%s is installed but cannot be imported (%s: %s)"
                             % (name, type(exc).__name__, exc)) from exc
    return Engine(name, version, interpreter)


def _works_with_numpy(name: str) -> bool:
    if int(np.__version__.split(".")[0]) < 2:
        return True
    numbers = re.findall(r"\d+", _installed_version(name))[:2]
    if len(numbers) < 2:
        return True     # not known: the import will tell
    return [int(n) for n in numbers] > ([2, 14] if name == "tflite-runtime" else [1, 0])


def _installed_version(name: str) -> str:
    """From the name of the distribution's folder: importlib.metadata would load the whole of ``email`` for it."""
    spec = importlib.util.find_spec(_MODULES[name])
    for folder in (spec.submodule_search_locations or []) if spec else []:
        beside = os.path.dirname(os.path.abspath(folder))
        for entry in os.listdir(beside):
            found = re.match(re.escape(_MODULES[name]) + r"-(.+)\.dist-info$", entry, re.IGNORECASE)
            if found:
                return found.group(1)
    return ""


def open_interpreter(name: Optional[str] = None, resolver: str = "AUTO", **arguments: Any) -> Any:
    """A runtime's bare ``Interpreter``, for whoever keeps other promises than a :class:`Session`.

    :param name: of the engine, as for :func:`load_engine`
    :param resolver: name of the runtime's ``OpResolverType``
    :param arguments: of the runtime's constructor; one that this version has not got is left out where it is None
    :raises EngineNotFound: without a TFLite runtime that works
    :raises Exception: whatever the runtime raises
    """
    interpreter = load_engine(name).interpreter
    if resolver != "AUTO":
        arguments["experimental_op_resolver_type"] = _beside(interpreter, "OpResolverType")[resolver]
    return interpreter(**{key: value for key, value in arguments.items() if value is not None})


def _beside(interpreter: Any, name: str) -> Any:
    """Another class of the runtime's module; ``sys.modules`` may have another one under its name by now."""
    return interpreter.__init__.__globals__[name]


def open_plugin(library: str, options: Optional[Dict[Any, Any]] = None) -> Any:
    """A delegate that is no Edge TPU's, as the runtime makes it.

    :raises ValueError, OSError: if it cannot be loaded
    """
    try:
        return _beside(load_engine().interpreter, "Delegate")(library, options)
    except ValueError as exc:
        raise ValueError("Failed to load delegate from %s\n%s" % (library, exc)) from exc


def usable_cores() -> int:
    """How many cores this process may use: its CPU affinity, and the quota of its container (cgroup v2)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:      # not on macOS and Windows
        cores = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()[:2]
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):       # no quota: the word "max", or no such file
        pass
    return max(1, cores)


class EngineSession(Session):
    """A model loaded into a TFLite interpreter, on the CPU or behind an Edge TPU delegate.

    Its one verb for :meth:`Session.call` is ``"tensors"``: name, place in the graph and every parameter of
    quantization of each input and output.
    """

    def __init__(self, model: Union[ModelFile, NetworkFile], engine: Engine, *, threads: int,
                 delegate: Optional["edgetpu.Delegate"] = None) -> None:
        """
        :param model: a classifier, whose file told its tensors, or a network whose tensors the engine tells
        :raises EngineError: if the runtime refuses the model
        :raises ModelError: for a network with a tensor of text, or if the runtime finds other tensors in a classifier
            than its file declares
        """
        self.engine = engine
        self._delegate = delegate
        self._interpreter: Any = None
        try:
            self._interpreter = engine.interpreter(
                model_path=str(model.path), num_threads=threads,
                experimental_delegates=[delegate] if delegate else None)
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            if isinstance(model, ModelFile):
                check_classifier(inputs, outputs, model)
                specs = [model.input], [model.output]
            else:
                specs = [spec(details) for details in inputs], [spec(details) for details in outputs]
            self._input_places = [int(details["index"]) for details in inputs]
            self._output_places = [int(details["index"]) for details in outputs]
        except BaseException as exc:
            traceback.clear_frames(exc.__traceback__)   # they hold an interpreter that failed in its constructor
            self._release()
            if not isinstance(exc, Exception):
                raise
            if isinstance(exc, ModelError):
                raise ModelError("model %s: %s" % (model.path, exc)) from exc
            raise EngineError("model %s: %s %s cannot load it: %s" % (
                model.path, engine.name, engine.version, str(exc) or type(exc).__name__)) from exc
        super().__init__(*specs, device=delegate.device if delegate else "cpu")
        self._sizes = [int(np.prod(declared.shape)) for declared in self.outputs]
        if delegate:
            edgetpu.close_at_exit(self)

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        try:
            for place, tensor in zip(self._input_places, tensors):
                self._interpreter.set_tensor(place, tensor)
            self._interpreter.invoke()
            outputs = [np.asarray(self._interpreter.get_tensor(place)) for place in self._output_places]   # copies
        except (RuntimeError, ValueError) as exc:
            raise EngineError("%s failed during an inference: %s" % (self.engine.name, exc)) from exc
        for output, declared, size in zip(outputs, self.outputs, self._sizes):
            if output.size != size or output.dtype != declared.dtype:
                # A size that is only known once the operators have run.
                raise ModelError("the model gave %s %s where its file says %s %s; another tool is to export it" % (
                    output.dtype, output.shape, declared.dtype, declared.shape))
        # In the shape that was declared: a classifier's (1, 1, 1, N) is (1, N).
        return filled(into, [output.reshape(declared.shape) for output, declared in zip(outputs, self.outputs)])

    def _call(self, verb: str, plain_arguments: Dict[str, Any]) -> Any:
        if verb != "tensors" or plain_arguments:
            return super()._call(verb, plain_arguments)
        return {"inputs": [plain(details) for details in self._interpreter.get_input_details()],
                "outputs": [plain(details) for details in self._interpreter.get_output_details()]}

    def _close(self) -> None:
        self._release()

    def _release(self) -> None:
        # The interpreter first, then its delegate: the other way round it touches freed memory.
        interpreter, self._interpreter = self._interpreter, None
        if self._delegate is not None:
            if interpreter is not None:
                # Emptied, not only dropped: the traceback of a failed inference may hold it.
                vars(interpreter).clear()
            self._delegate.close()
            self._delegate = None

    def __del__(self) -> None:
        if getattr(self, "_delegate", None) is not None:    # forgotten: the device would stay taken
            self.close()


def open_session(
    model: Union[ModelFile, NetworkFile],
    *,
    device: str = "cpu",
    engine: Optional[str] = None,
    threads: Optional[int] = None,
    options: Optional["edgetpu.Options"] = None,
) -> Session:
    """Load *model* on exactly this device.

    :param model: a classifier, or any network
    :param device: "cpu", or an Edge TPU: "auto", "usb", "usb:N", "pci", "pci:N", ":N"
    :param threads: CPU threads; None: all cores that this process may use
    :raises ModelError: for a compiled file on the CPU, or a plain classifier on an Edge TPU
    :raises EngineNotFound: without a TFLite runtime that works
    :raises EngineError: if the runtime refuses the model
    :raises DeviceError: if the Edge TPU cannot be opened
    """
    if threads is not None and not 1 <= threads <= _MOST_THREADS:
        raise UsageError("threads must be 1 to %d, got %r" % (_MOST_THREADS, threads))
    if device == "cpu":
        if model.compiled:
            raise ModelError("model %s: is compiled for the Edge TPU and cannot run on the CPU; use its CPU twin"
                             % model.path)
        return EngineSession(model, load_engine(engine), threads=threads or usable_cores())
    if not model.compiled and isinstance(model, ModelFile):     # any other network may: it runs behind the delegate
        raise ModelError("model %s: is not compiled for the Edge TPU; use the file whose name ends in _edgetpu"
                         % model.path)
    runtime = load_engine(engine)
    options = options or edgetpu.Options()
    _check_pairing(runtime, model, device, options)
    delegate = edgetpu.open_delegate(device, options, runtime="%s %s" % runtime[:2])
    try:
        # What the compiler left to the CPU is little; one thread is enough.
        return EngineSession(model, runtime, threads=threads or 1, delegate=delegate)
    except EngineError as exc:
        raise edgetpu.reasons.refused_model(delegate.device, edgetpu.version(), "%s %s" % runtime[:2],
                                            str(exc)) from exc


def _check_pairing(runtime: Engine, model: Union[ModelFile, NetworkFile], device: str,
                   options: "edgetpu.Options") -> None:
    from . import pairing  # processes and files that nothing on the CPU needs

    version = edgetpu.version()
    if not pairing.proven(version):
        pairing.check(edgetpu.library_name(), version, "%s %s" % runtime[:2], {
            "model": os.path.abspath(str(model.path)), "device": device, "engine": runtime.name, "threads": 1,
            "options": options._asdict(), "any_network": isinstance(model, NetworkFile)})
