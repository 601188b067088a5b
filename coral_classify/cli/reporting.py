"""The options of ``live`` that tell a broker what the camera shows."""
from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import TYPE_CHECKING, Optional

from .showing import printable

if TYPE_CHECKING:
    from ..mqtt import Reporter

__all__ = ["add_reporting", "reporter"]


def add_reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mqtt", metavar="URL", help="tell this broker, so that Home Assistant finds the camera by "
                        "itself: mqtt://[user@]broker[:port]/, or mqtts:// for TLS")
    parser.add_argument("--name", help="the camera's name there, one a broker (default: this machine's)")
    parser.add_argument("--mqtt-password-file", metavar="FILE",
                        help="with the user's password (or set CORAL_CLASSIFY_MQTT_PASSWORD)")
    parser.add_argument("--mqtt-ca", metavar="FILE", help="certificates that vouch for the broker's (default: the "
                        "system's)")


def reporter(args: argparse.Namespace, model: str) -> "Optional[Reporter]":
    """What the options ask for; None: nothing.

    :raises UsageError, CoralClassifyError: if it cannot be had
    """
    if args.mqtt is None:
        for option in ("name", "mqtt_password_file", "mqtt_ca"):
            if getattr(args, option) is not None:
                from ..errors import UsageError

                raise UsageError("--%s goes with --mqtt" % option.replace("_", "-"))
        return None
    from ..mqtt import Reporter, broker, sensor

    where = broker(args.mqtt, args.mqtt_password_file, args.mqtt_ca)
    name = args.name if args.name is not None else socket.gethostname()
    return Reporter.to(where, sensor(name, os.path.basename(model)), _say)


def _say(line: str) -> None:
    print("coral-classify: %s" % printable(line), file=sys.stderr)
