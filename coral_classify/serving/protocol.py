"""The Open Inference Protocol, version 2, over HTTP: health, metadata, and inference of raw tensors, as JSON or, with
the binary extension, as bytes.

Knows the protocol's names, and one model of one input and one output.  Knows nothing of pictures and classes.
Facts: https://github.com/kserve/open-inference-protocol (inference_rest.md), and Triton's extension_binary_data.md.
"""
from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from .. import __version__
from ..errors import CoralClassifyError, EngineError, UsageError
from ..types import Answer
from ..web import Refused
from . import tensors
from .sentences import refused, without_paths

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .desk import Desk

__all__ = ["INPUT", "OUTPUT", "VERSION", "Protocol"]

INPUT, OUTPUT, VERSION = "input", "output", "1"
HEADER = "Inference-Header-Content-Length"
_JSON_BYTES = 1 << 16       # of a request's JSON besides its numbers …
_NUMBER_BYTES = 32          # … and for each of these


class Protocol:
    """The handlers of the protocol's requests.

    :param name: of the model
    :param tell: is called with whoever gave an output
    """

    def __init__(self, desk: "Desk", name: str, tell: Callable[[Answer], None]) -> None:
        self._desk = desk
        self._name = name
        self._tell = tell
        self._input, self._output = desk.classifier.input, desk.classifier.output

    # ---- handlers

    async def server(self, request: "Request") -> "Response":
        return _json({"name": "coral-classify", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(self, request: "Request") -> "Response":
        return _json({"live": True})

    async def ready(self, request: "Request") -> "Response":
        if not self._desk.ready:
            raise Refused(503, "the server is ending", {"Retry-After": "5"})
        return _json({"ready": True})

    async def model_ready(self, request: "Request") -> "Response":
        self._check(request)
        await self.ready(request)
        return _json({"name": self._name, "ready": True})

    async def model(self, request: "Request") -> "Response":
        self._check(request)
        described = [{"name": name, "datatype": tensors.datatype(spec), "shape": list(spec.shape),
                      "parameters": {"scale": float(spec.quantization.scale),
                                     "zero_point": int(spec.quantization.zero_point)}}
                     for name, spec in ((INPUT, self._input), (OUTPUT, self._output))]
        classifier = self._desk.classifier
        told: Dict[str, Any] = {"device": classifier.device,
                                "device_reason": without_paths(classifier.device_reason)}
        if classifier.content_id is not None:
            told.update(content_id=classifier.content_id, compiled=classifier.compiled)
        return _json({"name": self._name, "versions": [VERSION], "platform": "tensorflow_lite",
                      "inputs": described[:1], "outputs": described[1:], "parameters": told})

    async def infer(self, request: "Request") -> "Response":
        from starlette.responses import Response

        self._check(request)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "a body comes as it is here, without a Content-Encoding")
        with self._desk.place() as place:
            body = await place.body(request)
            try:
                content, length = await self._desk.worked(functools.partial(
                    self._answer, body, request.headers.get(HEADER)))
            except CoralClassifyError as exc:
                raise refused(exc) from exc
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER: str(length)})

    # ---- in a thread of the desk's

    def _answer(self, body: bytes, header: Optional[str]) -> Tuple[bytes, Optional[int]]:
        """The response's body, and how long the JSON in it is if there is more.

        :raises UsageError: for a request that cannot be meant
        """
        asked, rest = self._parts(body, header)
        tensor, rest = tensors.received(self._one(asked, "inputs", INPUT), self._input, rest)
        if len(rest):
            raise UsageError("%d bytes behind the JSON belong to no input" % len(rest))
        as_binary = self._is_binary(asked)
        answer: Dict[str, Any] = {"model_name": self._name, "model_version": VERSION}
        if "id" in asked:
            if not isinstance(asked["id"], str):
                raise UsageError("id must be a text, got %s" % tensors.short(asked["id"]))
            answer["id"] = asked["id"]
        output, by = self._desk.classifier.run(tensor)
        self._tell(by)
        answer["parameters"] = {"device": by.device, "recovered": by.recovered}
        if by.reason is not None:
            answer["parameters"]["device_reason"] = without_paths(by.reason)
        record, contents = tensors.written(output, self._output, OUTPUT, as_binary)
        answer["outputs"] = [record]
        try:
            text = json.dumps(answer, allow_nan=False).encode("ascii")
        except ValueError:
            raise EngineError("the model gave a number that JSON does not have; ask for the output as bytes") from None
        return (b"".join([text] + contents), len(text)) if contents else (text, None)

    def _parts(self, body: bytes, header: Optional[str]) -> Tuple[Dict[str, Any], memoryview]:
        """The JSON of a request, and the bytes behind it."""
        if header is not None and not (header.isdecimal() and len(header) < 19 and int(header) <= len(body)):
            raise UsageError("%s must be the length of the JSON in this body of %d bytes, got %s"
                             % (HEADER, len(body), tensors.short(header)))
        length = len(body) if header is None else int(header)
        most = _JSON_BYTES + _NUMBER_BYTES * functools.reduce(lambda a, b: a * b, self._input.shape)
        if length > most:
            raise UsageError("the request's JSON has %d bytes, and at most %d are taken; send the tensor as bytes"
                             % (length, most))
        return tensors.parsed(body[:length]), memoryview(body)[length:]

    @staticmethod
    def _one(asked: Dict[str, Any], kind: str, name: str) -> Dict[str, Any]:
        """The only one of the request's inputs or outputs."""
        found = asked.get(kind)
        if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
            raise UsageError("%s must be a list of one tensor, named %s" % (kind, json.dumps(name)))
        if found[0].get("name") != name:
            raise UsageError("%s: the model has %s, got %s" % (kind, json.dumps(name),
                                                              tensors.short(found[0].get("name"))))
        one: Dict[str, Any] = found[0]
        return one

    def _is_binary(self, asked: Dict[str, Any]) -> bool:
        """Whether the output is wanted as bytes."""
        wanted = tensors.parameters(asked, "the request").get("binary_data_output", False)
        if asked.get("outputs"):
            own = tensors.parameters(self._one(asked, "outputs", OUTPUT), OUTPUT)
            if "classification" in own:
                raise UsageError("output: classification is not done here; POST /v1/classify ranks and names")
            wanted = own.get("binary_data", wanted)
        if not isinstance(wanted, bool):
            raise UsageError("binary_data and binary_data_output must be true or false, got %s"
                             % tensors.short(wanted))
        return wanted

    def _check(self, request: "Request") -> None:
        """:raises Refused: if another model is asked for"""
        asked: List[str] = [request.path_params["name"], request.path_params.get("version", VERSION)]
        if asked != [self._name, VERSION]:
            raise Refused(404, "there is one model here: %s, version %s" % (self._name, VERSION))


def _json(record: Dict[str, Any]) -> "Response":
    from starlette.responses import JSONResponse

    return JSONResponse(record)
