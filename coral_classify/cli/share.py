"""``coral-classify share``: own the Edge TPUs of this machine, for every program on it."""
from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
from typing import Any, Dict, Iterator, List, Optional

from .showing import complain, printable

__all__ = ["main"]


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify share", description="Own the Edge TPUs of this machine, for every program on it.")
    parser.add_argument("--status", action="store_true", help="who uses them, for which model; then end")
    parser.add_argument("--json", action="store_true", help="with --status: as JSON")
    parser.add_argument("--socket", metavar="PATH", help="where to listen (default: $CORAL_CLASSIFY_SOCKET, else "
                        "$XDG_RUNTIME_DIR/coral-classify.sock, else /run/coral-classify/coral-classify.sock)")
    parser.add_argument("--group", metavar="NAME", help="users of this group may use them, too")
    parser.add_argument("--device", default="auto", metavar="DEVICE",
                        help="auto: every Edge TPU; or one of them; or cpu (default: auto)")
    parser.add_argument("--models", type=int, default=8, metavar="N", help="how many stay loaded (default: 8)")
    args = parser.parse_args(argv)
    from .. import edgetpu
    from ..errors import CoralClassifyError, UsageError
    from ..supervision import ask_status, socket_path

    if args.socket:
        os.environ["CORAL_CLASSIFY_SOCKET"] = args.socket
    try:
        if args.status:
            _show(ask_status(), args.json)
            return 0
        if args.models < 1:
            raise UsageError("--models must be at least 1, got %d" % args.models)
        if args.device not in ("auto", "cpu"):
            edgetpu.match(args.device, [])
        if args.device != "cpu":
            edgetpu.check_library()
        from ..sharing import Clients, Owner, Stock

        logging.basicConfig(format="coral-classify: %(message)s", level=logging.INFO)
        owner = Owner(socket_path(), Stock(args.device, args.models), group=_group(args.group),
                      clients=Clients(Clients.most_with(_descriptors())), inherited=_inherited())
    except CoralClassifyError as exc:
        return complain(exc)
    signal.signal(signal.SIGTERM, lambda *_: owner.stop())
    signal.signal(signal.SIGINT, lambda *_: owner.stop())
    print("sharing at %s" % printable(socket_path()), file=sys.stderr, flush=True)
    owner.run()
    return 0


def _descriptors() -> int:
    """How many this process may have, after it has asked for all that it is allowed."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _group(name: Optional[str]) -> Optional[int]:
    if name is None:
        return None
    import grp

    from ..errors import UsageError

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError("--group %s: this system has no such group" % name) from None


def _inherited() -> Optional[socket.socket]:
    """The socket at which systemd listens for us (sd_listen_fds(3): the first descriptor after the standard ones)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    os.set_inheritable(3, False)
    return socket.socket(fileno=3)


def _show(told: "Dict[str, Any]", as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    print("\n".join(printable(line) for line in _lines(told)))


def _lines(told: "Dict[str, Any]") -> "Iterator[str]":
    yield "owner: process %s, for %s; faults survived: %s" % (told["pid"], _spell(told["seconds"]),
                                                              told["faults_survived"])
    for device in told["devices"]:
        details = [device["path"]] if device["path"] else []
        details += ["%.1f °C" % device["temperature"]] if device["temperature"] is not None else []
        details += [] if device["present"] else ["is not attached at present"]
        yield "  ".join(["%-6s" % device["name"]] + details)
        for model in device["models"]:
            yield "        model %s (%s): %s%s" % (model["name"], model["id"], _counted(model["users"], "program"),
                                                   "" if model["open"] else ", being opened")
    if not told["devices"]:
        yield "no Edge TPU is attached; coral-classify doctor says why"
    for model, seconds in told["not_run"].items():
        yield "model %s is not run for %d s: it took the process of the Edge TPU along" % (model, seconds)
    for one in told["clients"]:
        yield "process %-7s user %-5s %-15s %-6s %8d pictures %7.1f/s  %s" % (
            one["pid"], one["uid"], one["program"], one["device"], one["answers"], one["per_s"], one["model"])
    if not told["clients"]:
        yield "no program uses it at present"


def _counted(number: int, what: str) -> str:
    return "%d %s%s" % (number, what, "" if number == 1 else "s")


def _spell(seconds: int) -> str:
    """
    >>> _spell(59), _spell(3600), _spell(200000)
    ('59 s', '60 min', '55 h')
    """
    return "%d s" % seconds if seconds < 120 else "%d min" % (seconds // 60) if seconds < 7200 else \
        "%d h" % (seconds // 3600)
