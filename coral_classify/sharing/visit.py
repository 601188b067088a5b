"""One client's visit, in a thread of its own: the order, then picture after picture.

What a client does wrong ends its own visit and nothing else.
"""
from __future__ import annotations

import os
import threading
import time
from typing import Any, Dict, Optional

from ..errors import CoralClassifyError, DeviceError, DeviceLost, EngineError, SessionClosed, UsageError
from ..supervision import Guest, Request
from .clients import Client, Clients
from .copies import Copy
from .stock import CLASSIFIER, INTERPRETER, NETWORK, Loaded, Stock

__all__ = ["Visit"]

_ORDER_S = 5.0
_PATIENCE_S = 8.0  # how long a picture waits for a lost accelerator; clients with a twin need not wait for long
# What an interpreter is asked beyond its tensors, and answers alike to all; with our arguments, not the client's.
_VERBS: Dict[str, Dict[str, Any]] = {"layout": {}, "details": {"subgraph": 0}}


class Visit:
    """:param over: set when the owner is about to end"""

    def __init__(self, client: Client, clients: Clients, stock: Stock, over: threading.Event) -> None:
        self._client, self._clients, self._stock, self._over = client, clients, stock, over
        self._guest = Guest(client.end, lambda size: clients.reserve(client, tensors=size))
        self._loaded: Optional[Loaded] = None
        self._wish = "shared"

    def pay(self, copy: Copy) -> None:
        """From the order to the goodbye.

        :raises EOFError: if the client is gone, or sends what cannot be meant
        """
        try:
            try:
                told = self._guest.order(_ORDER_S)
                self._copy, self._kind = copy, _kind(told)
                description = told["description"]
                self._wish = str(description.get("device") or "shared")
                self._client.model = os.path.basename(str(description.get("model")))[:100] or "?"
                self._housed()
            except CoralClassifyError as exc:
                self._guest.failed(0, exc)
                return
            while self._answered_one():
                pass
        finally:
            self._guest.close()
            if self._loaded is not None:
                self._stock.give_back(self._loaded)

    def _housed(self) -> Loaded:
        """Where this client is housed best at present."""
        before = self._loaded
        if before is not None and self._stock.is_best(before, self._wish):
            return before
        try:
            loaded = self._stock.take(self._copy, self._kind, self._wish, leaving=before)
        except CoralClassifyError:
            if before is None or before.closed:
                raise
            return before  # it cannot move, and stays
        if before is not None:
            self._stock.give_back(before)
        self._loaded = loaded
        loaded.name, self._client.device = self._client.model, loaded.place.name
        self._guest.ready(loaded.place.name, loaded.session.inputs, loaded.session.outputs)
        return loaded

    def _answered_one(self) -> bool:
        request = self._guest.next()
        if request is None or self._over.is_set():
            return False
        with self._clients.picture_in_hand():
            try:
                answer = self._answer(request)
            except CoralClassifyError as exc:
                self._guest.failed(request.number, exc)
            else:
                self._guest.done(request, answer)
                self._client.answers += request.verb is None
        return True

    def _answer(self, request: Request) -> Any:
        """The answer of an accelerator, perhaps after a fault, which is charged to the model that had its turn.

        :raises CoralClassifyError: for the client
        """
        if request.verb is not None and (self._kind != INTERPRETER or request.verb not in _VERBS
                                         or request.plain.get("subgraph")):
            raise UsageError("%r cannot be had through an owner of shared accelerators: others use the model, too; it "
                             "needs an accelerator of its own" % _worded(request.verb))
        until = time.monotonic() + _PATIENCE_S
        while True:
            loaded = self._housed()
            session = loaded.session
            if not session.is_there(0.2):
                if time.monotonic() < until and not self._over.wait(0.02):
                    continue
                raise DeviceLost(session.trouble or "%s is away" % loaded.place.name, cause="crashed")
            try:
                with loaded.place.turns.turn(self._client, loaded.key):
                    if not session.is_there():  # it went in the turn of another, whom that is charged to
                        continue
                    if request.verb is not None:
                        return session.call(request.verb, **_VERBS[request.verb])
                    answer = session.run_all(request.inputs, into=request.into)
                self._stock.answered(loaded)
                return answer
            except SessionClosed:
                if time.monotonic() >= until:
                    raise
            except (DeviceError, EngineError):
                # Whatever it was, the process of the accelerator is started anew after it, for all.
                if loaded.place.name == "cpu" or self._over.is_set():
                    raise
                self._stock.crashed(loaded)
                until = time.monotonic() + _PATIENCE_S


def _kind(told: Dict[str, Any]) -> str:
    """
    :raises DeviceError: for an order that nobody here knows
    """
    description = told["description"]
    if told.get("factory") == "coral_classify.engine:open_described":
        return NETWORK if description.get("any_network") else CLASSIFIER
    if told.get("factory") != "coral_classify.compat.housed:open_housed":
        raise DeviceError("this owner opens classifiers and networks only", cause="no-owner")
    if description.get("shapes"):
        raise DeviceError("models are shared in the shapes of their files; one whose inputs are resized needs an "
                          "accelerator of its own", cause="no-owner")
    return INTERPRETER


def _worded(verb: str) -> str:
    return {"tensor": "a tensor inside a model"}.get(verb, verb[:40])
