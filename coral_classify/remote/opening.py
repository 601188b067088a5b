"""From a model file at hand to a session of the same network on a board."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from ..modelfiles import ModelFile, passports, twin_path
from ..types import Quantization, Session, TensorSpec
from .addresses import board, token
from .session import BoardSession, Network

if TYPE_CHECKING:
    from ..events import Event

__all__ = ["open_board", "open_described", "open_plain"]

_EDGETPU = "_edgetpu"


def open_plain(model: ModelFile, device: str, *, deadline_ms: float = 10000.0) -> BoardSession:
    """A session of its own: a board that is lost is an error.

    :raises UsageError, DeviceError, ModelError: as :class:`BoardSession`
    """
    return BoardSession(board(device), _network(model), token=token(), deadline_s=deadline_ms / 1e3)


def open_board(
    model: ModelFile,
    device: str,
    *,
    twin: Optional[ModelFile],
    engine: Optional[str] = None,
    threads: Optional[int] = None,
    deadline_ms: float = 10000.0,
    on_device_loss: str = "cpu",
    on_event: "Optional[Callable[[Event], None]]" = None,
) -> Session:
    """A session that is supervised: a lost board is a lost device.

    :param twin: what the CPU of this machine runs while the board is away
    :raises UsageError, DeviceError, ModelError: as :class:`BoardSession`
    """
    from ..engine import describe
    from ..supervision import DeviceHealth, Limits, SupervisedSession

    limits = Limits.of(deadline_ms)
    network = _network(model)
    description: Dict[str, Any] = {
        "model": network.file, "board": device, "names": network.names, "content_ids": network.content_ids,
        "content_id": network.content_id, "compiled": network.compiled,
        # Whoever supervises it counts the time, and is first to say that it is over.
        "deadline_s": limits.first_s + 1.0,
        "inputs": [_plain(spec) for spec in network.inputs], "outputs": [_plain(spec) for spec in network.outputs]}
    return SupervisedSession(
        description, twin=describe(str(twin.path), "cpu", engine=engine, threads=threads) if twin else None,
        device=board(device).url, limits=limits, on_device_loss=on_device_loss, on_event=on_event,
        thread_factory="coral_classify.remote.opening:open_described",
        health=DeviceHealth(longest_pause_s=5.0, rest_s=0.0))


def open_described(description: Dict[str, Any]) -> Session:
    """What :func:`open_board` describes, in a thread of the session's."""
    network = Network(
        description["model"], [_spec(told) for told in description["inputs"]],
        [_spec(told) for told in description["outputs"]], names=description["names"],
        content_ids=description["content_ids"], content_id=description["content_id"],
        compiled=description["compiled"])
    return BoardSession(board(description["board"]), network, token=token(), deadline_s=description["deadline_s"])


def _network(model: ModelFile) -> Network:
    """The board may have the compiled file or its twin, and call it by the file's or by the published name."""
    passport = passports.by_file(model.path, model.content_id)
    stem, plain = model.path.stem, twin_path(model.path).stem
    names: List[str] = [stem, plain if model.compiled else stem + _EDGETPU]
    content_ids: List[str] = []     # of only one of the two files nothing follows: the other has another
    if passport is not None:
        names.append(passport.name)
        content_ids = [str(file["git_blob"]) for file in passport.files.values() if "git_blob" in file]
        content_ids.append(model.content_id)
    return Network(str(model.path), [model.input], [model.output], names=names, content_ids=content_ids,
                   content_id=model.content_id, compiled=model.compiled)


def _plain(spec: TensorSpec) -> List[Any]:
    return [list(spec.shape), spec.dtype.name, float(spec.quantization.scale), int(spec.quantization.zero_point)]


def _spec(told: List[Any]) -> TensorSpec:
    import numpy as np

    return TensorSpec(tuple(told[0]), np.dtype(told[1]), Quantization(told[2], told[3]))
