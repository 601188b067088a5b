"""The owner of the accelerators of a machine, for every program on it: who may, whose turn it is, what is loaded.

Knows sockets, turns and sessions.  Knows nothing of pictures and classes.  Its clients are sessions of ``supervision``.
May use: doors, errors, arguments, modelfiles, edgetpu, engine, supervision.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .clients import Clients
    from .owner import Owner
    from .stock import Stock

__all__ = ["Clients", "Owner", "Stock"]

__getattr__ = on_first_use(__name__, {"Clients": "clients", "Owner": "owner", "Stock": "stock"})
