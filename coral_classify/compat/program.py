"""Runs a program as ``python`` would, with our modules behind the names that it imports."""
from __future__ import annotations

import ast
import logging
import os
import re
import runpy
import sys
import traceback
from types import ModuleType
from typing import List

from . import gone
from .finder import install
from .names import ENGINE_TOPS, installed

__all__ = ["run"]

_log = logging.getLogger("coral_classify.compat")
_MISSING = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")


def run(name: str, arguments: List[str], *, as_module: bool = False, ours: bool = False, cpu: bool = False,
        cure: bool = False) -> int:
    """Run a program to its end.

    :param name: path of the program; with *as_module* the name of its module
    :param ours: also in place of an installed PyCoral or runtime
    :param cpu: compiled models run on their CPU twins
    :param cure: with the old names of :mod:`coral_classify.compat.gone` lent
    :returns: its exit code, where it ended by an exception; other ends leave as they are
    """
    if cpu:
        os.environ["CORAL_CLASSIFY_COMPAT"] = "cpu"
    if not (ours or cpu or as_module):
        _tell_what_is_used(name)
    install(ours or cpu)    # the twin is ours to find: an installed runtime knows nothing of it
    if cure:
        gone.cure()
    sys.argv = [name] + list(arguments)
    try:
        if as_module:
            sys.path[0] = os.getcwd()
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            _run_file(name)
    except Exception as exc:
        # From the program's own frame on: ours tell its author nothing.
        trace = exc.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__) and trace.tb_next:
            trace = trace.tb_next
        traceback.print_exception(type(exc), exc, trace)
        hint = _hint(exc)
        if hint:
            sys.stderr.write("coral_classify: %s\n" % hint)
        return 1
    return 0


def _tell_what_is_used(path: str) -> None:
    """A runtime that is installed is the program's, and then nothing here watches over it: that deserves a line."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return      # it is told when it is run
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for top in ENGINE_TOPS:
        found = installed(top) if top in {name.partition(".")[0] for name in names} else None
        if found is not None and found.usable:
            _log.warning("%s", found.remark)


def _run_file(path: str) -> None:
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None)
    # Stays: threads and exit functions of the program look for their names there.
    sys.modules["__main__"] = main
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    exec(code, main.__dict__)


def _hint(exc: Exception) -> str:
    found = _MISSING.search(str(exc)) if isinstance(exc, AttributeError) else None
    instead = gone.mend(found.group(1), found.group(2)) if found else None
    if not found or not instead:
        return ""
    hint = "%s.%s is gone from the library that is installed; write %s" % (found.group(1), found.group(2), instead)
    return hint + ", or run the program with --cure" if found.group(1).startswith(("PIL", "numpy")) else hint
