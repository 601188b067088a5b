"""``coral-classify devices``: the Edge TPUs that the driver sees."""
from __future__ import annotations

import argparse
import json
import sys
from typing import List

__all__ = ["main"]


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify devices", description="List the Edge TPUs that the driver sees.")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    args = parser.parse_args(argv)
    from ..edgetpu import list_devices
    from ..errors import DeviceError

    try:
        devices = list_devices()
    except DeviceError as exc:
        print("coral-classify: %s" % exc, file=sys.stderr)
        return 1
    for device in devices:
        if args.json:
            print(json.dumps({"device": device.name, "type": device.type, "path": device.path}))
        else:
            print("%-6s  %s" % (device.name, device.path))
    if not devices:
        print("coral-classify: the driver lists no Edge TPU; check cable and power, then: lsusb", file=sys.stderr)
    return 0
