"""``coral-classify PICTURE …``: classify pictures, print a table or JSON lines."""
from __future__ import annotations

import argparse
from typing import List

from . import COMMANDS
from .hint import show_once
from .options import add_options, guarded

__all__ = ["main"]


def main(argv: List[str]) -> int:
    args = _parser().parse_args(argv)
    # Engine and NumPy load only now: --help and wrong options answer at once.
    from .many import run

    code = guarded(args, run)
    if code == 0 and args.model is None and not args.json:
        show_once()
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coral-classify",
        description="Classify pictures with a quantized .tflite model on a Coral Edge TPU, or on the CPU.",
        epilog="other commands:\n" + "\n".join("  coral-classify %-10s %s" % item for item in COMMANDS.items())
        + "\n\nexit code: 0 all classified, 1 some input failed, 2 wrong usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", nargs="+", metavar="PICTURE",
                        help="file, folder, glob, archive (.zip, .tar), @FILE with names; -: a picture, or names, on "
                        "standard input")
    parser.add_argument("--recursive", action="store_true", help="look into the folders of folders, too")
    parser.add_argument("--csv", metavar="FILE", help="write a line per picture")
    parser.add_argument("--jsonl", metavar="FILE", help="write a JSON object per picture; -: standard output")
    parser.add_argument("--resume", action="store_true", help="go on with these files: skip what is in them")
    parser.add_argument("--sort-into", metavar="FOLDER", help="copy each picture into a folder of its best class")
    parser.add_argument("--link", action="store_true", help="with --sort-into: link instead of copying")
    parser.add_argument("--copy", action="store_true", help="with --sort-into: copy (the default)")
    parser.add_argument("--progress", action="store_true", help="a bar on standard error, if that is a terminal")
    add_options(parser)
    return parser
