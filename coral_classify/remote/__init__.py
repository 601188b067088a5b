"""A board that others reach over HTTP, as a session: tensors go there, and outputs come back.

Knows the Open Inference Protocol's client side, and connections that fail.  Knows nothing of pictures and classes, and
trusts no answer; what happens when a board is lost is ``supervision``'s policy.
May use: doors, errors, arguments, types, events, reading, modelfiles, engine, supervision.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
from .addresses import is_board

if TYPE_CHECKING:
    from .addresses import board, token_from
    from .opening import open_board, open_plain
    from .session import BoardSession

__all__ = ["BoardSession", "board", "is_board", "open_board", "open_plain", "token_from"]

# Whoever has the accelerator at hand needs no HTTP.
__getattr__ = on_first_use(__name__, {
    "BoardSession": "session", "board": "addresses", "open_board": "opening", "open_plain": "opening",
    "token_from": "addresses"})
