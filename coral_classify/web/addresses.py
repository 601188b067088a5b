"""Where a server listens, and what whoever comes from outside has to know."""
from __future__ import annotations

import ipaddress
import os
import re
from typing import NamedTuple, Optional

from .. import arguments
from ..errors import UsageError
from ..reading import read_file, why

__all__ = ["Address", "address", "token_for"]

_TOKEN = "CORAL_CLASSIFY_TOKEN"
_LEAST = 16         # characters of a token
_WANTED = "HOST:PORT, 127.0.0.1:8750 say"


class Address(NamedTuple):
    """Where a server listens."""

    host: str       # a name or a number; without the brackets of IPv6
    port: int       # 0: any that is free

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine get there."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return "%s:%d" % ("[%s]" % self.host if ":" in self.host else self.host, self.port)


def address(text: str) -> Address:
    """An address from ``HOST:PORT``, ``[IPV6]:PORT`` or ``PORT`` (of this machine only).

    >>> address("127.0.0.1:8750")
    Address(host='127.0.0.1', port=8750)
    >>> address("8750").is_local
    True

    :raises UsageError: if it is none
    """
    arguments.text("the address", text, _WANTED)
    match = re.match(r"(?:(?:\[([0-9a-fA-F:.%]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})\Z", text)
    if match is None or int(match.group(3)) > 65535:
        raise arguments.wrong("the address", _WANTED, text)
    return Address(match.group(1) or match.group(2) or "127.0.0.1", int(match.group(3)))


def token_for(where: Address, file: Optional[str] = None) -> Optional[str]:
    """The secret that a visitor shows; None where anybody of this machine may come.

    :param file: whose content it is; without it the environment's ``CORAL_CLASSIFY_TOKEN``.  Never an argument of a
        command: everybody on a machine may read those.
    :raises UsageError: without one for an address that others reach, or if it is too short to be a secret
    """
    if file is not None:
        try:
            token = read_file(file, 4096).decode("ascii").strip()
        except OSError as exc:
            raise UsageError("%s: %s" % (file, why(exc))) from exc
        except UnicodeDecodeError as exc:
            raise UsageError("%s: a token is of ASCII characters" % file) from exc
        source = file
    else:
        token, source = os.environ.get(_TOKEN, "").strip(), _TOKEN
    if not token and file is None:
        if where.is_local:
            return None
        raise UsageError(
            "%s can be reached from other machines: give a token in a file (--token-file FILE) or in %s; "
            "a good one: python3 -c 'import secrets; print(secrets.token_urlsafe())'" % (where, _TOKEN))
    if len(token) < _LEAST or not re.match(r"[!-~]+\Z", token):
        raise UsageError("%s: a token has at least %d characters without blanks; a good one: "
                         "python3 -c 'import secrets; print(secrets.token_urlsafe())'" % (source, _LEAST))
    return token
