"""The only importer of a TFLite runtime: a session on the CPU, or on an Edge TPU behind a delegate.

Knows ai-edge-litert and tflite-runtime, and which libedgetpu works with which of them.  Knows nothing of processes that
watch over others, of names, or of pictures.
May use: doors, errors, arguments, types, locations, processes, modelfiles, edgetpu.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
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

if TYPE_CHECKING:
    from .adopted import AdoptedSession, is_interpreter
    from .described import describe, open_described

__all__ = ["AdoptedSession", "ENGINES", "Engine", "EngineSession", "advice", "describe", "is_interpreter",
           "load_engine", "open_described", "open_interpreter", "open_plugin", "open_session", "usable_cores"]

__getattr__ = on_first_use(__name__, {"AdoptedSession": "adopted", "is_interpreter": "adopted",
                                      "describe": "described", "open_described": "described"})
