"""``coral-classify watch FOLDER``: classify the pictures that arrive."""
from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Set, Tuple, Union

from .interrupts import is_the_end
from .options import add_options, guarded

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..pool import Pool

__all__ = ["main"]


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify watch", description="Classify the pictures of a folder, and those that arrive in it.",
        epilog="A file is taken when its size has not changed between two looks.  Ctrl-C ends it, with exit code 0 if "
               "all were classified, else 1.")
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--recursive", action="store_true", help="watch the folders in it, too")
    parser.add_argument("--interval", type=float, default=0.5, metavar="S",
                        help="seconds between two looks (default: 0.5)")
    parser.add_argument("--csv", metavar="FILE", help="write a line per picture")
    parser.add_argument("--jsonl", metavar="FILE", help="write a JSON object per picture; -: standard output")
    parser.add_argument("--resume", action="store_true", help="go on with these files: skip what is in them")
    parser.add_argument("--sort-into", metavar="FOLDER", help="copy each picture into a folder of its best class")
    parser.add_argument("--link", action="store_true", help="with --sort-into: link instead of copying")
    add_options(parser)
    args = parser.parse_args(argv)
    if not os.path.isdir(args.folder):
        print("coral-classify: %s: no such folder" % args.folder, file=sys.stderr)
        return 2
    if args.interval <= 0:
        print("coral-classify: --interval must be positive, got %g" % args.interval, file=sys.stderr)
        return 2
    return guarded(args, _watch)


def _watch(classifier: "Union[Classifier, Pool]", args: argparse.Namespace) -> int:
    from .many import Report, streamed, told

    report = Report(classifier, args)
    arriving = _arriving(args.folder, args.recursive, args.interval)
    try:
        with is_the_end():
            for _ in told(arriving, functools.partial(streamed, classifier, args), report):
                pass
    finally:
        report.close()
        print("coral-classify: %s" % report.summary(), file=sys.stderr)
    return 1 if report.failed else 0


def _arriving(folder: str, recursive: bool, interval_s: float) -> Iterator[Optional[str]]:
    """Each picture once it is whole; one that is written anew comes again.  None while there is none."""
    from .sources import pictures_in

    told: Set[Tuple[str, int, int]] = set()
    before: Dict[str, Tuple[int, int]] = {}
    while True:
        now: Dict[str, Tuple[int, int]] = {}
        for path in pictures_in(folder, recursive):
            try:
                status = os.stat(path)
            except OSError:     # moved away meanwhile
                continue
            now[path] = (status.st_size, status.st_mtime_ns)
            if before.get(path) == now[path] and status.st_size and (path, *now[path]) not in told:
                told.add((path, *now[path]))
                yield path
        # What has gone is forgotten: the set grows with the folder, not with time.
        told = {key for key in told if key[0] in now}
        before = now
        yield None      # what has come is answered first
        time.sleep(interval_s)
