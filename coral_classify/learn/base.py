"""The network to build on: where its files are, and the part of them that gives features.

Knows file names and passports.  Knows no pictures.
"""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Union

from .. import arguments
from ..classifier import Classifier
from ..errors import ModelError
from ..modelfiles import compiled_path, extractor, passports, read_model, split, twin_path
from ..placement import find_model
from ..types import Inferred, Ready, Result, Wanted

__all__ = ["Base", "Features", "find_base"]


class Base(NamedTuple):
    """A network that gives features."""

    name: str                       # what the user called it, or the file's name
    plain: Optional[bytes]          # the file for the CPU
    compiled: Optional[bytes]       # the file for the Edge TPU
    mean: "Any"                     # (pixel - mean) / std is what it wants; None: see its files
    std: "Any"
    notes: "List[str]"              # what the user should know

    def put_into(self, folder: Path) -> Path:
        """Write the files where a classifier can open them; the one to open."""
        for content, name in ((self.plain, "base.tflite"), (self.compiled, "base_edgetpu.tflite")):
            if content is not None:
                (folder / name).write_bytes(content)
        return folder / ("base.tflite" if self.plain is not None else "base_edgetpu.tflite")


def find_base(model: Union[str, "os.PathLike[str]", None]) -> Base:
    """:param model: as for :class:`coral_classify.Classifier`; of a published classifier that has a feature extractor
        of its own, the extractor is taken if it is here
    :raises UsageError: if it cannot be meant
    :raises ModelError: if there is none, or its features cannot be found
    """
    notes: List[str] = []
    if model is not None:
        arguments.file("base", model, "the path or the name of a model")
    name = passports.embedded_name() if model is None else os.fspath(model)
    path = None
    if model is not None and not os.path.exists(name):
        separate = next((passport for passport in passports.known() if passport.name == name + "-embedding"), None)
        if separate is not None:
            try:
                path = find_model(separate.name)
            except ModelError:
                notes.append("for the Edge TPU, too, bring its feature extractor: coral-classify models pull %s"
                             % separate.name)
    path = path or find_model(model)
    asked = read_model(path)
    plain_path = twin_path(path) if asked.compiled else path
    passport = passports.by_file(path)
    embedding = passport is not None and passport.kind == "embedding"
    if plain_path == path and asked.compiled or not plain_path.is_file():
        plain_path = None                               # type: ignore[assignment]
    plain = compiled = None
    if plain_path is not None:
        whole = _content(plain_path)
        plain = _extracted(plain_path, whole, embedding)
        embedding = plain is whole
    beside = path if asked.compiled else compiled_path(path)
    if beside.is_file() and read_model(beside).compiled and (embedding or plain is None):
        try:
            compiled = _extracted(beside, _content(beside), embedding)
        except ModelError as exc:
            wanted = "the published extractor"
            if passport is not None:
                wanted = "%s-embedding" % passport.name
            raise ModelError("%s; take %s" % (exc, wanted)) from exc
    elif beside.is_file() and not notes:
        notes.append("%s is compiled with its last layer, so only a file for the CPU is written; for the Edge TPU, "
                     "name a feature extractor" % beside.name)
    mean, std = (passport.mean, passport.std) if passport is not None else (None, None)
    return Base(name, plain, compiled, mean, std, notes)


def _content(path: Path) -> bytes:
    return split(path.read_bytes())[0]


def _extracted(path: Path, content: bytes, embedding: bool) -> bytes:
    try:
        return extractor(content, embedding)
    except ModelError as exc:
        raise ModelError("model %s: %s" % (path, exc)) from exc


class Seen(NamedTuple):
    """What a network gave for one picture."""

    image: Any
    features: Any                   # (features,) as stored; None where it failed
    error: Optional[str]


class Features(Classifier):
    """A classifier whose answers are features: its stream gives :class:`Seen`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._refusal = None

    def result(self, image: Any, ready: Ready, inferred: Inferred, wanted: Wanted) -> Result:
        return Seen(image, inferred.output.reshape(-1), None)       # type: ignore[return-value]

    def failed(self, image: Any, exc: Exception) -> Result:
        return Seen(image, None, str(exc))                          # type: ignore[return-value]
