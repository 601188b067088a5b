"""``python -m coral_classify.compat PROGRAM …``: run what was written for PyCoral, tflite_runtime or edgetpu."""
from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from .check import check
from .program import run

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m coral_classify.compat", usage="%(prog)s [options] program.py [arguments …]",
        description="Run a program written for PyCoral, tflite_runtime or the old edgetpu package, unchanged.")
    parser.add_argument("-m", dest="module", action="store_true", help="the program is the name of a module")
    parser.add_argument("--ours", action="store_true", help="serve ours also where PyCoral or the runtime is installed")
    parser.add_argument("--cpu", action="store_true", help="run compiled models on their CPU twins (also: "
                        "CORAL_CLASSIFY_COMPAT=cpu)")
    parser.add_argument("--cure", action="store_true", help="lend the old names of Pillow, such as Image.ANTIALIAS")
    parser.add_argument("--check", action="store_true", help="only say what the program imports and what will stop it")
    parser.add_argument("program", help="the program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own arguments")
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """:returns: exit code"""
    told = _parser().parse_args(argv)
    if not told.module and not os.path.isfile(told.program):
        sys.stderr.write("coral_classify: %s: no such program; give the path of a .py file, or -m and the name of a "
                         "module\n" % told.program)
        return 2
    if told.check:
        return _check(told.program)
    return run(told.program, told.arguments, as_module=told.module, ours=told.ours, cpu=told.cpu, cure=told.cure)


def _check(path: str) -> int:
    remarks = check(path)
    for remark in remarks:
        sys.stdout.write("%s:%d: %s%s\n" % (remark.path, remark.line, "STOPS: " if remark.stops else "", remark.text))
    stops = sum(remark.stops for remark in remarks)
    sys.stdout.write("%s\n" % ("nothing seen that would stop it" if not stops else
                               "1 thing will stop it" if stops == 1 else "%d things will stop it" % stops))
    return 1 if stops else 0


if __name__ == "__main__":
    sys.exit(main())
