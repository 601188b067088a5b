"""The only importer of a TFLite runtime: a session on the CPU, or on an Edge TPU behind a delegate.

Knows ai-edge-litert and tflite-runtime, and which libedgetpu works with which of them.  Knows nothing of processes that
watch over others, of names, or of pictures.
May use: errors, arguments, types, locations, processes, modelfiles, edgetpu.
"""
from __future__ import annotations

from .adopted import AdoptedSession, is_interpreter
from .described import describe, open_described
from .runtime import (
    ENGINES,
    Engine,
    EngineSession,
    load_engine,
    open_interpreter,
    open_plugin,
    open_session,
    usable_cores,
)
from .runtimes import advice

__all__ = ["AdoptedSession", "ENGINES", "Engine", "EngineSession", "advice", "describe", "is_interpreter",
           "load_engine", "open_described", "open_interpreter", "open_plugin", "open_session", "usable_cores"]
