"""What OpenAPI says of the service; the addresses themselves stand in the application's table.

Knows the format (OpenAPI 3.0) and the shape of requests and answers.  Runs none.
"""
from __future__ import annotations

from typing import Any, Dict, Iterable, Tuple

from .. import __version__
from ..types import TensorSpec
from . import forms, tensors

__all__ = ["CLASSIFY", "LIVE", "METRICS", "MODEL", "MODEL_READY", "OPENAPI", "READY", "SERVER", "SERVICE", "document",
           "infer"]

_Json = Dict[str, Any]

_TEXT: _Json = {"type": "string"}
_WHOLE: _Json = {"type": "integer"}
_BYTES: _Json = {"type": "string", "format": "binary"}
_REFUSALS = {
    400: "The request cannot be meant so.", 401: "A token is needed.", 403: "A page of another site asks.",
    404: "There is no such model here.", 408: "The request did not arrive in time.",
    413: "The body is too long.", 415: "The body is encoded.", 421: "This server is asked under another name.",
    422: "This is no picture that can be read.", 500: "The server or its device failed.",
    503: "Too much waits already, or the device is away; Retry-After says when to try again."}
# What the door itself says, whatever is asked for.
_DOOR = (401, 403, 408, 421, 500, 503)


def _ref(name: str) -> _Json:
    return {"$ref": "#/components/schemas/" + name}


def _record(required: str = "", **properties: _Json) -> _Json:
    return {"type": "object", "required": required.split() or list(properties), "properties": properties}


def _json(schema: _Json) -> _Json:
    return {"application/json": {"schema": schema}}


def _operation(name: str, summary: str, content: _Json, refusals: Tuple[int, ...] = (), **more: Any) -> _Json:
    answers: _Json = {"200": {"description": "The answer.", "content": content}}
    for status in sorted(set(refusals + _DOOR)):
        answers[str(status)] = {"description": _REFUSALS[status], "content": _json(_ref("Refusal"))}
        if status == 503:
            answers["503"]["headers"] = {"Retry-After": {"schema": _TEXT, "description": "seconds"}}
    return dict({"operationId": name, "summary": summary, "responses": answers}, **more)


def _query(name: str, what: str, schema: _Json) -> _Json:
    return {"name": name, "in": "query", "description": what, "schema": schema, "required": False}


_NAMES = {"type": "array", "items": _TEXT}
_PREDICTION = _record(class_id=_WHOLE, label=_TEXT, score={"type": "number"})
_RESULT = _record(
    "image model device device_reason predictions preprocess_ms inference_ms error",
    image=_TEXT, model=_TEXT, device=_TEXT, device_reason=_TEXT,
    predictions={"type": "array", "items": _ref("Prediction"), "description": "best first"},
    preprocess_ms={"type": "number"}, inference_ms={"type": "number"}, error={"type": "string", "nullable": True},
    recovered={"type": "boolean"}, sure={"type": "boolean"})
_TENSOR_OUT = _record("name datatype shape", name=_TEXT, datatype=_TEXT, shape={"type": "array", "items": _WHOLE},
                      data={"type": "array", "items": {}}, parameters={"type": "object"})
_DESCRIBED = _record(name=_TEXT, datatype=_TEXT, shape={"type": "array", "items": _WHOLE}, parameters=_record(
    scale={"type": "number"}, zero_point=_WHOLE))
_SCHEMAS = {
    "Refusal": _record(error=_TEXT), "Prediction": _PREDICTION, "Result": _RESULT,
    "ModelMetadata": _record(
        name=_TEXT, versions={"type": "array", "items": _TEXT}, platform=_TEXT,
        inputs={"type": "array", "items": _DESCRIBED}, outputs={"type": "array", "items": _DESCRIBED},
        parameters={"type": "object"}),
    "InferenceResponse": _record(
        "model_name model_version outputs", model_name=_TEXT, model_version=_TEXT, id=_TEXT,
        parameters={"type": "object"}, outputs={"type": "array", "items": _TENSOR_OUT}),
}

