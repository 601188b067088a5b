"""``coral-classify doctor``: checks from Python to the chip, with cause, evidence and the command that mends it."""
from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, List

from .showing import complain, printable

if TYPE_CHECKING:
    from ..doctor import Check

__all__ = ["main"]


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify doctor", description="Find out why an Edge TPU does not work, and what mends it.",
        epilog="exit code: 0 only if a classification on the Edge TPU worked (with --device cpu: on the CPU), else 1")
    parser.add_argument("--model", metavar="FILE", help="compiled model to try, and to compare with its CPU twin")
    parser.add_argument("--device", default="auto", metavar="DEVICE",
                        help="the device to try: auto, usb, usb:N, pci, pci:N, :N; cpu: do without an Edge TPU")
    parser.add_argument("--root", metavar="FOLDER",
                        help="look at the files of another machine (a mounted card, say); tries nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object: checks, works")
    args = parser.parse_args(argv)
    from ..doctor import examine
    from ..edgetpu import System, match
    from ..errors import CoralClassifyError

    try:
        if args.device != "cpu":
            match(args.device, [])
        found = examine(args.model, args.device, System(args.root) if args.root else None)
    except CoralClassifyError as exc:
        return complain(exc)
    if args.json:
        print(json.dumps({"checks": [check._asdict() for check in found.checks], "works": found.works}, indent=1))
    else:
        print("\n".join(line for check in found.checks for line in _lines(check)))
    return 0 if found.works else 1


def _lines(check: "Check") -> List[str]:
    lines = ["%-8s %-15s %s" % (check.status, check.name, printable(check.cause))]
    if check.evidence and check.status != "ok":
        lines += ["%24s evidence: %s" % ("", printable(line)) for line in check.evidence.splitlines()[:12]]
    elif check.evidence:
        lines[0] += " (%s)" % printable(check.evidence)
    if check.command and check.status != "ok":
        lines.append("%24s mend: %s" % ("", check.command))
    return lines
