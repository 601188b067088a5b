"""The file of a model of own classes: base, head, labels, passport and features in one ``.tflite``.

The head is quantized as TFLite's specification has it: features of unit length (scale 1/128), weights and logits of 8
bits with one scale, biases of 32.  Knows no pictures.
"""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import CoralClassifyError, ModelError
from ..modelfiles import (
    LABEL_FILE,
    METADATA,
    Constant,
    Layer,
    attach,
    classifier_metadata,
    label_file,
    passports,
    read_graph,
    rewrite,
    split,
)
from ..types import Quantization, TensorSpec
from ..writing import sync_folder, whole
from .heads import Head

__all__ = ["Taught", "layers", "put", "read_taught", "taught_content"]

_FEATURES = "coral_classify_features.npy"
_STEPS = 255 * 0.1      # widest range of logits that matters: what is e^25 times less probable shows as 0
_UNIT_SCALE = 1 / 128   # what L2_NORMALIZATION demands


class Taught(NamedTuple):
    """What a model of own classes says of itself."""

    base: bytes                 # the network without the head, as it was given
    entry: Dict[str, Any]       # the passport
    features: bytes             # an .npy file


def layers(spec: TensorSpec, normalized: bool, head: Head, top: float) -> List[Layer]:
    """The operators of a head behind features.

    :param spec: of the features
    :param normalized: they are of unit length already
    :param top: the highest logit to be told apart from higher ones
    """
    classes, features = head.weights.shape
    real = spec.dtype.kind == "f"
    lowest = 0 if real else int(np.iinfo(spec.dtype).min)
    middle = 0 if real else lowest + 128

    def output(shape: Sequence[int], scale: float, zero_point: int) -> TensorSpec:
        return TensorSpec(tuple(shape), spec.dtype, Quantization(0.0, 0) if real else Quantization(scale, zero_point))

    steps = [] if normalized else [Layer("L2_NORMALIZATION", output(spec.shape, _UNIT_SCALE, middle), (), "unit")]
    if real:
        constants = (Constant(head.weights.astype(np.float32), (), (), "weights"),
                     Constant(head.bias.astype(np.float32), (), (), "biases"))
        low, scale = 0.0, 1.0
    else:
        unit_scale = spec.quantization.scale if normalized else _UNIT_SCALE
        weight_scale = max(float(np.abs(head.weights).max()), 1e-6) / 127
        stored = np.clip(np.rint(head.weights / weight_scale), -127, 127) + middle
        biases = np.rint(head.bias / (unit_scale * weight_scale))
        constants = (Constant(stored.astype(spec.dtype), (weight_scale,), (middle,), "weights"),
                     Constant(biases.astype(np.int32), (unit_scale * weight_scale,), (0,), "biases"))
        low = min(0.0, top - _STEPS)
        scale = (top - low) / 255
    zero_point = lowest + int(np.clip(round(-low / scale), 0, 255))
    return steps + [
        Layer("FULLY_CONNECTED", output((1, classes), scale, zero_point), constants, "logits"),
        Layer("SOFTMAX", output((1, classes), 1 / 256, lowest), (), "probabilities")]


def taught_content(base: bytes, head: Head, top: float, entry: Dict[str, Any], features: bytes,
                   pixels: Tuple[Sequence[float], Sequence[float]]) -> bytes:
    """The whole file.

    :param base: an extractor
    :param entry: the passport; what concerns this file is added
    :param pixels: (means, stds) of the normalization
    """
    graph = read_graph(base)
    last = graph.tensors[graph.outputs[0]]
    producer = graph.producer(graph.outputs[0])
    given = graph.tensors[graph.inputs[0]].spec
    stored = (0.0, 1.0) if given.dtype.kind == "f" else (
        float(np.iinfo(given.dtype).min), float(np.iinfo(given.dtype).max))
    told = classifier_metadata(entry["title"], entry["notes"], pixels=pixels, stored=stored)
    normalized = producer is not None and producer.kind == "L2_NORMALIZATION"
    body = rewrite(base, layers=layers(last.spec, normalized, head, top), description=entry["title"],
                   metadata={METADATA: told}, files={})
    bare = split(base)[0]
    entry = dict(entry, offset=len(body) - len(bare), length=len(bare), sha256=hashlib.sha256(bare).hexdigest())
    return attach(body, {LABEL_FILE: label_file(entry["labels"]), _FEATURES: features,
                         passports.INSIDE: json.dumps(entry, indent=1).encode("ascii")})


def read_taught(path: Path) -> Taught:
    """:raises ModelError: if the file is none of a model of own classes, or is damaged"""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError("model %s: cannot be read: %s" % (path, exc.strerror or exc)) from exc
    _, files = split(content)
    if passports.INSIDE not in files or _FEATURES not in files:
        raise ModelError("model %s: was not made by teaching, so it cannot be taught further; make one with: "
                         "coral-classify teach FOLDER --into FILE" % path)
    try:
        entry = json.loads(files[passports.INSIDE].decode("ascii"))
        base = content[entry["offset"]:entry["offset"] + entry["length"]]
        right = hashlib.sha256(base).hexdigest() == entry["sha256"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelError("model %s: its passport is damaged (%s)" % (path, exc)) from exc
    if not right:
        raise ModelError("model %s: the network inside is not the one that it was made from; make it anew" % path)
    return Taught(base, entry, files[_FEATURES])


def put(path: Path, content: Optional[bytes]) -> None:
    """The file as a whole: written beside, synced, renamed; None: no file.

    :raises CoralClassifyError: if it cannot be written
    """
    try:
        if content is None:
            if path.exists():
                path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, overwrite=True) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as exc:
        raise CoralClassifyError("%s: cannot be written: %s" % (path, exc.strerror or exc)) from exc
