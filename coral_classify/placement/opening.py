"""From what the caller names to an open session: which file, on which device, supervised or not."""
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Tuple, Union

from .. import arguments, edgetpu, remote, zoo
from ..edgetpu import Options
from ..engine import open_session
from ..errors import DeviceError, ModelError
from ..events import ON_DEVICE_LOSS
from ..locations import find, home, package_folder
from ..modelfiles import ModelFile, passports, twin_path
from ..remote import is_board
from ..types import Session
from .placement import Placement, placements, twin_of

if TYPE_CHECKING:
    from ..events import Event

__all__ = ["Supervision", "find_model", "open_features", "open_first"]

# The model that the package carries; see models/README.md.
_DEFAULT_MODEL = passports.EMBEDDED + ".tflite"
_DEFAULT_NAME = passports.embedded_name()


def find_model(model: Union[str, "os.PathLike[str]", None]) -> Path:
    """The file of a model.

    :param model: its path or name, as for :class:`coral_classify.Classifier`
    :raises ModelError: if there is none
    """
    if model is None or str(model) == _DEFAULT_NAME:
        default = find("models", _DEFAULT_MODEL)
        if default is None:
            raise ModelError("no model is named, and this version carries none of its own; name one with --model "
                             "(model= in Python): a .tflite file, or after 'coral-classify models pull mobilenet-v2' "
                             "the name mobilenet-v2")
        return default
    path = Path(model)
    if os.path.exists(str(path)):
        return path
    passport = zoo.by_name(str(model))
    found = zoo.installed(passport) if passport else find("models", str(model))
    if found is None and passport and os.environ.get("CORAL_CLASSIFY_PULL") == "1":
        zoo.pull(passport.name)
        found = zoo.installed(passport)
    if found is None and passport:
        raise ModelError("model %s: is not here yet; bring it with: coral-classify models pull %s (or set "
                         "CORAL_CLASSIFY_PULL=1)" % (model, model))
    if found is None:
        raise ModelError("model %s: no such file, and no model of that name in %s or %s"
                         % (model, package_folder("models"), home() / "models"))
    return found


_GRACE_S = 1.0              # a healthy accelerator that is open within it answers the first picture
_LONGEST_OPENING_S = 60.0   # longer than the deadline of an opening


class Supervision(NamedTuple):
    """What the caller wants to happen when a driver fails; see :class:`coral_classify.Classifier`."""

    wanted: Optional[bool]
    deadline_ms: float
    on_device_loss: str
    on_event: Optional[Callable[["Event"], None]]
    wait_for_device: bool = False

    def check(self) -> "Supervision":
        """:raises UsageError: for what cannot be meant"""
        return Supervision(
            None if self.wanted is None else arguments.flag("supervised", self.wanted),
            arguments.number("deadline_ms", self.deadline_ms, above=0),
            arguments.choice("on_device_loss", self.on_device_loss, ON_DEVICE_LOSS),
            None if self.on_event is None else arguments.callback("on_event", self.on_event),
            arguments.flag("wait_for_device", self.wait_for_device))


def check_device(device: str) -> None:
    """:raises UsageError: if no device can be called so"""
    if is_board(device):
        remote.board(device)
    elif device not in ("auto", "cpu", "shared") if isinstance(device, str) else True:
        edgetpu.match(device, [])


def checked_place(device: str, engine: Optional[str], threads: Optional[int]) -> Optional[int]:
    """The number of threads, after a look at all three.

    :raises UsageError: for what cannot be meant
    """
    check_device(device)
    if engine is not None:
        arguments.text("engine", engine)
    return None if threads is None else arguments.whole("threads", threads, least=1, most=1024)


