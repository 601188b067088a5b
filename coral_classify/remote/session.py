"""The session of a board over HTTP: whatever is wrong with it, or with what it answers, is a DeviceError."""
from __future__ import annotations

import logging
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

import numpy as np

from ..errors import DeadlineExceeded, DeviceError, DeviceLost, ModelError
from ..types import Session, TensorSpec, filled
from .addresses import Board
from .connection import Connection, Failed, Response, Slow
from .protocol import HEADER, Described, Nonsense, differs, parsed, question, received, sentence

__all__ = ["BoardSession", "Network"]

_OPENING_S = 10.0
_DESCRIPTION_BYTES = 1 << 20
_JSON_BYTES = 1 << 16       # of an answer besides its tensors
_log = logging.getLogger("coral_classify")


class Network(NamedTuple):
    """What the file at hand says of the network that the board should run."""

    file: str                           # its path, for messages
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    names: Sequence[str]                # that it may have on the board, in the order in which to ask
    content_ids: Sequence[str] = ()     # of the files that are this network; empty: that is not known
    content_id: str = ""                # of the file itself; another one of its kind is most likely another network
    compiled: bool = False              # the file's kind


class BoardSession(Session):
    """A network on a board, in the Open Inference Protocol's binary form.

    Its one verb for :meth:`Session.call` is ``"tensors"``: how the board describes its inputs and outputs.

    :param deadline_s: for each run
    :raises DeviceError: if the board does not answer, refuses, or does not speak the protocol
    :raises ModelError: if it runs another network
    """

    def __init__(self, board: Board, network: Network, *, token: Optional[str] = None,
                 deadline_s: float = 10.0) -> None:
        self._board = board
        self._deadline_s = deadline_s
        self._opened = False
        self._its_device: Optional[str] = None
        self._connection = Connection(board, token, HEADER)
        try:
            self._path, described = self._find(network)
            self._ins, self._outs = self._checked(described, network)
        except BaseException:
            self._connection.close()
            raise
        self._opened = True
        super().__init__(network.inputs, network.outputs, device=board.url)
        self._question = question(self.inputs, self._ins, self._outs)
        self._headers = {"Content-Type": "application/octet-stream", HEADER: str(len(self._question))}
        self._most = _JSON_BYTES + sum(int(np.prod(spec.shape)) * spec.dtype.itemsize for spec in self.outputs)

    def break_off(self) -> None:
        """End a run in progress, from another thread; there is none afterwards."""
        self._connection.break_off()

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tuple[np.ndarray[Any, Any], ...]":
        parts = [self._question] + [np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
                                    for tensor in tensors]
        response = self._asked("POST", self._path + "/infer", self._deadline_s, self._most, self._headers,
                               b"".join(parts))
        if response.status != 200:
            raise self._refused(response)
        try:
            record, outputs = received(response.body, response.header, self.outputs, self._outs)
        except Nonsense as exc:
            raise DeviceLost("%s: %s" % (self._board.url, exc), cause="no-board") from exc
        self._hear(record)
        return filled(into, outputs)

    def _call(self, verb: str, plain: Dict[str, Any]) -> Any:
        if verb != "tensors" or plain:
            return super()._call(verb, plain)
        return {kind: [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in described]
                for kind, described in (("inputs", self._ins), ("outputs", self._outs))}

    def _close(self) -> None:
        self._connection.close()

    # ---- opening

    def _find(self, network: Network) -> Tuple[str, Dict[str, Any]]:
        """Path and description of the model on the board."""
        names = (self._board.model,) if self._board.model is not None else network.names
        response = None
        for name in names:
            path = "/v2/models/" + quote(name, safe="")
            response = self._asked("GET", path, _OPENING_S, _DESCRIPTION_BYTES)
            if response.status == 200:
                try:
                    return path, parsed(response.body)
                except Nonsense as exc:
                    raise self._not_the_protocol(str(exc)) from exc
            if response.status != 404:
                raise self._refused(response)
        assert response is not None
        said = sentence(response.body)
        if not said:
            raise self._not_the_protocol("it knows no /v2/models")
        raise DeviceError(
            "%s: has no model %s (%s); serve this model there, or name the one that it has: %s/v2/models/NAME"
            % (self._board.url, " and no ".join(names), said, self._board.url), cause="refused")

    def _checked(self, record: Dict[str, Any], network: Network) -> "Tuple[List[Described], List[Described]]":
        try:
            inputs, outputs = Described.all_of(record, "inputs"), Described.all_of(record, "outputs")
        except Nonsense as exc:
            raise self._not_the_protocol(str(exc)) from exc
        parameters = record.get("parameters")
        parameters = parameters if isinstance(parameters, dict) else {}
        other = differs(network.inputs, inputs, "input") or differs(network.outputs, outputs, "output")
        content_id = parameters.get("content_id")
        another = isinstance(content_id, str) and content_id not in (network.content_ids or (network.content_id,))
        if other is None and another and network.content_ids:
            other = "is another file (%.12s)" % content_id
        if other is not None:
            raise ModelError("%s: runs another network than %s: it %s; serve the same model there" % (
                self._board.url, network.file, other))
        if another and network.content_id and parameters.get("compiled") is network.compiled:
            # Perhaps it differs in its labels alone; that does not show from here.
            _log.warning("%s serves another file than %s, with tensors of the same shape; if it is another network, "
                         "its answers are wrong: serve the same file there", self._board.url, network.file)
        self._hear(record)
        return inputs, outputs

    def _hear(self, record: Dict[str, Any]) -> None:
        """Which device answers there: one line if it is its CPU all at once, or not any more."""
        parameters = record.get("parameters")
        device = parameters.get("device") if isinstance(parameters, dict) else None
        if isinstance(device, str) and device != self._its_device:
            if self._its_device is not None or device == "cpu":
                _log.warning("%s answers with its %s", self._board.url, "".join(
                    letter if letter.isprintable() else "?" for letter in device[:40]))
            self._its_device = device

    # ---- what may go wrong

    def _asked(self, method: str, path: str, within_s: float, most: int, headers: Optional[Dict[str, str]] = None,
               body: Optional[bytes] = None) -> Response:
        try:
            return self._connection.ask(method, path, time.monotonic() + within_s, most, headers, body)
        except Slow as exc:
            raise (DeadlineExceeded if self._opened else DeviceError)(
                "%s: did not answer within %g s" % (self._board.url, within_s), cause="no-board") from exc
        except Failed as exc:
            raise self._lost(str(exc)) from exc

    def _lost(self, why: str) -> DeviceError:
        """One that never answered is not lost: whoever named it wants to hear of it at once."""
        return (DeviceLost if self._opened else DeviceError)(
            "%s: is not reached: %s" % (self._board.url, why), cause="no-board")

    def _not_the_protocol(self, why: str) -> DeviceError:
        return DeviceError("%s: does not speak the Open Inference Protocol (%s); start coral-classify serve there"
                           % (self._board.url, why), cause="refused")

    def _refused(self, response: Response) -> DeviceError:
        said = sentence(response.body)
        why = "%d%s" % (response.status, ": " + said if said else "")
        url = self._board.url
        if response.status in (401, 403):
            return DeviceError("%s: refuses (%s); set CORAL_CLASSIFY_TOKEN to its token" % (url, why), cause="refused")
        if 300 <= response.status < 400:
            return DeviceError("%s: leads elsewhere (%s), and redirects are not followed; name the place itself"
                               % (url, response.status), cause="refused")
        return DeviceError("%s: refuses (%s)" % (url, why), cause="no-board")
