"""Where a board is, and the secret that opens it."""
from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional

from .. import arguments
from ..errors import UsageError
from ..reading import read_file, why

__all__ = ["TOKEN", "Board", "board", "is_board", "token", "token_from"]

TOKEN = "CORAL_CLASSIFY_TOKEN"
_WANTED = "http://host[:port], or https://"


class Board(NamedTuple):
    """A server of the Open Inference Protocol."""

    host: str
    port: int
    tls: bool
    model: Optional[str]    # what the server calls the model; None: that is found out

    @property
    def url(self) -> str:
        host = "[%s]" % self.host if ":" in self.host else self.host
        standard = self.port == (443 if self.tls else 80)
        return "%s://%s%s" % ("https" if self.tls else "http", host, "" if standard else ":%d" % self.port)


def is_board(device: object) -> bool:
    """Whether a device's name is a board's address.

    >>> is_board("http://board:8750"), is_board("usb:0")
    (True, False)
    """
    return isinstance(device, str) and device.lower().startswith(("http://", "https://"))


def board(device: str) -> Board:
    """A board from ``http://host[:port]``, or with the model's name there: ``http://host[:port]/v2/models/NAME``.

    >>> board("http://board:8750/").url
    'http://board:8750'

    :raises UsageError: if it cannot be meant
    """
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(device)
        port, host = parts.port, parts.hostname or ""
        host.encode("idna")
    except ValueError:      # of which UnicodeError is one
        raise arguments.wrong("device", _WANTED, device) from None
    if "@" in parts.netloc:     # it is not repeated: a password may stand there
        raise UsageError("device: an address has no user and no password; a board's token is read from %s" % TOKEN)
    path = re.match(r"/?\Z|/v2/models/([^/]+)/?\Z", parts.path)
    if path is None or not re.match(r"[\w.:%-]+\Z", host) or port == 0 or parts.query or parts.fragment:
        raise arguments.wrong("device", _WANTED, device)
    tls = parts.scheme == "https"
    return Board(host, port or (443 if tls else 80), tls, unquote(path.group(1)) if path.group(1) else None)


def token() -> Optional[str]:
    """What a board that asks for a token is shown: ``CORAL_CLASSIFY_TOKEN``.

    :raises UsageError: if it cannot be one
    """
    found = os.environ.get(TOKEN, "").strip()
    if not re.match(r"[!-~]*\Z", found):
        raise UsageError("%s: a token is of ASCII characters without blanks" % TOKEN)
    return found or None


def token_from(file: str) -> str:
    """The token in a file.

    :raises UsageError: if there is none
    """
    try:
        found = read_file(file, 4096).decode("ascii", "replace").strip()
    except OSError as exc:
        raise UsageError("%s: %s" % (file, why(exc))) from exc
    if not re.match(r"[!-~]+\Z", found):
        raise UsageError("%s: a token is of ASCII characters without blanks" % file)
    return found
