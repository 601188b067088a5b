"""The import finder that gives programs our modules under the names that they import.

It is there only after :func:`install`.  What a name means is decided once, when its first module is imported.
"""
from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import logging
import sys
from types import ModuleType
from typing import Any, Dict, Optional, Sequence

from .names import ENGINE_TOPS, SERVED, TOPS, Installed, installed

__all__ = ["Finder", "install", "uninstall"]

_log = logging.getLogger("coral_classify.compat")
_ROOM = __name__.rpartition(".")[0]
_VERSIONS = {"pycoral": "2.0.0", "edgetpu": "2.14.0"}


class _Loader(importlib.abc.Loader):
    """Fills a module with the public names of one of ours."""

    serves_programs = True      # says to the engine room that this is no engine

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        ours = SERVED[name]
        if ours is None:
            module.__doc__ = "%s, as coral_classify.compat serves it." % name
            if name in TOPS:
                module.__dict__["__version__"] = _version(name)
            return
        source = importlib.import_module("%s.%s" % (_ROOM, ours))
        module.__doc__ = source.__doc__
        for public in source.__all__:
            module.__dict__[public] = getattr(source, public)
        module.__dict__["__all__"] = list(source.__all__)


class Finder(importlib.abc.MetaPathFinder):
    """Serves the names of :data:`coral_classify.compat.names.SERVED`.

    :param ours: also where a usable package of the name is installed
    :param found: what is installed under the names of engines: to look at these imports them, and no engine is to be
        imported on behalf of the engine room's own look for one
    """

    def __init__(self, ours: bool, found: Dict[str, Optional[Installed]]) -> None:
        self.ours = ours
        self._found = dict(found)
        self._decided: Dict[str, bool] = {}

    def find_spec(self, fullname: str, path: Optional[Sequence[Any]] = None,
                  target: Optional[ModuleType] = None) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname not in SERVED or not self._serves(fullname.partition(".")[0]):
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(), is_package=SERVED[fullname] is None)

    def _serves(self, top: str) -> bool:
        if top not in self._decided:
            if top not in self._found:
                self._found[top] = installed(top)
            found = self._found[top]
            self._decided[top] = self.ours or found is None or not found.usable
            if found is not None and not self.ours:
                _log.warning("%s%s", found.remark, "" if found.usable else "; coral_classify's is used")
        return self._decided[top]


_finder: Optional[Finder] = None


def install(ours: bool = False) -> None:
    """From now on programs find ``pycoral``, ``tflite_runtime``, ``ai_edge_litert`` and ``edgetpu`` here.

    A usable package of the name that is installed wins.  May be called twice.

    :param ours: ours win
    """
    global _finder
    if _finder is not None and _finder.ours == ours:
        return
    uninstall()
    # The engines under their real names, before programs get ours under the same.
    _finder = Finder(ours, {top: installed(top) for top in ENGINE_TOPS})
    sys.meta_path.insert(0, _finder)
    if ours:
        _forget()


def uninstall() -> None:
    """Serve nothing any more; what was imported stays with whoever imported it."""
    global _finder
    if _finder is not None:
        sys.meta_path.remove(_finder)
        _finder = None
        _forget()


def _forget() -> None:
    """Have the served names imported anew.  A real engine's own package stays: its parts import each other by name."""
    for name in [name for name in sys.modules if name in SERVED]:
        module = sys.modules[name]
        ours = isinstance(getattr(module, "__loader__", None), _Loader)
        if ours or SERVED[name] is not None or name.partition(".")[0] not in ENGINE_TOPS:
            del sys.modules[name]


def _version(top: str) -> str:
    if top in _VERSIONS:
        return _VERSIONS[top]
    from ..engine import load_engine

    return load_engine().version
