"""``coral-classify share``: own the Edge TPUs of this machine, for every program on it."""
from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
from typing import List, Optional

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
        from ..sharing import Owner, Stock

        logging.basicConfig(format="coral-classify: %(message)s", level=logging.INFO)
        stock = Stock(args.device, args.models)
        owner = Owner(socket_path(), stock, group=_group(args.group), inherited=_inherited())
    except CoralClassifyError as exc:
        return complain(exc)
    signal.signal(signal.SIGTERM, lambda *_: owner.stop())
    signal.signal(signal.SIGINT, lambda *_: owner.stop())
    print("sharing at %s" % printable(socket_path()), file=sys.stderr, flush=True)
    owner.run()
    return 0


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


def _show(told: "dict[str, object]", as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    clients, models = told["clients"], told["models"]
    assert isinstance(clients, list) and isinstance(models, list)
    print("owner: process %s; %d models loaded, %s faults survived" % (told["pid"], len(models),
                                                                      told["faults_survived"]))
    for one in clients:
        print("process %s (user %s)  %s  %s  %s pictures, %s/s" % (
            one["pid"], one["uid"], printable(str(one["model"])), one["device"], one["answers"], one["per_s"]))
