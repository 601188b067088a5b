"""What a program imports, which of it we have, and what else will stop it on this Python.

Reads the program; runs nothing of it.
"""
from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from . import gone
from .names import SERVED, TOPS, installed

__all__ = ["Remark", "check"]

_ROOM = __name__.rpartition(".")[0]


class Remark(NamedTuple):
    """One thing about a program."""

    path: str
    line: int
    text: str
    stops: bool     # whether the program will end by it


def check(path: str) -> List[Remark]:
    """Look through a program and the modules beside it that it imports.

    :param path: of the program
    :raises OSError: if it cannot be read
    """
    remarks: List[Remark] = []
    folder = os.path.dirname(os.path.abspath(path))
    waiting, seen = [path], set()
    while waiting:
        one = waiting.pop(0)
        if os.path.abspath(one) in seen:
            continue
        seen.add(os.path.abspath(one))
        with open(one, "rb") as file:
            content = file.read()
        try:
            tree = ast.parse(content, one)
        except (SyntaxError, ValueError) as exc:
            remarks.append(Remark(one, getattr(exc, "lineno", 0) or 0, "is no Python %d.%d: %s; if it was written for "
                                  "Python 2, convert it with 2to3 first"
                                  % (sys.version_info[:2] + (getattr(exc, "msg", exc),)), True))
            continue
        reader = _Reader(one, tree, folder)
        remarks += reader.remarks()
        waiting += reader.beside
    return remarks


class _Reader:
    def __init__(self, path: str, tree: ast.Module, folder: str) -> None:
        self._path = path
        self._tree = tree
        self._folder = folder
        self.beside: List[str] = []     # modules of the program's own that it imports
        self._aliases: Dict[str, str] = {}      # name in the program -> module
        self._guarded = _guarded(tree)

    def remarks(self) -> List[Remark]:
        found = [remark for line, module, names in self._imports() for remark in self._imported(line, module, names)]
        found += self._attributes()
        return sorted(set(found), key=lambda remark: (remark.line, remark.text))

    def _imports(self) -> Iterator[Tuple[int, str, List[str]]]:
        """Line, module, and the names taken from it."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._aliases[alias.asname or alias.name] = alias.name
                    yield node.lineno, alias.name, []
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    self._aliases[alias.asname or alias.name] = "%s.%s" % (node.module, alias.name)
                yield node.lineno, node.module or "", [alias.name for alias in node.names]

    def _imported(self, line: int, module: str, names: List[str]) -> Iterator[Remark]:
        top = module.partition(".")[0]
        if top in TOPS:
            yield from self._served(line, module, names)
            return
        own = [os.path.join(self._folder, *top.split("."), "__init__.py"), os.path.join(self._folder, top + ".py")]
        for candidate in own:
            if os.path.isfile(candidate):
                self.beside.append(candidate)
                return
        if line in self._guarded:
            return
        if top not in sys.builtin_module_names and not _found(top):
            use = gone.MODULE_MENDS.get(top)
            text = "Python %d.%d has no module %s%s" % (sys.version_info[:2] + (top, "; use %s" % use)) if use \
                else "the module %s is not installed" % top
            yield self._remark(line, text, True)
            return
        for name in names:
            if module in gone.LOOKED_AT and gone.is_gone(module, name) and not _found("%s.%s" % (module, name)):
                yield self._gone(line, module, name)

    def _served(self, line: int, module: str, names: List[str]) -> Iterator[Remark]:
        found = installed(module.partition(".")[0])
        note = "" if found is None else " (%s)" % found.remark
        wanted = [module + "." + name for name in names if SERVED.get(module, "") is None] if names else []
        for one in wanted or [module]:
            if one not in SERVED:
                yield self._remark(line, "%s: not among what coral_classify.compat has%s" % (one, note),
                                   not (found and found.usable))
                continue
            ours = SERVED[one]
            missing = [] if ours is None or wanted else [
                name for name in names if name != "*"
                and not hasattr(importlib.import_module("%s.%s" % (_ROOM, ours)), name)]
            for name in missing:
                yield self._remark(line, "%s.%s: not among what coral_classify.compat has%s" % (one, name, note),
                                   not (found and found.usable))
            if not missing:
                yield self._remark(line, "%s: coral_classify.compat has it%s" % (one, note), False)

    def _attributes(self) -> List[Remark]:
        found = []
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Attribute) or node.lineno in self._guarded or node.attr in self._guarded:
                continue
            module = self._module(node.value)
            if module in gone.LOOKED_AT and gone.is_gone(module, node.attr) and gone.mend(module, node.attr):
                found.append(self._gone(node.lineno, module, node.attr))
            elif module is None and self._is_dropped_method(node):
                found.append(self._remark(node.lineno, "%s() is gone since Pillow 10; write %s, or run with --cure"
                                          % (node.attr, gone.mend(None, node.attr)), True))
        return found

    def _module(self, node: ast.expr) -> Optional[str]:
        """The module that an expression names, if it does."""
        if isinstance(node, ast.Name):
            return self._aliases.get(node.id)
        if isinstance(node, ast.Attribute):
            outer = self._module(node.value)
            return "%s.%s" % (outer, node.attr) if outer else None
        return None

    def _is_dropped_method(self, node: ast.Attribute) -> bool:
        return (node.attr in gone.MENDS and any(name.startswith("PIL") for name in self._aliases.values())
                and gone.is_gone("PIL.ImageDraw", "ImageDraw") is False and _pillow_dropped(node.attr))

    def _gone(self, line: int, module: str, name: str) -> Remark:
        instead = gone.mend(module, name)
        text = "%s.%s is gone%s" % (module, name, "; write %s" % instead if instead else "")
        lent = module.startswith("PIL") or (module == "numpy" and instead == name)
        return self._remark(line, text + (", or run with --cure" if lent and instead else ""), True)

    def _remark(self, line: int, text: str, stops: bool) -> Remark:
        return Remark(self._path, line, text, stops)


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return name in sys.modules


def _pillow_dropped(method: str) -> bool:
    try:
        from PIL import ImageDraw, ImageFont
    except ImportError:
        return False
    where = ImageFont.FreeTypeFont if method == "getsize" else ImageDraw.ImageDraw
    return not hasattr(where, method)


def _guarded(tree: ast.Module) -> "Set[object]":
    """Lines in a ``try`` that expects such an error, and names that the program asks for with hasattr or getattr."""
    guarded: "Set[object]" = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            caught = {getattr(name, "id", "") for handler in node.handlers for name in (
                ast.walk(handler.type) if handler.type else [ast.Name(id="Exception", ctx=ast.Load())])}
            if caught & {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception"}:
                for inner in node.body:
                    guarded.update(getattr(one, "lineno", None) for one in ast.walk(inner))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("hasattr", "getattr") and node.args[1:]:
            guarded.add(getattr(node.args[1], "s" if sys.version_info < (3, 8) else "value", None))
    return guarded
