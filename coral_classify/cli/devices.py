"""``coral-classify devices``: every Edge TPU at hand, and its state."""
from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import List

from .showing import printable

__all__ = ["main"]


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify devices", description="List the Edge TPUs with path, state, link speed and temperature.")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    args = parser.parse_args(argv)
    from ..edgetpu import library, list_devices
    from ..errors import DeviceError
    from ..supervision import shared_paths

    code = 0
    try:
        library()
    except DeviceError as exc:
        print("coral-classify: %s" % printable(str(exc)), file=sys.stderr)
        code = 1
    shared = shared_paths()
    devices = [dataclasses.replace(device, state="shared", note="coral-classify share --status tells who uses it")
               if device.path in shared else device for device in list_devices()]
    for device in devices:
        if args.json:
            print(json.dumps(dict(dataclasses.asdict(device), device=device.name)))
        else:
            details = [device.path, device.state]
            details += ["%d Mbit/s" % device.link_speed] if device.link_speed else []
            details += ["%.1f °C" % device.temperature] if device.temperature is not None else []
            print("%-6s  %s" % (device.name, "  ".join(details + ([device.note] if device.note else []))))
    if not devices and not code:
        print("coral-classify: the driver lists no Edge TPU; coral-classify doctor says why", file=sys.stderr)
    return code
