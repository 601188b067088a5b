"""Where an interpreter lives: which file of a model, in which process, on which device."""
from __future__ import annotations

import logging
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from .. import edgetpu
from ..errors import DeviceError, ModelError
from ..modelfiles import is_compiled, read_network, twin_path
from ..supervision import decide
from .delegate import Delegate
from .local import LocalHost
from .remote import RemoteHost

__all__ = ["home_for"]

_log = logging.getLogger("coral_classify.compat")


def home_for(path: Optional[str], content: Optional[bytes], delegates: List[Any], options: Dict[str, Any],
             resolver: str) -> Union[LocalHost, RemoteHost]:
    """The home of a model.

    Behind our delegate, a model that is not compiled for the Edge TPU runs on the CPU of this process: there is nothing
    in it that the device could do.

    :param delegates: ours, or a runtime's
    :param options: of the runtime's constructor
    :raises ValueError, RuntimeError: as the runtimes do
    """
    ours = [one for one in delegates if isinstance(one, Delegate)]
    others = [one for one in delegates if not isinstance(one, Delegate)]
    options = dict(options, experimental_delegates=others or None, resolver=resolver)
    if not ours or not _compiled(path, content):
        return LocalHost(model_path=path, model_content=content, **options)
    delegate = ours[0]
    if delegate.cpu:
        twin = _twin(path)
        if twin is None:
            raise ValueError("model %s: is compiled for the Edge TPU, and its CPU twin is missing%s" % (
                path or "(given as bytes)", "; put %s beside it" % twin_path(Path(path)).name if path else
                "; give the plain model"))
        _log.info("%s runs on the CPU: %s is its twin", path, twin)
        return LocalHost(model_path=twin, **options)
    if not decide(None, delegate.device):
        return _unsupervised(delegate, path, content, options)
    if path is None:
        assert content is not None
        file = _kept(content)
        home = RemoteHost(delegate, file.name, twin=None, threads=options["num_threads"])
        weakref.finalize(home, file.close)
        return home
    return RemoteHost(delegate, path, twin=_twin(path), threads=options["num_threads"])


def _compiled(path: Optional[str], content: Optional[bytes]) -> bool:
    if path is None:
        return is_compiled(content or b"")
    try:
        return read_network(path).compiled
    except ModelError:
        return False    # the runtime will say what is wrong with it


def _twin(path: Optional[str]) -> Optional[str]:
    """The plain file beside a compiled one."""
    if path is None:
        return None
    candidate = twin_path(Path(path))
    return str(candidate) if candidate != Path(path) and candidate.is_file() else None


def _kept(content: bytes) -> Any:
    """A model given as bytes, as a file that a worker can open, and open again; it goes with its interpreter."""
    file = tempfile.NamedTemporaryFile(prefix="coral_classify-", suffix=".tflite")
    file.write(content)
    file.flush()
    return file


def _unsupervised(delegate: Delegate, path: Optional[str], content: Optional[bytes],
                  options: Dict[str, Any]) -> LocalHost:
    """Where no worker process can be had (Windows, a frozen application): with the driver in this process."""
    try:
        opened = edgetpu.open_delegate(delegate.device, edgetpu.Options(**delegate.options))
    except DeviceError as exc:
        raise delegate.failed(exc) from exc
    options = dict(options, experimental_delegates=[opened])
    home = LocalHost(model_path=path and os.fspath(path), model_content=content, **options)
    home.device = opened.device
    home.keep(opened)
    edgetpu.close_at_exit(home)
    return home


