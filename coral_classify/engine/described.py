"""A session described in plain types, which travel to another process, and opened there."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Optional

from ..edgetpu import Options, talk
from ..modelfiles import read_model, read_network
from ..types import Session
from .runtime import open_session

__all__ = ["describe", "open_described"]


def describe(
    model: str,
    device: str,
    *,
    engine: Optional[str] = None,
    threads: Optional[int] = None,
    options: Optional[Dict[str, Any]] = None,
    any_network: bool = False,
) -> Dict[str, Any]:
    """A session to be opened, in plain types that travel as JSON.

    :param model: path of the compiled file for an Edge TPU, of the plain one for the CPU
    :param any_network: not only a classifier: the engine tells its inputs and outputs
    :param options: fields of :class:`coral_classify.edgetpu.Options`
    """
    # The worker's current folder is not ours if ours changes before it is started anew.
    return {
        "model": os.path.abspath(model),
        "device": device,
        "engine": engine,
        "threads": threads,
        "options": dict(options or {}),
        "any_network": any_network,
    }


def open_described(description: Dict[str, Any]) -> Session:
    """Open what :func:`describe` describes: what a worker process does."""
    # What the driver says while it opens reaches the parent, through this process's standard error.
    talk()
    told = description["options"]
    return open_session(
        (read_network if description.get("any_network") else read_model)(Path(description["model"])),
        device=description["device"],
        engine=description["engine"],
        threads=description["threads"],
        options=Options(
            told.get("performance"), told.get("usb_always_dfu"), told.get("usb_max_bulk_in_queue_length")
        ),
    )
