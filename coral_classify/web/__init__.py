"""What every page and every server of ours shares: where it listens, who may come in, how much of anything, and how a
refusal reads.

Knows HTTP, Starlette and uvicorn (extra ``[serve]``).  Knows nothing of pictures, models or cameras: an ASGI
application comes as an argument.
May use: doors, errors, arguments, reading.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .addresses import Address, address, token_for
    from .guard import Limits, guarded
    from .refusals import Refused, refusal
    from .server import Server
    from .sites import site, statics

__all__ = ["Address", "Limits", "Refused", "Server", "address", "guarded", "refusal", "site", "statics", "token_for"]

__getattr__ = on_first_use(__name__, {
    "Address": "addresses", "address": "addresses", "token_for": "addresses", "Limits": "guard", "guarded": "guard",
    "Refused": "refusals", "refusal": "refusals", "Server": "server", "site": "sites", "statics": "sites"})
