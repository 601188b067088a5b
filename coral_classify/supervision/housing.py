"""One session behind a wire, from its opening to its end: what a worker process does, or a thread."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from ..types import Session
from . import channel
from .tensors import mapped

__all__ = ["housed"]

_MOST_KNOWN = 1024  # ways to choose tensors that are remembered


def housed(wire: channel.Wire, opened: Callable[[Session], None] = lambda session: None) -> None:
    """Open the session that the first frame orders, and do what the next ones want, to the last.

    :param opened: hears of it as soon as it is there
    :raises EOFError: if whoever is at the other end goes without a word
    """
    order = json.loads(wire.receive().payload.decode("ascii"))
    try:
        session = _open(order["factory"], order["description"])
    except BaseException as exc:  # SystemExit and KeyboardInterrupt too: the parent wants to know
        wire.send(channel.FAILED, 0, channel.error_to_json(exc))
        return
    with session:
        opened(session)
        try:
            if order["prove"]:
                # A device that came back must answer once before a picture is entrusted to it.
                session.run_all([np.zeros(spec.shape, spec.dtype) for spec in session.inputs])
        except BaseException as exc:
            wire.send(channel.FAILED, 0, channel.error_to_json(exc))
            return
        ready = {
            "device": session.device,
            "inputs": [channel.spec_to_json(spec) for spec in session.inputs],
            "outputs": [channel.spec_to_json(spec) for spec in session.outputs],
        }
        wire.send(channel.READY, 0, json.dumps(ready).encode("ascii"))
        memories: "Dict[int, List[Tuple[np.ndarray[Any, Any], ...]]]" = {}  # by number: sets of tensors
        known: "Dict[bytes, List[np.ndarray[Any, Any]]]" = {}  # the tensors of a RUN, by its payload
        while True:
            frame = wire.receive()
            if frame.kind == channel.QUIT:
                break
            if frame.kind == channel.TAKE:
                memories[frame.number] = mapped(frame.descriptor, channel.layout_from_payload(frame.payload))
                os.close(frame.descriptor)
            elif frame.kind == channel.DROP:
                del memories[frame.number]
                known.clear()
            else:
                try:
                    if frame.kind == channel.CALL:
                        payload = _call(session, frame.payload)
                    else:
                        tensors = known.get(frame.payload)
                        if tensors is None:
                            if len(known) > _MOST_KNOWN:
                                known.clear()
                            tensors = known[frame.payload] = [
                                memories[memory][slot][position]
                                for memory, slot, position in channel.places_from_payload(frame.payload)
                            ]
                        payload = _run(session, tensors)
                except Exception as exc:
                    wire.send(channel.FAILED, frame.number, channel.error_to_json(exc))
                else:
                    wire.send(channel.DONE, frame.number, payload)


def _run(session: Session, tensors: "List[np.ndarray[Any, Any]]") -> bytes:
    """The outputs; nothing where *tensors* holds places for them, too."""
    inputs = len(session.inputs)
    if len(tensors) == inputs:
        if inputs == 1 == len(session.outputs):  # a classifier: the shortest way
            return session.run(tensors[0]).tobytes()
        return channel.outputs_to_payload(session.run_all(tensors))
    session.run_all(tensors[:inputs], into=tensors[inputs:])
    return b""


def _call(session: Session, payload: bytes) -> bytes:
    order = json.loads(payload.decode("ascii"))
    return json.dumps(session.call(order["verb"], **order["plain"])).encode("ascii")


def _open(factory: str, description: Dict[str, Any]) -> Session:
    module, _, function = factory.partition(":")
    make: Callable[[Dict[str, Any]], Session] = getattr(importlib.import_module(module), function)
    return make(description)
