"""``coral-classify serve``: a classifier behind HTTP, for pictures and for raw tensors, with a page to try it."""
from __future__ import annotations

import argparse
import functools
import sys
from typing import TYPE_CHECKING, List, Type, Union

from .options import add_options, guarded
from .showing import complain, printable

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..pool import Pool
    from ..web import Address, Limits, Server

__all__ = ["main"]


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify serve",
        description="Classify the pictures that others send over HTTP: POST /v1/classify; the Open Inference Protocol "
        "at /v2; / is a page to try it.")
    parser.add_argument("--listen", default="127.0.0.1:8750", metavar="HOST:PORT",
                        help="where (default: 127.0.0.1:8750, for this machine only)")
    parser.add_argument("--token-file", metavar="FILE", help="whose content a client must know; or the environment's "
                        "CORAL_CLASSIFY_TOKEN")
    parser.add_argument("--max-body", type=float, default=64, metavar="MB", help="of one request (default: 64)")
    parser.add_argument("--max-connections", type=int, default=128, metavar="N", help="at one time (default: 128)")
    parser.add_argument("--max-waiting", type=int, default=128, metavar="N",
                        help="pictures and tensors at one time; one more gets 503 (default: 128)")
    add_options(parser)
    args = parser.parse_args(argv)
    from .. import arguments
    from ..errors import CoralClassifyError

    try:
        from ..web import Limits, Server, address, token_for  # raises if the server's library is not here

        where = address(args.listen)
        token = token_for(where, args.token_file)
        limits = Limits(int(arguments.number("--max-body", args.max_body, above=0) * 1e6),
                            arguments.whole("--max-connections", args.max_connections, least=1))
        arguments.whole("--max-waiting", args.max_waiting, least=1)
    except CoralClassifyError as exc:
        return complain(exc)
    return guarded(args, functools.partial(_serve, Server, where, token, limits))


def _serve(make: "Type[Server]", where: "Address", token: "Union[str, None]", limits: "Limits",
           classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> int:
    from ..serving import Desk, name_for, service
    from ..web import guarded as behind_a_guard

    desk = Desk(classifier, waiting=args.max_waiting, held_bytes=4 * limits.body_bytes, decoders=args.decoders)
    try:
        name = name_for(args.model or classifier.model)
        app = behind_a_guard(service(desk, name), address=where, token=token, limits=limits)
        server = make(app, where, limits, grace_s=30)
        server.run(lambda url: print("serving %s on %s at %s" % (name, classifier.device, printable(url)),
                                     file=sys.stderr, flush=True))
    finally:
        desk.close()
    return 0
