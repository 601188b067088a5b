"""The command line ``coral-classify``: arguments, printing, exit codes.

This module picks the subcommand and imports only that one: each is a module of this package with
``main(argv) -> exit code``.  Without a subcommand, pictures are classified.
"""
from __future__ import annotations

import importlib
import os
import sys
from typing import List, Optional

from . import interrupts

__all__ = ["main", "COMMANDS"]

# name -> what `coral-classify --help` says of it
COMMANDS = {
    "bench": "measure cold start, stages and pictures per second on this machine",
    "devices": "list the Edge TPUs, and the state in which each is",
    "doctor": "find out why an Edge TPU does not work, and what mends it",
    "evaluate": "how good a model is, on folders of pictures whose classes are known",
    "live": "watch a camera, and say so whenever the answer changes",
    "models": "models by name: list, pull, info, verify, remove, add",
    "serve": "classify what others send over HTTP; a page to try it",
    "share": "own the Edge TPUs of this machine, for every program on it",
    "teach": "learn own classes from a few pictures of each",
    "watch": "classify the pictures that arrive in a folder",
}
# Commands that do something at once; the others load an engine first, and then say that they begin.
_LIGHT = ("devices", "doctor", "models", "share")


def main(argv: Optional[List[str]] = None) -> int:
    """:returns: 0 all done, 1 some input failed, 2 wrong usage"""
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv and argv[0] in COMMANDS else "classify"
    try:
        _open_streams()
        module = importlib.import_module("%s.%s" % (__name__, command))
        if command in _LIGHT:
            interrupts.begin()
        try:
            return int(module.main(argv[1:] if argv and argv[0] in COMMANDS else argv))
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("coral-classify: interrupted", file=sys.stderr)
        return 130
    except Exception as exc:
        if interrupts.is_behind(exc):
            print("coral-classify: interrupted", file=sys.stderr)
            return 130
        if not isinstance(exc, OSError):
            raise
        if not isinstance(exc, BrokenPipeError):    # a full disk behind standard output
            print("coral-classify: %s" % (exc.strerror or exc), file=sys.stderr)
        # Or the reader of stdout has gone (head, less): no error of ours, and nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _open_streams() -> None:
    """Put something where a standard stream was closed: the next file to be opened would get its number, and what is
    meant for the stream."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
    if hasattr(sys.stdout, "reconfigure"):      # a path of any bytes, a degree sign under any locale
        sys.stdout.reconfigure(errors="backslashreplace")