def _open_one(way: Placement, engine: Optional[str], threads: Optional[int], options: Options,
              watch: Supervision) -> Session:
    if way.device == "shared" and watch.wanted is False:
        raise DeviceError("a shared accelerator is always supervised; leave supervised=False out", cause="no-owner")
    if is_board(way.device):
        return _open_board(way, engine, threads, watch)
    if watch.wanted or way.device != "cpu" or watch[1:3] != (10000.0, "cpu"):
        # Processes and pipes: not for a plain session on the CPU, which starts sooner without them.
        from ..supervision import SupervisedSession, check_policy, decide

        check_policy(watch.deadline_ms, watch.on_device_loss)
        if decide(watch.wanted, way.device):
            if way.device not in ("cpu", "shared"):
                edgetpu.check_library()     # no child for what a look at the file system tells
            twin = twin_of(way.model) if way.device != "cpu" and way.model.compiled else None
            grace_s = None      # whoever names a device waits for it, and hears of it
            if way.device == "auto":
                grace_s = _LONGEST_OPENING_S if watch.wait_for_device else _GRACE_S
            return SupervisedSession.open(
                str(way.model.path), way.device, twin=str(twin.path) if twin else None, engine=engine,
                threads=threads, options=options._asdict(), deadline_ms=watch.deadline_ms,
                on_device_loss=watch.on_device_loss, on_event=watch.on_event, grace_s=grace_s)
    return open_session(way.model, device=way.device, engine=engine, threads=threads, options=options)


def _open_board(way: Placement, engine: Optional[str], threads: Optional[int], watch: Supervision) -> Session:
    from ..remote import open_board, open_plain
    from ..supervision import check_policy, decide

    check_policy(watch.deadline_ms, watch.on_device_loss)
    if not decide(watch.wanted, way.device):
        return open_plain(way.model, way.device, deadline_ms=watch.deadline_ms)
    return open_board(way.model, way.device, twin=twin_of(way.model) if way.model.compiled else way.model,
                      engine=engine, threads=threads, deadline_ms=watch.deadline_ms,
                      on_device_loss=watch.on_device_loss, on_event=watch.on_event)


def open_first(model: ModelFile, device: str, engine: Optional[str], threads: Optional[int],
               options: Options, watch: Supervision) -> Tuple[Session, ModelFile, str]:
    """The first placement that opens, its file, and why it is that one."""
    ways = placements(model, device)
    missing: Optional[DeviceError] = None
    for way in ways:
        try:
            session = _open_one(way, engine, threads, options, watch)
        except DeviceError as exc:
            missing = exc
            continue
        reason = way.reason if missing is None else "%s: %s" % (way.reason, missing)
        return session, way.model, reason
    assert missing is not None
    if device == "auto":
        raise DeviceError("model %s: no Edge TPU (%s), and its CPU twin %s is missing; put it beside it"
                          % (model.path, missing, twin_path(model.path).name),
                          cause=missing.cause, evidence=missing.evidence) from missing
    raise _with_owner(missing)


def _with_owner(trouble: DeviceError) -> DeviceError:
    """Whoever names a device that an owner shares opens it himself, and finds it taken."""
    from ..supervision import owner_is_there

    if trouble.cause != "busy" or not owner_is_there():
        return trouble
    return DeviceError("%s; coral-classify share has the accelerators of this machine: ask for --device shared "
                       "(device=\"shared\" in Python)" % trouble, cause=trouble.cause, evidence=trouble.evidence)


def open_features(model: ModelFile, embedding: bool, device: str, engine: Optional[str], threads: Optional[int],
                  options: Options, watch: Supervision) -> Session:
    """A session whose output is the features of a model, on the device on which its file runs.

    :param embedding: the model gives features already
    :raises ModelError: if the features cannot be found in the file
    """
    import tempfile
    import weakref

    from ..modelfiles import extractor, read_model

    if is_board(device):        # it has the whole network, and nobody brings it another one
        twin = twin_of(model) if model.compiled else model
        if twin is None:
            raise DeviceError("model %s: a board gives no features, and the CPU twin is missing; put %s beside it" % (
                model.path, twin_path(model.path).name), cause="no-twin")
        model, device = twin, "cpu"
    try:
        content = extractor(model.path.read_bytes(), embedding)
    except ModelError as exc:
        raise ModelError("model %s: %s" % (model.path, exc)) from exc
    folder = tempfile.TemporaryDirectory(prefix="coral-classify-")
    path = Path(folder.name) / ("features_edgetpu.tflite" if model.compiled else "features.tflite")
    path.write_bytes(content)
    session = open_first(read_model(path), device if model.compiled else "cpu", engine, threads, options, watch)[0]
    weakref.finalize(session, folder.cleanup)       # a supervised session opens the file again after a crash
    return session
