"""A session in a process that may die: the wire to it, memory shared with it, its keeper, the pauses of its device, and
the policy that decides who answers a picture when one fails.

Knows processes, sockets and deadlines.  Knows nothing of models, labels or pictures; what the child opens is told to it
in plain types, and only the child meets an engine.
May use: errors, types, events, processes, doors, edgetpu (the driver's words), engine (in the child).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .guest import Guest, Request
    from .health import DeviceHealth
    from .limits import Limits
    from .owner import GREETING, VERSION, ask_status, greeted, read_line, shared_paths
    from .policy import check_policy, decide
    from .supervised import SupervisedSession
    from .whereabouts import owner_is_there, socket_path

__all__ = ["GREETING", "VERSION", "DeviceHealth", "Guest", "Limits", "Request", "SupervisedSession", "ask_status",
           "check_policy", "decide", "greeted", "owner_is_there", "read_line", "shared_paths", "socket_path"]

# The worker comes through this door, too, and needs none of what its parent needs.
__getattr__ = on_first_use(__name__, {
    "DeviceHealth": "health", "Limits": "limits", "SupervisedSession": "supervised", "check_policy": "policy",
    "decide": "policy", "Guest": "guest", "Request": "guest", "GREETING": "owner", "VERSION": "owner",
    "ask_status": "owner", "greeted": "owner", "owner_is_there": "whereabouts", "read_line": "owner",
    "shared_paths": "owner", "socket_path": "whereabouts"})