CLASSIFY = _operation(
    "classify", "Classify a picture, or several as a form",
    _json({"oneOf": [_ref("Result"), {"type": "array", "items": _ref("Result")}]}), (400, 413, 422),
    description="A body of any type but multipart/form-data is one picture, and its record is the answer. The files of "
    "a form are answered with a list of records, in which error says what is wrong with a picture. For what the query "
    "leaves out, the server's own options hold.",
    parameters=[
        _query("top_k", "how many classes at most", {"type": "integer", "minimum": 1}),
        _query("threshold", "leave out classes with a lower score", {"type": "number"}),
        dict(_query("allow", "labels or class ids to consider", _NAMES), style="form", explode=True),
        dict(_query("deny", "labels or class ids to leave out", _NAMES), style="form", explode=True),
        _query("region", "x,y,w,h of the picture, in pixels or fractions", {
            "type": "string", "pattern": r"^[0-9.]+,[0-9.]+,[0-9.]+,[0-9.]+$", "example": "0.1,0.1,0.5,0.5"}),
        _query("rotate", "degrees clockwise", {"type": "integer", "multipleOf": 90})],
    requestBody={"required": True, "content": {
        "application/octet-stream": {"schema": _BYTES},
        "multipart/form-data": {"schema": _record(picture={
            "type": "array", "items": _BYTES, "minItems": 1, "maxItems": forms.MOST})}}})
SERVICE = _operation("service", "Which model answers, on which device", _json(_record(
    model=_TEXT, device=_TEXT, waiting=_WHOLE, waiting_limit=_WHOLE)))
SERVER = _operation("server", "Open Inference Protocol: the server", _json(_record(
    name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT})))
LIVE = _operation("live", "Open Inference Protocol: the server is there", _json(_record(live={"type": "boolean"})))
READY = _operation("ready", "Open Inference Protocol: it takes requests", _json(_record(ready={"type": "boolean"})))
MODEL = _operation("model", "Open Inference Protocol: the model's tensors", _json(_ref("ModelMetadata")), (404,))
MODEL_READY = _operation("modelReady", "Open Inference Protocol: the model takes tensors", _json(_record(
    name=_TEXT, ready={"type": "boolean"})), (404,))
METRICS = _operation("metrics", "Figures for Prometheus", {"text/plain": {"schema": _TEXT}})
OPENAPI = _operation("openapi", "This description", _json({"type": "object"}))


def infer(spec: TensorSpec) -> _Json:
    """The operation that runs a raw tensor.

    :param spec: what the model takes
    """
    tensor = _record(
        "name shape datatype", name={"type": "string", "enum": ["input"]},
        shape={"type": "array", "items": _WHOLE, "example": list(spec.shape)},
        datatype={"type": "string", "enum": [tensors.datatype(spec)]},
        data={"type": "array", "items": {}, "description": "numbers in row-major order, flat or nested"},
        parameters={"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}})
    wanted = _record("name", name={"type": "string", "enum": ["output"]}, parameters={"type": "object"})
    request = _record("inputs", id=_TEXT, parameters={"type": "object"},
                      inputs={"type": "array", "items": tensor, "minItems": 1, "maxItems": 1},
                      outputs={"type": "array", "items": wanted, "maxItems": 1})
    return _operation(
        "infer", "Open Inference Protocol: run a raw tensor",
        dict(_json(_ref("InferenceResponse")), **{"application/octet-stream": {"schema": _BYTES}}),
        (400, 404, 413, 415),
        description="With the header Inference-Header-Content-Length the body is so many bytes of JSON, and the "
        "tensor's bytes behind it (the binary tensor data extension); so is the answer where binary output is wanted.",
        requestBody={"required": True, "content": _json(request)})


def document(ways: Iterable[Tuple[str, str, _Json]], model: str, version: str, token: bool) -> _Json:
    """The whole description.

    :param ways: method, path, operation
    :param model, version: what to call the one that is here
    :param token: whether one is needed
    """
    paths: _Json = {}
    for method, path, operation in ways:
        fixed = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
                 for name, value in (("name", model), ("version", version)) if "{%s}" % name in path]
        operation = dict(operation, operationId=operation["operationId"] + ("OfVersion" if "{version}" in path else ""),
                         parameters=operation.get("parameters", []) + fixed)
        paths.setdefault(path, {})[method.lower()] = operation
    described: _Json = {
        "openapi": "3.0.3", "paths": paths, "components": {"schemas": _SCHEMAS},
        "info": {"title": "coral-classify", "version": __version__,
                 "description": "Pictures are classified at /v1/classify; raw tensors run at /v2, in the Open "
                                "Inference Protocol."}}
    if token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described
