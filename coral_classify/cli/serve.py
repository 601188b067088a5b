"""``coral-classify serve``: a classifier behind HTTP, for pictures and for raw tensors, with a page to try it."""
from __future__ import annotations

import argparse
import functools
import logging
import sys
from typing import TYPE_CHECKING, List, Optional, Union

from .options import add_options, guarded
from .showing import complain, printable

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..pool import Pool
    from ..serving import Metrics
    from ..web import Address, Limits

__all__ = ["main"]

_HELD = 4           # bodies of the greatest length, that all requests together may take
_GRACE_S = 30.0     # for the requests in hand when it ends


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
        from ..serving import Metrics  # raises if the libraries are not here
        from ..web import Limits, address, token_for

        where = address(args.listen)
        token = token_for(where, args.token_file)
        limits = Limits(int(arguments.number("--max-body", args.max_body, above=0) * 1e6),
                        arguments.whole("--max-connections", args.max_connections, least=1))
        arguments.whole("--max-waiting", args.max_waiting, least=1)
        metrics = Metrics()
    except CoralClassifyError as exc:
        return complain(exc)
    return guarded(args, functools.partial(_serve, where, token, limits, metrics), metrics.heard)


def _serve(where: "Address", token: Optional[str], limits: "Limits", metrics: "Metrics",
           classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> int:
    from .. import web
    from ..serving import Desk, Service, name_for

    # What is wrong with a request is told to its client.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    desk = Desk(classifier, waiting=args.max_waiting, held_bytes=_HELD * limits.body_bytes, decoders=args.decoders)
    try:
        name = name_for(args.model or classifier.model)
        wishes = {wish: getattr(args, wish) for wish in ("top_k", "threshold", "allow", "deny", "region", "rotate")}
        app = Service(desk, name, metrics, token=token is not None, wishes=wishes).application(
            functools.partial(web.guarded, address=where, token=token, limits=limits))
        web.Server(app, where, limits, grace_s=_GRACE_S).run(
            lambda url: print("serving %s on %s at %s" % (name, classifier.device, printable(url)), file=sys.stderr,
                              flush=True))
    finally:
        desk.close()
    return 0
