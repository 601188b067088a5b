"""Which file runs where: a compiled model on an Edge TPU, or its plain twin on the CPU, and why."""
from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Optional

from .. import edgetpu
from ..errors import DeviceError, ModelError
from ..modelfiles import ModelFile, compiled_path, read_model, twin_path
from ..remote import is_board
from ..supervision import owner_is_there

__all__ = ["Placement", "placements", "twin_of"]


class Placement(NamedTuple):
    """One way to run a model; the first that opens is taken."""

    model: ModelFile
    device: str     # "cpu", or a device of pycoral's grammar
    reason: str     # why this one


def _read_if_there(path: Path, like: ModelFile) -> Optional[ModelFile]:
    if path == like.path or not path.is_file():
        return None
    other = read_model(path)
    if other.input != like.input or other.output.shape != like.output.shape:
        raise ModelError("model %s: is no twin of %s: their inputs or outputs differ; put the right file beside it"
                         % (path, like.path.name))
    return other


def placements(model: ModelFile, device: str) -> List[Placement]:
    """The ways to run *model* on *device*, in the order in which to try them.

    :param device: "auto", "cpu", an Edge TPU by pycoral's grammar, or a board's address
    :raises UsageError: for an unknown device name
    :raises DeviceError: if the file that this device needs is missing
    """
    if is_board(device):
        return [Placement(model, device, "asked for %s" % device)]
    if device not in ("cpu", "shared"):
        edgetpu.match(device, [])
    if model.compiled:
        compiled: Optional[ModelFile] = model
        plain = None if device not in ("auto", "cpu") else _read_if_there(twin_path(model.path), model)
    else:
        compiled = None if device == "cpu" else _read_if_there(compiled_path(model.path), model)
        plain = model
    if device == "cpu":
        if plain is None:
            raise DeviceError("model %s: is compiled for the Edge TPU, and its CPU twin %s is missing; put it beside it"
                              % (model.path, twin_path(model.path)), cause="no-twin")
        return [Placement(plain, "cpu", "asked for the CPU" + _twin_note(model, plain))]
    if device == "shared":
        return [Placement(compiled or model, "shared", "asked for the shared accelerator")]
    if device != "auto":
        if compiled is None or not compiled.compiled:
            raise DeviceError("model %s: device %s needs a file compiled for the Edge TPU; put %s beside it, or use "
                              "--device cpu" % (model.path, device, compiled_path(model.path).name),
                              cause="no-compiled")
        return [Placement(compiled, device, "asked for %s" % device)]
    ways = []
    if compiled is not None and compiled.compiled:
        if owner_is_there():
            ways.append(Placement(compiled, "shared", "an owner shares its Edge TPU"))
        ways.append(Placement(compiled, "auto", "an Edge TPU is attached"))
    if plain is not None:
        reason = "no Edge TPU could be used" + _twin_note(model, plain) if ways else \
            "the model is not compiled for the Edge TPU (no %s beside it)" % compiled_path(model.path).name
        ways.append(Placement(plain, "cpu", reason))
    return ways


def twin_of(compiled: ModelFile) -> Optional[ModelFile]:
    """The plain file beside a compiled one that can stand in for it on the CPU; None if there is none.

    :raises ModelError: if the file of that name is another network
    """
    return _read_if_there(twin_path(compiled.path), compiled)


def _twin_note(asked: ModelFile, used: ModelFile) -> str:
    return "" if used.path == asked.path else "; %s is the CPU twin" % used.path.name
