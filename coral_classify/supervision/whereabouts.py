"""Where the owner of shared accelerators listens, and whether one does.

Opens no socket, and does not even import them: every start of the command line asks.
"""

from __future__ import annotations

import os
import stat

__all__ = ["owner_is_there", "socket_path"]

_SYSTEM_WIDE = "/run/coral-classify/coral-classify.sock"


def socket_path() -> str:
    """``CORAL_CLASSIFY_SOCKET``; else the user's own socket, or that of the system where the user has none."""
    named = os.environ.get("CORAL_CLASSIFY_SOCKET")
    if named:
        return named
    folder = os.environ.get("XDG_RUNTIME_DIR")
    own = os.path.join(folder, "coral-classify.sock") if folder else ""
    return own if own and (os.path.exists(own) or not os.path.exists(_SYSTEM_WIDE)) else _SYSTEM_WIDE


def owner_is_there() -> bool:
    """Whether a socket lies where an owner's would; connects to nobody."""
    try:
        return stat.S_ISSOCK(os.stat(socket_path()).st_mode)
    except OSError:
        return False
