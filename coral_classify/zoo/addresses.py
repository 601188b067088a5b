"""Addresses that may hold a password: what is shown of them, and what a server is told."""
from __future__ import annotations

import re
from typing import List, Tuple

__all__ = ["parted", "secrets_of", "shown"]


def shown(address: object) -> str:
    """*address* for people: without a name and a password.

    >>> shown("https://me:secret@example.org/models")
    'https://***@example.org/models'
    """
    # To the last "@": a password that holds "/" or "#" as it is makes no good address, and is one all the same.
    return re.sub(r"(?s)(://).*@", r"\1***@", str(address))


def parted(address: str) -> Tuple[str, str]:
    """The address without name and password, and the header ``Authorization`` for them ("" without).

    >>> parted("https://me:secret@example.org/models")
    ('https://example.org/models', 'Basic bWU6c2VjcmV0')
    """
    found = re.match(r"(?s)([^:/?#]*://)([^/?#]*)@(.*)", address)
    if not found:
        return address, ""
    import base64  # which nothing that pulls no model needs
    from urllib.parse import unquote

    who = unquote(found.group(2))
    return found.group(1) + found.group(3), "Basic " + base64.b64encode(who.encode("utf-8")).decode("ascii")


def secrets_of(address: object) -> List[str]:
    """What no message may hold: longest first."""
    found = re.search(r"(?s)://(.*)@", str(address))
    if not found:
        return []
    from urllib.parse import unquote

    password = found.group(1).partition(":")[2]
    words = {found.group(1), password, unquote(password), unquote(found.group(1))}
    words |= set(re.split(r"[/?#]", password))
    return sorted((word for word in words if len(word) > 1), key=len, reverse=True)
