"""``coral-classify models``: list the published models, and pull one by name."""
from __future__ import annotations

import argparse
import sys
from typing import List

__all__ = ["main"]


def main(argv: List[str]) -> int:
    args = _parser().parse_args(argv)
    from ..errors import ZooError

    try:
        return _pull(args.names, args.source) if args.action == "pull" else _list()
    except ZooError as exc:
        print("coral-classify: %s" % exc, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coral-classify models",
                                     description="List the published models, or pull one by name.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="the table of models (also without an action)")
    pull = actions.add_parser("pull", help="bring the files of a model here, verified")
    pull.add_argument("names", nargs="+", metavar="NAME")
    pull.add_argument("--from", dest="source", metavar="FOLDER|URL", help="take the files from there")
    return parser


def _list() -> int:
    from ..passports import embedded, load_manifest
    from ..zoo import installed

    print("%-28s  %-7s  %-7s  %s" % ("name", "classes", "here", "title"))
    own = embedded()
    if own is not None:
        print("%-28s  %-7s  %-7s  %s" % (own.name, own.classes, "yes", own.title + ", in the package"))
    for passport in load_manifest():
        if passport.kind == "classification":
            print("%-28s  %-7s  %-7s  %s" % (passport.name, passport.classes or "", "yes" if installed(passport)
                                             else "no", passport.title))
    return 0


def _pull(names: List[str], source: str) -> int:
    from ..zoo import by_name, files_of, pull

    for name in names:
        missing = pull(name, source)
        passport = by_name(name)
        assert passport is not None     # pull() knows it
        for wanted in files_of(passport):
            if wanted in missing:
                print("coral-classify: %s is not in %s; without it %s runs on %s" % (
                    wanted.name, source, name, "the CPU only" if wanted.name.endswith("_edgetpu.tflite")
                    else "an Edge TPU only" if wanted.kind == "models" else "without class names"), file=sys.stderr)
            else:
                print("%s: %s" % (name, wanted.target))
    return 0
