"""From what the caller names to an open session: which file, on which device, supervised or not, and why.

Knows twins and device names.  Knows nothing of pictures and classes.
May use: errors, arguments, types, events, locations, modelfiles, zoo, edgetpu, engine, supervision, remote.
"""
from __future__ import annotations

from .opening import Supervision, check_device, checked_place, find_model, open_features, open_first
from .placement import Placement, placements, twin_of

__all__ = ["Placement", "Supervision", "check_device", "checked_place", "find_model", "open_features", "open_first",
           "placements", "twin_of"]
